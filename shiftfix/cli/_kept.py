"""What a long run keeps when it is stopped, so that the same command goes on from it.

In the hidden folder beside the results, which are seen in their place when they are whole, ``kept`` holds

===============  ======================================================================================
``run.json``     what the run is: its files, with size and time of change, and the options that decide
``state``        the state of the fit after its last pass
``results``      the files that have been written
===============  ======================================================================================
"""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from shiftfix._atomic import replace_file
from shiftfix.cli._output import discard_kept, held_place
from shiftfix.cli._output_file import as_bytes
from shiftfix.cli._process import Stopped, stop_received
from shiftfix.cli._results import put_bytes, writing
from shiftfix.cli._workplace import KEPT, RESULTS, publish
from shiftfix.exceptions import ShiftDataError

Identity = Mapping[str, Any]


class KeptRun(NamedTuple):
    """Where a run keeps what it has done.

    Attributes
    ----------
    state : pathlib.Path
        File for the state of the fit.
    results : pathlib.Path
        Folder that takes its place when the run has ended.
    goes_on : bool
        Whether the same run was stopped before.
    """

    state: Path
    results: Path
    goes_on: bool


@contextmanager
def kept_run(path: Path, identity: Identity, overwrite: bool, inputs: Sequence[Path]) -> Iterator[KeptRun]:
    """Hold the name of a folder, yield where to work, and move the results into place when the block has ended.

    Parameters
    ----------
    path : pathlib.Path
        Folder to make.
    identity : mapping
        What tells this run from others, by what messages call it; JSON.
    overwrite : bool
        Replace the results of an earlier run, and discard what another one has kept.
    inputs : sequence of pathlib.Path
        Files that the run reads.

    Raises
    ------
    OutputError
        As by :func:`new_folder`, and where another run has kept something.
    """
    with held_place(path, overwrite, inputs) as (work, final):
        kept = work / KEPT
        with writing(final):
            run = _take_up(kept, path, identity, overwrite)
        with _told_what_is_kept(kept, run):
            yield run
        with writing(final):
            publish(run.results, work, final, overwrite)
            shutil.rmtree(kept)


def _take_up(kept: Path, path: Path, identity: Identity, overwrite: bool) -> KeptRun:
    """What the same run has kept, or else a new place."""
    found = _identity_in(kept / "run.json") if (kept / "state").is_file() else None
    if found == dict(identity):
        return KeptRun(kept / "state", kept / RESULTS, True)
    if found is not None:
        differs = [name for name, value in identity.items() if found.get(name) != value]
        discard_kept(kept, path, overwrite, f"by a run that was stopped, of another {' and '.join(differs)}")
    elif kept.exists():  # killed before the first pass had ended
        shutil.rmtree(kept)
    (kept / RESULTS).mkdir(parents=True)
    text = json.dumps(identity, indent=1)
    replace_file(kept / "run.json", lambda file: put_bytes(file, as_bytes(text)))
    return KeptRun(kept / "state", kept / RESULTS, False)


def _identity_in(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


@contextmanager
def _told_what_is_kept(kept: Path, run: KeptRun) -> Iterator[None]:
    """Add to what ends the block that the same command goes on, or discard what is of no use to it."""
    try:
        yield
    except BaseException as error:
        # A library may have made another error of a signal's.
        stop = error if isinstance(error, KeyboardInterrupt | Stopped) else stop_received()
        ended = error if stop is None else stop
        refused = stop is None and isinstance(error, ShiftDataError)
        if refused or not run.state.exists():
            shutil.rmtree(kept, ignore_errors=True)
        else:
            ended.add_note(
                f"What it has done is kept in {kept.parent}: give the same command again to go on from there."
            )
        if ended is error:
            raise
        raise ended from error
