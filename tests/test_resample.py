"""The bootstrap of two samples: what is drawn, and that its spread is that of new samples."""

import numpy as np
import pytest

from shiftfix._resample import bootstrap_two_samples, resampled_counts


def test_draws_stay_within_strata_and_keep_their_sizes(rng):
    counts, strata = np.array([2.0, 1, 0, 4, 3]), [np.array([0, 2]), np.array([1, 3, 4])]
    for _ in range(50):
        drawn = resampled_counts(counts, rng, strata)
        assert drawn[[0, 2]].sum() == 2
        assert drawn[[1, 3, 4]].sum() == 8
        assert drawn[2] == 0
    assert resampled_counts(counts, rng).sum() == 10


def test_class_frequencies_never_move(rng):
    """What the estimate is asked about: counts of both samples, the source's by class as they were."""
    class_index, seen = np.array([0, 0, 1, 1, 1, 2]), []
    bootstrap_two_samples(
        lambda source, target: seen.append((np.bincount(class_index, weights=source), target.sum())),
        np.ones(6),
        np.ones(4),
        n_bootstrap=30,
        rng=rng,
        source_strata=[np.flatnonzero(class_index == k) for k in range(3)],
    )
    for by_class, n_target in seen:
        assert by_class.tolist() == [2, 3, 1]
        assert n_target == 4


def test_of_many_rows_the_rows_are_drawn_and_counted(rng):
    """60,000 rows of one chance: their counts are binomial, about Poisson (1/e of them 0, variance 1), stratum by
    stratum; five standard errors. Rows that count 3 each are drawn three times as often."""
    strata = [np.arange(0, 120_000, 2), np.arange(1, 120_000, 2)]
    drawn = resampled_counts(np.ones(120_000), rng, strata)
    for rows in strata:
        assert drawn[rows].sum() == 60_000
        assert (drawn[rows] == 0).mean() == pytest.approx(np.exp(-1), abs=5 * np.sqrt(0.233 / 60_000))
        assert drawn[rows].var() == pytest.approx(1, abs=5 * np.sqrt(3 / 60_000))
        halves = drawn[rows[:30_000]].sum(), drawn[rows[30_000:]].sum()
        assert abs(halves[0] - halves[1]) < 5 * np.sqrt(60_000)
    assert resampled_counts(np.full(60_000, 3.0), rng).sum() == 180_000


def test_a_few_rows_of_large_counts_take_no_memory_for_every_draw(rng):
    drawn = resampled_counts(np.full(5, 1e12), rng)
    assert drawn.sum() == 5e12
    # Binomial: five standard deviations of 5e12 draws of chance 1/5.
    assert np.abs(drawn - 1e12).max() < 5 * np.sqrt(0.8e12)


@pytest.mark.slow
def test_the_spread_of_a_difference_of_means_is_its_standard_error(rng):
    """2000 draws of 300 and 200 rows: the deviation of the difference is sqrt(v/n + v'/n') within 8% (five of its own
    errors). A sample that is not resampled halves the variance."""
    x, z = rng.normal(size=300), rng.normal(1, 2, size=200)
    draws = bootstrap_two_samples(
        lambda a, b: a @ x / a.sum() - b @ z / b.sum(), np.ones(300), np.ones(200), n_bootstrap=2000, rng=rng
    )
    assert draws.shape == (2000,)
    assert np.std(draws) == pytest.approx(np.sqrt(x.var() / 300 + z.var() / 200), rel=0.08)
