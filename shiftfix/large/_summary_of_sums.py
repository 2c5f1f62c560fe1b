"""Clip, mean and summary of weights that were counted in bins."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from shiftfix._blocks import ColumnSpread
from shiftfix._numerics import Floats, log_mean_exp
from shiftfix.covariate import LOG_RATIO_BOUND, Clip, learn_clip
from shiftfix.large._objective import Standardization
from shiftfix.large._weight_sums import BINS_PER_UNIT, WeightSums
from shiftfix.weights import (
    BalanceTable,
    ClipRule,
    WeightSummary,
    balance_table_of_sums,
    probability_larger,
    summary_of,
)

# Share of a bin's rows that rounding may leave where all of them are known one by one.
COUNT_ROUNDING = 1e-9


class FinishedRatio(NamedTuple):
    """What weights are made with, and what they are worth.

    Attributes
    ----------
    clip : Clip
    log_mean : float
        Logarithm of the mean clipped weight of the source.
    balance : BalanceTable
    summary : WeightSummary
    """

    clip: Clip
    log_mean: float
    balance: BalanceTable
    summary: WeightSummary

    def moved_by(self, change: float, rule: ClipRule) -> "FinishedRatio":
        """The same after the log mean weight has changed by next to nothing; a clip of the user's stays."""
        clip = replace(self.clip, log_threshold=self.clip.log_threshold + change) if rule == "sqrt" else self.clip
        return self._replace(clip=clip, log_mean=self.log_mean + change)


def log_means_of(found: WeightSums) -> Floats:
    """Log of the mean weight in each bin, shape (n_bins,)."""
    middle = (found.bins + 0.5) / BINS_PER_UNIT - LOG_RATIO_BOUND
    with np.errstate(divide="ignore", invalid="ignore"):
        log_mean = np.log(found.weights) - np.log(found.counts)
    # Sums of subnormal weights tell no mean; nor may rounding leave the bin.
    log_mean = np.where(np.isfinite(log_mean), log_mean, middle)
    log_mean = np.clip(log_mean, middle - 0.5 / BINS_PER_UNIT, middle + 0.5 / BINS_PER_UNIT)
    return np.clip(log_mean, -LOG_RATIO_BOUND, LOG_RATIO_BOUND)


def one_by_one(source: WeightSums) -> tuple[Floats, Floats]:
    """Log weights and repeat counts: the largest row by row, the others by the mean of their bins."""
    top = source.top
    place = np.floor((top.logs + LOG_RATIO_BOUND) * BINS_PER_UNIT).astype(np.int64)
    at = np.searchsorted(source.bins, place)
    counts, weights = source.counts.copy(), source.weights.copy()
    np.subtract.at(counts, at, top.counts)
    np.subtract.at(weights, at, top.counts * np.exp(top.logs))
    # Counts that are no whole numbers leave what rounding does.
    left = counts > COUNT_ROUNDING * source.counts
    rest = source._replace(bins=source.bins[left], counts=counts[left], weights=np.maximum(weights[left], 0))
    return np.concatenate([log_means_of(rest), top.logs]), np.concatenate([rest.counts, top.counts])


def clip_of_sums(source: WeightSums, logs: Floats, counts: Floats, rule: ClipRule, min_ess: float) -> Clip:
    """The clip of a rule; that of "sqrt", mean(w) sqrt(n), from the sums themselves."""
    n_rows = source.counts.sum()
    if isinstance(rule, str) and rule == "sqrt" and source.weights.sum() > 0:
        return Clip(float(np.log(source.weights.sum() / n_rows) + np.log(n_rows) / 2))
    return learn_clip(logs, counts, rule, min_ess)


def log_mean_of_sums(source: WeightSums, logs: Floats, counts: Floats, clip: Clip) -> float:
    """Logarithm of the mean clipped weight: bins that the clip leaves alone give their sums."""
    if clip.tail is not None or not (source.weights > 0).all():
        return log_mean_exp(clip.apply(logs), counts)
    top = (source.bins + 1.0) / BINS_PER_UNIT - LOG_RATIO_BOUND
    below = top <= clip.log_threshold
    logs = np.log(source.weights / source.counts)
    logs = np.where(below, logs, np.minimum(logs, clip.log_threshold))
    return log_mean_exp(logs, source.counts)


def _balance(
    source: WeightSums, spreads: Sequence[ColumnSpread], scales: Standardization, names: Sequence[str]
) -> BalanceTable:
    """Balance of the features, from sums about the mean of both samples."""
    away = scales.mean - spreads[1].mean
    first = source.first + source.totals[:, np.newaxis] * away
    second = source.second[1] + 2 * away * source.first[1] + away**2 * source.totals[1]
    return balance_table_of_sums(first, second, source.totals, spreads, names)


def finish_ratio(
    found: Sequence[WeightSums],
    spreads: Sequence[ColumnSpread],
    scales: Standardization,
    names: Sequence[str],
    rule: ClipRule,
    min_ess: float,
) -> FinishedRatio:
    """Clip, mean, balance and summary.

    Parameters
    ----------
    found : sequence of two WeightSums
        Repeat counts as they were given: they are multiplied by ``scales.factors`` here.
    spreads : sequence of two ColumnSpread
    scales : Standardization
    names : sequence of str
        What messages call the columns.
    rule : "sqrt", float, percentile such as "99%", "ess", "pareto" or None
    min_ess : float
    """
    at_source, counts = one_by_one(found[0])
    counts = counts * scales.factors[0]
    source, target = (
        part._replace(counts=part.counts * f, weights=part.weights * f, outside=part.outside * f)
        for part, f in zip(found, scales.factors, strict=True)
    )
    at_target = log_means_of(target)
    clip = clip_of_sums(source, at_source, counts, rule, min_ess)
    log_mean = log_mean_of_sums(source, at_source, counts, clip)
    balance = _balance(source, spreads, scales, names)
    outside = target.outside / target.counts.sum()
    place = int(outside.argmax())
    summary = summary_of(
        np.exp(at_source),
        counts,
        target=(np.exp(at_target), target.counts),
        outside=(float(outside[place]), repr(names[place])),
        balance=balance,
        clip=clip.rule,
    )
    # Rows of one bin are tied, whatever their mean in either sample.
    places = source.bins.astype(np.float64), target.bins.astype(np.float64)
    auc = probability_larger(places[1], places[0], target.counts, source.counts)
    return FinishedRatio(clip, log_mean, balance, replace(summary, domain_auc=auc))
