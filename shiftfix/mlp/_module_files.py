"""A trained module of the user's as a file without code, and back into an untrained one of the same architecture.

A file holds no class and no function: those come from the user when it is read, and the names, shapes and types of the
module's parameters are compared before any of them is set.
"""

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch.nn.parameter import is_lazy

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._module_inputs import InputForm, InputsForm
from shiftfix.mlp._module_outputs import copy_of_module
from shiftfix.mlp._saving._encoding import NotStorableError, decode, encode, encode_learned
from shiftfix.mlp._saving._learned import ADDED, CLASSES, COMMON, Holds
from shiftfix.mlp._training import explained

# Of one training; the next one is not to write where the file says, nor to run what it names.
NOT_KEPT = ("module", "callbacks", "checkpoint", "resume", "progress")
OF_NETWORKS = (
    "history_",
    "layer_names_",
    "best_epoch_",
    "n_epochs_",
    "n_steps_",
    "n_batches_",
    "n_parameters_",
    "effective_sample_size_",
    "validation_effective_sample_size_",
    "device_",
)
# What a fit learns, and whether a value can be that; only these are read from a file.
LEARNED: dict[str, Holds] = {name: COMMON[name][1] for name in OF_NETWORKS} | {
    "classes_": CLASSES["classes_"][1],
    "temperature_": CLASSES["temperature_"][1],
    "_flat_targets": lambda value, _: type(value) is bool,
}
OPTIONAL = {"classes_", "temperature_", *ADDED}
# Beside them: the form of the rows, and the settings that the file lacks.
BESIDE = ("_form", "_needed")
CONTENT = {"class", "settings", "fitted", "module"}


def pack_module(settings: Mapping[str, Any], fitted: Mapping[str, Any], module: torch.nn.Module) -> dict[str, Any]:
    """Content for a file.

    Parameters
    ----------
    settings : dict
        Of the trainer; those that are functions, classes or other objects are left out and named.
    fitted : dict
        Attributes of the fitted trainer.
    module : torch.nn.Module
        Trained.

    Raises
    ------
    ShiftDataError
        For an attribute that takes pickle to store.
    """
    stored, needed = _settings_without_code(settings)
    learned = {name: encode_learned(fitted[name], name) for name in LEARNED if name in fitted}
    form: InputsForm = fitted["_form"]
    parts = [[part.columns, list(part.shape), part.whole] for part in form.parts]
    return {
        "class": "WeightedTrainer",
        "settings": stored,
        "fitted": learned | {"_form": {"parts": parts, "names": form.names, "alone": form.alone}, "_needed": needed},
        "module": dict(module.state_dict()),
    }


