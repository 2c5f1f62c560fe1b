"""Hostile arrays and settings: what strangers hand to a function, by name."""

import datetime
import decimal
import fractions
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas
import polars
import torch
from scipy import sparse
from sklearn.linear_model import LogisticRegression


def changed(array: Any, index: Any, value: Any) -> Any:
    """A copy with one entry replaced, as floating point unless the value is whole."""
    result = np.array(array, dtype=object if isinstance(value, str | None) else float)
    result[index] = value
    return result


def as_frame(array: Any) -> Any:
    array = np.asarray(array)
    return pandas.Series(array, name="col\n1") if array.ndim == 1 else pandas.DataFrame(array).add_prefix("col\x1b ")


def as_matrix(values: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        return np.asmatrix(values)


def as_polars(array: Any) -> Any:
    array = np.asarray(array)
    if array.ndim == 1:
        return polars.Series("y", array)
    return polars.DataFrame({f"c{i}": column for i, column in enumerate(array.T)})


def as_dates(array: Any) -> Any:
    """Dates in polars's own type, for which it has no letter as numpy has."""
    return as_polars(np.full(np.shape(array), np.datetime64("2024-01-01", "us")))


def endless() -> Any:
    """A list that holds itself."""
    items: list[Any] = []
    items.append(items)
    return items


# name: what is made of a good array. All but a few change what it says, so that nothing may come out but an error, or
# the answer to what it says now.
ARRAYS: dict[str, Callable[[np.ndarray], Any]] = {
    "NaN": lambda a: changed(a, 0, np.nan),
    "infinity": lambda a: changed(a, -1, np.inf),
    "minus infinity": lambda a: changed(a, -1, -np.inf),
    "all NaN": lambda a: np.full(a.shape, np.nan),
    "None inside": lambda a: changed(a, 0, None),
    "text inside": lambda a: changed(a, 0, "?"),
    "pandas NA inside": lambda a: pandas.array([pandas.NA, *np.ravel(a)[1:].tolist()], dtype="object").reshape(a.shape),
    "no rows": lambda a: a[:0],
    "one row": lambda a: a[:1],
    "two rows": lambda a: a[:2],
    "a row less": lambda a: a[:-1],
    "rows twice": lambda a: np.concatenate([a, a]),
    "one dimension more": lambda a: a[..., np.newaxis],
    "a leading dimension": lambda a: a[np.newaxis],
    "flat": lambda a: a.ravel(),
    "a number": lambda a: a.flat[0].item() if a.size else 0.0,
    "transposed": lambda a: a.T,
    "no columns": lambda a: a[:, :0] if a.ndim == 2 else a[:0],
    "a column more": lambda a: np.column_stack([a, a[:, 0]]) if a.ndim == 2 else np.column_stack([a, a]),
    "constant": lambda a: np.full(a.shape, a.flat[0] if a.size else 0.0),
    "zeros": np.zeros_like,
    "negative": lambda a: -np.abs(a) - 1,
    "huge 1e155": lambda a: a * 1e155,
    "huge 1e300": lambda a: a * 1e300,
    "largest": lambda a: np.full(a.shape, np.finfo(float).max),
    "tiny 1e-155": lambda a: a * 1e-155,
    "tiny 1e-300": lambda a: a * 1e-300,
    "least": lambda a: np.full(a.shape, 5e-324),
    "one huge": lambda a: changed(a, 0, 1e308),
    "beyond 2^53": lambda a: np.full(a.shape, 2**53) + (np.arange(a.size).reshape(a.shape) % 2),
    "beyond int64": lambda a: (np.uint64(2**63) + np.arange(a.size, dtype=np.uint64)).reshape(a.shape),
    "python integers": lambda a: np.array([10**30 + i for i in range(a.size)], dtype=object).reshape(a.shape),
    "text": lambda a: a.astype(str),
    "words": lambda a: np.full(a.shape, "word"),
    "line breaks": lambda a: np.full(a.shape, "a\nb\x1b[31m"),
    "bytes": lambda a: a.astype("S8"),
    "objects": lambda a: a.astype(object),
    "things": lambda a: np.array([object() for _ in range(a.size)]).reshape(a.shape),
    "booleans": lambda a: a > 0,
    "complex": lambda a: a + 1j,
    "dates": lambda a: np.full(a.shape, np.datetime64("2024-01-01")),
    "spans of time": lambda a: np.full(a.shape, np.timedelta64(1, "D")),
    "polars dates": as_dates,
    "structured": lambda a: np.zeros(a.shape, [("a", float), ("b", int)]),
    "masked": lambda a: np.ma.masked_array(a, mask=np.arange(a.size).reshape(a.shape) == 0),
    "big endian": lambda a: a.astype(np.dtype(a.dtype).newbyteorder(">")),
    "half precision": lambda a: a.astype(np.float16),
    "long double": lambda a: a.astype(np.longdouble),
    "small integers": lambda a: a.astype(np.int8),
    "unsigned": lambda a: np.abs(a).astype(np.uint16),
    "reversed view": lambda a: a[::-1],
    "Fortran order": np.asfortranarray,
    "read-only": lambda a: np.require(a.copy(), requirements=["O"]),
    "broadcast": lambda a: np.broadcast_to(a[:1], a.shape),
    "list": lambda a: a.tolist(),
    "tuple": lambda a: tuple(a.tolist()),
    "ragged": lambda a: [[1.0], [1.0, 2.0]] * (len(a) // 2),
    "nested in itself": lambda a: endless(),
    "pandas": as_frame,
    "pandas category": lambda a: as_frame(a).astype("category"),
    "pandas nullable": lambda a: as_frame(a).astype("Float64"),
    "pandas, same names": lambda a: as_frame(a) if a.ndim == 1 else pandas.DataFrame(a, columns=["x"] * a.shape[1]),
    "polars": as_polars,
    "sparse": lambda a: sparse.csr_array(np.atleast_2d(a)),
    "sparse columns": lambda a: sparse.csc_matrix(np.atleast_2d(a)),
    "torch": lambda a: torch.as_tensor(a.copy()),
    "torch with gradient": lambda a: torch.as_tensor(a.astype(float)).requires_grad_(),
    "matrix": as_matrix,
    "generator": lambda a: (row for row in a),
    "dict": lambda a: dict(enumerate(a.tolist())),
    "set": lambda a: set(np.ravel(a).tolist()),
    "nothing": lambda a: None,
    "word": lambda a: "word",
    "byte string": lambda a: b"bytes",
    "path": lambda a: "../../evil",
    "class": lambda a: dict,
    "object": lambda a: object(),
    "ellipsis": lambda a: ...,
    "date": lambda a: datetime.date(2024, 1, 1),
}  # fmt: skip

SETTINGS: dict[str, Any] = {
    "None": None,
    "True": True,
    "False": False,
    "numpy True": np.bool_(True),
    "minus one": -1,
    "zero": 0,
    "minus zero": -0.0,
    "half": 0.5,
    "one": 1,
    "one and a half": 1.5,
    "two": 2,
    "numpy three": np.int64(3),
    "numpy float32": np.float32(0.25),
    "0-d array": np.array(2),
    "array": np.array([1, 2]),
    "2D array": np.ones((2, 2)),
    "empty array": np.array([]),
    "tensor": torch.tensor(0.5),
    "fraction": fractions.Fraction(1, 3),
    "decimal": decimal.Decimal("0.5"),
    "largest": 1.7e308,
    "beyond double": 10**400,
    "beyond int64": 10**30,
    "minus largest": -1.7e308,
    "least": 5e-324,
    "tiny": 1e-300,
    "NaN": np.nan,
    "numpy NaN": np.float32("nan"),
    "infinity": np.inf,
    "minus infinity": -np.inf,
    "complex": 1 + 2j,
    "pandas NA": pandas.NA,
    "not a time": np.datetime64("NaT"),
    "word": "word",
    "empty word": "",
    "numpy word": np.str_("mean"),
    "auto": "auto",
    "line break": "a\nb\x1b[31m",
    "percent": "50%",
    "percent of NaN": "nan%",
    "percent beyond": "150%",
    "bytes": b"auto",
    "list": [1, 2],
    "empty list": [],
    "tuple of words": ("a", "b"),
    "dict": {"a": 1},
    "dict of NaN": {0: np.nan, 1: 1.0, 2: 1.0},
    "set": {1, 2},
    "nested in itself": endless(),
    "object": object(),
    "class": dict,
    "function": lambda *arguments, **keywords: None,
    "failing estimator": LogisticRegression(C=-1),
    "module": np,
    "date": datetime.date(2024, 1, 1),
}

# What nothing may come out of but an error: numbers that are none, and what is no array.
NO_NUMBERS = {
    "NaN", "infinity", "minus infinity", "all NaN", "None inside", "text inside", "pandas NA inside", "words",
    "line breaks",
    "things", "complex", "dates", "polars dates", "spans of time", "structured", "masked", "ragged", "nested in itself",
    "generator", "dict", "set", "word", "byte string", "path", "class", "object", "ellipsis", "date", "no rows",
}  # fmt: skip
# The same for labels, which may be words, and dates of one kind are labels too.
NO_LABELS = NO_NUMBERS - {"words", "line breaks", "dates", "polars dates", "spans of time", "text inside"}
NO_SETTING = {
    "NaN", "numpy NaN", "complex", "pandas NA", "not a time", "line break", "bytes", "set", "object", "date",
    "2D array", "minus infinity", "empty array", "module",
}  # fmt: skip
