"""Class shares of the source, those estimated for the target, and the true ones where they are known."""

import textwrap
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftfix._door import PublicCalls
from shiftfix._naming import one_line
from shiftfix._setting_checks import check_count, check_number
from shiftfix._validation import check_class_order, check_labels, check_matrix, check_prior
from shiftfix.display._axes import LIMIT, SOURCE, TARGET, TRUTH, get_axes, legend_above, name_ticks, percent_in_title
from shiftfix.exceptions import ShiftDataError

# Characters of the small font that fit the default width.
NOTE_WIDTH = 84


class PriorDisplay(PublicCalls):
    """How the class shares moved, and how well the estimate knows it.

    A row per class, the largest change on top: source prior p, estimated target prior q with its interval, and the
    truth when it is known. Make one with :meth:`from_estimator` or :meth:`from_priors`.

    Parameters
    ----------
    source_prior, target_prior : ndarray of shape (n_classes,)
        p and q; they sum to 1.
    interval : ndarray of shape (n_classes, 2) or None
        Lower and upper ends, of the estimate.
    true_prior : ndarray of shape (n_classes,) or None
        The target's.
    classes : ndarray of shape (n_classes,)
        Labels.
    level : float
        Of the interval.
    note : str
        Drawn above the plot: what the reader must know of the estimate. "" for nothing.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    source_, target_, truth_ : Line2D
        Shares (x) at rows 0, 1, ... (y), drawn downwards; ``truth_`` is None where it is not known.
    interval_ : LineCollection or None
    shown_ : ndarray of int
        Positions in ``classes`` of the rows drawn, the largest change first.

    See Also
    --------
    shiftfix.label.MLLS : Maximum likelihood on calibrated scores; the most precise.
    shiftfix.corrected.LabelShiftClassifier : A classifier that follows the target's class shares.
    """

    def __init__(
        self,
        source_prior: NDArray[np.float64],
        target_prior: NDArray[np.float64],
        *,
        interval: NDArray[np.float64] | None,
        true_prior: NDArray[np.float64] | None,
        classes: NDArray[Any],
        level: float,
        note: str,
    ) -> None:
        self.source_prior = source_prior
        self.target_prior = target_prior
        self.interval = interval
        self.true_prior = true_prior
        self.classes = classes
        self.level = level
        self.note = note

    @classmethod
    def from_priors(
        cls,
        source_prior: ArrayLike,
        target_prior: ArrayLike,
        *,
        interval: ArrayLike | None = None,
        true_prior: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        level: float = 0.95,
        note: str = "",
        ax: Any = None,
        top: int = 30,
    ) -> Self:
        """Draw priors.

        Parameters
        ----------
        source_prior, target_prior : array-like of shape (n_classes,)
            p and the estimate of q.
        interval : array-like of shape (n_classes, 2), default=None
            Lower and upper ends within [0, 1].
        true_prior : array-like of shape (n_classes,), default=None
            The target's, where it is known.
        classes : array-like of shape (n_classes,), default=None
            Labels; None means 0, 1, 2, ...
        level : float in (0, 1), default=0.95
            Of ``interval``, for the legend.
        note : str, default=""
            Drawn above the plot.
        ax : matplotlib Axes, default=None
            None makes a new figure.
        top : int, default=30
            Classes to draw; of the others their number and shares are written.

        Returns
        -------
        PriorDisplay

        Raises
        ------
        ShiftDataError
            For priors that do not sum to 1, an interval that is none, or lengths that differ.
        MissingDependencyError
            When matplotlib is not installed.
        """
        for values, name in (
            (source_prior, "source_prior"),
            (target_prior, "target_prior"),
            (true_prior, "true_prior"),
        ):
            if classes is not None:
                check_class_order(values, name, classes)
        p = check_prior(source_prior, "source_prior")
        q = check_prior(target_prior, "target_prior", len(p))
        bounds = None if interval is None else _check_interval(interval, len(p))
        truth = None if true_prior is None else check_prior(true_prior, "true_prior", len(p))
        labels = np.arange(len(p)) if classes is None else check_labels(classes, "classes", len(p), of="classes")
        check_number(level, "level", above=0, below=1)
        display = cls(p, q, interval=bounds, true_prior=truth, classes=labels, level=level, note=note)
        return display.plot(ax=ax, top=top)

    @classmethod
    def from_estimator(
        cls,
        prior: Any,
        *,
        true_prior: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        level: float = 0.95,
        ax: Any = None,
        top: int = 30,
    ) -> Self:
        """Draw a fitted prior estimator: its prior, its interval, and whether either is to be believed.

        Parameters
        ----------
        prior : fitted BBSE, MLLS, RLLS, GMM, OnlinePrior or LabelShiftClassifier
            Of a LabelShiftClassifier its ``prior_`` is drawn, with what was done about it.
        true_prior : array-like of shape (n_classes,), default=None
            The target's, in the order of the classes.
        classes : array-like of shape (n_classes,), default=None
            Names in place of the estimator's labels, in their order.
        level : float in (0, 1), default=0.95
            Of the interval.
        ax : matplotlib Axes, default=None
        top : int, default=30

        Returns
        -------
        PriorDisplay

        Raises
        ------
        NotFittedError
            For an estimator that is not fitted, or a stream without rows.
        ShiftDataError
            As :meth:`from_priors`.
        """
        if hasattr(prior, "prior_"):
            source, (target, interval, note) = prior, _of_classifier(prior, level)
        else:
            # A stream holds the fitted estimator that scores it.
            source, interval = getattr(prior, "prior", prior), prior.interval(level)
            target, note = prior.target_prior_, _reservation(prior)
        return cls.from_priors(
            source.source_prior_,
            target,
            interval=interval,
            true_prior=true_prior,
            classes=source.classes_ if classes is None else classes,
            level=level,
            note=note,
            ax=ax,
            top=top,
        )

    def _finding(self) -> str:
        """The largest change, or that no interval leaves the source's shares."""
        p, q = self.source_prior, self.target_prior
        if self.interval is not None and ((self.interval[:, 0] <= p) & (p <= self.interval[:, 1])).all():
            return "no class share moved beyond its interval"
        most = int(np.argmax(np.round(np.abs(q - p), 12)))
        if p[most] == q[most]:
            return "no class share moved"
        name = one_line(str(self.classes[most]))
        moves = "rises" if q[most] > p[most] else "falls"
        return f"the share of {name[:30]} {moves} from {percent_in_title(p[most])} to {percent_in_title(q[most])}"

    def _rest(self, shown: NDArray[np.intp]) -> str:
        """What the classes hold that are not shown."""
        p, q = (np.delete(prior, shown).sum() for prior in (self.source_prior, self.target_prior))
        return (
            f"the {len(shown)} largest changes of {len(self.source_prior)} classes; the others hold {p:.1%} of the "
            f"source, {q:.1%} of the target"
        )

    def plot(self, ax: Any = None, *, top: int = 30) -> Self:
        """Draw the ``top`` largest changes, on ``ax`` or a new figure; returns self."""
        # Rounded, so that of two classes, whose changes are equal, the first is always on top.
        change = np.round(np.abs(self.target_prior - self.source_prior), 12)
        shown = np.argsort(-change, kind="stable")[: check_count(top, "top")]
        n, n_classes = len(shown), len(change)
        notes = [self.note, *([self._rest(shown)] if n < n_classes else [])]
        lines = [line for note in notes for line in textwrap.wrap(note, NOTE_WIDTH)]
        ax = get_axes(ax, size=(6.4, 1.6 + 0.27 * n + 0.18 * len(lines)))
        rows = np.arange(n)
        drawn = [self.source_prior[shown], self.target_prior[shown]]
        self.truth_ = self.interval_ = None
        marks = {"linestyle": "none", "clip_on": False, "zorder": 3}
        if self.true_prior is not None:
            drawn.append(self.true_prior[shown])
            (self.truth_,) = ax.plot(drawn[-1], rows, "|", color=TRUTH, label="target, truth", **marks, ms=14, mew=2.5)
        (self.source_,) = ax.plot(
            drawn[0], rows - 0.13, "o", color=SOURCE, markerfacecolor="white", label="source", **marks, ms=5.5
        )
        label = "target, estimated"
        if self.interval is not None:
            low, high = self.interval[shown].T
            drawn.append(high)
            label += f" ({100 * self.level:.4g}% interval)"
            # Apart from the point, which lies outside where the source prior stands in for the estimate.
            self.interval_ = ax.hlines(rows + 0.13, low, high, color=TARGET, linewidth=1.4, clip_on=False, zorder=2.5)
        (self.target_,) = ax.plot(drawn[1], rows + 0.13, "D", color=TARGET, label=label, **marks, ms=5.5)
        edge = min(1.08 * max(np.max(values) for values in drawn), 1.0)
        ax.hlines(rows, 0, edge, color="0.9", linewidth=0.8, zorder=0)
        ax.axvline(0, color=LIMIT, linewidth=0.8)
        name_ticks(ax, self.classes[shown])
        ax.set(xlim=(0, edge), ylim=(n - 0.4, -0.6), xlabel="share of the class")
        legend_above(ax, self._finding(), ncols=3, title="\n".join(lines) or None, title_fontsize="small")
        self.shown_, self.ax_, self.figure_ = shown, ax, ax.figure
        return self


