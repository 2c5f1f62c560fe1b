"""Sampling covariance of the maximum-likelihood target prior, from source and target.

Notation: calibrated scores P = softmax(eta), eta_k = a_k z_k + b_k with z the log scores; pi the prior they imply, q
the maximum of mean_T log sum_k q_k P_k / pi_k. With r = softmax(eta + log q - log pi), the posterior under q, the
derivative of the objective in q_k is the mean over the target of u_k = r_k / q_k, and it is 1 for every class present.

To first order q moves by dq = C dg, where dg is the error of those means and C the inverse of M = mean_T u u' among the
directions that leave sum(q) as it is. dg has two independent parts: the draw of the target rows, which alone gives q
the covariance C / n_target, and what was learned from the source, phi = (a, b, log pi), which enters through

    d mean u_k / d b_l = mean u_k (delta_kl - r_l),    d / d a_l : the same times z_l,    d / d log pi_l : its negative.

The estimates in phi are means to first order as well: the maximum-likelihood calibration has influence -J^+ psi, with
psi the derivative of a row's loss and J the mean second derivative (van der Vaart 1998, "Asymptotic Statistics",
theorem 5.21 for estimators that solve a mean of scores, 5.4 for plugging one into another).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftfix.label._implied_prior import PriorFrom
from shiftfix.label._labels import class_totals
from shiftfix.label._likelihood import CalibrationKind, log_scores
from shiftfix.label._mlls_solver import likelihood_curvature, log_likelihood
from shiftfix.label._posterior import proba_at_prior
from shiftfix.label._source import TargetScores

# Beyond this many classes what was learned from the source is taken as known: its covariance has 9 K^2 entries, and its
# derivation n K^2 operations thrice.
LEARNED_ERROR_CLASSES = 100


def likelihood_covariance(
    scores: NDArray[Any],
    score_prior: NDArray[np.float64],
    prior: NDArray[np.float64],
    sample_weight: NDArray[np.float64] | None = None,
    *,
    cautious: bool = False,
) -> NDArray[np.float64]:
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
    information = likelihood_curvature(scores, counts, prior, score_prior)[np.ix_(active, active)]
    if cautious:
        total = counts.sum()
        _, gradient = log_likelihood(scores, counts / total, prior, score_prior)
        information += np.diag(np.where(prior == 0, (total * np.maximum(1 - gradient, 0)) ** 2 / 2, 0))
    # The orthogonal complement of the ones vector: all but the first column of a Householder reflection of it.
    mirror = np.ones(len(active))
    mirror[0] += np.sqrt(len(active))
    basis = (np.eye(len(active)) - 2 * np.outer(mirror, mirror) / (mirror @ mirror))[:, 1:]
    values, vectors = np.linalg.eigh(basis.T @ information @ basis)
    directions = basis @ vectors / np.sqrt(np.maximum(values, 1.0))
    covariance[np.ix_(active, active)] = directions @ directions.T
    return covariance


def class_mean_covariance(
    influence: NDArray[np.float64], class_index: NDArray[np.intp], sample_weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Covariance of a mean of rows drawn within each class, shape (n_columns, n_columns)."""
    scatter = np.zeros((influence.shape[1],) * 2)
    for k in np.unique(class_index):
        rows = class_index == k
        weight = sample_weight[rows]
        total = weight.sum()
        mean = weight @ influence[rows] / total
        centred = influence[rows] - mean
        # The mean of the class takes one row; a single row tells no spread, and counts as its own square.
        if total > 1:
            scatter += (centred.T * weight) @ centred * total / (total - 1)
        else:
            scatter += np.outer(mean, mean)
    return scatter / sample_weight.sum() ** 2


