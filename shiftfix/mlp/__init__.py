"""Weighted training of dropout-regularised multilayer perceptrons, and of any torch module.

===================  =============================================================================
``MLPClassifier``    class probabilities; weighted cross entropy
``MLPRegressor``     conditional means; weighted squared error
``WeightedTrainer``  a torch module of your own, trained by the same loop
``weighted_loss``    the objective, for a loop of your own
===================  =============================================================================

This folder knows only ``sample_weight``, never where the weights came from.
"""

from shiftfix.mlp._estimators import MLPClassifier, MLPRegressor
from shiftfix.mlp._row_weights import weighted_loss
from shiftfix.mlp._trainer import WeightedTrainer

__all__ = ["MLPClassifier", "MLPRegressor", "WeightedTrainer", "weighted_loss"]
