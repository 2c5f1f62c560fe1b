"""Read the label columns of both samples and tell what the task is."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shiftfix.cli._columns import Column
from shiftfix.cli._exit import InputError
from shiftfix.cli._words import listed, out_of

# Whole numbers with more distinct values than this are taken for a quantity, not for classes.
MOST_CLASSES = 20
# float64 tells whole numbers apart up to here.
LARGEST_WHOLE = 2.0**53


def read_label(column: Column, task: str, shift: str) -> tuple[NDArray[Any], str]:
    """Labels of the source and the task they are for.

    Parameters
    ----------
    column : Column
        Of the source.
    task : {"auto", "classification", "regression"}
    shift : {"auto", "covariate", "label"}

    Returns
    -------
    y : ndarray of shape (n_rows,)
        Of str, int64, or float64 for regression.
    task : {"classification", "regression"}

    Raises
    ------
    InputError
        For labels that are missing, infinite, all the same, too large to be told apart, or not of the task.
    """
    if column.problem:
        raise InputError(column.problem)
    _check_complete(column)
    if column.is_number:
        y, task = _number_labels(column.values, column.name, task, shift)
    elif task == "regression":
        raise InputError(
            f"label column {column.name!r} holds text ({listed(_first_words(column))}), and --task regression needs "
            "numbers: pass --task classification."
        )
    else:
        y, task = column.values.astype(str), "classification"
    if len(np.unique(y)) < 2:
        raise InputError(
            f"label column {column.name!r} holds the single value {y[0].item()!r} in all {len(y)} source rows: at "
            "least two are needed to learn anything."
        )
    return y, task


def _first_words(column: Column) -> list[str]:
    return list(dict.fromkeys(column.present[:100]))[:3]


def _check_complete(column: Column) -> None:
    missing = np.flatnonzero(column.missing)
    if missing.size == len(column.values):
        raise InputError(f"label column {column.name!r} is empty in every source row: labels are needed there.")
    if missing.size:
        words = f", where it is {column.gaps}" if column.gaps else ""
        raise InputError(
            f"label column {column.name!r} is missing in {missing.size} of {len(column.values)} source rows (rows "
            f"{listed(missing)}, counted from 0{words}): drop those rows or fill in their labels."
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
    if task == "regression":
        if shift == "label":
            raise InputError(
                f"label column {label!r} is continuous ({distinct} distinct numbers), and label shift is about "
                "classes: pass --shift covariate, bin the label, or, if the numbers are classes, pass --task "
                "classification."
            )
        return values, task
    _check_classes(values, label, whole, distinct)
    return values.astype(np.int64), task


def _check_classes(values: NDArray[np.float64], label: str, whole: bool, distinct: int) -> None:
    if not whole:
        raise InputError(
            f"label column {label!r} holds numbers with decimals ({distinct} distinct), which are no "
            "classes: pass --task regression, or bin the label."
        )
    largest = values[np.argmax(np.abs(values))]
    if abs(largest) >= LARGEST_WHOLE:
        raise InputError(
            f"label column {label!r} holds whole numbers as large as {largest:.17g}, which cannot be told from their "
            "neighbors: put a letter ahead of each to make them text, or pass --task regression."
        )


def target_labels(column: Column, y: NDArray[Any], notices: list[str]) -> NDArray[Any] | None:
    """Labels of the target for the comparison that is printed, or None, with a notice of either.

    Parameters
    ----------
    column : Column
        Of the target.
    y : ndarray
        Labels of the source.
    notices : list of str
        Added to.
    """
    notices.append(f"the target's label column {column.name!r} is not used for fitting.")
    if column.problem:
        notices.append(f"the target's labels cannot be read, so none is scored: {column.problem}")
        return None
    if column.missing.any():
        notices.append(f"{int(column.missing.sum())} of the target's labels are missing, so none is scored.")
        return None
    if (y.dtype.kind in "US") == column.is_number:
        notices.append("the target's labels are of another kind than the source's, so none is scored.")
        return None
    return column.values if column.is_number else column.values.astype(str)


class KnownLabels(NamedTuple):
    """Labels of some target rows, to learn from.

    Attributes
    ----------
    rows : ndarray of int, shape (n_labels,)
        Positions, counted from 0.
    y : ndarray of shape (n_labels,)
        Of the kind of the source's labels.
    """

    rows: NDArray[np.intp]
    y: NDArray[Any]


def known_target_labels(column: Column, y: NDArray[Any], task: str) -> KnownLabels:
    """Labels of the target rows that have one.

    Parameters
    ----------
    column : Column
        Of the target.
    y : ndarray
        Labels of the source.
    task : {"classification", "regression"}

    Raises
    ------
    InputError
        Where no row has one, and for labels of another kind than the source's, or that the source never has.
    """
    name = f"--target-labels: column {column.name!r} of the target"
    if column.problem:
        raise InputError(f"--target-labels: {column.problem}")
    rows = np.flatnonzero(~column.missing)
    if not rows.size:
        words = f", where it is {column.gaps}" if column.gaps else ""
        raise InputError(f"{name} is empty in every row{words}: fill in some labels, or leave the option out.")
    _check_kind(column, y, name)
    values = column.values[rows]
    if task == "regression":
        _refuse_infinite(values, rows, name)
        return KnownLabels(rows, values)
    _check_known(values if column.is_number else values.astype(str), y, name)
    return KnownLabels(rows, values.astype(y.dtype) if column.is_number else values.astype(str))


def plain_labels(values: NDArray[Any]) -> list[Any]:
    """Labels as messages show them: whole numbers without a point."""
    return [int(value) if isinstance(value, float) and value.is_integer() else value for value in values.tolist()]


def _check_kind(column: Column, y: NDArray[Any], name: str) -> None:
    is_text = y.dtype.kind in "US"
    if is_text != column.is_number:
        return
    found, needed = ("numbers", "text") if is_text else ("text", "numbers")
    ours, theirs = (listed(plain_labels(values[:1])) for values in (y, column.present))
    raise InputError(
        f"{name} holds {found} (such as {theirs}), and the source's labels are {needed} (such as {ours}): make both "
        "alike, and pass --missing for a word that means unknown."
    )


def _refuse_infinite(values: NDArray[np.float64], rows: NDArray[np.intp], name: str) -> None:
    infinite = rows[~np.isfinite(values)]
    if infinite.size:
        raise InputError(
            f"{name} is infinite in {out_of(infinite.size, 'row')} ({listed(infinite)}, counted from 0): correct them, "
            "or leave them blank."
        )


def _check_known(values: NDArray[Any], y: NDArray[Any], name: str) -> None:
    unknown = values[~np.isin(values, y)]
    if unknown.size:
        raise InputError(
            f"{name} holds {listed(plain_labels(np.unique(unknown)))} in {out_of(unknown.size, 'row')}, and no source "
            f"row does ({listed(plain_labels(np.unique(y)))}): leave such cells blank, pass --missing for a word that "
            "means unknown, or add source rows of that class."
        )
