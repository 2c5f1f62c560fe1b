"""The test of target labels against the weighted source rows: exact cases, size and power."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from shiftfix.conformal._label_check import contradiction_p_value, mid_p_values
from shiftfix.conformal._ranked import rank_by_stratum


def test_mid_p_values_by_hand():
    """Scores 1, 2, 2, 5 of weight 1: above 2 lies 1, at 2 lie 2, and the row itself counts half: (1 + 1 + .5) / 5."""
    ranked = rank_by_stratum(np.array([1.0, 2, 2, 5]), np.ones(4), np.zeros(4, int), 1)
    found = mid_p_values(ranked, np.zeros(3, int), np.ones(3), np.array([2.0, 0.0, 9.0]))
    assert_allclose(found, [2.5 / 5, 4.5 / 5, 0.5 / 5])


def test_it_is_the_normal_test_of_a_mean():
    """A mean of .4 over 48 rows and endless calibration rows is 2.4 standard errors of 1 / sqrt(12 * 48) low."""
    assert contradiction_p_value(np.full(48, 0.4), np.inf) == pytest.approx(0.00819753, abs=1e-7)
    assert contradiction_p_value(np.full(48, 0.5), 100) == 0.5
    assert contradiction_p_value(np.full(48, 0.9), 100) > 0.999


def p_value(rng, moved):
    scores, w = rng.normal(size=200), rng.gamma(2, 1, 200)
    ranked = rank_by_stratum(scores, w, np.zeros(200, int), 1)
    new = rng.normal(moved, 1, 40)
    size = w.sum() ** 2 / (w**2).sum()
    return contradiction_p_value(mid_p_values(ranked, np.zeros(40, int), np.full(40, w.mean()), new), size)


@pytest.mark.slow
def test_size_and_power():
    """Of 1,000 samples .2 and .05 are called by chance, up to 4 standard errors; a shift by .6 nearly always is."""
    rng = np.random.default_rng(0)
    found = np.array([p_value(rng, 0.0) for _ in range(1000)])
    assert np.mean(found < 0.2) == pytest.approx(0.2, abs=0.05)
    assert np.mean(found < 0.05) == pytest.approx(0.05, abs=0.028)
    assert np.mean([p_value(rng, 0.6) < 0.2 for _ in range(100)]) > 0.9
