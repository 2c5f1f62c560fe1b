"""Rows that stay sparse: dense tensors of those that a batch asks for, and of no others."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from scipy import sparse


class SparseRows:
    """What ``Rows`` ask of a tensor of rows, from a sparse matrix.

    Parameters
    ----------
    matrix : csr_array of shape (n_rows, n_features)
        In canonical format.
    dense : callable
        Tensor on the CPU of some rows of the matrix.
    device : torch.device
        Of the tensors that come out.
    """

    def __init__(
        self,
        matrix: sparse.csr_array,
        dense: Callable[[Any], torch.Tensor],
        device: torch.device | str = "cpu",
    ) -> None:
        self.matrix = matrix
        self.dense = dense
        self.device = torch.device(device)

    def __len__(self) -> int:
        return int(self.matrix.shape[0])

    def __getitem__(self, part: slice) -> torch.Tensor:
        return self.dense(self.matrix[part]).to(self.device)

    def index_select(self, dim: int, index: torch.Tensor) -> torch.Tensor:
        """The rows at an index of shape (n,); ``dim`` is 0."""
        return self.dense(self.matrix[index.cpu().numpy()]).to(self.device)

    def split(self, sizes: Sequence[int], dim: int = 0) -> Iterator[torch.Tensor]:
        """All rows in order, so many at a time; ``dim`` is 0."""
        ends = np.cumsum(sizes).tolist()
        return (self[end - size : end] for size, end in zip(sizes, ends, strict=True))

    def to(self, device: torch.device) -> "SparseRows":
        """The same rows for another device."""
        return SparseRows(self.matrix, self.dense, device)

    def parts(self) -> list[torch.Tensor]:
        """The stored numbers and their places, which tell these rows from others; and what zeros come out as."""
        stored = (self.matrix.data, self.matrix.indices, self.matrix.indptr)
        blank = sparse.csr_array((1, self.matrix.shape[1]), dtype=self.matrix.dtype)
        return [*(torch.as_tensor(np.array(values)) for values in stored), self.dense(blank)]
