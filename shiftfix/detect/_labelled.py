"""A few labels of target rows, and which rows they belong to."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftfix._validation import check_labels, check_vector
from shiftfix.exceptions import ShiftDataError


def check_labelled_rows(
    y_target: ArrayLike | None, rows: ArrayLike | None, n_target: int, *, whole: bool = True
) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Labels and positions of their rows, both of shape (n_labels,); empty for no labels.

    Parameters
    ----------
    y_target : array-like of shape (n_labels,) or None
    rows : array-like of int, shape (n_labels,) or None
        None means the first rows.
    n_target : int
        Target rows that there are.
    whole : bool, default=True
        Whether they are labels of classes.

    Raises
    ------
    ShiftDataError
        For more labels than rows, and positions that are none, or stand there twice.
    """
    if y_target is None:
        return np.empty(0), np.empty(0, dtype=np.intp)
    labels = check_labels(y_target, "y_target", whole=whole)
    if rows is None:
        places = np.arange(len(labels))
    else:
        given = check_vector(rows, "rows", len(labels), of="labels")
        places = np.clip(given, -1, n_target).astype(np.intp)
        if (places != given).any():
            raise ShiftDataError(
                f"rows holds {given[places != given][0]:g}: positions from 0 to {n_target - 1} are needed."
            )
    _refuse_odd_positions(places, n_target)
    return labels, places


def _refuse_odd_positions(places: NDArray[np.intp], n_target: int) -> None:
    """Raise for positions beyond the rows, or that stand there twice."""
    if places.min() < 0 or places.max() >= n_target:
        raise ShiftDataError(
            f"The labels belong to rows {places.min()} to {places.max()} of {n_target} target rows: pass one label for "
            "each labelled row, and its position in rows."
        )
    if len(np.unique(places)) < len(places):
        raise ShiftDataError("rows holds a position twice: pass one label for each row.")
