"""Files that survive a crash and run no code: written whole or not at all, read without pickle.

A file is what ``torch.save`` makes of ``{"header": ..., "content": ...}``: tensors, numbers, text, bools and None in
dicts, lists and tuples, and nothing else, so that ``torch.load(weights_only=True)`` reads it and no object in it can
run code. torch does not look at the checksums of its zip archive, and a flipped bit would pass as a weight; the header
therefore holds a BLAKE2 digest (RFC 7693) of all the rest. The digest finds damage, not forgery.

Replacing a file by ``rename`` is atomic (POSIX.1-2017, ``rename``); that the new file is on the disk before the old one
goes takes an ``fsync`` of the file before, and one of its directory after.
"""

import contextlib
import hashlib
import os
import re
import reprlib
import secrets
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path
from types import NoneType

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from shiftfix import __version__
from shiftfix.exceptions import ShiftDataError

FORMAT = "shiftfix"
VERSION = 1
KINDS = ("checkpoint", "model")
# Exact types: numpy's float64 is a float too, and pickles as an object.
PLAIN = (NoneType, bool, int, float, str)
TENSORS = (torch.Tensor, torch.nn.Parameter)
# Come back as a dict. torch keeps the milestones of MultiStepLR in a Counter.
DICTS = (dict, OrderedDict, Counter)
# Temporary files of this process; those with its number that are not among them are of a dead one.
_being_written: set[str] = set()


def storable(value, where):
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
        for key in value:
            if type(key) not in PLAIN:
                raise ShiftDataError(
                    f"{where} has the key {reprlib.repr(key)}, a {type(key).__name__}: text or a Python number is "
                    "needed."
                )
        return {key: storable(item, f"{where}[{key!r}]") for key, item in value.items()}
    if kind in TENSORS and value.layout == torch.strided and not value.is_quantized and value.device.type != "meta":
        dense = value.detach().cpu().resolve_conj().resolve_neg()
        # torch.save writes the whole memory behind a view.
        if not dense.is_contiguous() or dense.untyped_storage().nbytes() != dense.nbytes:
            dense = dense.clone(memory_format=torch.contiguous_format)
        return dense
    raise ShiftDataError(
        f"{where} is {reprlib.repr(value)}, a {kind.__name__}, which could not be read back without running code: "
        "store a dense tensor, a Python number, text, a bool or None, in dicts, lists or tuples."
    )


def _feed(hasher, value):
    """Add a value, its type, length and order to a digest; TypeError for what ``storable`` never lets through."""
    kind = type(value)
    if kind in (list, tuple, dict):
        hasher.update(f"{kind.__name__} {len(value)};".encode())
        for item in value.items() if kind is dict else value:
            _feed(hasher, item)
    elif kind is torch.Tensor and value.layout == torch.strided:
        hasher.update(f"tensor {value.dtype} {list(value.shape)};".encode())
        if value.numel():  # torch views no empty memory as bytes
            hasher.update(value.detach().contiguous().reshape(-1).view(torch.uint8).numpy())
    elif kind in PLAIN:
        # Not the repr of text: which characters it escapes changes with the version of Python.
        text = value.encode("utf-8", "surrogatepass") if kind is str else repr(value).encode()
        hasher.update(f"{kind.__name__} {len(text)};".encode() + text)
    else:
        raise TypeError(f"a {kind.__name__} has no digest")


def digest(*values):
    """BLAKE2b of storable values, 32 hexadecimal digits."""
    hasher = hashlib.blake2b(digest_size=16)
    for value in values:
        _feed(hasher, value)
    return hasher.hexdigest()


def _is_alive(pid):
    """Whether a process of this machine has this number."""
    if os.name == "nt":  # signal 0 would end it there; but there nobody can remove the open file of a living one
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def _remove_leftovers(path):
    """Remove the temporary files of this path that killed processes left."""
    pattern = re.compile(re.escape(f".{path.name}.") + r"([0-9]+)\.[0-9a-f]{8}\.tmp")
    for name in os.listdir(path.parent):
        found = pattern.fullmatch(name)
        if found is None or name in _being_written:
            continue
        pid = int(found[1])
        if pid == os.getpid() or not _is_alive(pid):
            with contextlib.suppress(OSError):
                (path.parent / name).unlink()


