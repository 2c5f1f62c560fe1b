"""Corrections of predicted numbers that a few target labels support.

With sigma the size of the model's residuals, those of the target, over sigma, are a Gaussian process of the
standardised prediction and the features, plus noise of .7 to 2 sigma. The mean of a process is linear in the parts of
its covariance, so the weighted mean of all processes is one sum over the parts.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy.stats import norm

from shiftfix._numerics import Floats
from shiftfix.corrected._few_classes import NOTHING
from shiftfix.corrected._few_gaussian import GaussianFit, fit_gaussian
from shiftfix.corrected._few_kernels import LEVELS, PartScales, covariances
from shiftfix.corrected._few_many import TRAINED
from shiftfix.corrected._few_rows import LabelledFeatures
from shiftfix.corrected._few_stack import evidence_weights, stack
from shiftfix.exceptions import ShiftDataError

# Noise of the target's numbers, in units of the source's.
NOISES = (0.7, 1.0, 1.4, 2.0)
# An expert without errors is a rounded one; in units of sigma.
LEAST_ERROR = 1e-9
# Standardised predictions at which slopes end: a new row may be anything.
MOST_DEVIATIONS = 100.0
# Median of |z| for a standard normal z.
NORMAL_MEDIAN = 0.6745


class NumberUnits(NamedTuple):
    """Units of corrections.

    Attributes
    ----------
    sigma : float
        Of residuals, in units of y.
    mean, spread : float
        Of predictions, in units of y.
    """

    sigma: float
    mean: float
    spread: float

    def scores(self, found: Floats) -> Floats:
        """Standardised predictions, within ``MOST_DEVIATIONS`` of 0."""
        with np.errstate(over="ignore", invalid="ignore"):  # infinite units are refused
            return np.clip((found - self.mean) / self.spread, -MOST_DEVIATIONS, MOST_DEVIATIONS)

    def residuals(self, errors: Floats) -> Floats:
        """Errors in units of sigma.

        Raises
        ------
        ShiftDataError
            For errors whose squares overflow.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            found = errors / self.sigma
            refuse_overflow(*self, float(np.square(found).sum()))
        return found


def units_of(errors: Floats, source_scale: float, everywhere: Floats) -> NumberUnits:
    """Units by the errors of the labelled rows, the size of the source's and the predictions of all target rows."""
    with np.errstate(over="ignore", invalid="ignore"):
        common = float(np.median(np.abs(errors))) / NORMAL_MEDIAN
        # Where the target's residuals are of another order, corrections of the source's could not reach them.
        sigma = max(source_scale, common / 2) or 1.0
        return NumberUnits(sigma, float(everywhere.mean()), float(everywhere.std()) or 1.0)


def refuse_overflow(*numbers: float) -> None:
    """Raise for numbers that are not finite."""
    if not np.isfinite(numbers).all():
        raise ShiftDataError(
            "Values, predictions or residuals are so large, or so far from one another, that their squares overflow: "
            "pass y in larger units, and rows and labels without outliers beyond all numbers."
        )


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


class JudgedNumbers(NamedTuple):
    """Labels that experts are judged on; processes learn from the first ones.

    Attributes
    ----------
    residuals : ndarray of shape (n_judged,)
        Label less prediction, in units of sigma.
    scores : ndarray of shape (n_judged,)
        Standardised predictions.
    X_others : array-like, sparse matrix or data frame
        Rows of those that processes do not learn from.
    trained : ndarray of shape (n_judged,) or None
        Residuals of an estimator trained on other target labels alone, in units of sigma.
    """

    residuals: Floats
    scores: Floats
    X_others: Any = ()
    trained: Floats | None = None

    def others_by(self, correction: NumberCorrection) -> Floats:
        """Residuals that a correction, which did not learn from them, leaves of the other labels."""
        n_learned = len(correction.scores)
        if n_learned == len(self.scores):
            return np.empty(0)
        return self.residuals[n_learned:] - corrections_of(correction, self.scores[n_learned:], self.X_others)


class NumberExpert(NamedTuple):
    """Densities of the left-out numbers, what is missed of them, and the parts of the mean, of one expert."""

    left_out: Floats
    missed: Floats
    duals: Floats


def part_variances(scales: PartScales) -> Floats:
    """Variances of the four parts, shape (4, 1)."""
    return np.square(scales)[:, np.newaxis]


def mean_of_fits(family: tuple[PartScales, ...], fits: list[list[GaussianFit]]) -> NumberExpert:
    """One expert of all scales and noises, in proportion to their evidence."""
    shares = evidence_weights(np.array([[fit.log_evidence for fit in row] for row in fits]))
    left_out, missed, duals = (
        np.einsum("sn,snm->sm", shares, np.array([[fit[field] for fit in row] for row in fits])) for field in (1, 2, 3)
    )
    parts = np.array([part_variances(scales) for scales in family])
    return NumberExpert(left_out.sum(axis=0), missed.sum(axis=0), (parts * duals[:, np.newaxis]).sum(axis=0))


def own_density(missed: Floats) -> Floats:
    """Densities of an expert's errors under a normal of their own size."""
    size = max(float(np.sqrt(np.mean(np.square(missed)))), LEAST_ERROR)
    return np.asarray(norm.pdf(missed, scale=size))


def fit_number_expert(
    family: tuple[PartScales, ...], judged: JudgedNumbers, labelled: LabelledFeatures
) -> NumberExpert:
    """Fit corrections of several scales; arguments as those of :func:`learn_number_correction`."""
    n_learned, products = len(labelled.rows), labelled.products()
    residuals, scores = judged.residuals[:n_learned], judged.scores[:n_learned]
    slopes = np.outer(scores, scores)
    expert = mean_of_fits(
        family, [fit_gaussian(covariances(scales, slopes, products), residuals, NOISES) for scales in family]
    )
    others = judged.others_by(NumberCorrection({}, labelled, scores, expert.duals))
    return expert._replace(missed=np.append(expert.missed, others))


def learn_number_correction(
    judged: JudgedNumbers, labelled: LabelledFeatures, levels: tuple[str, ...], a0: float
) -> NumberCorrection:
    """Fit all corrections and stack them.

    A process tells the density of a number without it. Where not all experts are processes that learned from all
    labels, each is judged by a normal of the size of its own errors instead.

    Parameters
    ----------
    judged : JudgedNumbers
    labelled : LabelledFeatures
        Of the first of them, which processes learn from.
    levels : tuple of str
        Keys of ``LEVELS``.
    a0 : float
        Pseudo-rows on "nothing".

    Returns
    -------
    NumberCorrection
    """
    families = {NOTHING: (PartScales(0.0),)} | {level: LEVELS[level] for level in levels}
    experts = {name: fit_number_expert(family, judged, labelled) for name, family in families.items()}
    if judged.trained is None and len(labelled.rows) == len(judged.scores):
        left_out = {name: expert.left_out for name, expert in experts.items()}
    else:
        left_out = {name: own_density(expert.missed) for name, expert in experts.items()}
    if judged.trained is not None:
        left_out[TRAINED] = own_density(judged.trained)
    w = stack(np.column_stack(list(left_out.values())), a0)
    weights = dict(zip(left_out, w.tolist(), strict=True))
    duals = sum(weights[name] * expert.duals for name, expert in experts.items())
    return NumberCorrection(weights, labelled, judged.scores[: len(labelled.rows)], np.asarray(duals))


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
