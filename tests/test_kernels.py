"""Kernels in blocks against the formula, and draws that see neither row order nor how repeats are written."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.spatial.distance import cdist

from shiftfix import _blocks, _kernels
from shiftfix.exceptions import ShiftDataError


@pytest.fixture
def rows(rng):
    return rng.normal(size=(53, 4))


@pytest.mark.parametrize("bandwidth", [0.3, 1.0, 20.0])
def test_blocked_products_are_those_of_the_whole_matrix(bandwidth, rows, rng, monkeypatch):
    monkeypatch.setattr(_blocks, "BLOCK_ENTRIES", 7 * 10)
    centers, coef, counts = rows[:7] + 0.1, rng.normal(size=7), rng.integers(1, 4, 53)
    K = np.exp(-cdist(rows, centers, "sqeuclidean") / (2 * bandwidth**2))
    assert_allclose(_kernels.kernel_times(rows, centers, bandwidth, coef), K @ coef, rtol=1e-12, atol=1e-14)
    assert_allclose(_kernels.kernel_mean(rows, counts, centers, bandwidth), counts @ K / counts.sum(), rtol=1e-12)


def test_a_row_is_at_distance_zero_from_itself(rows):
    assert _kernels.squared_distances(1e6 + rows, 1e6 + rows).min() >= 0
    assert_allclose(np.diag(_kernels.squared_distances(rows, rows)), 0, atol=1e-13)


def test_draws_depend_on_the_rows_and_their_counts_only(rows, rng):
    counts = rng.integers(1, 4, len(rows)).astype(float)
    order = rng.permutation(len(rows))
    repeated = np.repeat(rows, counts.astype(int), axis=0)
    expected = _kernels.draw_rows(*_kernels.distinct_rows(rows, counts), 20, np.random.default_rng(3))
    for X, c in [(rows[order], counts[order]), (repeated, np.ones(len(repeated)))]:
        found = _kernels.draw_rows(*_kernels.distinct_rows(X, c), 20, np.random.default_rng(3))
        assert np.array_equal(found, expected)
    assert len(np.unique(expected, axis=0)) == 20
    everything = _kernels.draw_rows(*_kernels.distinct_rows(rows, counts), 100, np.random.default_rng(3))
    assert np.array_equal(everything, np.unique(rows, axis=0))


@pytest.mark.slow
def test_draws_follow_the_counts():
    """One of two rows drawn with odds 3 to 1: 750 of 1000 within 5 standard deviations of 13.7."""
    rows, counts, generator = np.array([[0.0], [1.0]]), np.array([1.0, 3.0]), np.random.default_rng(0)
    drawn = sum(_kernels.draw_rows(rows, counts, 1, generator)[0, 0] for _ in range(1000))
    assert drawn == pytest.approx(750, abs=70)


def test_median_distance_passes_over_equal_rows():
    assert _kernels.median_distance(np.array([[0.0], [0.0], [2.0], [2.0]])) == 2
    assert _kernels.median_distance(np.zeros((3, 2))) == 1


@pytest.mark.slow
@given(counts=st.lists(st.integers(0, 7), min_size=1, max_size=30), n_folds=st.integers(2, 6))
def test_folds_deal_whole_counts_copy_by_copy(counts, n_folds):
    folds = _kernels.fold_counts(np.array(counts, float), n_folds)
    expected = np.zeros((len(counts), n_folds))
    for copy, row in enumerate(np.repeat(np.arange(len(counts)), counts)):
        expected[row, copy % n_folds] += 1
    assert_allclose(folds, expected, atol=1e-9)


@pytest.mark.slow
@given(counts=st.lists(st.floats(0.01, 5), min_size=1, max_size=30), n_folds=st.integers(2, 6))
def test_folds_keep_every_count_and_are_equally_full(counts, n_folds):
    folds = _kernels.fold_counts(np.array(counts), n_folds)
    assert_allclose(folds.sum(axis=1), counts, atol=1e-9)
    assert np.ptp(folds.sum(axis=0)) <= 1 + 1e-9
    assert (folds >= -1e-9).all()


def test_the_scale_is_that_of_both_samples(rng):
    source, target = rng.normal(0, 1, (300, 2)), rng.normal(3, 2, (100, 2))
    counts = rng.integers(1, 4, 300).astype(float)
    both = np.vstack([np.repeat(source, counts.astype(int), axis=0), target])
    scaler = _kernels.pooled_scaler(source, target, counts, np.ones(100))
    assert_allclose(scaler.mean_, both.mean(axis=0))
    assert_allclose(scaler.scale_, both.std(axis=0))


def test_a_column_that_overflows_is_named():
    with pytest.raises(ShiftDataError, match="column 1 overflow"):
        _kernels.pooled_scaler(np.array([[0, 1e200]]), np.array([[0, -1e200]]), np.ones(1), np.ones(1))


@pytest.mark.parametrize("n_features", [1, 5, 20, 50])
def test_the_grid_of_widths_reaches_from_near_to_far_neighbours(n_features, rng):
    """At the narrowest a kernel covers a few rows of its neighbourhood at most, at the widest nearly all rows."""
    source, target = rng.normal(size=(500, n_features)), rng.normal(0.3, 1, (400, n_features))
    setup = _kernels.prepare_kernels(source, target, np.ones(500), np.ones(400), 100, np.random.default_rng(0))
    distances = _kernels.squared_distances(setup.source, setup.centers)
    narrow, wide = (
        _kernels.gaussian_kernel(distances, setup.median * _kernels.BANDWIDTH_FACTORS[end]).mean() for end in (0, -1)
    )
    assert narrow < 0.3
    assert wide > 0.9
