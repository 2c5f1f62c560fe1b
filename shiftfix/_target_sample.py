"""Target rows, and the labels of some of them, that travel through scikit-learn's cross-validation whole."""

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from shiftfix._row_order import Rows
from shiftfix._values import as_array, is_missing, one_per_row
from shiftfix.exceptions import ShiftDataError


class TargetSample:
    """Wrap the target rows, so that ``GridSearchCV(...).fit(X, y, X_target=TargetSample(X_target))`` works.

    scikit-learn slices every array-like fit argument that is as long as X into folds. This is no array-like and
    so is handed on whole; cloning returns the object itself. A bare array of another length is handed on whole too; one
    of the same length is cut without a word. A Pipeline AROUND a meta-estimator transforms X and leaves the
    target as it is, so transform both beforehand, or (label shift, few labels) inside the meta-estimator's
    ``estimator``.

    Parameters
    ----------
    X : array-like or data frame of shape (n_target, n_features)
        Kept as it is, without a copy.
    y : array-like of shape (n_labels,), default=None
        Labels or values known of some target rows, for what learns from them, such as ``FewLabelClassifier``. Label
        rows drawn at random: labels of the rows that a model is least sure of, say, tell of those rows alone.
    rows : array-like of int, shape (n_labels,), or of bool, shape (n_target,), default=None
        Which rows of X they belong to: positions in the order of ``y``, or a mask. None means all rows of X, in their
        order. ``y`` and ``rows`` are checked when they are used.

    See Also
    --------
    ShiftCorrectedClassifier : Diagnoses, and corrects as far as the evidence supports it.
    FewLabelClassifier : Corrects a classifier by a few target labels.
    """

    def __init__(self, X: Any, y: Any = None, rows: Any = None) -> None:
        self.X = X
        self.y = y
        self.rows = rows

    def __sklearn_clone__(self) -> Self:
        return self

    def __repr__(self) -> str:
        labels = "" if self.y is None else f", {np.shape(self.y)[0] if np.shape(self.y) else 1} labels"
        return f"TargetSample(shape={np.shape(self.X)}{labels})"


class LabelledRows(NamedTuple):
    """Labels of some target rows.

    Attributes
    ----------
    rows : ndarray of int, shape (n_labels,)
        Positions among the target rows.
    y : ndarray of shape (n_labels,)
    """

    rows: Rows
    y: NDArray[Any]


def target_rows(X_target: Any) -> Any:
    """The rows of a TargetSample or of a plain array-like; a clear error for None."""
    if X_target is None:
        raise ShiftDataError(
            "X_target is missing: pass the unlabelled target rows, fit(X, y, X_target=...). Without them there is "
            "nothing to correct for."
        )
    return X_target.X if isinstance(X_target, TargetSample) else X_target


def labelled_rows(X_target: Any, n_target: int) -> LabelledRows:
    """The labels of a TargetSample, checked but for what they are.

    Parameters
    ----------
    X_target : TargetSample
    n_target : int
        Number of its rows.

    Returns
    -------
    LabelledRows

    Raises
    ------
    ShiftDataError
        Without labels, and for labels and rows that do not fit each other or the target.
    """
    if getattr(X_target, "y", None) is None or not isinstance(X_target, TargetSample):
        raise ShiftDataError(
            "X_target has no labels, and this learns from a few: pass X_target=TargetSample(X_target, y=labels, "
            "rows=positions) with labels of 25 to a few hundred target rows drawn at random."
        )
    y = _known_labels(X_target.y)
    rows = np.arange(n_target) if X_target.rows is None else _row_numbers(X_target.rows, n_target)
    if len(y) != len(rows):
        where = "X has" if X_target.rows is None else "rows names"
        raise ShiftDataError(
            f"y of the TargetSample has {len(y)} labels, and {where} {len(rows)} rows: pass one label per row, in the "
            "order of rows."
        )
    return LabelledRows(rows, y)


def _known_labels(y: Any) -> NDArray[Any]:
    """Labels, one per row, without gaps."""
    labels = one_per_row(y, "y of the TargetSample")
    gaps = np.fromiter(map(is_missing, labels.tolist()), dtype=bool, count=len(labels))
    if gaps.any():
        raise ShiftDataError(
            f"y of the TargetSample contains NaN or None ({gaps.sum()} of {len(labels)}, the first at position "
            f"{gaps.argmax()}): pass the known labels alone, y=y[known], and the positions of their rows, rows=known."
        )
    return labels


def _row_numbers(rows: Any, n_target: int) -> Rows:
    """Positions from positions or a mask."""
    found = as_array(rows, "rows of the TargetSample")
    if found.dtype == bool:
        if found.shape != (n_target,):
            raise ShiftDataError(
                f"rows of the TargetSample is a mask of shape {found.shape} for {n_target} target rows: pass one entry "
                "per row."
            )
        return np.flatnonzero(found)
    if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
        raise ShiftDataError(
            f"rows of the TargetSample is an array of {found.dtype} of shape {found.shape}: pass positions, or a mask."
        )
    return _distinct_positions(found, n_target)


def _distinct_positions(found: NDArray[Any], n_target: int) -> Rows:
    if found.size and not (found.min() >= 0 and found.max() < n_target):
        raise ShiftDataError(
            f"rows of the TargetSample holds positions from {found.min()} to {found.max()}, and the target has "
            f"{n_target} rows: positions count from 0."
        )
    values, times = np.unique(found, return_counts=True)
    if (times > 1).any():
        raise ShiftDataError(
            f"rows of the TargetSample names row {values[times > 1][0]} {times.max()} times: name each labelled row "
            "once."
        )
    return found.astype(np.intp)
