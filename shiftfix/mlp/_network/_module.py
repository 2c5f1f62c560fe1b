"""The network: noise and dropout on the input, then linear, batch norm, activation, noise, dropout per hidden layer."""

import contextlib
import math
import numbers
import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._layer_settings import layer_starts, per_layer
from shiftfix.mlp._network._activations import ACTIVATIONS, PReLU
from shiftfix.mlp._network._dropout import AlphaDropout, Dropout
from shiftfix.mlp._network._initializers import GAINS, initialize, linear_layer, matched_start
from shiftfix.mlp._network._layers import BatchNorm, GaussianNoise, Linear
from shiftfix.mlp._network._tabular import PLACES, embedded_inputs, prepare_linear_layers
from shiftfix.mlp._settings import Activation, Network, layer_sizes

# The layers that draw. Others are left alone: a module of a user's may call what it likes ``masks`` or ``generator``.
DRAWING = (Dropout, GaussianNoise, Linear)


def build_network(
    network: Network,
    n_features: int,
    n_outputs: int,
    start_seeds: Sequence[int],
    generator: torch.Generator | None = None,
    n_numbers: int = 0,
) -> nn.Sequential:
    """The untrained network of the settings, on the CPU: one model per seed of its start.

    ``generator`` is that of dropout, DropConnect and noise, on the device the network will live on; None is for a
    network that is not trained. ``n_numbers`` of the features, the first ones, are numbers that a preset embeds.
    """
    sizes = layer_sizes(network)
    check_memory([n_features, *sizes, n_outputs], len(start_seeds))
    return build_mlp(
        n_features,
        sizes,
        n_outputs,
        network.activation,
        network.dropout,
        [torch.Generator().manual_seed(seed) for seed in start_seeds],
        generator,
        network.initializer,
        input_dropout=network.input_dropout,
        dropconnect=network.dropconnect,
        input_noise=network.input_noise,
        hidden_noise=network.hidden_noise,
        batch_norm=network.batch_norm,
        n_numbers=None if network.preset is None else n_numbers,
    )


