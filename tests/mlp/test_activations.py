"""Activations and starts per layer: formulas, learned slopes, what survives ten layers, alpha dropout and noise."""

import itertools
import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.stats import kstest, norm
from torch import nn

from shiftfix.exceptions import ShiftDataError, SymmetricUnitsWarning
from shiftfix.mlp import MLPClassifier, MLPRegressor
from shiftfix.mlp._network._activations import PReLU
from shiftfix.mlp._network._dropout import SELU_FLOOR, AlphaDropout, Dropout
from shiftfix.mlp._network._initializers import GAINS, MATCHED
from shiftfix.mlp._network._layers import GaussianNoise
from shiftfix.mlp._network._module import ACTIVATIONS, build_mlp
from shiftfix.mlp._training._regularizers import weights_of

SMALL = {"max_epochs": 3, "batch_size": 16, "n_models": 1, "random_state": 0}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rows(n=60, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    return X, (X[:, 0] * X[:, 1] > 0).astype(int)


# -------------------------------------------------------------------------------- the learned slope


@pytest.mark.parametrize("n_models", [1, 3])
def test_prelu_and_its_slope_are_those_of_the_formula(n_models):
    """f = max(z, 0) + a min(z, 0), df/dz = 1 or a, df/da = min(z, 0) summed over the rows, for each unit and model."""
    rng = np.random.default_rng(0)
    shape = (7, 4) if n_models == 1 else (n_models, 7, 4)
    z, slopes, out = rng.normal(size=shape), rng.uniform(-1, 1, (n_models, 4)), rng.normal(size=shape)
    layer = PReLU(4, n_models).double()
    with torch.no_grad():
        layer.slope.copy_(torch.tensor(slopes if n_models > 1 else slopes[0]))
    x = torch.tensor(z, requires_grad=True)
    y = layer(x)
    y.backward(torch.tensor(out))
    a = slopes[:, np.newaxis] if n_models > 1 else slopes
    assert_allclose(y.detach(), np.maximum(z, 0) + a * np.minimum(z, 0))
    assert_allclose(x.grad, out * np.where(z > 0, 1, a))
    assert_allclose(layer.slope.grad, (out * np.minimum(z, 0)).sum(axis=-2))


def test_slopes_are_learned_counted_and_not_penalised():
    X, y = rows()
    model = MLPClassifier((5, 4), activation=["prelu", "relu"], l2=10.0, **SMALL).fit(X, y)
    slope = model.module_[1].slope
    assert slope.shape == (5,)
    assert (slope != 0.25).all()
    assert model.n_parameters_ == 3 * 5 + 5 + 5 + 5 * 4 + 4 + 4 * 2 + 2
    assert not any(slope is weight for weight in weights_of(model.module_))


def test_each_stacked_model_has_slopes_of_its_own():
    """The first of three trains as it does alone."""
    X, y = rows()
    settings = {"activation": "prelu", "dropout": 0.0, "early_stopping": False, **SMALL}
    alone = MLPRegressor((5,), **settings).fit(X, y)
    three = MLPRegressor((5,), **settings | {"n_models": 3}).fit(X, y)
    slopes = three.module_[1].slope.detach().numpy()
    assert_allclose(slopes[0], alone.module_[1].slope.detach().numpy(), rtol=1e-5)
    assert not np.allclose(slopes[0], slopes[1])


# -------------------------------------------------------------------------------- per layer


@pytest.mark.parametrize("names", [["tanh", "elu", "softsign"], ("relu",) * 3, np.array(["mish", "silu", "identity"])])
def test_each_hidden_layer_has_its_own_activation(names):
    X, y = rows()
    model = MLPRegressor((4, 3, 2), activation=names, **SMALL).fit(X, y)
    kinds = [type(layer) for layer in model.module_ if not isinstance(layer, nn.Linear)]
    assert kinds == [ACTIVATIONS[str(name)] for name in names]


def test_a_list_of_one_name_is_the_name():
    X, y = rows()
    settings = {"hidden_layer_sizes": (4, 3), **SMALL}
    for setting, value in [("activation", "selu"), ("initializer", "xavier_uniform"), ("hidden_noise", 0.3)]:
        one = MLPClassifier(**settings, **{setting: value}).fit(X, y).predict_proba(X)
        assert np.array_equal(MLPClassifier(**settings, **{setting: [value] * 2}).fit(X, y).predict_proba(X), one)


def test_each_layer_has_its_own_start_and_the_output_layer_the_last():
    starts = [0.5, 0.25, "lecun_uniform"]
    module = build_mlp(3, (4, 3), 2, "relu", 0.0, generator(), None, starts)
    assert (module[0].weight == 0.5).all()
    assert (module[2].weight == 0.25).all()
    assert 0 < module[4].weight.abs().max() <= 1
    assert module[4].weight.unique().numel() == 6
    assert (build_mlp(3, (4, 3), 2, "relu", 0.0, generator(), None, starts[:2])[4].weight == 0.25).all()
    assert (build_mlp(3, (), 2, "relu", 0.0, generator(), None, [0.25])[0].weight == 0.25).all()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"activation": ["relu"]}, r"activation=\['relu'\].* each of the 2 hidden layers, is needed, and there are 1"),
        ({"activation": ["relu", "swish"]}, "activation='swish': one of 'relu'"),
        ({"activation": ["relu", None]}, "activation=None"),
        ({"activation": [["relu", "tanh"]] * 2}, "activation="),
        ({"activation": ()}, "there are 0"),
        ({"activation": {"relu": 1}}, "activation="),
        ({"initializer": ["ones"] * 4}, "initializer=.* one more for the output layer.* there are 4"),
        ({"initializer": ["ones", "he"]}, "initializer='he'"),
        ({"initializer": ["ones", np.nan]}, "initializer=nan"),
        ({"hidden_noise": [0.1]}, "hidden_noise=.* each of the 2 hidden layers"),
        ({"hidden_noise": -0.1}, "hidden_noise=-0.1: a number >= 0 and < inf"),
        ({"hidden_noise": [0.1, np.inf]}, "hidden_noise=inf"),
        ({"hidden_noise": "0.1"}, "hidden_noise='0.1'"),
        ({"hidden_noise": None}, "hidden_noise=None"),
        ({"hidden_noise": [[0.1], [0.1]]}, "hidden_noise="),
        ({"hidden_noise": True}, "hidden_noise=True"),
    ],
    ids=str,
)
def test_settings_of_layers_that_cannot_be(settings, said):
    X, y = rows()
    with pytest.raises(ShiftDataError, match=said):
        MLPClassifier((4, 3), **settings).fit(X, y)


