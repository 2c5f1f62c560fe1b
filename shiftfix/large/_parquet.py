"""Parquet and Arrow files as parts: found, held to one schema by name and type, read by row groups.

Readers silently drop, fill with nulls or cast where files disagree. Here every footer is compared with one frozen
schema before a row is read.
"""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shiftfix._naming import differences, one_line
from shiftfix._setting_checks import import_optional
from shiftfix.exceptions import ShiftDataError
from shiftfix.large._units import BY_COLUMNS, CHUNK_ROWS, Chunk, ColumnChunk, stamp_of_file

SUFFIXES = (".parquet", ".pq", ".arrow", ".feather", ".ipc")
# Row groups up to this long are decoded whole: slices of one cost nearly as much as all of it.
WHOLE_GROUP = 2 * CHUNK_ROWS
FOOTER_THREADS = 8
MOST_FILES_NAMED = 3


class Footer(NamedTuple):
    """What the end of a file says of it.

    Attributes
    ----------
    path : str
    types : dict of str to str
        Type of each column; of a dictionary, that of its values.
    groups : tuple of int
        Rows of each row group.
    keys : dict of str to str
        Columns that the names of its folders hold (``day=3``).
    """

    path: str
    types: dict[str, str]
    groups: tuple[int, ...]
    keys: dict[str, str]


class FilePart:
    """A Parquet or Arrow file.

    Parameters
    ----------
    path : str
    columns : tuple of str
        To read, in this order.
    weight : str or None
        Column of repeat counts.
    groups : tuple of int
        Rows of each row group.
    keys : dict of str to float
        Columns whose one value stands in the names of the folders.
    """

    def __init__(
        self,
        path: str,
        columns: tuple[str, ...],
        weight: str | None,
        groups: tuple[int, ...],
        keys: dict[str, float],
    ) -> None:
        self.path, self.columns, self.weight, self.groups, self.keys = path, columns, weight, groups, keys

    @property
    def name(self) -> str:
        """What messages call it."""
        return one_line(self.path)

    def stamp(self, start: int, stop: int | None) -> list[Any]:
        """Size of the file and when it was changed."""
        return stamp_of_file(self.path)

    def chunks(self, start: int, stop: int | None) -> Iterator[Chunk]:
        """Its rows from ``start`` to ``stop``, in order."""
        stored = [name for name in self.columns if name not in self.keys]
        wanted = list(dict.fromkeys(stored if self.weight is None else [*stored, self.weight]))
        for begin, end in self._slices(start, sum(self.groups) if stop is None else stop):
            rows = end - begin
            frame: Any = rows_of_file(self.path, wanted, begin, rows) if wanted else None
            if frame is not None and frame.height != rows:
                raise ShiftDataError(
                    f"{self.name} has changed since its footer was read: rows {begin:,} to {end:,} are no longer "
                    "there. Fit again once nobody writes to it."
                )
            values = [self._values(frame, name, rows) for name in self.columns]
            weight = None if self.weight is None else _as_array_of_numbers(frame[self.weight])
            yield ColumnChunk(values, rows, weight)

    def _values(self, frame: Any, name: str, rows: int) -> NDArray[Any]:
        return np.full(rows, self.keys[name]) if name in self.keys else _as_array_of_numbers(frame[name])

    def _slices(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """What is read in one go: a row group, or some rows of a long one."""
        low = 0
        for group in self.groups:
            high = low + group
            step = group if group <= WHOLE_GROUP else CHUNK_ROWS
            for begin in range(low, high, max(step, 1)):
                first, last = max(begin, start), min(begin + step, high, stop)
                if first < last:
                    yield first, last
            low = high


def is_parquet(path: str) -> bool:
    """Whether a file is taken for Parquet: all that are not Arrow files by their names."""
    return not path.endswith(SUFFIXES[2:])


def rows_of_file(path: str, columns: Sequence[str], start: int, n_rows: int) -> Any:
    """Some rows of some columns of a file as a polars frame; path and names are no patterns, whatever they hold."""
    polars = import_optional("polars", "large")
    scan = polars.scan_parquet if is_parquet(path) else polars.scan_ipc
    chosen = scan(glob.escape(path), hive_partitioning=False).select(polars.selectors.by_name(*columns))
    return chosen.slice(start, n_rows).collect()


def _as_array_of_numbers(series: Any) -> NDArray[Any]:
    """A polars series as numbers, missing ones as NaN; floats and whole numbers are not copied where that can be."""
    polars = import_optional("polars", "large")
    if series.null_count() or not (series.dtype.is_float() or series.dtype.is_integer()):
        series = series.cast(polars.Float64)
    return series.to_numpy()


def _is_pattern(text: str) -> bool:
    return glob.has_magic(text) and not os.path.exists(text)


def _files_below(path: str) -> list[str]:
    """Files of a folder and its folders, but for hidden ones and those a writer keeps to itself."""
    found = []
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if name[0] not in "._")
        found += [os.path.join(folder, name) for name in names if name[0] not in "._" and name.endswith(SUFFIXES)]
    return sorted(found)


