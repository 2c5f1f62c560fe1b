"""Files that survive a crash and run no code: written whole or not at all, read without pickle.

A file is what ``torch.save`` makes of ``{"header": ..., "content": ...}``: tensors, numbers, text, bools and None in
dicts, lists and tuples, and nothing else, so that ``torch.load(weights_only=True)`` reads it and no object in it can
run code. torch does not look at the checksums of its zip archive, and a flipped bit would pass as a weight; the header
therefore holds a BLAKE2 digest (RFC 7693) of all the rest. The digest finds damage, not forgery.

Replacing a file by ``rename`` is atomic (POSIX.1-2017, ``rename``); that the new file is on the disk before the old one
goes takes an ``fsync`` of the file before, and one of its directory after.
"""

import contextlib
import os
import re
import secrets
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import torch

from shiftfix import __version__
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._saving._encoding import digest, storable

FORMAT = "shiftfix"
VERSION = 1
KINDS = ("checkpoint", "model")
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


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise unless :func:`write_atomically` could write to ``path``; to be called before hours of training.

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


def _save(stored: dict[str, Any], file: IO[bytes]) -> None:
    try:
        torch.save(stored, file)
    except RuntimeError as error:
        # torch hides a full disk behind a message about positions in its archive.
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def write_atomically(content: Any, path: str | os.PathLike[str], kind: str) -> None:
    """Write content to a file; whenever the process dies, the path holds the old or the new file, whole.

    Parameters
    ----------
    content : dict, list, tuple, torch.Tensor, bool, int, float, str or None
        As for :func:`storable`. Tensors come back on the CPU, without gradient.
    path : str or path-like
        In an existing directory. A link is followed. One path belongs to one machine at a time: on a shared disk,
        another machine would take this one's temporary file for a leftover, and this call would fail with
        FileNotFoundError.
    kind : {"checkpoint", "model"}

    Raises
    ------
    ShiftDataError
        For content that could not be read back, a missing directory, or a path that is no file.
    OSError
        When the disk is full, for example. After any error the old file is as it was.

    Notes
    -----
    The temporary file is ``.<name>.<process>.<random>.tmp`` in the same directory. One that a killed process left is
    removed by the next call for the same path, so that there is at most one per process that died.
    """
    assert kind in KINDS
    content = storable(content, "content")
    header = {"format": FORMAT, "kind": kind, "version": VERSION, "shiftfix": __version__}
    header["digest"] = digest(header, content)
    path = _destination(path)
    _remove_leftovers(path)
    with _temporary(path) as file:
        _save({"header": header, "content": content}, file)
        file.flush()
        os.fsync(file.fileno())
        file.close()
        os.replace(file.name, path)
    if os.name != "nt":
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            # Some network file systems refuse it; the file is whole all the same.
            with contextlib.suppress(OSError):
                os.fsync(directory)
        finally:
            os.close(directory)


def _is_intact_archive(file: IO[bytes]) -> bool:
    """Whether every member of a zip archive has its checksum."""
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.testzip() is None
    except Exception:  # what a broken archive raises is endless
        return False


def _load(file: IO[bytes], path: str) -> tuple[dict[str, Any], Any]:
    """Header and content of an open file, with their digest checked."""
    damaged = ShiftDataError(f"{path!r} is damaged or cut short: take another copy. Nothing in it was executed.")
    foreign = ShiftDataError(
        f"{path!r} was not written by shiftfix: pass a file that shiftfix wrote. Nothing in it was executed."
    )
    if file.read(4) != b"PK\x03\x04":  # the rest of torch.load is for formats that shiftfix never wrote
        raise foreign
    file.seek(0)
    try:
        stored = torch.load(file, map_location="cpu", weights_only=True)
        header = stored["header"]
        ours = header["format"] == FORMAT
    except Exception as error:  # what torch raises for a broken file is endless
        raise (foreign if _is_intact_archive(file) else damaged) from error
    if not ours:
        raise foreign if _is_intact_archive(file) else damaged
    version = header.get("version")
    if type(version) is int and version > VERSION:
        raise ShiftDataError(
            f"{path!r} was written by a newer shiftfix ({header.get('shiftfix')}, this is {__version__}): upgrade."
        )
    written = header.pop("digest", None)
    try:
        intact = written == digest(header, stored["content"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise damaged from error
    if not intact:
        raise damaged
    return header, stored["content"]


def read(path: str | os.PathLike[str], kind: str) -> Any:
    """Content of a file that :func:`write_atomically` wrote; never runs code from it.

    Parameters
    ----------
    path : str or path-like
    kind : {"checkpoint", "model"}

    Returns
    -------
    content
        Tensors on the CPU.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ShiftDataError
        For a directory, a file of another program, code in the file (refused, not executed), a damaged or truncated
        file, a file of the other kind, and one of a newer shiftfix.
    """
    assert kind in KINDS
    name = os.fsdecode(path)
    if os.path.isdir(name):
        raise ShiftDataError(f"{name!r} is a directory: pass the path of a file.")
    with open(name, "rb") as file:
        header, content = _load(file, name)
    if header.get("kind") != kind:
        raise ShiftDataError(f"{name!r} is a {header.get('kind')}, and a {kind} is needed: pass the other file.")
    return content
