"""Which rows are held out for early stopping."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._settings import Stopping

# With fewer validation rows the least validation loss is mostly luck, so "auto" trains to the end.
MIN_AUTO_VALIDATION_ROWS = 10
# Share of the rows that one network holds out, as none other would train on them.
LONE_SHARE = 0.1
# Arrays or tensors with one entry per row.
RowColumns = tuple[Any, ...]


def random_split(
    n_rows: int, n_validation: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Index of the training rows and of ``n_validation`` rows to hold out."""
    order = rng.permutation(n_rows)
    return order[n_validation:], order[:n_validation]


def stratified_split(
    y: Any, n_validation: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The same in the proportions of the classes, and never the last row of a class.

    Raises
    ------
    ShiftDataError
        When too few rows are left beside one of each class.
    """
    # One row of each class is pinned to the training rows, so that none is lost; the rest is split by class.
    order = rng.permutation(len(y))
    _, first = np.unique(y[order], return_index=True)
    pinned, rest = order[first], np.delete(order, first)
    if n_validation > len(rest):
        raise ShiftDataError(
            f"{len(y)} rows of {len(pinned)} classes cannot be split to hold out {n_validation}: pass more rows, an "
            "eval_set, a smaller validation_fraction, or early_stopping=False."
        )
    held_out = np.zeros(len(y), dtype=bool)
    # Rows of a class are spread evenly over [0, 1); the lowest places of all classes together are held out.
    place = np.empty(len(rest))
    for label in np.unique(y[rest]):
        members = np.flatnonzero(y[rest] == label)
        place[members] = (np.arange(len(members)) + rng.random()) / len(members)
    held_out[rest[np.argsort(place, kind="stable")[:n_validation]]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def n_held_out(n_rows: int, n_pinned: int, stopping: Stopping) -> int:
    """Number of rows to hold out, 0 for none; raise ShiftDataError when none would be left to train on.

    ``n_pinned`` rows, one of each class, are trained on in any case.
    """
    share = stopping.validation_fraction
    share = LONE_SHARE if isinstance(share, str) else share
    found = int(np.ceil(share * n_rows))
    if stopping.early_stopping == "auto":
        return found if MIN_AUTO_VALIDATION_ROWS <= found <= n_rows - max(1, n_pinned) else 0
    if not stopping.early_stopping:
        return 0
    if found >= n_rows:
        raise ShiftDataError(
            f"{n_rows} rows cannot be split with validation_fraction={share}: pass more rows, "
            "an eval_set, or early_stopping=False."
        )
    return found


def hold_out(
    rows: RowColumns, eval_set: RowColumns | None, stopping: Stopping, seed: int, stratify: bool
) -> tuple[RowColumns, RowColumns | None]:
    """Training and validation rows; the latter None without early stopping.

    Parameters
    ----------
    rows : tuple of ndarray, csr_array or torch.Tensor
        X, y and weights, with one entry per row each.
    eval_set : tuple or None
        Rows of the user's to validate on.
    stopping : Stopping
    seed : int
    stratify : bool
        Whether y are classes, in whose proportions rows are held out.

    Raises
    ------
    ShiftDataError
        For an eval_set without early stopping, and too few rows to split.
    """
    if eval_set is not None:
        if stopping.early_stopping is False:
            raise ShiftDataError("eval_set is given with early_stopping=False: drop one of them.")
        return rows, eval_set
    n_rows = len(rows[-1])  # a sparse X has no length
    n_validation = n_held_out(n_rows, len(np.unique(rows[1])) if stratify else 0, stopping)
    if n_validation == 0:
        return rows, None
    rng = np.random.default_rng(seed)
    if stratify:
        training, validation = stratified_split(rows[1], n_validation, rng)
    else:
        training, validation = random_split(n_rows, n_validation, rng)
    if getattr(rows[0], "starts", None) is not None:  # rows of one block are to stay together
        training, validation = np.sort(training), np.sort(validation)
    return tuple(part[training] for part in rows), tuple(part[validation] for part in rows)
