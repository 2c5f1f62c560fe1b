"""The weighted scorer beside scikit-learn's weighted metrics, and through its searches, with and without routing."""

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, log_loss, make_scorer, mean_absolute_error, mean_squared_error
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score

from shiftfix.corrected import TargetSample
from shiftfix.covariate import LogisticWeighter
from shiftfix.exceptions import ShiftDataError
from shiftfix.risk import (
    iw_cross_val_score,
    make_weighted_scorer,
)
from tests.risk.test_weighted_validation import classes, parabola


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.parametrize(
    ("name", "metric", "response"),
    [
        ("accuracy", accuracy_score, "predict"),
        ("neg_log_loss", log_loss, "predict_proba"),
        ("neg_mean_squared_error", mean_squared_error, "predict"),
        ("neg_mean_absolute_error", mean_absolute_error, "predict"),
    ],
)
def test_the_scorer_is_scikit_learns_weighted_metric(rng, name, metric, response):
    X, y, X_target = classes(rng)
    weighter = LogisticWeighter().fit(X, X_target)
    model = LogisticRegression().fit(X, y)
    score = metric(y, getattr(model, response)(X), sample_weight=weighter.transform(X))
    found = make_weighted_scorer(weighter, name)(model, X, y)
    assert found == pytest.approx(-score if name.startswith("neg") else score)


@pytest.mark.parametrize("on", [False, True])
def test_a_fitted_weighter_needs_no_routing(rng, on):
    X, y, X_target = classes(rng)
    weighter = LogisticWeighter().fit(X, X_target)
    with sklearn.config_context(enable_metadata_routing=on):
        scorer = make_weighted_scorer(weighter, "accuracy")
        found = cross_val_score(LogisticRegression(), X, y, scoring=scorer, cv=KFold(4))
        inner = GridSearchCV(LogisticRegression(), {"C": [0.01, 1]}, scoring=scorer, cv=3)
        nested = cross_val_score(inner, X, y, scoring=scorer, cv=KFold(2))
    by_weights = iw_cross_val_score(
        LogisticRegression(), X, y, weights=weighter.transform(X), scoring="accuracy", cv=KFold(4)
    )
    assert_allclose(found, by_weights.scores)
    assert np.isfinite(nested).all()
    assert clone(scorer) is scorer
    assert clone(inner).scoring is scorer


class TargetSpy(RegressorMixin, BaseEstimator):
    """Predicts the mean of the target's first column; keeps what it was handed."""

    def fit(self, X, y, X_target=None, sample_weight=None):
        self.seen_ = X_target
        self.mean_ = 0.0 if X_target is None else float(np.mean(X_target.X))
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_)


@pytest.mark.usefixtures("routing")
def test_routed_weights_are_cut_as_the_rows(rng):
    X, y, _, w = parabola(rng, 90)
    scorer = make_weighted_scorer().set_score_request(sample_weight=True)
    model = Ridge().set_fit_request(sample_weight=False)
    search = GridSearchCV(model, {"alpha": [0.1, 100]}, scoring=scorer, cv=KFold(3))
    search.fit(X, y, sample_weight=w)
    plain = make_scorer(mean_squared_error, greater_is_better=False).set_score_request(sample_weight=True)
    other = GridSearchCV(model, {"alpha": [0.1, 100]}, scoring=plain, cv=KFold(3)).fit(X, y, sample_weight=w)
    assert_allclose(search.cv_results_["split1_test_score"], other.cv_results_["split1_test_score"])


@pytest.mark.usefixtures("routing")
@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.PoorOverlapWarning")  # of the fits by hand
def test_the_target_is_routed_uncut_to_scorer_and_estimator_even_where_it_is_as_long_as_the_source(rng):
    X, y, X_target, _ = parabola(rng, 90)
    target = TargetSample(X_target)
    scorer = make_weighted_scorer(LogisticWeighter(min_ess=5)).set_score_request(X_target=True)
    model = TargetSpy().set_fit_request(X_target=True, sample_weight=False)
    search = GridSearchCV(model, {}, scoring=scorer, cv=KFold(3)).fit(X, y, X_target=target)
    assert search.best_estimator_.seen_ is target
    for number, (_, held_out) in enumerate(KFold(3).split(X)):
        weights = LogisticWeighter(min_ess=5).fit(X[held_out], X_target).source_weights_
        expected = -np.average((y[held_out] - X_target.mean()) ** 2, weights=weights)
        assert search.cv_results_[f"split{number}_test_score"][0] == pytest.approx(expected)


def test_without_routing_scikit_learn_hands_the_target_to_the_estimator_and_not_to_the_scorer(rng):
    X, y, X_target, _ = parabola(rng, 90)
    target, weighter = TargetSample(X_target), LogisticWeighter().fit(X, X_target)
    search = GridSearchCV(TargetSpy(), {}, scoring=make_weighted_scorer(weighter), cv=KFold(3), error_score="raise")
    search.fit(X, y, X_target=target)
    assert search.best_estimator_.seen_ is target
    _, held_out = next(KFold(3).split(X))
    expected = -np.average((y[held_out] - X_target.mean()) ** 2, weights=weighter.transform(X[held_out]))
    assert search.cv_results_["split0_test_score"][0] == pytest.approx(expected)


def test_a_search_by_the_target_chooses_another_than_one_by_the_source():
    """A constant is wrong by x^4 moments: on N(2, 1) a strongly shrunk line loses to a free one, on N(0, 1) neither."""
    rng = np.random.default_rng(0)
    X = rng.normal(0, 1, (600, 1))
    y = np.where(X[:, 0] > 1, 5 * X[:, 0], 0.0) + rng.normal(size=600)
    weighter = LogisticWeighter().fit(X, rng.normal(1, 0.7, (600, 1)))
    by_target = iw_cross_val_score(DummyRegressor(), X, y, weights=weighter.transform(X)).mean
    by_source = iw_cross_val_score(DummyRegressor(), X, y, weights=np.ones(600)).mean
    assert by_target < 1.5 * by_source < 0


def test_a_scorer_without_weights_says_how_to_get_some(rng):
    X, y, _ = classes(rng)
    model = LogisticRegression().fit(X, y)
    with pytest.raises(ShiftDataError, match="set_score_request"):
        make_weighted_scorer()(model, X, y)
    with pytest.raises(ShiftDataError, match="is no weighter"):
        make_weighted_scorer(LogisticRegression())
    with pytest.raises(ShiftDataError, match="scoring='f1'"):
        make_weighted_scorer(scoring="f1")
