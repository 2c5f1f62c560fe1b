"""Intervals of class shares that do not take label shift for granted.

Where label shift is not what moved, the share of a class lies anywhere between three worlds: nothing moved for y (p),
p(y given x) stays (the mean calibrated score of the target), or p(x given y) stays (the estimate of a prior estimator).
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from shiftfix._numerics import Floats


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


def intervals_of_worlds(
    prior: Any, n_classes: int, worlds: Iterable[tuple[Floats, Floats]], level: float, *, is_label_shift: bool
) -> Floats:
    """Intervals of the target's class shares: of ``prior`` alone where it is label shift, else over all worlds.

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
    return found if is_label_shift else hull(found, *(share_interval(*world, level) for world in worlds))
