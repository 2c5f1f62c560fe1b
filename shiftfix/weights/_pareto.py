"""How heavy the tail of a weight vector is, and weights with that tail smoothed.

The M = min(0.2 n, 3 sqrt(n)) largest weights, less the threshold u (the largest weight outside the tail), are
fitted by a generalised Pareto distribution with shape k and scale sigma,

    P(w - u > t | w > u) = (1 + k t / sigma)^(-1/k).

k is the inverse of the number of moments: E w^2 is finite for k < 1/2, E w for k < 1. The scale of the weights
does not matter to k.

Sources: Zhang & Stephens (2009), Technometrics 51(3):316-325, the posterior-mean estimator ("their k" is -k
here, their theta is called b); Vehtari, Simpson, Gelman, Yao & Gabry (2024), "Pareto smoothed importance
sampling", JMLR 25(72):1-58: the size of the tail, the weak prior, the smoothing and the threshold for k.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from shiftfix._door import public
from shiftfix._numerics import Floats
from shiftfix._setting_checks import check_number
from shiftfix._validation import check_repeat_counts, check_weights

# The prior worth ten tail rows at k = 1/2, which steadies the fit of a short tail (Vehtari et al. 2024).
PRIOR_ROWS, PRIOR_K = 10, 0.5
# Fewer rows than this in the tail tell nothing about its shape.
MIN_TAIL_ROWS = 5
# Points at which the posterior of b is summed: this many, plus the square root of the rows in the tail. The
# estimate moves by less than its own sampling error between 20 (Zhang & Stephens) and 80.
GRID_POINTS = 30
# Weights in the tail that agree to this share of the largest are equal: what differs is rounding.
EQUAL_TO = 1e-10
# Its inverse is still a number.
LEAST_QUARTILE = 1e-300


class _Tail(NamedTuple):
    """A fitted tail: rows with weight above ``threshold``; weights divided by the largest counted one."""

    threshold: float
    k: float
    sigma: float


def fit_generalized_pareto(excess: Floats, counts: Floats) -> tuple[float, float]:
    """Shape and scale of a generalised Pareto distribution, without any prior on the shape.

    With x the excesses, N their number, x_N the largest and x_q their first quartile, the points
    b_j = 1 / x_N + (1 - sqrt(m / (j - 1/2))) / (3 x_q), j = 1..m, are weighted by their profile likelihood,
    whose logarithm is N (log(-b / k(b)) - k(b) - 1) with k(b) = mean log(1 - b x). The answer is k at the
    weighted mean of b, and sigma = -k / b (Zhang & Stephens 2009).

    Parameters
    ----------
    excess : ndarray of shape (n_tail,)
        Positive, in increasing order.
    counts : ndarray of shape (n_tail,)
        Repeat counts, positive.

    Returns
    -------
    k, sigma : float
        Shape (no unit), scale (in units of ``excess``).
    """
    largest = excess[-1]
    x, n_rows = excess / largest, counts.sum()
    quartile = x[np.searchsorted(np.cumsum(counts), np.floor(n_rows / 4 + 0.5) * (1 - 1e-12))]
    quartile = max(quartile, LEAST_QUARTILE)
    n_points = GRID_POINTS + math.isqrt(int(n_rows))
    steps = np.arange(1, n_points + 1) - 0.5
    b = 1 + (1 - np.sqrt(n_points / steps)) / (3 * quartile)
    b[b == 0] = np.finfo(float).tiny  # b = 0 is the exponential distribution, a limit
    k = np.log1p(-np.outer(b, x)) @ counts / n_rows
    log_likelihood = n_rows * (np.log(-b / k) - k - 1)
    posterior = np.exp(log_likelihood - log_likelihood.max())
    b_mean = np.average(b, weights=posterior)
    k_mean = np.log1p(-b_mean * x) @ counts / n_rows
    sigma = -k_mean / b_mean if b_mean != 0 else x @ counts / n_rows
    return float(k_mean), float(sigma * largest)


def n_tail_rows(n_rows: float) -> int:
    """Rows of the tail that is fitted."""
    return math.ceil(min(0.2 * n_rows, 3 * math.sqrt(n_rows)))


def _fit_tail(w: Floats, counts: Floats) -> _Tail:
    """Tail of weights whose largest counted one is 1; k is -inf for an even tail, +inf for one that is too short."""
    n_rows = counts.sum()
    n_tail = n_tail_rows(n_rows)
    # The tail, the row after it and all that tie with that row; the rest need not be sorted.
    counted = np.flatnonzero(counts > 0)
    n_rows_needed = min(math.ceil(n_tail / counts[counted].min()) + 1, counted.size)
    cut = np.partition(w[counted], counted.size - n_rows_needed)[counted.size - n_rows_needed]
    order = counted[w[counted] >= cut]
    order = order[np.argsort(-w[order], kind="stable")]
    inside = int(np.searchsorted(np.cumsum(counts[order]), n_tail, side="right"))
    threshold = float(w[order[min(inside, order.size - 1)]])
    if 1 - threshold <= EQUAL_TO and (n_tail >= MIN_TAIL_ROWS or w[counted].min() >= 1 - EQUAL_TO):
        return _Tail(threshold, -np.inf, 0.0)
    tail = order[w[order] > threshold][::-1]
    n_tail = counts[tail].sum()
    if n_tail < MIN_TAIL_ROWS:
        return _Tail(threshold, np.inf, 0.0)
    k, sigma = fit_generalized_pareto(w[tail] - threshold, counts[tail])
    return _Tail(threshold, (n_tail * k + PRIOR_ROWS * PRIOR_K) / (n_tail + PRIOR_ROWS), sigma)


def _relative(w: Floats, largest: float) -> Floats:
    """Weights by the largest, rounded to a share EQUAL_TO of itself: rows tied but for rounding must tie."""
    mantissa, exponent = np.frexp(w / largest)
    return np.ldexp(np.round(mantissa / EQUAL_TO) * EQUAL_TO, exponent)


def pareto_k_of(w: Floats, counts: Floats) -> float:
    """:func:`pareto_k` of checked weights and repeat counts."""
    largest = w[counts > 0].max()
    return float(_fit_tail(_relative(w, largest), counts).k) if largest > 0 else -np.inf


@public
def pareto_k(weights: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """Shape of the generalised Pareto distribution fitted to the largest weights.

    Below ``pareto_k_threshold(n)`` a weighted mean of a bounded quantity is about as good as its standard error
    says; up to 1 it converges so slowly that its standard error misleads; above 1 it has no finite mean to
    converge to. k sees the source rows only: weights bounded by a model (kernels, a clip) look harmless however
    much of the target lies where there is no source.

    Parameters
    ----------
    weights : array-like of shape (n_rows,)
        Raw weights: non-negative, not all zero, not clipped. The scale does not matter.
    sample_weight : array-like of shape (n_rows,), default=None
        Repeat counts of the rows: row i stands for sample_weight[i] rows of weight w[i].

    Returns
    -------
    float
        No unit; never NaN. ``-inf`` where the largest weights are all equal (constant weights, or an atom at the
        largest value that fills the tail): bounded, nothing to fit. ``+inf`` where fewer than 5 rows exceed the
        threshold, that is below 21 rows or where ties leave only a few weights above it: the tail cannot be
        judged, which is a reason for care and no proof of a heavy tail.

    Raises
    ------
    ShiftDataError
        For NaN, infinite, negative, empty or all-zero weights.

    See Also
    --------
    pareto_k_threshold : How large it may be.
    smooth_weights : Pareto-smoothed weights.

    Notes
    -----
    Rows tied with the threshold are outside the tail, so that k does not depend on the order of the rows. Its
    standard error is about (1 + k) / sqrt(M), 0.13 at k = 0.25 and n = 1000.

    References
    ----------
    Zhang & Stephens (2009), Technometrics 51(3):316-325. Vehtari, Simpson, Gelman, Yao & Gabry
    (2024), JMLR 25(72):1-58: tail size, and the prior that turns k into (M k + 5) / (M + 10).

    Examples
    --------
    >>> x = np.random.default_rng(0).exponential(size=20_000)
    >>> round(pareto_k(0.4 * np.exp(0.6 * x)), 1)  # Exp(1) to Exp(0.4): k = 0.6
    0.6
    """
    w = check_weights(weights)
    return pareto_k_of(w, check_repeat_counts(sample_weight, w.size))


def pareto_k_threshold_of(n_rows: float) -> float:
    """:func:`pareto_k_threshold` of a number of rows that is at least 1."""
    return float(min(1 - 1 / math.log10(n_rows), 0.7)) if n_rows > 1 else -np.inf


@public
def pareto_k_threshold(n_rows: float) -> float:
    """Largest k at which n_rows weights can be relied on: min(1 - 1 / log10(n), 0.7).

    Parameters
    ----------
    n_rows : float
        Rows, at least 1.

    Returns
    -------
    float
        0.5 at 100 rows, 0.67 at 1000, 0.7 from 2200 on; ``-inf`` for one row.

    Raises
    ------
    ShiftDataError
        For n_rows below 1.

    See Also
    --------
    pareto_k : Shape of the tail of the weights.

    References
    ----------
    Vehtari et al. (2024), JMLR 25(72):1-58, the sample-size specific threshold.

    Examples
    --------
    >>> pareto_k_threshold(100), pareto_k_threshold(10_000)
    (0.5, 0.7)
    """
    return pareto_k_threshold_of(check_number(n_rows, "n_rows", least=1, below=np.inf))


def smooth_weights_of(w: Floats, counts: Floats) -> Floats:
    """:func:`smooth_weights` of checked weights and repeat counts."""
    largest = w[counts > 0].max()
    if largest == 0:
        return w.copy()
    relative = _relative(w, largest)
    threshold, k, sigma = _fit_tail(relative, counts)
    if np.isinf(k):
        return w.copy()
    in_tail = relative > threshold
    # Tied rows share one place in the order: the middle of theirs, so that a row counted twice is two rows.
    _, place = np.unique(relative[in_tail], return_inverse=True)
    rows_at = np.bincount(place, weights=counts[in_tail])
    middle = (np.cumsum(rows_at) - rows_at / 2) / rows_at.sum()
    with np.errstate(divide="ignore", over="ignore"):
        log_survival = np.log1p(-np.minimum(middle, 1))
        excess = sigma * (np.expm1(-k * log_survival) / k if k != 0 else -log_survival)
    smoothed = w.copy()
    smoothed[in_tail] = (np.minimum(threshold + excess, 1) * largest)[place]
    return smoothed


@public
def smooth_weights(weights: ArrayLike, *, sample_weight: ArrayLike | None = None) -> Floats:
    """Pareto-smoothed importance weights: the largest weights become order statistics of the fitted tail.

    The z-th smallest of the M weights in the tail becomes the quantile of the fitted distribution at
    (z - 1/2) / M, u + (sigma / k) ((1 - (z - 1/2) / M)^(-k) - 1), but never more than the largest raw weight.

    Parameters
    ----------
    weights : array-like of shape (n_rows,)
        Raw weights, no unit, not clipped.
    sample_weight : array-like of shape (n_rows,), default=None
        Repeat counts of the rows.

    Returns
    -------
    ndarray of shape (n_rows,)
        On the scale of the input and in the same order: equal weights stay equal, larger ones stay at least as
        large, those below the tail are untouched. Not normalised: smoothing moves the mean. A copy of the input
        where no tail can be fitted (``pareto_k`` infinite).

    Raises
    ------
    ShiftDataError
        For NaN, infinite, negative, empty or all-zero weights.

    See Also
    --------
    pareto_k : Shape of the tail of the weights.
    clip_weights : Min(w, c).

    References
    ----------
    Vehtari, Simpson, Gelman, Yao & Gabry (2024), JMLR 25(72):1-58.

    Examples
    --------
    >>> w = np.exp(0.6 * np.random.default_rng(0).exponential(size=1000))
    >>> smoothed = smooth_weights(w)
    >>> bool(smoothed.max() <= w.max()), int((smoothed != w).sum())
    (True, 95)
    """
    w = check_weights(weights)
    return smooth_weights_of(w, check_repeat_counts(sample_weight, w.size))
