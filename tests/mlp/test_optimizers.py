"""Every optimiser against its update rule written out in numpy, and on a quadratic with a known minimum."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp import MLPClassifier, MLPRegressor
from shiftfix.mlp._training._optimizers import FUSED, LARS, OPTIMIZERS, has_fused, make_optimizer

CURVATURE = np.array([1.0, 4.0, 0.25])
START = np.array([1.0, -2.0, 0.5])
LR = 0.05


def rules(name, w, n_steps):
    """Weights after each step on sum(c w^2) / 2, by the published rule."""
    v, s, path = np.zeros(3), np.zeros(3), []
    for t in range(1, n_steps + 1):
        g = CURVATURE * w
        if name == "sgd":
            w = w - LR * g
        elif name == "momentum":
            v = 0.9 * v + g
            w = w - LR * v
        elif name == "averaged_momentum":
            v = 0.9 * v + 0.1 * g
            w = w - LR * v
        elif name == "nesterov":
            v = 0.9 * v + g
            w = w - LR * (g + 0.9 * v)
        elif name == "adagrad":
            s = s + g**2
            w = w - LR * g / (np.sqrt(s) + 1e-10)
        elif name == "rmsprop":
            s = 0.99 * s + 0.01 * g**2
            w = w - LR * g / (np.sqrt(s) + 1e-8)
        elif name == "lars":
            v = 0.9 * v + LR * 0.001 * np.linalg.norm(w) / np.linalg.norm(g) * g  # of the one matrix there is
            w = w - v
        else:
            w = w * (1 - LR * 0.01) if name == "adamw" else w
            v, s = 0.9 * v + 0.1 * g, 0.999 * s + 0.001 * g**2
            w = w - LR * (v / (1 - 0.9**t)) / (np.sqrt(s / (1 - 0.999**t)) + 1e-8)
        path.append(w)
    return np.array(path)


def descend(optimizer, start=START, n_steps=20, dtype=torch.float64):
    w = torch.tensor(start, dtype=dtype)[None].requires_grad_()  # a matrix of one row
    made, path = make_optimizer(optimizer, [w], LR), []
    for _ in range(n_steps):
        made.zero_grad()
        (torch.tensor(CURVATURE, dtype=dtype) * w**2).sum().mul(0.5).backward()
        made.step()
        path.append(w.detach().numpy()[0].copy())
    return np.array(path)


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 0), (torch.float32, 1e-5)])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_path_is_that_of_the_published_rule(name, dtype, atol):
    """Twenty steps; a dropped correction or a wrong momentum misses by more than 1e-3."""
    assert_allclose(descend(name, dtype=dtype), rules(name, START, 20), rtol=1e-9, atol=atol)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_fused_kernels_where_torch_has_them(name, dtype):
    """All of the named ones on the CPU; an iterator of parameters is as good as a list."""
    w = torch.zeros(2, dtype=dtype, requires_grad=True)
    made = make_optimizer(name, iter([w]), LR)
    assert (name in FUSED) == bool(made.defaults.get("fused"))
    assert made.param_groups[0]["params"][0] is w


@pytest.mark.parametrize("when", ["made", "step"])
def test_the_plain_rule_where_torch_has_no_fused_kernel(when, monkeypatch):
    """torch says so when the optimiser is made, or only at its first step."""

    class Unfused(torch.optim.SGD):
        def __init__(self, params, lr, fused=None):
            if fused and when == "made":
                raise RuntimeError("no kernel")
            super().__init__(params, lr=lr, fused=fused)

        def step(self, closure=None):
            if self.defaults["fused"]:
                raise RuntimeError("no kernel")
            return super().step(closure)

    assert not has_fused(Unfused, [torch.zeros(1)])
    monkeypatch.setitem(OPTIMIZERS, "sgd", Unfused)
    assert not make_optimizer("sgd", [torch.zeros(1)], LR).defaults["fused"]
    assert_allclose(descend("sgd"), rules("sgd", START, 20), rtol=1e-9)


def test_every_kind_of_parameter_needs_its_kernel():
    """torch has none for complex numbers."""
    kinds = [torch.zeros(1), torch.zeros(1, dtype=torch.complex64)]
    assert has_fused(torch.optim.Adam, kinds[:1])
    assert not has_fused(torch.optim.Adam, kinds)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "lars"])
def test_the_loss_falls(name):
    path = descend(name, n_steps=200)
    loss = 0.5 * (CURVATURE * path**2).sum(axis=1)
    assert loss[-1] < 0.2 * 0.5 * (CURVATURE * START**2).sum()


def test_lars_by_hand():
    """|w| = 5, g = (6, 8), |g| = 10, weight decay .1: lambda = .001 * 5 / (10 + .5); a bias and a matrix of zeros move
    by .001 lr g."""
    w = torch.tensor([[3.0, 4.0]], dtype=torch.float64, requires_grad=True)
    zero = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    b = torch.ones(1, dtype=torch.float64, requires_grad=True)
    made = LARS([w, zero, b], lr=2.0, weight_decay=0.1)
    w.grad, zero.grad = torch.tensor([[[6.0, 8.0]], [[1.0, 2.0]]], dtype=torch.float64)
    b.grad = torch.tensor([0.5], dtype=torch.float64)
    assert made.step(lambda: 7.0) == 7.0
    moved = np.array([[3, 4]]) - 2 * 0.005 / 10.5 * np.array([[6.3, 8.4]])
    assert_allclose(w.detach(), moved)
    assert_allclose(zero.detach(), [[-0.002, -0.004]])
    assert_allclose(b.detach(), [1 - 0.002 * 0.6])
    made.zero_grad(set_to_none=True)
    made.step()  # nothing has a gradient
    assert_allclose(w.detach(), moved)


@pytest.mark.slow
def test_lars_trains_a_regression(rng):
    """Rates from 1 to 10 lower the loss from epoch to epoch; raw steps for biases would raise it a hundredfold."""
    X = rng.normal(size=(200, 5))
    y = X[:, 0] + 0.1 * rng.normal(size=200)
    for rate in (1.0, 10.0):
        settings = {"optimizer": "lars", "learning_rate": rate, "batch_size": 32, "max_epochs": 30, "random_state": 0}
        losses = MLPRegressor((16,), **settings).fit(X, y).history_["train_loss"]
        assert losses[-1] < losses[9] < losses[0]


def test_the_scale_of_the_loss_does_not_matter_to_lars():
    w = [torch.tensor([[1.0, 2.0]], requires_grad=True) for _ in range(2)]
    for parameter, scale in zip(w, (1.0, 1000.0), strict=True):
        made = LARS([parameter], lr=1.0)
        parameter.grad = scale * torch.tensor([[0.3, -0.4]])
        made.step()
    assert_allclose(w[0].detach(), w[1].detach(), rtol=1e-6)


def test_lars_takes_the_lengths_of_each_stacked_model(rng):
    """Three models of very different lengths, one of them 0, five steps: as if each ran alone, and not as if the
    stack were one layer."""
    scales = np.array([0.1, 1.0, 10.0])
    weights, biases = rng.normal(size=(3, 4, 2)) * scales[:, None, None], rng.normal(size=(3, 4)) * scales[:, None]
    biases[1] = 0
    targets = rng.normal(size=(3, 4))

    def descend_all(w, b, target, stacked):
        parameters = [torch.tensor(w, requires_grad=True), torch.tensor(b, requires_grad=True)]
        for parameter in parameters:
            parameter.stacked = stacked
        made = LARS(parameters, lr=3.0, weight_decay=0.01)
        for _ in range(5):
            made.zero_grad()
            (parameters[0].sum(dim=-1) + parameters[1] - torch.tensor(target)).square().sum().backward()
            made.step()
        return [parameter.detach().numpy() for parameter in parameters]

    together = descend_all(weights, biases, targets, True)
    alone = [descend_all(weights[k], biases[k], targets[k], False) for k in range(3)]
    mixed = descend_all(weights, biases, targets, False)
    for i in range(2):
        expected = np.stack([parts[i] for parts in alone])
        assert_allclose(together[i], expected, rtol=1e-12)
        if i == 0:
            assert np.abs(mixed[i] - expected).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, torch.optim.Adamax])
def test_every_optimizer_trains_a_network(optimizer, rng):
    X = rng.normal(size=(120, 2))
    y = (X[:, 0] > 0).astype(int)
    rate = {"lars": 5.0, "sgd": 0.3, "adagrad": 0.05}.get(optimizer, 0.02)
    model = MLPClassifier(
        (16,), optimizer=optimizer, learning_rate=rate, dropout=0.0, max_epochs=60, batch_size=32, random_state=0
    )
    assert model.fit(X, y, sample_weight=rng.integers(1, 3, 120)).score(X, y) > 0.9


@pytest.mark.parametrize("optimizer", ["lion", None, 3])
def test_unknown_optimizers(optimizer, rng):
    with pytest.raises(ShiftDataError, match="optimizer="):
        MLPClassifier(optimizer=optimizer).fit(rng.normal(size=(20, 2)), np.tile([0, 1], 10))


def test_a_function_that_makes_none():
    with pytest.raises(ShiftDataError, match="makes a list"):
        make_optimizer(lambda parameters, lr: [], [torch.zeros(1)], 0.1)
