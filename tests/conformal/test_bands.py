"""Intervals of one model and of several, against their definition."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from shiftfix.conformal._bands import Band, in_order, one_model_interval, several_models_interval
from shiftfix.conformal._ranked import rank_by_stratum
from tests.conformal import brute_force


def random_case(seed, n_models, n_strata=2, ties=False):
    """Bands of the models at 12 rows, calibration scores and what else an interval depends on."""
    rng = np.random.default_rng(seed)
    bands = []
    for _ in range(n_models):
        center = rng.normal(size=12)
        half = rng.gamma(1, 0.3, 12)
        bands.append(Band(center - half, center + half, rng.gamma(2, 1, 12) + 0.1))
    n = 60
    scores = rng.normal(0.5, 1, n)
    if ties:
        scores, bands = (
            np.round(scores),
            [Band(*(np.round(part) + (k == 2) for k, part in enumerate(b))) for b in bands],
        )
    return rng, bands, scores, rng.integers(n_models, size=n), rng.integers(n_strata, size=n), rng.gamma(0.7, 1, n)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n_models", [1, 2, 5])
@pytest.mark.parametrize("seed", range(2))
def test_brute_force(seed, n_models, ties):
    rng, bands, scores, parts, strata, w = random_case(seed, n_models, ties=ties)
    asked, own = rng.integers(-1, 2, 12), rng.gamma(1, 1, 12)
    own[0] = 1e6  # nothing finite covers
    ranked = [rank_by_stratum(scores[parts == k], w[parts == k], strata[parts == k], 2) for k in range(n_models)]
    pooled = rank_by_stratum(scores, w, strata, 2)
    for level in (0.5, 0.8, 0.9):
        found = several_models_interval(bands, ranked, pooled, asked, own, level)
        for row in range(12):
            here = strata == asked[row]
            ends = [
                (bands[k].low[row] - s * bands[k].scale[row], bands[k].high[row] + s * bands[k].scale[row])
                for k, s in zip(parts[here], scores[here], strict=True)
            ]
            lower, upper = np.array(ends).reshape(-1, 2).T
            expected = [
                -brute_force.upper_end(-lower, w[here], own[row], level),
                brute_force.upper_end(upper, w[here], own[row], level),
            ]
            assert_allclose(found[row], expected, rtol=1e-9, atol=1e-9)
        if n_models == 1:
            assert_allclose(one_model_interval(bands[0], pooled, asked, own, level), found, rtol=1e-9, atol=1e-9)


def test_scores_are_zero_at_the_ends_of_the_band():
    band = Band(np.array([0.0, 0.0, 0.0]), np.array([2.0, 2.0, 2.0]), np.array([1.0, 2.0, 2.0]))
    assert band.scores(np.array([2.0, 1.0, -4.0])).tolist() == [0.0, -0.5, 2.0]


def test_an_interval_holds_what_scores_below_the_threshold():
    """The value is inside exactly when its score is at most the threshold."""
    rng, (band,), scores, _, _, w = random_case(3, 1, 1)
    pooled, none = rank_by_stratum(scores, w, np.zeros(60, int), 1), np.zeros(12, int)
    found = one_model_interval(band, pooled, none, np.ones(12), 0.8)
    limit = brute_force.threshold(scores, w, 1.0, 0.8)
    for y in rng.normal(0, 3, (200, 12)):
        assert (((found[:, 0] <= y) & (y <= found[:, 1])) == (band.scores(y) <= limit)).all()


def test_crossed_ends_meet_in_the_middle():
    given = np.array([[0.0, 1.0], [2.0, 1.0], [-np.inf, np.inf]])
    assert in_order(given).tolist() == [[0.0, 1.0], [1.5, 1.5], [-np.inf, np.inf]]
    assert given[1].tolist() == [2.0, 1.0]
