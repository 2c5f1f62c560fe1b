"""Risk from the source's, moved by what the model's own probabilities expect: difference of confidences (DoC).

R = R_source + (E_target - E_source), E the metric under the mass of the model's own probabilities: for accuracy the
mean confidence. Miscalibration that both samples share cancels.
Source: Guillory, Shankar, Ebrahimi, Darrell & Schmidt (2021), ICCV, equation 1.
"""

import numpy as np

from shiftfix._numerics import Floats
from shiftfix.risk._atc import NO_WARRANT
from shiftfix.risk._method import Counts, RiskMethod


class DoCRisk(RiskMethod):
    """The metric of the source, and how far the expected one moved."""

    title = "difference of confidences (DoC)"
    assumes = NO_WARRANT

    def value(self, learned: Floats, counts: Counts) -> float:
        """Expected on the target, less expected on the source, plus the source's own."""
        known, tools = self.problem, self.tools
        metric, n_classes = known.metric, known.n_classes
        there = metric.prepare(known.target, None, n_classes)
        target = metric.value(there, tools.class_scores(False) * counts.target[:, np.newaxis])
        source = metric.value(self.here, tools.class_scores(True) * counts.source[:, np.newaxis])
        return super().value(learned, counts) + target - source
