"""Dead and saturated units: shares by hand, in the history, and a warning that names the layer."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from shiftfix.exceptions import GradientWarning, IdleUnitsWarning, ShiftDataError
from shiftfix.mlp import MLPClassifier, MLPRegressor, WeightedTrainer
from shiftfix.mlp._network._module import ACTIVATIONS, build_mlp
from shiftfix.mlp._saving._model import pack_estimator, unpack_estimator
from shiftfix.mlp._training._diagnostics import LayerNorms
from shiftfix.mlp._training._units import MOST_ROWS, SLOPES, idle_units, share_of_rows, warn_of_idle_units

PLAIN = {"dropout": 0.0, "early_stopping": False, "random_state": 0}


def shares(layer, outputs, stacked=False):
    return tuple(float(share) for share in idle_units(layer, torch.tensor(outputs), stacked))


def blobs(n=120):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, n)
    return rng.normal(size=(n, 3)) + y[:, None], y


# ------------------------------------------------------------------------------- by hand


def test_a_relu_is_dead_when_it_is_0_for_every_row():
    outputs = np.array([[0.0, 0.0, 1.0, 0.0], [0.0, 2.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    assert shares(nn.ReLU(), outputs) == (0.5, 0)
    assert shares(nn.ReLU(), np.stack([outputs, outputs + 1]), stacked=True) == (0.25, 0)
    # A channel of an image is a unit: dead where all its places are.
    images = np.zeros((2, 4, 3, 3))
    images[0, 1, 2, 2] = 1
    assert shares(nn.ReLU(), images) == (0.75, 0)


@pytest.mark.parametrize(
    ("name", "flat", "steep"),
    [
        ("tanh", [-0.98, 0.98], 0.97),
        ("sigmoid", [0.01, 0.99], 0.02),
        ("softsign", [-0.78, 0.78], 0.77),
        ("elu", [-0.96, -0.99], -0.94),
        ("selu", [-1.68, -1.75], -1.66),
        ("softplus", [0.05, 0.01], 0.06),
    ],
)
def test_a_unit_is_saturated_when_its_slope_is_small_for_most_rows(name, flat, steep):
    """Twenty rows, of which one may be elsewhere: 95 %."""
    layer = ACTIVATIONS[name]()
    column = lambda n_steep: np.array([*flat * 10][: 20 - n_steep] + [steep] * n_steep)  # noqa: E731
    assert shares(layer, np.column_stack([column(0), column(1), column(2), column(20)])) == (0, 0.5)
    assert MOST_ROWS == 0.95


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if type(ACTIVATIONS[name]()) in SLOPES])
def test_slopes_follow_from_the_outputs(name):
    """As autograd has them, over the greatest: of the grid, or the limit."""
    layer = ACTIVATIONS[name]()
    z = torch.linspace(-8, 8, 4001, dtype=torch.float64).requires_grad_()
    h = layer(z)
    h.sum().backward()
    greatest = {"selu": 1.7580993, "softplus": 1.0}.get(name, float(z.grad.max()))
    found = SLOPES[type(layer)](h.detach())
    below = slice(0, 1999) if name in ("elu", "selu") else slice(None)
    torch.testing.assert_close(found[below], (z.grad / greatest)[below], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["identity", "leaky_relu", "prelu", "gelu", "silu", "mish"])
def test_others_have_neither(name):
    assert idle_units(ACTIVATIONS[name](), torch.zeros(3, 2), False) is None


def test_rows_are_counted_along_their_axis():
    holds = torch.tensor([[True, False], [True, True]])
    assert share_of_rows(holds, False).tolist() == [1, 0.5]
    assert share_of_rows(torch.stack([holds, ~holds]), True).tolist() == [[1, 0.5], [0, 0.5]]


def test_they_are_noted_behind_the_activation_whatever_follows():
    """Batch norm ahead of it, dropout and pooling behind: two of four ReLUs get -1 for every row."""
    net = build_mlp(1, (4,), 2, "relu", 0.5, torch.Generator(), torch.Generator(), batch_norm=True).train()
    with torch.no_grad():
        net[1].gain.zero_()
        net[1].shift.copy_(torch.tensor([-1.0, 1.0, -1.0, 1.0]))
    norms = LayerNorms(net)
    with norms.watch():
        net(torch.arange(6.0)[:, None])
    assert [tuple(map(float, norms.idle[name])) for name in norms.names] == [(0.5, 0), (0, 0)]


# ------------------------------------------------------------------------------- in the history


@pytest.mark.parametrize("n_models", [1, 2])
@pytest.mark.parametrize("kind", ["classifier", "regressor", "trainer"])
def test_the_history_has_a_share_for_every_layer_and_epoch(kind, n_models):
    X, y = blobs()
    if kind == "trainer":
        net = build_mlp(3, (4, 5), 2, "relu", 0.0, torch.Generator().manual_seed(0), None)
        model = WeightedTrainer(net, max_epochs=3, random_state=0).fit(X, y)
    else:
        make = MLPClassifier if kind == "classifier" else MLPRegressor
        model = make((4, 5), n_models=n_models, max_epochs=3, **PLAIN).fit(X, y)
    for name in ("dead_units", "saturated_units"):
        assert np.shape(model.history_[name]) == (3, 3)
        assert all(type(share) is float and 0 <= share <= 1 for epoch in model.history_[name] for share in epoch)
        assert all(epoch[-1] == 0 for epoch in model.history_[name])


def test_the_share_is_that_of_the_batch_against_numpy():
    """One full batch of the smallest step: the dead units of the start."""
    X, y = blobs(4)
    settings = {"learning_rate": 1e-12, "batch_size": None, "max_epochs": 1, "standardize": False, **PLAIN}
    model = MLPRegressor((40,), **settings).fit(X, y)
    weight, bias = (value.detach().numpy() for value in list(model.module_.parameters())[:2])
    dead = (X @ weight.T + bias <= 0).all(axis=0).mean()
    assert 0 < dead < 0.5
    assert model.history_["dead_units"] == [[pytest.approx(dead), 0]]


# ------------------------------------------------------------------------------- the warning


def mostly_below(weight, generator):
    """Weights of which rows of positive numbers make negative ones, but for the last unit."""
    weight.uniform_(-1, -0.5, generator=generator)
    weight[-1].abs_()


def test_dead_units_are_warned_of_by_the_name_of_their_layer():
    X, y = np.random.default_rng(0).uniform(0.5, 1, (60, 3)), np.arange(60) % 2
    starts = [lambda weight, generator: weight.fill_(0.5), mostly_below, "auto"]
    settings = {"standardize": False, "max_epochs": 2, "initializer": starts, **PLAIN}
    with pytest.warns(IdleUnitsWarning, match=r"80% of the units of layer '2' are dead .*leaky_relu") as found:
        model = MLPClassifier((6, 5), **settings).fit(X, y)
    assert len(found) == 1
    assert "\n" not in str(found[0].message)
    assert model.history_["dead_units"][-1] == [0, pytest.approx(0.8), 0]


def test_where_all_are_dead_the_warning_of_gradients_names_the_layer():
    X, y = np.random.default_rng(0).uniform(0.5, 1, (60, 3)), np.arange(60) % 2
    starts = ["auto", lambda weight, generator: weight.fill_(-0.5), "auto"]
    with pytest.warns(GradientWarning, match=r"No gradient .* in the first epoch \(all units of layer '2' are dead\)"):
        MLPClassifier((6, 5), standardize=False, max_epochs=2, initializer=starts, **PLAIN).fit(X, y)


@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.GradientWarning")
def test_saturated_units_are_warned_of():
    X, y = blobs()
    wide = lambda weight, generator: weight.normal_(0, 1e3, generator=generator)  # noqa: E731
    for activation, first in (("tanh", "0"), (["identity", "softsign"], "2")):
        starts = [wide, "auto", "auto"] if first == "0" else ["auto", wide, "auto"]
        with pytest.warns(IdleUnitsWarning, match=rf"of the units of layer '{first}' are saturated"):
            MLPRegressor((6, 5), activation=activation, initializer=starts, max_epochs=2, **PLAIN).fit(X, y)


@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.GradientWarning")
def test_a_trainer_warns_too():
    net = nn.Sequential(nn.utils.skip_init(nn.Linear, 3, 4), nn.Tanh(), nn.utils.skip_init(nn.Linear, 4, 2))
    for layer in (net[0], net[2]):
        nn.init.constant_(layer.weight, 0.1)
        nn.init.constant_(layer.bias, 0.0)
    nn.init.constant_(net[0].bias, 9.0)
    with pytest.warns(IdleUnitsWarning, match="layer '0' are saturated"):
        WeightedTrainer(net, max_epochs=2, random_state=0).fit(*blobs())


def one_unit_per_row(weight, generator):
    """In the first layer 1 for the row's own column and -1 for the others."""
    weight.copy_(2 * torch.eye(30) - 1) if len(weight) == 30 else weight.normal_(0, 0.1, generator=generator)


