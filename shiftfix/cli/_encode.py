"""Columns to numbers.

Numeric columns pass through. Their missing values become the median of both samples, with an indicator
column where the source has missing values too: a learner can learn nothing about an indicator that is 0 in
every source row, and an untrained one only adds noise. Text columns become one column per value of the
source; a missing text is a value of its own. No labels are used.
"""

import itertools
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from shiftfix._naming import one_line
from shiftfix.exceptions import ShiftDataError


def as_numbers(frame: Any) -> NDArray[np.float64]:
    """Numeric columns as float64, dates as days since 1970, missing values NaN; shape as the frame.

    Raises
    ------
    ShiftDataError
        For a column of anything else.
    """
    if len(set(frame.dtypes)) == 1 and frame.dtypes.iloc[0] == np.float64:
        return np.asarray(frame.to_numpy())
    return np.column_stack([numbers_of_column(frame[name], name) for name in frame.columns])


def numbers_of_column(column: Any, name: str) -> NDArray[np.float64]:
    """One column of :func:`as_numbers`."""
    if column.dtype == np.float64:
        return np.asarray(column.to_numpy())
    if column.dtype.kind == "M":
        dates = column.dt.tz_convert(None) if getattr(column.dt, "tz", None) else column
        column = (dates.to_numpy() - np.datetime64(0, "D")) / np.timedelta64(1, "D")
        return np.asarray(column, dtype=np.float64)
    try:
        return np.asarray(column.astype("float64").to_numpy(dtype=np.float64, na_value=np.nan))
    except (TypeError, ValueError) as error:
        raise ShiftDataError(
            f"column {name!r} is not one of numbers, with which the model was fitted ({one_line(str(error))}): read it "
            "as numbers, or dates by pandas.to_datetime."
        ) from error


def as_text(frame: Any) -> NDArray[np.object_]:
    """Text columns as an object array of str, missing values NaN; shape as the frame."""
    missing = frame.isna().to_numpy()
    text = np.array(frame.astype(object).map(str), dtype=object)
    text[missing] = np.nan
    return text


def source_values(frame: Any) -> list[NDArray[np.object_]]:
    """The values of each text column, sorted, a missing one last: list of ndarray."""
    text = as_text(frame)
    values = []
    for column in text.T:
        missing = column != column
        found = np.array([*sorted(set(column[~missing])), *([np.nan] if missing.any() else [])], dtype=object)
        values.append(found)
    return values


def fill_value(source: Any, target: Any) -> float:
    """Median of a numeric column over both samples, missing values left out.

    Parameters
    ----------
    source, target : pandas.Series
        With some number.
    """
    values = np.concatenate([numbers_of_column(column, str(column.name)) for column in (source, target)])
    missing = np.isnan(values)
    return _median(values[~missing] if missing.any() else values)


def _median(values: NDArray[np.float64]) -> float:
    """Median of numbers, which are put into another order; numpy's own looks for three places instead of one."""
    half = len(values) // 2
    values.partition(half)
    upper = float(values[half])
    return upper if len(values) % 2 else (float(values[:half].max()) + upper) / 2


