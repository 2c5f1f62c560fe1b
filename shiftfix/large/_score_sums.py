"""Scores of both samples as sums over units: confusion counts, confusion matrices of probabilities, and bins of scores.

Columns of a unit are the scores, one per class, or one column of predicted labels; of the source one more, the true
label. Scores are added up in float32 within a block and in float64 beyond it, as in memory where they are float32.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shiftfix._numerics import Floats
from shiftfix.exceptions import ShiftDataError
from shiftfix.large._moments import by_domain, merge_sides
from shiftfix.large._units import Unit, refuse_bad_cells, unit_blocks

# Rows of probabilities sum to 1 up to this.
SUM_TOLERANCE = 1e-3


class Layout(NamedTuple):
    """What the columns of a unit are.

    Attributes
    ----------
    classes : tuple of float
        Labels, in the order of the scores.
    soft : bool
        Whether probabilities are averaged; otherwise their arg max is counted, or the one column of predicted labels.
    with_labels : bool
        Whether the last column is the true label (source) and not one of the scores (target).
    """

    classes: tuple[float, ...]
    soft: bool

    @property
    def n_classes(self) -> int:
        """How many labels there are."""
        return len(self.classes)


class SideSums(NamedTuple):
    """Of one sample: repeat counts, sums of scores and of their products by class (of the target: one class).

    Attributes
    ----------
    rows : ndarray of shape (n_groups,)
    scores : ndarray of shape (n_groups, n_classes)
    products : ndarray of shape (n_groups, n_classes, n_classes) or None
        None for counted predictions.
    """

    rows: Floats
    scores: Floats
    products: Floats | None


def positions_of(labels: Floats, classes: tuple[float, ...], unit: Unit) -> NDArray[np.int64]:
    """Positions of labels among the classes.

    Raises
    ------
    ShiftDataError
        For labels that are none of the classes.
    """
    known = np.asarray(classes)
    place = labels.astype(np.int64) if _are_positions(known, labels) else _searched(known, labels)
    if place.size and (place.min() < 0 or place.max() >= len(known)):
        wrong = labels[(place < 0) | (place >= len(known))]
        raise ShiftDataError(
            f"{unit.name}: {len(wrong):,} labels are none of the classes, such as {float(wrong[0]):g}; the classes are "
            f"{[float(c) for c in classes[:10]]}."
        )
    return place


def _are_positions(known: Floats, labels: Floats) -> bool:
    """Whether the classes are 0, 1, 2, ... and so are the labels: then they are their own positions."""
    if not np.array_equal(known, np.arange(len(known))):
        return False
    with np.errstate(invalid="ignore"):
        return bool((labels == np.floor(labels)).all())


def _searched(known: Floats, labels: Floats) -> NDArray[np.int64]:
    """Positions by search; -1 for what is not there."""
    order = np.argsort(known)
    place = np.minimum(np.searchsorted(known[order], labels), len(known) - 1)
    found: NDArray[np.int64] = order[place]
    return np.where(known[found] == labels, found, -1)


def largest_place(Z: Floats) -> NDArray[np.int64]:
    """Place of the largest of each column of (n_classes, n_rows), ties to the first; shape (n_rows,)."""
    best, place = Z[0].copy(), np.zeros(Z.shape[1], dtype=np.int64)
    for k in range(1, len(Z)):
        larger = Z[k] > best
        np.maximum(best, Z[k], out=best)
        place[larger] = k
    return place


def check_probabilities(Z: Floats, unit: Unit) -> None:
    """Raise for scores of shape (n_classes, n_rows) that are no probabilities."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = Z.sum(axis=0)
    if not np.isfinite(total).all():
        refuse_bad_cells(unit)
    low, gap = float(Z.min(initial=0.0)), float(np.abs(total - 1).max(initial=0.0))
    if low < 0 or gap > SUM_TOLERANCE:
        what = f"a score is {low:.3g}" if low < 0 else f"the scores of a row sum to {1 + gap:.4g} or {1 - gap:.4g}"
        raise ShiftDataError(f"{unit.name}: {what}: pass class probabilities, one column per class.")


class _ScoreAdder:
    """Sums over the blocks of a unit."""

    def __init__(self, unit: Unit, layout: Layout) -> None:
        self.unit, self.layout, k = unit, layout, layout.n_classes
        self.groups = 1 if unit.domain else k
        self.rows, self.scores = np.zeros(self.groups), np.zeros((self.groups, k))
        self.products = np.zeros((self.groups, k, k)) if layout.soft else None

    def add(self, Z: Floats, counts: Floats | None) -> None:
        """Add a block; the source's last row is the label."""
        n_scores = len(Z) - (self.unit.domain == 0)
        truth = np.zeros(Z.shape[1], np.int64)
        if not self.unit.domain:
            truth = positions_of(Z[-1], self.layout.classes, self.unit)
        if self.layout.soft:
            self._add_soft(Z[:n_scores], truth, counts)
        else:
            self._add_hard(Z[:n_scores], truth, counts)

    def _add_hard(self, Z: Floats, truth: NDArray[np.int64], counts: Floats | None) -> None:
        k = self.layout.n_classes
        if len(Z) == 1:
            predicted = positions_of(Z[0], self.layout.classes, self.unit)
        else:
            check_probabilities(Z, self.unit)
            predicted = largest_place(Z)
        found = np.bincount(truth * k + predicted, weights=counts, minlength=self.groups * k).reshape(-1, k)
        self.scores += found
        self.rows += found.sum(axis=1)

    def _add_soft(self, Z: Floats, truth: NDArray[np.int64], counts: Floats | None) -> None:
        assert self.products is not None  # soft sums have products
        check_probabilities(Z, self.unit)
        self.rows += np.bincount(truth, weights=counts, minlength=self.groups)
        small = Z.astype(np.float32)
        weighted = small if counts is None else small * counts.astype(np.float32)
        for group in range(self.groups):
            members = slice(None) if self.groups == 1 else np.flatnonzero(truth == group)
            some = weighted[:, members]
            self.scores[group] += some.sum(axis=1, dtype=np.float64)
            self.products[group] += some @ small[:, members].T


def unit_scores(unit: Unit, layout: Layout) -> tuple[SideSums | None, SideSums | None]:
    """Sums over the rows of a unit.

    Parameters
    ----------
    unit : Unit
    layout : Layout

    Raises
    ------
    ShiftDataError
        For scores that are no probabilities, and labels that are none of the classes.
    """
    adder = _ScoreAdder(unit, layout)
    for Z, counts in unit_blocks(unit, np.zeros(len(unit.part.columns))):
        adder.add(Z, counts)
    return by_domain(unit, SideSums(adder.rows, adder.scores, adder.products))


def _add_side(first: SideSums, second: SideSums) -> SideSums:
    products = None
    if first.products is not None and second.products is not None:
        products = first.products + second.products
    return SideSums(first.rows + second.rows, first.scores + second.scores, products)


def merge_scores(first: Any, second: Any) -> Any:
    """Sums over the rows of both, sample by sample."""
    return merge_sides(first, second, _add_side)


def unit_labels(unit: Unit, place: int) -> NDArray[Any]:
    """Labels that occur in one column of a unit, sorted; nothing of a target's."""
    if unit.domain:
        return np.zeros(0)
    found = np.zeros(0)
    for Z, _ in unit_blocks(unit, np.zeros(len(unit.part.columns))):
        if not np.isfinite(Z[place]).all():
            refuse_bad_cells(unit)
        found = np.union1d(found, Z[place])
    return found


def merge_labels(first: Floats, second: Floats) -> Floats:
    """Labels of both."""
    return np.union1d(first, second)
