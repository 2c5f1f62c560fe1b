"""KLIEP against closed forms, its optimality conditions and a general convex solver."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from scipy.spatial.distance import cdist
from sklearn.exceptions import ConvergenceWarning

from shiftfix.covariate._kliep import KLIEP, held_out_likelihood, mixture_shares
from shiftfix.exceptions import PoorOverlapWarning, ShiftDataError
from tests.covariate.test_least_squares import CATEGORIES, LEAST, PROBLEMS, P, Q, discrete
from tests.oracles import optimality_gap
from tests.registry import COVARIATE_PROBLEMS
from tests.strategies import counts, simplex_points, two_samples

SMALL_SAMPLES = pytest.mark.filterwarnings("ignore::shiftfix.exceptions.PoorOverlapWarning")


def log_likelihood(eta, A, shares):
    return shares @ np.log(A @ eta)


def by_general_solver(A, shares):
    """SLSQP on the constrained problem, from the middle of the simplex."""
    size = A.shape[1]
    return minimize(
        lambda eta: -log_likelihood(eta, A, shares),
        np.full(size, 1 / size),
        jac=lambda eta: -A.T @ (shares / (A @ eta)),
        bounds=[(0, 1)] * size,
        constraints={"type": "eq", "fun": lambda eta: eta.sum() - 1, "jac": lambda eta: np.ones(size)},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 2000},
    )


@pytest.mark.parametrize("bandwidth", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_objective_equals_that_of_a_general_solver(seed, bandwidth):
    """To 1e-6 nats, and not below it: mean_T log theta'phi with mean_S theta'phi = 1."""
    rng = np.random.default_rng(seed)
    source, target = rng.normal(size=(200, 2)), rng.normal(0.5, 0.8, (120, 2))
    fitted = KLIEP(bandwidth, n_centers=20, clip=None, normalize=None, random_state=seed).fit(source, target)
    scaled = [fitted.scaler_.transform(X) for X in (source, target, fitted.centers_)]
    phi_source, phi_target = (np.exp(-cdist(X, scaled[2], "sqeuclidean") / (2 * bandwidth**2)) for X in scaled[:2])
    middle = scaled[0].mean(axis=0)
    distances = [((X - middle) ** 2).sum(axis=1) for X in scaled[:2]]
    coef = fitted.coef_
    if fitted.bowl_coef_ > 0:
        phi_source, phi_target = (
            np.column_stack([phi, 1 - np.exp(-d / (2 * fitted._bowl.width**2))])
            for phi, d in zip((phi_source, phi_target), distances, strict=True)
        )
        coef = np.append(coef, fitted.bowl_coef_)
    A, shares = phi_target / phi_source.mean(axis=0), np.full(120, 1 / 120)
    expected = by_general_solver(A, shares)
    found = np.mean(np.log(phi_target @ coef))
    assert found == pytest.approx(-expected.fun, abs=1e-6)
    assert (phi_source @ coef).mean() == pytest.approx(1, abs=1e-12)
    assert fitted.gap_ <= 1e-8
    assert optimality_gap(coef * phi_source.mean(axis=0), A, shares) == pytest.approx(fitted.gap_, abs=1e-10)
    assert_allclose(fitted.transform(target), np.maximum(phi_target @ coef, 1e-6), rtol=1e-9)


@pytest.mark.slow
@given(data=st.data())
def test_the_gap_bounds_what_any_other_mixture_gains(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    n_rows, size = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 6))
    A, shares = rng.exponential(size=(n_rows, size)) ** 2 + 1e-3, rng.dirichlet(np.ones(n_rows))
    eta, gap = mixture_shares(A, shares)
    assert gap <= 1e-9
    assert eta.min() >= 0
    assert eta.sum() == pytest.approx(1, abs=1e-12)
    rough, other = (data.draw(simplex_points(size)) for _ in range(2))
    gain = log_likelihood(other, A, shares) - log_likelihood(rough, A, shares)
    assert gain <= optimality_gap(rough, A, shares) + 1e-12
    assert log_likelihood(other, A, shares) <= log_likelihood(eta, A, shares) + 1e-9


@pytest.mark.parametrize("n_target", [100, 1000, 10000])
def test_one_hot_features_give_the_exact_ratios(n_target):
    """exp(-200) between categories: w = (.2, 1, 3) whatever the sizes."""
    source, target = discrete(1000, n_target)
    fitted = KLIEP(0.1, clip=None, normalize=None).fit(source, target)
    assert_allclose(fitted.transform(CATEGORIES), Q / P, rtol=1e-7)
    assert fitted.summary_.raw_mean == pytest.approx(1, abs=1e-7)
    assert fitted.summary_.effective_size / 1000 == pytest.approx(0.471698, abs=1e-6)
    assert fitted.log_ratio(target).mean() == pytest.approx(0.498224, abs=1e-6)


def test_held_out_likelihood_is_that_of_refits_to_written_out_copies(rng):
    A, c = rng.exponential(size=(9, 4)) + 0.01, np.array([1, 2, 1, 3, 1, 1, 2, 1, 1])
    row, fold = np.repeat(np.arange(9), c), np.arange(c.sum()) % 3
    expected = 0.0
    for k in range(3):
        kept = A[row[fold != k]]
        eta = by_general_solver(kept, np.full(len(kept), 1 / len(kept))).x
        expected += np.log(A[row[fold == k]] @ eta).sum()
    folds = np.zeros((9, 3))
    np.add.at(folds, (row, fold), 1)
    assert held_out_likelihood(A, folds) == pytest.approx(expected / c.sum(), abs=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_two_gaussians(seed):
    """Over 15 seeds a right program missed log w = x - 1/2 by at most .14; forgotten sizes miss by log 3 = 1.1."""
    rng = np.random.default_rng(seed)
    fitted = KLIEP(n_centers=30).fit(rng.normal(0, 1, (15000, 1)), rng.normal(1, 1, (5000, 1)))
    x = np.linspace(-1, 2, 7)[:, np.newaxis]
    assert_allclose(fitted.log_ratio(x), x[:, 0] - 0.5, atol=0.4)
    assert fitted.summary_.raw_mean == pytest.approx(1, abs=1e-5)


@pytest.mark.slow
@SMALL_SAMPLES
@pytest.mark.parametrize("name", PROBLEMS)
def test_the_log_ratio_goes_with_the_true_one_and_averages_one(name):
    """Over seeds 0 to 3 the correlation was above the least one by .1 or more."""
    problem = PROBLEMS[name](0)
    target = problem.X_target[:2000]
    fitted = KLIEP(n_centers=30, clip=None).fit(problem.X_source, target)
    truth = np.log(problem.source_weights)
    assert np.corrcoef(truth, fitted.log_ratio(problem.X_source))[0, 1] > LEAST.get(name, 0.6)
    assert fitted.summary_.raw_mean == pytest.approx(1, abs=1e-3)
    w = fitted.transform(problem.X_source)
    moved = target.mean(axis=0) - np.average(problem.X_source, axis=0, weights=w)
    raw = target.mean(axis=0) - problem.X_source.mean(axis=0)
    assert name == "narrower" or np.linalg.norm(moved) < np.linalg.norm(raw)


@pytest.mark.slow
@SMALL_SAMPLES
@pytest.mark.parametrize("name", [*COVARIATE_PROBLEMS, "narrower"])
def test_swapping_the_samples_inverts_the_correlation(name):
    """Over seeds 0 to 3 it was -.68 or less."""
    problem = PROBLEMS[name](0)
    back = KLIEP(n_centers=30).fit(problem.X_target, problem.X_source[:2000]).log_ratio(problem.X_source)
    assert np.corrcoef(np.log(problem.source_weights), back)[0, 1] < -0.4


@pytest.mark.slow
@SMALL_SAMPLES
@settings(max_examples=20)
@given(data=st.data())
def test_repeat_counts_equal_repeated_rows(data):
    X_source, X_target = data.draw(two_samples())
    c_source, c_target = data.draw(counts(len(X_source))), data.draw(counts(len(X_target)))
    by_counts = KLIEP(n_centers=10, cv=2).fit(
        X_source, X_target, sample_weight_source=c_source, sample_weight_target=c_target
    )
    repeated = KLIEP(n_centers=10, cv=2).fit(
        np.repeat(X_source, c_source, axis=0), np.repeat(X_target, c_target, axis=0)
    )
    assert by_counts.bandwidth_ == pytest.approx(repeated.bandwidth_)
    assert_allclose(by_counts.transform(X_source), repeated.transform(X_source), rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@SMALL_SAMPLES
@settings(max_examples=20)
@given(samples=two_samples(), seed=st.integers(0, 99), scale=st.floats(1e-3, 1e3), offset=st.floats(-100, 100))
def test_row_order_and_units_do_not_matter(samples, seed, scale, offset):
    X_source, X_target = samples
    generator = np.random.default_rng(seed)
    plain = KLIEP(n_centers=10, cv=2).fit_transform(X_source, X_target)
    shuffled = KLIEP(n_centers=10, cv=2).fit(generator.permutation(X_source), generator.permutation(X_target))
    assert_allclose(shuffled.transform(X_source), plain, rtol=1e-3, atol=1e-4)
    rescaled = KLIEP(n_centers=10, cv=2).fit_transform(offset + scale * X_source, offset + scale * X_target)
    assert_allclose(rescaled, plain, rtol=1e-2, atol=1e-3)
    assert plain.mean() == pytest.approx(1, abs=1e-9)


def test_samples_far_apart_end_finite_and_warn():
    X_source, X_target = np.linspace(0, 1, 50)[:, None], np.linspace(2e6, 2e6 + 1, 50)[:, None]
    with pytest.warns(PoorOverlapWarning):
        fitted = KLIEP(clip=None).fit(X_source, X_target)
    assert fitted.transform(X_source).mean() == pytest.approx(1)
    assert fitted.summary_.verdict == "abstain"


@pytest.mark.slow
def test_single_rows_do_no_harm(rng):
    X_source, X_target = rng.normal(size=(200, 1)), rng.normal(0.3, 1, (200, 1))
    for source, target in [(X_source[:1], X_target), (X_source, X_target[:1]), (X_source[:1], X_source[:1])]:
        with pytest.warns(PoorOverlapWarning):
            assert KLIEP().fit_transform(source, target).mean() == pytest.approx(1)


@pytest.mark.slow
def test_too_few_steps_are_told(rng):
    source, target = rng.normal(size=(300, 1)), rng.normal(0.3, 1, (300, 1))
    with pytest.warns(ConvergenceWarning, match="raise max_iter"):
        fitted = KLIEP(max_iter=2).fit(source, target)
    assert fitted.gap_ > fitted.tol
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        KLIEP().fit(source, target)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bandwidth": 0.0}, "bandwidth"),
        ({"cv": 1}, "cv"),
        ({"n_centers": 0}, "n_centers"),
        ({"tol": 0}, "tol"),
        ({"max_iter": 0}, "max_iter"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ShiftDataError, match=message):
        KLIEP(**settings).fit(np.eye(3), np.eye(3))