class FilledNumbers(TransformerMixin, BaseEstimator):
    """Put a number of each column where one is missing.

    scikit-learn's ``SimpleImputer`` with the median, told the medians: it sorts masked copies of all columns, at a
    million rows for longer than the rest of the command takes.

    Parameters
    ----------
    values : list of float
        One for each column.
    indicate : bool, default=False
        Add an indicator of missing values behind the columns, one for each.
    """

    def __init__(self, values: list[float], indicate: bool = False) -> None:
        self.values = values
        self.indicate = indicate

    def fit(self, X: Any, y: Any = None) -> Self:
        """Do nothing: the numbers are known."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def transform(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """The columns of X, filled, and the indicators; X itself where nothing is missing."""
        missing = np.isnan(X)
        filled = np.where(missing, self.values, X) if missing.any() else X
        return np.hstack([filled, missing]) if self.indicate else filled


class NamedColumns(TransformerMixin, BaseEstimator):
    """Turn an array into a data frame, so that whatever learns from it speaks of columns by name.

    Parameters
    ----------
    names : list of str
    identifier : str or None, default=None
        Column of the files that names the rows, for whoever predicts with the model.
    left_out : list of str or None, default=None
        Columns of the files that are no features, the identifier among them.
    """

    def __init__(self, names: list[str], identifier: str | None = None, left_out: list[str] | None = None) -> None:
        self.names = names
        self.identifier = identifier
        self.left_out = left_out

    def fit(self, X: Any, y: Any = None) -> Self:
        """Do nothing: the names are known."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def transform(self, X: Any) -> Any:
        """Rows as a data frame."""
        import pandas as pd

        return pd.DataFrame(X, columns=self.names, copy=False)


def encoded_names(encoder: ColumnTransformer) -> list[str]:
    """What each encoded column is made of: list of str."""
    names = []
    for part, transformer, columns in encoder.transformers_:
        if part == "text":
            names += [
                f"{column}={'(missing)' if value != value else value}"
                for column, values in zip(columns, transformer[-1].categories_, strict=True)
                for value in values
            ]
        else:
            names += columns
        if part == "numeric_with_missing":
            names += [f"{column} missing" for column in columns]
    return distinct_names(names)


def distinct_names(names: list[str]) -> list[str]:
    """Names with a number behind those that stand earlier too, as a user's "dose missing" beside ours may."""
    found: dict[str, None] = {}
    for name in names:
        numbered = (name if k == 1 else f"{name} ({k})" for k in itertools.count(1))
        found[next(new for new in numbered if new not in found)] = None
    return list(found)


def fit_encoder(
    source: Any,
    target: Any,
    numeric: list[str],
    text: list[str],
    *,
    identifier: str | None = None,
    left_out: list[str] | None = None,
) -> Pipeline:
    """Encoder of the raw data frames, fitted on both samples.

    Parameters
    ----------
    source, target : pandas.DataFrame
        With the columns below; others are ignored.
    numeric, text : list of str
        Columns of each kind.
    identifier, left_out : default=None
        As of :class:`NamedColumns`.

    Returns
    -------
    Pipeline
        Takes a data frame, returns one of float64, of shape (n_rows, n_encoded), with :func:`encoded_names`.
    """
    gaps = [name for name in numeric if source[name].isna().any()]
    whole = [name for name in numeric if name not in gaps]
    numbers = FunctionTransformer(as_numbers)
    parts = []
    for part, columns in (("numeric", whole), ("numeric_with_missing", gaps)):
        if columns:
            values = [fill_value(source[name], target[name]) for name in columns]
            filled = FilledNumbers(values, indicate=columns is gaps)
            parts.append((part, make_pipeline(numbers, filled), columns))
    if text:
        one_hot = OneHotEncoder(categories=source_values(source[text]), handle_unknown="ignore", sparse_output=False)
        parts.append(("text", make_pipeline(FunctionTransformer(as_text), one_hot), text))
    # All that is learned of the rows is known, so that one of them shows the columns.
    encoder = ColumnTransformer(parts).fit(source[numeric + text].head(1))
    named = NamedColumns(encoded_names(encoder), identifier, left_out)
    return Pipeline([("numbers", encoder), ("names", named)])


def encoded_rows(encoder: Pipeline, frame: Any) -> Any:
    """What the encoder makes of a data frame: of columns of numbers without gaps the frame itself, not a copy."""
    (part, _, columns), *others = encoder[0].transformers_
    if part == "numeric" and not any(name in ("numeric_with_missing", "text") for name, _, _ in others):
        names = list(frame.columns)
        if names == list(columns) == list(encoder[-1].names) and not np.isnan(as_numbers(frame)).any():
            return frame
    return encoder.transform(frame)
