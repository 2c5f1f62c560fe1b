"""Optimisers by name: those of ``torch.optim``, and LARS.

=====================  ===========================================  ==========================================
``sgd``                w <- w - lr g
``momentum``           v <- 0.9 v + g, w <- w - lr v                Polyak (1964)
``averaged_momentum``  v <- 0.9 v + 0.1 g, w <- w - lr v            Polyak's, of a tenth of the rate
``nesterov``           that of momentum, w <- w - lr (g + 0.9 v)    Sutskever et al. (2013), ICML
``adagrad``            lr / (sqrt(sum g^2) + 1e-10)                 Duchi, Hazan & Singer (2011), JMLR 12:2121
``rmsprop``            s <- 0.99 s + 0.01 g^2, lr / (sqrt(s) + eps)  Tieleman & Hinton (2012)
``adam``               both averages, corrected at the start        Kingma & Ba (2015), ICLR, algorithm 1
``adamw``              the same with decoupled weight decay 0.01    Loshchilov & Hutter (2019), ICLR, algorithm 2
``lars``               a rate per layer                             You, Gitman & Ginsburg (2017), algorithm 1
=====================  ===========================================  ==========================================

The 0.9 up to lars, and the 0.99 of rmsprop, are the setting ``running_decay``; ``eps`` is 1e-10 for adagrad and 1e-8
for the others. It stands beside the root, not below it: texts that divide by sqrt(s + eps) mean the square of ours.

Adam's averages start at 0, and the division by 1 - beta^t takes that out. A text that leaves it out takes a first step
of (1 - 0.9) / sqrt(1 - 0.999) = 3.2 times the rate where this one takes 1, and no setting brings that back.

Where torch has a fused kernel for the device and the precision, it is used: the same rule in one pass over each
parameter, in a third of the time for small layers. It reads gradients in the order of memory, so a gradient set by hand
must have the strides of its parameter, as autograd's have.
"""

import contextlib
import importlib
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import optim

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._settings import OptimizerName, Steps


