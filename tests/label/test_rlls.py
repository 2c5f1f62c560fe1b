"""Regularised weights against closed forms, grids and a general solver."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import minimize

from shiftfix.exceptions import ShiftDataError
from shiftfix.label import BBSE, RLLS
from shiftfix.label._confusion import confusion_matrices
from shiftfix.label._rlls import default_regularization, rlls_weights
from tests.registry import overlapping_scores
from tests.strategies import invertible_confusions, simplex_points

THREE = np.array([[0.8, 0.1, 0.1], [0.1, 0.7, 0.2], [0.1, 0.2, 0.7]])


def objective(C, mu, theta, delta):
    return np.linalg.norm(C @ theta - (mu - C.sum(axis=1))) + delta * np.linalg.norm(theta)


def brute_force(C, mu, p, delta):
    """Best of several runs of a general constrained solver; each reaches the objective to about 1e-8."""

    def gradient(theta):
        residual = C @ theta - (mu - C.sum(axis=1))
        sizes = np.linalg.norm(residual), np.linalg.norm(theta)
        return C.T @ residual / max(sizes[0], 1e-300) + delta * theta / max(sizes[1], 1e-300)

    runs = [
        minimize(
            lambda theta: objective(C, mu, theta, delta),
            np.random.default_rng(seed).dirichlet(np.ones(len(p))) / p - 1,
            jac=gradient,
            bounds=[(-1, None)] * len(p),
            constraints={"type": "eq", "fun": lambda theta: p @ theta, "jac": lambda theta: p},
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 2000},
        )
        for seed in range(4)
    ]
    return min(runs, key=lambda run: run.fun)


@st.composite
def problems(draw, max_classes=5):
    """Joint matrix, target mean with noise, source prior, and regularisation from next to none to plenty."""
    A = draw(invertible_confusions(max_classes))
    p = draw(simplex_points(len(A), 0.02))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    mu = np.abs(
        A @ rng.dirichlet(np.full(len(A), 0.5)) + draw(st.sampled_from([0, 0.02, 0.2])) * rng.normal(size=len(A))
    )
    return A * p, mu / mu.sum(), p, 10.0 ** draw(st.integers(-5, 0))


def test_without_regularization_three_classes_exactly():
    """p = (.5, .3, .2), q = (.2, .3, .5): w = (.4, 1, 2.5)."""
    p = np.array([0.5, 0.3, 0.2])
    assert_allclose(rlls_weights(THREE * p, THREE @ [0.2, 0.3, 0.5], p, 0.0), [0.4, 1, 2.5], atol=1e-12)


@pytest.mark.slow
@given(problem=problems())
def test_against_a_general_solver(problem):
    """No run of the solver is better by more than 1e-9; a right one is better by up to 1e-14."""
    C, mu, p, delta = problem
    w = rlls_weights(C, mu, p, delta)
    assert (w >= 0).all()
    assert p @ w == pytest.approx(1, abs=1e-12)
    assert objective(C, mu, w - 1, delta) <= brute_force(C, mu, p, delta).fun + 1e-9


@pytest.mark.slow
@given(problem=problems(2))
def test_two_classes_against_a_grid(problem):
    """theta runs along (p_1, -p_0): one number."""
    C, mu, p, delta = problem
    steps = np.linspace(-1 / p[1], 1 / p[0], 4001)
    values = [objective(C, mu, s * np.array([p[1], -p[0]]), delta) for s in steps]
    best = objective(C, mu, rlls_weights(C, mu, p, delta) - 1, delta)
    assert best <= min(values) + 1e-12


def test_the_norms_are_not_squared():
    """Identity-like case: C = c I, no bounds met. ||c theta - b|| + Delta ||theta|| along theta = t b is linear in t on
    either side of the perfect fit, so theta is b / c or 0, nothing between: b / c when Delta < c. The squared problem
    would shrink by c^2 / (c^2 + Delta)."""
    p = np.array([0.5, 0.5])
    C, mu = np.eye(2) / 2, np.array([0.6, 0.4])
    for delta in (1e-3, 0.1, 0.49):
        assert_allclose(rlls_weights(C, mu, p, delta), [1.2, 0.8], atol=1e-9)
    for delta in (0.51, 10):
        assert (rlls_weights(C, mu, p, delta) == 1).all()


def test_an_inner_solution_meets_its_condition():
    """Three classes, bounds not met: C'r / ||r|| + Delta theta / ||theta|| is a multiple of p."""
    p, delta = np.array([0.5, 0.3, 0.2]), 0.16
    C, mu = THREE * p, THREE @ [0.4, 0.25, 0.35]
    theta = rlls_weights(C, mu, p, delta) - 1
    residual = C @ theta - (mu - C.sum(axis=1))
    assert 0.05 < np.linalg.norm(theta) < 0.9 * np.linalg.norm([0.8 - 1, 0.25 / 0.3 - 1, 1.75 - 1])
    assert np.linalg.norm(residual) > 1e-3
    slope = C.T @ residual / np.linalg.norm(residual) + delta * theta / np.linalg.norm(theta)
    assert_allclose(slope - p * (p @ slope) / (p @ p), 0, atol=1e-9)


