"""Regularised weights of label shift: least squares on the confusion matrix, shrunk towards no shift.

Assumes p(x | y) is shared. Notation: C the joint confusion matrix, mu the mean prediction on the target, p the source
prior, w = q / p the weights of the classes, theta = w - 1 their distance from no shift.

    minimise ||C theta - (mu - C 1)|| + Delta ||theta|| over theta >= -1 with sum_k p_k theta_k = 0
    w = 1 + gamma theta

Source: Azizzadenesheli, Liu, Yang & Anandkumar (2019), Regularized Learning for Domain Adaptation under Label Shifts,
ICLR: norms, not squared norms. The authors' program (label_shift.py, compute_w_opt) has the bound theta >= -1 and not
the sum; here q = p w is a prior whatever the noise. Both constraints are part of the problem: clipping its free
solution and rescaling it would move the weights of every class and lose the optimum.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from shiftfix._blocks import weighted_sum
from shiftfix._numerics import simplex_least_squares
from shiftfix._setting_checks import check_number, check_option
from shiftfix.label._base import Estimate, Learned
from shiftfix.label._bootstrap import BaseResampledPrior
from shiftfix.label._confusion import joint_and_conditional
from shiftfix.label._solution_error import SourceError, mean_scatter, solution_covariances, source_error
from shiftfix.label._source import CalibrationOption, ScoreKind, Source, SourceScores, TargetScores


def default_regularization(n_classes: int, n_rows: float, *, level: float = 0.05, shrink: float = 0.01) -> float:
    """Delta = shrink * 3 [2 log(2 K / level) / (3 n) + sqrt(2 log(2 K / level) / n)], a float.

    The bracket, a bound of Bernstein's form on the error of a confusion matrix made of n labelled rows, holds with
    probability 1 - level. It is a worst case: the authors' programs (compute_3deltaC, with level = 0.05) multiply it by
    0.01 or 0.001, and the experiments of Alexandari, Kundaje & Shrikumar (2020), ICML, by 0.01.

    Parameters
    ----------
    n_classes, n_rows : int
        Classes, and labelled source rows behind the confusion matrix (the sum of their repeat counts).
    level : float, default=0.05
    shrink : float, default=0.01
    """
    bound = 2 * np.log(2 * n_classes / level) / n_rows
    return float(shrink * 3 * (bound / 3 + np.sqrt(bound)))


def rlls_weights(
    joint_confusion: NDArray[np.float64],
    target_mean: NDArray[np.float64],
    source_prior: NDArray[np.float64],
    regularization: float,
    *,
    gamma: float = 1.0,
) -> NDArray[np.float64]:
    """Weights q / p of the classes.

    The norms make the solution a point of the ridge path, min ||r||^2 + lambda ||theta||^2 under the same constraints
    with r = C theta - (mu - C 1): the conditions of the optimum agree where lambda ||theta|| / ||r|| = Delta. That
    ratio never falls along the path, as it is minus the slope of the convex trade-off between ||r|| and ||theta||, so
    one root in lambda is the exact solution. On the path, q = p w solves a least squares problem on the simplex.

    Parameters
    ----------
    joint_confusion : ndarray of shape (n_classes, n_classes)
        C[i, j] = P(predicted i, true j).
    target_mean : ndarray of shape (n_classes,)
        mu, made of the same kind of prediction, hard or soft.
    source_prior : ndarray of shape (n_classes,)
        p, the column sums of C; positive.
    regularization : float
        Delta, >= 0; 0 is least squares on the simplex. See :func:`default_regularization`.
    gamma : float in [0, 1], default=1.0
        Share of theta that is used; 1 in the authors' program.

    Returns
    -------
    ndarray of shape (n_classes,)
        No unit; >= 0, and sum_k p_k w_k = 1. Exactly 1 when Delta outweighs what the predictions show of a shift.
    """
    conditional = joint_confusion / source_prior
    shift = target_mean - joint_confusion.sum(axis=1)
    size = np.linalg.norm(shift)

    # No shift is best when no feasible direction gains: along theta, the fit changes by -(C'b / |b|)'theta at most.
    pull = joint_confusion.T @ shift
    pull = pull - source_prior * (source_prior @ pull) / (source_prior @ source_prior)
    if size == 0 or np.linalg.norm(pull) <= regularization * size:
        return np.ones_like(source_prior)

    def path(ridge: float) -> NDArray[np.float64]:
        root = np.sqrt(ridge)
        matrix = np.vstack([conditional, root * np.diag(1 / source_prior)]) if ridge else conditional
        goal = np.append(target_mean, np.full(len(source_prior), root)) if ridge else target_mean
        return simplex_least_squares(matrix, goal) / source_prior

    def excess(log_ridge: float) -> float:
        # Negative where the ratio is below Delta; a perfect fit makes the ratio infinite.
        theta = path(np.exp(log_ridge)) - 1
        residual = np.linalg.norm(joint_confusion @ theta - shift)
        with np.errstate(divide="ignore"):
            return log_ridge + np.log(np.linalg.norm(theta)) - np.log(residual) - np.log(regularization)

    weights = path(0.0)
    if regularization > 0:
        # Between a ridge too small to be seen beside C'C and one that leaves next to nothing of theta.
        scale = 2 * np.log(np.linalg.norm(joint_confusion, 2))
        low, high = scale + np.log(1e-13), scale
        while excess(high) < 0 and high < scale + 40:
            high += 4
        # With Delta below the ratio at the foot of the path, fitting exactly is best.
        if excess(low) < 0 <= excess(high):
            weights = path(np.exp(brentq(excess, low, high, xtol=1e-12)))
        elif excess(high) < 0:
            weights = np.ones_like(source_prior)
    return 1 + gamma * (weights - 1)


def regularized_prior(
    joint_confusion: NDArray[np.float64], target: TargetScores, regularization: float, gamma: float
) -> NDArray[np.float64]:
    """Target prior q = p w of calibrated target rows, with p the column sums of C; shape (n_classes,)."""
    source_prior = joint_confusion.sum(axis=0)
    mean = weighted_sum(target.scores, target.counts) / target.counts.sum()
    prior = source_prior * rlls_weights(joint_confusion, mean, source_prior, regularization, gamma=gamma)
    return prior / prior.sum()


@dataclass(frozen=True)
class RegularizedSource:
    """What RLLS learns from the source: Delta, and the source's part of the error without regularization."""

    regularization: float
    error: SourceError


