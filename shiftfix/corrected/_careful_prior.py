"""A target prior to act on, and an interval that does not take label shift for granted.

An estimate is drawn towards the source prior as far as its sampling error could have made the difference, and no share
is so small that a class is never predicted. Where label shift is not what moved, the share of a class lies anywhere
between three worlds: nothing moved for y (p), p(y given x) stays (the mean calibrated score of the target), or p(x
given y) stays (the estimate).
Source: James & Stein (1961), Proc. Fourth Berkeley Symp. 1:361-379, equation 1, for how far to draw.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from shiftfix._numerics import Floats


def careful_prior(estimate: Floats, source_prior: Floats, covariance: Floats, n_target: float) -> Floats:
    """Target prior to adjust by, shape (n_classes,), positive and of sum 1.

    The step from the source prior is shortened by the share of its squared length that sampling error explains, and
    every class keeps at least half a target row.

    Parameters
    ----------
    estimate, source_prior : ndarray of shape (n_classes,)
    covariance : ndarray of shape (n_classes, n_classes)
        Sampling covariance of the estimate.
    n_target : float
        Rows of the target.
    """
    step = estimate - source_prior
    length = float(step @ step)
    kept = max(1 - float(np.trace(covariance)) / length, 0.0) if length > 0 else 0.0
    floored = np.maximum(source_prior + kept * step, np.minimum(0.5 / n_target, source_prior))
    return floored / floored.sum()


def share_interval(share: NDArray[np.float64], error: NDArray[np.float64], level: float) -> Floats:
    """Normal interval of shares, cut to [0, 1]; shape (n_classes, 2)."""
    half = norm.ppf((1 + level) / 2) * error
    return np.clip(np.column_stack([share - half, share + half]), 0, 1)


def share_of_counts(totals: Floats) -> tuple[Floats, Floats]:
    """Shares of classes by their counts, one half added to each, and their standard errors."""
    share = (totals + 0.5) / (totals.sum() + totals.size / 2)
    return share, np.sqrt(share * (1 - share) / totals.sum())


def mean_score(scores: Floats) -> tuple[Floats, Floats]:
    """Mean of scores and its standard error, each of shape (n_classes,)."""
    return scores.mean(axis=0), scores.std(axis=0) / np.sqrt(len(scores))


def hull(*intervals: Floats) -> Floats:
    """Least interval that holds all of them; each of shape (n_classes, 2)."""
    return np.column_stack([np.min([i[:, 0] for i in intervals], axis=0), np.max([i[:, 1] for i in intervals], axis=0)])
