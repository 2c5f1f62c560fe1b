"""Maximum likelihood of the target prior, with a certificate of the optimum.

Assumes p(x | y) is shared and that the scores are calibrated posteriors under ``score_prior``. Notation: P_ik the
scores of target row i, pi the prior they imply, q the target prior; R_ik = P_ik / pi_k and D_i = sum_k q_k R_ik, the
ratio of the target's density to the source's at row i. The mean over the rows counts each row ``sample_weight`` times.

    maximise L(q) = mean_i log D_i over q >= 0 with sum_k q_k = 1; gradient g_k = mean_i R_ik / D_i

Source: Saerens, Latinne & Decaestecker (2002), Neural Computation 14(1):21-41; their EM step is q_k <- q_k g_k. L is
concave: Alexandari, Kundaje & Shrikumar (2020), ICML. Since sum_k q_k g_k = 1, concavity bounds
what is left to gain by max_k g_k - 1, the gap. EM is linear and can be slow, so it only warms up here; Newton's
quadratic model over q >= 0 finishes, as in Kim, Carbonetto, Stephens & Anitescu (2020), J. Comput. Graph. Stat.
29(2):261-273: maximising L(q) - sum_k q_k over q >= 0 has the same solution, and needs no equality constraint.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import nnls
from sklearn.exceptions import ConvergenceWarning

from shiftfix._blocks import row_blocks, weighted_gram
from shiftfix._verdict import tell
from shiftfix.exceptions import ShiftDataError
from shiftfix.label._likelihood import ARMIJO

# EM steps before Newton's, at most; fewer of few classes. Each costs one pass over the scores, a Newton step three at
# two classes, and about twenty at 1000.
WARM_UP = 20
# With few classes Newton's steps are cheap, and go on to this share of the gap asked for as long as each halves it: the
# estimate is then the same to nine digits wherever it began, if the scores tell the classes apart.
FINISH, FAST = 1e-3, 0.5
# Relative to the diagonal of the Hessian: classes with proportional scores make it singular. In float32 rounding can
# do so too.
RIDGE = {np.dtype(np.float64): 1e-10, np.dtype(np.float32): 1e-6}
# Differences of the mean log likelihood below this, relative to 1 + |L|, are rounding.
LIKELIHOOD_ROUNDING = 1e-13


class PriorLikelihood(NamedTuple):
    """Target prior of maximum likelihood.

    Attributes
    ----------
    prior : ndarray of shape (n_classes,)
        q; sums to 1.
    gap : float
        max_k g_k - 1: the mean log likelihood per row is at most this far from its maximum.
    n_iter : int
        Steps taken after the EM steps of the warm-up.
    log_likelihood : float
        Mean over the rows of log D_i, relative to the source's density.
    """

    prior: NDArray[np.float64]
    gap: float
    n_iter: int
    log_likelihood: float


class _Point(NamedTuple):
    """A prior q, its mean log likelihood L and the gradient g."""

    prior: NDArray[np.float64]
    value: float
    gradient: NDArray[np.float64]

    @property
    def gap(self) -> float:
        """max_k g_k - 1."""
        return self.gradient.max() - 1


def log_likelihood(
    scores: NDArray[Any], share: NDArray[np.float64], prior: NDArray[np.float64], score_prior: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """L and its gradient g of shape (n_classes,); -inf where a row that counts has no mass on classes of positive q."""
    value: Any = 0.0
    ratio, gradient = prior / score_prior, np.zeros(len(prior))
    for rows in row_blocks(*scores.shape):
        block = scores[rows].astype(np.float64, copy=False)
        mixture = block @ ratio
        mixture[share[rows] == 0] = 1.0
        if not mixture.all():
            return -np.inf, gradient
        value += share[rows] @ np.log(mixture)
        gradient += (share[rows] / mixture) @ block
    return float(value), gradient / score_prior


def likelihood_curvature(
    scores: NDArray[Any], share: NDArray[np.float64], prior: NDArray[np.float64], score_prior: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Minus the Hessian of L, mean_i R_ik R_il / D_i^2, shape (n_classes, n_classes)."""
    ratio, row_scale = prior / score_prior, np.zeros(len(scores))
    for rows in row_blocks(*scores.shape):
        counts = share[rows] > 0
        mixture = scores[rows].astype(np.float64, copy=False) @ ratio
        row_scale[rows][counts] = np.sqrt(share[rows][counts]) / mixture[counts]
    return weighted_gram(scores, row_scale) / np.outer(score_prior, score_prior)


