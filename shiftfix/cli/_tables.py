"""Read the two files and check them, alone and against each other.

Every message says which file and column, what was found, what is needed and what to do.
"""

import csv
import gzip
import hashlib
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from shiftfix._validation import import_optional
from shiftfix.cli._encode import as_numbers, as_text
from shiftfix.cli._exit import InputError, UsageError

# Whole numbers with more distinct values than this are taken for a quantity, not for classes.
MOST_CLASSES = 20
# A text column with more values than this is an identifier or free text, not a category.
MOST_CATEGORIES = 1000
MISSING = "(missing)"
# Names or rows that a message lists before it only counts.
SHOWN = 5


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

    source: object
    target: object
    y: np.ndarray
    y_target: np.ndarray | None
    sample_weight: np.ndarray | None
    task: str
    numeric: list[str]
    text: list[str]
    notices: list[str] = field(default_factory=list)


def sha256(path):
    """Hexadecimal sha256 of a file."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_table(path, name):
    """Data frame from a CSV (plain or gzipped) or Parquet file, by its ending.

    Parameters
    ----------
    path : path-like
    name : {"source", "target"}
        What messages call it.

    Raises
    ------
    InputError
        For a file that is missing, of another kind, damaged, empty, or with repeated column names.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise InputError(f"the {name} file {path} {what}: pass the path of a CSV or Parquet file.")
    ending = path.name.lower()
    if ending.endswith((".csv", ".csv.gz")):
        frame = _read_csv(path, name)
    elif ending.endswith((".parquet", ".pq")):
        frame = _read_parquet(path, name)
    else:
        raise InputError(
            f"the {name} file {path} ends in neither .csv, .csv.gz, .parquet nor .pq: save it as CSV or Parquet."
        )
    if len(frame) == 0:
        raise InputError(f"the {name} file {path} has a header and no rows: at least one row is needed.")
    return frame


def _read_csv(path, name):
    import pandas as pd

    opener = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with opener(path, "rt", newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream)
            header = next(reader, [])
            if not header:
                raise InputError(f"the {name} file {path} is empty: a header line and rows are needed.")
            _check_header(header, path, name)
            # pandas fills short lines with missing values and shifts or cuts long ones, all in silence.
            for fields in reader:
                if fields and len(fields) != len(header):
                    raise InputError(
                        f"the {name} file {path} has {len(fields)} fields in line {reader.line_num} and "
                        f"{len(header)} in its header: every line needs as many, separated by commas."
                    )
        return pd.read_csv(path, low_memory=False, index_col=False, encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError, EOFError, zlib.error, csv.Error, pd.errors.ParserError) as error:
        raise InputError(
            f"the {name} file {path} cannot be read as CSV ({str(error).strip()}): save it as "
            "comma-separated UTF-8 with one header line."
        ) from error


def _read_parquet(path, name):
    import pandas as pd

    parquet = import_optional("pyarrow.parquet", "cli")
    arrow = import_optional("pyarrow", "cli")
    try:
        _check_header(parquet.read_schema(path).names, path, name)
        return pd.read_parquet(path).reset_index(drop=True)
    except (arrow.ArrowInvalid, OSError) as error:
        raise InputError(
            f"the {name} file {path} cannot be read as Parquet ({str(error).splitlines()[0]}): write it "
            "again, or save it as CSV."
        ) from error


def _check_header(header, path, name):
    repeated = sorted({column for column in header if header.count(column) > 1})
    if repeated:
        raise InputError(
            f"the {name} file {path} has the column names {_listed(repeated)} more than once: rename or drop them."
        )
    unnamed = [place for place, column in enumerate(header) if not column.strip()]
    if unnamed:
        raise InputError(
            f"the {name} file {path} has no name for column {unnamed[0]} (counted from 0): name or drop it. "
            "A data frame's index is best not written (index=False)."
        )


