"""Class probabilities that no single row can blow up: a score of exactly 0 is one that was too small to show.

A forest of 100 trees says 0 of what it has hardly seen. Its logarithm would decide a temperature alone.
"""

from typing import Any

import numpy as np

from shiftfix._numerics import Floats
from shiftfix._validation import check_scores

LEAST_SCORE = 1e-6


def bounded_scores(scores: Any, n_classes: int) -> Floats:
    """Class probabilities that are nowhere below ``LEAST_SCORE``, rows summing to 1."""
    P = np.maximum(check_scores(scores, "predict_proba", n_classes), LEAST_SCORE)
    return np.asarray(P / P.sum(axis=1, keepdims=True))
