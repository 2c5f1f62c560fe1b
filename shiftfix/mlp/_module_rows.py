"""Rows for a module of the user's: inputs, targets and weights, read and checked once."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from shiftfix.mlp._held_out import Names, RowsToStopBy
from shiftfix.mlp._inputs import present
from shiftfix.mlp._module_datasets import unpacked
from shiftfix.mlp._module_inputs import InputsForm, read_inputs
from shiftfix.mlp._module_numbers import numbers_of, numpy_of
from shiftfix.mlp._module_outputs import shape_of_outputs
from shiftfix.mlp._module_targets import class_columns, learn_label_classes, loss_kind, n_classes_of, read_targets
from shiftfix.mlp._training import ALONE, OneProcess, RowsOfX, check_row_weights


@dataclass(frozen=True)
class ModuleRows:
    """Rows of positive weight, as they were read.

    Parameters
    ----------
    X : Tensor, Inputs, StoredRows or RankedRows
    y : Tensor, or ndarray of labels
    weight : ndarray of float64 of shape (n_rows,)
    single : bool
        Whether y are numbers in one axis.
    form : InputsForm
        Of X.
    """

    X: RowsOfX
    y: Any
    weight: NDArray[np.float64]
    single: bool
    form: InputsForm

    def columns(self, classes: NDArray[Any] | None, name: str) -> tuple[Any, torch.Tensor, NDArray[np.float64]]:
        """X, y as the loss takes it, and the weights."""
        return self.X, self.y if classes is None else class_columns(self.y, classes, name), self.weight


def read_weight(sample_weight: Any, n_rows: int, name: str, shared: bool = False) -> NDArray[np.float64]:
    """Weights of an array-like or a tensor, with largest 1; ``shared`` as in ``check_row_weights``."""
    if isinstance(sample_weight, torch.Tensor):
        sample_weight = numpy_of(numbers_of(sample_weight, name))
    return check_row_weights(sample_weight, n_rows, name, shared=shared)


def read_module_rows(
    X: Any,
    y: Any,
    sample_weight: Any,
    names: Names,
    loss: Any,
    dtype: torch.dtype,
    form: InputsForm | None = None,
    ranks: OneProcess = ALONE,
) -> ModuleRows:
    """Rows that have a weight, checked.

    Parameters
    ----------
    X : array-like, Tensor, frame, dict, tuple, Dataset or DataLoader
    y, sample_weight : array-like, Tensor or None
    names : Names
        What messages call them.
    loss : str or callable
    dtype : torch.dtype
        Of the module.
    form : InputsForm or None
        Of the training rows.
    ranks : OneProcess
        Whose rows they are.

    Raises
    ------
    ShiftDataError
        For what the module, the loss or the weighting could not use.
    """
    with ranks.together():
        X, y, sample_weight = unpacked(X, y, sample_weight, names.of)
        X, form = read_inputs(X, names.of("X"), dtype, form, shared=ranks.size > 1)
        y = read_targets(y, names.of("y"), len(X), loss, dtype)
        single = loss_kind(loss) == "numbers" and y.ndim == 1
        y = y[:, None] if single else y
        weight = read_weight(sample_weight, len(X), names.of("sample_weight"), ranks.size > 1)
    if ranks.size > 1:
        X, y, joint = ranks.joined(names.of("X"), X, y, sample_weight)
        weight = read_weight(joint, len(X), names.of("sample_weight"))
    weight, X, y = present(weight, X, y)
    return ModuleRows(X, y, weight, single, form)


def read_held_out(
    held_out: RowsToStopBy, loss: Any, dtype: torch.dtype, form: InputsForm, ranks: OneProcess = ALONE
) -> ModuleRows:
    """The rows to stop by, checked, in the form of the training rows."""
    given = held_out.X, held_out.y, held_out.sample_weight
    return read_module_rows(*given, held_out.names, loss, dtype, form, ranks)


def learn_module_classes(
    module: torch.nn.Module, loss: Any, device: torch.device, sets: dict[str, ModuleRows]
) -> NDArray[Any] | None:
    """Class of each column of the outputs, or None for a loss of something else; ``sets`` by the names of their X.

    Raises
    ------
    ShiftDataError
        When the module fails on two rows of one of the sets, the training rows first, or its outputs do not fit the
        loss or the classes of the training rows.
    """
    shapes = [shape_of_outputs(module, rows.X[:2].to(device), name) for name, rows in sets.items()]
    if loss_kind(loss) != "classes":
        return None
    return learn_label_classes(next(iter(sets.values())).y, n_classes_of(shapes[0], loss), "y")
