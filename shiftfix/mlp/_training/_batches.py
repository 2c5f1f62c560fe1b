"""Mini-batches cut from tensors in memory: no loader, no worker, no copy of the data."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from shiftfix.mlp._training._ranks import RankedRows, Share, row_shape
from shiftfix.mlp._training._several import Inputs, RowsOfX
from shiftfix.mlp._training._stored_rows import block_order, window_rows

# "auto" makes about so many steps of an epoch, of a power of two of rows: patience, and how long a training is, are
# counted in epochs, and what a network has learned goes by steps.
STEPS_OF_AN_EPOCH, FEWEST_ROWS, MOST_ROWS = 20, 16, 256
# Numbers gathered at once: small batches spend more on the calls than on the copying, so many share one gather. The
# block (1 MB) still fits the processor's cache.
GATHERED_AT_ONCE = 2**18


@dataclass
class Rows:
    """Rows on their device: X (n_rows, ...) several of them or sparse, y (n_rows, ...), and weight (n_rows,).

    With ``parts``, int64 of shape (n_models, n) on the CPU, each model has n of them, at these positions. With a
    ``share`` they are those of a batch that this process has.
    """

    X: RowsOfX
    y: torch.Tensor
    weight: torch.Tensor
    parts: torch.Tensor | None = None
    share: Share | None = None

    def __len__(self) -> int:
        return len(self.X) if self.parts is None else self.parts.shape[1]

    @property
    def own_weight(self) -> torch.Tensor:
        """Weights of the rows of each model, (n,) where all have the same, or (n_models, n)."""
        return self.weight if self.parts is None else self.weight[self.parts.to(self.weight.device)]

    def take(self, index: torch.Tensor) -> "Rows":
        """The rows at an index of shape (n,), or (n_models, n), with that shape ahead of their own."""
        flat = index.flatten()
        X, y, weight = self.X.index_select(0, flat), self.y.index_select(0, flat), self.weight.index_select(0, flat)
        if isinstance(X, Inputs):
            return Rows(X, y, weight)
        X, y, weight = (part.view(*index.shape, *part.shape[1:]) for part in (X, y, weight))
        return Rows(X, y, weight)

    def lazily(self, index: torch.Tensor) -> "Rows":
        """The rows at an index of shape (n,), X of several processes where it is."""
        if not isinstance(self.X, RankedRows):
            return self.take(index)
        return Rows(self.X[index], self.y.index_select(0, index), self.weight.index_select(0, index))

    def own(self) -> "Rows":
        """Those that this process has."""
        if not isinstance(self.X, RankedRows):
            return self
        mine = self.X.mine.to(self.y.device)
        return Rows(self.X.own(), self.y[mine], self.weight[mine])


def strided(rows: Rows, n_rows: int) -> Rows:
    """About ``n_rows`` rows, evenly spread; of each model's."""
    if len(rows) <= n_rows:
        return rows
    # In float64, for float32 is out of range above 2^24 rows; and on the CPU, for not every device has it.
    places = torch.linspace(0, len(rows) - 1, n_rows, dtype=torch.float64).round().long().to(rows.X.device)
    return rows.lazily(places) if rows.parts is None else replace(rows, parts=rows.parts[:, places.cpu()])


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


def order_of(rows: Rows, generators: list[torch.Generator], drawn: bool) -> torch.Tensor:
    """An epoch of each model's rows: all of them shuffled, or drawn by their weights.

    Parameters
    ----------
    rows : Rows
        Those that are read by blocks come block by block.
    generators : list of torch.Generator
        One per model.
    drawn : bool

    Returns
    -------
    Tensor of int64 of shape (n,), or (n_models, n)
        Positions among all rows.
    """
    if rows.parts is not None:
        return order_of_parts(rows, rows.parts, generators, drawn)
    starts = getattr(rows.X, "starts", None)
    if starts is None:
        return resampled_order(rows.weight, generators) if drawn else epoch_order(len(rows), generators)
    most = window_rows(row_shape(rows.X))
    if not drawn:
        return block_order(starts, len(rows), most, generators)
    orders = []
    for generator in generators:
        found = resampled_order(rows.weight, [generator]).sort().values
        among = np.searchsorted(found.numpy(), starts)
        orders.append(found[block_order(among, len(rows), most, [generator])])
    return orders[0] if len(orders) == 1 else torch.stack(orders)


