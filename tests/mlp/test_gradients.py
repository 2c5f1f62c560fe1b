"""Gradients of whole networks: backward() against central differences of the weighted objective, entry by entry."""

from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from shiftfix.mlp._network import _dropout
from shiftfix.mlp._network._layers import BatchNorm
from shiftfix.mlp._network._module import ACTIVATIONS, build_mlp
from shiftfix.mlp._training._batches import Rows
from shiftfix.mlp._training._loop import train_step
from shiftfix.mlp._training._losses import CLASSIFICATION_LOSSES, REGRESSION_LOSSES
from shiftfix.mlp._training._run import Run

N_ROWS, N_FEATURES, HIDDEN = 6, 3, (4, 3)
STEP = 1e-6
# Of the largest entry of the gradient. Rounding of the objective alone misses by 1e-16 / STEP = 1e-10.
TOLERANCE = 1e-6
# Differences are of no use where a kink lies within the step; pre-activations move by a few steps.
CLEARANCE = 1e-3

DROPS = {"dropout": (0.5, 0.25), "input_dropout": 0.2}
# Kinds of network: what build_mlp is given beside its sizes and the activation; n_models of them are stacked.
LAYERS = {
    "plain": {},
    "batch norm": {"batch_norm": True},
    "dropout": DROPS,
    "dropconnect": {"dropconnect": 0.3},
    "input noise": {"input_noise": 0.5},
    "stacked": {"n_models": 3},
    "all": {**DROPS, "batch_norm": True, "dropconnect": 0.3, "input_noise": 0.5},
    "all, stacked": {**DROPS, "batch_norm": True, "dropconnect": 0.3, "input_noise": 0.5, "n_models": 3},
}

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
# A network passes on whatever gradient its loss hands it: one activation with all losses, one loss with the others.
PAIRS = [(a, loss) for a in ACTIVATIONS for loss in LOSSES if a == "tanh" or loss == "cross_entropy"]
BENT_ACTIVATIONS = (nn.ReLU, nn.LeakyReLU)


@pytest.fixture(autouse=True)
def few_masks_ahead(monkeypatch):
    """Networks this small need no 2^16 entries of a mask at each evaluation."""
    monkeypatch.setattr(_dropout, "DRAWN_AT_ONCE", 1)


def start_again(module):
    """Put every layer that draws at the start of its generator."""
    for layer in module.modules():
        if isinstance(getattr(layer, "generator", None), torch.Generator):
            layer.generator.manual_seed(0)
        if hasattr(layer, "reset"):
            layer.reset()


def objective(module, X, y, w, loss, state=None):
    """sum(w l) / n_rows of one forward pass with the masks at their start, the sum over the rows of all models.

    ``state`` holds other parameters and buffers, by name, to take the place of the module's own.
    """
    start_again(module)
    for layer in module.modules():
        if isinstance(layer, BatchNorm):
            layer.row_weight = w
    outputs = module(X) if state is None else torch.func.functional_call(module, state, (X,))
    losses = loss(outputs.flatten(0, -2), y.flatten(0, w.ndim - 1))
    return torch.dot(losses, w.flatten()) / N_ROWS


def difference_gradient(module, value):
    """Central differences of ``value(state)`` in every entry of every parameter, one long array.

    One forward pass is mapped over a leading axis of the parameters: a row for each entry and side, and a last one for
    the point itself, whose value must be that of an ordinary pass.
    """
    parameters = dict(module.named_parameters())
    start = nn.utils.parameters_to_vector(parameters.values()).detach()
    steps = STEP * torch.eye(len(start), dtype=start.dtype)
    points = start + torch.cat([steps, -steps, torch.zeros_like(steps[:1])])
    parts = points.split([p.numel() for p in parameters.values()], dim=1)
    states = {name: part.unflatten(1, p.shape) for (name, p), part in zip(parameters.items(), parts, strict=True)}
    # Each row its own running averages, which a pass updates in place.
    states |= {name: buffer.expand(len(points), *buffer.shape).clone() for name, buffer in module.named_buffers()}
    with torch.no_grad():
        values = torch.vmap(value, randomness="same")(states)
        assert values[-1].item() == pytest.approx(value().item(), rel=1e-12)
    above, below = values[:-1].chunk(2)
    return ((above - below) / (2 * STEP)).numpy()


