"""Every loss against its formula in numpy, its gradient against differences, and the link against a general solver."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from scipy.special import entr, expit, logsumexp

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._training._losses import (
    CLASSIFICATION_LOSSES,
    REGRESSION_LOSSES,
    absolute_error,
    binary_cross_entropy,
    check_loss,
    check_row_losses,
    class_margins,
    class_probabilities,
    cross_entropy,
    huber,
    loss_floor,
    polynomial_tail,
    smooth_l1,
    squared_error,
    tail_loss,
)

# Tails with settings far from the defaults; beta < 0 puts several classes into the tail at once.
TAILS = [(1.0, 1.0), (0.5, 0.0), (2.0, 3.0), (3.0, -1.0)]


def margins_by_hand(logits):
    """z_k minus the log-sum-exp of the other columns, one column at a time."""
    return np.column_stack(
        [logits[:, k] - logsumexp(np.delete(logits, k, axis=1), axis=1) for k in range(logits.shape[1])]
    )


def tail_by_hand(margin, alpha, beta):
    """The two branches as the docstring has them."""
    height, steepness = np.log1p(np.exp(-beta)), expit(-beta)
    c = alpha * height / steepness
    tail = height * c**alpha / np.maximum(margin - beta + c, c) ** alpha
    return np.where(margin < beta, np.logaddexp(0, -margin), tail)


def per_class(name, logits, alpha=1.0, beta=1.0):
    """Loss of every row for every class, (n_rows, n_classes), unsmoothed."""
    if name == "cross_entropy":
        return logsumexp(logits, axis=1, keepdims=True) - logits
    if name == "binary_cross_entropy":
        return np.logaddexp(0, np.hstack([logits, -logits]))
    return tail_by_hand(margins_by_hand(logits), alpha, beta)


REGRESSION_BY_HAND = {
    "squared_error": lambda r: r**2,
    "absolute_error": np.abs,
    "huber": lambda r, delta=1.0: np.where(np.abs(r) <= delta, r**2 / 2, delta * (np.abs(r) - delta / 2)),
    "smooth_l1": lambda r, beta=1.0: np.where(np.abs(r) < beta, r**2 / (2 * beta), np.abs(r) - beta / 2),
}
# Every loss with settings other than its defaults as well.
SETTINGS = [
    ("cross_entropy", {}),
    ("cross_entropy", {"label_smoothing": 0.2}),
    ("binary_cross_entropy", {}),
    ("binary_cross_entropy", {"label_smoothing": 0.2}),
    ("polynomial_tail", {}),
    ("polynomial_tail", {"label_smoothing": 0.2, "alpha": 2.0, "beta": 0.3}),
    ("squared_error", {}),
    ("absolute_error", {}),
    ("huber", {}),
    ("huber", {"delta": 0.4}),
    ("smooth_l1", {}),
    ("smooth_l1", {"beta": 0.4}),
]
ALL_LOSSES = {**CLASSIFICATION_LOSSES, **REGRESSION_LOSSES}


def make_rows(name, rng, n_rows=20, n_classes=4, scale=2.0):
    """Outputs and targets as float64 arrays."""
    n_outputs = {"binary_cross_entropy": 1}.get(name, n_classes)
    outputs = scale * rng.normal(size=(n_rows, n_outputs))
    if name in REGRESSION_LOSSES:
        return outputs, rng.normal(size=outputs.shape)
    return outputs, rng.integers(0, max(2, n_outputs), n_rows)


def tensors(*arrays):
    return [torch.as_tensor(array) for array in arrays]


def test_the_tables_hold_every_loss():
    assert set(CLASSIFICATION_LOSSES) == {"cross_entropy", "binary_cross_entropy", "polynomial_tail"}
    assert set(REGRESSION_LOSSES) == {"squared_error", "absolute_error", "huber", "smooth_l1"}


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_values_are_those_of_the_formula(name, settings, rng):
    """Smoothing is (1 - eps) l(z, y) + eps / K sum_k l(z, k), written out."""
    outputs, targets = make_rows(name, rng)
    if name in REGRESSION_LOSSES:
        expected = REGRESSION_BY_HAND[name](outputs - targets, **settings).mean(axis=1)
    else:
        eps = settings.get("label_smoothing", 0.0)
        losses = per_class(name, outputs, **{key: settings[key] for key in settings if key != "label_smoothing"})
        expected = (1 - eps) * losses[np.arange(20), targets] + eps * losses.mean(axis=1)
    found = ALL_LOSSES[name](*tensors(outputs, targets), **settings)
    assert found.shape == (20,)
    assert found.dtype == torch.float64
    assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_squared_error_averages_over_outputs():
    prediction, y = torch.tensor([[1.0, 3.0], [0.0, 0.0]]), torch.tensor([[0.0, 1.0], [0.0, 2.0]])
    assert squared_error(prediction, y).tolist() == [2.5, 2.0]


def test_smooth_l1_is_huber_over_beta(rng):
    outputs, y = tensors(rng.normal(size=(30, 2)), rng.normal(size=(30, 2)))
    assert_allclose(smooth_l1(outputs, y, beta=0.3), huber(outputs, y, delta=0.3) / 0.3, rtol=1e-12)


def test_a_wide_huber_is_half_the_square_and_a_narrow_one_the_absolute_error(rng):
    outputs, y = tensors(rng.normal(size=(30, 2)), rng.normal(size=(30, 2)))
    assert_allclose(huber(outputs, y, delta=100.0), squared_error(outputs, y) / 2, rtol=1e-12)
    assert_allclose(smooth_l1(outputs, y, beta=1e-9), absolute_error(outputs, y), atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_gradients_agree_with_central_differences(name, settings, rng):
    """h = 1e-6 in double precision: off kinks a right gradient misses by 1e-9 at most; allowed 1e-8."""
    outputs, targets = make_rows(name, rng, n_rows=30)
    loss = partial(ALL_LOSSES[name], **settings)
    z, y = torch.tensor(outputs, requires_grad=True), torch.as_tensor(targets)
    loss(z, y).sum().backward()
    expected = np.empty_like(outputs)
    for k in range(outputs.shape[1]):
        step = 1e-6 * np.eye(outputs.shape[1])[k]
        expected[:, k] = (loss(torch.as_tensor(outputs + step), y) - loss(torch.as_tensor(outputs - step), y)) / 2e-6
    assert_allclose(z.grad, expected, atol=1e-8)
    assert torch.autograd.gradcheck(lambda out: loss(out, y), (z,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_huge_outputs_keep_loss_and_gradient_finite(name, settings, dtype):
    """All sign patterns of +-1e4, zeros and ties among three outputs."""
    grid = np.array(np.meshgrid(*[[-1e4, -50.0, 0.0, 50.0, 1e4]] * 3)).reshape(3, -1).T
    if name == "binary_cross_entropy":
        grid = np.repeat(grid[:, :1], 2, axis=0)
    z = torch.tensor(grid, dtype=dtype, requires_grad=True)
    for target in range(2 if grid.shape[1] == 1 else 3):
        y = torch.full((len(grid),), target) if name in CLASSIFICATION_LOSSES else torch.full_like(z, target)
        values = ALL_LOSSES[name](z, y, **settings)
        assert values.dtype == dtype
        (gradient,) = torch.autograd.grad(values.sum(), z)
        assert torch.isfinite(values).all()
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", ALL_LOSSES)
def test_single_precision_agrees_with_double(name, rng):
    """Rounding of logits up to 60 and their sums: 1e-5."""
    outputs, targets = make_rows(name, rng, n_rows=200, scale=20.0)
    z, y = tensors(outputs.astype(np.float32), targets)
    single = y.float() if name in REGRESSION_LOSSES else y
    assert_allclose(ALL_LOSSES[name](z, single), ALL_LOSSES[name](z.double(), y), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_nothing_is_made_on_another_device(name, settings):
    """torch's "meta" device refuses to work with tensors of the CPU, like an accelerator."""
    z = torch.empty(5, 1 if name == "binary_cross_entropy" else 3, device="meta")
    y = torch.empty_like(z) if name in REGRESSION_LOSSES else torch.empty(5, dtype=torch.int64, device="meta")
    found = ALL_LOSSES[name](z, y, **settings)
    assert found.device.type == "meta"
    assert found.shape == (5,)


