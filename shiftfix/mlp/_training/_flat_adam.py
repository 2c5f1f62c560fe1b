"""Adam on all parameters at once, with its moments in two vectors.

The rule is that of torch's fused kernel, for ``torch.optim.Adam`` and ``AdamW``: Kingma & Ba (2015), ICLR, algorithm 1,
and Loshchilov & Hutter (2019), ICLR, algorithm 2. The optimiser stays: its state looks into the vectors, its learning
rate, which schedules set, is read at every step, and its own step can follow on one of these at any time.
"""

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn, optim

# What a group of Adam must say: the kernel for one vector has no place for more.
PLAIN_ADAM = {"fused": True, "amsgrad": False, "maximize": False, "capturable": False, "differentiable": False}
STATE = ("exp_avg", "exp_avg_sq", "step")


def views_of(vector: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    """Parts of a vector with the shapes of parameters, one behind the other."""
    parts = vector.split([parameter.numel() for parameter in parameters])
    return [part.view(parameter.shape) for part, parameter in zip(parts, parameters, strict=True)]


def joined(tensors: Sequence[Tensor]) -> Tensor:
    """All numbers of tensors in one vector."""
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


class AdamVectors:
    """Adam's moments of all parameters in two vectors, which the optimiser's own state is made to look into.

    Parameters
    ----------
    optimizer : torch.optim.Adam
    parameters : sequence of Parameter
        With a state each, at one number of steps.
    """

    def __init__(self, optimizer: optim.Optimizer, parameters: Sequence[nn.Parameter]) -> None:
        self.optimizer = optimizer
        self.parameters = parameters
        self.states: list[dict[str, Tensor]] = [optimizer.state[parameter] for parameter in parameters]
        first, second = (joined([state[name] for state in self.states]) for name in STATE[:2])
        # One number of steps for each parameter, as the optimiser's own step adds to each.
        self.steps = torch.stack([state["step"] for state in self.states])
        self.arguments: tuple[list[Tensor], ...] = ([first], [second], [], [self.steps[0]])
        parts = (views_of(first, parameters), views_of(second, parameters), self.steps.unbind())
        self.views = list(zip(*parts, strict=True))
        for state, views in zip(self.states, self.views, strict=True):
            state.update(zip(STATE, views, strict=True))

    def hold(self) -> bool:
        """Whether the optimiser's state still looks into these vectors; it does not when another one was loaded."""
        return all(
            self.optimizer.state.get(parameter) is state and all(map(operator.is_, map(state.get, STATE), views))
            for parameter, state, views in zip(self.parameters, self.states, self.views, strict=True)
        )

    def move(self, values: Tensor, slopes: Tensor) -> None:
        """One step of Adam, or of AdamW, on a vector of parameters and its gradient."""
        group = self.optimizer.param_groups[0]
        beta1, beta2 = group["betas"]
        self.steps.add_(1)
        decoupled = isinstance(self.optimizer, optim.AdamW) or group.get("decoupled_weight_decay")
        kernel: Any = torch._fused_adamw_ if decoupled else torch._fused_adam_
        kernel(
            [values],
            [slopes],
            *self.arguments,
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )


def is_plain_adam(optimizer: optim.Optimizer) -> bool:
    """Whether it is torch's fused Adam or AdamW for all parameters alike, and nothing hooks into its steps."""
    groups = optimizer.param_groups
    if type(optimizer) not in (optim.Adam, optim.AdamW) or len(groups) != 1 or isinstance(groups[0]["lr"], Tensor):
        return False
    hooked = optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks
    return not hooked and all(groups[0].get(name, False) == value for name, value in PLAIN_ADAM.items())


def moments_of(optimizer: optim.Optimizer, parameters: Sequence[nn.Parameter]) -> AdamVectors | None:
    """The moments of a plain Adam in vectors; None for another optimiser, before its first step, and out of step."""
    if not is_plain_adam(optimizer):
        return None
    steps = {float(optimizer.state.get(parameter, {}).get("step", -1)) for parameter in parameters}
    return AdamVectors(optimizer, parameters) if len(steps) == 1 and min(steps) >= 0 else None