def _settings_without_code(settings: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Settings that a file holds, and the names of those that take code to read back."""
    stored, needed = {}, []
    for name in sorted(set(settings) - set(NOT_KEPT)):
        value = settings[name]
        try:
            stored[name] = encode(str(value) if isinstance(value, torch.device) else value, name)
        except NotStorableError:
            needed.append(name)
    return stored, needed


def trainer_settings(content: Any, known: Collection[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the trainer in a file, with those that the user gives because no file can hold them.

    Parameters
    ----------
    content : object
        Of the file.
    known : collection of str
        Settings that a trainer has.
    given : dict
        By the user.

    Raises
    ------
    ShiftDataError
        For content that is no trainer, and for settings that are missing, or given though the file has them.
    """
    _check_class(content)
    settings, needed = content["settings"], content["fitted"].get("_needed")
    if not (type(settings) is dict and _is_names(needed)) or not {*settings, *needed} <= set(known) - set(NOT_KEPT):
        raise _unreadable("its settings")
    _check_given(needed, given)
    return {name: _decoded(settings[name], name) for name in set(settings) - set(needed)} | dict(given)


def _check_given(needed: list[str], given: Mapping[str, Any]) -> None:
    """Raise ShiftDataError unless the user gives the settings that the file lacks, and none that it has."""
    missing, extra = sorted(set(needed) - set(given)), sorted(set(given) - {*needed, *NOT_KEPT})
    if missing:
        raise ShiftDataError(
            f"The file holds no functions, classes or objects, and {', '.join(missing)} was one: pass what it was, as "
            f"load(path, module, {missing[0]}=...)."
        )
    if extra:
        raise ShiftDataError(f"{', '.join(extra)} is in the file: set it after load, with set_params.")


def _check_class(content: Any) -> None:
    if type(content) is not dict or set(content) != CONTENT or type(content["fitted"]) is not dict:
        raise _unreadable("its parts")
    found = content["class"]
    if found != "WeightedTrainer":
        raise ShiftDataError(f"The file holds a {found}, and a WeightedTrainer is needed: use {found}.load.")


def _unreadable(what: str) -> ShiftDataError:
    return ShiftDataError(f"The file holds no WeightedTrainer that this version of shiftfix can read ({what}).")


def _decoded(value: Any, name: str) -> Any:
    try:
        return decode(value)
    except Exception as error:  # forged content can fail in any way
        raise _unreadable(name) from error


def unpack_fitted(content: dict[str, Any]) -> dict[str, Any]:
    """Attributes of the fitted trainer, each of its kind; raise ShiftDataError for others."""
    fitted = {name: value for name, value in content["fitted"].items() if name not in BESIDE}
    if not set(LEARNED) - OPTIONAL <= set(fitted) <= set(LEARNED):
        raise _unreadable("its fitted attributes")
    found = {name: _decoded(value, name) for name, value in fitted.items()}
    if "classes_" in found and "temperature" not in content["settings"]:  # the file is of an earlier version
        found.setdefault("temperature_", 1.0)
    for name, value in found.items():
        if not LEARNED[name](value, None):
            raise _unreadable(name)
    form = _unpack_form(content["fitted"].get("_form"))
    return found | form.as_attributes() | {"_form": form}


def _n_inputs(names: list[str] | None, alone: bool, n_parts: int) -> int:
    """How many inputs a form is of: as many as it has parts, where nothing else says so."""
    if alone:
        return 1
    return n_parts if names is None else len(names)


def _unpack_form(form: Any) -> InputsForm:
    try:
        names, alone, parts = form["names"], form["alone"], [_unpack_part(*part) for part in form["parts"]]
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise _unreadable("the form of its inputs") from error
    known = type(alone) is bool and (names is None or _is_names(names))
    if not (known and parts and len(parts) == _n_inputs(names, alone, len(parts))):
        raise _unreadable("the form of its inputs")
    return InputsForm(parts, names, alone)


def _unpack_part(columns: Any, shape: Any, whole: Any) -> InputForm:
    """The form of one input; ValueError for none."""
    sizes = [size for size in shape if type(size) is int and size >= 0]
    if sizes != shape or type(whole) is not bool or not (columns is None or _are_names_of(sizes, columns)):
        raise ValueError("no form")
    return InputForm(columns, tuple(sizes), whole)


def _are_names_of(sizes: list[int], columns: Any) -> bool:
    return _is_names(columns) and sizes == [len(columns)]


def _is_names(values: Any) -> bool:
    return type(values) is list and all(type(value) is str for value in values)


def filled_module(module: torch.nn.Module, state: Any) -> torch.nn.Module:
    """A copy of a module with the parameters of a file, in evaluation mode.

    Raises
    ------
    ShiftDataError
        Unless names, shapes and types of its parameters and buffers are those of the file; none is set before.
    """
    if type(state) is not dict or not _is_names([*state]):
        raise _unreadable("its parameters")
    _check_same_state(module.state_dict(), state)
    module = copy_of_module(module)
    with explained("The module does not take the parameters of the file", "pass an untrained one of the same kind."):
        module.load_state_dict(state)
    wrong = [name for name, value in module.named_parameters() if not bool(value.isfinite().all())]
    if wrong:
        raise ShiftDataError(f"The parameters {wrong} in the file hold NaN or infinity: take another file.")
    return module.cpu().eval()


def _check_same_state(own: dict[str, Any], state: dict[str, Any]) -> None:
    """Raise ShiftDataError unless both have the same names, shapes and types; a lazy layer takes any shape."""
    lacking, unknown = sorted(set(state) - set(own)), sorted(set(own) - set(state))
    if lacking or unknown:
        raise ShiftDataError(
            f"The module is another than the one in the file: it lacks {lacking} and adds {unknown}; pass an untrained "
            "module of the same architecture."
        )
    for name in own:
        found, needed = _described(own[name]), _described(state[name])
        if not is_lazy(own[name]) and found != needed:
            raise ShiftDataError(
                f"The module's {name} is {found}, and in the file it is {needed}: pass an untrained module of the same "
                "architecture and type."
            )


def _described(value: Any) -> str:
    """Shape and type of a tensor with numbers in it, the type of anything else."""
    known = torch.is_tensor(value) and not is_lazy(value)
    return f"{tuple(value.shape)} of {value.dtype}" if known else f"a {type(value).__name__}"
