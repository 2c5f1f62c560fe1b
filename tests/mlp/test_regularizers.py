"""Penalties against autograd, closed forms and rules in numpy; bounds on norms as invariants."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose
from torch import nn

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp import MLPRegressor
from shiftfix.mlp._network._layers import mark_stacked
from shiftfix.mlp._training._regularizers import weights_of
from tests.mlp.settings import Regularizers

LR = 0.1


def tensor(values, grad=None):
    made = torch.tensor(np.asarray(values, dtype=float), requires_grad=True)
    if grad is not None:
        made.grad = torch.tensor(np.asarray(grad, dtype=float))
    return made


def soft(w, t):
    return np.sign(w) * np.maximum(np.abs(w) - t, 0)


def minimise(objective, start, regularizers, n_steps, optimizer=torch.optim.SGD, lr=LR):
    """Weights after full-batch steps; the path begins behind the first."""
    w, path = tensor(start), []
    made = optimizer([w], lr=lr)
    for _ in range(n_steps):
        made.zero_grad()
        objective(w).backward()
        regularizers.before_step([w], [w], 1, lr)
        made.step()
        regularizers.after_step([w], lr)
        path.append(w.detach().numpy().copy())
    return np.array(path)


@pytest.mark.parametrize(("l1", "l2"), [(0.3, 0.0), (0.0, 0.7), (0.3, 0.7)])
def test_the_coupled_gradient_is_that_of_the_written_out_objective(l1, l2, rng):
    values, x = rng.normal(size=(4, 3)), torch.tensor(rng.normal(size=(5, 3)))
    bias = tensor(rng.normal(size=4))
    free, penalised = tensor(values), tensor(values)
    objective = lambda w: torch.tanh(x @ w.T + bias).square().sum()  # noqa: E731
    objective(free).backward()
    slope = bias.grad.clone()
    Regularizers(l1=l1, l2=l2).before_step([free], [free, bias], 1, LR)
    assert torch.equal(bias.grad, slope)
    (objective(penalised) + l1 * penalised.abs().sum() + l2 / 2 * penalised.square().sum()).backward()
    assert_allclose(free.grad, penalised.grad, rtol=1e-12)


def test_one_step_of_each_kind_by_hand(rng):
    w, g = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    for decoupled, expected in (
        (False, w - LR * (g + 0.3 * np.sign(w) + 0.7 * w)),
        (True, soft((1 - LR * 0.7) * w - LR * g, LR * 0.3)),
    ):
        parameter = tensor(w, g)
        settings = Regularizers(l1=0.3, l2=0.7, decoupled=decoupled)
        settings.before_step([parameter], [parameter], 1, LR)
        torch.optim.SGD([parameter], lr=LR).step()
        settings.after_step([parameter], LR)
        assert_allclose(parameter.detach(), expected, rtol=1e-12, atol=1e-15)


def test_a_subgradient_of_zero_at_zero():
    w = tensor([[0.0, 2.0]], [[0.0, 0.0]])
    Regularizers(l1=0.5).before_step([w], [w], 1, LR)
    assert_allclose(w.grad, [[0.0, 0.5]])


def least_squares(X, y):
    X, y = torch.tensor(X), torch.tensor(y)
    return lambda w: (X @ w[0] - y).square().sum() / 2


@pytest.mark.slow
@pytest.mark.parametrize("l2", [0.0, 0.5])
def test_the_proximal_step_finds_the_lasso_and_the_elastic_net(l2, rng):
    """X'X = 1: w = S(X'y, l1) / (1 + l2), the small ones exactly 0. The coupled penalty stays beside 0."""
    X, _ = np.linalg.qr(rng.normal(size=(20, 4)))
    y = X @ np.array([3.0, -0.2, 0.4, -2.0])
    expected = soft(X.T @ y, 0.5) / (1 + l2)
    found = minimise(least_squares(X, y), rng.normal(size=(1, 4)), Regularizers(0.5, l2, decoupled=True), 300)[-1, 0]
    assert_allclose(found, expected, atol=1e-12)
    assert (found == 0).tolist() == [False, True, True, False]
    coupled = minimise(least_squares(X, y), rng.normal(size=(1, 4)), Regularizers(0.5, l2), 300)[-1, 0]
    assert_allclose(coupled, expected, atol=2 * LR * 0.5)
    assert (coupled != 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("decoupled", [False, True])
def test_gradient_descent_finds_ridge_both_ways(decoupled, rng):
    """w = (X'X + l2)^-1 X'y to 1e-10; without l2 the answer is 0.05 away."""
    X, y = rng.normal(size=(30, 4)), rng.normal(size=30)
    found = minimise(least_squares(X, y), np.zeros((1, 4)), Regularizers(l2=5.0, decoupled=decoupled), 400, lr=0.01)
    ridge = np.linalg.solve(X.T @ X + 5.0 * np.eye(4), X.T @ y)
    assert_allclose(found[-1, 0], ridge, atol=1e-10)
    assert np.abs(ridge - np.linalg.solve(X.T @ X, X.T @ y)).max() > 0.01


def test_the_decoupled_decay_is_that_of_adamw():
    """Loshchilov & Hutter, algorithm 2, in numpy; decay after the step would be lr^2 l2 = 1e-3 off per step."""
    curvature, w, l2 = np.array([[1.0, 4.0, 0.25]]), np.array([[1.0, -2.0, 0.5]]), 0.1
    v, s, expected = 0.0, 0.0, []
    found = minimise(
        lambda w: (torch.tensor(curvature) * w.square()).sum() / 2,
        w,
        Regularizers(l2=l2, decoupled=True),
        20,
        torch.optim.Adam,
    )
    for t in range(1, 21):
        g = curvature * w
        v, s = 0.9 * v + 0.1 * g, 0.999 * s + 0.001 * g**2
        w = w - LR * (v / (1 - 0.9**t) / (np.sqrt(s / (1 - 0.999**t)) + 1e-8) + l2 * w)
        expected.append(w)
    assert_allclose(found, expected, rtol=1e-9)


finite = st.floats(-1e3, 1e3).map(lambda x: 0.0 if abs(x) < 1e-100 else x)


@pytest.mark.slow
@given(w=arrays(float, (2, 3, 4), elements=finite), most=st.floats(1e-3, 1e3))
def test_max_norm_bounds_units_and_nothing_else(w, most):
    """No unit is longer than the bound (to rounding), directions stay, and units within it are untouched."""
    parameter = tensor(w, np.zeros_like(w))
    mark_stacked([parameter], True)
    Regularizers(max_norm=most).after_step([parameter], LR)
    found, norms = parameter.detach().numpy(), np.linalg.norm(w, axis=-1)
    assert_allclose(np.linalg.norm(found, axis=-1), np.minimum(norms, most), rtol=1e-12)
    assert_allclose(found * norms[..., None], w * np.minimum(norms, most)[..., None], rtol=1e-9, atol=1e-300)
    assert np.array_equal(found[norms < most * (1 - 1e-12)], w[norms < most * (1 - 1e-12)])


@pytest.mark.parametrize("shape", [(4, 3, 2), (4, 3, 2, 5)])
def test_max_norm_bounds_each_filter_of_a_convolution(shape, rng):
    """A unit of a convolution is a filter: all its channels and places together, not each of its lines."""
    values = rng.normal(size=shape)
    parameter = tensor(values, np.zeros(shape))
    Regularizers(max_norm=0.5).after_step([parameter], LR)
    lengths = np.sqrt((values**2).reshape(4, -1).sum(axis=1)).reshape(-1, *[1] * (len(shape) - 1))
    assert (lengths > 0.5).all()
    assert_allclose(parameter.detach(), 0.5 * values / lengths, rtol=1e-12)


@pytest.mark.parametrize("n_models", [1, 2])
def test_the_estimators_units_stay_within_max_norm(n_models, rng):
    """After fit each row of each weight matrix, of each model, is at most .3 long, and most are that long: to 1e-6."""
    settings = {"max_epochs": 2, "batch_size": 50, "learning_rate": 1e-3, "early_stopping": False, "random_state": 0}
    model = MLPRegressor((8,), n_models=n_models, max_norm=0.3, **settings)
    model.fit(rng.normal(size=(50, 4)), rng.normal(size=50))
    for weight in (model.module_[0].weight, model.module_[2].weight):
        lengths = np.linalg.norm(weight.detach().numpy(), axis=-1)
        assert lengths.shape == (weight.shape[:-1])
        assert (lengths < 0.3 + 1e-6).all()
        assert np.mean(lengths > 0.29) > 0.5


@pytest.mark.slow
@given(g=arrays(float, (3, 4), elements=finite), b=arrays(float, 3, elements=finite), most=st.floats(1e-3, 1e3))
def test_clipped_norms_are_bounded_and_keep_their_direction(g, b, most):
    parameters = [tensor(np.zeros_like(g), g), tensor(np.zeros_like(b), b)]
    Regularizers(clip_norm=most).before_step(parameters[:1], parameters, 1, LR)
    norm = np.sqrt((g**2).sum() + (b**2).sum())
    factor = min(1, most / norm) if norm > 0 else 1.0
    assert_allclose(parameters[0].grad, factor * g, rtol=1e-12)
    assert_allclose(parameters[1].grad, factor * b, rtol=1e-12)


@pytest.mark.slow
@given(g=arrays(float, (3, 4), elements=finite), most=st.floats(1e-3, 1e3))
def test_clipped_values_stay_within_the_bounds_on_both_sides(g, most):
    parameter = tensor(np.zeros_like(g), g)
    Regularizers(clip_value=most).before_step([parameter], [parameter], 1, LR)
    assert np.array_equal(parameter.grad, np.clip(g, -most, most))


def test_clipping_by_hand():
    """|(3, 4, 12)| = 13; with values cut at 4 first, |(3, 4, 4)| = sqrt(41); a penalty counts before either."""
    for settings, w, b in (
        (Regularizers(clip_norm=6.5), [1.5, 2.0], 6.0),
        (Regularizers(clip_norm=13.0), [3.0, 4.0], 12.0),
        (Regularizers(clip_value=4.0), [3.0, 4.0], 4.0),
        (Regularizers(clip_value=4.0, clip_norm=1.0), np.array([3.0, 4.0]) / 41**0.5, 4.0 / 41**0.5),
        (Regularizers(l2=1.0, clip_value=5.0), [5.0, 5.0], 5.0),
        (Regularizers(l1=1.0, clip_norm=1.0), np.array([4.0, 5.0]) / 185**0.5, 12 / 185**0.5),
    ):
        weight, bias = tensor([[10.0, 20.0]], [[3.0, 4.0]]), tensor([7.0], [12.0])
        settings.before_step([weight], [weight, bias], 1, LR)
        assert_allclose(weight.grad[0], w, rtol=1e-12)
        assert_allclose(bias.grad, [b], rtol=1e-12)


@pytest.mark.parametrize(
    "settings",
    [
        Regularizers(clip_norm=2.0),
        Regularizers(0.1, 0.2, clip_norm=2.0, clip_value=1.0, max_norm=1.5),
        Regularizers(0.1, 0.2, decoupled=True, clip_norm=2.0, max_norm=1.5),
    ],
)
def test_stacked_models_are_what_each_is_alone(settings, rng):
    """The gradient of the first is clipped, that of the last, of norm below 1, is not: one norm over all would."""
    values = [rng.normal(size=(3, 5, 4)), rng.normal(size=(3, 5))]
    slopes = [np.array([10, 1, 0.05]).reshape(-1, *[1] * (v.ndim - 1)) * rng.normal(size=v.shape) for v in values]

    def step(select, n_models):
        parameters = [tensor(v[select], g[select]) for v, g in zip(values, slopes, strict=True)]
        mark_stacked(parameters, n_models > 1)
        settings.before_step(parameters[:1], parameters, n_models, LR)
        torch.optim.SGD(parameters, lr=LR).step()
        settings.after_step(parameters[:1], LR)
        return [parameter.detach().numpy() for parameter in parameters]

    together = step(slice(None), 3)
    alone = [step(k, 1) for k in range(3)]
    for i in range(2):
        assert_allclose(together[i], np.stack([parts[i] for parts in alone]), rtol=1e-12)
    if settings.l1 == 0:
        assert_allclose(together[1][2], values[1][2] - LR * slopes[1][2], rtol=1e-12)


def test_zero_gradients_and_weights_stay_numbers():
    settings = Regularizers(0.1, 0.1, decoupled=True, max_norm=1.0, clip_norm=1.0, clip_value=1.0)
    for n_models in (1, 2):
        w = tensor(np.zeros((2, 3)), np.zeros((2, 3)))
        settings.before_step([w], [w], n_models, LR)
        settings.after_step([w], LR)
        assert not w.detach().any()
        assert not w.grad.any()


def test_what_has_no_gradient_is_left_alone():
    settings = Regularizers(0.1, 0.1, decoupled=True, max_norm=0.1, clip_norm=1.0, clip_value=1.0)
    w, scalar = tensor(np.ones((2, 3))), tensor(1.0, 5.0)
    settings.before_step([w], [w], 1, LR)
    Regularizers(l1=1.0, l2=1.0).before_step([w], [w], 1, LR)
    settings.before_step([w], [w, scalar], 1, LR)
    settings.after_step([w], LR)
    assert (w == 1).all()
    assert w.grad is None
    assert scalar.grad == 1


def test_weights_are_matrices_not_biases_nor_scales():
    layer = lambda *sizes: nn.utils.skip_init(nn.Linear, *sizes)  # noqa: E731
    module = nn.Sequential(layer(2, 3), nn.BatchNorm1d(3), nn.Sequential(layer(3, 1)))
    assert [tuple(w.shape) for w in weights_of(module)] == [(3, 2), (1, 3)]
    assert weights_of(module)[0] is module[0].weight


@pytest.mark.parametrize(
    "settings",
    [
        {"l1": -0.1},
        {"l2": -1},
        {"l2": np.inf},
        {"l1": np.nan},
        {"l1": None},
        {"l2": "0.1"},
        {"max_norm": 0},
        {"clip_norm": -1.0},
        {"clip_value": 0.0},
        {"clip_norm": True},
        {"decoupled": "yes"},
    ],
)
def test_bad_settings(settings):
    with pytest.raises(ShiftDataError, match=f"{next(iter(settings))}="):
        Regularizers(**settings).check()


def test_what_counts_as_active():
    assert not Regularizers().active
    assert not Regularizers(decoupled=True).active
    for name in ("l1", "l2", "max_norm", "clip_norm", "clip_value"):
        settings = Regularizers(**{name: 0.5})
        settings.check()
        assert settings.active


@pytest.mark.slow
@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize(("n_rows", "batch_size"), [(300, 300), (300, 256), (257, 256), (257, 4)])
def test_the_penalty_is_that_of_the_objective_whatever_the_last_batch(n_rows, batch_size, decoupled):
    """min mean (r x - w x)^2 + l2 / 2 w^2 on standardised columns: w = 2 r / (2 + l2), and r = 1 here. Plain descent
    that counts the penalty of the short last batch whole ends at 0.50 for 257 rows in batches of 256."""
    X = np.random.default_rng(0).normal(size=(n_rows, 1))
    steps = {"learning_rate": 0.02, "max_epochs": 150} if batch_size > 4 else {"learning_rate": 2e-3, "max_epochs": 25}
    model = MLPRegressor(
        (),
        optimizer="sgd",
        l2=1.0,
        batch_size=batch_size,
        decoupled=decoupled,
        early_stopping=False,
        random_state=0,
        **steps,
    )
    model.fit(X, X[:, 0])
    # Largest miss of a right program over four seeds: 0.0006, from the order of the batches.
    assert model.module_[-1].weight.item() == pytest.approx(2 / 3, abs=0.02)


def test_a_short_batch_brings_its_share_of_both_penalties(rng):
    w, g = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
    for decoupled, expected in (
        (False, w - LR * (g + 0.25 * (0.3 * np.sign(w) + 0.7 * w))),
        (True, soft((1 - LR * 0.25 * 0.7) * w - LR * g, LR * 0.25 * 0.3)),
    ):
        parameter = tensor(w, g)
        settings = Regularizers(l1=0.3, l2=0.7, decoupled=decoupled)
        settings.before_step([parameter], [parameter], 1, LR, 0.25)
        torch.optim.SGD([parameter], lr=LR).step()
        settings.after_step([parameter], LR, 0.25)
        assert_allclose(parameter.detach(), expected, rtol=1e-12, atol=1e-15)
