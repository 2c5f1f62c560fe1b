"""
Do the weights still act?
=========================

A network that learns its rows by heart forgets their weights. Early stopping on the weighted validation loss keeps
the epoch in which they act; the lower panel shows their pull, 1 in the untrained network.
"""

from shiftfix.covariate import LogisticWeighter
from shiftfix.display import LearningCurveDisplay
from shiftfix.mlp import MLPClassifier
from shiftfix.simulate import gaussian_covariate_shift

moved = gaussian_covariate_shift(1000, 500, n_features=5, conditional="logistic", random_state=0)
w = LogisticWeighter().fit_transform(moved.X_source, moved.X_target)
network = MLPClassifier(dropout=0.5, random_state=0).fit(moved.X_source, moved.y_source, sample_weight=w)
display = LearningCurveDisplay.from_estimator(network, weight_effect=True)
