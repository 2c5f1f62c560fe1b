"""What a user calls a sample (files, arrays, memory maps, Dask collections), as units of work."""

import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from shiftfix._naming import chosen_columns, column_names, differences, one_line
from shiftfix._validation import check_matrix, check_repeat_counts
from shiftfix.exceptions import ShiftDataError
from shiftfix.large._parquet import Footer, check_one_type, file_parts, freeze_schema, is_arrow_dataset, open_footers
from shiftfix.large._units import (
    BY_COLUMNS,
    SOURCE_DOMAIN,
    TARGET_DOMAIN,
    ArrayPart,
    DelayedPart,
    MemmapPart,
    Unit,
    cut_rows,
)

SAMPLE_NAMES = ("source", "target")


class UnitPlan(NamedTuple):
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
    several = isinstance(sample, list | tuple) and len(sample) > 0
    return all(map(_is_file, sample)) if several else _is_file(sample)


def _is_file(given: Any) -> bool:
    return isinstance(given, str | os.PathLike) or is_arrow_dataset(given)


def _is_dask(sample: Any) -> bool:
    return hasattr(sample, "to_delayed") and hasattr(sample, "__dask_graph__")


def check_column_names(columns: Any) -> list[str] | None:
    """Names of columns as a list; None for all."""
    if columns is None:
        return None
    if isinstance(columns, str) or not isinstance(columns, Iterable):
        raise ShiftDataError(f"columns={columns!r}: a list of names is needed, or None for all columns.")
    names = list(columns)
    if not names or not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
        raise ShiftDataError(f"columns={names!r}: names, each once, are needed.")
    return names


def check_kept(source: Any, keep: Any) -> list[str]:
    """Columns to copy beside weights, that all files have.

    Raises
    ------
    ShiftDataError
        For a source that is no files, and for columns that are not in all of them, of several types or called "weight".
    """
    names = check_column_names(keep or None) or []
    if names and not is_files(source):
        raise ShiftDataError("keep copies columns of files, and the source is none: leave it out.")
    footers = open_footers(source, "source") if names else []
    for footer in footers:
        missing, _ = differences(names, footer.types)
        if missing:
            raise ShiftDataError(f"keep={names}: {one_line(footer.path)} has no columns {missing}.")
    for name in names:
        check_one_type(name, {footer.path: footer.types[name] for footer in footers}, "leave it out of what is kept")
    if "weight" in names:
        raise ShiftDataError("keep holds 'weight', which is what the new column is called: leave it out.")
    return names


class _Sample(NamedTuple):
    """One sample as it was given, its repeat counts, its footers (None unless it is files), and its place."""

    given: Any
    weight: Any
    footers: Sequence[Footer] | None
    domain: int


def make_plan(
    samples: Sequence[Any],
    columns: Sequence[str] | None,
    weights: Sequence[Any],
    rows_per_unit: int,
    first_domain: int = SOURCE_DOMAIN,
) -> UnitPlan:
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
    opened = [
        _Sample(sample, weight, _footers_of(sample, SAMPLE_NAMES[domain]), domain)
        for domain, (sample, weight) in enumerate(zip(samples, weights, strict=True), start=first_domain)
    ]
    shared = _shared_columns(opened, columns)
    units: list[Unit] = []
    known: list[tuple[str, ...] | None] = []
    for sample in opened:
        made, said = _units_of(sample, shared, columns, rows_per_unit)
        if not made:
            raise ShiftDataError(f"The {SAMPLE_NAMES[sample.domain]} has no rows: pass at least one.")
        units += made
        known.append(said)
    _check_same_width(units, known)
    named = next((names for names in known if names is not None), None)
    return UnitPlan(units, named or units[0].part.columns, named is not None)


def _footers_of(sample: Any, name: str) -> list[Footer] | None:
    return open_footers(sample, name) if is_files(sample) else None


def _shared_columns(samples: Sequence[_Sample], columns: Sequence[str] | None) -> tuple[str, ...] | None:
    """The columns that the files of all samples are read by; None without files."""
    for sample in samples:
        _check_weight_column(sample.weight, sample.footers)
    footers = [footer for sample in samples for footer in sample.footers or ()]
    if not footers:
        return None
    return freeze_schema(footers, columns, [s.weight if isinstance(s.weight, str) else None for s in samples])


