"""Blocks of rows cover a table once, and what is summed over them is what the whole table sums to."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import sparse

from shiftfix import _blocks
from shiftfix._blocks import column_range, column_spread, matrix_blocks, row_blocks, weighted_gram, weighted_sum


@pytest.mark.slow
@given(n_rows=st.integers(1, 500), n_columns=st.integers(1, 50), entries=st.integers(1, 500), least=st.integers(1, 20))
def test_blocks_cover_every_row_once_within_their_budget(n_rows, n_columns, entries, least):
    blocks = row_blocks(n_rows, n_columns, entries=entries, least=least)
    assert_allclose(np.concatenate([np.arange(n_rows)[block] for block in blocks]), np.arange(n_rows))
    sizes = [block.stop - block.start for block in blocks]
    assert all(size <= least or n_columns * size <= entries for size in sizes)
    assert all(size >= least for size in sizes[:-1])


def test_the_default_block_is_a_megabyte_of_float64():
    assert row_blocks(10**6, 2**7)[0].stop * 2**7 * 8 == 2**20


def test_sparse_rows_are_cut_by_number_and_wide_tables_by_their_width():
    X = np.zeros((200_000, 4))
    assert matrix_blocks(sparse.csr_array(X))[0].stop == _blocks.SPARSE_BLOCK_ROWS
    assert matrix_blocks(X)[0].stop == _blocks.BLOCK_ENTRIES // 4
    assert matrix_blocks(X, 64)[0].stop == _blocks.BLOCK_ENTRIES // 64
    assert matrix_blocks(X, 10**9)[0].stop == 64


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_sums_over_blocks_are_those_of_the_whole(dtype, rng, monkeypatch):
    """float32 rows are summed in float64, and their products keep six digits."""
    monkeypatch.setattr(_blocks, "BLOCK_ENTRIES", 30)
    monkeypatch.setattr(_blocks, "PRODUCT_ENTRIES", 50)
    scores, weight = rng.random((101, 5)).astype(dtype), rng.random(101)
    assert_allclose(weighted_sum(scores, weight), weight @ scores.astype(float), rtol=1e-12)
    whole = (scores.astype(float).T * weight) @ scores
    assert_allclose(weighted_gram(scores, np.sqrt(weight)), whole, rtol=1e-12 if dtype == np.float64 else 1e-5)
    centre = scores.mean(axis=0)
    centred = scores - centre
    assert_allclose(
        weighted_gram(scores, np.sqrt(weight), lambda rows: np.tile(centre, (rows.stop - rows.start, 1))),
        (centred.astype(float).T * weight) @ centred,
        rtol=1e-10 if dtype == np.float64 else 1e-4,
        atol=1e-12 if dtype == np.float64 else 1e-5,
    )


@pytest.mark.parametrize("shape", [(1, 3), (15, 2), (16, 2), (1000, 3), (70000, 3)])
def test_range_of_columns(rng, shape):
    block = rng.normal(size=shape)
    block[0], block[-1] = 9, -9  # the range lies at the ends, where blocks are cut
    for rows in (block, -block, block[:, ::2], np.asfortranarray(block)):
        low, high = column_range(rows)
        assert (low == rows.min(axis=0)).all()
        assert (high == rows.max(axis=0)).all()


@pytest.mark.parametrize("unit", [1e-200, 1.0, 1e200])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_spread_of_columns_by_definition(rng, form, unit):
    """Where squares vanish or overflow too; rounding leaves 1e-12 or so, a forgotten count or unit misses by tenths."""
    X, counts = rng.normal(0.5, 1, (500, 3)), rng.integers(1, 4, 500).astype(float)
    X[:, 2] = 0.3
    spread = column_spread(form(X * unit), counts)
    mean = np.average(X, axis=0, weights=counts)
    deviation = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=counts))
    assert spread.total == counts.sum()
    assert_allclose(spread.mean / unit, mean, rtol=1e-11)
    assert_allclose(spread.deviation[:2] / unit, deviation[:2], rtol=1e-10)
    assert spread.deviation[2] == 0
    assert spread.mean[2] == 0.3 * unit
    assert_allclose([spread.low / unit, spread.high / unit], [X.min(axis=0), X.max(axis=0)])
