"""One column of a table, understood: numbers, text or dates, and which cells are missing."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shiftfix.cli._exit import UsageError

Kind = Literal["number", "text", "date", "empty"]

# Names for separators that are awkward to type.
SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|", "space": " "}


@dataclass(frozen=True)
class Reading:
    """How files are read.

    Attributes
    ----------
    sep : str or None
        Between the cells of a CSV file; None finds it.
    decimal : str or None
        Decimal mark of its numbers; None finds it, column by column.
    missing : tuple of str
        Words that mean a missing value everywhere, labels too, besides the empty cell.
    dates : {"refuse", "days"}
        Whether dates and times become days since 1970.
    """

    sep: str | None = None
    decimal: str | None = None
    missing: tuple[str, ...] = ()
    dates: str = "refuse"


def make_reading(sep: str | None, decimal: str | None, missing: list[str], dates: str) -> Reading:
    """A Reading from the command's options.

    Raises
    ------
    UsageError
        For a separator that is not one character, or is the decimal mark too.
    """
    if sep is not None:
        found = SEPARATORS.get(sep.lower(), sep)
        if len(found) != 1 or found in '"\r\n' or found.isalnum():
            raise UsageError(
                f"--sep {sep!r}: one character that is no letter, digit or quote, or one of "
                f"{', '.join(map(repr, SEPARATORS))}, is needed."
            )
        if found == decimal:
            raise UsageError(f"--sep and --decimal are both {sep!r}: numbers could not be told from two cells.")
        sep = found
    return Reading(sep, decimal, tuple(missing), dates)


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    name, table : str
        ``table`` is "source", "target" or "rows".
    kind : {"number", "text", "date", "empty"}
        Dates have become days since 1970.
    values : ndarray of shape (n_rows,)
        float64 with NaN for missing cells, or objects: str, and NaN for missing cells.
    problem : str
        Why the column cannot be used; "" when it can.
    remark : str
        What the user may want to know of how it was read.
    gaps : str
        Words that the missing cells hold; "" where they are empty.
    """

    name: str
    table: str
    kind: Kind
    values: NDArray[Any]
    problem: str = ""
    remark: str = ""
    gaps: str = ""

    @cached_property
    def missing(self) -> NDArray[np.bool_]:
        """Which cells are missing."""
        return self.values != self.values

    @cached_property
    def present(self) -> NDArray[Any]:
        """The values of the other cells: the array itself where none is missing."""
        return self.values[~self.missing] if self.missing.any() else self.values

    @property
    def is_number(self) -> bool:
        """Whether the values are float64."""
        return self.kind in ("number", "date")


def number_column(
    name: str, table: str, values: NDArray[np.float64], reading: Reading, kind: Kind = "number"
) -> Column:
    """Column of numbers; those that the user named as missing become NaN."""
    named = [number for word in reading.missing if (number := _number(word)) is not None]
    if named:
        values = np.where(np.isin(values, named), np.nan, values)
    return Column(name, table, kind, values) if (values == values).any() else empty_column(name, table, len(values))


def _number(word: str) -> float | None:
    try:
        return float(word.replace(",", "."))
    except ValueError:
        return None


def text_column(name: str, table: str, cells: NDArray[Any], missing: NDArray[np.bool_], remark: str = "") -> Column:
    """Column of text from cells that are str where they are not missing."""
    values = np.array(cells, dtype=object)
    values[missing] = np.nan
    if missing.all():
        return empty_column(name, table, len(values))
    return Column(name, table, "text", truth_values(values, ~missing), remark=remark)


def truth_values(values: NDArray[Any], present: NDArray[np.bool_]) -> NDArray[Any]:
    """Text as it is, but true and false, in whatever letters, as "True" and "False"."""
    words = {str(value) for value in set(values[present])}
    if not words or {word.casefold() for word in words} - {"true", "false"}:
        return values
    spelled = values.copy()
    spelled[present] = [str(value).capitalize() for value in values[present]]
    return spelled


def refused_column(name: str, table: str, n_rows: int, problem: str) -> Column:
    """Column that cannot be used."""
    return Column(name, table, "text", np.full(n_rows, np.nan, dtype=object), problem=problem)


def empty_column(name: str, table: str, n_rows: int) -> Column:
    """Column without a value."""
    return Column(name, table, "empty", np.full(n_rows, np.nan))


def feature_frame(columns: list[Column], n_rows: int) -> Any:
    """Data frame of columns that can be used: float64, and str with NaN for missing."""
    import pandas as pd

    from shiftfix._blocks import row_blocks

    rows = pd.RangeIndex(n_rows)
    if columns and all(column.values.dtype == np.float64 for column in columns):
        # Row by row in one array: pandas, and what asks for its rows or some of them as an array, take it as it is.
        numbers = np.empty((n_rows, len(columns)))
        for block in row_blocks(n_rows, len(columns)):
            for place, column in enumerate(columns):
                numbers[block, place] = column.values[block]
        return pd.DataFrame(numbers, rows, [column.name for column in columns], copy=False)
    values = {column.name: pd.Series(column.values, dtype=column.values.dtype) for column in columns}
    return pd.DataFrame(values, index=rows)
