"""Find a data set's file, check its sha256 on every read, and download it only when asked to."""

import hashlib
import os
import tempfile
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any

from shiftfix.datasets._cards import cards_folder
from shiftfix.exceptions import ChecksumError, DatasetNotFoundError

DOWNLOAD_TIMEOUT = 60  # seconds without any byte
DOWNLOAD_BYTES = 1 << 16  # bytes


def cache_folder() -> Path:
    """The user's cache: ``$XDG_CACHE_HOME/shiftfix``, else ``~/.cache/shiftfix``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "shiftfix"


def data_homes(data_home: str | os.PathLike[str] | None = None) -> list[Path]:
    """Folders to look in, in order: the argument, ``$SHIFTFIX_DATA``, the user's cache."""
    homes = [] if data_home is None else [Path(data_home).expanduser()]
    if os.environ.get("SHIFTFIX_DATA"):
        homes.append(Path(os.environ["SHIFTFIX_DATA"]).expanduser())
    homes.append(cache_folder())
    return homes


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


def _download(entry: dict[str, Any], folder: Path) -> Path:
    """Fetch one file into the folder; it appears there whole and verified, or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / entry["name"]
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".partial-")
    try:
        digest, size = hashlib.sha256(), 0
        with (
            os.fdopen(handle, "wb") as partial,
            urllib.request.urlopen(entry["url"], timeout=DOWNLOAD_TIMEOUT) as response,
        ):
            while chunk := response.read(DOWNLOAD_BYTES):
                size += len(chunk)
                if size > entry["bytes"]:
                    raise ChecksumError(
                        f"{entry['url']} sends more than the {entry['bytes']} bytes on the card: nothing was "
                        "kept. The file behind the address has changed; get it from another source."
                    )
                digest.update(chunk)
                partial.write(chunk)
        if digest.hexdigest() != entry["sha256"]:
            raise ChecksumError(
                f"{entry['url']} sent {size} bytes with sha256 {digest.hexdigest()}, and the card expects "
                f"{entry['sha256']} ({entry['bytes']} bytes): nothing was kept. Try again, or get the file "
                "from another source."
            )
        os.replace(temporary, path)
    except (urllib.error.URLError, HTTPException, ConnectionError, TimeoutError) as error:
        raise DatasetNotFoundError(
            f"{entry['url']} cannot be read ({error}): check the connection, or put the file "
            f"{entry['name']} into {folder} yourself."
        ) from error
    finally:
        # After os.replace the temporary name is gone; after any failure nothing of it may stay.
        Path(temporary).unlink(missing_ok=True)
    return path


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
            if path.is_file():
                # Checked and parsed from the same bytes: no gap for the file to change in.
                content = path.read_bytes()
                return content, _matching_entry(content, [e for e in entries if e["name"] == entry["name"]], path)
    return None


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
        When no file is found and none is downloaded.
    ChecksumError
        When a file is found, or fetched, with another sha256 than the card's.
    """
    entries = [entry for entry in card["files"] if entry["role"] == role]
    homes = data_homes(data_home)
    found = _read_bundled(entries) or _read_in(homes, card["name"], entries)
    if found is not None:
        return found
    fetchable = [entry for entry in entries if "url" in entry]
    if not download or not fetchable:
        raise _not_found(card, role, entries, homes)
    home = cache_folder() if data_home is None else homes[0]
    path = _download(fetchable[0], home / card["name"])
    content = path.read_bytes()
    check_bytes(content, fetchable[0], path)
    return content, fetchable[0]