def lengths(values: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    """Norm of values shaped like a parameter: a scalar, or one per model of a stacked one, to broadcast against it."""
    if not getattr(parameter, "stacked", False):
        return torch.linalg.vector_norm(values)
    return torch.linalg.vector_norm(values.flatten(1), dim=1).view(-1, *[1] * (values.ndim - 1))


class LARS(optim.Optimizer):
    """Layer-wise adaptive rate scaling: each parameter moves by a share of its own length.

    v <- momentum v + lr lambda (g + weight_decay w),  w <- w - v,
    lambda = trust |w| / (|g| + weight_decay |w|) for weight matrices, and trust itself for biases, the scales of batch
    norm, and where w or g is 0: a bias starts at 0, and its length says nothing of how far it should move.

    Parameters
    ----------
    params : iterable of torch.Tensor
        One with the attribute ``stacked = True`` holds a parameter of several models along its first dimension, and
        each of them has its own lengths and so its own rate. ``copy.deepcopy`` drops the attribute.
    lr : float
    momentum : float, default=0.9
    weight_decay : float, default=0.0
    trust : float, default=0.001
        eta of the source: the share of its length that a layer may move per unit of lr.

    References
    ----------
    You, Gitman & Ginsburg (2017), "Large batch training of convolutional networks", arXiv:1708.03888, algorithm 1.
    """

    def __init__(
        self,
        params: Iterable[torch.Tensor],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 0.001,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One update of all parameters that have a gradient; returns what ``closure`` returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for w in group["params"]:
                if w.grad is not None:
                    self._move(w, w.grad, **{name: group[name] for name in ("lr", "momentum", "weight_decay", "trust")})
        return loss

    def _move(
        self, w: torch.Tensor, gradient: torch.Tensor, lr: float, momentum: float, weight_decay: float, trust: float
    ) -> None:
        length, slope = lengths(w, w), lengths(gradient, w)
        decayed = gradient + weight_decay * w
        rate = trust * length / (slope + weight_decay * length)
        is_matrix = w.ndim - int(getattr(w, "stacked", False)) >= 2
        rate = torch.where((length > 0) & (slope > 0) & is_matrix, rate, torch.full_like(rate, trust))
        velocity = self.state[w].setdefault("velocity", torch.zeros_like(w))
        velocity.mul_(momentum).add_(lr * rate * decayed)
        w.sub_(velocity)


class AveragedMomentum(optim.Optimizer):
    """Steps along the running average of the gradients: v <- momentum v + (1 - momentum) g, w <- w - lr v, v = 0 first.

    With a constant rate this is ``momentum`` with the rate times 1 - momentum: a sum of gradients is 1 / (1 - momentum)
    times their average. torch's ``dampening`` leaves the first gradient whole, which this does not.

    Parameters
    ----------
    params : iterable of torch.Tensor
    lr : float
    momentum : float in [0, 1), default=0.9
    """

    def __init__(self, params: Iterable[torch.Tensor], lr: float, momentum: float = 0.9) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One update of all parameters that have a gradient; returns what ``closure`` returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for w in group["params"]:
                if w.grad is not None:
                    state = self.state[w]
                    average = state["average"] if "average" in state else torch.zeros_like(w)
                    state["average"] = average.lerp_(w.grad, 1 - group["momentum"])
                    w.sub_(average, alpha=group["lr"])
        return loss


OPTIMIZERS: dict[OptimizerName, Callable[..., Any]] = {
    "sgd": optim.SGD,
    "momentum": partial(optim.SGD, momentum=0.9),
    "averaged_momentum": AveragedMomentum,
    "nesterov": partial(optim.SGD, momentum=0.9, nesterov=True),
    "adagrad": optim.Adagrad,
    "rmsprop": optim.RMSprop,
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "lars": LARS,
}
COMPILER_FOLDER = "TORCHINDUCTOR_CACHE_DIR"
LOADING = threading.Lock()
FUSED = ("sgd", "momentum", "nesterov", "adagrad", "adam", "adamw")


def has_fused(make: Callable[..., Any], parameters: Iterable[torch.Tensor]) -> bool:
    """Whether torch has a fused kernel of an optimiser for the device and precision of each parameter.

    That depends on the release of torch too, and some optimisers tell only at their first step, so one is made.
    """
    try:
        for device, dtype in {(parameter.device, parameter.dtype) for parameter in parameters}:
            probe = torch.zeros(1, device=device, dtype=dtype, requires_grad=True)
            probe.grad = torch.zeros_like(probe)
            make([probe], lr=0.0, fused=True).step()
    except RuntimeError:
        return False
    return True


def temporary_folders() -> set[str] | None:
    """Paths of what is among the temporary files; None where nobody may look."""
    try:
        return {entry.path for entry in os.scandir(tempfile.gettempdir())}
    except OSError:
        return None


def load_compiler() -> None:
    """Load torch's compiler, as every optimiser of torch does, without what that leaves outside.

    These are an environment variable, a filter of warnings, and an empty folder among the temporary files.
    """
    if "torch._dynamo" in sys.modules:
        return
    given, before = os.environ.get(COMPILER_FOLDER), temporary_folders()
    with LOADING, warnings.catch_warnings():
        importlib.import_module("torch._dynamo")
        made = os.environ.pop(COMPILER_FOLDER, None) if given is None else None
    if before is not None and made is not None and made not in before:
        with contextlib.suppress(OSError):  # it is in use
            os.rmdir(made)


def options_of(steps: Steps) -> dict[str, float]:
    """What an optimizer by name is made with beside its rate, by torch's names: the settings that are not None."""
    given = {"momentum": steps.running_decay, "eps": steps.eps}
    if steps.optimizer == "rmsprop":
        given["alpha"] = given.pop("momentum")
    return {name: float(value) for name, value in given.items() if value is not None}


def by_rate(parameters: Iterable[torch.Tensor], learning_rate: float) -> Any:
    """The parameters as they are, or in groups where some are marked with a ``rate``, a multiple of the learning rate.

    A group keeps its multiple under "multiple".
    """
    parameters = list(parameters)
    groups: dict[float, list[torch.Tensor]] = {}
    for parameter in parameters:
        groups.setdefault(getattr(parameter, "rate", 1.0), []).append(parameter)
    if set(groups) <= {1.0}:
        return parameters
    return [{"params": members, "lr": learning_rate * rate, "multiple": rate} for rate, members in groups.items()]


def base_rate(optimizer: optim.Optimizer) -> float:
    """The learning rate as scheduled, without the multiples of the groups."""
    group = optimizer.param_groups[0]
    return group["lr"] / group.get("multiple", 1.0)


def make_optimizer(
    optimizer: OptimizerName | Callable[..., Any],
    parameters: Iterable[torch.Tensor],
    learning_rate: float,
    options: Mapping[str, float] | None = None,
) -> optim.Optimizer:
    """Optimiser of an iterable of parameters, from a name or a class that takes ``lr``; ``options`` are of the named.

    Raises
    ------
    ShiftDataError
        When the class makes no torch optimiser.
    """
    load_compiler()
    found: Callable[..., Any] = optimizer if callable(optimizer) else partial(OPTIMIZERS[optimizer], **(options or {}))
    if isinstance(optimizer, str):
        parameters = list(parameters)
        if optimizer in FUSED and has_fused(found, parameters):
            found = partial(found, fused=True)
    # torch takes no whole number beyond 64 bits
    made = found(by_rate(parameters, float(learning_rate)), lr=float(learning_rate))
    if not isinstance(made, optim.Optimizer):
        raise ShiftDataError(
            f"optimizer={optimizer!r} makes a {type(made).__name__}: pass a class from torch.optim, or a function "
            "(parameters, lr) that returns an optimiser."
        )
    return made
