"""What y is to a module of the user's: class labels, numbers as its outputs, or what a loss of the user's takes."""

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from shiftfix._validation import check_labels, column_names
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._module_numbers import numbers_of, numpy_of, refuse_non_finite
from shiftfix.mlp._training import CLASSIFICATION_LOSSES, REGRESSION_LOSSES, explained, shapes_text

Kind = Literal["classes", "numbers"]
# Classes that a message lists.
MOST_LISTED = 10


BINARY = ("binary_cross_entropy", CLASSIFICATION_LOSSES["binary_cross_entropy"])
# Our losses, by name and as functions.
KINDS: dict[Any, Kind] = {key: "classes" for pair in CLASSIFICATION_LOSSES.items() for key in pair}
KINDS |= {key: "numbers" for pair in REGRESSION_LOSSES.items() for key in pair}


def loss_kind(loss: Any) -> Kind | None:
    """What a loss of ours takes, by name, as a function, or with its settings bound; None for the user's own."""
    inner = getattr(loss, "func", loss)
    return KINDS.get(inner) if isinstance(inner, Hashable) else None


def of_columns(loss: Callable[..., Any], outputs: torch.Tensor, y: torch.Tensor) -> Any:
    """A loss of columns for outputs and y of any axes; one of them may be flat."""
    if outputs.ndim == 1:
        outputs = outputs[:, None]
    flat = outputs.flatten(1), y.flatten(min(1, y.ndim - 1))
    # Two shapes of as many numbers would be paired at random; a row of numbers is the flat form of any.
    paired = (outputs.shape == y.shape or 2 in (outputs.ndim, y.ndim)) and flat[0].shape == flat[1].shape
    return loss(*flat) if paired else loss(outputs, y)


def outputs_as_columns(loss: Callable[..., Any], kind: Kind | None) -> Callable[..., Any]:
    """A loss as the training calls it: ours take outputs (n,) as one column, and more axes than two as columns."""
    return partial(_of_own if kind is None else of_columns, loss)


def _of_own(loss: Callable[..., Any], outputs: torch.Tensor, y: torch.Tensor) -> Any:
    """A loss of the user's; raise ShiftDataError where it fails."""
    with explained(
        lambda: f"The loss fails on outputs of shape {shapes_text(outputs)} with y of shape {shapes_text(y)}",
        "pass y in the shape and of the type that it takes, or name a loss.",
    ):
        return loss(outputs, y)


def n_classes_of(outputs_shape: Sequence[int], loss: Any) -> int:
    """Number of classes that outputs of this shape are for; raise ShiftDataError when the loss cannot take them."""
    shape = tuple(outputs_shape[1:])
    binary = getattr(loss, "func", loss) in BINARY
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
    y = numpy_of(numbers_of(y, name)) if isinstance(y, torch.Tensor) else y
    with explained(f"{name} cannot be read as class labels", "pass one per row."):
        labels = check_labels(y, name, n_rows, whole=False)
    if labels.dtype.kind == "O":
        labels = np.array(labels.tolist())
    if labels.dtype.kind not in "biufU":
        raise ShiftDataError(f"{name} holds labels of type {labels.dtype}: pass whole numbers, bools or text.")
    if labels.dtype.kind == "f":
        _refuse_continuous(labels, name)
    return labels


def _refuse_continuous(labels: NDArray[Any], name: str) -> None:
    if not (np.isfinite(labels) & (labels == np.floor(labels))).all():
        raise ShiftDataError(
            f"{name} holds continuous numbers, and the loss needs class labels: take a loss for numbers, such as "
            '"squared_error", or pass labels.'
        )


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
    counted = labels.dtype.kind in "iuf" and labels.min() >= 0
    if counted and labels.max() < n_classes:
        return np.arange(n_classes, dtype=np.float64 if labels.dtype.kind == "f" else np.int64)
    found = np.array([False, True]) if labels.dtype.kind == "b" else np.unique(labels)
    # Numbers with a 0 among them count the columns, and one that is too large is a mistake.
    if len(found) == n_classes and not (counted and found[0] == 0):
        return found
    raise _beyond(labels, n_classes, name) if counted else _other_number(found, n_classes, name)


def _other_number(found: NDArray[Any], n_classes: int, name: str) -> ShiftDataError:
    return ShiftDataError(
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
    same_kind = (labels.dtype.kind == "U") == (classes.dtype.kind == "U")
    unknown = ~np.isin(labels, classes) if same_kind else np.ones(len(labels), bool)
    if not unknown.any():
        return torch.as_tensor(np.searchsorted(classes, labels).astype(np.int64))
    found = np.unique(labels[unknown])
    if same_kind and _are_columns(classes) and found[0] >= 0:
        raise _beyond(labels, len(classes), name)
    raise ShiftDataError(
        f"{name} holds {_listed(found)}, and the classes of the training rows are {_listed(classes)}: drop those rows, "
        "or train on rows of these classes too."
    )


def _are_columns(classes: NDArray[Any]) -> bool:
    return classes.dtype.kind in "if" and np.array_equal(classes, np.arange(len(classes)))


def read_number_targets(y: Any, name: str, n_rows: int, dtype: torch.dtype) -> torch.Tensor:
    """Numbers in the module's type; raise ShiftDataError for what are none."""
    numbers = _one_per_row(y, name, n_rows)
    if numbers.is_complex():
        raise ShiftDataError(f"{name} holds complex numbers: pass real ones, or a loss of your own that takes them.")
    return _finite(numbers, y, name, dtype)


def read_own_targets(y: Any, name: str, n_rows: int, dtype: torch.dtype) -> torch.Tensor:
    """What a loss of the user's takes: floating point in the module's type, whole numbers as int64, bools as bools."""
    numbers = _one_per_row(y, name, n_rows)
    if numbers.dtype == torch.bool or numbers.is_complex():
        return numbers
    return _finite(numbers, y, name, dtype if numbers.is_floating_point() else torch.int64)


def _finite(numbers: torch.Tensor, y: Any, name: str, dtype: torch.dtype) -> torch.Tensor:
    converted = numbers.to(dtype)
    refuse_non_finite(converted, numbers, name, column_names(y))
    return converted


def _one_per_row(y: Any, name: str, n_rows: int) -> torch.Tensor:
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
    return (read_number_targets if kind == "numbers" else read_own_targets)(y, name, n_rows, dtype)
