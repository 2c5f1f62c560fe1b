"""A fitted estimator as content for a file, and back."""

import os
import reprlib
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, is_classifier
from sklearn.utils.validation import check_is_fitted

from shiftfix import __version__
from shiftfix._naming import short_error
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._saving._encoding import NotStorableError, decode, encode, encode_learned, is_learned
from shiftfix.mlp._saving._learned import (
    check_learned,
    check_parameters,
    check_room,
    check_shapes,
    check_training_state,
    values_of_earlier_versions,
)

Estimator = TypeVar("Estimator", bound=BaseEstimator)
WRONG = "The file holds no estimator that this version of shiftfix can read"
# Of the state of a network that holds no torch; the state that is pickled has another form.
STATE = "shiftfix_network"
# A list of numbers, or of lists of them, that is kept as an array; from so many numbers on.
TABLE, LEAST_TABLE = "list of numbers", 16
KEYS = {"class", "settings", "fitted", "module"}
# What a fit does on its machine and beside the training is no part of the model: were a path among it, the next fit of
# whoever reads the file would write there.
LEFT_OUT = ("device", "data_parallel", "progress", "callbacks", "checkpoint", "resume")


def _is_kept(estimator: BaseEstimator, name: str) -> bool:
    """Whether an attribute is learned, or one of the private ones that the class names in ``_saved_private``."""
    return (is_learned(name) or name in getattr(estimator, "_saved_private", ())) and name != "module_"


def pack_estimator(estimator: Any) -> dict[str, Any]:
    """All of a fitted estimator that predicting, continuing and inspecting take, as content for a file.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        Fitted. Attributes whose names end in "_", and those in the class's tuple ``_saved_private``, are kept:
        numbers, text, bools, None, numpy arrays of numbers or text, tensors, ``StandardScaler``, and dicts, lists and
        tuples of those. Of its settings, those in ``LEFT_OUT`` are not.

    Returns
    -------
    dict
        "class" (str), "settings", "fitted", and "module" (a state dict on the CPU); shares no memory with the
        estimator.

    Raises
    ------
    NotFittedError
    ShiftDataError
        When a setting or an attribute is a function, a class or another object, which takes pickle to store, when
        the settings are no longer those of the network's layers, and when its parameters are not finite.
    """
    check_is_fitted(estimator, "module_")
    settings = pack_settings(estimator)
    if repr(estimator._build_module()) != repr(estimator.module_):
        raise ShiftDataError(
            "The fitted network has other layers than the settings ask for, and would come back as another: put back "
            "those that were set after fit, or fit again."
        )
    fitted = {name: encode_learned(value, name) for name, value in vars(estimator).items() if _is_kept(estimator, name)}
    module = {name: value.detach().cpu().clone() for name, value in estimator.module_.state_dict().items()}
    try:
        check_parameters(module)
    except ShiftDataError as error:
        raise ShiftDataError(f"The network cannot be saved, for {error}: fit it again.") from None
    return {"class": type(estimator).__name__, "settings": settings, "fitted": fitted, "module": module}


def pack_settings(estimator: Any) -> dict[str, Any]:
    """The settings of an estimator as content for a file; ShiftDataError for those that take pickle."""
    try:
        settings = {name: encode(value, name) for name, value in estimator.get_params(deep=False).items()}
    except NotStorableError as error:
        where, value = error.args
        raise ShiftDataError(
            f"{where}={reprlib.repr(value)} is a {type(value).__name__}, and cannot be stored without pickle: set it "
            "to a name, or use joblib."
        ) from None
    return {name: value for name, value in settings.items() if name not in LEFT_OUT}


def _check_content(content: Any, expected_class: type[BaseEstimator]) -> None:
    """Raise ShiftDataError unless it is of this class, and of settings that the class has."""
    if type(content) is not dict or set(content) != KEYS or type(content["class"]) is not str:
        raise ShiftDataError(f"{WRONG}: pass a file that an estimator's save wrote.")
    found, expected = content["class"], expected_class.__name__
    if found != expected:
        raise ShiftDataError(f"The file holds a {found[:40]}, and a {expected} is needed: use {found[:40]}.load.")
    if type(content["settings"]) is not dict or type(content["fitted"]) is not dict:
        raise ShiftDataError(f"{WRONG}: pass a file that an estimator's save wrote.")
    unknown = sorted(map(str, set(content["settings"]) - set(expected_class().get_params(deep=False))))
    if unknown:
        raise ShiftDataError(
            f"The file sets {', '.join(unknown[:5])}, which {expected} does not have in shiftfix {__version__}: it was "
            "written by another version; upgrade."
        )


