"""Target class priors when p(y) moves and p(x given y) stays.

=======================  ========================================================================
``MLLS``                 maximum likelihood on calibrated scores: the most precise
``BBSE``                 confusion matrix, hard or soft, solved on the simplex: transparent, with an analytic interval
``RLLS``                 confusion matrix, regularised towards no shift
``GMM``                  more moments of the scores than classes, efficiently weighted
``OnlinePrior``          a prior that follows a stream of score batches
``label_shift_fit``      how much of what moved does one change of the class prior explain? Returns a ``LabelShiftFit``
``label_shift_test``     does one change of the class prior explain the target's scores? Returns a ``LabelShiftTest``
``mean_score_test``      did the class prior move at all?
``ScoreCalibrator``      temperature, bias-corrected temperature, vector scaling; automatic choice
``confusion_matrices``   joint and conditional confusion matrices of hard or soft scores
``adjust_proba``         posteriors under another prior, no retraining
``prior_from_labels``    class shares (a ``LabelledPrior``) by a few labels of the target, with scores of its other rows
``prior_table``          the shares of a fitted estimate with intervals, to print: a ``PriorTable``
``prior_of_scores``      the prior that class probabilities imply
=======================  ========================================================================
"""

from shiftfix.label._base import normal_interval as normal_interval  # for ``large``
from shiftfix.label._bbse import BBSE
from shiftfix.label._bounded_scores import LEAST_SCORE as LEAST_SCORE  # for ``risk``
from shiftfix.label._bounded_scores import bounded_scores as bounded_scores
from shiftfix.label._calibration import ScoreCalibrator
from shiftfix.label._calibration import calibrate as calibrate  # for ``corrected``
from shiftfix.label._careful_prior import careful_prior as careful_prior  # for ``corrected``
from shiftfix.label._confusion import confusion_matrices
from shiftfix.label._explained_share import explained_share_of as explained_share_of  # for ``corrected``
from shiftfix.label._explained_share import label_shift_fit
from shiftfix.label._explained_share import projected as projected
from shiftfix.label._fit_test import LabelShiftTest, label_shift_test
from shiftfix.label._from_sums import PriorBySums as PriorBySums  # for ``large``
from shiftfix.label._from_sums import ScoreSums as ScoreSums
from shiftfix.label._from_sums import bbse_of_sums as bbse_of_sums
from shiftfix.label._gmm import GMM
from shiftfix.label._implied_prior import prior_of_scores
from shiftfix.label._label_shift_rule import ONE_SIDED as ONE_SIDED  # for ``detect``
from shiftfix.label._label_shift_rule import LabelShiftFit
from shiftfix.label._label_shift_rule import passes_if_known as passes_if_known  # for ``corrected``
from shiftfix.label._labels import positions_among as positions_among  # for ``report``
from shiftfix.label._likelihood import CalibrationKind as CalibrationKind  # for ``corrected``
from shiftfix.label._likelihood import fit_log_scores as fit_log_scores
from shiftfix.label._likelihood import log_scores as log_scores
from shiftfix.label._likelihood import softmax_block as softmax_block
from shiftfix.label._mlls import MLLS
from shiftfix.label._online import OnlinePrior
from shiftfix.label._posterior import adjust_proba
from shiftfix.label._posterior import unadjusted_threshold as unadjusted_threshold  # for ``corrected``
from shiftfix.label._prior_from_labels import LabelledPrior, prior_from_labels
from shiftfix.label._prior_from_labels import wilson_ends as wilson_ends  # for ``risk``
from shiftfix.label._prior_from_labels import wilson_interval as wilson_interval
from shiftfix.label._prior_table import PriorTable, prior_table
from shiftfix.label._refit import calibration_refits as calibration_refits  # for ``risk``
from shiftfix.label._refit import prior_refits as prior_refits
from shiftfix.label._rlls import RLLS
from shiftfix.label._shift_test import mean_score_test
from shiftfix.label._worlds import intervals_of_worlds as intervals_of_worlds
from shiftfix.label._worlds import mean_score as mean_score  # for ``detect``
from shiftfix.label._worlds import share_of_counts as share_of_counts

__all__ = [
    "BBSE",
    "GMM",
    "MLLS",
    "RLLS",
    "LabelShiftFit",
    "LabelShiftTest",
    "LabelledPrior",
    "OnlinePrior",
    "PriorTable",
    "ScoreCalibrator",
    "adjust_proba",
    "confusion_matrices",
    "label_shift_fit",
    "label_shift_test",
    "mean_score_test",
    "prior_from_labels",
    "prior_of_scores",
    "prior_table",
]
