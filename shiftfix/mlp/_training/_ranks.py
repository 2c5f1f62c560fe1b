"""One training on several processes, each of which holds some of the rows.

Of K processes each knows y, the weights and the order of ALL rows, and reads X of its own. All draw the same batches
from the same seed; each takes the rows of a batch that it has, none perhaps, and the gradients

    g = sum_k g_k,    g_k = sum over its rows of w_i dl_i / B,    B the rows of the whole batch,

are added up. So nothing depends on which process holds which rows: not on how many each has, and not on how they are
sorted. Weights have mean 1 over all rows, classes, scales and the rows held out are those of all rows, losses are put
together row by row, and so every process decides alike when to stop. Dropout draws the masks of the whole batch from
one generator on every process, which keeps those of its rows.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed

from shiftfix._naming import one_line
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._training._diagnostics import LayerNorms
from shiftfix.mlp._training._stored_rows import StoredRows, regular_starts, starts_among, window_rows

Found = TypeVar("Found")
# Longest message that one process hands on to the others.
LONGEST_MESSAGE = 2000


class OneProcess:
    """The processes of a training where there is one."""

    rank = 0
    size = 1

    @property
    def is_first(self) -> bool:
        """Whether this one writes files and shows how far it is."""
        return self.rank == 0

    @contextmanager
    def together(self) -> Iterator[None]:
        """What fails on one process in the block, fails on all of them behind it."""
        yield

    def gathered(self, value: Found) -> list[Found]:
        """The values of all processes, in their order."""
        return [value]

    def of_first(self, make: Callable[[], Found]) -> Found:
        """What a function returns, or raises, on the first process; the others do not call it."""
        return make()

    def add(self, values: torch.Tensor) -> torch.Tensor:
        """The sum of a tensor over the processes, in its place."""
        return values

    def share_state(self, module: torch.nn.Module) -> None:
        """Give a module the parameters and buffers of the first process."""

    def draw_noise_from(self, seed: int) -> None:
        """Note the seed of what a module draws from torch's own generators, which differ from process to process."""

    def seed_noise(self, generators: Mapping[str, torch.Generator], epoch: int) -> None:
        """Seed the generators that are not those of the order of rows, by process and epoch: nothing else is stored."""

    def share_norms(self, norms: LayerNorms, n_rows: int) -> None:
        """Put what all processes saw of the layers, each for so many rows, in the place of what this one saw."""

    def any(self, value: bool) -> bool:
        """Whether it is true on one of them."""
        return any(self.gathered(value))

    def joined(self, name: str, X: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
        """Rows of all processes: X as it is where it is, y and weights of all; ``name`` is what messages call X."""
        return X, y, sample_weight


ALONE = OneProcess()


class Ranks(OneProcess):
    """Those of ``torch.distributed``'s default group."""

    def __init__(self) -> None:
        self.rank = distributed.get_rank()
        self.size = distributed.get_world_size()
        self.device = torch.device("cuda" if distributed.get_backend() == "nccl" else "cpu")
        self.noise_seed = 0

    def draw_noise_from(self, seed: int) -> None:
        """Note the seed of what a module draws from torch's own generators, which differ from process to process."""
        self.noise_seed = seed

    def seed_noise(self, generators: Mapping[str, torch.Generator], epoch: int) -> None:
        """Seed the generators that are not those of the order of rows, by process and epoch: nothing else is stored."""
        seeds = np.random.SeedSequence([self.noise_seed, self.rank, epoch]).generate_state(len(generators))
        for (name, generator), seed in zip(generators.items(), seeds.tolist(), strict=True):
            if not name.startswith("order"):
                generator.manual_seed(seed)

    @contextmanager
    def together(self) -> Iterator[None]:
        """What fails on one process in the block, fails on all of them behind it."""
        try:
            yield
        except Exception as error:
            self.gathered(_told(error))
            raise
        for rank, said in enumerate(self.gathered("")):
            if said:
                raise ShiftDataError(f"Process {rank} of {self.size} stopped, and the others with it: {said}")

    def gathered(self, value: Found) -> list[Found]:
        """The values of all processes, in their order."""
        found: list[Any] = [None] * self.size
        distributed.all_gather_object(found, value)
        return found

    def of_first(self, make: Callable[[], Found]) -> Found:
        """What a function returns, or raises, on the first process; the others do not call it."""
        found: list[Any] = [None]
        with self.together():
            if self.is_first:
                found = [make()]
        distributed.broadcast_object_list(found, 0)
        return found[0]

    def add(self, values: torch.Tensor) -> torch.Tensor:
        """The sum of a tensor over the processes, in its place."""
        moved = values.to(self.device) if self.device.type == "cuda" else values
        distributed.all_reduce(moved)
        return values if moved is values else values.copy_(moved)

    def share_state(self, module: torch.nn.Module) -> None:
        """Give a module the parameters and buffers of the first process."""
        for value in module.state_dict().values():
            if torch.is_tensor(value):
                moved = value.detach().to(self.device) if self.device.type == "cuda" else value.detach()
                distributed.broadcast(moved, 0)
                if moved.device != value.device:
                    value.copy_(moved)

    def share_norms(self, norms: LayerNorms, n_rows: int) -> None:
        """Norms of the rows of all; of idle units the least share of a process, which bounds that of all."""
        own = [(float(norms.activations[name]), *map(float, norms.idle[name])) for name in norms.names]
        seen = [(n, values) for n, values in self.gathered((n_rows, own)) if n]
        total = sum(n for n, _ in seen)
        for k, name in enumerate(norms.names):
            norms.activations[name] = math.sqrt(sum(n * values[k][0] ** 2 for n, values in seen) / max(total, 1))
            dead, saturated = (min((values[k][place] for _, values in seen), default=0.0) for place in (1, 2))
            norms.idle[name] = dead, saturated

    def joined(self, name: str, X: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
        """Rows of all processes: X as it is where it is, y and weights of all.

        Raises
        ------
        ShiftDataError
            For rows of different shapes, labels of different kinds, and weights that some have and others have not.
        """
        n_rows = len(sample_weight) if sample_weight is not None else len(y)
        shape = row_shape(X)
        found = self.gathered((n_rows, shape, _kind(y), sample_weight is not None, _starts_of(X)))
        _check_alike(name, [one[1:4] for one in found])
        sizes = [one[0] for one in found]
        first = sum(sizes[: self.rank])
        places = torch.full((sum(sizes),), -1, dtype=torch.int64)
        places[first : first + n_rows] = torch.arange(n_rows)
        starts = _joint_starts([one[4] for one in found], sizes, shape)
        weight = None if sample_weight is None else np.concatenate(self.gathered(np.asarray(sample_weight)))
        return RankedRows(self, X, places, starts), _joint_targets(self.gathered(y)), weight


def row_shape(X: Any) -> tuple[Any, ...]:
    """Shape of a row, or the shapes of the parts of one."""
    if hasattr(X, "tensors"):
        return tuple(map(row_shape, X.tensors))
    return tuple(X.shape[1:])


def _told(error: Exception) -> str:
    return one_line(f"{type(error).__name__}: {error}")[:LONGEST_MESSAGE]


def _kind(y: Any) -> str:
    """Kind of numbers, text or things that y holds, and the shape of one."""
    kind = str(y.dtype) if isinstance(y, torch.Tensor) else y.dtype.kind
    return f"{'i' if kind == 'u' else kind} of shape {tuple(y.shape[1:])}"


def _joint_targets(parts: Sequence[Any]) -> Any:
    return torch.cat(list(parts)) if isinstance(parts[0], torch.Tensor) else np.concatenate(parts)


def _starts_of(X: Any) -> Any:
    """Rows of each block of stored rows, or the first row of each; None of rows in memory."""
    if not isinstance(X, StoredRows):
        return None
    storage = X.cache.storage
    return storage.starts if storage.regular is None else storage.regular


def _check_alike(name: str, found: list[tuple[Any, ...]]) -> None:
    """Raise ShiftDataError unless rows are alike on all processes."""
    for what, values in zip(
        (f"rows of {name} of shape", "y of kind", "sample_weight"), zip(*found, strict=True), strict=True
    ):
        if len(set(values)) > 1:
            said = "; ".join(f"process {rank}: {value}" for rank, value in enumerate(values[:10]))
            raise ShiftDataError(f"The processes have different {what} ({said}): pass rows of one kind on all of them.")


def _joint_starts(found: list[Any], sizes: list[int], row: tuple[int, ...]) -> NDArray[np.int64] | None:
    """First row of each block among the rows of all processes; None where these are in memory, or fit a window."""
    if any(one is None for one in found) or sum(sizes) <= window_rows(row):
        return None
    if all(isinstance(one, int) for one in found):
        return regular_starts(sum(sizes), found[0])
    firsts = np.cumsum([0, *sizes[:-1]])
    each = [regular_starts(size, one) if isinstance(one, int) else one for one, size in zip(found, sizes, strict=True)]
    return np.concatenate([starts + first for starts, first in zip(each, firsts, strict=True)])


def add_gradients(ranks: OneProcess, parameters: Sequence[torch.nn.Parameter]) -> None:
    """Add up the gradients of all processes, in one message for each type of numbers.

    A process without rows has none, and a parameter that no process has one of stays without.
    """
    for dtype in sorted({parameter.dtype for parameter in parameters}, key=str):
        own = [parameter for parameter in parameters if parameter.dtype == dtype]
        slopes = [torch.zeros_like(p) if p.grad is None else p.grad for p in own]
        known = torch.tensor([p.grad is not None for p in own], dtype=dtype, device=own[0].device)
        joint = ranks.add(torch.cat([known, *(slope.flatten() for slope in slopes)]))
        sizes = [len(own), *(slope.numel() for slope in slopes)]
        there, *parts = joint.split(sizes)
        for parameter, part, found in zip(own, parts, there.tolist(), strict=True):
            parameter.grad = part.view_as(parameter) if found else None


@dataclass
class Share:
    """What a process has of a batch.

    Parameters
    ----------
    places : Tensor of int64 of shape (n,)
        Of its rows in the batch.
    n_rows : int
        Of the batch.
    """

    places: torch.Tensor
    n_rows: int


class RankedRows:
    """Rows of all processes, of which this one has some.

    Parameters
    ----------
    ranks : Ranks
    local : Tensor, Inputs, SparseRows, StoredRows, ndarray or csr_array
        Those it has, and others perhaps.
    places : Tensor of int64 of shape (n_rows,)
        Of each row among the local ones, -1 for those of other processes.
    starts : ndarray of int64 or None
        Places at which blocks start, where rows are read by blocks.
    """

    def __init__(self, ranks: Ranks, local: Any, places: torch.Tensor, starts: NDArray[np.int64] | None) -> None:
        self.ranks = ranks
        self.local = local
        self.places = places
        self.starts = starts

    def __len__(self) -> int:
        return len(self.places)

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, then the shape of one."""
        return (len(self), *self.local.shape[1:])

    @property
    def dtype(self) -> Any:
        """Of the rows."""
        return self.local.dtype

    @property
    def device(self) -> torch.device:
        """Where the rows are."""
        return self.local.device

    @property
    def mine(self) -> torch.Tensor:
        """Whether this process has a row, bool of shape (n_rows,)."""
        return self.places >= 0

    def __getitem__(self, part: Any) -> Any:
        """Local rows for a slice; other rows, some of which are local, for an index of places or bools."""
        if isinstance(part, slice):
            return self.local[part]
        part = torch.as_tensor(part)
        index = torch.nonzero(part)[:, 0] if part.dtype == torch.bool else part.cpu()
        starts = None if self.starts is None else starts_among(self.starts, index.numpy())
        return RankedRows(self.ranks, self.local, self.places[index], starts)

    def own(self) -> Any:
        """The rows that this process has of these, in their order."""
        index = self.places[self.mine]
        n_local = self.local.shape[0] if hasattr(self.local, "shape") else len(self.local)
        if len(index) == n_local and bool((index.diff() == 1).all()):
            return self.local
        return self.local[index if isinstance(self.local, torch.Tensor) else index.numpy()]

    def changed(self, change: Callable[[Any], Any]) -> Self:
        """The same rows, of which the local ones went through a function."""
        places = torch.where(self.mine, self.mine.cumsum(0) - 1, -1)
        return type(self)(self.ranks, change(self.own()), places, self.starts)

    def to(self, device: torch.device) -> Self:
        """The same on a device."""
        return type(self)(self.ranks, self.local.to(device), self.places, self.starts)

    def index_select(self, dim: int, index: torch.Tensor) -> Any:
        """Local rows at an index of shape (n,)."""
        return self.local.index_select(0, self.places[index.cpu()].to(self.device))

    def split(self, sizes: Sequence[int], dim: int = 0) -> Any:
        """The rows that this process has, so many at a time; ``dim`` is 0."""
        return self.own().split(sizes)

    def filled(self, values: torch.Tensor, order: torch.Tensor | None = None) -> torch.Tensor:
        """Values (n, ...) of the rows of all processes, from those of the local ones; in an order, if given."""
        mine = self.mine if order is None else self.mine[order]
        # A process without a row does not know of what shape and type the values are.
        forms = self.ranks.gathered((tuple(values.shape[1:]), values.dtype) if len(values) else None)
        shape, dtype = next(form for form in forms if form is not None)
        joint = values.new_zeros((len(mine), *shape), dtype=dtype)
        if len(values):
            joint[mine.to(values.device)] = values
        return self.ranks.add(joint)
