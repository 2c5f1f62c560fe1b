"""Risk from what calibrated probabilities expect of the target rows: confidence-based performance estimation (CBPE).

With P calibrated class probabilities, the metric of the target rows under the mass P: for accuracy the mean probability
of the predicted class. Calibration is learned from the source's labels, and has to hold on the target.
Source: Bialek, Kuberski, Perrakis & Bifet (2024), "Estimating model performance under covariate shift without labels",
section 3.
"""

from typing import Any

import numpy as np

from shiftfix._numerics import Floats
from shiftfix.label import CalibrationKind, calibration_refits, log_scores, softmax_block
from shiftfix.risk._method import Counts, RiskMethod
from shiftfix.risk._problem import Problem
from shiftfix.risk._tools import Tools

STILL_CALIBRATED = (
    "the model's probabilities, calibrated on the source, are as right about the target (true where only the features "
    "moved and calibration holds at every x, not just on average). Nothing in the data tests this"
)
# One scale and a bias per class: whatever is left out here would be an error that no resample shows.
KIND: CalibrationKind = "bcts"


class CBPERisk(RiskMethod):
    """The metric of the target rows under calibrated probabilities."""

    title = "calibrated confidence (CBPE)"
    assumes = STILL_CALIBRATED

    def __init__(self, problem: Problem, tools: Tools) -> None:
        super().__init__(problem, tools)
        self.there = problem.metric.prepare(problem.target, None, problem.n_classes)
        self.z = log_scores(tools.class_scores(False))
        scores, ones = tools.class_scores(True), np.ones(problem.n_source)
        start = calibration_refits(scores, problem.y, KIND)(ones)
        self.calibrate = calibration_refits(scores, problem.y, KIND, start)

    def learn(self, counts: Counts) -> Any:
        """Calibrated probabilities of the target rows."""
        return softmax_block(self.z, *self.calibrate(counts.source))[0]

    def value(self, learned: Floats, counts: Counts) -> float:
        """Of the target rows."""
        return self.problem.metric.value(self.there, learned * counts.target[:, np.newaxis])
