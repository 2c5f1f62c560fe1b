"""Numbers out of what users bring: arrays, tensors and frames in any layout and of any type, checked to be finite."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from shiftfix._validation import column_names
from shiftfix._values import as_array
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._training import explained

# Types that torch has, and numpy's rules do not cover.
UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)
LARGEST_INT64 = np.iinfo(np.int64).max
# What longer floating point becomes.
WIDEST = {"f": np.dtype(np.float64), "c": np.dtype(np.complex128)}


def numbers_of(values: Any, name: str) -> torch.Tensor:
    """Tensor on the CPU, without gradient, of an array-like of numbers in any layout; see :func:`native`."""
    if isinstance(values, torch.Tensor):
        return _plain_tensor(values, name)
    array = as_array(values, name)
    if array.dtype == object and column_names(values) is not None:
        array = np.column_stack([_frame_column(values[label], label, name) for label in values.columns])
    return torch.as_tensor(native(array, name))


def numpy_of(numbers: torch.Tensor) -> NDArray[Any]:
    """The numbers of a tensor on the CPU without gradient; bfloat16, which numpy lacks, as float32."""
    numbers = numbers.float() if numbers.dtype == torch.bfloat16 else numbers
    return np.asarray(numbers.resolve_conj().resolve_neg().numpy())


def _plain_tensor(values: torch.Tensor, name: str) -> torch.Tensor:
    odd = values.layout != torch.strided, values.is_quantized, values.is_nested, values.device.type == "meta"
    if any(odd):
        raise ShiftDataError(
            f"{name} is a tensor of layout {values.layout} on {values.device}, and a dense one with numbers in it is "
            "needed: pass X.to_dense(), X.dequantize(), or one padded to one shape."
        )
    # In the order of memory, for the products of another one round otherwise.
    values = values.detach().cpu().resolve_conj().resolve_neg().contiguous()
    return torch.as_tensor(native(values.numpy(), name)) if values.dtype in UNSIGNED else values


def _signed(array: NDArray[Any], name: str) -> NDArray[np.int64]:
    largest = int(array.max(initial=0))
    if largest > LARGEST_INT64:
        raise ShiftDataError(f"{name} holds {largest}, and whole numbers go in as int64: scale them.")
    return array.astype(np.int64)


def native(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Array of a type and in a layout that torch takes; long doubles become float64, unsigned numbers int64.

    Raises
    ------
    ShiftDataError
        For what is no array of numbers, and for whole numbers beyond int64.
    """
    kind = array.dtype.kind
    if kind not in "biufc":
        raise ShiftDataError(
            f"{name} is an array of {array.dtype}: pass numbers; categories encoded, for example with scikit-learn's "
            "OrdinalEncoder."
        )
    array = _signed(array, name) if kind == "u" else array
    widest = WIDEST.get(kind, array.dtype)
    if array.dtype.itemsize > widest.itemsize:
        with np.errstate(over="ignore"):  # what float64 does not hold is refused as infinity
            array = array.astype(widest)
    # Writeable, because torch warns of memory it could not write to; it takes no negative strides, and one byte order.
    return np.require(array, array.dtype.newbyteorder("="), ["C", "W"])


def _frame_column(column: Any, label: Any, name: str) -> NDArray[np.float64]:
    """Column of a frame that has no one type in numpy, such as one of bools beside numbers."""
    advice = "encode categories first, for example with scikit-learn's OrdinalEncoder or OneHotEncoder."
    with explained(f"Column {str(label)!r} of {name} is of type {column.dtype}, and no numbers", advice):
        # The nullable types of pandas have missing values of their own.
        floats = column.to_numpy(dtype=np.float64, na_value=np.nan) if hasattr(column, "array") else column
        return np.asarray(floats, dtype=np.float64)


def _place(row: int, rest: list[int], columns: list[str] | None) -> str:
    """Where a value stands, as a user would say it."""
    if len(rest) == 1:
        return f"column {rest[0] if columns is None else repr(columns[rest[0]])}, row {row}"
    return f"row {row}" + (f" at {tuple(rest)}" if rest else "")


def _what(value: torch.Tensor, dtype: torch.dtype) -> str:
    """What a value is that is not finite in a type."""
    if bool(value.isfinite()):
        return f"{value.item():g}, too large for the module's {dtype}"
    return "NaN" if bool(value.isnan()) else "infinity"


def refuse_non_finite(values: torch.Tensor, given: torch.Tensor, name: str, columns: list[str] | None) -> None:
    """Raise ShiftDataError unless all values are finite, with the column and the row of the first that is not.

    Parameters
    ----------
    values : Tensor of shape (n_rows, ...)
    given : Tensor of the same shape
        As they were before they got the module's type.
    name : str
    columns : list of str or None
    """
    finite = values.isfinite()
    if bool(finite.all()):
        return
    row, *rest = torch.nonzero(~finite)[0].tolist()
    raise ShiftDataError(
        f"{name} contains {_what(given[(row, *rest)], values.dtype)} ({int((~finite).sum())} non-finite values, the "
        f"first in {_place(row, rest, columns)}): impute or drop them."
    )
