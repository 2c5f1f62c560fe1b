"""Both samples as the meta-estimators and the diagnosis take them: checked as far as no learner checks them itself."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import indexable
from sklearn.utils.multiclass import check_classification_targets

from shiftfix._crossfit import check_groups
from shiftfix._validation import (
    check_labels,
    check_repeat_counts,
    check_rows,
    check_same_columns,
    check_vector,
    column_names,
)
from shiftfix._values import one_per_row
from shiftfix.exceptions import ShiftDataError
from shiftfix.risk._scores import SourceRows


def check_source(X: Any, y: Any, sample_weight: ArrayLike | None, groups: ArrayLike | None) -> SourceRows:
    """The labelled rows, checked as far as the classifier does not check them itself."""
    X = check_rows(X, "X")
    labels = check_labels(y if y is None else one_per_row(y, "y"), "y")
    check_classification_targets(labels)
    X, labels = indexable(X, labels)
    counts = None if sample_weight is None else check_repeat_counts(sample_weight, len(labels))
    rows = np.arange(len(labels)) if counts is None else np.flatnonzero(counts)
    return SourceRows(X, labels, counts, rows, check_groups(groups, len(labels)))


def check_target(X: Any, X_target: Any) -> Any:
    """The target rows, with the columns of the source rows."""
    X_target = indexable(check_rows(X_target, "X_target"))[0]
    if len(np.shape(X)) == len(np.shape(X_target)) == 2:
        check_same_columns(column_names(X), X_target, "X", "X_target", np.shape(X)[1])
    return X_target


def check_value_source(X: Any, y: Any, sample_weight: ArrayLike | None, groups: ArrayLike | None) -> SourceRows:
    """The source rows of a regressor, with one finite value each."""
    X, values = indexable(check_rows(X, "X"), values_of_rows(y, "y"))
    counts = None if sample_weight is None else check_repeat_counts(sample_weight, len(values))
    rows = np.arange(len(values)) if counts is None else np.flatnonzero(counts)
    return SourceRows(X, values, counts, rows, check_groups(groups, len(values)))


def values_of_rows(y: Any, name: str) -> NDArray[np.float64]:
    """Values of rows, as numbers."""
    if y is None:
        raise ShiftDataError(
            f"One value per row is needed: this requires y to be passed, but the target {name} is None."
        )
    return check_vector(one_per_row(y, name), name)
