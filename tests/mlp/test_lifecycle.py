"""What happens to an estimator over time: resumed, continued, saved, and left by a fit that failed."""

import copy
import inspect
import os
import pickle
import random
import signal
import time
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from torch import nn

from shiftfix.exceptions import (
    GradientWarning,
    InactiveWeightsWarning,
    LowEffectiveSizeWarning,
    NonFiniteLossWarning,
    ShiftDataError,
    SymmetricUnitsWarning,
)
from shiftfix.mlp import MLPClassifier, MLPRegressor, WeightedTrainer

N_EPOCHS = 7


def same(a, b):
    """Equal to the bit; NaN equals NaN."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, torch.Tensor | np.ndarray):
        a, b = np.asarray(a), np.asarray(b)
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, nn.Module):
        return same(dict(a.state_dict()), dict(b.state_dict()))
    if hasattr(a, "get_params"):
        return same(vars(a), vars(b))
    return a == b or (a != a and b != b)


def learned(model):
    """Copy of all attributes that are no settings, and of the predictions' ingredients with them."""
    return copy.deepcopy({name: value for name, value in vars(model).items() if name not in model.get_params()})


def assert_same_model(found, expected, X, but=()):
    a, b = learned(found), learned(expected)
    assert a.keys() == b.keys()
    for name in a.keys() - set(but):
        assert same(a[name], b[name]), name
    assert same(found.predict(X), expected.predict(X))


@pytest.fixture
def data(rng):
    X = rng.normal(size=(150, 4))
    return X, (X[:, 0] + X[:, 1] ** 2 > 0.7).astype(int), rng.exponential(size=150)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.pt"


class InterruptedRunError(Exception):
    """Raised by the callback of a test."""


def interrupt_after(*epochs):
    def callback(run):
        if run.epoch in epochs:
            raise InterruptedRunError

    return callback


def stop_after(*epochs):
    def callback(run):
        run.stop = run.epoch in epochs

    return callback


# ------------------------------------------------------------------------------------------- checkpoint and resume


