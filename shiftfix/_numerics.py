"""Numerical helpers shared by the methods: means in log space, scales of columns, least squares on the simplex."""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve, lstsq
from scipy.optimize import nnls
from scipy.special import logsumexp

Floats = NDArray[np.float64]
# Classes from which all wrong signs are exchanged at once, how often at most, and what of a slope is rounding.
PIVOTED_CLASSES, MOST_EXCHANGES, SLOPE_ROUNDING = 100, 30, 1e-13


def log_mean_exp(log_values: NDArray[np.float64], sample_weight: NDArray[np.float64]) -> float:
    """Logarithm of the weighted mean of exp(log_values), without overflow; a float."""
    return float(logsumexp(log_values, b=sample_weight) - np.log(np.sum(sample_weight)))


def log_proba(proba: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of probabilities, same shape; -inf for 0, without a warning."""
    with np.errstate(divide="ignore"):
        return np.log(proba)


def column_scale(mean: NDArray[np.float64], variance: NDArray[np.float64], n_rows: int) -> NDArray[np.float64]:
    """Standard deviations, and 1 for columns that are constant up to rounding."""
    bound = n_rows * np.finfo(float).eps
    with np.errstate(over="ignore", invalid="ignore"):
        constant = variance <= bound * variance + (bound * mean) ** 2
    return np.where(constant, 1.0, np.sqrt(np.where(constant, 1.0, variance)))


def simplex_least_squares(A: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Minimise ||A q - b|| over q >= 0 with sum(q) = 1.

    When A is square and the solution of A q = b lies on the simplex, that solution is returned.
    Otherwise, sum(q) = 1 turns the residual into (A - b 1') q = M q, and the least norm of M q over
    the simplex is the non-negative least squares solution of [M; 1'] q = [0; 1], rescaled to sum 1:
    writing q = t u with u on the simplex, the best t leaves |M u|^2 / (1 + |M u|^2), which grows
    with |M u|. So the constraint holds exactly, with no penalty to tune.

    Parameters
    ----------
    A : ndarray of shape (n_equations, n_classes)
    b : ndarray of shape (n_equations,)

    Returns
    -------
    ndarray of shape (n_classes,)
    """
    n_equations, n_classes = A.shape
    if n_equations == n_classes:
        try:
            q = np.linalg.solve(A, b)
        except np.linalg.LinAlgError:
            q = np.full(n_classes, np.nan)
        if (q >= 0).all() and abs(q.sum() - 1) <= 1e-9:
            return q / q.sum()
    M = np.vstack([A - b[:, np.newaxis], np.ones(n_classes)])
    pivoted = _pivoted_nnls(M) if n_classes >= PIVOTED_CLASSES else None
    q = nnls(M, np.append(np.zeros(n_equations), 1.0))[0] if pivoted is None else pivoted
    return q / q.sum()


def _pivoted_nnls(M: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Minimise ||M q - (0, ..., 0, 1)|| over q >= 0 by full exchanges, or None where these do not settle.

    All columns of the wrong sign change sides at once (Kim & Park 2011, SIAM J. Sci. Comput. 33:3261, section 3), on
    the normal equations, which only propose the columns; the least squares of those, by QR, is checked and returned.
    """
    n_classes = M.shape[1]
    goal = np.append(np.zeros(len(M) - 1), 1.0)
    gram, pull = M.T @ M, M[-1]
    inside = np.ones(n_classes, dtype=bool)
    for _ in range(MOST_EXCHANGES):
        q = np.zeros(n_classes)
        try:
            q[inside] = cho_solve(cho_factor(gram[np.ix_(inside, inside)]), pull[inside])
        except LinAlgError:
            return None
        slope = gram @ q - pull
        wrong = np.where(inside, q < 0, slope < -SLOPE_ROUNDING)
        if not wrong.any():
            break
        inside ^= wrong
    else:
        return None
    q[inside] = lstsq(M[:, inside], goal, lapack_driver="gelsy")[0]
    slope = M.T @ (M @ q - goal)
    return q if (q >= 0).all() and (slope[~inside] >= -SLOPE_ROUNDING).all() else None
