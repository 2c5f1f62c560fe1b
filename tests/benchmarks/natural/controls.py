"""Shifts with a known cause, made from the rows of a natural split by dealing them anew to source and target.

Both groups are pooled, and a row goes to the target with a probability that the control sets: by its class alone (label
shift: p(x | y) is shared), by its features alone (covariate shift: p(y | x) is shared), by both, or by neither. No row
is in both sides, and none is repeated.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import expit, ndtri
from scipy.stats import rankdata

# Rows of one cell of similar scores, within which features alone decide.
CELL_ROWS = 40
# Principal components of the standardised features that a random direction is drawn from.
COMPONENTS = 5


class Control(NamedTuple):
    """Log odds of the target, from end to end for classes, per standard deviation for features.

    Attributes
    ----------
    label : float
        Difference between the classes at the two ends; the others lie evenly between, in random order.
    orthogonal : float
        Along a direction of the features, within cells of equal scores: the scores' distribution stays.
    along : float
        Along the scores.
    """

    label: float = 0.0
    orthogonal: float = 0.0
    along: float = 0.0


CONTROLS = {
    "none": Control(),
    "label_mild": Control(label=1.0),
    "label_strong": Control(label=2.0),
    "covariate_orthogonal": Control(orthogonal=1.5),
    "covariate_along": Control(along=1.5),
    "label_and_covariate": Control(label=1.0, orthogonal=1.0),
}


def normal_ranks(values, rng):
    """Standard normal quantiles of the ranks, ties broken at random; shape (n_rows,)."""
    order = np.lexsort((rng.random(len(values)), values))
    return ndtri((rankdata(order.argsort()) - 0.5) / len(values))


def cells(scores, most=CELL_ROWS):
    """Cell of each row, by halving at the median of the score that spreads most until few rows are left."""
    cell = np.empty(len(scores), dtype=int)
    waiting, number = [np.arange(len(scores))], 0
    while waiting:
        rows = waiting.pop()
        if len(rows) <= most:
            cell[rows] = number
            number += 1
            continue
        widest = np.ptp(scores[rows], axis=0).argmax()
        order = rows[np.argsort(scores[rows, widest], kind="stable")]
        waiting += [order[: len(rows) // 2], order[len(rows) // 2 :]]
    return cell


def direction(X, rng):
    """A random combination of the first principal components of the standardised features, shape (n_rows,)."""
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    left, _, _ = np.linalg.svd(Z, full_matrices=False)
    left = left[:, :COMPONENTS]
    return left @ rng.normal(size=left.shape[1])


def target_log_odds(control, X, y, scores, rng):
    """Log odds that a row goes to the target, shape (n_rows,).

    Parameters
    ----------
    control : Control
    X : ndarray of shape (n_rows, n_features)
    y : ndarray of shape (n_rows,)
        Class codes; read for label shift only.
    scores : ndarray of shape (n_rows, n_scores)
        Out-of-fold scores of the learner: log probabilities, or the predicted value.
    rng : numpy Generator
    """
    log_odds = np.zeros(len(X))
    if control.label:
        ends = np.linspace(-0.5, 0.5, y.max() + 1)
        log_odds += control.label * rng.permutation(ends)[y]
    if control.orthogonal:
        along, cell = direction(X, rng), cells(scores)
        for number in range(cell.max() + 1):
            rows = np.flatnonzero(cell == number)
            log_odds[rows] += control.orthogonal * normal_ranks(along[rows], rng)
    if control.along:
        column = scores[:, rng.integers(scores.shape[1])]
        log_odds += control.along * rng.choice([-1, 1]) * normal_ranks(column, rng)
    return log_odds


def deal(name, X, y, scores, seed):
    """Whether each row goes to the target, shape (n_rows,); random for equal log odds."""
    # Of its own name too, so that controls of one seed do not share their draws.
    rng = np.random.default_rng([seed, *name.encode()])
    return rng.random(len(X)) < expit(target_log_odds(CONTROLS[name], X, y, scores, rng))
