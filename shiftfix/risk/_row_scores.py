"""One score per row, large being good: the losses of :mod:`shiftfix.risk._losses` under scikit-learn's names."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils.validation import _num_samples

from shiftfix._numerics import Floats
from shiftfix._setting_checks import check_methods, check_option
from shiftfix._validation import check_vector
from shiftfix.exceptions import ShiftDataError
from shiftfix.risk._losses import absolute_losses, log_losses, row_losses, squared_losses, zero_one_losses

RowScorer = Callable[[Any, Any, Any], Floats]


def row_accuracies(model: Any, X: Any, y: Any) -> Floats:
    """1 where the prediction is right."""
    return 1 - zero_one_losses(model.predict(X), y)


def row_log_scores(model: Any, X: Any, y: Any) -> Floats:
    """Log of the probability of each row's label."""
    check_methods(model, "estimator", ["predict_proba"], 'a classifier with predict_proba, for scoring="neg_log_loss",')
    return -log_losses(model.predict_proba(X), y, model.classes_)


def row_squared_scores(model: Any, X: Any, y: Any) -> Floats:
    """Minus the squared error."""
    return -squared_losses(model.predict(X), y)


def row_absolute_scores(model: Any, X: Any, y: Any) -> Floats:
    """Minus the absolute error."""
    return -absolute_losses(model.predict(X), y)


def row_common_scores(model: Any, X: Any, y: Any) -> Floats:
    """Minus the loss that such a model is commonly judged by."""
    return -row_losses(model, X, y)


SCORERS: dict[str | None, RowScorer] = {
    None: row_common_scores,
    "accuracy": row_accuracies,
    "neg_log_loss": row_log_scores,
    "neg_mean_absolute_error": row_absolute_scores,
    "neg_mean_squared_error": row_squared_scores,
}


def row_scorer(scoring: Any) -> RowScorer:
    """The function of a name, or one made of the user's losses.

    Parameters
    ----------
    scoring : None, str or callable
        ``scoring(model, X, y)`` gives one loss per row, small being good.

    Raises
    ------
    ShiftDataError
        For anything else.
    """
    if isinstance(scoring, type) or not callable(scoring):
        return SCORERS[check_option(scoring, "scoring", SCORERS)]

    def scored(model: Any, X: Any, y: Any) -> Floats:
        return -check_vector(scoring(model, X, y), "the losses of scoring", _num_samples(X))

    return scored


def weighted_mean_score(scores: Floats, weights: Floats) -> float:
    """Sum w s / sum w; raises where no row has weight."""
    total = float(np.sum(weights))
    if not total > 0:
        raise ShiftDataError(f"None of {len(weights)} rows to be judged has a positive weight: pass fewer folds.")
    return float(weights @ scores) / total
