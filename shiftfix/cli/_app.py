"""Commands, their options and their help; the work is done by one file per command."""

from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shiftfix._naming import one_line
from shiftfix.cli._exit import EXIT_CODES, exit_codes

app = typer.Typer(
    help=f"Repair models under distribution shift. {EXIT_CODES}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class Shift(StrEnum):
    """What is assumed to have moved."""

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


DEBUG = typer.Option("--debug", help="Show the traceback of an error.")


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


# How tables are read, by every command that reads some.
IdColumn = Annotated[
    str | None,
    typer.Option(
        "--id", help="Column that names the rows: copied to the results, never learned from.", metavar="COLUMN"
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


@app.command(
    help="Repair known shifts, and show what the repair is worth. Without a name: the two demos that need no "
    "file. Each row is the median over the seeds; 'oracle' is the same model with the true weights or class "
    "shares.",
    epilog=EXIT_CODES,
)
def demo(
    name: Annotated[str | None, typer.Argument(help="Name of a demo; see --list.")] = None,
    list_names: Annotated[
        bool, typer.Option("--list", help="List the names, kinds of shift, and whether the data are here.")
    ] = False,
    data_home: Annotated[
        Path | None, typer.Option(help="Folder with the data; default as for shiftfix.datasets.load.")
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch data that are not here.")] = False,
    seed: Annotated[int, typer.Option(min=0, max=2**31, help="First seed.")] = 0,
    repeats: Annotated[
        int | None, typer.Option(min=1, max=2**31 - 1, help="Number of seeds; default 5, for fashion_mnist 3.")
    ] = None,
    debug: Annotated[bool, DEBUG] = False,
) -> None:
    """Run demos, or list them."""
    with exit_codes(debug):
        from shiftfix.cli._demo import demo_names, list_demos, run_demo

        console = Console()
        if list_names:
            console.print(list_demos(data_home))
            return
        for chosen in demo_names(name):
            with console.status(f"{chosen} ...") if console.is_terminal else nullcontext():
                result = run_demo(chosen, data_home=data_home, download=download, seed=seed, repeats=repeats)
            console.print(result)


@app.command(
    help="Fit a model on SOURCE that is corrected for the shift to TARGET, and predict TARGET. SOURCE and "
    "TARGET are CSV (.csv, .csv.gz) or Parquet (.parquet, .pq) files with the same feature columns; TARGET "
    "needs no label. The folder DIR gets predictions.csv, weights.csv, model.skops, summary.txt and "
    "summary.json, all or none. The same files, options and seed give the same predictions and weights.",
    epilog=EXIT_CODES,
)
def correct(
    source: Annotated[Path, typer.Argument(help="Labelled rows.", show_default=False)],
    target: Annotated[Path, typer.Argument(help="Rows that matter.", show_default=False)],
    label: Annotated[str, typer.Option(help="Label column of SOURCE.", metavar="COLUMN", show_default=False)],
    shift: Annotated[
        Shift,
        typer.Option(
            help="What moved. covariate: the features, and the label given the features stays. label: the "
            "class shares, and the features given the class stay.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to make.", metavar="DIR", show_default=False)],
    learner: Annotated[
        Learner, typer.Option(help="What is trained. logistic is for classes, linear for numbers.")
    ] = Learner.mlp,
    task: Annotated[
        Task,
        typer.Option(
            help="auto: classification when the label is text, or whole numbers of at most 20 distinct "
            "values; else regression."
        ),
    ] = Task.auto,
    weight: Annotated[
        str | None, typer.Option(help="Column of SOURCE with a weight per row.", metavar="COLUMN")
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option(help="Column to leave out; may be repeated.", metavar="COLUMN")
    ] = None,
    id_column: IdColumn = None,
    sep: Separator = None,
    decimal: DecimalMark = None,
    missing: MissingWords = None,
    dates: DatesAs = Dates.refuse,
    correction: Annotated[
        Correction | None,
        typer.Option(help="For label shift: adjust the probabilities (default), or retrain with weights."),
    ] = None,
    clip: Annotated[
        str | None,
        typer.Option(
            help='For covariate shift: largest weight, a number, "sqrt" (mean weight x sqrt(rows), default), "99%" (a '
            'percentile), "ess" (weights worth at least 100 rows), "pareto" (tail smoothed) or "none".'
        ),
    ] = None,
    exponent: Annotated[
        str | None,
        typer.Option(
            help='For covariate shift: power of the weights, a number from 0 (none) to 1 (full), or "cv" (default): '
            "1/2 or 1 where cross-validation shows that weights help this model, else none.",
            metavar="CV|NUMBER",
        ),
    ] = None,
    causes: Annotated[
        Causes | None,
        typer.Option(
            help="For label shift: the label is known to cause the features, and nothing else moved. Then the class "
            "shares are corrected even where the rows speak against it."
        ),
    ] = None,
    on_abstain: Annotated[
        OnAbstain,
        typer.Option(
            help="When the data do not support the correction, or something else than the class shares moved: fit "
            "without it and say so, fail with exit code 4, or (covariate shift) correct all the same."
        ),
    ] = OnAbstain.uncorrected,
    unseen_category: Annotated[
        UnseenCategory, typer.Option(help="What to do about text values in TARGET that no SOURCE row has.")
    ] = UnseenCategory.error,
    hidden: Annotated[
        str | None,
        typer.Option(help="For mlp: units of the hidden layers; default 256,256.", metavar="SIZES"),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="For mlp: most passes over the rows; default 100.")] = None,
    dropout: Annotated[
        float | None,
        typer.Option(min=0, max=0.99, help="For mlp: dropout rate; default 0.5 for classes, 0 for numbers."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="For everything random.")] = 0,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace the results of an earlier run in DIR, and nothing else, once the new ones are complete.",
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    debug: Annotated[bool, DEBUG] = False,
) -> None:
    """Fit, predict and write."""
    options = {
        "label": label,
        "shift": shift.value,
        "learner": learner.value,
        "task": task.value,
        "weight": weight,
        "drop": list(drop or []),
        "id": id_column,
        "sep": sep,
        "decimal": decimal.value if decimal else None,
        "missing": list(missing or []),
        "dates": dates.value,
        "correction": correction.value if correction else None,
        "clip": clip,
        "exponent": exponent,
        "causes": causes.value if causes else None,
        "on_abstain": on_abstain.value,
        "unseen_category": unseen_category.value,
        "hidden": hidden,
        "epochs": epochs,
        "dropout": dropout,
        "seed": seed,
        "overwrite": overwrite,
    }
    with exit_codes(debug):
        from shiftfix.cli._correct import run_correct
        from shiftfix.report import summary_rows

        summary = run_correct(source, target, out, options)
        if quiet:
            return
        console = Console()
        table = Table(show_header=False, box=None, pad_edge=False)
        for name, value in summary_rows(summary):
            table.add_row(Text(name), Text(value))
        console.print(table)
        for notice in summary["notices"]:
            console.print(Text(f"notice: {one_line(notice)}"))
        console.print(Text(f"written: {one_line(str(out))}"), soft_wrap=True)


@app.command(
    help="Predict the rows of a file with a saved model: MODEL is model.skops of shiftfix correct, or a file of "
    "shiftfix.save_model. Reading it executes nothing. ROWS is a CSV (.csv, .csv.gz) or Parquet (.parquet, .pq) file "
    "with the columns that the model was fitted with, in any order. One line per row: the prediction and, for classes, "
    "their probabilities.",
    epilog=EXIT_CODES,
)
def predict(
    model: Annotated[Path, typer.Argument(help="Saved model.", show_default=False)],
    rows: Annotated[Path, typer.Argument(help="Rows to predict.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="CSV file to write; without it they are printed.", metavar="FILE")
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option(help="Column of ROWS to leave out; may be repeated.", metavar="COLUMN")
    ] = None,
    id_column: IdColumn = None,
    sep: Separator = None,
    decimal: DecimalMark = None,
    missing: MissingWords = None,
    dates: DatesAs = Dates.refuse,
    unseen_category: Annotated[
        UnseenCategory, typer.Option(help="What to do about text values that the model has never seen.")
    ] = UnseenCategory.error,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE.")] = False,
    debug: Annotated[bool, DEBUG] = False,
) -> None:
    """Read, predict, and write or print."""
    with exit_codes(debug):
        from shiftfix.cli._columns import make_reading
        from shiftfix.cli._predict import run_predict

        predictions, notices = run_predict(
            model,
            rows,
            out,
            identifier=id_column,
            drop=list(drop or []),
            reading=make_reading(sep, decimal.value if decimal else None, list(missing or []), dates.value),
            unseen_category=unseen_category.value,
            overwrite=overwrite,
        )
        for notice in notices:
            typer.echo(f"notice: {one_line(notice)}", err=True)
        if out is None:
            typer.echo(predictions, nl=False)
        else:
            typer.echo(f"written: {one_line(str(out))}")
