"""The temperature of a classifier: its value, what it must leave alone, and when there is none."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from shiftfix.exceptions import ShiftDataError
from shiftfix.label import ScoreCalibrator
from shiftfix.mlp import MLPClassifier, WeightedTrainer
from shiftfix.mlp._saving._model import pack_estimator, unpack_estimator
from shiftfix.mlp._temperature import INVERSE_BOUNDS, SPREAD, fit_temperature, scaled_proba

NO_PRIOR = np.inf


def two_levels(n_right, n_wrong, sure=0.99):
    """Rows said to be of class 0 with one probability, of which some are of class 1."""
    codes = np.repeat([0, 1], [n_right, n_wrong])
    return np.tile([sure, 1 - sure], (len(codes), 1)), codes


# ---------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize(("n_right", "n_wrong"), [(80, 20), (190, 10), (60, 40)])
def test_closed_form_of_one_level_of_confidence(n_right, n_wrong):
    """All rows say .99, and at the maximum the scaled probability is the share that is right."""
    proba, codes = two_levels(n_right, n_wrong)
    found = fit_temperature(proba, codes, np.ones(len(codes)), NO_PRIOR)
    assert found == pytest.approx(np.log(99) / np.log(n_right / n_wrong), rel=1e-9)
    assert_allclose(scaled_proba(proba, found)[0, 0], n_right / (n_right + n_wrong), rtol=1e-9)


def test_the_prior_enters_as_stated():
    """With one level of confidence, of logit l, the slope is n (p - share) l + (a - 1) / SPREAD^2, and 0."""
    proba, codes = two_levels(80, 20)
    inverse = 1 / fit_temperature(proba, codes, np.ones(100))
    logit = np.log(99)
    slope = 100 * (1 / (1 + np.exp(-inverse * logit)) - 0.8) * logit + (inverse - 1) / SPREAD**2
    assert slope == pytest.approx(0, abs=1e-7)


def random_scores(seed, n_rows=300, n_classes=4, sharpness=3.0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n_rows, n_classes))
    truth = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    codes = (truth.cumsum(axis=1) < rng.random((n_rows, 1))).sum(axis=1)
    sharp = np.exp(sharpness * logits)
    return sharp / sharp.sum(axis=1, keepdims=True), codes, rng


@pytest.mark.parametrize("seed", range(5))
def test_without_a_prior_it_is_the_maximum_of_likelihood(seed):
    """The calibrator of label shift solves the same problem by another algorithm, for whole-number weights."""
    proba, codes, rng = random_scores(seed)
    weight = rng.integers(1, 5, len(codes)).astype(float)
    calibrator = ScoreCalibrator("temperature").fit(proba, codes, sample_weight=weight)
    assert 1 / fit_temperature(proba, codes, weight, NO_PRIOR) == pytest.approx(calibrator.scale_[0], rel=1e-7)


@pytest.mark.parametrize("seed", range(3))
def test_the_temperature_that_was_put_in_comes_out(seed):
    """Scores three times too sharp. The standard error is .085 for 3,000 rows; a fit upside down misses by 2.7."""
    proba, codes, _ = random_scores(seed, 3000)
    assert fit_temperature(proba, codes, np.ones(3000), NO_PRIOR) == pytest.approx(3, abs=0.4)


# ---------------------------------------------------------------------------------------- invariances


def test_a_weight_of_two_is_the_row_twice():
    proba, codes, rng = random_scores(0)
    counts = rng.integers(1, 4, len(codes))
    repeated = np.repeat(np.arange(len(codes)), counts)
    weighted = fit_temperature(proba, codes, counts.astype(float), NO_PRIOR)
    assert weighted == pytest.approx(
        fit_temperature(proba[repeated], codes[repeated], np.ones(len(repeated)), NO_PRIOR), rel=1e-9
    )
    assert weighted != pytest.approx(fit_temperature(proba, codes, np.ones(len(codes)), NO_PRIOR), rel=1e-4)


def test_only_ratios_of_the_weights_matter():
    proba, codes, rng = random_scores(1)
    weight = rng.exponential(size=len(codes))
    assert fit_temperature(proba, codes, weight) == pytest.approx(fit_temperature(proba, codes, 1e6 * weight), rel=1e-9)


def test_the_order_of_the_classes_stays():
    proba, _, _ = random_scores(2)
    for temperature in (0.2, 1.0, 7.0):
        scaled = scaled_proba(proba, temperature)
        assert_allclose(scaled.sum(axis=1), 1, rtol=1e-12)
        assert_array_equal(scaled.argsort(axis=1), proba.argsort(axis=1))
    assert scaled_proba(proba, 1.0) is proba


# ------------------------------------------------------------------------------------- where it stays 1


@pytest.mark.parametrize(
    ("proba", "codes"),
    [
        (np.array([[0.9, 0.1]]), np.array([0])),
        (np.tile([0.9, 0.1], (500, 1)), np.zeros(500, dtype=int)),  # one class says nothing of the other
        (np.array([[0.9, 0.1], [0.2, 0.8]] * 5), np.array([0, 1] * 5)),  # ten rows, all of them right
        (np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([0, 1])),
        (np.full((300, 3), 1 / 3), np.arange(300) % 3),  # any temperature is as good
    ],
    ids=["one row", "one class", "all right", "two rows, impossible", "no information"],
)
def test_rows_that_do_not_tell_leave_one(proba, codes):
    found = fit_temperature(proba, codes, np.ones(len(codes)))
    assert found == 1 or (proba == 0).any()
    assert np.isfinite(found)


def test_calibrated_scores_are_left_alone():
    """Nine of ten samples gain less than the nat that a parameter costs: P(chi2_1 / 2 > 1) = .16."""
    stays = [fit_temperature(*random_scores(seed, sharpness=1.0)[:2], np.ones(300)) == 1 for seed in range(40)]
    assert np.mean(stays) > 0.65


def test_impossible_scores_give_the_bound():
    proba, codes = np.tile([1.0, 0.0], (400, 1)), np.arange(400) % 2
    assert fit_temperature(proba, codes, np.ones(400), NO_PRIOR) == pytest.approx(1 / INVERSE_BOUNDS[0])


# ----------------------------------------------------------------------------------------- the estimator


def noisy(n_rows=400, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 8))
    y = np.array(["a", "b", "c"])[np.clip(np.round(X[:, 0] + rng.normal(size=n_rows)) + 1, 0, 2).astype(int)]
    return X, y, rng.exponential(size=n_rows)


SETTINGS = {"max_epochs": 60, "dropout": 0.0, "learning_rate": 0.01, "patience": 60, "random_state": 0}


@pytest.fixture(scope="module")
def overconfident():
    """The epoch with the least validation loss is calibrated by choice: half of the labels are wrong in training."""
    X, y, weight = noisy()
    rng = np.random.default_rng(1)
    flipped = np.where(rng.random(len(y)) < 0.6, rng.permutation(y), y)
    model = MLPClassifier((64,), **SETTINGS).fit(X, y, weight, eval_set=(X, flipped))
    return model, X, flipped


@pytest.mark.slow
def test_it_is_that_of_the_held_out_rows(overconfident):
    model, X, y = overconfident
    plain = model.predict_proba_members(X).mean(axis=0)
    codes = np.searchsorted(model.classes_, y)
    assert model.temperature_ > 1.05
    # Held-out outputs are float32 in training, float64 here: 1e-5 apart at most.
    assert model.temperature_ == pytest.approx(fit_temperature(plain, codes, np.ones(len(y))), rel=1e-4)
    own = np.arange(len(y)), codes
    assert np.log(model.predict_proba(X)[own]).mean() > np.log(plain[own]).mean()


@pytest.mark.slow
def test_the_predicted_classes_stay(overconfident):
    model, X, _ = overconfident
    assert_array_equal(model.predict(X), model.classes_[model.predict_proba_members(X).mean(axis=0).argmax(axis=1)])
    assert_array_equal(model.predict(X), model.classes_[model.predict_proba(X).argmax(axis=1)])
    assert_allclose(np.exp(model.predict_log_proba(X)), model.predict_proba(X))


@pytest.mark.slow
def test_it_is_saved_and_a_forged_one_refused(overconfident, tmp_path):
    model, X, _ = overconfident
    model.save(tmp_path / "model")
    assert_array_equal(MLPClassifier.load(tmp_path / "model").predict_proba(X), model.predict_proba(X))
    content = pack_estimator(model)
    for wrong in (0.0, -1.0, float("nan"), float("inf"), True, "2", None, 1e300):
        with pytest.raises(ShiftDataError, match="temperature_ is"):
            unpack_estimator(content | {"fitted": content["fitted"] | {"temperature_": wrong}}, MLPClassifier)
    fitted = {name: value for name, value in content["fitted"].items() if name != "temperature_"}
    with pytest.raises(ShiftDataError, match="temperature_ is missing"):
        unpack_estimator(content | {"fitted": fitted}, MLPClassifier)


@pytest.mark.slow
def test_none_leaves_the_probabilities_as_they_are(overconfident):
    model, X, flipped = overconfident
    X, y, weight = noisy()
    plain = MLPClassifier((64,), temperature=None, **SETTINGS).fit(X, y, weight, eval_set=(X, flipped))
    assert plain.temperature_ == 1
    assert_array_equal(plain.predict_proba(X), model.predict_proba_members(X)[0])


@pytest.mark.slow
def test_without_held_out_rows_there_is_none(overconfident):
    model, _, _ = overconfident
    X, y, _ = noisy()
    assert MLPClassifier((8,), early_stopping=False, **SETTINGS).fit(X, y).temperature_ == 1
    assert MLPClassifier((8,), **SETTINGS).partial_fit(X, y, classes=np.unique(y)).temperature_ == 1
    going_on = unpack_estimator(pack_estimator(model), MLPClassifier).partial_fit(X, y)
    assert going_on.temperature_ == 1


@pytest.mark.slow
def test_a_resumed_run_has_the_same(tmp_path):
    X, y, weight = noisy(200)
    settings = SETTINGS | {"n_models": 2, "early_stopping": True, "validation_fraction": 0.4, "max_epochs": 40}
    whole = MLPClassifier((32,), **settings).fit(X, y, weight)
    path = tmp_path / "run"
    MLPClassifier((32,), **settings | {"max_epochs": 15}, checkpoint=path).fit(X, y, weight)
    resumed = MLPClassifier((32,), **settings, checkpoint=path, resume=True).fit(X, y, weight)
    assert resumed.temperature_ == whole.temperature_
    assert_array_equal(resumed.predict_proba(X), whole.predict_proba(X))


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["binary_cross_entropy", "polynomial_tail"])
def test_of_every_loss(loss):
    X, y, weight = noisy()
    y = y == "a"
    rng = np.random.default_rng(1)
    flipped = np.where(rng.random(len(y)) < 0.6, rng.permutation(y), y)
    model = MLPClassifier((32,), loss=loss, **SETTINGS).fit(X, y, weight, eval_set=(X, flipped))
    plain = model.predict_proba_members(X).mean(axis=0)
    assert model.temperature_ == pytest.approx(fit_temperature(plain, flipped.astype(int), np.ones(len(y))), rel=1e-3)


@pytest.mark.parametrize("wrong", ["none", True, 1.0, 0, "AUTO", [], np.nan])
def test_settings_that_are_none_are_refused(wrong):
    with pytest.raises(ShiftDataError, match="temperature="):
        MLPClassifier((2,), temperature=wrong, max_epochs=1).fit(np.eye(4), [0, 1] * 2)


# ------------------------------------------------------------------------------------- a module of the user's


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_of_a_module(loss, tmp_path):
    X, y, weight = noisy()
    X, y = X.astype(np.float32), y == "a"
    rng = np.random.default_rng(1)
    flipped = np.where(rng.random(len(y)) < 0.6, rng.permutation(y), y)
    net = linear(8, 1 if loss == "binary_cross_entropy" else 2)
    net.weight.data.normal_(0, 8, generator=torch.Generator().manual_seed(0))  # sure from the start
    settings = {"max_epochs": 1, "learning_rate": 1e-9, "random_state": 0}
    model = WeightedTrainer(net, loss, **settings).fit(X, y, weight, eval_set=(X, flipped))
    plain = WeightedTrainer(net, loss, temperature=None, **settings).fit(X, y, weight, eval_set=(X, flipped))
    expected = fit_temperature(plain.predict_proba(X), flipped.astype(int), np.ones(len(y)))
    assert plain.temperature_ == 1 < 1.5 < expected
    assert model.temperature_ == pytest.approx(expected, rel=1e-4)
    assert_array_equal(model.predict(X), plain.predict(X))
    assert_allclose(model.predict_proba(X), scaled_proba(plain.predict_proba(X), model.temperature_), rtol=1e-6)
    model.save(tmp_path / "model")
    assert_array_equal(WeightedTrainer.load(tmp_path / "model", net).predict_proba(X), model.predict_proba(X))
    assert WeightedTrainer(net, loss, early_stopping=False, **settings).fit(X, y).temperature_ == 1


def linear(n_in, n_out):
    with torch.random.fork_rng(devices=[]):
        return torch.nn.Linear(n_in, n_out)


def test_numbers_have_none():
    X = np.eye(4, dtype=np.float32)
    model = WeightedTrainer(linear(4, 1), "squared_error", max_epochs=1).fit(X, X[:, 0])
    assert not hasattr(model, "temperature_")
    with pytest.raises(ShiftDataError, match="temperature="):
        WeightedTrainer(linear(4, 2), temperature=2.0).fit(X, np.arange(4) % 2)
