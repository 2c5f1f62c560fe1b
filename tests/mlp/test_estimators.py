"""The two estimators: known answers, weights, seeds, early stopping."""

import pickle
import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.exceptions import DataConversionWarning
from sklearn.linear_model import LinearRegression, LogisticRegression

from shiftfix._setting_checks import check_generator
from shiftfix.exceptions import InactiveWeightsWarning, ShiftDataError
from shiftfix.mlp import MLPClassifier, MLPRegressor, huber, polynomial_tail

DETERMINISTIC = {"dropout": 0.0, "early_stopping": False, "random_state": 0}


def blobs(rng, n=300, d=5, gap=2.0):
    y = rng.integers(0, 2, n)
    X = rng.normal(size=(n, d))
    X[:, 0] += gap * (y - 0.5)
    return X, y


@pytest.mark.slow
def test_without_hidden_layers_the_regressor_is_weighted_least_squares(rng):
    X, w = rng.normal(size=(80, 3)), rng.exponential(size=80)
    y = X @ [1.0, -2.0, 0.5] + 3 + rng.normal(size=80)
    model = MLPRegressor((), optimizer="adam", learning_rate=0.1, batch_size=None, max_epochs=200, **DETERMINISTIC)
    model.fit(X, y, sample_weight=w)
    exact = LinearRegression().fit(X, y, sample_weight=w)
    assert_allclose(model.predict(X), exact.predict(X), atol=1e-3)


