"""What a file can hold: plain values and tensors; their digest; and estimators turned into them and back."""

import hashlib
import math
import os
import reprlib
from collections import Counter, OrderedDict
from collections.abc import Callable
from types import NoneType
from typing import Any

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._table_scaler import TableScaler

# Exact types: numpy's float64 is a float too, and pickles as an object.
PLAIN = (NoneType, bool, int, float, str)
TENSORS = (torch.Tensor, torch.nn.Parameter)
# Come back as a dict. torch keeps the milestones of MultiStepLR in a Counter.
DICTS = (dict, OrderedDict, Counter)
# Bytes of an array of text, whose entries are all as wide as one of them may be.
MOST_TEXT = 2**26


def is_dense(tensor: torch.Tensor) -> bool:
    """Whether a tensor holds each of its numbers, as they are."""
    return tensor.layout == torch.strided and not tensor.is_quantized and tensor.device.type != "meta"


def storable(value: Any, where: str) -> Any:
    """Copy of nested content that ``weights_only`` reads back: tensors on the CPU, dense and without gradient.

    Parameters
    ----------
    value : dict, list, tuple, torch.Tensor, bool, int, float, str or None
        Nested at will. Keys of dicts are bools, numbers, text or None.
    where : str
        What messages call it, such as ``"content"``.

    Raises
    ------
    ShiftDataError
        For anything else; names the key.
    """
    kind = type(value)
    if kind in PLAIN:
        return value
    if kind in (list, tuple):
        return kind(storable(item, f"{where}[{position}]") for position, item in enumerate(value))
    if kind in DICTS:
        return {storable_key(key, where): storable(item, f"{where}[{key!r}]") for key, item in value.items()}
    if kind in TENSORS and is_dense(value):
        return storable_tensor(value)
    raise ShiftDataError(
        f"{where} is {reprlib.repr(value)}, a {kind.__name__}, which could not be read back without running code: "
        "store a dense tensor, a Python number, text, a bool or None, in dicts, lists or tuples."
    )


def storable_key(key: Any, where: str) -> Any:
    """The key of a dict, as it is; raise ShiftDataError when it could not be read back."""
    if type(key) not in PLAIN:
        raise ShiftDataError(
            f"{where} has the key {reprlib.repr(key)}, a {type(key).__name__}: text or a Python number is needed."
        )
    return key


def storable_tensor(value: torch.Tensor) -> torch.Tensor:
    """On the CPU, with no memory but its own: torch.save writes the whole memory behind a view."""
    dense = value.detach().cpu().resolve_conj().resolve_neg()
    if not dense.is_contiguous() or dense.untyped_storage().nbytes() != dense.nbytes:
        dense = dense.clone(memory_format=torch.contiguous_format)
    return dense


def _feed_tensor(hasher: Any, tensor: torch.Tensor) -> None:
    hasher.update(f"tensor {tensor.dtype} {list(tensor.shape)};".encode())
    if tensor.numel():  # torch views no empty memory as bytes
        hasher.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy())


def _feed(hasher: Any, value: Any) -> None:
    """Add a value, its type, length and order to a digest; TypeError for what ``storable`` never lets through."""
    kind = type(value)
    if kind in (list, tuple, dict):
        hasher.update(f"{kind.__name__} {len(value)};".encode())
        for item in value.items() if kind is dict else value:
            _feed(hasher, item)
    elif kind is torch.Tensor and value.layout == torch.strided:
        _feed_tensor(hasher, value)
    elif kind in PLAIN:
        # Not the repr of text: which characters it escapes changes with the version of Python.
        text = value.encode("utf-8", "surrogatepass") if kind is str else repr(value).encode()
        hasher.update(f"{kind.__name__} {len(text)};".encode() + text)
    else:
        raise TypeError(f"a {kind.__name__} has no digest")


def digest(*values: Any) -> str:
    """BLAKE2b of storable values, 32 hexadecimal digits."""
    hasher = hashlib.blake2b(digest_size=16)
    for value in values:
        _feed(hasher, value)
    return hasher.hexdigest()


class NotStorableError(Exception):
    """Where in an estimator something was found that needs pickle, and what."""


def encode_array(array: np.ndarray, where: str) -> dict[str, Any]:
    """Numbers as a tensor (as bytes where torch lacks the type), text and objects as a list."""
    encoded = {"dtype": array.dtype.str, "shape": list(array.shape)}
    if array.dtype.kind in "UO":
        items = array.ravel().tolist()
        for item in items:
            if not (type(item) in PLAIN or isinstance(item, np.generic)):
                raise NotStorableError(where, item)
        return encoded | {"values": [encode(item, where) for item in items]}
    if array.dtype.kind not in "biufcmM":
        raise NotStorableError(where, array)
    flat = array.flatten()
    try:
        return encoded | {"values": torch.from_numpy(flat)}
    except (TypeError, ValueError):  # longdouble, dates, the other byte order
        return encoded | {"values": torch.from_numpy(flat.view(np.uint8))}


