"""The rows of a training on several processes: read where they are, and checked to be of one kind."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._saving import FREE_ON_RESUME, setting_text
from shiftfix.mlp._settings import Fitting, Network, part_of
from shiftfix.mlp._training import OneProcess, check_row_weights

# Settings that may differ between processes.
OWN_SETTINGS = (*FREE_ON_RESUME, "device")


def rows_of_all(
    ranks: OneProcess,
    read: Callable[[], tuple[Any, NDArray[Any]]],
    sample_weight: ArrayLike | None,
    names: Callable[[str], str] = str,
) -> tuple[Any, NDArray[Any], NDArray[np.float64]]:
    """Rows of all processes: X, where it is, y and weights of all, with largest 1.

    Parameters
    ----------
    ranks : OneProcess
    read : callable
        Returns X and y of this process, checked.
    sample_weight : array-like or None
        Of this process.
    names : callable
        What messages call "X" and "sample_weight".

    Raises
    ------
    ShiftDataError
        What one process finds, on all of them.
    """
    with ranks.together():
        X, y = read()
        weight = check_row_weights(sample_weight, len(y), names("sample_weight"))
    if ranks.size == 1:
        return X, y, weight
    X, y, joint = ranks.joined(names("X"), X, y, sample_weight)
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
    found = {name: setting_text(value) for name, value in settings.items() if name not in OWN_SETTINGS} | given
    every = ranks.gathered(found)
    for name in found:
        values = [one.get(name) for one in every]
        if any(value != values[0] for value in values):
            said = "; ".join(f"process {rank}: {value}" for rank, value in enumerate(values[:10]))
            raise ShiftDataError(f"The processes differ in {name} ({said}): call all of them alike.")


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
    if fitting.n_members > 1:
        raise ShiftDataError(
            f"data_parallel=True trains one network, and n_models={fitting.n_models}: fit that many, each with a "
            "random_state of its own."
        )
    if sparse.issparse(X):
        raise ShiftDataError("data_parallel=True is for dense rows, and X is sparse: pass X.toarray().")


def check_shared_module(ranks: OneProcess, module: torch.nn.Module) -> None:
    """Raise ShiftDataError for a module that looks at all rows of a batch at once."""
    normed = [name for name, part in module.named_modules() if isinstance(part, torch.nn.modules.batchnorm._BatchNorm)]
    if ranks.size > 1 and normed:
        raise ShiftDataError(
            f"data_parallel=True cannot be had with batch norm (layer {normed[0]!r}), which looks at all rows of a batch "
            "at once: take GroupNorm or LayerNorm, or train in one process."
        )
