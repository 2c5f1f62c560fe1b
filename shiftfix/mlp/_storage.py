"""Tables that a training reads a block at a time: memory maps, and the row groups of Parquet files."""

import glob
import mmap
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftfix._door import PublicCalls
from shiftfix._naming import one_line
from shiftfix._setting_checks import import_optional
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._training import BLOCK_NUMBERS, BlockCache, StoredRows, regular_starts, window_rows

# Names that a message lists.
MOST_SHOWN = 10


class MemoryMap:
    """A memory map as a storage; whole numbers and bools are read as they are.

    Parameters
    ----------
    array : memmap of shape (n_rows, ...)
    """

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array
        self.shape = array.shape
        self.dtype = array.dtype
        self.regular: int | None = max(1, BLOCK_NUMBERS // max(1, int(np.prod(array.shape[1:]))))
        self.starts = regular_starts(len(array), self.regular)

    def block(self, place: int) -> NDArray[Any]:
        """Rows of a block, in memory."""
        start = self.starts[place]
        rows = self.array[start : start + self.regular]
        found = np.array(rows)
        _give_back(rows)
        return found


def _give_back(rows: Any) -> None:
    """Have the system take the pages of mapped rows out of this process; they are in the file, and in its cache."""
    mapped = getattr(rows, "_mmap", None)
    # Of a map of mode "c" the pages hold what was written to them, and the file does not.
    if mapped is None or rows.mode not in ("r", "r+") or not rows.flags.c_contiguous or not hasattr(mapped, "madvise"):
        return
    begin = rows.__array_interface__["data"][0] - np.frombuffer(mapped, np.uint8).__array_interface__["data"][0]
    aligned = begin - begin % mmap.PAGESIZE
    if rows.nbytes and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED, aligned, begin + rows.nbytes - aligned)


def parquet_files(path: Any) -> list[str]:
    """Files of a path, a pattern, a folder, or several of them, sorted within each.

    Raises
    ------
    ShiftDataError
        Where there are none.
    """
    several = path if isinstance(path, list | tuple) else [path]
    found = [file for one in several for file in _files_of(one)]
    if not found:
        raise ShiftDataError(f"{path!r} names no Parquet file: pass a file, a pattern, or a folder of *.parquet.")
    return found


def _files_of(path: Any) -> list[str]:
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise ShiftDataError(f"path={path!r}: the path of a Parquet file or folder, a pattern, or a list, is needed.")
    name = os.fsdecode(path)
    if os.path.isdir(name):
        return sorted(map(str, Path(name).rglob("*.parquet")))
    if os.path.exists(name):
        return [name]
    return sorted(glob.glob(name, recursive=True))


class ParquetRows(PublicCalls):
    """Rows of Parquet files for a training beyond memory: pass them as X, and a column of them as y.

    The trainers of this folder read them by row groups, each once an epoch, and never all of them. In memory are y, the
    weights and the order of an epoch, about 100 bytes per row, and a window of row groups: four of them at least, and
    as many as hold 2^25 numbers.

    They read a memory map of more than 2^25 numbers in the same way: ``np.load(path, mmap_mode="r")``. Smaller ones are
    taken into memory.

    Parameters
    ----------
    path : path, or list of paths
        Files, patterns with ``*``, or folders, of which all ``*.parquet`` are taken in the order of their names. In a
        training on several processes each passes files of its own.
    columns : sequence of str
        Columns of numbers that the features are, in this order.

    Attributes
    ----------
    files : list of str
    columns : list of str
    shape : tuple (n_rows, n_columns)
    dtype : dtype
        float32 where all columns are so, or are whole numbers that it holds, else float64.
    starts : ndarray of int64 of shape (n_row_groups,)
        First row of each row group.

    Raises
    ------
    ShiftDataError
        For no files, and columns that one of them lacks or that hold no numbers.
    MissingDependencyError
        Without pyarrow.

    See Also
    --------
    MLPClassifier : A network for classes, with row weights and dropout.
    shiftfix.large.StreamingLogisticWeighter : Importance weights by passes over files.

    Notes
    -----
    Batches come from the row groups of a window, which were drawn from all of them. Where files are sorted by something
    that matters, smaller row groups make them more alike: 100,000 rows and less are well.

    Examples
    --------
    >>> rows = ParquetRows("train/", ["age", "income"])  # doctest: +SKIP
    >>> model = MLPClassifier().fit(rows, rows.column("label"), rows.column("weight"))  # doctest: +SKIP
    """

    regular: int | None = None

    def __init__(self, path: str | os.PathLike[str] | Sequence[Any], columns: Sequence[str]) -> None:
        self.files = parquet_files(path)
        self.columns = _checked_columns(columns)
        self._groups: list[tuple[str, int]] = []
        sizes: list[int] = []
        types: set[str] = set()
        for file in self.files:
            footer = _opened_parquet(file)
            types |= set(_column_types(footer, self.columns, file))
            for place in range(footer.num_row_groups):
                self._groups.append((file, place))
                sizes.append(footer.metadata.row_group(place).num_rows)
        if not sum(sizes):
            raise ShiftDataError(f"{self.files[:MOST_SHOWN]} hold no rows: pass files that hold some.")
        self.starts = np.cumsum([0, *sizes[:-1]], dtype=np.int64)
        self.shape: tuple[int, ...] = (sum(sizes), len(self.columns))
        self.dtype: np.dtype[Any] = np.result_type(*types, np.float32)

    def block(self, place: int) -> NDArray[Any]:
        """Rows of a row group, of shape (n, n_columns).

        Raises
        ------
        ShiftDataError
            For missing values, with their file and column.
        """
        file, group = self._groups[place]
        table = _opened_parquet(file).read_row_group(group, columns=self.columns)
        out = np.empty((table.num_rows, len(self.columns)), self.dtype)
        for k, name in enumerate(self.columns):
            column = table.column(name)
            if column.null_count:
                raise ShiftDataError(
                    f"Column {name!r} of {file!r} has {column.null_count} missing values in row group {group}: impute "
                    "or drop them."
                )
            out[:, k] = column.to_numpy()
        return out

    def column(self, name: str) -> NDArray[Any]:
        """A column of all files in memory, of shape (n_rows,): labels, numbers or weights.

        Parameters
        ----------
        name : str
            Of the features, or any other.
        """
        parts = []
        for file in self.files:
            footer = _opened_parquet(file)
            _check_there([name], footer, file)
            parts.append(footer.read(columns=[name]).column(name).to_numpy())
        return np.concatenate(parts)

    def __len__(self) -> int:
        return self.shape[0]