def built(*makers, seed=0):
    """Sequential of what the functions make, from a seed, with torch's global generator left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(*(make() for make in makers))


def linear(n_in, n_out):
    return partial(nn.Linear, n_in, n_out)


def dropping_net():
    return built(linear(4, 8), partial(nn.BatchNorm1d, 8), nn.ReLU, partial(nn.Dropout, 0.3), linear(8, 2))


SETTINGS = {"hidden_layer_sizes": (8, 6), "batch_size": 64, "max_epochs": N_EPOCHS, "n_models": 1, "random_state": 3}
classifier, regressor = partial(MLPClassifier, **SETTINGS), partial(MLPRegressor, **SETTINGS)
trainer = partial(WeightedTrainer, batch_size=64, max_epochs=N_EPOCHS, random_state=3)
NOISY = {"dropout": 0.4, "input_dropout": 0.1, "dropconnect": 0.2, "input_noise": 0.1, "batch_norm": True}
RUNS = {
    "averaged momentum, selu and prelu, noise at every layer": partial(
        classifier,
        optimizer="averaged_momentum",
        running_decay=0.8,
        learning_rate=0.1,
        schedule="StepLR",
        activation=["selu", "prelu"],
        hidden_noise=(0.1, 0.2),
        n_models=2,
        **NOISY,
    ),
    "defaults": classifier,
    "adam, cosine, warm-up, all noise": partial(classifier, schedule="cosine", warmup=3, **NOISY),
    "momentum, plateau, three models": partial(
        classifier, optimizer="momentum", learning_rate=0.5, schedule="plateau", patience=2, n_models=3, **NOISY
    ),
    "lars, step, drawn rows": partial(
        classifier, optimizer="lars", learning_rate=2.0, schedule="step", weighting="resample", early_stopping=False
    ),
    "rmsprop, multistep": partial(regressor, optimizer="rmsprop", schedule="multistep", early_stopping=False, **NOISY),
    "adamw, exponential, penalties": partial(
        regressor, optimizer="adamw", schedule="exponential", l1=1e-3, decoupled=True, clip_norm=1.0, max_norm=2.0
    ),
    "three regressors": partial(regressor, n_models=3, weighting="resample", dropout=(0.2, 0.0), warmup=1),
    "nesterov, a scheduler's class": partial(
        classifier, optimizer="nesterov", schedule=partial(torch.optim.lr_scheduler.CyclicLR, base_lr=0.01, max_lr=0.1)
    ),
    "a user's module": lambda **settings: trainer(dropping_net(), **settings),
    "a user's module, plateau, torch's SGD": lambda **settings: trainer(
        dropping_net(),
        optimizer=partial(torch.optim.SGD, momentum=0.5, weight_decay=0.01),
        **{"schedule": "plateau", "weighting": "resample"} | settings,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("interrupt", [interrupt_after, stop_after])
@pytest.mark.parametrize("name", RUNS)
def test_a_run_interrupted_twice_ends_as_if_it_had_not_been(name, interrupt, data, path):
    expected = RUNS[name]().fit(*data)
    for epoch in (2, 5):
        broken = RUNS[name](checkpoint=path, resume=True, callbacks=interrupt(epoch))
        if interrupt is interrupt_after:
            with pytest.raises(InterruptedRunError):
                broken.fit(*data)
            assert learned(broken) == {}
        elif epoch < expected.n_epochs_:
            assert broken.fit(*data).n_epochs_ == epoch
    found = RUNS[name](checkpoint=path, resume=True).fit(*data)
    assert_same_model(found, expected, data[0])
    again = RUNS[name](checkpoint=path, resume=True, callbacks=interrupt_after(*range(99))).fit(*data)
    assert_same_model(again, expected, data[0])


@pytest.mark.slow
def test_a_checkpoint_changes_nothing(data, path):
    assert_same_model(classifier(checkpoint=path).fit(*data), classifier().fit(*data), data[0])


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_run_killed_at_any_moment_again_and_again_ends_as_if_it_had_not_been(path):
    """SIGKILL after one to three epochs, until a run gets to its end; the last fit is not seeded."""
    chance = random.Random(0)
    rng = np.random.default_rng(0)
    X, w = rng.normal(size=(400, 4)), rng.exponential(size=400)
    y = (X[:, 0] > 0).astype(int)

    def fit(**settings):
        model = MLPClassifier(
            (32, 32),
            batch_size=32,
            max_epochs=12,
            patience=12,
            schedule="cosine",
            n_models=2,
            dropconnect=0.1,
            **settings,
        )
        return model.fit(X, y, sample_weight=w)

    def written():
        return path.stat().st_mtime_ns if path.exists() else None

    expected = fit(random_state=5)
    kills = 0
    while True:
        child = os.fork()
        if not child:
            signal.alarm(100)  # a child that hangs fails
            try:
                fit(checkpoint=path, resume=True, random_state=5)
                os._exit(0)
            finally:
                os._exit(1)
        # Some epochs, and then at any moment of the next.
        last, left, done = written(), chance.randint(1, 3), 0
        while left and not done:
            time.sleep(0.001)
            if written() != last:
                last, left = written(), left - 1
            done, status = os.waitpid(child, os.WNOHANG)
        if not done:
            time.sleep(chance.uniform(0, 0.02))
            done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert status == 0
            break
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        kills += 1
    found = fit(checkpoint=path, resume=True)
    assert kills >= 3
    assert same(found.module_, expected.module_)
    assert same(found.best_epoch_, expected.best_epoch_)
    assert same(found.predict_proba(X), expected.predict_proba(X))
    assert repr(found.history_) == repr(expected.history_)
    assert os.listdir(path.parent) == ["run.pt"]


@pytest.mark.slow
@pytest.mark.parametrize("make", [classifier, lambda **settings: trainer(dropping_net(), **settings)])
def test_without_a_seed_the_file_has_it(make, data, path):
    states = []

    def note(run):
        states.append(copy.deepcopy(run.state_dict()))
        if len(states) == N_EPOCHS:
            raise InterruptedRunError

    settings = {"random_state": None, "checkpoint": path, "resume": True, "patience": 99, "callbacks": note}
    with pytest.raises(InterruptedRunError):
        make(**settings).fit(*data)
    make(**settings).fit(*data)
    straight, resumed = states[-2:]
    assert straight["epoch"] == N_EPOCHS == len(states) - 1
    assert same(resumed, straight)


@pytest.mark.slow
def test_a_growing_max_epochs_goes_on_and_a_shrinking_one_is_an_error(data, path):
    expected = classifier(max_epochs=6, patience=99).fit(*data)
    classifier(max_epochs=3, patience=99, checkpoint=path).fit(*data)
    assert_same_model(classifier(max_epochs=6, patience=99, checkpoint=path, resume=True).fit(*data), expected, data[0])
    before = path.read_bytes()
    with pytest.raises(ShiftDataError, match="holds 6 epochs, and max_epochs=5: raise it to resume"):
        classifier(max_epochs=5, patience=99, checkpoint=path, resume=True).fit(*data)
    assert path.read_bytes() == before


@pytest.mark.slow
def test_a_run_that_ran_out_of_patience_has_ended(data, path):
    settings = {"learning_rate": 0.1, "dropout": 0.0, "patience": 2, "checkpoint": path, "resume": True}
    first = classifier(max_epochs=50, **settings).fit(*data)
    assert first.n_epochs_ < 50
    callback = interrupt_after(*range(99))
    assert_same_model(classifier(max_epochs=99, callbacks=callback, **settings).fit(*data), first, data[0])


def test_an_existing_file_is_not_taken_for_granted(data, path):
    path.write_bytes(b"a thesis")
    for model in (classifier(checkpoint=path), trainer(dropping_net(), checkpoint=path)):
        with pytest.raises(ShiftDataError, match="exists: pass resume=True to go on from it, or move it away"):
            model.fit(*data)
    with pytest.raises(ShiftDataError, match="not written by shiftfix"):
        classifier(checkpoint=path, resume=True).fit(*data)
    assert path.read_bytes() == b"a thesis"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"random_state": 4}, "another random_state"),
        ({"n_models": 2}, "another random_state, or another n_models"),
        ({"n_models": 2, "random_state": None}, "other settings"),
        ({"learning_rate": 0.1}, "other settings"),
        ({"dropout": 0.1}, "other settings"),
        ({"optimizer": torch.optim.Adam}, "other settings"),
        ({"hidden_layer_sizes": (5,)}, "other settings"),
        ({"exponent": 0.5}, "other settings"),
    ],
)
def test_another_run_is_refused_and_the_file_untouched(settings, message, data, path):
    classifier(checkpoint=path, max_epochs=2).fit(*data)
    before = path.read_bytes()
    with pytest.raises(ShiftDataError, match=message):
        classifier(checkpoint=path, resume=True, max_epochs=5).set_params(**settings).fit(*data)
    assert path.read_bytes() == before


@pytest.mark.slow
def test_other_rows_are_refused(data, path):
    X, y, w = data
    classifier(checkpoint=path, max_epochs=2).fit(*data)
    before = path.read_bytes()
    changed = X.copy()
    changed[7, 2] += 1e-3
    for rows in ((changed, y, w), (X, 1 - y, w), (X, y, w[::-1]), (X[:-1], y[:-1], w[:-1])):
        with pytest.raises(ShiftDataError, match="other settings or other rows"):
            classifier(checkpoint=path, resume=True).fit(*rows)
    with pytest.raises(ShiftDataError, match="other settings or other rows"):
        classifier(checkpoint=path, resume=True).fit(*data, eval_set=(X[:50], y[:50]))
    assert path.read_bytes() == before


def net(activation=nn.ReLU, rate=0.2, width=6, seed=0):
    return built(linear(4, width), activation, partial(nn.Dropout, rate), linear(width, 2), seed=seed)


@pytest.mark.slow
@pytest.mark.parametrize("other", [net(nn.Tanh), net(width=7), net(rate=0.5)])
def test_another_module_is_refused_but_another_start_is_not(other, data, path):
    trainer(net(), checkpoint=path, max_epochs=2).fit(*data)
    with pytest.raises(ShiftDataError, match="other settings"):
        trainer(other, checkpoint=path, resume=True).fit(*data)
    frozen = net()
    frozen[0].weight.requires_grad_(False)
    with pytest.raises(ShiftDataError, match="other settings"):
        trainer(frozen, checkpoint=path, resume=True).fit(*data)
    assert trainer(net(seed=1).eval(), checkpoint=path, resume=True).fit(*data).n_epochs_ > 2


@pytest.mark.slow
def test_another_setting_inside_a_loss_is_refused(rng, path):
    X, y = rng.normal(size=(50, 4)), rng.normal(size=50)
    module = built(linear(4, 1), partial(nn.Flatten, 0))
    train = lambda loss, **kw: trainer(module, loss, checkpoint=path, **kw).fit(X, (y > 0).astype(float))  # noqa: E731
    train(nn.HuberLoss("none", delta=1.0))
    train(nn.HuberLoss("none", delta=1.0), resume=True)
    with pytest.raises(ShiftDataError, match="other settings"):
        train(nn.HuberLoss("none", delta=2.0), resume=True)
    path.unlink()
    train(nn.BCEWithLogitsLoss(reduction="none", pos_weight=torch.tensor(2.0)))
    with pytest.raises(ShiftDataError, match="other settings"):
        train(nn.BCEWithLogitsLoss(reduction="none", pos_weight=torch.tensor(3.0)), resume=True)


@pytest.mark.parametrize("make", [classifier, regressor, lambda **settings: trainer(dropping_net(), **settings)])
def test_a_missing_directory_fails_before_training(make, data, tmp_path):
    with pytest.raises(ShiftDataError, match="lies in no existing directory"):
        make(checkpoint=tmp_path / "missing" / "run.pt", callbacks=interrupt_after(1)).fit(*data)
    with pytest.raises(ShiftDataError, match="resume=True needs checkpoint"):
        make(resume=True).fit(*data)


def explode_after(epoch):
    def callback(run):
        if run.epoch == epoch:
            run.optimizer.param_groups[0]["lr"] = 1e200

    return callback


@pytest.mark.slow
def test_a_loss_that_blows_up_after_a_resume_goes_back_to_the_same_epoch(data, path):
    """The best epoch is before the interruption: the first of a rate that only grows."""
    settings = {"optimizer": "sgd", "early_stopping": False, "callbacks": explode_after(4)}
    with pytest.warns(NonFiniteLossWarning, match="of epoch 3 is kept"):
        expected = regressor(**settings).fit(*data)
    with pytest.raises(InterruptedRunError):
        regressor(checkpoint=path, **settings | {"callbacks": interrupt_after(4)}).fit(*data)
    with pytest.warns(NonFiniteLossWarning, match="of epoch 3 is kept"):
        found = regressor(checkpoint=path, resume=True, **settings).fit(*data)
    assert_same_model(found, expected, data[0])
    # Resumed after the rate was raised, in the epoch that fails.
    with pytest.warns(NonFiniteLossWarning, match="of epoch 3 is kept"):
        again = regressor(checkpoint=path, resume=True, **settings | {"callbacks": None}).fit(*data)
    assert_same_model(again, expected, data[0])


# ------------------------------------------------------------------------------------------- partial_fit

CALLS = [
    classifier(early_stopping=False),
    classifier(early_stopping=False, schedule="cosine", warmup=2, optimizer="momentum", n_models=2, **NOISY),
    regressor(early_stopping=False, dropout=0.3),
    regressor(early_stopping=False, schedule="multistep", weighting="resample", clip=2.0, exponent=0.7, **NOISY),
    classifier(early_stopping=False, class_weight={0: 1.0, 1: 3.0}, label_smoothing=0.1, clip="sqrt"),
]
SCALE = {"effective_sample_size_", "_training_state"}


def part(model, X, y, w=None):
    """A call of partial_fit, with the classes in the first one."""
    first = isinstance(model, MLPClassifier) and not hasattr(model, "module_")
    return model.partial_fit(X, y, **{"classes": [0, 1]} if first else {}, sample_weight=w)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.InactiveWeightsWarning")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("model", CALLS)
def test_calls_on_the_same_rows_are_the_epochs_of_a_fit(model, weighted, data):
    X, y, w = data
    w = w if weighted else None
    expected = clone(model).fit(X, y, w)
    found = clone(model)
    for _ in range(N_EPOCHS):
        part(found, X, y, w)
    assert_same_model(found, expected, X, but=SCALE)


@pytest.mark.slow
@pytest.mark.parametrize("between", ["pickle", "copy", "file"])
@pytest.mark.parametrize("model", CALLS)
def test_what_lies_between_two_calls_leaves_no_trace(model, between, data, path):
    expected, found = clone(model), clone(model)
    for _ in range(3):
        part(expected, *data)
        part(found, *data)
        if between == "file":
            found.save(path)
            found = type(found).load(path)
        else:
            found = pickle.loads(pickle.dumps(found)) if between == "pickle" else copy.deepcopy(found)
    assert_same_model(found, expected, data[0])


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e300])
def test_weights_are_on_one_scale_over_the_calls(scale):
    """One SGD step a call near theta = 0, where the gradient is -2 w: each call moves by its own weight."""
    X, y = np.ones((10, 1)), np.ones(10)
    model = MLPRegressor(
        (), initializer=0.0, optimizer="sgd", learning_rate=1e-5, standardize=False, random_state=0, batch_size=None
    )
    moved, before = [], 0.0
    for w in (2.0, 1.0, 2.0, 6.0):
        model.partial_fit(X, y, sample_weight=np.full(10, scale * w))
        moved.append(model.module_[0].weight.item() - before)
        before = model.module_[0].weight.item()
    assert np.array(moved) / moved[0] == pytest.approx([1, 0.5, 1, 3], rel=1e-3)


@pytest.mark.slow
def test_rows_of_weight_zero_leave_no_trace_in_a_call(data):
    X, y, w = data
    w = np.where(np.arange(150) % 3 == 0, 0.0, w)
    found, expected = classifier(), classifier()
    for _ in range(2):
        part(found, X, y, w)
        part(expected, X[w > 0], y[w > 0], w[w > 0])
    assert_same_model(found, expected, X)


@pytest.mark.slow
def test_other_rows_may_come_in_every_call(data):
    X, y, w = data
    model = classifier(learning_rate=0.05, dropout=0.0)
    for epoch in range(40):
        rows = np.arange(epoch % 3, 150, 3)
        part(model, X[rows], y[rows], w[rows])
    assert model.n_epochs_ == 40
    assert model.score(X, y) > 0.85
    assert {len(values) for values in model.history_.values()} == {40}


def test_a_call_with_one_class_learns_all_the_classes(data):
    X = data[0]
    model = classifier().partial_fit(X, np.ones(150, int), classes=[0, 1, 2])
    assert model.predict_proba(X).shape == (150, 3)


@pytest.mark.slow
def test_classes_of_the_calls(data):
    X, y, _ = data
    model = classifier()
    with pytest.raises(ShiftDataError, match="classes is needed in the first call"):
        model.partial_fit(X, y)
    with pytest.raises(ShiftDataError, match=r"holds \[1\], and the training classes are \[0, 2\]"):
        model.partial_fit(X, y, classes=[0, 2])
    assert learned(model) == {}
    model.partial_fit(X, y, classes=[1, 0])
    model.partial_fit(X, y, classes=[0, 1])
    before = learned(model)
    with pytest.raises(ShiftDataError, match="classes differs from the classes of the first call"):
        model.partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ShiftDataError, match=r"holds \[5\], and the training classes are \[0, 1\]"):
        model.partial_fit(X, np.where(y == 1, 5, y))
    with pytest.raises(ShiftDataError, match="balanced"):
        classifier(class_weight="balanced").partial_fit(X, y, classes=[0, 1])
    assert same(learned(model), before)


@pytest.mark.slow
def test_after_a_fit_the_calls_go_on_from_its_network(data):
    """A vanishing rate moves nothing: the network and its scaling are those of the fit."""
    X, y, _ = data
    model = classifier(temperature=None).fit(X, y)
    expected, scaler = model.predict_proba(X), model.scaler_
    model.set_params(learning_rate=1e-12).partial_fit(10 + X, y)
    assert model.scaler_ is scaler
    assert model.n_epochs_ == 1
    assert model.predict_proba(X) == pytest.approx(expected, abs=1e-6)
    model.set_params(learning_rate=3e-3).fit(X, y)
    assert_same_model(model, classifier(temperature=None).fit(X, y), X)


@pytest.mark.parametrize("setting", [{"optimizer": "sgd"}, {"learning_rate": 0.5}, {"schedule": "step"}])
def test_an_optimiser_that_changes_between_calls_is_an_error(setting, data):
    model = part(classifier(), *data)
    before = learned(model)
    with pytest.raises(ShiftDataError, match=r"in the calls of partial_fit so far, and are .* now: put them back"):
        part(model.set_params(**setting), *data)
    assert same(learned(model), before)


@pytest.mark.slow
@pytest.mark.parametrize("make", [classifier, regressor, partial(classifier, n_models=3, batch_norm=True)])
def test_a_call_that_fails_leaves_the_estimator_as_it_was(make, data):
    X, y, w = data
    model, expected = make(), make()
    for _ in range(3):
        part(model, *data)
        part(expected, *data)
    bad = X.copy()
    bad[0, 0] = np.nan

    def explode(run):
        raise KeyboardInterrupt

    def spoil(run):
        with torch.no_grad():
            next(run.module.parameters()).fill_(float("nan"))

    class Spoil:
        on_fit_start = staticmethod(spoil)

    calls = [
        (ValueError, {}, (bad, y, w)),
        (ValueError, {}, (X[:, :3], y, w)),
        (ShiftDataError, {}, (X, y, -w)),
        (KeyboardInterrupt, {"callbacks": explode}, data),
        (FloatingPointError, {"callbacks": Spoil()}, data),
        (ShiftDataError, {"hidden_layer_sizes": (5,)}, data),
        (ShiftDataError, {"early_stopping": True}, data),
    ]
    for error, settings, rows in calls:
        old = {name: getattr(model, name) for name in settings}
        with pytest.raises(error):
            part(model.set_params(**settings), *rows)
        model.set_params(**old)
        assert_same_model(model, expected, X)
    assert_same_model(part(model, *data), part(expected, *data), X)


# ------------------------------------------------------------------------------------------- warm start


@pytest.mark.slow
@pytest.mark.parametrize("make", [classifier, regressor, partial(classifier, n_models=2, batch_norm=True)])
def test_a_warm_start_keeps_the_parameters_and_the_scaling(make, data):
    X, y, w = data
    model = make().fit(X, y, w)
    expected, scaler = model.predict(X), model.scaler_
    model.set_params(warm_start=True, learning_rate=1e-12, max_epochs=1, optimizer="sgd", batch_size=None)
    model.fit(5 + 2 * X, y, w)
    assert model.scaler_ is scaler
    if make is regressor:
        assert model.predict(X) == pytest.approx(expected, abs=1e-5)
    elif not model.batch_norm:
        assert np.array_equal(model.predict(X), expected)


@pytest.mark.slow
def test_two_warm_fits_are_further_than_one(data):
    X, y, _ = data
    model = regressor(warm_start=True, max_epochs=20).fit(X, y)
    first = model.history_["train_loss"]
    second = model.fit(X, y).history_["train_loss"]
    assert second[0] < np.mean(first)
    assert second[-1] < first[-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting",
    [
        {"hidden_layer_sizes": (8,)},
        {"hidden_layer_sizes": (8, 7)},
        {"n_models": 3},
        {"batch_norm": True},
        {"loss": "binary_cross_entropy"},
        {"dropout": 0.0},
    ],
)
def test_a_warm_start_of_another_shape_is_an_error_and_the_model_stays(setting, data):
    X, y, w = data
    model = classifier().fit(X, y, w)
    before, expected = learned(model), model.predict_proba(X)
    model.set_params(warm_start=True, **setting)
    for call in (model.fit, model.partial_fit):
        with pytest.raises(ShiftDataError, match="The fitted network has"):
            call(X, y)
    assert same(learned(model), before)
    assert np.array_equal(model.predict_proba(X), expected)
    assert model.predict_proba_mc(X, 2).shape == (2, 150, 2)


@pytest.mark.slow
def test_a_warm_start_with_new_classes_or_columns_is_an_error(data):
    X, y, _ = data
    model = classifier(warm_start=True).fit(X, y)
    numbers = regressor(warm_start=True).fit(X, y)
    before = learned(model), learned(numbers)
    with pytest.raises(ShiftDataError, match=r"y holds \[2\], and the training classes are \[0, 1\]"):
        model.fit(X, 2 * y)
    with pytest.raises(ValueError, match="features"):
        model.fit(X[:, :2], y)
    with pytest.raises(ShiftDataError, match="needs 1 finite numbers per row"):
        numbers.fit(X, X[:, :2])
    assert same((learned(model), learned(numbers)), before)


# ------------------------------------------------------------------------------------------- files


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.InactiveWeightsWarning")
@pytest.mark.parametrize(
    "model",
    [
        classifier(n_models=3, batch_norm=True, schedule="multistep"),
        classifier(loss="polynomial_tail", class_weight={0: 2.0, 1: 1.0}, dropconnect=0.2),
        classifier(loss="binary_cross_entropy", early_stopping=False),
        regressor(n_models=2, input_noise=0.1, hidden_layer_sizes=()),
        regressor(standardize=False, hidden_layer_sizes=np.array([4, 4]), dropout=[0.1, 0.0]),
    ],
)
def test_a_saved_model_is_the_model(model, data, path):
    pd = pytest.importorskip("pandas")
    X, y, w = data
    X = pd.DataFrame(X, columns=list("abcd"))
    model = clone(model).fit(X, y, w)
    model.save(path)
    found = type(model).load(path)
    assert_same_model(found, model, X)
    assert repr(found) == repr(model)
    assert found.summary() == model.summary()
    assert found.feature_names_in_.tolist() == list("abcd")
    for _ in range(2):
        found.partial_fit(X, y, sample_weight=w)
        model.partial_fit(X, y, sample_weight=w)
    assert_same_model(found, model, X)


@pytest.mark.slow
def test_a_model_with_a_checkpoint_can_be_saved(data, tmp_path):
    model = classifier(checkpoint=tmp_path / "run.pt").fit(*data)
    model.save(tmp_path / "model.pt")
    assert MLPClassifier.load(tmp_path / "model.pt").checkpoint is None  # the next fit would write there


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("callbacks", stop_after(99)),
        ("callbacks", [stop_after(99)]),
        ("loss", lambda outputs, y: nn.functional.cross_entropy(outputs, y, reduction="none")),
        ("optimizer", torch.optim.SGD),
        ("schedule", partial(torch.optim.lr_scheduler.StepLR, step_size=3)),
    ],
)
def test_a_setting_that_is_a_function_is_refused_by_name(name, value, data, path):
    model = classifier(**{name: value}).fit(*data)
    with pytest.raises(ShiftDataError, match=rf"^{name}(\[0\])?=.* cannot be stored without pickle"):
        model.save(path)
    assert not path.exists()
    with pytest.raises(NotFittedError):
        classifier().save(path)


# ------------------------------------------------------------------------------------------- fits that fail


def breaking(error):
    def callback(run):
        if run.epoch == 2:
            raise error

    return callback


FAILURES = {
    "a callback": (InterruptedRunError, {"callbacks": breaking(InterruptedRunError())}),
    "the keyboard": (KeyboardInterrupt, {"callbacks": breaking(KeyboardInterrupt())}),
    "a diverging loss": (FloatingPointError, {"optimizer": "sgd", "learning_rate": 1e30}),
    "memory": (MemoryError, {"callbacks": breaking(MemoryError())}),
    "a setting": (ShiftDataError, {"schedule": "plateau", "early_stopping": False}),
    "weights": (ShiftDataError, {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("kind", ["classifier", "regressor", "trainer"])
def test_a_fit_that_fails_leaves_the_old_model_or_none(kind, failure, rng, data, tmp_path):
    """The second data set has other columns, classes and units, so that half of the new beside the old would show."""
    X, y, w = data
    other, labels = 5 + rng.normal(size=(90, 7)), np.arange(90) % 3
    make = {"classifier": classifier, "regressor": regressor, "trainer": partial(trainer, dropping_net())}[kind]
    error, settings = FAILURES[failure]
    weight = -np.ones(90) if failure == "weights" else np.ones(90)
    if kind == "trainer":
        settings = settings | {"module": built(linear(7, 5), nn.Dropout, linear(5, 3))}
    new = make().set_params(**settings)
    with pytest.raises(error):
        new.fit(other, labels, weight)
    assert learned(new) == {}
    with pytest.raises(NotFittedError):
        new.predict(other)
    model = make().fit(X, y, w)
    before, expected = learned(model), model.predict(X)
    with pytest.raises(error):
        model.set_params(**settings).fit(other, labels, weight)
    assert same(learned(model), before)
    assert np.array_equal(model.predict(X), expected)
    if kind != "trainer":
        pickle.loads(pickle.dumps(model.set_params(callbacks=None)))
        with pytest.raises(ValueError, match="7 features"):
            model.predict(other)


@pytest.mark.slow
def test_a_checkpoint_that_cannot_be_written_leaves_no_half_model(data, path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    model = classifier().fit(*data)
    before = learned(model)
    monkeypatch.setattr("shiftfix.mlp._saving._resume.write_atomically", full)
    with pytest.raises(OSError, match="No space"):
        model.set_params(checkpoint=path).fit(data[0][:60], data[1][:60])
    assert same(learned(model), before)


# ------------------------------------------------------------------------------------------- warnings


@pytest.mark.slow
@pytest.mark.parametrize(
    ("category", "fit"),
    [
        (SymmetricUnitsWarning, lambda X, y: classifier(dropout=0.0, initializer="zeros", max_epochs=1).fit(X, y)),
        (
            SymmetricUnitsWarning,
            lambda X, y: regressor(initializer="zeros").partial_fit(X, y),
        ),
        (
            LowEffectiveSizeWarning,
            lambda X, y: classifier(max_epochs=1, early_stopping=False).fit(X, y, 10.0 ** -np.arange(150)),
        ),
        (
            InactiveWeightsWarning,
            lambda X, y: MLPClassifier(
                (64,), dropout=0.0, learning_rate=0.02, early_stopping=False, random_state=0
            ).fit(X, y, 1.0 + 9 * y),
        ),
        (GradientWarning, lambda X, y: regressor(standardize=False, max_epochs=1).fit(X, 1e6 * y)),
        (
            NonFiniteLossWarning,
            lambda X, y: regressor(callbacks=explode_after(3), optimizer="sgd").fit(X, y),
        ),
        (
            LowEffectiveSizeWarning,
            lambda X, y: trainer(dropping_net(), max_epochs=1, early_stopping=False).fit(X, y, 10.0 ** -np.arange(150)),
        ),
    ],
)
def test_a_warning_points_at_the_users_own_line(category, fit, data):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(*data[:2])
    found = [warning for warning in caught if warning.category is category]
    assert found, [str(warning.message) for warning in caught]
    assert found[0].filename == inspect.getfile(fit)
