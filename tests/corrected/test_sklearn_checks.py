"""scikit-learn's own estimator checks for the estimators that correct another."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils.estimator_checks import parametrize_with_checks

from shiftfix.corrected import (
    CovariateShiftClassifier,
    CovariateShiftRegressor,
    FewLabelClassifier,
    FewLabelRegressor,
    LabelShiftClassifier,
    ShiftCorrectedClassifier,
    ShiftCorrectedRegressor,
    TargetSample,
)

# The checks use tiny samples, which rightly draw verdicts.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::shiftfix.exceptions.PoorOverlapWarning"),
    pytest.mark.filterwarnings("ignore::shiftfix.exceptions.PoorIdentificationWarning"),
    # Raised and expected inside scikit-learn's checks.
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


class WithTarget:
    """The checks call fit(X, y); the distinct rows of X that count serve as the target."""

    def fit(self, X, y, sample_weight=None):
        target = X
        if isinstance(X, np.ndarray) or sparse.issparse(X):
            rows = X.toarray() if sparse.issparse(X) else X
            if isinstance(sample_weight, np.ndarray) and sample_weight.shape == rows.shape[:1]:
                rows = rows[sample_weight > 0]
            if rows.ndim == 2 and rows.dtype.kind in "fi":
                target = np.unique(rows, axis=0)
        return super().fit(X, y, X_target=target, sample_weight=sample_weight)


class CovariateClassifier(WithTarget, CovariateShiftClassifier):
    pass


class CovariateRegressor(WithTarget, CovariateShiftRegressor):
    pass


class LabelClassifier(WithTarget, LabelShiftClassifier):
    pass


class WithLabels:
    """The checks call fit(X, y); of each distinct row of X that counts, the target has one, labelled as the first."""

    def fit(self, X, y, sample_weight=None):
        target, labels = X, y
        rows = X.toarray() if sparse.issparse(X) else X
        if (
            isinstance(rows, np.ndarray)
            and rows.ndim == 2
            and rows.dtype.kind in "fi"
            and np.shape(y)[:1] == rows.shape[:1]
        ):
            whole = isinstance(sample_weight, np.ndarray) and sample_weight.shape == rows.shape[:1]
            counted = np.flatnonzero(sample_weight > 0) if whole else np.arange(len(rows))
            target, first = np.unique(rows[counted], axis=0, return_index=True)
            labels = np.asarray(y)[counted][first]
        return super().fit(X, y, X_target=TargetSample(target, y=labels), sample_weight=sample_weight)


class FewClassifier(WithLabels, FewLabelClassifier):
    pass


class FewRegressor(WithLabels, FewLabelRegressor):
    pass


class WithLikeTarget:
    """The checks call fit(X, y); the distinct rows of X that count serve as the target, sparse where X is."""

    def fit(self, X, y, sample_weight=None):
        target = X
        if isinstance(X, np.ndarray) or sparse.issparse(X):
            whole = isinstance(sample_weight, np.ndarray) and sample_weight.shape == X.shape[:1]
            rows = X[np.flatnonzero(sample_weight > 0)] if whole else X
            rows = rows.toarray() if sparse.issparse(rows) else rows
            if rows.ndim == 2 and rows.dtype.kind in "fi":
                target = np.unique(rows, axis=0)
                target = type(X)(target) if sparse.issparse(X) else target
        return super().fit(X, y, X_target=target, sample_weight=sample_weight)


class AutoClassifier(WithLikeTarget, ShiftCorrectedClassifier):
    pass


class AutoRegressor(WithLikeTarget, ShiftCorrectedRegressor):
    pass


@parametrize_with_checks(
    [
        CovariateClassifier(LogisticRegression(), on_abstain="correct"),
        CovariateRegressor(Ridge(), on_abstain="correct"),
        LabelClassifier(LogisticRegression(), random_state=0),
        LabelClassifier(LogisticRegression(), correction="retrain", random_state=0),
        FewClassifier(LogisticRegression(), random_state=0),
        FewRegressor(Ridge(), random_state=0),
        AutoClassifier(LogisticRegression()),
        AutoRegressor(Ridge()),
    ]
)
def test_scikit_learn(estimator, check):
    check(estimator)
