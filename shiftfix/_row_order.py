"""An order of rows that depends on what they hold alone: not on their order, nor on that of the columns.

Whatever is drawn or dealt out by position (folds, kernel centres, resampled rows) is drawn from rows in this order, so
that the same data, written down in another way, give the same answer.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftfix._blocks import column_spread, pooled_moments
from shiftfix._numerics import Floats, column_scale

Rows = NDArray[np.intp]
# Times that the columns are told apart by the rows, and the rows by the columns.
ROUNDS = 2
# How strongly a column's weight follows from what it holds; the weight itself lies between 1/2 and 3/2.
SPREAD = 100.0
# Digits of a row's rank: the sums behind it are right to some 13, and equal rows must tie.
DIGITS = 9


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
    counts = [np.ones(X.shape[0]) for X in samples] if counts is None else counts
    mean, variance = pooled_moments([column_spread(X, c) for X, c in zip(samples, counts, strict=True)])
    scale = column_scale(mean, variance, sum(c.sum() for c in counts))
    direction = 1 / scale
    for _ in range(ROUNDS):
        marks = _scaled([X @ direction - mean @ direction for X in samples], counts)
        direction = (1 + np.sin(SPREAD * _column_signs(samples, counts, marks, mean, scale)) / 2) / scale
    # Steps of the golden ratio: no two columns share a weight.
    tie_breaker = (0.5 + np.arange(1, len(mean) + 1) * 0.6180339887498949 % 1) / scale
    return [np.lexsort([_ranks(X, mean, by) for by in (tie_breaker, direction)]) for X in samples]


def _scaled(marks: list[Floats], counts: Sequence[Floats]) -> list[Floats]:
    """Marks of the rows in units of their root mean square over all samples."""
    size = np.sqrt(np.average(np.square(np.concatenate(marks)), weights=np.concatenate(counts)))
    return [mark / size for mark in marks] if size > 0 else marks


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
