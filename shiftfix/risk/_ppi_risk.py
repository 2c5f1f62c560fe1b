"""Risk from a few target labels: with the expected losses of all rows, by themselves, or at all times."""

from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student

from shiftfix._numerics import Floats
from shiftfix._verdict import Verdict, judge
from shiftfix.risk._anytime import anytime_interval
from shiftfix.risk._interval import ROUNDING, Answer, powered_share_interval
from shiftfix.risk._ppi import (
    PoweredMean,
    labels_worth,
    ppi_mean,
    ppi_mean_of_sampled,
    steadied_variance,
    variance_of,
)
from shiftfix.risk._problem import Problem
from shiftfix.risk._tools import Tools

FEW_LABELS = 25
# Part of the error that the anytime interval leaves to the mean score of all rows, which many rows settle.
SCORES_PART = 0.1


class Estimated(NamedTuple):
    """A metric with its interval and standard error."""

    value: float
    low: float
    high: float
    error: float


def mean_interval(found: PoweredMean, n: float, level: float, is_share: bool) -> tuple[float, float]:
    """Interval of a mean loss: Wilson's of a share, else Student's.

    Parameters
    ----------
    found : PoweredMean
    n : float
        Labels, or what they are worth.
    level : float
    is_share : bool
        Whether losses are 0 or 1.
    """
    if is_share:
        return powered_share_interval(found.mean, found.variance, n, level)
    if n < 3:
        return -np.inf, np.inf
    reach = float(student.ppf((1 + level) / 2, n - (2 if found.power else 1)) * np.sqrt(found.variance))
    return found.mean - reach, found.mean + reach


def labels_verdict(n: int) -> Verdict:
    """Whether n labels are enough to speak of."""
    few = [f"there are only {n} target labels"] if n < FEW_LABELS else []
    return judge([], few, f"Label {FEW_LABELS} or more target rows, drawn at random.")


class LabelsRisk:
    """The mean loss of the labelled target rows."""

    title: ClassVar[str] = "target labels alone"
    assumes: ClassVar[str] = (
        "the labelled target rows were drawn at random (or with the probabilities given), whatever moved"
    )
    weighs: ClassVar[bool] = False
    uses_labels: ClassVar[bool] = True

    def __init__(self, problem: Problem, tools: Tools) -> None:
        assert problem.known is not None
        self.problem, self.tools, self.known = problem, tools, problem.known
        self.losses = problem.losses(problem.target.at(self.known.rows), self.known.y)

    @property
    def verdict(self) -> Verdict:
        """Whether there are labels enough."""
        return labels_verdict(len(self.known.y))

    @property
    def scores(self) -> Floats:
        """Scores of all target rows; those of labels alone say nothing."""
        return np.zeros(self.problem.n_target)

    def mean_within(self, mask: NDArray[np.bool_]) -> tuple[PoweredMean, float]:
        """Mean loss of the target rows of a mask, and how many labels it is worth without scores."""
        inside = mask[self.known.rows]
        n = int(inside.sum())
        if n == 0:
            return PoweredMean(np.nan, np.nan, 0.0), 0
        chances = None if self.known.probability is None else self.known.probability[inside]
        worth = labels_worth(chances, n)
        found, alone = self._powered(mask, inside, chances, None), self._powered(mask, inside, chances, 0.0)
        # Rows of large weights are few, and tell less of the spread than all rows do.
        losses, scores = self.losses[inside], self.scores[self.known.rows[inside]]
        least = max(alone.variance, variance_of(losses) / worth)
        powered = max(found.variance, variance_of(losses - found.power * scores) / worth)
        if self.problem.metric.is_share and 0 < alone.mean < 1:
            # Rows of large weights that happen to agree tell less than their variance says.
            least = max(least, alone.mean * (1 - alone.mean) / worth)
            worth = alone.mean * (1 - alone.mean) / least
        variance = steadied_variance(powered, least, worth) if found.power else least
        return found._replace(variance=variance), worth

    def _powered(
        self, mask: NDArray[np.bool_], inside: NDArray[np.bool_], chances: Floats | None, power: float | None
    ) -> PoweredMean:
        """Mean loss of the target rows of a mask, those inside with labels, by the scores as far as told."""
        losses, rows, scores = self.losses[inside], self.known.rows[inside], self.scores
        if chances is not None:
            place = np.cumsum(mask) - 1
            return ppi_mean_of_sampled(losses, scores[mask], place[rows], chances, power)
        others = mask.copy()
        others[rows] = False
        return ppi_mean(losses, scores[rows], scores[others], power)

    def estimate(self, mask: NDArray[np.bool_], level: float) -> Estimated:
        """The metric of the target rows of a mask."""
        metric = self.problem.metric
        found, n = self.mean_within(mask)
        if n == 0:
            return Estimated(np.nan, metric.low, metric.high, np.nan)
        if not metric.is_share and found.variance <= (ROUNDING * found.mean) ** 2:  # losses that are all alike
            return Estimated(metric.of_mean(found.mean), metric.low, metric.high, 0.0)
        low, high = mean_interval(found, n, level, metric.is_share)
        value, low, high = (
            float(np.clip(metric.of_mean(edge), metric.low, metric.high)) for edge in (found.mean, low, high)
        )
        return Estimated(value, low, high, metric.error_of_mean(found.mean, float(np.sqrt(found.variance))))

    def answer(self, level: float) -> Answer:
        """The whole target and each group; of several, the level is that of all together."""
        masks = [np.ones(self.problem.n_target, dtype=bool), *(there for _, _, there in self.problem.groups)]
        each = level ** (1 / len(masks))
        return Answer(*np.array([self.estimate(mask, each) for mask in masks]).T)


class PPIRisk(LabelsRisk):
    """Labels, and the expected losses of all rows."""

    title = "target labels and expected losses (prediction-powered, PPI++)"

    @property
    def scores(self) -> Floats:
        """What the source says that the losses are."""
        return self.tools.expected.target


class SequentialPPIRisk(PPIRisk):
    """The same with an interval that holds however often one looks while labels come in."""

    title = "target labels and expected losses, at any time (prediction-powered, betting)"
    assumes = (
        "the labelled target rows were drawn at random, one after the other in the order given, whatever moved; the "
        "interval holds at every number of labels together"
    )

    def estimate(self, mask: NDArray[np.bool_], level: float) -> Estimated:
        """Mean of the scores, and of the labels' surprises in the order in which they came."""
        metric, inside = self.problem.metric, mask[self.known.rows]
        scores = np.clip(self.scores, metric.low, metric.high)
        here, alpha = scores[mask], 1 - level
        surprises = self.losses[inside] - scores[self.known.rows[inside]]
        if not len(surprises):
            return Estimated(np.nan, metric.low, metric.high, np.nan)
        bounds = metric.low - here.max(), metric.high - here.min()
        low, high = anytime_interval(surprises, 1 - (1 - SCORES_PART) * alpha, *bounds)
        spread = float(np.sqrt(variance_of(here) / len(here)))
        reach = float(norm.isf(SCORES_PART * alpha / 2)) * spread
        low, high = (
            float(np.clip(here.mean() + edge, metric.low, metric.high)) for edge in (low - reach, high + reach)
        )
        error = float(np.sqrt(variance_of(surprises) / len(surprises) + spread**2))
        return Estimated(float(here.mean() + surprises.mean()), low, high, error)