def test_more_regularization_moves_less(rng):
    p, A = rng.dirichlet(np.full(5, 5)), 0.7 * np.eye(5) + 0.3 * rng.dirichlet(np.ones(5), 5).T
    mu = A @ rng.dirichlet(np.full(5, 0.5))
    sizes = [np.linalg.norm(rlls_weights(A * p, mu, p, delta) - 1) for delta in [0, *10.0 ** np.arange(-4, 1, 0.25)]]
    assert (np.diff(sizes) <= 1e-9).all()
    assert sizes[0] > 0.5
    assert sizes[-1] == 0


def test_gamma_goes_part_of_the_way(rng):
    p, mu = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    whole, half = (rlls_weights(THREE * p, mu, p, 0.01, gamma=gamma) for gamma in (1.0, 0.5))
    assert_allclose(half, 1 + 0.5 * (whole - 1))
    assert p @ half == pytest.approx(1)


def test_no_shift_gives_ones_whatever_the_regularization():
    p = np.array([0.5, 0.3, 0.2])
    for delta in (0.0, 0.01, 1.0):
        assert_allclose(rlls_weights(THREE * p, THREE @ p, p, delta), 1, atol=1e-12)


def test_fifty_classes_and_a_noisy_mean():
    rng = np.random.default_rng(0)
    p, A = rng.dirichlet(np.full(50, 5)), 0.6 * np.eye(50) + 0.4 * rng.dirichlet(np.ones(50), 50).T
    mu = rng.multinomial(500, A @ rng.dirichlet(np.full(50, 0.3))) / 500
    delta = default_regularization(50, 5000)
    w = rlls_weights(A * p, mu, p, delta)
    best = objective(A * p, mu, w - 1, delta)
    for _ in range(200):
        other = rng.dirichlet(np.full(50, 0.3)) / p
        step = 10.0 ** rng.uniform(-6, 0)
        assert objective(A * p, mu, (1 - step) * w + step * other - 1, delta) >= best - 1e-12


def test_the_default_rule():
    """K = 10, n = 1000: 2 log(400) / 1000 = .0119829; 3 (.0119829 / 3 + sqrt(.0119829)) = .340382; a hundredth."""
    assert default_regularization(10, 1000) == pytest.approx(0.00340382, abs=1e-7)
    assert default_regularization(10, 1000, shrink=1) == pytest.approx(0.340382, abs=1e-5)
    assert default_regularization(10, 4000) < 0.51 * default_regularization(10, 1000)


class TestEstimator:
    SOURCE, TARGET = [0.5, 0.3, 0.2], [0.2, 0.3, 0.5]

    def samples(self):
        return *overlapping_scores(0, self.SOURCE, 300), overlapping_scores(1, self.TARGET, 200)[0]

    @pytest.mark.parametrize("kind", ["soft", "hard"])
    @pytest.mark.parametrize("gamma", [1.0, 0.4])
    def test_is_the_function_of_its_matrix_and_mean(self, kind, gamma):
        scores, y, target = self.samples()
        fitted = RLLS(kind, gamma=gamma, n_bootstrap=0).fit(scores, y, target)
        joint, _ = confusion_matrices(scores, y, kind=kind)
        mean = target.mean(axis=0) if kind == "soft" else np.bincount(target.argmax(axis=1), minlength=3) / 200
        delta = default_regularization(3, 300)
        assert fitted.regularization_ == delta
        w = rlls_weights(joint, mean, joint.sum(axis=0), delta, gamma=gamma)
        assert_allclose(fitted.class_weight_, w, atol=1e-10)
        assert_allclose(fitted.target_prior_, w * np.bincount(y) / 300, atol=1e-10)

    def test_without_regularization_it_is_bbse(self):
        scores, y, target = self.samples()
        fitted, plain = RLLS(regularization=0, n_bootstrap=0).fit(scores, y, target), BBSE().fit(scores, y, target)
        assert_allclose(fitted.target_prior_, plain.target_prior_, atol=1e-9)
        assert_allclose(fitted.prior_covariance_, plain.prior_covariance_, atol=1e-12)

    def test_much_regularization_is_the_source_prior(self):
        scores, y, target = self.samples()
        fitted = RLLS(regularization=10.0, n_bootstrap=0).fit(scores, y, target)
        assert_allclose(fitted.target_prior_, np.bincount(y) / 300, atol=1e-12)

    def test_counts_strengthen_as_rows_do(self):
        scores, y, target = self.samples()
        counts = np.random.default_rng(0).integers(1, 4, 300)
        weighted = RLLS(n_bootstrap=0).fit(scores, y, target, sample_weight_source=counts)
        repeated = RLLS(n_bootstrap=0).fit(np.repeat(scores, counts, axis=0), np.repeat(y, counts), target)
        assert weighted.regularization_ == repeated.regularization_
        assert_allclose(weighted.target_prior_, repeated.target_prior_, atol=1e-9)

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"regularization": "cv"}, "regularization='cv'"),
            ({"regularization": -1.0}, "regularization=-1.0: a number >= 0"),
            ({"gamma": 1.5}, "gamma=1.5"),
            ({"kind": "hard", "calibration": "bcts"}, "counts predictions"),
            ({"n_bootstrap": -1}, "n_bootstrap=-1: a whole number >= 0"),
        ],
    )
    def test_errors(self, settings, words):
        with pytest.raises(ShiftDataError, match=words):
            RLLS(**settings).fit(*self.samples())
