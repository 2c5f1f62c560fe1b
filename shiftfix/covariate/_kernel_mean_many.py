"""Kernel mean matching of more rows than kernels can be stored of: a low-rank problem, corrected by exact products.

With K = L L' + E, L of few columns by pivoted Cholesky, S = diag(shares) and S E S at most ``missed`` times S, the
objective F lies below

    F(b) + <gradient at b, beta - b> + |L' S (beta - b)|^2 / 2 + (ridge + missed) / 2 * sum shares (beta - b)^2,

which is a kernel mean matching of its own with L L' for K, solved with no product with K. Its least point, and some
momentum, is the next b: every such step takes one product with K, computed in single precision, block by block, and
multiplied with the change alone; gradients are made anew in double precision where the conditions of optimality seem to
hold. So nothing of n x n is kept, and what is returned is certified by an exact gradient. The letters are those of
``_kernel_mean.py``.
Sources: Harbrecht, Peters & Schneider (2012), Appl. Numer. Math. 62(4):428-440 (pivoted Cholesky); Beck & Teboulle
(2009), SIAM J. Imaging Sci. 2(1):183-202, and Nesterov (2004), "Introductory Lectures on Convex Optimization", section
2.2.1 (momentum under strong convexity).
"""

from typing import NamedTuple

import numpy as np

from shiftfix._kernels import gaussian_kernel, squared_distances
from shiftfix._numerics import Floats
from shiftfix.covariate._kernel_mean_solver import (
    Matching,
    SymmetricKernel,
    duality_gap,
    optimality_residual,
    pivoted_cholesky,
    solve_matching,
)

# Rows whose kernels tell what the factor misses.
PROBED_ROWS = 1000
# Of tol: what the low-rank problems are solved to at the end, and at least of the residual before.
INNER_SHARE, INNER_OF_RESIDUAL = 0.2, 0.05
# Below this residual the rounding of single precision shows: gradients then start from one in double precision.
ROUGH_RESIDUAL = 2e-6


class Matched(NamedTuple):
    """Weights of the rows, and how good they are by an exact gradient.

    Attributes
    ----------
    beta : ndarray of shape (n_rows,)
    residual : float
        Largest violation of the conditions of optimality.
    gap : float
        Bound of what the objective lies above its least value.
    n_iter : int
        Steps: interior-point ones, or of low-rank problems.
    """

    beta: Floats
    residual: float
    gap: float
    n_iter: int


def match_kernel_means(
    kernel: SymmetricKernel,
    shares: Floats,
    target_mean: Floats,
    bound: float,
    slack: float,
    ridge: float = 0.0,
    tol: float = 1e-6,
    max_iter: int = 100,
) -> Matched:
    """Solve the quadratic programme, with the kernels as they are stored or, where they are not, by low rank.

    Parameters
    ----------
    kernel : SymmetricKernel
    shares : ndarray of shape (n_rows,)
        Counts of the rows, divided by their sum.
    target_mean : ndarray of shape (n_rows,)
        Mean over the target of k(x_i, .).
    bound : float
        Largest weight.
    slack : float
        Largest distance of the mean weight from 1.
    ridge : float, default=0.0
    tol : float, default=1e-6
        Residual at which to stop.
    max_iter : int, default=100
        Steps.
    """
    low_rank = pivoted_cholesky(kernel.rows, kernel.bandwidth)
    matching = Matching(kernel, low_rank, shares, target_mean, bound, ridge)
    solve = match_many if kernel.strips is None else solve_matching
    beta, gradient, n_iter = solve(matching, slack, tol, max_iter)
    residual = optimality_residual(beta, gradient, shares, bound, slack)
    return Matched(beta, residual, duality_gap(beta, gradient, shares, bound, slack, ridge), n_iter)


class LowRankKernel:
    """Products with L L'."""

    def __init__(self, factor: Floats) -> None:
        self.factor = factor

    def times(self, vector: Floats) -> Floats:
        """L L' times ``vector``, shape (n_rows,)."""
        return np.asarray(self.factor @ (self.factor.T @ vector))

    exact_times = times


