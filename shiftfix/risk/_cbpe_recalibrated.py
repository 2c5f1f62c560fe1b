"""The same with probabilities calibrated for the target: on source rows weighted by the density ratio (PAPE).

Probabilities that are calibrated on average over the source need not be so over the target; weighted, the calibration
is that of the target. Source: Bialek, Kuberski, Perrakis & Bifet (2024), "Estimating model performance under covariate
shift without labels", section 4.
"""

from shiftfix._numerics import Floats
from shiftfix._verdict import Verdict
from shiftfix.risk._cbpe import CBPERisk
from shiftfix.risk._doubly_robust import steadied_weights
from shiftfix.risk._method import Counts
from shiftfix.risk._top_label import calibrated_proba


class RecalibratedCBPERisk(CBPERisk):
    """The metric of the target rows under probabilities calibrated by weights."""

    title = "confidence recalibrated by importance weights (PAPE)"
    assumes = (
        "only the features moved (covariate shift), the weights balance what matters, and a recalibration of the "
        "confidence makes the probabilities right on the target. Nothing in the data tests the first"
    )

    @property
    def verdict(self) -> Verdict:
        """That on the weights."""
        return self.tools.weights_verdict

    def learn(self, counts: Counts) -> Floats:
        """Probabilities of the target rows, calibrated on the weighted source."""
        w = steadied_weights(self.tools.reweigh(*counts), counts.source) * counts.source
        return calibrated_proba(self.problem.target, self.rows_target, self.calibration(w))