def memory_limit() -> float:
    """Bytes of this machine, or of the container it is; infinity where the system does not tell."""
    limits = [math.inf]
    with contextlib.suppress(AttributeError, ValueError, OSError):  # Windows has no sysconf
        limits.append(float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES"))
    with contextlib.suppress(ValueError, OSError):  # "max" is no limit
        limits.append(float(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return min(limits)


def check_memory(widths: Sequence[int], n_models: int) -> None:
    """Raise ShiftDataError for weights that this machine cannot hold: the system would end the process instead."""
    size = 4 * n_models * sum(n_in * n_out for n_in, n_out in pairwise(widths))
    if size > memory_limit():
        raise ShiftDataError(
            f"hidden_layer_sizes={tuple(widths[1:-1])} for {widths[0]} features and n_models={n_models} make "
            f"{size / 1e9:.3g} GB of weights, more than the memory of this machine: take fewer units or models."
        )


def build_mlp(
    n_features: int,
    hidden_layer_sizes: Sequence[int],
    n_outputs: int,
    activation: Activation | Sequence[Activation],
    dropout: float | Sequence[float],
    init_generators: torch.Generator | list[torch.Generator],
    dropout_generator: torch.Generator | None,
    initializer: Any = "auto",
    *,
    input_dropout: float = 0.0,
    dropconnect: float = 0.0,
    input_noise: float = 0.0,
    hidden_noise: float | Sequence[float] = 0.0,
    batch_norm: bool = False,
    n_numbers: int | None = None,
) -> nn.Sequential:
    """Multilayer perceptron as an ``nn.Sequential``, of one model or of several trained at once.

    Parameters
    ----------
    n_features, n_outputs : int
    hidden_layer_sizes : sequence of int
        May be empty: then the model is linear.
    activation : str, or one per hidden layer
        A key of ``ACTIVATIONS``.
    dropout : float in [0, 1), or one per hidden layer
        Rate after every hidden layer; 0 leaves the dropout layer out. See :func:`dropout_behind` for its kind.
    init_generators : torch.Generator or list of torch.Generator
        On the CPU. A list of K > 1 makes K models with a leading axis in all parameters and outputs; model k starts
        where a single model with the k-th generator would.
    dropout_generator : torch.Generator or None
        On the device the module will live on, for dropout, DropConnect and noise.
    initializer : str, float or callable, or one per hidden layer, default="auto"
        Of all weights; a list may have one more, for the output layer, which takes the last one otherwise. See
        ``shiftfix.mlp._network._initializers``. The output layer has gain 1.
    input_dropout : float in [0, 1), default=0
    dropconnect : float in [0, 1), default=0
        Rate at which the weights of all layers are dropped.
    input_noise : float, default=0
        Standard deviation of Gaussian noise on the inputs, in their units.
    hidden_noise : float, or one per hidden layer, default=0
        The same on the outputs of the hidden layers, behind the activation and ahead of the dropout.
    batch_norm : bool, default=False
        Batch normalisation between each hidden linear layer and its activation; biases ahead of it stay at 0.
    n_numbers : int or None, default=None
        With a number the first so many features are embedded, all inputs scaled, and the layers started and moved as
        ``shiftfix.mlp._network._tabular`` says.

    Returns
    -------
    torch.nn.Sequential
        On the CPU, maps (n_rows, n_features) to (n_rows, n_outputs), or to (K, n_rows, n_outputs): logits or
        conditional means.
    """
    generators = init_generators if isinstance(init_generators, list) else [init_generators]
    n_models, n_layers = len(generators), len(hidden_layer_sizes)
    settings = Network(hidden_layer_sizes=hidden_layer_sizes, activation=activation, initializer=initializer)
    starts, followers = layer_starts(settings), [*per_layer(activation, n_layers), "identity"]
    embedding = [] if n_numbers is None else embedded_inputs(n_features, n_numbers, generators)
    widths = [n_features + (n_numbers or 0) * PLACES, *hidden_layer_sizes, n_outputs]
    linear = [
        make_linear(n_in, n_out, GAINS[name], matched_start(start, name), generators, dropconnect, dropout_generator)
        for (n_in, n_out), start, name in zip(pairwise(widths), starts, followers, strict=True)
    ]
    if n_numbers is not None:
        prepare_linear_layers(linear, generators)
    layers: list[nn.Module] = []
    if input_noise > 0:
        layers.append(GaussianNoise(input_noise, dropout_generator))
    if input_dropout > 0:
        layers.append(Dropout(input_dropout, dropout_generator))
    layers += embedding
    rates, deviations = rates_of(dropout, n_layers), rates_of(hidden_noise, n_layers)
    parts = zip(linear[:-1], hidden_layer_sizes, followers[:-1], rates, deviations, strict=True)
    for layer, width, name, rate, deviation in parts:
        layers.append(layer)
        if batch_norm:
            layers.append(normalize_after(layer, width, n_models))
        layers.append(make_activation(name, width, n_models))
        if deviation > 0:
            layers.append(GaussianNoise(deviation, dropout_generator))
        if rate > 0:
            layers.append(dropout_behind(name, n_numbers is not None)(rate, dropout_generator))
    return nn.Sequential(*layers, linear[-1])


def make_linear(
    n_in: int,
    n_out: int,
    gain: float,
    initializer: Any,
    generators: list[torch.Generator],
    dropconnect: float,
    dropout_generator: torch.Generator | None,
) -> nn.Module:
    """A linear layer of as many models as there are generators of their starts."""
    if len(generators) == 1 and dropconnect == 0:
        return linear_layer(n_in, n_out, gain, generators[0], initializer)
    weights = torch.empty(len(generators), n_out, n_in, dtype=torch.float32)
    for weight, generator in zip(weights, generators, strict=True):
        initialize(weight, initializer, gain, generator)
    return Linear(weights if len(generators) > 1 else weights[0], dropconnect, dropout_generator)


def make_activation(name: Activation, width: int, n_models: int) -> nn.Module:
    """The layer of an activation for so many units of so many models."""
    return PReLU(width, n_models) if name == "prelu" else ACTIVATIONS[name]()


def dropout_behind(name: Activation, of_preset: bool) -> type[Dropout]:
    """The dropout that goes with an activation.

    With the starts and the rates of the preset for tables, units behind "selu" do not keep mean 0 and variance 1 in any
    case, and ordinary dropout does better: log loss and error were lower by 3% and 8% over seven tables.
    """
    return AlphaDropout if name == "selu" and not of_preset else Dropout


def rates_of(dropout: Any, n_layers: int) -> list[float]:
    """One dropout rate per hidden layer, from a rate or from as many as there are."""
    return [float(dropout)] * n_layers if isinstance(dropout, numbers.Real) else [float(rate) for rate in dropout]


def normalize_after(linear: nn.Module, width: int, n_models: int) -> BatchNorm:
    """Batch norm behind a linear layer, whose bias is frozen.

    The mean that is taken off takes this bias off too. Its gradient is rounding noise, which adam would turn into full
    steps, and the averages of the means would run after them.
    """
    linear.bias.requires_grad_(False)
    return BatchNorm(width, n_models)


def forget_masks(module: nn.Module) -> None:
    """Drop the masks drawn ahead, so that from here on the generators' states alone decide."""
    for layer in module.modules():
        if isinstance(layer, Dropout | Linear):
            layer.reset()


def remove_generators(module: nn.Module) -> None:
    """Leave no generator, no drawn mask and no row weights in a module, so that a fitted one can be pickled and moved.

    It is left in evaluation mode: without its generators, its dropout would draw from torch's global one.
    """
    forget_masks(module)
    for layer in module.eval().modules():
        if isinstance(layer, DRAWING):
            layer.generator = None
        elif isinstance(layer, BatchNorm):
            layer.row_weight = None
