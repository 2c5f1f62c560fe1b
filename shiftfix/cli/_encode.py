"""Columns to numbers.

Numeric columns pass through. Their missing values become the median of both samples, with an indicator
column where the source has missing values too: a learner can learn nothing about an indicator that is 0 in
every source row, and an untrained one only adds noise. Text columns become one column per value of the
source; a missing text is a value of its own. No labels are used.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder


def is_number(column: Any) -> bool:
    """Whether a column of a data frame holds numbers; truth values are none."""
    from pandas.api import types

    return types.is_numeric_dtype(column) and not types.is_bool_dtype(column)


def as_numbers(frame: Any) -> NDArray[np.float64]:
    """Numeric columns as float64, missing values NaN; shape as the frame."""
    return frame.astype("float64").to_numpy(dtype=np.float64, na_value=np.nan)


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


def encoded_names(encoder: ColumnTransformer) -> list[str]:
    """What each encoded column is made of: list of str."""
    names = []
    for part, transformer, columns in encoder.transformers_:
        if part == "text":
            names += [
                f"{column}={value}"
                for column, values in zip(columns, transformer[-1].categories_, strict=True)
                for value in values
            ]
        else:
            names += columns
        if part == "numeric_with_missing":
            names += [f"{column} missing" for column in columns]
    return names


def fit_encoder(source: Any, target: Any, numeric: list[str], text: list[str]) -> ColumnTransformer:
    """Encoder of the raw data frames, fitted on both samples.

    Parameters
    ----------
    source, target : pandas.DataFrame
        With the columns below; others are ignored.
    numeric, text : list of str
        Columns of each kind.

    Returns
    -------
    ColumnTransformer
        Takes a data frame, returns float64 of shape (n_rows, n_encoded).
    """
    import pandas as pd

    gaps = [name for name in numeric if source[name].isna().any()]
    whole = [name for name in numeric if name not in gaps]
    numbers = FunctionTransformer(as_numbers)
    parts = []
    if whole:
        parts.append(("numeric", make_pipeline(numbers, SimpleImputer(strategy="median")), whole))
    if gaps:
        imputer = SimpleImputer(strategy="median", add_indicator=True)
        parts.append(("numeric_with_missing", make_pipeline(numbers, imputer), gaps))
    if text:
        values = source_values(source[text])
        one_hot = OneHotEncoder(categories=values, handle_unknown="ignore", sparse_output=False)
        parts.append(("text", make_pipeline(FunctionTransformer(as_text), one_hot), text))
    features = numeric + text
    return ColumnTransformer(parts).fit(pd.concat([source[features], target[features]], ignore_index=True))
