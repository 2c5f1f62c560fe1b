"""Several networks, each of which holds out another part of the rows: together they have learned from all of them.

With K networks and n rows in random order, or dealt out class by class, network k holds out the rows at

    k, k + K, ..., k + (m - 1) K,  counted on from the start past the n-th,  m = n / K rounded up,

and trains on the n - m others. All rows are held out once, but for fewer than K of them, twice. Each network stops by
the weighted loss of its own part, so that no row is lost to the judging, and the mean of the networks is steadier than
any of them: bagging without repeated rows (Breiman 1996, Machine Learning 24:123), whose parts left out do what a
validation set does (Krogh & Vedelsby 1995, NIPS 7:231, section 4).
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from shiftfix.mlp._settings import Stopping

# Networks that are trained where nothing else is asked for, and rows of which each may hold out a part: of more a tenth
# is no loss, and one network is enough.
N_FOLDS, MOST_ROWS = 5, 20_000
# Rows that each holds out at least with early_stopping="auto".
FEWEST_HELD_OUT = 10
# Rows of a class below which all networks train on them.
FEWEST_OF_A_CLASS = 3


class Folds(NamedTuple):
    """Positions of rows, int64.

    Attributes
    ----------
    training : Tensor of shape (n_models, n_rows - m)
    held_out : Tensor of shape (n_models, m)
    """

    training: torch.Tensor
    held_out: torch.Tensor


def n_dealt(y: NDArray[np.int64] | None, n_rows: int) -> int:
    """Number of rows that some network may hold out."""
    if y is None:
        return n_rows
    found = np.bincount(y)
    return int(found[found >= FEWEST_OF_A_CLASS].sum())


def cross_fits(n_models: int, n_rows: int, stopping: Stopping) -> bool:
    """Whether each of several networks holds out a part of its own of so many rows, where none are given to stop by."""
    if n_models == 1 or stopping.validation_fraction != "folds" or stopping.early_stopping is False:
        return False
    return n_rows >= n_models * (1 if stopping.early_stopping is True else FEWEST_HELD_OUT)


def automatic_models(n_rows: int, stopping: Stopping) -> int:
    """Networks where none are asked for and no rows to stop by are given."""
    return N_FOLDS if n_rows <= MOST_ROWS and cross_fits(N_FOLDS, n_rows, stopping) else 1


def dealt_rows(y: NDArray[np.int64] | None, n_rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows in the order in which they are dealt to the networks: at random, and class by class where there are any.

    Without those of a class of few rows.
    """
    order = rng.permutation(n_rows)
    if y is None:
        return order
    common = np.bincount(y)[y[order]] >= FEWEST_OF_A_CLASS
    return order[common][np.argsort(y[order[common]], kind="stable")]


def deal(y: NDArray[np.int64] | None, n_rows: int, n_models: int, seed: int) -> Folds:
    """Which rows each network trains on, and which it holds out.

    Parameters
    ----------
    y : ndarray of int of shape (n_rows,) or None
        Classes, in whose proportions rows are held out; None for values.
    n_rows : int
    n_models : int
        No more than rows that may be held out.
    seed : int
    """
    order = dealt_rows(y, n_rows, np.random.default_rng(seed))
    places = np.arange(n_models)[:, np.newaxis] + n_models * np.arange(-(-len(order) // n_models))
    held_out = order[places % len(order)]
    trained = np.ones((n_models, n_rows), dtype=bool)
    np.put_along_axis(trained, held_out, False, axis=1)
    training = np.nonzero(trained)[1].reshape(n_models, -1)
    return Folds(torch.as_tensor(training), torch.as_tensor(held_out))