def test_units_that_rest_in_a_small_batch_are_not_dead():
    """Each unit is on for one row in 30: in batches of two most are 0, and over all rows none is."""
    X, y = np.tile(np.eye(30), (4, 1)), np.arange(120) % 2
    settings = {"standardize": False, "batch_size": 2, "learning_rate": 1e-6, "max_epochs": 2, **PLAIN}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = MLPClassifier((30,), initializer=one_unit_per_row, **settings).fit(X, y)
    assert model.history_["dead_units"][-1][0] > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "softsign", "elu", "selu"])
@pytest.mark.parametrize("width", [4, 64])
def test_ordinary_networks_do_not_warn(activation, width):
    """pytest turns warnings into errors."""
    X, y = blobs(400)
    for rate in (1e-3, 3e-3):
        settings = {"activation": activation, "learning_rate": rate, "max_epochs": 30, "batch_size": 64, **PLAIN}
        MLPClassifier((width,) * 2, **settings).fit(X, y)


def test_the_rule():
    names = ["a", "b", "c"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_idle_units(names, [0.74] * 3, [0.74] * 3)
        warn_of_idle_units([], [], [])
    with pytest.warns(IdleUnitsWarning, match="76% of the units of layer 'b' are dead"):
        warn_of_idle_units(names, [0.4, 0.76, 1.0], [1.0, 0, 0])
    with pytest.warns(IdleUnitsWarning, match="75% of the units of layer 'c' are saturated"):
        warn_of_idle_units(names, [0.0] * 3, [0.5, 0.7, 0.75])


# ------------------------------------------------------------------------------- steps, batches and the summary


@pytest.mark.parametrize(("n", "batch_size", "n_batches"), [(50, 16, 4), (48, 16, 3), (50, None, 1), (50, 500, 1)])
def test_steps_and_batches_are_told(n, batch_size, n_batches):
    X, y = blobs(n)
    model = MLPRegressor((3,), batch_size=batch_size, max_epochs=5, **PLAIN).fit(X, y)
    assert (model.n_batches_, model.n_steps_) == (n_batches, 5 * n_batches)
    assert f"{5 * n_batches} steps in 5 epochs, {n_batches} batches per epoch" in model.summary()
    model.partial_fit(X, y).partial_fit(X, y)
    assert (model.n_batches_, model.n_steps_, model.n_epochs_) == (n_batches, 2 * n_batches, 2)


def test_the_summary_tells_frozen_parameters_the_batch_and_memory():
    """3-4-2 with batch norm: 16 + 8 + 10 parameters, 4 biases frozen; beside them 4 + 4 + 1 averages in float32. The
    layers put out 4 + 4 + 4 + 2 numbers a row."""
    X, y = blobs()
    model = MLPClassifier((4,), batch_norm=True, max_epochs=2, **PLAIN).fit(X, y)
    lines = model.summary().splitlines()
    assert lines[-4:-1] == [
        "34 parameters",
        "30 trained, 4 frozen",
        f"{43 * 4 / 1e6:.3g} MB of parameters and averages, {14 * 4 / 1e6:.3g} MB of outputs of all layers for a row",
    ]
    assert [line.split()[1:3] for line in lines[2:4]] == [["Linear", "(n,"], ["BatchNorm", "(n,"]]
    batch = model.summary(batch_size=64).splitlines()
    assert "(64, 4)" in batch[2]
    assert f"{64 * 14 * 4 / 1e6:.3g} MB of outputs of all layers for a batch of 64 rows" in batch[-2]
    assert np.array_equal(model.predict(X), model.predict(X))
    for wrong in (0, -1, 2.5, "64", True):
        with pytest.raises(ShiftDataError, match="batch_size="):
            model.summary(wrong)


def test_the_summary_of_a_module_with_frozen_layers():
    net = build_mlp(3, (4,), 2, "relu", 0.0, torch.Generator().manual_seed(0), None)
    net[0].requires_grad_(False)
    model = WeightedTrainer(net, max_epochs=1, random_state=0).fit(*blobs())
    assert "10 trained, 16 frozen" in model.summary(np.int64(8))
    assert "(8, 4)" in model.summary(8)


def test_models_in_a_stack_have_their_own_batches():
    model = MLPRegressor((4,), n_models=3, max_epochs=1, **PLAIN).fit(*blobs())
    assert "(3, 16, 4)" in model.summary(16)
    assert f"{3 * 16 * 9 * 4 / 1e6:.3g} MB of outputs" in model.summary(16)


def test_files_without_these_numbers_are_read():
    model = MLPRegressor((3,), max_epochs=1, **PLAIN).fit(*blobs())
    content = pack_estimator(model)
    for name in ("n_steps_", "n_batches_"):
        del content["fitted"][name]
    found = unpack_estimator(content, MLPRegressor)
    assert not hasattr(found, "n_steps_")
    assert "steps" not in found.summary()
    for wrong in (-1, "3", True, 2.5):
        content["fitted"]["n_steps_"] = wrong
        with pytest.raises(ShiftDataError, match=r"n_steps_ is .*, and a whole number is needed"):
            unpack_estimator(content, MLPRegressor)
