"""The network: linear layers, activations, dropout after every hidden layer."""

import torch
from torch import nn

from shiftfix.mlp._dropout import Dropout

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "identity": nn.Identity}


def linear_layer(n_in, n_out, gain, generator):
    """Linear layer with bias 0 and weights N(0, gain^2 / n_in), drawn from ``generator``.

    The variance of the pre-activations then equals gain^2 times the mean square of the inputs.
    """
    layer = nn.utils.skip_init(nn.Linear, n_in, n_out)
    with torch.no_grad():
        layer.weight.normal_(0.0, gain * n_in**-0.5, generator=generator)
        layer.bias.zero_()
    return layer


def build_mlp(n_features, hidden_layer_sizes, n_outputs, activation, dropout, init_generator, dropout_generator):
    """Multilayer perceptron as an ``nn.Sequential`` of linear, activation and dropout layers.

    Parameters
    ----------
    n_features, n_outputs : int
    hidden_layer_sizes : sequence of int
        May be empty: then the model is linear.
    activation : str
        A key of ``ACTIVATIONS``.
    dropout : float in [0, 1)
        Rate after every hidden layer; 0 leaves the dropout layers out.
    init_generator, dropout_generator : torch.Generator
        The first on the CPU, the second on the device the module will live on.

    Returns
    -------
    torch.nn.Sequential
        On the CPU, maps (n_rows, n_features) to (n_rows, n_outputs): logits or conditional means.

    References
    ----------
    He, Zhang, Ren & Sun (2015), ICCV, equation 10: gain sqrt(2) for ReLU, which halves the mean square.
    """
    gain = nn.init.calculate_gain("linear" if activation == "identity" else activation)
    layers: list[nn.Module] = []
    width = n_features
    for size in hidden_layer_sizes:
        layers += [linear_layer(width, size, gain, init_generator), ACTIVATIONS[activation]()]
        if dropout > 0:
            layers.append(Dropout(dropout, dropout_generator))
        width = size
    layers.append(linear_layer(width, n_outputs, 1.0, init_generator))
    return nn.Sequential(*layers)
