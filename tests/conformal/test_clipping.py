"""What clipping costs: closed forms of two Gaussians, and coverage that indeed falls by no more."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import norm

from shiftfix.conformal import clipping_cost
from shiftfix.exceptions import ShiftDataError

MEANS = {2.0: 0.809390, 5.0: 0.953646, 10.0: 0.989621}  # of min(w, c), N(0, 1) -> N(1, 1)


def exact_cost(clip):
    """Total variation of N(1, 1) and the population of density min(w, c) phi / m, w = exp(x - 1/2), and m."""
    x = np.linspace(-9, 11, 200_001)
    w, p = np.exp(x - 0.5), norm.pdf(x)
    kept = np.minimum(w, clip)
    mean = np.trapezoid(kept * p, x)
    return np.trapezoid(np.abs(kept / mean - w) * p, x) / 2, mean


@pytest.mark.slow
@pytest.mark.parametrize("clip", MEANS)
def test_two_gaussians(clip):
    """At evenly spread target rows, against the integral of half the absolute difference of the weights."""
    x = 1 + norm.ppf((np.arange(100_000) + 0.5) / 100_000)
    cost, mean = exact_cost(clip)
    assert mean == pytest.approx(MEANS[clip], abs=1e-5)
    assert clipping_cost(np.exp(x - 0.5), clip) == pytest.approx(cost, abs=1e-4)
    assert cost <= 1 - mean + 1e-6


def test_discrete():
    """Three kinds of rows p = (.5, .3, .2), q = (.1, .3, .6), w = (.2, 1, 3), clip 2: m = .8, and the population
    weighted to is (.125, .375, .5): .1 away."""
    assert clipping_cost([0.2, 1, 3], 2.0, sample_weight=[1, 3, 6]) == pytest.approx(0.1)


def test_no_clip_costs_nothing():
    assert clipping_cost([0.2, 1, 3], 3.0) == 0
    assert clipping_cost([0.2, 1, 3], 1e9) == 0


def test_repeat_counts_are_rows():
    assert_allclose(clipping_cost([0.5, 4], 2.0, sample_weight=[3, 1]), clipping_cost([0.5, 0.5, 0.5, 4], 2.0))


def test_errors():
    with pytest.raises(ShiftDataError, match="clip=0"):
        clipping_cost([1.0, 2.0], 0)
    with pytest.raises(ShiftDataError, match="negative"):
        clipping_cost([1.0, -2.0], 1)
