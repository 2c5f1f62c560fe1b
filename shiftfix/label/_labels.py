"""Labels as positions among the classes, the columns of the scores."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftfix._validation import check_labels, check_repeat_counts
from shiftfix.exceptions import ShiftDataError

# Unknown labels that a message names.
MOST_SHOWN = 10


def class_positions(
    y: ArrayLike | None, name: str, classes: ArrayLike | None = None
) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Classes, and the position of each label among them.

    Parameters
    ----------
    y : array-like of shape (n_rows,)
    name : str
        What messages call it.
    classes : array-like of shape (n_classes,), default=None
        Label of each column; None means the sorted labels of ``y``.

    Returns
    -------
    classes : ndarray of shape (n_classes,)
    class_index : ndarray of shape (n_rows,)

    Raises
    ------
    ShiftDataError
        For missing labels, ``classes`` that repeat one, and labels that are not among them.
    """
    labels = check_labels(y, name)
    if classes is None:
        return np.unique(labels, return_inverse=True)
    columns = check_labels(classes, "classes")
    if len(np.unique(columns)) != len(columns):
        raise ShiftDataError(f"classes={columns.tolist()} repeats a label: name each column once.")
    return columns, _match_labels(labels, name, columns)


def positions_among(y: ArrayLike, name: str, classes: NDArray[Any]) -> NDArray[np.intp]:
    """Position of each label among classes that are known; raises as :func:`class_positions` does."""
    return _match_labels(check_labels(y, name), name, classes)


def _match_labels(labels: NDArray[Any], name: str, classes: NDArray[Any]) -> NDArray[np.intp]:
    found, position = np.unique(labels, return_inverse=True)
    if {found.dtype.kind, classes.dtype.kind} == {"i", "u"}:
        # numpy would compare them as floats, in which neighbours from 2**53 on are one.
        found, classes = found.astype(object), classes.astype(object)
    match = found[:, np.newaxis] == classes
    unknown = found[~match.any(axis=1)].tolist()
    if unknown:
        more = f" and {len(unknown) - MOST_SHOWN} more" if len(unknown) > MOST_SHOWN else ""
        raise ShiftDataError(f"{name} holds {unknown[:MOST_SHOWN]}{more}, and the classes are {classes.tolist()}.")
    return np.argmax(match, axis=1)[position]


def count_rows(
    class_index: NDArray[np.intp], sample_weight: ArrayLike | None, classes: NDArray[Any], name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Repeat counts of the rows, and their sum in each class; every class needs a row, and there must be two.

    Parameters
    ----------
    class_index : ndarray of shape (n_rows,)
    sample_weight : array-like of shape (n_rows,) or None
    classes : ndarray of shape (n_classes,)
    name : str
        What messages call the labels.

    Returns
    -------
    counts : ndarray of shape (n_rows,)
    totals : ndarray of shape (n_classes,)

    Raises
    ------
    ShiftDataError
        For one class only, and for a class without rows that count.
    """
    if len(classes) < 2:
        raise ShiftDataError(
            f"{name} holds one class only ({classes.tolist()[0]!r}): label shift needs at least two classes."
        )
    weight_name = "sample_weight_source" if name == "y_source" else "sample_weight"
    counts: NDArray[np.float64] = check_repeat_counts(sample_weight, len(class_index), weight_name)
    totals = class_totals(class_index, counts, len(classes))
    if (totals == 0).any():
        raise ShiftDataError(
            f"{name} has no rows of {classes[totals == 0].tolist()}: how a class is scored can only be learned from "
            "rows of it. Collect some, or leave the class out of the scores."
        )
    return counts, totals


def class_totals(class_index: NDArray[np.intp], values: NDArray[np.float64], n_classes: int) -> NDArray[np.float64]:
    """Sum of the values of the rows of each class, shape (n_classes,)."""
    totals: NDArray[Any] = np.bincount(class_index, weights=values, minlength=n_classes)
    return totals


def check_as_many(labels: NDArray[Any], scores: NDArray[Any], name: str, scores_name: str) -> None:
    """Raise unless there is one label for each row of scores."""
    if len(labels) != len(scores):
        raise ShiftDataError(
            f"{name} has {len(labels)} labels for {len(scores)} rows of {scores_name}: pass one per row."
        )
