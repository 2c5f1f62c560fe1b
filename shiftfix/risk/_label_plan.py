"""How many labels buy which interval of a mean loss on the target.

With s2 the variance of the losses, R2 the share of it that the scores explain, and M target rows with scores, labels of
n of them, drawn at random, give the mean loss with variance

    s2 ((1 - R2) / n + R2 / M)

prediction-powered (the least variance of :mod:`shiftfix.risk._ppi`, written with M = n + N), and s2 / n alone. Half an
interval is z standard errors; to show with chance 1 - b that a rise r is below a tolerance t takes a standard error of
(t - r) / (z_level + z_power), both one-sided. If scores e of 0-1 losses are calibrated, s2 = m (1 - m) with m the mean
of e, and R2 = Var(e) / s2.
Source: Angelopoulos, Duchi & Zrnic (2023), "PPI++: efficient prediction-powered inference", example 6.1; Julious
(2004), Statistics in Medicine 23(12):1921-1986 (sizes for non-inferiority).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

from shiftfix._door import public
from shiftfix._numerics import Floats
from shiftfix._printed import Printed, printed
from shiftfix._setting_checks import check_count, check_number
from shiftfix._validation import check_vector
from shiftfix.exceptions import ShiftDataError

COUNTS = (50, 100, 200, 500, 1000, 2000)
# More labels than this are as good as never.
MOST_LABELS = 10**9
# Squares of larger numbers overflow when they are added up.
LARGEST = 1e150


@printed
class Spread(NamedTuple):
    """What decides how exact n labels are.

    Attributes
    ----------
    variance : float
        s2, of the losses.
    explained : float
        R2, in [0, 1).
    n_target : float
        M; infinite where nothing is known of it.
    """

    variance: float
    explained: float
    n_target: float

    def variance_of_mean(self, n: float) -> float:
        """Variance of the estimate by n labels."""
        if n >= self.n_target:
            return self.variance / n
        return self.variance * ((1 - self.explained) / n + self.explained / self.n_target)

    def labels_needed(self, variance: float) -> float:
        """Labels that give the estimate such a variance, not rounded."""
        alone = self.variance / variance
        if alone >= self.n_target:
            return alone
        return self.variance * (1 - self.explained) / (variance - self.variance * self.explained / self.n_target)


def with_ends(values: Floats, ends: tuple[float, float] | None, n_each: float) -> tuple[float, float]:
    """Mean and variance of values among which each end of their range stands ``n_each`` times more.

    So that values that happen to be all the same are not taken for certain ones: of none in n that are wrong the upper
    bound is Wilson's then, z^2 / (n + z^2) for n_each = z^2 / 2. Without ends the mean and the unbiased variance.
    """
    if ends is None:
        return float(values.mean()), float(values.var(ddof=1)) if len(values) > 1 else 0.0
    extra, total = np.array(ends), len(values) + 2 * n_each
    mean = (values.sum() + n_each * extra.sum()) / total
    squares = np.square(values - mean).sum() + n_each * np.square(extra - mean).sum()
    return float(mean), float(squares / total)


def explained_share(losses: Floats, scores: Floats) -> float:
    """R2 of a regression of losses on scores, less what chance explains; 0 where nothing can be told."""
    n = len(losses)
    if n < 4 or losses.std() == 0 or scores.std() == 0:
        return 0.0
    r2 = float(np.corrcoef(losses, scores)[0, 1] ** 2)
    return min(max(1 - (1 - r2) * (n - 1) / (n - 2), 0.0), 0.99)


def whole(n: float) -> int | None:
    """Rounded up; None for what is as good as never."""
    return math.ceil(n - 1e-9) if n <= MOST_LABELS else None


def moderate_numbers(values: ArrayLike, name: str, n_rows: int | None = None, *, of: str = "rows") -> Floats:
    """One-dimensional finite array of numbers whose squares are finite, too."""
    found = check_vector(values, name, n_rows, of=of)
    refuse_huge(found, name)
    return found


def refuse_huge(values: Floats, name: str) -> None:
    """Raise for numbers whose squares overflow."""
    largest = float(np.abs(values).max())
    if largest > LARGEST:
        raise ShiftDataError(f"{name} holds {largest:.3g}, whose square overflows: rescale it.")


def points(width: float) -> str:
    return f"{width:.2g}"


@dataclass(frozen=True)
class LabelPlan(Printed):
    """What labels buy; ``print`` it for a table.

    Attributes
    ----------
    loss_variance : float
        Of one row's loss.
    explained : float
        Share of it that the scores explain; 0 without scores.
    n_target : int or None
        Target rows with scores; None without.
    level : float
        Of the intervals.
    basis : str
        What the variance comes from, and what that assumes.

    See Also
    --------
    plan_labels : How many labels buy which interval?
    """

    loss_variance: float
    explained: float
    n_target: int | None
    level: float
    basis: str

    @property
    def spread(self) -> Spread:
        """The same for calculations."""
        return Spread(self.loss_variance, self.explained, math.inf if self.n_target is None else self.n_target)

    def half_width(self, n_labels: int, *, with_scores: bool = True) -> float:
        """Half the interval of the mean loss, in units of the loss.

        Parameters
        ----------
        n_labels : int
        with_scores : bool, default=True
            Whether the scores of all target rows are used, too.
        """
        n = check_count(n_labels, "n_labels")
        spread = self.spread if with_scores else Spread(self.loss_variance, 0.0, math.inf)
        return float(norm.ppf((1 + self.level) / 2)) * math.sqrt(spread.variance_of_mean(n))

    def labels_for(self, half_width: float) -> int | None:
        """Labels for an interval of plus or minus ``half_width``; None for more than a billion.

        Parameters
        ----------
        half_width : float
            In units of the loss: .02 is two points of accuracy.
        """
        check_number(half_width, "half_width", above=0)
        return self._labels((half_width / float(norm.ppf((1 + self.level) / 2))) ** 2)

    def labels_to_certify(self, tolerance: float, rise: float = 0.0, power: float = 0.8) -> int | None:
        """Labels that show a rise of the loss to be at most ``tolerance``; None for more than a billion.

        Parameters
        ----------
        tolerance : float
        rise : float, default=0
            The true rise, below the tolerance.
        power : float, default=0.8
            Chance that they show it.
        """
        check_number(power, "power", above=0, below=1)
        gap = check_number(tolerance, "tolerance") - check_number(rise, "rise")
        if not gap > 0:
            raise ShiftDataError(
                f"rise={rise:g} is not below tolerance={tolerance:g}: no labels show that it is at most the tolerance."
            )
        return self._labels((gap / float(norm.ppf(self.level) + norm.ppf(power))) ** 2)

    def _labels(self, variance: float) -> int | None:
        return whole(max(self.spread.labels_needed(variance), 1.0)) if variance > 0 else None

    def __str__(self) -> str:
        lines = [f"Half an interval at {self.level:.0%}, by {self.basis}:"]
        for n in COUNTS:
            alone = f"{n} labels: +-{points(self.half_width(n, with_scores=False))}"
            scored = f", +-{points(self.half_width(n))} with the scores" if self.explained > 0 else ""
            lines.append(f"  {alone}{scored}")
        return "\n".join(lines)


def loss_ends(loss_range: Sequence[float] | None) -> tuple[float, float] | None:
    """The least and the largest loss there can be."""
    if loss_range is None:
        return None
    low, high = moderate_numbers(loss_range, "loss_range", 2, of="ends").tolist()
    if not low < high:
        raise ShiftDataError(f"loss_range=({low:g}, {high:g}): the least loss, then the largest, is needed.")
    return low, high


def refuse_outside(values: Floats, ends: tuple[float, float] | None, name: str) -> None:
    """Raise for losses beyond their range."""
    if ends is not None and not (values.min() >= ends[0] and values.max() <= ends[1]):
        raise ShiftDataError(
            f"{name} holds {values.min():.3g} to {values.max():.3g}, and loss_range is {ends[0]:g} to {ends[1]:g}: "
            "pass the range there can be, or None if there is no bound."
        )


@public
def plan_labels(
    scores_unlabelled: ArrayLike | None = None,
    losses: ArrayLike | None = None,
    scores: ArrayLike | None = None,
    *,
    level: float = 0.95,
    loss_range: Sequence[float] | None = (0, 1),
) -> LabelPlan:
    """How exact a mean loss on the target will be by so many labels, before they are paid for.

    Parameters
    ----------
    scores_unlabelled : array-like of shape (n_rows,), default=None
        What is expected of the loss of each target row without a label, for 0-1 loss ``1 - proba.max(axis=1)``.
    losses : array-like of shape (n_pilot,), default=None
        Losses of a pilot: target rows drawn at random and labelled already. Without it the scores are taken for
        calibrated chances of an error, and without either the largest variance there can be is planned for.
    scores : array-like of shape (n_pilot,), default=None
        What was expected of the pilot's losses.
    level : float, default=0.95
    loss_range : (float, float) or None, default=(0, 1)
        Least and largest loss there can be, (-1, 1) for differences of 0-1 losses; None for no bound, which takes a
        pilot.

    Returns
    -------
    LabelPlan
        With ``half_width(n_labels)``, ``labels_for(half_width)`` and ``labels_to_certify(tolerance)``.

    Raises
    ------
    ShiftDataError
        For losses beyond their range, scores without a partner, and no bound without a pilot.

    See Also
    --------
    LabelPlan : What it returns.
    certify_no_harm : Is the loss at most so much higher?
    shiftfix.corrected.FewLabelClassifier : Corrects a classifier by a few target labels.

    Examples
    --------
    >>> plan = plan_labels()
    >>> plan.labels_for(0.05)
    385
    """
    check_number(level, "level", above=0, below=1)
    ends = loss_ends(loss_range)
    others = None if scores_unlabelled is None else moderate_numbers(scores_unlabelled, "scores_unlabelled")
    if losses is None:
        return _without_pilot(others, ends, level)
    pilot = moderate_numbers(losses, "losses")
    refuse_outside(pilot, ends, "losses")
    _, variance = with_ends(pilot, ends, float(norm.ppf((1 + level) / 2)) ** 2 / 2)
    if variance == 0:
        raise ShiftDataError(f"losses holds {len(pilot)} equal values, and no loss_range: pass either more or a range.")
    if scores is None or others is None:
        return LabelPlan(variance, 0.0, None, level, f"the variance of a pilot of {len(pilot)} labels")
    expected = moderate_numbers(scores, "scores", len(pilot), of="losses")
    basis = f"the variance of a pilot of {len(pilot)} labels, and what the scores explain of it"
    return LabelPlan(variance, explained_share(pilot, expected), len(pilot) + len(others), level, basis)


def _without_pilot(others: Floats | None, ends: tuple[float, float] | None, level: float) -> LabelPlan:
    if ends is None:
        raise ShiftDataError("Without a pilot the variance needs a bound: pass losses of some rows, or loss_range.")
    if others is None:
        return LabelPlan((ends[1] - ends[0]) ** 2 / 4, 0.0, None, level, "the largest variance there can be")
    if ends != (0.0, 1.0):
        raise ShiftDataError(
            f"Scores tell the variance of 0-1 losses alone, and loss_range is {ends}: pass losses of a pilot."
        )
    refuse_outside(others, ends, "scores_unlabelled")
    mean = float(others.mean())
    variance = mean * (1 - mean)
    if variance == 0:
        raise ShiftDataError("scores_unlabelled is sure of every row: without a pilot there is nothing to plan by.")
    explained = min(float(others.var()) / variance, 0.99)
    return LabelPlan(variance, explained, len(others), level, "the scores, taken for calibrated chances of an error")
