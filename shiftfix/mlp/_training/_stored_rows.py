"""Rows that stay where they are stored, a memory map or a file, and are read a block at a time.

A batch asks for rows from all over, and a disk gives neighbours. So an epoch permutes the blocks, takes as many of them
as fit a window, and permutes the rows of the window: each block is read once an epoch, and a batch is drawn from blocks
all over the table. Rows that fit one window have the order that rows in memory have.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

# Numbers of a window: 128 MB in float32, and of a block of a memory map, 1 MB, which a disk reads at its full speed.
WINDOW_NUMBERS = 2**25
BLOCK_NUMBERS = 2**18
# Blocks of a window at least, however large they are: the rows of one may all be alike.
FEWEST_BLOCKS = 4


class Storage(Protocol):
    """A table of numbers that is read block by block.

    Attributes
    ----------
    shape : tuple of int
        (n_rows, ...).
    dtype : dtype
        Of the numbers read.
    starts : ndarray of int64 of shape (n_blocks,)
        First row of each block, from 0 on; there may be empty ones.
    regular : int or None
        Rows of each block but the last where they are all alike, whatever rows come before and behind.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    starts: NDArray[np.int64]
    regular: int | None

    def block(self, place: int) -> NDArray[Any]:
        """Rows of a block, in memory."""