@pytest.mark.slow
def test_without_hidden_layers_the_classifier_is_weighted_logistic_regression(rng):
    X, y = blobs(rng)
    w = rng.exponential(size=300)
    model = MLPClassifier((), learning_rate=0.1, batch_size=300, max_epochs=200, **DETERMINISTIC)
    model.fit(X, y, sample_weight=w)
    exact = LogisticRegression(C=np.inf, tol=1e-10).fit(X, y, sample_weight=w)
    assert_allclose(model.predict_proba(X), exact.predict_proba(X), atol=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
def test_one_seed_one_model(estimator, rng):
    X, y = blobs(rng)
    w = rng.uniform(0.5, 1.5, size=300)  # the split of random_state=None varies

    def fit(seed):
        return estimator((16,), dropout=0.5, max_epochs=5, random_state=seed).fit(X, y, sample_weight=w)

    outputs = lambda model: model._outputs(X)  # noqa: E731
    assert np.array_equal(outputs(fit(1)), outputs(fit(1)))
    assert not np.array_equal(outputs(fit(1)), outputs(fit(2)))
    assert not np.array_equal(outputs(fit(None)), outputs(fit(None)))
    generators = [np.random.default_rng(3), np.random.RandomState(3)]
    for generator in generators:
        first = outputs(fit(generator))
        assert not np.array_equal(first, outputs(fit(generator)))


@pytest.mark.slow
def test_learns_a_curve_that_no_line_can(rng):
    """y = x^2 with noise .1: R^2 of the truth is .99; a straight line has 0."""
    X = rng.uniform(-2, 2, (500, 1))
    y = X[:, 0] ** 2 + 0.1 * rng.normal(size=500)
    assert (
        MLPRegressor((64, 64), learning_rate=0.01, batch_size=32, max_epochs=30, random_state=0).fit(X, y).score(X, y)
        > 0.97
    )


@pytest.mark.slow
def test_units_of_y_and_x_do_not_matter(rng):
    X = rng.uniform(-2, 2, (200, 2))
    y = X[:, 0] * X[:, 1]
    model = MLPRegressor((32,), max_epochs=30, random_state=0)
    small = model.fit(X, y).predict(X)
    large = model.fit(1e4 * X + 3e4, 1e6 * y - 5e6).predict(1e4 * X + 3e4)
    assert_allclose((large + 5e6) / 1e6, small, atol=1e-3)


@pytest.mark.slow
def test_two_columns_of_y(rng):
    X = rng.normal(size=(200, 2))
    Y = np.column_stack([X[:, 0], 100 * X[:, 1]])
    model = MLPRegressor((32,), max_epochs=200, random_state=0).fit(X, Y)
    assert model.predict(X).shape == (200, 2)
    assert model.score(X, Y) > 0.95


@pytest.mark.slow
def test_probabilities_are_calibrated_on_gaussians(rng):
    """Two Gaussians 2 apart: logit P = 2 x exactly; the mean absolute error of the net is below .03."""
    X, y = blobs(rng, 4000, 1)
    model = MLPClassifier((32,), dropout=0.0, max_epochs=30, random_state=0).fit(X, y)
    x = np.linspace(-3, 3, 61)[:, None]
    assert np.abs(model.predict_proba(x)[:, 1] - 1 / (1 + np.exp(-2 * x[:, 0]))).mean() < 0.03


@pytest.mark.slow
def test_early_stopping_is_automatic_with_weights_and_without(rng):
    X, y = blobs(rng, 200)
    plain = MLPClassifier((8,), max_epochs=3, early_stopping=False, random_state=0).fit(X, y)
    assert "validation_loss" not in plain.history_
    assert "weight_effect" not in plain.history_
    assert plain.n_epochs_ == plain.best_epoch_ == 3
    for share, enough in (("folds", 50), (0.1, 91)):
        settings = {"hidden_layer_sizes": (8,), "max_epochs": 3, "validation_fraction": share, "random_state": 0}
        unweighted = MLPClassifier(**settings).fit(X, y)
        weighted = MLPClassifier(**settings).fit(X, y, sample_weight=np.ones(200))
        assert len(weighted.history_["validation_loss"]) == weighted.n_epochs_
        assert weighted.history_["validation_loss"] == unweighted.history_["validation_loss"]
        assert "validation_loss" in MLPClassifier(**settings).fit(X[:enough], y[:enough]).history_
        few = MLPClassifier(**settings).fit(X[: enough - 1], y[: enough - 1], sample_weight=np.ones(enough - 1))
        assert "validation_loss" not in few.history_


@pytest.mark.slow
def test_eval_set_decides_the_epoch_with_its_weights(rng):
    X, y = blobs(rng, 200)
    held_out = blobs(rng, 100)
    model = MLPClassifier((32,), dropout=0.0, max_epochs=40, patience=40, random_state=0)
    model.fit(X, y, eval_set=held_out)
    losses = model.history_["validation_loss"]
    assert model.best_epoch_ == np.argmin(losses) + 1
    p = model.predict_proba_members(held_out[0])[0, np.arange(100), held_out[1]]  # without the temperature
    assert -np.log(p).mean() == pytest.approx(min(losses), rel=1e-4)
    w = rng.exponential(size=100)
    model.fit(X, y, eval_set=(*held_out, w))
    p = model.predict_proba_members(held_out[0])[0, np.arange(100), held_out[1]]
    assert np.average(-np.log(p), weights=w) == pytest.approx(min(model.history_["validation_loss"]), rel=1e-4)


def test_counts_of_parameters_and_names(rng):
    X, y = blobs(rng, 60, 5)
    model = MLPClassifier((8, 4), max_epochs=1, random_state=0).fit(X, np.where(y, "yes", "no"))
    assert model.n_parameters_ == model.n_models_ * (5 * 8 + 8 + 8 * 4 + 4 + 4 * 2 + 2)
    assert set(model.predict(X)) <= {"yes", "no"}
    assert model.classes_.tolist() == ["no", "yes"]


def test_a_model_pickles_and_predicts_the_same(rng):
    X, y = blobs(rng, 100)
    model = MLPClassifier((8,), max_epochs=2, random_state=0).fit(X, y)
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), model.predict_proba(X))


@pytest.mark.slow
def test_a_row_is_predicted_alike_in_any_company(rng):
    X, y = blobs(rng, 9000)
    model = MLPClassifier((16,), max_epochs=1, random_state=0).fit(X[:200], y[:200])
    assert_allclose(model.predict_proba(X)[::1000], model.predict_proba(X[::1000]), rtol=1e-12)


