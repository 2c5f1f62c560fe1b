"""Units of work: which rows of which file, and of which sample; their rows come in blocks, in buffers made once.

A unit travels to whoever works on it: a file as its path, never as its rows. An array in memory travels whole, so that
what is too large for one machine should be files. How rows are cut into units and blocks decides how sums round; it
depends on the data and on ``rows_per_unit`` alone, never on who does the work.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from shiftfix._naming import chosen_columns, one_line
from shiftfix._numerics import Floats
from shiftfix._values import LARGEST_WHOLE
from shiftfix.exceptions import ShiftDataError

SOURCE_DOMAIN, TARGET_DOMAIN = 0, 1
# 2 MB of float64: a block, its scaled copy and its log odds stay in the cache.
LARGE_BLOCK_ENTRIES = 2**18
# Rows of a block are a multiple of this: losses are multiplied in groups before one logarithm is taken.
LOSS_GROUP = 512
# Rows of an array, or of a file without row groups, that are looked at together.
CHUNK_ROWS = 131_072
# How messages say that columns are chosen; a command line has another word for it.
BY_COLUMNS = "columns=[...]"


class Chunk(Protocol):
    """Some rows of a part, decoded."""

    n_rows: int
    weight: NDArray[Any] | None

    def fill(self, rows: slice, centre: Floats, out: Floats) -> None:
        """Write (row - centre) of some rows into ``out``, shape (n_columns, n_rows)."""


class RowPart(Protocol):
    """Rows that are read in one way: a file, an array."""

    columns: tuple[str, ...]

    @property
    def name(self) -> str:
        """What messages call it."""

    def stamp(self, start: int, stop: int | None) -> list[Any]:
        """What tells these rows from others of the same name."""

    def chunks(self, start: int, stop: int | None) -> Iterator[Chunk]:
        """Its rows from ``start`` to ``stop``, in order."""


def stamp_of_file(path: str) -> list[Any]:
    """Size of a file and when it was changed."""
    found = os.stat(path)
    return [found.st_size, found.st_mtime_ns]


def _digest_of_arrays(*arrays: NDArray[Any] | None) -> str:
    """SHA-256 of arrays: kind, shape and values."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(repr(None if array is None else (array.dtype.str, array.shape)).encode())
        if array is not None:
            found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


class Unit(NamedTuple):
    """Rows ``start`` to ``stop`` of a part (None: to its end, not known before it is read), of source or target."""

    part: RowPart
    start: int
    stop: int | None
    domain: int

    @property
    def name(self) -> str:
        """What messages call it."""
        end = "the end" if self.stop is None else f"{self.stop:,}"
        return f"{self.part.name}, rows {self.start:,} to {end}"


class TableChunk:
    """Rows of an array.

    Parameters
    ----------
    table : ndarray of shape (n_rows, n_columns)
    weight : ndarray of shape (n_rows,), default=None
    """

    def __init__(self, table: NDArray[Any], weight: NDArray[Any] | None = None) -> None:
        self.table, self.weight, self.n_rows = table, weight, len(table)

    def fill(self, rows: slice, centre: Floats, out: Floats) -> None:
        """Write (row - centre) of some rows into ``out``, shape (n_columns, n_rows)."""
        np.subtract(self.table[rows].T, centre[:, np.newaxis], out=out)


class ColumnChunk:
    """Rows of a file, column by column.

    Parameters
    ----------
    values : sequence of n_columns ndarray of shape (n_rows,)
    n_rows : int
    weight : ndarray of shape (n_rows,), default=None
    """

    def __init__(self, values: Sequence[NDArray[Any]], n_rows: int, weight: NDArray[Any] | None = None) -> None:
        self.values, self.n_rows, self.weight = values, n_rows, weight

    def fill(self, rows: slice, centre: Floats, out: Floats) -> None:
        """Write (row - centre) of some rows into ``out``, shape (n_columns, n_rows)."""
        for place, column in enumerate(self.values):
            np.subtract(column[rows], centre[place], out=out[place])