def list_files(paths: Any, name: str) -> list[str]:
    """Files that a path, a pattern, a folder, an Arrow dataset or a list of them stands for, each once, in order.

    Parameters
    ----------
    paths : str, path-like, pyarrow.dataset.Dataset or list of them
    name : str
        What messages call it.

    Raises
    ------
    ShiftDataError
        For what leads to no file.
    """
    if is_arrow_dataset(paths):
        return _each_once(map(str, paths.files))
    if isinstance(paths, list | tuple):
        return _each_once(file for each in paths for file in list_files(each, name))
    text = os.fsdecode(paths)
    found = sorted(glob.glob(text, recursive=True)) if _is_pattern(text) else [text]
    files: list[str] = []
    for path in found:
        files += _files_below(path) if os.path.isdir(path) else [path]
    missing = [path for path in files if not os.path.isfile(path)]
    if missing or not files:
        what = f"{missing[0]!r} is no file" if missing else f"{text!r} holds no file that ends in {', '.join(SUFFIXES)}"
        raise ShiftDataError(f"{name}: {what}. Pass a file, a folder, a pattern such as 'data/*.parquet', or a list.")
    return _each_once(files)


def is_arrow_dataset(given: Any) -> bool:
    """Whether this is an Arrow dataset."""
    return hasattr(given, "files") and hasattr(given, "schema")


def folder_around(path: str | os.PathLike[str], paths: Any) -> str | None:
    """The folder among ``paths`` whose files would come to hold what is written to ``path``; None where none would."""
    for each in paths if isinstance(paths, list | tuple) else [paths]:
        if not isinstance(each, str | os.PathLike) or not os.path.isdir(each):
            continue
        inner, outer = Path(os.path.realpath(path)), Path(os.path.realpath(each))
        if inner.is_relative_to(outer) and not any(part[0] in "._" for part in inner.relative_to(outer).parts):
            return os.fsdecode(each)
    return None


def refuse_folder_inside(folder: str | os.PathLike[str], paths: Any) -> None:
    """Raise where what is written to a folder would be read the next time."""
    around = folder_around(folder, paths)
    if around is not None:
        raise ShiftDataError(
            f"{os.fsdecode(folder)!r} lies in {around!r}, whose files are read: the weights would be among them the "
            "next time. Pass a folder outside of it."
        )


def _each_once(paths: Iterable[str]) -> list[str]:
    """Files under the first of the names that each is given by; folders that hold other keys make other rows of it."""
    files: dict[Any, str] = {}
    for path in paths:
        files.setdefault((os.path.realpath(path), *_keys_of(path).items()), path)
    return list(files.values())


def open_footers(sample: Any, name: str) -> list[Footer]:
    """Footers of the files that a sample is.

    Raises
    ------
    ShiftDataError
        As :func:`list_files` and :func:`read_footer`, and for an Arrow dataset that is less than its files.
    """
    footers = read_footers(list_files(sample, name))
    for given in sample if isinstance(sample, list | tuple) else [sample]:
        if is_arrow_dataset(given):
            _refuse_narrowed(given, footers, name)
    return footers


def _refuse_narrowed(dataset: Any, footers: Sequence[Footer], name: str) -> None:
    """Raise for a dataset with a filter, or a schema of its own: files are read as they are."""
    known = {os.path.realpath(footer.path): footer for footer in footers}
    read = [known[os.path.realpath(str(file))] for file in dataset.files]
    # Of pyarrow's two kinds of dataset one counts its rows, and the other knows its filter.
    counted = dataset.count_rows() if hasattr(dataset, "count_rows") else None
    n_rows = sum(sum(footer.groups) for footer in read)
    if getattr(dataset, "_filter_expression", None) is not None or counted not in (None, n_rows):
        raise ShiftDataError(
            f"The {name} is an Arrow dataset with a filter, and its files are read whole: write the rows to files of "
            "their own, or pass sample weights of 0 for the others."
        )
    names = set(dataset.schema.names)
    if any(set(footer.types) - names or names - {*footer.types, *footer.keys} for footer in read):
        raise ShiftDataError(
            f"The {name} is an Arrow dataset whose columns ({sorted(names)}) are not those of its files: name the "
            f"columns with {BY_COLUMNS} and pass the files."
        )


def _keys_of(path: str) -> dict[str, str]:
    """Columns in the names of the folders of a file (Hive's way: key=value)."""
    pairs = [part.split("=", 1) for part in Path(path).parts[:-1] if "=" in part]
    return {key: value for key, value in pairs if key}


def _plain_type(kind: Any) -> str:
    """Type of a column's values as text."""
    inner = getattr(kind, "value_type", None)
    is_dictionary = inner is not None and str(kind).startswith("dictionary")
    return str(inner if is_dictionary else kind)


