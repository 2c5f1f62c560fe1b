"""Accuracy from a threshold on confidence: average thresholded confidence (ATC).

The threshold t is where as many source rows lie below as are wrong, P_source(confidence < t) = error; the accuracy on
the target is then P_target(confidence >= t). Of rows tied at the threshold the share is taken that makes the source
come out exactly, so that without shift the source's accuracy is returned.
Source: Garg, Balakrishnan, Lipton, Neyshabur & Sedghi (2022), ICLR, equations 1 and 2.
"""

from typing import NamedTuple

import numpy as np

from shiftfix._numerics import Floats
from shiftfix.risk._method import Counts, RiskMethod

NO_WARRANT = (
    "confidence and correctness go together on the target as in the source. No data can test this without labels, and "
    "the interval holds sampling error alone"
)


class Threshold(NamedTuple):
    """A threshold, and the share of the rows exactly there that count as right."""

    at: float
    share: float


def accuracy_threshold(confidence: Floats, counts: Floats, accuracy: float) -> Threshold:
    """Where the share of rows above is the accuracy.

    Parameters
    ----------
    confidence, counts : ndarray of shape (n_rows,)
        Of the source rows.
    accuracy : float
    """
    values, place = np.unique(confidence, return_inverse=True)
    mass = np.bincount(place, weights=counts) / counts.sum()
    above = np.append(np.cumsum(mass[::-1])[::-1], 0.0)  # at or above each value
    at = int(np.flatnonzero(above[:-1] >= accuracy - 1e-12)[-1])
    share = (accuracy - above[at + 1]) / mass[at] if mass[at] > 0 else 0.0
    return Threshold(float(values[at]), float(np.clip(share, 0.0, 1.0)))


def share_above(confidence: Floats, counts: Floats, threshold: Threshold) -> float:
    """Share of rows above a threshold, with its part of those there."""
    right = (confidence > threshold.at) + threshold.share * (confidence == threshold.at)
    return float(np.average(right, weights=counts))


class ATCRisk(RiskMethod):
    """The share of target rows above the threshold."""

    title = "thresholded confidence (ATC)"
    assumes = NO_WARRANT

    def learn(self, counts: Counts) -> Threshold:
        """The threshold of the source rows."""
        known = self.problem
        right = known.source.predicted == known.y
        return accuracy_threshold(
            known.source.confidence, counts.source, float(np.average(right, weights=counts.source))
        )

    def value(self, learned: Threshold, counts: Counts) -> float:
        """Of the target rows."""
        return share_above(self.problem.target.confidence, counts.target, learned)