class ArrayPart:
    """An array in memory, with repeat counts or without.

    Parameters
    ----------
    table : ndarray of shape (n_rows, n_columns)
    weight : ndarray of shape (n_rows,) or None
    columns : tuple of str
    name : str
    """

    def __init__(self, table: NDArray[Any], weight: NDArray[Any] | None, columns: tuple[str, ...], name: str) -> None:
        self.table, self.weight, self.columns, self._name = table, weight, columns, name

    @property
    def name(self) -> str:
        """What messages call it."""
        return self._name

    def stamp(self, start: int, stop: int | None) -> list[Any]:
        """Digest of the rows and of their repeat counts."""
        rows = slice(start, stop)
        return [_digest_of_arrays(self.table[rows], None if self.weight is None else self.weight[rows])]

    def chunks(self, start: int, stop: int | None) -> Iterator[Chunk]:
        """Its rows from ``start`` to ``stop``, in order."""
        stop = len(self.table) if stop is None else stop
        for begin in range(start, stop, CHUNK_ROWS):
            rows = slice(begin, min(begin + CHUNK_ROWS, stop))
            yield TableChunk(self.table[rows], None if self.weight is None else self.weight[rows])


class MemmapPart:
    """A memory map: it travels as the path of its file.

    Parameters
    ----------
    table : numpy.memmap of shape (n_rows, n_columns)
    weight : ndarray of shape (n_rows,) or None
    columns : tuple of str
    """

    def __init__(self, table: Any, weight: NDArray[Any] | None, columns: tuple[str, ...]) -> None:
        order = "C" if table.flags.c_contiguous else "F"
        self.where = (str(table.filename), table.dtype.str, table.shape, int(table.offset), order)
        self.writable = table.mode != "r"
        self.weight, self.columns = weight, columns

    @property
    def name(self) -> str:
        """What messages call it."""
        return one_line(self.where[0])

    def stamp(self, start: int, stop: int | None) -> list[Any]:
        """How the file is read, its size and time of change, and a digest of the repeat counts.

        What is written through a map need not change the time: of a writable one the digest is of its rows too.
        """
        weight = None if self.weight is None else self.weight[start:stop]
        rows = self._opened()[start:stop] if self.writable else None
        return [*map(str, self.where[1:]), *stamp_of_file(self.where[0]), _digest_of_arrays(rows, weight)]

    def _opened(self) -> Any:
        path, dtype, shape, offset, order = self.where
        return np.memmap(path, dtype=dtype, mode="r", shape=shape, offset=offset, order=order)  # type: ignore[call-overload]

    def chunks(self, start: int, stop: int | None) -> Iterator[Chunk]:
        """Its rows from ``start`` to ``stop``, in order; what was read leaves the memory with each chunk."""
        stop = self.where[2][0] if stop is None else stop
        for begin in range(start, stop, CHUNK_ROWS):
            rows = slice(begin, min(begin + CHUNK_ROWS, stop))
            yield TableChunk(self._opened()[rows], None if self.weight is None else self.weight[rows])


class DelayedPart:
    """A piece of a Dask array or frame, computed where it is worked on.

    Parameters
    ----------
    piece : dask Delayed
        Of an array of shape (n_rows, n_columns), or of a pandas frame.
    columns : tuple of str
    name : str
    labelled : bool
        Whether the piece is a frame, from which the columns are taken.
    """

    weight = None

    def __init__(self, piece: Any, columns: tuple[str, ...], name: str, labelled: bool) -> None:
        self.piece, self.columns, self._name, self.labelled = piece, columns, name, labelled

    @property
    def name(self) -> str:
        """What messages call it."""
        return self._name

    def stamp(self, start: int, stop: int | None) -> list[Any]:
        """The key by which Dask tells the piece from others."""
        return [str(self.piece.key)]

    def chunks(self, start: int, stop: int | None) -> Iterator[Chunk]:
        """Its rows from ``start`` to ``stop``, in order."""
        found = self.piece.compute(scheduler="synchronous")
        table = chosen_columns(found, self.columns).to_numpy(dtype=np.float64) if self.labelled else np.asarray(found)
        yield from ArrayPart(table, None, self.columns, self._name).chunks(start, stop)


