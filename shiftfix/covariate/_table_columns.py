"""Rows that are no plain numbers: gaps, categories and text, for learners that take them as they are.

Such rows go to the learner untouched. What is told of them (overlap, balance) and dealt out by them (folds) needs
numbers, which are made here column by column; a linear ratio can be fitted to the same numbers.
"""

import datetime
import warnings
from importlib import import_module
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from shiftfix._door import PublicCalls
from shiftfix._learner import FORWARDERS, unchanged_on_error
from shiftfix._naming import column_names, column_word, shown
from shiftfix._numerics import Floats
from shiftfix._validation import check_matrix, check_rows, check_same_columns
from shiftfix._values import as_array, is_missing, refuse_no_numbers
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
    """Whether rows are a matrix of finite numbers, none of which a frame declares to be categories."""
    if any(_categories_of(dtype) is not None for dtype in getattr(X, "dtypes", [])):
        return False
    try:
        check_matrix(X, "X", accept_sparse=True)
    except (ShiftDataError, TypeError):
        return False
    return True


def _categories_of(dtype: Any) -> Any:
    """Categories that the type of a column of a frame declares, or None."""
    return getattr(dtype, "categories", None)


def check_raw_rows(X: Any, name: str) -> Any:
    """Rows for a learner that reads them itself: a frame as it is, numbers as float64 with gaps, others as objects.

    Raises
    ------
    ShiftDataError
        For None, other than two dimensions, no rows or columns, columns that share a name, infinity or complex numbers.
    """
    if sparse.issparse(X):
        return check_matrix(X, name, accept_sparse=True)
    rows, columns = _read_table(X, name)
    return rows if hasattr(X, "columns") else _as_floats(columns, rows)


def _read_table(X: Any, name: str) -> tuple[Any, list["RawColumn"]]:
    """Rows as a frame or an array, and their columns; errors as those of :func:`check_raw_rows`."""
    if X is None or sparse.issparse(X):
        check_matrix(X, name)
    rows = check_rows(X, name) if hasattr(X, "columns") else _array_with_gaps(X, name)
    if len(rows.shape) != 2 or 0 in rows.shape:
        raise ShiftDataError(f"{name} has shape {tuple(rows.shape)}: rows and columns are needed.")
    values = columns_of(rows)
    for column in values:
        _refuse_complex(column, name)
    columns = [read_column(column) for column in values]
    _refuse_infinite_columns(columns, column_names(rows), name)
    return rows, columns


def _refuse_complex(values: NDArray[Any], name: str) -> None:
    entries = values if values.dtype.kind == "O" else values[:1]
    if any(isinstance(entry, complex | np.complexfloating) for entry in entries):
        refuse_no_numbers(np.dtype(complex), name, "pass real numbers")


def _as_floats(columns: list["RawColumn"], rows: NDArray[Any]) -> NDArray[Any]:
    """Rows as float64 where all of their columns are numbers, else as they are."""
    numbers = [column.numbers for column in columns if column.numbers is not None]
    return np.column_stack(numbers) if len(numbers) == len(columns) else rows


def _array_with_gaps(X: Any, name: str) -> NDArray[Any]:
    """An array, with NaN where an entry is masked; of objects where it holds more than numbers."""
    if isinstance(X, np.ma.MaskedArray):
        return np.asarray(np.ma.filled(X.astype(np.float64 if X.dtype.kind in "biuf" else object), np.nan))
    array = as_array(X, name)
    # numpy makes text of the numbers among words.
    return np.asarray(X, dtype=object) if array.dtype.kind in "SU" else array


def _refuse_infinite_columns(columns: list["RawColumn"], names: list[str] | None, name: str) -> None:
    for place, column in enumerate(columns):
        if column.numbers is not None and np.isinf(column.numbers).any():
            where = column_word(names, place)
            raise ShiftDataError(f"{name} contains infinity in {where}: replace it, or leave a gap (NaN).")


def frame_like(X: Any, library: str | None, names: list[str] | None) -> Any:
    """Rows without column names as a frame of the library and the columns that were fitted; frames as they are."""
    if library is None or names is None or hasattr(X, "columns"):
        return X
    options = {"schema": names} if library == "polars" else {"columns": names}
    return import_module(library).DataFrame(X, **options)


class RawColumn(NamedTuple):
    """Values of one column: numbers with NaN for gaps, or None and the text of each value; and where gaps are."""

    numbers: Floats | None
    text: NDArray[Any]
    missing: NDArray[np.bool_]


def columns_of(X: Any) -> list[NDArray[Any]]:
    """Columns of a frame or a two-dimensional array, one by one; those declared to be categories as text."""
    if not hasattr(X, "columns"):
        return list(np.asarray(X).T)
    if hasattr(X, "iloc"):
        return [_values_of(X.iloc[:, place]) for place in range(X.shape[1])]
    return [np.asarray(X[name]) for name in X.columns]


def _values_of(series: Any) -> NDArray[Any]:
    """Values of a pandas column; numbers that are declared to be categories are names, with which nobody calculates."""
    categories = _categories_of(series.dtype)
    if categories is None:
        return np.asarray(series)
    words = np.array([*map(_word, categories.tolist()), None], dtype=object)
    return words[series.cat.codes.to_numpy()]  # a gap has the code -1, which is the last


