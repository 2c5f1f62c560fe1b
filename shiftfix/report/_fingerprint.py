"""A fingerprint of data in memory, so that a page says which data it is about."""

import hashlib
from typing import Any

import numpy as np
from scipy import sparse

from shiftfix._naming import column_names
from shiftfix.covariate import columns_of


def fingerprint_of(data: Any) -> str:
    """sha256 of shape, column names and values, column by column; numbers as float64, all else as text.

    The same values have the same one, as an array, as a list, or as a frame without names.
    """
    digest = hashlib.sha256()
    if sparse.issparse(data):
        data = sparse.csr_array(data)
        digest.update(repr(data.shape).encode())
        for part in (data.data, data.indices, data.indptr):
            _add_values(digest, np.asarray(part))
        return digest.hexdigest()
    digest.update(repr((tuple(np.shape(data)), column_names(data))).encode("utf-8", errors="backslashreplace"))
    has_columns = hasattr(data, "columns") or np.ndim(data) == 2
    for column in columns_of(data) if has_columns else [np.asarray(data)]:
        _add_values(digest, column)
    return digest.hexdigest()


def _add_values(digest: Any, values: Any) -> None:
    array = np.asarray(values)
    if array.dtype.kind in "biuf":
        digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
        return
    text = "\x1f".join(map(str, array.ravel().tolist()))
    digest.update(text.encode("utf-8", errors="backslashreplace"))
