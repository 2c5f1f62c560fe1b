"""Sums of the logistic loss, its gradient and its Hessian over units.

With log odds h = b + s'(x - m) of a row for the target, repeat count c and p = 1 / (1 + exp(-h)):

    loss  = sum c log(1 + exp(-+h))
    pull  = sum c (p - [target]) (1, x - m)
    curve = sum c p (1 - p) (1, x - m)(1, x - m)'

(Hastie, Tibshirani & Friedman 2009, equations 4.20 to 4.25). They are sums over rows, so that what any number of
machines found adds up to what one would have.
"""

from typing import NamedTuple

import numpy as np

from shiftfix._numerics import Floats
from shiftfix.large._moments import MomentSums, SampleMoments, by_domain, merge_moments, merge_sides
from shiftfix.large._units import LOSS_GROUP, Unit, refuse_bad_cells, unit_blocks

# Beyond this, exp overflows; the logarithm of 1 + exp(-h) is 0 long before.
FAR_ODDS = 700.0


class LogisticPoint(NamedTuple):
    """Log odds h(x) = intercept + slope'(x - centre).

    Attributes
    ----------
    intercept : float
    slope, centre : ndarray of shape (n_columns,)
    """

    intercept: float
    slope: Floats
    centre: Floats


class LogisticSums(NamedTuple):
    """Of one sample.

    Attributes
    ----------
    loss : float
    pull : ndarray of shape (1 + n_columns,)
        Gradient of the loss in intercept and slope.
    curve : ndarray of shape (1 + n_columns, 1 + n_columns) or None
        Hessian of the loss; None when not asked for.
    odds : float
        Sum of exp(h).
    """

    loss: float
    pull: Floats
    curve: Floats | None
    odds: float


BothLogistic = tuple[LogisticSums | None, LogisticSums | None]


def log_of_ones_plus(decay: Floats, counts: Floats | None) -> float:
    """Sum of counts * log(1 + decay), decay within [0, 1].

    Without counts one logarithm is taken of the product over a group of rows, at most 2**LOSS_GROUP.
    """
    if counts is not None:
        return float(counts @ np.log1p(decay))
    whole = decay.size // LOSS_GROUP * LOSS_GROUP
    grouped = np.multiply.reduce((1 + decay[:whole]).reshape(-1, LOSS_GROUP), axis=1)
    return float(np.log(grouped).sum() + np.log1p(decay[whole:]).sum())


class LogisticAdder:
    """Sums over the blocks of a unit.

    Parameters
    ----------
    intercept : float
    slope : ndarray of shape (n_columns,)
    domain : int
    hessian : bool
    """

    def __init__(self, intercept: float, slope: Floats, domain: int, hessian: bool) -> None:
        self.intercept, self.slope, self.is_target = intercept, slope, domain == 1
        size = len(slope)
        self.loss, self.odds, self.pull = 0.0, 0.0, np.zeros(1 + size)
        self.curve = np.zeros((1 + size, 1 + size)) if hessian else None
        self.scaled = np.empty(0)

    def add(self, Z: Floats, counts: Floats | None) -> Floats:
        """Add a block of rows less the centre, shape (n_columns, n_rows); returns their log odds."""
        h: Floats = self.slope @ Z
        h += self.intercept
        decay = np.exp(-np.abs(h))
        against = -h if self.is_target else h
        above = np.maximum(against, 0)
        self.loss += log_of_ones_plus(decay, counts) + float(above.sum() if counts is None else counts @ above)
        chance = 1 / (1 + decay)
        curve = decay * chance
        residual = np.where(against >= 0, chance, curve)
        if self.is_target:
            np.negative(residual, out=residual)
        else:
            # A row's odds are decay or its inverse; no row of the target's is asked.
            odds = np.where(h >= 0, 1 / np.maximum(decay, np.exp(-FAR_ODDS)), decay)
            self.odds += float(odds.sum() if counts is None else counts @ odds)
        if counts is not None:
            residual *= counts
        self.pull[0] += residual.sum()
        self.pull[1:] += Z @ residual
        if self.curve is not None:
            curve *= chance
            self._add_curve(Z, curve if counts is None else curve * counts, self.curve)
        return h

    def _add_curve(self, Z: Floats, weight: Floats, curve: Floats) -> None:
        if self.scaled.shape[1:] != Z.shape[1:]:
            self.scaled = np.empty((1 + len(Z), Z.shape[1]))
        root = np.sqrt(weight)
        self.scaled[0] = root
        np.multiply(Z, root, out=self.scaled[1:])
        curve += self.scaled @ self.scaled.T

    def finished(self, unit: Unit) -> LogisticSums:
        """The sums, once all blocks are in; raises for cells that are no finite numbers."""
        if not np.isfinite(self.pull).all():
            refuse_bad_cells(unit)
        return LogisticSums(self.loss, self.pull, self.curve, self.odds)


def unit_logistic(unit: Unit, point: LogisticPoint, hessian: bool) -> BothLogistic:
    """Sums over the rows of a unit.

    Parameters
    ----------
    unit : Unit
    point : LogisticPoint
    hessian : bool
        Whether the Hessian is summed, which doubles the time.
    """
    adder = LogisticAdder(point.intercept, point.slope, unit.domain, hessian)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        for Z, counts in unit_blocks(unit, point.centre):
            adder.add(Z, counts)
    return by_domain(unit, adder.finished(unit))


def add_logistic(first: LogisticSums, second: LogisticSums) -> LogisticSums:
    """Sums over the rows of both."""
    curve = None if first.curve is None or second.curve is None else first.curve + second.curve
    return LogisticSums(first.loss + second.loss, first.pull + second.pull, curve, first.odds + second.odds)


def merge_logistic(first: BothLogistic, second: BothLogistic) -> BothLogistic:
    """Sums over the rows of both, sample by sample."""
    return merge_sides(first, second, add_logistic)


class FirstSums(NamedTuple):
    """What the first pass finds that begins at a known point: moments and logistic sums, in one reading."""

    moments: tuple[SampleMoments | None, SampleMoments | None]
    logistic: BothLogistic


def unit_first(unit: Unit, point: LogisticPoint, hessian: bool) -> FirstSums:
    """Moments and logistic sums of a unit about the centre of ``point``."""
    adder = LogisticAdder(point.intercept, point.slope, unit.domain, hessian)
    moments = MomentSums(len(point.slope), False, point.centre)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        for X, counts in unit_blocks(unit, np.zeros(len(point.slope))):
            adder.add(moments.add(X, counts), counts)
        found = moments.finished(unit)
    return FirstSums(by_domain(unit, found), by_domain(unit, adder.finished(unit)))


def merge_first(first: FirstSums, second: FirstSums) -> FirstSums:
    """Sums over the rows of both."""
    return FirstSums(merge_moments(first.moments, second.moments), merge_logistic(first.logistic, second.logistic))
