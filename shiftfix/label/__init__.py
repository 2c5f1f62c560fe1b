"""Target class priors when p(y) moves and p(x given y) stays.

=======================  ========================================================================
``BBSE``                 confusion matrix, hard or soft, solved on the simplex
``confusion_matrices``   joint and conditional confusion matrices of hard or soft scores
``adjust_proba``         posteriors under another prior, no retraining
``prior_of_scores``      the prior that class probabilities imply
=======================  ========================================================================
"""

from shiftfix.label._base import adjust_proba
from shiftfix.label._bbse import BBSE
from shiftfix.label._confusion import confusion_matrices
from shiftfix.label._implied_prior import prior_of_scores

__all__ = ["BBSE", "adjust_proba", "confusion_matrices", "prior_of_scores"]