def _destination(path):
    """The file a path leads to, links followed; raise when it can be no file."""
    resolved = Path(os.path.realpath(os.fsdecode(path)))
    if not resolved.parent.is_dir():
        raise ShiftDataError(f"{os.fsdecode(path)!r} lies in no existing directory: create {str(resolved.parent)!r}.")
    if resolved.exists() and not resolved.is_file():
        raise ShiftDataError(f"{os.fsdecode(path)!r} is a directory or a device: pass the path of a file.")
    return resolved


@contextlib.contextmanager
def _temporary(path):
    """Open a new file beside ``path`` that is gone after the block, unless the block has moved it away."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    _being_written.add(beside.name)
    try:
        with open(beside, "xb") as file:
            yield file
    finally:
        beside.unlink(missing_ok=True)
        _being_written.discard(beside.name)


def check_writable(path):
    """Raise unless :func:`write_atomically` could write to ``path``; to be called before hours of training.

    Makes and removes an empty file beside it.

    Raises
    ------
    ShiftDataError
        When the directory does not exist or takes no new file, or the path is no place for a file.
    """
    resolved = _destination(path)
    try:
        with _temporary(resolved):
            pass
    except OSError as error:
        raise ShiftDataError(
            f"No file can be written to {str(resolved.parent)!r} ({error.strerror}): pass a path in a directory that "
            "you may write to."
        ) from error


def _save(stored, file):
    try:
        torch.save(stored, file)
    except RuntimeError as error:
        # torch hides a full disk behind a message about positions in its archive.
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def write_atomically(content, path, kind):
    """Write content to a file; whenever the process dies, the path holds the old or the new file, whole.

    Parameters
    ----------
    content : dict, list, tuple, torch.Tensor, bool, int, float, str or None
        As for :func:`storable`. Tensors come back on the CPU, without gradient.
    path : str or path-like
        In an existing directory. A link is followed. One path belongs to one machine at a time: on a shared disk,
        another machine would take this one's temporary file for a leftover, and this call would fail with
        FileNotFoundError.
    kind : {"checkpoint", "model"}

    Raises
    ------
    ShiftDataError
        For content that could not be read back, a missing directory, or a path that is no file.
    OSError
        When the disk is full, for example. After any error the old file is as it was.

    Notes
    -----
    The temporary file is ``.<name>.<process>.<random>.tmp`` in the same directory. One that a killed process left is
    removed by the next call for the same path, so that there is at most one per process that died.
    """
    assert kind in KINDS
    content = storable(content, "content")
    header = {"format": FORMAT, "kind": kind, "version": VERSION, "shiftfix": __version__}
    header["digest"] = digest(header, content)
    path = _destination(path)
    _remove_leftovers(path)
    with _temporary(path) as file:
        _save({"header": header, "content": content}, file)
        file.flush()
        os.fsync(file.fileno())
        file.close()
        os.replace(file.name, path)
    if os.name != "nt":
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            # Some network file systems refuse it; the file is whole all the same.
            with contextlib.suppress(OSError):
                os.fsync(directory)
        finally:
            os.close(directory)


def _is_intact_archive(file):
    """Whether every member of a zip archive has its checksum."""
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.testzip() is None
    except Exception:  # what a broken archive raises is endless
        return False


def _load(file, path):
    """Header and content of an open file, with their digest checked."""
    damaged = ShiftDataError(f"{path!r} is damaged or cut short: take another copy. Nothing in it was executed.")
    foreign = ShiftDataError(
        f"{path!r} was not written by shiftfix: pass a file that shiftfix wrote. Nothing in it was executed."
    )
    if file.read(4) != b"PK\x03\x04":  # the rest of torch.load is for formats that shiftfix never wrote
        raise foreign
    file.seek(0)
    try:
        stored = torch.load(file, map_location="cpu", weights_only=True)
        header = stored["header"]
        ours = header["format"] == FORMAT
    except Exception as error:  # what torch raises for a broken file is endless
        raise (foreign if _is_intact_archive(file) else damaged) from error
    if not ours:
        raise foreign if _is_intact_archive(file) else damaged
    version = header.get("version")
    if type(version) is int and version > VERSION:
        raise ShiftDataError(
            f"{path!r} was written by a newer shiftfix ({header.get('shiftfix')}, this is {__version__}): upgrade."
        )
    written = header.pop("digest", None)
    try:
        intact = written == digest(header, stored["content"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise damaged from error
    if not intact:
        raise damaged
    return header, stored["content"]


def read(path, kind):
    """Content of a file that :func:`write_atomically` wrote; never runs code from it.

    Parameters
    ----------
    path : str or path-like
    kind : {"checkpoint", "model"}

    Returns
    -------
    content
        Tensors on the CPU.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    ShiftDataError
        For a directory, a file of another program, code in the file (refused, not executed), a damaged or truncated
        file, a file of the other kind, and one of a newer shiftfix.
    """
    assert kind in KINDS
    name = os.fsdecode(path)
    if os.path.isdir(name):
        raise ShiftDataError(f"{name!r} is a directory: pass the path of a file.")
    with open(name, "rb") as file:
        header, content = _load(file, name)
    if header.get("kind") != kind:
        raise ShiftDataError(f"{name!r} is a {header.get('kind')}, and a {kind} is needed: pass the other file.")
    return content


class _NotStorableError(Exception):
    """Where in an estimator something was found that needs pickle, and what."""


def _encode_array(array, where):
    """Numbers as a tensor (as bytes where torch lacks the type), text and objects as a list."""
    encoded = {"dtype": array.dtype.str, "shape": list(array.shape)}
    if array.dtype.kind in "UO":
        items = array.ravel().tolist()
        for item in items:
            if not (type(item) in PLAIN or isinstance(item, np.generic)):
                raise _NotStorableError(where, item)
        return encoded | {"values": [_encode(item, where) for item in items]}
    if array.dtype.kind not in "biufcmM":
        raise _NotStorableError(where, array)
    flat = array.flatten()
    try:
        return encoded | {"values": torch.from_numpy(flat)}
    except (TypeError, ValueError):  # longdouble, dates, the other byte order
        return encoded | {"values": torch.from_numpy(flat.view(np.uint8))}


def _decode_array(encoded):
    dtype, shape, values = np.dtype(encoded["dtype"]), encoded["shape"], encoded["values"]
    if dtype.kind == "O":
        array = np.empty(len(values), dtype)
        array[:] = [_decode(item) for item in values]
    elif dtype.kind == "U":
        array = np.array(values, dtype)
    else:
        array = values.numpy().copy().view(dtype)
    return array.reshape(shape)


def _learned(name):
    """Whether scikit-learn's convention makes this the name of a learned attribute."""
    return name.endswith("_") and not name.startswith("_")


