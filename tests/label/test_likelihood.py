"""The likelihood of calibrated scores: a general solver, its derivatives, and samples that are hard to fit."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from scipy.special import softmax

from shiftfix.label._calibration import calibrate, fit_calibration
from shiftfix.label._likelihood import Likelihood, direct_newton_step, log_scores
from tests.label.scores import labelled_scores, loss

FITTED = ["temperature", "bcts", "vector"]


@pytest.mark.parametrize("kind", FITTED)
def test_no_general_solver_finds_a_lower_loss(kind):
    """BFGS on the definition, gradients by finite differences: no loss below ours by 1e-9; same scores to 1e-4."""
    scores, y = labelled_scores(0)
    weight = np.random.default_rng(1).integers(1, 4, len(y)).astype(float)
    n_scales = 4 if kind == "vector" else 1

    def split(point):
        return point[:n_scales] * np.ones(4), np.append(0, point[n_scales:]) if kind != "temperature" else np.zeros(4)

    start = np.append(np.ones(n_scales), np.zeros(0 if kind == "temperature" else 3))
    found = minimize(lambda point: loss(scores, y, weight, *split(point)), start, method="BFGS", options={"gtol": 1e-6})
    ours = fit_calibration(scores, y, weight, kind)
    assert loss(scores, y, weight, *ours) <= found.fun + 1e-9
    assert_allclose(calibrate(scores, *ours), calibrate(scores, *split(found.x)), atol=1e-4)


@pytest.mark.parametrize("kind", FITTED)
def test_gradient_and_hessian_products_are_those_of_the_loss(kind):
    """Against central differences of F, step 1e-5; the diagonal kept for the preconditioner is that of the Hessian."""
    scores, y = labelled_scores(3)
    objective = Likelihood(log_scores(scores), y, np.full(len(y), 1 / len(y)), kind)
    rng = np.random.default_rng(0)
    size = objective.n_scales + 4 * objective.has_bias
    point = rng.uniform(0.5, 1.5, size)
    steps = 1e-5 * np.eye(size)
    differences = [(objective(point + step)[0] - objective(point - step)[0]) / 2e-5 for step in steps]
    curves = [(objective(point + step)[1] - objective(point - step)[1]) / 2e-5 for step in steps]
    _, gradient = objective(point)
    assert_allclose(gradient, differences, atol=1e-8)
    hessian = np.stack([objective.hessian_product(axis) for axis in np.eye(size)])
    assert_allclose(hessian, curves, atol=1e-7)
    assert_allclose(np.diag(hessian), objective.curvature, atol=1e-12)
    if objective.has_bias:
        assert_allclose(objective.hessian(), hessian, atol=1e-14)


@pytest.mark.parametrize("kind", ["bcts", "vector"])
def test_newton_step_solves_its_system_where_no_bound_holds_a_parameter(kind):
    """A class that hardly ever scores is no obstacle; one parameter stays where it is."""
    scores, y = labelled_scores(3)
    objective = Likelihood(log_scores(scores), y, np.full(len(y), 1 / len(y)), kind)
    size = objective.n_scales + 4
    _, gradient = objective(np.random.default_rng(0).uniform(0.5, 1.5, size))
    hessian, free = objective.hessian(), np.ones(size, dtype=bool)
    free[0] = kind == "bcts"
    step = direct_newton_step(hessian, gradient * free, free, objective.n_scales)
    assert_allclose((hessian @ step)[free], -gradient[free], atol=1e-10)
    assert not step[~free].any()
    assert abs(step[objective.n_scales :].sum()) < 1e-8  # nothing along the bias that changes nothing
    hessian[-1] = hessian[:, -1] = 0.0
    gradient[-1] = 0.0
    damped = direct_newton_step(hessian, gradient * free, free, objective.n_scales)
    assert np.isfinite(damped).all()
    assert gradient @ damped < 0


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("kind", ["bcts", "vector"])
def test_hopelessly_sharp_scores_of_few_rows_converge(seed, kind):
    """Logits up to some hundreds, labels hardly related: the mean is the frequency to 1e-8 also where zeros abound."""
    rng = np.random.default_rng(seed)
    n_classes = int(rng.integers(2, 7))
    y = np.append(np.arange(n_classes), rng.integers(0, n_classes, 20))
    scores = softmax(10 ** rng.uniform(0, 2) * (rng.normal(size=(len(y), n_classes)) + np.eye(n_classes)[y]), axis=1)
    calibrated = calibrate(scores, *fit_calibration(scores, y, np.ones(len(y)), kind))
    assert_allclose(calibrated.mean(axis=0), np.bincount(y) / len(y), atol=1e-8)


def test_a_softmax_that_underflows_in_float32_is_brought_back():
    """Logits 15 times too large, one score in seven 0 in float32: the scale is within 10% of 1/15 (measured 2 to 6%),
    the loss within 1% of the truth's (measured .3%). A floor of 1e-12 misses them by 77% and 13%."""
    rng = np.random.default_rng(0)
    logits = 3 * rng.normal(size=(4000, 5))
    truth = softmax(logits, axis=1)
    y = (rng.random((4000, 1)) > np.cumsum(truth, axis=1)[:, :-1]).sum(axis=1)
    sharp = softmax((15 * logits).astype(np.float32), axis=1)
    assert (sharp == 0).mean() > 0.1
    scale, bias = fit_calibration(sharp, y, np.ones(4000), "temperature")
    assert_allclose(scale, 1 / 15, rtol=0.1)
    entropy = -np.mean(np.log(truth[np.arange(4000), y]))
    calibrated = calibrate(sharp.astype(float), scale, bias)
    assert -np.mean(np.log(calibrated[np.arange(4000), y])) == pytest.approx(entropy, rel=0.01)
