"""Gradients of whole networks: backward() against central differences of the weighted objective, entry by entry."""

from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from shiftfix.mlp._losses import CLASSIFICATION_LOSSES, REGRESSION_LOSSES
from shiftfix.mlp._module import ACTIVATIONS, build_mlp

N_ROWS, N_FEATURES, HIDDEN = 6, 3, (4, 3)
STEP = 1e-6
# Of the largest entry of the gradient. Rounding of the objective alone misses by 1e-16 / STEP = 1e-10.
TOLERANCE = 1e-6
# Differences are of no use where a kink lies within the step; pre-activations move by a few steps.
CLEARANCE = 1e-3

# Kinds of network: what build_mlp is given beside its sizes and the activation.
LAYERS = {"plain": {}}

LOSSES = {
    **CLASSIFICATION_LOSSES,
    **REGRESSION_LOSSES,
    "cross_entropy, smoothed": partial(CLASSIFICATION_LOSSES["cross_entropy"], label_smoothing=0.1),
    "binary_cross_entropy, smoothed": partial(CLASSIFICATION_LOSSES["binary_cross_entropy"], label_smoothing=0.1),
    "polynomial_tail, smoothed": partial(CLASSIFICATION_LOSSES["polynomial_tail"], label_smoothing=0.1, beta=0.0),
}
# Where a loss bends: abs(z - y) for a regression, any margin for the polynomial tail.
BENDS = {
    "absolute_error": 0.0,
    "huber": 1.0,
    "smooth_l1": 1.0,
    "polynomial_tail": 1.0,
    "polynomial_tail, smoothed": 0.0,
}
BENT_ACTIVATIONS = (nn.ReLU, nn.LeakyReLU)


def objective(module, X, y, w, loss):
    """sum(w l) / n of one forward pass, in which every layer that draws does so from the start of its generator."""
    for layer in module.modules():
        if isinstance(getattr(layer, "generator", None), torch.Generator):
            layer.generator.manual_seed(0)
        if hasattr(layer, "reset"):
            layer.reset()
    return torch.dot(loss(module(X), y), w) / len(w)


def difference_gradient(module, value):
    """Central differences of ``value()`` in every entry of every parameter, one long array."""
    gradient = []
    with torch.no_grad():
        for parameter in module.parameters():
            flat = parameter.view(-1)
            for i in range(len(flat)):
                before = flat[i].item()
                flat[i] = before + STEP
                above = value().item()
                flat[i] = before - STEP
                below = value().item()
                flat[i] = before
                gradient.append((above - below) / (2 * STEP))
    return np.array(gradient)


def autograd_gradient(module, value):
    """Gradient of ``value()`` by backward(), in the order of ``difference_gradient``."""
    module.zero_grad()
    value().backward()
    return np.concatenate([parameter.grad.numpy().ravel() for parameter in module.parameters()])


def make_case(layers, activation, loss_name, seed):
    """Network in double precision and training mode, and rows for it: X, y, w."""
    generator = torch.Generator().manual_seed(seed)
    n_outputs = 1 if loss_name.startswith("binary") else 3
    # The generators for the layers that draw must not be the one that drew the weights: objective() re-seeds them.
    arguments = {"dropout": 0.0, "dropout_generator": torch.Generator(), **LAYERS[layers]}
    module = build_mlp(N_FEATURES, HIDDEN, n_outputs, activation, init_generators=generator, **arguments)
    module = module.double().train()
    draw = partial(torch.randn, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        for parameter in module.parameters():  # so that no bias stays at its start of 0
            parameter.add_(0.3 * draw(parameter.shape))
    X, w = draw(N_ROWS, N_FEATURES), draw(N_ROWS).exp()
    if loss_name in REGRESSION_LOSSES:
        return module, X, draw(N_ROWS, n_outputs), w
    return module, X, torch.randint(max(2, n_outputs), (N_ROWS,), generator=generator), w


def distance_to_kinks(module, X, y, w, loss_name):
    """Least distance of what the activations see, and of the residuals or margins, from a place without slope."""
    seen, outputs = [], []
    hooks = [
        layer.register_forward_hook(lambda layer, inputs, output: seen.append(inputs[0].detach().abs().min().item()))
        for layer in module.modules()
        if isinstance(layer, BENT_ACTIVATIONS)
    ]
    objective(module, X, y, w, lambda z, y: outputs.append(z.detach()) or z.mean(dim=1))
    for hook in hooks:
        hook.remove()
    (z,) = outputs
    if loss_name in REGRESSION_LOSSES:
        bent = (z - y).abs()
    else:
        k = range(z.shape[1])
        bent = torch.stack([z[:, j] - z[:, [i for i in k if i != j]].logsumexp(dim=1) for j in k])
    if loss_name in BENDS:
        seen.append((bent - BENDS[loss_name]).abs().min().item())
    return min(seen, default=np.inf)


def smooth_case(layers, activation, loss_name):
    """The first case with no kink within CLEARANCE."""
    for seed in range(100):
        case = make_case(layers, activation, loss_name, seed)
        if distance_to_kinks(*case, loss_name) > CLEARANCE:
            return case
    raise AssertionError(f"no case away from kinks for {layers}, {activation}, {loss_name}")


@pytest.mark.parametrize("loss_name", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("layers", LAYERS)
def test_every_entry_of_the_gradient(layers, activation, loss_name):
    module, X, y, w = smooth_case(layers, activation, loss_name)

    def value():
        return objective(module, X, y, w, LOSSES[loss_name])

    found, expected = autograd_gradient(module, value), difference_gradient(module, value)
    scale = np.abs(expected).max()
    assert scale > 1e-3
    assert_allclose(found, expected, rtol=0, atol=TOLERANCE * scale)


@pytest.mark.parametrize("layers", LAYERS)
def test_the_objective_is_the_same_at_each_evaluation(layers):
    module, X, y, w = smooth_case(layers, "tanh", "squared_error")
    values = {objective(module, X, y, w, LOSSES["squared_error"]).item() for _ in range(3)}
    assert len(values) == 1


def test_every_weight_scales_its_own_row():
    """Gradients add up over rows: that of weights w is the sum of w_i times those of row i alone."""
    module, X, y, w = smooth_case("plain", "tanh", "cross_entropy")
    rows = [
        autograd_gradient(module, lambda row=row: objective(module, X, y, row, LOSSES["cross_entropy"]))
        for row in torch.eye(N_ROWS, dtype=torch.float64)
    ]
    whole = autograd_gradient(module, lambda: objective(module, X, y, w, LOSSES["cross_entropy"]))
    assert_allclose(whole, w.numpy() @ np.array(rows), rtol=1e-12, atol=1e-14)
