"""Corrections of predicted numbers that a few target labels support.

With sigma the size of the model's residuals, those of the target, over sigma, are a Gaussian process of the
standardised prediction and the features, plus noise of .7 to 2 sigma. The mean of a process is linear in the parts of
its covariance, so the weighted mean of all processes is one sum over the parts.
"""

from typing import Any, NamedTuple

import numpy as np

from shiftfix._numerics import Floats
from shiftfix.corrected._few_classes import NOTHING
from shiftfix.corrected._few_gaussian import GaussianFit, fit_gaussian
from shiftfix.corrected._few_kernels import LEVELS, PartScales, covariances
from shiftfix.corrected._few_rows import LabelledFeatures
from shiftfix.corrected._few_stack import evidence_weights, stack

# Noise of the target's numbers, in units of the source's.
NOISES = (0.7, 1.0, 1.4, 2.0)


class NumberCorrection(NamedTuple):
    """What a few labels taught.

    Attributes
    ----------
    weights : dict of str to float
        What each expert gets.
    labelled : LabelledFeatures
    scores : ndarray of shape (n_labels,)
        Standardised predictions of the labelled rows.
    duals : ndarray of shape (4, n_labels)
        What intercept, slope, linear and smooth part are multiplied by, in units of sigma.
    """

    weights: dict[str, float]
    labelled: LabelledFeatures
    scores: Floats
    duals: Floats


class Expert(NamedTuple):
    """Densities of the left-out numbers and the parts of the mean, of one expert."""

    left_out: Floats
    duals: Floats


def part_variances(scales: PartScales) -> Floats:
    """Variances of the four parts, shape (4, 1)."""
    return np.square(scales)[:, np.newaxis]


def mean_of_fits(family: tuple[PartScales, ...], fits: list[list[GaussianFit]]) -> Expert:
    """One expert of all scales and noises, in proportion to their evidence."""
    shares = evidence_weights(np.array([[fit.log_evidence for fit in row] for row in fits]))
    left_out = sum(
        w * fit.left_out for ws, row in zip(shares, fits, strict=True) for w, fit in zip(ws, row, strict=True)
    )
    duals: Any = 0.0
    for scales, ws, row in zip(family, shares, fits, strict=True):
        duals = duals + part_variances(scales) * sum(w * fit.dual for w, fit in zip(ws, row, strict=True))
    return Expert(np.asarray(left_out), duals)


def learn_number_correction(
    residuals: Floats, scores: Floats, labelled: LabelledFeatures, levels: tuple[str, ...], a0: float
) -> NumberCorrection:
    """Fit all corrections and stack them.

    Parameters
    ----------
    residuals : ndarray of shape (n_labels,)
        Label less prediction, in units of sigma.
    scores : ndarray of shape (n_labels,)
        Standardised predictions.
    labelled : LabelledFeatures
    levels : tuple of str
        Keys of ``LEVELS``.
    a0 : float
        Pseudo-rows on "nothing".

    Returns
    -------
    NumberCorrection
    """
    products, slopes = labelled.products(), np.outer(scores, scores)
    families = {NOTHING: (PartScales(0.0),)} | {level: LEVELS[level] for level in levels}
    experts = [
        mean_of_fits(
            family, [fit_gaussian(covariances(scales, slopes, products), residuals, NOISES) for scales in family]
        )
        for family in families.values()
    ]
    w = stack(np.column_stack([expert.left_out for expert in experts]), a0)
    duals = np.einsum("k,kpm->pm", w, np.array([expert.duals for expert in experts]))
    return NumberCorrection(dict(zip(families, w.tolist(), strict=True)), labelled, scores, duals)


def corrections_of(correction: NumberCorrection, scores: Floats, X: Any) -> Floats:
    """What is added to the predictions, in units of sigma.

    Parameters
    ----------
    correction : NumberCorrection
    scores : ndarray of shape (n_rows,)
        Standardised predictions.
    X : array-like, sparse matrix or data frame of n_rows rows

    Returns
    -------
    ndarray of shape (n_rows,)
    """
    intercept, slope, linear, smooth = correction.duals
    found = intercept.sum() + scores * (correction.scores @ slope)
    for block, products, _ in correction.labelled.in_blocks(X, len(scores), len(correction.scores)):
        found[block] += products.linear @ linear + products.smooth @ smooth
    return np.asarray(found)
