"""``shiftfix correct``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from shiftfix.cli._choices import (
    DEBUG,
    CausesKnown,
    Clip,
    Correction,
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
    OnAbstain,
    OutFolder,
    Quiet,
    ReplaceFolder,
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
from shiftfix.cli._commands._printing import end_with, options_of_run, print_record, print_rows, tell_notices
from shiftfix.cli._exit import exit_codes
from shiftfix.cli._outcome import outcome_code
from shiftfix.cli._progress import stages

HELP = (
    "Fit a model on SOURCE that is corrected for the shift to TARGET, and predict TARGET. By default the shift is "
    "diagnosed, and corrected as far as the evidence supports it, which may be not at all. SOURCE and TARGET are CSV "
    "(.csv, .csv.gz) or Parquet (.parquet, .pq) files with the same feature columns; TARGET needs no label. The folder "
    "DIR gets predictions.csv, weights.csv, model.skops, summary.txt, summary.json and report.html, all or none. The "
    "same files, options and seed give the same predictions and weights."
)


def correct(
    context: typer.Context,
    source: SourceFile,
    target: TargetFile,
    label: Label,
    out: OutFolder,
    shift: Annotated[
        Shift,
        typer.Option(
            help="What moved. auto: what the evidence says, and nothing is corrected beyond it. covariate: the "
            "features, and the label given the features stays. label: the class shares, and the features given the "
            "class stay."
        ),
    ] = Shift.auto,
    target_labels: TargetLabels = None,
    learner: LearnerName = Learner.mlp,
    task: TaskName = Task.auto,
    weight: Weight = None,
    drop: Drop = None,
    id_column: IdColumn = None,
    sep: Separator = None,
    decimal: DecimalMark = None,
    missing: MissingWords = None,
    dates: DatesAs = Dates.refuse,
    correction: Annotated[
        Correction | None,
        typer.Option(help="For label shift: adjust the probabilities (default), or retrain with weights."),
    ] = None,
    clip: Clip = None,
    exponent: Annotated[
        str | None,
        typer.Option(
            help='For covariate shift: power of the weights, a number from 0 (none) to 1 (full), or "cv" (default): '
            "1/2 or 1 where cross-validation shows that weights help this model, else none.",
            metavar="CV|NUMBER",
        ),
    ] = None,
    causes: CausesKnown = None,
    on_abstain: Annotated[
        OnAbstain,
        typer.Option(
            help="When the data do not support the correction, or something else than the class shares moved: fit "
            "without it and say so, fail with exit code 4, or (covariate shift) correct all the same."
        ),
    ] = OnAbstain.uncorrected,
    unseen_category: Unseen = UnseenCategory.error,
    hidden: Hidden = None,
    epochs: Epochs = None,
    dropout: Dropout = None,
    seed: Seed = 0,
    overwrite: ReplaceFolder = False,
    json_out: Json = False,
    exit_code: ExitCode = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Annotated[bool, DEBUG] = False,
) -> None:
    """Fit, predict and write."""
    options = options_of_run(context)
    with exit_codes(debug), stages(verbose=verbose, quiet=quiet) as tell:
        from shiftfix.cli._runs import run_correct

        record = run_correct(source, target, out, options, overwrite, tell)
    with exit_codes(debug):
        if json_out:
            print_record(record)
        elif not quiet:
            _print_summary(record, out)
    end_with(outcome_code(record), exit_code)


def _print_summary(record: dict[str, Any], out: Path) -> None:
    from shiftfix.report import summary_rows

    print_rows(summary_rows(record))
    tell_notices(record["notices"], [out])
