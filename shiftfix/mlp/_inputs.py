"""What the estimators make of X, y, weights and an eval_set: checked arrays, scaled rows, tensors on their device."""

from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_X_y
from sklearn.utils.sparsefuncs import min_max_axis
from sklearn.utils.validation import validate_data

from shiftfix._naming import OVERFLOW, ColumnError, cell_error, odd_cell, one_line
from shiftfix._validation import LEAST_REACH, check_rows, refuse_vanishing
from shiftfix._values import as_array, refuse_missing_labels, refuse_no_numbers
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._storage import is_stored, named_shape, stored_rows
from shiftfix.mlp._table_scaler import TableScaler
from shiftfix.mlp._training import RankedRows, Rows, RowsOfX, SparseRows, StoredRows

FeatureScaler: TypeAlias = StandardScaler | TableScaler

# Types that X keeps. Others become the first: whole numbers, such as seconds since 1970, may have more digits than
# float32 holds.
FLOATS = [np.float64, np.float32]


def read_rows(estimator: Any, X: Any, y: Any = "no_validation", *, reset: bool = False, **how: Any) -> Any:
    """X, and y where there is one, as scikit-learn's ``validate_data`` checks them; X an array or a ``csr_array``.

    What is stored comes as ``StoredRows``.
    """
    if is_stored(X, getattr(estimator, "data_parallel", False)):
        return _read_stored(estimator, X, y, reset, how)
    X = _readable_rows(X)
    if y is not None and not isinstance(y, str):
        y = read_y(y, "y")
        refuse_missing_labels(y, "y")
    found = validate_data(estimator, X, y, reset=reset, dtype=FLOATS, accept_sparse="csr", **how)
    return (canonical(found[0]), found[1]) if isinstance(found, tuple) else canonical(found)


def _read_stored(estimator: Any, X: Any, y: Any, reset: bool, how: dict[str, Any]) -> Any:
    """The same for rows that are read by blocks; y is checked beside a column of zeros."""
    if len(X.shape) != 2:
        raise ShiftDataError(f"X has shape {tuple(X.shape)}, and a 2D array (n_rows, n_features) is needed.")
    validate_data(estimator, named_shape(X), reset=reset, skip_check_array=True)
    if y is not None and not isinstance(y, str):
        y = read_y(y, "y")
        refuse_missing_labels(y, "y")
    elif y is None:
        raise ShiftDataError("y is None: pass one y per row of X.")
    rows = stored_rows(X, "X")
    if isinstance(y, str):
        return rows
    return rows, check_X_y(np.broadcast_to(np.float32(0), (len(X), 1)), y, **how)[1]


def refuse_stored_for_preset(X: Any, preset: str | None) -> None:
    """Raise ShiftDataError for stored rows and a preset, whose scales are quantiles of all rows at once."""
    if preset is not None and isinstance(X, StoredRows):
        raise ShiftDataError(
            f"preset={preset!r} learns medians and quantiles of the columns from all rows at once, and X is read by "
            "blocks: pass preset=None, or np.array(X) where it fits in memory."
        )


def read_y(y: Any, name: str) -> NDArray[Any]:
    """Labels or numbers as an array; raise ShiftDataError for what would be read as others in silence."""
    y = as_array(y, name)
    refuse_no_numbers(y.dtype, name, "pass real numbers, or labels as text")
    return y


def _readable_rows(X: Any) -> Any:
    """Rows that can be read as numbers; raise ShiftDataError, or TypeError as scikit-learn does, for others."""
    X = check_rows(X, "X")
    for dtype in [getattr(X, "dtype", None), *getattr(X, "dtypes", [])]:
        refuse_no_numbers(dtype, "X", "pass real numbers, such as days since a date")
    if not isinstance(X, np.ndarray):
        return X
    if X.ndim != 2:
        raise ShiftDataError(
            f"X has shape {X.shape}, and a 2D array (n_rows, n_features) is needed. Reshape your data with "
            "X.reshape(-1, 1) if it is one feature, and X.reshape(1, -1) if it is one row."
        )
    try:
        X if X.dtype.kind not in "OSU" else X.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        # scikit-learn's checks look for its words, for which numpy's are.
        why = f" ({one_line(str(error))[:100]})" if isinstance(error, TypeError) else ""
        said = f"X cannot be read as numbers{why}: it holds {odd_cell(X, None)}"
        raise cell_error(said, isinstance(error, TypeError)) from error
    return X


