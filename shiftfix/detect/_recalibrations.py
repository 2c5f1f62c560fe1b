"""Recalibrations of class probabilities: slopes and biases of their logarithms, and draws of what is not known of them.

Source: Platt (1999), in Advances in Large Margin Classifiers, 61-74, with a slope for all classes and a bias for each.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from shiftfix._blocks import row_blocks
from shiftfix._numerics import Floats

N_DRAWS = 300
# Of the second bettor: slopes of the log scores, and spreads of the changes of their biases, in nats.
SLOPES = (0.5, 1.0, 2.0)
BIASES = (0.5, 1.5)
# Share of the largest information of any direction below which a direction is not told at all.
FLAT = 1e-9


class Changes(NamedTuple):
    """Recalibrations of log probabilities: slope * log p + bias, then softmax.

    Attributes
    ----------
    slopes : ndarray of shape (n_changes,)
    biases : ndarray of shape (n_changes, n_classes)
    log_density : ndarray of shape (n_changes,) or float, default=0.0
        Of draws by their sampling error, relative to the first's.
    """

    slopes: Floats
    biases: Floats
    log_density: Floats | float = 0.0

    def widened(self, width: float) -> "Changes":
        """The same draws, so many times as far from the first."""
        centre = self.slopes[0], self.biases[0]
        slopes, biases = centre[0] + width * (self.slopes - centre[0]), centre[1] + width * (self.biases - centre[1])
        return Changes(slopes, biases, self.log_density)

    def log_likelihoods(self, log_p: Floats, y: NDArray[np.intp]) -> Floats:
        """Log probability of each label under each change, shape (n_labels, n_changes)."""
        found = np.empty((len(y), len(self.slopes)))
        for rows in row_blocks(len(y), self.biases.size):
            logits = self.slopes * log_p[rows].T[:, :, np.newaxis] + self.biases.T[:, np.newaxis]
            logits -= logits.max(axis=0)
            chosen = np.take_along_axis(logits, y[np.newaxis, rows, np.newaxis], axis=0)[0]
            found[rows] = chosen - np.log(np.exp(logits, out=logits).sum(axis=0))
        return found


def calibration_errors(log_p: Floats, rng: np.random.Generator) -> Changes:
    """Draws of slope and bias by their sampling error in a calibration on these rows.

    The information of slope and biases is sum J' (diag(p) - p p') J with J = [log p, I].

    Parameters
    ----------
    log_p : ndarray of shape (n_source, n_classes)
        Calibrated, centred for each row or not.
    rng : numpy.random.Generator
    """
    p, n_classes = np.exp(log_p), log_p.shape[1]
    slope_score = p * (log_p - (p * log_p).sum(axis=1, keepdims=True))
    information = np.zeros((n_classes + 1, n_classes + 1))
    information[0, 0] = (slope_score * log_p).sum()
    information[0, 1:] = information[1:, 0] = slope_score.sum(axis=0)
    information[1:, 1:] = np.diag(p.sum(axis=0)) - p.T @ p
    values, vectors = np.linalg.eigh(information)
    # Two directions at least are not told: one bias for all classes, and what the rows leave open.
    spread = np.where(values > FLAT * values[-1], 1 / np.sqrt(np.maximum(values, FLAT * values[-1])), 0.0)
    normal = rng.normal(size=(N_DRAWS, n_classes + 1))
    errors = (normal * spread) @ vectors.T
    log_density = np.append(0.0, -0.5 * np.square(normal) @ (spread > 0))
    return Changes(np.append(1.0, 1 + errors[:, 0]), np.vstack([np.zeros(n_classes), errors[:, 1:]]), log_density)


def any_recalibration(n_classes: int, rng: np.random.Generator) -> Changes:
    """What the second bettor expects: other slopes, and biases of any kind."""
    pairs = [(slope, spread) for slope in SLOPES for spread in BIASES]
    n_each = N_DRAWS // len(pairs)
    biases = [rng.normal(0, spread, (n_each, n_classes)) for _, spread in pairs]
    return Changes(np.repeat([slope for slope, _ in pairs], n_each), np.concatenate(biases))
