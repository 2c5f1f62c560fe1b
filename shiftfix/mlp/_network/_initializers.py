"""Starting values of the weights of linear layers, drawn from a private generator.

With n_in inputs, n_out outputs and g the gain of the activation that follows (so that the mean square of the signal
stays what it is), the standard deviations of the weights are

===================  ==================================  =================================================
``normal``           0.01
``uniform``          1 / sqrt(3 n_in)                    uniform within +-1 / sqrt(n_in)
``xavier_*``         sqrt(2 / (n_in + n_out))            Glorot & Bengio (2010), AISTATS, equation 16
``kaiming_*``        g / sqrt(n_in)                      He, Zhang, Ren & Sun (2015), ICCV, equation 10
===================  ==================================  =================================================

Biases start at 0. ``zeros``, ``ones`` and any other constant make the units of a layer alike, and alike they stay:
equal units get equal gradients, so that a layer of many is worth one, unless dropout tells them apart.
"""

import math
import numbers
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from shiftfix._verdict import tell
from shiftfix.exceptions import SymmetricUnitsWarning
from shiftfix.mlp._settings import Network, layer_sizes

# Of a unit normal input: 1 / sqrt(E f(z)^2). That of tanh is the customary 5/3.
GAINS = {
    "relu": math.sqrt(2),
    "leaky_relu": math.sqrt(2 / (1 + 0.01**2)),
    "gelu": 1.533531,
    "tanh": 5 / 3,
    "sigmoid": 1.0,
    "identity": 1.0,
    "selu": 1.0,
}
CONSTANTS: dict[str, float] = {"zeros": 0.0, "ones": 1.0}
# Standard deviations of the weights, from n_in, n_out and the gain.
RANDOM: dict[str, Callable[[int, int, float], float]] = {
    "normal": lambda n_in, n_out, gain: 0.01,
    "uniform": lambda n_in, n_out, gain: 1 / math.sqrt(3 * n_in),
    "xavier_normal": lambda n_in, n_out, gain: math.sqrt(2 / (n_in + n_out)),
    "xavier_uniform": lambda n_in, n_out, gain: math.sqrt(2 / (n_in + n_out)),
    "kaiming_normal": lambda n_in, n_out, gain: gain / math.sqrt(n_in),
    "kaiming_uniform": lambda n_in, n_out, gain: gain / math.sqrt(n_in),
}


def is_constant(initializer: object) -> bool:
    """Whether all weights of a layer start at one value."""
    return isinstance(initializer, numbers.Real) or (isinstance(initializer, str) and initializer in CONSTANTS)


def warn_of_symmetry(network: Network) -> None:
    """Warn when the units of a hidden layer start alike and nothing will tell them apart."""
    if not (is_constant(network.initializer) and len(layer_sizes(network))):
        return
    # With weights of 0 and f(0) = 0 no gradient reaches any weight, dropout or not.
    dead = network.initializer in ("zeros", 0) and network.activation != "sigmoid"
    if dead or not (np.any(network.dropout) or network.dropconnect):
        stay = "get no gradient" if dead else "stay equal for ever, so that a layer of many is worth one"
        tell(
            SymmetricUnitsWarning(
                f"initializer={network.initializer!r} starts all units of a hidden layer alike, and they {stay}: take "
                'a random one, such as "kaiming_normal".'
            )
        )


def initialize(weight: torch.Tensor, initializer: Any, gain: float, generator: torch.Generator) -> None:
    """Fill a weight matrix in place.

    Parameters
    ----------
    weight : torch.Tensor of shape (n_out, n_in)
    initializer : str, float or callable
        A name of the table above, a value for all weights, or ``initializer(weight, generator)``, which fills it.
    gain : float
        Of the activation that follows; 1 for none. Of use to ``kaiming_*`` only.
    generator : torch.Generator
    """
    n_out, n_in = weight.shape
    with torch.no_grad():
        if callable(initializer):
            initializer(weight, generator)
        elif is_constant(initializer):
            weight.fill_(CONSTANTS[initializer] if isinstance(initializer, str) else float(initializer))
        else:
            deviation = RANDOM[initializer](n_in, n_out, gain)
            if initializer.endswith("normal"):
                weight.normal_(0.0, deviation, generator=generator)
            else:
                bound = math.sqrt(3) * deviation
                weight.uniform_(-bound, bound, generator=generator)


def linear_layer(
    n_in: int, n_out: int, gain: float, generator: torch.Generator, initializer: Any = "kaiming_normal"
) -> nn.Linear:
    """Linear layer with bias 0 and weights drawn from ``generator``; see :func:`initialize`."""
    layer = nn.Linear(n_in, n_out, device="meta")  # draws nothing
    layer.weight = nn.Parameter(torch.empty(n_out, n_in, dtype=torch.float32))
    layer.bias = nn.Parameter(torch.zeros(n_out, dtype=torch.float32))
    initialize(layer.weight, initializer, gain, generator)
    return layer
