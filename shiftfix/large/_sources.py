"""What a user calls a sample (files, arrays, memory maps, Dask collections), as units of work."""

import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from shiftfix._naming import column_names, differences
from shiftfix._validation import check_matrix, check_repeat_counts
from shiftfix.exceptions import ShiftDataError
from shiftfix.large._parquet import Footer, file_parts, freeze_schema, list_files, read_footers
from shiftfix.large._units import SOURCE_DOMAIN, TARGET_DOMAIN, ArrayPart, DelayedPart, MemmapPart, Unit, cut_rows

SAMPLE_NAMES = ("source", "target")


class Plan(NamedTuple):
    """The work that two samples make.

    Attributes
    ----------
    units : list of Unit
        In order: source, then target.
    columns : tuple of str
        What messages call the columns.
    named : bool
        Whether the user named them.
    """

    units: list[Unit]
    columns: tuple[str, ...]
    named: bool


def is_files(sample: Any) -> bool:
    """Whether a sample is given by paths or as an Arrow dataset."""
    if isinstance(sample, list | tuple) and sample:
        return all(map(is_files, sample))
    return isinstance(sample, str | os.PathLike) or (hasattr(sample, "files") and hasattr(sample, "schema"))


def _is_dask(sample: Any) -> bool:
    return hasattr(sample, "to_delayed") and hasattr(sample, "__dask_graph__")


def check_columns(columns: Any) -> list[str] | None:
    """Names of columns as a list; None for all."""
    if columns is None:
        return None
    if isinstance(columns, str) or not isinstance(columns, Iterable):
        raise ShiftDataError(f"columns={columns!r}: a list of names is needed, or None for all columns.")
    names = list(columns)
    if not names or not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
        raise ShiftDataError(f"columns={names!r}: names, each once, are needed.")
    return names


def make_plan(
    samples: Sequence[Any],
    columns: Sequence[str] | None,
    weights: Sequence[Any],
    rows_per_unit: int,
    first_domain: int = SOURCE_DOMAIN,
) -> Plan:
    """Units of one or two samples, checked by their schema before a row is read.

    Parameters
    ----------
    samples : sequence of one or two
        Source, then target.
    columns : sequence of str or None
    weights : sequence, as long
        Repeat counts of each: the name of a column of files, an array beside an array, or None.
    rows_per_unit : int
    first_domain : int, default=0
        1 where the target alone is asked for.

    Raises
    ------
    ShiftDataError
        For files that disagree, samples of different columns, no rows.
    """
    names_of = SAMPLE_NAMES[first_domain : first_domain + len(samples)]
    footers = [
        read_footers(list_files(sample, name)) if is_files(sample) else None
        for sample, name in zip(samples, names_of, strict=True)
    ]
    of_files = [footer for found in footers if found is not None for footer in found]
    for weight, found in zip(weights, footers, strict=True):
        _check_weight_column(weight, found)
    shared = None
    if of_files:
        names = [w if isinstance(w, str) else None for w in weights]
        shared = freeze_schema(of_files, columns, names)
    units: list[Unit] = []
    known: list[tuple[str, ...] | None] = []
    given = zip(samples, weights, footers, strict=True)
    for domain, (sample, weight, found) in enumerate(given, start=first_domain):
        made, said = (
            (_file_units(found, shared or (), weight, domain, rows_per_unit), shared)
            if found is not None
            else _table_units(sample, weight, columns, domain, rows_per_unit)
        )
        if not made:
            raise ShiftDataError(f"The {SAMPLE_NAMES[domain]} has no rows: pass at least one.")
        units += made
        known.append(said)
    _check_same_width(units, known)
    named = next((names for names in known if names is not None), None)
    return Plan(units, named or units[0].part.columns, named is not None)


def _check_weight_column(weight: Any, footers: Sequence[Footer] | None) -> None:
    """Raise unless repeat counts of files are a column of theirs, and those of anything else are not."""
    if weight is None:
        return
    if (footers is None) == isinstance(weight, str):
        needed = "an array, one number per row" if footers is None else "the name of a column of the files"
        raise ShiftDataError(f"sample_weight is a {type(weight).__name__}: {needed} is needed for this sample.")
    if footers is not None:
        freeze_schema(footers, [weight], [])


