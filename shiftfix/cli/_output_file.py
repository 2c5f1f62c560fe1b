"""One file of results: whether it may be written, and its writing, whole or not at all."""

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import IO

from shiftfix._atomic import check_writable, replace_file
from shiftfix.cli._exit import OutputError
from shiftfix.exceptions import ShiftDataError


def check_output_file(out: Path, inputs: Iterable[Path], overwrite: bool, option: str = "--out") -> None:
    """Raise OutputError unless the file may be written; messages call it by its option."""
    try:
        if any(os.path.exists(path) and os.path.exists(out) and os.path.samefile(path, out) for path in inputs):
            raise OutputError(f"{option} {out} is a file that this run reads: name another file.")
        if os.path.isfile(out) and not overwrite:
            raise OutputError(f"{option} {out} exists: name another file, or pass --overwrite to replace it.")
        check_writable(out)
    except (ShiftDataError, OSError, ValueError) as error:
        raise OutputError(f"{option} {out} cannot be written: {error}") from error


def write_output_file(content: str, out: Path, overwrite: bool, option: str = "--out") -> None:
    """Write a file, whole or not at all; OutputError says why not."""
    try:
        replace_file(out, partial(_put_text, content), overwrite=overwrite)
    except FileExistsError as error:
        raise OutputError(
            f"{option} {out} came during the run and was left as it is: name another file, or pass --overwrite to "
            "replace it."
        ) from error
    except (ShiftDataError, OSError) as error:
        raise OutputError(f"{option} {out} cannot be written: {error}") from error


def write_text_file(path: Path, content: str) -> None:
    """Write a file into a folder that comes as a whole.

    Half a surrogate pair, which stands for a byte of a path that is not UTF-8, is written by its number.
    """
    path.write_bytes(as_bytes(content))


def as_bytes(content: str) -> bytes:
    """Text as files of results hold it."""
    return content.encode("utf-8", "backslashreplace")


def _put_text(content: str, file: IO[bytes]) -> None:
    file.write(as_bytes(content))
