"""Laplace's approximation of Gaussian processes with labels of several classes.

f_k = offset_k + delta_k, delta_k ~ N(0, K_k) independent, P(class k) = softmax(f)_k. With the mode f^, P = softmax(f^),
g = Y - P, D_k = diag(P_k), E_k = (K_k + D_k^-1)^-1 and M M' = sum_k E_k:

* log evidence = -1/2 sum_k delta_k' K_k^-1 delta_k + log p(y | f^) - 1/2 (sum_k log |I + D_k^1/2 K_k D_k^1/2|
  + log |sum_k E_k|)
* at any rows, f_k has mean offset_k + K*_k g_k and covariance [k = l] (K**_k - K*_k E_k K*_k') + U_k U_l' with
  U_k = K*_k E_k M'^-1
* without label i, f_i ~ N(f^_i - V g_i, V) with V = (I - S H)^-1 S, S the covariance of f_i over the classes and
  H = diag(P_i) - P_i P_i'

The softmax of a Gaussian f is averaged by its pairs of classes, with mean_sigmoid for each: P(k) in proportion to
1 / sum_l exp((m_l - m_k) / sqrt(1 + pi v_kl / 8)), v_kl the variance of f_l - f_k: mean_sigmoid for two classes.

Sources: Rasmussen & Williams (2006), "Gaussian Processes for Machine Learning", algorithms 3.3 and 3.4, equations 3.38
to 3.44; the cavity as in ``_few_binary``; Daunizeau (2017), arXiv:1703.00091, for the average in pairs.
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_solve, solve_triangular
from scipy.special import logsumexp, softmax

from shiftfix._numerics import Floats
from shiftfix._row_order import Rows
from shiftfix.corrected._few_binary import (
    LEAST_CURVATURE,
    climb,
    factor_between,
    half_log_determinant,
    inverse_of_factor,
    lower_factor,
)


class SoftmaxFit(NamedTuple):
    """A fitted correction.

    Attributes
    ----------
    log_evidence : float
        In nats.
    left_out : ndarray of shape (n_labels,)
        Probability of each label without it.
    gradient : ndarray of shape (n_classes, n_labels)
        g.
    inverses : ndarray of shape (n_classes, n_labels, n_labels)
        E_k.
    coupled : ndarray of shape (n_classes, n_labels, n_labels)
        E_k M'^-1.
    """

    log_evidence: float
    left_out: Floats
    gradient: Floats
    inverses: Floats
    coupled: Floats


class Curvature(NamedTuple):
    """E_k, half the log determinants, and the lower Cholesky factor M of sum_k E_k."""

    inverses: Floats
    half_log_determinant: float
    factor: Floats


def mean_softmax(mean: Floats, covariance: Floats) -> Floats:
    """Average of softmax(f) over Gaussian f, approximately.

    Parameters
    ----------
    mean : ndarray of shape (n_rows, n_classes)
    covariance : ndarray of shape (n_rows, n_classes, n_classes)

    Returns
    -------
    ndarray of shape (n_rows, n_classes)
    """
    own = np.einsum("ikk->ik", covariance)
    spread = np.maximum(own[:, :, np.newaxis] + own[:, np.newaxis] - 2 * covariance, 0)
    gaps = (mean[:, np.newaxis] - mean[:, :, np.newaxis]) / np.sqrt(1 + np.pi / 8 * spread)
    return softmax(-logsumexp(gaps, axis=2), axis=1)


def _curvature(covariance: Floats, P: Floats) -> Curvature:
    """Of the posterior at class probabilities P, shape (n_classes, n_labels)."""
    inverses, half = np.empty_like(covariance), 0.0
    for k, root in enumerate(np.sqrt(np.maximum(P, LEAST_CURVATURE))):
        factor = factor_between(covariance[k], root)
        np.multiply(inverse_of_factor(factor), np.outer(root, root), out=inverses[k])
        half += half_log_determinant(factor)
    factor = lower_factor(inverses.sum(axis=0))
    return Curvature(inverses, half + half_log_determinant(factor), factor)


def _times(matrices: Floats, vectors: Floats) -> Floats:
    """Each matrix times its vector, shape (n_classes, n_rows)."""
    return np.asarray(matrices @ vectors[:, :, np.newaxis])[:, :, 0]


def fit_softmax(covariance: Floats, offset: Floats, codes: Rows) -> SoftmaxFit:
    """Fit a correction.

    Parameters
    ----------
    covariance : ndarray of shape (n_classes, n_labels, n_labels)
        K_k.
    offset : ndarray of shape (n_classes, n_labels)
        Log scores of the model.
    codes : ndarray of int, shape (n_labels,)
        Class of each label.

    Returns
    -------
    SoftmaxFit
    """
    Y = np.eye(len(offset))[:, codes]

    def value(dual: Floats) -> float:
        delta = _times(covariance, dual)
        f = offset + delta
        return float((Y * f).sum() - logsumexp(f, axis=0).sum() - 0.5 * (dual * delta).sum())

    def step(dual: Floats) -> Floats:
        delta = _times(covariance, dual)
        P = softmax(offset + delta, axis=0)
        curve = _curvature(covariance, P)
        b = P * delta - P * (P * delta).sum(axis=0) + Y - P
        c = _times(curve.inverses, _times(covariance, b))
        return b - c + curve.inverses @ cho_solve((curve.factor, True), c.sum(axis=0))

    dual = climb(np.zeros_like(offset), value, step, lambda one, other, share: one + share * (other - one))
    f = offset + _times(covariance, dual)
    P = softmax(f, axis=0)
    curve = _curvature(covariance, P)
    coupled = np.array([solve_triangular(curve.factor, E, lower=True).T for E in curve.inverses])
    own = np.einsum("kii->ik", covariance)
    fit = SoftmaxFit(value(dual) - curve.half_log_determinant, np.empty(0), Y - P, curve.inverses, coupled)
    left_out = _left_out(f.T, P.T, fit.gradient.T, posterior_covariance(fit, covariance, own))
    return fit._replace(left_out=left_out[np.arange(len(codes)), codes])


def posterior_covariance(fit: SoftmaxFit, covariance: Floats, variance: Floats) -> Floats:
    """Covariance of f over the classes, shape (n_rows, n_classes, n_classes); arguments of :func:`softmax_proba`."""
    U = covariance @ fit.coupled
    found = U.transpose(1, 0, 2) @ U.transpose(1, 2, 0)
    explained = np.einsum("kij,kij->ik", covariance @ fit.inverses, covariance)
    k = np.arange(variance.shape[1])
    found[:, k, k] += variance - explained
    return found


def _left_out(f: Floats, P: Floats, gradient: Floats, S: Floats) -> Floats:
    """Class probabilities of each labelled row without its label, shape (n_labels, n_classes)."""
    H = np.eye(P.shape[1]) * P[:, np.newaxis] - P[:, :, np.newaxis] * P[:, np.newaxis]
    V = np.linalg.solve(np.eye(P.shape[1]) - S @ H, S).astype(np.float64)
    return mean_softmax(f - np.einsum("ikl,il->ik", V, gradient), V)


def softmax_proba(fit: SoftmaxFit, covariance: Floats, variance: Floats, offset: Floats) -> Floats:
    """Class probabilities at other rows.

    Parameters
    ----------
    fit : SoftmaxFit
    covariance : ndarray of shape (n_classes, n_rows, n_labels)
        With the labelled rows.
    variance, offset : ndarray of shape (n_rows, n_classes)

    Returns
    -------
    ndarray of shape (n_rows, n_classes)
    """
    mean = offset + _times(covariance, fit.gradient).T
    return mean_softmax(mean, posterior_covariance(fit, covariance, variance))
