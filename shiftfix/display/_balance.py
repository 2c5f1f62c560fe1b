"""Love plot: standardised mean differences before and after weighting."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import _num_samples

from shiftfix._door import PublicCalls
from shiftfix._setting_checks import check_count
from shiftfix.covariate import are_numbers, comparable_rows
from shiftfix.display._axes import CORRECTED, LIMIT, UNCORRECTED, get_axes, legend_above, name_ticks
from shiftfix.weights import BALANCED, BalanceTable, balance_table


class BalanceDisplay(PublicCalls):
    """Which features the weights bring into balance, and which not.

    A row per entry of a BalanceTable, the worst after weighting on top; bars are two standard errors long on
    either side. Make one with :meth:`from_estimator`, :meth:`from_weights` or :meth:`from_table`.

    Parameters
    ----------
    table : BalanceTable

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    before_, after_ : ErrorbarContainer
        Absolute differences (x) at rows 0, 1, ... (y), drawn downwards; an infinite one sits at the right edge.
    limit_line_ : Line2D
        At 0.1.
    shown_ : BalanceTable
        The entries drawn, worst first.

    See Also
    --------
    shiftfix.weights.balance_table : Moments before and after weighting.
    OverlapDisplay : Draws the log ratio of both samples.
    """

    def __init__(self, table: BalanceTable) -> None:
        self.table = table

    @classmethod
    def from_table(cls, table: BalanceTable, *, ax: Any = None, top: int = 15) -> Self:
        """Draw the ``top`` worst entries of a BalanceTable, on ``ax`` or a new figure.

        Raises
        ------
        MissingDependencyError
            When matplotlib is not installed.
        """
        return cls(table).plot(ax=ax, top=top)

    @classmethod
    def from_weights(
        cls,
        X_source: ArrayLike,
        X_target: ArrayLike,
        weights: ArrayLike,
        *,
        ax: Any = None,
        top: int = 15,
        **options: Any,
    ) -> Self:
        """Compute the table and draw it.

        Parameters
        ----------
        X_source : array-like of shape (n_source, n_features)
            Categories and gaps of a frame are shown as the columns that :class:`shiftfix.covariate.TableColumns` makes.
        X_target : array-like of shape (n_target, n_features)
        weights : array-like of shape (n_source,)
        ax : matplotlib Axes, default=None
            None makes a new figure.
        top : int, default=15
            Entries to draw.
        **options
            Of :func:`shiftfix.weights.balance_table`: score, feature_names, scale and so on.

        Returns
        -------
        BalanceDisplay

        Raises
        ------
        ShiftDataError
            As balance_table.
        """
        rows, options = _rows_to_compare(X_source, X_target, options)
        return cls.from_table(balance_table(*rows, weights, **options), ax=ax, top=top)

    @classmethod
    def from_estimator(
        cls, weighter: Any, X_source: ArrayLike, X_target: ArrayLike, *, ax: Any = None, top: int = 15, **options: Any
    ) -> Self:
        """Draw the balance that the finished weights of a fitted weighter reach; see :meth:`from_weights`.

        As many rows as a cross-fitted weighter was fitted on are taken for those rows, and get the out-of-fold weights
        it keeps.
        """
        # Of a cross-fitted weighter's own rows, the weights it keeps are out of fold.
        cross_fitted = getattr(weighter, "cross_fitted_", False)
        if cross_fitted and len(weighter.source_weights_) == _num_samples(X_source):
            weights = weighter.source_weights_
        else:
            weights = weighter.transform(X_source)
        return cls.from_weights(X_source, X_target, weights, ax=ax, top=top, **options)

    def plot(self, ax: Any = None, *, top: int = 15) -> Self:
        """Draw the ``top`` worst entries, on ``ax`` or a new figure; returns self."""
        shown = self.table.worst(check_count(top, "top"))
        n = len(shown)
        ax = get_axes(ax, size=(6.4, 1.6 + 0.27 * n))
        gaps = np.abs(np.concatenate([shown.before, shown.after]))
        errors = np.concatenate([shown.se_before, shown.se_after])
        drawn = np.isfinite(gaps) & np.isfinite(errors)
        edge = 1.08 * max(np.max(gaps[drawn] + 2 * errors[drawn], initial=0), 1.2 * BALANCED)
        rows = np.arange(n)
        for name, marker, color, offset, face, values, error in (
            ("before", "o", UNCORRECTED, -0.13, "white", shown.before, shown.se_before),
            ("after", "D", CORRECTED, 0.13, CORRECTED, shown.after, shown.se_after),
        ):
            gap = np.abs(values)
            finite = np.isfinite(gap) & np.isfinite(error)
            container = ax.errorbar(
                np.where(finite, gap, edge),
                rows + offset,
                # |SMD| cannot be below 0, and neither does its bar go there.
                xerr=np.where(finite, [np.minimum(2 * error, gap), 2 * error], 0.0),
                fmt=marker,
                color=color,
                markerfacecolor=face,
                markersize=5.5,
                elinewidth=1,
                capsize=2,
                clip_on=False,
                zorder=3,
                label=f"{name} weighting",
            )
            setattr(self, f"{name}_", container)
        self.limit_line_ = ax.axvline(BALANCED, color=LIMIT, linestyle="--", linewidth=1, label=f"{BALANCED} SD")
        ax.axvline(0, color=LIMIT, linewidth=0.8)
        ax.hlines(rows, 0, edge, color="0.9", linewidth=0.8, zorder=0)
        name_ticks(ax, shown.names)
        ax.set(xlim=(0, edge), ylim=(n - 0.4, -0.6), xlabel="|target - source mean| (standard deviations, ± 2 s.e.)")
        legend_above(ax, self._finding(n), ncols=3)
        self.shown_, self.ax_, self.figure_ = shown, ax, ax.figure
        return self

    def _finding(self, n_shown: int) -> str:
        """How many entries stay out of balance, and how many are drawn."""
        n, out = len(self.table), int(self.table.out_of_balance.sum())
        shown = f"; the {n_shown} worst of {n}" if n_shown < n else ""
        return (f"{out} of {n} means stay out of balance" if out else f"all {n} means are in balance") + shown


def _rows_to_compare(X_source: Any, X_target: Any, options: dict[str, Any]) -> tuple[tuple[Any, Any], dict[str, Any]]:
    """Two samples as balance_table reads them, and its options: frames that hold more than numbers are encoded."""
    frames = (X_source, X_target)
    if not all(hasattr(X, "columns") for X in frames) or all(map(are_numbers, frames)):
        return frames, options
    names = list(X_source.columns)
    if sorted(map(str, names)) != sorted(map(str, X_target.columns)):
        return frames, options
    frames = (X_source, X_target[names])
    if callable(score := options.get("score")):
        options = options | {"score": tuple(map(score, frames))}
    rows, made = comparable_rows(frames, names)
    return rows, {"feature_names": made} | options
