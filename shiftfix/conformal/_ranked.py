"""Calibration scores in order, with the weight below each: what every conformal answer is read from.

Sorted once; after that a threshold or a p-value costs one search in the sorted scores.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shiftfix._numerics import Floats
from shiftfix._row_order import Rows

# Shares of the whole weight that differ by less are equal: .9 * 10 rows is 9 rows, whatever the last digit says.
EQUAL_SHARES = 1e-10
NO_STRATUM = -1  # of rows of a stratum without calibration rows


class RankedScores(NamedTuple):
    """Scores of calibration rows, increasing.

    Attributes
    ----------
    scores : ndarray of shape (n_rows,)
        A large score says that the label does not fit the row.
    below : ndarray of shape (n_rows + 1,)
        Weight of the first 0, 1, ..., n_rows of them.
    """

    scores: Floats
    below: Floats

    @property
    def total(self) -> float:
        """Weight of all rows."""
        return float(self.below[-1])

    def weight_under(self, scores: Floats) -> Floats:
        """Weight of the rows with a smaller score, same shape."""
        return self.below[np.searchsorted(self.scores, scores, side="left")]

    def weight_up_to(self, scores: Floats) -> Floats:
        """Weight of the rows with a score as small or smaller, same shape."""
        return self.below[np.searchsorted(self.scores, scores, side="right")]

    def reaching(self, weight: Floats) -> Floats:
        """The smallest score up to which there is that much weight, same shape; infinity where there is less in all."""
        places = np.searchsorted(self.below[1:], weight, side="left")
        return np.append(self.scores, np.inf)[places]


def ranked_with_weights(scores: Floats, weights: Floats) -> RankedScores:
    """Sort the scores of calibration rows; rows of weight 0 are left out."""
    counted = np.flatnonzero(weights)
    order = counted[np.argsort(scores[counted], kind="stable")]
    return RankedScores(scores[order], np.concatenate([[0.0], np.cumsum(weights[order])]))


def rank_by_stratum(scores: Floats, weights: Floats, strata: Rows, n_strata: int) -> list[RankedScores]:
    """The scores of each stratum, numbered from 0."""
    return [ranked_with_weights(scores[strata == k], weights[strata == k]) for k in range(n_strata)]


def totals_of(ranked: Sequence[RankedScores]) -> Floats:
    """Weight of every stratum, and 0 at the end, where ``NO_STRATUM`` finds it; shape (n_strata + 1,)."""
    return np.array([*(stratum.total for stratum in ranked), 0.0])


def weight_needed(total: Floats, own: Floats, level: float) -> Floats:
    """Weight that the scores up to the threshold must have, of all weight and that of the row itself.

    More than there is at a level of 1 and above, which what clipping costs may lead to.
    """
    return level * (total + own) * (1 - EQUAL_SHARES) if level < 1 else np.full(np.shape(total + own), np.inf)


def covers_for_certain(total: Floats, own: Floats, level: float) -> NDArray[np.bool_]:
    """Whether the calibration rows have too little weight for any finite threshold, same shape."""
    return total < weight_needed(total, own, level)


def thresholds_by_stratum(ranked: Sequence[RankedScores], strata: Rows, own: Floats, level: float) -> Floats:
    """Threshold of each row among the calibration rows of its stratum, shape (n_rows,); infinity where none is enough.

    Parameters
    ----------
    ranked : sequence of RankedScores
        Of every stratum.
    strata : ndarray of int of shape (n_rows,)
        Stratum of each row; ``NO_STRATUM`` for none.
    own : ndarray of shape (n_rows,)
        Weight of each row.
    level : float in (0, 1)
    """
    needed = weight_needed(totals_of(ranked)[strata], own, level)
    found = np.full(len(strata), np.inf)
    for number, stratum in enumerate(ranked):
        here = strata == number
        found[here] = stratum.reaching(needed[here])
    return found


def weight_under_by_stratum(ranked: Sequence[RankedScores], strata: Rows, scores: Floats) -> Floats:
    """Weight of the calibration rows of its stratum with a smaller score than each row, shape (n_rows,)."""
    found = np.zeros(len(strata))
    for number, stratum in enumerate(ranked):
        here = strata == number
        found[here] = stratum.weight_under(scores[here])
    return found
