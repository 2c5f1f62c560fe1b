"""Fetch one file whole, in bounded time and size, and put it in place verified or not at all."""

import contextlib
import hashlib
import os
import queue
import secrets
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any

from shiftfix._locks import lock_file
from shiftfix.exceptions import ChecksumError, DatasetNotFoundError

DOWNLOAD_TIMEOUT = 60  # seconds without any byte
DOWNLOAD_BYTES = 1 << 16  # bytes
SLOWEST = 20_000  # bytes per second; slower than that as a whole is given up


def download(entry: dict[str, Any], folder: Path) -> bytes:
    """Fetch the file of a card's entry into a folder, and return its bytes.

    Raises
    ------
    ChecksumError
        When it has another size or sha256 than on the card; nothing is kept.
    DatasetNotFoundError
        When it cannot be fetched in time, or the folder cannot be written to.
    """
    path = folder / entry["name"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(path) and not path.is_file():
            raise IsADirectoryError(21, "what stands there is no file", str(path))
        _remove_partials(path)
        content = _fetch(entry["url"], entry["bytes"], DOWNLOAD_TIMEOUT + entry["bytes"] / SLOWEST)
        _verify(content, entry)
        _put_whole(content, path)
    except (urllib.error.URLError, HTTPException, ConnectionError, TimeoutError, UnicodeError) as error:
        raise DatasetNotFoundError(
            f"{entry['url']} cannot be read ({error}): check the connection, or put the file "
            f"{entry['name']} into {folder} yourself."
        ) from error
    except ChecksumError:
        raise
    except OSError as error:
        raise DatasetNotFoundError(
            f"{path} cannot be written ({error.strerror or error}): make room, or pass another folder as data_home=."
        ) from error
    return content


def _fetch(url: str, size: int, seconds: float) -> bytes:
    """At most ``size + 1`` bytes from an address, or TimeoutError after so many seconds.

    In a thread of its own: a server that sends one byte now and then, be it in its name, its headers or the content,
    could otherwise hold us for ever.
    """
    answer: queue.SimpleQueue[bytes | BaseException] = queue.SimpleQueue()
    end = time.monotonic() + seconds

    def work() -> None:
        try:
            answer.put(_read_until(url, size + 1, end))
        except BaseException as error:
            answer.put(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        found = answer.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"not complete after {seconds:.0f} seconds") from None
    if isinstance(found, BaseException):
        raise found
    return found


def _read_until(url: str, size: int, end: float) -> bytes:
    content = bytearray()
    try:
        opened = urllib.request.urlopen(url, timeout=DOWNLOAD_TIMEOUT)
    except urllib.error.HTTPError as error:  # which holds the open answer
        error.close()
        raise
    with opened as response:
        # read1 returns what has come; read would wait until the whole of a block has.
        while len(content) < size and (chunk := response.read1(min(DOWNLOAD_BYTES, size - len(content)))):
            content += chunk
            if time.monotonic() > end:
                raise TimeoutError("too slow")
    return bytes(content)


def _verify(content: bytes, entry: dict[str, Any]) -> None:
    if len(content) > entry["bytes"]:
        raise ChecksumError(
            f"{entry['url']} sends more than the {entry['bytes']} bytes on the card: nothing was "
            "kept. The file behind the address has changed; get it from another source."
        )
    digest = hashlib.sha256(content).hexdigest()
    if digest != entry["sha256"]:
        raise ChecksumError(
            f"{entry['url']} sent {len(content)} bytes with sha256 {digest}, and the card expects "
            f"{entry['sha256']} ({entry['bytes']} bytes): nothing was kept. Try again, or get the file "
            "from another source."
        )


def _remove_partials(path: Path) -> None:
    """Remove what killed processes left beside a file: living ones hold a lock."""
    for partial in path.parent.glob(f".{path.name}.*.partial"):
        with contextlib.suppress(OSError), _locked(partial, make=False) as (_, certain):
            if certain:
                partial.unlink()


@contextlib.contextmanager
def _locked(path: Path, make: bool) -> Iterator[tuple[int, bool]]:
    descriptor, certain = lock_file(path, make=make)
    try:
        yield descriptor, certain
    finally:
        os.close(descriptor)


def _put_whole(content: bytes, path: Path) -> None:
    """Write a file beside its place, then rename it there."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with _locked(partial, make=True) as (descriptor, _), open(descriptor, "wb", closefd=False) as stream:
            stream.write(content)
            stream.flush()
            os.fsync(descriptor)
            if os.name != "nt":  # there no open file can be renamed
                os.replace(partial, path)
        if os.name == "nt":
            os.replace(partial, path)
    finally:
        # After os.replace its name is gone; after any failure nothing of it may stay.
        partial.unlink(missing_ok=True)
