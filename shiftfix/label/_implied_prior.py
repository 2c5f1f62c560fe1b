"""The prior that class probabilities imply, where it is not the class frequency of the rows.

Scores of a classifier trained with balanced classes, or on another population, are posteriors under that
training's prior. Dividing them by the frequencies of the labelled rows at hand would correct from the wrong start.
Source: Saerens, Latinne & Decaestecker (2002), Neural Computation 14(1):21-41, equation 2.4, solved for the old prior.
"""

import numpy as np
from scipy.optimize import minimize

from shiftfix._blocks import row_blocks
from shiftfix._validation import check_scores
from shiftfix.label._labels import check_as_many, class_counts, class_positions

# The mean score differs from the class frequency by more than sampling error in some class: four standard errors happen
# by chance once in 16,000 classes.
CALIBRATION_SIGMAS = 4.0


def calibration_in_the_large(scores, class_index, sample_weight):
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


def implied_prior(scores, class_index, sample_weight):
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
    frequency = np.bincount(class_index, weights=share, minlength=scores.shape[1])

    def loss(b):
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


def prior_of_scores(scores, y, *, sample_weight=None):
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
    scores = check_scores(scores, "scores", len(classes))
    check_as_many(class_index, scores, "y", "scores")
    counts, _ = class_counts(class_index, sample_weight, classes, "y")
    if calibration_in_the_large(scores, class_index, counts) > CALIBRATION_SIGMAS:
        return implied_prior(scores, class_index, counts)
    return None
