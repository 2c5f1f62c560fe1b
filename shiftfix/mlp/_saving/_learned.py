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

from shiftfix._setting_checks import check_generator
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._inputs import network_inputs
from shiftfix.mlp._settings import Fitting, Network, layer_sizes, part_of
from shiftfix.mlp._table_scaler import TableScaler

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


def is_column_count(value: Any, _: Any) -> bool:
    return is_count(value, 1)


def scales_columns(value: Any, estimator: Any) -> bool:
    if (type(value) is TableScaler) != (estimator.preset is not None):
        return False
    return (
        is_table_scaler(value, estimator) if type(value) is TableScaler else is_scaler(value, estimator.n_features_in_)
    )


def are_whole(values: Any, least: int, below: int) -> bool:
    """Whether it is a row of whole numbers of this range."""
    is_row = isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype == np.int64
    return is_row and bool(((values >= least) & (values < below)).all())


def is_table_scaler(scaler: TableScaler, estimator: Any) -> bool:
    """Whether its numbers and indicators are those of the columns, and its scales finite and positive."""
    n_columns, categorical = estimator.n_features_in_, sorted(estimator.categories_)
    places = (scaler.numbers, scaler.indicator_columns)
    if scaler.n_features_in != n_columns or not all(are_whole(value, 0, n_columns) for value in places):
        return False
    if not (are_whole(scaler.indicator_codes, 0, 2**31) and type(scaler.bounded) is bool):
        return False
    shapes_fit = scaler.indicator_codes.shape == scaler.indicator_columns.shape
    partition = np.array_equal(np.sort(np.concatenate([scaler.numbers, categorical])), np.arange(n_columns))
    scales = (scaler.center, scaler.scale)
    sound = all(is_finite(value) and value.shape == scaler.numbers.shape for value in scales)
    return shapes_fit and partition and sound and bool((scaler.scale > 0).all()) and has_known_levels(scaler, estimator)


def has_known_levels(scaler: TableScaler, estimator: Any) -> bool:
    """Whether each indicator is of a level of its column, and no two are alike."""
    pairs = list(zip(scaler.indicator_columns.tolist(), scaler.indicator_codes.tolist(), strict=True))
    known = {column: len(levels) for column, levels in estimator.categories_.items()}
    return len(set(pairs)) == len(pairs) and all(code < known.get(column, 0) for column, code in pairs)


def are_categories(value: Any, estimator: Any) -> bool:
    """Whether it is a dict of levels by column: sorted text without repetition."""
    if type(value) is not dict or not all(is_count(place) and place < estimator.n_features_in_ for place in value):
        return False
    if value and estimator.preset is None:
        return False
    return all(are_levels(levels) for levels in value.values())


def are_levels(levels: Any) -> bool:
    """Whether it is a sorted row of text without repetition."""
    is_text_row = isinstance(levels, np.ndarray) and levels.ndim == 1 and levels.dtype.kind == "U"
    return is_text_row and bool((levels[:-1] < levels[1:]).all())


def scales_outputs(value: Any, estimator: Any) -> bool:
    return is_scaler(value, estimator._n_outputs)


def holds_lists(value: Any, _: Any) -> bool:
    return is_history(value)


def is_list_of_text(value: Any, _: Any) -> bool:
    return type(value) is list and set(map(type, value)) <= {str}


def is_number_of(value: Any, _: Any) -> bool:
    return is_count(value)


def is_number_of_rows(value: Any, _: Any) -> bool:
    return is_size(value)


def is_number_of_rows_if_any(value: Any, _: Any) -> bool:
    return is_size(0 if value is None else value)


def is_positive(value: Any, _: Any) -> bool:
    return is_size(value) and 1e-6 < float(value) < 1e6


def is_text(value: Any, _: Any) -> bool:
    return type(value) is str


def has_classes(value: Any, _: Any) -> bool:
    return are_classes(value)


def is_single(value: Any, estimator: Any) -> bool:
    return type(value) is bool and estimator._n_outputs <= (1 if value else math.inf)


# name: what is needed, and whether a value and its estimator have it; in the order in which they rely on each other
COMMON: dict[str, tuple[str, Holds]] = {
    "n_features_in_": ("a number of columns", is_column_count),
    "categories_": ("a dict of sorted levels by column", are_categories),
    "scaler_": ("None or a scaler of these columns", scales_columns),
    "history_": ("a dict of lists", holds_lists),
    "layer_names_": ("a list of text", is_list_of_text),
    "best_epoch_": ("a whole number for each network", is_best_epoch),
    "n_epochs_": ("a whole number", is_number_of),
    "n_steps_": ("a whole number", is_number_of),
    "n_batches_": ("a whole number", is_number_of),
    "n_models_": ("a number of networks", is_column_count),
    "n_parameters_": ("a whole number", is_number_of),
    "effective_sample_size_": ("a number of rows", is_number_of_rows),
    "validation_effective_sample_size_": ("a number of rows or None", is_number_of_rows_if_any),
    "device_": ("text", is_text),
}
# Files of earlier versions do not have them.
ADDED = ("n_steps_", "n_batches_", "n_models_")
CLASSES: dict[str, tuple[str, Holds]] = {
    "classes_": ("a sorted array of at least two classes", has_classes),
    "_trained_loss": ("the name of a loss", is_text),
    "_n_outputs": ("an output for each class", fits_classes),
    "temperature_": ("a positive number", is_positive),
}
NUMBERS: dict[str, tuple[str, Holds]] = {
    "_n_outputs": ("a number of outputs", is_column_count),
    "_single_output": ("a bool that fits the outputs", is_single),
    "target_scaler_": ("None or a scaler of the outputs", scales_outputs),
}