def missed_curvature(kernel: SymmetricKernel, factor: Floats, shares: Floats) -> float:
    """Largest eigenvalue of S^1/2 (K - L L') S^1/2, from evenly spread rows alone; of fewer rows it is larger."""
    chosen = np.unique(np.linspace(0, len(shares) - 1, PROBED_ROWS).astype(np.intp))
    rows, root = kernel.rows[chosen], np.sqrt(shares[chosen] / shares[chosen].sum())
    missed = gaussian_kernel(squared_distances(rows, rows), kernel.bandwidth) - factor[chosen] @ factor[chosen].T
    return max(float(np.linalg.eigvalsh(missed * root * root[:, np.newaxis])[-1]), 1e-12)


def match_many(exact: Matching, slack: float, tol: float, max_iter: int) -> tuple[Floats, Floats, int]:
    """Solve the quadratic programme of rows whose kernels are not stored.

    Parameters
    ----------
    exact : Matching
        With a SymmetricKernel.
    slack, tol
        As for :func:`match_kernel_means`.
    max_iter : int
        Steps, each with one product; and interior-point steps in each.

    Returns
    -------
    beta, gradient : ndarray of shape (n_rows,)
        The gradient in double precision.
    n_iter : int
        Steps.
    """
    kernel, shares, bound, ridge = exact.kernel, exact.shares, exact.bound, exact.ridge
    assert isinstance(kernel, SymmetricKernel)
    factor, _ = exact.low_rank
    low_rank, missed = LowRankKernel(factor), missed_curvature(kernel, factor, shares)
    nothing_missed = factor, np.zeros(len(shares))
    reference = beta = np.full(len(shares), min(1.0, bound))
    at_reference = gradient = kernel.rough_times(shares * beta) - exact.target_mean + ridge * (beta - 1)
    ahead, ahead_gradient = beta, gradient
    residual, best, is_rough = 1.0, (np.inf, beta, gradient), True
    for n_iter in range(1, max_iter + 1):
        pull = ridge + missed
        pulled = low_rank.times(shares * ahead) - ahead_gradient + pull * (ahead - 1)
        inner = Matching(low_rank, nothing_missed, shares, pulled, bound, pull)
        new, _, _ = solve_matching(inner, slack, max(INNER_SHARE * tol, INNER_OF_RESIDUAL * residual), max_iter)
        new_gradient = at_reference + kernel.rough_times(shares * (new - reference)) + ridge * (new - reference)
        missed = max(missed, _missed_along(low_rank, shares, new - ahead, new_gradient - ahead_gradient, ridge))
        old_residual, residual = residual, optimality_residual(new, new_gradient, shares, bound, slack)
        if residual <= tol or (is_rough and residual <= ROUGH_RESIDUAL) or n_iter == max_iter:
            reference, at_reference, is_rough = new, exact.gradient(new), False
            new_gradient = at_reference
            residual = optimality_residual(new, new_gradient, shares, bound, slack)
        if residual < best[0]:
            best = residual, new, new_gradient
        if residual <= tol:
            break
        slow = np.sqrt(ridge / (ridge + missed))
        momentum = (1 - slow) / (1 + slow) if residual < old_residual else 0.0
        ahead, ahead_gradient = new + momentum * (new - beta), new_gradient + momentum * (new_gradient - gradient)
        beta, gradient = new, new_gradient
    _, beta, gradient = best
    return beta, gradient if beta is reference else exact.gradient(beta), n_iter


def _missed_along(low_rank: LowRankKernel, shares: Floats, moved: Floats, changed: Floats, ridge: float) -> float:
    """Curvature of E along a step, per unit of its square: never above ``missed`` where that is large enough."""
    length = float(shares @ moved**2)
    if length == 0:
        return 0.0
    seen = float((shares * moved) @ changed) - ridge * length - float(shares * moved @ low_rank.times(shares * moved))
    return seen / length
