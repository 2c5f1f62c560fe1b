"""Moments of both samples as sums over units: sizes, means, products, ranges.

Each unit is summed about its own first block, and units are merged by their means (Chan, Golub & LeVeque 1983, Amer.
Statist. 37:242-247, equations 2.1), so that a large offset, as of seconds since 1970, drowns nothing.
"""

from typing import Any, NamedTuple

import numpy as np

from shiftfix._blocks import ColumnSpread
from shiftfix._numerics import Floats
from shiftfix.exceptions import ShiftDataError
from shiftfix.large._units import Unit, refuse_bad_cells, unit_blocks

# The squares of larger values overflow.
LARGEST = 1e150


class SampleMoments(NamedTuple):
    """Of one sample, or of what has been seen of it.

    Attributes
    ----------
    n_rows : int
        Rows, also those of weight 0.
    present : int
        Rows of positive weight.
    total, least : float
        Sum of the weights, and the least positive one.
    mean : ndarray of shape (n_columns,)
    scatter : ndarray of shape (n_columns, n_columns) or (n_columns,)
        Sum of weight * (row - mean)(row - mean)', or its diagonal alone.
    low, high : ndarray of shape (n_columns,)
    """

    n_rows: int
    present: int
    total: float
    least: float
    mean: Floats
    scatter: Floats
    low: Floats
    high: Floats

    @property
    def deviation(self) -> Floats:
        """Standard deviations, 0 for constants; shape (n_columns,)."""
        squares = np.diag(self.scatter) if self.scatter.ndim == 2 else self.scatter
        return np.where(self.low == self.high, 0.0, np.sqrt(np.maximum(squares, 0) / self.total))

    def spread(self, factor: float) -> ColumnSpread:
        """As the summaries take it, repeat counts times ``factor``."""
        mean = np.where(self.low == self.high, self.low, self.mean)
        return ColumnSpread(self.total * factor, mean, self.deviation, self.low, self.high)


# Of both samples, source first; None of one not seen yet.
BothMoments = tuple[SampleMoments | None, SampleMoments | None]


def no_moments(n_columns: int, products: bool) -> SampleMoments:
    """Moments of no rows."""
    shape = (n_columns, n_columns) if products else (n_columns,)
    nothing = np.zeros(n_columns)
    far = np.full(n_columns, np.inf)
    return SampleMoments(0, 0, 0.0, np.inf, nothing, np.zeros(shape), far, -far)


def products_of(Z: Floats, counts: Floats | None, products: bool) -> Floats:
    """Sum of counts * z z' over a block, or its diagonal."""
    if not products:
        return np.einsum("ij,ij->i", Z, Z if counts is None else Z * counts)
    if counts is None:
        return Z @ Z.T
    scaled = Z * np.sqrt(counts)
    return scaled @ scaled.T


