"""What classes are to a network: their positions, their weights, and the loss of them."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.multiclass import check_classification_targets

from shiftfix._validation import check_labels
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._one_hot import check_one_hot_columns
from shiftfix.mlp._prediction import n_networks
from shiftfix.mlp._settings import Classes
from shiftfix.mlp._temperature import fit_temperature
from shiftfix.mlp._training import (
    CLASSIFICATION_LOSSES,
    Rows,
    check_loss,
    class_probabilities,
    class_weights,
    forward,
    loss_floor,
    own_outputs,
)

# Labels that a message names.
MOST_NAMED = 10


def named_labels(labels: NDArray[Any]) -> str:
    """Labels as a list, cut short after the first ten."""
    names = repr(labels[:MOST_NAMED].tolist())
    return names if len(labels) <= MOST_NAMED else f"{names[:-1]}, ...]"


@dataclass(frozen=True)
class ClassTargets:
    """Classes as their positions among ``classes``; see ``Targets``.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        Sorted.
    n_outputs : int
        1 for one logit of two classes.
    class_weight : None, "balanced" or dict
    temperature : float, default=1
        What the probabilities are scaled by.
    """

    classes: NDArray[Any]
    n_outputs: int
    class_weight: Any
    temperature: float = 1.0

    def codes(self, y: Any, name: str) -> NDArray[np.int64]:
        """Position of each label in ``classes``.

        Raises
        ------
        ShiftDataError
            For labels that are no classes.
        """
        y = check_labels(y, name)
        index = np.minimum(np.searchsorted(self.classes, y), len(self.classes) - 1)
        unknown = self.classes[index] != y
        if np.any(unknown):
            raise ShiftDataError(
                f"{name} holds {named_labels(np.unique(y[unknown]))}, and the training classes are "
                f"{named_labels(self.classes)}."
            )
        return index.astype(np.int64)

    def check_columns(self, columns: NDArray[Any] | None, name: str) -> None:
        """Raise ShiftDataError for one-hot columns that are not the classes."""
        check_one_hot_columns(columns, self.classes, name)

    def factors(
        self, codes: NDArray[Any], weight: NDArray[np.float64]
    ) -> Callable[[NDArray[Any]], NDArray[np.float64]]:
        """Weight of each row's class as a function of codes, learned from the training rows."""
        of_class = class_weights(self.class_weight, codes, weight, self.classes)
        return lambda codes: of_class[codes]

    def scaled(self, codes: NDArray[Any], weight: NDArray[np.float64]) -> Self:
        """The same: classes have no scale."""
        return self

    def encode(self, codes: NDArray[Any]) -> NDArray[np.int64]:
        """The codes themselves."""
        return codes

    def accuracy(self, module: Any, rows: Rows) -> float:
        """Share of the training weight predicted right; over all models of several."""
        outputs = forward(module, rows.X, int(n_networks(module) > 1))
        found = (outputs[..., 0] > 0).long() if self.n_outputs == 1 else outputs.argmax(dim=-1)
        return float(((found == rows.y).double() * rows.weight).mean() / rows.weight.double().mean())

    def calibrated(self, module: Any, rows: Rows, loss: Any) -> Self:
        """The same with the temperature of rows that were held out."""
        if rows.parts is None:
            outputs, y = forward(module, rows.X, int(n_networks(module) > 1)), rows.y
        else:  # of each row the network that has not learned it
            outputs, y = own_outputs(module, rows).flatten(0, 1), rows.y[rows.parts.to(rows.y.device)].flatten()
        proba = class_probabilities(loss, outputs.double().cpu().numpy().reshape(-1, self.n_outputs))
        proba = proba.reshape(-1, len(y), len(self.classes)).mean(axis=0)
        weight = rows.own_weight.flatten().double().cpu().numpy()
        return replace(self, temperature=fit_temperature(proba, y.cpu().numpy(), weight))


def learn_classes(y: Any, loss: Any, class_weight: Any, columns: NDArray[Any] | None = None) -> ClassTargets:
    """The classes of labels, or of one-hot columns; raise for numbers, and for labels of fewer than two."""
    labels = check_labels(y, "y")
    check_classification_targets(labels)
    classes = np.unique(labels)
    if len(classes) < 2:
        raise ShiftDataError(
            f"y holds one class only ({classes.tolist()[0]!r}, counting rows of positive weight): at least "
            "two classes are needed."
        )
    classes = classes if columns is None else np.unique(columns)
    is_binary = isinstance(loss, str) and loss == "binary_cross_entropy"
    return ClassTargets(classes, 1 if is_binary else len(classes), class_weight)


def smoothed_loss(settings: Classes, n_outputs: int, n_classes: int) -> tuple[Callable[..., Any], float]:
    """Loss per row with its label smoothing, and the least value it can have.

    Raises
    ------
    ShiftDataError
        For an unknown loss, and one that the classes or the outputs are too many for.
    """
    loss = check_loss(settings.loss, CLASSIFICATION_LOSSES)
    if settings.loss == "binary_cross_entropy" and n_classes > 2:
        raise ShiftDataError(
            f'loss="binary_cross_entropy" is for two classes, and y has {n_classes}: use "cross_entropy".'
        )
    if (n_outputs == 1) != (settings.loss == "binary_cross_entropy"):
        raise ShiftDataError(
            f"The fitted network has {n_outputs} outputs, which loss={settings.loss!r} cannot use: keep the loss "
            "to go on from it, or fit a new estimator."
        )
    if not settings.label_smoothing:
        return loss, 0.0
    loss = functools.partial(loss, label_smoothing=settings.label_smoothing)
    return loss, loss_floor(loss, n_outputs)
