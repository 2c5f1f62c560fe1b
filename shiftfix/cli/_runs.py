"""The runs of the command line: refuse what cannot be used, then learn, then write.

What learns and predicts is imported when nothing is left to refuse without it: a file that is not there is told at
once.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from shiftfix.cli._columns import Reading
from shiftfix.cli._exit import InputError, UsageError
from shiftfix.cli._files import check_is_file
from shiftfix.cli._json import as_json
from shiftfix.cli._output import PAGE, new_folder
from shiftfix.cli._output_file import check_output_file, write_output_file, write_text_file
from shiftfix.cli._page import LEFT_OUT, check_makes_pages, makes_pages, page_of
from shiftfix.cli._progress import Tell
from shiftfix.cli._refusals import Refusals
from shiftfix.cli._results import seal, writing
from shiftfix.cli._roles import check_identifier
from shiftfix.cli._samples import checked_samples, checked_unlabelled, files_of_run, read_and_tell
from shiftfix.cli._standard_input import STANDARD, readable
from shiftfix.cli._tables import Tables
from shiftfix.cli._weigh_options import weigh_options
from shiftfix.cli._words import out_of

FORMAT = 1  # of records; see record.schema.json


class OneFile(NamedTuple):
    """A file of results and the option that names it.

    Attributes
    ----------
    option : str
    path : pathlib.Path or None
        None and "-" write no file.
    """

    option: str
    path: Path | None

    @property
    def place(self) -> Path | None:
        """The path, where there is something to write to."""
        return None if self.path == STANDARD else self.path


class Diagnosed(NamedTuple):
    """What ``shiftfix diagnose`` found.

    Attributes
    ----------
    diagnosis : ShiftDiagnosis
    record : dict
    page : str
        HTML; "" where none was asked for.
    """

    diagnosis: Any
    record: dict[str, Any]
    page: str


def named(command: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """A record that says what made it, and in which form."""
    return {"command": command, "format": FORMAT, **record}


def run_diagnose(
    source: Path,
    target: Path,
    options: Mapping[str, Any],
    *,
    out: Path | None,
    html: Path | None,
    overwrite: bool,
    tell: Tell,
) -> Diagnosed:
    """Read, fit, test, write.

    Parameters
    ----------
    source, target : pathlib.Path
    options : mapping
        The command's options by name; None where not given.
    out, html : pathlib.Path or None
        JSON and HTML file to write; None and "-" write nothing.
    overwrite : bool
        Replace them.
    tell : callable
        Given the name of each stage.

    Raises
    ------
    CommandError
        As described in ``_exit``.
    """
    outputs = [OneFile("--out", out), OneFile("--html", html)]
    refusals = Refusals()
    if html is not None:
        check_makes_pages()
    _check_outputs(outputs, [source, target], overwrite, refusals)
    with readable(source, target) as read:
        options, tables, learner = checked_samples(read[0], read[1], options, refusals, tell)
        files = _files(source, target, read, tables)
        tell(f"diagnosing {_rows(tables)}")
        from shiftfix.cli._diagnose import diagnose_tables

        diagnosis, record = diagnose_tables(tables, learner, options, files)
    record = named("diagnose", record)
    page = "" if html is None else page_of(record)
    for output, content in zip(outputs, (as_json(record), page), strict=True):
        if output.place is not None:
            write_output_file(content, output.place, overwrite, output.option)
    return Diagnosed(diagnosis, record, page)


def _check_outputs(outputs: list[OneFile], inputs: list[Path], overwrite: bool, refusals: Refusals) -> None:
    places = [output.place for output in outputs if output.place is not None]
    if len(set(places)) < len(places):
        refusals.found.append(UsageError(f"--out and --html are both {places[0]}: name two files."))
    for output in outputs:
        if output.place is not None:
            refusals.of(check_output_file, output.place, inputs, overwrite, output.option)


def _files(source: Path, target: Path, read: Any, tables: Tables) -> dict[str, Any]:
    return files_of_run({"source": (source, read[0]), "target": (target, read[1])}, tables)


def _rows(tables: Tables) -> str:
    return f"{out_of(len(tables.source), 'source row')} and {out_of(len(tables.target), 'target row')}"


def run_correct(
    source: Path, target: Path, out: Path, options: Mapping[str, Any], overwrite: bool, tell: Tell
) -> dict[str, Any]:
    """Read, fit, write.

    Parameters
    ----------
    source, target, out : pathlib.Path
    options : mapping
        The command's options by name; None where not given.
    overwrite : bool
        Replace the results of an earlier run.
    tell : callable
        Given the name of each stage.

    Returns
    -------
    dict
        What summary.json holds, without the digests of the files.

    Raises
    ------
    CommandError
        As described in ``_exit``.
    """
    refusals = Refusals()
    with ExitStack() as held:
        read = held.enter_context(readable(source, target))
        folder = refusals.of(held.enter_context, new_folder(out, overwrite, read))
        options, tables, learner = checked_samples(read[0], read[1], options, refusals, tell)
        files = _files(source, target, read, tables)
        tell(f"fitting {options['learner']}, shift {options['shift']}, on {_rows(tables)}")
        from shiftfix.cli._correct import correct_tables, write_corrected

        model, record = correct_tables(tables, learner, options, files)
        record = named("correct", record)
        if not makes_pages():
            record["notices"].append(LEFT_OUT)
        tell(f"predicting {out_of(len(tables.target), 'target row')} and writing {out}")
        with writing(out):
            write_corrected(folder, model, tables, record)
            if makes_pages():
                write_text_file(folder / PAGE, page_of(record, out))
            seal(folder, record)
    return record


def run_weigh(
    source: Path, target: Path, out: Path, options: Mapping[str, Any], overwrite: bool, tell: Tell
) -> tuple[str, dict[str, Any], str]:
    """Read, weigh, write.

    Parameters
    ----------
    source, target, out : pathlib.Path
        To "-" nothing is written.
    options : mapping
        The command's options by name; None where not given.
    overwrite : bool
        Replace the results of an earlier run.
    tell : callable
        Given the name of each stage.

    Returns
    -------
    page : str
        What the weights are worth, for people.
    record : dict
        What summary.json holds, without the digests of the files.
    weights : str
        As CSV.

    Raises
    ------
    CommandError
        As described in ``_exit``.
    """
    refusals = Refusals()
    with ExitStack() as held:
        read = held.enter_context(readable(source, target))
        folder = None
        if out != STANDARD:
            folder = refusals.of(held.enter_context, new_folder(out, overwrite, read))
        given = refusals.of(weigh_options, {**options, "format": options["format"] or "csv"})
        tables = checked_unlabelled(read[0], read[1], options, refusals, tell)
        files = _files(source, target, read, tables)
        tell(f"weighing {_rows(tables)}")
        from shiftfix.cli._safe_csv import harmless_csv
        from shiftfix.cli._weigh import weigh_tables, write_weights

        table, record, page = weigh_tables(tables, given, files)
        record = named("weigh", record)
        if folder is not None:
            with writing(out):
                write_weights(folder, table, record, page)
                seal(folder, record)
    return page, record, harmless_csv(table)


def run_predict(
    model_path: Path,
    rows_path: Path,
    out: Path | None,
    *,
    identifier: str | None,
    drop: list[str],
    reading: Reading,
    unseen_category: str,
    overwrite: bool,
    tell: Tell,
) -> tuple[str, list[str]]:
    """Read, predict, write.

    Parameters
    ----------
    model_path, rows_path : pathlib.Path
    out : pathlib.Path or None
        File to write; None and "-" write nothing.
    identifier : str or None
        Column that names the rows, carried into the predictions.
    drop : list of str
        Columns to leave out.
    reading : Reading
        How the cells are read.
    unseen_category : {"error", "ignore"}
    overwrite : bool
        Replace ``out``.
    tell : callable
        Given the name of each stage.

    Returns
    -------
    predictions : str
        CSV, safe to open in a spreadsheet.
    notices : list of str

    Raises
    ------
    CommandError
        As described in ``_exit``; all that is wrong with the options and the files comes at once.
    """
    refusals = Refusals()
    _check_outputs([OneFile("--out", out)], [model_path, rows_path], overwrite, refusals)
    refusals.of(_check_apart, drop, identifier)
    with readable(rows_path) as (read,):
        _refuse_absent(model_path, read, refusals)
        tell(f"reading the model {model_path}")
        from shiftfix.cli._predict import predict_rows, read_model

        model = refusals.of(read_model, model_path)
        table = refusals.of(read_and_tell, read, "rows", reading, tell)
        refusals.raise_found()
        tell(f"predicting {out_of(len(table), 'row')}")
        content, notices = predict_rows(model, table, identifier=identifier, drop=drop, unseen_category=unseen_category)
    if out not in (None, STANDARD):
        write_output_file(content, Path(str(out)), overwrite)
    return content, notices


def _check_apart(drop: list[str], identifier: str | None) -> None:
    """Raise UsageError for a column that is named twice, or an identifier whose name the results need."""
    check_identifier(identifier)
    apart = [*drop, *([] if identifier is None else [identifier])]
    if len(set(apart)) < len(apart):
        raise UsageError("--drop and --id name a column more than once: give each one role.")


def _refuse_absent(model_path: Path, rows_path: Path, refusals: Refusals) -> None:
    """Raise all that was found so far, where a file is not there."""
    n_found = len(refusals.found)
    if not model_path.exists():
        refusals.found.append(InputError(f"the model file {model_path} does not exist."))
    refusals.of(check_is_file, rows_path, "rows")
    if len(refusals.found) > n_found:
        refusals.raise_found()
