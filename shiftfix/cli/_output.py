"""Write a folder of results, whole or not at all.

Everything is written to a new folder beside the final one, which is then renamed into place. A failure
leaves what was there before, and nothing else.
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shiftfix.cli._exit import OutputError

FILES = ("predictions.csv", "weights.csv", "model.skops", "summary.txt", "summary.json")


def check_output(path: Path, overwrite: bool) -> Path:
    """Path of the folder to write, with links followed.

    Raises
    ------
    OutputError
        When the folder holds something and ``overwrite`` is not given, holds files that are not results of
        this command, is a file, or has no parent folder that can be written to.
    """
    final = Path(os.path.realpath(path))
    if final.exists() and not final.is_dir():
        raise OutputError(f"--out {path} is a file: name a folder that does not exist yet.")
    if final.is_dir():
        _check_replaceable(sorted(entry.name for entry in final.iterdir()), path, overwrite)
    if not final.parent.is_dir():
        raise OutputError(f"--out {path} is to be made in {final.parent}, which is no folder: make it first.")
    if not os.access(final.parent, os.W_OK | os.X_OK):
        raise OutputError(
            f"--out {path} is to be made in {final.parent}, which cannot be written to: name another folder."
        )
    return final


def _check_replaceable(found: list[str], path: Path, overwrite: bool) -> None:
    """Raise unless a folder with these entries may be replaced."""
    if found and not overwrite:
        raise OutputError(
            f"--out {path} is not empty ({len(found)} entries): name another folder, or pass --overwrite to replace it."
        )
    # Replacing removes the whole folder, so it may hold nothing but earlier results.
    foreign = [name for name in found if name not in FILES]
    if foreign:
        raise OutputError(
            f"--out {path} holds files that are not results of this command ({', '.join(foreign[:5])}), and "
            "--overwrite would remove them: name another folder."
        )


@contextmanager
def new_folder(final: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of ``final`` when the block ends without an error.

    Raises
    ------
    OutputError
        When the system refuses to write; the message says why.
    """
    staging = final.parent / f".{final.name}.{secrets.token_hex(4)}"
    try:
        staging.mkdir()
        yield staging
        _swap(staging, final)
    except OSError as error:
        raise OutputError(f"{final} cannot be written ({error}): make room or name another folder.") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _swap(staging: Path, final: Path) -> None:
    """Rename ``staging`` to ``final``; what stood there comes back when that fails."""
    if not final.exists():
        staging.rename(final)
        return
    retired = final.parent / f"{staging.name}.old"
    final.rename(retired)
    try:
        staging.rename(final)
    except OSError:
        retired.rename(final)
        raise
    shutil.rmtree(retired, ignore_errors=True)
