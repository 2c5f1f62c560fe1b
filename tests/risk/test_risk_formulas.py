"""The formulas behind estimates of the risk, against discrete populations by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.metrics import log_loss, roc_auc_score

from shiftfix.risk._atc import accuracy_threshold, share_above
from shiftfix.risk._control_variate import controlled_mean
from shiftfix.risk._doubly_robust import doubly_robust_mean, doubly_robust_variances, steadied_weights
from shiftfix.risk._hajek import hajek_variance
from shiftfix.risk._interval import (
    balanced_worth,
    interval_of_draws,
    interval_of_error,
    powered_share_interval,
    reach_of,
    wilson_ends,
)
from shiftfix.risk._label_risk import class_ratio, risk_of_classes
from shiftfix.risk._lascal import shifted_calibration_error
from shiftfix.risk._metrics import METRICS, Binned, Outputs, area_under_curve

# p = (.5, .3, .2) and q = (.1, .3, .6) as ten rows each; losses 1, 2, 4.
SOURCE, TARGET = np.repeat([0, 1, 2], [5, 3, 2]), np.repeat([0, 1, 2], [1, 3, 6])
W, LOSSES = np.array([0.2, 1.0, 3.0])[SOURCE], np.array([1.0, 2.0, 4.0])[SOURCE]
M, M_TARGET = np.array([1.0, 2.0, 3.0])[SOURCE], np.array([1.0, 2.0, 3.0])[TARGET]
ONES = np.ones(10)


def test_variances_of_a_discrete_population():
    """Per row: 20.41 without a denominator, 1.9092 with one, .518571 with the control.

    With a regression 1.44 + .45 without a denominator; with one, sum p w^2 (e - .6)^2 = .4032, e = 0, 0, 1.
    """
    assert_allclose((W * LOSSES).var(), 20.41)
    assert_allclose(10 * hajek_variance(LOSSES, W), 1.9092)
    assert_allclose(controlled_mean(W * LOSSES, W, ONES, 1.0)[1], 0.518571, atol=5e-7)
    here, there = doubly_robust_variances(LOSSES, M, W, M_TARGET)
    assert_allclose((W * (LOSSES - M)).var(), 1.44)
    assert_allclose((10 * here, 10 * there), (0.4032, 0.45))
    here, there = doubly_robust_variances(LOSSES, LOSSES, W, np.array([1.0, 2.0, 4.0])[TARGET])
    assert_allclose((10 * here, 10 * there), (0, 1.29), atol=1e-12)


def test_all_three_find_the_risk_of_a_discrete_population():
    assert_allclose(W @ LOSSES / W.sum(), 3.1)
    assert_allclose(controlled_mean(W * LOSSES, W, ONES, 1.0)[0], 3.1)
    assert_allclose(doubly_robust_mean(LOSSES, M, W, M_TARGET, ONES), 3.1)


def test_doubly_robust_is_right_when_either_part_is():
    right, wrong = np.array([1.0, 2.0, 4.0]), np.array([5.0, -1.0, 0.0])
    assert_allclose(doubly_robust_mean(LOSSES, right[SOURCE], ONES, right[TARGET], ONES), 3.1)
    assert_allclose(doubly_robust_mean(LOSSES, wrong[SOURCE], W, wrong[TARGET], ONES), 3.1)
    assert abs(doubly_robust_mean(LOSSES, wrong[SOURCE], ONES, wrong[TARGET], ONES) - 3.1) > 0.5


def test_the_control_variate_undoes_weights_that_fell_badly():
    """Losses that are linear in the weights are known to the last digit, however the sample fell."""
    w = np.array([0.5, 0.5, 3.0])
    assert_allclose(controlled_mean(w * 2.0, w, np.ones(3), 1.0)[0], 2.0)


def test_risk_of_classes():
    assert_allclose(risk_of_classes(np.array([0.3, 0.7]), np.array([0.9, 0.8])), 0.83)


def test_class_ratio_counts_rows_as_they_count():
    ratio = class_ratio(np.array([0.3, 0.7]), np.array([0, 0, 1]), np.array([1.0, 2.0, 2.0]))
    assert_allclose(ratio, [0.5, 0.5, 1.75])


@pytest.mark.parametrize("seed", range(3))
def test_a_threshold_returns_the_accuracy_that_it_was_made_for(seed):
    """Also where confidences tie, and counts are not one."""
    rng = np.random.default_rng(seed)
    confidence, counts = rng.integers(0, 4, 50) / 4, rng.integers(0, 3, 50).astype(float)
    for accuracy in (0.0, 0.31, 0.9, 1.0):
        assert_allclose(share_above(confidence, counts, accuracy_threshold(confidence, counts, accuracy)), accuracy)


def test_areas_against_scikit_learn(rng):
    y, scores = rng.integers(0, 2, 60), rng.integers(0, 9, 60)
    w = rng.uniform(size=60)
    assert_allclose(area_under_curve(scores, w * y, w * (1 - y)), roc_auc_score(y, scores, sample_weight=w))


def test_tables_against_scikit_learn(rng):
    P, y, w = rng.dirichlet(np.ones(3), 40), rng.integers(0, 3, 40), rng.uniform(size=40)
    outputs, mass = Outputs(P.argmax(axis=1), P), np.eye(3)[y] * w[:, np.newaxis]

    def value(name):
        metric = METRICS[name]
        return metric.value(metric.prepare(outputs, y, 3), mass)

    assert_allclose(value("log_loss"), log_loss(y, P, sample_weight=w))
    assert_allclose(value("accuracy"), np.average(P.argmax(axis=1) == y, weights=w))
    assert_allclose(value("brier"), np.average(np.square(P - np.eye(3)[y]).sum(axis=1), weights=w))
    recalls = [np.average(P[y == k].argmax(axis=1) == k, weights=w[y == k]) for k in range(3)]
    assert_allclose(value("balanced_accuracy"), np.mean(recalls))


def test_a_mean_over_classes_needs_every_class():
    mass = np.eye(3)[[0, 0, 1]]
    assert np.isnan(METRICS["balanced_accuracy"].value(mass, mass))
    outputs = Outputs(np.array([0, 0, 1]), np.array([[0.6, 0.3, 0.1], [0.7, 0.2, 0.1], [0.1, 0.8, 0.1]]))
    metric = METRICS["auc"]
    assert np.isnan(metric.value(metric.prepare(outputs, None, 3), mass))


def test_worth_of_a_mean_over_classes():
    """Classes of 10 and 40: shares of a half err by .25 / 10 and .25 / 40, their mean by a quarter of the sum."""
    assert_allclose(balanced_worth(np.array([10.0, 40.0])), 0.25 / ((0.25 / 10 + 0.25 / 40) / 4))
    assert balanced_worth(np.array([10.0, 0.0])) == 0


def test_calibration_error_by_hand():
    """Confidence .6 and right once in two, .95 and right always: (2 x .1 + 2 x .05) / 4."""
    outputs = Outputs(np.zeros(4, dtype=int), np.array([[0.6, 0.4], [0.6, 0.4], [0.95, 0.05], [0.95, 0.05]]))
    metric = METRICS["calibration_error"]
    assert_allclose(metric.value(metric.prepare(outputs, None, 2), np.eye(2)[[0, 1, 0, 0]]), 0.075)


def test_calibration_error_under_label_shift_by_hand():
    """One bin of confidence .9; right rows weigh 1 and wrong ones 3, so that accuracy is 1/2 for the target."""
    rows = Binned(np.zeros(4, dtype=int), np.full(4, 0.9), np.zeros(4, dtype=int))
    found = shifted_calibration_error(rows, np.array([1.0, 1, 1, 0]), np.array([1.0, 1, 1, 3]), rows, np.ones(4))
    assert_allclose(found, 0.4)


def test_intervals_of_several_values_hold_together():
    draws = np.random.default_rng(0).normal(size=(4000, 5))
    errors = draws.std(axis=0)
    assert_allclose(reach_of(draws[:, :1], errors[:1], 0.95), 1.96, atol=0.001)
    assert_allclose(reach_of(draws, errors, 0.95), 2.57, atol=0.06)  # that of five independent normals


def test_a_value_that_no_draw_knows_is_unknown():
    draws = np.array([[0.5, np.nan], [0.6, np.nan], [0.4, 0.1]])
    found = interval_of_draws(np.array([0.5, 0.4]), draws, 0.95, METRICS["accuracy"], [9, 9])
    assert (found.low[1], found.high[1]) == (0, 1)
    assert 0 < found.low[0] < 0.5 < found.high[0] < 1


def test_intervals_of_a_share_are_at_least_wilsons_and_of_a_loss_symmetric():
    """The ends of Wilson's are the shares whose own error puts them z away; beyond them lies .9 + 1.96 x .03."""
    low, high = interval_of_error(0.9, 0.03, 1.96, METRICS["accuracy"], 100)
    assert_allclose((0.9 - low) / np.sqrt(low * (1 - low) * 0.03**2 / 0.09), 1.96)
    assert_allclose(high, 0.9588)
    assert_allclose(interval_of_error(0.9, 0.03, 2.0, METRICS["log_loss"], 100), (0.84, 0.96))
    assert interval_of_error(0.01, 0.03, 2.0, METRICS["mae"], 100)[0] == 0