def _file_units(
    footers: Sequence[Footer], columns: tuple[str, ...], weight: str | None, domain: int, rows_per_unit: int
) -> list[Unit]:
    return [
        Unit(part, start, stop, domain)
        for part in file_parts(footers, columns, weight)
        for start, stop in cut_rows(part.groups, rows_per_unit)
    ]


def _table_units(
    sample: Any, weight: Any, columns: Sequence[str] | None, domain: int, rows_per_unit: int
) -> tuple[list[Unit], tuple[str, ...] | None]:
    """Units of anything but files, and the names of the columns where there are any."""
    name = SAMPLE_NAMES[domain]
    if _is_dask(sample):
        return _dask_units(sample, weight, columns, domain)
    names = column_names(sample)
    if columns is not None and names is None:
        raise ShiftDataError(f"columns names columns, and the {name} is an array without names: pass None, or a frame.")
    if columns is not None and names is not None:
        missing, _ = differences(columns, names)
        if missing:
            raise ShiftDataError(f"The {name} lacks the columns {missing}; it has {names}.")
        sample, names = sample[list(columns)], list(columns)
    is_map = isinstance(sample, np.memmap) and sample.ndim == 2 and sample.dtype.kind in "fiu" and _is_whole(sample)
    table = sample if is_map else check_matrix(sample, name, dtype=[np.float64, np.float32])
    counts = None if weight is None else check_repeat_counts(weight, len(table), f"sample_weight_{name}")
    said = tuple(names) if names is not None else tuple(f"x{j}" for j in range(table.shape[1]))
    ranges = cut_rows([len(table)], rows_per_unit)
    if is_map:
        part = MemmapPart(table, counts, said)
        return [Unit(part, start, stop, domain) for start, stop in ranges], None
    # Each unit carries its own rows alone.
    units = []
    for start, stop in ranges:
        some = None if counts is None else counts[start:stop]
        units.append(
            Unit(ArrayPart(table[start:stop], some, said, f"{name} (from row {start:,})"), 0, stop - start, domain)
        )
    return units, None if names is None else said


def _is_whole(table: Any) -> bool:
    """Whether a memory map is that of a file, and no slice of one: a slice forgets where it begins."""
    base = getattr(table, "base", None)
    return not isinstance(base, np.memmap) and (table.flags.c_contiguous or table.flags.f_contiguous)


def _dask_units(
    sample: Any, weight: Any, columns: Sequence[str] | None, domain: int
) -> tuple[list[Unit], tuple[str, ...] | None]:
    """One unit for each piece of a Dask array or frame."""
    name = SAMPLE_NAMES[domain]
    if weight is not None:
        raise ShiftDataError(f"sample_weight of the {name}: a Dask collection takes none; write it to files first.")
    names = column_names(sample)
    if names is not None:
        wanted = tuple(names if columns is None else columns)
        missing, _ = differences(wanted, names)
        if missing:
            raise ShiftDataError(f"The {name} lacks the columns {missing}; it has {names}.")
        pieces = sample.to_delayed()
    else:
        if sample.ndim != 2 or sample.numblocks[1] != 1:
            raise ShiftDataError(f"The {name} is cut across its columns: rechunk({{1: -1}}) it first.")
        wanted, pieces = tuple(f"x{j}" for j in range(sample.shape[1])), sample.to_delayed().ravel()
    units = [
        Unit(DelayedPart(piece, wanted, f"{name}, piece {i}", names is not None), 0, None, domain)
        for i, piece in enumerate(pieces)
    ]
    return units, None if names is None else wanted


def _check_same_width(units: Sequence[Unit], known: Sequence[tuple[str, ...] | None]) -> None:
    """Raise unless both samples have as many columns, and the same names where both have names."""
    widths = {unit.domain: len(unit.part.columns) for unit in units}
    if len(set(widths.values())) > 1:
        raise ShiftDataError(
            f"The source has {widths[SOURCE_DOMAIN]} columns and the target {widths[TARGET_DOMAIN]}: pass both with "
            "the same columns."
        )
    if len(known) == 2 and None not in known and known[0] != known[1]:
        missing, more = differences(known[0] or (), known[1] or ())
        raise ShiftDataError(
            f"The columns of source and target differ (missing in the target: {missing}, only there: {more}, or in "
            "another order): pass both with the same columns."
        )
