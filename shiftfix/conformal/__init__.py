"""Sets that hold the true label or value as often as asked for, on the target.

========================  ========================================================================
``ConformalClassifier``   sets of labels around any classifier: weighted, by class, by group
``ConformalRegressor``    intervals around any regressor: absolute, normalized or quantile scores
``CoverageSummary``       what such sets cost, and what their coverage rests on
``conformal_quantile``    weighted threshold of scores, with the mass of the row to be judged
``conformal_p_values``    the same the other way round: a p-value for each score
``label_shift_p_values``  p-values by class when the class shares moved
``clipping_cost``         how much coverage clipped weights may cost
========================  ========================================================================
"""

from shiftfix.conformal._classifier import ConformalClassifier
from shiftfix.conformal._clipping import clipping_cost
from shiftfix.conformal._coverage import CoverageSummary
from shiftfix.conformal._quantile import conformal_p_values, conformal_quantile, label_shift_p_values
from shiftfix.conformal._regressor import ConformalRegressor

__all__ = [
    "ConformalClassifier",
    "ConformalRegressor",
    "CoverageSummary",
    "clipping_cost",
    "conformal_p_values",
    "conformal_quantile",
    "label_shift_p_values",
]