# -------------------------------------------------------------------------------- starts


def ten_layers(activation, initializer, scale):
    """Mean squares of the activations, and of the loss's slopes at them, of the first and the last of ten layers."""
    module = build_mlp(300, (300,) * 10, 300, activation, 0.0, generator(1), None, initializer)
    h, seen = (scale * torch.randn(200, 300, generator=generator())).requires_grad_(), []
    for layer in module[:-1]:
        h = layer(h)
        if not isinstance(layer, nn.Linear):
            h.retain_grad()
            seen.append(h)
    (h * torch.randn(h.shape, generator=generator(2))).sum().backward()
    forward, backward = ([part.square().mean().item() for part in parts] for parts in (seen, [h.grad for h in seen]))
    return forward[-1] / forward[0], backward[0] / backward[-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("activation", "scale", "most"),
    [
        *((name, 1.0, 2.0) for name in ("relu", "leaky_relu", "prelu", "elu", "selu", "identity")),
        *((name, 1.0, 6.0) for name in ("gelu", "mish")),
        # Glorot & Bengio's assumption: bounded units in the part where they are linear.
        *((name, 0.01, 2.0) for name in ("tanh", "softsign")),
    ],
)
def test_the_matched_start_keeps_signals_and_gradients_through_ten_layers(activation, scale, most):
    """Both mean squares stay within a factor of ``most`` (found: 1.9 at most, 4.2 for gelu); weights a third smaller
    lose all but 1e-3, and so does the start of another kind of activation."""
    for ratio in ten_layers(activation, "auto", scale):
        assert 1 / most < ratio < most
    shrunk = {"relu": "lecun_normal", "prelu": "lecun_normal", "gelu": "xavier_normal", "mish": "xavier_uniform"}
    if activation in shrunk:
        assert max(ten_layers(activation, shrunk[activation], scale)) < 0.01


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_auto_is_the_start_that_goes_with_the_activation(activation):
    """He for relu and its kin, LeCun for selu, Glorot for bounded units, LeCun where nothing follows; per layer."""
    kinds = {"selu": "lecun", "identity": "lecun", "tanh": "xavier", "sigmoid": "xavier", "softsign": "xavier"}
    deviations = {"lecun": 400**-0.5, "xavier": (2 / 1000) ** 0.5, "kaiming": GAINS[activation] / 400**0.5}
    kind = kinds.get(activation, "kaiming")
    assert MATCHED[activation] == f"{kind}_normal"
    module = build_mlp(400, (600, 5), 3, [activation, "relu"], 0.0, generator(), None)
    weights = module[0].weight.detach().numpy().ravel().astype(float)
    assert kstest(weights, norm(0, deviations[kind]).cdf).pvalue > 0.001
    assert kstest(1.02 * weights, norm(0, deviations[kind]).cdf).pvalue < 0.001