def canonical(X: Any) -> Any:
    """A sparse X with one stored number per place at most, in memory of its own if it had more; others as they are."""
    if not sparse.issparse(X):
        return X
    X = sparse.csr_array(X)
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return X


def present(weight: NDArray[np.float64], *columns: Any) -> tuple[Any, ...]:
    """The weights and the arrays or tensors beside them, at the rows of positive weight."""
    kept = weight > 0
    if kept.all():
        return weight, *columns
    return weight[kept], *(part[torch.as_tensor(kept) if isinstance(part, torch.Tensor) else kept] for part in columns)


def parts_of_eval_set(eval_set: Any) -> tuple[Any, Any, Any]:
    """X, y and the weights, or None, of an eval_set; raise ShiftDataError unless it is a tuple of two or three."""
    if not isinstance(eval_set, tuple) or len(eval_set) not in (2, 3):
        raise ShiftDataError("eval_set needs to be a tuple (X, y) or (X, y, sample_weight), and no list.")
    X, y, *weight = eval_set
    return X, y, weight[0] if weight else None


def feature_scaler(X: Any, weight: NDArray[np.float64]) -> StandardScaler:
    """Weighted means and deviations of the columns; those of a sparse X are taken without making it dense.

    Raises
    ------
    ShiftDataError
        For a column whose values overflow, or whose differences vanish, when squared.
    """
    scaler = _overflow_checked_scaler(X, weight)
    # The rows are read once more for columns that may be lost alone.
    if (scaler.var_ < LEAST_REACH).any():
        refuse_vanishing(*_column_ends(X))
    return scaler


def _column_ends(X: Any) -> NDArray[np.float64]:
    """Least and largest value of each column, of shape (2, n_columns)."""
    if isinstance(X, RankedRows):
        parts = X.ranks.gathered(_column_ends(X.own()) if X.mine.any() else None)
    elif isinstance(X, StoredRows):
        parts = [_column_ends(numbers) for _, numbers in X.in_blocks()]
    elif sparse.issparse(X):
        parts = [np.stack(min_max_axis(X, axis=0))]
    else:
        parts = [np.stack([X.min(axis=0), X.max(axis=0)])]
    low, high = zip(*(part for part in parts if part is not None), strict=True)
    return np.stack([np.min(low, axis=0), np.max(high, axis=0)]).astype(np.float64)


def _overflow_checked_scaler(X: Any, weight: NDArray[np.float64]) -> StandardScaler:
    if isinstance(X, RankedRows):
        return _joint_scaler(X, weight)
    if isinstance(X, StoredRows):
        return _scaler_by_blocks(X, weight)
    is_sparse = sparse.issparse(X)
    rows = X.astype(np.float64) if is_sparse else X
    # The variance of a constant column may round to less than 0; its scale is 1 in any case.
    with np.errstate(over="ignore", invalid="ignore"):
        scaler = StandardScaler(with_mean=not is_sparse).fit(rows, sample_weight=weight)
    lost = np.flatnonzero(~np.isfinite(scaler.var_))
    if lost.size:
        raise ColumnError(OVERFLOW.format(np.abs(rows[:, [lost[0]]]).max()), int(lost[0]))
    return scaler.set_params(with_mean=True)  # it will meet dense batches, whose means can be taken off


def as_floats(numbers: NDArray[Any]) -> NDArray[Any]:
    """Rows as they are stored, in the type that they have when they are read as an array."""
    return numbers if numbers.dtype in FLOATS else numbers.astype(FLOATS[0])


def _scaler_by_blocks(X: StoredRows, weight: NDArray[np.float64]) -> StandardScaler:
    scaler, largest = StandardScaler(), np.zeros(X.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):
        for part, numbers in X.in_blocks():
            scaler.partial_fit(as_floats(numbers), sample_weight=weight[part])
            largest = np.maximum(largest, np.abs(numbers.astype(np.float64)).max(axis=0))
    return _checked_scaler(scaler, largest)