class RLLS(BaseResampledPrior):
    """Target prior from a confusion matrix, regularised towards no shift.

    Beats :class:`BBSE` where classes are many or samples small; a bias towards the source prior is the price.

    Assumes that p(x given y) stayed, and gives an answer whatever moved. :func:`label_shift_fit` asks whether one
    change of the class shares is what moved; ``LabelShiftClassifier`` does so before it corrects.

    Parameters
    ----------
    kind : {"soft", "hard"}, default="soft"
        As for :class:`BBSE`.
    regularization : "auto" or float, default="auto"
        Delta, >= 0. "auto" is a hundredth of a worst-case bound on the error of the
        confusion matrix, which falls with the number of source rows.
    gamma : float in [0, 1], default=1.0
        Share of the estimated shift that is used.
    calibration : {"none", "auto", "temperature", "bcts", "vector"}, default="none"
        Of soft scores, fitted on the labelled source rows.
    shrink : {None, "significance"}, default=None
        "significance" takes the source prior when the mean scores of source and target do not differ at level 0.02.
    n_bootstrap : int, default=200
        Draws behind ``interval``. 0 keeps no rows and makes intervals from ``prior_covariance_``.
    random_state : int, numpy Generator or RandomState, default=None
        For the bootstrap.

    Attributes
    ----------
    regularization_ : float
        Delta as used.
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
        Of the joint matrix; errors of the mean prediction grow up to 1 / ``smallest_singular_value_`` in the weights.
    identified_ : bool
        False when the estimate is vague (its variances sum to more than a quarter of those of a uniform
        draw from the simplex) and also cannot be told from the source prior (Wald test at level 0.05).
    reason_ : str
        What the verdict rests on; when ``identified_`` is False, why not, and which classes to merge.
    verdict_ : Verdict
        "abstain" when the prior is not identified, else "ok", which has a reason where ``shrink`` found no shift.
    prior_covariance_ : ndarray of shape (n_classes, n_classes)
        Delta-method sampling covariance of the solution WITHOUT regularisation, which varies more than the estimate.

    See Also
    --------
    BBSE : By the confusion matrix, with an analytic interval.
    MLLS : Maximum likelihood on calibrated scores; the most precise.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.repeat(["sick", "well"], 50)
    >>> scores = np.where((y == "sick")[:, None], [0.8, 0.2], [0.3, 0.7])
    >>> RLLS(n_bootstrap=0).fit(scores, y, np.repeat(scores, [9] * 50 + [1] * 50, axis=0)).target_prior_.round(2)
    array([0.9, 0.1])
    """

    regularization_: float

    def __init__(
        self,
        kind: ScoreKind = "soft",
        *,
        regularization: float | Literal["auto"] = "auto",
        gamma: float = 1.0,
        calibration: CalibrationOption = "none",
        shrink: Literal["significance"] | None = None,
        n_bootstrap: int = 200,
        random_state: int | np.random.Generator | np.random.RandomState | None = None,
    ) -> None:
        self.kind = kind
        self.regularization = regularization
        self.gamma = gamma
        self.calibration = calibration
        self.shrink = shrink
        self.n_bootstrap = n_bootstrap
        self.random_state = random_state

    def _check_settings(self) -> None:
        super()._check_settings()
        if isinstance(self.regularization, str):
            check_option(self.regularization, "regularization", ["auto"])
        else:
            check_number(self.regularization, "regularization", least=0, below=np.inf)
        check_number(self.gamma, "gamma", least=0, most=1)

    def _strength(self, sample: SourceScores) -> float:
        """Delta for a sample of labelled rows."""
        if isinstance(self.regularization, str):
            return default_regularization(sample.scores.shape[1], sample.counts.sum())
        return float(self.regularization)

    def _prior_of(self, source: Source, sample: SourceScores, target: TargetScores) -> NDArray[np.float64]:
        joint, _ = joint_and_conditional(*sample)
        return regularized_prior(joint, target, self._strength(sample), self.gamma)

    def _fit_source(self, source: Source, sample: SourceScores, raw: NDArray[Any]) -> Learned:
        strength = self._strength(sample)
        error = source_error(*sample, source.conditional, source.kind)
        return Learned(RegularizedSource(strength, error), {"regularization_": strength})

    def _estimate(
        self, source: Source, learned: RegularizedSource, target: TargetScores, raw: NDArray[Any]
    ) -> Estimate:
        prior = regularized_prior(source.joint, target, learned.regularization, self.gamma)
        return Estimate(prior, *solution_covariances(learned.error, mean_scatter(*target), prior))
