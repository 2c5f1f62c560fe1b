"""Losses of a model, row by row.

====================  =====================================================================
``row_losses``        the loss a fitted model is commonly judged by: log, 0-1 or squared
``log_losses``        negative log of the probability of the label
``zero_one_losses``   1 where the label is wrong
``squared_losses``    squared error
``absolute_losses``   absolute error
``pinball_losses``    pinball loss of a predicted quantile
====================  =====================================================================
"""

from shiftfix.risk._losses import LEAST_PROBABILITY as LEAST_PROBABILITY  # for ``corrected``
from shiftfix.risk._losses import (
    absolute_losses,
    log_losses,
    pinball_losses,
    row_losses,
    squared_losses,
    zero_one_losses,
)

__all__ = [
    "absolute_losses",
    "log_losses",
    "pinball_losses",
    "row_losses",
    "squared_losses",
    "zero_one_losses",
]