def _checked_scaler(scaler: StandardScaler, largest: NDArray[np.float64]) -> StandardScaler:
    """The scaler; raise ColumnError for a column that overflows, of which the largest values are given."""
    lost = np.flatnonzero(~np.isfinite(scaler.var_))
    if lost.size:
        raise ColumnError(OVERFLOW.format(largest[lost[0]]), int(lost[0]))
    return scaler


def _joint_scaler(X: RankedRows, weight: NDArray[np.float64]) -> StandardScaler:
    """Of the rows of all processes, each of which stands for its own by two: their mean, a deviation up and down."""
    mine, two = X.mine.numpy(), None
    with X.ranks.together():
        if mine.any():
            own = _overflow_checked_scaler(X.own(), weight[mine])
            deviation = np.sqrt(own.var_)
            two = np.stack([own.mean_ - deviation, own.mean_ + deviation]), weight[mine].sum() / 2
    found = [one for one in X.ranks.gathered(two) if one is not None]
    rows, shares = np.concatenate([one[0] for one in found]), np.repeat([one[1] for one in found], 2)
    with np.errstate(over="ignore", invalid="ignore"):
        scaler = StandardScaler().fit(rows, sample_weight=shares)
    return _checked_scaler(scaler, np.abs(rows).max(axis=0))


def network_inputs(scaler: FeatureScaler | None, n_features: int, embeds: bool) -> tuple[int, int]:
    """Inputs of the network, and how many of them, the first ones, are numbers to embed where it ``embeds`` any."""
    if isinstance(scaler, TableScaler):
        return scaler.n_columns, len(scaler.numbers) if embeds else 0
    return n_features, 0


def network_rows(X: Any, scaler: FeatureScaler | None) -> RowsOfX:
    """Standardised float32 rows, those of a sparse X when a batch asks for them.

    Raises
    ------
    ShiftDataError
        For values that float32 does not hold.
    """
    if isinstance(X, RankedRows):
        return X.changed(partial(network_rows, scaler=scaler))
    if isinstance(X, StoredRows):
        return X.finished(partial(scaled_rows, scaler=scaler))
    if not sparse.issparse(X):
        return scaled_rows(X, scaler)
    scaled_rows(np.stack(min_max_axis(X, axis=0)), scaler)  # no value of a column is outside these two
    return SparseRows(X, partial(scaled_rows, scaler=scaler))


def scaled_rows(X: Any, scaler: FeatureScaler | None) -> torch.Tensor:
    """Standardised float32 rows, from an array or a ``csr_array``; the scaling runs in the precision of X.

    Raises
    ------
    ShiftDataError
        For values that float32 does not hold.
    """
    X = as_floats(X.toarray() if sparse.issparse(X) else X)
    with np.errstate(over="ignore"):
        if scaler is not None:
            # Of a training on several processes one may have no rows, which scikit-learn's scaler refuses.
            X = scaler.transform(X if len(X) else np.zeros((1, X.shape[1])))[: len(X)]
        # Writeable, because torch warns of memory it could not write to.
        rows = np.require(X, np.float32, ["C", "W"])
    if not np.isfinite(rows).all():
        column = int(np.flatnonzero(~np.isfinite(rows).all(axis=0))[0])
        raise ColumnError(
            "Values of {column} of X are too large for the float32 network, even after scaling: rescale the column, or "
            "clip its extreme values.",
            column,
        )
    return torch.as_tensor(rows)


def rows_on(
    device: torch.device,
    X: RowsOfX,
    y: torch.Tensor,
    weight: NDArray[np.float64],
    *,
    dtype: torch.dtype = torch.float32,
    unit: float | None = None,
) -> Rows:
    """Rows on the device, with weights of mean 1, or divided by a unit."""
    scaled = torch.as_tensor(weight / (weight.mean() if unit is None else unit), dtype=dtype)
    return Rows(X.to(device), y.to(device), scaled.to(device))
