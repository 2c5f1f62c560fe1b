"""Every check of user input, and every message: what was found, what is needed, what to do."""

import numbers
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.utils import check_array

from shiftfix._blocks import row_blocks
from shiftfix._naming import (
    CellError,
    ColumnError,
    cell_error,
    column_names,
    column_word,
    differences,
    odd_cell,
    odd_entry,
    one_line,
)
from shiftfix._values import LARGEST_WHOLE, as_array, refuse_no_numbers, refuse_no_numbers_among, refuse_unusable_labels
from shiftfix.exceptions import ShiftDataError

# A row that counts less than this share of an average one moves no sum.
LEAST_COUNT = 1e-100
# Values of a column that differ by less have no variance in float64.
LEAST_REACH = 1e-150
IMPUTE = "impute or drop them, for example with scikit-learn's SimpleImputer."


@overload
def check_matrix(
    X: Any, name: str, *, dtype: Any = ..., accept_sparse: Literal[False] = False, names: list[str] | None = ...
) -> NDArray[Any]: ...
@overload
def check_matrix(X: Any, name: str, *, dtype: Any = ..., accept_sparse: bool, names: list[str] | None = ...) -> Any: ...
def check_matrix(
    X: Any, name: str, *, dtype: Any = np.float64, accept_sparse: bool = False, names: list[str] | None = None
) -> Any:
    """Two-dimensional finite array of floats made from an array-like or a data frame.

    Parameters
    ----------
    X : array-like or data frame of shape (n_rows, n_features)
    name : str
        What messages call it, for example ``"X_source"``.
    dtype : dtype or list of dtype, default=float64
    accept_sparse : bool, default=False
        Whether a sparse matrix is welcome; it comes back in compressed row format.
    names : list of str, default=None
        What messages call the columns of an array; a data frame has names of its own.

    Returns
    -------
    ndarray or csr_array of shape (n_rows, n_features)

    Raises
    ------
    ShiftDataError
        For None, sparse or non-numeric data, the wrong number of dimensions, no rows, no columns,
        NaN or infinity.
    TypeError
        For entries that are neither numbers nor strings.
    """
    if X is None:
        raise ShiftDataError(f"{name} is None: pass an array of shape (n_rows, n_features).")
    if sparse.issparse(X) and not accept_sparse:
        raise ShiftDataError(
            f"{name} is a sparse matrix, and sparse input is not supported here: pass {name}.toarray()."
        )
    X = check_rows(X, name)
    _refuse_other_types(X, name)
    names = column_names(X) or names
    array = _as_numbers(X, name, dtype, names)
    _check_matrix_shape(array, name)
    if sparse.issparse(array):
        array = sparse.csr_array(array)
        _check_finite_stored(array, name, names)
    else:
        _check_finite(array, name, names)
    return array


def _refuse_other_types(X: Any, name: str) -> None:
    """Raise for an array, or a column of a frame, of complex numbers, dates or durations."""
    advice = "pass real numbers, such as days since a date"
    types = [getattr(X, "dtype", None), *getattr(X, "dtypes", [])]
    for found in types:
        refuse_no_numbers(found, name, advice)
    if any(getattr(found, "kind", "") == "O" for found in types):
        refuse_no_numbers_among(np.asarray(X, dtype=object), name, advice)


def _check_matrix_shape(array: Any, name: str) -> None:
    """Raise unless an array has two dimensions, and rows and columns."""
    if array.ndim != 2:
        raise ShiftDataError(
            f"{name} has shape {array.shape}, and a 2D array (n_rows, n_features) is needed: "
            f"use {name}.reshape(-1, 1) for a single feature."
        )
    if array.shape[0] == 0:
        raise ShiftDataError(f"{name} has no rows: pass at least one.")
    if array.shape[1] == 0:
        raise ShiftDataError(f"{name} has 0 feature(s) (shape={array.shape}) while a minimum of 1 is required.")


def check_rows(X: Any, name: str) -> Any:
    """Rows of any content: a data frame or a sparse matrix as it is, anything else as an array of one or more rows.

    Raises
    ------
    ShiftDataError
        For what makes no array, masked entries, and columns of a frame that share a name.
    """
    if sparse.issparse(X):
        return X
    names = column_names(X)
    if names is None:
        return as_array(X, name)
    if len(set(names)) < len(names):
        repeated = min(column for column, n_times in Counter(names).items() if n_times > 1)
        raise ShiftDataError(f"{name} has several columns named {repeated!r}: give each a name of its own.")
    return X