def _listed(values):
    """The first few values as text, and how many more there are."""
    values = list(values)
    more = f" and {len(values) - SHOWN} more" if len(values) > SHOWN else ""
    return ", ".join(repr(value) if isinstance(value, str) else str(value) for value in values[:SHOWN]) + more


def prepare_tables(source, target, *, label, weight, drop, shift, task, unseen_category):
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
    notices: list[str] = []
    roles = [label, *([weight] if weight else []), *drop]
    twice = sorted({column for column in roles if roles.count(column) > 1})
    if twice:
        raise UsageError(
            f"column {_listed(twice)} is given more than one role among --label, --weight and --drop: give it one."
        )
    for column, option in [
        (label, "--label"),
        (weight, "--weight"),
        *((column, "--drop") for column in drop),
    ]:
        if column is not None and column not in source.columns:
            raise InputError(
                f"{option} {column}: the source has no such column; it has {_listed(source.columns)}. Name one of them."
            )
    features = [column for column in source.columns if column not in roles]
    if not features:
        raise InputError(f"the source has no column besides {_listed(roles)}: at least one feature is needed.")
    _check_columns(features, target, roles)

    y, task = _read_label(source[label], label, task, shift)
    y_target = None
    if label in target.columns:
        y_target = _target_labels(target[label], task, y, label, notices)
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


def _check_columns(features, target, roles):
    missing = [column for column in features if column not in target.columns]
    extra = [column for column in target.columns if column not in features and column not in roles]
    if missing or extra:
        found = [f"lacks {_listed(missing)}"] if missing else []
        found += [f"adds {_listed(extra)}"] if extra else []
        raise InputError(
            f"the columns of source and target differ: the target {' and '.join(found)}. Both need the same "
            "features: add or rename the columns, or leave them out with --drop (in both files) or by hand."
        )


def _is_number(column):
    from pandas.api import types

    return types.is_numeric_dtype(column) and not types.is_bool_dtype(column)


