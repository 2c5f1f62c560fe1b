"""The command line: ``shiftfix demo`` and ``shiftfix correct``.

=============  ==============================================================================
``_app``       commands, options and help
``_correct``   two files in, a folder with weights, predictions and the corrected model out
``_options``   its options that belong together
``_refusals``  all that is wrong with a run, told at once
``_learners``  what it can train
``_files``     read a file: ``_csv_file``, ``_parquet_file``, ``_header``
``_columns``   one column, and the options of reading: ``_cells`` (words), ``_dates``
``_tables``    check the two samples against each other
``_ids``       columns that name rows
``_labels``    labels, and the task they make
``_encode``    columns to numbers
``_output``    write the folder, whole or not at all; ``_safe_csv`` for a spreadsheet
``_demo``      known shifts: uncorrected, corrected and oracle side by side
``_exit``      exit codes and their errors; ``_words`` for what they quote
=============  ==============================================================================

The console script belongs to every install, its libraries to the extra ``cli``: nothing here is imported
before they are known to be there. It also keeps ``shiftfix --help`` quick.
"""

import importlib.util
import sys

__all__ = ["main"]

REQUIRED = ("typer", "rich", "pandas")


def main() -> None:
    """Run the command line on ``sys.argv``; ends in SystemExit with an exit code as in ``_exit``."""
    missing = [module for module in REQUIRED if importlib.util.find_spec(module) is None]
    if missing:
        from shiftfix._validation import import_optional
        from shiftfix.exceptions import MissingDependencyError

        try:
            import_optional(missing[0], "cli")
        except MissingDependencyError as error:
            sys.stderr.write(f"shiftfix: {error}\n")
            raise SystemExit(2) from None
    from shiftfix.cli._app import app

    app()
