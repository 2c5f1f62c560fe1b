"""Rows that are no plain numbers: gaps, categories and text, for learners that take them as they are.

Such rows go to the learner untouched. What is told of them (overlap, balance) and dealt out by them (folds) needs
numbers, which are made here column by column; a linear ratio can be fitted to the same numbers.
"""

from importlib import import_module
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from shiftfix._door import PublicCalls
from shiftfix._learner import FORWARDERS
from shiftfix._numerics import Floats
from shiftfix._validation import check_matrix, column_names
from shiftfix._values import is_missing
from shiftfix.covariate._odds import stack_rows
from shiftfix.exceptions import ShiftDataError

# Categories of a column that get a column of their own, the most frequent first; the others share none.
MOST_CATEGORIES = 20


def reads_raw_rows(estimator: Any) -> bool:
    """Whether a learner may take gaps, categories or text itself: by scikit-learn's tags, or as a pipeline."""
    for kind, name in FORWARDERS.items():
        if isinstance(estimator, kind):
            return reads_raw_rows(getattr(estimator, name))
    if isinstance(estimator, Pipeline):
        return True
    if not hasattr(estimator, "__sklearn_tags__"):
        return False
    tags = get_tags(estimator).input_tags
    return bool(tags.allow_nan or tags.categorical or tags.string)


def are_numbers(X: Any) -> bool:
    """Whether rows are a matrix of finite numbers."""
    try:
        check_matrix(X, "X", accept_sparse=True)
    except (ShiftDataError, TypeError):
        return False
    return True


def check_raw_rows(X: Any, name: str) -> Any:
    """Rows for a learner that reads them itself: a frame as it is, numbers as float64 with gaps, others as objects.

    Raises
    ------
    ShiftDataError
        For None, other than two dimensions, no rows or columns, or infinity.
    """
    if X is None or sparse.issparse(X):
        return check_matrix(X, name, accept_sparse=True)
    rows = X if hasattr(X, "columns") else _array_with_gaps(X)
    if len(rows.shape) != 2 or 0 in rows.shape:
        raise ShiftDataError(f"{name} has shape {tuple(rows.shape)}: rows and columns are needed.")
    columns = [read_column(values) for values in columns_of(rows)]
    _refuse_infinity(columns, column_names(rows), name)
    numbers = [column.numbers for column in columns if column.numbers is not None]
    return np.column_stack(numbers) if len(numbers) == len(columns) and not hasattr(X, "columns") else rows


def _array_with_gaps(X: Any) -> NDArray[Any]:
    """An array of objects, NaN where an entry is masked."""
    return np.asarray(np.ma.filled(np.ma.asarray(X, dtype=object), np.nan))


def _refuse_infinity(columns: list["Column"], names: list[str] | None, name: str) -> None:
    for label, column in zip(names or range(len(columns)), columns, strict=True):
        if column.numbers is not None and np.isinf(column.numbers).any():
            raise ShiftDataError(f"{name} contains infinity in column {label!r}: replace it, or leave a gap (NaN).")


def frame_like(X: Any, library: str | None, names: list[str] | None) -> Any:
    """Rows without column names as a frame of the library and the columns that were fitted; frames as they are."""
    if library is None or names is None or hasattr(X, "columns"):
        return X
    options = {"schema": names} if library == "polars" else {"columns": names}
    return import_module(library).DataFrame(X, **options)


class Column(NamedTuple):
    """Values of one column: numbers with NaN for gaps, or None and the text of each value; and where gaps are."""

    numbers: Floats | None
    text: NDArray[Any]
    missing: NDArray[np.bool_]


def columns_of(X: Any) -> list[NDArray[Any]]:
    """Columns of a frame or a two-dimensional array, one by one."""
    if not hasattr(X, "columns"):
        return list(np.asarray(X).T)
    if hasattr(X, "iloc"):
        return [np.asarray(X.iloc[:, place]) for place in range(X.shape[1])]
    return [np.asarray(X[name]) for name in X.columns]


def read_column(values: NDArray[Any]) -> Column:
    """A column as numbers where all of its values are, else as text."""
    if values.dtype.kind in "mM":
        numbers = np.where(np.isnat(values), np.nan, values.astype(np.int64).astype(np.float64))
    elif values.dtype.kind in "biuf":
        numbers = values.astype(np.float64)
    else:
        return _read_objects(values)
    return Column(numbers, np.empty(0, dtype=str), np.isnan(numbers))


