"""Read a CSV or Parquet file whole, or say what is wrong with it."""

import csv
import gzip
import hashlib
import os
import stat
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from shiftfix._validation import import_optional
from shiftfix.cli._exit import InputError

# Names or rows that a message lists before it only counts.
SHOWN = 5


def listed(values: Iterable[Any]) -> str:
    """The first few values as text, and how many more there are."""
    values = list(values)
    more = f" and {len(values) - SHOWN} more" if len(values) > SHOWN else ""
    return ", ".join(repr(value) if isinstance(value, str) else str(value) for value in values[:SHOWN]) + more


def sha256(path: str | Path) -> str:
    """Hexadecimal sha256 of a file."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_table(path: str | Path, name: str) -> Any:
    """Data frame from a CSV (plain or gzipped) or Parquet file, by its ending.

    Parameters
    ----------
    path : path-like
    name : {"source", "target"}
        What messages call it.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    InputError
        For a file that is missing, of another kind, damaged, empty, or with repeated column names.
    """
    path = Path(path)
    _check_is_file(path, name)
    ending = path.name.lower()
    if ending.endswith((".csv", ".csv.gz")):
        frame = _read_csv(path, name)
    elif ending.endswith((".parquet", ".pq")):
        frame = _read_parquet(path, name)
    else:
        raise InputError(
            f"the {name} file {path} ends in neither .csv, .csv.gz, .parquet nor .pq: save it as CSV or Parquet."
        )
    if len(frame) == 0:
        raise InputError(f"the {name} file {path} has a header and no rows: at least one row is needed.")
    return frame


def _check_is_file(path: Path, name: str) -> None:
    try:
        mode = os.stat(path).st_mode
        what = "is a folder" if stat.S_ISDIR(mode) else "is a device or a pipe, and is to be read more than once"
        found = None if stat.S_ISREG(mode) else what
    except (FileNotFoundError, NotADirectoryError):
        found = "does not exist"
    except (OSError, ValueError) as error:  # not searchable, too long, a zero byte
        found = f"cannot be opened ({getattr(error, 'strerror', None) or error})"
    if found is not None:
        raise InputError(f"the {name} file {str(path)!r} {found}: pass the path of a CSV or Parquet file.")


def _read_csv(path: Path, name: str) -> Any:
    import pandas as pd

    opener = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with opener(path, "rt", newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream)
            header = next(reader, [])
            if not header:
                raise InputError(f"the {name} file {path} is empty: a header line and rows are needed.")
            _check_header(header, path, name)
            _check_lines(reader, len(header), path, name)
        return pd.read_csv(path, low_memory=False, index_col=False, encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError, EOFError, zlib.error, csv.Error, pd.errors.ParserError) as error:
        raise InputError(
            f"the {name} file {path} cannot be read as CSV ({str(error).strip()}): save it as "
            "comma-separated UTF-8 with one header line."
        ) from error


def _check_lines(reader: Any, n_fields: int, path: Path, name: str) -> None:
    # pandas fills short lines with missing values and shifts or cuts long ones, all in silence.
    for fields in reader:
        if fields and len(fields) != n_fields:
            raise InputError(
                f"the {name} file {path} has {len(fields)} fields in line {reader.line_num} and "
                f"{n_fields} in its header: every line needs as many, separated by commas."
            )


def _read_parquet(path: Path, name: str) -> Any:
    import pandas as pd

    parquet = import_optional("pyarrow.parquet", "cli")
    arrow = import_optional("pyarrow", "cli")
    try:
        _check_header(parquet.read_schema(path).names, path, name)
        return pd.read_parquet(path).reset_index(drop=True)
    except (arrow.ArrowInvalid, OSError) as error:
        raise InputError(
            f"the {name} file {path} cannot be read as Parquet ({str(error).splitlines()[0]}): write it "
            "again, or save it as CSV."
        ) from error


def _check_header(header: Sequence[str], path: Path, name: str) -> None:
    repeated = sorted({column for column in header if header.count(column) > 1})
    if repeated:
        raise InputError(
            f"the {name} file {path} has the column names {listed(repeated)} more than once: rename or drop them."
        )
    unnamed = [place for place, column in enumerate(header) if not column.strip()]
    if unnamed:
        raise InputError(
            f"the {name} file {path} has no name for column {unnamed[0]} (counted from 0): name or drop it. "
            "A data frame's index is best not written (index=False)."
        )