@pytest.mark.slow
@given(z=arrays(float, (3, 5), elements=st.floats(-800, 800)))
def test_margins_are_those_of_a_loop(z):
    assert_allclose(class_margins(torch.tensor(z)), margins_by_hand(z), rtol=1e-12, atol=1e-12)


def test_margin_of_a_class_that_has_nearly_all_probability():
    """log(sum e^z - e^{z_0}) would be the logarithm of rounding error here."""
    z = torch.tensor([[60.0, 1.0, 2.0]], dtype=torch.float64)
    assert_allclose(class_margins(z)[0, 0], 60 - np.logaddexp(1, 2), rtol=1e-15)


@pytest.mark.parametrize(("alpha", "beta"), TAILS)
class TestTail:
    def value_and_slope(self, margin, alpha, beta):
        m = torch.tensor(margin, dtype=torch.float64, requires_grad=True)
        values = tail_loss(m, alpha, beta)
        (slope,) = torch.autograd.grad(values.sum(), m)
        return values.detach().numpy(), slope.numpy()

    def test_left_of_beta_it_is_the_logistic_loss(self, alpha, beta):
        m = beta - np.array([50.0, 3.0, 1.0, 1e-6])
        values, slope = self.value_and_slope(m, alpha, beta)
        assert_allclose(values, np.logaddexp(0, -m), rtol=1e-13)
        assert_allclose(slope, -expit(-m), rtol=1e-13)

    def test_value_and_slope_join_at_beta(self, alpha, beta):
        """Either side of beta by 1e-9, and on it: jumps no larger than slope or curvature times 1e-9."""
        values, slope = self.value_and_slope([beta - 1e-9, beta, beta + 1e-9], alpha, beta)
        assert_allclose(values, np.logaddexp(0, -beta), rtol=5e-9)
        assert_allclose(slope, -expit(-beta), rtol=1e-8)

    def test_convex_and_falling_in_the_margin(self, alpha, beta):
        _, slope = self.value_and_slope(np.linspace(-20, 60, 4001), alpha, beta)
        assert (slope < 0).all()
        assert (np.diff(slope) >= 0).all()

    def test_the_tail_falls_with_power_alpha(self, alpha, beta):
        """Slope of log l against log m between 1e7 and 1e8; beta and c move it by 1e-6."""
        values, _ = self.value_and_slope([1e7, 1e8], alpha, beta)
        assert np.log10(values[1] / values[0]) == pytest.approx(-alpha, abs=2e-6)

    def test_for_two_classes_it_is_a_function_of_the_difference(self, alpha, beta, rng):
        z, y = 4 * rng.normal(size=(50, 2)), rng.integers(0, 2, 50)
        difference = (z[:, 1] - z[:, 0]) * (2 * y - 1)
        found = polynomial_tail(*tensors(z, y), alpha=alpha, beta=beta)
        assert_allclose(found, tail_by_hand(difference, alpha, beta), rtol=1e-12)

    @pytest.mark.slow
    @pytest.mark.parametrize("n_classes", [2, 3, 5])
    def test_logits_of_least_expected_loss_give_the_probabilities_back(self, alpha, beta, n_classes):
        """BFGS from 0 on sum_k eta_k l(z, k), with the formulas of this file; allowed 1e-5."""
        rng = np.random.default_rng(n_classes)
        for eta in rng.dirichlet(np.full(n_classes, 0.7), size=4).clip(1e-3):
            eta = eta / eta.sum()
            z = least_expected_loss("polynomial_tail", eta, alpha=alpha, beta=beta)
            assert_allclose(class_probabilities(partial(polynomial_tail, alpha=alpha, beta=beta), z)[0], eta, atol=1e-5)

    def test_probabilities_of_two_classes_in_closed_form(self, alpha, beta):
        """eta_1 / eta_0 = l'(-m) / l'(m), the slopes from autograd."""
        m = np.array([-40.0, -2.0, -0.5, 0.0, 0.7, 2.0, 5.0, 40.0])
        ratio = self.value_and_slope(-m, alpha, beta)[1] / self.value_and_slope(m, alpha, beta)[1]
        found = class_probabilities(partial(polynomial_tail, alpha=alpha, beta=beta), np.column_stack([0 * m, m]))
        assert_allclose(found[:, 1], ratio / (1 + ratio), rtol=1e-12)

    def test_logits_are_stationary_under_their_probabilities(self, alpha, beta, rng):
        """Fifty classes: the gradient of sum_k eta_k l(z, k) vanishes, next to terms of up to 1."""
        logits = 6 * rng.normal(size=(8, 50))
        eta = torch.as_tensor(class_probabilities(partial(polynomial_tail, alpha=alpha, beta=beta), logits))
        z = torch.tensor(logits, requires_grad=True)
        expected_loss = sum(
            eta[:, k] @ polynomial_tail(z, torch.full((8,), k), alpha=alpha, beta=beta) for k in range(50)
        )
        (gradient,) = torch.autograd.grad(expected_loss, z)
        assert_allclose(gradient, 0, atol=1e-12)

    @pytest.mark.slow
    @given(z=arrays(float, (4, 4), elements=st.floats(-30, 30)))
    def test_probabilities_stand_in_the_order_of_the_logits(self, alpha, beta, z):
        found = class_probabilities(partial(polynomial_tail, alpha=alpha, beta=beta), z)
        order = np.argsort(z, axis=1)
        assert (np.diff(np.take_along_axis(found, order, axis=1), axis=1) >= -1e-12).all()


