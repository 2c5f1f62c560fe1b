"""Monte-Carlo dropout: moments against closed forms, what is shared and what is drawn, and what stays untouched."""

import copy
import functools

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp import MLPClassifier, MLPRegressor
from shiftfix.mlp import _prediction as estimators
from shiftfix.mlp._network._module import build_mlp
from shiftfix.mlp._network._monte_carlo import is_random, monte_carlo_outputs


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def network(n_models=1, sizes=(8,), activation="identity", **settings):
    """In double precision, with biases off their start."""
    generators = [generator(k) for k in range(n_models)]
    module = build_mlp(5, sizes, 2, activation, settings.pop("dropout", 0.0), generators, None, **settings).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generators[0], dtype=torch.float64))
    return module


def rows(n=4, *ahead):
    return torch.randn(*ahead, n, 5, generator=generator(3), dtype=torch.float64)


def moments(module, x):
    """Mean and variance of the outputs of an identity-activation network with one hidden layer, by hand in numpy.

    Each random layer multiplies by independent m with E m = 1 and var m = r / (1 - r), r its rate. For one mask,
    var(sum_j m_j a_j) = r / (1 - r) sum_j a_j^2 with a_j what the j-th masked number adds to the output; biases are
    not masked, so that the linear layer below an input mask or a weight mask adds nothing.
    """
    linear = [layer for layer in module if hasattr(layer, "weight")]
    (V, a), (W, b) = [(layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in linear]
    x = x.numpy()
    hidden = x @ V.T + a
    mean = hidden @ W.T + b
    (layer,) = [layer for layer in module if is_random(layer)]
    kept = layer.masks.keep_count / 2**layer.masks.bits
    terms = hidden[:, :, None] * W.T if layer is module[2] else x[:, :, None] * (W @ V).T
    return mean, (1 - kept) / kept * (terms**2).sum(axis=1)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"dropout": 0.5}, {"dropout": 0.2}, {"input_dropout": 0.3}])
def test_mean_and_variance_of_a_linear_network(settings):
    """5000 samples: 5 standard errors of the mean, and of the variance by the fourth moment of the samples."""
    module, x = network(**settings), rows()
    mean, variance = moments(module, x)
    samples = monte_carlo_outputs(module, 5_000, generator())(x).numpy()
    assert samples.shape == (5_000, 4, 2)
    centred = samples - mean
    assert (np.abs(centred.mean(axis=0)) <= 5 * np.sqrt(variance / 5_000)).all()
    error = np.sqrt(((centred**2 - variance) ** 2).mean(axis=0) / 5_000)
    assert (np.abs((centred**2).mean(axis=0) - variance) <= 5 * error).all()


@pytest.mark.slow
def test_mean_and_variance_of_dropconnect():
    """No hidden layer: var = r / (1 - r) sum_j (W_kj x_j)^2, and equal rows have equal outputs, as a mask is shared."""
    module, x = network(sizes=(), dropconnect=0.25), rows()
    x[3] = x[0]
    W, b = module[0].weight.detach().numpy(), module[0].bias.detach().numpy()
    samples = monte_carlo_outputs(module, 5_000, generator())(x).numpy()
    mean, variance = x.numpy() @ W.T + b, 0.25 / 0.75 * x.numpy() ** 2 @ (W**2).T
    centred = samples - mean
    assert (np.abs(centred.mean(axis=0)) <= 5 * np.sqrt(variance / 5_000)).all()
    error = np.sqrt(((centred**2 - variance) ** 2).mean(axis=0) / 5_000)
    assert (np.abs((centred**2).mean(axis=0) - variance) <= 5 * error).all()
    assert_allclose(samples[:, 3], samples[:, 0], rtol=1e-12)
    assert len(np.unique(samples[:, 0, 0])) > 15  # 2^5 masks


@pytest.mark.parametrize("n_models", [1, 3])
def test_masks_differ_between_samples_rows_and_models(n_models):
    """Equal models and equal rows: the outputs differ by their masks only."""
    module = network(n_models, dropout=0.5, sizes=(40,))
    if n_models > 1:
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.copy_(parameter[:1].expand_as(parameter))
    x = rows(1).expand(6, 5) if n_models == 1 else rows(1).expand(n_models, 6, 5)
    samples = monte_carlo_outputs(module, 10, generator())(x)
    assert samples.shape == ((10, 6, 2) if n_models == 1 else (10, n_models, 6, 2))
    found = samples[..., 0].flatten()
    assert len(found.unique()) == len(found)