def _read_label(column, label, task, shift):
    """Labels and the task they are for."""
    missing = np.flatnonzero(column.isna())
    if missing.size == len(column):
        raise InputError(f"label column {label!r} is empty in every source row: labels are needed there.")
    if missing.size:
        raise InputError(
            f"label column {label!r} is missing in {missing.size} of {len(column)} source rows (rows "
            f"{_listed(missing)}, counted from 0): drop those rows or fill in their labels."
        )
    if not _is_number(column):
        if task == "regression":
            raise InputError(
                f"label column {label!r} holds text, and --task regression needs numbers: pass --task classification."
            )
        return _at_least_two(_as_str(column), label), "classification"
    values = as_numbers(column.to_frame())[:, 0]
    if not np.isfinite(values).all():
        row = np.flatnonzero(~np.isfinite(values))
        raise InputError(
            f"label column {label!r} is infinite in {row.size} source rows (rows {_listed(row)}, counted "
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
    return _at_least_two(values.astype(np.int64) if task == "classification" else values, label), task


def _as_str(column):
    return np.array([str(value) for value in column])


def _at_least_two(y, label):
    if len(np.unique(y)) < 2:
        raise InputError(
            f"label column {label!r} holds the single value {y[0].item()!r} in all {len(y)} source rows: at "
            "least two are needed to learn anything."
        )
    return y


def _target_labels(column, task, y, label, notices):
    """Labels of the target for the comparison that is printed, or None."""
    notices.append(f"the target's label column {label!r} is not used for fitting.")
    if column.isna().any():
        notices.append(f"{int(column.isna().sum())} of the target's labels are missing, so none is scored.")
        return None
    text = y.dtype.kind in "US"
    if text == _is_number(column):
        notices.append("the target's labels are of another kind than the source's, so none is scored.")
        return None
    if text:
        return _as_str(column)
    return as_numbers(column.to_frame())[:, 0]


def _read_weight(column, weight):
    if not _is_number(column):
        raise InputError(f"--weight {weight}: the column holds text, and one number >= 0 per source row is needed.")
    values = as_numbers(column.to_frame())[:, 0]
    bad = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if bad.size:
        raise InputError(
            f"--weight {weight}: {bad.size} values are missing, infinite or negative (rows {_listed(bad)}, "
            "counted from 0), and one number >= 0 per source row is needed."
        )
    if not values.any():
        raise InputError(f"--weight {weight}: every value is 0, so that no source row counts.")
    return values


def _kinds(source, target, features):
    """Numeric and text columns, the same in both samples."""
    from pandas.api import types

    numeric: list[str] = []
    text: list[str] = []
    for column in features:
        for frame, name in [(source, "source"), (target, "target")]:
            if frame[column].isna().all():
                raise InputError(
                    f"column {column!r} is empty in every {name} row: leave it out with --drop {column}, or fill it in."
                )
            if not _is_number(frame[column]) and not (
                types.is_bool_dtype(frame[column])
                or types.is_string_dtype(frame[column])
                or types.is_object_dtype(frame[column])
                or isinstance(frame[column].dtype, types.CategoricalDtype)
            ):
                raise InputError(
                    f"column {column!r} of the {name} holds {frame[column].dtype} values, and numbers or "
                    "text are needed: turn it into numbers (for a date, say, days), or leave it out with "
                    "--drop."
                )
        is_number = _is_number(source[column])
        if is_number != _is_number(target[column]):
            number, other = ("source", "target") if is_number else ("target", "source")
            frame = target if is_number else source
            example = frame[column].dropna().iloc[0]
            raise InputError(
                f"column {column!r} is numeric in the {number} and text in the {other} (such as "
                f"{str(example)!r}): make both alike. A stray word or unit in one cell turns a whole CSV "
                "column into text."
            )
        (numeric if is_number else text).append(column)
    return numeric, text


def _check_numeric(source, target, numeric, notices):
    for column in numeric:
        gaps = {}
        for frame, name in [(source, "source"), (target, "target")]:
            values = as_numbers(frame[[column]])[:, 0]
            infinite = np.flatnonzero(np.isinf(values))
            if infinite.size:
                raise InputError(
                    f"column {column!r} is infinite in {infinite.size} {name} rows (rows "
                    f"{_listed(infinite)}, counted from 0): correct them, or leave them empty to count as "
                    "missing."
                )
            gaps[name] = int(np.isnan(values).sum())
        if gaps["target"] and not gaps["source"]:
            notices.append(
                f"column {column!r} is missing in {gaps['target']} target rows and in no source row: the "
                "median was filled in there, and nothing else can be learned about such rows."
            )


def _check_text(source, target, text, unseen_category, notices):
    """Values of the target that no source row has: nothing was learned about them."""
    for column in text:
        known = {MISSING if value != value else value for value in as_text(source[[column]])[:, 0]}
        values = np.array([MISSING if value != value else value for value in as_text(target[[column]])[:, 0]])
        if len(known) > MOST_CATEGORIES:
            raise InputError(
                f"text column {column!r} has {len(known)} different values in the source, and at most "
                f"{MOST_CATEGORIES} are taken for categories: group them, or leave the column out with "
                f"--drop {column}."
            )
        found, counts = np.unique(values, return_counts=True)
        unseen = [str(value) for value in found if value not in known]
        if not unseen:
            continue
        rows = int(counts[[value not in known for value in found]].sum())
        if unseen_category == "error":
            raise InputError(
                f"column {column!r} has the values {_listed(unseen)} in {rows} target rows and in no source "
                "row, so that no weight can stand for them: group the values, drop those rows or the column "
                "(--drop), or pass --unseen-category ignore to encode them as none of the known ones."
            )
        notices.append(
            f"column {column!r}: the values {_listed(unseen)} are in {rows} target rows and in no source "
            "row; they were encoded as none of the known ones."
        )
