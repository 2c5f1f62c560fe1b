"""Linear layers of many models, DropConnect, weighted batch norm, noise: against numpy, repeated rows, expectations."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from torch import nn
from torch.nn import functional

from shiftfix.mlp._network._layers import BatchNorm, GaussianNoise, Linear
from shiftfix.mlp._network._module import build_mlp


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def linear(weight, bias, **settings):
    layer = Linear(weight, **settings).double()
    with torch.no_grad():
        layer.bias.copy_(bias)
    return layer


# ------------------------------------------------------------------------------------------ Linear


def test_linear_is_the_textbook_formula():
    W, b, x = normal(4, 3), normal(4, seed=1), normal(7, 3, seed=2)
    assert_allclose(linear(W, b)(x).detach(), x.numpy() @ W.numpy().T + b.numpy(), atol=1e-14)


@pytest.mark.parametrize("shared", [False, True])
def test_stacked_layers_equal_separate_ones(shared):
    """Outputs, and the gradients of each model's own parameters; rows without the leading axis go to all models."""
    W, b = normal(3, 4, 5), normal(3, 4, seed=1)
    x = normal(7, 5, seed=2) if shared else normal(3, 7, 5, seed=2)
    upstream = normal(3, 7, 4, seed=3)
    stacked = linear(W, b)
    outputs = stacked(x)
    (outputs * upstream).sum().backward()
    assert outputs.shape == (3, 7, 4)
    for k in range(3):
        single = linear(W[k], b[k])
        expected = single(x if shared else x[k])
        (expected * upstream[k]).sum().backward()
        assert_allclose(outputs[k].detach(), expected.detach(), atol=1e-13)
        assert_allclose(stacked.weight.grad[k], single.weight.grad, atol=1e-13)
        assert_allclose(stacked.bias.grad[k], single.bias.grad, atol=1e-13)


def test_biases_start_at_zero_and_parameters_know_their_stacking():
    for shape in [(4, 3), (2, 4, 3)]:
        layer = Linear(torch.ones(shape))
        assert not layer.bias.any()
        assert layer.bias.shape == shape[:-1]
        assert layer.weight.stacked == layer.bias.stacked == (len(shape) == 3)


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_dropconnect_zeroes_weights_at_its_rate_and_scales_the_rest(rate):
    """An identity going in shows the weights themselves: 30000 of them, binomial sd sqrt(rate (1 - rate) / 30000)."""
    layer = linear(torch.ones(200, 150).double(), 7.0, drop_rate=rate, generator=generator())
    weight = (layer(torch.eye(150).double()) - 7).detach().numpy()
    kept = 1 - np.round((1 - rate) * 256) / 256  # rates are multiples of 1 / 256
    assert np.mean(weight == 0) == pytest.approx(kept, abs=5 * np.sqrt(rate * (1 - rate) / 30000))
    assert_allclose(weight[weight != 0], 1 / (1 - kept), rtol=1e-12)


def test_dropconnect_draws_one_mask_per_step_and_model():
    layer = linear(torch.ones(2, 30, 20).double(), 0.0, drop_rate=0.5, generator=generator())
    eye = torch.eye(20).double()
    first, second = layer(eye), layer(eye)
    assert torch.equal(layer.weight, torch.ones(2, 30, 20).double())
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])
    rows = layer(eye[[3, 3, 3]])
    assert torch.equal(rows[:, 0], rows[:, 2])


def test_dropconnect_is_off_in_evaluation_and_draws_nothing():
    private = generator()
    before = private.get_state()
    W, b, x = normal(4, 3), normal(4, seed=1), normal(7, 3, seed=2)
    layer = linear(W, b, drop_rate=0.5, generator=private).eval()
    assert torch.equal(layer(x), linear(W, b)(x))
    assert torch.equal(private.get_state(), before)
    assert "drop_rate=0.5" in repr(layer)


NOISY = {
    "dropout": {"dropout": (0.5, 0.2)},
    "input dropout": {"input_dropout": 0.3},
    "dropconnect": {"dropconnect": 0.25},
    "input noise": {"input_noise": 0.7},
    "all": {"dropout": (0.5, 0.2), "input_dropout": 0.3, "dropconnect": 0.25, "input_noise": 0.7},
}


