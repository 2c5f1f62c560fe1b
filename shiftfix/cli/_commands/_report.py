"""``shiftfix report``."""

from pathlib import Path
from typing import Annotated

import typer

from shiftfix.cli._choices import DEBUG
from shiftfix.cli._commands._printing import print_page, tell_notices
from shiftfix.cli._exit import exit_codes
from shiftfix.cli._standard_input import STANDARD

HELP = (
    "Make the page of results: report.html from summary.json in FOLDER, which shiftfix correct has written, or from a "
    "JSON file of shiftfix diagnose --out. Nothing is fitted again. The page is one file that needs no network."
)


def report(
    folder: Annotated[Path, typer.Argument(help="Results, or a JSON file of a diagnosis.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="HTML file to write; default report.html in FOLDER, or beside a JSON file; - prints it.",
            metavar="FILE",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace FILE. In FOLDER the page is always replaced.")
    ] = False,
    debug: Annotated[bool, DEBUG] = False,
) -> None:
    """Read a record, and write or print its page."""
    with exit_codes(debug):
        from shiftfix.cli._render import run_report

        page, written = run_report(folder, out, overwrite)
        if out == STANDARD:
            print_page(page)
        else:
            tell_notices([], [written])
