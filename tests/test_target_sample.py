import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score

from shiftfix.corrected import CovariateShiftClassifier, LabelShiftClassifier, TargetSample
from shiftfix.exceptions import ShiftDataError


def test_clone_returns_the_object_itself():
    sample = TargetSample(np.zeros((3, 2)))
    assert clone(sample) is sample
    assert repr(sample) == "TargetSample(shape=(3, 2))"


class SeesTarget(LogisticRegression):
    """Records how many target rows a fit inside cross-validation was given."""

    seen: list = []  # noqa: RUF012

    def fit(self, X, y, X_target=None, sample_weight=None):
        self.seen.append(len(X_target.X if isinstance(X_target, TargetSample) else X_target))
        return super().fit(X, y, sample_weight)


@pytest.mark.parametrize("n_target", [90, 50])
def test_cross_validation_hands_it_on_whole(rng, n_target):
    """A bare array as long as X is cut to the folds' 60 rows; a TargetSample never is."""
    X, y, X_target = rng.normal(size=(90, 2)), np.tile([0, 1], 45), rng.normal(size=(n_target, 2))
    SeesTarget.seen = []
    cross_val_score(SeesTarget(), X, y, cv=3, params={"X_target": TargetSample(X_target)})
    assert SeesTarget.seen == [n_target] * 3


def test_bare_target_of_the_same_length_would_be_cut(rng):
    X, y = rng.normal(size=(90, 2)), np.tile([0, 1], 45)
    SeesTarget.seen = []
    cross_val_score(SeesTarget(), X, y, cv=3, params={"X_target": X + 1})
    assert SeesTarget.seen == [60] * 3


@pytest.mark.slow
@pytest.mark.parametrize("meta", [CovariateShiftClassifier, LabelShiftClassifier])
def test_grid_search_runs_with_a_target_as_long_as_the_source(rng, meta):
    X = rng.normal(size=(300, 2))
    y = (X[:, 0] + rng.normal(size=300) > 0).astype(int)
    X_target = rng.normal(0.3, 1, (300, 2))
    search = GridSearchCV(meta(LogisticRegression(), random_state=0), {"estimator__C": [0.1, 1.0]}, cv=3)
    search.fit(X, y, X_target=TargetSample(X_target))
    direct = clone(search.best_estimator_).fit(X, y, X_target=X_target)
    assert np.array_equal(search.predict(X_target), direct.predict(X_target))


@pytest.mark.parametrize("meta", [CovariateShiftClassifier, LabelShiftClassifier])
def test_a_missing_target_is_an_error(rng, meta):
    with pytest.raises(ShiftDataError, match="X_target is missing"):
        meta(LogisticRegression()).fit(rng.normal(size=(10, 1)), np.tile([0, 1], 5))
