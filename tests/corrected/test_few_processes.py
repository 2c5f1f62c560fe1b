"""The small Gaussian processes against brute force: a general optimiser, the formulas with plain inverses, refits."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from scipy.special import expit, softmax
from scipy.stats import multivariate_normal, norm

from shiftfix.corrected._few_binary import binary_proba, fit_binary, mean_sigmoid
from shiftfix.corrected._few_gaussian import fit_gaussian
from shiftfix.corrected._few_kernels import LEVELS, PartScales, covariances, row_products, variances
from shiftfix.corrected._few_softmax import fit_softmax, mean_softmax, softmax_proba
from shiftfix.corrected._few_stack import stack

EVERY = [scales for family in LEVELS.values() for scales in family]


def problem(seed, n=12, n_classes=2, n_new=5):
    """Rows, their logits (or log scores), labels and covariances; the last ``n_new`` rows are new ones."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n + n_new, 3)) / 3**0.5
    z = rng.normal(size=(n_classes, n + n_new)) * 1.5
    codes = rng.integers(n_classes, size=n)
    return rows, z, codes


def covariance_of(scales, rows, scores):
    """Full matrix of all pairs of rows, written out."""
    a, b, c, e = np.square(scales)
    squares = ((rows[:, np.newaxis] - rows) ** 2).sum(axis=2)
    return a + b * np.outer(scores, scores) + c * rows @ rows.T + e * np.exp(-squares / 2 / 0.7**2)


# ------------------------------------------------------------------------------------------- covariances


@pytest.mark.parametrize("scales", EVERY)
def test_covariances_are_the_formula(scales):
    rows, z, _ = problem(0)
    K = covariance_of(scales, rows, z[0])
    made = covariances(scales, np.outer(z[0], z[0, :12]), row_products(rows, rows[:12], 0.7))
    assert_allclose(made, K[:, :12], rtol=1e-12)
    assert_allclose(variances(scales, z[0] ** 2, (rows**2).sum(axis=1)), np.diag(K), rtol=1e-12)


# ------------------------------------------------------------------------------------------- two classes


def minus_log_posterior(delta, K, offset, y):
    sign = 2 * y - 1
    return np.logaddexp(0, -sign * (offset + delta)).sum() + 0.5 * delta @ np.linalg.solve(K, delta)


@pytest.mark.slow
@pytest.mark.parametrize(
    "scales", [PartScales(1.0, 0.5, 2.0, 2.0), PartScales(0.25, 0.1, 0.25, 0.25), PartScales(1.0, 0.5, 1.0, 3.0)]
)
@pytest.mark.parametrize("seed", range(3))
def test_the_mode_and_evidence_of_two_classes(seed, scales):
    """Mode by BFGS (its misses 1e-5), evidence by equation 3.32 with plain determinants (1e-8 apart)."""
    rows, z, codes = problem(seed)
    K, offset, y = covariance_of(scales, rows[:12], z[0, :12]), z[0, :12], codes.astype(float)
    fit = fit_binary(K, offset, y)
    best = minimize(minus_log_posterior, np.zeros(12), (K, offset, y), tol=1e-10)
    mode = K @ fit.gradient
    assert_allclose(mode, best.x, atol=1e-4)
    assert minus_log_posterior(mode, K, offset, y) <= best.fun + 1e-9
    p = expit(offset + mode)
    _, log_determinant = np.linalg.slogdet(np.eye(12) + K * (p * (1 - p)))
    assert fit.log_evidence == pytest.approx(-minus_log_posterior(mode, K, offset, y) - log_determinant / 2, abs=1e-8)
    assert_allclose(fit.inverse, np.linalg.inv(K + np.diag(1 / (p * (1 - p)))), atol=1e-8)


@pytest.mark.parametrize("scales", [PartScales(0.25), PartScales(0.5, 0.2), PartScales(1.0, 0.5, 1.0, 1.0)])
def test_left_out_probabilities_are_those_of_refits(scales):
    """Cavities of 40 labels beside refits: .002 apart at most; in-sample probabilities are up to .2 off."""
    rows, z, codes = problem(3, n=40)
    K, y = covariance_of(scales, rows, z[0]), codes.astype(float)
    fit = fit_binary(K[:40, :40], z[0, :40], y)
    refits = []
    for i in range(40):
        rest = np.delete(np.arange(40), i)
        without = fit_binary(K[np.ix_(rest, rest)], z[0, rest], y[rest])
        p = binary_proba(without, K[[i]][:, rest], K[[i], [i]], z[0, [i]])
        refits.append(p[0] if y[i] else 1 - p[0])
    assert_allclose(fit.left_out, refits, atol=0.004)


