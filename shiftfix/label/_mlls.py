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

import warnings
from typing import NamedTuple

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import nnls
from sklearn.exceptions import ConvergenceWarning

from shiftfix._blocks import row_blocks, weighted_gram, weighted_sum
from shiftfix._validation import check_count, check_number
from shiftfix.exceptions import ShiftDataError
from shiftfix.label._bootstrap import BaseResampledPrior
from shiftfix.label._calibration import log_scores
from shiftfix.label._implied_prior import implied_prior
from shiftfix.label._mlls_error import FULL_CLASSES, learned_error, likelihood_error

# EM steps before Newton's: each costs one pass over the scores, a Newton step about twenty at 1000 classes.
WARM_UP = 20
# Relative to the diagonal of the Hessian: classes with proportional scores make it singular. In float32 rounding can
# do so too.
RIDGE = {np.dtype(np.float64): 1e-10, np.dtype(np.float32): 1e-6}
# Share of the gain that the slope promises which a step must bring.
ARMIJO = 1e-4
# Differences of the mean log likelihood below this, relative to 1 + |L|, are rounding.
ROUNDING = 1e-13


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

    prior: np.ndarray
    gap: float
    n_iter: int
    log_likelihood: float


def _likelihood(scores, share, prior, score_prior):
    """L and its gradient g of shape (n_classes,); -inf where a row that counts has no mass on classes of positive q."""
    ratio, value, gradient = prior / score_prior, 0.0, np.zeros(len(prior))
    for rows in row_blocks(*scores.shape):
        block = scores[rows].astype(np.float64, copy=False)
        mixture = block @ ratio
        mixture[share[rows] == 0] = 1.0
        if not mixture.all():
            return -np.inf, gradient
        value += share[rows] @ np.log(mixture)
        gradient += (share[rows] / mixture) @ block
    return float(value), gradient / score_prior


def _curvature(scores, share, prior, score_prior):
    """Minus the Hessian of L, mean_i R_ik R_il / D_i^2, shape (n_classes, n_classes)."""
    ratio, row_scale = prior / score_prior, np.zeros(len(scores))
    for rows in row_blocks(*scores.shape):
        counts = share[rows] > 0
        mixture = scores[rows].astype(np.float64, copy=False) @ ratio
        row_scale[rows][counts] = np.sqrt(share[rows][counts]) / mixture[counts]
    return weighted_gram(scores, row_scale) / np.outer(score_prior, score_prior)


def _newton_point(curvature, gradient, prior, ridge):
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


def _check_score_prior(score_prior):
    if not (score_prior > 0).all():
        raise ShiftDataError(
            f"score_prior is {score_prior.min():g} for class {int(np.argmin(score_prior))}: scores made without a "
            "class tell nothing of its share. Leave the class out, or pass a prior that is positive."
        )


