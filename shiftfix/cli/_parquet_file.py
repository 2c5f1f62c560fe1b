"""Read a Parquet file: each column as its type says, and a refusal of the types that no model takes."""

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

# Units of time in a second.
PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}


@dataclass(frozen=True)
class ParquetTable:
    """A Parquet file.

    Attributes
    ----------
    name : str
        What messages call it.
    table : pyarrow.Table
    reading : Reading
    """

    name: str
    table: Any
    reading: Reading

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in order."""
        return list(self.table.column_names)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def column(self, name: str, role: Role = "feature") -> Column:
        """One column, by its type."""
        cells = self.table.column(name)
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
        return np.array(["" if cell is None else str(cell) for cell in self.table.column(name).to_pylist()], object)


def arrow_module(module: str) -> Any:
    """One of pyarrow's modules; what imports them is heavy itself, and most runs have no such file."""
    from shiftfix._setting_checks import import_optional

    return import_optional(module, "cli")


def read_parquet_file(path: Path, name: str, reading: Reading) -> ParquetTable:
    """The columns of a Parquet file.

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
    parquet = arrow_module("pyarrow.parquet")
    arrow = arrow_module("pyarrow")
    try:
        with parquet.ParquetFile(path) as file:
            check_header(file.schema_arrow.names, path, name)
            table = file.read()
    except (arrow.ArrowException, OSError) as error:
        raise InputError(
            f"the {name} file {quoted(str(path))} cannot be read as Parquet ({str(error).splitlines()[0]}): write it "
            "again, or save it as CSV."
        ) from error
    # The row numbers that pandas writes when it writes an index; an index with a name is a column.
    numbers = [column for column in table.column_names if column.startswith("__index_level_")]
    return ParquetTable(name, table.drop_columns(numbers), reading)


def _readers() -> list[tuple[Any, Any]]:
    """Which types there are, and what reads them."""
    types = arrow_module("pyarrow.types")

    def number(kind: Any) -> bool:
        return types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)

    def text(kind: Any) -> bool:
        return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)

    def truth(kind: Any) -> bool:
        return types.is_boolean(kind)

    def category(kind: Any) -> bool:
        return types.is_dictionary(kind) and any(is_of(kind.value_type) for is_of in (number, text, truth))

    def moment(kind: Any) -> bool:
        return types.is_date(kind) or types.is_timestamp(kind) or types.is_time(kind) or types.is_duration(kind)

    return [(types.is_null, _no_cells), (number, _number_cells), (moment, _moments)] + [
        (is_of, _text_cells) for is_of in (text, truth, category)
    ]


def _no_cells(cells: Any, name: str, table: ParquetTable) -> Column:
    return empty_column(name, table.name, len(cells))


def _doubles(cells: Any) -> NDArray[np.float64]:
    """Numbers as float64, NaN where there is none."""
    compute = arrow_module("pyarrow.compute")
    found = compute.cast(cells, "float64", safe=False)
    return np.asarray(found.to_numpy(), dtype=np.float64)


def _number_cells(cells: Any, name: str, table: ParquetTable) -> Column:
    return number_column(name, table.name, _doubles(cells), table.reading)


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
