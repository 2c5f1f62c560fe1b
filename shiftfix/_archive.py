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
    if file.read(4) != b"PK\x03\x04":
        raise ForeignError("it is no archive")
    file.seek(0)
    try:
        archive = zipfile.ZipFile(file)
    except Exception as error:  # what a broken archive raises is endless
        raise DamagedError(str(error)) from error
    members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 for member in members):
        raise ForeignError("its parts are compressed or encrypted")
    if len({member.filename for member in members}) < len(members):
        raise ForeignError("it names one part twice")
    if any(member.file_size != member.compress_size for member in members):
        raise DamagedError("the sizes of its parts contradict each other")
    if sum(member.file_size for member in members) > size:
        raise DamagedError("its parts are larger than the file")
    return archive


def member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Content of a member, its checksum checked.

    Raises
    ------
    ForeignError
        When there is none.
    DamagedError
    """
    if name not in archive.NameToInfo:
        raise ForeignError(f"it has no part {name!r}")
    try:
        return archive.read(name)
    except Exception as error:  # what a broken archive raises is endless
        raise DamagedError(str(error)) from error