def _as_numbers(X: Any, name: str, dtype: Any, names: list[str] | None) -> Any:
    """X as an array or a matrix in compressed row format, of any shape and with any numbers in it."""
    try:
        return check_array(
            X,
            dtype=dtype,
            accept_sparse="csr",
            ensure_all_finite=False,
            ensure_2d=False,
            allow_nd=True,
            ensure_min_samples=0,
            ensure_min_features=0,
        )
    except (ValueError, TypeError) as error:
        where = None if sparse.issparse(X) or np.iscomplexobj(X) else odd_cell(X, names)
        found = one_line(str(error)) if where is None else f"it holds {where}"
        mistyped = isinstance(error, TypeError)
        # scikit-learn's checks of estimators look for numpy's own words.
        found += f"; {one_line(str(error))}" * (mistyped and where is not None)
        raise cell_error(f"{name} cannot be read as numbers ({found})", mistyped) from error


def _check_finite_stored(array: Any, name: str, names: list[str] | None) -> None:
    odd = np.flatnonzero(~np.isfinite(array.data))
    if odd.size:
        where = column_word(names, int(array.indices[odd[0]]))
        raise CellError(f"{name} contains NaN or infinity among its stored values (the first in {where})", IMPUTE)


def _check_finite(array: Any, name: str, names: list[str] | None) -> None:
    # In blocks, so that no n x p table of booleans is made.
    if all(np.isfinite(array[rows]).all() for rows in row_blocks(*array.shape)):
        return
    finite = np.isfinite(array)
    column = int(np.flatnonzero(~finite.all(axis=0))[0])
    row = int(np.flatnonzero(~finite[:, column])[0])
    what = "NaN" if np.isnan(array[row, column]) else "infinity"
    where = f"{column_word(names, column)}, row {row}"
    raise CellError(f"{name} contains {what} ({(~finite).sum()} non-finite values, the first in {where})", IMPUTE)


def refuse_vanishing(low: NDArray[np.float64], high: NDArray[np.float64]) -> None:
    """Raise ColumnError for columns whose values differ, but by so little that the squares of it are 0.

    Parameters
    ----------
    low, high : ndarray of shape (n_columns,)
        Least and largest value of each.
    """
    reach = high - low
    lost = np.flatnonzero((reach > 0) & (reach < LEAST_REACH))
    if lost.size:
        raise ColumnError(
            f"The values of {{column}} differ by {reach[lost[0]]:.3g} at most, which vanishes when squared: "
            "rescale the column, for example to its standard deviation.",
            int(lost[0]),
        )


def check_same_columns(reference: list[str] | None, X: Any, reference_name: str, name: str, n_features: int) -> None:
    """Raise unless X has the columns of the reference, by count, name and order.

    ``reference`` is a list of names or None; names are compared only when both sides have them.
    """
    n_found = np.shape(X)[1]
    names = column_names(X)
    if reference is not None and names is not None and names != reference:
        raise _other_columns(reference, names, reference_name, name)
    if n_found != n_features:
        raise ShiftDataError(
            f"{name} has {n_found} columns, {reference_name} has {n_features}: pass the same features in both."
        )


def _other_columns(reference: list[str], names: list[str], reference_name: str, name: str) -> ShiftDataError:
    """How the names of two samples differ."""
    missing, extra = differences(reference, names)
    if missing or extra:
        return ShiftDataError(
            f"{name} and {reference_name} differ in their columns: {name} lacks {missing} and adds "
            f"{extra}. Pass the same features in both."
        )
    return ShiftDataError(
        f"{name} has the columns of {reference_name} in another order: use {name}[{reference_name}.columns]."
    )


