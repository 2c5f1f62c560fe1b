"""``shiftfix predict``: a saved model and a file of rows in, a prediction per row out."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from shiftfix._naming import differences
from shiftfix.cli._cells import USUAL_MISSING
from shiftfix.cli._columns import Column, empty_column, feature_frame
from shiftfix.cli._encode import NamedColumns, encoded_rows
from shiftfix.cli._exit import InputError
from shiftfix.cli._files import Table
from shiftfix.cli._safe_csv import harmless_csv
from shiftfix.cli._tables import (
    STRAY,
    categories,
    infinities,
    telling,
    unseen_problem,
)
from shiftfix.cli._words import lacks_and_adds, listed
from shiftfix.exceptions import ShiftDataError


@dataclass
class Needs:
    """The columns that a model was fitted with.

    Attributes
    ----------
    names : list of str or None
        In the model's order; None when it was fitted on arrays.
    n_columns : int or None
        None when the model does not say.
    tells_kinds : bool
        Whether it begins with the encoder of ``shiftfix correct``; only then the following is known.
    identifier : str or None
        Column that named the rows of the files it was fitted with.
    left_out : list of str
        Columns of those files that were no features.
    whole : list of str
        Numeric columns in which no value was missing when the model was fitted.
    text : dict of str to set of str
        The known values of each text column, a missing one as "(missing)". All other columns are numeric.
    """

    names: list[str] | None
    n_columns: int | None
    tells_kinds: bool = False
    identifier: str | None = None
    left_out: list[str] = field(default_factory=list)
    whole: list[str] = field(default_factory=list)
    text: dict[str, set[str]] = field(default_factory=dict)


def predict_rows(
    model: Any, table: Table, *, identifier: str | None, drop: list[str], unseen_category: str
) -> tuple[str, list[str]]:
    """Predictions of a table.

    Parameters
    ----------
    model : estimator
        Of :func:`read_model`.
    table : CsvTable or ParquetTable
    identifier : str or None
        Column that names the rows, carried into the predictions; None means the one of the files that the model was
        fitted with, where the rows have it.
    drop : list of str
        Columns to leave out, besides those that were no features of the files that the model was fitted with.
    unseen_category : {"error", "ignore"}

    Returns
    -------
    predictions : str
        CSV, safe to open in a spreadsheet.
    notices : list of str

    Raises
    ------
    InputError
        For rows that the model does not take; all that is wrong with them comes at once.
    """
    notices: list[str] = []
    with model_faults([]):
        needs = needs_of(model)
    if identifier is None and needs.identifier in set(table.columns).difference(drop):
        identifier = needs.identifier
    apart = columns_apart(table, needs, identifier, drop, notices)
    columns = usable_columns(table, needs, apart, unseen_category, notices)
    text = [column.name for column in columns if column.kind == "text"]
    with model_faults([] if needs.tells_kinds else text):
        frame = feature_frame(columns, len(table))
        predictions = prediction_table(model, frame if needs.names is not None else frame.to_numpy())
    if identifier is not None:
        predictions.insert(0, identifier, table.written(identifier))
    return harmless_csv(predictions), notices


def columns_apart(table: Table, needs: Needs, identifier: str | None, drop: list[str], notices: list[str]) -> list[str]:
    """The columns that are no features, by the options and as when the model was fitted.

    Raises
    ------
    InputError
        For a column that the model learned from.
    """
    apart = [*drop, *([] if identifier is None else [identifier])]
    learned = [name for name in apart if name in (needs.names or [])]
    if learned:
        raise InputError(
            f"the model learned from column {listed(learned)}, which --drop or --id would take away from it: name "
            "another one."
        )
    known = [name for name in needs.left_out if name in table.columns and name not in apart]
    if known:
        notices.append(f"left out, as when the model was fitted: {listed(known)}.")
    return apart + known


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
    encoder = encoder_of(model)
    if encoder is None:
        return needs
    needs.tells_kinds = True
    needs.identifier, needs.left_out = roles_in(encoder[-1], needs.names or [])
    for part, transformer, columns in encoder[0].transformers_:
        if part == "numeric":
            needs.whole += columns
        elif part == "text":
            known = [set(categories(values)) for values in transformer[-1].categories_]
            needs.text.update(zip(columns, known, strict=True))
    return needs


def roles_in(named: NamedColumns, features: list[str]) -> tuple[str | None, list[str]]:
    """The column that names rows, and those that are no features; none where a file was made before they were kept."""
    identifier, left_out = (getattr(named, name, None) for name in ("identifier", "left_out"))
    listed_names = left_out if isinstance(left_out, list) else []
    names = [name for name in listed_names if isinstance(name, str) and name not in features]
    return identifier if identifier in names else None, names


def encoder_of(model: Any) -> Pipeline | None:
    """The encoder of ``shiftfix correct``, ahead of a meta-estimator or within one; None where there is none."""
    from shiftfix.corrected import ShiftCorrectedClassifier, ShiftCorrectedRegressor

    if isinstance(model, ShiftCorrectedClassifier | ShiftCorrectedRegressor):
        model = model.estimator
    first = model.steps[0][1] if isinstance(model, Pipeline) else None
    encoder = first.estimator if isinstance(first, FrozenEstimator) else first
    return encoder if isinstance(encoder, Pipeline) and isinstance(encoder[-1], NamedColumns) else None


@contextmanager
def model_faults(text: list[str]) -> Iterator[None]:
    """Turn what a model, or one from a file that was made up, raises into an InputError; ``text`` columns are named."""
    try:
        yield
    except (InputError, ShiftDataError):
        raise
    except Exception as error:
        found = " ".join(str(error).split())[:300]
        beside = f" The rows have text in {listed(text)}." if text else ""
        raise InputError(
            f"the model cannot predict these rows ({type(error).__name__}: {found}): compare them with those it was "
            f"fitted with, or take another copy of its file.{beside}"
        ) from error


def usable_columns(
    table: Table, needs: Needs, apart: list[str], unseen_category: str, notices: list[str]
) -> list[Column]:
    """The columns as the model takes them, in its order.

    Raises
    ------
    InputError
        For columns that are missing, too many or of another kind, and text that the model has never seen; for all of
        it at once.
    """
    unknown, found = differences(apart, table.columns)
    if unknown:
        raise InputError(
            f"--drop or --id: the rows have no column {listed(unknown)}; they have {listed(table.columns)}."
        )
    _raise_all(column_problems(found, needs))
    columns = [column_as_fitted(table, name, needs) for name in needs.names or found]
    _raise_all([problem for column in columns for problem in cell_problems(column, needs, unseen_category, notices)])
    return columns


def _raise_all(problems: list[str]) -> None:
    """Raise InputError with all that was found, if anything."""
    if problems:
        raise InputError(*problems)


def column_as_fitted(table: Table, name: str, needs: Needs) -> Column:
    """One column, which alone may look of another kind than beside the rows that the model was fitted with.

    Numbers that were known among words are words; and NA is a gap where there were numbers, with none beside it too.
    """
    if name in needs.text:
        words = table.column(name, "text")
        if words.kind == "text" and needs.text[name].issuperset(words.present):
            return words
    column = table.column(name)
    gaps = (
        needs.tells_kinds and name not in needs.text and not column.problem and USUAL_MISSING.issuperset(column.present)
    )
    return empty_column(name, table.name, len(table)) if gaps else column


def column_problems(found: list[str], needs: Needs) -> list[str]:
    """What is wrong with the names, or with the number, of the columns."""
    if needs.names is None:
        return count_problems(found, needs.n_columns)
    missing, extra = differences(needs.names, found)
    if not missing and not extra:
        return []
    remedies = ["add or rename those that are missing"] if missing else []
    remedies += ["leave columns out with --drop, or pass the one that names the rows as --id"] if extra else []
    return [
        "the columns differ from those the model was fitted with: the rows "
        f"{lacks_and_adds(missing, extra, ('lack', 'add'))}: {'; '.join(remedies)}."
    ]


def count_problems(found: list[str], n_columns: int | None) -> list[str]:
    """What is wrong with the columns of rows for a model that was fitted on arrays."""
    if n_columns in (None, len(found)):
        return []
    return [
        f"the rows have {len(found)} columns ({listed(found)}), and the model was fitted with {n_columns} columns "
        "without names: pass as many, in the same order."
    ]


def cell_problems(column: Column, needs: Needs, unseen_category: str, notices: list[str]) -> list[str]:
    """What is wrong with the cells of a column; notices of what is not, and may surprise."""
    if column.problem:
        return [column.problem]
    if column.remark:
        notices.append(column.remark)
    if needs.tells_kinds and column.kind != "empty" and column.is_number == (column.name in needs.text):
        return [unlike_when_fitted(column)]
    if column.name in needs.text:
        rows, remedy = "rows and in none that the model was fitted with", ": group the values, drop those rows"
        found = unseen_problem(needs.text[column.name], column, rows, remedy, unseen_category, notices)
        return [found] if found else []
    return number_problems(column, needs, notices)


def unlike_when_fitted(column: Column) -> str:
    """What is wrong with a column that is of another kind than when the model was fitted."""
    shown = f"{column.present[0]:g}" if column.is_number else telling(column)
    holds, held, hint = ("numbers", "text", "") if column.is_number else ("text", "numbers", f" {STRAY}")
    return (
        f"column {column.name!r} holds {holds} (such as {shown!r}), and held {held} when the model was fitted: make "
        f"both alike.{hint}"
    )


def number_problems(column: Column, needs: Needs, notices: list[str]) -> list[str]:
    """What is wrong with numbers; a notice of those that are missing where none was."""
    gaps = int(column.missing.sum())
    if gaps and column.name in needs.whole:
        notices.append(
            f"column {column.name!r} is missing in {gaps} rows and was in none that the model was fitted with: the "
            "median was filled in there."
        )
    return infinities(column, "rows")


def prediction_table(model: Any, rows: Any) -> Any:
    """Data frame of the prediction and, of a classifier, the probability of each class, row by row.

    Raises
    ------
    InputError
        For predictions that are not finite.
    """
    import pandas as pd
    from sklearn.base import is_classifier

    if isinstance(model, Pipeline):
        # The steps ahead of the model once, and not for each of its answers.
        encoder = encoder_of(model)
        if encoder is model[0] and len(model) == 2:
            rows, model = encoded_rows(encoder, rows), model[-1]
        else:
            rows, model = model[:-1].transform(rows), model[-1]
    found = model.predict(rows)
    columns = [f"prediction_{k}" for k in range(found.shape[1])] if np.ndim(found) == 2 else ["prediction"]
    predictions = pd.DataFrame(found, columns=columns)
    if is_classifier(model) and hasattr(model, "predict_proba"):
        names = [f"probability_{value}" for value in model.classes_]
        predictions = pd.concat([predictions, pd.DataFrame(model.predict_proba(rows), columns=names)], axis=1)
    if not np.isfinite(predictions.select_dtypes("number").to_numpy()).all():
        raise InputError("the model predicts values that are not finite: look for extreme values in the columns.")
    return predictions
