"""Row losses against numbers by hand, and against scikit-learn's means of the same losses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier

from shiftfix.risk import absolute_losses, log_losses, pinball_losses, row_losses, squared_losses, zero_one_losses
from shiftfix.risk._losses import LEAST_PROBABILITY


def test_log_losses_by_hand():
    proba = np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])
    assert_allclose(log_losses(proba, ["b", "b"], ["a", "b", "c"]), [np.log(4), 0])
    # A probability of 0 and a label that the model does not know both count as the least probability.
    assert_allclose(log_losses(proba, ["z", "a"], ["a", "b", "c"]), -np.log([LEAST_PROBABILITY] * 2))


def test_zero_one_losses_by_hand():
    assert zero_one_losses(["a", "b"], ["a", "a"]).tolist() == [0, 1]


def test_losses_of_numbers_by_hand():
    predicted, y = [1.0, 5.0], [3.0, 4.0]
    assert squared_losses(predicted, y).tolist() == [4, 1]
    assert absolute_losses(predicted, y).tolist() == [2, 1]
    assert_allclose(pinball_losses(predicted, y, 0.9), [1.8, 0.1])
    assert_allclose(pinball_losses(predicted, y), [1.0, 0.5])


def test_several_outputs_are_averaged():
    predicted, y = np.zeros((2, 2)), np.array([[1.0, 3.0], [0.0, -2.0]])
    assert squared_losses(predicted, y).tolist() == [5, 2]
    assert absolute_losses(predicted, y).tolist() == [2, 1]
    assert_allclose(pinball_losses(predicted, y, 0.25), [0.5, 0.75])


@pytest.mark.slow
@given(quantile=st.floats(0.05, 0.95), seed=st.integers(0, 99))
def test_the_sample_quantile_minimises_the_pinball_loss(quantile, seed):
    y = np.random.default_rng(seed).normal(size=41)
    at_quantile = pinball_losses(np.full(41, np.quantile(y, quantile, method="inverted_cdf")), y, quantile).mean()
    assert all(at_quantile <= pinball_losses(np.full(41, q), y, quantile).mean() + 1e-12 for q in y)


@pytest.mark.parametrize("model", [LogisticRegression(), RidgeClassifier(), LinearRegression()])
def test_the_models_kind_decides_the_loss(model, rng):
    X = rng.normal(size=(60, 2))
    y = X[:, 0] + rng.normal(size=60) if isinstance(model, LinearRegression) else (X[:, 0] > 0).astype(int)
    model.fit(X, y)
    if isinstance(model, LogisticRegression):
        expected = log_losses(model.predict_proba(X), y, [0, 1])
    else:
        expected = (squared_losses if isinstance(model, LinearRegression) else zero_one_losses)(model.predict(X), y)
    assert_allclose(row_losses(model, X, y), expected)
