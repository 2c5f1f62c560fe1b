"""Weights learned again from resampled rows, as a bootstrap of both samples asks for many times over.

A ratio of logistic log odds is solved from where the fit on all rows ended: a resample moves the solution by about a
standard error, which takes a step or two of Newton's method. Columns keep the units, and penalty and features the
choice, of the fit on all rows. Any other weighter is fitted anew.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import clone

from shiftfix._numerics import Floats
from shiftfix._verdict import caller_warns
from shiftfix.covariate._base import QUIET, BaseWeighter
from shiftfix.covariate._finishing import bounded, learn_clip
from shiftfix.covariate._logistic import LogisticWeighter
from shiftfix.covariate._logistic_solver import Objective, solve
from shiftfix.covariate._odds import odds_to_log_ratio

# Weights of counts drawn at random: raw clipped weights of the source rows, from repeat counts of both samples.
Reweighs = Callable[[Floats, Floats], Floats]
# Largest gradient entry of the mean loss. It moves a weight by less than a thousandth of its standard error.
TOLERANCE = 1e-6
MOST_STEPS = 50


def clipped_weights(log_ratio: Floats, counts: Floats, weighter: Any) -> Floats:
    """Raw weights after the weighter's clip, learned from these rows; shape (n_source,)."""
    log_ratio = bounded(log_ratio)
    present = counts > 0
    clip = learn_clip(log_ratio[present], counts[present], weighter.clip, weighter.min_ess)
    return np.exp(clip.apply(log_ratio))


def _logistic_refits(weighter: Any, X_source: Any, X_target: Any) -> Reweighs:
    # What was learned and what is refitted stand in one file's care: the folder's.
    matrices = [weighter._features(weighter._check_rows(X, name)) for X, name in _named(X_source, X_target)]
    columns, point = weighter._solution

    def reweigh(counts_source: Floats, counts_target: Floats) -> Floats:
        counts = [counts_source, counts_target]
        sizes = float(counts_source.sum()), float(counts_target.sum())
        objective = Objective(matrices, counts, columns, 1 / (weighter.C_ * sum(sizes)))
        with np.errstate(**QUIET):
            found = solve(objective, point, MOST_STEPS, TOLERANCE).point
            return clipped_weights(odds_to_log_ratio(objective.log_odds(found)[0], *sizes), counts_source, weighter)

    return reweigh


def _named(X_source: Any, X_target: Any) -> list[tuple[Any, str]]:
    return [(X_source, "X_source"), (X_target, "X_target")]


def _other_refits(weighter: Any, X_source: Any, X_target: Any) -> Reweighs:
    def reweigh(counts_source: Floats, counts_target: Floats) -> Floats:
        fresh = clone(weighter)
        with caller_warns(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fresh.fit(X_source, X_target, sample_weight_source=counts_source, sample_weight_target=counts_target)
        scale = np.exp(fresh.log_mean_) if fresh.normalize == "mean" else 1.0
        return fresh.source_weights_ * scale

    return reweigh


def weight_refits(weighter: BaseWeighter, X_source: Any, X_target: Any) -> Reweighs:
    """A function of repeat counts of both samples that gives the weights which these would have.

    Parameters
    ----------
    weighter : fitted weighter
        Left as it is.
    X_source, X_target : array-like of shape (n_rows, n_features)
        The rows that it was fitted to.

    Returns
    -------
    callable
        ``reweigh(counts_source, counts_target)``, each an ndarray of shape (n_rows,); gives raw clipped weights of all
        source rows, shape (n_source,), close to 1 on average.
    """
    kind = _logistic_refits if isinstance(weighter, LogisticWeighter) else _other_refits
    return kind(weighter, X_source, X_target)