def _word(value: Any) -> str:
    """A category as text; a whole number alike, whether it is stored as an integer or as a float."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def read_column(values: NDArray[Any]) -> RawColumn:
    """A column as numbers where all of its values are, else as text."""
    if values.dtype.kind in "mM":
        numbers = _stamps_in_days(values)
    elif values.dtype.kind in "biuf":
        numbers = values.astype(np.float64, copy=False)
    else:
        return _read_objects(values)
    return RawColumn(numbers, np.empty(0, dtype=str), np.isnan(numbers))


def _stamps_in_days(times: NDArray[Any]) -> Floats:
    """Dates as days since 1970 and spans as days, whatever the unit they are counted in; NaN where there is none."""
    spans = times - np.datetime64(0, "D") if times.dtype.kind == "M" else times
    return np.asarray(spans / np.timedelta64(1, "D"), dtype=np.float64)


def _read_objects(values: NDArray[Any]) -> RawColumn:
    missing = np.array([is_missing(value) for value in values], dtype=bool)
    text = np.array([str(value) for value in values])
    if any(isinstance(value, str) for value in values[~missing]):
        return RawColumn(None, text, missing)
    numbers = np.full(len(values), np.nan)
    try:
        numbers[~missing] = _numbers_of_objects(values[~missing])
    except (TypeError, ValueError):
        return RawColumn(None, text, missing)
    return RawColumn(numbers, np.empty(0, dtype=str), missing)


def _numbers_of_objects(values: NDArray[Any]) -> Floats:
    """Numbers as they are, dates of any time zone as days; TypeError or ValueError for others."""
    if not all(isinstance(value, datetime.date) for value in values):
        return values.astype(np.float64)
    # numpy knows no time zones, and warns where it takes one off.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return _stamps_in_days(values.astype("datetime64[us]"))


class TableColumns(PublicCalls, TransformerMixin, BaseEstimator):
    """Numbers from a table: gaps filled with the mean, categories as 0 and 1, and a column that says where gaps were.

    Text, and what a pandas frame declares to be categories, are categories; numbers, dates (days since 1970) and spans
    of time (days) are numbers.

    Attributes
    ----------
    categories_ : list of ndarray or None
        For each column its most frequent categories, 20 at most; None for numbers.
    means_ : ndarray of shape (n_columns,)
        Of the numbers.
    has_gaps_ : list of bool
    names_ : list of str
        Of the columns made.
    n_features_in_ : int

    See Also
    --------
    LogisticWeighter : Odds of a logistic source-versus-target classifier; the default.
    """

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn categories, means and gaps of the rows.

        Parameters
        ----------
        X : array-like or data frame of shape (n_rows, n_columns)
        y : ignored

        Returns
        -------
        TableColumns
            The fitted estimator itself.

        Raises
        ------
        ShiftDataError
            For what has no rows and columns, infinity and complex numbers.
        """
        rows, columns = _read_table(X, "X")
        given = column_names(rows)
        names = given or [column_word(None, place) for place in range(len(columns))]
        categories = [_frequent_categories(column) for column in columns]
        has_gaps = [bool(column.missing.any()) for column in columns]
        made = [_names_made(*column) for column in zip(names, categories, has_gaps, strict=True)]
        with unchanged_on_error(self):
            self.categories_, self.has_gaps_ = categories, has_gaps
            self.means_ = np.array([_mean_of_known(column) for column in columns])
            self.names_ = [name for of_column in made for name in of_column]
            self.n_features_in_, self._column_names = len(columns), given
            return self

    def transform(self, X: Any) -> Floats:
        """Numbers of rows with the fitted columns, shape (n_rows, n_columns_made).

        Raises
        ------
        ShiftDataError
            As for ``fit``, for other columns than those fitted, and for text where they held numbers.
        """
        check_is_fitted(self, "categories_")
        rows, columns = _read_table(X, "X")
        check_same_columns(self._column_names, rows, "X_fitted", "X", self.n_features_in_)
        made: list[NDArray[Any]] = []
        fitted = zip(columns, self.categories_, self.means_, self.has_gaps_, strict=True)
        for place, (column, categories, mean, gaps) in enumerate(fitted):
            if categories is not None:
                made += _indicators_of(column, categories)
            elif column.numbers is not None:
                made.append(np.where(column.missing, mean, column.numbers))
            else:
                where, value = column_word(self._column_names, place), shown(column.text[~column.missing][0])
                raise ShiftDataError(f"X holds {value} in {where}, which held numbers when fitted: pass numbers.")
            made += [column.missing] if gaps else []
        return np.column_stack(made).astype(np.float64)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Names of the columns made."""
        check_is_fitted(self, "categories_")
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


def _indicators_of(column: RawColumn, categories: NDArray[Any]) -> list[NDArray[np.bool_]]:
    """For each category, which rows have it."""
    text = column.text if column.numbers is None else np.array([*map(_word, column.numbers.tolist())])
    return [(text == category) & ~column.missing for category in categories]


def _mean_of_known(column: RawColumn) -> float:
    """Mean of the numbers of a column, 0 where there are none."""
    if column.numbers is None or column.missing.all():
        return 0.0
    known = column.numbers[~column.missing]
    largest = float(np.abs(known).max()) or 1.0  # in units of it: the sum may overflow
    return largest * float(np.mean(known / largest))


def _frequent_categories(column: RawColumn) -> NDArray[Any] | None:
    """Categories by falling frequency, None for numbers; equally frequent ones as text sorts them."""
    if column.numbers is not None:
        return None
    values, counts = np.unique(column.text[~column.missing], return_counts=True)
    return values[np.argsort(-counts, kind="stable")][:MOST_CATEGORIES]
