"""Commands, their options and their help; the work is done by one file per command."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shiftfix._naming import one_line
from shiftfix.cli._choices import (
    DEBUG,
    Causes,
    Correction,
    Dates,
    DatesAs,
    DecimalMark,
    Drop,
    Dropout,
    Epochs,
    Hidden,
    IdColumn,
    Label,
    Learner,
    LearnerName,
    MissingWords,
    OnAbstain,
    Seed,
    Separator,
    Shift,
    TargetLabels,
    Task,
    TaskName,
    Unseen,
    UnseenCategory,
    Weight,
)
from shiftfix.cli._exit import EXIT_CODES, exit_codes

app = typer.Typer(
    help=f"Repair models under distribution shift. {EXIT_CODES}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
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
    help="Tell what moved from SOURCE to TARGET, whether a model can be repaired for it, and what to do next. Both are "
    "CSV (.csv, .csv.gz) or Parquet (.parquet, .pq) files with the same feature columns, read as by shiftfix correct, "
    "which by default makes the same diagnosis and does what it says. Without labels of TARGET no test can see whether "
    "the label given the features moved: --target-labels takes the few there are.",
    epilog=EXIT_CODES,
)
def diagnose(
    source: Annotated[Path, typer.Argument(help="Labelled rows.", show_default=False)],
    target: Annotated[Path, typer.Argument(help="Rows that matter.", show_default=False)],
    label: Label,
    target_labels: TargetLabels = None,
    causes: Annotated[
        Causes | None,
        typer.Option(
            help="What is known: the label causes the features, and nothing but class shares moved; or the features "
            "cause the label."
        ),
    ] = None,
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
        Path | None, typer.Option(help="JSON file to write, with every test in full.", metavar="FILE")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE.")] = False,
    debug: Annotated[bool, DEBUG] = False,
) -> None:
    """Read, test, print and perhaps write."""
    options = {
        "label": label,
        "target_labels": target_labels,
        "shift": Shift.auto.value,
        "learner": learner.value,
        "task": task.value,
        "weight": weight,
        "drop": list(drop or []),
        "id": id_column,
        "sep": sep,
        "decimal": decimal.value if decimal else None,
        "missing": list(missing or []),
        "dates": dates.value,
        "causes": causes.value if causes else None,
        "unseen_category": unseen_category.value,
        "hidden": hidden,
        "epochs": epochs,
        "dropout": dropout,
        "seed": seed,
    }
    with exit_codes(debug):
        from shiftfix.cli._diagnose import run_diagnose

        diagnosis, notices = run_diagnose(source, target, out, options, overwrite)
        typer.echo(str(diagnosis))
        _tell(Console(), notices, out)


def _tell(console: Console, notices: list[str], out: Path | None) -> None:
    """Print what was noticed, and where the results are."""
    for notice in notices:
        console.print(Text(f"notice: {one_line(notice)}"))
    if out is not None:
        console.print(Text(f"written: {one_line(str(out))}"), soft_wrap=True)


@app.command(
    help="Fit a model on SOURCE that is corrected for the shift to TARGET, and predict TARGET. By default the shift is "
    "diagnosed, and corrected as far as the evidence supports it, which may be not at all. SOURCE and TARGET are CSV "
    "(.csv, .csv.gz) or Parquet (.parquet, .pq) files with the same feature columns; TARGET needs no label. The folder "
    "DIR gets predictions.csv, weights.csv, model.skops, summary.txt and summary.json, all or none. The same files, "
    "options and seed give the same predictions and weights.",
    epilog=EXIT_CODES,
)
def correct(
    source: Annotated[Path, typer.Argument(help="Labelled rows.", show_default=False)],
    target: Annotated[Path, typer.Argument(help="Rows that matter.", show_default=False)],
    label: Label,
    out: Annotated[Path, typer.Option(help="Folder to make.", metavar="DIR", show_default=False)],
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
    clip: Annotated[
        str | None,
        typer.Option(
            help='Of weights, for covariate shift and auto: the largest, a number, "sqrt" (mean weight x sqrt(rows), '
            'default), "99%" (a percentile), "ess" (weights worth at least 100 rows), "pareto" (tail smoothed) or '
            '"none".'
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
            help="What is known, for label shift and auto. label: the label causes the features, and nothing but the "
            "class shares moved, so that these are corrected even where the rows speak against it. features (auto "
            "only): the features cause the label, so that class shares are not corrected by themselves."
        ),
    ] = None,
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
        "target_labels": target_labels,
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
        _tell(console, summary["notices"], out)


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
