"""Learning rates that change from epoch to epoch, by name or from ``torch.optim.lr_scheduler``, and warm-up.

With T = ``max_epochs`` and the epochs counted from t = 0, the rate is lr times

===============  ==============================================================================================
``None``         1
``step``         0.1^floor(t / ceil(T / 3))                     a tenth after each third
``multistep``    0.1^(how many of ceil(T / 2), ceil(3 T / 4) are <= t)
``exponential``  0.01^(t / (T - 1))                             the last epoch has 1 % of the first
``cosine``       (1 + cos(pi t / T)) / 2                        Loshchilov & Hutter (2017), ICLR, equation 5
``cosine_log``   (1 - cos(2 pi log2(1 + 15 (t + 1/2) / T))) / 2     Holzmueller, Grinsztajn & Steinwart (2024), NeurIPS,
                                                               section 3: four cycles, each twice as long
``plateau``      halved when more than max(1, ``patience`` // 2) epochs in a row fail to lower the validation loss
                 by 0.01 %
===============  ==============================================================================================

The first three go by their usual names too: ``step_decay`` or ``StepLR``, ``multistep_decay`` or ``MultiStepLR``,
``exponential_decay`` or ``ExponentialLR``. Under any of them the steps are laid out over the run; to choose them, pass
torch's class with its settings bound.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, cast, get_args

from torch import optim
from torch.optim import lr_scheduler

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._settings import ScheduleName, UsualScheduleName

USUAL_NAMES: dict[UsualScheduleName, ScheduleName] = {
    "step_decay": "step",
    "StepLR": "step",
    "multistep_decay": "multistep",
    "MultiStepLR": "multistep",
    "exponential_decay": "exponential",
    "ExponentialLR": "exponential",
}
SCHEDULES: tuple[ScheduleName, ...] = get_args(ScheduleName)
NEEDS_VALIDATION = (
    "lowers the learning rate by the validation loss, and there are no validation rows: set early_stopping=True or "
    "pass an eval_set to fit, or take another schedule for partial_fit."
)


class LogCycles:
    """Share of the rate in each epoch: four cycles from 0 to 1 and back, each twice as long as the one before.

    Parameters
    ----------
    length : int
        Epochs. A scheduler keeps it in its state, as the attributes of what it calls.
    """

    def __init__(self, length: int) -> None:
        self.length = length

    def __call__(self, epoch: int) -> float:
        share = min((epoch + 0.5) / self.length, 1)
        return (1 - math.cos(2 * math.pi * math.log2(1 + 15 * share))) / 2


class Schedule:
    """A torch scheduler, or none, that is told of the end of each epoch in one way.

    Parameters
    ----------
    scheduler : torch.optim.lr_scheduler.LRScheduler or None
    """

    def __init__(self, scheduler: lr_scheduler.LRScheduler | None) -> None:
        self.scheduler = scheduler

    def step(self, validation_loss: float | None = None) -> None:
        """Set the rate of the next epoch; call it once after each.

        Parameters
        ----------
        validation_loss : float, default=None
            Weighted loss of the validation rows; None when there are none.

        Raises
        ------
        ShiftDataError
            When the scheduler waits for a plateau and there is no validation loss.
        """
        if isinstance(self.scheduler, lr_scheduler.ReduceLROnPlateau):
            if validation_loss is None:
                raise ShiftDataError(f"The schedule {NEEDS_VALIDATION}")
            self.scheduler.step(validation_loss)
        elif self.scheduler is not None:
            self.scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        """What ``load_state_dict`` needs to go on; the current rates belong to the optimiser's own state."""
        return {} if self.scheduler is None else self.scheduler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state. It holds the length of its run too, which wins over this one's ``max_epochs``."""
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state)


def check_schedule(schedule: Any, has_validation: bool = True) -> None:
    """Raise unless it is None, a name or something to call, and has the validation loss that it needs."""
    if not (schedule is None or callable(schedule) or (isinstance(schedule, str) and schedule in SCHEDULES)):
        raise ShiftDataError(
            f"schedule={schedule!r}: None, one of {', '.join(map(repr, SCHEDULES))}, or a class from "
            "torch.optim.lr_scheduler, such as functools.partial(StepLR, step_size=30), is needed."
        )
    if not has_validation and _waits_for_plateau(schedule):
        raise ShiftDataError(f"schedule={schedule!r} {NEEDS_VALIDATION}")


