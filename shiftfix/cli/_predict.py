"""``shiftfix predict``: a saved model and a file of rows in, a prediction per row out."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from shiftfix._atomic import check_writable, replace_file
from shiftfix._naming import differences
from shiftfix.cli._columns import Reading
from shiftfix.cli._encode import as_text
from shiftfix.cli._exit import InputError, OutputError
from shiftfix.cli._files import Table, read_table
from shiftfix.cli._safe_csv import harmless_table
from shiftfix.cli._tables import feature_frame
from shiftfix.cli._words import lacks_and_adds, listed
from shiftfix.exceptions import ShiftDataError

MISSING_TEXT = "(missing)"


@dataclass
class Needs:
    """The columns that a model was fitted with.

    Attributes
    ----------
    names : list of str or None
        In the model's order; None when it was fitted on arrays.
    n_columns : int or None
        None when the model does not say.
    whole : list of str
        Numeric columns in which no value was missing when the model was fitted.
    text : dict of str to ndarray
        The known values of each text column, a missing one as NaN. All other columns are numeric.
    """

    names: list[str] | None
    n_columns: int | None
    whole: list[str] = field(default_factory=list)
    text: dict[str, NDArray[Any]] = field(default_factory=dict)


def run_predict(
    model_path: Path,
    rows_path: Path,
    out: Path | None,
    *,
    identifier: str | None,
    drop: list[str],
    reading: Reading,
    unseen_category: str,
    overwrite: bool,
) -> tuple[Any, list[str]]:
    """Read, predict, write.

    Parameters
    ----------
    model_path, rows_path : pathlib.Path
    out : pathlib.Path or None
        File to write; None writes nothing.
    identifier : str or None
        Column that names the rows, carried into the predictions.
    drop : list of str
        Columns to leave out.
    reading : Reading
        How the cells are read.
    unseen_category : {"error", "ignore"}
    overwrite : bool
        Replace ``out``.

    Returns
    -------
    predictions : pandas.DataFrame
        Safe to open in a spreadsheet.
    notices : list of str

    Raises
    ------
    CommandError
        As described in ``_exit``.
    """
    if out is not None:
        check_file(out, [model_path, rows_path], overwrite)
    model = read_model(model_path)
    table = read_table(rows_path, "rows", reading)
    notices: list[str] = []
    frame = usable_rows(table, needs_of(model), identifier, drop, unseen_category, notices)
    predictions = predicted(model, frame)
    if identifier is not None:
        predictions.insert(0, identifier, table.written(identifier))
    predictions = harmless_table(predictions)
    if out is not None:
        write_predictions(predictions, out)
    return predictions, notices


def check_file(out: Path, inputs: Iterable[Path], overwrite: bool) -> None:
    """Raise OutputError unless the file may be written."""
    if any(path.exists() and out.exists() and os.path.samefile(path, out) for path in inputs):
        raise OutputError(f"--out {out} is a file that this run reads: name another file.")
    if out.is_file() and not overwrite:
        raise OutputError(f"--out {out} exists: name another file, or pass --overwrite to replace it.")
    try:
        check_writable(out)
    except (ShiftDataError, OSError) as error:
        raise OutputError(f"--out {out} cannot be written: {error}") from error


def read_model(path: Path) -> Any:
    """The model in a file; raise InputError for none, and for one that does not predict."""
    from shiftfix import load_model

    try:
        model = load_model(path)
    except (ShiftDataError, OSError) as error:
        missing = isinstance(error, FileNotFoundError)
        raise InputError(f"the model file {path} does not exist." if missing else str(error)) from error
    if not hasattr(model, "predict"):
        raise InputError(f"{path} holds a {type(model).__name__}, which predicts nothing: pass the file of a model.")
    return model


def needs_of(model: Any) -> Needs:
    """The columns that a model was fitted with, and of which kind they are."""
    names = getattr(model, "feature_names_in_", None)
    needs = Needs(None if names is None else [str(name) for name in names], getattr(model, "n_features_in_", None))
    for part, transformer, columns in encoder_parts(model):
        if part == "numeric":
            needs.whole += columns
        elif part == "text":
            needs.text.update(zip(columns, transformer[-1].categories_, strict=True))
    return needs


def encoder_parts(model: Any) -> list[tuple[str, Any, list[str]]]:
    """The parts of the encoder that ``shiftfix correct`` puts ahead of its models; none for other models."""
    first = model
    while hasattr(first, "steps"):
        first = first.steps[0][1]
    parts = getattr(first, "transformers_", [])
    ours = all(part in ("numeric", "numeric_with_missing", "text") for part, _, _ in parts)
    return parts if ours else []


def usable_rows(
    table: Table, needs: Needs, identifier: str | None, drop: list[str], unseen_category: str, notices: list[str]
) -> Any:
    """The rows as the model takes them, with its columns in its order.

    Raises
    ------
    InputError
        For columns that are missing, too many or of another kind, and text that the model has never seen; for all of
        it at once.
    """
    found = _columns_beside(table, [*drop, *([] if identifier is None else [identifier])])
    raise_all(column_problems(found, needs))
    columns = [table.column(name) for name in needs.names or found]
    raise_all([column.problem for column in columns if column.problem])
    rows = feature_frame(columns, len(table))
    raise_all([problem for name in rows.columns for problem in cell_problems(rows[name], needs, notices)])
    raise_all([found for name in needs.text for found in unseen_values(rows, name, needs, unseen_category, notices)])
    return rows


def raise_all(problems: list[str]) -> None:
    """Raise InputError with all that was found, if anything."""
    if problems:
        raise InputError(" ".join(problems))


def _columns_beside(table: Table, apart: list[str]) -> list[str]:
    """The columns of a table but those that are set apart, all of which it must have."""
    unknown, found = differences(apart, table.columns)
    if unknown:
        raise InputError(
            f"--drop or --id: the rows have no column {listed(unknown)}; they have {listed(table.columns)}."
        )
    return found


def column_problems(found: list[str], needs: Needs) -> list[str]:
    """What is wrong with the names, or with the number, of the columns."""
    if needs.names is None:
        return count_problems(found, needs.n_columns)
    said = lacks_and_adds(*differences(needs.names, found), ("lack", "add"))
    if not said:
        return []
    return [
        f"the columns differ from those the model was fitted with: the rows {said}. Add or rename those "
        "that are missing, and leave others out with --drop, or name the one that names the rows with --id."
    ]


def count_problems(found: list[str], n_columns: int | None) -> list[str]:
    """What is wrong with the columns of rows for a model that was fitted on arrays."""
    if n_columns in (None, len(found)):
        return []
    return [
        f"the rows have {len(found)} columns ({listed(found)}), and the model was fitted with {n_columns} columns "
        "without names: pass as many, in the same order."
    ]


def cell_problems(column: Any, needs: Needs, notices: list[str]) -> list[str]:
    """What is wrong with the cells of a column, text it has not seen apart."""
    present = column.dropna()
    if present.empty or holds_numbers(column) == (column.name not in needs.text):
        return [] if column.name in needs.text else number_problems(column, needs, notices)
    cell = present.iloc[0]
    shown = cell if isinstance(cell, str) else f"{cell:g}"
    held, holds = ("text", "numbers") if column.name in needs.text else ("numbers", "text")
    return [
        f"column {column.name!r} holds {holds} (such as {shown!r}), and held {held} when the model was "
        "fitted: make both alike."
    ]


def holds_numbers(column: Any) -> bool:
    """Whether a column holds numbers; truth values are none."""
    from pandas.api import types

    return types.is_numeric_dtype(column) and not types.is_bool_dtype(column)


def number_problems(column: Any, needs: Needs, notices: list[str]) -> list[str]:
    """What is wrong with numbers; a notice of those that are missing where none was."""
    values = column.astype("float64").to_numpy(dtype=np.float64, na_value=np.nan)
    infinite, gaps = np.flatnonzero(np.isinf(values)), int(np.isnan(values).sum())
    if infinite.size:
        return [
            f"column {column.name!r} is infinite in {infinite.size} rows (rows {listed(infinite)}, counted from 0)."
        ]
    if gaps and column.name in needs.whole:
        notices.append(
            f"column {column.name!r} is missing in {gaps} rows and was in none that the model was fitted with: the "
            "median was filled in there."
        )
    return []


def unseen_values(rows: Any, name: str, needs: Needs, unseen_category: str, notices: list[str]) -> list[str]:
    """What is wrong with the values of a text column: those that the model has never seen."""
    known, values = set(with_gaps_named(needs.text[name])), with_gaps_named(as_text(rows[[name]])[:, 0])
    unseen = [value for value in values if value not in known]
    if not unseen:
        return []
    found = (
        f"column {name!r} has the values {listed(sorted(set(unseen)))} in {len(unseen)} rows and in none that the "
        "model was fitted with"
    )
    if unseen_category == "error":
        return [
            f"{found}: group the values, drop those rows, or pass --unseen-category ignore to encode them as none of "
            "the known ones."
        ]
    notices.append(f"{found}; they were encoded as none of the known ones.")
    return []


def with_gaps_named(values: NDArray[Any]) -> list[str]:
    """Text values with a word for a missing one."""
    return [MISSING_TEXT if value != value else value for value in values.tolist()]


def prediction_table(model: Any, rows: Any) -> Any:
    """Data frame of the prediction and, of a classifier, the probability of each class, row by row.

    Raises
    ------
    InputError
        For predictions that are not finite.
    """
    import pandas as pd
    from sklearn.base import is_classifier

    found = model.predict(rows)
    columns = [f"prediction_{k}" for k in range(found.shape[1])] if np.ndim(found) == 2 else ["prediction"]
    predictions = pd.DataFrame(found, columns=columns)
    if is_classifier(model) and hasattr(model, "predict_proba"):
        names = [f"probability_{value}" for value in model.classes_]
        predictions = pd.concat([predictions, pd.DataFrame(model.predict_proba(rows), columns=names)], axis=1)
    if not np.isfinite(predictions.select_dtypes("number").to_numpy()).all():
        raise InputError("the model predicts values that are not finite: look for extreme values in the columns.")
    return predictions


def predicted(model: Any, rows: Any) -> Any:
    """The table of predictions; InputError for rows, or a model from a file, that do not work together."""
    named = hasattr(model, "feature_names_in_")
    try:
        return prediction_table(model, rows if named else rows.to_numpy())
    except (InputError, ShiftDataError):
        raise
    except Exception as error:  # a file that was made up may hold a model that raises anything
        text = " ".join(str(error).split())[:300]
        raise InputError(
            f"the model cannot predict these rows ({type(error).__name__}: {text}): compare them with those it was "
            "fitted with, or take another copy of its file."
        ) from error


def write_predictions(predictions: Any, out: Path) -> None:
    """Write a table, whole or not at all; OutputError says why not."""
    try:
        replace_file(out, partial(put_csv, predictions))
    except (ShiftDataError, OSError) as error:
        raise OutputError(f"--out {out} cannot be written: {error}") from error


def put_csv(predictions: Any, file: IO[bytes]) -> None:
    """Write a table with its row numbers into an open file."""
    file.write(predictions.to_csv(index_label="row", lineterminator="\n").encode("utf-8", "backslashreplace"))
