"""The network: its layers, their start, the noise in them, and how it is read.

=======================  ==================================================================================
``build_network``        the untrained network of the settings; ``warn_of_symmetry``: of units that start alike
``forget_masks``         let the generators' states alone decide from here on
``remove_generators``    make a trained network fit to be pickled and moved
``Dropout`` ...          the layers that draw, and weighted ``BatchNorm``
``monte_carlo_outputs``  forward passes with the masks on; ``is_random``: whether a layer has any
``describe``             table of the layers as text
=======================  ==================================================================================
"""

from shiftfix.mlp._network._dropout import SELU_FLOOR, Dropout
from shiftfix.mlp._network._initializers import warn_of_symmetry
from shiftfix.mlp._network._layers import BatchNorm, GaussianNoise, Linear
from shiftfix.mlp._network._module import build_network, forget_masks, remove_generators
from shiftfix.mlp._network._monte_carlo import is_random, monte_carlo_outputs
from shiftfix.mlp._network._summary import describe

__all__ = [
    "SELU_FLOOR",
    "BatchNorm",
    "Dropout",
    "GaussianNoise",
    "Linear",
    "build_network",
    "describe",
    "forget_masks",
    "is_random",
    "monte_carlo_outputs",
    "remove_generators",
    "warn_of_symmetry",
]
