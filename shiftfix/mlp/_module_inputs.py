"""The inputs of a module of the user's: arrays, tensors and frames of any layout and type, one or several.

Floating point goes in as the module's own type, whole numbers and bools as int64. What a fit has seen of its inputs, an
:class:`InputsForm`, tells how later rows are read: whole numbers where the fit saw floating point become such numbers,
and the columns of frames are compared by name.
"""

from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch.utils.data import DataLoader, Dataset

from shiftfix._validation import check_same_columns, column_names
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._module_numbers import native, numbers_of, refuse_non_finite
from shiftfix.mlp._storage import ParquetRows, is_stored, stored_rows
from shiftfix.mlp._training import Inputs, RowsOfX, StoredRows

# One input, or several in order or by name, or items that hold them.
ModuleInput = ArrayLike | ParquetRows | dict[str, ArrayLike] | tuple[ArrayLike, ...] | Dataset[Any] | DataLoader[Any]


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

    def outline(self) -> tuple[bool, int, set[str]]:
        """What later rows share with these."""
        return self.alone, len(self.parts), set(self.names or ())

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


def _check_form(given: torch.Tensor | StoredRows, values: Any, name: str, form: InputForm) -> None:
    """Raise ShiftDataError for rows with other axes, or a frame with other columns, than those of the fit."""
    if given.ndim != 1 + len(form.shape):
        raise ShiftDataError(
            f"{name} has shape {tuple(given.shape)}, and the training rows had {shape_text(form)}: pass as many axes, "
            f"a single row as {name}[None]."
        )
    if form.columns is not None and column_names(values) is not None:
        check_same_columns(form.columns, values, "the training X", name, len(form.columns))


def _type_of(given: torch.Tensor, dtype: torch.dtype) -> torch.dtype:
    """The module's type, or the complex one of its precision for complex numbers."""
    return torch.promote_types(dtype, given.dtype) if given.is_complex() else dtype


def _read_stored_input(values: Any, name: str, dtype: torch.dtype, form: InputForm | None) -> tuple[Any, InputForm]:
    """The same for one that is read by blocks."""
    whole = values.dtype.kind in "biu" and (form is None or form.whole)
    wanted = torch.int64 if whole else dtype
    given = stored_rows(values, name, None if whole else np.dtype(str(dtype).removeprefix("torch.")))
    if form is not None:
        _check_form(given, values, name, form)
    rows = given.finished(lambda numbers: torch.as_tensor(native(numbers, name)).to(wanted))
    return rows, InputForm(column_names(values), tuple(given.shape[1:]), whole)


def _read_input(
    values: Any, name: str, dtype: torch.dtype, form: InputForm | None, shared: bool
) -> tuple[Any, InputForm]:
    """One input as the module takes it, and its form."""
    if is_stored(values, shared) and dtype in (torch.float32, torch.float64):
        return _read_stored_input(values, name, dtype, form)
    given, columns = numbers_of(values, name), column_names(values)
    if 0 in given.shape[:1] or given.ndim == 0:
        raise ShiftDataError(f"{name} has shape {tuple(given.shape)}: pass at least one row.")
    if form is not None:
        _check_form(given, values, name, form)
    whole = not (given.is_floating_point() or given.is_complex()) and (form is None or form.whole)
    tensor = given.to(torch.int64 if whole else _type_of(given, dtype))
    refuse_non_finite(tensor, given, name, columns)
    return tensor, InputForm(columns, tuple(given.shape[1:]), whole)


def _is_array(value: Any) -> bool:
    return len(getattr(value, "shape", ())) > 0


def _check_keys(X: dict[Any, Any], name: str) -> None:
    if {type(key) for key in X} != {str}:
        raise ShiftDataError(f"{name} is a dict with keys {list(X)}: pass the arguments of the module's forward.")


def _parts_of(X: Any, name: str) -> tuple[dict[str, Any], list[str] | None]:
    """The inputs, by what messages call each, and the keys of those in a dict or None."""
    if isinstance(X, dict):
        _check_keys(X, name)
        return {f"{name}[{key!r}]": value for key, value in X.items()}, list(X)
    if type(X) is tuple and X and all(map(_is_array, X)):
        return {f"{name}[{i}]": value for i, value in enumerate(X)}, None
    return {name: X}, None


def _arranged(X: Any, name: str, form: InputsForm) -> Any:
    """X in the order of the fit; raise ShiftDataError for a dict, a tuple or an array in the place of another."""
    parts, keys = _parts_of(X, name)
    found = InputsForm([InputForm(None, (), True)] * len(parts), keys, [*parts] == [name])
    if found.outline() != form.outline():
        raise ShiftDataError(f"{name} is {found.text()}, and the module was trained on {form.text()}.")
    return X if form.names is None else {key: X[key] for key in form.names}


def _check_lengths(tensors: dict[str, torch.Tensor]) -> None:
    (first, rows), *others = tensors.items()
    for name, tensor in others:
        if len(tensor) != len(rows):
            raise ShiftDataError(
                f"{first} has {len(rows)} rows and {name} has {len(tensor)}: pass the same rows in each."
            )


def read_inputs(
    X: Any, name: str, dtype: torch.dtype, form: InputsForm | None = None, *, shared: bool = False
) -> tuple[RowsOfX, InputsForm]:
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
    shared : bool, default=False
        Whether other processes have more rows.

    Raises
    ------
    ShiftDataError
        For no rows, what are no numbers, values that are not finite in that type (with their column), inputs of
        different lengths, and inputs of another form than those of the fit.
    """
    parts, keys = _parts_of(X if form is None else _arranged(X, name, form), name)
    before = repeat(None) if form is None else form.parts
    read = {
        part: _read_input(parts[part], part, dtype, known, shared) for part, known in zip(parts, before, strict=False)
    }
    tensors = {part: tensor for part, (tensor, _) in read.items()}
    _check_lengths(tensors)
    form = InputsForm([found for _, found in read.values()], keys, [*parts] == [name])
    return tensors[name] if form.alone else Inputs(list(tensors.values()), keys), form
