"""Conformal sets by their definition, row by row, and shifts whose ratio is known."""

import numpy as np

from shiftfix.covariate._base import BaseWeighter, FittedRatio


def threshold(scores, weights, own, level):
    """The smallest score up to which there is enough weight, by looking at each."""
    needed = level * (np.sum(weights) + own)
    for candidate in np.sort(scores):
        if np.sum(weights[scores <= candidate]) >= needed * (1 - 1e-10):
            return candidate
    return np.inf


def p_value(scores, weights, own, score):
    """Share of the weight, the row's own among it, of scores as large or larger."""
    return (np.sum(weights[scores >= score]) + own) / (np.sum(weights) + own)


def upper_end(ends, weights, own, level):
    """The smallest end up to which there is enough weight."""
    return threshold(np.asarray(ends), weights, own, level)


class KnownTilt(BaseWeighter):
    """The true ratio exp(slope'x - offset) of N(0, I) to N(slope, I), or of any exponential tilt."""

    def __init__(self, slope=(1.0,), offset=0.5, *, clip=None, min_ess=100, normalize=None):
        self.slope = slope
        self.offset = offset
        self.clip = clip
        self.min_ess = min_ess
        self.normalize = normalize

    def _fit_log_ratio(self, X_source, X_target, counts_source, counts_target):
        self.fitted_ = True
        return FittedRatio(
            self._log_ratio(X_source), self._log_ratio(X_target), counts_source.sum(), counts_target.sum()
        )

    def _log_ratio(self, X):
        return X @ np.asarray(self.slope) - self.offset
