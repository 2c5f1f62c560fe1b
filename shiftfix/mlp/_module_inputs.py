"""The inputs of a module of the user's: arrays, tensors and frames of any layout and type, one or several.

Floating point goes in as the module's own type, whole numbers and bools as int64. What a fit has seen of its inputs, an
:class:`InputsForm`, tells how later rows are read: whole numbers where the fit saw floating point become such numbers,
and the columns of frames are compared by name.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from shiftfix._validation import check_same_columns, column_names
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._training import Inputs

# One input, or several in order or by name; a Dataset or DataLoader goes in as well.
ModuleInput = ArrayLike | dict[str, ArrayLike] | tuple[ArrayLike, ...]
# Types that torch has, and numpy's rules do not cover.
UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)
LARGEST_INT64 = np.iinfo(np.int64).max


@dataclass(frozen=True)
class InputForm:
    """What a fit has seen of one input.

    Parameters
    ----------
    columns : list of str or None
        Of a frame.
    shape : tuple of int
        Of one row.
    whole : bool
        Whether it holds whole numbers.
    """

    columns: list[str] | None
    shape: tuple[int, ...]
    whole: bool


def shape_text(form: InputForm) -> str:
    """Shape of any number of rows."""
    return f"(n, {', '.join(map(str, form.shape))})" if form.shape else "(n,)"


@dataclass(frozen=True)
class InputsForm:
    """What a fit has seen of all inputs; ``names`` are those of a dict, None for a tuple and for one input alone."""

    parts: list[InputForm]
    names: list[str] | None
    alone: bool

    def text(self) -> str:
        """The form in words."""
        if self.alone:
            return "one array"
        return f"a dict of {self.names}" if self.names else f"a tuple of {len(self.parts)} arrays"

    def as_attributes(self) -> dict[str, Any]:
        """What scikit-learn calls it, for one table."""
        part = self.parts[0]
        if not self.alone or len(part.shape) != 1:
            return {}
        names = {} if part.columns is None else {"feature_names_in_": np.array(part.columns, dtype=object)}
        return {"n_features_in_": part.shape[0]} | names

    def zeros(self, n_rows: int, dtype: torch.dtype) -> torch.Tensor | Inputs:
        """Rows of zeros of this form."""
        tensors = [
            torch.zeros((n_rows, *part.shape), dtype=torch.int64 if part.whole else dtype) for part in self.parts
        ]
        return tensors[0] if self.alone else Inputs(tensors, self.names)


def numbers_of(values: Any, name: str) -> torch.Tensor:
    """Tensor on the CPU, without gradient, of an array-like of numbers in any layout; see :func:`native`."""
    if isinstance(values, torch.Tensor):
        return _plain_tensor(values, name)
    if np.ma.is_masked(values):
        raise ShiftDataError(f"{name} has masked values: fill them in, or drop their rows.")
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        said = (str(error).splitlines() or [""])[0]
        raise ShiftDataError(f"{name} cannot be read as an array of numbers ({said}).") from error
    if array.dtype == object and column_names(values) is not None:
        array = _frame_numbers(values, name)
    return torch.as_tensor(native(array, name))


def _plain_tensor(values: torch.Tensor, name: str) -> torch.Tensor:
    dense = values.layout == torch.strided and not (values.is_quantized or values.is_nested)
    if not dense or values.device.type == "meta":
        raise ShiftDataError(
            f"{name} is a tensor of layout {values.layout} on {values.device}, and a dense one with numbers in it is "
            "needed: pass X.to_dense(), X.dequantize(), or one padded to one shape."
        )
    # In the order of memory, for the products of another one round otherwise.
    values = values.detach().cpu().resolve_conj().resolve_neg().contiguous()
    return torch.as_tensor(native(values.numpy(), name)) if values.dtype in UNSIGNED else values


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
            "OrdinalEncoder, a sparse matrix as X.toarray()."
        )
    if kind == "u":
        if array.size and int(array.max()) > LARGEST_INT64:
            raise ShiftDataError(f"{name} holds {int(array.max())}, and whole numbers go in as int64: scale them.")
        array = array.astype(np.int64)
    widest = {"f": np.dtype(np.float64), "c": np.dtype(np.complex128)}.get(kind)
    with np.errstate(over="ignore"):  # what float64 does not hold is refused as infinity
        if widest is not None and array.dtype.itemsize > widest.itemsize:
            array = array.astype(widest)
    # Writeable, because torch warns of memory it could not write to; it takes no negative strides, and one byte order.
    return np.require(array, array.dtype.newbyteorder("="), ["C", "W"])


def _frame_numbers(frame: Any, name: str) -> NDArray[Any]:
    """Frame whose columns have no common numeric type in numpy, such as bools beside numbers, as float64."""
    columns = []
    for label in frame.columns:
        column = frame[label]
        try:
            floats = column.to_numpy(dtype=np.float64, na_value=np.nan) if hasattr(column, "array") else column
            columns.append(np.asarray(floats, dtype=np.float64))
        except (ValueError, TypeError) as error:
            raise ShiftDataError(
                f"Column {str(label)!r} of {name} is of type {column.dtype}, and cannot be read as numbers: encode "
                "categories first, for example with scikit-learn's OrdinalEncoder or OneHotEncoder."
            ) from error
    return np.column_stack(columns)


def _place(row: int, rest: list[int], columns: list[str] | None) -> str:
    """Where a value stands, as a user would say it."""
    if len(rest) == 1:
        return f"column {rest[0] if columns is None else repr(columns[rest[0]])}, row {row}"
    return f"row {row}" + (f" at {tuple(rest)}" if rest else "")


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
    row, *rest = (int(axis[0]) for axis in torch.nonzero(~finite, as_tuple=True))
    first = given[(row, *rest)]
    what = "NaN" if bool(first.isnan()) else "infinity" if bool(first.isinf()) else f"{first.item():g}"
    reason = f", too large for the module's {values.dtype}" if bool(first.isfinite()) else ""
    raise ShiftDataError(
        f"{name} contains {what}{reason} ({int((~finite).sum())} non-finite values, the first in "
        f"{_place(row, rest, columns)}): impute or drop them."
    )


def _read_input(values: Any, name: str, dtype: torch.dtype, form: InputForm | None) -> tuple[torch.Tensor, InputForm]:
    """One input as the module takes it, and its form."""
    given, columns = numbers_of(values, name), column_names(values)
    if given.ndim == 0 or len(given) == 0:
        raise ShiftDataError(f"{name} has shape {tuple(given.shape)}: pass at least one row.")
    if form is not None and given.ndim != 1 + len(form.shape):
        raise ShiftDataError(
            f"{name} has shape {tuple(given.shape)}, and the training rows had {shape_text(form)}: pass as many axes, "
            f"a single row as {name}[None]."
        )
    if form is not None and given.ndim == 2 and len(form.shape) == 1 and columns and form.columns:
        check_same_columns(form.columns, values, "the training X", name, form.shape[0])
    whole = not (given.is_floating_point() or given.is_complex())
    if whole and (form is None or form.whole):
        return given.long(), InputForm(columns, tuple(given.shape[1:]), True)
    tensor = given if given.is_complex() else given.to(dtype)
    refuse_non_finite(tensor, given, name, columns)
    return tensor, InputForm(columns, tuple(given.shape[1:]), False)


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and len(value.shape) > 0


def _parts_of(X: Any, name: str) -> tuple[list[Any], list[str] | None, list[str]]:
    """The inputs, the names of those in a dict or None, and what messages call each."""
    if isinstance(X, dict):
        if not X or not all(isinstance(key, str) for key in X):
            raise ShiftDataError(f"{name} is a dict with keys {list(X)}: pass the arguments of the module's forward.")
        return list(X.values()), list(X), [f"{name}[{key!r}]" for key in X]
    if isinstance(X, tuple) and X and all(map(_is_array, X)):
        return list(X), None, [f"{name}[{i}]" for i in range(len(X))]
    return [X], None, [name]


def read_inputs(
    X: Any, name: str, dtype: torch.dtype, form: InputsForm | None = None
) -> tuple[torch.Tensor | Inputs, InputsForm]:
    """Rows for a module of the user's, and their form.

    Parameters
    ----------
    X : array-like, Tensor, or frame; a tuple of arrays, or a dict of them, for several inputs
        A tuple of plain lists or numbers is one array-like.
    name : str
        What messages call it.
    dtype : torch.dtype
        That of the module.
    form : InputsForm or None
        Of the rows that the module was trained on.

    Raises
    ------
    ShiftDataError
        For no rows, what are no numbers, values that are not finite in that type (with their column), inputs of
        different lengths, and inputs of another form than those of the fit.
    """
    values, keys, names = _parts_of(X, name)
    alone = not isinstance(X, dict) and names == [name]
    if form is not None:
        found = InputsForm([InputForm(None, (), True)] * len(values), keys, alone)
        same = (alone, len(values), sorted(keys or [])) == (form.alone, len(form.parts), sorted(form.names or []))
        if not same:
            raise ShiftDataError(f"{name} is {found.text()}, and the module was trained on {form.text()}.")
        if keys is not None and form.names is not None:
            values, names, keys = [X[key] for key in form.names], [f"{name}[{key!r}]" for key in form.names], form.names
    before = [None] * len(values) if form is None else form.parts
    read = [_read_input(*one[:2], dtype, one[2]) for one in zip(values, names, before, strict=True)]
    tensors, parts = [tensor for tensor, _ in read], [part for _, part in read]
    for tensor, other in zip(tensors, names, strict=True):
        if len(tensor) != len(tensors[0]):
            raise ShiftDataError(
                f"{names[0]} has {len(tensors[0])} rows and {other} has {len(tensor)}: pass the same rows in each."
            )
    form = InputsForm(parts, keys, alone)
    return tensors[0] if alone else Inputs(tensors, keys), form