def test_auto_is_kaiming_for_the_default_activation():
    X, y = rows()
    default = MLPClassifier((5,), **SMALL).fit(X, y).predict_proba(X)
    assert np.array_equal(
        MLPClassifier((5,), initializer="kaiming_normal", **SMALL).fit(X, y).predict_proba(X), default
    )


def silent_start(**settings):
    with warnings.catch_warnings():
        warnings.simplefilter("error", SymmetricUnitsWarning)
        warnings.filterwarnings("ignore", category=UserWarning, message=".*(gradient|units of layer)")
        MLPClassifier((4, 3), **{"dropout": 0.0, **SMALL, **settings}).fit(*rows())


def test_units_are_alike_where_both_their_weights_in_and_out_are():
    for alike in (["auto", 0.1, 0.1], [0.1, 0.1, "auto"], [0.1, 0.1], "ones"):
        with pytest.warns(SymmetricUnitsWarning, match="stay equal for ever"):
            MLPClassifier((4, 3), initializer=alike, dropout=0.0, **SMALL).fit(*rows())
    silent_start(initializer=["auto", 0.1, "auto"])
    silent_start(initializer=0.1, hidden_noise=0.5)
    with pytest.warns(SymmetricUnitsWarning):  # noise that the units share does not tell them apart
        MLPClassifier((4, 3), initializer=0.1, dropout=0.0, input_noise=0.5, **SMALL).fit(*rows())


@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.GradientWarning")
@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.IdleUnitsWarning")
def test_weights_of_zero_are_dead_unless_the_last_activation_sends_something_on():
    for activation, said in [("softplus", "stay equal"), (["relu", "sigmoid"], "stay equal"), ("elu", "no gradient")]:
        with pytest.warns(SymmetricUnitsWarning, match=said):
            MLPClassifier((4, 3), activation=activation, initializer="zeros", dropout=0.0, **SMALL).fit(*rows())


# -------------------------------------------------------------------------------- alpha dropout


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5, 0.9])
def test_alpha_dropout_leaves_a_mean_of_0_and_a_variance_of_1(rate):
    """Over both outcomes of the mask, exactly, for an x of mean 0 and variance 1; dropped units are at a f + b."""
    layer = AlphaDropout(rate, generator()).train()
    q = layer.masks.keep_count / 2**layer.masks.bits
    a = (q + SELU_FLOOR**2 * q * (1 - q)) ** -0.5
    b = -a * (1 - q) * SELU_FLOOR
    assert (1 - q) * (a * SELU_FLOOR + b) + q * b == pytest.approx(0, abs=1e-12)
    x = torch.randn(200_000, generator=generator(1), dtype=torch.float64)
    y = layer(x)
    dropped = torch.isclose(y, torch.tensor(a * SELU_FLOOR + b, dtype=torch.float64))
    assert float(dropped.double().mean()) == pytest.approx(1 - q, abs=0.01)
    assert_allclose(y[~dropped], a * x[~dropped] + b, rtol=1e-5)
    assert float(y.mean()) == pytest.approx(0, abs=0.02)
    assert float(y.var()) == pytest.approx(1, abs=0.03)
    assert torch.equal(layer.eval()(x), x)


@pytest.mark.slow
def test_selu_layers_stay_normal_under_their_dropout_and_not_under_the_other():
    """Ten layers of 400: mean 0 and variance 1 within .1; with units set to 0 the variance is above 1.4."""
    module = build_mlp(400, (400,) * 10, 2, "selu", 0.2, generator(1), generator(2)).train()
    x = torch.randn(500, 400, generator=generator())
    with torch.no_grad():
        h = module[:-1](x)
        zeroed = nn.Sequential(*(Dropout(0.2, generator(3)) if type(m) is AlphaDropout else m for m in module[:-1]))
        other = zeroed.train()(x)
    assert float(h.mean()) == pytest.approx(0, abs=0.1)
    assert float(h.var()) == pytest.approx(1, abs=0.1)
    assert float(other.var()) > 1.4