def values_of_earlier_versions(settings: dict[str, Any], classifies: bool) -> dict[str, Any]:
    """What holds of a network whose file is of a version that had no presets and no temperature, by its settings."""
    if "preset" in settings:
        return {}
    return {"categories_": {}} | ({"temperature_": 1.0} if classifies else {})


def check_learned(estimator: Any) -> None:
    """Raise ShiftDataError unless a network's settings pass a user's checks and what it has learned fits together."""
    estimator._check_settings()
    check_generator(estimator.random_state)
    for name, (needed, holds) in (COMMON | (CLASSES if is_classifier(estimator) else NUMBERS)).items():
        if name in ADDED and name not in vars(estimator):
            continue
        expect(name in vars(estimator), f"{name} is missing")
        value = vars(estimator)[name]
        expect(holds(value, estimator), f"{name} is {reprlib.repr(value)}, and {needed} is needed")
    names = getattr(estimator, "feature_names_in_", np.full(estimator.n_features_in_, ""))
    expect(
        are_names(names, estimator.n_features_in_),
        f"feature_names_in_ is {reprlib.repr(names)}, and one name per column is needed",
    )
    # What `fit` looks up at its door: the loss, and the weights of the classes.
    targets, codes = estimator._fitted_targets(), np.arange(len(getattr(estimator, "classes_", [0])))
    estimator._loss_function(targets)
    targets.factors(codes, np.ones(len(codes)))


def expect(holds: object, otherwise: str) -> None:
    """Raise ShiftDataError, with what is wrong, unless it holds."""
    if not holds:
        raise ShiftDataError(otherwise)


def check_parameters(parameters: Any) -> None:
    """Raise ShiftDataError unless it is a dict of float32 tensors by name whose numbers are all finite."""
    expect(type(parameters) is dict, "its parameters are no tensors")
    expect(set(map(type, parameters.values())) <= {torch.Tensor}, "its parameters are no tensors")
    expect({value.dtype for value in parameters.values()} <= {torch.float32}, "its parameters are not float32")
    wrong = [name for name, value in parameters.items() if not is_sound(name, value)]
    expect(not wrong, f"its parameters {', '.join(wrong[:5])} are NaN, infinite or negative variances")


def is_sound(name: str, value: torch.Tensor) -> bool:
    """Whether a parameter is finite and, of a variance, not negative."""
    return bool(value.isfinite().all()) and not (name.endswith("running_variance") and bool((value < 0).any()))


def networks_of(estimator: Any) -> int:
    """Networks that an estimator has; one for files of versions that did not tell where none were asked for."""
    asked: int | None = part_of(estimator, Fitting).n_models
    return getattr(estimator, "n_models_", 1) if asked is None else asked


def check_room(estimator: Any, parameters: dict[str, torch.Tensor]) -> None:
    """Raise ShiftDataError unless the layers that the settings ask for have room in these parameters.

    To be called before the network is built: its weights are not to be larger than what the file holds.
    """
    sizes = map(int, layer_sizes(part_of(estimator, Network)))
    widths = [network_inputs(estimator.scaler_, estimator.n_features_in_, False)[0], *sizes, estimator._n_outputs]
    needed = networks_of(estimator) * sum(a * b for a, b in pairwise(widths))
    found = sum(value.numel() for value in parameters.values())
    expect(
        needed <= found,
        f"its parameters do not fit its settings, which take {needed} weights, and there are {found} numbers",
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
    expect(type(state) is dict and set(state) == STATE_KEYS, "the state of its training is of another form")
    expect(
        all(is_size(value) and value > 0 for value in state["unit"].values()), "the unit of its weights is no number"
    )
    targets = estimator._fitted_targets()
    objective, device = estimator._loss_function(targets), torch.device("cpu")
    run = estimator._run(1, objective, estimator._fitted_scales(targets), state["seeds"], device, True)
    ordered = [parameter for group in run.optimizer.param_groups for parameter in group["params"]]
    for key, values in state["run"]["optimizer"]["state"].items():
        check_moments(values, ordered[key])
    multiples = multiples_of(run)
    run.load_state_dict(state["run"] | {"module": run.module.state_dict()})
    expect(multiples_of(run) == multiples, "the rates of its optimizer are of another network")
    expect(is_count(run.epoch) and is_count(run.step), "the state of its training is of another form")
    expect(is_history(run.history), "the state of its training is of another form")


def multiples_of(run: Any) -> list[Any]:
    """Multiples of the learning rate at which the groups of an optimizer move."""
    return [group.get("multiple") for group in run.optimizer.param_groups]


def check_moments(values: dict[str, Any], parameter: torch.Tensor) -> None:
    """Raise unless what an optimizer keeps of a parameter is finite, and a number or of the parameter's shape."""
    for value in values.values():
        if type(value) is torch.Tensor:
            expect(value.shape in ((), parameter.shape), "the state of its optimizer does not fit its parameters")
            expect(value.isfinite().all(), "the state of its optimizer is not finite")
