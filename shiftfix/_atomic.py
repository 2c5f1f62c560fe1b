"""Files that are written whole or not at all.

Replacing a file by ``rename`` is atomic (POSIX.1-2017, ``rename``); that the new file is on the disk before the old one
goes takes an ``fsync`` of the file before, and one of its directory after.
"""

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from shiftfix.exceptions import ShiftDataError

# Temporary files of this process; those with its number that are not among them are of a dead one.
_being_written: set[str] = set()


def _is_alive(pid: int) -> bool:
    """Whether a process of this machine has this number."""
    if os.name == "nt":  # signal 0 would end it there; but there nobody can remove the open file of a living one
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def _remove_leftovers(path: Path) -> None:
    """Remove the temporary files of this path that killed processes left."""
    pattern = re.compile(re.escape(f".{path.name}.") + r"([0-9]+)\.[0-9a-f]{8}\.tmp")
    for name in os.listdir(path.parent):
        found = pattern.fullmatch(name)
        if found is None or name in _being_written:
            continue
        pid = int(found[1])
        if pid == os.getpid() or not _is_alive(pid):
            with contextlib.suppress(OSError):
                (path.parent / name).unlink()


def _destination(path: str | os.PathLike[str]) -> Path:
    """The file a path leads to, links followed; raise when it can be no file."""
    resolved = Path(os.path.realpath(os.fsdecode(path)))
    if not resolved.parent.is_dir():
        raise ShiftDataError(f"{os.fsdecode(path)!r} lies in no existing directory: create {str(resolved.parent)!r}.")
    if resolved.exists() and not resolved.is_file():
        raise ShiftDataError(f"{os.fsdecode(path)!r} is a directory or a device: pass the path of a file.")
    return resolved


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[IO[bytes]]:
    """Open a new file beside ``path`` that is gone after the block, unless the block has moved it away."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    _being_written.add(beside.name)
    try:
        with open(beside, "xb") as file:
            yield file
    finally:
        beside.unlink(missing_ok=True)
        _being_written.discard(beside.name)


def write_through(path: Path) -> None:
    """Have the system bring a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise unless :func:`replace_file` could write to ``path``; to be called before hours of training.

    Makes and removes an empty file beside it.

    Raises
    ------
    ShiftDataError
        When the directory does not exist or takes no new file, or the path is no place for a file.
    """
    resolved = _destination(path)
    try:
        with _temporary(resolved):
            pass
    except OSError as error:
        raise ShiftDataError(
            f"No file can be written to {str(resolved.parent)!r} ({error.strerror}): pass a path in a directory that "
            "you may write to."
        ) from error


def _put_new(beside: str, path: Path) -> None:
    """Give a file a second name; raise FileExistsError where one stands there, whenever it came."""
    try:
        os.link(beside, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: what comes between these two lines would be replaced
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        os.replace(beside, path)


def replace_file(path: str | os.PathLike[str], write: Callable[[IO[bytes]], None], *, overwrite: bool = True) -> None:
    """Write a file; whenever the process dies, the path holds the old or the new one, whole.

    Parameters
    ----------
    path : str or path-like
        In an existing directory. A link is followed. One path belongs to one machine at a time: on a shared disk,
        another machine would take this one's temporary file for a leftover, and this call would fail with
        FileNotFoundError.
    write : callable
        Writes the content to the open binary file that it is given.
    overwrite : bool, default=True
        Replace a file that stands there when the new one is complete.

    Raises
    ------
    ShiftDataError
        For a missing directory, or a path that is no file.
    FileExistsError
        Without ``overwrite``, when a file stands there.
    OSError
        When the disk is full, for example. After any error the old file is as it was.

    Notes
    -----
    The temporary file is ``.<name>.<process>.<random>.tmp`` in the same directory. One that a killed process left is
    removed by the next call for the same path, so that there is at most one per process that died.
    """
    resolved = _destination(path)
    _remove_leftovers(resolved)
    with _temporary(resolved) as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
        file.close()
        if overwrite:
            os.replace(file.name, resolved)
        else:
            _put_new(file.name, resolved)
    if os.name != "nt":  # there no folder can be opened
        # Some network file systems refuse it; the file is whole all the same.
        with contextlib.suppress(OSError):
            write_through(resolved.parent)
