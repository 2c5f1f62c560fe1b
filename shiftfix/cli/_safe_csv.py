"""Make tables for CSV files that a spreadsheet shows and does not run.

A cell that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line end is a formula to a spreadsheet, and a formula may
fetch, send or start something. Such text gets an apostrophe ahead of it. Numbers are left alone, also as text.
"""

from typing import Any

from shiftfix.cli._csv_text import csv_text

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def harmless_csv(frame: Any) -> str:
    """A data frame as :func:`harmless_table` has it, with the numbers of its rows, as CSV."""
    return csv_text(harmless_table(frame))


def harmless_table(frame: Any) -> Any:
    """A data frame with its text, that of its header too, made :func:`harmless`; its numbers are left alone."""
    safe = frame.rename(columns=harmless)
    for place, kind in enumerate(frame.dtypes):
        if kind.kind == "O" or str(kind).startswith("str"):
            safe.isetitem(place, frame.iloc[:, place].map(harmless))
    return safe


def harmless(cell: Any) -> Any:
    """A cell as it is, or with an apostrophe ahead of text that a spreadsheet would run.

    Examples
    --------
    >>> harmless("=1+1"), harmless("-1.5"), harmless(-1.5)
    ("'=1+1", '-1.5', -1.5)
    """
    runs = isinstance(cell, str) and cell.lstrip(" ").startswith(FORMULA_STARTS) and not _is_plain_number(cell)
    return f"'{cell}" if runs else cell


def _is_plain_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return text.isprintable()