def _encode(value, where):
    """Nested dicts, lists and tensors, for :func:`write_atomically`, that :func:`_decode` turns back into ``value``."""
    kind = type(value)
    if kind in PLAIN:
        return value
    if isinstance(value, os.PathLike):  # the checkpoint's; comes back as text
        return os.fspath(value)
    if kind in TENSORS:
        return value.detach().cpu().clone()
    if kind in (list, tuple):
        return {"type": kind.__name__, "items": [_encode(item, f"{where}[{i}]") for i, item in enumerate(value)]}
    if kind in DICTS:
        # Pairs, for a dict of classes has numpy's numbers as its keys.
        pairs = [[_encode(key, f"a key of {where}"), _encode(item, f"{where}[{key!r}]")] for key, item in value.items()]
        return {"type": "dict", "items": pairs}
    if kind is np.ndarray:
        return {"type": "array", **_encode_array(value, where)}
    if isinstance(value, np.generic):
        return {"type": "scalar", **_encode_array(np.asarray(value), where)}
    if kind is StandardScaler:
        fitted = {name: item for name, item in vars(value).items() if _learned(name)}
        return {
            "type": "StandardScaler",
            "settings": _encode(value.get_params(), where),
            "fitted": _encode(fitted, where),
        }
    raise _NotStorableError(where, value)


def _decode(encoded):
    if type(encoded) is torch.Tensor:
        return encoded.clone()
    if type(encoded) is not dict:
        return encoded
    kind = encoded["type"]
    if kind in ("list", "tuple"):
        items = [_decode(item) for item in encoded["items"]]
        return tuple(items) if kind == "tuple" else items
    if kind == "dict":
        return {_decode(key): _decode(item) for key, item in encoded["items"]}
    if kind == "array":
        return _decode_array(encoded)
    if kind == "scalar":
        return _decode_array(encoded)[()]
    if kind == "StandardScaler":
        scaler = StandardScaler(**_decode(encoded["settings"]))
        for name, item in _decode(encoded["fitted"]).items():
            if _learned(name):
                setattr(scaler, name, item)
        return scaler
    raise ValueError(f"unknown type {kind!r}")


