"""Intervals: of resampled estimates, for several groups at once, and of few labels of yes and no.

Source: Efron & Tibshirani (1993), "An Introduction to the Bootstrap", chapters 8 and 12; Romano & Wolf (2005), JASA
100:94-108, section 4 (the largest of several studentised errors); Wilson (1927), JASA 22:209-212.
"""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from shiftfix._numerics import Floats
from shiftfix._resample import resampled_counts
from shiftfix._row_order import generator_of_sample
from shiftfix._verdict import Verdict
from shiftfix.label import wilson_ends
from shiftfix.risk._cbpe_recalibrated import RecalibratedCBPERisk
from shiftfix.risk._control_variate import ControlVariateRisk
from shiftfix.risk._method import Counts, RiskMethod, ones_of
from shiftfix.risk._metrics import CALIBRATION_BINS, RiskMetric
from shiftfix.risk._ppi import PRIOR_LABELS
from shiftfix.risk._problem import Problem
from shiftfix.weights import effective_sample_size_of

ROUNDING = 1e-12
ROWS_PER_BIN = 5
# Standard deviation of an absolute difference less its noise, where it is 0, by that of its resampled values.
CORRECTED = 1.5
# Methods that rest on the weighted source without being a mean of it.
WEIGHING = (ControlVariateRisk, RecalibratedCBPERisk)


class Answer(NamedTuple):
    """Estimates with their intervals: of the whole target, then of each group.

    Attributes
    ----------
    values, low, high, errors : ndarray of shape (1 + n_groups,)
    """

    values: Floats
    low: Floats
    high: Floats
    errors: Floats

    @classmethod
    def unknown(cls, n_values: int) -> "Answer":
        """No estimate."""
        nothing = np.full(n_values, np.nan)
        return cls(nothing, nothing, nothing, nothing)

    def unsupported(self, low: float, high: float) -> "Answer":
        """With intervals that say nothing."""
        return self._replace(low=np.full_like(self.low, low), high=np.full_like(self.high, high))


def class_strata(problem: Problem) -> list[NDArray[np.intp]] | None:
    """Source rows of each class; None for values."""
    return None if problem.classes is None else [np.flatnonzero(problem.y == k) for k in np.unique(problem.y)]


def draw_counts(problem: Problem, strata: list[NDArray[np.intp]] | None, rng: np.random.Generator) -> Counts:
    """Rows of both samples drawn with replacement; of source rows so that no class is lost."""
    ones = ones_of(problem)
    source = resampled_counts(ones.source, rng)
    if strata is not None and not all(source[rows].any() for rows in strata):
        source = resampled_counts(ones.source, rng, strata)
    return Counts(source, resampled_counts(ones.target, rng))