def autograd_gradient(module, value):
    """Gradient of ``value()`` by backward(), in the order of ``difference_gradient``; 0 for a parameter kept fixed."""
    module.zero_grad()
    value().backward()
    gradients = [p.grad if p.requires_grad else torch.zeros_like(p) for p in module.parameters()]
    return np.concatenate([gradient.numpy().ravel() for gradient in gradients])


def make_case(layers, activation, loss_name, seed):
    """Network in double precision and training mode, and rows for it: X, y, w, each model's own."""
    generator = torch.Generator().manual_seed(seed)
    n_outputs = 1 if loss_name.startswith("binary") else 3
    # The generators for the layers that draw must not be the one that drew the weights: objective() re-seeds them.
    arguments = {"dropout": 0.0, "dropout_generator": torch.Generator(), **LAYERS[layers]}
    n_models = arguments.pop("n_models", 1)
    rows = (N_ROWS,) if n_models == 1 else (n_models, N_ROWS)
    generators = [generator] * n_models
    module = build_mlp(N_FEATURES, HIDDEN, n_outputs, activation, init_generators=generators, **arguments)
    module = module.double().train()
    draw = partial(torch.randn, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        for parameter in module.parameters():  # so that no bias stays at its start of 0
            parameter.add_(0.3 * draw(parameter.shape))
    X, w = draw(*rows, N_FEATURES), draw(rows).exp()
    if loss_name in REGRESSION_LOSSES:
        return module, X, draw(*rows, n_outputs), w
    return module, X, torch.randint(max(2, n_outputs), rows, generator=generator), w


def distance_to_kinks(module, X, y, w, loss_name):
    """Least distance of what the activations see, and of the residuals or margins, from a place without slope."""
    seen, outputs = [], []
    hooks = [
        layer.register_forward_hook(lambda layer, inputs, output: seen.append(inputs[0].detach().abs().min().item()))
        for layer in module.modules()
        if isinstance(layer, BENT_ACTIVATIONS)
    ]
    objective(module, X, y, w, lambda z, y: outputs.append((z.detach(), y)) or z.mean(dim=1))
    for hook in hooks:
        hook.remove()
    ((z, y),) = outputs
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


# Of the running averages, which are mapped entry by entry.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
@pytest.mark.parametrize(("activation", "loss_name"), PAIRS)
@pytest.mark.parametrize("layers", LAYERS)
def test_every_entry_of_the_gradient(layers, activation, loss_name):
    module, X, y, w = smooth_case(layers, activation, loss_name)

    def value(state=None):
        return objective(module, X, y, w, LOSSES[loss_name], state)

    found, expected = autograd_gradient(module, value), difference_gradient(module, value)
    scale = np.abs(expected).max()
    assert scale > 1e-3
    assert_allclose(found, expected, rtol=0, atol=TOLERANCE * scale)


@pytest.mark.parametrize("layers", LAYERS)
def test_a_step_of_the_trainer_follows_this_gradient(layers):
    """Gradient descent at a rate of 1: the parameters move by the gradient checked above, to rounding."""
    module, X, y, w = smooth_case(layers, "tanh", "cross_entropy")
    gradient = autograd_gradient(module, lambda: objective(module, X, y, w, LOSSES["cross_entropy"]))
    before = nn.utils.parameters_to_vector(module.parameters()).detach().numpy().copy()
    start_again(module)
    n_models = LAYERS[layers].get("n_models", 1)
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    run = Run(module, LOSSES["cross_entropy"], optimizer, {}, N_ROWS, 1, n_models=n_models)
    for layer in run.batch_norms:
        layer.row_weight = None
    losses = train_step(run, Rows(X, y, w))
    assert losses.shape == w.shape
    after = nn.utils.parameters_to_vector(module.parameters()).detach().numpy()
    assert_allclose(before - after, gradient, rtol=0, atol=1e-13)


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
