"""The network: noise and dropout on the input, then linear, batch norm, activation and dropout per hidden layer."""

import numbers

import torch
from torch import nn

from shiftfix.mlp._dropout import Dropout
from shiftfix.mlp._initializers import GAINS, initialize, linear_layer
from shiftfix.mlp._layers import BatchNorm, GaussianNoise, Linear

ACTIVATIONS = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "identity": nn.Identity,
}
# The layers that draw. Others are left alone: a module of a user's may call what it likes ``masks`` or ``generator``.
DRAWING = (Dropout, GaussianNoise, Linear)


def build_mlp(
    n_features,
    hidden_layer_sizes,
    n_outputs,
    activation,
    dropout,
    init_generators,
    dropout_generator,
    initializer="kaiming_normal",
    *,
    input_dropout=0.0,
    dropconnect=0.0,
    input_noise=0.0,
    batch_norm=False,
):
    """Multilayer perceptron as an ``nn.Sequential``, of one model or of several trained at once.

    Parameters
    ----------
    n_features, n_outputs : int
    hidden_layer_sizes : sequence of int
        May be empty: then the model is linear.
    activation : str
        A key of ``ACTIVATIONS``.
    dropout : float in [0, 1), or one per hidden layer
        Rate after every hidden layer; 0 leaves the dropout layer out.
    init_generators : torch.Generator or list of torch.Generator
        On the CPU. A list of K > 1 makes K models with a leading axis in all parameters and outputs; model k starts
        where a single model with the k-th generator would.
    dropout_generator : torch.Generator or None
        On the device the module will live on, for dropout, DropConnect and noise.
    initializer : str, float or callable, default="kaiming_normal"
        Of all weights; see ``shiftfix.mlp._initializers``. The output layer has gain 1.
    input_dropout : float in [0, 1), default=0
    dropconnect : float in [0, 1), default=0
        Rate at which the weights of all layers are dropped.
    input_noise : float, default=0
        Standard deviation of Gaussian noise on the inputs, in their units.
    batch_norm : bool, default=False
        Batch normalisation between each hidden linear layer and its activation; biases ahead of it stay at 0.

    Returns
    -------
    torch.nn.Sequential
        On the CPU, maps (n_rows, n_features) to (n_rows, n_outputs), or to (K, n_rows, n_outputs): logits or
        conditional means.
    """
    generators = init_generators if isinstance(init_generators, list) else [init_generators]
    rates = [float(dropout)] * len(hidden_layer_sizes) if isinstance(dropout, numbers.Real) else list(dropout)

    def linear(n_in, n_out, gain):
        if len(generators) == 1 and dropconnect == 0:
            return linear_layer(n_in, n_out, gain, generators[0], initializer)
        weights = torch.empty(len(generators), n_out, n_in)
        for weight, generator in zip(weights, generators, strict=True):
            initialize(weight, initializer, gain, generator)
        return Linear(weights if len(generators) > 1 else weights[0], dropconnect, dropout_generator)

    layers: list[nn.Module] = []
    if input_noise > 0:
        layers.append(GaussianNoise(input_noise, dropout_generator))
    if input_dropout > 0:
        layers.append(Dropout(input_dropout, dropout_generator))
    width = n_features
    for size, rate in zip(hidden_layer_sizes, rates, strict=True):
        layers.append(linear(width, size, GAINS[activation]))
        if batch_norm:
            # The mean that is taken off takes this bias off too. Its gradient is rounding noise, which adam would turn
            # into full steps, and the averages of the means would run after them.
            layers[-1].bias.requires_grad_(False)
            layers.append(BatchNorm(size, len(generators)))
        layers.append(ACTIVATIONS[activation]())
        if rate > 0:
            layers.append(Dropout(rate, dropout_generator))
        width = size
    layers.append(linear(width, n_outputs, 1.0))
    return nn.Sequential(*layers)


def forget_masks(module):
    """Drop the masks drawn ahead, so that from here on the generators' states alone decide."""
    for layer in module.modules():
        if isinstance(layer, Dropout | Linear):
            layer.reset()


def remove_generators(module):
    """Leave no generator, no drawn mask and no row weights in a module, so that a fitted one can be pickled and moved.

    It is left in evaluation mode: without its generators, its dropout would draw from torch's global one.
    """
    forget_masks(module)
    for layer in module.eval().modules():
        if isinstance(layer, DRAWING):
            layer.generator = None
        elif isinstance(layer, BatchNorm):
            layer.row_weight = None


def describe(module, input_shape):
    """Table of the layers of a module: name, kind, shape of the output, parameters.

    Parameters
    ----------
    module : torch.nn.Module
    input_shape : tuple of int
        Of one row.

    Returns
    -------
    str
        Modules without children, and those with parameters of their own beside their children's, in the order in which
        they return first, n for the number of rows; at the end those that are never called but have parameters. The
        last line has the total, in which a parameter that two layers share counts once.
    """
    layers = {
        name or "module": layer
        for name, layer in module.named_modules()
        if not list(layer.children()) or list(layer.parameters(recurse=False))
    }
    two, three = (_output_shapes(module, layers, (n_rows, *input_shape)) for n_rows in (2, 3))
    lines = [("layer", "kind", "output", "parameters")]
    for name in [*two, *(name for name in layers if name not in two)]:
        count = sum(p.numel() for p in layers[name].parameters(recurse=False))
        if name in two:
            # The axis of the rows is the one that grows with them: by several for a row where others were merged in.
            sizes = [(a, b - a) for a, b in zip(two[name], three[name], strict=True)]
            text = ", ".join(f"{growth if growth > 1 else ''}n" if growth else str(a) for a, growth in sizes)
            lines.append((name, type(layers[name]).__name__, f"({text})", f"{count:,}"))
        elif count:
            lines.append((name, type(layers[name]).__name__, "not called", f"{count:,}"))
    widths = [max(len(line[i]) for line in lines) for i in range(4)]
    rows = ["  ".join((*(line[i].ljust(widths[i]) for i in range(3)), line[3].rjust(widths[3]))) for line in lines]
    total = sum(p.numel() for p in module.parameters())
    return "\n".join([rows[0], "-" * len(rows[0]), *rows[1:], "-" * len(rows[0]), f"{total:,} parameters"])


@torch.no_grad()
def _output_shapes(module, layers, shape):
    """Shape of each layer's first output tensor, in the order of the calls, for zeros of this shape going in."""
    shapes: dict[str, tuple] = {}

    def note(name):
        def hook(_, __, output):
            while isinstance(output, tuple | list) and output:
                output = output[0]
            if isinstance(output, torch.Tensor):
                shapes.setdefault(name, tuple(output.shape))

        return hook

    handles = [layer.register_forward_hook(note(name)) for name, layer in layers.items()]
    first, modes = next(module.parameters(), torch.empty(0)), {part: part.training for part in module.modules()}
    rows = torch.zeros(shape, dtype=first.dtype, device=first.device)
    module.eval()
    try:
        try:
            module(rows)
        except RuntimeError:
            shapes.clear()
            module(rows.long())  # a layer that looks its rows up in a table takes whole numbers
    finally:
        for handle in handles:
            handle.remove()
        for part, training in modes.items():
            part.training = training
    return shapes