def values_of_groups(method: RiskMethod, counts: Counts) -> Floats:
    """Value of the whole target and of each group, shape (1 + n_groups,), within the bounds of the metric; NaN of a
    group without rows.
    """
    learned = method.learn(counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = [counts.within(here, there) for _, here, there in method.problem.groups]
        empty = [not (part.source.any() and part.target.any()) for part in parts]
        rest = [np.nan if lost else method.value(learned, part) for part, lost in zip(parts, empty, strict=True)]
    metric = method.problem.metric
    return np.clip(np.array([method.value(learned, counts), *rest]), metric.low, metric.high)


def resampled_values(methods: list[RiskMethod], n_bootstrap: int, rng: np.random.Generator) -> Floats:
    """Values of several methods from the same draws, shape (n_bootstrap, n_methods, 1 + n_groups)."""
    problem = methods[0].problem
    strata, rng = class_strata(problem), generator_of_sample(rng, problem.y)
    draws = (draw_counts(problem, strata, rng) for _ in range(n_bootstrap))
    return np.array([[values_of_groups(method, counts) for method in methods] for counts in draws])


def reach_of(draws: Floats, errors: Floats, level: float) -> float:
    """Standard errors on either side of several estimates within which all of them lie together.

    Parameters
    ----------
    draws : ndarray of shape (n_bootstrap, n_values)
    errors : ndarray of shape (n_values,)
    level : float
    """
    z = float(norm.ppf((1 + level) / 2))
    if draws.shape[1] == 1:
        return z
    unit = np.where(errors > 0, errors, np.inf)
    largest = np.nanmax(np.abs(draws - np.nanmean(draws, axis=0)) / unit, axis=1)
    return max(z, float(np.nanquantile(largest, level)))


def balanced_worth(class_counts: Floats) -> float:
    """Rows that a mean over classes is worth: those whose share has as large an error, K^2 / sum_k 1 / n_k."""
    if not (class_counts > 0).all():
        return 0.0
    return float(len(class_counts) ** 2 / (1 / class_counts).sum())


def worth_of(problem: Problem, y: NDArray[Any], w: Floats) -> float:
    """Rows of equal weights that rows with these labels and weights are worth to the metric."""
    if not w.any():
        return 0.0
    if not problem.metric.of_each_class:
        return float(effective_sample_size_of(w, np.ones(len(w))))
    mass = problem.labels(y)
    totals, squares = w @ mass, np.square(w) @ mass
    return balanced_worth(np.divide(totals**2, squares, out=np.zeros_like(totals), where=squares > 0))


def weights_of_rows(method: RiskMethod) -> Floats:
    """Weights of the source rows that a method rests on; 1 where it has none."""
    if isinstance(method, WEIGHING):
        w: Floats = method.tools.weighter.source_weights_
        return w
    if method.weighs and method.is_possible:
        learned: Floats = method.learn(ones_of(method.problem))
        return learned
    return np.ones(method.problem.n_source)


def rows_behind(method: RiskMethod) -> list[float]:
    """Labelled rows of equal weights that an estimate rests on, of the whole and of each group."""
    problem = method.problem
    if method.uses_labels and problem.known is not None:
        rows, y, chances = problem.known
        w = np.ones(len(y)) if chances is None else 1 / chances
        masks = [there[rows] for _, _, there in problem.groups]
    else:
        y, w, masks = problem.y, weights_of_rows(method), [here for _, here, _ in problem.groups]
    return [worth_of(problem, y, w), *(worth_of(problem, y[mask], w[mask]) for mask in masks)]


def interval_of_draws(
    values: Floats, draws: Floats, level: float, metric: RiskMetric, sizes: Sequence[float]
) -> Answer:
    """Estimates, and intervals that hold all of them together.

    Parameters
    ----------
    values : ndarray of shape (n_values,)
    draws : ndarray of shape (n_bootstrap, n_values)
    level : float
    metric : RiskMetric
    sizes : sequence of float, of length n_values
        Labelled rows behind each, as :func:`rows_behind`.
    """
    known = (np.isfinite(draws).sum(axis=0) > 1) & np.isfinite(values)
    errors = np.full(len(values), np.nan)
    errors[known] = np.nanstd(draws[:, known], axis=0, ddof=1)
    errors[errors <= ROUNDING * np.abs(values)] = 0  # draws that are all alike
    z = reach_of(draws[:, known], errors[known], level) if known.any() else 0.0
    ends = [
        interval_of_error(value, error, z, metric, n) if there else (metric.low, metric.high)
        for value, error, n, there in zip(values.tolist(), errors.tolist(), sizes, known, strict=True)
    ]
    low, high = np.array(ends).T
    found = Answer(values, low, high, errors)
    return without_noise(found, draws, metric, sizes) if metric.is_gap else found


def without_noise(answer: Answer, draws: Floats, metric: RiskMetric, sizes: Sequence[float]) -> Answer:
    """Estimates of sums of absolute differences, less the most that noise can have added, and the lower ends too.

    With f(s) the mean of abs(N(m, s^2)), noise of standard deviation s adds f(s) - f(0), and resampling it once more
    f(2^.5 s) - f(s). As f' grows with s, the first is at most 1 / (2^.5 - 1) of the second; just that where m is 0, and
    both vanish where m is large. Upper ends stay: they hold if noise added nothing. Of fewer than five rows per bin
    resampling does not see the noise, and there is no interval.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # groups that no draw knows
        added = np.nan_to_num(np.maximum(np.nanmean(draws, axis=0) - answer.values, 0)) / (np.sqrt(2) - 1)
    low = answer.values - added - CORRECTED * (answer.values - answer.low)
    few = np.asarray(sizes) < ROWS_PER_BIN * CALIBRATION_BINS
    return answer._replace(
        values=np.maximum(answer.values - added, metric.low),
        low=np.where(few, metric.low, np.maximum(low, metric.low)),
        high=np.where(few, metric.high, answer.high),
    )


def interval_of_error(value: float, error: float, z: float, metric: RiskMetric, n: float) -> tuple[float, float]:
    """Standard errors times z on either side, within the bounds of the metric; of a share at least Wilson's interval.

    The error of a share is that of its true value, and not of the one found: one that is too large by chance tells an
    error that is too small, and of rows that are all right there is none at all. Other losses that are all alike do not
    tell how far others are.

    Parameters
    ----------
    value, error, z : float
    metric : RiskMetric
    n : float
        Labelled rows that it rests on. Of a metric of each class no draw can tell the error of a class of a few rows,
        and the interval is at least that of so many labels, and a gain that grows with them.
    """
    if error == 0 and not metric.is_share:
        return metric.low, metric.high
    low, high = (float(np.clip(value + sign * z * error, metric.low, metric.high)) for sign in (-1, 1))
    if not metric.is_share:
        return low, high
    worth = value * (1 - value) / error**2 if error > 0 and 0 < value < 1 else n
    if metric.of_each_class:
        worth = min(worth, n * (1 + n / PRIOR_LABELS))
    least, most = share_ends(value, worth, z) if worth > 0 else (metric.low, metric.high)
    return min(low, least), max(high, most)


def share_ends(share: float, worth: float, z: float) -> tuple[float, float]:
    """Wilson's interval of a share of ``worth`` labels."""
    low, high = wilson_ends(np.array([share]), np.array([worth]), z)
    return float(low[0]), float(high[0])


def powered_share_interval(mean: float, variance: float, n: float, level: float) -> tuple[float, float]:
    """Interval of a share from its estimate and variance: Wilson's, of as many labels as would have this variance.

    Parameters
    ----------
    mean, variance : float
    n : float
        Labels that it is worth at least: near 0 and 1 a share and its variance do not go together.
    level : float
    """
    z = float(norm.ppf((1 + level) / 2))
    share = min(max(mean, 0.0), 1.0)
    worth = share * (1 - share) / variance if variance > 0 else 0.0
    low, high = share_ends(share, max(worth, n), z)
    return min(low, share), max(high, share)


def judged_answer(answer: Answer, verdict: Verdict, problem: Problem) -> Answer:
    """The answer as far as its verdict supports it."""
    metric = problem.metric
    return answer.unsupported(metric.low, metric.high) if verdict == "abstain" else answer
