"""Concept shift is seen and covariate shift is not, with a right model and with a wrong one."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsRegressor

from shiftfix.detect import concept_test
from shiftfix.detect._concept import Moments, Residuals, moment_gaps, residual_moments


def problem(seed, *, concept=0.0, moved=0.7, kind="classes", n=500, m=200):
    rng = np.random.default_rng(seed)
    X, X_target = rng.normal(size=(n, 3)), rng.normal([moved, 0, 0], 1, (m, 3))
    coef = np.array([1.0, -1, 0.5])
    signal, target_signal = X @ coef, X_target @ coef + concept * X_target[:, 1] * 2
    if kind == "numbers":
        return X, signal + rng.normal(size=n), X_target, target_signal + rng.normal(size=m)
    classes = (values > rng.logistic(size=len(values)) for values in (signal, target_signal))
    y, y_target = (values.astype(int) for values in classes)
    return X, y, X_target, y_target


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_sees_a_concept_shift_and_no_covariate_shift(kind):
    assert concept_test(*problem(0, concept=1, kind=kind), random_state=0).p_value < 0.02
    assert np.median([concept_test(*problem(seed, kind=kind), random_state=0).p_value for seed in range(1, 4)]) > 0.05


@pytest.mark.slow
def test_a_wrong_model_is_no_concept_shift():
    """y = x^2 and a linear model: the residuals move with x, and weights put that right."""
    rng = np.random.default_rng(0)
    X, X_target = rng.normal(size=(1000, 1)), rng.normal(1, 1, (400, 1))
    y, y_target = (rows[:, 0] ** 2 + rng.normal(size=len(rows)) for rows in (X, X_target))
    found = concept_test(X, y, X_target, y_target, estimator=LinearRegression(), random_state=0)
    assert found.p_value > 0.05
    assert abs((y_target - LinearRegression().fit(X, y).predict(X_target)).mean()) > 0.5  # what weights put right


def test_moments_are_residuals_times_functions_of_x():
    rng = np.random.default_rng(0)
    scores = rng.dirichlet([1, 1], 30)
    found = residual_moments(
        Residuals(-scores[:20], -scores[20:], scores[:20], scores[20:]), np.ones((20, 1)), np.ones((10, 1))
    )
    assert found.source.shape == (20, 3)
    z = (scores[:, 0] - scores[:, 0].mean()) / scores[:, 0].std()
    assert_allclose(found.target[:, 1], (-scores[:, 0] * z)[20:])
    assert_allclose(found.source[:, 2], found.source[:, 0])


def test_gaps_are_target_less_weighted_source():
    moments = Moments(np.array([[1.0], [3.0]]), np.array([[5.0], [6.0]]), 1)
    gap, drawn = moment_gaps(moments, np.array([3.0, 1.0]), 500, np.random.default_rng(0))
    assert_allclose(gap, [5.5 - 1.5])
    # Target: variance .25 / 2; source: means 1, 1.5 (twice), 3 with chances 1/4, 1/2, 1/4.
    assert np.std(drawn) == pytest.approx(np.sqrt(0.125 + np.var([1, 1.5, 1.5, 3])), rel=0.15)


@pytest.mark.slow
def test_order_of_rows_does_not_matter():
    X, y, X_target, y_target = problem(1)
    order, order_target = np.random.default_rng(0).permutation(500), np.random.default_rng(1).permutation(200)
    one = concept_test(X, y, X_target, y_target, random_state=0)
    other = concept_test(X[order], y[order], X_target[order_target], y_target[order_target], random_state=0)
    assert other.p_value == one.p_value
    assert_allclose(other.effect_size, one.effect_size, rtol=1e-6)


@pytest.mark.slow
def test_rows_without_labels_help_the_weights():
    X, y, X_target, y_target = problem(2, m=400)
    found = concept_test(X, y, X_target, y_target[200:], rows=np.arange(200, 400), random_state=0)
    assert (found.n_source, found.n_target) == (500, 200)


@pytest.mark.slow
def test_text_and_new_classes():
    X, y, X_target, y_target = problem(3)
    names = np.array(["no", "yes", "perhaps"])
    y_target[:60] = 2
    assert concept_test(X, names[y], X_target, names[y_target], random_state=0).p_value < 0.05


@pytest.mark.slow
def test_no_overlap_is_no_evidence():
    found = concept_test(*problem(4, moved=9.0), random_state=0)
    assert found.p_value == 1
    assert "overlap too little" in str(found)


def test_errors():
    X, y, X_target, y_target = problem(5)
    with pytest.raises(ValueError, match="99 labels, and at least 100"):
        concept_test(X, y, X_target, y_target[:99])
    with pytest.raises(ValueError, match="of 200 target rows"):
        concept_test(X, y, X_target, np.zeros(201, int))


@pytest.mark.parametrize("estimator", [LogisticRegression(), KNeighborsRegressor()])
def test_any_estimator(estimator):
    kind = "numbers" if isinstance(estimator, KNeighborsRegressor) else "classes"
    assert 0 < concept_test(*problem(6, kind=kind), estimator=estimator, n_bootstrap=50, random_state=0).p_value <= 1


@pytest.mark.slow
def test_size():
    """100 problems of covariate shift at level .05: 5 expected, standard deviation 2.2."""
    rejected = [
        concept_test(*problem(seed, n=300, m=120), n_bootstrap=99, random_state=seed).p_value <= 0.05
        for seed in range(100)
    ]
    assert sum(rejected) <= 12
