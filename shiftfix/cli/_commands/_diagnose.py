"""``shiftfix diagnose``."""

from pathlib import Path
from typing import Annotated

import typer

from shiftfix.cli._choices import (
    DEBUG,
    CausesKnown,
    Dates,
    DatesAs,
    DecimalMark,
    Drop,
    Dropout,
    Epochs,
    ExitCode,
    Hidden,
    IdColumn,
    Json,
    Label,
    Learner,
    LearnerName,
    MissingWords,
    Seed,
    Separator,
    Shift,
    SourceFile,
    TargetFile,
    TargetLabels,
    Task,
    TaskName,
    Unseen,
    UnseenCategory,
    Verbose,
    Weight,
)
from shiftfix.cli._commands._printing import end_with, options_of_run, print_page, print_record, tell_notices
from shiftfix.cli._exit import UsageError, exit_codes
from shiftfix.cli._outcome import outcome_code
from shiftfix.cli._progress import stages
from shiftfix.cli._standard_input import STANDARD

HELP = (
    "Tell what moved from SOURCE to TARGET, whether a model can be repaired for it, and what to do next. Both are "
    "CSV (.csv, .csv.gz) or Parquet (.parquet, .pq) files with the same feature columns, read as by shiftfix correct, "
    "which by default makes the same diagnosis and does what it says. Without labels of TARGET no test can see whether "
    "the label given the features moved: --target-labels takes the few there are."
)


def diagnose(
    context: typer.Context,
    source: SourceFile,
    target: TargetFile,
    label: Label,
    target_labels: TargetLabels = None,
    causes: CausesKnown = None,
    learner: LearnerName = Learner.mlp,
    task: TaskName = Task.auto,
    weight: Weight = None,
    drop: Drop = None,
    id_column: IdColumn = None,
    sep: Separator = None,
    decimal: DecimalMark = None,
    missing: MissingWords = None,
    dates: DatesAs = Dates.refuse,
    unseen_category: Unseen = UnseenCategory.error,
    hidden: Hidden = None,
    epochs: Epochs = None,
    dropout: Dropout = None,
    seed: Seed = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="JSON file to write, with every test in full; - prints it, as --json does.",
            metavar="FILE",
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(help="HTML file to write: one page to read or to pass on; - prints it.", metavar="FILE"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the files.")] = False,
    json_out: Json = False,
    exit_code: ExitCode = False,
    verbose: Verbose = False,
    debug: Annotated[bool, DEBUG] = False,
) -> None:
    """Read, test, print and perhaps write."""
    options = options_of_run(context) | {"shift": Shift.auto.value}
    with exit_codes(debug), stages(verbose=verbose) as tell:
        from shiftfix.cli._runs import run_diagnose

        json_out = json_out or out == STANDARD
        if json_out and html == STANDARD:
            raise UsageError("--html - and JSON are both to be printed: write one of them to a file.")
        found = run_diagnose(source, target, options, out=out, html=html, overwrite=overwrite, tell=tell)
    with exit_codes(debug):
        if json_out:
            print_record(found.record)
        elif html == STANDARD:
            print_page(found.page)
        else:
            typer.echo(str(found.diagnosis))
            tell_notices(found.record["notices"], [out, html])
    end_with(outcome_code(found.record), exit_code)
