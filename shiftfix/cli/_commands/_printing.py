"""What the commands print alike."""

import sys
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import typer

from shiftfix._naming import one_line
from shiftfix.cli._json import as_json

# Parameters of commands that say where results go, what is printed and who works, and have no part in them.
NOT_OF_THE_RUN = (
    *("source", "target", "out", "html", "json_out", "exit_code", "overwrite", "quiet", "verbose", "debug"),
    *("engine", "scheduler", "workers", "sql"),
)
RENAMED = {"id_column": "id", "format_name": "format"}
LISTS = ("drop", "missing")


def options_of_run(context: typer.Context) -> dict[str, Any]:
    """The options of a command that have a part in its results, by name; None where not given."""
    return {
        RENAMED.get(name, name): _plain_option(name, value)
        for name, value in context.params.items()
        if name not in NOT_OF_THE_RUN
    }


def _plain_option(name: str, value: Any) -> Any:
    if name in LISTS:
        return list(value or [])
    return value.value if isinstance(value, Enum) else value


def print_record(record: Mapping[str, Any]) -> None:
    """Print a record as JSON that standard output can take: with its own escapes where a letter is none of its."""
    typer.echo(as_json(record, ascii_only=not _takes_every_letter()), nl=False)


def print_page(page: str) -> None:
    """Print HTML that standard output can take, as :func:`print_record`."""
    typer.echo(page if _takes_every_letter() else page.encode("ascii", "xmlcharrefreplace").decode(), nl=False)


def _takes_every_letter() -> bool:
    return str(sys.stdout.encoding).lower().replace("-", "") == "utf8"


def tell_notices(notices: Sequence[str], written: Sequence[Path | None], *, err: bool = False) -> None:
    """Print what was noticed, and where the results are."""
    # Not by typer.echo, which writes UTF-8 to a terminal that takes ASCII.
    stream = sys.stderr if err else sys.stdout
    for notice in notices:
        stream.write(f"notice: {one_line(notice)}\n")
    for path in written:
        if path is not None:
            stream.write(f"written: {one_line(str(path))}\n")


def print_rows(rows: Sequence[tuple[str, str]]) -> None:
    """Print labels and values in two columns, the second folded to the width of a terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, pad_edge=False)
    for label, value in rows:
        table.add_row(Text(label), Text(value))
    Console().print(table)


def end_with(code: int, wanted: bool) -> None:
    """End a command with the code of what it found, where that is wanted."""
    if wanted and code:
        sys.stdout.flush()
        raise typer.Exit(code)
