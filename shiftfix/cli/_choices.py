"""Options that several commands have, and what may be chosen."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from shiftfix.cli._column_names import completed_columns


class Shift(StrEnum):
    """What is assumed to have moved."""

    auto = "auto"
    covariate = "covariate"
    label = "label"


class Learner(StrEnum):
    """What is trained."""

    mlp = "mlp"
    logistic = "logistic"
    linear = "linear"
    forest = "forest"
    boosting = "boosting"


class Task(StrEnum):
    """What the label is."""

    auto = "auto"
    classification = "classification"
    regression = "regression"


class Correction(StrEnum):
    """How a prior is corrected for."""

    adjust = "adjust"
    retrain = "retrain"


class Causes(StrEnum):
    """What is known to cause what."""

    label = "label"
    features = "features"


class OnAbstain(StrEnum):
    """What to do when the data do not support the correction."""

    uncorrected = "uncorrected"
    error = "error"
    correct = "correct"


class UnseenCategory(StrEnum):
    """What to do about text values of the target that no source row has."""

    error = "error"
    ignore = "ignore"


class Decimal(StrEnum):
    """Decimal marks."""

    point = "."
    comma = ","


class Dates(StrEnum):
    """What to do about dates and times."""

    refuse = "refuse"
    days = "days"


class WeighMethod(StrEnum):
    """How weights are learned."""

    logistic = "logistic"
    boosting = "boosting"
    ulsif = "ulsif"
    rulsif = "rulsif"
    kliep = "kliep"
    kmm = "kmm"


class LogRatio(StrEnum):
    """What a log ratio is linear in."""

    linear = "linear"
    squares = "squares"
    quadratic = "quadratic"
    auto = "auto"


class EngineName(StrEnum):
    """Who works on files that do not fit in memory."""

    serial = "serial"
    threads = "threads"
    dask = "dask"
    ray = "ray"


class Dialect(StrEnum):
    """Of SQL."""

    duckdb = "duckdb"
    postgres = "postgres"
    snowflake = "snowflake"
    spark = "spark"
    bigquery = "bigquery"
    mysql = "mysql"


class FileFormat(StrEnum):
    """Of a table that is written."""

    csv = "csv"
    parquet = "parquet"


DEBUG = typer.Option("--debug", help="Show the traceback of an error.")

# How tables are read, by every command that reads some.
IdColumn = Annotated[
    str | None,
    typer.Option(
        "--id",
        help="Column that names the rows: copied to the results, never learned from.",
        metavar="COLUMN",
        autocompletion=completed_columns(0),
    ),
]
Separator = Annotated[
    str | None,
    typer.Option(help="What separates the cells of CSV files: a character, or tab; found when not given."),
]
DecimalMark = Annotated[
    Decimal | None, typer.Option(help="Decimal mark of CSV files: a point or a comma; found when not given.")
]
MissingWords = Annotated[
    list[str] | None,
    typer.Option(
        help="Word (or number) that means a missing value, also of the label; may be repeated. Empty cells always "
        "do, and NA, NaN, NULL, None and their like among numbers, but not in labels.",
        metavar="WORD",
    ),
]
DatesAs = Annotated[
    Dates, typer.Option(help="Columns of dates or times: refuse them, or take them as days since 1970.")
]

# What is read, and what becomes of the results.
SourceFile = Annotated[Path, typer.Argument(help="Rows to learn from; - is standard input.", show_default=False)]
TargetFile = Annotated[Path, typer.Argument(help="Rows that matter; - is standard input.", show_default=False)]
OutFolder = Annotated[Path, typer.Option("--out", "-o", help="Folder to make.", metavar="DIR", show_default=False)]
ReplaceFolder = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace the results of an earlier run in DIR, and nothing else, once the new ones are complete.",
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Print the record of the run as JSON, and nothing else; shiftfix schema tells what it holds."
    ),
]
ExitCode = Annotated[
    bool,
    typer.Option(
        "--exit-code",
        help="Tell by the exit code what was found: 0 nothing to correct, 4 something moved and no correction is "
        "supported, 6 one is. The results are the same.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose", "-v", help="Print each stage and its rows on standard error, on a terminal and elsewhere."
    ),
]

# What is learned from, and by what.
Label = Annotated[
    str,
    typer.Option(
        help="Label column of SOURCE.", metavar="COLUMN", show_default=False, autocompletion=completed_columns(0)
    ),
]
TargetLabels = Annotated[
    str | None,
    typer.Option(
        help="Column of TARGET with the labels that are known, blank elsewhere; of rows drawn at random. 25 to a few "
        "hundred tell what moved, and repair most of it.",
        metavar="COLUMN",
        autocompletion=completed_columns(1),
    ),
]
LearnerName = Annotated[Learner, typer.Option(help="What is trained. logistic is for classes, linear for numbers.")]
TaskName = Annotated[
    Task,
    typer.Option(
        help="auto: classification when the label is text, or whole numbers of at most 20 distinct values; else "
        "regression."
    ),
]
Weight = Annotated[
    str | None,
    typer.Option(help="Column of SOURCE with a weight per row.", metavar="COLUMN", autocompletion=completed_columns(0)),
]
Drop = Annotated[
    list[str] | None,
    typer.Option(help="Column to leave out; may be repeated.", metavar="COLUMN", autocompletion=completed_columns(0)),
]
CausesKnown = Annotated[
    Causes | None,
    typer.Option(
        help="What is known, for auto and label shift. label: the label causes the features, and nothing but the "
        "class shares moved, so that these are corrected even where the rows speak against it. features (auto only): "
        "the features cause the label, so that class shares are not corrected by themselves."
    ),
]
Clip = Annotated[
    str | None,
    typer.Option(
        help='Largest weight: a number, "sqrt" (mean weight x sqrt(rows), default), "99%" (a percentile), "ess" '
        '(weights worth at least 100 rows), "pareto" (tail smoothed) or "none". Of no use to label shift.'
    ),
]
Unseen = Annotated[UnseenCategory, typer.Option(help="What to do about text values in TARGET that no SOURCE row has.")]
Hidden = Annotated[str | None, typer.Option(help="For mlp: units of the hidden layers; default 128.", metavar="SIZES")]
Epochs = Annotated[int | None, typer.Option(min=1, help="For mlp: most passes over the rows; default 200.")]
Dropout = Annotated[
    float | None,
    typer.Option(min=0, max=0.99, help="For mlp: dropout rate; default 0.2 for classes, 0 for numbers."),
]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="For everything random.")]
