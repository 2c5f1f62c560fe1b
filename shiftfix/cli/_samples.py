"""The two files of a run, read and checked with the options they are read by."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shiftfix.cli._columns import Reading, make_reading
from shiftfix.cli._files import read_table, sha256
from shiftfix.cli._learners import make_learner
from shiftfix.cli._options import with_defaults
from shiftfix.cli._refusals import Refusals
from shiftfix.cli._tables import Roles, Tables, prepare_tables


def checked_samples(
    source: Path, target: Path, given: Mapping[str, Any], refusals: Refusals
) -> tuple[dict[str, Any], Tables, Any]:
    """Options, the two samples and the learner.

    Parameters
    ----------
    source, target : pathlib.Path
    given : mapping
        The command's options by name; None where not given.
    refusals : Refusals
        What has been found so far.

    Raises
    ------
    CommandError
        All that is wrong with them, and was noted before, at once.
    """
    options = refusals.of(with_defaults, given)
    reading = refusals.of(make_reading, given["sep"], given["decimal"], given["missing"], given["dates"]) or Reading()
    tables = _read_both(source, target, given, reading, refusals)
    learner = refusals.of(make_learner, tables.task, options) if options and tables else None
    refusals.raise_found()
    assert tables is not None
    return options, tables, learner


def _read_both(
    source: Path, target: Path, given: Mapping[str, Any], reading: Reading, refusals: Refusals
) -> Tables | None:
    """The two samples, or None where something is wrong with them, which is noted."""
    files = [refusals.of(read_table, path, name, reading) for path, name in [(source, "source"), (target, "target")]]
    if any(file is None for file in files):
        return None
    roles = Roles(given["label"], given["weight"], given["id"], given["drop"], given["target_labels"])
    choices = {name: given[name] for name in ("shift", "task", "unseen_category")}
    return prepare_tables(files[0], files[1], roles, **choices, refusals=refusals)


def files_of_run(source: Path, target: Path, tables: Tables) -> dict[str, Any]:
    """Name, digest and rows of both files, as a record tells them."""
    return {
        "source": {"file": str(source), "sha256": sha256(source), "rows": len(tables.source)},
        "target": {"file": str(target), "sha256": sha256(target), "rows": len(tables.target)},
    }


def columns_of_run(tables: Tables, options: Mapping[str, Any]) -> dict[str, Any]:
    """What each column was, as a record tells it."""
    return {
        "label": options["label"],
        "target_labels": options["target_labels"],
        "weight": options["weight"],
        "id": options["id"],
        "numeric": tables.numeric,
        "text": tables.text,
        "dropped": options["drop"],
    }
