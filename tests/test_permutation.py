"""Permutation p-values against every split there is, and Holm's adjustment against its definition."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from shiftfix import _permutation
from shiftfix._permutation import holm, permutation_p_value


def all_splits(rows, n_first):
    """Share of all splits whose first part's sum is as long as the observed one's, by writing them all out."""
    observed = np.square(rows[:n_first].sum(axis=0)).sum()
    sums = [np.square(rows[list(part)].sum(axis=0)).sum() for part in combinations(range(len(rows)), n_first)]
    return np.mean(np.array(sums) >= observed * (1 - 1e-9))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_share_of_all_splits(seed, monkeypatch):
    """4 + 5 rows, 126 splits: 4000 draws are within .04 of the share (five standard deviations)."""
    monkeypatch.setattr(_permutation, "TABLE_ENTRIES", 1000)
    rows = np.random.default_rng(seed).normal(size=(9, 2))
    rows -= rows.mean(axis=0)
    found = permutation_p_value(
        rows[:4], rows[4:], np.ones(4), np.ones(5), n_permutations=4000, rng=np.random.default_rng(7)
    )
    assert found == pytest.approx(all_splits(rows, 4), abs=0.04)


def test_a_counted_row_is_as_many_rows():
    rng = np.random.default_rng(0)
    first, second, counts, more = (
        rng.normal(size=(5, 2)),
        rng.normal(0.4, 1, size=(6, 2)),
        [1, 2, 0, 3, 1],
        [2, 1, 1, 3, 1, 1],
    )
    centre = (np.dot(counts, first) + np.dot(more, second)) / (sum(counts) + sum(more))
    first, second = first - centre, second - centre
    weighted = permutation_p_value(
        first, second, np.array(counts, float), np.array(more, float), n_permutations=500, rng=np.random.default_rng(1)
    )
    written_out = permutation_p_value(
        np.repeat(first, counts, axis=0),
        np.repeat(second, more, axis=0),
        np.ones(7),
        np.ones(9),
        n_permutations=500,
        rng=np.random.default_rng(1),
    )
    assert weighted == written_out


def test_the_observed_split_counts_as_one():
    """Samples far apart: no draw of 99 reaches the observed split, which is one of the hundred."""
    rows = np.append(np.full(30, -1.0), np.ones(30))[:, np.newaxis]
    found = permutation_p_value(
        rows[:30], rows[30:], np.ones(30), np.ones(30), n_permutations=99, rng=np.random.default_rng(0)
    )
    assert found == 1 / 100


@pytest.mark.slow
def test_its_size_is_exact():
    """1000 pairs of one distribution, 19 permutations: p <= .05 in one of twenty, within .035 (five deviations)."""
    rng, rejected = np.random.default_rng(0), 0
    for _ in range(1000):
        rows = rng.exponential(size=(12, 1))
        rows -= rows.mean()
        rejected += permutation_p_value(rows[:5], rows[5:], np.ones(5), np.ones(7), n_permutations=19, rng=rng) <= 0.05
    assert rejected / 1000 == pytest.approx(0.05, abs=0.035)


@pytest.mark.slow
@given(p=arrays(float, st.integers(1, 8), elements=st.floats(0, 1)))
def test_holm_is_the_step_down_rule(p):
    """Adjusted p <= level exactly where the step-down procedure at that level rejects."""
    adjusted = holm(p)
    for level in (0.01, 0.05, 0.3):
        rejected = np.zeros(p.size, bool)
        for rank, place in enumerate(np.argsort(p, kind="stable")):
            if p[place] * (p.size - rank) > level:
                break
            rejected[place] = True
        assert np.array_equal(adjusted <= level, rejected)
    assert (adjusted >= p).all()
