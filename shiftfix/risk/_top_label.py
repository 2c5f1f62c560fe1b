"""Calibration of the confidence in the predicted class, with an intercept for each predicted class.

With c the confidence and k the predicted class, P(right) = 1 / (1 + exp(-(a logit c + b_k))), fitted to whether the
predictions of labelled rows are right. At the optimum the mean calibrated confidence of each predicted class is its
share of right predictions, under the weights of the rows: an accuracy is met exactly, whatever the shape of the
miscalibration. The other classes keep their ratios.
Source: Gupta & Ramdas (2022), "Top-label calibration and multiclass-to-binary reductions", ICLR, section 2; Platt
(1999) for the logistic form.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from shiftfix._numerics import Floats
from shiftfix.risk._metrics import Outputs

# What stands for a confidence of 0 or 1.
LEAST = 1e-6
# Pseudo-rows that hold a at 1 and every b at 0: enough for classes whose predictions are all right.
PENALTY = 1e-2
MOST_STEPS, TOLERANCE = 50, 1e-9


class Confidence(NamedTuple):
    """Logit of the confidence of each row, and its predicted class."""

    logit: Floats
    predicted: NDArray[np.intp]


def confidence_of(outputs: Outputs) -> Confidence:
    """Confidence in the predicted class."""
    c = np.clip(outputs.confidence, LEAST, 1 - LEAST)
    return Confidence(np.log(c) - np.log1p(-c), outputs.predicted.astype(np.intp))


def top_label_gradient(rows: Confidence, right: Floats, w: Floats, point: Floats) -> tuple[float, Floats, Floats]:
    """Penalised loss at (a, b_1, ..., b_K), its gradient and its Hessian, from weights that add up to the rows."""
    slope, intercepts = point[0], point[1:]
    eta = slope * rows.logit + intercepts[rows.predicted]
    p = expit(eta)
    off = point - np.eye(1, len(point))[0]
    value = float(w @ (np.logaddexp(0, eta) - right * eta) + PENALTY / 2 * off @ off)
    residual, curve = w * (p - right), w * p * (1 - p)
    n_classes = len(intercepts)
    gradient = np.append(residual @ rows.logit, np.bincount(rows.predicted, residual, n_classes)) + PENALTY * off
    crossed = np.bincount(rows.predicted, curve * rows.logit, n_classes)
    H = np.diag(np.append(curve @ np.square(rows.logit), np.bincount(rows.predicted, curve, n_classes)) + PENALTY)
    H[0, 1:] = H[1:, 0] = crossed
    return value, gradient, H


def fit_top_label(rows: Confidence, right: Floats, w: Floats, n_classes: int, start: Floats | None = None) -> Floats:
    """The slope a and the intercepts b_k, shape (1 + n_classes,), by Newton's method.

    Parameters
    ----------
    rows : Confidence
        Of labelled rows.
    right : ndarray of shape (n_rows,)
        1 where the prediction is right, else 0.
    w : ndarray of shape (n_rows,)
        Weights or repeat counts.
    n_classes : int
    start : ndarray of shape (1 + n_classes,), default=None
        Where to begin; None means the confidence as it is.
    """
    w = w * (np.count_nonzero(w) / w.sum())
    point = np.eye(1, 1 + n_classes)[0] if start is None else start
    value, gradient, H = top_label_gradient(rows, right, w, point)
    for _ in range(MOST_STEPS):
        if np.abs(gradient).max() <= TOLERANCE * len(w):
            break
        step = np.linalg.solve(H, gradient)
        for halvings in range(30):
            candidate = point - 0.5**halvings * step
            found = top_label_gradient(rows, right, w, candidate)
            if found[0] <= value + 1e-12 * abs(value):
                break
        point, (value, gradient, H) = candidate, found
    return point


def calibrated_proba(outputs: Outputs, rows: Confidence, point: Floats) -> Floats:
    """Class probabilities with the calibrated confidence, shape (n_rows, n_classes)."""
    confidence = expit(point[0] * rows.logit + point[1:][rows.predicted])
    assert outputs.proba is not None
    proba = np.maximum(outputs.proba, LEAST**2)
    at = np.arange(len(proba)), rows.predicted
    proba[at] = 0.0
    proba *= ((1 - confidence) / proba.sum(axis=1))[:, np.newaxis]
    proba[at] = confidence
    return proba
