"""Find a data set's file, check its sha256 on every read, and download it only when asked to."""

import hashlib
import os
from pathlib import Path
from typing import Any

from shiftfix.datasets._cards import cards_folder, check_safe_name
from shiftfix.datasets._download import download as fetch
from shiftfix.exceptions import ChecksumError, DatasetNotFoundError, ShiftDataError


def cache_folder() -> Path:
    """The user's cache: ``$XDG_CACHE_HOME/shiftfix``, else ``~/.cache/shiftfix``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (_home(base, "XDG_CACHE_HOME") if base else _home("~/.cache", "the home folder")) / "shiftfix"


def data_homes(data_home: str | os.PathLike[str] | None = None) -> list[Path]:
    """Folders to look in, in order: the argument, ``$SHIFTFIX_DATA``, the user's cache."""
    homes = [] if data_home is None else [_home(data_home, "data_home")]
    if os.environ.get("SHIFTFIX_DATA"):
        homes.append(_home(os.environ["SHIFTFIX_DATA"], "SHIFTFIX_DATA"))
    homes.append(cache_folder())
    return homes


def _home(path: str | os.PathLike[str], what: str) -> Path:
    """A folder as a user gives it, or ShiftDataError when it is no path."""
    try:
        home = Path(os.fsdecode(path)).expanduser()
    except (TypeError, RuntimeError) as error:
        raise ShiftDataError(f"{what}={path!r} is no folder ({error}): pass the path of one.") from error
    if "\0" in str(home):
        raise ShiftDataError(f"{what}={path!r} holds a zero byte, which no path may: pass another.")
    return home


def check_bytes(content: bytes, entry: dict[str, Any], path: Path) -> None:
    """Raise ChecksumError unless the bytes have the sha256 of the card's entry."""
    _matching_entry(content, [entry], path)


def _matching_entry(content: bytes, entries: list[dict[str, Any]], path: Path) -> dict[str, Any]:
    """The entry whose sha256 the bytes have, or ChecksumError; one file name may have several good contents."""
    found = hashlib.sha256(content).hexdigest()
    for entry in entries:
        if found == entry["sha256"]:
            return entry
    expected = " or ".join(f"{entry['sha256']} ({entry['bytes']} bytes)" for entry in entries)
    raise ChecksumError(
        f"{path} has sha256 {found} ({len(content)} bytes), and the card expects {expected}: delete the file and "
        "fetch it again from its source."
    )


def _not_found(
    card: dict[str, Any], role: str, entries: list[dict[str, Any]], homes: list[Path]
) -> DatasetNotFoundError:
    name = card["name"]
    names = " or ".join(entry["name"] for entry in entries)
    places = ", ".join(str(home / name) for home in homes)
    ways = [
        f"put {names} into one of these folders",
        f"set SHIFTFIX_DATA to a folder that holds {name}/{entries[0]['name']}",
        "pass such a folder as data_home=",
    ]
    urls = [entry["url"] for entry in entries if "url" in entry]
    if urls:
        ways.append(f"pass download=True to fetch {urls[0]}")
    else:
        ways.append(f"make it as the card says (source: {card['source']})")
    numbered = "; ".join(f"({i}) {way}" for i, way in enumerate(ways, 1))
    return DatasetNotFoundError(f"{name}: no file for {role!r} in {places}. Either {numbered}.")


def _read_bundled(entries: list[dict[str, Any]]) -> tuple[bytes, dict[str, Any]] | None:
    """Verified bytes and entry of the first file that comes with the package, if one does."""
    for entry in entries:
        if entry.get("bundled"):
            path = cards_folder() / entry["name"]
            content = path.read_bytes()
            check_bytes(content, entry, path)
            return content, entry
    return None


def _read_in(homes: list[Path], name: str, entries: list[dict[str, Any]]) -> tuple[bytes, dict[str, Any]] | None:
    """Verified bytes and entry of the first file found in the folders, if one is."""
    for home in homes:
        for entry in entries:
            path = home / name / entry["name"]
            content = _content_of(path)
            if content is not None:
                # Checked and parsed from the same bytes: no gap for the file to change in.
                return content, _matching_entry(content, [e for e in entries if e["name"] == entry["name"]], path)
    return None


def _content_of(path: Path) -> bytes | None:
    """Bytes of a file, None where nothing stands, or DatasetNotFoundError for what cannot be read."""
    if path.exists() and not path.is_file():
        raise DatasetNotFoundError(f"{path} is a folder or a device, and a file is needed: move it away.")
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _found_here(
    card: dict[str, Any], entries: list[dict[str, Any]], homes: list[Path]
) -> tuple[bytes, dict[str, Any]] | None:
    """Bytes of the first of the files that is in the package or in a folder, and its entry."""
    try:
        return _read_bundled(entries) or _read_in(homes, card["name"], entries)
    except (DatasetNotFoundError, ChecksumError):
        raise
    except OSError as error:
        raise DatasetNotFoundError(
            f"{error.filename} cannot be read ({error.strerror}): pass another folder as data_home=."
        ) from error


def read_role(
    card: dict[str, Any], role: str, data_home: str | os.PathLike[str] | None = None, download: bool = False
) -> tuple[bytes, dict[str, Any]]:
    """Bytes of the file that plays a role on the card, verified, and its entry.

    Several entries with one role are alternatives (compressed or not, cut or whole), tried in the order
    of the card, in each folder in turn.

    Parameters
    ----------
    card : dict
    role : str
    data_home : path-like or None, default=None
    download : bool, default=False
        Fetch the first alternative with an address when none is found: into ``data_home`` where that is
        given, else into the user's cache.

    Returns
    -------
    content : bytes
    entry : dict

    Raises
    ------
    DatasetNotFoundError
        When no file is found and none is downloaded, or one cannot be read or written.
    ChecksumError
        When a file is found, or fetched, with another sha256 than the card's.
    ShiftDataError
        For names on the card that would lead out of its folder, and a data_home that is no path.
    """
    entries = [entry for entry in card["files"] if entry["role"] == role]
    check_safe_name(card["name"], "the card has the name")
    for entry in entries:
        check_safe_name(entry["name"], "the card has a file with the name")
    homes = data_homes(data_home)
    found = _found_here(card, entries, homes)
    if found is not None:
        return found
    fetchable = [entry for entry in entries if "url" in entry]
    if not download or not fetchable:
        raise _not_found(card, role, entries, homes)
    home = cache_folder() if data_home is None else homes[0]
    return fetch(fetchable[0], home / card["name"]), fetchable[0]
