"""Calibration against closed forms, known parameters, a general solver and its own first-order conditions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logit, softmax
from sklearn.base import clone

from shiftfix.exceptions import ShiftDataError
from shiftfix.label._calibration import (
    CALIBRATIONS,
    ScoreCalibrator,
    calibrate,
    choose_calibration,
    fit_calibration,
    held_out_counts,
    scrambled,
)
from shiftfix.label._likelihood import SCALE_BOUNDS
from tests.label.scores import labelled_scores, loss

FITTED = ["temperature", "bcts", "vector"]


@pytest.mark.parametrize(("says", "right"), [(0.99, 0.8), (0.6, 0.9)])
def test_temperature_of_a_classifier_that_says_one_thing(says, right):
    """It says c and is right with rate r: the scale is logit(r) / logit(c)."""
    y = np.repeat([0, 1], 100)
    is_right = np.tile(np.arange(100) < 100 * right, 2)
    scores = np.where((y == 0) == is_right, says, 1 - says)
    scores = np.column_stack([scores, 1 - scores])
    scale, bias = fit_calibration(scores, y, np.ones(200), "temperature")
    assert_allclose(scale, logit(right) / logit(says), rtol=1e-8)
    assert_allclose(bias, 0, atol=1e-12)
    assert_allclose(calibrate(scores, scale, bias).max(axis=1), right, rtol=1e-8)


def test_bias_of_scores_that_say_nothing():
    """Uniform scores become the class frequencies."""
    y, scores = np.repeat([0, 1, 2], [5, 3, 2]), np.full((10, 3), 1 / 3)
    scale, bias = fit_calibration(scores, y, np.ones(10), "bcts")
    assert_allclose(calibrate(scores, scale, bias), np.tile([0.5, 0.3, 0.2], (10, 1)), rtol=1e-9)


@pytest.mark.parametrize("kind", FITTED)
@pytest.mark.parametrize("seed", range(5))
def test_recovers_the_calibration_that_made_the_labels(kind, seed):
    """Each row counts P_k times with label k, P = softmax(a log scores + b): the optimum is (a, b).

    Allowed 1e-6; measured up to 3e-9. A temperature for a scale misses by a factor of up to 4.
    """
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.full(4, 0.7), size=50) * 0.99 + 0.0025
    scale = rng.uniform(0.5, 2, 4 if kind == "vector" else 1) * np.ones(4)
    bias = np.zeros(4) if kind == "temperature" else rng.normal(size=4)
    P = softmax(scale * np.log(scores) + bias, axis=1)
    found, found_bias = fit_calibration(np.repeat(scores, 4, axis=0), np.tile(np.arange(4), 50), P.ravel(), kind)
    assert_allclose(found, scale, rtol=1e-6)
    assert_allclose(found_bias, bias - bias.mean(), atol=1e-6)
    assert_allclose(calibrate(scores, found, found_bias), P, atol=1e-7)


@pytest.mark.slow
@given(seed=st.integers(0, 10_000), kind=st.sampled_from(["bcts", "vector"]), n_classes=st.integers(2, 6))
def test_mean_calibrated_score_is_the_class_frequency(seed, kind, n_classes):
    """The condition that makes the class frequencies the prior to divide by, to 1e-8 and with repeat counts."""
    scores, y = labelled_scores(seed, n_rows=60, n_classes=n_classes)
    weight = np.random.default_rng(seed).integers(1, 4, len(y)).astype(float)
    mean = np.average(calibrate(scores, *fit_calibration(scores, y, weight, kind)), axis=0, weights=weight)
    assert_allclose(mean, np.bincount(y, weights=weight) / weight.sum(), atol=1e-8)


@pytest.mark.slow
def test_more_parameters_fit_no_worse():
    for seed in range(10):
        scores, y = labelled_scores(seed)
        ones = np.ones(len(y))
        losses = [loss(scores, y, ones, *fit_calibration(scores, y, ones, kind)) for kind in CALIBRATIONS]
        assert (np.diff(losses) <= 1e-12).all()


@pytest.mark.parametrize("kind", [*FITTED, "auto"])
def test_a_count_of_two_is_the_row_twice(kind):
    scores, y = labelled_scores(5)
    weight = np.random.default_rng(0).integers(0, 4, len(y))
    weight[:8] = 1
    counted = ScoreCalibrator(kind).fit(scores, y, sample_weight=weight)
    repeated = ScoreCalibrator(kind).fit(np.repeat(scores, weight, axis=0), np.repeat(y, weight))
    assert counted.kind_ == repeated.kind_
    assert_allclose(counted.transform(scores), repeated.transform(scores), atol=1e-8)
    assert counted.losses_ == pytest.approx(repeated.losses_, abs=1e-4)


@pytest.mark.parametrize("kind", FITTED)
def test_renaming_the_classes_renames_the_calibration(kind):
    scores, y = labelled_scores(6)
    order = np.array([2, 0, 3, 1])
    scale, bias = fit_calibration(scores, y, np.ones(len(y)), kind)
    renamed = fit_calibration(scores[:, order], np.argsort(order)[y], np.ones(len(y)), kind)
    assert_allclose(renamed, [scale[order], bias[order]], atol=1e-6)


EYE = np.eye(3)
Y = np.repeat([0, 1, 2], [6, 5, 1])
DEGENERATE = {
    "every row right, with score 1": EYE[Y],
    "every row wrong, with score 1": EYE[(Y + 1) % 3],
    "one row wrong, with score 1": np.vstack([EYE[Y[:-2]], EYE[[0, 2]]]),
    "separated but unsure": 0.3 + 0.1 * EYE[Y],
    "uniform": np.full((12, 3), 1 / 3),
    "a class that is never scored": np.column_stack([np.tile([0.9, 0.1], 6), np.tile([0.1, 0.9], 6), np.zeros(12)]),
    "a class that is scored once": np.vstack([np.tile([0.7, 0.3, 0.0], (11, 1)), [0.4, 0.3, 0.3]]),
    "rounded to 0 and 1 in places": np.vstack(
        [EYE[[0] * 4], np.tile([0.5, 0.5, 0], (4, 1)), np.tile([0.2, 0.4, 0.4], (4, 1))]
    ),
    "denormal": np.tile([1 - 1e-310, 1e-310, 0], (12, 1)),
}


@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.parametrize("kind", [*FITTED, "auto"])
def test_degenerate_scores_end_finite(name, kind):
    calibrator = ScoreCalibrator(kind).fit(DEGENERATE[name], Y)
    calibrated = calibrator.transform(DEGENERATE[name])
    assert np.isfinite([calibrator.scale_, calibrator.bias_]).all()
    assert (calibrator.scale_ >= SCALE_BOUNDS[0]).all()
    assert (calibrator.scale_ <= SCALE_BOUNDS[1]).all()
    assert_allclose(calibrated.sum(axis=1), 1)
    if calibrator.kind_ in ("bcts", "vector"):
        assert_allclose(calibrated.mean(axis=0), np.bincount(Y) / 12, atol=1e-8)


def test_no_calibration_leaves_scores_alone():
    scores = np.array([[0.5, 0.5, 0.0], [1e-30, 1e-3, 1 - 1e-3], [0, 0, 1]])
    assert_array_equal(fit_calibration(scores, np.array([0, 1, 2]), np.ones(3), "none"), [[1, 1, 1], [0, 0, 0]])
    assert_allclose(calibrate(scores, np.ones(3), np.zeros(3)), scores, rtol=1e-12, atol=1e-37)


@pytest.mark.parametrize("kind", FITTED)
def test_float32_scores_give_the_float64_answer(kind):
    scores, y = labelled_scores(7)
    single = scores.astype(np.float32)
    scale, bias = fit_calibration(single, y, np.ones(len(y)), kind)
    assert_allclose([scale, bias], fit_calibration(single.astype(float), y, np.ones(len(y)), kind), rtol=1e-12)
    assert calibrate(single, scale, bias).dtype == np.float32
    assert_allclose(calibrate(single, scale, bias), calibrate(scores, scale, bias), rtol=1e-4)


@pytest.mark.slow
def test_many_classes():
    """300 classes, 3,000 rows in float32: the first-order condition still holds."""
    scores, y = labelled_scores(0, n_rows=3000, n_classes=300)
    calibrated = calibrate(
        scores.astype(np.float32), *fit_calibration(scores.astype(np.float32), y, np.ones(3000), "bcts")
    )
    assert_allclose(calibrated.mean(axis=0, dtype=np.float64), np.bincount(y) / 3000, atol=1e-8)


def test_rows_are_dealt_to_folds_class_by_class():
    y = np.repeat([0, 1, 2, 3], [100, 7, 3, 1])
    held_out = held_out_counts(y, np.ones(111), 5)
    assert_array_equal(held_out.sum(axis=1), np.append(np.ones(110), 0))
    assert_array_equal(held_out[:100].sum(axis=0), 20)
    assert set(held_out[100:107].sum(axis=0)) <= {1, 2}
    assert set(held_out[107:110].sum(axis=0)) <= {0, 1}


def test_counts_are_dealt_like_repeated_rows_and_fractions_are_not_lost():
    rng = np.random.default_rng(0)
    y, weight = rng.integers(0, 3, 40), rng.integers(0, 9, 40)
    repeated = held_out_counts(np.repeat(y, weight), np.ones(weight.sum()), 5)
    starts = np.cumsum(weight) - weight
    sums = [repeated[start : start + count].sum(axis=0) for start, count in zip(starts, weight, strict=True)]
    assert_array_equal(held_out_counts(y, weight.astype(float), 5), sums)
    fractions = rng.uniform(1, 1e6, 40)
    assert_allclose(held_out_counts(y, fractions, 5).sum(axis=1), fractions)


def test_no_pattern_of_the_rows_meets_the_folds():
    """Every fifth row wrong, five folds: all wrong rows in one fold would hide that the classifier is overconfident."""
    held_out = held_out_counts(np.zeros(10_000, int), np.ones(10_000), 5)
    for period in range(2, 30):
        share = held_out[::period].sum(axis=0) / held_out[::period].sum()
        assert_allclose(share, 0.2, atol=5 * np.sqrt(0.16 * period / 10_000))
    assert len(np.unique(scrambled(np.arange(1000)))) == 1000


@pytest.mark.slow
def test_held_out_losses_are_those_of_folds_written_out():
    scores, y = labelled_scores(8)
    _, losses = choose_calibration(scores, y, np.ones(len(y)))
    order = np.argsort(np.round(np.log(scores) @ (np.arange(1, scores.shape[1] + 1) * 0.6180339887498949 % 1), 9))
    fold = np.empty(len(y), int)
    fold[order] = held_out_counts(y[order], np.ones(len(y)), 5).argmax(axis=1)
    for kind in CALIBRATIONS:
        total = 0.0
        for k in range(5):
            inside, outside = fold != k, fold == k
            fitted = fit_calibration(scores[inside], y[inside], np.ones(inside.sum()), kind)
            total += outside.sum() * loss(scores[outside], y[outside], None, *fitted)
        assert losses[kind] == pytest.approx(total / len(y), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("expected", "sharpness", "bias", "n_rows"),
    [("none", 1, 0, 400), ("temperature", 3, 0, 400), ("bcts", 3, 1, 1000), ("temperature", 3, 0.2, 60)],
)
def test_auto_takes_what_the_labels_support(expected, sharpness, bias, n_rows):
    """Right scores, too sharp ones, biased ones, and a small bias that fifteen labels per class do not show: more often
    than anything else. Over 60 samples 42, 43, 56 and 46; the rest are samples in which chance favours another kind."""
    samples = [labelled_scores(seed, n_rows, 4, sharpness, bias) for seed in range(15)]
    chosen = [choose_calibration(scores, y, np.ones(n_rows))[0] for scores, y in samples]
    assert chosen.count(expected) == max(chosen.count(kind) for kind in CALIBRATIONS)


@pytest.mark.slow
def test_auto_leaves_out_biases_that_clearly_cost():
    """Right scores and exactly three labels of each of 20 classes, frequencies that any bias can only miss: in none of
    10 samples."""
    y = np.repeat(np.arange(20), 3)
    for seed in range(10):
        logits = np.random.default_rng(seed).normal(size=(60, 20)) + np.eye(20)[y]
        assert choose_calibration(softmax(logits, axis=1), y, np.ones(60))[0] in ("none", "temperature")


@pytest.mark.slow
def test_auto_takes_a_scale_per_class_beyond_doubt():
    """Scores of one class raised to the third power, another's to one third: 2,000 rows tell."""
    scores, y = labelled_scores(3, 2000, 4, 1, 0)
    assert choose_calibration(softmax(np.log(scores) * [3, 1, 1, 1 / 3], axis=1), y, np.ones(len(y)))[0] == "vector"


