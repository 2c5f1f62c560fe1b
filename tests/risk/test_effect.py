"""What weighting does to a model: closed forms, and a loop over folds by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier

from shiftfix.risk import choose_exponent, weighting_effect
from shiftfix.risk._effect import WeightingEffect, changed_predictions, score_columns, score_imbalance
from shiftfix.risk._exponent import Says

ONES = np.ones(4)


def test_the_score_of_two_classes_is_their_log_odds():
    outputs = np.log([[0.2, 0.8], [0.6, 0.4]])
    odds = np.log([4, 2 / 3]) / 2  # log odds over two: centred logits are symmetric
    assert_allclose(score_columns(outputs, True), [odds, np.abs(odds)])
    assert_allclose(score_columns(outputs + 7, True), [odds, np.abs(odds)])


def test_scores_of_several_classes_and_of_values():
    outputs = np.array([[1.0, 2, 6], [0, 0, 3]])
    assert_allclose(score_columns(outputs, True)[:3], [[-2, -1], [-1, -1], [3, 2]])
    assert_allclose(score_columns(outputs, True)[3:], [[2, 1], [1, 1], [3, 2]])
    assert_allclose(score_columns(np.array([[1.0], [-3.0]]), False), [[1, -3]])


def test_imbalance_by_hand():
    """Weighted mean of 0, 0, 1, 1 by 1, 1, 3, 3 is 3/4; the target's mean is 1/4, its spread sqrt(3) / 4."""
    source, target = np.array([[0.0, 0, 1, 1]]), np.array([[0.0, 0, 0, 1]])
    w = np.array([1.0, 1, 3, 3])
    gap, error = score_imbalance(source, target, w, ONES)
    assert gap == pytest.approx(0.5 / (np.sqrt(3) / 4))
    own = np.sqrt((w**2 * (source[0] - 0.75) ** 2).sum()) / 8
    assert error == pytest.approx(np.hypot(own / (np.sqrt(3) / 4), 1 / 2))
    assert score_imbalance(source, target, w * 5, ONES)[0] == pytest.approx(gap)
    counted = score_imbalance(source[:, ::2], target, w[::2], 2 * ONES[::2])
    assert counted == (pytest.approx(gap), pytest.approx(error))


def test_a_constant_score_is_balanced():
    flat = np.zeros((1, 4))
    gap, error = score_imbalance(flat, flat, ONES, ONES)
    assert gap == 0
    assert WeightingEffect(gap, error, 0.0).is_balanced
    assert not WeightingEffect(0.5, 0.1, 0.0).is_balanced


def test_changed_predictions():
    first, second = np.array([[1.0, 0], [0, 1], [0, 1], [1, 0]]), np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    assert changed_predictions(first, second, True) == 0.5
    assert changed_predictions(first[:, :1], second[:, :1], True) == 0.5  # codes, of a learner that says no more
    values = np.array([[0.0], [2.0]])
    assert changed_predictions(values, values + 3, False) == 3  # standard deviation 1
    assert changed_predictions(values * 0, values, False) == 1


@pytest.mark.parametrize("estimator", [LogisticRegression(), LinearRegression(), RidgeClassifier()])
def test_models_out_of_fold_speak_of_both_samples(estimator, rng):
    """Each target row is said by one of the models, each source row by the one that did not see it."""
    X, X_target = rng.normal(size=(60, 2)), rng.normal(size=(9, 2))
    y = (X[:, 0] + rng.normal(size=60) > 0).astype(int)
    w = rng.uniform(0.5, 2, 60)
    folds = [(np.arange(30), np.arange(30, 60)), (np.arange(30, 60), np.arange(30))]
    says = choose_exponent(estimator, X, y, w, cv=folds, rng=rng, exponents=(0.0, 1.0), X_target=X_target).says
    assert says.source.shape[:2] == (2, 60)
    assert says.target.shape[:2] == (2, 9)
    assert_allclose(says.rows, np.arange(60))
    for place, weights in enumerate((np.ones(60), w)):
        said = []
        for training, held_out in folds:
            model = type(estimator)().fit(X[training], y[training], sample_weight=weights[training])
            of = {
                LogisticRegression: lambda rows, m=model: m.predict_log_proba(rows),
                LinearRegression: lambda rows, m=model: m.predict(rows)[:, np.newaxis],
                RidgeClassifier: lambda rows, m=model: np.column_stack(
                    [np.zeros(len(rows)), m.decision_function(rows)]
                ),
            }[type(estimator)]
            assert_allclose(says.source[place][held_out], of(X[held_out]), atol=1e-6)
            said.append(of(X_target))
        near = [np.isclose(says.target[place], theirs, atol=1e-6).all(axis=1) for theirs in said]
        assert (near[0] | near[1]).all()
        assert abs(near[0].sum() - near[1].sum()) <= 1  # dealt in turn


def test_nothing_is_known_without_a_target():
    assert weighting_effect(None, ONES, None) is None
    assert weighting_effect(Says(np.zeros((1, 4, 1)), None, np.arange(4), np.empty(0)), ONES, None) is None
    alone = Says(np.zeros((1, 4, 1)), np.zeros((1, 3, 1)), np.arange(4), np.empty(0))
    assert weighting_effect(alone, ONES, None).changed is None  # no weighted model was asked
