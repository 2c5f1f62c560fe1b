"""``shiftfix predict``."""

from pathlib import Path
from typing import Annotated

import typer

from shiftfix.cli._choices import (
    DEBUG,
    Dates,
    DatesAs,
    DecimalMark,
    IdColumn,
    MissingWords,
    Separator,
    UnseenCategory,
    Verbose,
)
from shiftfix.cli._commands._printing import tell_notices
from shiftfix.cli._exit import exit_codes
from shiftfix.cli._progress import stages
from shiftfix.cli._standard_input import STANDARD

HELP = (
    "Predict the rows of a file with a saved model: MODEL is model.skops of shiftfix correct, or a file of "
    "shiftfix.save_model. Reading it executes nothing. ROWS is a CSV (.csv, .csv.gz) or Parquet (.parquet, .pq) file "
    "with the columns that the model was fitted with, in any order, or - for standard input. The columns that shiftfix "
    "correct was told to be no features (--label, --id, --drop and the like) may be there too. One line per row: the "
    "prediction and, for classes, their probabilities."
)


def predict(
    model: Annotated[Path, typer.Argument(help="Saved model.", show_default=False)],
    rows: Annotated[Path, typer.Argument(help="Rows to predict.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="CSV file to write; without it, or with -, they are printed.", metavar="FILE"),
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
    verbose: Verbose = False,
    debug: Annotated[bool, DEBUG] = False,
) -> None:
    """Read, predict, and write or print."""
    with exit_codes(debug), stages(verbose=verbose) as tell:
        from shiftfix.cli._columns import make_reading
        from shiftfix.cli._runs import run_predict

        predictions, notices = run_predict(
            model,
            rows,
            out,
            identifier=id_column,
            drop=list(drop or []),
            reading=make_reading(sep, decimal.value if decimal else None, list(missing or []), dates.value),
            unseen_category=unseen_category.value,
            overwrite=overwrite,
            tell=tell,
        )
    with exit_codes(debug):
        tell_notices(notices, [], err=True)
        if out in (None, STANDARD):
            typer.echo(predictions, nl=False)
        else:
            tell_notices([], [out])