def _newton_point(
    curvature: NDArray[np.float64], gradient: NDArray[np.float64], prior: NDArray[np.float64], ridge: float
) -> NDArray[np.float64] | None:
    """Maximum over x >= 0 of the quadratic model of L(x) - sum(x) around the prior; None where rounding forbids it.

    In y = scale * x the linear term is of order 1: H q = g and g_k^2 <= H_kk, with H the curvature, and a class with
    H_kk < 1, on its way to zero, is left as it is. H q is computed all the same: with the rounding of H in it, the
    model has the exact slope at q, and its maximum no bias.
    """
    scale = np.sqrt(np.maximum(np.diag(curvature), 1))
    try:
        factor = cholesky(curvature / np.outer(scale, scale) + ridge * np.eye(len(prior)))
        linear = (curvature @ prior + gradient - 1) / scale + ridge * scale * prior
        goal = solve_triangular(factor, linear, trans="T")
        return nnls(factor, goal, maxiter=10 * len(prior))[0] / scale
    except (np.linalg.LinAlgError, ValueError, RuntimeError):  # not positive definite, not finite, no convergence
        return None


def _check_score_prior(score_prior: NDArray[np.float64]) -> None:
    if not (score_prior > 0).all():
        raise ShiftDataError(
            f"score_prior is {score_prior.min():g} for class {int(np.argmin(score_prior))}: scores made without a "
            "class tell nothing of its share. Leave the class out, or pass a prior that is positive."
        )