def least_expected_loss(name, eta, **settings):
    """Logits (1, n_outputs) that minimise sum_k eta_k l(z, k), by BFGS with gradients from central differences."""
    n_outputs = 1 if name == "binary_cross_entropy" else len(eta)

    def gradient(z):
        steps = np.finfo(float).eps ** (1 / 3) * np.maximum(1, np.abs(z))
        moved = np.concatenate([z + np.diag(steps), z - np.diag(steps)])
        above, below = np.split(per_class(name, moved, **settings) @ eta, 2)
        return (above - below) / (2 * steps)

    found = minimize(
        lambda z: per_class(name, z[None], **settings)[0] @ eta,
        np.zeros(n_outputs),
        jac=gradient,
        options={"gtol": 1e-10, "maxiter": 2000},
    )
    return found.x[None]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "n_classes"),
    [("cross_entropy", 2), ("cross_entropy", 3), ("cross_entropy", 5), ("binary_cross_entropy", 2)],
)
def test_logits_of_least_expected_loss_give_the_probabilities_back(name, n_classes, rng):
    for eta in rng.dirichlet(np.ones(n_classes), size=4):
        assert_allclose(class_probabilities(name, least_expected_loss(name, eta))[0], eta, atol=1e-5)


def test_tail_and_softmax_agree_while_no_margin_reaches_beta(rng):
    z = rng.normal(size=(10, 3))
    assert_allclose(
        class_probabilities(partial(polynomial_tail, beta=50.0), z), class_probabilities("cross_entropy", z), rtol=1e-12
    )