def block_height(n_columns: int) -> int:
    """Rows of a block of so many columns."""
    return max(LOSS_GROUP, LARGE_BLOCK_ENTRIES // max(n_columns, 1) // LOSS_GROUP * LOSS_GROUP)


def unit_blocks(unit: Unit, centre: Floats) -> Iterator[tuple[Floats, Floats | None]]:
    """Blocks of a unit's rows less a centre.

    Parameters
    ----------
    unit : Unit
    centre : ndarray of shape (n_columns,)

    Yields
    ------
    Z : ndarray of shape (n_columns, n_rows)
        In a buffer that the next block overwrites. Each column lies in one piece.
    counts : ndarray of shape (n_rows,) or None
        Sample weights as they were given; None for ones.
    """
    height = block_height(len(centre))
    buffer = np.empty((len(centre), height))
    for chunk in unit.part.chunks(unit.start, unit.stop):
        for begin in range(0, chunk.n_rows, height):
            rows = slice(begin, min(begin + height, chunk.n_rows))
            Z = buffer[:, : rows.stop - begin]
            chunk.fill(rows, centre, Z)
            yield Z, None if chunk.weight is None else _counts_of(chunk.weight[rows], unit)


def _counts_of(weight: NDArray[Any], unit: Unit) -> Floats:
    """Checked sample weights of a block."""
    counts: Floats = weight.astype(np.float64, copy=False)
    bad = ~(np.isfinite(counts) & (counts >= 0))
    if bad.any():
        raise ShiftDataError(
            f"{unit.name}: the sample weights hold {int(bad.sum())} negative, missing or infinite values; repeat "
            "counts are needed: finite numbers >= 0."
        )
    if counts.max(initial=0.0) > LARGEST_WHOLE:
        raise ShiftDataError(
            f"{unit.name}: the sample weights hold {counts.max():g}, and more than {LARGEST_WHOLE:.2g} rows cannot be "
            "counted: divide them by their maximum if only the ratios matter."
        )
    return counts


def refuse_bad_cells(unit: Unit) -> None:
    """Raise ShiftDataError for the cells of a unit that are no finite numbers: file, column and count."""
    found = np.zeros(len(unit.part.columns), dtype=np.int64)
    for Z, _ in unit_blocks(unit, np.zeros(len(found))):
        found += Z.shape[1] - np.isfinite(Z).sum(axis=1)
    bad = np.flatnonzero(found)
    if not bad.size:
        return
    named = [f"{int(found[j]):,} in column {unit.part.columns[j]!r}" for j in bad[:5]]
    more = f" and in {bad.size - 5} more columns" if bad.size > 5 else ""
    raise ShiftDataError(
        f"{unit.name}: values that are missing, NaN or infinite: {', '.join(named)}{more}. Impute or drop them, or "
        f"leave the column out with {BY_COLUMNS}."
    )


def cut_rows(groups: Sequence[int], rows_per_unit: int) -> list[tuple[int, int]]:
    """Ranges of rows of about ``rows_per_unit``, at the borders of row groups where those are no longer than that.

    Parameters
    ----------
    groups : sequence of int
        Rows of each row group of a file.
    rows_per_unit : int

    Returns
    -------
    list of (start, stop)
        In order, covering all rows, none empty.
    """
    borders = np.concatenate([[0], np.cumsum(np.asarray(groups, dtype=np.int64))])
    ranges: list[tuple[int, int]] = []
    start = 0
    for low, high in zip(borders[:-1].tolist(), borders[1:].tolist(), strict=True):
        if high - start > rows_per_unit and low > start:
            ranges.append((start, low))
            start = low
        while high - start > rows_per_unit:
            ranges.append((start, start + rows_per_unit))
            start += rows_per_unit
    total = int(borders[-1])
    return [*ranges, (start, total)] if total > start else ranges
