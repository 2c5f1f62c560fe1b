"""Results print alike: as text, as a table of a notebook, and through rich where a program prints by it.

A class says once what its table holds. rich is not needed: it asks an object for ``__rich__`` when it is there, and
only then is it loaded from here.
"""

from html import escape
from importlib import import_module
from typing import Any, NamedTuple, TypeVar

import numpy as np

from shiftfix._naming import one_line

T = TypeVar("T", bound=tuple[Any, ...])

# Notebooks align cells to the right and in the middle, which suits numbers and not sentences.
CELL = ' style="text-align: left; vertical-align: top"'
# Numbers of an array that stand in a line; of more the shape is told.
MOST_NUMBERS = 6


class Printout(NamedTuple):
    """What is printed, part by part.

    Attributes
    ----------
    rows : tuple of tuple of str
        Cells; the first of each row names it.
    columns : tuple of str
        Heads of the columns; empty for none.
    head : str
        A line above the table.
    foot : tuple of str
        Lines below it.
    """

    rows: tuple[tuple[str, ...], ...] = ()
    columns: tuple[str, ...] = ()
    head: str = ""
    foot: tuple[str, ...] = ()


def _html_row(cells: tuple[str, ...], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}{CELL}>{escape(cell.strip())}</{tag}>" for cell in cells) + "</tr>"


def as_html(printout: Printout) -> str:
    """A table with paragraphs around it, everything escaped."""
    parts = [f"<p>{escape(printout.head)}</p>"] if printout.head else []
    if printout.rows:
        heads = f"<thead>{_html_row(printout.columns, 'th')}</thead>" if printout.columns else ""
        parts.append(f"<table>{heads}<tbody>{''.join(_html_row(row, 'td') for row in printout.rows)}</tbody></table>")
    # Lines of one paragraph, as in the text; spaces at their beginning say what belongs to what.
    if printout.foot:
        parts.append(f'<p style="white-space: pre-wrap">{escape(chr(10).join(printout.foot))}</p>')
    return "".join(parts)


def as_rich(printout: Printout) -> Any:
    """A group of rich's: words as they are, none of them taken for markup."""
    group, table, text = (import_module(f"rich.{name}") for name in ("console", "table", "text"))
    parts: list[Any] = [text.Text(printout.head)] if printout.head else []
    if printout.rows:
        drawn = table.Table(box=None, show_header=bool(printout.columns), pad_edge=False)
        for place in range(max(map(len, printout.rows))):
            drawn.add_column(text.Text(printout.columns[place] if place < len(printout.columns) else ""))
        for row in printout.rows:
            drawn.add_row(*map(text.Text, row))
        parts.append(drawn)
    return group.Group(*parts, *map(text.Text, printout.foot))


class Printed:
    """Mixin of results that have ``__str__``: the same in a notebook, and by rich."""

    def _printout(self) -> Printout:
        """The lines of the text; a class that has a table says so here."""
        return Printout(foot=tuple(str(self).splitlines()))

    def _repr_html_(self) -> str:
        return as_html(self._printout())

    def __rich__(self) -> Any:
        return as_rich(self._printout())


def _in_words(value: Any) -> str:
    """A field in one line."""
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    if isinstance(value, np.ndarray):
        if value.ndim == 1 and len(value) <= MOST_NUMBERS:
            return ", ".join(map(_in_words, value))
        return f"array of shape {value.shape}"
    if isinstance(value, list | tuple) and type(value).__str__ is object.__str__:
        return f"{len(value)} in a {type(value).__name__}"
    return one_line(str(value))


def _fields(result: Any) -> Printout:
    """A row for each field of a named tuple."""
    return Printout(tuple((name, _in_words(value)) for name, value in zip(result._fields, result, strict=True)))


def _as_text(result: Any) -> str:
    """The parts of a result, cells one below the other."""
    printout = result._printout()
    table = [printout.columns, *printout.rows] if printout.columns else list(printout.rows)
    widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    return "\n".join([*([printout.head] if printout.head else []), *lines, *printout.foot])


def printed(cls: type[T]) -> type[T]:
    """Decorator of named tuples, which take no mixin: they print as what inherits :class:`Printed` does.

    One that has no ``__str__`` is printed by its ``_printout``, and without that field by field.
    """
    if "__str__" not in vars(cls):
        cls.__str__ = _as_text  # type: ignore[method-assign]
        if "_printout" not in vars(cls):
            cls._printout = _fields  # type: ignore[attr-defined]
    for name in ("_printout", "_repr_html_", "__rich__"):
        if name not in vars(cls):
            setattr(cls, name, vars(Printed)[name])
    return cls
