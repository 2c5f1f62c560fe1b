"""Columns of text and categories in a frame, as codes of their levels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftfix._values import is_missing
from shiftfix.exceptions import ShiftDataError

# By the position of its column: the levels, sorted.
Categories = dict[int, NDArray[np.str_]]
# How pandas and polars call the types of text and categories; "object" is looked into.
WORDS = ("category", "str", "string", "categorical", "enum", "utf8", "large_string")


def is_frame(X: Any) -> bool:
    """Whether it has columns with names and types, as the frames of pandas and polars have."""
    return hasattr(X, "columns") and hasattr(X, "dtypes")


def entries(X: Any, place: int) -> NDArray[np.object_]:
    """A column of a frame as an array of objects."""
    return np.asarray(X[X.columns[place]].to_numpy(), dtype=object)


def texts(column: NDArray[np.object_]) -> list[str | None]:
    """Levels as text, None where missing."""
    return [None if is_missing(value) else str(value) for value in column]


def is_categorical(X: Any, place: int, dtype: Any) -> bool:
    """Whether a column is of text or categories, or of objects one of which is text."""
    name = str(dtype).lower().partition("(")[0].partition("[")[0]
    return name in WORDS or (name == "object" and any(isinstance(value, str) for value in entries(X, place)))


def learn_categories(X: Any) -> Categories:
    """Levels of the columns of text and categories of a frame; none for anything else."""
    if not is_frame(X):
        return {}
    places = [place for place, dtype in enumerate(list(X.dtypes)) if is_categorical(X, place, dtype)]
    levels = {place: sorted({level for level in texts(entries(X, place)) if level is not None}) for place in places}
    return {place: np.array(found, dtype=np.str_) for place, found in levels.items()}


def coded(X: Any, categories: Categories) -> Any:
    """The frame with codes from 0 in the place of levels, -1 for missing and new ones; anything else as it is.

    Raises
    ------
    ShiftDataError
        For text in another column.
    """
    if not categories or not is_frame(X) or len(X.columns) <= max(categories):
        return X
    names = list(X.columns)
    for place, dtype in enumerate(list(X.dtypes)):
        if place not in categories and is_categorical(X, place, dtype):
            raise ShiftDataError(
                f"X holds text in column {names[place]!r}, and fit had numbers there: pass the features of fit in "
                "their order."
            )
    codes = {names[place]: level_codes(entries(X, place), levels) for place, levels in categories.items()}
    if hasattr(X, "with_columns"):
        return X.with_columns([type(X[name])(name, found) for name, found in codes.items()])
    X = X.copy(deep=False)
    for name, found in codes.items():
        X[name] = found
    return X


def level_codes(column: NDArray[np.object_], levels: NDArray[np.str_]) -> NDArray[np.float64]:
    """Position of each level among those that are known, -1 for others."""
    position = {level: code for code, level in enumerate(levels.tolist())}
    return np.array([position.get(text, -1) for text in texts(column)], dtype=np.float64)
