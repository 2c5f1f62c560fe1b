"""Meta-estimators under covariate shift: closed forms and exact equivalences."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsRegressor
from sklearn.svm import SVC

from shiftfix.corrected import CovariateShiftClassifier, CovariateShiftRegressor
from shiftfix.covariate import LogisticWeighter
from shiftfix.exceptions import NotIdentifiedError, PoorOverlapWarning
from shiftfix.mlp import MLPClassifier, MLPRegressor


def square_problem(rng, n=40000):
    """y = x^2, N(0, 1) -> N(1, 1)."""
    X, X_target = rng.normal(0, 1, (n, 1)), rng.normal(1, 1, (n, 1))
    return X, X[:, 0] ** 2, X_target


@pytest.mark.slow
def test_a_line_through_a_parabola_turns_to_the_target(rng):
    """Best line under the source: y = 1, target risk 7; under the target: y = 2 x, target risk 2. The weights'
    heavy tail leaves a standard error of about .1 in the coefficients; inverted weights give slope -2."""
    X, y, X_target = square_problem(rng)
    model = CovariateShiftRegressor(LinearRegression()).fit(X, y, X_target=X_target)
    line = model.estimator_
    assert line.intercept_ == pytest.approx(0, abs=0.4)
    assert line.coef_[0] == pytest.approx(2, abs=0.4)
    risk = np.mean((X_target[:, 0] ** 2 - model.predict(X_target)) ** 2)
    assert risk == pytest.approx(2, abs=0.3)
    plain = LinearRegression().fit(X, y)
    assert np.mean((X_target[:, 0] ** 2 - plain.predict(X_target)) ** 2) == pytest.approx(7, abs=0.5)


@pytest.mark.slow
def test_equals_weighing_then_training_by_hand(rng):
    X, y, X_target = square_problem(rng, 500)
    counts = rng.integers(1, 3, 500)
    model = CovariateShiftRegressor(LinearRegression(), LogisticWeighter(clip=3.0))
    model.fit(X, y, X_target=X_target, sample_weight=counts)
    weighter = LogisticWeighter(clip=3.0).fit(X, X_target, sample_weight_source=counts)
    w = weighter.transform(X)
    assert_allclose(model.weights_, w)
    by_hand = LinearRegression().fit(X, y, sample_weight=w * counts)
    assert_allclose(model.predict(X_target), by_hand.predict(X_target))
    repeated = CovariateShiftRegressor(LinearRegression(), LogisticWeighter(clip=3.0))
    repeated.fit(np.repeat(X, counts, axis=0), np.repeat(y, counts), X_target=X_target)
    assert_allclose(model.predict(X_target), repeated.predict(X_target), atol=1e-4)


@pytest.mark.parametrize("n_target", [200, 2000])
def test_the_size_of_the_target_sample_does_not_scale_the_weights(rng, n_target):
    X, y, X_target = square_problem(rng, 2000)
    model = CovariateShiftRegressor(LinearRegression()).fit(X, y, X_target=X_target[:n_target])
    assert model.summary_.raw_mean == pytest.approx(1, abs=0.25)
    assert model.weights_.mean() == pytest.approx(1)


@pytest.mark.slow
def test_classifier_with_our_network(rng):
    X = rng.normal(size=(600, 2))
    y = np.where(X[:, 0] * X[:, 1] > 0, "same", "opposite")
    X_target = rng.normal(0.5, 1, (300, 2))
    truth = np.where(X_target[:, 0] * X_target[:, 1] > 0, "same", "opposite")
    model = CovariateShiftClassifier(MLPClassifier((32, 32), dropout=0.1, batch_size=32, random_state=0), exponent=1.0)
    model.fit(X, y, X_target=X_target)
    assert model.score(X_target, truth) > 0.9
    assert_allclose(model.predict_proba(X_target).sum(axis=1), 1)
    assert model.classes_.tolist() == ["opposite", "same"]
    assert "validation_loss" in model.estimator_.history_


@pytest.mark.slow
def test_regressor_with_our_network(rng):
    X, y, X_target = square_problem(rng, 800)
    model = CovariateShiftRegressor(MLPRegressor((32, 32), batch_size=64, random_state=0), exponent=1.0)
    model.fit(X, y, X_target=X_target)
    assert model.score(X_target, X_target[:, 0] ** 2) > 0.9


class TestWhenTheTargetIsNotCovered:
    @pytest.fixture
    def far(self, rng):
        return rng.normal(0, 1, (200, 1)), rng.normal(size=200), rng.normal(6, 1, (200, 1))

    def test_the_default_is_unweighted_and_says_so(self, far):
        X, y, X_target = far
        with pytest.warns(PoorOverlapWarning, match="fitted without weights") as caught:
            model = CovariateShiftRegressor(LinearRegression()).fit(X, y, X_target=X_target)
        assert len(caught) == 1
        assert not model.corrected_
        assert (model.weights_ == 1).all()
        assert_allclose(model.predict(X), LinearRegression().fit(X, y).predict(X))

    def test_user_weights_are_kept_when_shift_weights_are_not(self, far, rng):
        X, y, X_target = far
        counts = rng.integers(1, 5, 200)
        with pytest.warns(PoorOverlapWarning):
            model = CovariateShiftRegressor(LinearRegression()).fit(X, y, X_target=X_target, sample_weight=counts)
        assert_allclose(model.predict(X), LinearRegression().fit(X, y, sample_weight=counts).predict(X))

    def test_a_learner_without_weights_is_fine_when_none_are_used(self, far):
        X, y, X_target = far
        with pytest.warns(PoorOverlapWarning):
            CovariateShiftRegressor(KNeighborsRegressor()).fit(X, y, X_target=X_target)

    def test_it_can_be_an_error(self, far):
        X, y, X_target = far
        with pytest.raises(NotIdentifiedError, match="data do not support weighting"):
            CovariateShiftRegressor(LinearRegression(), on_abstain="error").fit(X, y, X_target=X_target)

    def test_it_can_be_overruled(self, far):
        X, y, X_target = far
        with pytest.warns(PoorOverlapWarning, match="weighted all the same"):
            model = CovariateShiftRegressor(LinearRegression(), on_abstain="correct").fit(X, y, X_target=X_target)
        assert model.corrected_
        assert np.ptp(model.weights_) > 0


def test_predictions_the_learner_lacks_are_absent():
    assert not hasattr(CovariateShiftClassifier(SVC()), "predict_proba")
    assert hasattr(CovariateShiftClassifier(SVC()), "decision_function")
    assert hasattr(CovariateShiftClassifier(LogisticRegression()), "predict_proba")
    assert not hasattr(CovariateShiftRegressor(LinearRegression()), "predict_proba")


def test_names_and_numbers_of_columns_are_learned(rng):
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(rng.normal(size=(200, 2)), columns=["age", "dose"])
    model = CovariateShiftRegressor(LinearRegression()).fit(X, X["age"], X_target=X + 0.1)
    assert model.n_features_in_ == 2
    assert model.feature_names_in_.tolist() == ["age", "dose"]
    with pytest.raises(ValueError, match="feature names"):
        model.predict(X.rename(columns={"dose": "weight"}))


def test_good_overlap_does_not_warn(rng):
    X, y, X_target = square_problem(rng, 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert CovariateShiftRegressor(LinearRegression()).fit(X, y, X_target=X_target).corrected_