def _read_objects(values: NDArray[Any]) -> Column:
    missing = np.array([is_missing(value) for value in values], dtype=bool)
    text = np.array([str(value) for value in values])
    if any(isinstance(value, str) for value in values[~missing]):
        return Column(None, text, missing)
    numbers = np.full(len(values), np.nan)
    try:
        numbers[~missing] = values[~missing].astype(np.float64)
    except (TypeError, ValueError):
        return Column(None, text, missing)
    return Column(numbers, np.empty(0, dtype=str), missing)


class TableColumns(PublicCalls, TransformerMixin, BaseEstimator):
    """Numbers from a table: gaps filled with the mean, categories as 0 and 1, and a column that says where gaps were.

    Attributes
    ----------
    categories_ : list of ndarray or None
        For each column its most frequent categories; None for numbers.
    means_ : ndarray of shape (n_columns,)
        Of the numbers.
    has_gaps_ : list of bool
    names_ : list of str
        Of the columns made.
    """

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn categories, means and gaps of the rows."""
        names = column_names(X) or [f"column {place}" for place in range(X.shape[1])]
        columns = [read_column(values) for values in columns_of(X)]
        self.categories_ = [_frequent_categories(column) for column in columns]
        self.means_ = np.array([_mean_of_known(column) for column in columns])
        self.has_gaps_ = [bool(column.missing.any()) for column in columns]
        self.names_ = []
        for name, categories, gaps in zip(names, self.categories_, self.has_gaps_, strict=True):
            self.names_ += _names_made(name, categories, gaps)
        return self

    def transform(self, X: Any) -> Floats:
        """Numbers of rows with the fitted columns, shape (n_rows, n_columns_made)."""
        made: list[NDArray[Any]] = []
        fitted = zip(columns_of(X), self.categories_, self.means_, self.has_gaps_, strict=True)
        for values, categories, mean, gaps in fitted:
            column = read_column(values)
            made += [_numbers_of(column, mean)] if categories is None else _indicators_of(values, column, categories)
            made += [column.missing] if gaps else []
        return np.column_stack(made).astype(np.float64)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Names of the columns made."""
        return np.asarray(self.names_, dtype=object)


def comparable_rows(samples: tuple[Any, Any], names: list[str] | None) -> tuple[tuple[Any, Any], list[str] | None]:
    """Both samples as matrices of numbers, and the names of their columns: as they are, where they are numbers.

    Parameters
    ----------
    samples : tuple of two
        Rows as :func:`check_raw_rows` gives them.
    names : list of str or None
    """
    first, second = samples
    if sparse.issparse(first) or (are_numbers(first) and are_numbers(second)):
        return (_matrices(samples) if hasattr(first, "columns") else samples), names
    encoder = TableColumns().fit(stack_rows(first, second))
    return (encoder.transform(first), encoder.transform(second)), encoder.names_


def _matrices(frames: tuple[Any, Any]) -> tuple[Any, Any]:
    return check_matrix(frames[0], "X_source"), check_matrix(frames[1], "X_target")


def _names_made(name: str, categories: NDArray[Any] | None, gaps: bool) -> list[str]:
    """Names of the columns that are made of one."""
    made = [name] if categories is None else [f"{name}={value}" for value in categories]
    return [*made, f"{name} is missing"] if gaps else made


def _numbers_of(column: Column, mean: float) -> Floats:
    """Numbers of a column with its gaps filled; the mean throughout where it has none."""
    if column.numbers is None:
        return np.full(len(column.missing), mean)
    return np.where(column.missing, mean, column.numbers)


def _indicators_of(values: NDArray[Any], column: Column, categories: NDArray[Any]) -> list[NDArray[np.bool_]]:
    """For each category, which rows have it."""
    text = column.text if column.numbers is None else values.astype(str)
    return [(text == category) & ~column.missing for category in categories]


def _mean_of_known(column: Column) -> float:
    """Mean of the numbers of a column, 0 where there are none."""
    if column.numbers is None or column.missing.all():
        return 0.0
    return float(np.mean(column.numbers[~column.missing]))


def _frequent_categories(column: Column) -> NDArray[Any] | None:
    """Categories by falling frequency, None for numbers; equally frequent ones as text sorts them."""
    if column.numbers is not None:
        return None
    values, counts = np.unique(column.text[~column.missing], return_counts=True)
    return values[np.argsort(-counts, kind="stable")][:MOST_CATEGORIES]
