"""Mini-batches cut from tensors in memory: no loader, no worker, no copy of the data."""

import torch


def epoch_batches(n_rows, batch_size, generator):
    """Yield the row indices of one shuffled epoch; every row comes exactly once.

    Parameters
    ----------
    n_rows, batch_size : int
    generator : torch.Generator
        On the CPU: the order of rows is then the same on every device.

    Yields
    ------
    Tensor of int64 of shape (batch_size,)
        The last one may be shorter.
    """
    yield from torch.randperm(n_rows, generator=generator).split(batch_size)