@pytest.mark.parametrize(
    ("settings", "calls"),
    [
        ({"dropout": 0.5}, [1, 1, 7, 7]),
        ({"dropout": (0.0, 0.5), "sizes": (8, 6)}, [1, 1, 1, 1, 7, 7]),
        ({"dropout": 0.5, "batch_norm": True, "input_noise": 0.1}, [1, 1, 1, 1, 7, 7]),
        ({"input_dropout": 0.5}, [7, 7, 7, 7]),
        ({"dropconnect": 0.5}, [7, 7, 7]),
    ],
)
def test_what_lies_before_the_first_mask_is_computed_once(settings, calls):
    module, found = network(**settings), {}

    def count(layer, *_):
        found[layer.place] = found.get(layer.place, 0) + 1

    for place, layer in enumerate(module):
        layer.place = place
        layer.register_forward_hook(count)
    monte_carlo_outputs(module, 7, generator())(rows())
    assert [found[place] for place in range(len(module))] == calls


def test_the_module_is_copied_and_its_batch_norm_and_noise_stay_off():
    """The copy gives the outputs of evaluation when all its rates are too small to drop anything in 40 draws."""
    settings = {"dropout": 1e-4, "batch_norm": True, "input_noise": 5.0}
    module, x = network(**settings, sizes=(4,)), rows(2)
    module.train()
    module[2].running_mean += 1
    module[2].running_variance += 1
    module[0].generator = None
    before = copy.deepcopy(module.state_dict())
    samples = monte_carlo_outputs(module, 5, generator())(x)
    assert module.training
    assert all(layer.training for layer in module)
    assert module[4].generator is None
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert_allclose(samples, module.eval()(x).detach().expand(5, 2, 2), rtol=1e-3)


def test_the_generator_alone_decides():
    module, x = network(dropout=0.5), rows()
    one, same, other = (monte_carlo_outputs(module, 4, generator(seed))(x) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


# ------------------------------------------------------------------------------------------ the estimators


def blobs(n=120):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 4))
    return X, X @ [1.0, -1.0, 0.5, 0.0] * 30 + 200 + rng.normal(size=n)


@functools.cache
def regressor(y_columns=None, **settings):
    """A fit that several tests sample from and none changes."""
    X, y = blobs()
    if y_columns:
        y = np.column_stack([y * (j + 1) for j in range(y_columns)])
    settings = {
        "dropout": 0.3,
        "max_epochs": 15,
        "batch_size": 32,
        "learning_rate": 0.02,
        "early_stopping": False,
        "random_state": 0,
        **settings,
    }
    return MLPRegressor((12,), **settings).fit(X, y)


@functools.cache
def classifier(n_classes=3, **settings):
    """As ``regressor``."""
    X, y = blobs()
    labels = np.digitize(y, np.quantile(y, np.arange(1, n_classes) / n_classes))
    common = {"dropout": 0.5, "max_epochs": 15, "batch_size": 32, "learning_rate": 0.02, "early_stopping": False}
    return MLPClassifier((12,), **{**common, "random_state": 0, **settings}).fit(X, labels)