def read_footer(path: str) -> Footer:
    """Names, types and row groups of a file.

    Raises
    ------
    ShiftDataError
        For a file that is damaged or of another kind.
    """
    try:
        if is_parquet(path):
            metadata = import_optional("pyarrow.parquet", "large").read_metadata(path)
            schema = metadata.schema.to_arrow_schema()
            groups = tuple(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))
        else:
            with import_optional("pyarrow.ipc", "large").open_file(path) as file:
                schema = file.schema
                groups = tuple(file.get_batch(i).num_rows for i in range(file.num_record_batches))
    except (OSError, ValueError) as error:  # pyarrow's own errors are among these
        raise ShiftDataError(
            f"{one_line(path)} cannot be read ({one_line(str(error).splitlines()[0])}): it is damaged, unfinished or "
            "no Parquet or Arrow file. Write it again, or leave it out."
        ) from error
    repeated = [name for name in schema.names if schema.names.count(name) > 1]
    if repeated:
        raise ShiftDataError(f"{one_line(path)} has two columns called {repeated[0]!r}: rename one.")
    types = {field.name: _plain_type(field.type) for field in schema}
    keys = {key: value for key, value in _keys_of(path).items() if key not in types}
    return Footer(path, types, groups, keys)


def read_footers(files: Sequence[str]) -> list[Footer]:
    """Footers of files, in their order."""
    with ThreadPoolExecutor(FOOTER_THREADS) as pool:
        return list(pool.map(read_footer, files))


def _is_number(kind: str) -> bool:
    wide = kind.startswith("decimal256")  # which no reader of ours takes
    return kind.startswith(("int", "uint", "float", "double", "halffloat", "decimal", "bool")) and not wide


def freeze_schema(
    footers: Iterable[Footer], columns: Sequence[str] | None, weights: Iterable[str | None]
) -> tuple[str, ...]:
    """The columns to read, once all files have them and agree on their types.

    Parameters
    ----------
    footers : iterable of Footer
        Of both samples; the first is what the others are held to.
    columns : sequence of str or None
        None means all of them, and then all files must have the same.
    weights : iterable of str or None
        Columns of repeat counts, which are no features.

    Returns
    -------
    tuple of str

    Raises
    ------
    ShiftDataError
        For columns that are missing, more, of another type, or no numbers: names file, column and both types.
    """
    footers = list(footers)
    first = footers[0]
    counted = {name for name in weights if name is not None}
    wanted = [name for name in first.types if name not in counted] if columns is None else list(columns)
    if columns is None:
        for footer in footers[1:]:
            _compare_names(first, footer, counted)
    for name in wanted:
        _check_type(name, footers)
    if not wanted:
        raise ShiftDataError(f"{one_line(first.path)} has no columns to compare the samples by.")
    return tuple(wanted)


def _compare_names(first: Footer, footer: Footer, counted: set[str]) -> None:
    needed, found = ([name for name in f.types if name not in counted] for f in (first, footer))
    missing, more = differences(needed, found)
    if missing or more:
        what = f"lacks {missing}" if missing else f"also has {more}"
        raise ShiftDataError(
            f"{one_line(footer.path)} {what}, compared with {one_line(first.path)}: pass files with the same columns, "
            f"or name the common ones with {BY_COLUMNS}."
        )


def _check_type(name: str, footers: Sequence[Footer]) -> None:
    """Raise unless a column is there, of one type and of numbers in all files."""
    types = {
        footer.path: footer.types.get(name, "a folder's name" if name in footer.keys else "") for footer in footers
    }
    missing = [path for path, kind in types.items() if not kind]
    if missing:
        shown = ", ".join(map(one_line, missing[:MOST_FILES_NAMED]))
        raise ShiftDataError(f"Column {name!r} is missing in {len(missing)} of {len(types)} files ({shown}).")
    kind = check_one_type(name, types, f"leave the column out with {BY_COLUMNS}")
    first = next(iter(types))
    if not (_is_number(kind) or kind == "a folder's name"):
        raise ShiftDataError(
            f"Column {name!r} holds {kind} values ({one_line(first)}), and numbers are needed: encode it, or leave it "
            f"out with {BY_COLUMNS}."
        )


def check_one_type(name: str, types: dict[str, str], way_out: str) -> str:
    """The type that a column has in all files; raises where there are several. ``types`` has the one of each path."""
    first, kind = next(iter(types.items()))
    for path, other in types.items():
        if other != kind:
            raise ShiftDataError(
                f"Column {name!r} is {other} in {one_line(path)} and {kind} in {one_line(first)}: write them with one "
                f"type, or {way_out}."
            )
    return kind


def file_parts(footers: Sequence[Footer], columns: tuple[str, ...], weight: str | None) -> list[FilePart]:
    """Parts of checked files."""
    return [
        FilePart(footer.path, columns, weight, footer.groups, _numbers_of_keys(footer, columns)) for footer in footers
    ]


def _numbers_of_keys(footer: Footer, columns: tuple[str, ...]) -> dict[str, float]:
    found = {}
    for name in columns:
        if name not in footer.keys:
            continue
        try:
            found[name] = float(footer.keys[name])
        except ValueError as error:
            raise ShiftDataError(
                f"Column {name!r} is {footer.keys[name]!r} by the folders of {one_line(footer.path)}, and a number is "
                f"needed: leave it out with {BY_COLUMNS}."
            ) from error
    return found
