"""Whether all numbers of a column are whole, or rise: the first ones are asked ahead of all, and mostly tell."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

FIRST_ASKED = 1000


def are_all_whole(values: NDArray[np.float64]) -> bool:
    """Whether all numbers are finite and whole."""
    return _throughout(values, lambda part: np.isfinite(part) & (part == np.floor(part)))


def are_all_in_order(values: NDArray[np.float64]) -> bool:
    """Whether every number is above the one before, or every one below."""
    return _throughout(values, lambda part: np.diff(part) > 0) or _throughout(values, lambda part: np.diff(part) < 0)


def _throughout(values: NDArray[np.float64], test: Callable[[NDArray[np.float64]], NDArray[np.bool_]]) -> bool:
    return bool(test(values[:FIRST_ASKED]).all() and test(values).all())
