"""Intervals of a mean that hold at all times: labels may be looked at as they come, and collected until they suffice.

For values in [0, 1] the wealth of a gambler who bets against the mean m is a martingale if m is right,

    W_t(m) = prod_{i <= t} (1 + l_i (X_i - m)),    l_i known before X_i,

so that by Ville's inequality it ever reaches 2 / alpha with probability alpha / 2 at most. The interval holds the m
against which neither the gambler who bets on larger values nor the one who bets on smaller ones has come so far.
Source: Waudby-Smith & Ramdas (2024), J. R. Statist. Soc. B 86(1):1-27, theorem 3 and equation 26.
"""

import numpy as np

from shiftfix._blocks import row_blocks
from shiftfix._numerics import Floats

# Means tried: an interval is wider than it must be by two steps of the grid at most.
GRID = 1001
# Share of the largest bet that cannot ruin.
BOLDEST = 0.5


def bets(values: Floats, alpha: float) -> Floats:
    """Size of the bet on each value from those before it, shape (n_values,).

    Parameters
    ----------
    values : ndarray of shape (n_values,)
        In [0, 1], in the order in which they came.
    alpha : float
        1 less the level.
    """
    t = np.arange(1, len(values) + 1)
    mean = (0.5 + np.cumsum(values)) / (t + 1)
    variance = (0.25 + np.cumsum(np.square(values - mean))) / (t + 1)
    before = np.append(0.25, variance[:-1])
    return np.sqrt(2 * np.log(2 / alpha) / (before * t * np.log(t + 1)))


def anytime_interval(values: Floats, level: float = 0.95, low: float = 0.0, high: float = 1.0) -> tuple[float, float]:
    """Interval of the mean of bounded values, valid whenever one stops to look.

    Parameters
    ----------
    values : ndarray of shape (n_values,)
        In the order in which they came; independent, of one mean.
    level : float, default=0.95
        Of all intervals that are ever looked at together.
    low, high : float, default=0 and 1
        Bounds of the values.

    Returns
    -------
    (float, float)
        The intersection of the intervals up to now.
    """
    unit, alpha = (values - low) / (high - low), 1 - level
    means = np.linspace(0, 1, GRID)
    sizes = bets(unit, alpha)
    possible = np.ones(GRID, dtype=bool)
    wealth = np.zeros((2, GRID))
    with np.errstate(divide="ignore"):
        largest = BOLDEST / means, BOLDEST / (1 - means)
    for rows in row_blocks(len(unit), GRID):
        gain, size = unit[rows, np.newaxis] - means, sizes[rows, np.newaxis]
        for side, sign in enumerate((1, -1)):
            path = wealth[side] + np.cumsum(np.log1p(sign * np.minimum(size, largest[side]) * gain), axis=0)
            possible &= (path < np.log(2 / alpha)).all(axis=0)
            wealth[side] = path[-1]
    kept = np.flatnonzero(possible)
    if not kept.size:
        middle = float(unit.mean())
        kept = np.array([round(middle * (GRID - 1))])
    first, last = means[max(kept[0] - 1, 0)], means[min(kept[-1] + 1, GRID - 1)]
    return float(low + (high - low) * first), float(low + (high - low) * last)