@pytest.mark.slow
@pytest.mark.parametrize("n_models", [1, 3])
@pytest.mark.parametrize("kind", NOISY)
def test_noise_leaves_the_expectation_of_every_linear_layer_unchanged(kind, n_models):
    """1000 passes through an identity-activation network; the mean output of each layer is that of evaluation within
    5 standard errors, estimated from the passes. Without the scale 1 / (1 - rate) it misses by ten and more of them.
    """
    arguments = {"dropout": 0.0, "dropout_generator": generator(5), **NOISY[kind]}
    generators = [generator(k) for k in range(n_models)]
    module = build_mlp(6, (8, 5), 3, "identity", init_generators=generators, **arguments).double()
    with torch.no_grad():
        for seed, parameter in enumerate(module.parameters()):
            parameter.add_(0.3 * normal(*parameter.shape, seed=seed))
    seen = {}
    for name, layer in module.named_children():
        if isinstance(layer, Linear | nn.Linear):
            layer.register_forward_hook(lambda _, __, out, name=name: seen.setdefault(name, []).append(out.detach()))
    x = normal(4, 6, seed=9)
    x = x if n_models == 1 else x.expand(n_models, 4, 6)
    for _ in range(1000):
        module.train()(x)
    module.eval()(x)
    assert len(seen) == 3
    for outputs in seen.values():
        samples, exact = torch.stack(outputs[:-1]).numpy(), outputs[-1].numpy()
        errors = samples.std(axis=0) / np.sqrt(len(samples))
        assert (np.abs(samples.mean(axis=0) - exact) <= 5 * errors + 1e-12).all()


# ------------------------------------------------------------------------------------------ BatchNorm


def batch_norm(width, n_models=1, seed=0, **settings):
    """Training layer in double precision with gains and shifts off their start."""
    layer = BatchNorm(width, n_models, **settings).double().train()
    with torch.no_grad():
        layer.gain.add_(normal(*layer.gain.shape, seed=seed))
        layer.shift.add_(normal(*layer.shift.shape, seed=seed + 1))
    return layer


def through(layer, x, weight=None):
    layer.row_weight = weight
    return layer(x).detach()


def test_equal_weights_give_the_textbook_formula():
    x = normal(9, 4) * 3 + 2
    layer = batch_norm(4)
    z = (x.numpy() - x.numpy().mean(axis=0)) / np.sqrt(x.numpy().var(axis=0) + 1e-5)
    expected = z * layer.gain.detach().numpy() + layer.shift.detach().numpy()
    assert_allclose(through(layer, x), expected, rtol=1e-12)
    assert_allclose(through(layer, x, torch.full((9,), 0.3).double()), expected, rtol=1e-12)
    reference = functional.batch_norm(x, None, None, layer.gain, layer.shift, training=True)
    assert_allclose(through(layer, x), reference.detach(), rtol=1e-12)


@pytest.mark.slow
@given(seed=st.integers(0, 999))
def test_integer_weights_equal_repeated_rows(seed):
    """Outputs, running averages, and the gradient of sum w f(output)."""
    rng = np.random.default_rng(seed)
    counts = torch.as_tensor(rng.integers(0, 5, 8))
    counts[:2] = 1
    x = normal(8, 3, seed=seed) + 4
    inputs = [x.clone().requires_grad_(), x.repeat_interleave(counts, dim=0).requires_grad_()]
    weights = [counts.double(), None]
    scales = [counts.double(), torch.ones(int(counts.sum())).double()]
    layers = [batch_norm(3, seed=seed), batch_norm(3, seed=seed)]
    outputs = []
    for layer, rows, weight, scale in zip(layers, inputs, weights, scales, strict=True):
        layer.row_weight = weight
        outputs.append(layer(rows))
        (scale[:, None] * outputs[-1].tanh()).sum().backward()
    assert_allclose(outputs[0].repeat_interleave(counts, dim=0).detach(), outputs[1].detach(), atol=1e-12)
    for name in ("running_mean", "running_variance", "running_total"):
        assert_allclose(getattr(layers[0], name), getattr(layers[1], name), rtol=1e-12)
    for name in ("gain", "shift"):
        assert_allclose(getattr(layers[0], name).grad, getattr(layers[1], name).grad, atol=1e-11)
    owner = torch.arange(8).repeat_interleave(counts)
    summed = torch.zeros(8, 3).double().index_add(0, owner, inputs[1].grad)
    assert_allclose(inputs[0].grad, summed, atol=1e-11)


