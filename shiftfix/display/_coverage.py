"""How often sets hold the truth, beside how often they should, and what they cost."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from shiftfix._door import PublicCalls
from shiftfix._numerics import Floats
from shiftfix._setting_checks import check_number, import_optional
from shiftfix._validation import check_labels, check_vector
from shiftfix.display._axes import COST, LIMIT, TARGET, get_axes, legend_above, percent_in_title
from shiftfix.exceptions import ShiftDataError
from shiftfix.label import wilson_interval

LEVELS = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
# Of the intervals around observed coverage.
SURE = 0.95


class CoverageDisplay(PublicCalls):
    """Observed coverage of sets or intervals against the coverage asked for, on rows whose labels are known.

    Points on the diagonal keep their promise, those below break it. Make one with :meth:`from_estimator` or
    :meth:`from_coverage`.

    Parameters
    ----------
    levels : ndarray of shape (n_levels,)
        Coverage asked for, rising.
    coverage : ndarray of shape (n_levels,)
        Share of the rows whose set held the truth.
    n_rows : int
    sizes : ndarray of shape (n_levels,) or None
        Mean number of labels in a set, or median width of the finite intervals; NaN where all are infinite.
    unit : str
        Of the sizes.

    Attributes
    ----------
    ax_ : matplotlib Axes
    size_ax_ : matplotlib Axes or None
        On the right, of the sizes.
    figure_ : matplotlib Figure
    points_, size_line_ : Line2D or None
    intervals_ : LineCollection
        Wilson's 95% intervals of the observed coverage.

    See Also
    --------
    shiftfix.conformal.ConformalClassifier : Sets of labels around any classifier.
    shiftfix.conformal.ConformalRegressor : Intervals around any regressor.
    """

    def __init__(self, levels: Floats, coverage: Floats, *, n_rows: int, sizes: Floats | None, unit: str) -> None:
        self.levels = levels
        self.coverage = coverage
        self.n_rows = n_rows
        self.sizes = sizes
        self.unit = unit

    @classmethod
    def from_coverage(
        cls,
        levels: ArrayLike,
        coverage: ArrayLike,
        n_rows: int,
        *,
        sizes: ArrayLike | None = None,
        unit: str = "",
        ax: Any = None,
    ) -> Self:
        """Draw coverage that is known.

        Parameters
        ----------
        levels, coverage : array-like of shape (n_levels,)
            Asked for, and observed; in [0, 1].
        n_rows : int
            Rows that were observed.
        sizes : array-like of shape (n_levels,), default=None
        unit : str, default=""
            Of the sizes.
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        CoverageDisplay

        Raises
        ------
        ShiftDataError
            For shares that are none, and lengths that differ.
        MissingDependencyError
            When matplotlib is not installed.
        """
        asked = _check_shares(levels, "levels")
        found = _check_shares(coverage, "coverage", len(asked))
        check_number(n_rows, "n_rows", least=1)
        cost = None if sizes is None else check_vector(sizes, "sizes", len(asked), of="levels")
        order = np.argsort(asked, kind="stable")
        ordered = None if cost is None else cost[order]
        return cls(asked[order], found[order], n_rows=int(n_rows), sizes=ordered, unit=unit).plot(ax=ax)

    @classmethod
    def from_estimator(
        cls,
        model: Any,
        X: Any,
        y: ArrayLike,
        *,
        levels: Sequence[float] = LEVELS,
        groups: ArrayLike | None = None,
        ax: Any = None,
    ) -> Self:
        """Ask a conformal estimator for sets of rows whose labels are known, and draw how often they hold them.

        Parameters
        ----------
        model : fitted ConformalClassifier or ConformalRegressor
            Fitted WITHOUT these labels.
        X : array-like of shape (n_rows, n_features)
            Rows of the target.
        y : array-like of shape (n_rows,)
            Their labels or values.
        levels : sequence of float in (0, 1), default=(.5, .6, .7, .8, .85, .9, .95)
        groups : array-like of shape (n_rows,), default=None
            As the model's own.
        ax : matplotlib Axes, default=None

        Returns
        -------
        CoverageDisplay

        Raises
        ------
        NotFittedError
            For an estimator that is not fitted.
        ShiftDataError
            For an estimator without ``predict_set`` and ``predict_interval``, and labels that do not fit the rows.
        """
        check_is_fitted(model)
        asked = [check_number(level, "levels", above=0, below=1) for level in levels]
        if not asked:
            raise ShiftDataError("levels is empty: pass one at least, such as [0.9].")
        makes_sets = hasattr(model, "predict_set")
        if not (makes_sets or hasattr(model, "predict_interval")):
            raise ShiftDataError(
                f"{type(model).__name__} makes no sets: pass a fitted ConformalClassifier or ConformalRegressor."
            )
        observe = _observed_sets if makes_sets else _observed_intervals
        found = [observe(model, X, y, level, groups) for level in asked]
        coverage, sizes, n_rows = zip(*found, strict=True)
        unit = "labels in a set" if makes_sets else "width of an interval, in units of y"
        return cls.from_coverage(asked, coverage, n_rows[0], sizes=_known(sizes), unit=unit, ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw on ``ax`` or a new figure; returns self."""
        ax = get_axes(ax, size=(5.4, 4.4))
        low, high = wilson_interval(self.coverage, np.full(len(self.levels), float(self.n_rows)), SURE)
        lowest = max(0.0, min(self.levels.min(), low.min()) - 0.05)
        ax.plot([lowest, 1], [lowest, 1], color=LIMIT, linewidth=0.8, linestyle="--", label="as asked for")
        self.intervals_ = ax.vlines(self.levels, low, high, color=TARGET, linewidth=1.4)
        label = f"observed on {self.n_rows} rows (95% interval)"
        (self.points_,) = ax.plot(self.levels, self.coverage, "o", color=TARGET, label=label)
        ax.set(xlim=(lowest, 1), ylim=(lowest, 1.005), xlabel="coverage asked for", ylabel="coverage observed")
        self.size_ax_, self.size_line_ = None, None
        if self.sizes is not None:
            self.size_ax_, self.size_line_ = self._draw_sizes(ax)
        handles = [handle for axes in (ax, self.size_ax_) if axes is not None for handle in axes.lines]
        legend_above(ax, self._finding(high), handles=handles)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _finding(self, high: Floats) -> str:
        """The level that is missed most, by more than chance; or that none is."""
        missed = np.where(high < self.levels, self.levels - self.coverage, 0.0)
        if not missed.any():
            return "coverage is nowhere below what was asked for, beyond chance"
        worst = int(np.argmax(missed))
        return f"of {percent_in_title(self.levels[worst])} asked for, {percent_in_title(self.coverage[worst])} are kept"

    def _draw_sizes(self, ax: Any) -> tuple[Any, Any]:
        """Sizes on an axis of their own, from 0."""
        size_ax, look = ax.twinx(), {"color": COST, "linewidth": 1.0}
        (line,) = size_ax.plot(self.levels, self.sizes, "s:", label=self.unit or "size", ms=4, **look)
        size_ax.set_ylabel(self.unit or "size")
        size_ax.set_ylim(bottom=0)
        size_ax.yaxis.set_major_locator(import_optional("matplotlib.ticker", "plots").MaxNLocator(nbins=6))
        return size_ax, line


