"""
Which features do the weights balance?
======================================

Hollow before, full after weighting. A feature left beyond the line is one in which the weighted source still
differs from the target.
"""

import numpy as np

from shiftfix.covariate import LogisticWeighter
from shiftfix.display import BalanceDisplay
from shiftfix.simulate import gaussian_covariate_shift

moved = gaussian_covariate_shift(3000, 2000, mean_shift=np.array([0.8, -0.5, 0.3, 0.0]), random_state=0)
weighter = LogisticWeighter().fit(moved.X_source, moved.X_target)
display = BalanceDisplay.from_estimator(weighter, moved.X_source, moved.X_target)
