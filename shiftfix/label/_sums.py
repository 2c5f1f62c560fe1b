"""Sums over the rows of a stream: what is kept of rows that are gone.

Means, covariances, windows, fading weights and the search for jumps need sums of scores and of their outer products
only.
"""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from shiftfix.label._identification import PSEUDO_ROWS

# A window is kept as this many blocks, so that it is exact to one part in as many.
WINDOW_BLOCKS = 50
# Remembered positions may lie apart by this share of their age.
POSITION_SPACING = 0.5


class Sums:
    """Sums over weighted rows, which add, subtract and fade: all that the stream leaves behind.

    ``weight`` and ``squared_weight`` are sums of the rows' weights and of their squares, ``first`` is (n_classes,) and
    ``second`` (n_classes, n_classes).
    """

    def __init__(
        self, weight: float, squared_weight: float, first: NDArray[np.float64], second: NDArray[np.float64]
    ) -> None:
        self.weight, self.squared_weight, self.first, self.second = weight, squared_weight, first, second

    @classmethod
    def none(cls, n_classes: int) -> Self:
        """Sums over no rows."""
        return cls(0.0, 0.0, np.zeros(n_classes), np.zeros((n_classes, n_classes)))

    def plus(self, other: "Sums", factor: float = 1.0) -> "Sums":
        """These sums, and ``factor`` times the weights of the other's rows; factor -1 takes the rows away."""
        return Sums(
            self.weight + factor * other.weight,
            self.squared_weight + math.copysign(factor**2, factor) * other.squared_weight,
            self.first + factor * other.first,
            self.second + factor * other.second,
        )

    def covariance(self, pseudo_rows: float = 0.0) -> NDArray[np.float64]:
        """Covariance of one row, with rows added that are spread over the corners of the simplex."""
        corners = np.full(len(self.first), pseudo_rows / len(self.first))
        total = self.weight + pseudo_rows
        mean = (self.first + corners) / total
        return (self.second + np.diag(corners)) / total - np.outer(mean, mean)

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean row, shape (n_classes,)."""
        return self.first / self.weight

    @property
    def n_effective(self) -> float:
        """(sum w)^2 / sum w^2, in rows."""
        return self.weight**2 / self.squared_weight


def sums_of_rows(scores: NDArray[Any], counts: NDArray[np.float64], half_life: float | None = None) -> Sums:
    """Sums of a run of rows; with a half-life, the last row weighs 1 and a row h rows before it 2^-(h / half-life).

    A row of count c is c rows in succession.
    """
    if half_life is None:
        weight = squared = counts
    else:
        later = counts[::-1].cumsum()[::-1] - counts
        rate = math.log(2) / half_life
        weight, squared = (
            np.exp(-k * rate * later) * np.expm1(-k * rate * counts) / np.expm1(-k * rate) for k in (1, 2)
        )
    return Sums(weight.sum(), squared.sum(), weight @ scores, (scores.T * weight) @ scores)


def pieces(
    scores: NDArray[Any], counts: NDArray[np.float64], position: float, size: float
) -> Iterator[tuple[NDArray[Any], NDArray[np.float64], float]]:
    """Cut rows where the stream's position is a multiple of ``size``; a row that counts for several may be divided.

    Yields scores, counts and the position after the piece.
    """
    reach = position + np.cumsum(counts)
    start = position
    while start < reach[-1]:
        stop = min((math.floor(start / size) + 1) * size, reach[-1])
        first = int(np.searchsorted(reach, start, side="right"))
        last = int(np.searchsorted(reach, stop, side="left"))
        rows = slice(first, last + 1)
        part = np.minimum(reach[rows], stop) - np.maximum(reach[rows] - counts[rows], start)
        yield scores[rows], np.maximum(part, 0), stop
        start = stop


def jump_statistics(
    first: NDArray[np.float64], weight: NDArray[np.float64], total: Sums
) -> tuple[NDArray[np.float64], int]:
    """Wald statistics of "rows before and after a position have one mean", discounted for tails that are not normal.

    With V the covariance of all rows (two pseudo-rows added) and d the difference of means,
    T^2 = d' V^+ d / (1/n + 1/m). No row is further than R from the mean, in units of V: R is reached at a corner of the
    simplex. Bernstein's bound P(T > z) <= exp(-z^2 / 2 / (1 + R z / (3 sqrt(n)))), n the smaller side, so it divides
    T^2 by 1 + R T / (3 sqrt(n)): little for large samples, much where a rare event's few rows make the difference.

    Parameters
    ----------
    first : ndarray of shape (n_positions, n_classes)
        Sums of scores before each position.
    weight : ndarray of shape (n_positions,)
        Rows before it.
    total : Sums
        Of all rows.

    Returns
    -------
    statistics : ndarray of shape (n_positions,)
        To be compared with chi-squared.
    degrees_of_freedom : int
    """
    values, vectors = np.linalg.eigh(total.covariance(PSEUDO_ROWS))
    kept = values > 1e-10 * values[-1]
    whiten = vectors[:, kept] / np.sqrt(values[kept])
    after = total.weight - weight
    difference = first / weight[:, np.newaxis] - (total.first - first) / after[:, np.newaxis]
    squared = np.square(difference @ whiten).sum(axis=1) / (1 / weight + 1 / after)
    reach = np.sqrt(np.square((np.eye(len(values)) - total.first / total.weight) @ whiten).sum(axis=1).max())
    return squared / (1 + reach * np.sqrt(squared / np.minimum(weight, after)) / 3), int(kept.sum())


class Block(NamedTuple):
    """Sums over the rows of a stretch of the stream."""

    start: float
    stop: float
    sums: Sums


class Mark(NamedTuple):
    """A remembered position: the sums of all rows before it, and those whose weights fade, as they were then."""

    position: float
    total: Sums
    faded: Sums


def extended_window(
    blocks: list[Block],
    scores: NDArray[Any],
    counts: NDArray[np.float64],
    position: float,
    window: float,
) -> list[Block]:
    """Blocks that hold the newest ``window`` rows once these rows have come.

    Parameters
    ----------
    blocks : list of Block
        Of the stream up to ``position``; left as they are.
    scores : ndarray of shape (n_rows, n_classes)
    counts : ndarray of shape (n_rows,)
        Positive.
    position : float
        Of the stream before these rows.
    window : float

    Returns
    -------
    list of Block
        At most ``WINDOW_BLOCKS`` and one.
    """
    blocks = list(blocks)
    size = max(math.ceil(window / WINDOW_BLOCKS), 1)
    end = position + counts.sum()
    # Of a batch longer than the window, the first rows would be dropped at once.
    start = max(position, (end - window) // size * size)
    reach = position + np.cumsum(counts)
    first = int(np.searchsorted(reach, start, side="right"))
    counts = counts[first:].copy()
    counts[0] = reach[first] - max(reach[first] - counts[0], start)
    for rows, weight, stop in pieces(scores[first:], counts, start, size):
        added = sums_of_rows(rows, weight)
        if blocks and blocks[-1].stop == start and start % size:
            begin, _, sums = blocks.pop()
            blocks.append(Block(begin, stop, sums.plus(added)))
        else:
            blocks.append(Block(start, stop, added))
        start = stop
    return [block for block in blocks if block.stop > end - window]


def clearest_jump(marks: list[Mark], total: Sums, level: float, look: float) -> int | None:
    """Index of the mark at which the mean moved most, when a test of all marks together shows it.

    The ``look``-th test has level ``level / (look (look + 1))``: over all looks these add up to ``level``.
    """
    if not marks:
        return None
    statistics, freedom = jump_statistics(
        np.array([mark.total.first for mark in marks]), np.array([mark.total.weight for mark in marks]), total
    )
    best = int(statistics.argmax())
    return (
        best if freedom and chi2.sf(statistics[best], freedom) < level / (look * (look + 1) * len(statistics)) else None
    )


def since(mark: Mark, position: float, total: Sums, faded: Sums, half_life: float) -> Mark:
    """Sums at a later position, without the rows before the mark."""
    fade = 2.0 ** (-(position - mark.position) / half_life)
    return Mark(position, total.plus(mark.total, -1), faded.plus(mark.faded, -fade))


def thinned(marks: list[Mark], position: float) -> list[Mark]:
    """Marks without those whose neighbours lie close together for their age: about 5 log(t) of t stay."""
    keep = [marks[0]]
    for mark, newer in pairwise(marks[1:]):
        if newer.position - keep[-1].position > POSITION_SPACING * (position - newer.position):
            keep.append(mark)
    return keep + marks[max(1, len(marks) - 1) :]