def check_two_samples(
    X_source: Any, X_target: Any, check: Callable[[Any, str], Any] = check_matrix
) -> tuple[Any, Any, list[str] | None]:
    """Both samples as ``check(X, name)`` returns them, with the same columns, and the column names or None."""
    source = check(X_source, "X_source")
    target = check(X_target, "X_target")
    if sparse.issparse(source) != sparse.issparse(target):
        one, other = ("X_source", "X_target") if sparse.issparse(source) else ("X_target", "X_source")
        raise ShiftDataError(
            f"{one} is a sparse matrix and {other} is not: pass both sparse, or both as arrays with {one}.toarray()."
        )
    names = column_names(X_source)
    check_same_columns(names, X_target if column_names(X_target) else target, "X_source", "X_target", source.shape[1])
    return source, target, names


def check_vector(values: ArrayLike, name: str, n_rows: int | None = None, *, of: str = "rows") -> NDArray[np.float64]:
    """One-dimensional finite float64 array, of length n_rows when that is given."""
    array = _real_numbers(values, name)
    if array.ndim != 1:
        raise ShiftDataError(f"{name} has shape {array.shape}, and one number per row is needed: pass a 1D array.")
    if array.size == 0:
        raise ShiftDataError(f"{name} is empty: pass at least one value.")
    if n_rows is not None and array.size != n_rows:
        raise ShiftDataError(f"{name} has {array.size} values for {n_rows} {of}: pass one per row.")
    _check_finite_vector(array, name)
    return array


def _real_numbers(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """An array of float64 of any shape; raise ShiftDataError for what is none."""
    found = as_array(values, name)
    refuse_no_numbers(found.dtype, name, "pass real numbers")
    refuse_no_numbers_among(found, name, "pass real numbers")
    try:
        return found.astype(np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        where = one_line(str(error)) if found.ndim != 1 else f"it holds {odd_entry(found)}"
        raise ShiftDataError(f"{name} cannot be read as numbers ({where}).") from error


def _check_finite_vector(array: NDArray[np.float64], name: str) -> None:
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array))[0])
        what = "NaN" if np.isnan(array[row]) else "infinity"
        raise ShiftDataError(f"{name} contains {what} (the first at position {row}): remove or replace it.")


def check_weights(
    weights: ArrayLike, name: str = "weights", n_rows: int | None = None, *, of: str = "rows"
) -> NDArray[np.float64]:
    """Non-negative finite weights, not all zero, as a float64 array of shape (n_rows,)."""
    array = check_vector(weights, name, n_rows, of=of)
    if (array < 0).any():
        row = int(np.flatnonzero(array < 0)[0])
        raise ShiftDataError(
            f"{name} contains a negative value ({array[row]:g} at position {row}): weights must be >= 0."
        )
    if not array.any():
        raise ShiftDataError(f"{name} is all zero: at least one row must count.")
    return array


def check_sample_weight(
    sample_weight: ArrayLike | None, n_rows: int, name: str = "sample_weight", *, of: str = "rows"
) -> NDArray[np.float64]:
    """Weights as for check_weights; None means ones and a number means that number for every row."""
    if sample_weight is None:
        return np.ones(n_rows)
    if isinstance(sample_weight, numbers.Number):
        sample_weight = np.full(n_rows, sample_weight)
    return check_weights(sample_weight, name, n_rows, of=of)


def _refuse_uncountable(counts: NDArray[np.float64], name: str) -> None:
    # In units of the largest: the sum itself may overflow.
    largest = counts.max()
    if (counts / largest).sum() > LARGEST_WHOLE / largest:
        raise ShiftDataError(
            f"{name} holds {largest:g} and adds up to more than {LARGEST_WHOLE:.2g}: it counts how often each row "
            f"stands for itself, and that many rows cannot be counted. Pass {name} / {name}.max() if only the ratios "
            "matter."
        )


def check_repeat_counts(
    sample_weight: ArrayLike | None, n_rows: int, name: str = "sample_weight", *, of: str = "rows"
) -> NDArray[np.float64]:
    """Repeat counts of rows as a float64 array: weight 2 is the row twice.

    No row can stand for less than one row. Positive weights below 1 (weights that sum to 1, say) therefore only
    compare the rows, and are rescaled to average 1 over the rows of positive weight; zeros leave rows out. None
    means ones.
    """
    counts = check_sample_weight(sample_weight, n_rows, name, of=of)
    present = counts > 0
    if counts[present].min() < 1:
        counts = counts / counts.max()
        counts = counts / counts[present].mean()
        counts[counts < LEAST_COUNT] = 0.0
    _refuse_uncountable(counts, name)
    return counts


