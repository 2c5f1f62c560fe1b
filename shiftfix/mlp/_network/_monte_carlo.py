"""Monte-Carlo dropout: repeated forward passes with the masks on, batch norm and input noise off.

Source: Gal & Ghahramani (2016), "Dropout as a Bayesian approximation", ICML: the predictive distribution is
approximated by passes whose masks are drawn as in training.
"""

import copy
from collections.abc import Callable
from typing import TypeGuard

import torch

from shiftfix.mlp._network._dropout import Dropout
from shiftfix.mlp._network._layers import Linear


def is_random(layer: torch.nn.Module) -> TypeGuard[Dropout | Linear]:
    """Whether a layer drops units or weights, at a rate above 0."""
    return isinstance(layer, Dropout | Linear) and layer.masks.active


def monte_carlo_outputs(
    module: torch.nn.Sequential, n_samples: int, generator: torch.Generator
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Function from rows to sampled outputs.

    Everything before the first random layer is the same in all samples and computed once, which for a wide input is
    most of the work.

    Parameters
    ----------
    module : torch.nn.Sequential
        On the CPU, with at least one random layer; it is copied.
    n_samples : int
    generator : torch.Generator

    Returns
    -------
    callable
        Of a tensor (n_rows, n_features) or (n_models, n_rows, n_features), it returns (n_samples, n_rows, n_outputs),
        or (n_samples, n_models, n_rows, n_outputs). Masks differ between samples, rows and models; DropConnect's are
        shared by the rows of a call.
    """
    layers = list(copy.deepcopy(module).eval())
    first = next(i for i, layer in enumerate(layers) if is_random(layer))
    for layer in layers:
        if is_random(layer):
            layer.generator = generator
            layer.train()
    common, rest = torch.nn.Sequential(*layers[:first]), layers[first:]

    @torch.no_grad()
    def sample(X: torch.Tensor) -> torch.Tensor:
        shared = common(X)
        samples = []
        for _ in range(n_samples):
            outputs = shared
            for layer in rest:
                outputs = layer(outputs)
            samples.append(outputs)
        return torch.stack(samples)

    return sample
