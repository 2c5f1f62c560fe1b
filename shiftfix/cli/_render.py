"""``shiftfix report``: a record in, its page out."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shiftfix.cli._exit import InputError
from shiftfix.cli._output import PAGE
from shiftfix.cli._output_file import check_output_file, write_output_file
from shiftfix.cli._page import check_makes_pages, page_of
from shiftfix.cli._results import SUMMARY, put_into_results, unsealed, writing
from shiftfix.cli._runs import FORMAT
from shiftfix.cli._standard_input import STANDARD
from shiftfix.cli._words import quoted
from shiftfix.cli._workplace import hold


def run_report(place: Path, out: Path | None, overwrite: bool) -> tuple[str, Path | None]:
    """Read a record, make its page, write it.

    Parameters
    ----------
    place : pathlib.Path
        Folder of results, or a JSON file.
    out : pathlib.Path or None
        File to write; None writes into the folder or beside the file, "-" nothing.
    overwrite : bool
        Replace ``out``.

    Returns
    -------
    page : str
        HTML.
    written : pathlib.Path or None

    Raises
    ------
    CommandError
        As described in ``_exit``.
    """
    check_makes_pages()
    if out is None and place.is_dir():
        return _page_into(place)
    record_file = place / SUMMARY if place.is_dir() else place
    out = record_file.with_suffix(".html") if out is None else out
    if out != STANDARD:
        check_output_file(out, [record_file], overwrite)
    page = page_of(read_record(record_file), place if place.is_dir() else None)
    if out == STANDARD:
        return page, None
    write_output_file(page, out, overwrite)
    return page, out


def _page_into(folder: Path) -> tuple[str, Path]:
    """Put the page among the results that it shows, which stay those of one run."""
    read_record(folder / SUMMARY)  # before anything is made beside the folder
    final = folder.resolve()
    with hold(final), writing(final):
        page = page_of(read_record(folder / SUMMARY), folder)
        put_into_results(final, PAGE, page)
    return page, folder / PAGE


def read_record(path: Path) -> dict[str, Any]:
    """The record in a file.

    Raises
    ------
    InputError
        For a file that is not there, or holds none that a page can be made of.
    """
    shown = quoted(str(path))
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{shown} does not exist: pass a folder that shiftfix correct has written.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{shown} cannot be read as JSON ({error}): pass results of shiftfix correct.") from error
    _check_record(record, shown)
    return unsealed(record, shown)


def _check_record(record: Any, shown: str) -> None:
    command = record.get("command") if isinstance(record, Mapping) else None
    if command not in ("correct", "diagnose"):
        found = "weights of shiftfix weigh" if command == "weigh" else "no record of shiftfix correct or diagnose"
        raise InputError(f"{shown} holds {found}, of which no page is made: pass results of shiftfix correct.")
    if record.get("format") != FORMAT:
        raise InputError(
            f"{shown} is of another version of shiftfix (format {record.get('format')}, this one reads {FORMAT}): run "
            "the command again."
        )