def _units_of(
    sample: _Sample, shared: tuple[str, ...] | None, columns: Sequence[str] | None, rows_per_unit: int
) -> tuple[list[Unit], tuple[str, ...] | None]:
    """Units of a sample, and the names of its columns where it has any."""
    if sample.footers is not None:
        assert shared is not None  # files share columns
        return _file_units(sample.footers, shared, sample.weight, sample.domain, rows_per_unit), shared
    if _is_dask(sample.given):
        return _dask_units(sample.given, sample.weight, columns, sample.domain)
    return _table_units(sample.given, sample.weight, columns, sample.domain, rows_per_unit)


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
    """Units of an array, a frame or a memory map."""
    name = SAMPLE_NAMES[domain]
    sample, names = choose_columns(sample, columns, name)
    is_map = _is_whole_map(sample)
    table = sample if is_map else check_matrix(sample, name, dtype=[np.float64, np.float32])
    counts = None if weight is None else check_repeat_counts(weight, len(table), f"sample_weight_{name}")
    said = tuple(names) if names is not None else tuple(f"x{j}" for j in range(table.shape[1]))
    ranges = cut_rows([len(table)], rows_per_unit)
    if is_map:
        part = MemmapPart(table, counts, said)
        return [Unit(part, start, stop, domain) for start, stop in ranges], None
    units = [Unit(_slice_of(table, counts, said, name, rows), 0, rows[1] - rows[0], domain) for rows in ranges]
    return units, None if names is None else said


def choose_columns(sample: Any, columns: Sequence[str] | None, name: str) -> tuple[Any, list[str] | None]:
    """A sample with the columns that were chosen, and their names; None of what has no names."""
    names = column_names(sample)
    if columns is None:
        return sample, names
    if names is None:
        raise ShiftDataError(f"{list(columns)} names columns, and the {name} is an array without names: pass a frame.")
    _refuse_missing(columns, names, name)
    return chosen_columns(sample, columns), list(columns)


def _refuse_missing(columns: Sequence[str], names: Sequence[str], name: str) -> None:
    missing, _ = differences(columns, names)
    if missing:
        raise ShiftDataError(f"The {name} lacks the columns {missing}; it has {list(names)}.")


def _slice_of(table: Any, counts: Any, said: tuple[str, ...], name: str, rows: tuple[int, int]) -> ArrayPart:
    """Some rows of an array, which travel without the others."""
    start, stop = rows
    return ArrayPart(
        table[start:stop], None if counts is None else counts[start:stop], said, f"{name} (from row {start:,})"
    )


def _is_whole_map(table: Any) -> bool:
    """Whether a sample is the memory map of a file, and no slice of one: a slice forgets where it begins."""
    if not isinstance(table, np.memmap) or table.ndim != 2 or table.dtype.kind not in "fiu":
        return False
    # What is computed of a map has its type and no file; changes of a copy-on-write one are not in the file.
    if table.filename is None or table.mode == "c":
        return False
    return not isinstance(table.base, np.memmap) and (table.flags.c_contiguous or table.flags.f_contiguous)


def _dask_units(
    sample: Any, weight: Any, columns: Sequence[str] | None, domain: int
) -> tuple[list[Unit], tuple[str, ...] | None]:
    """One unit for each piece of a Dask array or frame."""
    name = SAMPLE_NAMES[domain]
    if weight is not None:
        raise ShiftDataError(f"sample_weight of the {name}: a Dask collection takes none; write it to files first.")
    if any(type(task).__module__.startswith("distributed.") for task in dict(sample.__dask_graph__()).values()):
        raise ShiftDataError(
            f"The {name} is persisted on a Dask cluster, and each piece is computed where it is worked on: pass the "
            "collection as it was before persist(), or write it to Parquet."
        )
    if getattr(sample, "ndim", None) != 2:
        raise ShiftDataError(
            f"The {name} is a Dask {type(sample).__name__}: pass a frame, or an array of two dimensions."
        )
    names = column_names(sample)
    if names is not None:
        wanted = tuple(names if columns is None else columns)
        _refuse_missing(wanted, names, name)
        _refuse_no_numbers(dict(zip(names, sample.dtypes, strict=True)), wanted, name)
        pieces = sample.to_delayed()
    else:
        if np.isnan(sample.shape[1]):
            raise ShiftDataError(
                f"The {name} is a Dask array of shape {sample.shape}: how many columns there are must be known "
                "(compute_chunk_sizes())."
            )
        if sample.numblocks[1] != 1:
            raise ShiftDataError(f"The {name} is cut across its columns: rechunk({{1: -1}}) it first.")
        wanted, pieces = tuple(f"x{j}" for j in range(sample.shape[1])), sample.to_delayed().ravel()
    units = [
        Unit(DelayedPart(piece, wanted, f"{name}, piece {i}", names is not None), 0, None, domain)
        for i, piece in enumerate(pieces)
    ]
    return units, None if names is None else wanted


def _refuse_no_numbers(types: dict[str, Any], wanted: Sequence[str], name: str) -> None:
    """Raise for columns of a Dask frame whose values a conversion would make numbers of, such as times."""
    for column in wanted:
        if getattr(types[column], "kind", "") not in "biuf":
            raise ShiftDataError(
                f"Column {column!r} of the {name} holds {types[column]} values, and numbers are needed: encode it, or "
                f"leave it out with {BY_COLUMNS}."
            )


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