@pytest.mark.slow
def test_many_scores_hold_out_fewer_folds(monkeypatch):
    """The losses of the folds left are those of all folds, fold by fold."""
    scores, y = labelled_scores(8, 400)
    counts = np.ones(len(y))
    _, every = choose_calibration(scores, y, counts)
    monkeypatch.setattr("shiftfix.label._calibration.CHOICE_ENTRIES", 3 * scores.size)
    _, three = choose_calibration(scores, y, counts)
    monkeypatch.setattr("shiftfix.label._calibration.CHOICE_ENTRIES", 0)
    _, one = choose_calibration(scores, y, counts)
    order = np.argsort(np.round(np.log(scores) @ (np.arange(1, scores.shape[1] + 1) * 0.6180339887498949 % 1), 9))
    fold = np.empty(len(y), int)
    fold[order] = held_out_counts(y[order], counts[order], 5).argmax(axis=1)
    for found, n_folds in ((every, 5), (three, 3), (one, 1)):
        inside = fold < n_folds
        own = -np.log(scores[np.arange(len(y)), y])
        assert found["none"] == pytest.approx(own[inside].mean(), rel=1e-9)


def test_auto_with_a_row_per_class_leaves_the_scores_alone():
    calibrator = ScoreCalibrator().fit([[0.9, 0.1], [0.2, 0.8]], ["a", "b"])
    assert (calibrator.kind_, calibrator.losses_) == ("none", {})
    assert_allclose(calibrator.transform([[0.3, 0.7]]), [[0.3, 0.7]])


