"""Read a CSV or Parquet file whole, or say what is wrong with it."""

import hashlib
import os
import stat
from pathlib import Path

from shiftfix.cli._columns import Reading
from shiftfix.cli._csv_file import CsvTable, read_csv_file
from shiftfix.cli._exit import InputError
from shiftfix.cli._parquet_file import ParquetTable, read_parquet_file
from shiftfix.cli._words import quoted

Table = CsvTable | ParquetTable


def sha256(path: str | Path) -> str:
    """Hexadecimal sha256 of a file."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_table(path: str | Path, name: str, reading: Reading = Reading()) -> Table:  # noqa: B008  # frozen
    """Table from a CSV (plain or gzipped) or Parquet file, by its ending.

    Parameters
    ----------
    path : path-like
    name : {"source", "target", "rows"}
        What messages call it.
    reading : Reading, optional
        How the cells are read.

    Returns
    -------
    CsvTable or ParquetTable
        With ``columns``, ``column(name)`` and ``written(name)``.

    Raises
    ------
    InputError
        For a file that is missing, of another kind, damaged, empty, or with repeated column names.
    """
    path = Path(path)
    shown = quoted(str(path))
    check_is_file(path, name)
    ending = path.name.lower()
    if ending.endswith((".csv", ".csv.gz")):
        table: Table = read_csv_file(path, name, reading)
    elif ending.endswith((".parquet", ".pq")):
        table = read_parquet_file(path, name, reading)
    else:
        raise InputError(
            f"the {name} file {shown} ends in neither .csv, .csv.gz, .parquet nor .pq: save it as CSV or Parquet."
        )
    if len(table) == 0:
        raise InputError(f"the {name} file {shown} has a header and no rows: at least one row is needed.")
    return table


def check_is_file(path: Path, name: str) -> None:
    """Raise InputError for a path at which no file stands that can be read more than once."""
    try:
        mode = os.stat(path).st_mode
        what = "is a folder" if stat.S_ISDIR(mode) else "is a device or a pipe, and is to be read more than once"
        found = None if stat.S_ISREG(mode) else what
    except (FileNotFoundError, NotADirectoryError):
        found = "does not exist"
    except (OSError, ValueError) as error:  # not searchable, too long, a zero byte
        found = f"cannot be opened ({getattr(error, 'strerror', None) or error})"
    if found is not None:
        raise InputError(f"the {name} file {quoted(str(path))} {found}: pass the path of a CSV or Parquet file.")
