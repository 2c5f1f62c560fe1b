"""What makes a folder of results ours: its summary.json lists every file with its sha256, and has one itself.

A file that is not listed, or was changed since, is somebody's, and is neither replaced nor removed.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from shiftfix._atomic import replace_file
from shiftfix.cli._exit import InputError, OutputError
from shiftfix.cli._files import sha256
from shiftfix.cli._output_file import as_bytes
from shiftfix.cli._words import listed

SUMMARY = "summary.json"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system refuses in the block into an OutputError about the path."""
    try:
        yield
    except (OSError, UnicodeError) as error:
        raise OutputError(f"{path} cannot be written ({error}): make room or name another folder.") from error


def names_below(folder: Path) -> list[str]:
    """Names of what is in a folder and the folders in it, with / between; of those only where they are empty."""
    found = []
    for where, folders, names in os.walk(folder):
        inside = Path(where).relative_to(folder)
        links = [name for name in folders if (Path(where) / name).is_symlink()]
        found += [(inside / name).as_posix() for name in [*names, *links]]
        if Path(where) != folder and not folders and not names:
            found.append(inside.as_posix())
    return sorted(found)


def seal(folder: Path, record: Mapping[str, Any]) -> None:
    """Write summary.json, last of all: the record, and a digest of it and of every file in the folder."""
    digests = {name: sha256(folder / name) for name in names_below(folder)}
    (folder / SUMMARY).write_bytes(_sealed_bytes({**record, "files": digests}))


def _sealed_bytes(content: Mapping[str, Any]) -> bytes:
    text = json.dumps({**content, "digest": _digest(content)}, indent=2, ensure_ascii=False, allow_nan=False)
    # Half a surrogate pair, which stands for a byte of a path that is not UTF-8, is written as JSON's own escape.
    return as_bytes(f"{text}\n")


def unsealed(content: Mapping[str, Any], shown: str) -> dict[str, Any]:
    """What :func:`seal` was given; a record that was never sealed as it is.

    Raises
    ------
    InputError
        For one that was changed since, or does not list its files; ``shown`` is what the message calls it.
    """
    record = dict(content)
    digest = record.pop("digest", None)
    if digest is not None and (digest != _digest(record) or not isinstance(record.get("files"), dict)):
        raise InputError(f"{shown} was changed since it was written: pass results as shiftfix correct has left them.")
    return {name: part for name, part in record.items() if name != "files"}


def put_into_results(folder: Path, name: str, content: str) -> None:
    """Write one file more into a folder of results, or the same anew; its summary then lists it.

    Raises
    ------
    OutputError
        Where a file of this name stands there that is not one of the results.
    """
    if name in foreign_files(folder):
        raise OutputError(
            f"{folder / name} is no result of this command, or was changed since: move it away, or pass --out."
        )
    replace_file(folder / name, lambda file: put_bytes(file, as_bytes(content)))
    record = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    del record["digest"]
    record["files"] = dict(sorted({**record["files"], name: sha256(folder / name)}.items()))
    replace_file(folder / SUMMARY, lambda file: put_bytes(file, _sealed_bytes(record)))


def put_bytes(file: IO[bytes], content: bytes) -> None:
    """Write content into an open file."""
    file.write(content)


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode("ascii")).hexdigest()


def foreign_files(folder: Path) -> list[str]:
    """Entries of a folder that are not, unchanged, the results of one run; all of them where no summary says so."""
    if folder.is_symlink() or not folder.is_dir():
        return [folder.name]
    digests = _listed_digests(folder / SUMMARY)
    return [name for name in names_below(folder) if not _is_unchanged(folder, name, digests)]


def _listed_digests(summary: Path) -> dict[str, str]:
    """Name and sha256 of the files that belong to a summary, "" for its own; empty when it is none of ours."""
    if not _is_plain_file(summary):
        return {}
    try:
        content = json.loads(summary.read_text(encoding="utf-8"))
        digest, files = content.pop("digest"), dict(content["files"])
        ours = digest == _digest(content)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return {}
    return {**files, SUMMARY: ""} if ours else {}


def _is_plain_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _is_unchanged(folder: Path, name: str, digests: Mapping[str, str]) -> bool:
    if name not in digests or not _is_plain_file(folder / name):
        return False
    return name == SUMMARY or sha256(folder / name) == digests[name]


def remove_results(folder: Path) -> None:
    """Remove a folder of results, or what a killed run left of one.

    Raises
    ------
    OutputError
        When something else is in it; then nothing is removed.
    """
    foreign = foreign_files(folder)
    if foreign:
        raise OutputError(
            f"{folder} was left by a run that was killed, and holds what is not a result of this command "
            f"({listed(foreign)}): move it away."
        )
    # The summary goes last: until then it tells what the others are.
    for name in sorted(names_below(folder), key=lambda name: name == SUMMARY):
        (folder / name).unlink()
    for where, _, _ in os.walk(folder, topdown=False):
        os.rmdir(where)
