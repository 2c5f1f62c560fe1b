"""BBSE from sums over rows: what it needs of any number of rows is the size of a few matrices.

Sums over the source of the scores of each class, over the target of its scores, and of their products, give the same
confusion matrices, prior, covariances and verdict as the rows do.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shiftfix._numerics import Floats, simplex_least_squares
from shiftfix.label._identification import Identification, identify, prior_verdict
from shiftfix.label._solution_error import MeanScatter, SourceError, solution_covariances
from shiftfix.label._source import _check_distinct


class ScoreSums(NamedTuple):
    """Sums over the rows of both samples.

    Attributes
    ----------
    class_rows : ndarray of shape (n_classes,)
        Repeat counts of each class in the source.
    class_scores : ndarray of shape (n_classes, n_classes)
        Row j is the sum of the scores of the source's rows of class j.
    class_products : ndarray of shape (n_classes, n_classes, n_classes) or None
        Sums of score * score' of each class; None for one-hot predictions, whose products are their sums.
    target_rows : float
    target_scores : ndarray of shape (n_classes,)
    target_products : ndarray of shape (n_classes, n_classes) or None
    """

    class_rows: Floats
    class_scores: Floats
    class_products: Floats | None
    target_rows: float
    target_scores: Floats
    target_products: Floats | None


class PriorBySums(NamedTuple):
    """What BBSE finds.

    Attributes
    ----------
    source_prior, target_prior : ndarray of shape (n_classes,)
    joint, conditional : ndarray of shape (n_classes, n_classes)
        Rows are predictions, columns true classes.
    target_mean : ndarray of shape (n_classes,)
    covariance, cautious_covariance : ndarray of shape (n_classes, n_classes)
        Of ``target_prior``; the latter allows for events too rare to show, and intervals are made of it.
    identification : Identification
    verdict : Verdict
    """

    source_prior: Floats
    target_prior: Floats
    joint: Floats
    conditional: Floats
    target_mean: Floats
    covariance: Floats
    cautious_covariance: Floats
    identification: Identification
    verdict: Any


def _scatters(products: Floats, sums: Floats, rows: Floats) -> Floats:
    """Scatter about the mean, from sums of products; classes first."""
    return products - sums[:, :, np.newaxis] * sums[:, np.newaxis, :] / rows[:, np.newaxis, np.newaxis]


def bbse_of_sums(sums: ScoreSums, classes: NDArray[Any]) -> PriorBySums:
    """Target prior and its error from sums.

    Parameters
    ----------
    sums : ScoreSums
    classes : ndarray of shape (n_classes,)

    Raises
    ------
    NotIdentifiedError
        When the confusion matrix is singular; names the confounded classes.
    """
    joint = sums.class_scores.T / sums.class_rows.sum()
    conditional = joint / joint.sum(axis=0)
    _check_distinct(conditional, classes)
    inverse = np.linalg.inv(conditional)
    scatters = None
    if sums.class_products is not None:
        scatters = _scatters(sums.class_products, sums.class_scores, sums.class_rows)
    learned = SourceError(conditional, inverse, sums.class_rows, scatters=scatters)
    mean = sums.target_scores / sums.target_rows
    products = np.diag(sums.target_scores) if sums.target_products is None else sums.target_products
    target = MeanScatter(sums.target_rows, mean, products - sums.target_rows * np.outer(mean, mean))
    prior = simplex_least_squares(conditional, mean)
    plain, cautious = solution_covariances(learned, target, prior)
    source_prior = sums.class_rows / sums.class_rows.sum()
    found = identify(prior, source_prior, cautious, classes)
    return PriorBySums(source_prior, prior, joint, conditional, mean, plain, cautious, found, prior_verdict(found))