def test_estimator_maps_labels_to_columns():
    """Columns in the order of ``classes``, here not the sorted one."""
    scores, y = labelled_scores(9)
    names = np.array(["d", "b", "a", "c"])
    order = np.argsort(names)
    plain = ScoreCalibrator("vector").fit(scores, y)
    named = ScoreCalibrator("vector").fit(scores, names[y], classes=names)
    by_default = ScoreCalibrator("vector").fit(scores[:, order], names[y])
    assert_array_equal(named.classes_, names)
    assert_allclose(named.transform(scores), plain.transform(scores))
    assert_allclose(by_default.transform(scores[:, order]), plain.transform(scores)[:, order], atol=1e-7)
    assert plain.losses_ == {}
    assert clone(named).get_params() == {"kind": "vector"}


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"kind": "platt"}, "kind='platt'.*'auto', 'none', 'temperature', 'bcts', 'vector'"),
        ({"scores": [[0.5, 0.6]] * 4}, "scores is not made of probabilities"),
        ({"y": [0, 1, 0]}, "3 labels for 4 rows"),
        ({"y": [0, 0, 0, 0], "scores": [[1.0]] * 4}, "one class only"),
        ({"y": [0, 1, 2, 2]}, "2 columns for 3 classes"),
        ({"y": [0, 0, 0, 0], "classes": [0, 1]}, r"no rows of \[1\]"),
        ({"y": [0, 1, 2, 1], "classes": [0, 1]}, r"y holds \[2\]"),
        ({"classes": [1, 1]}, "repeats a label"),
        ({"sample_weight": [1, 0, 1, 0]}, r"no rows of \[1\]"),
        ({"sample_weight": [1, -1, 1, 1]}, "negative"),
    ],
)
def test_bad_input_says_what_to_do(keywords, words):
    arguments = {"scores": [[0.9, 0.1], [0.2, 0.8]] * 2, "y": [0, 1, 0, 1]} | keywords
    kind = arguments.pop("kind", "auto")
    with pytest.raises(ShiftDataError, match=words):
        ScoreCalibrator(kind).fit(arguments.pop("scores"), arguments.pop("y"), **arguments)


def test_transform_wants_the_columns_fitted():
    with pytest.raises(ShiftDataError, match="3 columns for 2 classes"):
        ScoreCalibrator("bcts").fit([[0.9, 0.1], [0.2, 0.8]], [0, 1]).transform(np.full((1, 3), 1 / 3))
