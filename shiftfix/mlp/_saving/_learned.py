"""What a fitted network knows, checked where it comes from a file: every attribute, before anything uses it.

A digest finds damage and no forgery, so that a file's settings meet the checks that a user's meet, and what was learned
must fit together: sizes, classes, scales, and parameters that are finite numbers.
"""

import math
import numbers
import reprlib
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from sklearn.base import is_classifier
from sklearn.preprocessing import StandardScaler

from shiftfix._validation import check_generator
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._settings import layer_sizes

Holds = Callable[[Any, Any], bool]
CLASS_KINDS = "biufUO"
STATE_KEYS = {"unit", "continued", "seeds", "run"}


def is_count(value: Any, least: int = 0) -> bool:
    """Whether it is a whole number in a sensible range, and no bool."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and least <= int(value) < 2**62


def is_size(value: Any) -> bool:
    """Whether it is a finite number >= 0."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and 0 <= float(value) < math.inf


def is_finite(value: Any) -> bool:
    """Whether it is an array of finite real numbers."""
    return isinstance(value, np.ndarray) and value.dtype.kind in "iuf" and bool(np.isfinite(value).all())


def are_classes(classes: Any) -> bool:
    """Whether it is a sorted array of two classes or more, without repetition."""
    if not (isinstance(classes, np.ndarray) and classes.ndim == 1 and classes.dtype.kind in CLASS_KINDS):
        return False
    return len(classes) >= 2 and bool((classes[:-1] < classes[1:]).all())


def is_scaler(scaler: Any, n_columns: int) -> bool:
    """Whether it is None or a scaler of so many columns, whose scales are positive."""
    if scaler is None:
        return True
    if type(scaler) is not StandardScaler or getattr(scaler, "n_features_in_", None) != n_columns:
        return False
    settings = scaler.get_params().values()
    return all(isinstance(value, bool) for value in settings) and has_scales(scaler, n_columns)


def has_scales(scaler: StandardScaler, n_columns: int) -> bool:
    """Whether the means and scales that a scaler uses are finite, and the scales positive."""
    mean, scale = getattr(scaler, "mean_", None), getattr(scaler, "scale_", None)
    fits = all(is_finite(value) and value.shape == (n_columns,) for value in (mean, scale) if value is not None)
    complete = (mean is not None or not scaler.with_mean) and (scale is not None or not scaler.with_std)
    return fits and complete and (scale is None or bool((scale > 0).all()))


def are_names(names: Any, n_columns: int) -> bool:
    """Whether it is an array of one text per column."""
    is_array = isinstance(names, np.ndarray) and names.shape == (n_columns,)
    return is_array and all(isinstance(name, str) for name in names.tolist())


def is_history(history: Any) -> bool:
    """Whether it is a dict of lists by name."""
    return type(history) is dict and all(type(k) is str and type(v) is list for k, v in history.items())


def is_best_epoch(found: Any, estimator: Any) -> bool:
    """Whether it is an epoch, or one per model."""
    if isinstance(found, np.ndarray):
        return found.dtype.kind in "iu" and found.ndim == 1 and bool((found >= 0).all())
    return is_count(found)


def fits_classes(n_outputs: Any, estimator: Any) -> bool:
    """Whether the network has an output per class, or one for two of them."""
    expected = 1 if estimator._trained_loss == "binary_cross_entropy" else len(estimator.classes_)
    return is_count(n_outputs) and n_outputs == expected and (expected > 1 or len(estimator.classes_) == 2)


# name: what is needed, and whether a value and its estimator have it; in the order in which they rely on each other
COMMON: dict[str, tuple[str, Holds]] = {
    "n_features_in_": ("a number of columns", lambda value, _: is_count(value, 1)),
    "scaler_": ("None or a scaler of these columns", lambda value, est: is_scaler(value, est.n_features_in_)),
    "history_": ("a dict of lists", lambda value, _: is_history(value)),
    "layer_names_": ("a list of text", lambda value, _: type(value) is list and all(type(v) is str for v in value)),
    "best_epoch_": ("a whole number for each network", is_best_epoch),
    "n_epochs_": ("a whole number", lambda value, _: is_count(value)),
    "n_parameters_": ("a whole number", lambda value, _: is_count(value)),
    "effective_sample_size_": ("a number of rows", lambda value, _: is_size(value)),
    "validation_effective_sample_size_": (
        "a number of rows or None",
        lambda value, _: value is None or is_size(value),
    ),
    "device_": ("text", lambda value, _: type(value) is str),
}
CLASSES: dict[str, tuple[str, Holds]] = {
    "classes_": ("a sorted array of at least two classes", lambda value, _: are_classes(value)),
    "_trained_loss": ("the name of a loss", lambda value, _: type(value) is str),
    "_n_outputs": ("an output for each class", fits_classes),
}
NUMBERS: dict[str, tuple[str, Holds]] = {
    "_n_outputs": ("a number of outputs", lambda value, _: is_count(value, 1)),
    "_single_output": (
        "a bool that fits the outputs",
        lambda value, est: type(value) is bool and (not value or est._n_outputs == 1),
    ),
    "target_scaler_": ("None or a scaler of the outputs", lambda value, est: is_scaler(value, est._n_outputs)),
}