@pytest.mark.parametrize("name", CLASSIFICATION_LOSSES)
@pytest.mark.parametrize("size", [1e2, 1e4, 1e12])
def test_probabilities_of_extreme_logits(name, size):
    z = np.array([[size, -size, 0.0], [0.0, 0.0, 0.0], [size, size, -size], [-size, -size, -size]])
    if name == "binary_cross_entropy":
        z = z[:, :1]
    found = class_probabilities(name, z)
    assert found.dtype == np.float64
    assert (found >= 0).all()
    assert_allclose(found.sum(axis=1), 1, rtol=1e-14)
    assert_allclose(found[1], 1 / found.shape[1], rtol=1e-14)


def test_the_heavy_tail_keeps_some_doubt():
    """Two classes, margin m = 100: odds S0 ((m - beta + c) / c)^2 for alpha = 1, not e^100."""
    c = np.log1p(np.exp(-1)) / expit(-1)
    odds = ((99 + c) / c) ** 2 / expit(-1)
    found = class_probabilities("polynomial_tail", np.array([[100.0, 0.0]]))
    assert found[0, 1] == pytest.approx(1 / (1 + odds), rel=1e-12)


def test_a_function_is_taken_for_a_cross_entropy(rng):
    z = rng.normal(size=(6, 3))
    assert_array_equal(class_probabilities(lambda outputs, y: None, z), class_probabilities("cross_entropy", z))
    assert_allclose(class_probabilities(len, z[:, :1])[:, 1], expit(z[:, 0]), rtol=1e-14)


