"""The networks: order of layers, starts, the formula; and what cleans and describes them."""

import copy
import pickle
import re

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import nn

from shiftfix.mlp import WeightedTrainer
from shiftfix.mlp._network._dropout import Dropout
from shiftfix.mlp._network._initializers import linear_layer
from shiftfix.mlp._network._layers import BatchNorm, GaussianNoise, Linear
from shiftfix.mlp._network._module import ACTIVATIONS, build_mlp, forget_masks, remove_generators
from shiftfix.mlp._network._summary import describe


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def own_global_generator():
    """For torch's own layers, which start from the global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def test_layers_stand_in_order():
    module = build_mlp(4, (8, 6), 3, "relu", 0.5, generator(), generator())
    kinds = [type(layer) for layer in module]
    assert kinds == [nn.Linear, nn.ReLU, Dropout, nn.Linear, nn.ReLU, Dropout, nn.Linear]
    assert [tuple(p.shape) for p in module.parameters()] == [(8, 4), (8,), (6, 8), (6,), (3, 6), (3,)]


def test_no_hidden_layer_is_a_linear_model():
    module = build_mlp(4, (), 2, "relu", 0.5, generator(), generator())
    assert [type(layer) for layer in module] == [nn.Linear]


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_forward_is_the_textbook_formula(activation, rng):
    module = build_mlp(3, (5,), 2, activation, 0.0, generator(1), generator()).double()
    x = rng.normal(size=(7, 3))
    first, last = module[0], module[-1]
    hidden = x @ first.weight.detach().numpy().T + first.bias.detach().numpy()
    formula = {
        "relu": lambda z: np.maximum(z, 0),
        "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
        "gelu": lambda z: z * norm.cdf(z),
        "tanh": np.tanh,
        "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
        "identity": lambda z: z,
        "selu": lambda z: 1.0507009873554805 * np.where(z > 0, z, 1.6732632423543772 * np.expm1(np.minimum(z, 0))),
    }[activation]
    expected = formula(hidden) @ last.weight.detach().numpy().T + last.bias.detach().numpy()
    np.testing.assert_allclose(module(torch.as_tensor(x)).detach().numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("gain", [1.0, 2**0.5])
def test_initial_weights_have_the_stated_variance(gain):
    """600 x 400 normal draws: the relative error of their variance has sd sqrt(2 / 240000) = .0029."""
    layer = linear_layer(400, 600, gain, generator())
    assert layer.weight.var().item() * 400 == pytest.approx(gain**2, rel=5 * 0.0029)
    assert not layer.bias.any()


def test_relu_layers_keep_the_scale_of_the_signal():
    """Ten layers of 500 units: the mean square at the end stays within a factor of two; with gain 1 it would
    fall by 2^10."""
    module = build_mlp(500, (500,) * 10, 500, "relu", 0.0, generator(3), generator())
    x = torch.randn(200, 500, generator=generator(4))
    with torch.no_grad():
        hidden = module[:-1](x)
    assert 0.5 < hidden.square().mean().item() < 2.0


# -------------------------------------------------------------------------------- settings of build_mlp


def test_each_layer_has_its_own_dropout_rate_and_zero_leaves_it_out():
    module = build_mlp(4, (8, 6, 5), 3, "relu", (0.5, 0.0, 0.25), generator(), generator())
    kinds = [type(layer) for layer in module]
    assert kinds == [nn.Linear, nn.ReLU, Dropout, nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, Dropout, nn.Linear]
    assert [layer.rate for layer in module if isinstance(layer, Dropout)] == [0.5, 0.25]


@pytest.mark.parametrize("rate", [np.float32(0.25), np.float64(0.25), 0.25])
def test_one_rate_of_any_kind_of_number_is_for_all_layers(rate):
    module = build_mlp(4, (8, 6), 3, "relu", rate, generator(), generator())
    assert [float(layer.rate) for layer in module if isinstance(layer, Dropout)] == [0.25, 0.25]
    assert not any(
        isinstance(layer, Dropout) for layer in build_mlp(4, (8,), 3, "relu", np.int64(0), generator(), None)
    )


def test_too_few_rates_are_an_error():
    with pytest.raises(ValueError, match="zip"):
        build_mlp(4, (8, 6), 3, "relu", [0.5], generator(), generator())


@pytest.mark.parametrize("n_models", [1, 2])
def test_everything_at_once_stands_in_order(n_models):
    drawing = generator(9)
    module = build_mlp(
        4,
        (8, 6),
        3,
        "tanh",
        (0.5, 0.1),
        [generator(k) for k in range(n_models)],
        drawing,
        input_dropout=0.2,
        dropconnect=0.3,
        input_noise=0.4,
        batch_norm=True,
    )
    hidden = [Linear, BatchNorm, nn.Tanh, Dropout]
    assert [type(layer) for layer in module] == [GaussianNoise, Dropout, *hidden, *hidden, Linear]
    assert (module[0].deviation, module[1].rate) == (0.4, 0.2)
    assert [layer.drop_rate for layer in module if isinstance(layer, Linear)] == [0.3] * 3
    assert all(layer.generator is drawing for layer in module if hasattr(layer, "generator"))
    ahead = () if n_models == 1 else (n_models,)
    assert module[2].weight.shape == (*ahead, 8, 4)
    assert module(torch.zeros(*ahead, 7, 4)).shape == (*ahead, 7, 3)
    assert module.eval()(torch.zeros(7, 4)).shape == (*ahead, 7, 3)


@pytest.mark.parametrize("dropconnect", [0.0, 0.5])
@pytest.mark.parametrize("initializer", ["kaiming_normal", "xavier_uniform", 0.25, lambda w, g: w.normal_(generator=g)])
def test_each_stacked_model_starts_where_a_single_one_would(initializer, dropconnect):
    settings = {"initializer": initializer, "dropconnect": dropconnect}
    stacked = build_mlp(4, (8, 6), 3, "relu", 0.5, [generator(k) for k in range(3)], generator(), **settings)
    for k in range(3):
        single = build_mlp(4, (8, 6), 3, "relu", 0.5, generator(k), generator(), **settings)
        alone = build_mlp(4, (8, 6), 3, "relu", 0.5, [generator(k)], generator(), **settings)
        for many, one, same in zip(stacked.parameters(), single.parameters(), alone.parameters(), strict=True):
            assert torch.equal(many[k], one)
            assert torch.equal(same, one)


def test_neither_the_noise_nor_the_other_models_change_a_start():
    plain = build_mlp(4, (8,), 3, "relu", 0.0, generator(3), generator())
    noisy = build_mlp(4, (8,), 3, "relu", 0.5, generator(3), generator(), input_noise=1.0, dropconnect=0.5)
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), noisy.parameters(), strict=True))


# -------------------------------------------------------------------------------- forget_masks, remove_generators


def everything(n_models=1):
    generators = [generator(k) for k in range(n_models)]
    settings = {"input_dropout": 0.2, "dropconnect": 0.3, "input_noise": 0.4, "batch_norm": True}
    return build_mlp(4, (8,), 3, "relu", 0.5, generators, generator(7), **settings)


def test_forgetting_masks_leaves_all_to_the_generators_state():
    module = everything().train()
    x = torch.ones(5, 4)
    module(x)
    forget_masks(module)
    state = module[0].generator.get_state()
    first = module(x)
    module[0].generator.set_state(state)
    forget_masks(module)
    assert torch.equal(module(x), first)


@pytest.mark.slow
@pytest.mark.parametrize("n_models", [1, 2])
def test_a_module_without_generators_can_be_pickled_and_copied(n_models):
    module = everything(n_models)
    module[3].row_weight = torch.ones(5)
    x = torch.ones(5, 4) if n_models == 1 else torch.ones(n_models, 5, 4)
    module.train()(x)
    remove_generators(module)
    assert not module.training
    content = pickle.dumps(module)
    assert len(content) < 20_000  # no mask drawn ahead, of 2^16 entries, is in it
    for copied in (pickle.loads(content), copy.deepcopy(module)):
        assert torch.equal(copied(x), module(x))
        assert all(layer.generator is None for layer in copied if hasattr(layer, "generator"))
        assert copied[3].row_weight is None


class Named(nn.Module):
    """A module of a user's whose names are those of this package's layers."""

    def __init__(self):
        super().__init__()
        self.generator = nn.Linear(3, 4)
        self.masks = torch.ones(4)
        self.row_weight = nn.Parameter(torch.ones(4))

    def reset(self):
        raise AssertionError("nobody asked for this")

    def forward(self, x):
        return self.generator(x) * self.masks * self.row_weight


@pytest.mark.usefixtures("own_global_generator")
def test_layers_of_others_are_left_alone():
    module = Named()
    forget_masks(module)
    remove_generators(module)
    assert module(torch.ones(2, 3)).shape == (2, 4)
    trained = WeightedTrainer(module, "squared_error", max_epochs=2, random_state=0)
    trained.fit(np.ones((6, 3), np.float32), np.ones((6, 4), np.float32))
    assert trained.predict(np.ones((2, 3), np.float32)).shape == (2, 4)


# -------------------------------------------------------------------------------- describe


def table(module, *input_shape):
    """The body of the description, split at two blanks or more."""
    first, line, *body, end, total = describe(module, input_shape).splitlines()
    assert set(line) == set(end) == {"-"}
    assert re.split(r" {2,}", first) == ["layer", "kind", "output", "parameters"]
    return [tuple(re.split(r" {2,}", row.strip())) for row in body], total


@pytest.mark.usefixtures("own_global_generator")
def test_describes_a_convolutional_network():
    module = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 9, 10))
    assert table(module, 2, 8, 8) == (
        [
            ("0", "Conv2d", "(n, 4, 6, 6)", str(4 * 2 * 9 + 4)),
            ("1", "ReLU", "(n, 4, 6, 6)", "0"),
            ("2", "MaxPool2d", "(n, 4, 3, 3)", "0"),
            ("3", "Flatten", "(n, 36)", "0"),
            ("4", "Linear", "(n, 10)", "370"),
        ],
        "446 parameters",
    )


@pytest.mark.parametrize("n_models", [2, 3])
@pytest.mark.parametrize("width", [2, 3])
def test_describes_stacked_models_of_any_width(n_models, width):
    """Neither the number of models nor a width is taken for that of the rows, 2 and 3 while it looks."""
    module = build_mlp(
        width, (width,), width, "relu", 0.5, [generator(k) for k in range(n_models)], None, batch_norm=True
    )
    shape, count = f"({n_models}, n, {width})", str(n_models * (width * width + width))
    assert table(module, width) == (
        [
            ("0", "Linear", shape, count),
            ("1", "BatchNorm", shape, str(n_models * 2 * width)),
            ("2", "ReLU", shape, "0"),
            ("3", "Dropout", shape, "0"),
            ("4", "Linear", shape, count),
        ],
        f"{n_models * (2 * (width * width + width) + 2 * width)} parameters",
    )


@pytest.mark.usefixtures("own_global_generator")
def test_describes_a_lone_layer_and_thousands():
    assert table(nn.Linear(100, 50), 100) == ([("module", "Linear", "(n, 50)", "5,050")], "5,050 parameters")


class Nested(nn.Module):
    """Branches called out of order and twice, a parameter of its own, rows merged with steps, a layer never called."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(4, 2)
        self.spare = nn.Linear(7, 7)
        self.branch = nn.ModuleDict({"a": nn.Sequential(nn.Linear(3, 4), nn.Tanh())})
        self.recurrent = nn.LSTM(4, 4, batch_first=True)
        self.scale = nn.Parameter(torch.ones(2))

    def forward(self, x):
        steps = self.branch["a"][1](self.branch["a"](x.reshape(-1, 3))).reshape(len(x), 5, 4)
        steps, _ = self.recurrent(steps)
        return self.last(steps[:, -1]) * self.scale


