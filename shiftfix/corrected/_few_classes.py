"""Corrections of class probabilities that a few target labels support.

With z = log(calibrated scores) a correction is a Gaussian process added to the logit of the second class, as a function
of that logit and the features; with more classes one is added to every z_k, as a function of z_k less its mean over the
classes, with variances of intercept, linear and smooth part halved, so that differences of classes vary as for two.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy.special import softmax

from shiftfix._numerics import Floats
from shiftfix._row_order import Rows
from shiftfix.corrected._few_binary import BinaryFit, binary_proba, fit_binary
from shiftfix.corrected._few_kernels import ALONE, LEVELS, PartScales, RowProducts, covariances, variances
from shiftfix.corrected._few_many import TRAINED
from shiftfix.corrected._few_rows import LabelledFeatures
from shiftfix.corrected._few_softmax import SoftmaxFit, fit_softmax, softmax_proba
from shiftfix.corrected._few_stack import evidence_weights, stack

NOTHING, TARGET = "nothing", "target"
# Weights below are left out: they cost time, and move no probability by more.
LEAST_WEIGHT = 1e-3


class Member(NamedTuple):
    """One correction.

    Attributes
    ----------
    weight : float
        Share of the prediction.
    scales : PartScales
    alone : bool
        Whether it learns from the target labels alone, without the model's scores.
    fit : BinaryFit or SoftmaxFit
    """

    weight: float
    scales: PartScales
    alone: bool
    fit: Any


class ClassCorrection(NamedTuple):
    """What a few labels taught.

    Attributes
    ----------
    weights : dict of str to float
        What each expert gets.
    members : list of Member
        Empty where nothing is corrected.
    labelled : LabelledFeatures
        The labelled rows that they learned from.
    log_scores : ndarray of shape (n_labels, n_classes)
        Calibrated, of the same rows.
    """

    weights: dict[str, float]
    members: list[Member]
    labelled: LabelledFeatures
    log_scores: Floats


def offsets(log_scores: Floats) -> Floats:
    """What corrections are added to: the logit, shape (1, n_rows), or log scores, (n_classes, n_rows)."""
    return (log_scores[:, 1:] - log_scores[:, :1]).T if log_scores.shape[1] == 2 else log_scores.T


def slope_scores(log_scores: Floats) -> Floats:
    """Scores that slopes multiply, of the shape of :func:`offsets`."""
    found = offsets(log_scores)
    return found if len(found) == 1 else found - found.mean(axis=0)


def scaled_for(scales: PartScales, n_offsets: int) -> PartScales:
    """PartScales of the process of one class."""
    if n_offsets == 1:
        return scales
    a, b, c, e = scales
    return PartScales(a / 2**0.5, b, c / 2**0.5, e / 2**0.5)


def fit_scales(
    scales: PartScales, alone: bool, log_scores: Floats, products: RowProducts, codes: Rows
) -> BinaryFit | SoftmaxFit:
    """Fit the correction of given scales to the labels."""
    offset, slope = offsets(log_scores), slope_scores(log_scores)
    offset = np.zeros_like(offset) if alone else offset
    slopes = slope[:, :, np.newaxis] * slope[:, np.newaxis]
    covariance = covariances(scaled_for(scales, len(offset)), slopes, products)
    if len(offset) == 1:
        return fit_binary(covariance[0], offset[0], codes.astype(np.float64))
    return fit_softmax(covariance, offset, codes)


class JudgedLabels(NamedTuple):
    """Labels that experts are judged on; processes learn from the first ones.

    Attributes
    ----------
    log_scores : ndarray of shape (n_judged, n_classes)
        Calibrated.
    codes : ndarray of int, shape (n_judged,)
        Class of each.
    X_others : array-like, sparse matrix or data frame
        Rows of those that processes do not learn from.
    trained : ndarray of shape (n_judged, n_classes) or None
        What an estimator trained on other target labels alone says of them.
    """

    log_scores: Floats
    codes: Rows
    X_others: Any = ()
    trained: Floats | None = None

    def first(self, n_labels: int) -> "JudgedLabels":
        """The first ones alone."""
        return JudgedLabels(self.log_scores[:n_labels], self.codes[:n_labels])

    def others_by(self, correction: "ClassCorrection") -> Floats:
        """Probabilities that a correction, which did not learn from them, gives the other labels."""
        n_learned = len(correction.log_scores)
        if n_learned == len(self.codes):
            return np.empty(0)
        return probability_of(
            corrected_proba(correction, self.log_scores[n_learned:], self.X_others), self.codes[n_learned:]
        )


def probability_of(P: Floats, codes: Rows) -> Floats:
    """Of its class, for each row."""
    return P[np.arange(len(codes)), codes]


class ClassExpert(NamedTuple):
    """Members by their evidence, and the probability of each judged label by models that did not learn from it."""

    members: list[Member]
    left_out: Floats


def fit_expert(
    family: tuple[PartScales, ...], alone: bool, judged: JudgedLabels, labelled: LabelledFeatures
) -> ClassExpert:
    """Fit corrections of several scales; arguments as those of :func:`learn_class_correction`."""
    learned, products = judged.first(len(labelled.rows)), labelled.products()
    fits = [fit_scales(scales, alone, learned.log_scores, products, learned.codes) for scales in family]
    shares = evidence_weights(np.array([fit.log_evidence for fit in fits]))
    parts = zip(shares.tolist(), family, fits, strict=True)
    members = [Member(share, scales, alone, fit) for share, scales, fit in parts]
    kept = [member for member in members if member.weight >= LEAST_WEIGHT]
    others = judged.others_by(ClassCorrection({NOTHING: 0.0}, kept, labelled, learned.log_scores))
    return ClassExpert(members, np.append(shares @ np.array([fit.left_out for fit in fits]), others))


def learn_class_correction(
    judged: JudgedLabels, labelled: LabelledFeatures, levels: tuple[str, ...], alone: bool, a0: float
) -> ClassCorrection:
    """Fit all corrections and stack them.

    Parameters
    ----------
    judged : JudgedLabels
    labelled : LabelledFeatures
        Of the first of them, which processes learn from.
    levels : tuple of str
        Keys of ``LEVELS``.
    alone : bool
        Whether a process of the target labels alone joins.
    a0 : float
        Pseudo-rows on "nothing".

    Returns
    -------
    ClassCorrection
    """
    families = {level: (LEVELS[level], False) for level in levels} | ({TARGET: (ALONE, True)} if alone else {})
    experts = {name: fit_expert(*family, judged, labelled) for name, family in families.items()}
    left_out = {NOTHING: probability_of(np.exp(judged.log_scores), judged.codes)}
    left_out |= {name: expert.left_out for name, expert in experts.items()}
    if judged.trained is not None:
        left_out[TRAINED] = probability_of(judged.trained, judged.codes)
    w = stack(np.column_stack(list(left_out.values())), a0)
    weights = dict(zip(left_out, w.tolist(), strict=True))
    shares = [(m, m.weight * weights[name]) for name, expert in experts.items() for m in expert.members]
    members = [member._replace(weight=share) for member, share in shares if share >= LEAST_WEIGHT]
    return ClassCorrection(weights, members, labelled, judged.first(len(labelled.rows)).log_scores)


def corrected_proba(correction: ClassCorrection, log_scores: Floats, X: Any, trained: Floats | None = None) -> Floats:
    """Class probabilities of rows.

    Parameters
    ----------
    correction : ClassCorrection
    log_scores : ndarray of shape (n_rows, n_classes)
        Calibrated, of these rows.
    X : array-like, sparse matrix or data frame of n_rows rows
    trained : ndarray of shape (n_rows, n_classes), default=None
        By the estimator trained on the target labels; without it the other experts share its weight.

    Returns
    -------
    ndarray of shape (n_rows, n_classes)
    """
    P = correction.weights[NOTHING] * softmax(log_scores, axis=1)
    if trained is not None:
        P += correction.weights[TRAINED] * trained
    if correction.members:
        width = len(correction.log_scores) * len(offsets(correction.log_scores))
        for block, products, squares in correction.labelled.in_blocks(X, len(P), width):
            P[block] += _members_proba(correction, log_scores[block], products, squares)
    return P / P.sum(axis=1, keepdims=True)


def _members_proba(correction: ClassCorrection, log_scores: Floats, products: RowProducts, squares: Floats) -> Floats:
    """Class probabilities by the corrections, times their weights, summed."""
    offset, slope = offsets(log_scores), slope_scores(log_scores)
    slopes = slope[:, :, np.newaxis] * slope_scores(correction.log_scores)[:, np.newaxis]
    total = np.zeros_like(log_scores)
    for member in correction.members:
        scales = scaled_for(member.scales, len(offset))
        covariance, variance = covariances(scales, slopes, products), variances(scales, slope**2, squares)
        start = np.zeros_like(offset) if member.alone else offset
        if len(offset) == 1:
            p = binary_proba(member.fit, covariance[0], variance[0], start[0])
            total += member.weight * np.column_stack([1 - p, p])
        else:
            total += member.weight * softmax_proba(member.fit, covariance, variance.T, start.T)
    return total
