"""Names in messages: those the user knows, on one line, and nothing that a terminal would obey."""

from collections.abc import Sequence
from typing import Any


def one_line(text: str) -> str:
    r"""Text with its line ends, escape codes and other unprintable characters spelled out.

    A name from a file may hold anything: as it stands, a line end in it could begin a line that looks like ours.

    Examples
    --------
    >>> one_line("age\nverdict  ok")
    'age\\nverdict  ok'
    """
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def column_names(X: Any) -> list[str] | None:
    """Names of the columns of a data frame as a list, or None for anything else."""
    columns = getattr(X, "columns", None)
    if columns is None:
        return None
    return [str(name) for name in columns]


def column_word(names: Sequence[str] | None, place: int) -> str:
    """What messages call a column: by its name in quotes where that is known, else by its position from 0."""
    return f"column {place}" if names is None else f"column {names[place]!r}"
