"""The block solver against scikit-learn's, finite differences and moments by definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.linalg import cho_solve
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from shiftfix import _blocks
from shiftfix.covariate import _logistic_solver as solver
from shiftfix.covariate._logistic_columns import make_columns, n_columns
from shiftfix.covariate._logistic_solver import Objective, factorize, secant_solve, solve

FORMS = ["dense", "offset", "float32", "sparse"]


def samples_of(form, seed=0, d=3, n_source=400, n_target=250):
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(d, d)) + np.eye(d)
    samples = [rng.normal(size=(n_source, d)) @ mix, rng.normal(0.3, 1, (n_target, d)) @ mix]
    if form == "offset":
        samples = [X + 1e5 * np.arange(1, d + 1) for X in samples]
    if form == "float32":
        samples = [X.astype(np.float32) for X in samples]
    if form == "sparse":
        samples = [sparse.csr_array(np.where(X > 0.5, X, 0)) for X in samples]
    counts = [rng.integers(1, 4, n_source).astype(float), rng.integers(1, 4, n_target).astype(float)]
    return samples, counts


def dense(X):
    return X.toarray() if sparse.issparse(X) else X.astype(np.float64)


def reference(samples, counts, expansion, C):
    """scikit-learn on the standardised, expanded, stacked table: intercept and slopes."""
    X = np.vstack([dense(X) for X in samples])
    weight = np.concatenate(counts)
    Z = StandardScaler().fit_transform(X, sample_weight=weight)
    if expansion == "squares":
        Z = np.hstack([Z, Z**2])
    if expansion == "quadratic":
        P = PolynomialFeatures(2, include_bias=False).fit(Z)
        powers = P.powers_
        order = [*np.flatnonzero(powers.sum(axis=1) == 1), *np.flatnonzero(powers.max(axis=1) == 2)]
        order += [i for i in np.flatnonzero(powers.sum(axis=1) == 2) if powers[i].max() == 1]
        Z = P.transform(Z)[:, order]
    Z = StandardScaler().fit_transform(Z, sample_weight=weight)
    y = np.repeat([-1, 1], [len(c) for c in counts])
    model = LogisticRegression(C=C, tol=1e-10, max_iter=10000, solver="newton-cholesky").fit(Z, y, sample_weight=weight)
    return np.append(model.intercept_, model.coef_[0]), Z @ model.coef_[0] + model.intercept_[0]


@pytest.mark.parametrize("C", [0.01, 1.0, np.inf])
@pytest.mark.parametrize("form", FORMS)
def test_equals_scikit_learn(form, C):
    samples, counts = samples_of(form)
    columns, _ = make_columns(samples, counts, "linear")
    objective = Objective(samples, counts, columns, 1 / (C * objective_total(counts)))
    point, norm, *_ = solve(objective, tol=1e-9)
    expected, h = reference(samples, counts, "linear", C)
    assert norm <= 1e-9
    assert_allclose(point, expected, atol=1e-6)
    assert_allclose(np.concatenate(objective.log_odds(point)), h, atol=1e-6)
    assert_allclose(np.concatenate([columns.log_odds(X, point[1:], point[0]) for X in samples]), h, atol=1e-6)


def objective_total(counts):
    return sum(c.sum() for c in counts)


@pytest.mark.parametrize("expansion", ["squares", "quadratic"])
@pytest.mark.parametrize("form", ["dense", "offset", "float32"])
def test_expansions_equal_scikit_learn_on_expanded_columns(form, expansion):
    samples, counts = samples_of(form)
    columns, _ = make_columns(samples, counts, expansion)
    assert len(columns.scale) == n_columns(expansion, 3)
    objective = Objective(samples, counts, columns, 1 / objective_total(counts))
    point, *_ = solve(objective, tol=1e-9)
    expected, h = reference(samples, counts, expansion, 1.0)
    assert_allclose(point, expected, atol=1e-5)
    assert_allclose(np.concatenate(objective.log_odds(point)), h, atol=1e-5)


@pytest.mark.parametrize("expansion", ["linear", "squares", "quadratic"])
def test_coefficients_in_the_units_of_the_features(expansion):
    """a + b'x + x'Qx is h, whatever the offsets and scales."""
    samples, counts = samples_of("dense")
    samples = [X * [1.0, 10.0, 0.1] + [3.0, -20.0, 0.0] for X in samples]
    columns, _ = make_columns(samples, counts, expansion)
    point, *_ = solve(Objective(samples, counts, columns, 1e-3))
    a, b, Q = columns.polynomial(point[1:], point[0])
    X = samples[0]
    h = a + X @ b + (0 if Q is None else np.einsum("ij,jk,ik->i", X, Q, X))
    assert_allclose(h, columns.log_odds(X, point[1:], point[0]), atol=1e-8)
    assert (Q is None) == (expansion == "linear")


@pytest.mark.parametrize("expansion", ["linear", "quadratic"])
@pytest.mark.parametrize("form", FORMS)
def test_gradient_and_hessian_are_the_derivatives(form, expansion, rng, monkeypatch):
    if form == "sparse" and expansion == "quadratic":
        pytest.skip("refused for sparse rows")
    monkeypatch.setattr(_blocks, "BLOCK_ENTRIES", 1000)
    monkeypatch.setattr(_blocks, "SPARSE_BLOCK_ROWS", 77)
    samples, counts = samples_of(form)
    columns, _ = make_columns(samples, counts, expansion)
    objective = Objective(samples, counts, columns, 0.01)
    point = rng.normal(size=1 + len(columns.scale)) / 3
    _, gradient, H = objective(point, hessian=True)
    step = 1e-5
    for j, direction in enumerate(np.eye(len(point))):
        up, down = objective(point + step * direction), objective(point - step * direction)
        assert gradient[j] == pytest.approx((up[0] - down[0]) / (2 * step), abs=1e-7)
        assert_allclose(H[j], (up[1] - down[1]) / (2 * step), atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_moments_by_definition(form, monkeypatch):
    monkeypatch.setattr(_blocks, "BLOCK_ENTRIES", 300)
    monkeypatch.setattr(_blocks, "SPARSE_BLOCK_ROWS", 50)
    samples, counts = samples_of(form)
    mean, variance = _blocks.pooled_moments([_blocks.column_spread(X, c) for X, c in zip(samples, counts, strict=True)])
    X, c = np.vstack([dense(X) for X in samples]), np.concatenate(counts)
    expected = np.average(X, axis=0, weights=c)
    assert_allclose(mean, expected, rtol=1e-10)
    assert_allclose(variance, np.average((X - expected) ** 2, axis=0, weights=c), rtol=1e-7)


def test_wide_designs_go_by_lbfgs_to_the_same_point(monkeypatch):
    samples, counts = samples_of("dense", d=6)
    columns, _ = make_columns(samples, counts, "linear")
    objective = Objective(samples, counts, columns, 1e-3)
    point, *_ = solve(objective, tol=1e-9)
    monkeypatch.setattr(solver, "NEWTON_COLUMNS", 5)
    monkeypatch.setattr(solver, "newton", None)
    wide, norm, *_ = solve(objective, tol=1e-7)
    assert norm <= 1e-7
    assert_allclose(wide, point, atol=1e-4)


def test_many_rows_begin_with_a_part_of_them(monkeypatch):
    """With and without the solution and the Hessian of every 16th row: one answer, no Hessian of all rows."""
    samples, counts = samples_of("dense", n_source=30000, n_target=20000)
    columns, _ = make_columns(samples, counts, "linear")
    objective = Objective(samples, counts, columns, 1e-5)
    hessians, evaluate = [], Objective.__call__

    def spy(self, point, hessian=False):
        hessians.extend([self.n_rows] * hessian)
        return evaluate(self, point, hessian)

    monkeypatch.setattr(Objective, "__call__", spy)
    point, norm, *_ = solve(objective, tol=1e-10)
    assert hessians
    assert max(hessians) == 30000 // 16 + 20000 // 16
    monkeypatch.setattr(solver, "PILOT_ROWS_PER_COLUMN", np.inf)
    plain, plain_norm, *_ = solve(objective, tol=1e-10)
    assert hessians[-1] == 50000
    assert max(norm, plain_norm) <= 1e-10
    assert_allclose(point, plain, atol=1e-7)


def test_steps_heed_what_the_last_ones_told(rng):
    """The corrected inverse maps every change of the gradient to its step, and is the plain one without any."""
    A = rng.normal(size=(6, 6))
    H = A @ A.T + np.eye(6)
    factor = factorize(H + np.diag(rng.uniform(0, 0.5, 6)))
    steps = rng.normal(size=(1, 6))
    assert_allclose(secant_solve(factor, [], H @ steps[0]), cho_solve(factor, H @ steps[0]))
    # BFGS keeps the last pair exactly, and all of them when the steps are conjugate.
    conjugate = np.linalg.eigh(H)[1].T[:3]
    pairs = [(s, H @ s) for s in conjugate]
    for s, change in pairs:
        assert_allclose(secant_solve(factor, pairs, change), s, atol=1e-10)


@pytest.mark.slow
@given(seed=st.integers(0, 2**32 - 1), gap=st.floats(0, 50), C=st.sampled_from([0.1, 1.0, 1e6]))
def test_converges_from_anywhere(seed, gap, C):
    """Separated or not, collinear or not, from a far start: the gradient says it is there."""
    rng = np.random.default_rng(seed)
    samples = [rng.normal(size=(30, 3)), rng.normal(size=(20, 3)) + gap]
    samples = [np.column_stack([X, X[:, 0], np.full(len(X), 2.0)]) for X in samples]
    counts = [np.ones(30), np.ones(20)]
    columns, _ = make_columns(samples, counts, "linear")
    start = rng.normal(0, 5, 6)
    point, norm, *_ = solve(Objective(samples, counts, columns, 1 / (50 * C)), start, tol=1e-8)
    assert norm <= 1e-8
    assert np.isfinite(point).all()
