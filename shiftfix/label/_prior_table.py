"""The class shares of a fitted estimate as a table: before, after, interval, and what a row of the class weighs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from shiftfix._door import public
from shiftfix._naming import one_line
from shiftfix._numerics import Floats
from shiftfix._printed import Printed, Printout
from shiftfix._setting_checks import check_number
from shiftfix.exceptions import ShiftDataError

PRINTED_CLASSES = 20
HEADS = ("class", "source", "target", "interval", "weight")


@dataclass(frozen=True, eq=False)
class PriorTable(Printed):
    """What :func:`prior_table` returns; ``print`` it for the classes that moved most.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        Labels.
    source, target : ndarray of shape (n_classes,)
        Class shares of the source, and those estimated of the target; each sums to 1.
    low, high : ndarray of shape (n_classes,)
        Ends of the intervals of the target's shares.
    level : float
        Of the intervals.

    See Also
    --------
    prior_table : Shares with intervals, to print.
    """

    classes: NDArray[Any]
    source: Floats
    target: Floats
    low: Floats
    high: Floats
    level: float

    def __len__(self) -> int:
        return len(self.classes)

    def _cells(self) -> Iterator[tuple[str, ...]]:
        # Rounded, so that classes of the same change keep their order.
        order = np.argsort(-np.round(np.abs(self.target - self.source), 12), kind="stable")
        for k in order[:PRINTED_CLASSES]:
            weight = self.target[k] / self.source[k] if self.source[k] > 0 else np.inf
            interval = f"{self.low[k]:.3f} to {self.high[k]:.3f}"
            yield (
                one_line(str(self.classes[k])),
                f"{self.source[k]:.3f}",
                f"{self.target[k]:.3f}",
                interval,
                f"{weight:.3g}",
            )

    def _foot(self) -> str:
        moved = int(np.count_nonzero((self.source < self.low) | (self.source > self.high)))
        rest = len(self) - PRINTED_CLASSES
        found = f"{moved} of {len(self)} classes moved beyond their {self.level:.4g} interval"
        return found + (f"; {rest} that moved less are not shown" if rest > 0 else "")

    def _printout(self) -> Printout:
        return Printout(tuple(self._cells()), HEADS, foot=(self._foot(),))

    def __str__(self) -> str:
        width = max(12, *(min(len(one_line(str(name))), 40) for name in self.classes)) + 2
        lines = [
            f"{name if len(name) <= 40 else name[:39] + '…':<{width}}{source:>8}{target:>8}{interval:>18}{weight:>9}"
            for name, source, target, interval, weight in [HEADS, *self._cells()]
        ]
        return "\n".join([*lines, self._foot()])


@public
def prior_table(prior: Any, *, level: float = 0.95) -> PriorTable:
    """The class shares of a fitted estimate as a table that prints, also in notebooks and by rich.

    Parameters
    ----------
    prior : fitted BBSE, MLLS, RLLS, GMM or LabelShiftClassifier
        Of a LabelShiftClassifier its ``prior_``.
    level : float in (0, 1), default=0.95
        Of the intervals.

    Returns
    -------
    PriorTable

    Raises
    ------
    NotFittedError
        For an estimator that is not fitted.
    ShiftDataError
        For a level outside (0, 1), and for what estimates no class shares.

    See Also
    --------
    PriorTable : What it returns.
    shiftfix.display.PriorDisplay : Draws class shares with intervals.

    Examples
    --------
    >>> from shiftfix.label import BBSE
    >>> y = np.repeat([0, 0, 1, 1], [54, 6, 8, 32])
    >>> prior = BBSE("hard").fit(np.repeat([0, 1, 0, 1], [54, 6, 8, 32]), y, np.repeat([0, 1], [41, 59]))
    >>> prior_table(prior).target.round(3).tolist()
    [0.3, 0.7]
    """
    check_number(level, "level", above=0, below=1)
    estimate = getattr(prior, "prior_", prior)
    if not hasattr(estimate, "interval"):
        raise ShiftDataError(
            f"{type(prior).__name__} estimates no class shares: pass a fitted BBSE, MLLS, RLLS, GMM or "
            "LabelShiftClassifier."
        )
    check_is_fitted(estimate, "target_prior_")
    low, high = estimate.interval(level).T
    target = np.array(estimate.target_prior_)
    return PriorTable(estimate.classes_, np.array(estimate.source_prior_), target, low, high, float(level))
