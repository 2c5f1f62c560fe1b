"""Calibration of the confidence in the predicted class."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import approx_fprime

from shiftfix.risk._metrics import Outputs
from shiftfix.risk._top_label import calibrated_proba, confidence_of, fit_top_label, top_label_gradient


@pytest.fixture
def case(rng):
    P = rng.dirichlet([1.0, 1.0, 1.0], 300)
    outputs = Outputs(P.argmax(axis=1), P)
    right = (rng.uniform(size=300) < P.max(axis=1) ** 2).astype(float)
    return outputs, confidence_of(outputs), right, rng.uniform(0.1, 3, 300)


def test_gradient_and_hessian_are_those_of_the_loss(case):
    _, rows, right, w = case
    point = np.array([0.7, 0.1, -0.4, 0.3])
    _, gradient, H = top_label_gradient(rows, right, w, point)
    assert_allclose(gradient, approx_fprime(point, lambda p: top_label_gradient(rows, right, w, p)[0]), rtol=1e-4)
    assert_allclose(H, approx_fprime(point, lambda p: top_label_gradient(rows, right, w, p)[1]), rtol=1e-4)


def test_the_weighted_accuracy_of_each_predicted_class_is_met(case):
    """But for the penalty of a hundredth of a row."""
    outputs, rows, right, w = case
    P = calibrated_proba(outputs, rows, fit_top_label(rows, right, w, 3))
    assert_allclose(P.sum(axis=1), 1)
    confidence = P[np.arange(300), outputs.predicted]
    for k in range(3):
        here = outputs.predicted == k
        assert_allclose(
            np.average(confidence[here], weights=w[here]), np.average(right[here], weights=w[here]), atol=1e-3
        )


def test_confidence_that_is_calibrated_stays():
    P = np.repeat([[0.6, 0.4], [0.9, 0.1]], [100, 100], axis=0)
    outputs = Outputs(np.zeros(200, dtype=int), P)
    right = np.concatenate([np.arange(100) < 60, np.arange(100) < 90]).astype(float)
    point = fit_top_label(confidence_of(outputs), right, np.ones(200), 2)
    assert_allclose(point, [1, 0, 0], atol=1e-8)
    assert_allclose(calibrated_proba(outputs, confidence_of(outputs), point), P)


def test_predictions_that_are_all_right_end_in_numbers():
    outputs = Outputs(np.array([0, 0, 1]), np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]))
    point = fit_top_label(confidence_of(outputs), np.ones(3), np.ones(3), 2)
    assert np.isfinite(point).all()
    assert (calibrated_proba(outputs, confidence_of(outputs), point)[:2, 0] > 0.5).all()