def test_float32_rows_give_the_float64_answer(rng):
    X, y = blobs(rng, 200)
    X = X.astype(np.float32)
    model = MLPClassifier((16,), max_epochs=5, random_state=0)
    assert_allclose(model.fit(X, y).predict_proba(X), model.fit(X.astype(float), y).predict_proba(X), atol=1e-4)


def test_progress_shows_a_bar(rng, capfd):
    X, y = blobs(rng, 50)
    MLPClassifier((4,), max_epochs=2, progress=True).fit(X, y)
    assert "2/2" in capfd.readouterr().err


@pytest.mark.slow
def test_interpolating_with_weights_warns(rng):
    X, y = blobs(rng, 60, 60, gap=0.5)
    w = np.where(y == 1, 10.0, 1.0)
    model = MLPClassifier((64,), learning_rate=0.01, max_epochs=50, **DETERMINISTIC)
    with pytest.warns(InactiveWeightsWarning, match="hardly act"):
        model.fit(X, y, sample_weight=w)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, y)
        model.set_params(early_stopping=True).fit(X, y, sample_weight=w)


def test_scaling_is_learned_from_the_training_rows_alone(rng):
    X, y = blobs(rng, 100)
    far = np.full((5, 5), 1e4), np.zeros(5, int)
    model = MLPClassifier((4,), max_epochs=1, random_state=0).fit(X, y, eval_set=far)
    assert_allclose(model.scaler_.mean_, X.mean(axis=0))
    regressor = MLPRegressor((4,), max_epochs=1, early_stopping=True, validation_fraction=0.1, random_state=0)
    regressor.fit(X, X[:, 0])
    assert regressor.target_scaler_.n_samples_seen_ == regressor.scaler_.n_samples_seen_ == 90


