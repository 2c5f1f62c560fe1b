"""The accuracy to expect without labels: right where label shift is what moved, and only told of models that adjust."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import LogisticRegression

from shiftfix.corrected import CovariateShiftClassifier, LabelShiftClassifier
from shiftfix.label import MLLS
from shiftfix.report._expected import drawn_shares, ends_of_draws, expected_accuracy


def gaussians(rng, prior, n):
    y = (rng.random(n) < prior).astype(int)
    return rng.normal(2 * y - 1, 1.5)[:, np.newaxis], y


def test_draws_have_the_estimate_first_and_its_covariance():
    estimate, covariance = np.array([0.3, 0.3, 0.4]), 1e-4 * np.array([[2.0, -1, -1], [-1, 2, -1], [-1, -1, 2]])
    draws = drawn_shares(estimate, covariance, np.random.default_rng(0))
    assert_allclose(draws[0], estimate)
    assert_allclose(draws.sum(axis=1), 1)
    assert_allclose(np.cov(draws[1:].T), covariance, atol=5e-5)  # 200 draws: some 1 in 10 of 2e-4


def test_the_interval_is_the_middle_of_the_draws():
    assert ends_of_draws(np.arange(-1.0, 200)) == {"value": -1, "low": -1, "high": pytest.approx(194.025)}


@pytest.mark.slow
def test_both_accuracies_and_their_difference_under_label_shift():
    """Three draws of 2,000 rows: the truth, on 100,000 others, lies in every interval, and the gain is above 0."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        (X, y), (X_target, _), (X_new, y_new) = (
            gaussians(rng, p, n) for p, n in ((0.5, 2000), (0.92, 2000), (0.92, 100_000))
        )
        model = LabelShiftClassifier(LogisticRegression(), MLLS(), random_state=0).fit(X, y, X_target)
        (row,) = expected_accuracy(model, X_target)
        before, after = model.estimator_.score(X_new, y_new), model.score(X_new, y_new)
        for name, truth in (("before", before), ("after", after), ("change", after - before)):
            assert row[name]["low"] < truth < row[name]["high"], (name, row[name], truth)
        assert row["change"]["low"] > 0
        assert row["change"]["high"] - row["change"]["low"] < 0.08


@pytest.mark.slow
def test_nothing_is_expected_of_a_model_that_adjusts_no_class_shares(rng):
    (X, y), (X_target, _) = gaussians(rng, 0.5, 300), gaussians(rng, 0.5, 300)
    weighted = CovariateShiftClassifier(LogisticRegression(), exponent=1.0).fit(X, y, X_target)
    assert expected_accuracy(weighted, X_target) == []
    assert expected_accuracy(LabelShiftClassifier(LogisticRegression()).fit(X, y, X_target), X_target) == []
