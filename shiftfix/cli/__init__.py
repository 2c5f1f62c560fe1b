"""The command line: ``shiftfix demo``, ``shiftfix diagnose``, ``shiftfix correct`` and ``shiftfix predict``.

================  ==============================================================================
``_app``          commands and their help; ``_choices`` for the options that they share
``_diagnose``     two files in, what moved between them and what to do out
``_correct``      two files in, a folder with weights, predictions and the corrected model out
``_automatic``    what both need of a model that is diagnosed on the columns of the files
``_predict``      a saved model and a file of rows in, a prediction per row out
``_samples``      the two files of a run, checked with the options they are read by
``_options``      options of ``correct`` that belong together
``_refusals``     all that is wrong with a run, told at once
``_learners``     what it can train
``_files``        read a file: ``_csv_file``, ``_parquet_file``, ``_header``
``_columns``      one column, and the options of reading: ``_cells`` (words), ``_dates``
``_tables``       check the two samples against each other
``_ids``          columns that name rows
``_labels``       labels, and the task they make
``_encode``       columns to numbers
``_output``       write the folder, whole or not at all; ``_safe_csv`` for a spreadsheet
``_output_file``  the same of a single file
``_workplace``    where it is written, by one run at a time
``_results``      which files are results of an earlier run
``_demo``         known shifts: uncorrected, corrected and oracle side by side
``_exit``         exit codes and their errors; ``_words`` for what they quote
``_process``      signals and standard streams
================  ==============================================================================

The console script belongs to every install, its libraries to the extra ``cli``: nothing here is imported
before they are known to be there. It also keeps ``shiftfix --help`` quick.
"""

import importlib.util
import sys

from shiftfix.cli._process import Stopped, clean_process, stopped_by

__all__ = ["main"]

REQUIRED = ("typer", "rich", "pandas", "skops")


def main() -> None:
    """Run the command line on ``sys.argv``; ends in SystemExit with an exit code as in ``_exit``."""
    with clean_process():
        try:
            _run()
        except (KeyboardInterrupt, Stopped) as error:
            message, exit_code = stopped_by(error)
            sys.stderr.write(f"{message}\n")
            raise SystemExit(exit_code) from None


def _run() -> None:
    missing = [module for module in REQUIRED if importlib.util.find_spec(module) is None]
    if missing:
        from shiftfix._setting_checks import import_optional
        from shiftfix.exceptions import MissingDependencyError

        try:
            import_optional(missing[0], "cli")
        except MissingDependencyError as error:
            sys.stderr.write(f"shiftfix: {error}\n")
            raise SystemExit(2) from None
    from shiftfix.cli._app import app
    from shiftfix.cli._exit import CommandError, show

    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except CommandError as error:  # of what is printed before or after a command, such as its help
        raise SystemExit(show(error)) from None