def test_only_layers_behind_selu_have_it():
    module = build_mlp(3, (4, 4, 4), 2, ["selu", "elu", "selu"], [0.5, 0.5, 0.0], generator(), None, input_dropout=0.5)
    drops = [type(layer) for layer in module if isinstance(layer, Dropout)]
    assert drops == [Dropout, AlphaDropout, Dropout]


def test_samples_of_a_selu_network_come_from_its_masks():
    X, y = rows()
    model = MLPClassifier((16,), activation="selu", dropout=0.3, **SMALL).fit(X, y)
    samples = model.predict_proba_mc(X[:5], 50, random_state=0)
    assert samples.std(axis=0).min() > 1e-3
    assert np.array_equal(model.predict_proba_mc(X[:5], 50, random_state=0), samples)


# -------------------------------------------------------------------------------- noise at every layer


@pytest.mark.parametrize("n_models", [1, 2])
def test_noise_of_hidden_layers_reaches_the_output_as_the_weights_say(n_models):
    """Identity network 3-4-5-2: Var(output) = s1^2 |W3 W2 rows|^2 + s2^2 |W3 rows|^2, within 5 % over 40,000 rows."""
    generators = [generator(k) for k in range(n_models)]
    module = build_mlp(3, (4, 5), 2, "identity", 0.0, generators, generator(9), hidden_noise=[0.5, 0.25])
    x = torch.zeros((40_000, 3) if n_models == 1 else (n_models, 40_000, 3))
    outputs = module.train()(x).detach().numpy().reshape(n_models, 40_000, 2)
    weights = [
        layer.weight.detach().numpy().reshape(n_models, *layer.weight.shape[-2:])
        for layer in module
        if hasattr(layer, "weight")
    ]
    through = weights[2] @ weights[1]
    expected = 0.25 * (through**2).sum(axis=2) + 0.0625 * (weights[2] ** 2).sum(axis=2)
    assert_allclose(outputs.var(axis=1), expected, rtol=0.05)
    assert not module.eval()(x).any()


def test_noise_stands_behind_the_activation_and_ahead_of_the_dropout():
    module = build_mlp(3, (4, 4), 2, "tanh", 0.5, generator(), None, hidden_noise=(0.0, 0.5), input_noise=1.0)
    kinds = [type(layer) for layer in module]
    assert kinds == [
        *(GaussianNoise, nn.Linear, nn.Tanh, Dropout),
        *(nn.Linear, nn.Tanh, GaussianNoise, Dropout, nn.Linear),
    ]
    assert [layer.deviation for layer in module if isinstance(layer, GaussianNoise)] == [1.0, 0.5]


def test_noise_is_off_in_predictions_and_comes_from_the_seed():
    X, y = rows()
    settings = {"dropout": 0.0, "hidden_noise": 0.5, **SMALL}
    first, second = (MLPClassifier((8, 4), **settings).fit(X, y) for _ in range(2))
    assert np.array_equal(first.predict_proba(X), second.predict_proba(X))
    assert np.array_equal(first.predict_proba(X), first.predict_proba(X))
    without = MLPClassifier((8, 4), **{**settings, "hidden_noise": 0.0}).fit(X, y)
    assert np.abs(first.predict_proba(X) - without.predict_proba(X)).max() > 1e-4
    with pytest.raises(ShiftDataError, match="no dropout"):
        first.predict_proba_mc(X)


@pytest.mark.slow
@pytest.mark.parametrize(("activation", "start"), [*itertools.product(ACTIVATIONS, ["auto", "lecun_uniform"])])
def test_every_activation_learns(activation, start):
    """Two moons of 200 rows, told apart by most: a network that learned nothing has half of them right."""
    rng = np.random.default_rng(0)
    angle, y = np.pi * rng.uniform(size=200), np.arange(200) % 2
    X = np.column_stack([np.cos(angle) + y, (1 - 2 * y) * np.sin(angle) + y / 2]) + 0.1 * rng.normal(size=(200, 2))
    settings = {"learning_rate": 0.01, "max_epochs": 40, "batch_size": 32, "dropout": 0.1, "random_state": 0}
    model = MLPClassifier((32, 32), activation=activation, initializer=start, **settings).fit(X, y)
    assert model.score(X, y) > (0.8 if activation == "identity" else 0.85)