KINDS = {
    "dropout": {},
    "input dropout": {"dropout": 0.0, "input_dropout": 0.2},
    "dropconnect": {"dropout": 0.0, "dropconnect": 0.2},
    "all": {"input_dropout": 0.2, "dropconnect": 0.2, "batch_norm": True, "input_noise": 0.5},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_linear_regressor_is_sampled_about_its_prediction_in_units_of_y(kind):
    """An identity activation makes the mean over masks the prediction: 5 standard errors of 1000 samples."""
    model = regressor(activation="identity", **KINDS[kind])
    X, _ = blobs()
    samples = model.predict_mc(X[:6], 1000)
    assert samples.shape == (1000, 6)
    assert samples.dtype == np.float32
    error = samples.std(axis=0) / np.sqrt(1000)
    assert (error > 0).all()
    assert (np.abs(samples.astype(np.float64).mean(axis=0) - model.predict(X[:6])) <= 5 * error).all()


@pytest.mark.slow
@pytest.mark.parametrize("n_models", [1, 3])
def test_shapes(n_models):
    X, _ = blobs()
    assert regressor(n_models=n_models).predict_mc(X, 7).shape == (7 * n_models, 120)
    assert regressor(2, n_models=n_models).predict_mc(X, 7).shape == (7 * n_models, 120, 2)
    for n_classes, loss in ((3, "cross_entropy"), (2, "binary_cross_entropy")):
        samples = classifier(n_classes, loss=loss, n_models=n_models).predict_proba_mc(X, 7)
        assert samples.shape == (7 * n_models, 120, n_classes)
        assert samples.dtype == np.float32
        assert_allclose(samples.sum(axis=2), 1, atol=1e-6)


@pytest.mark.slow
def test_samples_of_an_ensemble_take_turns_between_its_models():
    """Sample s of model k is number s n_models + k: an identity activation makes its mean model k's prediction."""
    model = regressor(n_models=3, activation="identity", max_epochs=2)
    X, _ = blobs()
    samples = model.predict_mc(X[:5], 3000).reshape(3000, 3, 5).astype(np.float64)
    error = samples.std(axis=0) / np.sqrt(3000)
    members = model.predict_members(X[:5])
    assert (np.abs(samples.mean(axis=0) - members) <= 5 * error).all()
    assert np.abs(members[0] - members[1]).max() > 10 * error.max()


@pytest.mark.slow
def test_more_rows_than_fit_one_pass(monkeypatch):
    """The chunks are in order (4500 times one row, then another: 5 standard errors), with masks of their own."""
    model, (X, _) = regressor(activation="identity"), blobs()
    many = np.repeat(X[:2], 4500, axis=0)
    samples = model.predict_mc(many, 3)
    assert samples.shape == (3, 9000)
    for half, expected in zip((samples[:, :4500], samples[:, 4500:]), model.predict(X[:2]), strict=True):
        assert half.mean(dtype=float) == pytest.approx(expected, abs=5 * half.std() / np.sqrt(half.size))
    monkeypatch.setattr(estimators, "CHUNK", 4)
    tiled = model.predict_mc(np.tile(X[:4], (3, 1)), 5).reshape(5, 3, 4)
    assert not np.allclose(tiled[:, 0], tiled[:, 1])


@pytest.mark.slow
@pytest.mark.parametrize("make", [regressor, classifier])
def test_one_random_state_one_answer(make):
    model, (X, _) = copy.deepcopy(make()), blobs()
    sample = model.predict_mc if make is regressor else model.predict_proba_mc
    assert np.array_equal(sample(X, 3, 5), sample(X, 3, 5))
    assert not np.array_equal(sample(X, 3, 5), sample(X, 3, 6))
    assert np.array_equal(sample(X, 3), sample(X, 3, 0))
    assert np.array_equal(sample(X, 3, np.random.default_rng(1)), sample(X, 3, np.random.default_rng(1)))
    shared = np.random.default_rng(1)
    assert not np.array_equal(sample(X, 3, shared), sample(X, 3, shared))
    model.random_state = None
    assert not np.array_equal(sample(X, 3), sample(X, 3))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_models", [1, 2])
def test_sampling_leaves_the_estimator_as_it_was(kind, n_models):
    model, (X, _) = regressor(n_models=n_models, **KINDS[kind]), blobs()
    state, prediction = copy.deepcopy(model.module_.state_dict()), model.predict(X)
    modes = [layer.training for layer in model.module_]
    names = set(vars(model))
    model.predict_mc(X, 4)
    assert set(vars(model)) == names
    assert [layer.training for layer in model.module_] == modes
    assert all(layer.generator is None for layer in model.module_ if hasattr(layer, "generator"))
    assert all(torch.equal(value, state[name]) for name, value in model.module_.state_dict().items())
    assert np.array_equal(model.predict(X), prediction)


@pytest.mark.slow
def test_probabilities_are_sampled_from_the_same_network():
    """With an identity activation the log odds are linear in the masks: their means are those of predict_proba within
    5 standard errors of 1000 samples."""
    model, (X, _) = classifier(dropout=0.2, activation="identity", max_epochs=3), blobs()
    samples = np.log(model.predict_proba_mc(X[:6], 1000).astype(np.float64))
    odds, exact = samples[..., 1:] - samples[..., :1], np.log(model.predict_proba(X[:6]))
    error = odds.std(axis=0) / np.sqrt(1000)
    assert (error > 0).all()
    assert (np.abs(odds.mean(axis=0) - (exact[:, 1:] - exact[:, :1])) <= 5 * error).all()


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"dropout": 0.0}, {"dropout": 0.0, "input_noise": 0.5, "batch_norm": True}])
def test_a_network_that_drops_nothing_cannot_be_sampled(settings):
    X, _ = blobs()
    with pytest.raises(ShiftDataError, match="no dropout"):
        regressor(**settings).predict_mc(X)
    with pytest.raises(ShiftDataError, match="no dropout"):
        classifier(**settings).predict_proba_mc(X)


@pytest.mark.slow
def test_bad_numbers_of_samples():
    with pytest.raises(ShiftDataError, match="n_samples"):
        regressor().predict_mc(blobs()[0], 0)
