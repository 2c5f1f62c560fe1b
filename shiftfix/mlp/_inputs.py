"""What the estimators make of X, y, weights and an eval_set: checked arrays, scaled rows, tensors on their device."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.preprocessing import StandardScaler

from shiftfix._naming import ColumnError
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._training import Rows, check_row_weights

# Types that X keeps. Others become the first: whole numbers, such as seconds since 1970, may have more digits than
# float32 holds.
FLOATS = [np.float64, np.float32]


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


def scaled_rows(X: NDArray[Any], scaler: StandardScaler | None) -> torch.Tensor:
    """Standardised float32 rows; the scaling runs in the precision of X.

    Raises
    ------
    ShiftDataError
        For values that float32 does not hold.
    """
    if scaler is not None:
        X = scaler.transform(X)
    with np.errstate(over="ignore"):
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
    X: torch.Tensor,
    y: torch.Tensor,
    weight: NDArray[np.float64],
    *,
    dtype: torch.dtype = torch.float32,
    unit: float | None = None,
) -> Rows:
    """Rows on the device, with weights of mean 1, or divided by a unit."""
    scaled = torch.as_tensor(weight / (weight.mean() if unit is None else unit), dtype=dtype)
    return Rows(X.to(device), y.to(device), scaled.to(device))


def as_tensor(values: Any, name: str) -> torch.Tensor:
    """Tensor of numbers from an array-like, without gradient."""
    if isinstance(values, torch.Tensor):
        return values.detach()
    array = np.asarray(values)
    if array.dtype.kind not in "biufc":
        raise ShiftDataError(
            f"{name} is an array of {array.dtype}: pass numbers; class labels as indices from 0, a sparse matrix as "
            "X.toarray()."
        )
    return torch.as_tensor(np.require(array, requirements=["W"]))  # torch warns of memory it could not write to


def module_inputs(X: Any, name: str, dtype: torch.dtype) -> torch.Tensor:
    """Rows for a module of the user's: floating point in the module's precision, whole numbers as int64.

    Raises
    ------
    ShiftDataError
        For no rows, and values that are not finite in that precision.
    """
    X = as_tensor(X, name)
    if X.ndim == 0 or len(X) == 0:
        raise ShiftDataError(f"{name} has shape {tuple(X.shape)}: pass at least one row.")
    if not X.is_floating_point():
        return X if X.is_complex() else X.long()
    X = X.to(dtype)
    if not bool(X.isfinite().all()):
        raise ShiftDataError(f"{name} contains NaN or infinity, or values too large for the module's precision.")
    return X


def module_targets(y: Any, name: str, n_rows: int, loss: Any, classes: bool, dtype: torch.dtype) -> torch.Tensor:
    """Targets for a module of the user's, as the loss takes them.

    Parameters
    ----------
    y : array-like or torch.Tensor of shape (n_rows,) or (n_rows, ...)
    name : str
        What messages put ahead of "X" and "y".
    n_rows : int
        Rows of X.
    loss : str or callable
    classes : bool
        Whether the loss takes class indices.
    dtype : torch.dtype
        That of the module.

    Raises
    ------
    ShiftDataError
        For another number of rows, what are no class indices, NaN and infinity.
    """
    y = as_tensor(y, f"{name}y")
    if y.ndim == 0 or len(y) != n_rows:
        raise ShiftDataError(f"{name}X has {n_rows} rows and {name}y has shape {tuple(y.shape)}: pass one y per row.")
    if classes:
        return class_indices(y, name, loss)
    if isinstance(loss, str):
        y = y.to(dtype).reshape(len(y), -1)
    elif y.is_floating_point():
        y = y.to(dtype)
    if y.is_floating_point() and not bool(y.isfinite().all()):
        raise ShiftDataError(f"{name}y contains NaN or infinity: drop those rows.")
    return y


def class_indices(y: torch.Tensor, name: str, loss: Any) -> torch.Tensor:
    """Class indices as int64; raise ShiftDataError for anything else than whole numbers from 0 in one column."""
    if y.ndim != 1 or y.is_floating_point() or y.is_complex() or (y < 0).any():
        raise ShiftDataError(
            f"loss={loss!r} needs {name}y as class indices, whole numbers from 0 in one column; found "
            f"{y.dtype} of shape {tuple(y.shape)}."
        )
    return y.long()


def module_rows(
    X: Any, y: Any, sample_weight: ArrayLike | None, name: str, loss: Any, classes: bool, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor, NDArray[np.float64]]:
    """X, y and float64 weights of the rows that have a weight, checked; see :func:`module_targets`."""
    X = module_inputs(X, f"{name}X", dtype)
    y = module_targets(y, name, len(X), loss, classes, dtype)
    weight, X, y = present(check_row_weights(sample_weight, len(X), f"{name}sample_weight"), X, y)
    return X, y, weight


def class_index_limit(outputs_shape: Sequence[int], loss: str) -> int:
    """Number of classes that outputs of this shape are for; raise ShiftDataError when the loss cannot take them."""
    shape = tuple(outputs_shape[1:])
    binary = loss == "binary_cross_entropy"
    if len(shape) != 1 or (shape[0] != 1 if binary else shape[0] < 2):
        raise ShiftDataError(
            f"loss={loss!r} needs outputs of shape (n_rows, {'1' if binary else 'n_classes'}), and the "
            f"module's have {('n_rows', *shape)}."
        )
    return 2 if binary else shape[0]