@pytest.mark.usefixtures("own_global_generator")
def test_describes_nested_modules():
    assert table(Nested(), 5, 3) == (
        [
            ("branch.a.0", "Linear", "(5n, 4)", "16"),
            ("branch.a.1", "Tanh", "(5n, 4)", "0"),
            ("recurrent", "LSTM", "(n, 5, 4)", str(4 * 4 * (4 + 4) + 2 * 16)),
            ("last", "Linear", "(n, 2)", "10"),
            ("module", "Nested", "(n, 2)", "2"),
            ("spare", "Linear", "not called", "56"),
        ],
        "244 parameters",
    )


@pytest.mark.usefixtures("own_global_generator")
def test_describes_modules_that_look_rows_up():
    module = nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(6, 2))
    rows, total = table(module, 2)
    assert [row[2] for row in rows] == ["(n, 2, 3)", "(n, 6)", "(n, 2)"]
    assert total == "29 parameters"


@pytest.mark.usefixtures("own_global_generator")
def test_shared_parameters_count_once():
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    assert table(nn.Sequential(first, second), 3)[1] == "15 parameters"


@pytest.mark.usefixtures("own_global_generator")
def test_describing_leaves_no_trace():
    """Neither in the modes, which differ here, nor in buffers, hooks and the global generator; also after an error."""
    module = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(), nn.Linear(3, 2)).double()
    module[0].eval()
    before, drawn = copy.deepcopy(module.state_dict()), torch.get_rng_state()
    describe(module, (3,))
    with pytest.raises(RuntimeError):
        describe(module, (4,))
    assert [part.training for part in module.modules()] == [True, False, True, True]
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert not any(part._forward_hooks for part in module.modules())
    assert torch.equal(torch.get_rng_state(), drawn)
