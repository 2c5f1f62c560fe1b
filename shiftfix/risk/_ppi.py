"""The mean loss on the target from a few labels, helped by scores of all rows: prediction-powered inference.

With losses L of n labelled rows drawn at random, scores g of these and of N others (what a model takes the loss to be,
right or wrong) and any number a,

    theta = a mean_unlabelled(g) + mean_labelled(L - a g)

is unbiased whatever moved between source and target, since the two means of g have one expectation. Its variance is
a^2 Var(g) / N + Var(L - a g) / n, least at a = Cov(L, g) / ((1 + n / N) Var(g)), where it is that of labels alone times
1 - Corr(L, g)^2 / (1 + n / N). Where row i is labelled with a known probability pi_i,

    theta = mean_all(a g + xi (L - a g) / pi),    xi 1 for labelled rows and 0 for others.

Source: Angelopoulos, Duchi & Zrnic (2023), "PPI++: efficient prediction-powered inference", equations 2 and 8 and
example 6.1; Zrnic & Candes (2024), "Active statistical inference", equation 2.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shiftfix._numerics import Floats


class PoweredMean(NamedTuple):
    """A mean, the variance of its error, and the power: how far the scores are relied on."""

    mean: float
    variance: float
    power: float


def variance_of(values: Floats, n_fitted: int = 1) -> float:
    """Variance of values about their mean, of which ``n_fitted`` parameters were fitted to them; 0 where none is left.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
    n_fitted : int, default=1
    """
    freedom = len(values) - n_fitted
    return float(np.square(values - values.mean()).sum() / freedom) if freedom > 0 else 0.0


def best_power(values: Floats, scores: Floats, scores_unlabelled: Floats) -> float:
    """The power of least variance; 0 for scores that are all the same.

    Parameters
    ----------
    values, scores : ndarray of shape (n_labels,)
        Losses and scores of the labelled rows.
    scores_unlabelled : ndarray of shape (n_unlabelled,)
    """
    spread = variance_of(np.append(scores, scores_unlabelled))
    if len(values) < 3 or not len(scores_unlabelled) or not spread > 0:
        return 0.0
    covariance = float((values - values.mean()) @ (scores - scores.mean())) / (len(values) - 1)
    return covariance / ((1 + len(values) / len(scores_unlabelled)) * spread)


def ppi_mean(
    values_labelled: Floats, scores_labelled: Floats, scores_unlabelled: Floats, power: float | None = None
) -> PoweredMean:
    """Mean over the target, its variance, and the power.

    Parameters
    ----------
    values_labelled, scores_labelled : ndarray of shape (n_labels,)
        Losses, and what was expected of them, of rows drawn at random.
    scores_unlabelled : ndarray of shape (n_unlabelled,)
        What is expected of the other rows.
    power : float, default=None
        How far the scores are relied on: 0 takes the labels alone. None means the power of least variance, which is
        estimated from the same labels; the variance allows for that with one degree of freedom.

    Returns
    -------
    PoweredMean
        (mean, variance, power).
    """
    chosen = best_power(values_labelled, scores_labelled, scores_unlabelled) if power is None else power
    n, n_others = len(values_labelled), len(scores_unlabelled)
    corrected = values_labelled - chosen * scores_labelled
    n_fitted = 2 if power is None and chosen != 0 else 1
    mean, variance = corrected.mean(), variance_of(corrected, n_fitted) / n
    if n_others and chosen != 0:
        mean += chosen * scores_unlabelled.mean()
        variance += chosen**2 * variance_of(scores_unlabelled) / n_others
    return PoweredMean(float(mean), float(variance), float(chosen))


def ppi_mean_of_sampled(
    values_labelled: Floats,
    scores: Floats,
    rows: NDArray[np.intp],
    probability: Floats,
    power: float | None = None,
) -> PoweredMean:
    """The same where rows were drawn for labelling independently, each with a probability that is known.

    Parameters
    ----------
    values_labelled : ndarray of shape (n_labels,)
    scores : ndarray of shape (n_target,)
        Of all rows.
    rows : ndarray of int, shape (n_labels,)
        Which of them have labels.
    probability : ndarray of shape (n_labels,)
        Of each labelled row to be drawn, in (0, 1].
    power : float, default=None
        As for :func:`ppi_mean`.

    Returns
    -------
    PoweredMean
    """
    drawn, known = np.zeros(len(scores)), np.zeros(len(scores))
    drawn[rows] = 1 / probability
    known[rows] = values_labelled / probability
    left = (drawn - 1) * scores  # the term of a row is known - power * left
    spread = variance_of(left)
    if power is None:
        power = float(np.cov(known, left)[0, 1]) / spread if spread > 0 else 0.0
    terms = known - power * left
    return PoweredMean(float(terms.mean()), variance_of(terms, 2) / len(terms), float(power))
