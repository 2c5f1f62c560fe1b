"""Intervals around predictions, and how far a value lies outside: the scores of regression.

A band has a low and a high end and a scale at each row, and the score of a value y is
max(low - y, y - high) / scale: negative inside. The interval of threshold q is [low - q scale, high + q scale].

========== ======================= =========================================
absolute   low = high = prediction scale 1
normalized low = high = prediction scale = predicted size of the residual
cqr        two predicted quantiles scale 1
========== ======================= =========================================

With models of several folds the interval holds what the calibration rows of enough weight allow: its upper end is the
quantile of level ``level`` of the ends high_k(x) + s_i scale_k(x), where k is the fold that held row i out.

Sources: Lei, G'Sell, Rinaldo, Tibshirani & Wasserman (2018), JASA 113(523):1094-1111 (normalized);
Romano, Patterson & Candès (2019), "Conformalized quantile regression", NeurIPS 32 (cqr); Barber, Candès,
Ramdas & Tibshirani (2021), "Predictive inference with the jackknife+", Ann. Statist. 49(1):486-507 (CV+);
Prinster, Liu & Saria (2022), "JAWS", NeurIPS 35 (CV+ with weights).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from shiftfix._numerics import Floats
from shiftfix._row_order import Rows
from shiftfix.conformal._ranked import RankedScores, thresholds_by_stratum, totals_of, weight_needed

# Bisections between two looks at whether the first end beyond the lower one is the quantile, and looks at most.
HALVINGS, ROUNDS = 4, 12
ROUNDING = 1e-12


class Band(NamedTuple):
    """What a model says of rows.

    Attributes
    ----------
    low, high, scale : ndarray of shape (n_rows,)
        In units of y; the scale is positive.
    """

    low: Floats
    high: Floats
    scale: Floats

    def scores(self, y: Floats) -> Floats:
        """How far values lie outside, in units of the scale; shape (n_rows,)."""
        return np.maximum(self.low - y, y - self.high) / self.scale

    def taken(self, rows: Rows) -> "Band":
        """Some of the rows."""
        return Band(self.low[rows], self.high[rows], self.scale[rows])

    def upside_down(self) -> "Band":
        """The band of the negative values, whose upper end is the lower one with the other sign."""
        return Band(-self.high, -self.low, self.scale)


def one_model_interval(band: Band, ranked: Sequence[RankedScores], strata: Rows, own: Floats, level: float) -> Floats:
    """Interval of the models of one fold, shape (n_rows, 2)."""
    reach = thresholds_by_stratum(ranked, strata, own, level) * band.scale
    return np.column_stack([band.low - reach, band.high + reach])


def _weight_of_ends_up_to(
    ends: Floats, bands: Sequence[Band], ranked: Sequence[Sequence[RankedScores]], stratum: int
) -> Floats:
    """Weight of the calibration rows that would end the interval there or before, shape (n_rows,)."""
    parts = [
        scores[stratum].weight_up_to((ends - band.high) / band.scale)
        for band, scores in zip(bands, ranked, strict=True)
    ]
    return np.sum(parts, axis=0)


def _bracket(bands: Sequence[Band], threshold: Floats) -> tuple[Floats, Floats]:
    """Ends that hold the quantile between them: those of each model at the threshold of all scores together."""
    ends = np.array([band.high + threshold * band.scale for band in bands])
    return ends.min(axis=0), ends.max(axis=0)


def _next_end(after: Floats, bands: Sequence[Band], ranked: Sequence[Sequence[RankedScores]], stratum: int) -> Floats:
    """The first end of a calibration row beyond, shape (n_rows,)."""
    found = np.full(len(after), np.inf)
    for band, scores in zip(bands, ranked, strict=True):
        known = np.append(scores[stratum].scores, np.inf)
        places = np.searchsorted(known[:-1], (after - band.high) / band.scale, side="right")
        found = np.minimum(found, band.high + known[places] * band.scale)
    return found


def _upper_ends_of_stratum(
    bands: Sequence[Band], ranked: Sequence[Sequence[RankedScores]], stratum: int, needed: Floats, threshold: Floats
) -> Floats:
    """Upper ends of rows of one stratum whose threshold among all scores is finite, shape (n_rows,)."""
    low, high = _bracket(bands, threshold)
    margin = ROUNDING * (np.abs(low) + np.abs(high))
    # Below the bracket there is too little weight, and at its upper end enough.
    low, high, found = low - margin, high + margin, high.copy()
    rows = np.arange(len(low))
    for _ in range(ROUNDS):
        some = [band.taken(rows) for band in bands]
        found[rows] = np.minimum(_next_end(low, some, ranked, stratum), high)
        short = _weight_of_ends_up_to(found[rows] + margin[rows], some, ranked, stratum) < needed[rows]
        rows, low, high = rows[short], low[short], high[short]
        if not rows.size:
            break
        low, high = _halved(low, high, [band.taken(rows) for band in bands], ranked, stratum, needed[rows])
    return found


def _halved(
    low: Floats,
    high: Floats,
    bands: Sequence[Band],
    ranked: Sequence[Sequence[RankedScores]],
    stratum: int,
    needed: Floats,
) -> tuple[Floats, Floats]:
    """Brackets after a few bisections."""
    for _ in range(HALVINGS):
        middle = low / 2 + high / 2
        enough = _weight_of_ends_up_to(middle, bands, ranked, stratum) >= needed
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return low, high


def _upper_ends(
    bands: Sequence[Band], ranked: Sequence[Sequence[RankedScores]], pooled: Sequence[RankedScores],
    strata: Rows, own: Floats, level: float,
) -> Floats:  # fmt: skip
    """Upper end of each row's interval, shape (n_rows,); infinity where its own weight is too large."""
    needed = weight_needed(totals_of(pooled)[strata], own, level)
    threshold = thresholds_by_stratum(pooled, strata, own, level)
    found = np.full(len(strata), np.inf)
    for stratum in range(len(pooled)):
        here = np.flatnonzero((strata == stratum) & np.isfinite(threshold))
        some = [band.taken(here) for band in bands]
        found[here] = _upper_ends_of_stratum(some, ranked, stratum, needed[here], threshold[here])
    return found


def several_models_interval(
    bands: Sequence[Band], ranked: Sequence[Sequence[RankedScores]], pooled: Sequence[RankedScores],
    strata: Rows, own: Floats, level: float,
) -> Floats:  # fmt: skip
    """Interval of the models of several folds, shape (n_rows, 2).

    Parameters
    ----------
    bands : sequence of Band
        What the model of each fold says of the rows.
    ranked : sequence of sequence of RankedScores
        Calibration scores of each fold and stratum.
    pooled : sequence of RankedScores
        Those of all folds together, of each stratum.
    strata, own : ndarray of shape (n_rows,)
        Stratum and weight of each row.
    level : float in (0, 1)
    """
    upper = _upper_ends(bands, ranked, pooled, strata, own, level)
    lower = -_upper_ends([band.upside_down() for band in bands], ranked, pooled, strata, own, level)
    return np.column_stack([lower, upper])


def in_order(intervals: Floats) -> Floats:
    """Intervals whose ends have crossed, as those of a negative threshold may, become their middle."""
    crossed = intervals[:, 0] > intervals[:, 1]
    found = intervals.copy()
    found[crossed] = intervals[crossed].mean(axis=1, keepdims=True)
    return found
