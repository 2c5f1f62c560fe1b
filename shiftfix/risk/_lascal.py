"""Calibration error on the target without labels, under label shift (LaSCal).

Confidences are those of the target rows; how often a bin of them is right is the share of right predictions among the
source rows of that bin, weighted by the ratio of class shares.
Source: Popordanoska, Radevski, Tuytelaars & Blaschko (2024), "LaSCal: label-shift calibration without target labels",
NeurIPS, equation 5.
"""

import numpy as np

from shiftfix._numerics import Floats
from shiftfix.risk._label_risk import LabelShiftRisk
from shiftfix.risk._method import Counts
from shiftfix.risk._metrics import CALIBRATION_BINS, Binned


def shifted_calibration_error(source: Binned, right: Floats, w: Floats, target: Binned, counts: Floats) -> float:
    """Mean over the target rows of how far confidence and accuracy of their bin lie apart.

    Parameters
    ----------
    source, target : Binned
    right, w : ndarray of shape (n_source,)
        Whether each source row's prediction is right, and its weight.
    counts : ndarray of shape (n_target,)
        Repeat counts.
    """
    total = np.bincount(source.bins, w, CALIBRATION_BINS)
    accuracy = np.bincount(source.bins, w * right, CALIBRATION_BINS)
    mass = np.bincount(target.bins, counts, CALIBRATION_BINS)
    said = np.bincount(target.bins, counts * target.confidence, CALIBRATION_BINS)
    judged = (total > 0) & (mass > 0)
    gap = np.abs(said[judged] - mass[judged] * accuracy[judged] / total[judged])
    return float(gap.sum() / mass[judged].sum())


class LaSCalRisk(LabelShiftRisk):
    """The calibration error of target confidences against the weighted source."""

    title = "target confidences against class shares by maximum likelihood (LaSCal)"

    def value(self, learned: Floats, counts: Counts) -> float:
        """Over the bins that rows of both samples fall into."""
        known = self.problem
        there = known.metric.prepare(known.target, None, known.n_classes)
        right = (known.source.predicted == known.y).astype(np.float64)
        return shifted_calibration_error(self.here, right, learned * counts.source, there, counts.target)
