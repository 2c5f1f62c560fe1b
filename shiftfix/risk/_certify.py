"""Is the loss on the target at most so much higher? Yes, no, or so many labels more.

d is a row's loss less that of the reference: another model on the same row (paired), a number, or the mean over other
rows. Yes where the one-sided upper bound of mean d is at most the tolerance, no where the lower one exceeds it; either
is wrong with chance 1 - level, about at one look and at most at any. At one look the bounds are those of Wald, with
z^2 / 2 rows more at both ends of the range of d, so that rows which happen to be all the same prove nothing (Wilson's
bound for 0 errors of n), and with scores of all target rows prediction-powered, what the scores leave having such rows,
too. At any look they are those of a bettor.
Source: Angelopoulos, Duchi & Zrnic (2023), "PPI++", equation 8; Agresti & Coull (1998), The American Statistician
52(2):119-126 (rows at the ends); Bonett & Price (2012), J. Educ. Behav. Statist. 37(4):479-488 (for pairs);
Waudby-Smith & Ramdas (2024), JRSS-B 86(1):1-27, theorem 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.stats import norm, t

from shiftfix._door import public
from shiftfix._numerics import Floats
from shiftfix._printed import Printed
from shiftfix._setting_checks import check_number, check_option
from shiftfix._values import as_array
from shiftfix.exceptions import ShiftDataError
from shiftfix.risk._evidence import log_factors, log_told
from shiftfix.risk._label_plan import (
    LARGEST,
    Spread,
    explained_share,
    loss_ends,
    moderate_numbers,
    refuse_outside,
    whole,
    with_ends,
)
from shiftfix.risk._powered_ends import powered_gain
from shiftfix.risk._ppi import variance_of

# Log odds that a bettor is for, from the first label on.
BETS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
# Chance to be shown what is so, of the labels that are said to be needed.
POWER = 0.8


class HarmBounds(NamedTuple):
    """Estimate of the mean difference, its one-sided bounds, and what decides how many labels more would tell.

    Attributes
    ----------
    difference, low, high : float
    spread : Spread
        Of the rows' differences.
    fixed : float
        Variance that no further label takes away: of a reference found on other rows.
    quantile : float
        Standard errors from the estimate to a bound.
    """

    difference: float
    low: float
    high: float
    spread: Spread
    fixed: float
    quantile: float


@dataclass(frozen=True)
class HarmCertificate(Printed):
    """Answer of :func:`certify_no_harm`; ``print`` it for plain words.

    Attributes
    ----------
    answer : {"yes", "no", "more labels"}
        Whether the loss is at most ``tolerance`` higher than that of the reference.
    difference : float
        Loss less that of the reference, in units of the loss; positive is worse.
    low, high : float
        Its bounds, one-sided, each at ``level``.
    tolerance, level : float
    n_labels : int
    n_more : int or None
        About how many labels more would decide it, with chance .8, if the difference is as estimated; 0 where it is
        decided, None where no number would.
    n_more_if_equal : int or None
        The same if the difference is 0.
    method, assumes : str
        What was done, and what it rests on.

    See Also
    --------
    certify_no_harm : Is the loss at most so much higher?
    """

    answer: str
    difference: float
    low: float
    high: float
    tolerance: float
    level: float
    n_labels: int
    n_more: int | None
    n_more_if_equal: int | None
    method: str
    assumes: str

    @property
    def is_certified(self) -> bool:
        """Whether the answer is "yes"."""
        return self.answer == "yes"

    def __str__(self) -> str:
        found = (
            f"estimated {self.difference:+.3g}, {self.low:+.3g} to {self.high:+.3g}, either bound at {self.level:.0%}"
        )
        basis = f"{self.method}, {self.n_labels} labels"
        if self.answer == "yes":
            head = f"Yes: the loss rises by {self.tolerance:g} at most ({found}; {basis})."
        elif self.answer == "no":
            head = f"No: the loss rises by more than {self.tolerance:g} ({found}; {basis})."
        else:
            head = (
                f"Not known yet: whether the loss rises by {self.tolerance:g} at most is open ({found}; {basis}). "
                f"{self._more_in_words()}"
            )
        return f"{head}\nAssumes that {self.assumes}."

    def _more_in_words(self) -> str:
        if self.n_more is None:
            return "No number of labels would tell if the estimate holds."
        if_equal = "" if self.n_more_if_equal is None else f", {self.n_more_if_equal} if there is no rise at all"
        return f"About {self.n_more} labels more would tell if the estimate holds{if_equal}."


def wald_bounds(
    d: Floats, scores: Floats | None, others: Floats | None, ends: tuple[float, float] | None, level: float
) -> HarmBounds:
    """One-sided bounds of the mean of d, for one look.

    Parameters
    ----------
    d : ndarray of shape (n_labels,)
    scores : ndarray of shape (n_labels,) or None
        What was expected of d.
    others : ndarray of shape (n_unlabelled,) or None
        What is expected of the other target rows.
    ends : (float, float) or None
        Range of d.
    level : float
    """
    n = len(d)
    z = float(norm.ppf(level) if ends is not None else t.ppf(level, max(n - 1, 1)))
    n_each = 0.0 if ends is None else z**2 / 2
    variance = with_ends(d, ends, n_each)[1]
    estimate, gain, spread = float(d.mean()), 1.0, Spread(variance, 0.0, math.inf)
    if scores is not None and others is not None:
        estimate, gain = powered_gain(d, scores, others, ends, n_each)
        if gain > 1:
            spread = Spread(variance, explained_share(d, scores), n + len(others))
    middle = (n * estimate + (0.0 if ends is None else n_each * sum(ends))) / (n + 2 * n_each)
    reach = z * math.sqrt(variance / (n + 2 * n_each) / gain)
    return HarmBounds(estimate, middle - reach, middle + reach, spread, 0.0, z)


def bettors_lower_bound(z: Floats, alpha: float) -> float:
    """Lower bound of the mean of values in [0, 1] that ever exceeds it with chance alpha at most, however often it is
    asked for: the largest mean against which a bettor's wealth has come to 1 / alpha.

    Parameters
    ----------
    z : ndarray of shape (n,)
        In their order.
    alpha : float
    """

    def peak(mean: float) -> float:
        return float(log_told(log_factors(z, mean, BETS)).max()) + np.log(alpha)

    if peak(0.0) < 0:
        return 0.0
    return float(brentq(peak, 0.0, 1 - 1e-12, xtol=1e-9))


def anytime_bounds(d: Floats, ends: tuple[float, float], level: float) -> HarmBounds:
    """The same for any number of looks, by the labels alone, in their order."""
    (low, high), width = ends, ends[1] - ends[0]
    least = low + width * bettors_lower_bound((d - low) / width, 1 - level)
    most = high - width * bettors_lower_bound((high - d) / width, 1 - level)
    _, variance = with_ends(d, ends, 1.0)
    # As far out as such a wealth is, of normal values, when a sixth of it was on the right bet.
    quantile = math.sqrt(2 * math.log(len(BETS) / (1 - level)))
    return HarmBounds(float(d.mean()), least, most, Spread(variance, 0.0, math.inf), 0.0, quantile)


def with_reference_rows(
    bounds: HarmBounds, reference: Floats, ends: tuple[float, float] | None, level: float
) -> HarmBounds:
    """The bounds of the mean less that of a reference on other rows, whose own error adds to them.

    A bound of the difference is as far out as the root of the sum of squares of how far the target's bound and the
    reference's opposite one are (Zou & Donner 2008, Stat. Med. 27(10):1693-1702, equation 3).
    """
    (below, above), (under, over) = _reaches(bounds), _reference_reaches(reference, ends, level)
    difference = bounds.difference - float(reference.mean())
    low, high = difference - math.hypot(below, over), difference + math.hypot(above, under)
    return bounds._replace(difference=difference, low=low, high=high, fixed=(max(under, over) / bounds.quantile) ** 2)


def _reference_reaches(reference: Floats, ends: tuple[float, float] | None, level: float) -> tuple[float, float]:
    """How far below and above their mean the bounds of a reference's rows are.

    With rows at the ends of the range, and never less than Wald's; rows without a range that are all the same tell
    nothing of how far others are.
    """
    n, mean = len(reference), float(reference.mean())
    z = float(norm.ppf(level) if ends is not None else t.ppf(level, n - 1))
    wald = z * math.sqrt(variance_of(reference) / n)
    if ends is None:
        return (wald, wald) if wald > 0 else (math.inf, math.inf)
    middle, variance = with_ends(reference, ends, z**2 / 2)
    reach = z * math.sqrt(variance / (n + z**2))
    return max(wald, mean - middle + reach), max(wald, middle - mean + reach)


def _reaches(bounds: HarmBounds) -> tuple[float, float]:
    return bounds.difference - bounds.low, bounds.high - bounds.difference


def labels_more(bounds: HarmBounds, n: int, tolerance: float, difference: float) -> int | None:
    """Labels more that decide between a difference and the tolerance with chance .8; None where none do."""
    gap = abs(tolerance - difference)
    variance = (gap / (bounds.quantile + float(norm.ppf(POWER)))) ** 2 - bounds.fixed
    if not variance > 0:
        return None
    needed = whole(bounds.spread.labels_needed(variance))
    return None if needed is None else max(needed - n, 1)


def certified_answer(bounds: HarmBounds, tolerance: float) -> str:
    if bounds.high <= tolerance:
        return "yes"
    return "no" if bounds.low > tolerance else "more labels"


@public
def certify_no_harm(
    losses: ArrayLike,
    losses_reference: ArrayLike | float,
    *,
    tolerance: float = 0.02,
    paired: bool = True,
    scores: ArrayLike | None = None,
    scores_unlabelled: ArrayLike | None = None,
    level: float = 0.95,
    loss_range: Sequence[float] | None = (0, 1),
    anytime: bool = False,
) -> HarmCertificate:
    """Is the loss on the target at most ``tolerance`` higher than that of a reference? Yes, no, or so many labels more.

    Parameters
    ----------
    losses : array-like of shape (n_labels,)
        Losses of the model at target rows drawn at random and labelled; 0-1 losses for accuracy
        (:func:`zero_one_losses`).
    losses_reference : float, or array-like of shape (n_labels,) or (n_reference,)
        Losses of another model at the same rows; or, with ``paired=False``, at other rows, such as the model's own on
        held-out source rows; or their mean, taken as exact.
    tolerance : float, default=0.02
        Largest rise that is no harm, in units of the loss; .02 of 0-1 loss is two points of accuracy. 0 asks whether
        the model is at least as good.
    paired : bool, default=True
        Whether ``losses_reference`` is of the same rows.
    scores : array-like of shape (n_labels,), default=None
        What was expected of ``losses`` (of their difference from the reference's when that is paired), without a look
        at the label: ``1 - proba.max(axis=1)``, say.
    scores_unlabelled : array-like of shape (n_unlabelled,), default=None
        The same for target rows without a label.
    level : float in (.5, 1), default=0.95
        "Yes" and "no" are each wrong with a chance of about 1 - ``level`` (see Notes), and at most that with
        ``anytime``.
    loss_range : (float, float) or None, default=(0, 1)
        Least and largest loss there can be. None for no bound: the interval then rests on the number of labels alone.
    anytime : bool, default=False
        Whether the level holds however often one asks, as labels come, and stops at an answer. It takes some 2 times
        as many labels, a ``loss_range``, and does without the scores.

    Returns
    -------
    HarmCertificate

    Raises
    ------
    ShiftDataError
        For losses beyond their range, arrays that do not fit each other, fewer than 2 labels without a range, and
        ``anytime`` without a range or with a reference on other rows.

    See Also
    --------
    HarmCertificate : What it returns.
    target_risk : A metric on the target, with its interval.
    plan_labels : How many labels buy which interval?

    Notes
    -----
    No difference at all is certified to two points by about 2,000 labels at an accuracy of .85, against a number; two
    models that differ in few rows take far fewer, paired. By enumeration of 0-1 losses against a number, the chance of
    a wrong answer at level .95 is at most .09 for 30 labels or more, and at most .08 for 100 or more, where it is
    largest: at a tolerance just reached, and rates near 0 or 1. Where that is too much, ask with ``anytime``.

    Examples
    --------
    >>> wrong, wrong_before = np.zeros(400), np.zeros(400)
    >>> wrong[:6], wrong_before[3:8] = 1, 1
    >>> print(certify_no_harm(wrong, wrong_before))
    Yes: the loss rises by 0.02 at most (estimated +0.0025, -0.00885 to +0.0138, either bound at 95%; paired, 400
    labels).
    Assumes that the labelled rows were drawn at random from the target, and that one asks once.
    """
    check_number(level, "level", above=0.5, below=1)
    check_number(tolerance, "tolerance", least=-LARGEST, most=LARGEST)
    check_option(paired, "paired", [True, False])
    check_option(anytime, "anytime", [True, False])
    ends, own = loss_ends(loss_range), moderate_numbers(losses, "losses")
    refuse_outside(own, ends, "losses")
    if ends is None and (len(own) < 2 or anytime):
        raise ShiftDataError(
            "Without a loss_range at least 2 labels are needed, and one look: pass the least and the largest loss that "
            "there can be."
        )
    reference = _reference(losses_reference, len(own), paired, ends)
    expected = _expected(scores, scores_unlabelled, len(own))
    if paired:
        shifted = _range_of_difference(ends, reference)
        d = own - reference
        bounds = anytime_bounds(d, shifted, level) if anytime and shifted else wald_bounds(d, *expected, shifted, level)
    else:
        if anytime:
            raise ShiftDataError("anytime=True needs a reference on the same rows, or a number: pass either.")
        bounds = with_reference_rows(wald_bounds(own, *expected, ends, level), reference, ends, level)
    return _certificate(bounds, tolerance, level, len(own), _method_in_words(paired, reference, bounds, anytime))


def _reference(given: ArrayLike | float, n: int, paired: bool, ends: tuple[float, float] | None) -> Floats:
    """Losses of the reference: one, as many as labels, or those of other rows."""
    array = as_array(given, "losses_reference")
    single = array.ndim == 0
    if single and not paired:
        raise ShiftDataError("losses_reference is a number, and paired=False says that it is of other rows: pass them.")
    found = moderate_numbers(
        np.atleast_1d(array), "losses_reference", n if paired and not single else None, of="losses"
    )
    refuse_outside(found, ends, "losses_reference")
    if not single and len(found) < 2:
        raise ShiftDataError("losses_reference has a single row: pass losses of at least 2.")
    return found


def _expected(scores: ArrayLike | None, others: ArrayLike | None, n: int) -> tuple[Floats | None, Floats | None]:
    if scores is None and others is None:
        return None, None
    if scores is None or others is None:
        raise ShiftDataError("scores and scores_unlabelled belong together: pass both, or neither.")
    return moderate_numbers(scores, "scores", n, of="losses"), moderate_numbers(others, "scores_unlabelled")


def _range_of_difference(ends: tuple[float, float] | None, reference: Floats) -> tuple[float, float] | None:
    """Range of a loss less that of the reference."""
    if ends is None:
        return None
    width = ends[1] - ends[0]
    return (-width, width) if len(reference) > 1 else (ends[0] - float(reference[0]), ends[1] - float(reference[0]))


def _method_in_words(paired: bool, reference: Floats, bounds: HarmBounds, anytime: bool) -> tuple[str, str]:
    kind = "paired" if len(reference) > 1 else f"against {float(reference[0]):.3g}"
    kind = kind if paired else f"against {len(reference)} other rows"
    powered = ", with the scores of all rows" if bounds.spread.explained > 0 else ""
    looks = "as often as one asks" if anytime else "that one asks once"
    drawn = "the labelled rows were drawn at random from the target"
    return f"{kind}{powered}", f"{drawn}; it holds {looks}" if anytime else f"{drawn}, and {looks}"


def _certificate(bounds: HarmBounds, tolerance: float, level: float, n: int, words: tuple[str, str]) -> HarmCertificate:
    answer = certified_answer(bounds, tolerance)
    more: list[int | None] = [0, 0]
    if answer == "more labels":
        equal = labels_more(bounds, n, tolerance, 0.0) if tolerance > 0 else None
        more = [labels_more(bounds, n, tolerance, bounds.difference), equal]
    return HarmCertificate(
        answer, bounds.difference, bounds.low, bounds.high, tolerance, level, n, more[0], more[1], *words
    )
