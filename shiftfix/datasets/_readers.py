"""Bytes to arrays: compressed or not, idx images, tables of text."""

import csv
import gzip
import io
import math
import struct
from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftfix.exceptions import ShiftDataError

GZIP_MAGIC = b"\x1f\x8b"
IDX_UINT8 = 0x08


def decompress(content: bytes) -> bytes:
    """The bytes themselves, or what is inside when they are gzip."""
    return gzip.decompress(content) if content[:2] == GZIP_MAGIC else content


def _begins_as_idx(content: bytes) -> bool:
    """Whether a file begins like an idx file of unsigned bytes, of one dimension or more."""
    return len(content) >= 4 and content[:2] == b"\x00\x00" and content[2] == IDX_UINT8 and content[3] != 0


def read_idx(content: bytes, name: str) -> NDArray[np.uint8]:
    """Array of unsigned bytes from an idx file, the format of MNIST.

    Layout: two zero bytes, one type code (0x08, unsigned byte), the number of dimensions, each size as a
    big-endian 32-bit integer, then the values. Source: LeCun, Cortes & Burges, "The MNIST database",
    section "The IDX file format".

    Parameters
    ----------
    content : bytes
        Compressed with gzip or not.
    name : str
        What messages call the file.

    Returns
    -------
    ndarray of uint8

    Raises
    ------
    ShiftDataError
        For another magic number, another type, or sizes that do not fit the length.
    """
    content = decompress(content)
    if not _begins_as_idx(content):
        raise ShiftDataError(
            f"{name} starts with {content[:4].hex()}, and 000008 followed by the number of dimensions is "
            "needed: this is no idx file of unsigned bytes."
        )
    n_dimensions = content[3]
    start = 4 + 4 * n_dimensions
    shape = struct.unpack(f">{n_dimensions}I", content[4:start]) if len(content) >= start else None
    # Python integers: the product of three 32-bit sizes does not fit into 64 bits.
    size = math.prod(shape or ())
    if shape is None or len(content) - start != size:
        raise ShiftDataError(
            f"{name} has {max(len(content) - start, 0)} values for the sizes {shape}: the file is cut or damaged."
        )
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def read_columns(content: bytes, numeric: Collection[str]) -> dict[str, NDArray[Any]]:
    """Columns of a comma separated table with a header.

    Parameters
    ----------
    content : bytes
        UTF-8 text, compressed with gzip or not.
    numeric : collection of str
        Columns to read as float64; an empty field is NaN. The others stay strings.

    Returns
    -------
    dict of str to ndarray of shape (n_rows,)
    """
    rows = list(csv.reader(io.StringIO(decompress(content).decode("utf-8"), newline="")))
    header, body = rows[0], rows[1:]
    columns = {}
    for name, values in zip(header, zip(*body, strict=True), strict=True):
        if name in numeric:
            columns[name] = np.array([float(value) if value else np.nan for value in values])
        else:
            columns[name] = np.array(values)
    return columns


def read_numbers(content: bytes) -> NDArray[np.float64]:
    """Float64 array of shape (n_rows, n_columns) from white-space separated numbers without a header."""
    return np.loadtxt(io.BytesIO(decompress(content)), ndmin=2)
