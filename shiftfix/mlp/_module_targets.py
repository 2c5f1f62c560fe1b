"""What y is to a module of the user's: class labels, numbers as its outputs, or what a loss of the user's takes."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray

from shiftfix._validation import check_labels, column_names
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._module_inputs import numbers_of, refuse_non_finite
from shiftfix.mlp._training import CLASSIFICATION_LOSSES, REGRESSION_LOSSES

# Classes that a message lists.
MOST_LISTED = 10


def loss_kind(loss: Any) -> Literal["classes", "numbers"] | None:
    """What a loss of ours takes, by name, as a function, or with its settings bound; None for the user's own."""
    inner = getattr(loss, "func", loss)
    for kind, losses in (("classes", CLASSIFICATION_LOSSES), ("numbers", REGRESSION_LOSSES)):
        if any(inner is function or (isinstance(loss, str) and loss == name) for name, function in losses.items()):
            return cast(Literal["classes", "numbers"], kind)
    return None


def outputs_as_columns(loss: Callable[..., Any], kind: str | None) -> Callable[..., Any]:
    """A loss of ours that takes the outputs of any module: (n,) as one column, and more axes than two as columns."""
    if kind is None:
        return loss

    def of_columns(outputs: torch.Tensor, y: torch.Tensor) -> Any:
        if outputs.ndim == 1:
            outputs = outputs[:, None]
        flat = outputs.flatten(1), y.flatten(1) if y.ndim > 1 else y
        # Two shapes of as many numbers would be paired at random; a row of numbers is the flat form of any.
        paired = outputs.shape == y.shape or 2 in (outputs.ndim, y.ndim)
        return loss(*flat) if kind == "numbers" and paired and flat[0].shape == flat[1].shape else loss(outputs, y)

    return of_columns


def n_classes_of(outputs_shape: Sequence[int], loss: Any) -> int:
    """Number of classes that outputs of this shape are for; raise ShiftDataError when the loss cannot take them."""
    shape = tuple(outputs_shape[1:])
    binary = getattr(loss, "func", loss) in ("binary_cross_entropy", CLASSIFICATION_LOSSES["binary_cross_entropy"])
    fits = shape in ((), (1,)) if binary else len(shape) == 1 and shape[0] >= 2
    if not fits:
        raise ShiftDataError(
            f"loss={loss!r} needs outputs of shape (n_rows, {'1' if binary else 'n_classes'}), and the "
            f"module's have {('n_rows', *shape)}."
        )
    return 2 if binary else shape[0]


def read_labels(y: Any, name: str, n_rows: int) -> NDArray[Any]:
    """Class labels as an array of bools, whole numbers, floats or text.

    Raises
    ------
    ShiftDataError
        For what are no labels, one per row: missing ones, several columns, fractions.
    """
    if isinstance(y, torch.Tensor):
        y = numbers_of(y, name)
        y = (y.float() if y.dtype == torch.bfloat16 else y).numpy()
    if np.ma.is_masked(y):
        raise ShiftDataError(f"{name} has masked labels: drop their rows; they belong to no class.")
    try:
        labels = check_labels(y, name, n_rows, whole=False)
    except (TypeError, RuntimeError) as error:
        raise ShiftDataError(f"{name} cannot be read as class labels ({error}): pass one per row.") from error
    if labels.dtype.kind == "O":
        labels = np.array(labels.tolist())
    if labels.dtype.kind not in "biufU":
        raise ShiftDataError(f"{name} holds labels of type {labels.dtype}: pass whole numbers, bools or text.")
    if labels.dtype.kind == "f" and not (np.isfinite(labels) & (labels == np.floor(labels))).all():
        raise ShiftDataError(
            f"{name} holds continuous numbers, and the loss needs class labels: take a loss for numbers, such as "
            '"squared_error", or pass labels.'
        )
    return labels