def mlls_prior(scores, score_prior, sample_weight=None, *, start=None, tol=1e-8, max_iter=100):
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
        Steps at most, after a warm-up of 20 EM steps.

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
    value, gradient = _likelihood(scores, share, prior, score_prior)
    for _ in range(WARM_UP):
        prior = prior * gradient / (prior @ gradient)
        value, gradient = _likelihood(scores, share, prior, score_prior)
    gap, n_iter, ridge = gradient.max() - 1, 0, RIDGE[scores.dtype]
    # One Newton step at least: EM alone never takes a class to zero.
    while n_iter < max_iter and (n_iter == 0 or gap > tol):
        n_iter += 1
        point = _newton_point(_curvature(scores, share, prior, score_prior), gradient, prior, ridge)
        found = None if point is None else _search(scores, share, score_prior, prior, value, gradient, point)
        if found is None:
            # EM never lowers the likelihood; where it does not raise it either, rounding has the last word.
            ridge *= 100
            candidate = prior * gradient / (prior @ gradient)
            found = candidate, *_likelihood(scores, share, candidate, score_prior)
            if found[1] <= value and found[2].max() >= gradient.max():
                break
        prior, value, gradient = found
        gap = gradient.max() - 1
    # What is left of classes that are clearly absent goes, where the certificate allows it.
    candidate = np.where(gradient < 1 - np.sqrt(tol), 0.0, prior)
    if gap <= tol and (candidate < prior).any():
        candidate = candidate / candidate.sum()
        new, new_gradient = _likelihood(scores, share, candidate, score_prior)
        if np.isfinite(new) and new_gradient.max() - 1 <= tol:
            prior, value, gap = candidate, new, new_gradient.max() - 1
    gap = float(max(gap, 0.0))
    if gap > tol:
        warnings.warn(
            f"The likelihood of the target prior is certified to {gap:.2g} per row only, and tol={tol:g} was asked "
            f"for, after {n_iter} steps (max_iter={max_iter}): raise max_iter, or tol if that is near enough.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return PriorLikelihood(prior, gap, n_iter, value)


def _search(scores, share, score_prior, prior, value, gradient, point):
    """First of the points all, half, a quarter, ... of the way to ``point`` that raises L enough: (q, L, g), or None.

    Rescaling to sum 1 never lowers L(q) - sum(q), so it is done at every point.
    """
    direction = point - prior
    slope = gradient @ direction - direction.sum()
    for step in 0.5 ** np.arange(30):
        candidate = prior + step * direction
        candidate = np.maximum(candidate, 0) / candidate.sum()
        new, new_gradient = _likelihood(scores, share, candidate, score_prior)
        even = abs(new - value) <= ROUNDING * (1 + abs(value)) and new_gradient.max() < gradient.max()
        if even or (new > value and new >= value + ARMIJO * step * slope):
            return candidate, new, new_gradient
    return None


def em_path(scores, score_prior, n_steps, sample_weight=None, *, start=None):
    """The first steps of plain EM, without acceleration.

    Parameters
    ----------
    scores, score_prior, sample_weight, start
        As for :func:`mlls_prior`; ``start`` is taken as it is, and a zero in it stays.
    n_steps : int

    Returns
    -------
    ndarray of shape (n_steps, n_classes)
        The prior after each step; its likelihood never falls.

    Raises
    ------
    ShiftDataError
        For a ``score_prior`` with a zero.
    """
    _check_score_prior(score_prior)
    share = np.ones(len(scores)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    share = share / share.sum()
    prior, path = score_prior if start is None else start, []
    for _ in range(n_steps):
        prior = prior * _likelihood(scores, share, prior, score_prior)[1]
        prior = prior / prior.sum()
        path.append(prior)
    return np.array(path)


def likelihood_covariance(scores, score_prior, prior, sample_weight=None, *, cautious=False):
    """Covariance of the maximum likelihood prior: the inverse of the observed information on the simplex.

    The information of N rows is N mean_i R_ik R_il / D_i^2 over the classes of positive prior, taken along directions
    that sum to zero; other classes have variance 0. It knows the sampling error of the target only: what calibration
    and the scores' own training add is not in it. A direction that the scores do not tell (fewer rows than classes, or
    classes with proportional scores) gets variance 1, more than the simplex is wide.

    Parameters
    ----------
    scores, score_prior, sample_weight
        As for :func:`mlls_prior`.
    prior : ndarray of shape (n_classes,)
        The maximum, from :func:`mlls_prior`.
    cautious : bool, default=False
        Let the classes of prior 0 vary too. There the likelihood falls with slope N (1 - g_k), so that q_k is about
        exponential with that rate, and half its square is added to the information of class k: a class that no row
        resembles gets a deviation of 1.4 / N, one that the scores hardly tell a large one.

    Returns
    -------
    ndarray of shape (n_classes, n_classes)
        Rows and columns sum to 0.
    """
    counts = np.ones(len(scores)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    active = np.arange(len(prior)) if cautious else np.flatnonzero(prior > 0)
    covariance = np.zeros((len(prior), len(prior)))
    if len(active) < 2:
        return covariance
    information = _curvature(scores, counts, prior, score_prior)[np.ix_(active, active)]
    if cautious:
        total = counts.sum()
        _, gradient = _likelihood(scores, counts / total, prior, score_prior)
        information += np.diag(np.where(prior == 0, (total * np.maximum(1 - gradient, 0)) ** 2 / 2, 0))
    # The orthogonal complement of the ones vector: all but the first column of a Householder reflection of it.
    mirror = np.ones(len(active))
    mirror[0] += np.sqrt(len(active))
    basis = (np.eye(len(active)) - 2 * np.outer(mirror, mirror) / (mirror @ mirror))[:, 1:]
    values, vectors = np.linalg.eigh(basis.T @ information @ basis)
    directions = basis @ vectors / np.sqrt(np.maximum(values, 1.0))
    covariance[np.ix_(active, active)] = directions @ directions.T
    return covariance


class MLLS(BaseResampledPrior):
    """Target prior of maximum likelihood on calibrated scores.

    The most precise estimator here when the scores are calibrated, which is why they are calibrated first; on raw
    scores of an overconfident network it can be worse than :class:`BBSE`.

    Parameters
    ----------
    calibration : {"auto", "none", "temperature", "bcts", "vector"}, default="auto"
        Fitted on the labelled source scores; see :class:`ScoreCalibrator`.
    shrink : {None, "significance"}, default=None
        "significance" takes the source prior when the mean scores of source and target do not differ at level 0.02.
    n_bootstrap : int, default=200
        Draws behind ``interval``. 0 keeps no rows and makes intervals from ``prior_covariance_``.
    random_state : int, numpy Generator or RandomState, default=None
        For the bootstrap.
    tol : float, default=1e-8
        Certified gap of the mean log likelihood per row.
    max_iter : int, default=100
        Newton steps at most.

    Attributes
    ----------
    gap_, n_iter_ : float, int
        Bound of what is left to gain in mean log likelihood per row, and steps taken.
    classes_ : ndarray of shape (n_classes,)
    source_prior_, target_prior_ : ndarray of shape (n_classes,)
        p and q; q is >= 0 and sums to 1.
    class_weight_ : ndarray of shape (n_classes,)
        q / p: what training rows are weighted by.
    score_prior_ : ndarray of shape (n_classes,)
        The prior that the calibrated scores imply: what posteriors are divided by.
    calibration_, calibration_scale_, calibration_bias_ : str, ndarray and ndarray of shape (n_classes,)
        The calibration that was fitted: softmax(scale * log(scores) + bias).
    shift_p_value_, shrunk_ : float or None, bool
        With ``shrink``, the test that nothing moved, and whether the source prior stands in for the estimate.
    joint_confusion_, conditional_confusion_ : ndarray of shape (n_classes, n_classes)
        P(predicted i, true j), which sums to 1, and P(predicted i given true j), whose columns do.
    condition_number_, smallest_singular_value_ : float
        Of the joint matrix; errors of the mean prediction grow by up to 1 / smallest_singular_value_ in the weights.
    identified_ : bool
        False when the estimate is vague (its variances sum to more than a quarter of those of a uniform
        draw from the simplex) and also cannot be told from the source prior (Wald test at level 0.05).
    reason_ : str
        Why not, when ``identified_`` is False, and which classes to merge.
    prior_covariance_ : ndarray of shape (n_classes, n_classes)
        Asymptotic sampling covariance of the estimate from target, calibration and implied prior; above 100 classes
        from the target alone. Classes of prior 0 are held there.

    Raises
    ------
    ShiftDataError
        By ``fit``, ``update``, ``transform`` and ``adjust_proba``, for input that cannot be used.
    NotIdentifiedError
        By ``fit``, when the confusion matrix is singular; names the confounded classes.

    Notes
    -----
    Without a bias in the calibration, posteriors are divided by the mean calibrated score of the source, which errs
    less than the class frequencies where some miscalibration is left. Where the scores clearly come from another prior
    than either (balanced training, say), that prior is found by the bias that fits the labels best, and used instead.

    References
    ----------
    Saerens, Latinne & Decaestecker (2002), Neural Computation 14(1):21-41. Alexandari, Kundaje & Shrikumar
    (2020), "Maximum likelihood with bias-corrected calibration is hard-to-beat at label shift adaptation", ICML.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> y, y_target = np.repeat([0, 1], 500), np.repeat([0, 1], [900, 100])
    >>> x, x_target = rng.normal(2 * y - 1), rng.normal(2 * y_target - 1)
    >>> p, p_target = (1 / (1 + np.exp(-2 * v)) for v in (x, x_target))  # posteriors under equal priors
    >>> mlls = MLLS().fit(np.column_stack([1 - p, p]), y, np.column_stack([1 - p_target, p_target]))
    >>> mlls.target_prior_.round(1)
    array([0.9, 0.1])
    """

    def __init__(self, calibration="auto", *, shrink=None, n_bootstrap=200, random_state=None, tol=1e-8, max_iter=100):
        self.calibration = calibration
        self.shrink = shrink
        self.n_bootstrap = n_bootstrap
        self.random_state = random_state
        self.tol = tol
        self.max_iter = max_iter

    def _check_settings(self):
        super()._check_settings()
        check_number(self.tol, "tol", above=0, below=np.inf)
        check_count(self.max_iter, "max_iter")

    def _fit_source(self, scores, class_index, sample_weight, raw):
        super()._fit_source(scores, class_index, sample_weight, raw)
        self.score_prior_ = self._learned
        self._learned_error = None
        if len(self.classes_) <= FULL_CLASSES:
            self._learned_error = learned_error(
                log_scores(raw),
                scores,
                class_index,
                sample_weight,
                self.calibration_,
                self._prior_from,
                self.score_prior_,
            )

    @property
    def _prior_from(self):
        """How the prior that scores imply is found; see ``learned_error``."""
        if self.calibration_ in ("bcts", "vector"):
            return "frequency"
        return "bias" if self._other_prior else "mean"

    def _learn(self, scores, class_index, sample_weight):
        """The prior that the calibrated scores imply."""
        share = sample_weight / sample_weight.sum()
        if self._prior_from == "frequency":
            return np.bincount(class_index, weights=share, minlength=scores.shape[1])
        if self._prior_from == "bias":
            return implied_prior(scores, class_index, sample_weight)
        return weighted_sum(scores, share)

    def _maximize(self, score_prior, scores, sample_weight):
        return mlls_prior(scores, score_prior, sample_weight, tol=self.tol, max_iter=self.max_iter)

    def _solve(self, learned, scores, sample_weight):
        return self._maximize(learned, scores, sample_weight).prior

    def _estimate(self, scores, sample_weight, raw):
        super()._estimate(scores, sample_weight, raw)
        found = self._maximize(self.score_prior_, scores, sample_weight)
        self.gap_, self.n_iter_ = found.gap, found.n_iter
        covariances = []
        for cautious in (False, True):
            covariance = likelihood_covariance(scores, self.score_prior_, found.prior, sample_weight, cautious=cautious)
            if self._learned_error is not None:
                covariance = likelihood_error(
                    self._learned_error,
                    covariance,
                    log_scores(raw),
                    scores,
                    sample_weight,
                    self.score_prior_,
                    found.prior,
                )
            covariances.append(covariance)
        return found.prior, *covariances
