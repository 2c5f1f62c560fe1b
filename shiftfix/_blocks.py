"""One way to cut the rows of a large matrix into blocks, and what is summed over them.

A block and a scaled or float64 copy of it stay in the processor's cache, and no table of the size of the matrix is
made. How the rows are cut decides how sums round, so every caller keeps to its own size.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

# About 1 MB of float64: a block and its copy stay in the cache, and a matrix-vector product of it on one thread, where
# waking a second one costs more than it saves.
BLOCK_ENTRIES = 2**17
# Entries of a block in a matrix-matrix product: large enough for its full speed, 16 MB in float64.
PRODUCT_ENTRIES = 2**21
SPARSE_BLOCK_ROWS = 65536
# Rows laid side by side for the range of a block: numpy's loop over one short row costs more than its numbers.
ROWS_ABREAST = 16


def row_blocks(n_rows: int, n_columns: int, *, entries: int | None = None, least: int = 1) -> list[slice]:
    """Slices that cut the rows of a table, in order.

    Parameters
    ----------
    n_rows, n_columns : int
        Size of the table.
    entries : int, default=None
        Entries of a block, at most, as far as whole rows allow; None means ``BLOCK_ENTRIES``.
    least : int, default=1
        Rows of a block, at least: short blocks cost more in calls than they save.

    Returns
    -------
    list of slice
    """
    size = max(least, (BLOCK_ENTRIES if entries is None else entries) // n_columns)
    return [slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]


def matrix_blocks(X: Any, n_wide: int | None = None) -> list[slice]:
    """Slices of the rows of a dense or sparse matrix, for tables of ``n_wide`` columns (None: those of X)."""
    if sparse.issparse(X):
        return row_blocks(X.shape[0], 1, entries=SPARSE_BLOCK_ROWS)
    return row_blocks(X.shape[0], n_wide or X.shape[1], least=64)


def weighted_sum(scores: NDArray[Any], sample_weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of the rows of (n_rows, n_columns) times their weights, in float64; shape (n_columns,)."""
    parts = (sample_weight[rows] @ scores[rows].astype(np.float64, copy=False) for rows in row_blocks(*scores.shape))
    return sum(parts, np.zeros(scores.shape[1]))


def weighted_gram(
    scores: NDArray[Any],
    row_scale: NDArray[np.float64],
    centre: Callable[[slice], NDArray[np.float64]] | None = None,
) -> NDArray[np.float64]:
    """Sum over the rows of v v' with v = row_scale * (row - centre), shape (n_columns, n_columns).

    The products run in the type of the scores (float32 keeps 6 digits, at twice the speed); blocks add up in float64.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_columns)
    row_scale : ndarray of shape (n_rows,)
        Square root of the weight of each row.
    centre : callable, default=None
        From a slice of rows to what is taken off them. None takes off nothing.
    """
    gram = np.zeros((scores.shape[1], scores.shape[1]))
    for rows in row_blocks(*scores.shape, entries=PRODUCT_ENTRIES):
        block = scores[rows] if centre is None else scores[rows] - centre(rows).astype(scores.dtype)
        block = block * row_scale[rows, np.newaxis].astype(scores.dtype)
        gram += block.T @ block
    return gram


class ColumnSpread(NamedTuple):
    """Where the columns of one sample lie, in their own units.

    Attributes
    ----------
    total : float
        Sum of the repeat counts.
    mean, deviation, low, high : ndarray of shape (n_columns,)
        Mean, standard deviation (divisor ``total``; exactly 0 for a constant), least and largest value.
    """

    total: float
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def column_range(block: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Least and largest value of every column of an array, each of shape (n_columns,)."""
    height, width = block.shape
    rest = height % ROWS_ABREAST
    if height == rest or not block.flags.c_contiguous:
        return block.min(axis=0), block.max(axis=0)
    abreast = block[rest:].reshape(-1, ROWS_ABREAST * width)
    ends = [end(axis=0).reshape(ROWS_ABREAST, width) for end in (abreast.min, abreast.max)]
    low, high = np.vstack([block[:rest], ends[0]]), np.vstack([block[:rest], ends[1]])
    return low.min(axis=0), high.max(axis=0)


def column_spread(X: Any, counts: NDArray[np.float64]) -> ColumnSpread:
    """Mean, standard deviation and range of every column, in one pass over blocks of rows.

    Each block with its own mean (Chan, Golub & LeVeque 1983, Amer. Statist. 37:242-247, equation 2.1), so that a
    large offset does not drown the deviation.

    Parameters
    ----------
    X : ndarray or csr_array of shape (n_rows, n_columns)
    counts : ndarray of shape (n_rows,)
        Repeat counts, positive.

    Returns
    -------
    ColumnSpread
    """
    total, mean, squares = 0.0, np.zeros(X.shape[1]), np.zeros(X.shape[1])
    if sparse.issparse(X):
        low, high = (np.ravel(end.toarray()).astype(np.float64) for end in (X.min(axis=0), X.max(axis=0)))
    else:
        low, high = np.full(X.shape[1], np.inf), np.full(X.shape[1], -np.inf)
    with np.errstate(over="ignore", invalid="ignore"):
        for rows in matrix_blocks(X):
            block, weight = X[rows].astype(np.float64, copy=False), counts[rows]
            size = weight.sum()
            block_mean = (block.T @ weight) / size
            if sparse.issparse(block):
                block_squares = (block * block).T @ weight - size * block_mean**2
            else:
                block_low, block_high = column_range(block)
                low, high = np.minimum(low, block_low), np.maximum(high, block_high)
                centred = block - block_mean
                block_squares = np.square(centred, out=centred).T @ weight
            gap = block_mean - mean
            squares += block_squares + gap**2 * (total * size / (total + size))
            total += size
            mean += gap * (size / total)
        deviation = np.sqrt(np.maximum(squares, 0) / total)
    # Squares that overflow or vanish: the same in units of half the range.
    odd = np.flatnonzero((low < high) & ~((squares > np.finfo(float).tiny) & np.isfinite(squares)))
    if odd.size:
        middle, reach = low[odd] / 2 + high[odd] / 2, high[odd] / 2 - low[odd] / 2
        reach = np.where(reach > 0, reach, 1.0)
        first, second = np.zeros(odd.size), np.zeros(odd.size)
        for rows in matrix_blocks(X):
            block = X[rows][:, odd]
            z = ((block.toarray() if sparse.issparse(block) else block) - middle) / reach
            first += counts[rows] @ z
            second += counts[rows] @ (z * z)
        first, second = first / total, second / total
        mean[odd] = middle + reach * first
        deviation[odd] = np.sqrt(np.maximum(second - first**2, 0)) * reach
    constant = low == high
    return ColumnSpread(float(total), np.where(constant, low, mean), np.where(constant, 0.0, deviation), low, high)


def pooled_moments(spreads: Sequence[ColumnSpread]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance of every column over several samples together, each of shape (n_columns,).

    The variance is infinite where squares overflow.
    """
    total = sum(spread.total for spread in spreads)
    with np.errstate(over="ignore", invalid="ignore"):
        share = [spread.total / total for spread in spreads]
        mean = np.add.reduce([spread.mean * s for spread, s in zip(spreads, share, strict=True)])
        variance = np.add.reduce(
            [(spread.deviation**2 + (spread.mean - mean) ** 2) * s for spread, s in zip(spreads, share, strict=True)]
        )
    return mean, variance
