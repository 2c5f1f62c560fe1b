"""Metrics that are no mean of one loss per row (areas, balanced accuracy, calibration error) from a few target labels.

With A the metric of the labelled rows, D the same under class probabilities instead of labels and C that of all target
rows under class probabilities, A + a (C - D) is right however wrong the probabilities are, as D and C err alike. The
target rows are resampled; a is the one of least variance over the resamples.
Source: Zrnic (2024), "A note on the prediction-powered bootstrap", algorithm 2.
"""

from typing import Any, ClassVar

import numpy as np

from shiftfix._numerics import Floats
from shiftfix._resample import resampled_counts
from shiftfix._verdict import Verdict
from shiftfix.risk._method import Counts, RiskMethod
from shiftfix.risk._ppi_risk import LabelsRisk, PPIRisk, labels_verdict
from shiftfix.risk._problem import Problem
from shiftfix.risk._tools import Tools

# Resamples that the power is found by.
POWER_DRAWS = 100


def power_of_draws(labelled: Floats, differences: Floats) -> float:
    """The power of least variance, -Cov(A, C - D) / Var(C - D), from resampled values; between 0 and 1."""
    known = np.isfinite(labelled) & np.isfinite(differences)
    if known.sum() < 3 or not np.var(differences[known]) > 0:
        return 0.0
    covariance = np.cov(labelled[known], differences[known])
    return float(np.clip(-covariance[0, 1] / covariance[1, 1], 0, 1))


class ResampledLabelsRisk(RiskMethod):
    """The metric of the labelled target rows."""

    title = LabelsRisk.title
    assumes = LabelsRisk.assumes
    uses_labels = True
    rests_on_scores: ClassVar[bool] = False

    def __init__(self, problem: Problem, tools: Tools) -> None:
        super().__init__(problem, tools)
        known: Any = problem.known
        chances = np.ones(len(known.y)) if known.probability is None else known.probability
        self.rows, self.odds = known.rows, (1 / chances)[:, np.newaxis]
        metric, n_classes = problem.metric, problem.n_classes
        self.known = metric.prepare(problem.target.at(known.rows), known.y, n_classes)
        self.there = metric.prepare(problem.target, None, n_classes)
        self.mass = problem.labels(known.y)
        self.scores = tools.class_scores(False)
        self.power = self._best_power() if self.rests_on_scores else 0.0

    @property
    def verdict(self) -> Verdict:
        """Whether there are labels enough."""
        return labels_verdict(len(self.rows))

    def _of_labels(self, counts: Floats) -> float:
        return self.problem.metric.value(self.known, self.mass * self.odds * counts[self.rows, np.newaxis])

    def _difference(self, counts: Floats) -> float:
        """All rows under class probabilities, less the labelled ones."""
        metric, here = self.problem.metric, counts[self.rows, np.newaxis]
        labelled = metric.value(self.known, self.scores[self.rows] * self.odds * here)
        return metric.value(self.there, self.scores * counts[:, np.newaxis]) - labelled

    def _best_power(self) -> float:
        ones, rng = np.ones(self.problem.n_target), self.tools.rng
        with np.errstate(invalid="ignore", divide="ignore"):
            draws = [resampled_counts(ones, rng) for _ in range(POWER_DRAWS)]
            drawn = [d for d in draws if d[self.rows].any()]
            values = np.array([(self._of_labels(d), self._difference(d)) for d in drawn])
        return power_of_draws(values[:, 0], values[:, 1])

    def value(self, learned: Floats, counts: Counts) -> float:
        """NaN where no labelled row is drawn."""
        if not counts.target[self.rows].any():
            return float("nan")
        with np.errstate(invalid="ignore", divide="ignore"):
            found = self._of_labels(counts.target)
            return found + self.power * self._difference(counts.target) if self.power else found


class ResampledPPIRisk(ResampledLabelsRisk):
    """The metric of the labelled rows, with class probabilities of all."""

    title = PPIRisk.title
    rests_on_scores = True
