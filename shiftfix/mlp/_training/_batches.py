"""Mini-batches cut from tensors in memory: no loader, no worker, no copy of the data."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

# Numbers gathered at once: small batches spend more on the calls than on the copying, so many share one gather. The
# block (1 MB) still fits the processor's cache.
GATHERED_AT_ONCE = 2**18


@dataclass
class Rows:
    """Rows on their device: X (n_rows, ...), y (n_rows, ...), and weight (n_rows,); X may be ``SparseRows``."""

    X: Any
    y: torch.Tensor
    weight: torch.Tensor

    def __len__(self) -> int:
        return len(self.X)

    def take(self, index: torch.Tensor) -> "Rows":
        """The rows at an index of shape (n,), or (n_models, n), with that shape ahead of their own."""
        flat = index.flatten()
        parts = (part.index_select(0, flat) for part in (self.X, self.y, self.weight))
        return Rows(*(part.view(*index.shape, *part.shape[1:]) for part in parts))


def epoch_order(n_rows: int, generators: list[torch.Generator]) -> torch.Tensor:
    """One shuffled epoch per generator: every row comes exactly once.

    Parameters
    ----------
    n_rows : int
    generators : list of torch.Generator
        On the CPU: the order of rows is then the same on every device. One per model.

    Returns
    -------
    Tensor of int64 of shape (n_rows,), or (n_models, n_rows) for more than one generator
    """
    orders = [torch.randperm(n_rows, generator=generator) for generator in generators]
    return orders[0] if len(orders) == 1 else torch.stack(orders)


def resampled_order(weight: torch.Tensor, generators: list[torch.Generator]) -> torch.Tensor:
    """One epoch of draws with replacement, row i with probability w_i / sum(w).

    Parameters
    ----------
    weight : Tensor of shape (n_rows,)
    generators : list of torch.Generator

    Returns
    -------
    Tensor of int64 of shape (n_rows,), or (n_models, n_rows)
    """
    # By inversion in float64: torch.multinomial takes 2^24 categories at most.
    upper = weight.double().cpu().cumsum(0)
    orders = []
    for generator in generators:
        draws = torch.rand(len(weight), generator=generator, dtype=torch.float64) * upper[-1]
        orders.append(torch.searchsorted(upper, draws, right=True).clamp_(max=len(weight) - 1))
    return orders[0] if len(orders) == 1 else torch.stack(orders)


def batches(rows: Rows, order: torch.Tensor, batch_size: int) -> Iterator[Rows]:
    """Cut an epoch into batches.

    Parameters
    ----------
    rows : Rows
    order : Tensor of int64 of shape (n,) or (n_models, n)
    batch_size : int

    Yields
    ------
    Rows
        ``batch_size`` rows of the order, as (batch_size, ...) or (n_models, batch_size, ...); the last batch may be
        shorter.
    """
    row_size = max(1, rows.X[:1].numel()) * (order.numel() // order.shape[-1])
    per_block = max(1, GATHERED_AT_ONCE // (row_size * batch_size)) * batch_size
    axis = order.ndim - 1
    for part in order.split(per_block, dim=axis):
        block = rows.take(part.to(rows.X.device))
        if part.shape[axis] <= batch_size:
            yield block
        else:
            cuts = (tensor.split(batch_size, dim=axis) for tensor in (block.X, block.y, block.weight))
            yield from (Rows(*tensors) for tensors in zip(*cuts, strict=True))
