"""Files that survive a crash and run no code: written whole or not at all, read without pickle.

A file is what ``torch.save`` makes of ``{"header": ..., "content": ...}``: tensors, numbers, text, bools and None in
dicts, lists and tuples, and nothing else, so that ``torch.load(weights_only=True)`` reads it, and so do we, without
torch's reader: see ``_plain``. The header holds a BLAKE2 digest (RFC 7693) of all the rest, whose order and types the
checksums of the archive do not see. The digest finds damage, not forgery.
"""

import os
from typing import IO, Any

import torch

from shiftfix import __version__
from shiftfix._archive import DamagedError, ForeignError, open_archive
from shiftfix._atomic import replace_file
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._saving._encoding import digest, storable
from shiftfix.mlp._saving._plain import read_values

FORMAT = "shiftfix"
VERSION = 1
KINDS = ("checkpoint", "model")


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
        In an existing directory; see :func:`shiftfix._atomic.replace_file`.
    kind : {"checkpoint", "model"}

    Raises
    ------
    ShiftDataError
        For content that could not be read back, a missing directory, or a path that is no file.
    OSError
        When the disk is full, for example. After any error the old file is as it was.
    """
    assert kind in KINDS
    content = storable(content, "content")
    header = {"format": FORMAT, "kind": kind, "version": VERSION, "shiftfix": __version__}
    header["digest"] = digest(header, content)
    replace_file(path, lambda file: _save({"header": header, "content": content}, file))


def _damaged(path: str) -> ShiftDataError:
    return ShiftDataError(f"{path!r} is damaged or cut short: take another copy. Nothing in it was executed.")


def _stored_in(file: IO[bytes], path: str) -> Any:
    """The values in an open file."""
    try:
        with open_archive(file) as archive:
            return read_values(archive)
    except DamagedError as error:
        raise _damaged(path) from error
    except ForeignError as error:
        raise ShiftDataError(
            f"{path!r} was not written by shiftfix ({error}): pass a file that shiftfix wrote. Nothing in it was "
            "executed."
        ) from error


def _check_header(header: Any, path: str) -> None:
    """Raise unless a header is one of ours, of this version or an older one."""
    if type(header) is not dict or header.get("format") != FORMAT:
        raise ShiftDataError(
            f"{path!r} was not written by shiftfix: pass a file that shiftfix wrote. Nothing in it was executed."
        )
    version = header.get("version")
    if type(version) is int and version > VERSION:
        raise ShiftDataError(
            f"{path!r} was written by a newer shiftfix ({header.get('shiftfix')}, this is {__version__}): upgrade."
        )


def _load(file: IO[bytes], path: str) -> tuple[dict[str, Any], Any]:
    """Header and content of an open file, with their digest checked."""
    stored = _stored_in(file, path)
    header: Any = stored.get("header") if type(stored) is dict else None
    _check_header(header, path)
    written = header.pop("digest", None)
    try:
        intact = written == digest(header, stored["content"])
    except (KeyError, TypeError, ValueError, RuntimeError, RecursionError) as error:
        raise _damaged(path) from error
    if not intact:
        raise _damaged(path)
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
