"""One loss per row: what a mean, a weighted mean or an interval of the risk is made of.

Small losses are good. All have shape (n_rows,); of several outputs the mean over the outputs is taken.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import is_classifier

from shiftfix._door import public
from shiftfix._setting_checks import check_methods, check_number
from shiftfix._validation import check_labels, check_matrix, check_rows
from shiftfix._values import as_array
from shiftfix.exceptions import ShiftDataError

# Probabilities below this count as this: one row judged impossible shall not decide alone.
LEAST_PROBABILITY = 1e-6
MOST_PROBABILITY = 1 + 1e-3  # what half precision makes of 1


@public
def log_losses(proba: NDArray[np.float64], y: ArrayLike, classes: ArrayLike) -> NDArray[np.float64]:
    """Negative log of the probability of each row's label, in nats, at most 13.8.

    Parameters
    ----------
    proba : ndarray of shape (n_rows, n_classes)
    y : array-like of shape (n_rows,)
        A label that is not among the classes has probability 0.
    classes : array-like of shape (n_classes,)
        Label of each column.

    Returns
    -------
    ndarray of shape (n_rows,)

    See Also
    --------
    zero_one_losses : 1 where the label is wrong.
    row_losses : The loss a model is commonly judged by.
    """
    proba = check_matrix(proba, "proba", dtype=[np.float64, np.float32])
    if proba.min() < 0 or proba.max() > MOST_PROBABILITY:
        raise ShiftDataError(
            f"proba holds {proba.min():.6g} to {proba.max():.6g}: pass probabilities, as predict_proba gives them."
        )
    labels = check_labels(y, "y", len(proba), whole=False)
    match = labels[:, np.newaxis] == check_labels(
        classes, "classes", proba.shape[1], of="columns of proba", whole=False
    )
    return -np.log(np.maximum((proba * match).sum(axis=1), LEAST_PROBABILITY))


@public
def zero_one_losses(predicted: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """1 where the predicted label is wrong, else 0.

    Parameters
    ----------
    predicted : array-like of shape (n_rows,)
    y : array-like of the same shape

    Returns
    -------
    ndarray of shape (n_rows,)

    See Also
    --------
    log_losses : Negative log probability of the label.
    row_losses : The loss a model is commonly judged by.
    """
    found = check_labels(predicted, "predicted", whole=False)
    return (found != check_labels(y, "y", len(found), of="predictions", whole=False)).astype(np.float64)


def _outcomes(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """Checked numbers of shape (n_rows, n_outputs)."""
    array = as_array(values, name)
    return check_matrix(array[:, np.newaxis] if array.ndim == 1 else array, name)


def _residuals(predicted: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """True minus predicted values, shape (n_rows, n_outputs)."""
    found, wanted = _outcomes(predicted, "predicted"), _outcomes(y, "y")
    if found.shape != wanted.shape:
        raise ShiftDataError(
            f"predicted has {len(found)} rows of {found.shape[1]} numbers, and y has {len(wanted)} of "
            f"{wanted.shape[1]}: pass one prediction for each."
        )
    return wanted - found


def _finite_losses(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """The losses; raises where one overflows."""
    if not np.isfinite(losses).all():
        row = int(np.flatnonzero(~np.isfinite(losses))[0])
        raise ShiftDataError(
            f"The loss of row {row} is no finite number: predictions or values of y are missing, or so large that they "
            "overflow when squared. Rescale y."
        )
    return losses


@public
def squared_losses(predicted: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """Squared error, in squared units of y.

    Parameters
    ----------
    predicted : array-like of shape (n_rows,) or (n_rows, n_outputs)
    y : array-like of the same shape

    Returns
    -------
    ndarray of shape (n_rows,)

    See Also
    --------
    absolute_losses : Absolute error.
    row_losses : The loss a model is commonly judged by.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return _finite_losses((_residuals(predicted, y) ** 2).mean(axis=1))


@public
def absolute_losses(predicted: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """Absolute error, in units of y.

    Parameters
    ----------
    predicted : array-like of shape (n_rows,) or (n_rows, n_outputs)
    y : array-like of the same shape

    Returns
    -------
    ndarray of shape (n_rows,)

    See Also
    --------
    squared_losses : Squared error.
    pinball_losses : Loss of a predicted quantile.
    row_losses : The loss a model is commonly judged by.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return _finite_losses(np.abs(_residuals(predicted, y)).mean(axis=1))


@public
def pinball_losses(predicted: ArrayLike, y: ArrayLike, quantile: float = 0.5) -> NDArray[np.float64]:
    """Pinball loss of a predicted quantile, in units of y; least in the mean at the true one.

    ``quantile`` times the error where y lies above the prediction, 1 - ``quantile`` times it below (Koenker & Bassett
    1978, Econometrica 46(1):33-50). Half the absolute error at 0.5.

    Parameters
    ----------
    predicted : array-like of shape (n_rows,) or (n_rows, n_outputs)
    y : array-like of the same shape
    quantile : float in (0, 1), default=0.5

    Returns
    -------
    ndarray of shape (n_rows,)

    See Also
    --------
    absolute_losses : Absolute error.
    shiftfix.conformal.ConformalRegressor : Intervals around any regressor.
    """
    check_number(quantile, "quantile", above=0, below=1)
    with np.errstate(over="ignore", invalid="ignore"):
        residual = _residuals(predicted, y)
        return _finite_losses(np.maximum(quantile * residual, (quantile - 1) * residual).mean(axis=1))


@public
def row_losses(model: Any, X: Any, y: ArrayLike) -> NDArray[np.float64]:
    """Loss of a fitted model at each row: log loss, 0-1 loss without ``predict_proba``, squared error of regressors.

    Parameters
    ----------
    model : fitted classifier or regressor
    X : array-like of shape (n_rows, n_features)
    y : array-like of shape (n_rows,) or, for regressors, (n_rows, n_outputs)

    Returns
    -------
    ndarray of shape (n_rows,)

    Raises
    ------
    ShiftDataError
        For what is no model, y of another length than X, and losses that are no finite numbers.

    See Also
    --------
    log_losses : Negative log probability of the label.
    zero_one_losses : 1 where the label is wrong.
    squared_losses : Squared error.
    """
    check_methods(model, "model", ["predict"], "a fitted classifier or regressor")
    X = check_rows(X, "X")
    if not is_classifier(model):
        return squared_losses(model.predict(X), y)
    if not hasattr(model, "predict_proba"):
        return zero_one_losses(model.predict(X), y)
    return log_losses(model.predict_proba(X), y, model.classes_)
