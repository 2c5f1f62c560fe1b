"""An order of rows that depends on what they hold alone: not on their order, nor on that of the columns.

Whatever is drawn or dealt out by position (folds, kernel centres, resampled rows) is drawn from rows in this order, so
that the same data, written down in another way, give the same answer.
"""

from collections.abc import Callable, Hashable, Sequence
from hashlib import blake2b
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from shiftfix._blocks import column_spread, pooled_moments
from shiftfix._numerics import Floats, column_scale

Rows = NDArray[np.intp]
# Times that the columns are told apart by the rows, and the rows by the columns.
ROUNDS = 2
# How strongly a column's weight follows from what it holds; the weight itself lies between 1/2 and 3/2.
SPREAD = 100.0
# Digits of a row's rank: the sums behind it are right to some 13, and equal rows must tie.
DIGITS = 9
ROUNDING = 1e-9
# Larger numbers are told apart by their ranks: their squares overflow.
LARGEST_SQUARED = 1e150


def content_order(samples: Sequence[Any], counts: Sequence[Floats] | None = None) -> list[Rows]:
    """Order of the rows of each sample that depends on their values, and how often they stand there, alone.

    Rows are ranked by one combination of their columns, standardised over all samples, in which the weight of a column
    follows from its values and from the rows they stand in. So neither the order of the rows nor that of the columns
    nor the unit of a column matters; equal rows are exchangeable. Only where the columns themselves can be exchanged
    without a trace does their order break ties.

    Parameters
    ----------
    samples : sequence of ndarray or csr_array of shape (n_rows, n_features)
    counts : sequence of ndarray of shape (n_rows,), default=None
        Repeat counts. Among the distinct rows of a few categories every combination may stand once, and the columns
        are told apart by the counts only.

    Returns
    -------
    list of ndarray of int, shape (n_rows,)
    """
    return [_sorted_rows(ranks, _at(tied)) for tied, ranks in _ranks_of_rows(samples, counts)]


def _at(tied: Floats) -> Callable[[Rows], list[Floats]]:
    return lambda rows: [tied[rows]]


def order_of_rows(X: Any, *others: NDArray[Any], counts: Floats | None = None) -> Rows:
    """Order of rows of any kind by what they hold, and of equal ones by what else is known of them.

    Parameters
    ----------
    X : array-like, sparse matrix or data frame of n_rows rows
        Whatever a learner takes: numbers, gaps, categories, text.
    *others : ndarray of shape (n_rows,) or (n_rows, n_columns)
        Labels, values or groups, the first before the second.
    counts : ndarray of shape (n_rows,), default=None
        Repeat counts: a row counted twice stands where two rows would. Rows that do not count come last.

    Returns
    -------
    ndarray of int, shape (n_rows,)
    """
    numbers = comparable_numbers(X)
    if counts is None:
        ((tied, ranks),) = _ranks_of_rows([numbers])
        return _sorted_rows(ranks, lambda rows: [*_places_of_others(others, rows), tied[rows]])
    present = np.flatnonzero(counts)
    ((tied, ranks),) = _ranks_of_rows([numbers[present]], [counts[present]])
    known = (*others, counts)
    order = _sorted_rows(ranks, lambda rows: [*_places_of_others(known, present[rows]), tied[rows]])
    return np.append(present[order], np.flatnonzero(counts == 0))


def _places_of_others(others: Sequence[NDArray[Any]], rows: Rows) -> list[Floats]:
    """What is known of some rows beside their columns, the first of it last, as ``numpy.lexsort`` takes it."""
    return [places_of_values(column[rows]) for other in others for column in _rows_as_table(other).T][::-1]


def _sorted_rows(ranks: Floats, ties: Callable[[Rows], list[Floats]]) -> Rows:
    """Positions by rank, as ``numpy.lexsort`` gives them, which sorts all by what few of them need.

    Parameters
    ----------
    ranks : ndarray of shape (n_rows,)
    ties : callable
        From some rows to the further keys of these, the last of which counts most.
    """
    order = np.argsort(ranks)
    values = ranks[order]
    alike = (values[1:] == values[:-1]) | np.isnan(values[1:])
    if alike.any():
        tied = np.append(alike, False) | np.append(False, alike)
        rows = np.sort(order[tied])
        order[tied] = rows[np.lexsort([*ties(rows), ranks[rows]])]
    return order


def generator_of_sample(rng: np.random.Generator, labels: NDArray[Any]) -> np.random.Generator:
    """A generator that differs from sample to sample, and not with the way a sample is written down.

    Rows in the order of what they hold are often in that of their scores. What is drawn there by the seed alone takes
    the same ranks of every sample, and its chance is no chance: at one seed all intervals are too short.

    Parameters
    ----------
    rng : numpy.random.Generator
        One number is drawn from it.
    labels : ndarray of shape (n_rows,)
        Labels, values or classes along the order of the rows.
    """
    digest = blake2b(places_of_values(labels).tobytes(), digest_size=8).digest()
    return np.random.default_rng([int(rng.integers(2**31 - 1)), int.from_bytes(digest, "little")])


