"""``shiftfix schema``."""

import typer

from shiftfix.cli._exit import exit_codes

HELP = (
    "Print the JSON Schema (draft 2020-12) of the records that --json prints, and that summary.json and shiftfix "
    "diagnose --out hold."
)


def schema() -> None:
    """Print the file."""
    with exit_codes(False):
        from shiftfix.cli._schema import schema_text

        typer.echo(schema_text(), nl=False)
