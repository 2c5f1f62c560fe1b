"""Check the two samples, alone and against each other, and take them apart.

Every message says which column, what was found, what is needed and what to do.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftfix.cli._encode import as_numbers, as_text, is_number
from shiftfix.cli._exit import InputError, UsageError
from shiftfix.cli._files import listed
from shiftfix.cli._labels import read_label, target_labels

# A text column with more values than this is an identifier or free text, not a category.
MOST_CATEGORIES = 1000
MISSING = "(missing)"


@dataclass
class Tables:
    """The two samples, checked.

    Attributes
    ----------
    source, target : pandas.DataFrame
        Features only, in the order of the source file.
    y : ndarray of shape (n_source,)
        Labels: str, int64, or float64 for regression.
    y_target : ndarray of shape (n_target,) or None
        Labels of the target rows where the file has them all; never used for fitting.
    sample_weight : ndarray of shape (n_source,) or None
        Raw, as in the file.
    task : {"classification", "regression"}
    numeric, text : list of str
        Columns of each kind.
    notices : list of str
        What was ignored or filled in.
    """

    source: Any
    target: Any
    y: NDArray[Any]
    y_target: NDArray[Any] | None
    sample_weight: NDArray[np.float64] | None
    task: str
    numeric: list[str]
    text: list[str]
    notices: list[str] = field(default_factory=list)


def prepare_tables(
    source: Any,
    target: Any,
    *,
    label: str,
    weight: str | None,
    drop: list[str],
    shift: str,
    task: str,
    unseen_category: str,
) -> Tables:
    """Check two data frames and take them apart.

    Parameters
    ----------
    source, target : pandas.DataFrame
    label : str
        Label column of the source. In the target it is set apart.
    weight : str or None
        Column of the source with a weight per row.
    drop : list of str
        Columns to leave out of both.
    shift : {"covariate", "label"}
    task : {"auto", "classification", "regression"}
    unseen_category : {"error", "ignore"}

    Returns
    -------
    Tables

    Raises
    ------
    InputError
        For data that cannot be used.
    UsageError
        When one column is given two roles.
    """
    features = _features(source, target, label=label, weight=weight, drop=drop)
    notices: list[str] = []
    y, task = read_label(source[label], label, task, shift)
    y_target = target_labels(target[label], y, label, notices) if label in target.columns else None
    sample_weight = None
    if weight is not None:
        sample_weight = _read_weight(source[weight], weight)
        if weight in target.columns:
            notices.append(f"the target's column {weight!r} was ignored: --weight is about source rows.")
    source, target = source[features].reset_index(drop=True), target[features].reset_index(drop=True)
    numeric, text = _kinds(source, target, features)
    _check_numeric(source, target, numeric, notices)
    _check_text(source, target, text, unseen_category, notices)
    return Tables(source, target, y, y_target, sample_weight, task, numeric, text, notices)


def _features(source: Any, target: Any, *, label: str, weight: str | None, drop: list[str]) -> list[str]:
    """Feature columns, which source and target must share."""
    options = [(label, "--label"), *([(weight, "--weight")] if weight else []), *((name, "--drop") for name in drop)]
    roles = [column for column, _ in options]
    _check_roles(roles)
    for column, option in options:
        if column not in source.columns:
            raise InputError(
                f"{option} {column}: the source has no such column; it has {listed(source.columns)}. Name one of them."
            )
    features = [column for column in source.columns if column not in roles]
    if not features:
        raise InputError(f"the source has no column besides {listed(roles)}: at least one feature is needed.")
    _check_columns(features, target, roles)
    return features


def _check_roles(roles: list[str]) -> None:
    """Raise for a column with two roles."""
    twice = sorted({column for column in roles if roles.count(column) > 1})
    if twice:
        raise UsageError(
            f"column {listed(twice)} is given more than one role among --label, --weight and --drop: give it one."
        )


def _check_columns(features: list[str], target: Any, roles: list[str]) -> None:
    missing = [column for column in features if column not in target.columns]
    extra = [column for column in target.columns if column not in features and column not in roles]
    if missing or extra:
        found = [f"lacks {listed(missing)}"] if missing else []
        found += [f"adds {listed(extra)}"] if extra else []
        raise InputError(
            f"the columns of source and target differ: the target {' and '.join(found)}. Both need the same "
            "features: add or rename the columns, or leave them out with --drop (in both files) or by hand."
        )


def _read_weight(column: Any, weight: str) -> NDArray[np.float64]:
    if not is_number(column):
        raise InputError(f"--weight {weight}: the column holds text, and one number >= 0 per source row is needed.")
    values = as_numbers(column.to_frame())[:, 0]
    bad = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if bad.size:
        raise InputError(
            f"--weight {weight}: {bad.size} values are missing, infinite or negative (rows {listed(bad)}, "
            "counted from 0), and one number >= 0 per source row is needed."
        )
    if not values.any():
        raise InputError(f"--weight {weight}: every value is 0, so that no source row counts.")
    return values


def _kinds(source: Any, target: Any, features: list[str]) -> tuple[list[str], list[str]]:
    """Numeric and text columns, the same in both samples."""
    for column in features:
        _check_readable(source[column], column, "source")
        _check_readable(target[column], column, "target")
        _check_alike(source[column], target[column], column)
    numeric = [column for column in features if is_number(source[column])]
    return numeric, [column for column in features if column not in numeric]


def _check_readable(values: Any, column: str, name: str) -> None:
    """Raise for a column that is empty, or holds neither numbers nor text."""
    from pandas.api import types

    if values.isna().all():
        raise InputError(
            f"column {column!r} is empty in every {name} row: leave it out with --drop {column}, or fill it in."
        )
    if not is_number(values) and not (
        types.is_bool_dtype(values)
        or types.is_string_dtype(values)
        or types.is_object_dtype(values)
        or isinstance(values.dtype, types.CategoricalDtype)
    ):
        raise InputError(
            f"column {column!r} of the {name} holds {values.dtype} values, and numbers or "
            "text are needed: turn it into numbers (for a date, say, days), or leave it out with "
            "--drop."
        )


def _check_alike(source: Any, target: Any, column: str) -> None:
    """Raise for a column that is numeric in one sample and text in the other."""
    if is_number(source) == is_number(target):
        return
    number, other, values = ("source", "target", target) if is_number(source) else ("target", "source", source)
    raise InputError(
        f"column {column!r} is numeric in the {number} and text in the {other} (such as "
        f"{str(values.dropna().iloc[0])!r}): make both alike. A stray word or unit in one cell turns a whole CSV "
        "column into text."
    )


def _check_numeric(source: Any, target: Any, numeric: list[str], notices: list[str]) -> None:
    """Raise for infinite numbers; notice what is missing in the target alone."""
    for column in numeric:
        gaps = {}
        for frame, name in [(source, "source"), (target, "target")]:
            values = as_numbers(frame[[column]])[:, 0]
            infinite = np.flatnonzero(np.isinf(values))
            if infinite.size:
                raise InputError(
                    f"column {column!r} is infinite in {infinite.size} {name} rows (rows "
                    f"{listed(infinite)}, counted from 0): correct them, or leave them empty to count as "
                    "missing."
                )
            gaps[name] = int(np.isnan(values).sum())
        if gaps["target"] and not gaps["source"]:
            notices.append(
                f"column {column!r} is missing in {gaps['target']} target rows and in no source row: the "
                "median was filled in there, and nothing else can be learned about such rows."
            )


def _check_text(source: Any, target: Any, text: list[str], unseen_category: str, notices: list[str]) -> None:
    """Values of the target that no source row has: nothing was learned about them."""
    for column in text:
        known = set(_categories(source[[column]]))
        if len(known) > MOST_CATEGORIES:
            raise InputError(
                f"text column {column!r} has {len(known)} different values in the source, and at most "
                f"{MOST_CATEGORIES} are taken for categories: group them, or leave the column out with "
                f"--drop {column}."
            )
        unseen = {
            str(value): int(count)
            for value, count in zip(*np.unique(_categories(target[[column]]), return_counts=True), strict=True)
            if value not in known
        }
        if unseen:
            _tell_unseen(unseen, column, unseen_category, notices)


def _categories(frame: Any) -> list[str]:
    """Values of the one column of a frame, with a word for a missing one."""
    return [MISSING if value != value else value for value in as_text(frame)[:, 0]]


def _tell_unseen(unseen: dict[str, int], column: str, unseen_category: str, notices: list[str]) -> None:
    """Raise for, or notice, values that only the target has, given with their number of rows."""
    rows = sum(unseen.values())
    if unseen_category == "error":
        raise InputError(
            f"column {column!r} has the values {listed(unseen)} in {rows} target rows and in no source "
            "row, so that no weight can stand for them: group the values, drop those rows or the column "
            "(--drop), or pass --unseen-category ignore to encode them as none of the known ones."
        )
    notices.append(
        f"column {column!r}: the values {listed(unseen)} are in {rows} target rows and in no source "
        "row; they were encoded as none of the known ones."
    )
