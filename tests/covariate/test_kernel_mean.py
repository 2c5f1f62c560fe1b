"""Kernel mean matching against closed forms, its optimality conditions and a general convex solver."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from scipy.spatial.distance import cdist
from sklearn.exceptions import ConvergenceWarning

from shiftfix.covariate._kernel_mean import KMM, kernel_average
from shiftfix.covariate._kernel_mean_many import match_kernel_means
from shiftfix.covariate._kernel_mean_solver import (
    SymmetricKernel,
    duality_gap,
    optimality_residual,
    pivoted_cholesky,
)
from shiftfix.exceptions import PoorOverlapWarning, ShiftDataError
from tests.covariate.test_least_squares import CATEGORIES, PROBLEMS, P, Q, discrete
from tests.registry import COVARIATE_PROBLEMS
from tests.strategies import counts, two_samples

SMALL_SAMPLES = pytest.mark.filterwarnings("ignore::shiftfix.exceptions.PoorOverlapWarning")


def whole_kernel(rows, others, bandwidth):
    return np.exp(-cdist(rows, others, "sqeuclidean") / (2 * bandwidth**2))


@pytest.mark.parametrize(("cache_bytes", "rtol"), [(2**28, 1e-12), (4 * 300 * 300, 1e-5), (0, 1e-12)])
def test_products_are_those_of_the_whole_matrix(cache_bytes, rtol, rng):
    """Stored in double, in single precision, and not at all."""
    rows, vector = rng.normal(size=(300, 3)), rng.exponential(size=300)
    kernel = SymmetricKernel(rows, 1.3, cache_bytes)
    assert (kernel.strips is None) == (cache_bytes == 0)
    K = whole_kernel(rows, rows, 1.3)
    assert_allclose(kernel.times(vector), K @ vector, rtol=rtol)
    assert_allclose(kernel.exact_times(vector), K @ vector, rtol=1e-12)


def test_pivoted_cholesky_reproduces_what_it_does_not_miss(rng):
    rows = rng.normal(size=(80, 2))
    K = whole_kernel(rows, rows, 1.0)
    factor, missed = pivoted_cholesky(rows, 1.0, rank=20)
    assert_allclose(np.diag(K - factor @ factor.T), missed, atol=1e-12)
    factor, missed = pivoted_cholesky(rows, 1.0)
    assert_allclose(factor @ factor.T, K, atol=1e-9)


def residual_by_hand(beta, gradient, shares, bound, slack):
    """Least over a fine grid of multipliers of the largest violation."""
    mean = shares @ beta
    allowed = np.linspace(-2, 2, 400001)
    if slack > 0:
        allowed = allowed[allowed >= 0] if mean > 1 else allowed[allowed <= 0]
        allowed = allowed if abs(mean - 1) >= slack - 1e-6 else np.zeros(1)
    up = np.max(gradient[beta > 0], initial=-np.inf) + allowed
    down = -(np.min(gradient[beta < bound], initial=np.inf) + allowed)
    return np.maximum(np.maximum(up, down), 0).min()


@pytest.mark.slow
@given(seed=st.integers(0, 999), slack=st.sampled_from([0.0, 0.2, 0.5]))
def test_residual_is_the_violation_under_the_best_multiplier(seed, slack):
    rng = np.random.default_rng(seed)
    beta, shares = rng.choice([0.0, 0.5, 1.0, 2.0], 6), np.full(6, 1 / 6)
    gradient = rng.uniform(-1, 1, 6)
    found = optimality_residual(beta, gradient, shares, 2.0, slack)
    outside = abs(beta.mean() - 1) - slack
    expected = residual_by_hand(beta, gradient, shares, 2.0, slack)
    assert found == pytest.approx(max(expected, outside), abs=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("bound", [1000.0, 2.0, 1.0])
@pytest.mark.parametrize("slack", [0.9, 0.02, 0.0])
@pytest.mark.parametrize("ridge", [0.0, 1e-2])
def test_objective_equals_that_of_a_general_solver(bound, slack, ridge):
    """Against SLSQP to 1e-6, with repeat counts, active bounds and an active band; the conditions hold to 1e-6."""
    rng = np.random.default_rng(3)
    rows, target, c = rng.normal(size=(40, 2)), rng.normal(0.8, 0.7, (60, 2)), rng.integers(1, 4, 40)
    shares, K = c / c.sum(), whole_kernel(rows, rows, 0.7)
    target_mean = whole_kernel(rows, target, 0.7).mean(axis=1)

    def objective(beta):
        v = shares * beta
        return v @ K @ v / 2 - target_mean @ v + ridge / 2 * shares @ (beta - 1) ** 2

    def gradient(beta):
        return shares * (K @ (shares * beta) - target_mean + ridge * (beta - 1))

    general = minimize(
        objective,
        np.ones(40),
        jac=gradient,
        bounds=[(0, bound)] * 40,
        constraints=[
            {"type": "ineq", "fun": lambda b, s=s: slack - s * (shares @ b - 1), "jac": lambda b, s=s: -s * shares}
            for s in (1, -1)
        ],
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 3000},
    )
    beta, residual, _, _ = match_kernel_means(SymmetricKernel(rows, 0.7), shares, target_mean, bound, slack, ridge)
    assert objective(beta) == pytest.approx(general.fun, abs=1e-6)
    assert residual <= 1e-6
    assert residual_by_hand(beta, gradient(beta) / shares, shares, bound, slack) <= 2e-5
    assert beta.min() >= 0
    assert beta.max() <= bound
    assert abs(shares @ beta - 1) <= slack + 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("cache_bytes", [2**28, 4 * 700 * 700, 0])
def test_the_conditions_hold_in_double_precision_however_kernels_are_stored(cache_bytes, rng):
    rows, target = rng.normal(size=(600, 4)), rng.normal(0.4, 1, (500, 4))
    target_mean = whole_kernel(rows, target, 2.0).mean(axis=1)
    kernel, shares = SymmetricKernel(rows, 2.0, cache_bytes), np.full(600, 1 / 600)
    beta, residual, _, _ = match_kernel_means(kernel, shares, target_mean, 1000.0, 0.96)
    exact = whole_kernel(rows, rows, 2.0) @ beta / 600 - target_mean
    assert residual <= 1e-6
    assert optimality_residual(beta, exact, shares, 1000.0, 0.96) == pytest.approx(residual, abs=1e-12)


@pytest.mark.parametrize("n_target", [100, 1000, 10000])
def test_one_hot_features_give_the_exact_ratios(n_target):
    """exp(-200) between categories: w = (.2, 1, 3) whatever the sizes."""
    source, target = discrete(1000, n_target)
    fitted = KMM(0.1, ridge=0, clip=None, normalize=None, tol=1e-9).fit(source, target)
    assert_allclose(fitted.transform(CATEGORIES), Q / P, rtol=1e-6)
    assert fitted.summary_.raw_mean == pytest.approx(1, abs=1e-6)
    assert fitted.summary_.effective_size / 1000 == pytest.approx(0.471698, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_two_gaussians(seed):
    rng = np.random.default_rng(seed)
    source, target = rng.normal(0, 1, (1500, 1)), rng.normal(1, 1, (500, 1))
    fitted = KMM(clip=None).fit(source, target)
    assert fitted.residual_ <= 1e-6
    w = fitted.transform(source)
    truth = np.exp(source[:, 0] - 0.5)
    assert np.corrcoef(w, truth)[0, 1] > 0.9
    assert np.average(source[:, 0], weights=w) == pytest.approx(target.mean(), abs=0.1)
    assert fitted.summary_.raw_mean == pytest.approx(1, abs=0.1)


@pytest.mark.slow
@SMALL_SAMPLES
@pytest.mark.parametrize("name", PROBLEMS)
def test_the_log_ratio_goes_with_the_true_one_and_averages_one(name):
    problem = PROBLEMS[name](0)
    source, truth = problem.X_source[:1500], np.log(problem.source_weights)[:1500]
    fitted = KMM(clip=None).fit(source, problem.X_target)
    assert fitted.residual_ <= 1e-6
    assert np.corrcoef(truth, fitted.log_ratio(source))[0, 1] > 0.3
    assert fitted.summary_.raw_mean == pytest.approx(1, abs=0.1)
    w = fitted.transform(source)
    moved = problem.X_target.mean(axis=0) - np.average(source, axis=0, weights=w)
    raw = problem.X_target.mean(axis=0) - source.mean(axis=0)
    assert name == "narrower" or np.linalg.norm(moved) < 0.6 * np.linalg.norm(raw)
    # Rows it has not seen: the kernel average is smoother, and follows the truth more closely.
    others = problem.X_source[1500:] if len(problem.X_source) > 1500 else source
    assert np.corrcoef(np.log(problem.source_weights)[-len(others) :], fitted.log_ratio(others))[0, 1] > 0.3


@pytest.mark.slow
@SMALL_SAMPLES
@pytest.mark.parametrize("name", [*COVARIATE_PROBLEMS, "narrower"])
def test_swapping_the_samples_inverts_the_correlation(name):
    problem = PROBLEMS[name](0)
    back = KMM().fit(problem.X_target[:1500], problem.X_source).log_ratio(problem.X_source)
    assert np.corrcoef(np.log(problem.source_weights), back)[0, 1] < -0.3


@pytest.mark.slow
@SMALL_SAMPLES
@settings(max_examples=20)
@given(data=st.data())
def test_repeat_counts_equal_repeated_rows(data):
    X_source, X_target = data.draw(two_samples())
    c_source, c_target = data.draw(counts(len(X_source))), data.draw(counts(len(X_target)))
    by_counts = KMM().fit(X_source, X_target, sample_weight_source=c_source, sample_weight_target=c_target)
    repeated = KMM().fit(np.repeat(X_source, c_source, axis=0), np.repeat(X_target, c_target, axis=0))
    assert_allclose(by_counts.transform(X_source), repeated.transform(X_source), rtol=1e-3, atol=1e-3)


@pytest.mark.slow
@SMALL_SAMPLES
@settings(max_examples=20)
@given(samples=two_samples(), seed=st.integers(0, 99), scale=st.floats(1e-3, 1e3), offset=st.floats(-100, 100))
def test_row_order_and_units_do_not_matter(samples, seed, scale, offset):
    X_source, X_target = samples
    generator = np.random.default_rng(seed)
    plain = KMM().fit_transform(X_source, X_target)
    shuffled = KMM().fit(generator.permutation(X_source), generator.permutation(X_target))
    assert_allclose(shuffled.transform(X_source), plain, rtol=1e-6, atol=1e-6)
    rescaled = KMM().fit_transform(offset + scale * X_source, offset + scale * X_target)
    assert_allclose(rescaled, plain, rtol=1e-3, atol=1e-3)
    assert plain.mean() == pytest.approx(1, abs=1e-9)


def test_kernel_average_is_the_formula_and_far_away_the_nearest_row(rng):
    rows, c, values, X = (
        rng.normal(size=(9, 2)),
        rng.integers(1, 4, 9),
        rng.exponential(size=9),
        rng.normal(size=(5, 2)),
    )
    K = whole_kernel(X, rows, 0.8)
    assert_allclose(kernel_average(X, rows, c, values, 0.8), K @ (c * values) / (K @ c))
    far = rows[[4]] + 1e-3
    assert_allclose(kernel_average(far, rows, c, values, 1e-4), values[[4]])


def test_fitted_rows_have_their_own_weights_and_others_the_average(rng):
    source, target = rng.normal(size=(100, 2)), rng.normal(0.3, 1, (80, 2))
    fitted = KMM(clip=None, normalize=None).fit(source, target)
    position = [int(np.flatnonzero((fitted.rows_ == row).all(axis=1))[0]) for row in source]
    assert_allclose(fitted.transform(source), np.maximum(fitted.weights_[position], 1e-6))
    scaled = [fitted.scaler_.transform(X) for X in (target, fitted.rows_)]
    K = whole_kernel(*scaled, fitted.bandwidth_)
    assert_allclose(fitted.transform(target), K @ fitted.weights_ / K.sum(axis=1))


def test_samples_far_apart_end_finite_and_warn():
    X_source, X_target = np.linspace(0, 1, 50)[:, None], np.linspace(2e6, 2e6 + 1, 50)[:, None]
    with pytest.warns(PoorOverlapWarning):
        fitted = KMM(clip=None).fit(X_source, X_target)
    assert fitted.transform(X_source).mean() == pytest.approx(1)
    assert fitted.summary_.verdict == "abstain"


def test_single_rows_do_no_harm(rng):
    X_source, X_target = rng.normal(size=(200, 1)), rng.normal(0.3, 1, (200, 1))
    for source, target in [(X_source[:1], X_target), (X_source, X_target[:1]), (X_source[:1], X_source[:1])]:
        with pytest.warns(PoorOverlapWarning):
            assert KMM().fit_transform(source, target).mean() == pytest.approx(1)


def test_too_few_steps_are_told(rng):
    source, target = rng.normal(size=(300, 1)), rng.normal(0.3, 1, (300, 1))
    with pytest.warns(ConvergenceWarning, match="raise max_iter"):
        fitted = KMM(max_iter=2).fit(source, target)
    assert fitted.residual_ > fitted.tol
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        KMM().fit(source, target)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bandwidth": 0.0}, "bandwidth"),
        ({"bandwidth": [1.0, 2.0]}, "bandwidth"),
        ({"bandwidth": "scott"}, "'auto'"),
        ({"bound": 0.5}, "bound"),
        ({"slack": -0.1}, "slack"),
        ({"ridge": -1}, "ridge"),
        ({"tol": 0}, "tol"),
        ({"max_iter": 0}, "max_iter"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ShiftDataError, match=message):
        KMM(**settings).fit(np.eye(3), np.eye(3))


def problem(n_rows, n_features, bandwidth, rng):
    """Rows, shares by repeat counts, and the target's kernel means at the rows."""
    rows, target = rng.normal(size=(n_rows, n_features)), rng.normal(0.4, 1, (n_rows, n_features))
    repeats = rng.integers(1, 4, n_rows)
    return rows, repeats / repeats.sum(), whole_kernel(rows, target, bandwidth).mean(axis=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_features", "bandwidth", "bound", "slack", "ridge"),
    [(4, 2.0, 1000.0, 0.96, 1e-3), (12, 3.0, 1000.0, 0.96, 1e-3), (3, 1.0, 2.0, 0.02, 1e-2), (3, 1.0, 2.0, 0.0, 1e-2)],
)
def test_without_stored_kernels_the_answer_is_the_same(n_features, bandwidth, bound, slack, ridge, rng):
    """By low rank and by the interior point; what the gap certifies holds, and is no wild bound."""
    rows, shares, target_mean = problem(700, n_features, bandwidth, rng)
    setting = shares, target_mean, bound, slack, ridge
    exact, many = (
        match_kernel_means(SymmetricKernel(rows, bandwidth, cache_bytes), *setting, tol=1e-8)
        for cache_bytes in (2**28, 0)
    )
    K = whole_kernel(rows, rows, bandwidth)

    def objective(beta):
        v = shares * beta
        return v @ K @ v / 2 - target_mean @ v + ridge / 2 * shares @ (beta - 1) ** 2

    assert many.residual <= 1e-8
    assert_allclose(many.beta, exact.beta, atol=1e-4)
    above = objective(many.beta) - objective(exact.beta)
    assert -exact.gap - 1e-15 <= above <= many.gap + 1e-15
    assert 0 <= many.gap <= 1e-8


