"""Layers that torch lacks: linear layers of many models at once, DropConnect, weighted batch norm, private noise.

Shapes: K models trained at once carry a leading axis, (K, n_rows, width) and weights (K, n_out, n_in); one model has
(n_rows, width) and (n_out, n_in). Rows without the leading axis are fed to every model alike.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from shiftfix.mlp._network._dropout import Masks


def mark_stacked(parameters: Iterable[Any], stacked: bool) -> None:
    """Note on parameters whether their first axis is that of the models; LARS and clipping treat models apart."""
    for parameter in parameters:
        parameter.stacked = stacked


class Linear(nn.Module):
    """x W' + b, for one model or K at once, with DropConnect while training.

    Parameters
    ----------
    weight : Tensor of shape (n_out, n_in) or (n_models, n_out, n_in)
    drop_rate : float in [0, 1), default=0
        DropConnect: each weight is zeroed with this probability and the rest are scaled by 1 / (1 - rate), so that
        the expectation of the outputs is unchanged. One mask serves all rows of a step (the source draws one per
        row, which would cost a weight matrix per row); biases are kept.
    generator : torch.Generator or None

    References
    ----------
    Wan, Zeiler, Zhang, LeCun & Fergus (2013), "Regularization of neural networks using DropConnect", ICML.
    """

    def __init__(self, weight: torch.Tensor, drop_rate: float = 0.0, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(weight.shape[:-1], dtype=weight.dtype))
        mark_stacked((self.weight, self.bias), weight.ndim == 3)
        self.drop_rate = drop_rate
        self.generator = generator
        self.masks = Masks(drop_rate)

    def reset(self) -> None:
        """Forget the masks drawn ahead."""
        self.masks.reset()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs of shape (n_rows, n_out), or (n_models, n_rows, n_out)."""
        weight: torch.Tensor = self.weight
        if self.training and self.masks.active:
            weight = weight * self.masks.take(weight, self.generator)
        if weight.ndim == 2:
            return functional.linear(x, weight, self.bias)
        if x.ndim == 2:
            return torch.matmul(x, weight.mT) + self.bias.unsqueeze(1)
        return torch.baddbmm(self.bias.unsqueeze(1), x, weight.mT)

    def extra_repr(self) -> str:
        """Text inside the module's repr."""
        return f"shape={tuple(self.weight.shape)}, drop_rate={self.drop_rate}"


class BatchNorm(nn.Module):
    """Batch normalisation whose means and variances are those of the WEIGHTED batch.

    (x - m) / sqrt(v + eps) * gain + shift, with m = sum(w x) / sum(w) and v = sum(w (x - m)^2) / sum(w) over the rows
    of the batch while training, and averages over the batches so far otherwise. A row of weight 3 counts as three
    rows: without weights in it the layer would standardise to the source while the loss speaks of the target.

    Batch i of t enters these averages with weight (1 - momentum)^(t - i) sum(w). So the short last batch of an epoch
    counts as the few rows it has: counted as a full one, a single row, of variance 0, at the end of each epoch would
    halve the variance. And they are averages of what was seen, from the first batch on: started at 0 and 1, as is
    usual, they would still be 12 % of the way from there after 20 steps. Variances are divided by n and not by n - 1.

    Parameters
    ----------
    width : int
    n_models : int, default=1
    momentum : float, default=0.1
        At which the running averages forget.
    eps : float, default=1e-5

    Attributes
    ----------
    row_weight : Tensor of shape (n_rows,) or (n_models, n_rows), or None
        Set before each training step; only ratios matter, over the batches too. None counts every row once.

    References
    ----------
    Ioffe & Szegedy (2015), "Batch normalization", ICML, algorithm 1.
    """

    running_mean: torch.Tensor
    running_variance: torch.Tensor
    running_total: torch.Tensor

    def __init__(self, width: int, n_models: int = 1, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        shape = (width,) if n_models == 1 else (n_models, 1, width)
        self.gain = nn.Parameter(torch.ones((width,) if n_models == 1 else (n_models, width), dtype=torch.float32))
        self.shift = nn.Parameter(torch.zeros_like(self.gain))
        mark_stacked((self.gain, self.shift), n_models > 1)
        self.register_buffer("running_mean", torch.zeros(shape, dtype=torch.float32))
        self.register_buffer("running_variance", torch.ones(shape, dtype=torch.float32))
        total = torch.zeros((1,) if n_models == 1 else (n_models, 1, 1), dtype=torch.float32)
        self.register_buffer("running_total", total)
        self.momentum = momentum
        self.eps = eps
        self.row_weight: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape as ``x``."""
        if not self.training:
            mean, variance = self.running_mean, self.running_variance
        else:
            weight = x.new_ones(x.shape[:-1]) if self.row_weight is None else self.row_weight.to(x.dtype)
            # Weights may all be 0 in this precision: the batch then has no say, where 0 / 0 would stay in the averages.
            total = weight.sum(dim=-1, keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny)
            share = (weight / total).unsqueeze(-2)
            mean = share @ x
            variance = share @ (x - mean).square()
            if x.ndim == 2:
                mean, variance = mean[0], variance[0]
            else:
                total = total.unsqueeze(-1)
            self._average(mean, variance, total)
        gain, shift = (p if p.ndim == 1 else p.unsqueeze(1) for p in (self.gain, self.shift))
        return (x - mean) * torch.rsqrt(variance + self.eps) * gain + shift

    @torch.no_grad()
    def _average(self, mean: torch.Tensor, variance: torch.Tensor, total: torch.Tensor) -> None:
        """Take a batch with this sum of weights into the running averages."""
        dtype = self.running_total.dtype
        total = total.to(dtype)
        self.running_total.lerp_(total, self.momentum)
        share = self.momentum * total / self.running_total
        self.running_mean.lerp_(mean.to(dtype), share)
        self.running_variance.lerp_(variance.to(dtype), share)

    def extra_repr(self) -> str:
        """Text inside the module's repr."""
        return f"width={self.gain.shape[-1]}"


class GaussianNoise(nn.Module):
    """Add N(0, deviation^2) to every entry while training.

    For squared error and small deviations this is Tikhonov regularisation (Bishop 1995, Neural Computation 7:108-116).

    Parameters
    ----------
    deviation : float
        In units of the input.
    generator : torch.Generator or None

    Attributes
    ----------
    share : Share or None
        As of :class:`Dropout`.
    """

    def __init__(self, deviation: float, generator: torch.Generator | None) -> None:
        super().__init__()
        self.deviation = deviation
        self.generator = generator
        self.share: Any = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape as ``x``."""
        if not self.training:
            return x
        if self.share is None:
            return x + torch.empty_like(x).normal_(0.0, self.deviation, generator=self.generator)
        whole = x.new_empty((self.share.n_rows, *x.shape[1:])).normal_(0.0, self.deviation, generator=self.generator)
        return x + whole.index_select(0, self.share.places)

    def extra_repr(self) -> str:
        """Text inside the module's repr."""
        return f"deviation={self.deviation}"
