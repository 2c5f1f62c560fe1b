"""Risk under covariate shift: the source's losses weighted by the density ratio, and divided by the sum of weights.

R = sum w l / sum w, whose variance for known weights is sum v^2 (l - R)^2, v = w / sum w: that of w l alone is larger
wherever the losses have a mean. Source: Hajek (1971); Owen (2013), "Monte Carlo theory, methods and examples", section
9.2.
"""

import numpy as np

from shiftfix._numerics import Floats
from shiftfix._verdict import Verdict
from shiftfix.risk._method import Counts, RiskMethod

SAME_RELATION = (
    "only the features moved (covariate shift): at the same x, labels are as likely as in the source, the source has "
    "rows wherever the target has, and the weights balance what matters. Target labels alone can tell"
)


def hajek_variance(losses: Floats, w: Floats) -> float:
    """Variance of the self-normalised mean, weights taken as known.

    Parameters
    ----------
    losses, w : ndarray of shape (n_rows,)
        Weights on any scale.
    """
    v = w / w.sum()
    return float(np.square(v * (losses - v @ losses)).sum())


class HajekRisk(RiskMethod):
    """The metric of the weighted source."""

    title = "importance weights"
    assumes = SAME_RELATION
    weighs = True

    @property
    def verdict(self) -> Verdict:
        """That on the weights."""
        return self.tools.weights_verdict

    def learn(self, counts: Counts) -> Floats:
        """Weights of the source rows."""
        return self.tools.reweigh(*counts)
