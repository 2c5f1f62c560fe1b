"""Plots in scikit-learn's Display convention: ``Display.from_...(...)`` computes and draws, ``plot(ax=)`` redraws.

========================  =====================================================================
``WeightDisplay``         histogram of the weights of the source rows, the clip, the effective size
``OverlapDisplay``        log ratio of source rows against target rows: is there a source where the target is?
``BalanceDisplay``        love plot: standardised mean differences before and after weighting
``PriorDisplay``          class shares of the source, those estimated for the target with intervals, and the truth
``LearningCurveDisplay``  losses of a network per epoch, weighted and not, and whether the weights still act
``RiskDisplay``           what the model is worth on the target, by several methods or groups, with intervals
``CoverageDisplay``       how often conformal sets hold the truth, beside how often they should
``MonitorDisplay``        accuracy of a classifier in use, batch by batch, and the alarms
``DiagnosisDisplay``      the evidence for each kind of shift, and the finding
========================  =====================================================================

matplotlib is loaded by the first plot, not by importing this folder.
"""

from shiftfix.display._balance import BalanceDisplay
from shiftfix.display._coverage import CoverageDisplay
from shiftfix.display._diagnosis import DiagnosisDisplay
from shiftfix.display._learning_curve import LearningCurveDisplay
from shiftfix.display._monitor import MonitorDisplay
from shiftfix.display._overlap import OverlapDisplay
from shiftfix.display._prior import PriorDisplay
from shiftfix.display._risk import RiskDisplay
from shiftfix.display._weights import WeightDisplay

__all__ = [
    "BalanceDisplay",
    "CoverageDisplay",
    "DiagnosisDisplay",
    "LearningCurveDisplay",
    "MonitorDisplay",
    "OverlapDisplay",
    "PriorDisplay",
    "RiskDisplay",
    "WeightDisplay",
]
