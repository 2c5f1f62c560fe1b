"""Several inputs of one module, cut into rows as a single tensor is."""

from collections.abc import Callable, Sequence
from typing import Any, Self

import torch
from torch import nn

from shiftfix.mlp._training._ranks import RankedRows
from shiftfix.mlp._training._sparse_rows import SparseRows
from shiftfix.mlp._training._stored_rows import StoredRows


class Inputs:
    """The inputs of a module that takes several, with the methods of a tensor that cut and move rows.

    Parameters
    ----------
    tensors : sequence of Tensor
        With one entry per row each.
    names : sequence of str or None
        Arguments of the module's forward that they are; None passes them in their order.
    """

    def __init__(self, tensors: Sequence[torch.Tensor], names: Sequence[str] | None = None) -> None:
        self.tensors = tuple(tensors)
        self.names = None if names is None else tuple(names)

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Self:
        return type(self)([change(tensor) for tensor in self.tensors], self.names)

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, rows: Any) -> Self:
        rows = rows if isinstance(rows, slice) else torch.as_tensor(rows)
        return self._each(lambda tensor: tensor[rows])

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.tensors[0].device

    def numel(self) -> int:
        """Numbers in all tensors."""
        return sum(tensor.numel() for tensor in self.tensors)

    def to(self, device: torch.device) -> Self:
        """The same on a device."""
        return self._each(lambda tensor: tensor.to(device))

    def index_select(self, dim: int, index: torch.Tensor) -> Self:
        """The rows at an index."""
        return self._each(lambda tensor: tensor.index_select(dim, index))

    def split(self, sizes: int | list[int], dim: int = 0) -> list[Self]:
        """Cut into parts of these numbers of rows."""
        parts = zip(*(tensor.split(sizes, dim) for tensor in self.tensors), strict=True)
        return [type(self)(tensors, self.names) for tensors in parts]


RowsOfX = torch.Tensor | Inputs | SparseRows | StoredRows | RankedRows


def call_module(module: nn.Module, X: Any) -> Any:
    """Outputs of a module for one input, or for several, in order or by name."""
    if isinstance(X, torch.Tensor):
        return module(X)
    if X.names is None:
        return module(*X.tensors)
    return module(**dict(zip(X.names, X.tensors, strict=True)))


def tensors_of(X: RowsOfX) -> tuple[torch.Tensor, ...]:
    """The tensors of one input, of several, or of sparse or stored rows, which tell them from any others."""
    if isinstance(X, RankedRows):
        return tensors_of(X.own())
    if isinstance(X, SparseRows | StoredRows):
        return tuple(X.parts())
    if isinstance(X, Inputs):
        return tuple(part for tensor in X.tensors for part in tensors_of(tensor))
    return (X,)