def order_of_parts(rows: Rows, parts: torch.Tensor, generators: list[torch.Generator], drawn: bool) -> torch.Tensor:
    """The same where each model has a part of the rows."""
    if not drawn:
        return parts.gather(1, epoch_order(len(rows), generators))
    own = zip(parts, rows.own_weight, generators, strict=True)
    return torch.stack([part[resampled_order(weight, [generator])] for part, weight, generator in own])


def rows_of_a_step(batch_size: int | str | None, n_rows: int) -> int:
    """Rows of a gradient step, of so many rows of an epoch: as asked for, all with None, or "auto"."""
    if batch_size is None:
        return n_rows
    if not isinstance(batch_size, str):
        return min(batch_size, n_rows)
    near = 2 ** round(math.log2(max(1, n_rows) / STEPS_OF_AN_EPOCH))
    return min(n_rows, max(FEWEST_ROWS, min(MOST_ROWS, int(near))))


def part_sizes(n_rows: int, size: int, least: int) -> list[int]:
    """Rows of each part of ``size``; a last one of fewer than ``least`` rows joins the part before it, if any."""
    whole, rest = divmod(n_rows, size)
    if 0 < rest < least and whole:
        return [size] * (whole - 1) + [size + rest]
    return [size] * whole + [rest] * (rest > 0)


def batches(rows: Rows, order: torch.Tensor, batch_size: int, least: int = 1) -> Iterator[Rows]:
    """Cut an epoch into batches.

    Parameters
    ----------
    rows : Rows
    order : Tensor of int64 of shape (n,) or (n_models, n)
    batch_size : int
    least : int, default=1
        Rows that a batch has at least: a shorter last one joins the batch before it.

    Yields
    ------
    Rows
        ``batch_size`` rows of the order, as (batch_size, ...) or (n_models, batch_size, ...); the last batch may be
        shorter, or longer by less than ``least``.
    """
    row_size = max(1, rows.X[:1].numel()) * (order.numel() // order.shape[-1])
    axis = order.ndim - 1
    sizes = part_sizes(order.shape[axis], batch_size, least)
    together = max(1, GATHERED_AT_ONCE // (row_size * batch_size))
    blocks = [sizes[i : i + together] for i in range(0, len(sizes), together)]
    if isinstance(rows.X, RankedRows):
        yield from _shares(rows, rows.X, order, blocks)
        return
    for part, cuts in zip(order.split([sum(block) for block in blocks], dim=axis), blocks, strict=True):
        block = rows.take(part.to(rows.X.device))
        if len(cuts) == 1:
            yield block
        else:
            pieces = (tensor.split(cuts, dim=axis) for tensor in (block.X, block.y, block.weight))
            yield from (Rows(*tensors) for tensors in zip(*pieces, strict=True))


def _shares(rows: Rows, ranked: RankedRows, order: torch.Tensor, blocks: list[list[int]]) -> Iterator[Rows]:
    """What this process has of each batch; ``blocks`` are the rows of batches that are gathered together."""
    device = rows.y.device
    for part, cuts in zip(order.split([sum(block) for block in blocks]), blocks, strict=True):
        mine = ranked.mine[part]
        found = rows.take(part[mine].to(device))
        shares = [Share(torch.nonzero(one)[:, 0].to(device), len(one)) for one in mine.split(cuts)]
        sizes = [len(share.places) for share in shares]
        pieces = zip(found.X.split(sizes), found.y.split(sizes), found.weight.split(sizes), shares, strict=True)
        yield from (Rows(X, y, weight, share=share) for X, y, weight, share in pieces)
