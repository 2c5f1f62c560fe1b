"""The two-sample test of mean scores against all permutations, and its size by simulation."""

from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from shiftfix.exceptions import ShiftDataError
from shiftfix.label import _shift_test
from shiftfix.label._shift_test import mean_score_test
from tests.registry import overlapping_scores


@pytest.mark.slow
def test_all_permutations_by_brute_force(rng):
    """Two of seven rows, 21 splits: the p-value is the share of splits at least as far apart; 4,999 draws, 4 sigmas."""
    rows = rng.dirichlet(np.ones(3), 7)
    centred = rows - rows.mean(axis=0)
    covariance = centred.T @ centred / 7
    # Shrunk by r / (r + N) = 2 / 9 towards the mean of its two eigenvalues, within the plane that the scores span.
    plane = np.eye(3) - 1 / 3
    shrunk = 7 / 9 * covariance + 2 / 9 * np.trace(covariance) / 2 * plane
    distance = {
        split: centred[list(split)].sum(axis=0) @ np.linalg.pinv(shrunk) @ centred[list(split)].sum(axis=0)
        for split in combinations(range(7), 2)
    }
    for split in [(0, 1), (2, 5), (4, 6)]:
        exact = np.mean([other >= distance[split] - 1e-12 for other in distance.values()])
        rest = np.delete(rows, split, axis=0)
        found = mean_score_test(rest, rows[list(split)], n_permutations=4999, random_state=0)
        assert found == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 5000) + 1 / 5000)


def test_rows_are_whitened_by_the_shrunk_covariance(rng):
    """More classes than rows: rank 5 of 6 rows, so 5 / 11 of the mean eigenvalue within the plane that they span."""
    rows = rng.dirichlet(np.ones(8), 6)
    centred = rows - rows.mean(axis=0)
    covariance = centred.T @ centred / 6
    plane = centred.T @ np.linalg.pinv(centred @ centred.T) @ centred
    shrunk = 6 / 11 * covariance + 5 / 11 * np.trace(covariance) / 5 * plane
    found = _shift_test._whitened(rows, np.ones(6))
    assert_allclose(found @ found.T, centred @ np.linalg.pinv(shrunk, rcond=1e-8) @ centred.T, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize(("n_classes", "n_target"), [(2, 50), (10, 50), (50, 40), (10, 1)])
def test_size(n_classes, n_target):
    """300 null problems at level 0.05 with rare classes: right rejects 15 +- 3.8 (one row: at most)."""
    prior = 1 / np.arange(1, n_classes + 1)
    rejected = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        scores = rng.dirichlet(prior, 40 + n_target) * 0.98 + 0.02 / n_classes
        rejected += mean_score_test(scores[n_target:], scores[:n_target], n_permutations=99, random_state=rng) <= 0.05
    assert rejected <= 30
    assert rejected >= 3


@pytest.mark.slow
def test_power_of_a_clear_shift():
    moved = [
        mean_score_test(
            overlapping_scores([seed, 0], [1 / 3] * 3, 200)[0],
            overlapping_scores([seed, 1], [0.1, 0.3, 0.6], 200)[0],
            n_permutations=99,
            random_state=seed,
        )
        for seed in range(20)
    ]
    assert np.mean(np.array(moved) <= 0.05) > 0.9


@pytest.mark.slow
def test_chi_squared_beyond_the_limit_agrees(monkeypatch):
    """Same data by both ways; the p-value of 499 permutations has a standard error of at most 0.022."""
    for seed in range(3):
        source, target = (overlapping_scores([seed, k], [0.2, 0.3, 0.5], 400)[0] for k in (0, 1))
        permuted = mean_score_test(source, target, n_permutations=499, random_state=0)
        with monkeypatch.context() as patch:
            patch.setattr(_shift_test, "MOST_PERMUTED", 100)
            assert mean_score_test(source, target) == pytest.approx(permuted, abs=0.1)


@pytest.mark.slow
def test_counts_are_repeated_rows_and_the_samples_swap(rng):
    source, target = rng.dirichlet(np.ones(4), 30), rng.dirichlet(np.ones(4), 10)
    counts, target_counts = rng.integers(0, 4, 30), rng.integers(1, 3, 10)
    weighted = mean_score_test(
        source, target, sample_weight_source=counts, sample_weight_target=target_counts, random_state=0
    )
    repeated = np.repeat(source, counts, axis=0), np.repeat(target, target_counts, axis=0)
    assert weighted == pytest.approx(mean_score_test(*repeated, random_state=0))
    assert weighted == pytest.approx(mean_score_test(*repeated[::-1], random_state=0))


@pytest.mark.slow
def test_degenerate_samples():
    row = np.array([[0.3, 0.7]])
    assert mean_score_test(row, row) == 1
    assert mean_score_test(np.repeat(row, 9, axis=0), row) == 1
    assert mean_score_test(row, 1 - row, random_state=0) == 1
    constant = np.column_stack([np.full(40, 0.2), np.linspace(0, 0.8, 40), np.linspace(0.8, 0, 40)])
    assert mean_score_test(constant[:20], constant[20:], random_state=0) <= 0.002
    assert_allclose(mean_score_test(constant[::2], constant[1::2], random_state=0), 0.8, atol=0.2)


def test_errors():
    scores = np.full((4, 2), 0.5)
    with pytest.raises(ShiftDataError, match="3 columns for 2 classes"):
        mean_score_test(scores, np.full((4, 3), 1 / 3))
    with pytest.raises(ShiftDataError, match="probabilities"):
        mean_score_test(scores * 3, scores)
    with pytest.raises(ShiftDataError, match="n_permutations=0"):
        mean_score_test(scores, scores, n_permutations=0)