def mlls_prior(
    scores: NDArray[Any],
    score_prior: NDArray[np.float64],
    sample_weight: NDArray[np.float64] | None = None,
    *,
    start: NDArray[np.float64] | None = None,
    tol: float = 1e-8,
    max_iter: int = 100,
) -> PriorLikelihood:
    """Target prior of maximum likelihood, certified to ``tol``.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_classes)
        Calibrated class probabilities of the target rows, float64 or float32 (which is not copied).
    score_prior : ndarray of shape (n_classes,)
        The prior the scores imply; positive.
    sample_weight : ndarray of shape (n_rows,), default=None
        Repeat counts of the rows. None means ones.
    start : ndarray of shape (n_classes,), default=None
        First guess, moved a thousandth towards ``score_prior``, so that no class is ruled out. None means
        ``score_prior``.
    tol : float, default=1e-8
        Stop when the gap is at most this, in mean log likelihood per row.
    max_iter : int, default=100
        Steps at most, after a warm-up of up to 20 EM steps (one from a ``start``).

    Returns
    -------
    PriorLikelihood
        prior, gap, n_iter, log_likelihood. A class whose g_k < 1 has q_k <= gap / (1 - g_k); where g_k < 1 - sqrt(tol)
        it is exactly 0, unless leaving it out would raise the gap above ``tol``.

    Raises
    ------
    ShiftDataError
        For a ``score_prior`` with a zero.

    Warns
    -----
    ConvergenceWarning
        When the gap is still above ``tol`` at the end; names the gap.
    """
    _check_score_prior(score_prior)
    share = np.ones(len(scores)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    share = share / share.sum()
    prior = score_prior if start is None else 0.999 * start + 0.001 * score_prior
    here = _Point(prior, *log_likelihood(scores, share, prior, score_prior))
    for _ in range(min(WARM_UP, len(score_prior)) if start is None else 1):
        here = _em_step(scores, share, score_prior, here)
    here, n_iter = _newton_steps(scores, share, score_prior, here, tol, max_iter)
    here = _without_absent_classes(scores, share, score_prior, here, tol)
    gap = float(max(here.gap, 0.0))
    if gap > tol:
        tell(
            ConvergenceWarning(
                f"The likelihood of the target prior is certified to {gap:.2g} per row only, and tol={tol:g} was asked "
                f"for, after {n_iter} steps (max_iter={max_iter}): raise max_iter, or tol if that is near enough."
            )
        )
    return PriorLikelihood(here.prior, gap, n_iter, here.value)


def _em_step(
    scores: NDArray[Any], share: NDArray[np.float64], score_prior: NDArray[np.float64], here: _Point
) -> _Point:
    """The point after q_k <- q_k g_k."""
    prior = here.prior * here.gradient / (here.prior @ here.gradient)
    return _Point(prior, *log_likelihood(scores, share, prior, score_prior))


def _newton_steps(
    scores: NDArray[Any],
    share: NDArray[np.float64],
    score_prior: NDArray[np.float64],
    here: _Point,
    tol: float,
    max_iter: int,
) -> tuple[_Point, int]:
    """The point where the gap is at most ``tol`` or no step helps, and the steps taken; EM's where Newton's fails."""
    n_iter, ridge = 0, RIDGE[scores.dtype]
    aim = FINISH * tol if len(score_prior) < WARM_UP else tol
    # One Newton step at least: EM alone never takes a class to zero.
    while n_iter < max_iter and (n_iter == 0 or here.gap > aim):
        is_certified = n_iter > 0 and here.gap <= tol
        n_iter += 1
        goal = _newton_point(
            likelihood_curvature(scores, share, here.prior, score_prior), here.gradient, here.prior, ridge
        )
        found = None if goal is None else _ascend(scores, share, score_prior, here, goal)
        if is_certified and (found is None or found.gap > FAST * here.gap):
            break  # rounding, which has the last word on digits that nobody asked for
        if found is None:
            # EM never lowers the likelihood; where it does not raise it either, rounding has the last word.
            ridge *= 100
            found = _em_step(scores, share, score_prior, here)
            if found.value <= here.value and found.gap >= here.gap:
                break
        here = found
    return here, n_iter


def _ascend(
    scores: NDArray[Any],
    share: NDArray[np.float64],
    score_prior: NDArray[np.float64],
    here: _Point,
    goal: NDArray[np.float64],
) -> _Point | None:
    """First of the points all, half, a quarter, ... of the way to ``goal`` that raises L enough, or None.

    Rescaling to sum 1 never lowers L(q) - sum(q), so it is done at every point.
    """
    value, direction = here.value, goal - here.prior
    slope = here.gradient @ direction - direction.sum()
    for step in 0.5 ** np.arange(30):
        candidate = here.prior + step * direction
        candidate = np.maximum(candidate, 0) / candidate.sum()
        found = _Point(candidate, *log_likelihood(scores, share, candidate, score_prior))
        even = abs(found.value - value) <= LIKELIHOOD_ROUNDING * (1 + abs(value)) and found.gap < here.gap
        if even or (found.value > value and found.value >= value + ARMIJO * step * slope):
            return found
    return None


def _without_absent_classes(
    scores: NDArray[Any], share: NDArray[np.float64], score_prior: NDArray[np.float64], here: _Point, tol: float
) -> _Point:
    """The point without what is left of classes that are clearly absent, where the certificate allows it."""
    candidate = np.where(here.gradient < 1 - np.sqrt(float(tol)), 0.0, here.prior)
    if here.gap > tol or not (candidate < here.prior).any() or not candidate.any():
        return here
    candidate = candidate / candidate.sum()
    found = _Point(candidate, *log_likelihood(scores, share, candidate, score_prior))
    return found if np.isfinite(found.value) and found.gap <= tol else here
