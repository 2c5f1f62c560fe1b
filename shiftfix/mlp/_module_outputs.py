"""What a module of the user's says of rows, and messages that name them where it fails."""

import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.parameter import UninitializedBuffer, is_lazy

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._module_inputs import InputsForm, shape_text
from shiftfix.mlp._module_numbers import numpy_of
from shiftfix.mlp._training import (
    RowsOfX,
    call_module,
    check_one_tensor,
    class_probabilities,
    explained,
    forward,
    shapes_text,
)


def check_module(module: Any) -> None:
    """Raise ShiftDataError unless it is a torch module with something to train."""
    if not isinstance(module, torch.nn.Module):
        raise ShiftDataError(f"module is a {type(module).__name__}: a torch.nn.Module is needed.")
    if not any(parameter.requires_grad for parameter in module.parameters()):
        raise ShiftDataError("module has no parameter to train: pass one whose parameters require a gradient.")


def copy_of_module(module: torch.nn.Module) -> torch.nn.Module:
    """A copy of a module of the user's, to train."""
    make: Any = UninitializedBuffer
    # torch copies the parameters of lazy layers, and not their buffers.
    memo = {id(part): make(device=part.device, dtype=part.dtype) for part in module.buffers() if is_lazy(part)}
    with explained("module cannot be copied", "training leaves it alone and works on a copy: make copy.deepcopy work."):
        copied = copy.deepcopy(module, memo)
    if not all(parameter.is_leaf for parameter in copied.parameters()):
        raise ShiftDataError(
            f"A copy of module, a {type(module).__name__}, has no parameters of its own to train: pass the module that "
            "it was scripted or traced from."
        )
    return copied


def module_dtype(module: torch.nn.Module) -> torch.dtype:
    """Type of the floating-point rows of a module: that of its first floating-point parameter."""
    floating = (parameter.dtype for parameter in module.parameters() if parameter.is_floating_point())
    return next(floating, torch.float32)


@torch.no_grad()
def shape_of_outputs(module: torch.nn.Module, X: RowsOfX, name: str) -> torch.Size:
    """Shape of the outputs for a few rows; raise ShiftDataError unless the module takes them."""
    module.eval()
    with explained(
        f"The module fails on rows of {name}, of shape {shapes_text(X)}",
        "pass X as its first layer takes it, several inputs as a tuple or a dict. Whole numbers go in as int64: make "
        "pixels floats.",
    ):
        outputs = call_module(module, X)
    check_one_tensor(outputs, len(X))
    return outputs.shape


def outputs_of(module: torch.nn.Module, X: RowsOfX, form: InputsForm) -> NDArray[Any]:
    """Outputs of a fitted module for all rows; raise ShiftDataError where it fails on them."""
    trained = ", ".join(map(shape_text, form.parts))
    with explained(
        f"The module fails on rows of shape {shapes_text(X)}",
        f"pass X as for fit, which was given shape {trained}, and more than one row where batch norm compares them.",
    ):
        outputs = forward(module, X)
    check_one_tensor(outputs, len(X))
    return numpy_of(outputs)


def proba_of_outputs(loss: Any, outputs: NDArray[Any]) -> NDArray[np.float64]:
    """Class probabilities, of shape (n_rows, n_classes), that the outputs mean to a loss of classes."""
    return class_probabilities(loss, outputs.astype(np.float64).reshape(len(outputs), -1))