def window_rows(shape: tuple[int, ...]) -> int:
    """Rows of this shape that fit a window."""
    return max(1, WINDOW_NUMBERS // max(1, int(np.prod(shape))))


def regular_starts(n_rows: int, rows_per_block: int) -> NDArray[np.int64]:
    """First rows of blocks of one size."""
    return np.arange(0, n_rows, rows_per_block, dtype=np.int64)


class BlockCache:
    """The blocks of a storage that were read last, as many as fit a window.

    Parameters
    ----------
    storage : Storage
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.kept: dict[int, NDArray[Any]] = {}
        self.most_rows = window_rows(storage.shape[1:])

    def block(self, place: int) -> NDArray[Any]:
        """Rows of a block, read unless they were lately."""
        found = self.kept.pop(place, None)
        self.kept[place] = found = self.storage.block(place) if found is None else found
        while len(self.kept) > FEWEST_BLOCKS and sum(map(len, self.kept.values())) > self.most_rows:
            del self.kept[next(iter(self.kept))]
        return found

    def take(self, index: NDArray[np.int64]) -> NDArray[Any]:
        """The rows at an index of shape (n,), each block of them in one go; those that are kept come first."""
        out = np.empty((len(index), *self.storage.shape[1:]), self.storage.dtype)
        starts = self.storage.starts
        blocks = np.searchsorted(starts, index, side="right") - 1
        order = np.argsort(blocks, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(blocks[order])) + 1) if len(order) else []
        found = sorted(((int(blocks[part[0]]), part) for part in parts), key=lambda pair: pair[0] not in self.kept)
        for place, part in found:
            out[part] = self.block(place)[index[part] - starts[place]]
        return out


class StoredRows:
    """What ``Rows`` ask of a tensor of rows, from a storage.

    A slice of them is read; an index of them, of places or bools, names those that are read later.

    Parameters
    ----------
    cache : BlockCache
    index : ndarray of int64 of shape (n_rows,) or None
        Rows of the storage that these are; None for all.
    finish : callable or None
        Makes a tensor of the numbers read; without it they come as an array.
    device : torch.device
        Of the tensors that come out.
    """

    def __init__(
        self,
        cache: BlockCache,
        index: NDArray[np.int64] | None = None,
        finish: Callable[[NDArray[Any]], torch.Tensor] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.cache = cache
        self.index = index
        self.finish = finish
        self.device = torch.device(device)

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, then the shape of one."""
        return (len(self), *self.cache.storage.shape[1:])

    @property
    def ndim(self) -> int:
        """Axes."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the numbers stored."""
        return self.cache.storage.dtype

    def __len__(self) -> int:
        return int(self.cache.storage.shape[0]) if self.index is None else len(self.index)

    def read(self, places: NDArray[np.int64]) -> Any:
        """The rows at these places."""
        found = self.cache.take(places if self.index is None else self.index[places])
        return found if self.finish is None else self.finish(found).to(self.device)

    def __getitem__(self, part: Any) -> Any:
        if isinstance(part, slice):
            return self.read(np.arange(*part.indices(len(self)), dtype=np.int64))
        part = np.asarray(part)
        places = np.flatnonzero(part) if part.dtype.kind == "b" else part.astype(np.int64)
        return self.with_index(places if self.index is None else self.index[places])

    def with_index(self, index: NDArray[np.int64]) -> "StoredRows":
        """Other rows of the same storage."""
        return StoredRows(self.cache, index, self.finish, self.device)

    def finished(self, finish: Callable[[NDArray[Any]], torch.Tensor]) -> "StoredRows":
        """The same rows as tensors that a function makes."""
        return StoredRows(self.cache, self.index, finish, self.device)

    def to(self, device: torch.device) -> "StoredRows":
        """The same rows for another device."""
        return StoredRows(self.cache, self.index, self.finish, device)

    def index_select(self, dim: int, index: torch.Tensor) -> Any:
        """The rows at an index of shape (n,); ``dim`` is 0."""
        return self.read(index.cpu().numpy())

    def split(self, sizes: Sequence[int], dim: int = 0) -> Iterator[Any]:
        """All rows in order, so many at a time; ``dim`` is 0."""
        ends = np.cumsum(sizes).tolist()
        return (self[end - size : end] for size, end in zip(sizes, ends, strict=True))

    def in_blocks(self) -> Iterator[tuple[slice, NDArray[Any]]]:
        """All rows in order, a block or so at a time, as they are stored; and which they are."""
        size = max(1, BLOCK_NUMBERS // max(1, int(np.prod(self.shape[1:]))))
        for start in range(0, len(self), size):
            part = slice(start, min(start + size, len(self)))
            places = np.arange(part.start, part.stop)
            yield part, self.cache.take(places if self.index is None else self.index[places])

    @property
    def starts(self) -> NDArray[np.int64] | None:
        """Places at which blocks of the storage start among these rows; None where all fit one window."""
        if len(self) <= window_rows(self.shape[1:]):
            return None
        return starts_among(self.cache.storage.starts, self.index)

    def parts(self) -> list[torch.Tensor]:
        """A digest of the numbers, which tells these rows from others; and what zeros come out as."""
        hasher = hashlib.blake2b(repr((self.shape, self.dtype.str)).encode(), digest_size=32)
        for _, numbers in self.in_blocks():
            hasher.update(np.ascontiguousarray(numbers).data)
        blank = np.zeros((1, *self.shape[1:]), self.dtype)
        zeros = torch.as_tensor(blank) if self.finish is None else self.finish(blank)
        return [torch.tensor(list(hasher.digest()), dtype=torch.uint8), zeros]


def starts_among(starts: NDArray[np.int64], index: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """Places at which blocks that start at these rows start among the rows of a sorted index; None is that of all."""
    return starts if index is None else np.searchsorted(index, starts)


def _windows(sizes: NDArray[np.int64], most_rows: int) -> Iterator[slice]:
    """Cut blocks of these sizes, in their order, into runs of at most so many rows, but of ``FEWEST_BLOCKS``."""
    start, rows = 0, 0
    for place, size in enumerate(sizes.tolist()):
        if rows + size > most_rows and place - start >= FEWEST_BLOCKS:
            yield slice(start, place)
            start, rows = place, 0
        rows += size
    yield slice(start, len(sizes))


def block_order(
    starts: NDArray[np.int64], n_rows: int, most_rows: int, generators: list[torch.Generator]
) -> torch.Tensor:
    """One epoch per generator in which rows of one block come near each other: every row comes exactly once.

    Parameters
    ----------
    starts : ndarray of int64 of shape (n_blocks,)
        First row of each block.
    n_rows : int
    most_rows : int
        Of a window.
    generators : list of torch.Generator
        One per model. The first permutes the blocks, of which all models read the same at a time.

    Returns
    -------
    Tensor of int64 of shape (n_rows,), or (n_models, n_rows) for more than one generator
    """
    ends = np.append(starts[1:], n_rows)
    blocks = torch.randperm(len(starts), generator=generators[0]).numpy()
    orders: list[list[torch.Tensor]] = [[] for _ in generators]
    for window in _windows((ends - starts)[blocks], most_rows):
        rows = torch.as_tensor(
            np.concatenate([np.arange(starts[b], ends[b], dtype=np.int64) for b in blocks[window].tolist()])
        )
        for order, generator in zip(orders, generators, strict=True):
            order.append(rows[torch.randperm(len(rows), generator=generator)])
    joint = [torch.cat(order) for order in orders]
    return joint[0] if len(joint) == 1 else torch.stack(joint)
