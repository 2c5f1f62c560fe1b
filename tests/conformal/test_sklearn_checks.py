"""scikit-learn's own estimator checks for the conformal estimators, with the rows of X for a target and without."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils.estimator_checks import parametrize_with_checks

from shiftfix.conformal import ConformalClassifier, ConformalRegressor

# The checks use tiny samples, which rightly draw verdicts.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::shiftfix.exceptions.PoorOverlapWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]
SPLIT = "a row counted twice is held out whole, and two equal rows need not be"


class TargetedRegressor(ConformalRegressor):
    """The checks call fit(X, y); the rows of X serve as the target."""

    def fit(self, X, y, sample_weight=None):
        target = np.unique(X, axis=0) if isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "fi" else None
        return super().fit(X, y, target, sample_weight=sample_weight)


@parametrize_with_checks(
    [
        ConformalClassifier(LogisticRegression()),
        ConformalClassifier(LogisticRegression(), "aps", conditional="class", cv=3),
        ConformalRegressor(Ridge()),
        ConformalRegressor(Ridge(), "normalized", cv=3),
        TargetedRegressor(Ridge()),
    ],
    expected_failed_checks=lambda estimator: {
        "check_sample_weight_equivalence_on_dense_data": SPLIT,
        "check_sample_weight_equivalence_on_sparse_data": SPLIT,
        "check_sample_weights_invariance": SPLIT,
    },
)
def test_scikit_learn(estimator, check):
    check(estimator)
