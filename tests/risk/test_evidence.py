"""Evidence of a change: brute force over all starts, the mean of a bettor's wealth by enumeration, Ville's bound."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose
from scipy.special import expit, logit

from shiftfix.risk._evidence import (
    AT_ONCE,
    TILTS,
    log_factors,
    log_stake,
    log_told,
    log_unstaked,
    no_evidence,
    with_observations,
)

HORIZON = 50.0


def survival(t):
    return 1.0 if t == 0 else (1 - AT_ONCE) * HORIZON / (HORIZON + t)


def wealth_by_hand(z, bound):
    """All wealth after each observation: every tilt times every start, one product each."""
    totals = []
    for t in range(1, len(z) + 1):
        total = survival(t)
        for tilt in TILTS:
            gain = np.exp(tilt) - 1
            for start in range(1, t + 1):
                factors = [(1 + gain * z[i]) / (1 + gain * bound[i]) for i in range(start - 1, t)]
                total += (survival(start - 1) - survival(start)) / len(TILTS) * np.prod(factors)
        totals.append(total)
    return np.array(totals)


def test_all_starts_and_tilts_by_brute_force(rng):
    z, bound = (rng.random(25) < 0.4).astype(float), rng.uniform(0.1, 0.9, 25)
    after, path = with_observations(no_evidence(), log_factors(z, bound), HORIZON)
    assert_allclose(np.exp(path), wealth_by_hand(z, bound), rtol=1e-12)
    assert after.log_total(HORIZON) == pytest.approx(path[-1], abs=1e-12)


def test_the_wealth_staked_and_not_yet_staked_is_one():
    t = np.arange(1, 400)
    staked = np.exp(log_stake(t, HORIZON)).cumsum()
    assert_allclose(staked + np.exp(log_unstaked(t, HORIZON)), 1, rtol=1e-12)
    assert np.exp(log_stake(t, HORIZON))[0] == pytest.approx(1 - survival(1))
    assert no_evidence().log_total(HORIZON) == 0


@pytest.mark.parametrize("p", [0.3, 0.2, 0.05])
def test_expected_wealth_is_one_at_the_bound_and_less_below(p):
    """By enumeration of all sequences of 7 zeros and ones, bound .3."""
    expected = 0.0
    for z in product((0.0, 1.0), repeat=7):
        _, path = with_observations(no_evidence(), log_factors(np.array(z), 0.3), HORIZON)
        expected += np.exp(path[-1]) * p ** sum(z) * (1 - p) ** (7 - sum(z))
    assert expected == pytest.approx(1, abs=1e-12) if p == 0.3 else expected < 1


@given(m=st.floats(0.01, 0.99), z=arrays(float, 20, elements=st.floats(0, 1)))
def test_factors_are_likelihood_ratios_of_zeros_and_ones_and_bets_on_the_rest(m, z):
    """Linear in z, so that the mean of a factor depends on that of z alone."""
    at_one, at_zero = log_factors(np.array([1.0, 0.0]), m)
    q = expit(logit(m) + np.array(TILTS))
    assert_allclose(at_one, np.log(q / m), rtol=1e-9, atol=1e-12)
    assert_allclose(at_zero, np.log((1 - q) / (1 - m)), rtol=1e-9, atol=1e-12)
    between = z[:, np.newaxis] * np.exp(at_one) + (1 - z[:, np.newaxis]) * np.exp(at_zero)
    assert_allclose(np.exp(log_factors(z, m)), between, rtol=1e-9)


def test_a_bound_that_excludes_nothing_is_no_evidence():
    assert not log_factors(np.array([0.0, 1.0]), np.array([1.0, 1.02])).any()


@given(cuts=st.lists(st.integers(1, 199), max_size=6))
def test_how_a_stream_is_cut_does_not_matter(cuts):
    z = (np.random.default_rng(0).random(200) < 0.4).astype(float)
    factors = log_factors(z, 0.3)
    whole, path = with_observations(no_evidence(), factors, HORIZON)
    state, parts = no_evidence(), []
    for part in np.split(factors, sorted(set(cuts))):
        state, found = with_observations(state, part, HORIZON)
        parts.append(found)
    assert_allclose(np.concatenate(parts), path, atol=1e-9)
    assert_allclose(state.log_wealth, whole.log_wealth, atol=1e-9)
    assert state.likely_start == whole.likely_start


def test_the_likely_start_is_that_of_the_change():
    """Errors from 10% to 60% after 300 rows; a right program was within 12 of it in 100 draws."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        z = (rng.random(400) < np.repeat([0.1, 0.6], [300, 100])).astype(float)
        state, path = with_observations(no_evidence(), log_factors(z, 0.12), 1000.0)
        assert path[-1] > np.log(20)
        assert abs(state.likely_start - 300) <= 15


def test_wealth_told_of_the_change_is_all_staked_there(rng):
    factors = log_factors((rng.random(30) < 0.6).astype(float), 0.3)
    assert_allclose(np.exp(log_told(factors)), np.exp(factors.cumsum(axis=0)).mean(axis=1), rtol=1e-12)


@pytest.mark.slow
def test_wealth_of_twenty_is_rare_without_a_change():
    """At the bound itself Ville's inequality allows .05 of all streams: more than 20 of 200 have chance .001."""
    alarms = 0
    for seed in range(200):
        z = (np.random.default_rng(seed).random(3000) < 0.2).astype(float)
        alarms += with_observations(no_evidence(), log_factors(z, 0.2), 1000.0)[1].max() >= np.log(20)
    assert alarms <= 20
