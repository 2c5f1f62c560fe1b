"""Events in their order, what a callback sees, and what it can do."""

import numpy as np
import pytest
import torch
from torch import nn

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp import MLPClassifier, MLPRegressor, WeightedTrainer
from shiftfix.mlp._training._callbacks import EVENTS, check_callbacks, notify


class Log:
    """Notes every event with the epoch."""

    def __init__(self, name, log):
        self.name, self.log = name, log

    def on_fit_start(self, run):
        self.log.append((self.name, "start", run.epoch))

    def on_epoch_end(self, run):
        self.log.append((self.name, "epoch", run.epoch))

    def on_fit_end(self, run):
        self.log.append((self.name, "end", run.epoch))


class EndOnly:
    def __init__(self):
        self.runs = []

    def on_fit_end(self, run):
        self.runs.append(run)


class CallableWithAnEvent(EndOnly):
    def __call__(self, run):
        raise AssertionError("an object with an event is not called as a function")


@pytest.fixture
def data(rng):
    X = rng.normal(size=(120, 3))
    return X, (X[:, 0] > 0).astype(int), rng.exponential(size=120)


def linear_module():
    with torch.random.fork_rng(devices=[]):
        return nn.Linear(3, 2)


MAKERS = {
    "classifier": lambda **kw: MLPClassifier((4,), n_models=1, random_state=0, **kw),
    "regressor": lambda **kw: MLPRegressor((4,), n_models=1, random_state=0, **kw),
    "ensemble": lambda **kw: MLPClassifier((4,), n_models=2, random_state=0, **kw),
    "trainer": lambda **kw: WeightedTrainer(linear_module(), random_state=0, **kw),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", MAKERS)
def test_events_come_in_order_and_callbacks_in_theirs(kind, data):
    log = []
    plain = lambda run: log.append(("plain", "epoch", run.epoch))  # noqa: E731
    MAKERS[kind](max_epochs=2, callbacks=[Log("a", log), plain, Log("b", log)]).fit(*data)
    assert log == [
        ("a", "start", 0),
        ("b", "start", 0),
        *((name, "epoch", epoch) for epoch in (1, 2) for name in ("a", "plain", "b")),
        ("a", "end", 2),
        ("b", "end", 2),
    ]


@pytest.mark.parametrize("callbacks", [EndOnly(), [EndOnly()], (EndOnly(),), CallableWithAnEvent()])
def test_an_object_hears_the_events_it_has_methods_for(callbacks, data):
    model = MLPClassifier((4,), max_epochs=3, callbacks=callbacks, random_state=0).fit(*data)
    listener = callbacks[0] if isinstance(callbacks, list | tuple) else callbacks
    (run,) = listener.runs
    assert (run.epoch, run.max_epochs) == (3, 3)
    assert run.history is model.history_


def test_the_best_epoch_is_back_at_the_end(data):
    """A callback sees the parameters of each epoch, and those kept at the end."""
    seen = []

    class Watch:
        def on_epoch_end(self, run):
            seen.append(next(run.module.parameters()).detach().clone())

        on_fit_end = on_epoch_end

    model = MLPClassifier(
        (4,), dropout=0.0, learning_rate=0.3, max_epochs=30, patience=3, n_models=1, callbacks=Watch()
    )
    model.set_params(random_state=0).fit(*data)
    assert model.best_epoch_ < model.n_epochs_
    assert len(seen) == model.n_epochs_ + 1
    assert torch.equal(seen[-1], seen[model.best_epoch_ - 1])
    assert not torch.equal(seen[-1], seen[-2])


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("epoch", [0, 1, 3])
def test_stop_ends_the_training_after_the_epoch_or_before_the_first(kind, epoch, data):
    class Stop:
        def on_fit_start(self, run):
            run.stop = epoch == 0

        def on_epoch_end(self, run):
            run.stop = run.epoch == epoch

    model = MAKERS[kind](max_epochs=9, callbacks=Stop()).fit(*data)
    assert model.n_epochs_ == epoch
    assert {len(values) for values in model.history_.values()} == {epoch}
    assert len(model.predict(data[0])) == 120


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("early_stopping", [True, False])
@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.InactiveWeightsWarning")
def test_the_history_has_an_entry_for_every_epoch(kind, early_stopping, data):
    """Seen by a callback too, at every epoch."""
    lengths = []
    note = lambda run: lengths.append({len(values) for values in run.history.values()})  # noqa: E731
    model = MAKERS[kind](max_epochs=5, early_stopping=early_stopping, callbacks=note).fit(*data)
    assert lengths == [{1}, {2}, {3}, {4}, {5}]
    names = {
        "train_loss",
        "train_loss_unweighted",
        "weight_effect",
        "train_interpolation",
        "learning_rate",
        "gradient_norm",
    }
    names |= {"activation_norm", "dead_units", "saturated_units"} | (
        {"validation_loss", "validation_loss_unweighted"} if early_stopping else set()
    )
    assert set(model.history_) == names
    for name in ("train_loss", "weight_effect", "train_interpolation"):
        assert np.shape(model.history_[name]) == ((5, 2) if kind == "ensemble" else (5,))
    assert np.shape(model.history_["gradient_norm"]) == (5, len(model.layer_names_))


def test_the_learning_rate_is_recorded_for_the_epoch_it_was_used_in(data):
    """Cosine of T = 4 from 0.1; the third epoch's is set by the callback, and the warm-up is left out."""
    settings = {"learning_rate": 0.1, "max_epochs": 4, "optimizer": "sgd", "random_state": 0}
    model = MLPClassifier((4,), schedule="cosine", warmup=2, **settings).fit(*data[:2])
    expected = 0.1 * (1 + np.cos(np.pi * np.arange(4) / 4)) / 2
    assert model.history_["learning_rate"] == pytest.approx(expected.tolist())

    def double(run):
        run.optimizer.param_groups[0]["lr"] *= 2

    model = MLPClassifier((4,), callbacks=double, **settings).fit(*data[:2])
    assert model.history_["learning_rate"] == pytest.approx([0.1, 0.2, 0.4, 0.8])


def test_callbacks_hear_every_call_of_partial_fit(data):
    log = []
    model = MLPClassifier((4,), callbacks=Log("a", log), random_state=0)
    for _ in range(2):
        model.partial_fit(*data[:2], classes=[0, 1])
    first, second = log[:3], log[3:]
    assert first == [("a", "start", 0), ("a", "epoch", 1), ("a", "end", 1)]
    assert second == [("a", "start", 1), ("a", "epoch", 2), ("a", "end", 2)]


@pytest.mark.parametrize("wrong", [3, "on_epoch_end", {"on_epoch_end": print}, object(), [print, None], [[print]]])
def test_what_hears_nothing_is_refused(wrong, data):
    with pytest.raises(ShiftDataError, match=r"callbacks holds .*: a function of the run, or an object with one of"):
        MLPClassifier((4,), callbacks=wrong).fit(*data)


def test_a_class_in_the_place_of_its_object_is_refused(data):
    with pytest.raises(ShiftDataError, match="callbacks holds the class EndOnly: pass an object of it"):
        MLPClassifier((4,), callbacks=EndOnly).fit(*data)


def test_none_and_an_empty_list_are_no_callbacks():
    assert check_callbacks(None) == check_callbacks([]) == ()
    for event in EVENTS:
        notify((), event, None)


def test_the_bar_counts_the_epochs(data, capfd):
    """Of a whole run, of one that stops early, and none without progress."""
    for kind, make in MAKERS.items():
        make(max_epochs=3, early_stopping=False, progress=True).fit(*data[:2])
        assert "3/3" in capfd.readouterr().err, kind
    MAKERS["trainer"](max_epochs=2).fit(*data)
    assert capfd.readouterr().err == ""


# ------------------------------------------------------------------------------------------- the rows of eval_set


@pytest.mark.parametrize("kind", MAKERS)
def test_the_eval_set_is_the_validation_set(kind, data, rng):
    """Its weighted and unweighted losses, by hand from the predictions of the epoch kept; rtol 1e-5 for float32."""
    X, y, w = rng.normal(size=(50, 3)), rng.integers(0, 2, 50), rng.exponential(size=50)
    for weight in (None, w):
        model = MAKERS[kind](max_epochs=4, learning_rate=0.01).fit(
            *data, eval_set=(X, y) if weight is None else (X, y, weight)
        )
        if kind == "regressor":
            # The loss is in units of the standardised y.
            losses = (model.predict(X) - y)[np.newaxis] ** 2 / model.target_scaler_.var_
        elif kind == "trainer":
            logits = model.predict_outputs(X).astype(float)
            losses = (np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(50), y])[np.newaxis]
        else:
            losses = -np.log(model.predict_proba_members(X)[:, np.arange(50), y])
        for name, by in (("validation_loss", weight), ("validation_loss_unweighted", None)):
            history = np.reshape(model.history_[name], (model.n_epochs_, -1))
            kept = history[np.atleast_1d(model.best_epoch_) - 1, np.arange(history.shape[1])]
            assert kept == pytest.approx(np.average(losses, axis=1, weights=by), rel=1e-5)


@pytest.mark.parametrize("kind", MAKERS)
def test_an_eval_set_that_cannot_be_used(kind, data, rng):
    X, y, _ = data
    make = MAKERS[kind]
    for wrong in ([X, y], (X,), (X, y, None, None), X):
        with pytest.raises(ShiftDataError, match=r"eval_set needs to be a tuple \(X, y\) or \(X, y, sample_weight\)"):
            make().fit(X, y, eval_set=wrong)
    for wrong in ((X, y[:-1]), (X, y, np.ones(3)), (X, y, -np.ones(120)), (X * np.nan, y)):
        with pytest.raises(ValueError, match=r"eval_set|NaN|infinity"):
            make().fit(X, y, eval_set=wrong)
    with pytest.raises(ShiftDataError, match="eval_set is given with early_stopping=False"):
        make(early_stopping=False).fit(X, y, eval_set=(X, y))
    if kind != "regressor":
        with pytest.raises(ShiftDataError, match=r"holds .*2"):
            make().fit(X, y, eval_set=(X, 2 * y))
