"""The prior that class probabilities imply, where it is not the class frequency of the rows.

Scores of a classifier trained with balanced classes, or on another population, are posteriors under that
training's prior. Dividing them by the frequencies of the labelled rows at hand would correct from the wrong start.
Source: Saerens, Latinne & Decaestecker (2002), Neural Computation 14(1):21-41, equation 2.4, solved for the old prior.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

from shiftfix._blocks import row_blocks, weighted_sum
from shiftfix._door import public
from shiftfix._validation import check_scores
from shiftfix.label._labels import check_as_many, class_positions, class_totals, count_rows

# The mean score differs from the class frequency by more than sampling error in some class: four standard errors happen
# by chance once in 16,000 classes.
CALIBRATION_SIGMAS = 4.0

PriorFrom = Literal["frequency", "mean", "bias"]


def calibration_in_the_large(
    scores: NDArray[Any], class_index: NDArray[np.intp], sample_weight: NDArray[np.float64]
) -> float:
    """Largest |mean score - class frequency| over the classes, in standard errors; a float."""
    first, second = np.zeros(scores.shape[1]), np.zeros(scores.shape[1])
    for rows in row_blocks(*scores.shape):
        gap, weight = scores[rows].astype(np.float64), sample_weight[rows]
        gap[np.arange(len(gap)), class_index[rows]] -= 1
        first += weight @ gap
        second += weight @ np.square(gap, out=gap)
    total = sample_weight.sum()
    mean = first / total
    error = np.sqrt(np.maximum(second / total - mean**2, 0) / total)
    return float(np.max(np.abs(mean) / np.maximum(error, 1e-12)))


def implied_prior(
    scores: NDArray[Any], class_index: NDArray[np.intp], sample_weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Prior pi such that scores adjusted from pi to the class frequencies p fit the labels best.

    With scores proportional to pi_k f_k(x), the posteriors under p are softmax(log scores + b) with
    b = log(p / pi). The b of maximum likelihood (a convex problem) makes the mean adjusted score equal p.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_classes)
        Class probabilities of rows that the classifier was not trained on.
    class_index : ndarray of shape (n_rows,)
        True class of each row, as an index into the columns.
    sample_weight : ndarray of shape (n_rows,)
        Repeat counts of the rows.

    Returns
    -------
    ndarray of shape (n_classes,)
    """
    share = sample_weight / sample_weight.sum()
    frequency = class_totals(class_index, share, scores.shape[1])

    def loss(b: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        # Up to what does not depend on b; one exponential per class, none per row.
        factor = np.exp(b - b.max())
        value, mean = b.max() - frequency @ b, np.zeros(len(b))
        for rows in row_blocks(*scores.shape):
            block = np.maximum(scores[rows], 1e-12, dtype=np.float64)
            total = block @ factor
            value += share[rows] @ np.log(total)
            mean += (share[rows] / total) @ block
        return value, mean * factor - frequency

    b = minimize(loss, np.zeros(scores.shape[1]), jac=True, method="L-BFGS-B", options={"ftol": 1e-14, "gtol": 1e-9}).x
    prior = frequency * np.exp(b.min() - b)
    return prior / prior.sum()


def comes_from_another_prior(
    scores: NDArray[Any], class_index: NDArray[np.intp], sample_weight: NDArray[np.float64]
) -> bool:
    """Whether scores clearly imply another prior than the class frequencies; those of 0 and 1 only imply none."""
    if not any(((scores[rows] > 0) & (scores[rows] < 1)).any() for rows in row_blocks(*scores.shape)):
        return False
    return calibration_in_the_large(scores, class_index, sample_weight) > CALIBRATION_SIGMAS


def score_prior_from(
    scores: NDArray[Any],
    class_index: NDArray[np.intp],
    sample_weight: NDArray[np.float64],
    prior_from: PriorFrom,
) -> NDArray[np.float64]:
    """The prior to divide calibrated scores by, shape (n_classes,), found in one of three ways.

    Parameters
    ----------
    scores, class_index, sample_weight
        As for :func:`implied_prior`.
    prior_from : {"frequency", "mean", "bias"}
        The class frequencies, the mean score, or the prior that fits the labels best.
    """
    share = sample_weight / sample_weight.sum()
    if prior_from == "frequency":
        return class_totals(class_index, share, scores.shape[1])
    if prior_from == "bias":
        return implied_prior(scores, class_index, sample_weight)
    return weighted_sum(scores, share)


@public
def prior_of_scores(
    scores: ArrayLike, y: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> NDArray[np.float64] | None:
    """The prior that class probabilities imply, where it is not the class frequencies; else None.

    None when the mean score of every class is within four standard errors of its frequency. Otherwise the prior
    under which the scores fit the labels best: the one to divide by when adjusting them.

    Parameters
    ----------
    scores : array-like of shape (n_rows, n_classes)
        Class probabilities of rows that the classifier was not trained on; columns in the sorted order of the labels.
    y : array-like of shape (n_rows,)
        Labels; every class needs a row.
    sample_weight : array-like of shape (n_rows,), default=None
        Repeat counts of the rows.

    Returns
    -------
    ndarray of shape (n_classes,) or None

    Raises
    ------
    ShiftDataError
        For scores that are no probabilities, labels that are missing, or lengths that differ.

    See Also
    --------
    adjust_proba : Posteriors under another prior.
    MLLS : Maximum likelihood on calibrated scores; the most precise.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.repeat([0, 1], [90, 10])
    >>> x = np.random.default_rng(0).normal(2 * y - 1)
    >>> p = 1 / (1 + np.exp(-2 * x))  # posteriors of N(-1, 1) and N(1, 1) under equal priors; the rows are 9 to 1
    >>> prior_of_scores(np.column_stack([1 - p, p]), y).round(1).tolist()
    [0.5, 0.5]
    """
    classes, class_index = class_positions(y, "y")
    checked = check_scores(scores, "scores", len(classes))
    check_as_many(class_index, checked, "y", "scores")
    counts, _ = count_rows(class_index, sample_weight, classes, "y")
    if calibration_in_the_large(checked, class_index, counts) > CALIBRATION_SIGMAS:
        return implied_prior(checked, class_index, counts)
    return None