def test_predictions_of_two_classes_are_the_conditional_gaussian():
    rows, z, codes = problem(4)
    K, y = covariance_of(EVERY[-2], rows, z[0]), codes.astype(float)
    fit = fit_binary(K[:12, :12], z[0, :12], y)
    p = expit(z[0, :12] + K[:12, :12] @ fit.gradient)
    noisy = np.linalg.inv(K[:12, :12] + np.diag(1 / (p * (1 - p))))
    mean = z[0, 12:] + K[12:, :12] @ np.linalg.solve(K[:12, :12], K[:12, :12] @ fit.gradient)
    variance = np.diag(K[12:, 12:] - K[12:, :12] @ noisy @ K[:12, 12:])
    found = binary_proba(fit, K[12:, :12], np.diag(K)[12:], z[0, 12:])
    assert_allclose(found, mean_sigmoid(mean, variance), atol=1e-8)


def test_the_mean_of_a_sigmoid():
    """Against quadrature: .007 off at most for means to 4 and standard deviations to 3."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    for mean in np.linspace(-4, 4, 9):
        for deviation in (0.1, 1.0, 3.0):
            exact = weights @ expit(mean + deviation * nodes) / weights.sum()
            assert mean_sigmoid(mean, deviation**2) == pytest.approx(exact, abs=0.01)


def test_no_variance_is_no_correction():
    _, z, codes = problem(5)
    fit = fit_binary(np.zeros((12, 12)), z[0, :12], codes.astype(float))
    p = expit(z[0, :12])
    own = np.where(codes == 1, p, 1 - p)
    assert_allclose(fit.left_out, own, rtol=1e-10)
    assert fit.log_evidence == pytest.approx(np.log(own).sum())


def test_extreme_offsets_stay_finite():
    fit = fit_binary(
        np.full((6, 6), 1.0) + np.eye(6), np.array([800.0, -800, 300, -300, 0, 0]), np.array([0.0, 1, 1, 0, 1, 0])
    )
    assert np.isfinite(fit.left_out).all()
    assert np.isfinite(fit.log_evidence)


# ------------------------------------------------------------------------------------------- several classes


def softmax_problem(seed, n=9, n_classes=3, scales=EVERY[-3]):
    rows, z, codes = problem(seed, n, n_classes)
    K = np.array([covariance_of(scales, rows, scores) for scores in z - z.mean(axis=0)])
    return K, z, codes


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_mode_and_evidence_of_three_classes(seed):
    """Mode by BFGS, evidence by equation 3.44 with the full matrices of all classes together."""
    K, z, codes = softmax_problem(seed)
    n, offset = len(codes), z[:, : len(codes)]
    blocks = np.zeros((3 * n, 3 * n))
    for k in range(3):
        blocks[k * n : (k + 1) * n, k * n : (k + 1) * n] = K[k][:n, :n]
    inverse = np.linalg.inv(blocks)

    def loss(delta):
        f = offset + delta.reshape(3, n)
        return -np.log(softmax(f, axis=0)[codes, np.arange(n)]).sum() + 0.5 * delta @ inverse @ delta

    fit = fit_softmax(K[:, :n, :n], offset, codes)
    mode = np.concatenate([K[k][:n, :n] @ fit.gradient[k] for k in range(3)])
    best = minimize(loss, np.zeros(3 * n), tol=1e-10)
    assert_allclose(mode, best.x, atol=1e-3)
    assert loss(mode) <= best.fun + 1e-8
    P = softmax(offset + mode.reshape(3, n), axis=0)
    stacked = np.vstack([np.diag(p) for p in P])
    W = np.diag(P.ravel()) - stacked @ stacked.T
    _, log_determinant = np.linalg.slogdet(np.eye(3 * n) + blocks @ W)
    assert fit.log_evidence == pytest.approx(-loss(mode) - log_determinant / 2, abs=1e-6)
    # Predictions of new rows by the same full matrices.
    cross = np.zeros((5, 3, 3 * n))
    for k in range(3):
        cross[:, k, k * n : (k + 1) * n] = K[k][n:, :n]
    covariance = np.linalg.solve(np.eye(3 * n) + W @ blocks, W)
    own = np.einsum("kii->ik", K)[n:]
    spread = np.array([np.diag(v) - c @ covariance @ c.T for v, c in zip(own, cross, strict=True)])
    mean = z[:, n:].T + cross @ fit.gradient.ravel()
    found = softmax_proba(fit, K[:, n:, :n], own, z[:, n:].T)
    assert_allclose(found, mean_softmax(mean, spread), atol=1e-7)


@pytest.mark.slow
def test_left_out_probabilities_of_three_classes_are_those_of_refits():
    """As for two classes: .0012 apart at most."""
    K, z, codes = softmax_problem(7, n=30, scales=PartScales(0.5, 0.2, 0.5, 0.5))
    fit = fit_softmax(K[:, :30, :30], z[:, :30], codes)
    refits = []
    for i in range(30):
        rest = np.delete(np.arange(30), i)
        without = fit_softmax(K[:, rest][:, :, rest], z[:, rest], codes[rest])
        refits.append(softmax_proba(without, K[:, [i]][:, :, rest], K[:, [i], [i]].T, z[:, [i]].T)[0, codes[i]])
    assert_allclose(fit.left_out, refits, atol=0.004)


def test_two_classes_by_either_file():
    """One process of variance K on the logit is two of K / 2 on the classes."""
    rows, z, codes = problem(8, n=20)
    K = covariance_of(PartScales(1.0, 0.0, 1.0, 2.0), rows, z[0])
    one = fit_binary(K[:20, :20], z[1, :20] - z[0, :20], codes.astype(float))
    two = fit_softmax(np.array([K[:20, :20]] * 2) / 2, z[:, :20], codes)
    assert two.log_evidence == pytest.approx(one.log_evidence, abs=1e-8)
    assert_allclose(two.left_out, one.left_out, atol=1e-8)
    own = np.diag(K)[20:]
    found = softmax_proba(two, np.array([K[20:, :20]] * 2) / 2, np.column_stack([own, own]) / 2, z[:, 20:].T)
    assert_allclose(found[:, 1], binary_proba(one, K[20:, :20], own, z[1, 20:] - z[0, 20:]), atol=1e-8)


@pytest.mark.slow
def test_the_mean_of_a_softmax():
    """Against 100,000 draws: .04 off at most in 20 problems with standard deviations about .6, .013 on average; a
    softmax of the means is .1 off."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        mean, root = rng.normal(size=4) * 1.5, rng.normal(size=(4, 4)) * 0.3
        drawn = softmax(mean + rng.normal(size=(100_000, 4)) @ root.T, axis=1).mean(axis=0)
        assert_allclose(mean_softmax(mean[np.newaxis], (root @ root.T)[np.newaxis])[0], drawn, atol=0.05)


