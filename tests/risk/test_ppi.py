"""Prediction-powered means against closed forms, and against labels alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from shiftfix.risk._ppi import best_power, labels_worth, ppi_mean, ppi_mean_of_sampled, steadied_variance


def test_by_hand():
    """Power 1: mean of the others' scores plus that of the surprises; 2/3 / 3 + (2/3 + 0) / 2 by hand."""
    found = ppi_mean(np.array([1.0, 2.0]), np.array([0.0, 1.0]), np.array([0.0, 1.0, 2.0]), power=1.0)
    assert found == (2.0, 1 / 3, 1.0)


def test_power_nought_is_the_mean_of_the_labels(rng):
    values, scores, others = rng.normal(size=20), rng.normal(size=20), rng.normal(size=50)
    mean, variance, power = ppi_mean(values, scores, others, power=0)
    assert_allclose((mean, variance, power), (values.mean(), values.var(ddof=1) / 20, 0))


@given(a=st.floats(-3, 3), b=st.floats(-3, 3), seed=st.integers(0, 99))
def test_the_unit_of_the_scores_does_not_matter(a, b, seed):
    rng = np.random.default_rng(seed)
    scores, others = rng.normal(size=30), rng.normal(size=60)
    values = scores + rng.normal(size=30)
    scale = 1 + abs(a)
    assert_allclose(
        ppi_mean(values, scores, others)[:2], ppi_mean(values, scale * scores + b, scale * others + b)[:2], rtol=1e-7
    )


def test_scores_that_tell_all_leave_the_error_of_all_rows(rng):
    """L = g: the mean of all n + N rows, to the last digit, and no error of the labels is left."""
    scores, others = rng.normal(size=50), rng.normal(size=150)
    mean, _, power = ppi_mean(scores, scores, others, power=150 / 200)
    assert power == 0.75
    assert_allclose(mean, np.append(scores, others).mean())
    assert_allclose(best_power(scores, scores, others), 0.75, rtol=0.3)


def test_scores_that_tell_nothing_change_nothing(rng):
    values = rng.normal(size=40)
    assert_allclose(ppi_mean(values, np.ones(40), np.ones(10))[:2], (values.mean(), values.var(ddof=1) / 40))
    assert ppi_mean(values, rng.normal(size=40), np.empty(0)).power == 0


@pytest.mark.slow
def test_narrower_than_labels_alone_by_what_theory_says():
    """Var = Var(L) / n (1 - r^2 / (1 + n / N)); r^2 = .8, n / N = .25: the share is .36. Mean of 400 draws."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(400):
        scores, others = rng.normal(size=200), rng.normal(size=800)
        values = 2 * scores + rng.normal(size=200)
        found.append((ppi_mean(values, scores, others), values.mean()))
    means = np.array([f.mean for f, _ in found])
    variances = np.array([f.variance for f, _ in found])
    assert_allclose(variances.mean() / (5 / 200), 0.36, rtol=0.03)
    assert_allclose(means.var() / (5 / 200), 0.36, rtol=0.25)
    assert abs(means.mean()) < 4 * np.sqrt(0.009 / 400)


def test_known_probabilities_by_hand():
    found = ppi_mean_of_sampled(np.array([3.0]), np.array([1.0, 2.0]), np.array([0]), np.array([0.5]), power=1.0)
    assert found.mean == pytest.approx((1 + (3 - 1) / 0.5 + 2) / 2)


def test_one_probability_for_all_is_labels_at_random(rng):
    """However many rows it happened to draw: mean and variance are those of the labels, and all count."""
    values, rows, same = (rng.uniform(size=40) < 0.9).astype(float), np.arange(40), np.full(40, 0.05)
    found = ppi_mean_of_sampled(values, np.zeros(2000), rows, same)
    assert_allclose(found, ppi_mean(values, np.zeros(40), np.zeros(1960)), rtol=1e-9)
    assert_allclose(labels_worth(same, 40), 40)
    scores = rng.normal(size=2000)
    powered = ppi_mean_of_sampled(values, scores, rows, same, power=0.7)
    plain = ppi_mean(values - 0.7 * scores[:40], np.zeros(40), np.zeros(1960))
    assert_allclose(powered.mean, plain.mean + 0.7 * scores.mean())


def test_a_share_stays_a_share_whatever_the_probabilities(rng):
    chances = np.where(np.arange(50) < 10, 0.01, 0.09)
    assert_allclose(ppi_mean_of_sampled(np.ones(50), np.zeros(900), np.arange(50), chances)[:2], (1, 0))
    assert_allclose(labels_worth(chances, 50), 50 * (10 * 9 + 40) ** 2 / 50 / (10 * 81 + 40))


def test_few_labels_without_residuals_leave_variance():
    """Twenty labels that the scores explain halve the variance, and no more; many leave what they find."""
    assert steadied_variance(0.0, 0.1, 20) == 0.05
    assert_allclose(steadied_variance(0.01, 0.1, 1e12), 0.01)
    assert steadied_variance(0.2, 0.1, 20) == 0.2


@pytest.mark.slow
def test_known_probabilities_undo_a_biased_choice_of_rows():
    rng = np.random.default_rng(2)
    errors, naive, held = [], [], []
    for _ in range(400):
        scores = rng.uniform(size=1000)
        losses = scores + rng.normal(0, 0.3, 1000)
        probability = 0.05 + 0.4 * scores
        rows = np.flatnonzero(rng.uniform(size=1000) < probability)
        mean, variance, _ = ppi_mean_of_sampled(losses[rows], scores, rows, probability[rows])
        errors.append(mean - 0.5)
        naive.append(losses[rows].mean() - 0.5)
        held.append(abs(mean - 0.5) < 1.96 * np.sqrt(variance))
    assert abs(np.mean(errors)) < 4 * np.std(errors) / 20
    assert np.mean(naive) > 0.1
    assert 0.92 <= np.mean(held) <= 0.98
