"""The command line as typer has it: commands, in the order of the help, and what stands before them."""

from typing import Annotated

import typer

from shiftfix.cli._commands import _correct, _demo, _diagnose, _predict, _report, _schema, _weigh
from shiftfix.cli._exit import EXIT_CODES

app = typer.Typer(
    help=f"Repair models under distribution shift. {EXIT_CODES}",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from shiftfix import __version__

        typer.echo(f"shiftfix {__version__}")
        raise typer.Exit


@app.callback()
def callback(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Hold the options that stand before a command."""


COMMANDS = (
    (_demo.demo, _demo.HELP),
    (_diagnose.diagnose, _diagnose.HELP),
    (_correct.correct, _correct.HELP),
    (_weigh.weigh, _weigh.HELP),
    (_predict.predict, _predict.HELP),
    (_report.report, _report.HELP),
    (_schema.schema, _schema.HELP),
)
for _function, _help in COMMANDS:
    app.command(help=_help, epilog=EXIT_CODES)(_function)
