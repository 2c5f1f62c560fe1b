"""Read a Parquet file: each column as its type says, and a refusal of the types that no model takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftfix._naming import one_line
from shiftfix.cli._cells import Role, date_problem
from shiftfix.cli._columns import Column, Reading, empty_column, number_column, refused_column, text_column
from shiftfix.cli._exit import InputError
from shiftfix.cli._header import check_header
from shiftfix.cli._words import quoted

# Rows that are decoded at a time, and bytes of each column that are read ahead.
BLOCK_ROWS = 2**16
BUFFER_BYTES = 2**20
# Units of time in a second.
PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}


@dataclass(frozen=True)
class ParquetTable:
    """A Parquet file.

    Attributes
    ----------
    name : str
        What messages call it.
    path : pathlib.Path
    columns : list of str
        Names of the columns, in order.
    n_rows : int
    reading : Reading
    numbers : dict of str to ndarray of shape (n_rows,)
        The columns of numbers, float64 with NaN where there is none.
    cells : dict of str to pyarrow.ChunkedArray
        All others.
    """

    name: str
    path: Path
    columns: list[str]
    n_rows: int
    reading: Reading
    numbers: dict[str, NDArray[np.float64]]
    cells: dict[str, Any]

    def __len__(self) -> int:
        return self.n_rows

    def column(self, name: str, role: Role = "feature") -> Column:
        """One column, by its type."""
        if name in self.numbers:
            return number_column(name, self.name, self.numbers[name], self.reading)
        cells = self.cells[name]
        for is_of, read in _readers():
            if is_of(cells.type):
                return read(cells, name, self)
        return refused_column(
            name,
            self.name,
            len(self),
            f"{'column' if role == 'feature' else 'label column'} {name!r} of the {self.name} holds "
            f"{one_line(str(cells.type))} values, and numbers or text are needed: take them apart into columns of "
            "their own, or leave the column out with --drop.",
        )

    def written(self, name: str) -> NDArray[Any]:
        """Cells of a column as text, "" where missing."""
        cells: Any = self.cells.get(name)
        if cells is None:  # a whole number is no float64
            with opened_parquet(self.path, self.name) as file:
                cells = file.read(columns=[name], use_threads=False).column(name)
        return np.array(["" if cell is None else str(cell) for cell in cells.to_pylist()], object)


def arrow_module(module: str) -> Any:
    """One of pyarrow's modules; what imports them is heavy itself, and most runs have no such file."""
    from shiftfix._setting_checks import import_optional

    return import_optional(module, "cli")


@contextmanager
def opened_parquet(path: Path, name: str) -> Iterator[Any]:
    """A Parquet file, closed at the end; InputError for one that is damaged, whenever that is found."""
    parquet = arrow_module("pyarrow.parquet")
    arrow = arrow_module("pyarrow")
    try:
        with parquet.ParquetFile(path, buffer_size=BUFFER_BYTES) as file:
            yield file
    except (arrow.ArrowException, OSError, MemoryError) as error:
        found = (str(error).splitlines() or ["too many rows for the memory"])[0]
        raise InputError(
            f"the {name} file {quoted(str(path))} cannot be read as Parquet ({found}): write it "
            "again, or save it as CSV."
        ) from error


def read_parquet_file(path: Path, name: str, reading: Reading) -> ParquetTable:
    """The columns of a Parquet file, read block by block: numbers into arrays that are there once.

    Parameters
    ----------
    path : pathlib.Path
    name : {"source", "target", "rows"}
        What messages call it.
    reading : Reading

    Raises
    ------
    InputError
        For a file that is damaged, or names columns twice or not at all.
    """
    with opened_parquet(path, name) as file:
        schema, n_rows = file.schema_arrow, file.metadata.num_rows
        check_header(schema.names, path, name)
        # The row numbers that pandas writes when it writes an index; an index with a name is a column.
        columns = [column for column in schema.names if not column.startswith("__index_level_")]
        numbers = {column: np.empty(n_rows) for column in columns if is_number_type(schema.field(column).type)}
        others: dict[str, list[Any]] = {column: [] for column in columns if column not in numbers}
        start = 0
        for batch in file.iter_batches(BLOCK_ROWS, use_threads=False):
            block = slice(start, start + len(batch))
            for column, values in numbers.items():
                values[block] = _doubles(batch.column(column))
            for column, parts in others.items():
                parts.append(batch.column(column))
            start = block.stop
        arrow = arrow_module("pyarrow")
        if start != n_rows:
            raise arrow.ArrowInvalid(f"{start} rows, and {n_rows} by its footer")
        cells = {
            column: arrow.chunked_array(parts, schema.field(column).type if not parts else None)
            for column, parts in others.items()
        }
    return ParquetTable(name, path, columns, n_rows, reading, numbers, cells)


def is_number_type(kind: Any) -> bool:
    """Whether a type of pyarrow is one of numbers."""
    types = arrow_module("pyarrow.types")
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


def _readers() -> list[tuple[Any, Any]]:
    """Which types there are, and what reads them."""
    types = arrow_module("pyarrow.types")

    def text(kind: Any) -> bool:
        return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)

    def truth(kind: Any) -> bool:
        return types.is_boolean(kind)

    def category(kind: Any) -> bool:
        return types.is_dictionary(kind) and any(is_of(kind.value_type) for is_of in (is_number_type, text, truth))

    def moment(kind: Any) -> bool:
        return types.is_date(kind) or types.is_timestamp(kind) or types.is_time(kind) or types.is_duration(kind)

    return [(types.is_null, _no_cells), (moment, _moments)] + [
        (is_of, _text_cells) for is_of in (text, truth, category)
    ]


def _no_cells(cells: Any, name: str, table: ParquetTable) -> Column:
    return empty_column(name, table.name, len(cells))


def _doubles(cells: Any) -> NDArray[np.float64]:
    """Numbers as float64, NaN where there is none."""
    found = cells
    if not arrow_module("pyarrow.types").is_float64(cells.type):
        found = arrow_module("pyarrow.compute").cast(cells, "float64", safe=False)
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.float64)


def _text_cells(cells: Any, name: str, table: ParquetTable) -> Column:
    words = np.array([None if cell is None else str(cell) for cell in cells.to_pylist()], dtype=object)
    missing = np.array([word is None or word in table.reading.missing for word in words], dtype=bool)
    return text_column(name, table.name, words, missing)


def _moments(cells: Any, name: str, table: ParquetTable) -> Column:
    """Days since 1970, or a part or number of days."""
    present = cells.drop_null()
    if len(present) == 0:
        return empty_column(name, table.name, len(cells))
    if table.reading.dates != "days":
        problem = date_problem(f"column {name!r} of the {table.name}", f"{present[0]}")
        return refused_column(name, table.name, len(cells), problem)
    return number_column(name, table.name, _days_of_moments(cells), table.reading, "date")


def _days_of_moments(cells: Any) -> NDArray[np.float64]:
    arrow = arrow_module("pyarrow")
    types = arrow_module("pyarrow.types")
    kind = cells.type
    if types.is_date32(kind):
        return _doubles(cells.cast(arrow.int32()))
    if types.is_time32(kind):
        return _doubles(cells.cast(arrow.int32())) / (86400 * PER_SECOND[kind.unit])
    unit = "ms" if types.is_date64(kind) else kind.unit
    return _doubles(cells.cast(arrow.int64())) / (86400 * PER_SECOND[unit])