def learned_error(
    z: NDArray[np.float64],
    calibrated: NDArray[Any],
    class_index: NDArray[np.intp],
    sample_weight: NDArray[np.float64],
    kind: CalibrationKind,
    prior_from: PriorFrom,
    score_prior: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Sampling covariance of phi: of the calibration and of the implied prior, learned from the source.

    Parameters
    ----------
    z : ndarray of shape (n_source, n_classes)
        Log scores, before calibration.
    calibrated : ndarray of shape (n_source, n_classes)
        P, after it.
    class_index, sample_weight : ndarray of shape (n_source,)
    kind : {"none", "temperature", "bcts", "vector"}
    prior_from : {"frequency", "mean", "bias"}
        How pi was found: the class frequencies, which drawing within classes leaves as they are; the mean of P; or the
        bias that fits the labels best.
    score_prior : ndarray of shape (n_classes,)
        pi.

    Returns
    -------
    ndarray of shape (3 * n_classes, 3 * n_classes)
    """
    n_classes = calibrated.shape[1]
    share = sample_weight / sample_weight.sum()
    residual = calibrated.copy()
    residual[np.arange(len(residual)), class_index] -= 1
    score = np.hstack([residual * z, residual])
    both = np.hstack([calibrated * z, calibrated])
    first, second = share @ both[:, :n_classes], share @ (both[:, :n_classes] * z)
    curvature = np.block(
        [[np.diag(second), np.diag(first)], [np.diag(first), np.diag(share @ calibrated)]]
    ) - both.T @ (both * share[:, np.newaxis])
    fitted = {
        "none": np.zeros((2 * n_classes, 0)),
        "temperature": np.repeat([1.0, 0.0], n_classes)[:, np.newaxis],
        "bcts": np.hstack([np.repeat([1.0, 0.0], n_classes)[:, np.newaxis], np.eye(2 * n_classes)[:, n_classes:]]),
        "vector": np.eye(2 * n_classes),
    }[kind]
    bend = fitted.T @ curvature @ fitted
    influence = -score @ fitted @ np.linalg.pinv(bend, rcond=1e-10, hermitian=True) @ fitted.T
    mean = share @ calibrated
    if prior_from == "mean":
        log_prior = (calibrated - mean + influence @ curvature[:, n_classes:]) / mean
    elif prior_from == "bias":
        # The bias is fitted by maximum likelihood too, and log pi = log p - bias.
        frequency = class_totals(class_index, share, n_classes)
        fitted_scores = proba_at_prior(calibrated, score_prior, frequency)
        weighted = fitted_scores * share[:, np.newaxis]
        bend = np.diag(share @ fitted_scores) - weighted.T @ fitted_scores
        by_scale = np.diag(np.einsum("ik,ik->k", weighted, z)) - (weighted * z).T @ fitted_scores
        fitted_scores[np.arange(len(residual)), class_index] -= 1
        # The bias follows the calibration: at other scales the gradient of its likelihood is another.
        moved = fitted_scores + influence @ np.vstack([by_scale, bend])
        log_prior = moved @ np.linalg.pinv(bend, rcond=1e-10, hermitian=True)
    else:
        log_prior = np.zeros_like(calibrated)
    return class_mean_covariance(np.hstack([influence, log_prior]), class_index, sample_weight)


def likelihood_error(
    learned: NDArray[np.float64],
    target_covariance: NDArray[np.float64],
    z: NDArray[np.float64],
    calibrated: NDArray[Any],
    sample_weight: NDArray[np.float64],
    score_prior: NDArray[np.float64],
    prior: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Sampling covariance of the target prior of maximum likelihood, from both samples.

    Parameters
    ----------
    learned : ndarray of shape (3 * n_classes, 3 * n_classes)
        From :func:`learned_error`.
    target_covariance : ndarray of shape (n_classes, n_classes)
        Covariance from the draw of the target rows alone, C / n_target: the inverse information on the simplex.
    z, calibrated : ndarray of shape (n_target, n_classes)
        Log scores of the target rows before calibration, and scores after it.
    sample_weight : ndarray of shape (n_target,)
    score_prior : ndarray of shape (n_classes,)
        pi.
    prior : ndarray of shape (n_classes,)
        q.

    Returns
    -------
    ndarray of shape (n_classes, n_classes)
    """
    n_rows = sample_weight.sum()
    ratio = calibrated / score_prior
    u = ratio / (ratio @ prior)[:, np.newaxis]
    weighted = u * (sample_weight / n_rows)[:, np.newaxis]
    r = u * prior
    by_bias = np.diag(weighted.sum(axis=0)) - weighted.T @ r
    by_scale = np.diag(np.einsum("ik,ik->k", weighted, z)) - weighted.T @ (r * z)
    step = n_rows * target_covariance
    moved = np.hstack([step @ by_scale, step @ by_bias, -step @ by_bias])
    return target_covariance + moved @ learned @ moved.T


def prior_covariance(
    target: TargetScores,
    raw: NDArray[Any],
    score_prior: NDArray[np.float64],
    prior: NDArray[np.float64],
    learned: NDArray[np.float64] | None,
    *,
    cautious: bool,
) -> NDArray[np.float64]:
    """Covariance of the maximum likelihood prior from both samples, shape (n_classes, n_classes).

    Parameters
    ----------
    target : TargetScores
        After the calibration.
    raw : ndarray of shape (n_target, n_classes)
        Before it.
    score_prior, prior : ndarray of shape (n_classes,)
    learned : ndarray of shape (3 * n_classes, 3 * n_classes) or None
        Covariance of what was learned from the source, from :func:`learned_error`; None takes it as known.
    cautious : bool
        As for :func:`likelihood_covariance`.
    """
    covariance = likelihood_covariance(target.scores, score_prior, prior, target.counts, cautious=cautious)
    if learned is None:
        return covariance
    return likelihood_error(learned, covariance, log_scores(raw), *target, score_prior, prior)