def learn_label_classes(labels: NDArray[Any], n_classes: int, name: str) -> NDArray[Any]:
    """The class of each column of the outputs.

    Whole numbers from 0 to ``n_classes`` - 1 are the columns themselves. Other labels (text, bools, numbers with no 0
    among them or one below) stand for the columns in their sorted order, and there must be as many of them as columns.

    Parameters
    ----------
    labels : ndarray of shape (n_rows,)
    n_classes : int
        That the outputs are for.
    name : str

    Returns
    -------
    ndarray of shape (n_classes,)

    Raises
    ------
    ShiftDataError
        When the labels are neither.
    """
    kind = labels.dtype.kind
    if kind in "iuf" and labels.min() >= 0 and labels.max() < n_classes:
        return np.arange(n_classes, dtype=np.float64 if kind == "f" else np.int64)
    found = np.array([False, True]) if kind == "b" else np.unique(labels)
    # Numbers with a 0 among them count the columns, and one that is too large is a mistake.
    if len(found) == n_classes and not (kind in "iuf" and labels.min() == 0):
        return found
    if kind in "iuf" and labels.min() >= 0:
        raise _beyond(labels, n_classes, name)
    raise ShiftDataError(
        f"{name} holds {len(found)} classes ({_listed(found)}), and the module's outputs are for {n_classes}: give the "
        f"module {len(found)} outputs, or pass the columns of the outputs, whole numbers from 0 to {n_classes - 1}, as "
        f"{name}."
    )


def _listed(labels: NDArray[Any]) -> str:
    shown = ", ".join(map(repr, labels[:MOST_LISTED].tolist()))
    return shown + (", ..." if len(labels) > MOST_LISTED else "")


def _beyond(labels: NDArray[Any], n_classes: int, name: str) -> ShiftDataError:
    return ShiftDataError(
        f"{name} holds the class index {int(labels.max())}, and the module's outputs are for {n_classes} classes: "
        f"number them from 0 to {n_classes - 1}, or give the module more outputs."
    )


def class_columns(labels: NDArray[Any], classes: NDArray[Any], name: str) -> torch.Tensor:
    """Column of the outputs of each label, int64; raise ShiftDataError for labels that are none of the classes."""
    if (labels.dtype.kind == "U") != (classes.dtype.kind == "U"):
        raise ShiftDataError(f"{name} holds {_listed(np.unique(labels))}, and the classes are {_listed(classes)}.")
    unknown = ~np.isin(labels, classes)
    if unknown.any():
        if classes.dtype.kind in "if" and np.array_equal(classes, np.arange(len(classes))) and labels.min() >= 0:
            raise _beyond(labels, len(classes), name)
        raise ShiftDataError(
            f"{name} holds {_listed(np.unique(labels[unknown]))}, and the classes of the training rows are "
            f"{_listed(classes)}: drop those rows, or train on rows of these classes too."
        )
    return torch.as_tensor(np.searchsorted(classes, labels).astype(np.int64))


def read_numbers(y: Any, name: str, n_rows: int, dtype: torch.dtype) -> torch.Tensor:
    """Numbers in the module's type, of shape (n_rows, 1) for one column; raise ShiftDataError for what are none."""
    numbers = _one_per_row(y, name, n_rows)
    if numbers.is_complex():
        raise ShiftDataError(f"{name} holds complex numbers: pass real ones, or a loss of your own that takes them.")
    as_floats = numbers.to(dtype)
    refuse_non_finite(as_floats, numbers, name, column_names(y))
    return as_floats[:, None] if as_floats.ndim == 1 else as_floats


def read_own(y: Any, name: str, n_rows: int, dtype: torch.dtype) -> torch.Tensor:
    """What a loss of the user's takes: floating point in the module's type, whole numbers as int64, bools as bools."""
    numbers = _one_per_row(y, name, n_rows)
    if numbers.dtype == torch.bool:
        return numbers
    if not numbers.is_floating_point():
        return numbers if numbers.is_complex() else numbers.long()
    as_floats = numbers.to(dtype)
    refuse_non_finite(as_floats, numbers, name, column_names(y))
    return as_floats


def _one_per_row(y: Any, name: str, n_rows: int) -> torch.Tensor:
    if y is None:
        raise ShiftDataError(f"{name} is None: pass one target per row.")
    numbers = numbers_of(y, name)
    if numbers.ndim == 0 or len(numbers) != n_rows:
        owner = name.removesuffix("y")
        raise ShiftDataError(
            f"{owner}X has {n_rows} rows and {name} has shape {tuple(numbers.shape)}: pass one y per row."
        )
    return numbers


def read_targets(y: Any, name: str, n_rows: int, loss: Any, dtype: torch.dtype) -> Any:
    """Y for a loss, checked: labels as an ndarray, all else as a tensor."""
    kind = loss_kind(loss)
    if kind == "classes":
        return read_labels(y, name, n_rows)
    return (read_numbers if kind == "numbers" else read_own)(y, name, n_rows, dtype)
