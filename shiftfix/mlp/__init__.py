"""Weighted training of dropout-regularised multilayer perceptrons, and of any torch module.

===================  =============================================================================
``MLPClassifier``    class probabilities; weighted cross entropy
``MLPRegressor``     conditional means; weighted squared error
``WeightedTrainer``  a torch module of your own, trained by the same loop
``ParquetRows``      rows in Parquet files, for a training beyond memory
``weighted_loss``    the objective, for a loop of your own
``polynomial_tail``  losses per row whose settings ``functools.partial`` binds, such as
``huber``            ``loss=partial(huber, delta=0.5)``; the others go by their names
``smooth_l1``
===================  =============================================================================

This folder knows only ``sample_weight``, never where the weights came from.
"""

from shiftfix.mlp._classifier import MLPClassifier
from shiftfix.mlp._networks import load_network as load_network
from shiftfix.mlp._regressor import MLPRegressor
from shiftfix.mlp._storage import ParquetRows
from shiftfix.mlp._trainer import WeightedTrainer
from shiftfix.mlp._training import huber, polynomial_tail, smooth_l1, weighted_loss

__all__ = [
    "MLPClassifier",
    "MLPRegressor",
    "ParquetRows",
    "WeightedTrainer",
    "huber",
    "polynomial_tail",
    "smooth_l1",
    "weighted_loss",
]
