"""The hidden folder beside the results, in which one run at a time works and from which its results go into place.

``.NAME.shiftfix`` beside ``NAME`` holds

=========  ============================================================================================
``lock``   locked as long as the run lives, its process number inside
``new``    files being written
``ready``  complete results on their way to ``NAME``, or those that they have replaced
``old``    the replaced ones for a moment, where the system cannot exchange two folders at once
``kept``   what a run has done that can be gone on with, its ``results`` among it; see ``_kept``
=========  ============================================================================================

Whoever gets the lock of such a folder knows that the run that made it is dead, and tidies up after it. A run that is
killed leaves at ``NAME`` the old or the new results, whole, or (only without that exchange) the old ones in ``old``,
which the next run puts back.
"""

import ctypes
import itertools
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shiftfix._atomic import write_through
from shiftfix._locks import lock_file
from shiftfix.cli._exit import OutputError
from shiftfix.cli._results import foreign_files, remove_results, writing
from shiftfix.cli._words import listed

KEPT, RESULTS = "kept", "results"
PARTS = ("lock", "new", "ready", "old", KEPT)
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h


def workplace_of(final: Path) -> Path:
    """The hidden folder that belongs to a folder of results."""
    return final.with_name(f".{final.name}.shiftfix")


@contextmanager
def hold(final: Path) -> Iterator[Path]:
    """Make the hidden folder and keep every other run out of it; it is gone after the block.

    Raises
    ------
    OutputError
        When another run holds it, it cannot be made, or something that no run put there is in it.
    """
    work = workplace_of(final)
    with writing(final):
        lock = _enter(work, final)
    try:
        with writing(final):
            os.ftruncate(lock, 0)
            os.write(lock, b"%d\n" % os.getpid())
            tidy(work, final)
        yield work
    finally:
        # What cannot be removed now is met by the next run, which says so.
        with suppress(OSError, OutputError):
            tidy(work, final)
        _leave(work, lock)


def _enter(work: Path, final: Path) -> int:
    """Descriptor of the lock of the hidden folder, which is made where there is none."""
    while True:
        made = _make(work)
        try:
            lock, certain = lock_file(work / "lock")
        except BlockingIOError as error:
            raise OutputError(f"{final} is being written by {_holder(work)}: wait, or name another folder.") from error
        except FileNotFoundError:  # its last holder has just removed it
            continue
        except OSError:
            if made:
                work.rmdir()
            raise
        if made or certain:
            return lock
        os.close(lock)
        raise OutputError(
            f"{work} is there, so another run writes {final}, or one was killed, which cannot be told on this file "
            "system: remove it if none runs, or name another folder."
        )


def _make(work: Path) -> bool:
    """Make the hidden folder, or find that it is there and nobody else's."""
    try:
        work.mkdir(mode=0o700)
    except FileExistsError:
        with suppress(FileNotFoundError):
            _check_ours(work)
        return False
    return True


def _check_ours(work: Path) -> None:
    foreign = [work.name]
    if stat.S_ISDIR(work.lstat().st_mode):
        foreign = sorted(set(os.listdir(work)) - set(PARTS))
    if foreign:
        raise OutputError(
            f"{work}, where this command would work, holds what no run of it put there ({listed(foreign)}): move it "
            "away, or name another folder."
        )


def _holder(work: Path) -> str:
    try:
        return f"another run (process {int((work / 'lock').read_text(encoding='ascii'))})"
    except (OSError, ValueError):
        return "another run"


def _leave(work: Path, lock: int) -> None:
    if os.name == "nt":  # there no open file can be removed
        os.close(lock)
    # Elsewhere while it is locked: whoever opened it meanwhile sees that its name is gone, and starts again.
    with suppress(OSError):
        (work / "lock").unlink()
    if os.name != "nt":
        os.close(lock)
    with suppress(OSError):
        work.rmdir()


def tidy(work: Path, final: Path) -> None:
    """Put back results that a swap has moved away, and remove everything else a run leaves in its hidden folder."""
    if (work / "old").is_dir() and is_free(final):
        _move(work / "old", final)
    for retired in (work / "old", work / "ready"):
        if os.path.lexists(retired):
            remove_results(retired)
    if (work / "new").exists():
        shutil.rmtree(work / "new")
    # Its results are in their place, or were never begun.
    if (work / KEPT).exists() and not (work / KEPT / RESULTS).is_dir():
        shutil.rmtree(work / KEPT)


def is_free(final: Path) -> bool:
    """Whether nothing stands at a path but, at most, an empty folder."""
    if not os.path.lexists(final):
        return True
    return stat.S_ISDIR(final.lstat().st_mode) and not os.listdir(final)


def _move(folder: Path, final: Path) -> None:
    """Rename a folder; refused by the system (POSIX ``rename``) unless nothing or an empty folder stands there."""
    if os.name == "nt" and final.is_dir():  # there no folder at all may stand there
        final.rmdir()
    folder.rename(final)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange what stands at two paths, at once (Linux ``renameat2``); False where that cannot be."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    return renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0


def swap(one: Path, other: Path, spare: Path) -> None:
    """Exchange what stands at two paths, by way of a third where the system cannot do it at once."""
    if _exchange(one, other):
        return
    other.rename(spare)
    try:
        one.rename(other)
    except OSError:
        spare.rename(other)
        raise
    spare.rename(one)


def publish(made: Path, work: Path, final: Path, overwrite: bool) -> None:
    """Move complete results from the folder where they were made to their place; what they replace is in ``ready``.

    Raises
    ------
    OutputError
        When files came or changed there during the run. They stay, and the results are kept in a new folder beside.
    """
    ready = work / "ready"
    _write_all_through(made)
    made.rename(ready)
    try:
        _put(ready, final, work / "old", overwrite)
    except (OSError, OutputError) as error:
        beside = _keep_beside(ready, final)
        raise OutputError(
            f"{final} cannot be replaced ({error}): it was left as it is, and the results of this run are in {beside}."
        ) from error


def _put(ready: Path, final: Path, spare: Path, overwrite: bool) -> None:
    if final.is_dir():
        shutil.copymode(final, ready)
    if not overwrite or is_free(final):
        _move(ready, final)
        return
    swap(ready, final, spare)
    # Looked at after it was moved away: what came before that is seen, and nothing comes later.
    try:
        foreign = foreign_files(ready)
        if foreign:
            raise OutputError(f"{listed(foreign)} came or changed during the run")
    except BaseException:
        swap(ready, final, spare)
        raise


def _keep_beside(ready: Path, final: Path) -> Path:
    """Move results to the first free name among NAME.1, NAME.2, ..."""
    for number in itertools.count(1):
        beside = final.with_name(f"{final.name}.{number}")
        with suppress(FileExistsError):
            beside.mkdir()
            break
    _move(ready, beside)
    return beside


def _write_all_through(folder: Path) -> None:
    """Have the system bring a folder's files to the disk, before anything that they replace is removed."""
    if os.name == "nt":  # there no folder can be opened
        return
    for where, _, names in os.walk(folder, topdown=False):
        for name in names:
            write_through(Path(where) / name)
        write_through(Path(where))