def _check_interval(interval: ArrayLike, n_classes: int) -> NDArray[np.float64]:
    """Lower and upper ends within [0, 1], shape (n_classes, 2)."""
    bounds = check_matrix(interval, "interval")
    ordered = bounds.shape == (n_classes, 2) and (bounds[:, 0] <= bounds[:, 1]).all()
    if not ordered or (bounds < 0).any() or (bounds > 1).any():
        raise ShiftDataError(
            f"interval has shape {bounds.shape}: pass a lower and an upper end per class, shape "
            f"{(n_classes, 2)}, within [0, 1] and in this order."
        )
    return bounds


def _of_classifier(model: Any, level: float) -> tuple[NDArray[np.float64], NDArray[np.float64] | None, str]:
    """Estimate, interval and note of a corrected classifier."""
    prior, left = model.prior_, "" if model.corrected_ else "; predictions are left uncorrected"
    if not hasattr(prior, "target_prior_"):
        # The confusion matrix was singular, so there is no estimate; the classifier goes on with its source prior.
        return model.target_prior_, None, f"not identified: the scores do not tell classes apart{left}"
    target = model.target_prior_ if model.corrected_ else prior.target_prior_
    return target, model.interval(level), (_reservation(prior) or _rejection(model)) + left


def _rejection(model: Any) -> str:
    """That label shift is not what moved; "" where it is."""
    fit = model.label_shift_fit_
    if fit is None or fit.passes:
        return ""
    return f"{fit.reason}: the intervals allow for that"


def _reservation(prior: Any) -> str:
    """What to know of a fitted estimate before believing it; "" for nothing."""
    if getattr(prior, "shrunk_", False):
        return (
            f"no shift can be told (p = {prior.shift_p_value_:.2g}): the source prior stands in for the estimate, "
            "whose intervals are drawn"
        )
    if not getattr(prior, "identified_", True):
        return f"not identified: {prior.reason_}"
    return ""
