"""What a model is worth on the target, and its losses row by row.

=============================  ========================================================================================
``target_risk``                a metric on the target, its interval and what it assumes: a ``RiskEstimate``, with a
                               ``GroupRisk`` for each group
``compare_risks``              several methods side by side, and under one another's assumptions: a ``RiskComparison``
``certify_no_harm``            is the loss at most so much higher? yes, no, or how many labels more: ``HarmCertificate``
``plan_labels``                how many labels buy which interval: a ``LabelPlan``
``RiskMonitor``                watches a classifier in use: ``AccuracyEstimate`` and ``MonitorAlarm``, as labels come
``iw_cross_val_score``         a learner's score on the target, by weighted source rows: ``WeightedScores``
``make_weighted_scorer``       the same for ``GridSearchCV``: a ``WeightedScorer``
``simplest_within_one_error``  the simplest choice that is not shown to be worse than the best;
                               ``OneStandardErrorRule``: the same for ``GridSearchCV``
``row_losses``                 the loss a fitted model is commonly judged by: log, 0-1 or squared
``log_losses``                 negative log of the probability of the label
``zero_one_losses``            1 where the label is wrong
``squared_losses``             squared error
``absolute_losses``            absolute error
``pinball_losses``             pinball loss of a predicted quantile
=============================  ========================================================================================
"""

from shiftfix.risk._alarms import MonitorAlarm
from shiftfix.risk._certify import HarmCertificate, certify_no_harm
from shiftfix.risk._compare import RiskComparison, compare_risks
from shiftfix.risk._effect import Weighing as Weighing  # for ``corrected`` and ``detect``
from shiftfix.risk._effect import WeightingEffect as WeightingEffect
from shiftfix.risk._effect import changed_predictions as changed_predictions
from shiftfix.risk._effect import weighting_effect as weighting_effect
from shiftfix.risk._estimate import GroupRisk, RiskEstimate
from shiftfix.risk._exponent import Choice as Choice
from shiftfix.risk._exponent import Losses as Losses
from shiftfix.risk._exponent import Says as Says
from shiftfix.risk._exponent import choose_exponent as choose_exponent
from shiftfix.risk._exponent import exponents_of as exponents_of
from shiftfix.risk._exponent import fit_tempered as fit_tempered
from shiftfix.risk._exponent import tempered_weights as tempered_weights
from shiftfix.risk._folds import counted_folds as counted_folds
from shiftfix.risk._folds import new_folds as new_folds
from shiftfix.risk._inputs import check_source as check_source
from shiftfix.risk._inputs import check_target as check_target
from shiftfix.risk._inputs import check_value_source as check_value_source
from shiftfix.risk._inputs import values_of_rows as values_of_rows
from shiftfix.risk._label_plan import LabelPlan, plan_labels
from shiftfix.risk._losses import LEAST_PROBABILITY as LEAST_PROBABILITY
from shiftfix.risk._losses import (
    absolute_losses,
    log_losses,
    pinball_losses,
    row_losses,
    squared_losses,
    zero_one_losses,
)
from shiftfix.risk._monitor import RiskMonitor
from shiftfix.risk._one_error import OneStandardErrorRule, simplest_within_one_error
from shiftfix.risk._prior import fit_prior as fit_prior
from shiftfix.risk._scores import Scores as Scores
from shiftfix.risk._scores import SourceRows as SourceRows
from shiftfix.risk._scores import cross_fitted_scores as cross_fitted_scores
from shiftfix.risk._scores import given_scores as given_scores
from shiftfix.risk._scores import score_folds as score_folds
from shiftfix.risk._stream_window import AccuracyEstimate
from shiftfix.risk._target_risk import target_risk
from shiftfix.risk._weighted_scorer import WeightedScorer, make_weighted_scorer
from shiftfix.risk._weighted_validation import WeightedScores, iw_cross_val_score
from shiftfix.risk._weighter import check_weighter as check_weighter
from shiftfix.risk._weighter import default_weighter as default_weighter
from shiftfix.risk._weighter import fit_weighter as fit_weighter

__all__ = [
    "AccuracyEstimate",
    "GroupRisk",
    "HarmCertificate",
    "LabelPlan",
    "MonitorAlarm",
    "OneStandardErrorRule",
    "RiskComparison",
    "RiskEstimate",
    "RiskMonitor",
    "WeightedScorer",
    "WeightedScores",
    "absolute_losses",
    "certify_no_harm",
    "compare_risks",
    "iw_cross_val_score",
    "log_losses",
    "make_weighted_scorer",
    "pinball_losses",
    "plan_labels",
    "row_losses",
    "simplest_within_one_error",
    "squared_losses",
    "target_risk",
    "zero_one_losses",
]
