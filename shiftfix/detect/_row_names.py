"""Columns that only name the rows of two samples, and so tell them apart whatever the rows are."""

from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from shiftfix.detect._diagnosis import MOST_IDENTIFIERS, identifier_in_words
from shiftfix.detect._features import FeatureTests, feature_tests

# Rows below which the tests say nothing.
FEWEST_ROWS = 5


def is_table(X: Any) -> bool:
    """Whether columns can be looked at one by one."""
    return len(np.shape(X)) == 2 and not hasattr(X, "toarray")


def without_columns(X: Any, columns: FeatureTests | None) -> Any:
    """Rows without the columns that only name them."""
    if columns is None or not columns.identifiers or len(columns.identifiers) == len(columns.columns):
        return X
    odd = {column.name for column in columns.identifiers}
    names = [str(name) for name in X.columns] if hasattr(X, "columns") else [f"column {j}" for j in range(X.shape[1])]
    return _safe_indexing(X, [j for j, name in enumerate(names) if name not in odd], axis=1)


def tests_of_columns(X: Any, X_target: Any) -> FeatureTests | None:
    """Every column by itself; None for too few rows, and for what is no table."""
    enough = min(_num_samples(X), _num_samples(X_target)) >= FEWEST_ROWS
    return feature_tests(X, X_target) if enough and is_table(X) and is_table(X_target) else None


def names_of_rows(X: Any, X_target: Any) -> list[str]:
    """In words, the first columns that only name rows or tell the time, or whose values tell the sample of a row."""
    columns = tests_of_columns(X, X_target)
    odd = [] if columns is None else [column for column in columns.columns if column.why]
    return [
        f"{column.name!r} has {column.why}" if column.describes_rows else identifier_in_words(column)
        for column in odd[:MOST_IDENTIFIERS]
    ]
