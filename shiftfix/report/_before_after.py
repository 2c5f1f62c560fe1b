"""What a correction brings on target rows whose labels are known: both models on the same rows, and the difference.

The difference is one of paired rows: its standard error is that of the mean of the rows' differences. The interval of
an accuracy is Wilson's (1927), J. Am. Stat. Assoc. 22:209-212.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.base import clone, is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.utils import _safe_indexing

from shiftfix._numerics import Floats
from shiftfix.corrected import CovariateShiftClassifier, CovariateShiftRegressor, LabelShiftClassifier
from shiftfix.report._record import Automatic, Record
from shiftfix.risk import absolute_losses, log_losses, squared_losses, zero_one_losses

# Standard errors to either side of a 95% interval.
WIDTH_95 = 1.96
Losses = Callable[[Any, Any, NDArray[Any]], Floats]


class Metric(NamedTuple):
    """A mean over rows.

    Attributes
    ----------
    name : str
    values : callable
        Of a model, rows and their labels, one number per row.
    better : {"higher", "lower"}
    is_share : bool
        Whether a row counts 0 or 1.
    """

    name: str
    values: Losses
    better: str
    is_share: bool = False


def _accuracies(model: Any, X: Any, y: NDArray[Any]) -> Floats:
    return 1 - zero_one_losses(model.predict(X), y)


def _log_losses(model: Any, X: Any, y: NDArray[Any]) -> Floats:
    return log_losses(model.predict_proba(X), y, model.classes_)


def _absolute(model: Any, X: Any, y: NDArray[Any]) -> Floats:
    return absolute_losses(model.predict(X), y)


def _squared(model: Any, X: Any, y: NDArray[Any]) -> Floats:
    return squared_losses(model.predict(X), y)


ACCURACY = Metric("accuracy", _accuracies, "higher", is_share=True)
LOG_LOSS = Metric("log loss", _log_losses, "lower")
OF_VALUES = (Metric("mean absolute error", _absolute, "lower"), Metric("mean squared error", _squared, "lower"))


def metrics_of(before: Any, after: Any) -> tuple[Metric, ...]:
    """What both models are judged by."""
    if not is_classifier(after):
        return OF_VALUES
    return (ACCURACY, LOG_LOSS) if all(hasattr(model, "predict_proba") for model in (before, after)) else (ACCURACY,)


def is_weighted(model: Any) -> bool:
    """Whether the model inside was trained with weights, so that it is not the uncorrected one."""
    if isinstance(model, Automatic):
        return model.correction_ == "weights"
    if isinstance(model, CovariateShiftClassifier | CovariateShiftRegressor):
        return bool(model.corrected_)
    return isinstance(model, LabelShiftClassifier) and model.corrected_ and model.correction == "retrain"


def uncorrected(model: Any, X_source: Any, y_source: Any) -> Any:
    """The model as it is without a correction; None where it would have to be fitted and there are no rows for it."""
    if not is_weighted(model):
        return model.estimator_
    if isinstance(model.estimator, FrozenEstimator) or X_source is None or y_source is None:
        return None
    return clone(model.estimator).fit(X_source, y_source)


def mean_and_interval(values: Floats, is_share: bool) -> Record:
    """Mean of one number per row, and its 95% interval."""
    mean = float(values.mean())
    if is_share:
        found = binomtest(round(float(values.sum())), len(values)).proportion_ci(method="wilson")
        return {"value": mean, "low": float(found.low), "high": float(found.high)}
    return {"value": mean, "low": mean - _half_width(values), "high": mean + _half_width(values)}


def _half_width(values: Floats) -> float:
    return WIDTH_95 * float(values.std(ddof=1)) / float(np.sqrt(len(values)))


def compare_on(metric: Metric, before: Any, after: Any, X: Any, y: NDArray[Any]) -> Record:
    """Both models on the same rows."""
    ours, theirs = metric.values(before, X, y), metric.values(after, X, y)
    return {
        "metric": metric.name,
        "better": metric.better,
        "n_rows": len(y),
        "before": mean_and_interval(ours, metric.is_share),
        "after": mean_and_interval(theirs, metric.is_share),
        "change": mean_and_interval(theirs - ours, is_share=False),
    }


def before_and_after(model: Any, X_source: Any, y_source: Any, X: Any, y: NDArray[Any]) -> list[Record]:
    """Every metric before and after, by labelled target rows that nothing was learned from; empty below two of them.

    Parameters
    ----------
    model : fitted meta-estimator
    X_source, y_source : array-like or None
        To fit the uncorrected model again, where it was trained with weights.
    X : array-like of n_rows rows
    y : ndarray of shape (n_rows,)
    """
    if len(y) < 2:
        return []
    before = uncorrected(model, X_source, y_source)
    return [] if before is None else [compare_on(metric, before, model, X, y) for metric in metrics_of(before, model)]


def rows_at(X: Any, places: NDArray[np.intp]) -> Any:
    """Rows at these positions."""
    return _safe_indexing(X, places)
