"""How far scores may be trusted to narrow an interval that few labels give: by what they leave, with rows at the ends.

Scores that happen to explain all of few labels leave nothing, and by that no error; yet of n rows none of which is
unlike its score, z^2 / n of all may be. Rows at both ends of the range, whose score is the mean one, stand for those
among what the scores leave as they do among the values themselves.
"""

from typing import NamedTuple

from shiftfix._numerics import Floats
from shiftfix.risk._label_plan import with_ends
from shiftfix.risk._ppi import ppi_mean, variance_of


class PoweredGain(NamedTuple):
    """Prediction-powered mean, and as how many labels one counts for by the scores; 1 where they are of no use."""

    mean: float
    gain: float


def powered_gain(
    values: Floats, scores: Floats, others: Floats, ends: tuple[float, float] | None, n_each: float
) -> PoweredGain:
    """Mean of all rows by labels and scores, and the ratio of the variance by labels alone to its own.

    Parameters
    ----------
    values, scores : ndarray of shape (n_labels,)
        Losses, and what was expected of them.
    others : ndarray of shape (n_unlabelled,)
        What is expected of the other rows.
    ends : (float, float) or None
        Range of the values.
    n_each : float
        Rows at each end.
    """
    n, mean = len(values), float(values.mean())
    found = ppi_mean(values, scores, others)
    if not 0 < n * found.variance < variance_of(values):
        return PoweredGain(mean, 1.0)
    left = values - found.power * (scores - scores.mean())
    of_others = found.power**2 * variance_of(others) * n / len(others)
    lost = (n - 1) / (n - 2)
    ratio = with_ends(values, ends, n_each)[1] / (with_ends(left, ends, n_each)[1] * lost + of_others)
    return PoweredGain(found.mean, ratio) if ratio > 1 else PoweredGain(mean, 1.0)