def equal_rows(X: Any) -> Rows:
    """A number for each row, the same for rows that hold the same; shape (n_rows,).

    Parameters
    ----------
    X : array-like, sparse matrix or data frame of n_rows rows
    """
    rows = comparable_numbers(X)
    if sparse.issparse(rows):
        rows.sum_duplicates()
        rows.eliminate_zeros()
        ends = list(pairwise(rows.indptr))
        keys = [(rows.indices[a:b].tobytes(), rows.data[a:b].tobytes()) for a, b in ends]
    else:
        keys = [row.tobytes() for row in rows + 0.0]  # -0.0 is 0.0
    number: dict[Hashable, int] = {}
    return np.array([number.setdefault(key, len(number)) for key in keys], dtype=np.intp)


def _rows_as_table(X: Any) -> NDArray[Any]:
    """Rows as a table of two dimensions, of objects where they make no array of values."""
    try:
        values = np.asarray(X.detach().cpu() if callable(getattr(X, "detach", None)) else X)
    except ValueError:  # rows of different lengths
        values = np.empty(len(X), dtype=object)
        values[:] = [repr(row) for row in X]
    return values.reshape(len(values), -1)


def comparable_numbers(X: Any) -> Any:
    """Rows of any kind as a matrix of finite numbers: as they are, or each column's values as their ranks.

    Parameters
    ----------
    X : array-like, sparse matrix or data frame of n_rows rows

    Returns
    -------
    ndarray or csr_array of shape (n_rows, n_columns)
    """
    if sparse.issparse(X):
        rows = sparse.csr_array(X).astype(np.float64)
        rows.data = np.nan_to_num(rows.data, nan=-1.0, posinf=LARGEST_SQUARED, neginf=-LARGEST_SQUARED)
        return rows
    values = _rows_as_table(X)
    if values.shape[1] == 0:
        return np.zeros((len(values), 1))
    if values.dtype.kind in "biuf":
        numbers = values.astype(np.float64, copy=False)
        if numbers.max(initial=0) < LARGEST_SQUARED and numbers.min(initial=0) > -LARGEST_SQUARED:  # False with gaps
            return numbers
    return np.column_stack([places_of_values(column) for column in values.T])


def places_of_values(column: NDArray[Any]) -> Floats:
    """Place of each value among the distinct ones of its column, in their order; those of objects as text."""
    if column.dtype.kind != "O":
        return np.unique(column, return_inverse=True)[1].astype(np.float64)
    text = [str(value) for value in column]
    place: dict[Hashable, int] = {word: number for number, word in enumerate(sorted(set(text)))}
    return np.array([place[word] for word in text], dtype=np.float64)


def _ranks_of_rows(samples: Sequence[Any], counts: Sequence[Floats] | None = None) -> list[tuple[Floats, Floats]]:
    """What the rows of each sample are sorted by: what breaks ties, then the rank; as :func:`content_order`."""
    counts = [np.ones(X.shape[0]) for X in samples] if counts is None else counts
    mean, variance = pooled_moments([column_spread(X, c) for X, c in zip(samples, counts, strict=True)])
    scale = column_scale(mean, variance, sum(c.sum() for c in counts))
    direction = 1 / scale
    for _ in range(ROUNDS):
        marks = _scaled([X @ direction - mean @ direction for X in samples], counts)
        direction = (1 + np.sin(SPREAD * _column_signs(samples, counts, marks, mean, scale)) / 2) / scale
    # Steps of the golden ratio: no two columns share a weight.
    tie_breaker = (0.5 + np.arange(1, len(mean) + 1) * 0.6180339887498949 % 1) / scale
    return [(_ranks(X, mean, tie_breaker), _ranks(X, mean, direction)) for X in samples]


def _scaled(marks: list[Floats], counts: Sequence[Floats]) -> list[Floats]:
    """Marks of the rows in units of their root mean square over all samples."""
    size = np.sqrt(np.average(np.square(np.concatenate(marks)), weights=np.concatenate(counts)))
    # Standardised columns that cancel, as the probabilities of two classes do, leave rounding, which is no mark.
    return [mark / size for mark in marks] if size > ROUNDING else [np.zeros_like(mark) for mark in marks]


def _column_signs(
    samples: Sequence[Any], counts: Sequence[Floats], marks: list[Floats], mean: Floats, scale: Floats
) -> Floats:
    """A number for each column by the values it has in the rows of each mark; shape (n_features,).

    Another function of the mark for each sample, by its mean: columns that differ only in which sample holds what
    differ too, and the samples may be exchanged.
    """
    total = np.zeros(len(mean))
    for X, c, mark in zip(samples, counts, marks, strict=True):
        wave = c * np.sin(mark + 1 + np.average(mark, weights=c))
        total += (X.T @ wave - mean * wave.sum()) / c.sum()
    return total / scale


def _ranks(X: Any, mean: Floats, direction: Floats) -> Floats:
    """Rounded combination of the columns, so that equal rows tie wherever they lie in memory."""
    return np.round(X @ direction - mean @ direction, DIGITS)