# ------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize("noise", [0.7, 2.0])
def test_numbers_are_a_plain_gaussian(noise):
    rows, z, _ = problem(9)
    r = np.random.default_rng(1).normal(size=12) * 2
    K = covariance_of(EVERY[-1], rows[:12], z[0, :12])
    (fit,) = fit_gaussian(K, r, (noise,))
    C = K + noise**2 * np.eye(12)
    assert fit.log_evidence == pytest.approx(multivariate_normal(np.zeros(12), C).logpdf(r))
    assert_allclose(fit.dual, np.linalg.solve(C, r), atol=1e-10)
    for i in range(12):
        rest = np.delete(np.arange(12), i)
        gain = C[i, rest] @ np.linalg.inv(C[np.ix_(rest, rest)])
        density = norm(gain @ r[rest], np.sqrt(C[i, i] - gain @ C[rest, i])).pdf(r[i])
        assert fit.left_out[i] == pytest.approx(density, rel=1e-9)


# ------------------------------------------------------------------------------------------- the stack


@pytest.mark.parametrize("a0", [0.0, 2.0, 4.0])
@pytest.mark.parametrize("seed", range(4))
def test_the_stack_is_the_maximum(seed, a0):
    """Against a general solver of the same concave problem, in softmax coordinates."""
    rng = np.random.default_rng(seed)
    p = rng.beta(2, 1, size=(40, 4))

    def loss(t):
        w = softmax(t)
        return -(np.log(p @ w).sum() + a0 * np.log(w[0]))

    w = stack(p, a0)
    best = minimize(loss, np.zeros(4), method="Nelder-Mead", options={"maxiter": 20_000, "xatol": 1e-9, "fatol": 1e-12})
    value = -(np.log(p @ w).sum() + (a0 * np.log(w[0]) if a0 else 0.0))
    assert value <= best.fun + 1e-4
    assert w.sum() == pytest.approx(1)
    assert (w >= 0).all()


def test_pseudo_rows_alone_keep_nothing():
    """Experts that say the same as "nothing" get nothing; two that are sure and right share what a0 leaves."""
    assert_allclose(stack(np.full((50, 3), 0.5), 4.0), [1, 0, 0], atol=1e-3)
    # w0 solves 1 / w0 * 4 = 50 * (.9 - .1) / (.1 w0 + .9 (1 - w0)).
    w = stack(np.column_stack([np.full(50, 0.1), np.full(50, 0.9)]), 4.0)
    assert w[0] == pytest.approx(4 * 0.9 / (54 * 0.8), abs=1e-4)