@pytest.mark.parametrize("slack", [0.9, 0.05])
@pytest.mark.parametrize("ridge", [1e-2, 0.0])
def test_gap_bounds_the_objective_of_any_weights(slack, ridge, rng):
    rows, shares, target_mean = problem(60, 2, 0.8, rng)
    kernel, K = SymmetricKernel(rows, 0.8), whole_kernel(rows, rows, 0.8)
    best = match_kernel_means(kernel, shares, target_mean, 3.0, slack, ridge, tol=1e-9).beta

    def objective(beta):
        v = shares * beta
        return v @ K @ v / 2 - target_mean @ v + ridge / 2 * shares @ (beta - 1) ** 2

    for away in (0.0, 1e-3, 0.1, 0.5):
        beta = np.clip(best + away * rng.normal(size=60), 0, 3)
        beta = np.clip(beta / (shares @ beta), 0, 3)
        if abs(shares @ beta - 1) > slack:
            continue
        gradient = K @ (shares * beta) - target_mean + ridge * (beta - 1)
        gap = duality_gap(beta, gradient, shares, 3.0, slack, ridge)
        assert objective(beta) - objective(best) <= gap + 1e-12


def test_rough_products_are_those_of_single_precision(rng):
    """Rows that fill no whole blocks, and large numbers."""
    rows, vector = rng.normal(size=(1500, 3)), 1e30 * rng.normal(size=1500)
    found = SymmetricKernel(rows, 1.3, 0).rough_times(vector)
    expected = whole_kernel(rows, rows, 1.3) @ vector
    assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    assert not SymmetricKernel(rows, 1.3, 0).rough_times(np.zeros(1500)).any()
