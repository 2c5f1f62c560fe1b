"""One-hot targets: a column for each class, a single 1 in each row. They are read as labels, once, at the door.

A table of zeros and ones is one-hot when each row sums to 1, and multilabel otherwise: several labels for a row, or
none, are no classes. Nothing tells a multilabel table in which each row happens to have one label from a one-hot one,
so that it is read as classes.
"""

from collections import Counter
from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from shiftfix._values import as_array
from shiftfix.exceptions import ShiftDataError

NEEDED = "one label per row, or one-hot columns (one 1 in each row, 0 elsewhere), are needed"


def read_one_hot(y: Any, name: str) -> tuple[Any, NDArray[Any] | None]:
    """Labels and the class of each column of a table of two columns or more; anything else as it is, and None.

    Parameters
    ----------
    y : array-like, frame, tensor or sparse matrix of shape (n_rows, n_classes), or anything else
    name : str

    Returns
    -------
    y : ndarray of shape (n_rows,), or what was given
    columns : ndarray of shape (n_classes,), or None
        The names of a frame's columns where they are all text or all whole numbers, and 0 to n_classes - 1 otherwise.

    Raises
    ------
    ShiftDataError
        For tables of other numbers than 0 and 1, rows with none or several 1, and columns of one name.
    """
    table = _table_of(y, name)
    if table is None:
        return y, None
    columns = _classes_of_columns(y, table.shape[1], name)
    return columns[_places_of_ones(table, name)], columns


def check_one_hot_columns(columns: NDArray[Any] | None, classes: NDArray[Any], name: str) -> None:
    """Raise ShiftDataError unless the columns of one-hot targets are the classes that are known; None passes."""
    if columns is not None and not np.array_equal(np.unique(columns), classes):
        raise ShiftDataError(
            f"The one-hot columns of {name} stand for {columns.tolist()}, and the training classes are "
            f"{classes.tolist()}: pass a column for each of them, or labels."
        )


def _table_of(y: Any, name: str) -> Any:
    """Y as an array or a ``csr_array`` where it has two columns or more, else None."""
    if sparse.issparse(y):
        return _canonical(y) if y.ndim == 2 and y.shape[1] > 1 else None
    shape = getattr(y, "shape", None)
    if shape is None and isinstance(y, list | tuple) and len(y) and isinstance(y[0], list | tuple | np.ndarray):
        y = as_array(y, name)
        shape = y.shape
    if shape is None or len(shape) != 2 or shape[1] < 2:
        return None
    return as_array(y, name)


def _canonical(y: Any) -> Any:
    """A copy with each number stored once, and no 0."""
    table = sparse.csr_array(y, copy=True)
    table.sum_duplicates()
    table.eliminate_zeros()
    return table


def _places_of_ones(table: Any, name: str) -> NDArray[np.intp]:
    """Column of the one 1 in each row."""
    if sparse.issparse(table):
        _refuse_others(table.data, table.data == 1, table.shape, name)
        _refuse_multilabel(np.diff(table.indptr), table.shape, name)
        return table.indices.astype(np.intp)
    is_one = _equal(table, 1)
    _refuse_others(table, is_one | _equal(table, 0), table.shape, name)
    _refuse_multilabel(is_one.sum(axis=1), table.shape, name)
    return is_one.argmax(axis=1)


def _equal(table: NDArray[Any], number: int) -> NDArray[np.bool_]:
    """Where a table holds a number; text and things that cannot be compared do not."""
    if table.dtype.kind not in "biufcO":
        return np.zeros(table.shape, dtype=bool)
    if table.dtype.kind != "O":
        return np.asarray(table == number, dtype=bool)
    cells = [isinstance(cell, Number | np.bool_) and bool(cell == number) for cell in table.flat]
    return np.array(cells, dtype=bool).reshape(table.shape)


def _refuse_others(values: NDArray[Any], known: NDArray[np.bool_], shape: tuple[int, ...], name: str) -> None:
    """Raise for entries that are neither 0 nor 1."""
    if not known.all():
        found = values[~known].ravel()[:1].tolist()[0]
        raise ShiftDataError(
            f"{name} has shape {shape} and holds {found!r}: {NEEDED}. Class probabilities are not taken, and numbers "
            "in several columns are for MLPRegressor."
        )


def _refuse_multilabel(n_ones: NDArray[Any], shape: tuple[int, ...], name: str) -> None:
    """Raise for a row without a 1, or with several."""
    wrong = np.flatnonzero(n_ones != 1)
    if wrong.size:
        row = int(wrong[0])
        raise ShiftDataError(
            f"{name} has shape {shape}, and row {row} holds {int(n_ones[row]) or 'no'} 1s, as multilabel targets may: "
            f"{NEEDED}. For several labels per row train a network for each column, as "
            "sklearn.multioutput.MultiOutputClassifier does."
        )


def _classes_of_columns(y: Any, n_columns: int, name: str) -> NDArray[Any]:
    """The class that each column stands for."""
    given = getattr(y, "columns", None)
    names = [] if given is None or callable(given) else list(given)
    kinds = {type(label) for label in names}
    if len(names) != n_columns or kinds not in ({str}, {int}):
        return np.arange(n_columns)
    twice = [label for label, count in Counter(names).items() if count > 1]
    if twice:
        raise ShiftDataError(f"{name} has {Counter(names)[twice[0]]} columns named {twice[0]!r}: name them apart.")
    return np.array(names)
