"""The two files of a run, read and checked with the options they are read by."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from shiftfix.cli._columns import Reading, make_reading
from shiftfix.cli._files import Table, check_is_file, read_table, sha256
from shiftfix.cli._learners import make_learner
from shiftfix.cli._options import with_defaults
from shiftfix.cli._progress import Tell
from shiftfix.cli._refusals import Refusals
from shiftfix.cli._roles import Roles
from shiftfix.cli._tables import Tables, prepare_tables, prepare_unlabelled
from shiftfix.cli._words import out_of


def checked_samples(
    source: Path, target: Path, given: Mapping[str, Any], refusals: Refusals, tell: Tell
) -> tuple[dict[str, Any], Tables, Any]:
    """Options, the two samples and the learner.

    Parameters
    ----------
    source, target : pathlib.Path
    given : mapping
        The command's options by name; None where not given.
    refusals : Refusals
        What has been found so far.
    tell : callable
        Given the name of each stage.

    Raises
    ------
    CommandError
        All that is wrong with them, and was noted before, at once; files that are not there before any is read.
    """
    options = refusals.of(with_defaults, given)
    files = _read_both(source, target, given, refusals, tell)
    tables = None
    if files is not None:
        choices = {name: given[name] for name in ("shift", "task", "unseen_category")}
        tables = prepare_tables(*files, roles_of(given), **choices, refusals=refusals)
    learner = refusals.of(make_learner, tables.task, options) if options and tables else None
    refusals.raise_found()
    assert tables is not None
    return options, tables, learner


def checked_unlabelled(source: Path, target: Path, given: Mapping[str, Any], refusals: Refusals, tell: Tell) -> Tables:
    """The two samples without labels; parameters and errors as of :func:`checked_samples`."""
    files = _read_both(source, target, given, refusals, tell)
    tables = None
    if files is not None:
        tables = prepare_unlabelled(
            *files, roles_of(given), unseen_category=given["unseen_category"], refusals=refusals
        )
    refusals.raise_found()
    assert tables is not None
    return tables


def roles_of(given: Mapping[str, Any]) -> Roles:
    return Roles(given["label"], given["weight"], given["id"], given["drop"], given.get("target_labels"))


def _read_both(
    source: Path, target: Path, given: Mapping[str, Any], refusals: Refusals, tell: Tell
) -> tuple[Table, Table] | None:
    """The two files, or None where something is wrong with one, which is noted."""
    reading = refusals.of(make_reading, given["sep"], given["decimal"], given["missing"], given["dates"]) or Reading()
    named = [(source, "source"), (target, "target")]
    n_found = len(refusals.found)
    for path, name in named:
        refusals.of(check_is_file, path, name)
    if len(refusals.found) > n_found:
        refusals.raise_found()
    tables = [refusals.of(read_and_tell, path, name, reading, tell) for path, name in named]
    return None if any(table is None for table in tables) else (tables[0], tables[1])


def read_and_tell(path: Path, name: str, reading: Reading, tell: Tell) -> Table:
    """A file as :func:`read_table` gives it, with what it holds told."""
    tell(f"reading the {name} file {path}")
    table = read_table(path, name, reading)
    tell(f"checking {out_of(len(table), f'{name} row')} of {out_of(len(table.columns), 'column')}")
    return table


def files_of_run(files: Mapping[str, tuple[Path, Path]], tables: Tables) -> dict[str, Any]:
    """Name, digest and rows of both files, as a record tells them.

    Parameters
    ----------
    files : mapping
        Of "source" and "target": the path that the user gave, and the one that was read.
    tables : Tables
    """
    rows = {"source": len(tables.source), "target": len(tables.target)}
    return {
        name: {"file": str(given), "sha256": sha256(read), "rows": rows[name]} for name, (given, read) in files.items()
    }


class KindsOfColumns(NamedTuple):
    """Names of the features, numbers and text, as ``Tables`` has them too."""

    numeric: list[str]
    text: list[str]


def columns_of_run(tables: Tables | KindsOfColumns, options: Mapping[str, Any]) -> dict[str, Any]:
    """What each column was, as a record tells it."""
    return {
        "label": options["label"],
        "target_labels": options.get("target_labels"),
        "weight": options["weight"],
        "id": options["id"],
        "numeric": tables.numeric,
        "text": tables.text,
        "dropped": options["drop"],
    }