def check_learned(estimator: Any) -> None:
    """Raise ShiftDataError unless a network's settings pass a user's checks and what it has learned fits together."""
    estimator._check_settings()
    check_generator(estimator.random_state)
    for name, (needed, holds) in (COMMON | (CLASSES if is_classifier(estimator) else NUMBERS)).items():
        if name not in vars(estimator):
            raise ShiftDataError(f"{name} is missing")
        value = vars(estimator)[name]
        if not holds(value, estimator):
            raise ShiftDataError(f"{name} is {reprlib.repr(value)}, and {needed} is needed")
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None and not are_names(names, estimator.n_features_in_):
        raise ShiftDataError(f"feature_names_in_ is {reprlib.repr(names)}, and one name per column is needed")
    # What `fit` looks up at its door: the loss, and the weights of the classes.
    targets, codes = estimator._fitted_targets(), np.arange(len(getattr(estimator, "classes_", [0])))
    estimator._loss_function(targets)
    targets.factors(codes, np.ones(len(codes)))


def check_parameters(parameters: Any) -> None:
    """Raise ShiftDataError unless it is a dict of tensors by name whose numbers are all finite."""
    is_dict = type(parameters) is dict and all(type(value) is torch.Tensor for value in parameters.values())
    if not is_dict or any(value.dtype != torch.float32 for value in parameters.values()):
        raise ShiftDataError("its parameters are no float32 tensors")
    broken = [name for name, value in parameters.items() if not bool(value.isfinite().all())]
    negative = [
        name for name, value in parameters.items() if name.endswith("running_variance") and bool((value < 0).any())
    ]
    if broken or negative:
        raise ShiftDataError(
            f"its parameters {', '.join((broken + negative)[:5])} are NaN, infinite or negative variances"
        )


def check_room(estimator: Any, parameters: dict[str, torch.Tensor]) -> None:
    """Raise ShiftDataError unless the layers that the settings ask for have room in these parameters.

    To be called before the network is built: its weights are not to be larger than what the file holds.
    """
    widths = [estimator.n_features_in_, *map(int, layer_sizes(estimator)), estimator._n_outputs]
    needed = estimator.n_models * sum(a * b for a, b in pairwise(widths))
    found = sum(value.numel() for value in parameters.values())
    if needed > found:
        raise ShiftDataError(
            f"its parameters do not fit its settings, which take {needed} weights, and there are {found} numbers"
        )


def check_shapes(parameters: dict[str, torch.Tensor], module: torch.nn.Module) -> None:
    """Raise ShiftDataError unless the parameters are those of the module, by name and shape."""
    expected = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in parameters.items()}
    wrong = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
    if wrong:
        name = wrong[0]
        raise ShiftDataError(
            f"its parameters do not fit its settings: {name} has shape {found.get(name)}, and {expected.get(name)} is "
            "needed"
        )


def check_training_state(estimator: Any) -> None:
    """Raise ShiftDataError unless the next call of ``partial_fit`` could go on from what is kept for it."""
    state = estimator._training_state
    if state is None:
        return
    if type(state) is not dict or set(state) != STATE_KEYS:
        raise ShiftDataError("the state of its training is of another form")
    unit = state["unit"]
    if type(unit) is not dict or not all(is_size(value) and value > 0 for value in unit.values()):
        raise ShiftDataError("the unit of its weights is no positive number")
    targets = estimator._fitted_targets()
    run = estimator._run(
        1, estimator._loss_function(targets), targets.n_outputs, state["seeds"], torch.device("cpu"), True
    )
    optimizer = state["run"]["optimizer"]["state"]
    shapes = {k: tuple(parameter.shape) for k, parameter in enumerate(run.parameters)}
    for key, values in optimizer.items():
        for value in values.values():
            if type(value) is torch.Tensor and (
                (value.ndim and tuple(value.shape) != shapes[key]) or not bool(value.isfinite().all())
            ):
                raise ShiftDataError("the state of its optimizer does not fit its parameters")
    run.load_state_dict(state["run"] | {"module": run.module.state_dict()})
    if not (is_count(run.epoch) and is_count(run.step) and is_history(run.history)):
        raise ShiftDataError("the state of its training is of another form")