def _checked_columns(columns: Any) -> list[str]:
    """Names of columns; raise ShiftDataError for anything else, and for a name that comes twice."""
    if isinstance(columns, str) or not isinstance(columns, Sequence) or not columns:
        raise ShiftDataError(f"columns={columns!r}: a list of names is needed.")
    if any(type(name) is not str for name in columns) or len(set(columns)) < len(columns):
        raise ShiftDataError(f"columns={columns!r}: names of columns are needed, each once.")
    return list(columns)


def _opened_parquet(file: str) -> Any:
    """A Parquet file, of which the footer alone is read; raise ShiftDataError for what is none."""
    pyarrow, parquet = import_optional("pyarrow", "large"), import_optional("pyarrow.parquet", "large")
    try:
        return parquet.ParquetFile(file, memory_map=False)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise ShiftDataError(f"{file!r} cannot be read as Parquet ({one_line(str(error))[:200]}).") from error


def _check_there(columns: list[str], footer: Any, file: str) -> None:
    """Raise ShiftDataError unless a file has each of some columns, and has it once."""
    known = footer.schema_arrow.names
    absent = [name for name in columns if name not in known]
    if absent:
        raise ShiftDataError(
            f"{file!r} has no column {', '.join(map(repr, absent[:MOST_SHOWN]))}: it has {known[:MOST_SHOWN]}"
            f"{' and others' if len(known) > MOST_SHOWN else ''}."
        )
    repeated = [name for name in columns if known.count(name) > 1]
    if repeated:
        raise ShiftDataError(
            f"{file!r} has {known.count(repeated[0])} columns {repeated[0]!r}, and nothing tells which is meant: give "
            "each a name of its own in the file."
        )


def _column_types(footer: Any, columns: list[str], file: str) -> list[str]:
    """Types of numpy of some columns; raise ShiftDataError for those that are no numbers."""
    _check_there(columns, footer, file)
    found = []
    for name in columns:
        kind = footer.schema_arrow.field(name).type
        try:
            found.append(np.dtype(kind.to_pandas_dtype()).str)
        except (NotImplementedError, TypeError):
            found.append("O")
        if np.dtype(found[-1]).kind not in "biuf":
            raise ShiftDataError(f"Column {name!r} of {file!r} is of type {kind}, and numbers are needed: encode it.")
    return found


def is_stored(X: Any, shared: bool = False) -> bool:
    """Whether X is read a block at a time: Parquet files, and a memory map of more rows than fit a window.

    With ``shared`` any memory map is, of which other processes may have more.
    """
    if isinstance(X, ParquetRows):
        return True
    mapped = type(X) is np.memmap and X.ndim > 0 and X.dtype.kind in "biuf"
    return mapped and (shared or len(X) > window_rows(X.shape[1:]))


def named_shape(X: Any) -> Any:
    """Something small with the shape and the names of the columns of what is stored, as scikit-learn looks for them."""
    if not isinstance(X, ParquetRows):
        return X
    return _opened_parquet(X.files[0]).schema_arrow.empty_table().select(X.columns)


def stored_rows(X: Any, name: str, dtype: Any = None) -> StoredRows:
    """Rows of a storage, checked to be finite; ``name`` is what messages call them.

    Parameters
    ----------
    X : memmap or ParquetRows
    name : str
    dtype : dtype, default=None
        That they must be finite in.

    Raises
    ------
    ShiftDataError
        For NaN and infinity, with the first column and row.
    """
    rows = StoredRows(BlockCache(X if isinstance(X, ParquetRows) else MemoryMap(X)))
    names = X.columns if isinstance(X, ParquetRows) else None
    for part, numbers in rows.in_blocks():
        with np.errstate(over="ignore"):
            finite = np.isfinite(numbers if dtype is None else numbers.astype(dtype))
        if not finite.all():
            raise _not_finite(name, names, part.start, finite, numbers)
    return rows


def _not_finite(
    name: str, names: list[str] | None, first: int, finite: NDArray[np.bool_], numbers: NDArray[Any]
) -> ShiftDataError:
    row, *rest = np.argwhere(~finite)[0].tolist()
    where = f"column {rest[0]}" if names is None else f"column {names[rest[0]]!r}"
    where = where if len(rest) == 1 else f"place {tuple(rest)}"
    return ShiftDataError(
        f"{name} contains {numbers[(row, *rest)]} in {where}, row {first + row}, as the first of its kind: impute or "
        "drop such values."
    )
