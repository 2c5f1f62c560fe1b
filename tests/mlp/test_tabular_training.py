"""The preset for tables beside the other settings of a training: the step written out, layers, rows to stop by."""

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from torch import nn

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp import MLPClassifier, MLPRegressor
from shiftfix.mlp._network import build_network
from shiftfix.mlp._network._activations import PReLU
from shiftfix.mlp._network._dropout import AlphaDropout, Dropout
from shiftfix.mlp._network._layers import BatchNorm
from shiftfix.mlp._network._tabular import mark_rate
from shiftfix.mlp._settings import Network
from shiftfix.mlp._temperature import fit_temperature
from shiftfix.mlp._training import _loop
from shiftfix.mlp._training._flat import flat_step

SMALL = {"preset": "tabular", "hidden_layer_sizes": (6, 5), "max_epochs": 3, "n_models": 2, "random_state": 0}


def a_table(n_rows=80, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"age": rng.normal(40, 10, n_rows), "city": rng.choice(["Ulm", "Bonn"], n_rows)})
    return frame, np.where(frame["city"] == "Ulm", "yes", "no"), rng.exponential(size=n_rows)


def state_of(model):
    return [value.numpy() for value in model.module_.state_dict().values()]


def assert_same_networks(one, other):
    for a, b in zip(state_of(one), state_of(other), strict=True):
        assert_array_equal(a, b)


# --------------------------------------------------------------------------------------------- the step written out


@pytest.mark.parametrize("n_models", [1, 2])
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_the_preset_trains_by_autograd(kind, n_models, monkeypatch):
    """The chooser is asked each epoch and declines; without it the training is the same to the bit."""
    X, y, weight = a_table()
    y, said = (y if kind is MLPClassifier else X["age"] / 10), []

    def asked(*given):
        said.append(flat_step(*given))
        return said[-1]

    settings = SMALL | {"n_models": n_models}
    monkeypatch.setattr(_loop, "flat_step", asked)
    chosen = kind(**settings).fit(X, y, weight)
    assert said == [None] * 3
    monkeypatch.setattr(_loop, "flat_step", lambda *given: None)
    assert_same_networks(chosen, kind(**settings).fit(X, y, weight))


def test_a_network_without_the_preset_is_still_written_out(monkeypatch):
    X, y, weight = a_table()
    said = []
    monkeypatch.setattr(_loop, "flat_step", lambda *given: said.append(flat_step(*given)) or said[-1])
    MLPClassifier(hidden_layer_sizes=(6,), max_epochs=2, random_state=0).fit(X[["age"]], y, weight)
    assert len(said) == 2
    assert all(step is not None for step in said)


@pytest.mark.parametrize("place", ["0.weight", "2.bias"])
def test_a_rate_of_its_own_is_left_to_autograd(place):
    """Also where all layers are plain: Adam on the vector knows one rate."""
    module = build_network(Network(hidden_layer_sizes=(4,)), 3, 2, [0])
    rows, loss = torch.zeros(1, 3), nn.functional.cross_entropy
    optimizer = torch.optim.Adam(module.parameters(), fused=True)
    step = flat_step(module, loss, optimizer, rows)
    assert step is not None
    mark_rate(dict(module.named_parameters())[place], 0.1)
    assert flat_step(module, loss, optimizer, rows, before=step) is None


# --------------------------------------------------------------------------------------------- layers


def test_rates_and_starts_are_of_linear_layers_alone():
    """The slopes of prelu, the gains and the shifts of batch norm stay as they are made."""
    settings = Network(hidden_layer_sizes=(4, 3), activation="prelu", batch_norm=True, preset="tabular")
    module = build_network(settings, 2, 2, [0])
    others = [layer for layer in module if isinstance(layer, PReLU | BatchNorm)]
    assert len(others) == 4
    assert not any(hasattr(parameter, "rate") for layer in others for parameter in layer.parameters())
    slopes = [layer.slope.detach() for layer in others if isinstance(layer, PReLU)]
    assert all(bool((slope == 0.25).all()) for slope in slopes)