def check_labels(
    y: ArrayLike | None, name: str, n_rows: int | None = None, *, of: str = "rows", whole: bool = True
) -> NDArray[Any]:
    """Class labels as a one-dimensional array without missing values; with ``whole=False`` labels of any other use.

    Raises
    ------
    ShiftDataError
        For None, two dimensions, another length than n_rows, missing or infinite labels, or floats
        that are not whole numbers (a regression target).
    """
    if y is None:
        raise ShiftDataError(
            f"One class label per row is needed: this requires y to be passed, but the target {name} is None."
        )
    array = as_array(y, name)
    if array.ndim != 1:
        raise ShiftDataError(f"{name} has shape {array.shape}: pass a 1D array with one label per row.")
    if array.size == 0:
        raise ShiftDataError(f"{name} is empty: pass at least one label.")
    if n_rows is not None and array.size != n_rows:
        raise ShiftDataError(f"{name} has {array.size} labels for {n_rows} {of}: pass one per row.")
    refuse_unusable_labels(array, name, whole=whole)
    return array


def check_scores(
    scores: ArrayLike, name: str, n_classes: int | None = None, *, dtype: Any = np.float64
) -> NDArray[Any]:
    """Class probabilities as a float array of shape (n_rows, n_classes), rows summing to 1.

    A row may miss 1 by up to 1e-3 (half-precision scores) and is rescaled to sum to 1. With ``dtype`` a list, such as
    ``[np.float64, np.float32]``, a type in the list is kept, and float32 scores whose rows miss 1 by rounding only (up
    to 1e-5) come back as they are, uncopied: do not write into them.
    """
    scores = check_rows(scores, name)
    if np.ndim(scores) == 1:
        raise ShiftDataError(
            f"{name} has one dimension: pass class probabilities, as predict_proba gives them, with a column per class."
        )
    array = check_matrix(scores, name, dtype=dtype)
    if n_classes is not None and array.shape[1] != n_classes:
        raise ShiftDataError(
            f"{name} has {array.shape[1]} columns for {n_classes} classes: pass one column per class, in the "
            "order of the classes."
        )
    with np.errstate(over="ignore"):
        total, least = array.sum(axis=1, dtype=np.float64), array.min(axis=1)
    wrong = (least < 0) | (np.abs(total - 1) > 1e-3)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ShiftDataError(
            f"{name} is not made of probabilities (row {row} sums to {total[row]:.6g}, its least entry is "
            f"{least[row]:.6g}): pass predict_proba, or softmax the logits."
        )
    if array.dtype == np.float32 and np.abs(total - 1).max() <= 1e-5:
        return array
    return array / total[:, np.newaxis].astype(array.dtype)


def _names_of_classes(values: Any) -> list[str]:
    """Names of the columns of a frame, or in the index of a Series; none for others."""
    named: Any = column_names(values)
    if named is None and getattr(values, "ndim", 0) == 1:
        named = getattr(values, "index", None)
    return [] if named is None or callable(named) else [str(label) for label in named]


def check_class_order(values: Any, name: str, classes: ArrayLike) -> None:
    """Raise when the columns of a frame, or the index of a Series, name the classes in another order.

    Names that are not the classes are left alone: nothing is known of their order then.
    """
    names = _names_of_classes(values)
    labels = [str(label) for label in np.asarray(classes).tolist()]
    if names != labels and sorted(names) == sorted(labels):
        raise ShiftDataError(
            f"{name} names the classes {names}, and their order is {labels}: put it in that order, for example by "
            f"{name}[{labels}]."
        )


def check_prior(prior: ArrayLike, name: str, n_classes: int | None = None) -> NDArray[np.float64]:
    """Class probabilities as a float64 array of shape (n_classes,) that sums to 1."""
    array = check_vector(prior, name, n_classes, of="classes")
    with np.errstate(over="ignore"):
        total = array.sum()
    if (array < 0).any() or abs(total - 1) > 1e-6:
        raise ShiftDataError(
            f"{name} is not a probability vector (sum {total:.6g}, least entry {array.min():.6g}): pass "
            "non-negative numbers that sum to 1."
        )
    return array / array.sum()
