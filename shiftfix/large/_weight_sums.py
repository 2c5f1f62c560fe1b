"""What the weights of all rows are worth, from sums over units: a fine histogram, and weighted moments.

Log weights are counted in bins of 1/256, with the sum of the weights in each. A bin then stands for its rows with their
mean weight: sums of weights are exact, those of squares short by (1/256)^2 / 12 of themselves at most, about one in a
million. Rows of both samples in one bin count as tied. The largest weights are kept one by one: a bin is wide beside
the scale of a light tail, whose shape it would hide.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shiftfix._numerics import Floats
from shiftfix.covariate import LOG_RATIO_BOUND
from shiftfix.large._logistic_sums import BothLogistic, LogisticAdder, LogisticPoint, merge_logistic
from shiftfix.large._moments import by_domain, merge_sides
from shiftfix.large._units import Unit, unit_blocks

BINS_PER_UNIT = 256
N_BINS = int(2 * LOG_RATIO_BOUND * BINS_PER_UNIT) + 1
# Weights that are kept one by one at most: all of the tail that is judged, up to 40 million rows.
MOST_TOP = 20_000
# The square of a weight, in units of the mean, stays finite.
LARGEST_LOG = 300.0


class FinalTask(NamedTuple):
    """What the last pass needs to know.

    Attributes
    ----------
    point : LogisticPoint
    log_size : float
        log(n_source / n_target): what makes log weights of log odds.
    log_cap : float
        Logarithm of the clip, as far as it is known before the pass; infinity for none.
    log_unit : float
        About the logarithm of the mean weight: what weights are measured in.
    low, high : ndarray of shape (n_columns,)
        Range of the source.
    n_top : int
        Largest weights of the source to keep one by one.
    """

    point: LogisticPoint
    log_size: float
    log_cap: float
    log_unit: float
    low: Floats
    high: Floats
    n_top: int


class WeightSums(NamedTuple):
    """Of one sample.

    Attributes
    ----------
    bins : ndarray of int of shape (n_bins,)
        Numbers of the bins that hold rows, increasing.
    counts, weights : ndarray of shape (n_bins,)
        Repeat counts in each, and repeat counts times weights.
    first, second : ndarray of shape (2, n_columns)
        Sums of c v (x - m) and c v^2 (x - m) over the source, v being the clipped weight in units of exp(log_unit), and
        of the same with (x - m)^2.
    totals : ndarray of shape (2,)
        Sums of c v and c v^2.
    outside : ndarray of shape (n_columns,)
        Repeat counts of the target's rows outside the source's range.
    top : Top
        Of the source.
    """

    bins: NDArray[np.int64]
    counts: Floats
    weights: Floats
    first: Floats
    second: Floats
    totals: Floats
    outside: Floats
    top: "Top"


class Top(NamedTuple):
    """The largest log weights, which are in the bins too, in decreasing order; at most ``most``.

    Attributes
    ----------
    logs, counts : ndarray of shape (n_top,)
        Log weights and repeat counts.
    most : int
    """

    logs: Floats
    counts: Floats
    most: int

    def with_more(self, logs: Floats, counts: Floats) -> "Top":
        """The largest of these and of others."""
        both, of_both = np.concatenate([self.logs, logs]), np.concatenate([self.counts, counts])
        order = np.argsort(-both, kind="stable")[: self.most]
        return Top(both[order], of_both[order], self.most)


class FinalSums(NamedTuple):
    """What the last pass finds: gradient, and what the weights are worth."""

    logistic: BothLogistic
    weights: tuple[WeightSums | None, WeightSums | None]


class _Histogram:
    """Counts and weights in bins of the log weight."""

    def __init__(self) -> None:
        self.counts, self.weights = np.zeros(N_BINS), np.zeros(N_BINS)

    def add(self, log_w: Floats, w: Floats, counts: Floats | None) -> None:
        place = ((log_w + LOG_RATIO_BOUND) * BINS_PER_UNIT).astype(np.int64)
        low = int(place.min())
        place -= low
        found = np.bincount(place, weights=counts)
        into = slice(low, low + len(found))
        self.counts[into] += found
        self.weights[into] += np.bincount(place, weights=w if counts is None else w * counts)


class _WeightAdder:
    """Sums over the blocks of a unit."""

    def __init__(self, judged: FinalTask, domain: int) -> None:
        self.judged, self.is_target = judged, domain == 1
        size = len(judged.point.slope)
        self.histogram = _Histogram()
        self.first, self.second, self.totals = np.zeros((2, size)), np.zeros((2, size)), np.zeros(2)
        self.outside = np.zeros(size)
        self.top = Top(np.zeros(0), np.zeros(0), 0 if self.is_target else judged.n_top)
        self.low, self.high = judged.low - judged.point.centre, judged.high - judged.point.centre

    def add(self, Z: Floats, h: Floats, counts: Floats | None) -> None:
        """Add a block of rows less the centre, with their log odds."""
        if counts is not None and not counts.all():
            there = counts > 0
            Z, h, counts = Z[:, there], h[there], counts[there]
        if not h.size:
            return
        log_w = np.clip(h + self.judged.log_size, -LOG_RATIO_BOUND, LOG_RATIO_BOUND)
        self.histogram.add(log_w, np.exp(log_w), counts)
        if self.is_target:
            self._add_outside(Z, counts)
        else:
            self._add_top(log_w, counts)
            self._add_moments(Z, log_w, counts)

    def _add_moments(self, Z: Floats, log_w: Floats, counts: Floats | None) -> None:
        v = np.exp(np.minimum(np.minimum(log_w, self.judged.log_cap) - self.judged.log_unit, LARGEST_LOG))
        both = np.stack([v, v * v]) if counts is None else np.stack([counts * v, counts * v * v])
        self.totals += both.sum(axis=1)
        self.first += both @ Z.T
        # The variance of a weighted mean needs squares by c v^2 alone.
        np.multiply(Z, Z, out=Z)
        self.second[1] += Z @ both[1]

    def _add_top(self, log_w: Floats, counts: Floats | None) -> None:
        known = self.top.logs
        larger = np.flatnonzero(log_w > known[-1]) if len(known) == self.top.most else np.arange(len(log_w))
        if larger.size:
            self.top = self.top.with_more(log_w[larger], np.ones(larger.size) if counts is None else counts[larger])

    def _add_outside(self, Z: Floats, counts: Floats | None) -> None:
        # Most blocks leave the range in few columns.
        for j in np.flatnonzero((Z.min(axis=1) < self.low) | (Z.max(axis=1) > self.high)):
            beyond = (Z[j] < self.low[j]) | (Z[j] > self.high[j])
            self.outside[j] += beyond.sum() if counts is None else counts @ beyond

    def finished(self) -> WeightSums:
        bins = np.flatnonzero(self.histogram.counts)
        return WeightSums(
            bins,
            self.histogram.counts[bins],
            self.histogram.weights[bins],
            self.first,
            self.second,
            self.totals,
            self.outside,
            self.top,
        )


def unit_final(unit: Unit, judged: FinalTask) -> FinalSums:
    """Gradient and weights of the rows of a unit, in one reading.

    Parameters
    ----------
    unit : Unit
    judged : FinalTask
    """
    point = judged.point
    logistic = LogisticAdder(point.intercept, point.slope, unit.domain, hessian=False)
    weights = _WeightAdder(judged, unit.domain)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        for Z, counts in unit_blocks(unit, point.centre):
            h = logistic.add(Z, counts)
            weights.add(Z, h, counts)
    return FinalSums(by_domain(unit, logistic.finished(unit)), by_domain(unit, weights.finished()))


def add_weights(first: WeightSums, second: WeightSums) -> WeightSums:
    """Sums over the rows of both."""
    bins = np.union1d(first.bins, second.bins)
    counts, weights = np.zeros(len(bins)), np.zeros(len(bins))
    for part in (first, second):
        place = np.searchsorted(bins, part.bins)
        counts[place] += part.counts
        weights[place] += part.weights
    return WeightSums(
        bins,
        counts,
        weights,
        first.first + second.first,
        first.second + second.second,
        first.totals + second.totals,
        first.outside + second.outside,
        first.top.with_more(second.top.logs, second.top.counts),
    )


def merge_final(first: FinalSums, second: FinalSums) -> FinalSums:
    """Sums over the rows of both."""
    return FinalSums(
        merge_logistic(first.logistic, second.logistic), merge_sides(first.weights, second.weights, add_weights)
    )