def decode_array(encoded: dict[str, Any]) -> np.ndarray:
    """The array of an encoded one; ValueError for a type that none has, or sizes that do not agree."""
    dtype, shape, values = np.dtype(encoded["dtype"]), encoded["shape"], encoded["values"]
    if dtype.kind not in "UObiufcmM" or dtype.hasobject != (dtype.kind == "O") or not sizes_agree(dtype, shape, values):
        raise ValueError(f"an array of {dtype} does not have its size")
    if dtype.kind == "O":
        array = np.empty(len(values), dtype)
        array[:] = [decode(item) for item in values]
    elif dtype.kind == "U":
        array = np.array(values, dtype)
    else:
        array = values.numpy().copy().view(dtype)
    return array.reshape(shape)


def sizes_agree(dtype: np.dtype, shape: Any, values: Any) -> bool:
    """Whether an array of this type and shape is no larger than the values it is made of, but for the room of text."""
    n_bytes = len(values) * dtype.itemsize if type(values) is list else values.nbytes
    n_entries = math.prod(size or 1 for size in shape)
    if n_bytes == 0:  # but an axis of nothing can be long
        return n_entries <= MOST_TEXT and 0 in shape
    return n_entries * dtype.itemsize == n_bytes and (dtype.kind != "U" or n_bytes <= MOST_TEXT)


def is_learned(name: str) -> bool:
    """Whether scikit-learn's convention makes this the name of a learned attribute."""
    return name.endswith("_") and not name.startswith("_")


def encode_learned(value: Any, name: str) -> Any:
    """:func:`encode` of a fitted attribute; ShiftDataError for what takes pickle."""
    try:
        return encode(value, name)
    except NotStorableError as error:
        where, found = error.args
        raise ShiftDataError(
            f"The fitted attribute {where} holds {reprlib.repr(found)}, a {type(found).__name__}, and cannot be stored "
            "without pickle: use joblib."
        ) from None


def encode(value: Any, where: str) -> Any:
    """Nested dicts, lists and tensors, for :func:`write_atomically`, that :func:`decode` turns back into ``value``."""
    kind = type(value)
    if kind in PLAIN:
        return value
    if isinstance(value, os.PathLike):  # the checkpoint's; comes back as text
        return os.fspath(value)
    if kind in TENSORS:
        return value.detach().cpu().clone()
    if kind in (list, tuple):
        return {"type": kind.__name__, "items": [encode(item, f"{where}[{i}]") for i, item in enumerate(value)]}
    if kind in DICTS:
        return encode_dict(value, where)
    return encode_other(value, where)


def encode_other(value: Any, where: str) -> Any:
    """:func:`encode` of what numpy and scikit-learn make."""
    if type(value) is np.ndarray:
        return {"type": "array", **encode_array(value, where)}
    if isinstance(value, np.generic):
        return {"type": "scalar", **encode_array(np.asarray(value), where)}
    if type(value) is StandardScaler:
        return encode_scaler(value, where)
    if type(value) is TableScaler:
        return {"type": "TableScaler", "fitted": encode(vars(value), where)}
    raise NotStorableError(where, value)


def encode_dict(value: dict[Any, Any], where: str) -> dict[str, Any]:
    """As pairs, for a dict of classes has numpy's numbers as its keys."""
    pairs = [[encode(key, f"a key of {where}"), encode(item, f"{where}[{key!r}]")] for key, item in value.items()]
    return {"type": "dict", "items": pairs}


def encode_scaler(scaler: StandardScaler, where: str) -> dict[str, Any]:
    """Settings and learned attributes of a scaler."""
    fitted = {name: item for name, item in vars(scaler).items() if is_learned(name)}
    return {"type": "StandardScaler", "settings": encode(scaler.get_params(), where), "fitted": encode(fitted, where)}


def decode(encoded: Any) -> Any:
    """What :func:`encode` was given; KeyError for a type that it never names."""
    if type(encoded) is torch.Tensor:
        return encoded.clone()
    return DECODERS[encoded["type"]](encoded) if type(encoded) is dict else encoded


def decode_scaler(encoded: dict[str, Any]) -> StandardScaler:
    """A fitted scaler from its settings and learned attributes."""
    scaler = StandardScaler(**decode(encoded["settings"]))
    for name, item in decode(encoded["fitted"]).items():
        if is_learned(name):
            setattr(scaler, name, item)
    return scaler


DECODERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "list": lambda encoded: [decode(item) for item in encoded["items"]],
    "tuple": lambda encoded: tuple(decode(item) for item in encoded["items"]),
    "dict": lambda encoded: {decode(key): decode(item) for key, item in encoded["items"]},
    "array": decode_array,
    "scalar": lambda encoded: decode_array(encoded)[()],
    "StandardScaler": decode_scaler,
    "TableScaler": lambda encoded: TableScaler(**decode(encoded["fitted"])),
}