@pytest.mark.slow
@given(log_scale=st.floats(-20, 20))
def test_only_ratios_of_weights_matter(log_scale):
    layers = [batch_norm(3), batch_norm(3)]
    for seed, n_rows in enumerate((6, 6, 2)):
        x, weight = normal(n_rows, 3, seed=seed), normal(n_rows, seed=seed + 9).exp()
        outputs = [through(layers[0], x, weight), through(layers[1], x, weight * np.exp(log_scale))]
        assert_allclose(*outputs, rtol=1e-9, atol=1e-12)
    for name in ("running_mean", "running_variance"):
        assert_allclose(getattr(layers[0], name), getattr(layers[1], name), rtol=1e-12)


def test_running_averages_are_those_of_the_batches_weighted_by_their_weights():
    """Batch i of t counts (1 - momentum)^(t - i) sum(w), here by hand in numpy."""
    layer, parts = batch_norm(3, momentum=0.3), []
    for seed, n_rows in enumerate((8, 8, 3, 1, 8)):
        x, w = normal(n_rows, 3, seed=seed) + seed, normal(n_rows, seed=seed + 9).exp()
        through(layer, x, w)
        mean = np.average(x, axis=0, weights=w)
        parts.append((float(w.sum()), mean, np.average((x.numpy() - mean) ** 2, axis=0, weights=w)))
        count = np.array([total * 0.7 ** (seed - i) for i, (total, _, _) in enumerate(parts)])
        for place, name in ((1, "running_mean"), (2, "running_variance")):
            expected = np.average([part[place] for part in parts], axis=0, weights=count)
            assert_allclose(getattr(layer, name), expected, rtol=1e-12)


@pytest.mark.slow
def test_equal_batches_give_the_usual_running_averages_in_the_long_run():
    """After 300 batches the share 0.9^300 = 2e-14 of torch's start at 0 and 1 is gone; its variance has n - 1."""
    layer = batch_norm(3)
    mean, variance = torch.zeros(3).double(), torch.ones(3).double()
    for seed in range(300):
        x = normal(5, 3, seed=seed)
        through(layer, x)
        functional.batch_norm(x, mean, variance, training=True, momentum=0.1)
    assert_allclose(layer.running_mean, mean, atol=1e-12)
    assert_allclose(layer.running_variance, variance * 4 / 5, rtol=1e-12)


def test_evaluation_uses_and_leaves_the_running_averages():
    layer = batch_norm(3)
    for seed in range(3):
        through(layer, normal(6, 3, seed=seed) * 2 + 1, normal(6, seed=seed).exp())
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    x = normal(4, 3, seed=7)
    z = (x - before["running_mean"]) / (before["running_variance"] + 1e-5).sqrt()
    found = through(layer.eval(), x, torch.ones(99))
    assert_allclose(found, z * before["gain"] + before["shift"], rtol=1e-12)
    assert_allclose(through(layer, x[:1]), found[:1], rtol=1e-12)
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


def test_an_untrained_layer_passes_through_in_evaluation():
    x = normal(4, 3)
    assert_allclose(BatchNorm(3).double().eval()(x).detach(), x, rtol=1e-5)


@pytest.mark.parametrize("weighting", ["none", "shared", "own"])
def test_stacked_batch_norms_equal_separate_ones(weighting):
    stacked = batch_norm(4, n_models=3)
    singles = [batch_norm(4) for _ in range(3)]
    for k, single in enumerate(singles):
        with torch.no_grad():
            single.gain.copy_(stacked.gain[k])
            single.shift.copy_(stacked.shift[k])
    for step, n_rows in enumerate((6, 2)):
        x = normal(3, n_rows, 4, seed=step)
        weight = {"none": None, "shared": normal(n_rows).exp(), "own": normal(3, n_rows).exp()}[weighting]
        found = through(stacked, x, weight)
        for k, single in enumerate(singles):
            own = weight[k] if weighting == "own" else weight
            assert_allclose(found[k], through(single, x[k], own), atol=1e-12)
    x = normal(3, 5, 4, seed=9)
    found = through(stacked.eval(), x)
    for k, single in enumerate(singles):
        assert_allclose(found[k], through(single.eval(), x[k]), atol=1e-12)


