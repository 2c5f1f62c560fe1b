"""Intervals of class shares that do not take label shift for granted.

Where label shift is not what moved, the share of a class lies anywhere between three worlds: nothing moved for y (p),
p(y given x) stays (the mean calibrated score of the target), or p(x given y) stays (the estimate of a prior estimator).
And beyond them by as much as p(y given x) may move with nothing to be seen of it in rows without labels.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from shiftfix._numerics import Floats

# How far the log odds of a class lay beyond the three worlds at most, over the 15 natural splits that the rules of
# label shift were chosen on (tests/benchmarks/natural), rounded up. The largest of 15 is exceeded by an exchangeable
# sixteenth once in 16: Vovk, Gammerman & Shafer (2005), "Algorithmic Learning in a Random World", proposition 2.4.
UNSEEN_LOG_ODDS = 0.5
# What label shift that passes the gate gets beyond the sampling error, because calibrated scores are never quite the
# class probabilities: the least that holds 95% of the shares of 89 such shifts, made of the same 15 splits.
MISFIT_LOG_ODDS = 0.05


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


def widened(intervals: Floats, log_odds: float) -> Floats:
    """Intervals of shares with the odds of both ends moved outwards by the factor exp(log_odds)."""
    (low, high), factor = intervals.T, np.exp(log_odds)
    return np.column_stack([low / (low + (1 - low) * factor), high * factor / (high * factor + 1 - high)])


def intervals_of_worlds(
    prior: Any, n_classes: int, worlds: Iterable[tuple[Floats, Floats]], level: float, *, is_label_shift: bool
) -> Floats:
    """Intervals of the target's class shares: of ``prior`` alone where it is label shift, else over all worlds.

    Of ``prior`` alone and ``MISFIT_LOG_ODDS`` beyond it, or over all worlds and ``UNSEEN_LOG_ODDS`` beyond them. The
    level is for the sampling error; both constants were found at .95 and are the same at others.

    Parameters
    ----------
    prior : fitted prior estimator
        Without an estimate, its interval is [0, 1].
    n_classes : int
    worlds : iterable of (ndarray, ndarray)
        Shares of the other worlds, and their standard errors.
    level : float
    is_label_shift : bool
    """
    known = hasattr(prior, "target_prior_")
    found = np.asarray(prior.interval(level)) if known else np.tile([0.0, 1.0], (n_classes, 1))
    if is_label_shift:
        return widened(found, MISFIT_LOG_ODDS)
    return widened(hull(found, *(share_interval(*world, level) for world in worlds)), UNSEEN_LOG_ODDS)
