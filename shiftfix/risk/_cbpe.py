"""Risk from what calibrated probabilities expect of the target rows: confidence-based performance estimation (CBPE).

With P calibrated class probabilities, the metric of the target rows under the mass P: for accuracy the mean probability
of the predicted class. Calibration is learned from the source's labels, and has to hold on the target.
Source: Bialek, Kuberski, Perrakis & Bifet (2024), "Estimating model performance under covariate shift without labels",
section 3.
"""

import numpy as np

from shiftfix._numerics import Floats
from shiftfix.risk._method import Counts, RiskMethod
from shiftfix.risk._problem import Problem
from shiftfix.risk._tools import Tools
from shiftfix.risk._top_label import calibrated_proba, confidence_of, fit_top_label

STILL_CALIBRATED = (
    "the model's probabilities, calibrated on the source, are as right about the target (true where only the features "
    "moved and calibration holds at every x, not just on average). Nothing in the data tests this"
)


class CBPERisk(RiskMethod):
    """The metric of the target rows under calibrated probabilities."""

    title = "calibrated confidence (CBPE)"
    assumes = STILL_CALIBRATED

    def __init__(self, problem: Problem, tools: Tools) -> None:
        super().__init__(problem, tools)
        self.there = problem.metric.prepare(problem.target, None, problem.n_classes)
        self.rows, self.rows_target = confidence_of(problem.source), confidence_of(problem.target)
        self.right = (problem.source.predicted == problem.y).astype(np.float64)
        self.start: Floats | None = None
        self.start = self.calibration(np.ones(problem.n_source))

    def calibration(self, w: Floats) -> Floats:
        """Calibration of the confidence by source rows with weights."""
        return fit_top_label(self.rows, self.right, w, self.problem.n_classes, self.start)

    def learn(self, counts: Counts) -> Floats:
        """Calibrated probabilities of the target rows."""
        return calibrated_proba(self.problem.target, self.rows_target, self.calibration(counts.source))

    def value(self, learned: Floats, counts: Counts) -> float:
        """Of the target rows."""
        return self.problem.metric.value(self.there, learned * counts.target[:, np.newaxis])
