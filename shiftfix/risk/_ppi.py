"""The mean loss on the target from a few labels, helped by scores of all rows: prediction-powered inference.

With losses L of n labelled rows drawn at random, scores g of these and of N others (what a model takes the loss to be,
right or wrong) and any number a,

    theta = a mean_unlabelled(g) + mean_labelled(L - a g)

is unbiased whatever moved between source and target, since the two means of g have one expectation. Its variance is
a^2 Var(g) / N + Var(L - a g) / n, least at a = Cov(L, g) / ((1 + n / N) Var(g)), where it is that of labels alone times
1 - Corr(L, g)^2 / (1 + n / N). Where row i is labelled with a known probability pi_i,

    theta = a mean_all(g) + sum w (L - a g) / sum w,    w = 1 / pi over the labelled rows.

Dividing by the sum of the weights and not by the number of rows keeps a share a share, and takes out the chance in how
many rows were drawn; with the same probability for all it is the mean above.
Source: Angelopoulos, Duchi & Zrnic (2023), "PPI++: efficient prediction-powered inference", equations 2 and 8 and
example 6.1; Zrnic & Candes (2024), "Active statistical inference", equation 2, there divided by the number of rows;
Hajek (1971).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shiftfix._numerics import Floats

# As many labels speak against a gain by scores. In three settings of two levels of scores 20 of them cover .94 or more
# at a level of .95 for 30 to 100 labels, and none .83 to .92; in three further settings 20 cover .94 or more.
PRIOR_LABELS = 20


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
    w = 1 / probability
    v = w / w.sum()
    alone, left = np.zeros(len(scores)), scores.mean() - scores
    # What each row adds to the error of the mean of the labels, and to that of the mean of their scores.
    alone[rows] = len(scores) * v * (values_labelled - v @ values_labelled)
    left[rows] += len(scores) * v * (scores[rows] - v @ scores[rows])
    spread, n = variance_of(left), len(values_labelled)
    if power is None:
        power = float(np.cov(alone, left)[0, 1]) / spread if spread > 0 and n > 2 else 0.0
    mean = v @ values_labelled + power * (scores.mean() - v @ scores[rows])
    fitted = n / max(n - (2 if power else 1), 1)
    return PoweredMean(float(mean), float(np.square(alone - power * left).mean() * fitted / len(scores)), float(power))


def steadied_variance(variance: float, alone: float, n: float) -> float:
    """Variance of a powered mean that a few labels cannot leave at almost nothing.

    Scores that explain the losses of a few labels by chance, or all but errors too rare to be among them, leave no
    residuals. The variance is therefore taken as if ``PRIOR_LABELS`` more labels had been seen of which the scores
    explain nothing; so a gain is at most 1 + n / PRIOR_LABELS.

    Parameters
    ----------
    variance, alone : float
        With the scores, and of the labels alone.
    n : float
        Labels.
    """
    return max(variance, (n * variance + PRIOR_LABELS * alone) / (n + PRIOR_LABELS))


def labels_worth(probability: Floats | None, n: int) -> float:
    """Labels of one probability that n labels of these are worth: (sum w)^2 / sum w^2, w = 1 / pi.

    Source: Kish (1965), "Survey sampling", section 11.7.
    """
    return float(n) if probability is None else float((1 / probability).sum() ** 2 / np.square(1 / probability).sum())