@pytest.mark.parametrize("n_outputs", [2, 3, 10])
@pytest.mark.parametrize("eps", [1e-6, 0.1, 0.9])
def test_floor_of_cross_entropy_is_the_entropy_of_the_smoothed_target(n_outputs, eps):
    smoothed = np.full(n_outputs, eps / n_outputs)
    smoothed[0] += 1 - eps
    floor = loss_floor(partial(cross_entropy, label_smoothing=eps), n_outputs)
    assert floor == pytest.approx(entr(smoothed).sum(), rel=1e-9)
    if n_outputs == 2:
        assert loss_floor(partial(binary_cross_entropy, label_smoothing=eps), 1) == pytest.approx(floor, rel=1e-9)


@pytest.mark.parametrize(("alpha", "beta"), TAILS)
@pytest.mark.parametrize("n_outputs", [2, 4])
def test_floor_of_the_tail_by_brute_force(alpha, beta, n_outputs, rng):
    """The least over all logits by BFGS, and no random logits below it."""
    eps = 0.1
    floor = loss_floor(partial(polynomial_tail, label_smoothing=eps, alpha=alpha, beta=beta), n_outputs)
    smoothed = np.full(n_outputs, eps / n_outputs)
    smoothed[0] += 1 - eps
    z = least_expected_loss("polynomial_tail", smoothed, alpha=alpha, beta=beta)
    assert floor == pytest.approx(per_class("polynomial_tail", z, alpha, beta)[0] @ smoothed, rel=1e-8)
    anywhere = 10 * rng.normal(size=(2000, n_outputs))
    assert (per_class("polynomial_tail", anywhere, alpha, beta) @ smoothed >= floor - 1e-12).all()


@pytest.mark.parametrize("losses", [CLASSIFICATION_LOSSES, REGRESSION_LOSSES])
def test_names_and_functions_pass(losses):
    for loss in (*losses, squared_error, torch.nn.CrossEntropyLoss(reduction="none")):
        check_loss(loss, losses)


@pytest.mark.parametrize("loss", ["hinge", "squared_error", None, 3, ["cross_entropy"]])
def test_unknown_losses(loss):
    with pytest.raises(ShiftDataError, match=r"loss=.*'cross_entropy', 'binary_cross_entropy', 'polynomial_tail', or"):
        check_loss(loss, CLASSIFICATION_LOSSES)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (torch.tensor(2.0), r'a number: return one loss per row \(reduction="none"\)'),
        (2.0, "a number"),
        (torch.zeros(5, 1), r"shape \(5, 1\) for 5 rows"),
        (torch.zeros(5, 2), r"shape \(5, 2\) for 5 rows.*mean\(dim=1\)"),
        (torch.zeros(4), r"shape \(4,\) for 5 rows"),
        (torch.zeros(5, dtype=torch.int64), r"a tensor of torch.int64"),
        (np.zeros(5), "a ndarray: return one loss per row, a torch tensor"),
        (None, "a NoneType"),
        (torch.nn.MSELoss(), "a MSELoss"),
    ],
)
def test_what_a_loss_may_return(values, message):
    check_row_losses(torch.zeros(5), 5)
    check_row_losses(torch.zeros(1), 1)
    with pytest.raises(ShiftDataError, match=message):
        check_row_losses(values, 5)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *[(name, {"label_smoothing": eps}) for name in CLASSIFICATION_LOSSES for eps in (-0.1, 1.0, "a", None)],
        *[("polynomial_tail", {"alpha": alpha}) for alpha in (0, -1.0, np.inf, np.nan)],
        *[("polynomial_tail", {"beta": beta}) for beta in (-81.0, 81.0, np.nan, None)],
        *[("huber", {"delta": delta}) for delta in (0, -1, np.inf, True)],
        *[("smooth_l1", {"beta": beta}) for beta in (0, -1, np.inf, "1")],
    ],
)
def test_settings_out_of_range(name, settings, rng):
    outputs, targets = tensors(*make_rows(name, rng))
    with pytest.raises(ShiftDataError, match=f"{next(iter(settings))}=.* is needed"):
        ALL_LOSSES[name](outputs, targets, **settings)
