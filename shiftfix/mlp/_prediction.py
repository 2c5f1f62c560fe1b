"""What a fitted network says of new rows: its outputs, and samples of them with dropout on."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import nn

from shiftfix._blocks import row_blocks
from shiftfix.mlp._inputs import FeatureScaler, scaled_rows
from shiftfix.mlp._network import monte_carlo_outputs
from shiftfix.mlp._training import CHUNK, forward, limited_threads, rows_at_once


def n_networks(module: nn.Sequential) -> int:
    """Number of networks in a module, whatever ``n_models`` asks for by now."""
    last = module[-1].weight
    assert isinstance(last, torch.Tensor)
    return len(last) if last.ndim == 3 else 1


def prediction_blocks(X: Any) -> list[slice]:
    """Rows that go through the network at once; of a sparse X no more than fit the memory when they are dense."""
    entries = rows_at_once(X.shape[1]) if sparse.issparse(X) else CHUNK
    return list(row_blocks(X.shape[0], 1, entries=entries))


def network_outputs(
    module: nn.Sequential, X: Any, scaler: FeatureScaler | None, n_threads: int | None
) -> NDArray[np.float64]:
    """Outputs without dropout, of shape (n_models, n_rows, n_outputs).

    In float64, so that a row's prediction does not depend on the rows it is batched with.
    """
    with limited_threads(n_threads):
        module = copy.deepcopy(module).double()
        axis = int(n_networks(module) > 1)
        parts = [forward(module, scaled_rows(X[part], scaler).double(), axis) for part in prediction_blocks(X)]
        outputs = torch.cat(parts, dim=axis).numpy()
    return outputs if axis else outputs[np.newaxis]


def sampled_outputs(
    module: nn.Sequential,
    X: Any,
    scaler: FeatureScaler | None,
    n_threads: int | None,
    *,
    n_samples: int,
    seed: int,
    transform: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> NDArray[np.float32]:
    """``transform`` of Monte-Carlo outputs, of shape (n_samples * n_models, n_rows, ...).

    Parameters
    ----------
    module : torch.nn.Sequential
        With at least one random layer.
    X : ndarray or csr_array of shape (n_rows, n_features)
    scaler : StandardScaler, TableScaler or None
    n_threads : int or None
    n_samples : int
        Passes per network.
    seed : int
        Of the masks.
    transform : callable
        Takes outputs of shape (n, n_rows, n_outputs).
    """
    parts = []
    with limited_threads(n_threads):
        sample = monte_carlo_outputs(module, n_samples, torch.Generator().manual_seed(seed))
        n_models = n_networks(module)
        for part in prediction_blocks(X):
            rows = scaled_rows(X[part], scaler)
            outputs = sample(rows if n_models == 1 else rows.expand(n_models, *rows.shape))
            flat = outputs.reshape(-1, *outputs.shape[-2:]).double().numpy()
            parts.append(transform(flat).astype(np.float32))
    return np.concatenate(parts, axis=1)
