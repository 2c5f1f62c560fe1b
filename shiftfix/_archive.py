"""Zip archives of strangers: what a directory promises is compared with the size of the file before anything is read.

Model files are zip archives whose members are stored as they are, so that together they are never larger than the file:
one that promises more is a bomb or damaged.
"""

import os
import zipfile
from typing import IO


class DamagedError(Exception):
    """An archive that is cut short, or whose checksums or sizes are wrong."""


class ForeignError(Exception):
    """An archive, or a part of one, that shiftfix never wrote."""


def require(holds: object, otherwise: str) -> None:
    """Raise ForeignError, with what is wrong, unless it holds."""
    if not holds:
        raise ForeignError(otherwise)


def open_archive(file: IO[bytes]) -> zipfile.ZipFile:
    """The archive in an open file, its members stored, without repetition, and no larger than the file.

    Raises
    ------
    ForeignError
        For no archive, and one with compressed, encrypted or repeated members.
    DamagedError
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    require(file.read(4) == b"PK\x03\x04", "it is no archive")
    file.seek(0)
    try:
        archive = zipfile.ZipFile(file)
    except Exception as error:  # what a broken archive raises is endless
        raise DamagedError(str(error)) from error
    check_members(archive.infolist(), size)
    return archive


def check_members(members: list[zipfile.ZipInfo], size: int) -> None:
    """Raise unless members are stored once, as they are, in a file of this size."""
    ways = {(info.compress_type, info.flag_bits & 1) for info in members}
    require(ways <= {(zipfile.ZIP_STORED, 0)}, "its parts are compressed or encrypted")
    require(len({info.filename for info in members}) == len(members), "it names one part twice")
    stored = [info.compress_size for info in members]
    if [info.file_size for info in members] != stored or sum(stored) > size:
        raise DamagedError("the sizes of its parts are not those of the file")


def member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Content of a member, its checksum checked.

    Raises
    ------
    ForeignError
        When there is none.
    DamagedError
    """
    require(name in archive.NameToInfo, f"it has no part {name!r}")
    try:
        return archive.read(name)
    except Exception as error:  # what a broken archive raises is endless
        raise DamagedError(str(error)) from error
