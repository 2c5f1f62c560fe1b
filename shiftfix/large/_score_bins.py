"""Scores counted in cells, so that what works on weighted rows in memory works on any number of rows.

A cell is a box of the square roots of the scores, in which the sampling error of a score is about the same everywhere
(Bartlett 1936, J. R. Stat. Soc. Suppl. 3:68-78). Where the rows fill more cells than may be kept, cells are joined two
by two along every score. A cell stands for its rows with its mean score over the source. Under label shift the shares
of the cells shift with the class shares alone, as do those of the scores, so that coarse cells cost precision and no
bias.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shiftfix._numerics import Floats
from shiftfix.large._score_sums import Layout, check_probabilities, positions_of
from shiftfix.large._units import Unit, unit_blocks

FINEST = 12  # 2**12 boxes along the square root of a score
# Odd numbers, by which places along the scores become one number; wrapped at 2**64.
MIXING = np.uint64(0x9E3779B97F4A7C15)


class ScoreCells(NamedTuple):
    """Counts in cells.

    Attributes
    ----------
    level : int
        2**level boxes along each score.
    boxes : ndarray of uint16 of shape (n_cells, n_classes)
        Place of each cell, sorted by ``keys``.
    keys : ndarray of uint64 of shape (n_cells,)
    counts : ndarray of shape (n_cells, 1 + n_classes)
        Repeat counts of the target, then of each class of the source.
    sums : ndarray of shape (n_cells, 2, n_classes)
        Sums of the scores of the target's and of the source's rows.
    """

    level: int
    boxes: NDArray[np.uint16]
    keys: NDArray[np.uint64]
    counts: Floats
    sums: Floats


def keys_of(boxes: NDArray[np.uint16]) -> NDArray[np.uint64]:
    """One number for each place; two places share one with probability 2**-64."""
    with np.errstate(over="ignore"):
        powers = np.cumprod(np.full(boxes.shape[1], MIXING, dtype=np.uint64))
        keys: Any = (boxes.astype(np.uint64) + np.uint64(1)) @ powers
        return keys


def _gathered(level: int, boxes: NDArray[np.uint16], counts: Floats, sums: Floats) -> ScoreCells:
    """Cells, those of one place joined."""
    keys = keys_of(boxes)
    found, first, place = np.unique(keys, return_index=True, return_inverse=True)
    joined = np.zeros((len(found), counts.shape[1])), np.zeros((len(found), *sums.shape[1:]))
    np.add.at(joined[0], place, counts)
    np.add.at(joined[1], place, sums)
    return ScoreCells(level, boxes[first], found, *joined)


def coarser(cells: ScoreCells, level: int) -> ScoreCells:
    """The same rows in cells of a coarser level."""
    if level == cells.level:
        return cells
    return _gathered(level, cells.boxes >> np.uint16(cells.level - level), cells.counts, cells.sums)


def bounded_cells(cells: ScoreCells, most: int) -> ScoreCells:
    """Cells joined until they are no more than ``most``."""
    while len(cells.keys) > most and cells.level > 1:
        cells = coarser(cells, cells.level - 1)
    return cells


def block_cells(Z: Floats, truth: NDArray[np.int64], counts: Floats | None, n_classes: int, level: int) -> ScoreCells:
    """Cells of a block of scores of shape (n_classes, n_rows); ``truth`` is 0 for the target, 1 + class for the source.

    Rows of one place are summed by their order, not one by one.
    """
    size = 2**level
    boxes = np.minimum(np.sqrt(np.maximum(Z, 0)) * size, size - 1).astype(np.uint16).T
    keys = keys_of(boxes)
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
    place = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(keys))))
    weight = np.ones(len(keys)) if counts is None else counts[order]
    told = truth[order]
    table: Any = np.bincount(
        place * (1 + n_classes) + told, weights=weight, minlength=len(starts) * (1 + n_classes)
    ).reshape(len(starts), -1)
    sums = np.zeros((len(starts), 2, n_classes))
    weighted = Z[:, order].T * weight[:, np.newaxis]
    # A unit is of one sample.
    sums[:, int(told[0] > 0)] = np.add.reduceat(weighted, starts, axis=0)
    return ScoreCells(level, boxes[order[starts]], keys[starts], table, sums)


def merge_cells(first: ScoreCells, second: ScoreCells, most: int) -> ScoreCells:
    """Cells of the rows of both."""
    level = min(first.level, second.level)
    first, second = coarser(first, level), coarser(second, level)
    both = _gathered(
        level,
        np.concatenate([first.boxes, second.boxes]),
        np.concatenate([first.counts, second.counts]),
        np.concatenate([first.sums, second.sums]),
    )
    return bounded_cells(both, most)


class UnitCells(NamedTuple):
    """Cells, None of no rows, and how many may be kept."""

    cells: ScoreCells | None
    most: int


def unit_cells(unit: Unit, layout: Layout, most: int) -> UnitCells:
    """Cells of the rows of a unit.

    Parameters
    ----------
    unit : Unit
    layout : Layout
    most : int
        Cells to keep, at most.
    """
    found: ScoreCells | None = None
    level = FINEST
    for Z, counts in unit_blocks(unit, np.zeros(len(unit.part.columns))):
        truth = np.zeros(Z.shape[1], np.int64)
        scores = Z
        if not unit.domain:
            scores, truth = Z[:-1], 1 + positions_of(Z[-1], layout.classes, unit)
        check_probabilities(scores, unit)
        cells = block_cells(scores, truth, counts, layout.n_classes, level)
        found = bounded_cells(cells, most) if found is None else merge_cells(found, cells, most)
        # What would be joined anyway need not be told apart first.
        level = found.level
    return UnitCells(found, most)


def merge_unit_cells(first: UnitCells, second: UnitCells) -> UnitCells:
    """Cells of the rows of both."""
    if first.cells is None or second.cells is None:
        return second if first.cells is None else first
    return UnitCells(merge_cells(first.cells, second.cells, first.most), first.most)


class CellRows(NamedTuple):
    """Rows that stand for cells, as methods in memory take them.

    Attributes
    ----------
    source, target : ndarray of shape (n_rows, n_classes)
        Scores.
    labels : ndarray of int
        Class of each source row, as a position.
    source_counts, target_counts : ndarray
        Repeat counts.
    """

    source: Floats
    labels: NDArray[np.intp]
    source_counts: Floats
    target: Floats
    target_counts: Floats


def weighted_scores(cells: ScoreCells) -> CellRows:
    """A row for each cell and class of the source, and one for each cell of the target.

    Both have the cell's mean score over the source; over the target where the source has no row in it.
    """
    of_source, of_target = cells.counts[:, 1:].sum(axis=1), cells.counts[:, 0]
    own = (of_source > 0)[:, np.newaxis]
    total = np.where(own[:, 0], of_source, of_target)
    kept = total > 0
    sums = np.where(own, cells.sums[:, 1], cells.sums[:, 0])[kept]
    means: Any = sums / sums.sum(axis=1, keepdims=True)
    counts = cells.counts[kept]
    cell, label = np.nonzero(counts[:, 1:])
    seen = np.flatnonzero(counts[:, 0])
    return CellRows(means[cell], label, counts[cell, 1 + label], means[seen], counts[seen, 0])
