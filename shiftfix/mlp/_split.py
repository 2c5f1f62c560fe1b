"""The rows that a fit trains on, and those that it stops by."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from shiftfix.mlp._inputs import rows_on
from shiftfix.mlp._settings import Fitting, Stopping
from shiftfix.mlp._targets import Scales
from shiftfix.mlp._training import Folds, Rows, automatic_models, cross_fits, effective_size

# X, codes and weight of some rows.
Held = tuple[Any, NDArray[Any], NDArray[np.float64]]


@dataclass(frozen=True)
class Split:
    """Rows with their weights: of the training tempered, of the validation full, since its loss speaks of the target.

    Parameters
    ----------
    training : tuple (X, codes, weight)
    validation : tuple (X, codes, weight) or None
        None where nothing stops the training.
    folds : Folds or None, default=None
        Where each network holds out a part of its own: its rows among those of the training, which are those of the
        validation too.
    """

    training: Held
    validation: Held | None
    folds: Folds | None = None

    @property
    def judging_weight(self) -> NDArray[np.float64] | None:
        """Weights of the rows to stop by, of the part that is worth least where each network has its own."""
        if self.validation is None:
            return None
        weight = self.validation[2]
        return weight if self.folds is None else min((weight[part] for part in self.folds.held_out), key=effective_size)

    def rows_on(self, device: torch.device, scales: Scales) -> tuple[Rows, Rows | None]:
        """Both on the device."""
        X, codes, weight = self.training
        rows = rows_on(device, *scales.tensors(X, codes), weight)
        if self.validation is None:
            return rows, None
        if self.folds is None:
            X, codes, weight = self.validation
            return rows, rows_on(device, *scales.tensors(X, codes), weight)
        judging = rows_on(device, rows.X, rows.y, self.validation[2])
        return replace(rows, parts=self.folds.training), replace(judging, parts=self.folds.held_out)


def plan_networks(
    fitting: Fitting, stopping: Stopping, fitted: int | None, one_part: bool, n_rows: int
) -> tuple[int, int]:
    """How many networks to train, and how many parts of the rows they hold out, 1 where all hold out the same.

    Parameters
    ----------
    fitting : Fitting
    stopping : Stopping
    fitted : int or None
        Networks to go on from, if any.
    one_part : bool
        Whether no part of the rows can be held out by each: there are rows of the user's to stop by, or rows that
        several processes hold, or that are read by blocks.
    n_rows : int
        That may be held out.
    """
    n_models = fitted if fitting.n_models is None else fitting.n_models
    if n_models is None:
        n_models = 1 if one_part else automatic_models(n_rows, stopping)
    apart = not one_part and cross_fits(n_models, n_rows, stopping)
    return n_models, n_models if apart else 1
