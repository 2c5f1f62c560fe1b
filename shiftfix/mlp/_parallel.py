"""The rows of a training, on one process or several: read where they are, and checked to be of one kind."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.utils.validation import column_or_1d

from shiftfix._naming import cells_named
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._categories import Categories, coded
from shiftfix.mlp._held_out import RowsToStopBy, rows_named
from shiftfix.mlp._inputs import present, read_rows, read_y
from shiftfix.mlp._saving import FREE_ON_RESUME, setting_text
from shiftfix.mlp._settings import Fitting, Network, part_of
from shiftfix.mlp._targets import Targets
from shiftfix.mlp._training import OneProcess, check_row_weights

# Settings that may differ between processes.
OWN_SETTINGS = (*FREE_ON_RESUME, "device")
TO_STOP_BY = "whether there are rows to stop by"


def rows_of_all(
    ranks: OneProcess,
    rows: tuple[Any, NDArray[Any], NDArray[np.float64]],
    sample_weight: ArrayLike | None,
    names: Callable[[str], str] = str,
) -> tuple[Any, NDArray[Any], NDArray[np.float64]]:
    """Rows of all processes: X, where it is, y and weights of all, with largest 1.

    Parameters
    ----------
    ranks : OneProcess
    rows : tuple (X, y, weight)
        Of this process, checked.
    sample_weight : array-like or None
        Its weights as they were given, whose sizes can be compared with those of others.
    names : callable
        What messages call "X" and "sample_weight".
    """
    if ranks.size == 1:
        return rows
    X, y, joint = ranks.joined(names("X"), *rows[:2], sample_weight)
    return X, y, check_row_weights(joint, len(y), names("sample_weight"))


def check_same_call(ranks: OneProcess, settings: Mapping[str, Any], **given: Any) -> None:
    """Raise ShiftDataError unless all processes have the same settings, and were given the same things.

    Parameters
    ----------
    ranks : OneProcess
    settings : dict
        Of the estimator.
    **given
        Values that can be compared, by what messages call them.
    """
    if ranks.size == 1:
        return
    found = {name: setting_text(value) for name, value in settings.items() if name not in OWN_SETTINGS} | given
    every = ranks.gathered(found)
    for name in found:
        values = [one.get(name) for one in every]
        if any(value != values[0] for value in values):
            said = "; ".join(f"process {rank}: {value}" for rank, value in enumerate(values[:10]))
            raise ShiftDataError(f"The processes differ in {name} ({said}): call all of them alike.")


def check_same_network(
    ranks: OneProcess, estimator: Any, columns: NDArray[Any] | None, held_out: RowsToStopBy | None
) -> None:
    """The same for an estimator that has seen its rows, and the columns of y where these are one-hot."""
    names = getattr(estimator, "feature_names_in_", None)
    given = {
        TO_STOP_BY: held_out is not None,
        "the columns of y": None if columns is None else columns.tolist(),
        "the columns of X": None if names is None else names.tolist(),
    }
    check_same_call(ranks, estimator.get_params(deep=False), **given)


def read_rows_to_stop_by(
    estimator: Any, held_out: RowsToStopBy, targets: Targets, categories: Categories
) -> tuple[Any, NDArray[Any]]:
    """X and y of the rows to stop by, checked for an estimator that has seen the training rows.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
    held_out : RowsToStopBy
    targets : Targets
        Of the training rows.
    categories : dict of int to ndarray
        Levels of the columns that are coded.
    """
    names = held_out.names
    with rows_named(names.of("X")):
        X = coded(held_out.X, categories)
        with cells_named(X, names.of("X")):
            X = read_rows(estimator, X)
    y, columns = estimator._labels(held_out.y, names.of("y"))
    targets.check_columns(columns, names.of("y"))
    y = np.empty(()) if y is None else read_y(y, names.of("y"))
    if y.ndim == 0 or len(y) != X.shape[0]:
        raise ShiftDataError(
            f"{held_out.whole} has {X.shape[0]} rows of X and {len(y) if y.ndim else 'none'} of y: pass one y per row."
        )
    if not estimator._multi_output and y.shape[1:] == (1,):
        y = column_or_1d(y, warn=True)  # as for the training rows
    return X, y


def rows_to_stop_by(
    ranks: OneProcess, estimator: Any, held_out: RowsToStopBy, targets: Targets, categories: Categories
) -> tuple[Any, NDArray[Any], NDArray[np.float64]]:
    """X, codes and weights of the rows to stop by that have a weight; parameters as of :func:`read_rows_to_stop_by`."""
    names = held_out.names.of
    with ranks.together():
        X, y = read_rows_to_stop_by(estimator, held_out, targets, categories)
        given, shared = held_out.sample_weight, ranks.size > 1
        weight = check_row_weights(given, len(y), names("sample_weight"), shared=shared)
    X, y, weight = rows_of_all(ranks, (X, y, weight), held_out.sample_weight, names)
    weight, X, y = present(weight, X, y)
    return X, targets.codes(y, names("y")), weight


def check_shared_network(ranks: OneProcess, settings: Any, X: Any) -> None:
    """Raise ShiftDataError for what several processes cannot train."""
    if ranks.size == 1:
        return
    network, fitting = part_of(settings, Network), part_of(settings, Fitting)
    found = {"preset": network.preset is not None, "batch_norm": network.batch_norm}
    for name in (name for name, there in found.items() if there):
        raise ShiftDataError(
            f"data_parallel=True cannot be had with {name}={getattr(settings, name)!r}, which looks at all rows of the "
            "table or the batch at once: leave it out, or train in one process."
        )
    if fitting.n_models not in (None, 1):
        raise ShiftDataError(
            f"data_parallel=True trains one network, and n_models={fitting.n_models}: fit that many, each with a "
            "random_state of its own."
        )
    if sparse.issparse(X):
        raise ShiftDataError("data_parallel=True is for dense rows, and X is sparse: pass X.toarray().")


def check_shared_module(ranks: OneProcess, trainer: Any, held_out: RowsToStopBy | None) -> None:
    """Raise ShiftDataError for a module that looks at all rows of a batch at once, and for calls that are not alike."""
    check_same_call(ranks, trainer.get_params(deep=False), **{TO_STOP_BY: held_out is not None})
    kind = torch.nn.modules.batchnorm._BatchNorm
    normed = [name for name, part in trainer.module.named_modules() if isinstance(part, kind)]
    if ranks.size > 1 and normed:
        raise ShiftDataError(
            f"data_parallel=True cannot be had with batch norm (layer {normed[0]!r}), which looks at all rows of a "
            "batch at once: take GroupNorm or LayerNorm, or train in one process."
        )
