"""A file that is read from standard input: kept in a file of its own, since tables are read more than once."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from shiftfix.cli._exit import CommandError, InputError, UsageError

STANDARD = Path("-")  # standard input among files to read, standard output among those to write
# First bytes of the kinds of file that are told by their endings otherwise.
ENDINGS = {b"PAR1": ".parquet", b"\x1f\x8b": ".csv.gz"}


@contextmanager
def readable(*paths: Path) -> Iterator[Sequence[Path]]:
    """The paths, with a file in place of "-"; errors in the block call it "-" too.

    Raises
    ------
    UsageError
        When more than one is "-".
    InputError
        When standard input cannot be read or kept.
    """
    if paths.count(STANDARD) > 1:
        raise UsageError("standard input, which - stands for, is one file only: pass the path of the other.")
    if STANDARD not in paths:
        yield paths
        return
    with tempfile.TemporaryDirectory(prefix="shiftfix-") as folder:
        kept = _keep(Path(folder))
        try:
            yield [kept if path == STANDARD else path for path in paths]
        except CommandError as error:
            raise type(error)(*(line.replace(str(kept), str(STANDARD)) for line in error.lines)) from error


def _keep(folder: Path) -> Path:
    """Write all of standard input to a file with the ending of its kind."""
    if sys.stdin is None:
        raise InputError("standard input is closed: pass the path of a file.")
    path = folder / "standard-input"
    try:
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        with path.open("rb") as file:
            start = file.read(4)
    except (OSError, ValueError) as error:  # no room, or closed meanwhile
        raise InputError(
            f"standard input cannot be read and kept in {folder.parent} ({getattr(error, 'strerror', None) or error}): "
            "pass the path of a file."
        ) from error
    ending = next((ending for magic, ending in ENDINGS.items() if start.startswith(magic)), ".csv")
    named = path.with_name(path.name + ending)
    os.rename(path, named)
    return named
