"""Laplace's approximation of a Gaussian process with labels of two classes.

f = offset + delta, delta ~ N(0, K), P(second class) = sigma(f). With the mode f^, g = y - sigma(f^), W = sigma (1 -
sigma) and B = (K + W^-1)^-1:

* log evidence = -1/2 delta' K^-1 delta + log p(y | f^) - 1/2 log |I + W^1/2 K W^1/2|
* without label i, f_i ~ N(f^_i - v_i g_i, v_i) with v_i = 1 / B_ii - 1 / W_i
* at another row, f ~ N(offset + k' g, k - k' B k)

and sigma of such an f is on average about sigma(mean / sqrt(1 + pi variance / 8)).

Sources: Rasmussen & Williams (2006), "Gaussian Processes for Machine Learning", algorithms 3.1 and 3.2 and equation
3.32; Opper & Winther (2000), Neural Computation 12(11):2655-2684, for the cavity that a left-out label leaves; MacKay
(1992), Neural Computation 4(5):720-736, for the average of a sigmoid.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
from scipy.linalg import cho_solve
from scipy.linalg.lapack import dpotrf, dpotri
from scipy.special import expit

from shiftfix._numerics import Floats

MOST_STEPS = 50
# Gain in log posterior per step below which the mode is found, in nats.
MODE_TOLERANCE = 1e-8
# Halvings of a step that does not gain.
MOST_HALVINGS = 30
# Curvature of a label that is certain, below which its inverse means nothing.
LEAST_CURVATURE = 1e-10

State = TypeVar("State")


def climb(
    state: State, value: Callable[[State], float], step: Callable[[State], State], between: Callable[..., State]
) -> State:
    """Newton's steps to a maximum, halved until they gain.

    Parameters
    ----------
    state : object
        Where to begin.
    value : callable
        What is maximised.
    step : callable
        From a state to where a full step leads.
    between : callable
        ``between(one, other, share)`` lies that share of the way from one to the other.

    Returns
    -------
    object
        The last state that gained.
    """
    best = value(state)
    for _ in range(MOST_STEPS):
        goal = step(state)
        for halving in range(MOST_HALVINGS):
            there = between(state, goal, 0.5**halving)
            found = value(there)
            if found >= best:
                break
        else:
            return state
        gain, state, best = found - best, there, found
        if gain <= MODE_TOLERANCE:
            break
    return state


def lower_factor(matrix: Floats) -> Floats:
    """Lower Cholesky factor of a symmetric matrix, which is overwritten."""
    factor, failed = dpotrf(matrix.T, lower=1, overwrite_a=1)  # its transpose lies as LAPACK reads it: no copy
    if failed:
        raise np.linalg.LinAlgError(f"Covariances of a correction are not positive definite from row {failed} on.")
    return np.asarray(factor)


def half_log_determinant(factor: Floats) -> float:
    """Of L L' by its lower Cholesky factor L."""
    return float(np.log(np.diag(factor)).sum())


def factor_between(covariance: Floats, root: Floats) -> Floats:
    """Lower Cholesky factor of I + R K R, R a diagonal, given as a vector."""
    between = covariance * np.outer(root, root)
    between.flat[:: len(root) + 1] += 1
    return lower_factor(between)


def inverse_of_factor(factor: Floats) -> Floats:
    """Inverse of L L' by its lower Cholesky factor L, at a third of the cost of solving for it."""
    lower, _ = dpotri(factor, lower=1)
    inverse = lower + lower.T  # above its diagonal it is 0, as L is
    np.fill_diagonal(inverse, np.diag(lower))
    return np.asarray(inverse)


class BinaryFit(NamedTuple):
    """A fitted correction.

    Attributes
    ----------
    log_evidence : float
        In nats.
    left_out : ndarray of shape (n_labels,)
        Probability of each label without it.
    gradient : ndarray of shape (n_labels,)
        g.
    inverse : ndarray of shape (n_labels, n_labels)
        B.
    """

    log_evidence: float
    left_out: Floats
    gradient: Floats
    inverse: Floats


def mean_sigmoid(mean: Floats, variance: Floats) -> Floats:
    """Average of sigma(f) over f ~ N(mean, variance), approximately; same shape."""
    return expit(mean / np.sqrt(1 + np.pi / 8 * np.maximum(variance, 0)))


def fit_binary(covariance: Floats, offset: Floats, y: Floats) -> BinaryFit:
    """Fit a correction.

    Parameters
    ----------
    covariance : ndarray of shape (n_labels, n_labels)
        K.
    offset : ndarray of shape (n_labels,)
        Logit of the second class.
    y : ndarray of shape (n_labels,)
        1 for the second class, 0 for the first.

    Returns
    -------
    BinaryFit
    """
    sign = 2 * y - 1

    def log_likelihood(logit: Floats) -> float:
        return float(-np.logaddexp(0, -sign * logit).sum())

    # The state is K^-1 delta: its own K times it is delta, without an inverse of K.
    def value(dual: Floats) -> float:
        delta = covariance @ dual
        return log_likelihood(offset + delta) - 0.5 * float(dual @ delta)

    def step(dual: Floats) -> Floats:
        delta = covariance @ dual
        p = expit(offset + delta)
        root, factor = _factor(covariance, p)
        b = root**2 * delta + y - p
        return b - root * cho_solve((factor, True), root * (covariance @ b))

    dual = climb(np.zeros(len(y)), value, step, lambda one, other, share: one + share * (other - one))
    logit = offset + covariance @ dual
    p = expit(logit)
    root, factor = _factor(covariance, p)
    gradient = y - p
    log_evidence = value(dual) - half_log_determinant(factor)
    inverse = root[:, np.newaxis] * inverse_of_factor(factor) * root
    variance = 1 / np.diag(inverse) - 1 / root**2
    left_out = mean_sigmoid(sign * (logit - variance * gradient), variance)
    return BinaryFit(log_evidence, left_out, gradient, inverse)


def _factor(covariance: Floats, p: Floats) -> tuple[Floats, Floats]:
    """W^1/2, and the lower Cholesky factor of I + W^1/2 K W^1/2."""
    root = np.sqrt(np.maximum(p * (1 - p), LEAST_CURVATURE))
    return root, factor_between(covariance, root)


def binary_proba(fit: BinaryFit, covariance: Floats, variance: Floats, offset: Floats) -> Floats:
    """Probability of the second class at other rows.

    Parameters
    ----------
    fit : BinaryFit
    covariance : ndarray of shape (n_rows, n_labels)
        With the labelled rows.
    variance, offset : ndarray of shape (n_rows,)

    Returns
    -------
    ndarray of shape (n_rows,)
    """
    explained = np.einsum("ij,ij->i", covariance @ fit.inverse, covariance)
    return mean_sigmoid(offset + covariance @ fit.gradient, variance - explained)
