"""``shiftfix weigh``."""

from pathlib import Path
from typing import Annotated

import typer

from shiftfix.cli._choices import (
    DEBUG,
    Clip,
    Dates,
    DatesAs,
    DecimalMark,
    Dialect,
    Drop,
    EngineName,
    ExitCode,
    FileFormat,
    IdColumn,
    Json,
    LogRatio,
    MissingWords,
    OutFolder,
    Quiet,
    ReplaceFolder,
    Seed,
    Separator,
    Unseen,
    UnseenCategory,
    Verbose,
    WeighMethod,
    Weight,
)
from shiftfix.cli._column_names import completed_columns
from shiftfix.cli._commands._printing import end_with, options_of_run, print_record, tell_notices
from shiftfix.cli._exit import UsageError, exit_codes
from shiftfix.cli._outcome import weights_code
from shiftfix.cli._progress import stages
from shiftfix.cli._standard_input import STANDARD
from shiftfix.cli._work import Work, is_read_in_passes

HELP = (
    "Weigh the rows of SOURCE so that they stand for those of TARGET, for a learner of your own: each gets the ratio "
    "of the densities, target over source, with mean 1. No labels are needed, and none are used. SOURCE and TARGET are "
    "CSV (.csv, .csv.gz) or Parquet (.parquet, .pq) files with the same feature columns. The folder DIR gets "
    "weights.csv, summary.txt and summary.json, all or none; --out - prints the weights instead. Folders and quoted "
    "patterns of Parquet files, of any size, are read in passes that keep little in memory, by --method logistic and "
    "of columns that are numbers; the folder weights in DIR gets them in parts, in the order of the rows. Such a run "
    "that is stopped goes on when the same command is given again, to the same weights. With --exit-code: 4 where the "
    "verdict on the weights is abstain, else 0."
)


def weigh(
    context: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(
            help="Rows to weigh: a file, - for standard input, or a folder or quoted pattern of Parquet files.",
            show_default=False,
        ),
    ],
    target: Annotated[Path, typer.Argument(help="Rows that matter; the same.", show_default=False)],
    out: OutFolder,
    label: Annotated[
        str | None,
        typer.Option(
            help="Label column, if there is one: it is left out.",
            metavar="COLUMN",
            autocompletion=completed_columns(0),
        ),
    ] = None,
    method: Annotated[
        WeighMethod,
        typer.Option(
            help="How the ratio is learned: the odds of a logistic or a boosted classifier of source against target, "
            "or kernels (few columns)."
        ),
    ] = WeighMethod.logistic,
    features: Annotated[
        LogRatio | None,
        typer.Option(
            help="For logistic: what the log ratio is linear in: the columns (default), also their squares, also their "
            "products, or what is held-out best."
        ),
    ] = None,
    penalty: Annotated[
        str | None,
        typer.Option(
            help='For logistic: inverse strength of the penalty, a number (default 1) or "cv".', metavar="CV|NUMBER"
        ),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(min=0, max=0.999, help="For rulsif: the weights are at most 1/alpha; default 0.1."),
    ] = None,
    bandwidth: Annotated[
        str | None,
        typer.Option(help='For kernels: their width, a number or "auto" (default).', metavar="AUTO|NUMBER"),
    ] = None,
    clip: Clip = None,
    min_ess: Annotated[
        float | None,
        typer.Option(
            min=1e-9,
            help="For --clip ess: effective rows to reach, from 1 on, or a share of the rows below 1; default 100.",
        ),
    ] = None,
    weight: Weight = None,
    drop: Drop = None,
    id_column: IdColumn = None,
    sep: Separator = None,
    decimal: DecimalMark = None,
    missing: MissingWords = None,
    dates: DatesAs = Dates.refuse,
    unseen_category: Unseen = UnseenCategory.error,
    seed: Seed = 0,
    format_name: Annotated[
        FileFormat | None,
        typer.Option("--format", help="Of the file of weights; default csv, and parquet where they are in parts."),
    ] = None,
    engine: Annotated[
        EngineName | None,
        typer.Option(
            help="Who works on Parquet files in passes: one process, threads (default for folders and patterns), or "
            "the processes of Dask or Ray. The weights are the same to the last bit."
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="For dask and ray: address of a cluster; without one they start on this machine.", metavar="ADDRESS"
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads, or processes that are started; default 2.")
    ] = None,
    sql: Annotated[
        Dialect | None,
        typer.Option(help="Of passes: also write weights.sql, the weight as an expression of the columns."),
    ] = None,
    overwrite: ReplaceFolder = False,
    json_out: Json = False,
    exit_code: ExitCode = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Annotated[bool, DEBUG] = False,
) -> None:
    """Weigh, print and write."""
    options = options_of_run(context)
    to_print = out == STANDARD
    with exit_codes(debug), stages(verbose=verbose, quiet=quiet) as tell:
        if to_print and (json_out or format_name not in (None, FileFormat.csv)):
            raise UsageError("--out - prints the weights as CSV, and nothing else: leave out --json and --format.")
        work = Work(engine and engine.value, scheduler, workers, sql and sql.value)
        if is_read_in_passes(source, target, work):
            from shiftfix.cli._weigh_files import run_weigh_files

            page, record = run_weigh_files(source, target, out, options, work, overwrite, tell)
            weights = ""
        else:
            from shiftfix.cli._runs import run_weigh

            page, record, weights = run_weigh(source, target, out, options, overwrite, tell)
    with exit_codes(debug):
        if json_out:
            print_record(record)
        if to_print:
            typer.echo(weights, nl=False)
        if not (json_out or quiet):
            typer.echo(page, err=to_print)
            tell_notices(record["notices"], [None if to_print else out], err=to_print)
    end_with(weights_code(record), exit_code)
