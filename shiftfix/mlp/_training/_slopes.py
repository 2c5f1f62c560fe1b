"""Values and slopes of activations and losses in closed form, for a backward pass that is written out.

With z what a layer puts out, l_i the loss of row i, y_i its target and u_i its weight over the rows of a batch:

=================  ==================================  ==========================================
``relu``           max(z, 0)                           1 where z > 0, else 0
``tanh``           a = tanh(z)                         1 - a^2
``sigmoid``        a = 1 / (1 + e^-z)                  a (1 - a)
``softsign``       z / (1 + abs(z))                    1 / (1 + abs(z))^2
other activations  by torch's kernels                  by torch's kernels
cross entropy      l = -log softmax(z)_y               dl/dz = softmax(z) - e_y
its binary form    l = log(1 + e^z) - y z              dl/dz = 1 / (1 + e^-z) - y
squared error      l = mean_j (z_j - y_j)^2            dl/dz_j = 2 (z_j - y_j) / (number of outputs)
=================  ==================================  ==========================================

Any other loss is differentiated by autograd, from the outputs on only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from shiftfix.mlp._training._losses import (
    binary_cross_entropy,
    check_row_losses,
    cross_entropy,
    squared_error,
)

ATEN: Any = torch.ops.aten
# alpha and lambda of Klambauer et al. (2017), NIPS, equation 14.
SELU = (1.6732632423543772, 1.0507009873554805)


@dataclass(frozen=True)
class ActivationRule:
    """An activation f and its slope.

    Parameters
    ----------
    value : callable
        ``value(z, out)`` writes f(z) into ``out``, or over z where it keeps the value.
    multiply : callable
        ``multiply(slopes, kept)`` multiplies slopes with respect to f(z) by f'(z), in place; ``kept`` may be spent.
    keeps_value : bool, default=True
        Whether ``kept`` is f(z), written over z, and not z.
    is_switch : bool, default=False
        Whether f' is 0 where f is 0 and 1 elsewhere: then it can be read off values that were dropped or scaled.
    """

    value: Callable[[Tensor, Tensor], Any]
    multiply: Callable[[Tensor, Tensor], Any]
    keeps_value: bool = True
    is_switch: bool = False


def _switch(slopes: Tensor, kept: Tensor) -> Any:
    # What is kept is at least 0 and not needed any more. Two calls of methods are faster than torch's own kernel, which
    # Python reaches by a detour only.
    slopes.mul_(kept.sign_())


def _identity(_: nn.Identity | None) -> ActivationRule:
    return ActivationRule(lambda z, _: z, lambda slopes, _: slopes)


def _relu(_: nn.ReLU) -> ActivationRule:
    return ActivationRule(lambda z, _: z.relu_(), _switch, is_switch=True)


def _tanh(_: nn.Tanh) -> ActivationRule:
    backward = ATEN.tanh_backward.grad_input
    return ActivationRule(lambda z, _: z.tanh_(), lambda s, a: backward(s, a, grad_input=s))


def _sigmoid(_: nn.Sigmoid) -> ActivationRule:
    backward = ATEN.sigmoid_backward.grad_input
    return ActivationRule(lambda z, _: z.sigmoid_(), lambda s, a: backward(s, a, grad_input=s))


def _leaky_relu(layer: nn.LeakyReLU) -> ActivationRule:
    forward, backward, low = ATEN.leaky_relu.out, ATEN.leaky_relu_backward.grad_input, layer.negative_slope
    return ActivationRule(
        lambda z, out: forward(z, low, out=out), lambda s, z: backward(s, z, low, False, grad_input=s), False
    )


def _gelu(layer: nn.GELU) -> ActivationRule:
    forward, backward, way = ATEN.gelu.out, ATEN.gelu_backward.grad_input, layer.approximate
    return ActivationRule(
        lambda z, out: forward(z, approximate=way, out=out),
        lambda s, z: backward(s, z, approximate=way, grad_input=s),
        False,
    )


def _elu(layer: nn.ELU) -> ActivationRule:
    forward, backward, alpha = ATEN.elu.out, ATEN.elu_backward.grad_input, layer.alpha
    return ActivationRule(
        lambda z, out: forward(z, alpha, out=out), lambda s, z: backward(s, alpha, 1, 1, False, z, grad_input=s), False
    )


def _selu(_: nn.SELU) -> ActivationRule:
    forward, backward = ATEN.elu.out, ATEN.elu_backward.grad_input
    return ActivationRule(
        lambda z, out: forward(z, *SELU, out=out), lambda s, z: backward(s, *SELU, 1, False, z, grad_input=s), False
    )


def _softsign(_: nn.Softsign) -> ActivationRule:
    return ActivationRule(
        lambda z, out: torch.div(z, z.abs().add_(1), out=out), lambda s, z: s.div_(z.abs().add_(1).square_()), False
    )


def _silu(_: nn.SiLU) -> ActivationRule:
    forward, backward = ATEN.silu.out, ATEN.silu_backward.grad_input
    return ActivationRule(lambda z, out: forward(z, out=out), lambda s, z: backward(s, z, grad_input=s), False)


def _mish(_: nn.Mish) -> ActivationRule:
    forward, backward = ATEN.mish.out, ATEN.mish_backward.default
    return ActivationRule(lambda z, out: forward(z, out=out), lambda s, z: s.copy_(backward(s, z)), False)


def _softplus(layer: nn.Softplus) -> ActivationRule:
    forward, backward, shape = ATEN.softplus.out, ATEN.softplus_backward.grad_input, (layer.beta, layer.threshold)
    return ActivationRule(
        lambda z, out: forward(z, *shape, out=out), lambda s, z: backward(s, z, *shape, grad_input=s), False
    )


# By class, and by no class made of it, which may compute something else.
ACTIVATION_RULES: dict[type[nn.Module], Callable[[Any], ActivationRule]] = {
    nn.Identity: _identity,
    nn.ReLU: _relu,
    nn.LeakyReLU: _leaky_relu,
    nn.GELU: _gelu,
    nn.Tanh: _tanh,
    nn.Sigmoid: _sigmoid,
    nn.ELU: _elu,
    nn.SELU: _selu,
    nn.Softsign: _softsign,
    nn.SiLU: _silu,
    nn.Mish: _mish,
    nn.Softplus: _softplus,
}


def activation_rule(layer: nn.Module | None) -> ActivationRule:
    """The rule of a layer whose class is in the table; that of the identity for None."""
    return _identity(None) if layer is None else ACTIVATION_RULES[type(layer)](layer)


@dataclass(frozen=True)
class LossRule:
    """A loss and its slope, of outputs (n, n_outputs), targets (n, ...) and shares (n, 1): weights over the batch size.

    Parameters
    ----------
    slope : callable
        ``slope(z, y, share)`` gives losses (n, 1), up to ``sign``, and the slopes of their weighted sum in z. It may
        write over z.
    prepare : callable
        ``prepare(y, share)`` gives both as ``slope`` takes them, of all rows.
    sign : float, default=1.0
        Factor of the losses that is left to their user.
    """

    slope: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
    prepare: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    sign: float = 1.0


def _cross_entropy_slope(z: Tensor, y: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    log_p = torch.log_softmax(z, 1, out=z)
    likelihood = log_p.gather(1, y)
    return likelihood, log_p.exp_().scatter_add_(1, y, torch.full_like(share, -1.0)).mul_(share)


def _binary_cross_entropy_slope(z: Tensor, y: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    losses = functional.binary_cross_entropy_with_logits(z, y, reduction="none")
    return losses, z.sigmoid_().sub_(y).mul_(share)


def _squared_error_slope(z: Tensor, y: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    squares = z.sub_(y).square()
    return squares if squares.shape[1] == 1 else squares.mean(dim=1, keepdim=True), z.mul_(share)


def _by_autograd(loss: Callable[..., Any]) -> LossRule:
    def slope(z: Tensor, y: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            leaf = z.detach().requires_grad_()
            losses = loss(leaf.clone(), y)  # a loss may write over what it is given, which a leaf does not take
            check_row_losses(losses, len(z))
            torch.dot(losses, share.flatten().to(losses.dtype)).backward()
        assert leaf.grad is not None
        return losses.detach().unsqueeze(1), leaf.grad

    return LossRule(slope, lambda y, share: (y, share))


LOSS_RULES: dict[Callable[..., Any], LossRule] = {
    cross_entropy: LossRule(_cross_entropy_slope, lambda y, share: (y.unsqueeze(1), share), -1.0),
    binary_cross_entropy: LossRule(
        _binary_cross_entropy_slope, lambda y, share: (y.to(share.dtype).unsqueeze(1), share)
    ),
    squared_error: LossRule(_squared_error_slope, lambda y, share: (y, share * (2 / y.shape[1]))),
}


def loss_rule(loss: Callable[..., Any]) -> LossRule:
    """The rule of a loss: that of the table, or autograd's from the outputs on."""
    found = [rule for known, rule in LOSS_RULES.items() if known is loss]
    return found[0] if found else _by_autograd(loss)