def _known(sizes: Sequence[float]) -> list[float] | None:
    """Sizes, where every level has one."""
    return list(sizes) if np.isfinite(sizes).all() else None


def _check_shares(values: ArrayLike, name: str, n: int | None = None) -> Floats:
    """Numbers in [0, 1]; shape (n,)."""
    shares = check_vector(values, name, n, of="levels")
    if (shares < 0).any() or (shares > 1).any():
        raise ShiftDataError(f"{name} holds {shares[(shares < 0) | (shares > 1)][0]:g}: shares in [0, 1] are needed.")
    return shares


def _observed_sets(model: Any, X: Any, y: ArrayLike, level: float, groups: Any) -> tuple[float, float, int]:
    """Share of sets that hold the label, their mean size, and how many there are."""
    sets: NDArray[np.bool_] = model.predict_set(X, level, groups=groups)
    labels = check_labels(y, "y", len(sets), of="X")
    # A label that the source never had is in no set.
    held = (sets & (labels[:, np.newaxis] == model.classes_)).any(axis=1)
    return float(held.mean()), float(sets.sum(axis=1).mean()), len(sets)


def _observed_intervals(model: Any, X: Any, y: ArrayLike, level: float, groups: Any) -> tuple[float, float, int]:
    """Share of intervals that hold the value, the median width of the finite ones, and how many there are."""
    low, high = model.predict_interval(X, level, groups=groups).T
    values = check_vector(y, "y", len(low), of="X")
    width = (high - low)[np.isfinite(high - low)]
    return (
        float(((low <= values) & (values <= high)).mean()),
        float(np.median(width)) if width.size else np.nan,
        len(low),
    )
