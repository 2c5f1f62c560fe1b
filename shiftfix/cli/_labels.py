"""Read the label columns of both samples and tell what the task is."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftfix.cli._encode import as_numbers, is_number
from shiftfix.cli._exit import InputError
from shiftfix.cli._files import listed

# Whole numbers with more distinct values than this are taken for a quantity, not for classes.
MOST_CLASSES = 20


def read_label(column: Any, label: str, task: str, shift: str) -> tuple[NDArray[Any], str]:
    """Labels of the source and the task they are for.

    Parameters
    ----------
    column : pandas.Series
    label : str
        Its name.
    task : {"auto", "classification", "regression"}
    shift : {"covariate", "label"}

    Returns
    -------
    y : ndarray of shape (n_rows,)
        Of str, int64, or float64 for regression.
    task : {"classification", "regression"}

    Raises
    ------
    InputError
        For labels that are missing, infinite, all the same, or not of the task.
    """
    _check_complete(column, label)
    if is_number(column):
        y, task = _number_labels(as_numbers(column.to_frame())[:, 0], label, task, shift)
    elif task == "regression":
        raise InputError(
            f"label column {label!r} holds text, and --task regression needs numbers: pass --task classification."
        )
    else:
        y, task = _as_str(column), "classification"
    if len(np.unique(y)) < 2:
        raise InputError(
            f"label column {label!r} holds the single value {y[0].item()!r} in all {len(y)} source rows: at "
            "least two are needed to learn anything."
        )
    return y, task


def _check_complete(column: Any, label: str) -> None:
    missing = np.flatnonzero(column.isna())
    if missing.size == len(column):
        raise InputError(f"label column {label!r} is empty in every source row: labels are needed there.")
    if missing.size:
        raise InputError(
            f"label column {label!r} is missing in {missing.size} of {len(column)} source rows (rows "
            f"{listed(missing)}, counted from 0): drop those rows or fill in their labels."
        )


def _number_labels(values: NDArray[np.float64], label: str, task: str, shift: str) -> tuple[NDArray[Any], str]:
    """Labels that are numbers, and the task."""
    if not np.isfinite(values).all():
        row = np.flatnonzero(~np.isfinite(values))
        raise InputError(
            f"label column {label!r} is infinite in {row.size} source rows (rows {listed(row)}, counted "
            "from 0): drop or correct them."
        )
    whole = bool((values == np.floor(values)).all())
    distinct = len(np.unique(values))
    if task == "auto":
        task = "classification" if whole and distinct <= MOST_CLASSES else "regression"
    if task == "regression" and shift == "label":
        raise InputError(
            f"label column {label!r} is continuous ({distinct} distinct numbers), and label shift is about "
            "classes: pass --shift covariate, bin the label, or, if the numbers are classes, pass --task "
            "classification."
        )
    if task == "classification" and not whole:
        raise InputError(
            f"label column {label!r} holds numbers with decimals ({distinct} distinct), which are no "
            "classes: pass --task regression, or bin the label."
        )
    return (values.astype(np.int64) if task == "classification" else values), task


def _as_str(column: Any) -> NDArray[np.str_]:
    return np.array([str(value) for value in column])


def target_labels(column: Any, y: NDArray[Any], label: str, notices: list[str]) -> NDArray[Any] | None:
    """Labels of the target for the comparison that is printed, or None, with a notice of either.

    Parameters
    ----------
    column : pandas.Series
        Of the target.
    y : ndarray
        Labels of the source.
    label : str
        Name of the column.
    notices : list of str
        Added to.
    """
    notices.append(f"the target's label column {label!r} is not used for fitting.")
    if column.isna().any():
        notices.append(f"{int(column.isna().sum())} of the target's labels are missing, so none is scored.")
        return None
    text = y.dtype.kind in "US"
    if text == is_number(column):
        notices.append("the target's labels are of another kind than the source's, so none is scored.")
        return None
    return _as_str(column) if text else as_numbers(column.to_frame())[:, 0]