@pytest.mark.slow
def test_the_interpolation_warning_goes_by_weight(rng):
    """99 rows right and a copy of one of them wrong: only agreement by weight is interpolation."""
    X = np.linspace(1, 2, 100)[:, np.newaxis]
    X[:49] *= -1
    X[-1] = X[70]
    y = (X[:, 0] > 0).astype(int)
    y[-1] = 0
    model = MLPClassifier((64,), learning_rate=0.01, max_epochs=30, **DETERMINISTIC)
    with pytest.warns(InactiveWeightsWarning):
        model.fit(X, y, sample_weight=np.append(np.ones(99), 0.5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, y, sample_weight=np.append(np.ones(99), 3.0))


def test_training_loss_in_the_history_is_the_weighted_mean(rng):
    """One full-batch epoch with a tiny step: the loss met is that of the start, weighted, for any scale of weights."""
    X, y = blobs(rng, 50)
    w = rng.exponential(size=50)
    model = MLPClassifier((8,), learning_rate=1e-12, batch_size=50, max_epochs=1, **DETERMINISTIC).fit(
        X, y, sample_weight=7 * w
    )
    p = model.predict_proba(X)[np.arange(50), y]
    assert model.history_["train_loss"][0] == pytest.approx(np.average(-np.log(p), weights=w), rel=1e-5)


def test_streams_of_random_numbers_are_separate(rng):
    """Another dropout rate draws other masks, and leaves the start and the split alone."""
    X, y = blobs(rng, 120)
    start = lambda **kw: MLPClassifier((8,), learning_rate=1e-12, max_epochs=1, random_state=0, **kw).fit(X, y)  # noqa: E731
    assert torch.allclose(start(dropout=0.1).module_[0].weight, start(dropout=0.7).module_[0].weight, atol=1e-9)
    seeds = check_generator(0).integers(2**31 - 1, size=4)
    assert len(set(seeds.tolist())) == 4


def test_values_beyond_float32_are_an_error_not_nan(rng):
    X, y = blobs(rng, 60)
    model = MLPClassifier((4,), max_epochs=1, random_state=0).fit(X, y)
    for huge in (1e39, -1e300):
        with pytest.raises(ShiftDataError, match="too large for the float32 network"):
            model.predict_proba(np.full((1, 5), huge))


def test_a_scale_of_y_and_of_columns_is_that_of_the_predictions(rng):
    """Powers of two change no digit of a mean or a variance; where the latter is none, constants still are no error."""
    X, y = rng.normal(size=(60, 2)), rng.normal(size=60)
    make = partial(MLPRegressor, (4,), n_models=1, max_epochs=2, **DETERMINISTIC)
    expected = make().fit(X, y).predict(X)
    for power in (-490, 490):  # 1e-148 and 1e147
        assert_allclose(make().fit(X * 2.0**power, y * 2.0**power).predict(X * 2.0**power), expected * 2.0**power)
    same = lambda constant: (np.column_stack([X[:, 0], np.full(60, constant)]), np.full(60, constant))  # noqa: E731
    zero = make().fit(*same(0.0)).predict(same(0.0)[0])
    for constant in (1e-170, 3.0):
        assert_allclose(make().fit(*same(constant)).predict(same(constant)[0]), zero + constant, rtol=1e-6, atol=1e-6)


def test_values_whose_variance_vanishes_are_an_error_not_a_constant(rng):
    X, y = rng.normal(size=(60, 2)), np.arange(60) % 2 * 1e-170
    regressor = partial(MLPRegressor, (4,), max_epochs=1, random_state=0)
    tiny = pd.DataFrame({"age": X[:, 0], "lag": y})
    for fit, column in [
        (lambda: regressor().fit(X, y), "'y'"),
        (lambda: regressor().fit(tiny[["age"]], y), "'y'"),
        (lambda: regressor().partial_fit(X, y), "'y'"),
        (lambda: regressor().fit(X, np.column_stack([X[:, 0], y])), "'y 1'"),
        (lambda: regressor(preset="tabular").fit(X, y), "'y'"),
        (lambda: MLPClassifier((4,), max_epochs=1).fit(tiny, y > 0), "'lag'"),
        (lambda: MLPClassifier((4,), max_epochs=1).fit(sparse.csr_array(tiny), y > 0), "1"),
    ]:
        with pytest.raises(ShiftDataError, match=f"of column {column} differ by 1e-170 at most, which vanishes"):
            fit()
    with pytest.raises(ShiftDataError, match=r"of column 'y' overflow when squared"):
        regressor().fit(tiny[["age"]], X[:, 0] * 1e200)


def test_weights_may_be_huge(rng):
    X, y = blobs(rng, 60)
    w = rng.exponential(size=60)
    model = MLPClassifier((4,), max_epochs=2, **DETERMINISTIC)
    assert_allclose(
        model.fit(X, y, sample_weight=1e307 * w).predict_proba(X),
        model.fit(X, y, sample_weight=w).predict_proba(X),
        atol=1e-5,
    )


def test_read_only_float32_rows_are_taken_without_a_warning(rng):
    X, y = blobs(rng, 60)
    X = X.astype(np.float32)
    X.setflags(write=False)
    MLPClassifier((4,), max_epochs=1, standardize=False, random_state=0).fit(X, y).predict(X)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_trains_the_same_model(rng):
    X, y = blobs(rng, 500)
    w = rng.exponential(size=500)
    settings = {"dropout": 0.0, "max_epochs": 5, "random_state": 0}
    on_gpu = MLPClassifier((32,), device="cuda", **settings).fit(X, y, sample_weight=w)
    on_cpu = MLPClassifier((32,), device="cpu", **settings).fit(X, y, sample_weight=w)
    assert on_gpu.device_ == "cuda"
    assert_allclose(on_gpu.predict_proba(X), on_cpu.predict_proba(X), atol=1e-3)
    dropped = MLPClassifier((32,), device="cuda", dropout=0.5, max_epochs=5, random_state=0).fit(X, y, sample_weight=w)
    assert dropped.score(X, y) > 0.7


@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
def test_whole_numbers_are_standardised_in_full(estimator):
    """Seconds since 1970 differ in the last of their ten digits, and float32 holds seven."""
    seconds = 1_700_000_000 + np.arange(200)[:, None]
    y = np.arange(200) % 2
    settings = {
        "hidden_layer_sizes": (8,),
        "max_epochs": 2,
        "learning_rate": 1e-3,
        "batch_size": 256,
        "random_state": 0,
    }
    whole = estimator(**settings).fit(seconds, y, eval_set=(seconds, y))
    broken = estimator(**settings).fit(seconds.astype(float), y, eval_set=(seconds.astype(float), y))
    predict = "predict_proba" if estimator is MLPClassifier else "predict"
    expected = getattr(broken, predict)(seconds.astype(float))
    assert np.array_equal(getattr(whole, predict)(seconds), expected)
    assert len(np.unique(expected, axis=0)) == 200


@pytest.mark.slow
def test_probabilities_are_those_of_the_loss_trained_with(tmp_path):
    X = np.random.default_rng(0).normal(size=(200, 2))
    model = MLPClassifier((16,), max_epochs=60, learning_rate=0.01, loss="polynomial_tail", random_state=0)
    before = model.fit(X, X[:, 0] > 0).predict_proba(X)
    assert np.array_equal(model.set_params(loss="cross_entropy").predict_proba(X), before)
    model.save(tmp_path / "model")
    assert np.array_equal(MLPClassifier.load(tmp_path / "model").predict_proba(X), before)


@pytest.mark.parametrize("changed", [{"activation": "tanh"}, {"hidden_layer_sizes": (5,)}, {"dropout": 0.2}])
def test_a_network_that_would_come_back_as_another_is_not_saved(changed, tmp_path):
    X = np.random.default_rng(0).normal(size=(50, 2))
    model = MLPRegressor((8,), max_epochs=1, random_state=0).fit(X, X[:, 0]).set_params(**changed)
    with pytest.raises(ShiftDataError, match="other layers than the settings ask for"):
        model.save(tmp_path / "model")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("schedule", ["no such", "plateau"])
def test_partial_fit_refuses_a_schedule_before_training(schedule):
    X = np.random.default_rng(0).normal(size=(50, 2))
    epochs = []
    model = MLPRegressor((8,), schedule=schedule, callbacks=lambda run: epochs.append(run.epoch))
    with pytest.raises(ShiftDataError, match=f"schedule='{schedule}'"):
        model.partial_fit(X, X[:, 0])
    assert not epochs


def test_labels_of_an_eval_set_may_stand_in_a_column():
    X = np.random.default_rng(0).normal(size=(50, 2))
    y = X[:, 0] > 0
    model = MLPClassifier((8,), max_epochs=2, random_state=0)
    flat = model.fit(X, y, eval_set=(X, y)).history_["validation_loss"]
    with pytest.warns(DataConversionWarning):
        column = model.fit(X, y, eval_set=(X, y[:, None])).history_["validation_loss"]
    assert column == flat


def test_a_single_label_for_an_eval_set_is_refused():
    X = np.random.default_rng(0).normal(size=(50, 2))
    with pytest.raises(ShiftDataError, match="none of y"):
        MLPClassifier((8,)).fit(X, X[:, 0] > 0, eval_set=(X, 1))


@pytest.mark.slow
def test_a_loss_with_its_settings_bound(rng):
    """An outlier pulls the mean by 1000 / 200 = 5; Huber's estimate with delta -> 0 is the median, at 0."""
    X, y = rng.normal(size=(200, 1)), rng.normal(size=200)
    y[0] = 1000.0
    settings = {"learning_rate": 0.1, "batch_size": None, "max_epochs": 120, "standardize": False, **DETERMINISTIC}
    fit = lambda loss: MLPRegressor((), loss=loss, **settings).fit(X, y).predict([[X.mean()]])[0]  # noqa: E731
    assert fit("squared_error") == pytest.approx(y.mean(), abs=0.05)
    assert fit(partial(huber, delta=0.01)) == pytest.approx(np.median(y), abs=0.2)
    classes = (X[:, 0] > 0).astype(int)
    tails = [
        MLPClassifier((), loss=partial(polynomial_tail, alpha=alpha), **settings).fit(X, classes, np.ones(200))
        for alpha in (0.5, 4.0)
    ]
    heavy, light = (model.predict_proba([[1.0]])[0, 1] for model in tails)
    assert 0.5 < heavy != light < 1
