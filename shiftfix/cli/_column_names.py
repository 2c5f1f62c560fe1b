"""Names of a file's columns, for a shell that completes an option that takes one."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import typer

ENDINGS_OF_CSV = (".csv", ".csv.gz")
SPECIAL = frozenset(" \t\n\\'\"`$&|;<>()[]{}*?!#~:")


def completed_columns(place: int) -> Callable[[typer.Context, str], list[str]]:
    """What completes the name of a column of a file that the line names: 0 for the first one, 1 for the second."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        # An option that still lacks its value keeps typer from telling which word is which parameter.
        words = [*(str(value) for value in ctx.params.values() if isinstance(value, Path)), *ctx.args]
        files = [word for word in words if word.lower().endswith(ENDINGS_OF_CSV)]
        names = header_of(Path(files[place])) if len(files) > place else []
        # A shell would take a name with a blank in it for two words.
        return [name for name in names if name.startswith(incomplete) and is_one_word(name)]

    return complete


def is_one_word(name: str) -> bool:
    """Whether a shell takes a name as it is."""
    return bool(name) and not set(name) & SPECIAL


def header_of(path: Path) -> list[str]:
    """First line of a CSV file, cell by cell; none of any other file, or of one that cannot be read."""
    import csv

    from shiftfix.cli._csv_file import TELLING_LINES, lines_of_csv, separator

    if not path.name.lower().endswith(ENDINGS_OF_CSV):
        return []
    try:
        with lines_of_csv(path) as stream:
            lines = list(islice(stream, TELLING_LINES))
        return next(csv.reader(lines, delimiter=separator(lines)), [])
    except (OSError, EOFError, ValueError, csv.Error):
        return []