class MomentSums:
    """Sums over the blocks of a unit about a pivot.

    Parameters
    ----------
    n_columns : int
    products : bool
        Whether products of columns are summed.
    pivot : ndarray of shape (n_columns,), default=None
        None takes the mean of the first block.
    """

    def __init__(self, n_columns: int, products: bool, pivot: Floats | None = None) -> None:
        self.pivot, self.products = pivot, products
        empty = no_moments(n_columns, products)
        self.first, self.second, self.low, self.high = empty.mean, empty.scatter, empty.low, empty.high
        self.n_rows = self.present = 0
        self.total, self.least = 0.0, np.inf

    def add(self, X: Floats, counts: Floats | None) -> Floats:
        """Add a block of rows, shape (n_columns, n_rows), and take the pivot off them in place; returns the block."""
        if self.pivot is None:
            mean = X.mean(axis=1)
            self.pivot = np.where(np.isfinite(mean), mean, 0.0)
        # Of the values themselves: the range tells constants, and who lies outside.
        there = slice(None) if counts is None or counts.all() else counts > 0
        seen = X[:, there]
        if seen.shape[1]:
            self.low, self.high = np.minimum(self.low, seen.min(axis=1)), np.maximum(self.high, seen.max(axis=1))
        self.n_rows += X.shape[1]
        X -= self.pivot[:, np.newaxis]
        self._add_present(X[:, there], None if counts is None else counts[there])
        return X

    def _add_present(self, Z: Floats, counts: Floats | None) -> None:
        """Add rows of positive weight, less the pivot."""
        if counts is not None and counts.size:
            self.least = min(self.least, float(counts.min()))
        self.present += Z.shape[1]
        self.total += float(Z.shape[1] if counts is None else counts.sum())
        self.first = self.first + (Z.sum(axis=1) if counts is None else Z @ counts)
        self.second = self.second + products_of(Z, counts, self.products)

    def _refuse_huge(self, unit: Unit) -> None:
        size = np.maximum(np.abs(self.low), np.abs(self.high))
        beyond = np.flatnonzero(np.isfinite(size) & (size > LARGEST))
        if beyond.size:
            raise ShiftDataError(
                f"{unit.name}: values up to {size[beyond[0]]:.3g} in column {unit.part.columns[beyond[0]]!r} overflow "
                "when squared: pass it in larger units, or its logarithm."
            )

    def finished(self, unit: Unit) -> SampleMoments:
        """The moments, once all blocks are in; raises for cells that are no finite numbers."""
        if not (np.isfinite(self.first).all() and (self.present == 0 or np.isfinite(self.low + self.high).all())):
            refuse_bad_cells(unit)
        self._refuse_huge(unit)
        total = max(self.total, np.finfo(float).tiny)
        away = self.first / total
        about = np.outer(away, away) if self.products else away**2
        least = 1.0 if np.isinf(self.least) and self.present else self.least
        return SampleMoments(
            self.n_rows,
            self.present,
            self.total,
            least,
            away if self.pivot is None else self.pivot + away,
            self.second - self.total * about,
            self.low,
            self.high,
        )


def by_domain(unit: Unit, found: Any) -> tuple[Any, Any]:
    """What was found of a unit, in the place of its sample."""
    return (None, found) if unit.domain else (found, None)


def unit_moments(unit: Unit, products: bool) -> BothMoments:
    """Moments of the rows of a unit.

    Parameters
    ----------
    unit : Unit
    products : bool
        Whether products of columns are summed, or squares alone.

    Raises
    ------
    ShiftDataError
        For cells that are no finite numbers: names file, column and count.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        n_columns = len(unit.part.columns)
        sums = MomentSums(n_columns, products)
        for X, counts in unit_blocks(unit, np.zeros(n_columns)):
            sums.add(X, counts)
        return by_domain(unit, sums.finished(unit))


def join_moments(first: SampleMoments, second: SampleMoments) -> SampleMoments:
    """Moments of the rows of both."""
    if not (first.total and second.total):
        empty, other = (second, first) if first.total else (first, second)
        return other._replace(n_rows=empty.n_rows + other.n_rows)
    total = first.total + second.total
    gap = second.mean - first.mean
    share = second.total / total
    between = first.total * share
    about = np.outer(gap, gap) if first.scatter.ndim == 2 else gap**2
    return SampleMoments(
        first.n_rows + second.n_rows,
        first.present + second.present,
        total,
        min(first.least, second.least),
        first.mean + share * gap,
        first.scatter + second.scatter + between * about,
        np.minimum(first.low, second.low),
        np.maximum(first.high, second.high),
    )


def merge_moments(first: BothMoments, second: BothMoments) -> BothMoments:
    """Moments of the rows of both, sample by sample."""
    return merge_sides(first, second, join_moments)


def merge_sides(first: Any, second: Any, join: Any) -> Any:
    """Join what is known of each sample, where anything is."""
    return tuple(b if a is None else a if b is None else join(a, b) for a, b in zip(first, second, strict=True))
