"""Values and slopes of activations and losses in closed form, for a backward pass that is written out.

With z what a layer puts out, l_i the loss of row i, y_i its target and u_i its weight over the rows of a batch:

=================  ==================================  ==========================================
``relu``           max(z, 0)                           1 where z > 0, else 0
``tanh``           a = tanh(z)                         1 - a^2
``sigmoid``        a = 1 / (1 + e^-z)                  a (1 - a)
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
# Arguments of torch's negative log likelihood: no weights of classes, one loss per row, the class that is left out.
NLL = (None, 0, -100)


@dataclass(frozen=True)
class ActivationRule:
    """An activation f and its slope.

    Parameters
    ----------
    value : callable
        ``value(z, out)`` writes f(z) into ``out``, or over z where it keeps the value.
    multiply : callable
        ``multiply(slopes, kept)`` multiplies slopes with respect to f(z) by f'(z), in place.
    keeps_value : bool, default=True
        Whether ``kept`` is f(z), written over z, and not z.
    is_switch : bool, default=False
        Whether f' is 0 where f is 0 and 1 elsewhere: then it can be read off values that were dropped or scaled.
    """

    value: Callable[[Tensor, Tensor], Any]
    multiply: Callable[[Tensor, Tensor], Any]
    keeps_value: bool = True
    is_switch: bool = False


def _threshold(slopes: Tensor, kept: Tensor) -> Any:
    return ATEN.threshold_backward.grad_input(slopes, kept, 0, grad_input=slopes)


def _relu(_: nn.ReLU) -> ActivationRule:
    return ActivationRule(lambda z, _: z.relu_(), _threshold, is_switch=True)


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
ACTIVATION_RULES: dict[type[nn.Module], Callable[[Any], ActivationRule | None]] = {
    nn.Identity: lambda _: None,
    nn.ReLU: _relu,
    nn.LeakyReLU: _leaky_relu,
    nn.GELU: _gelu,
    nn.Tanh: _tanh,
    nn.Sigmoid: _sigmoid,
    nn.ELU: _elu,
    nn.SiLU: _silu,
    nn.Mish: _mish,
    nn.Softplus: _softplus,
}

# Of outputs (n, n_outputs), targets (n, ...) and weights (n,): losses (n,) and their weighted slopes (n, n_outputs).
LossSlope = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def _cross_entropy_slope(z: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    log_p = torch.log_softmax(z, 1, out=z)
    losses, total = ATEN.nll_loss_forward.default(log_p, y, *NLL)
    slopes = ATEN.nll_loss_backward.default(weight, log_p, y, *NLL, total)
    return losses, ATEN._log_softmax_backward_data.default(slopes, log_p, 1, z.dtype)


def _binary_cross_entropy_slope(z: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    share = y.to(z.dtype)
    losses = functional.binary_cross_entropy_with_logits(z.squeeze(1), share, reduction="none")
    return losses, z.sigmoid_().sub_(share.unsqueeze(1)).mul_(weight.unsqueeze(1))


def _squared_error_slope(z: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    losses = squared_error(z, y)
    return losses, z.sub_(y).mul_((weight * (2 / z.shape[1])).unsqueeze(1))


def _by_autograd(loss: Callable[..., Any]) -> LossSlope:
    def slope(z: Tensor, y: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            leaf = z.detach().requires_grad_()
            losses = loss(leaf.clone(), y)  # a loss may write over what it is given, which a leaf does not take
            check_row_losses(losses, len(z))
            torch.dot(losses, weight).backward()
        assert leaf.grad is not None
        return losses.detach(), leaf.grad

    return slope


def loss_slope(loss: Callable[..., Any]) -> LossSlope:
    """The function that returns the losses of rows, and the slopes of their weighted sum in the outputs.

    It may write over the outputs that it is given.
    """
    known: dict[Any, LossSlope] = {
        cross_entropy: _cross_entropy_slope,
        binary_cross_entropy: _binary_cross_entropy_slope,
        squared_error: _squared_error_slope,
    }
    try:
        found = known.get(loss)
    except TypeError:  # an object of the user's that has no hash
        found = None
    return _by_autograd(loss) if found is None else found
