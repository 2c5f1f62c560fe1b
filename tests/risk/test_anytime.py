"""Intervals that hold at all times."""

from itertools import pairwise

import numpy as np
import pytest

from shiftfix.risk._anytime import anytime_interval, bets


def test_bets_are_made_before_the_values_are_seen(rng):
    values = rng.uniform(size=50)
    other = values.copy()
    other[30:] = 0
    assert (bets(values, 0.05)[:31] == bets(other, 0.05)[:31]).all()


def test_nothing_is_known_before_the_first_value():
    assert anytime_interval(np.empty(0)) == (0, 1)


def test_bounds_are_units(rng):
    values = rng.uniform(size=200)
    low, high = anytime_interval(values)
    assert anytime_interval(4 * values - 2, low=-2, high=2) == pytest.approx((4 * low - 2, 4 * high - 2))
    assert low < 0.5 < high


def test_more_values_never_widen_it(rng):
    values = (rng.uniform(size=400) < 0.8).astype(float)
    found = [anytime_interval(values[:n]) for n in (50, 100, 200, 400)]
    assert all(a[0] <= b[0] and b[1] <= a[1] for a, b in pairwise(found))
    assert found[-1][1] - found[-1][0] < 0.15


@pytest.mark.slow
def test_rarely_ever_excludes_the_truth():
    """Intersections over 500 values, so that each run is a look at every time; 300 runs, 5% of which may miss."""
    rng = np.random.default_rng(0)
    missed = 0
    for _ in range(300):
        low, high = anytime_interval((rng.uniform(size=500) < 0.9).astype(float))
        missed += not low <= 0.9 <= high
    assert missed <= 24