def test_rows_that_are_all_right_are_not_known_to_be():
    low, high = interval_of_error(1.0, 0.0, 1.96, METRICS["accuracy"], 50)
    assert_allclose((low, high), (1 / (1 + 1.96**2 / 50), 1))


def test_weights_that_rest_on_few_rows_are_steadied_and_others_left():
    w, counts = np.append(np.ones(299), 5000.0), np.ones(300)
    steady = steadied_weights(w, counts)
    assert_allclose(steady.sum() ** 2 / (steady**2).sum(), 100)
    assert (steadied_weights(np.arange(1.0, 301), counts) == np.arange(1.0, 301)).all()


def test_wilson_by_hand():
    """Of 8 in 10 at 95%: .490 to .943 (Wilson 1927); of 10 in 10 the lower end is 1 / (1 + z^2 / 10)."""
    assert_allclose(powered_share_interval(0.8, 0.8 * 0.2 / 10, 10, 0.95), (0.490, 0.943), atol=5e-4)
    assert_allclose(powered_share_interval(1.0, 0.0, 10, 0.95), (1 / (1 + 1.959964**2 / 10), 1), atol=1e-6)


@pytest.mark.parametrize("n", range(1, 60))
def test_a_share_lies_within_its_interval_to_the_last_digit(n):
    for share in (0.0, 1.0):
        low, high = powered_share_interval(share, 0.0, n, 0.95)
        assert low <= share <= high


def test_near_one_a_share_is_worth_its_labels_at_least():
    """.995 with the variance of a share of .96 of 50 labels is not worth 6 of them."""
    assert_allclose(powered_share_interval(0.995, 0.96 * 0.04 / 50, 50, 0.95), wilson_ends(0.995, 50, 1.959964))
