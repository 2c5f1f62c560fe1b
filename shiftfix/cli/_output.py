"""The folder of results: whether it may be written, and its writing, whole or not at all.

Nothing is replaced or removed that this command did not make: only, with ``--overwrite``, the unchanged results of an
earlier run. Two runs never write one folder at a time.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from shiftfix.cli._exit import OutputError
from shiftfix.cli._results import foreign_files, writing
from shiftfix.cli._words import listed
from shiftfix.cli._workplace import KEPT, hold, is_free, publish, workplace_of

PAGE = "report.html"
FILES = ("predictions.csv", "weights.csv", "model.skops", "summary.txt", PAGE, "summary.json")
LONGEST_NAME = 255  # bytes, of the hidden folder: what common file systems allow


@contextmanager
def new_folder(path: Path, overwrite: bool, inputs: Sequence[Path] = ()) -> Iterator[Path]:
    """Hold the name of a folder from now on, and yield an empty one that takes its place when the block has ended.

    Parameters
    ----------
    path : pathlib.Path
        A link is followed. Its parent must exist.
    overwrite : bool
        Replace the results of an earlier run.
    inputs : sequence of pathlib.Path
        Files that the run reads; none may lie in the folder.

    Raises
    ------
    OutputError
        When the folder may not be replaced, cannot be made, or is being written by another run; and at the end, when
        files came or changed in it meanwhile. Then the results are kept in a new folder beside it.
    """
    with held_place(path, overwrite, inputs) as (work, final):
        with writing(final):
            if (work / KEPT).exists():
                discard_kept(work / KEPT, path, overwrite, "by a run of shiftfix weigh that was stopped")
            (work / "new").mkdir()
        yield work / "new"
        with writing(final):
            publish(work / "new", work, final, overwrite)


@contextmanager
def held_place(path: Path, overwrite: bool, inputs: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
    """Hold the name of a folder in the block; yields the hidden folder beside it, and the name, links followed.

    Parameters and errors are those of :func:`new_folder`.
    """
    with writing(path):
        final = _resolved(path)
        _check_inputs(final, path, inputs)
    with hold(final) as work:
        with writing(final):
            _check_replaceable(final, path, overwrite)
        yield work, final


def discard_kept(kept: Path, path: Path, overwrite: bool, by: str) -> None:
    """Remove what a run that was stopped has kept; OutputError where that is not wanted."""
    if not overwrite:
        raise OutputError(
            f"--out {path} is being made {by}, and which can be gone on with: give that command again, name another "
            "folder, or pass --overwrite to discard what it has done."
        )
    shutil.rmtree(kept)


def _resolved(path: Path) -> Path:
    """The folder to write, links followed, or OutputError when none can stand there."""
    if "\0" in str(path):
        raise OutputError(f"--out {str(path)!r} holds a zero byte, which no path may: name another folder.")
    final = Path(os.path.realpath(path))
    if os.path.ismount(final) or Path(os.path.realpath(os.curdir)).is_relative_to(final):
        raise OutputError(
            f"--out {path} is a disk, or the folder that you are in, or one above it, and cannot be exchanged for "
            "another: name a new folder inside it."
        )
    excess = len(os.fsencode(workplace_of(final).name)) - LONGEST_NAME
    if excess > 0:
        raise OutputError(f"--out {path} has a name that is {excess} bytes too long: name another folder.")
    _check_place(path, final)
    return final


def _check_place(path: Path, final: Path) -> None:
    """Raise OutputError for what stands in the way, and where there is no folder to make it in."""
    if final.is_symlink():
        raise OutputError(f"--out {path} is a link that leads to itself: name another folder.")
    if final.exists() and not final.is_dir():
        raise OutputError(f"--out {path} is a file: name a folder that does not exist yet.")
    if not final.parent.is_dir():
        raise OutputError(f"--out {path} is to be made in {final.parent}, which is no folder: make it first.")


def _check_inputs(final: Path, path: Path, inputs: Sequence[Path]) -> None:
    inside = [str(file) for file in inputs if Path(os.path.realpath(file)).is_relative_to(final)]
    if inside:
        raise OutputError(f"--out {path} holds {listed(inside)}, which this run reads: name another folder.")


def _check_replaceable(final: Path, path: Path, overwrite: bool) -> None:
    """Raise unless the folder holds nothing, or only earlier results that are to be replaced."""
    if is_free(final):
        return
    if not overwrite:
        raise OutputError(
            f"--out {path} is not empty ({len(os.listdir(final))} entries): name another folder, or pass --overwrite "
            "to replace the results in it."
        )
    foreign = foreign_files(final)
    if foreign:
        raise OutputError(
            f"--out {path} holds files that are not results of this command, or were changed since "
            f"({listed(foreign)}), and --overwrite would remove them: name another folder."
        )
