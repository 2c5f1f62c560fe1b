"""Check the names of a file's columns."""

from collections.abc import Sequence
from pathlib import Path

from shiftfix.cli._exit import InputError
from shiftfix.cli._words import listed, quoted


def check_header(header: Sequence[str], path: Path, name: str) -> None:
    """Raise InputError for names that are repeated or empty.

    Parameters
    ----------
    header : sequence of str
    path : pathlib.Path
        Of the file.
    name : {"source", "target", "rows"}
        What messages call it.
    """
    repeated = sorted({column for column in header if header.count(column) > 1})
    if repeated:
        raise InputError(
            f"the {name} file {quoted(str(path))} has the column names {listed(repeated)} more than once: rename or "
            "drop them."
        )
    unnamed = [place for place, column in enumerate(header) if not column.strip()]
    if unnamed:
        raise InputError(
            f"the {name} file {quoted(str(path))} has no name for column {unnamed[0]} (counted from 0): name or drop "
            "it. A data frame's index is best not written (index=False)."
        )
