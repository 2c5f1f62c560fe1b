"""What y is to a network: checked numbers, their scale, and what the loss takes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray

from shiftfix.mlp._categories import Categories
from shiftfix.mlp._inputs import FeatureScaler, feature_scaler, network_rows
from shiftfix.mlp._table_scaler import table_scaler
from shiftfix.mlp._training import Rows, SparseRows


class Targets(Protocol):
    """What a network learns to say. y is checked and turned into numbers once, its codes; all else takes these."""

    @property
    def n_outputs(self) -> int:
        """Columns of the network's output."""

    def codes(self, y: Any, name: str) -> NDArray[Any]:
        """Checked numbers: class indices, or float64 of shape (n_rows, n_outputs)."""

    def check_columns(self, columns: NDArray[Any] | None, name: str) -> None:
        """Raise ShiftDataError for one-hot columns that are not the classes."""

    def factors(
        self, codes: NDArray[Any], weight: NDArray[np.float64]
    ) -> Callable[[NDArray[Any]], NDArray[np.float64]]:
        """Weight of each row's class as a function of codes, learned from the training rows; 1 for numbers."""

    def scaled(self, codes: NDArray[Any], weight: NDArray[np.float64]) -> Self:
        """These targets on the scale of the training rows, where they have one."""

    def encode(self, codes: NDArray[Any]) -> NDArray[Any]:
        """The array that the loss takes."""

    def accuracy(self, module: Any, rows: Rows) -> float | None:
        """Share of the training weight predicted right; None for numbers."""


@dataclass(frozen=True)
class Scales:
    """What turns X and y into numbers for the network, learned from the training rows.

    Parameters
    ----------
    features : StandardScaler, TableScaler or None
    targets : Targets
    categories : dict of int to ndarray
        Levels of the columns that are coded.
    """

    features: FeatureScaler | None
    targets: Targets
    categories: Categories = field(default_factory=dict)

    def tensors(self, X: Any, codes: NDArray[Any]) -> tuple[torch.Tensor | SparseRows, torch.Tensor]:
        """What the network takes, and what the loss takes."""
        return network_rows(X, self.features), torch.as_tensor(self.targets.encode(codes))


def learn_scales(
    settings: Any, targets: Targets, rows: tuple[Any, NDArray[Any], NDArray[np.float64]], categories: Categories
) -> Scales:
    """Scaling of the features, and of targets that are numbers, from the training rows alone.

    Parameters
    ----------
    settings : Fitting and Network
        With ``standardize`` and ``preset``.
    targets : Targets
    rows : tuple (X, codes, weight)
    categories : dict of int to ndarray
        Levels of the columns of X that are coded.
    """
    X, codes, weight = rows
    scaled = targets.scaled(codes, weight) if settings.standardize else targets
    if settings.preset is not None:
        return Scales(table_scaler(X, weight, list(categories), settings.standardize), scaled, categories)
    return Scales(feature_scaler(X, weight) if settings.standardize else None, scaled)
