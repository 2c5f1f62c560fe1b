"""Both samples as the conformal estimators take them, checked once."""

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils.multiclass import check_classification_targets

from shiftfix._crossfit import check_groups
from shiftfix._naming import column_names
from shiftfix._numerics import Floats
from shiftfix._row_order import Rows
from shiftfix._target_sample import TargetSample, labelled_rows
from shiftfix._validation import check_labels, check_repeat_counts, check_rows, check_same_columns, check_vector
from shiftfix._values import one_per_row
from shiftfix.exceptions import ShiftDataError

Conditional = Literal["class", "group"] | None


class Labelled(NamedTuple):
    """Source rows that count.

    Attributes
    ----------
    X : array-like of n_rows rows
    y : ndarray of shape (n_rows,)
        Labels, or values.
    counts : ndarray of shape (n_rows,) or None
        Positive repeat counts; None for ones.
    groups : ndarray of shape (n_rows,) or None
    """

    X: Any
    y: NDArray[Any]
    counts: Floats | None
    groups: NDArray[Any] | None

    @property
    def repeats(self) -> Floats:
        """Repeat counts, shape (n_rows,)."""
        return np.ones(len(self.y)) if self.counts is None else self.counts

    def taken(self, rows: Rows) -> "Labelled":
        """Some of the rows, by position."""
        parts = [None if values is None else values[rows] for values in (self.counts, self.groups)]
        return Labelled(_safe_indexing(self.X, rows), self.y[rows], *parts)


class Unlabelled(NamedTuple):
    """Target rows, and the labels of some.

    Attributes
    ----------
    X : array-like of n_target rows
    rows : ndarray of int of shape (n_labels,)
        Positions of the labelled ones.
    y : ndarray of shape (n_labels,)
        Their labels or values.
    """

    X: Any
    rows: Rows
    y: NDArray[Any]


def labels_of_rows(y: Any, name: str) -> NDArray[Any]:
    """Class labels, one per row."""
    labels = check_labels(y if y is None else one_per_row(y, name), name)
    check_classification_targets(labels)
    return labels


def numbers_of_rows(y: Any, name: str) -> Floats:
    """Finite numbers, one per row."""
    if y is None:
        raise ShiftDataError(
            f"One value per row is needed: this requires y to be passed, but the target {name} is None."
        )
    return check_vector(one_per_row(y, name), name)


def labelled_source(X: Any, y: NDArray[Any], sample_weight: ArrayLike | None, groups: ArrayLike | None) -> Labelled:
    """The source rows that count, from checked labels or values."""
    X = indexable(check_rows(X, "X"), y)[0]
    counts = None if sample_weight is None else check_repeat_counts(sample_weight, len(y))
    source = Labelled(X, y, counts, check_groups(groups, len(y)))
    return source if counts is None or counts.all() else source.taken(np.flatnonzero(counts))


def target_of(X: Any, X_target: Any) -> Unlabelled:
    """The target rows with the columns of the source, and their labels if some are known; these as they are."""
    given = X_target.X if isinstance(X_target, TargetSample) else X_target
    rows = indexable(check_rows(given, "X_target"))[0]
    if len(np.shape(X)) == len(np.shape(rows)) == 2:
        check_same_columns(column_names(X), rows, "X", "X_target", np.shape(X)[1])
    if getattr(X_target, "y", None) is None or not isinstance(X_target, TargetSample):
        return Unlabelled(rows, np.empty(0, dtype=np.intp), np.empty(0))
    known = labelled_rows(X_target, np.shape(rows)[0])
    return Unlabelled(rows, known.rows, known.y)