def _private(estimator_class):
    """Names of the private attributes that a class wants kept; its ``_saved_private``, or none."""
    return getattr(estimator_class, "_saved_private", ())


def pack_estimator(estimator):
    """All of a fitted estimator that predicting, continuing and inspecting take, as content for a file.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Fitted. Attributes whose names end in "_", and those in the class's tuple ``_saved_private``, are kept:
        numbers, text, bools, None, numpy arrays of numbers or text, tensors, ``StandardScaler``, and dicts, lists and
        tuples of those.

    Returns
    -------
    dict
        "class" (str), "settings", "fitted", and "module" (a state dict on the CPU); shares no memory with the
        estimator.

    Raises
    ------
    NotFittedError
    ShiftDataError
        When a setting or an attribute is a function, a class or another object, which takes pickle to store, and when
        the settings are no longer those of the network's layers.
    """
    check_is_fitted(estimator, "module_")
    try:
        settings = {name: _encode(value, name) for name, value in estimator.get_params(deep=False).items()}
    except _NotStorableError as error:
        where, value = error.args
        raise ShiftDataError(
            f"{where}={reprlib.repr(value)} is a {type(value).__name__}, and cannot be stored without pickle: set it "
            "to a name, or use joblib."
        ) from None
    if repr(estimator._build_module()) != repr(estimator.module_):
        raise ShiftDataError(
            "The fitted network has other layers than the settings ask for, and would come back as another: put back "
            "those that were set after fit, or fit again."
        )
    private = _private(type(estimator))
    learned = {
        name: value
        for name, value in vars(estimator).items()
        if (_learned(name) or name in private) and name != "module_"
    }
    try:
        fitted = {name: _encode(value, name) for name, value in learned.items()}
    except _NotStorableError as error:
        where, value = error.args
        raise ShiftDataError(
            f"The fitted attribute {where} holds {reprlib.repr(value)}, a {type(value).__name__}, and cannot be stored "
            "without pickle: use joblib."
        ) from None
    module = {name: value.detach().cpu().clone() for name, value in estimator.module_.state_dict().items()}
    return {"class": type(estimator).__name__, "settings": settings, "fitted": fitted, "module": module}


def unpack_estimator(content, expected_class):
    """Fitted estimator from what :func:`pack_estimator` made.

    Parameters
    ----------
    content : dict
    expected_class : type
        Class of the estimator. Its method ``_build_module()`` is called when all other attributes are set, and returns
        a ``torch.nn.Module`` of the right shape, whose parameters are then overwritten.

    Returns
    -------
    estimator : expected_class

    Raises
    ------
    ShiftDataError
        For an estimator of another class, settings that the class does not have, and content that is no estimator.
    """
    wrong = "The file holds no estimator that this version of shiftfix can read"
    if type(content) is not dict or set(content) != {"class", "settings", "fitted", "module"}:
        raise ShiftDataError(f"{wrong}: pass a file that an estimator's save wrote.")
    found, expected = content["class"], expected_class.__name__
    if found != expected:
        raise ShiftDataError(f"The file holds a {found}, and a {expected} is needed: use {found}.load.")
    unknown = sorted(set(content["settings"]) - set(expected_class().get_params(deep=False)))
    if unknown:
        raise ShiftDataError(
            f"The file sets {', '.join(unknown)}, which {expected} does not have in shiftfix {__version__}: it was "
            "written by another version; upgrade."
        )
    try:
        estimator = expected_class(**{name: _decode(value) for name, value in content["settings"].items()})
        fitted = {name: _decode(value) for name, value in content["fitted"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ShiftDataError(f"{wrong} ({error}): upgrade.") from error
    for name, value in fitted.items():
        if _learned(name) or name in _private(expected_class):
            setattr(estimator, name, value)
    module = estimator._build_module()
    try:
        module.load_state_dict(content["module"])
    except (RuntimeError, TypeError) as error:
        raise ShiftDataError(f"{wrong} (its parameters do not fit its settings: {error}).") from error
    estimator.module_ = module.eval()
    return estimator
