"""Risk under covariate shift, right if either the weights or a regression of the loss are.

R = mean_target m(x) + sum v (l - m(x)), v = w / sum w, with m a cross-fitted regression of the loss: what m misses on
the weighted source corrects what it says of the target. With e = l - m the variance is

    Var_target(m) / n_target + sum v^2 (e - sum v e)^2:

the correction is divided by the sum of weights, so that a mean of e adds nothing to it.
Source: Chernozhukov et al. (2018), Econometrics Journal 21(1):C1-C68, equation 4.3's score with a target sample of its
own; Robins, Rotnitzky & Zhao (1994), JASA 89:846-866.
"""

import numpy as np

from shiftfix._numerics import Floats
from shiftfix.risk._hajek import HajekRisk
from shiftfix.risk._method import Counts
from shiftfix.weights import clip_threshold_of

STEADY_ROWS = 100


def doubly_robust_mean(
    losses: Floats, expected: Floats, w: Floats, expected_target: Floats, counts_target: Floats
) -> float:
    """The mean loss on the target.

    Parameters
    ----------
    losses, expected, w : ndarray of shape (n_source,)
        Losses, what the regression expects, and weights times repeat counts.
    expected_target, counts_target : ndarray of shape (n_target,)
    """
    return float(np.average(expected_target, weights=counts_target) + w @ (losses - expected) / w.sum())


def doubly_robust_variances(
    losses: Floats, expected: Floats, w: Floats, expected_target: Floats
) -> tuple[float, float]:
    """Parts of the variance, of the source and of the target, weights and regression taken as known."""
    v = w / w.sum()
    missed = losses - expected
    there = float(expected_target.var() / len(expected_target))
    return float(np.square(v * (missed - v @ missed)).sum()), there


def steadied_weights(w: Floats, counts: Floats) -> Floats:
    """Weights clipped as far as their effective size needs to be that of 100 rows, or half of those there are.

    A correction that rests on a few rows is noise: the fewer there are, the less of it is made. Weights that are fit to
    be used stay as they are. Source: Reddi, Poczos & Smola (2015), AAAI, "Doubly robust covariate shift correction".

    Parameters
    ----------
    w, counts : ndarray of shape (n_rows,)
        Raw weights and repeat counts.
    """
    needed = min(STEADY_ROWS, counts[w > 0].sum() / 2)
    return np.minimum(w, clip_threshold_of(w, counts, "ess", needed)) if needed >= 1 else w


class DoublyRobustRisk(HajekRisk):
    """Weights and a regression of the loss."""

    title = "importance weights and a regression of the loss (doubly robust)"

    def learn(self, counts: Counts) -> Floats:
        """Weights of the source rows that do not rest on a few of them."""
        return steadied_weights(super().learn(counts), counts.source)

    def value(self, learned: Floats, counts: Counts) -> float:
        """The regression's mean on the target, corrected by what it misses on the weighted source."""
        expected = self.tools.expected
        w = learned * counts.source
        if not (w.sum() > 0 and counts.target.sum() > 0):
            return float("nan")
        mean = doubly_robust_mean(expected.losses, expected.source, w, expected.target, counts.target)
        return self.problem.metric.of_mean(mean)