def test_dropout_behind_selu_is_the_ordinary_one_with_the_preset():
    X, y, _ = a_table()
    module = MLPClassifier(preset="tabular", max_epochs=1, n_models=1, random_state=0).fit(X, y).module_
    assert sum(isinstance(layer, nn.SELU) for layer in module) == 3
    assert [(type(layer), layer.rate) for layer in module if hasattr(layer, "masks")] == [(Dropout, 0.15)] * 3
    settings = Network(hidden_layer_sizes=(4,), activation="selu", dropout=0.15)
    assert any(type(layer) is AlphaDropout for layer in build_network(settings, 2, 2, [0]))


def test_settings_per_layer_beside_the_preset():
    X, y, _ = a_table()
    settings = {"activation": ["prelu", "tanh"], "initializer": ["auto", "lecun_normal"], "hidden_noise": [0.1, 0.0]}
    model = MLPClassifier(**SMALL, **settings, eps=1e-6).fit(X, y)
    assert np.isfinite(model.predict_proba(X)).all()


# --------------------------------------------------------------------------------------------- targets and rows


def test_one_hot_columns_are_the_labels():
    X, y, weight = a_table()
    columns = pd.DataFrame({label: (y == label).astype(float) for label in ("no", "yes")})
    one, other = (MLPClassifier(**SMALL).fit(X, target, weight) for target in (y, columns))
    assert_same_networks(one, other)
    assert_array_equal(one.predict(X), other.predict(X))
    assert one.temperature_ == other.temperature_


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_rows_to_stop_by_may_have_categories(kind):
    """One by one or as a tuple, they are coded by the levels of the training rows."""
    X, y, _ = a_table()
    X_val, y_val, weight_val = a_table(40, seed=1)
    X_val.loc[0, "city"] = "Kiel"  # a level that no training row has
    if kind is MLPRegressor:
        y, y_val = X["age"] / 10, X_val["age"] / 10
    as_tuple = kind(**SMALL).fit(X, y, eval_set=(X_val, y_val, weight_val))
    one_by_one = kind(**SMALL).fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=weight_val)
    assert len(as_tuple.history_["validation_loss"]) == 3
    assert_same_networks(as_tuple, one_by_one)


def test_text_in_rows_to_stop_by_is_told_as_theirs():
    X, y, _ = a_table()
    with pytest.raises(ShiftDataError, match="X_val cannot be used: X holds text in column 'age'"):
        MLPClassifier(**SMALL).fit(X, y, X_val=X.assign(age="old"), y_val=y)


def test_the_temperature_is_that_of_the_rows_to_stop_by():
    """Smoothed labels leave it below 1 for rows that are all right, whichever way these are given."""
    X, y, _ = a_table(300)
    X_val, y_val, weight_val = a_table(200, seed=1)
    settings = SMALL | {"max_epochs": 20, "label_smoothing": 0.3}
    model = MLPClassifier(**settings).fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=weight_val)
    proba = model.predict_proba_members(X_val).mean(axis=0)
    expected = fit_temperature(proba, np.searchsorted(model.classes_, y_val), weight_val)
    assert expected < 0.9
    assert model.temperature_ == pytest.approx(expected, rel=1e-4)  # the network is float32 while it is fitted
    assert MLPClassifier(**settings).fit(X, y, eval_set=(X_val, y_val, weight_val)).temperature_ == model.temperature_


def test_further_epochs_tell_the_loss_of_rows_with_categories():
    X, y, _ = a_table()
    X_val, y_val, _ = a_table(40, seed=1)
    model = MLPClassifier(**SMALL)
    for _ in range(2):
        model.partial_fit(X, y, classes=["no", "yes"], X_val=X_val, y_val=y_val)
    assert np.isfinite(model.history_["validation_loss"]).all()
    assert model.temperature_ == 1