def _waits_for_plateau(schedule: Any) -> bool:
    made_by = schedule.func if isinstance(schedule, partial) else schedule
    if isinstance(made_by, type):
        return issubclass(made_by, lr_scheduler.ReduceLROnPlateau)
    return isinstance(schedule, str) and schedule == "plateau"


def make_schedule(
    schedule: ScheduleName | Callable[..., Any] | None, optimizer: optim.Optimizer, max_epochs: int, patience: int
) -> Schedule:
    """Schedule of an optimiser's learning rate.

    To resume, make it first and load the optimiser's state afterwards, because torch's schedulers set the rate of the
    first epoch when they are made.

    Parameters
    ----------
    schedule : None, str or callable
        None for a constant rate, a name of the table above, or a class that is called with the optimiser alone.
    optimizer : torch.optim.Optimizer
    max_epochs : int
        T of the table.
    patience : int
        Of early stopping; "plateau" waits half as long.

    Returns
    -------
    Schedule

    Raises
    ------
    ShiftDataError
        When the class makes no torch scheduler.
    """
    if schedule is None:
        return Schedule(None)
    if not isinstance(schedule, str):
        return Schedule(_from_class(schedule, optimizer))
    made: lr_scheduler.LRScheduler
    schedule = usual_schedule(schedule)
    if schedule == "step":
        made = lr_scheduler.StepLR(optimizer, step_size=math.ceil(max_epochs / 3), gamma=0.1)
    elif schedule == "multistep":
        milestones = [math.ceil(max_epochs / 2), math.ceil(3 * max_epochs / 4)]
        made = lr_scheduler.MultiStepLR(optimizer, milestones=milestones, gamma=0.1)
    elif schedule == "exponential":
        made = lr_scheduler.ExponentialLR(optimizer, gamma=0.01 ** (1 / max(1, max_epochs - 1)))
    elif schedule == "cosine_log":
        made = lr_scheduler.LambdaLR(optimizer, LogCycles(max_epochs))
    elif schedule == "cosine":
        made = lr_scheduler.CosineAnnealingLR(optimizer, T_max=max_epochs)
    else:
        made = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=max(1, patience // 2))
    return Schedule(made)


def usual_schedule(name: ScheduleName) -> ScheduleName:
    """The schedule that a name, or another usual one of it, stands for."""
    return USUAL_NAMES.get(cast(UsualScheduleName, name), name)


def _from_class(schedule: Callable[..., Any], optimizer: optim.Optimizer) -> lr_scheduler.LRScheduler:
    """The scheduler that a class of the user's makes of the optimiser."""
    try:
        made = schedule(optimizer)
    except TypeError as error:
        raise ShiftDataError(
            f"schedule={schedule!r} cannot be called with the optimiser alone ({error}): bind its settings, as in "
            "functools.partial(StepLR, step_size=30)."
        ) from error
    if not isinstance(made, lr_scheduler.LRScheduler):
        raise ShiftDataError(
            f"schedule={schedule!r} makes a {type(made).__name__}: pass a class from torch.optim.lr_scheduler, "
            "or a function (optimizer) that returns such a scheduler."
        )
    return made


class WarmUp:
    """Linear warm-up: step k = 0, 1, ... of the run uses (k + 1) / n_steps of the scheduled rate, for k < n_steps.

    The schedule works on the full rate, which is set aside before the optimiser's step and put back after it, so that
    neither rounding nor the warm-up itself stays in it. There is no state between steps.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
    n_steps : int
        0 for none.

    References
    ----------
    Goyal et al. (2017), "Accurate, large minibatch SGD", arXiv:1706.02677, section 2.2 (gradual warm-up).
    """

    def __init__(self, optimizer: optim.Optimizer, n_steps: int) -> None:
        self.optimizer = optimizer
        self.n_steps = n_steps
        self._full_rates: list[float] | None = None

    def before_step(self, step: int) -> None:
        """Scale the rates for the step with this number, counted from 0 over the whole run."""
        if step >= self.n_steps:
            return
        groups = self.optimizer.param_groups
        self._full_rates = [group["lr"] for group in groups]
        for group in groups:
            group["lr"] = group["lr"] * ((step + 1) / self.n_steps)

    def after_step(self) -> None:
        """Put the full rates back."""
        if self._full_rates is None:
            return
        for group, rate in zip(self.optimizer.param_groups, self._full_rates, strict=True):
            group["lr"] = rate
        self._full_rates = None
