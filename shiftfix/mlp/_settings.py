"""Every setting of the estimators, once: its type, its check and its default.

Settings stand together by concern, in dataclasses whose fields are the flat parameters of scikit-learn: an estimator
inherits the concerns it has, and with them their parameters, their defaults and its constructor. Functions take a
concern, which :func:`part_of` takes out of an estimator.

A check is a function of a value and its name that raises ShiftDataError; it stands with the type, in ``Annotated``. A
``Literal`` is checked by being one of its values. What one field cannot tell (a path that must be there, a loss that
the task must know) is checked at the door of ``fit`` by who uses it.

Fields stand in the order of the constructor. Of several concerns the LAST base class comes first, as in any dataclass.
"""

import numbers
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import (
    Annotated,
    Any,
    Literal,
    TypeAlias,
    TypeGuard,
    TypeVar,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np
import torch

from shiftfix._door import plain
from shiftfix._setting_checks import check_count, check_number, check_option
from shiftfix.exceptions import ShiftDataError
from shiftfix.weights import check_clip

OneSided = Literal["relu", "leaky_relu", "prelu", "elu", "selu", "gelu", "silu", "mish", "softplus"]
Bounded = Literal["tanh", "sigmoid", "softsign"]
Activation = Literal[OneSided, Bounded, "identity"]
ScaledStart = Literal["lecun_normal", "lecun_uniform", "xavier_normal", "xavier_uniform"]
RandomStart = Literal["normal", "uniform", ScaledStart, "kaiming_normal", "kaiming_uniform"]
ConstantStart = Literal["zeros", "ones"]
MatchedStart = Literal["auto"]
Descent = Literal["sgd", "momentum", "averaged_momentum", "nesterov"]
OptimizerName = Literal[Descent, "adagrad", "rmsprop", "adam", "adamw", "lars"]
UsualScheduleName = Literal[
    "step_decay", "StepLR", "multistep_decay", "MultiStepLR", "exponential_decay", "ExponentialLR"
]
ScheduleName = Literal["step", "multistep", "exponential", "cosine", "cosine_log", "plateau", UsualScheduleName]
ClassLoss = Literal["cross_entropy", "binary_cross_entropy", "polynomial_tail"]
NumberLoss = Literal["squared_error", "absolute_error", "huber", "smooth_l1"]
RandomState = int | np.random.Generator | np.random.RandomState | None
Precision = Literal["float32", "bfloat16"]
# Each has generators of its own, made before the first of its weights.
MOST_MODELS = 10_000

Class = TypeVar("Class", bound=type)
Part = TypeVar("Part", bound="Concern")


@dataclass_transform(kw_only_default=True, field_specifiers=(field,))
def concern(cls: Class) -> Class:
    """Give a class a constructor that takes its fields by keyword, and nothing else that a dataclass has."""
    made: Any = dataclass(kw_only=True, eq=False, repr=False, match_args=False)(cls)
    # Without the checks, which a reader of the signature can do nothing with.
    made.__init__.__annotations__ = get_type_hints(made.__init__)
    return made


@concern
class Concern:
    """Settings that belong together."""


def part_of(settings: Concern, kind: type[Part]) -> Part:
    """The settings of one concern, from an estimator that has them among others, and as its preset has them."""
    preset = settings._preset_values() if isinstance(settings, Preset) else {}
    return kind(**{item.name: resolved(settings, item.name, preset) for item in fields(kind)})


def resolved(settings: Concern, name: str, preset: Mapping[str, Any]) -> Any:
    """The value of a setting: that of the preset where there is one and the user left the default."""
    value = getattr(settings, name)
    if name not in preset:
        return value
    default = next(item.default for item in fields(settings) if item.name == name)
    return preset[name] if type(value) is type(default) and value == default else value


class Preset:
    """Settings some of whose defaults a preset replaces."""

    def _preset_values(self) -> Mapping[str, Any]:
        """Values by name; empty without a preset."""
        return {}


def check_fields(settings: Concern) -> None:
    """Raise ShiftDataError for the first setting, in the order of the constructor, that its own check refuses."""
    for item in fields(settings):
        value, kind = getattr(settings, item.name), item.type
        if get_origin(kind) is Literal:
            check_option(value, item.name, list(get_args(kind)))
        for check in getattr(kind, "__metadata__", ()):
            check(value, item.name)


def number(**bounds: float) -> Callable[..., Any]:
    """Check of a number within the bounds of ``check_number``."""
    return lambda value, name: check_number(value, name, **bounds)


def count(**bounds: Any) -> Callable[..., Any]:
    """Check of a whole number within the bounds of ``check_count``."""
    return lambda value, name: check_count(value, name, **bounds)


def unless_none(check: Callable[..., Any]) -> Callable[..., Any]:
    """The check, and None passes."""
    return lambda value, name: None if value is None else check(value, name)


def or_named(check: Callable[..., Any], option: str) -> Callable[..., Any]:
    """The check, and this one word passes."""

    def checked(value: Any, name: str) -> None:
        value = plain(value)
        if not isinstance(value, str):
            check(value, name)
        elif value != option:
            raise ShiftDataError(f"{name}={value!r}: a number, or {option!r}, is needed.")

    return checked


def yes_or_no(value: object, name: str) -> None:
    """Check of a bool."""
    check_option(value, name, [True, False])


def check_optimizer(optimizer: object, name: str = "optimizer") -> None:
    """Raise unless it is a name or something to call."""
    if not (callable(optimizer) or (isinstance(optimizer, str) and optimizer in get_args(OptimizerName))):
        raise ShiftDataError(
            f"{name}={optimizer!r}: one of {', '.join(map(repr, get_args(OptimizerName)))}, or a torch optimiser "
            "class, is needed."
        )


Start: TypeAlias = MatchedStart | RandomStart | ConstantStart | float | Callable[..., Any]
LARGEST_START = 1e30  # what float32 still multiplies
LARGEST_BOUND = 9e18  # what a Python integer may be for torch


def is_several(value: object) -> TypeGuard[Sequence[Any]]:
    """Whether a setting has a value for each layer: a tuple, a list or an array with an axis."""
    return isinstance(value, tuple | list) or (isinstance(value, np.ndarray) and value.ndim > 0)


def each(check: Callable[..., Any]) -> Callable[..., Any]:
    """The check of one value, for one or for each of several."""

    def check_each(value: Any, name: str) -> None:
        for one in value if is_several(value) else [value]:
            check(one, name)

    return check_each


def check_activation(activation: object, name: str) -> None:
    """Check of the name of an activation."""
    check_option(activation, name, get_args(Activation))


def check_initializer(initializer: Any, name: str = "initializer") -> None:
    """Raise unless it is a name, a number or a callable."""
    initializer = plain(initializer)
    names = (*get_args(MatchedStart), *get_args(RandomStart), *get_args(ConstantStart))
    is_number = isinstance(initializer, numbers.Real) and not isinstance(initializer, bool)
    is_known = callable(initializer) or _is_one_of(initializer, names)
    if not (is_known or (is_number and abs(initializer) <= LARGEST_START)):
        raise ShiftDataError(
            f"{name}={initializer!r}: one of {', '.join(map(repr, names))}, a number for all weights, or a function of "
            "a weight matrix and a torch.Generator is needed."
        )


def _is_one_of(value: object, names: Sequence[str]) -> bool:
    return isinstance(value, str) and value in names


def check_path(path: object, name: str) -> None:
    """Raise unless it is the path of a file, or None."""
    if not (path is None or (isinstance(path, str | bytes | os.PathLike) and os.fspath(path))):
        raise ShiftDataError(f"{name}={path!r}: the path of a file, or None, is needed.")


rate = number(least=0, below=1)
share = number(above=0, below=1)
deviation = number(least=0, below=np.inf)
bound = unless_none(number(above=0, most=LARGEST_BOUND))


LearningRate = Annotated[float, number(above=0, most=1e30)]
BatchSize = Annotated[int | Literal["auto"] | None, unless_none(or_named(count(), "auto"))]
Count = Annotated[int, count()]
HeldOutShare = Annotated[float | Literal["folds"], or_named(share, "folds")]


@concern
class Network(Concern):
    """Layers, their start, and the noise in them."""

    hidden_layer_sizes: int | Sequence[int] = field(default=(128,), kw_only=False)
    activation: Annotated[Activation | Sequence[Activation], each(check_activation)] = "relu"
    initializer: Annotated[Start | Sequence[Start], each(check_initializer)] = "auto"
    # Off by default for numbers: its noise ahead of a linear output inflates the variance that a regression is judged
    # by, while a classifier's arg max hardly sees it.
    dropout: float | Sequence[float] = 0.0
    input_dropout: Annotated[float, rate] = 0.0
    dropconnect: Annotated[float, rate] = 0.0
    input_noise: Annotated[float, deviation] = 0.0
    hidden_noise: float | Sequence[float] = 0.0
    batch_norm: Annotated[bool, yes_or_no] = False
    preset: Literal["tabular", None] = None


@concern
class LossSettings(Concern):
    """The loss of a row; looked up at the door of ``fit``, in the table of the task."""

    loss: ClassLoss | NumberLoss | Callable[..., Any] = "squared_error"


@concern
class Classes(LossSettings):
    """What a loss makes of classes."""

    label_smoothing: Annotated[float, rate] = 0.0
    class_weight: Literal["balanced"] | dict[Any, float] | None = None


@concern
class Calibration(Concern):
    """What is done to the probabilities of classes after the training."""

    temperature: Literal["auto", None] = "auto"


@concern
class OwnModule(Concern):
    """A module of the user's, and its loss; both are checked at the door of ``fit``."""

    module: torch.nn.Module = field(kw_only=False)
    loss: ClassLoss | NumberLoss | Callable[..., Any] = field(default="cross_entropy", kw_only=False)


@concern
class Steps(Concern):
    """How far and how often the parameters move."""

    optimizer: Annotated[OptimizerName | Callable[..., Any], check_optimizer] = "adam"
    # A float32 network takes no larger step.
    learning_rate: LearningRate = 1e-3
    running_decay: Annotated[float | None, unless_none(rate)] = None
    # Of a gradient of 0 the step is 0 / eps, and float32 holds nothing below 1e-38.
    eps: Annotated[float | None, unless_none(number(least=1e-30, below=np.inf))] = None
    schedule: ScheduleName | Callable[..., Any] | None = None
    warmup: Annotated[int, count(least=0)] = 0
    batch_size: BatchSize = 256
    max_epochs: Count = 100


@concern
class Stopping(Concern):
    """When to stop, and on which rows that is judged."""

    early_stopping: Literal["auto", True, False] = "auto"
    validation_fraction: HeldOutShare = 0.1
    patience: Count = 10


@concern
class Weighting(Concern):
    """What the row weights do."""

    weighting: Literal["loss", "resample"] = "loss"
    exponent: Annotated[float, number(least=0, most=1)] = 1.0
    clip: Annotated[float | str | None, lambda value, name: check_clip(value, 100)] = None


@concern
class Penalties(Concern):
    """Penalties and bounds on weights and gradients."""

    # The gradient of a float32 network must not overflow.
    l1: Annotated[float, number(least=0, most=1e30)] = 0.0
    l2: Annotated[float, number(least=0, most=1e30)] = 0.0
    decoupled: Annotated[bool, yes_or_no] = False
    max_norm: Annotated[float | None, bound] = None
    clip_norm: Annotated[float | None, bound] = None
    clip_value: Annotated[float | None, bound] = None


@concern
class Fitting(Concern):
    """How many networks, from which start, on which scale."""

    # None and not a number, since it depends on the rows.
    n_models: Annotated[int | None, unless_none(count(most=MOST_MODELS))] = None
    standardize: Annotated[bool, yes_or_no] = True
    warm_start: Annotated[bool, yes_or_no] = False


@concern
class Running(Concern):
    """Where a training runs, what happens beside it, and where its numbers come from."""

    precision: Precision = "float32"
    device: str | torch.device = "cpu"
    n_threads: Annotated[int | None, unless_none(count())] = 1
    data_parallel: Annotated[bool, yes_or_no] = False
    progress: Annotated[bool, yes_or_no] = False
    callbacks: Any = None
    checkpoint: Annotated[str | os.PathLike[str] | None, check_path] = None
    resume: Annotated[bool, yes_or_no] = False
    random_state: RandomState = None


@concern
class Training(Running, Penalties, Weighting, Stopping, Steps):
    """The concerns of every training together, for what takes most of them."""


def layer_sizes(network: Network) -> Sequence[Any]:
    """Units of each hidden layer.

    Raises
    ------
    ShiftDataError
        For what is neither a whole number nor a sequence.
    """
    sizes = network.hidden_layer_sizes
    if isinstance(sizes, numbers.Integral):
        return (plain(sizes),)
    if not isinstance(sizes, tuple | list | np.ndarray):
        raise ShiftDataError(f"hidden_layer_sizes={sizes!r}: a tuple of whole numbers is needed, such as (256, 256).")
    return [plain(size) for size in sizes]


def check_batches(network: Network, training: Training) -> None:
    """Raise ShiftDataError for checked settings of a network and its training that are at odds."""
    if network.batch_norm and training.batch_size == 1:
        raise ShiftDataError("batch_norm=True needs batches of several rows: raise batch_size above 1.")


# The optimizers by name that take a setting of the steps, beside the learning rate.
TAKEN_BY: dict[str, tuple[OptimizerName, ...]] = {
    "running_decay": ("momentum", "averaged_momentum", "nesterov", "lars", "rmsprop"),
    "eps": ("adagrad", "rmsprop", "adam", "adamw"),
}


def check_steps(steps: Steps) -> None:
    """Raise ShiftDataError for a setting that the optimizer would not use."""
    for name, takers in TAKEN_BY.items():
        value = getattr(steps, name)
        if value is not None and steps.optimizer not in takers:
            raise ShiftDataError(
                f"{name}={value!r} is for optimizer={' or '.join(map(repr, takers))}, and optimizer="
                f"{steps.optimizer!r} has no such setting: leave it out, or bind what a class of your own takes with "
                "functools.partial."
            )


def check_training(training: Training) -> None:
    """Raise ShiftDataError for a setting of the training out of range, or at odds with another."""
    check_fields(training)
    check_steps(training)
    if training.warmup > training.max_epochs:
        raise ShiftDataError(
            f"warmup={training.warmup} epochs and max_epochs={training.max_epochs}: the learning rate would never be "
            "reached; lower warmup."
        )
    if training.resume and training.checkpoint is None:
        raise ShiftDataError("resume=True needs checkpoint, the path of the file to go on from.")


def check_classes(settings: Classes) -> None:
    """Raise ShiftDataError for label smoothing out of range, or of a loss that does not take it."""
    check_fields(settings)
    if settings.label_smoothing and callable(settings.loss):
        raise ShiftDataError("label_smoothing is for the named losses: a function of your own smooths on its own.")