def test_a_single_row_is_its_own_mean():
    layer = batch_norm(3)
    x = normal(1, 3).requires_grad_()
    output = layer(x)
    assert torch.equal(output[0], layer.shift)
    output.sum().backward()
    assert not x.grad.any()


@pytest.mark.slow
def test_a_short_last_batch_hardly_moves_the_running_averages():
    """Epochs of 256 rows and 1 row, variance 4: the average is near 4 (its terms' sd is 4 sqrt(2 / 256) = .35, and
    that of about 19 of them .08; 5 sd are allowed). Batches that counted alike would give 4 * .9 / 1.9 = 1.9."""
    layer = batch_norm(1)
    for seed in range(100):
        x = 2 * normal(257, 1, seed=seed)
        through(layer, x[:256])
        through(layer, x[256:])
    assert layer.running_variance.item() == pytest.approx(4, abs=0.4)


@pytest.mark.parametrize("n_models", [1, 2])
@pytest.mark.parametrize("first", [False, True])
def test_a_batch_whose_weights_are_all_zero_has_no_say(n_models, first):
    """Float64 weights may be 0 in float32. Outputs and gradients stay finite, and the averages what they were."""
    layer, other = BatchNorm(3, n_models).train(), BatchNorm(3, n_models).train()
    rows = (4,) if n_models == 1 else (n_models, 4)
    x = torch.randn(*rows, 3, generator=generator()) + 2
    if not first:
        through(layer, x)
        through(other, x)
    z = (x + 1).requires_grad_()
    layer.row_weight = torch.zeros(rows)
    output = layer(z)
    (output * layer.row_weight[..., None]).sum().backward()
    assert output.isfinite().all()
    assert not z.grad.any()
    if first:
        through(layer, x)
        through(other, x)
    for name in ("running_mean", "running_variance"):
        assert_allclose(getattr(layer, name), getattr(other, name), rtol=1e-6)


def test_batch_norm_undoes_scale_and_offset():
    """The output does not change when the input is scaled and moved, but for eps."""
    x, w = normal(9, 3), normal(9, seed=1).exp()
    layer = batch_norm(3, eps=0.0)
    assert_allclose(through(layer, 7 * x - 40, w), through(layer, x, w), atol=1e-12)


def test_batch_norm_under_autocast_keeps_its_statistics_in_float32():
    """bfloat16 has 8 bits: inputs about 5 are rounded by up to 1/64, and no more than a few of that is lost."""
    x, w = torch.randn(64, 3, generator=generator()) + 5, torch.rand(64, generator=generator(1)) + 0.1
    layer, exact = BatchNorm(3).train(), BatchNorm(3).train()
    expected = through(exact, x, w)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = through(layer, x.bfloat16(), w)
    assert layer.running_mean.dtype == torch.float32
    assert_allclose(found.float(), expected, atol=0.06)
    assert_allclose(layer.running_variance, exact.running_variance, rtol=0.03)


# ------------------------------------------------------------------------------------------ GaussianNoise


def test_noise_has_the_stated_moments():
    """1e6 draws of sd 0.7: the mean has standard error .0007, the variance .49 sqrt(2e-6); 5 of each are allowed."""
    layer = GaussianNoise(0.7, generator()).train()
    x = torch.full((1000, 1000), 3.0, dtype=torch.float64)
    noise = (layer(x) - x).numpy()
    assert noise.mean() == pytest.approx(0, abs=5 * 0.0007)
    assert noise.var() == pytest.approx(0.49, abs=5 * 0.49 * np.sqrt(2e-6))
    assert np.abs(np.corrcoef(noise[:2])[0, 1]) < 5 / np.sqrt(1000)


def test_noise_is_fresh_at_each_pass_and_its_generator_alone_decides():
    x = torch.zeros(2, 50, 3)
    one, same = (GaussianNoise(1.0, generator(4)).train() for _ in range(2))
    first = one(x)
    assert torch.equal(first, same(x))
    assert not torch.equal(first, one(x))
    assert not torch.equal(first[0], first[1])


def test_noise_is_off_in_evaluation_and_draws_nothing():
    private = generator()
    before = private.get_state()
    x = normal(5, 3)
    layer = GaussianNoise(2.0, private).eval()
    assert layer(x) is x
    assert torch.equal(private.get_state(), before)
    assert "deviation=2.0" in repr(layer)
    assert "width=3" in repr(BatchNorm(3, 2))
