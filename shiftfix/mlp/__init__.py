"""Weighted training of dropout-regularised multilayer perceptrons on PyTorch.

==================  =============================================================================
``MLPClassifier``   class probabilities; weighted cross entropy
``MLPRegressor``    conditional means; weighted squared error
==================  =============================================================================

This folder knows only ``sample_weight``, never where the weights came from.
"""

from shiftfix.mlp._estimators import MLPClassifier, MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
