"""A weighter or a prior with any estimator, as scikit-learn meta-estimators.

============================  ===============================================================
``ShiftCorrectedClassifier``  diagnoses, and corrects as far as the evidence supports it
``ShiftCorrectedRegressor``   the same for values
``CovariateShiftClassifier``  classifier trained on importance-weighted source rows
``CovariateShiftRegressor``   regressor trained on importance-weighted source rows
``LabelShiftClassifier``      classifier whose posteriors, or training, follow the target prior
``FewLabelClassifier``        classifier corrected by a few target labels
``FewLabelRegressor``         regressor corrected by a few target labels
``TargetSample``              target rows that cross-validation neither slices nor copies
``fit_weighted``              fit any estimator with row weights, wherever its learner sits
============================  ===============================================================
"""

from shiftfix._learner import fit_weighted
from shiftfix._target_sample import TargetSample
from shiftfix.corrected._auto import ShiftCorrectedClassifier, ShiftCorrectedRegressor
from shiftfix.corrected._covariate import CovariateShiftClassifier, CovariateShiftRegressor
from shiftfix.corrected._few_label import FewLabelClassifier, FewLabelRegressor
from shiftfix.corrected._label import LabelShiftClassifier

__all__ = [
    "CovariateShiftClassifier",
    "CovariateShiftRegressor",
    "FewLabelClassifier",
    "FewLabelRegressor",
    "LabelShiftClassifier",
    "ShiftCorrectedClassifier",
    "ShiftCorrectedRegressor",
    "TargetSample",
    "fit_weighted",
]
