"""The accuracy to expect without labels: right where label shift is what moved, and only told of models that adjust."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from shiftfix.corrected import CovariateShiftClassifier, LabelShiftClassifier
from shiftfix.label import MLLS
from shiftfix.report._expected import drawn_recalls, drawn_shares, ends_of_draws, expected_accuracy, right_by_class


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


def test_recalls_are_counted_by_hand():
    """Class 0: three rows, of which the first model gets two right and the second one; class 1: one row of weight 2."""
    codes = [np.array([0, 0, 1, 1]), np.array([0, 1, 1, 0])]
    cells = right_by_class(codes, np.array([0, 0, 0, 1]), np.array([1.0, 1.0, 1.0, 2.0]), 2)
    assert cells.tolist() == [[1, 0, 1, 1], [0, 0, 2, 0]]
    recalls = drawn_recalls(cells, np.random.default_rng(0))
    assert_allclose(recalls[0], [[2 / 3, 1 / 3], [1, 0]])
    assert recalls.shape == (201, 2, 2)
    assert recalls[1:, 1, 0].max() < 1  # one row is no proof
    # Of many rows the draws have the binomial's spread.
    many = drawn_recalls(np.array([[100.0, 0, 200, 100]]), np.random.default_rng(0))[1:, 0]
    assert_allclose(many.mean(axis=0), [0.75, 0.25], atol=0.006)
    assert_allclose(many.std(axis=0), np.sqrt(0.75 * 0.25 / 400), rtol=0.15)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.LabelShiftRejectedWarning")
@pytest.mark.parametrize("learner", [LogisticRegression(), DecisionTreeClassifier(max_depth=6, random_state=0)])
def test_the_truth_is_in_95_of_100_intervals_whatever_the_calibration(learner):
    """30 draws of 2,000 + 2,000 rows, 30% to 80%: the accuracy on 20,000 others is in 25 at least (p < .001).

    The tree says 0 and 1 of small leaves: what its probabilities promised held the truth in 0 of 40.
    """
    held = {"before": 0, "after": 0, "change": 0}
    for seed in range(30):
        rng = np.random.default_rng(seed)
        samples = []
        for prior, n in ((0.3, 2000), (0.8, 2000), (0.8, 20_000)):
            y = (rng.random(n) < prior).astype(int)
            samples.append((rng.normal((y - 0.5)[:, np.newaxis], 1.5, (n, 8)), y))
        (X, y), (X_target, _), (X_new, y_new) = samples
        model = LabelShiftClassifier(learner, MLLS(), on_reject="correct", random_state=0).fit(X, y, X_target)
        (row,) = expected_accuracy(model)
        before, after = model.estimator_.score(X_new, y_new), model.score(X_new, y_new)
        for name, truth in (("before", before), ("after", after), ("change", after - before)):
            held[name] += row[name]["low"] <= truth <= row[name]["high"]
    assert min(held.values()) >= 25, held


@pytest.mark.slow
def test_both_accuracies_and_their_difference_under_label_shift():
    """Three draws of 2,000 rows: the truth, on 100,000 others, lies in every interval, and the gain is above 0."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        (X, y), (X_target, _), (X_new, y_new) = (
            gaussians(rng, p, n) for p, n in ((0.5, 2000), (0.92, 2000), (0.92, 100_000))
        )
        model = LabelShiftClassifier(LogisticRegression(), MLLS(), random_state=0).fit(X, y, X_target)
        (row,) = expected_accuracy(model)
        before, after = model.estimator_.score(X_new, y_new), model.score(X_new, y_new)
        for name, truth in (("before", before), ("after", after), ("change", after - before)):
            assert row[name]["low"] < truth < row[name]["high"], (name, row[name], truth)
        assert row["change"]["low"] > 0
        assert row["change"]["high"] - row["change"]["low"] < 0.08


@pytest.mark.slow
def test_nothing_is_expected_of_a_model_that_adjusts_no_class_shares(rng):
    (X, y), (X_target, _) = gaussians(rng, 0.5, 300), gaussians(rng, 0.5, 300)
    weighted = CovariateShiftClassifier(LogisticRegression(), exponent=1.0).fit(X, y, X_target)
    assert expected_accuracy(weighted) == []
    assert expected_accuracy(LabelShiftClassifier(LogisticRegression()).fit(X, y, X_target)) == []