def unpack_estimator(content: Any, expected_class: type[Estimator]) -> Estimator:
    """Fitted estimator from what :func:`pack_estimator` made, or a forger.

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
        For an estimator of another class, settings that the class does not have, and content that is no estimator or
        does not fit together.
    """
    _check_content(content, expected_class)
    try:
        return _restore(content, expected_class)
    except ShiftDataError as error:
        raise ShiftDataError(f"{WRONG} ({str(error).rstrip('.')}): take another copy, or upgrade.") from error
    except Exception as error:  # what content that was made up raises is endless
        raise ShiftDataError(f"{WRONG} ({short_error(error)}): upgrade.") from error


def _restore(content: dict[str, Any], expected_class: type[Estimator]) -> Estimator:
    """The estimator of content that may be made up: everything is checked before the network is built."""
    estimator: Any = unpack_settings(content["settings"], expected_class)
    for name, earlier in values_of_earlier_versions(content["settings"], is_classifier(estimator)).items():
        setattr(estimator, name, earlier)
    for name, value in content["fitted"].items():
        if _is_kept(estimator, name):
            setattr(estimator, name, decode(value))
    parameters = content["module"]
    check_learned(estimator)
    check_parameters(parameters)
    check_room(estimator, parameters)
    module = estimator._build_module()
    check_shapes(parameters, module)
    module.load_state_dict(parameters)
    estimator.module_ = module.eval()
    check_training_state(estimator)
    return estimator


def unpack_settings(settings: dict[str, Any], expected_class: type[Estimator]) -> Estimator:
    """An estimator with these settings, but for those that are no part of a model, which have their defaults."""
    values = {name: decode(value) for name, value in settings.items() if name not in LEFT_OUT}
    if type(values.get("n_threads")) is int:  # the file may be of a larger machine; and too many threads end a process
        values["n_threads"] = min(values["n_threads"], os.cpu_count() or 1)
    return expected_class(**values)


def to_numpy(content: Any) -> Any:
    """The content of a file with its tensors as arrays."""
    if type(content) is torch.Tensor:
        return {"type": "tensor", "values": content.numpy()}
    if type(content) is list:
        return [to_numpy(item) for item in content]
    if type(content) is not dict:
        return content
    table = _table_of_items(_items_in(content))
    if table is not None:
        return {"type": TABLE, "values": table}
    return {name: to_numpy(item) for name, item in content.items()}


def _items_in(content: Any) -> list[Any] | None:
    """What an encoded list holds; None for other content."""
    return content["items"] if type(content) is dict and content.get("type") == "list" else None


def _table_of_items(items: list[Any] | None) -> NDArray[np.float64] | None:
    """Many fractions, in a list or in lists of one length, as an array; None for other content.

    What stores a list stores each number of it with a name and a type: for a history of epochs thousands.
    """
    if not items:
        return None
    rows = [items] if type(items[0]) is float else [_items_in(item) or [] for item in items]
    n_columns = len(rows[0])
    if len(rows) * n_columns < LEAST_TABLE or any(len(row) != n_columns for row in rows):
        return None
    if {type(number) for row in rows for number in row} != {float}:
        return None
    return np.array(rows[0] if rows[0] is items else rows)


def _items_of_table(values: Any) -> dict[str, Any]:
    """The encoded list that :func:`_table_of_items` was given."""
    items: list[Any] = values.tolist()
    return {"type": "list", "items": [{"type": "list", "items": row} for row in items] if values.ndim > 1 else items}


def from_numpy(state: Any) -> Any:
    """What :func:`to_numpy` was given."""
    if type(state) is list:
        return [from_numpy(item) for item in state]
    if type(state) is not dict:
        return state
    if state.get("type") == "tensor":
        return torch.tensor(state["values"])
    if state.get("type") == TABLE:
        return _items_of_table(state["values"])
    return {name: from_numpy(item) for name, item in state.items()}


def numpy_state(estimator: Any) -> dict[str, Any]:
    """An estimator, fitted or not, as nested dicts and lists of numbers, text and numpy arrays.

    Raises
    ------
    ShiftDataError
        As :func:`pack_estimator`.
    """
    if hasattr(estimator, "module_"):
        return {STATE: to_numpy(pack_estimator(estimator))}
    return {STATE: {"class": type(estimator).__name__, "settings": to_numpy(pack_settings(estimator))}}


def restore_state(state: Any, expected_class: type[Estimator]) -> Estimator:
    """The estimator of :func:`numpy_state`, or a forger's; ShiftDataError as :func:`unpack_estimator`."""
    try:
        content = from_numpy(state[STATE])
        if set(content) == {"class", "settings"}:
            estimator: Any = unpack_settings(content["settings"], expected_class)
            estimator._check_settings()
            return estimator
    except Exception as error:  # what content that was made up raises is endless
        raise ShiftDataError(f"{WRONG} ({short_error(error)}): upgrade.") from error
    return unpack_estimator(content, expected_class)
