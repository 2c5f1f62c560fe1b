"""The four scenarios: which of the rows a model is trained on, with which weights; the rows to test on never change.

A scenario takes the rows X, y and a generator, and gives the positions of those kept and their weights, or None.
"""

import numpy as np
from scipy.special import expit

from tests.benchmarks.natural.controls import direction, normal_ranks

# Log odds of being kept: per standard deviation of a direction or of the values, and from the first class to the last.
TILT, LABEL_TILT, CLASS_SPAN = 1.5, 1.0, 2.0
# Rows of a class that are kept whatever the odds, as no learner takes a class of none.
FEWEST_OF_A_CLASS = 3


def unweighted(X, y, classify, rng):
    return np.arange(len(X)), None


def exponential(X, y, classify, rng):
    """Weights that say nothing: a loss against ``unweighted`` is the price of weights as such (half of the rows)."""
    return np.arange(len(X)), rng.exponential(size=len(X))


def tilted(X, y, classify, rng):
    """Rows kept by where they lie along a random direction; the weight is 1 / probability of being kept."""
    odds = TILT * normal_ranks(direction(X, rng), rng)
    return kept(expit(odds), y, classify, rng)


def label_shift(X, y, classify, rng):
    """Rows kept by their class, or by the rank of their value."""
    if not classify:
        return kept(expit(LABEL_TILT * normal_ranks(y, rng)), y, classify, rng)
    ends = np.linspace(-CLASS_SPAN / 2, CLASS_SPAN / 2, y.max() + 1)
    return kept(expit(rng.permutation(ends)[y]), y, classify, rng)


def kept(probability, y, classify, rng):
    """Positions of the rows that a coin of each one's probability keeps, and the inverse of it."""
    chosen = rng.random(len(y)) < probability
    for code in np.unique(y) if classify else ():
        members = np.flatnonzero(y == code)
        if chosen[members].sum() < FEWEST_OF_A_CLASS:
            chosen[members[np.argsort(-probability[members], kind="stable")[:FEWEST_OF_A_CLASS]]] = True
    return np.flatnonzero(chosen), 1 / probability[chosen]


SCENARIOS = {
    "unweighted": unweighted,
    "exponential": exponential,
    "tilted": tilted,
    "label_shift": label_shift,
}
