"""Risk under covariate shift with the weights' own mean, which is known to be 1, as a control variate.

R = mean(w l) - b (mean(w) - 1), b = Cov(w l, w) / Var(w): the best linear use of what the sample's weights say about
how the sample fell. Source: Owen (2013), "Monte Carlo theory, methods and examples", section 9.10 (equation 9.23 with
one function); the best b of Hesterberg (1995), Technometrics 37(2):185-194.
"""

from typing import NamedTuple

import numpy as np

from shiftfix._numerics import Floats
from shiftfix._verdict import Verdict
from shiftfix.risk._hajek import SAME_RELATION
from shiftfix.risk._method import Counts, RiskMethod


def controlled_mean(products: Floats, controls: Floats, counts: Floats, wanted: float) -> tuple[float, float]:
    """Mean of products, corrected by controls whose mean is known; and the variance of one row's part.

    Parameters
    ----------
    products, controls : ndarray of shape (n_rows,)
        w l and w.
    counts : ndarray of shape (n_rows,)
        Repeat counts.
    wanted : float
        The true mean of the controls.
    """
    share = counts / counts.sum()
    mean, control = float(share @ products), float(share @ controls)
    spread = float(share @ np.square(controls - control))
    slope = float(share @ ((products - mean) * (controls - control))) / spread if spread > 0 else 0.0
    variance = float(share @ np.square(products - mean - slope * (controls - control)))
    return mean - slope * (control - wanted), variance


class ControlledWeights(NamedTuple):
    """Weights, and the rows that they are of: all of both samples."""

    w: Floats
    counts: Counts


class ControlVariateRisk(RiskMethod):
    """The mean of weighted losses, corrected by the mean of the weights."""

    title = "importance weights with a control variate"
    assumes = SAME_RELATION

    @property
    def verdict(self) -> Verdict:
        """That on the weights."""
        return self.tools.weights_verdict

    def learn(self, counts: Counts) -> ControlledWeights:
        """Raw weights, whose mean is not made 1, and the counts of all rows."""
        return ControlledWeights(self.tools.reweigh(*counts), counts)

    def value(self, learned: ControlledWeights, counts: Counts) -> float:
        """Of a group: the weights of its rows add up to its share of the target."""
        w, whole = learned
        # What a row brings is 0 outside of the group.
        inside = np.divide(counts.source, whole.source, out=np.zeros_like(w), where=whole.source > 0)
        share = counts.target.sum() / whole.target.sum()
        if not share > 0:
            return float("nan")
        losses = self.problem.losses(self.problem.source, self.problem.y)
        mean, _ = controlled_mean(w * inside * losses, w * inside, whole.source, share)
        return self.problem.metric.of_mean(mean / share)
