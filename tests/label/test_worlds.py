"""Intervals of class shares over several worlds: closed forms."""

import numpy as np
from numpy.testing import assert_allclose
from scipy.stats import norm

from shiftfix.label._worlds import hull, mean_score, share_interval, share_of_counts, widened


def test_shares_and_their_errors():
    """Counts 30 and 9 of 39: (30 + 1/2) / 40."""
    share, error = share_of_counts(np.array([30.0, 9.0]))
    assert_allclose(share, [0.7625, 0.2375])
    assert_allclose(error, np.sqrt(0.7625 * 0.2375 / 39))
    scores = np.array([[0.2, 0.8], [0.6, 0.4], [0.1, 0.9]])
    mean, error = mean_score(scores)
    assert_allclose(mean, [0.3, 0.7])
    assert_allclose(error, np.std(scores[:, 0]) / np.sqrt(3))


def test_intervals_are_cut_and_the_hull_holds_all():
    found = share_interval(np.array([0.5, 0.01]), np.array([0.1, 0.1]), 0.9)
    half = norm.ppf(0.95) * 0.1
    assert_allclose(found, [[0.5 - half, 0.5 + half], [0, 0.01 + half]])
    assert_allclose(
        hull(np.array([[0.1, 0.2], [0.5, 0.6]]), np.array([[0.3, 0.4], [0.2, 0.55]])), [[0.1, 0.4], [0.2, 0.6]]
    )


def test_odds_move_outwards_by_their_factor():
    """Odds 1/4 and 3 with a factor of 2: 1/8 and 6; shares of 0 and 1 stay."""
    found = widened(np.array([[0.2, 0.75], [0, 1]]), np.log(2))
    assert_allclose(found, [[1 / 9, 6 / 7], [0, 1]])
    assert_allclose(widened(found, -np.log(2))[0], [0.2, 0.75])
