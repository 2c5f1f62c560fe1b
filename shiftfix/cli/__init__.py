"""The command line: ``shiftfix demo``, ``diagnose``, ``correct``, ``weigh``, ``predict``, ``report`` and ``schema``.

===================  ==============================================================================
``_app``             the commands in order; each is a file in ``_commands``: options, help, what is printed
``_choices``         options that several commands have; ``_column_names`` for a shell that completes them
``_runs``            a run: refuse what cannot be used, learn, write
``_diagnose``        two samples in, what moved between them and what to do out
``_correct``         two samples in, weights, predictions and the corrected model out
``_automatic``       what both need of a model that is diagnosed on the columns of the files
``_weigh``           two samples in, a weight per source row out; ``_weights_table``
``_predict``         a saved model and a file of rows in, a prediction per row out
``_weigh_files``     the same of files that do not fit in memory; ``_work`` who works, ``_kept`` to go on when stopped
``_render``          a record in, its page out; ``_page`` for where none can be made
``_samples``         the two files of a run, checked with the options they are read by
``_options``         options of ``correct`` that belong together; ``_weigh_options``
``_refusals``        all that is wrong with a run, told at once
``_learners``        what it can train
``_files``           read a file: ``_csv_file``, ``_parquet_file``, ``_header``; ``_standard_input``
``_columns``         one column, and the options of reading: ``_cells`` (words), ``_dates``
``_tables``          check the two samples against each other
``_roles``           which columns are features, and what the others are for; ``_ids``
``_labels``          labels, and the task they make
``_encode``          columns to numbers
``_output``          write the folder, whole or not at all; ``_safe_csv`` for a spreadsheet
``_output_file``     the same of a single file
``_workplace``       where it is written, by one run at a time
``_results``         which files are results of an earlier run
``_json``            a record as JSON; ``_schema`` for what it holds (``record.schema.json``)
``_outcome``         what was found, as an exit code
``_demo``            known shifts: uncorrected, corrected and oracle side by side
``_exit``            exit codes and their errors; ``_words`` for what they quote
``_progress``        the stages of a run, on standard error
``_process``         signals and standard streams
===================  ==============================================================================

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
