"""What the estimators make of X, y, weights and an eval_set: checked arrays, scaled rows, tensors on their device."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._training import Inputs, Rows

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
        raise ShiftDataError(
            f"Values of column {column} of X are too large for the float32 network, even after scaling: rescale "
            "the column, or clip its extreme values."
        )
    return torch.as_tensor(rows)


def rows_on(
    device: torch.device,
    X: torch.Tensor | Inputs,
    y: torch.Tensor,
    weight: NDArray[np.float64],
    *,
    dtype: torch.dtype = torch.float32,
    unit: float | None = None,
) -> Rows:
    """Rows on the device, with weights of mean 1, or divided by a unit."""
    scaled = torch.as_tensor(weight / (weight.mean() if unit is None else unit), dtype=dtype)
    return Rows(X.to(device), y.to(device), scaled.to(device))
