"""The weighter of a model, fitted on both samples."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from shiftfix._naming import CellError
from shiftfix._verdict import caller_warns
from shiftfix.covariate import LogisticWeighter, TableColumns, are_numbers, reads_raw_rows
from shiftfix.exceptions import ShiftDataError

UNREAD_ROWS = (
    "The weighter reads these rows as they are, ahead of whatever the estimator does to them: pass "
    "weighter=LogisticWeighter(features=transformer), with what encodes and imputes them, or transform both samples "
    "first."
)


def check_weighter(weighter: Any) -> None:
    """Raise for what is neither None nor a weighter."""
    if weighter is not None and not hasattr(weighter, "log_ratio"):
        raise ShiftDataError(f"weighter={weighter!r} is no weighter: pass one from shiftfix.covariate, or None.")


def fit_weighter(
    weighter: Any,
    X: ArrayLike,
    X_target: ArrayLike,
    counts: NDArray[np.float64] | None,
    groups: NDArray[Any] | None = None,
) -> Any:
    """Fitted clone of a weighter, the verdict of whose summary is yet to be told.

    Parameters
    ----------
    weighter : weighter
    X, X_target : array-like of shape (n_rows, n_features)
    counts : ndarray of shape (n_source,) or None
        Repeat counts of the source rows.
    groups : ndarray of shape (n_source,) or None
        For a weighter that is cross-fitted, and so takes ``groups_source``.

    Returns
    -------
    weighter

    Raises
    ------
    ShiftDataError
        For rows that the weighter cannot read, though the estimator may.
    """
    weighter = clone(weighter)
    grouped = {} if groups is None or not has_fit_parameter(weighter, "groups_source") else {"groups_source": groups}
    with caller_warns():
        try:
            weighter.fit(X, X_target, sample_weight_source=counts, **grouped)
        except CellError as error:
            raise ShiftDataError(f"{error.finding}. {UNREAD_ROWS}") from error
    return weighter


def default_weighter(estimator: Any, X: Any, X_target: Any) -> LogisticWeighter:
    """``LogisticWeighter()``; of categories, gaps filled and both told apart, where the estimator reads such rows."""
    if reads_raw_rows(estimator) and not (are_numbers(X) and are_numbers(X_target)):
        return LogisticWeighter(features=TableColumns())
    return LogisticWeighter()
