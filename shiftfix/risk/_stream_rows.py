"""What rows of a stream are called: numbers in their order, or ids of the user's."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftfix._row_order import Rows
from shiftfix._validation import check_labels
from shiftfix._values import as_array
from shiftfix.exceptions import ShiftDataError

LARGEST_ID = 2**63 - 1


def ids_of(ids: ArrayLike, name: str, n_rows: int | None = None) -> NDArray[Any]:
    """Ids of rows, whole numbers or text."""
    found = check_labels(ids, name, n_rows)
    if found.dtype.kind == "O":
        found = np.array(found.tolist())
    if found.dtype.kind not in "iuU" or (found.dtype.kind == "u" and found.max() > LARGEST_ID):
        raise ShiftDataError(f"{name} holds {found.dtype}: pass whole numbers up to 2^63 - 1, or text.")
    return found if found.dtype.kind == "U" else found.astype(np.int64)


def refuse_repeated(ids: NDArray[Any] | None) -> None:
    if ids is not None and len(np.unique(ids)) < len(ids):
        values, times = np.unique(ids, return_counts=True)
        raise ShiftDataError(
            f"ids names {values[times > 1].tolist()[0]!r} {times.max()} times within the window: give each row an id "
            "of its own."
        )


def row_numbers(rows: ArrayLike, n_seen: int) -> Rows:
    """Numbers of rows that were scored."""
    found = as_array(rows, "rows")
    if found.ndim != 1 or found.dtype.kind not in "iu" or not found.size:
        raise ShiftDataError(
            f"rows is an array of {found.dtype} of shape {found.shape}: pass the number of each labelled row in the "
            "stream, counted from 0."
        )
    if found.min() < 0 or found.max() >= n_seen:
        raise ShiftDataError(
            f"rows holds {found.min()} to {found.max()}, and {n_seen} rows were scored, counted from 0: pass the "
            "scores of a row before its label."
        )
    return found.astype(np.intp)


def places_of_ids(known: NDArray[Any], wanted: NDArray[Any]) -> Rows:
    """Place of each id among those known, which differ; -1 for one that is not there."""
    order = np.argsort(known)
    found = np.minimum(np.searchsorted(known, wanted, sorter=order), len(known) - 1)
    return np.where(known[order[found]] == wanted, order[found], -1)
