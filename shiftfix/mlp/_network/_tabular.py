"""What the preset for tables adds to a network: embeddings of numbers, a scale per input, starts and rates by group.

With c_k, b_k, W and d learned for each number x of a row, it enters a network of numbers as x itself and as

    W cos(2 pi (c x + b)) + d,      c_k ~ N(0, DEVIATION^2), b_k ~ U(0, 1) at the start.

Each group of parameters moves at a rate of its own, times ``learning_rate``: weight matrices at 1 / sqrt(inputs), which
is under Adam what scaling their products by it would be, biases at a tenth, scales of inputs at six times, embeddings
at a tenth.

Sources: Holzmueller, Grinsztajn & Steinwart (2024), "Better by default: strong pre-tuned MLPs and boosted trees on
tabular data", NeurIPS, section 3 (the embedding with a bias inside the cosine and its linear term, the scales, the
rates); Gorishniy, Rubachev & Babenko (2022), "On embeddings for numerical features in tabular deep learning", NeurIPS,
section 3.3 (periodic embeddings).
"""

import math
from typing import Any

import torch
from torch import nn

from shiftfix.mlp._network._layers import mark_stacked

DEVIATION = 0.1
WAVES, PLACES = 8, 3
# Of the usual start of the last layer: the first outputs are near 0, and yet gradients reach the layers before.
LAST_START = 0.1
RATES = {"bias": 0.1, "scale": 6.0, "embedding": 0.1}


def mark_rate(parameter: Any, rate: float) -> None:
    """Note on a parameter at which multiple of the learning rate it moves."""
    parameter.rate = rate


def stacked_draws(generators: list[torch.Generator], shape: tuple[int, ...], draw: Any) -> torch.Tensor:
    """One draw per model along a leading axis, which a single model does without."""
    drawn = torch.stack([draw(torch.empty(shape, dtype=torch.float32), generator) for generator in generators])
    return drawn if len(generators) > 1 else drawn[0]


class PeriodicEmbedding(nn.Module):
    """The first columns of each row as themselves and as learned waves; the others as they are.

    Parameters
    ----------
    n_numbers : int
        Columns that are embedded.
    generators : list of torch.Generator
        Of the start, one per model.
    """

    def __init__(self, n_numbers: int, generators: list[torch.Generator]) -> None:
        super().__init__()
        bound = 1 / math.sqrt(WAVES)
        waves, mixing = (n_numbers, 1, WAVES), (n_numbers, WAVES, PLACES)
        self.n_numbers = n_numbers
        self.frequency = nn.Parameter(
            stacked_draws(generators, waves, lambda x, g: x.normal_(0, DEVIATION, generator=g))
        )
        self.phase = nn.Parameter(stacked_draws(generators, waves, lambda x, g: x.uniform_(0, 1, generator=g)))
        self.mixing = nn.Parameter(
            stacked_draws(generators, mixing, lambda x, g: x.uniform_(-bound, bound, generator=g))
        )
        self.offset = nn.Parameter(
            stacked_draws(generators, (n_numbers, 1, PLACES), lambda x, g: x.uniform_(-bound, bound, generator=g))
        )
        for parameter in self.parameters():
            mark_rate(parameter, RATES["embedding"])
        mark_stacked(self.parameters(), len(generators) > 1)

    @property
    def n_more(self) -> int:
        """Columns that the output has more than the input."""
        return self.n_numbers * PLACES

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Rows of shape (..., width) to (..., width + 3 n_numbers), with a leading axis for several models."""
        if x.ndim == 2 and self.frequency.ndim == 4:
            x = x.expand(len(self.frequency), *x.shape)
        # One product per number and model: a pass over the waves is what an embedding takes its time for.
        numbers = x[..., : self.n_numbers].mT.unsqueeze(-1)
        angles = torch.cat([numbers, torch.ones_like(numbers)], dim=-1)
        turns = (2 * math.pi) * torch.cat([self.frequency, self.phase], dim=-2)
        waves = torch.cos(angles.flatten(0, -3) @ turns.flatten(0, -3))
        placed = torch.baddbmm(self.offset.flatten(0, -3), waves, self.mixing.flatten(0, -3))
        placed = placed.view(*numbers.shape[:-1], PLACES).movedim(-2, -3)
        return torch.cat([x, placed.flatten(-2)], dim=-1)

    def extra_repr(self) -> str:
        """Text inside the module's repr."""
        return f"n_numbers={self.n_numbers}"


class InputScale(nn.Module):
    """A learned factor per input, 1 at the start.

    Parameters
    ----------
    width, n_models : int
    """

    def __init__(self, width: int, n_models: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones((n_models, 1, width) if n_models > 1 else (width,), dtype=torch.float32))
        mark_rate(self.scale, RATES["scale"])
        mark_stacked([self.scale], n_models > 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Rows of the same width, with a leading axis of the models if there is one."""
        return x * self.scale

    def extra_repr(self) -> str:
        """Text inside the module's repr."""
        return f"width={self.scale.shape[-1]}"


def prepare_linear(layer: Any, generators: list[torch.Generator], is_last: bool) -> None:
    """Give a linear layer the rates of its group, and its start: random biases; small weights in the last layer."""
    mark_rate(layer.weight, 1 / math.sqrt(layer.weight.shape[-1]))
    mark_rate(layer.bias, RATES["bias"])
    with torch.no_grad():
        if is_last:
            layer.weight.mul_(LAST_START)
        else:
            layer.bias.copy_(stacked_draws(generators, layer.bias.shape[-1:], lambda x, g: x.normal_(generator=g)))


def embedded_inputs(width: int, n_numbers: int, generators: list[torch.Generator]) -> list[nn.Module]:
    """The layers ahead of the first linear one."""
    embedding = [PeriodicEmbedding(n_numbers, generators)] if n_numbers else []
    return [*embedding, InputScale(width + n_numbers * PLACES, len(generators))]


def prepare_linear_layers(layers: list[nn.Module], generators: list[torch.Generator]) -> None:
    """:func:`prepare_linear` of all linear layers, from the first to the last."""
    for layer in layers:
        prepare_linear(layer, generators, layer is layers[-1])
