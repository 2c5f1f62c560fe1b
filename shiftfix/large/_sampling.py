"""A sample of the rows of all units, to begin a fit near its end.

Rows are taken in runs, since a file is decoded in runs; where they begin depends on the unit alone. A sample that
is not representative, as of files sorted by time, makes the fit longer and never wrong.
"""

from typing import Any, NamedTuple

import numpy as np

from shiftfix._numerics import Floats
from shiftfix.large._moments import by_domain, merge_sides
from shiftfix.large._units import Unit, refuse_bad_cells, unit_blocks

# Runs of rows over all units, at least: few long runs say little of files sorted by a column.
LEAST_RUNS = 32
GOLDEN = (5**0.5 - 1) / 2


class SampleRows(NamedTuple):
    """Rows, shape (n_rows, n_columns), and their sample weights, shape (n_rows,); each cut into pieces."""

    rows: list[Floats]
    counts: list[Floats]

    def joined(self) -> tuple[Floats, Floats]:
        """Rows and weights in one piece; the pieces are given up one by one."""
        rows, at = np.empty((sum(map(len, self.rows)), self.rows[0].shape[1])), 0
        self.rows.reverse()
        while self.rows:
            piece = self.rows.pop()
            rows[at : at + len(piece)] = piece
            at += len(piece)
        return rows, np.concatenate(self.counts)


class SampleSize(NamedTuple):
    """How many rows to take.

    Attributes
    ----------
    share : float
        Of the rows of a unit whose length is known.
    per_unit : int
        Of any other.
    runs : int
        In which the rows of a unit are taken.
    """

    share: float
    per_unit: int
    runs: int


def sample_size(units: list[Unit], n_rows: int) -> SampleSize:
    """Shares that make about ``n_rows`` rows of both samples together."""
    known = sum(unit.stop - unit.start for unit in units if unit.stop is not None)
    unknown = sum(unit.stop is None for unit in units)
    per_unit = max(1, n_rows // len(units))
    share = min(1.0, (n_rows - unknown * per_unit) / known) if known else 0.0
    return SampleSize(share, per_unit, max(1, -(-LEAST_RUNS // len(units))))


def _runs_of(unit: Unit, size: SampleSize) -> list[tuple[int, int]]:
    """Ranges of rows to take of a unit of known length."""
    length = (unit.stop or 0) - unit.start
    part = length / size.runs
    take = max(1, round(part * size.share))
    found = []
    for run in range(size.runs):
        low, high = unit.start + round(run * part), unit.start + round((run + 1) * part)
        room = max(0, high - low - take)
        begin = low + int(room * ((unit.start + run + 1) * GOLDEN % 1.0))
        if min(begin + take, high) > begin:
            found.append((begin, min(begin + take, high)))
    return found


def _rows_of(unit: Unit) -> tuple[Floats, Floats]:
    pieces, counts = [], []
    for Z, c in unit_blocks(unit, np.zeros(len(unit.part.columns))):
        pieces.append(Z.T.copy())
        counts.append(np.ones(Z.shape[1]) if c is None else c.copy())
    if not pieces:
        return np.zeros((0, len(unit.part.columns))), np.zeros(0)
    return np.concatenate(pieces), np.concatenate(counts)


def unit_sample(unit: Unit, size: SampleSize) -> tuple[SampleRows | None, SampleRows | None]:
    """Some rows of a unit."""
    if unit.stop is None:
        rows, counts = _rows_of(unit)
        taken = np.unique(np.linspace(0, max(len(rows) - 1, 0), min(size.per_unit, len(rows))).astype(np.int64))
        found = SampleRows([rows[taken]], [counts[taken]])
    else:
        pairs = [_rows_of(unit._replace(start=start, stop=stop)) for start, stop in _runs_of(unit, size)]
        found = SampleRows([rows for rows, _ in pairs], [counts for _, counts in pairs])
    if not all(np.isfinite(rows).all() for rows in found.rows):
        refuse_bad_cells(unit)
    return by_domain(unit, found)


def _join_samples(first: SampleRows, second: SampleRows) -> SampleRows:
    return SampleRows(first.rows + second.rows, first.counts + second.counts)


def merge_samples(first: Any, second: Any) -> Any:
    """Rows of both, sample by sample."""
    return merge_sides(first, second, _join_samples)
