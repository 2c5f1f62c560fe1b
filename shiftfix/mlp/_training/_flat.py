"""The forward and backward pass of a plain perceptron, written out on parameters that lie in one vector.

With h_0 the rows of a batch, W_k and b_k the parameters of linear layer k, f its activation, m_k the mask of the
dropout behind it (0, or 1 over the share kept) and B the rows of a full batch,

    z_k = h_{k-1} W_k' + b_k,  h_k = m_k f(z_k),  s_K = dl/dz_K, times w_i / B in row i,
    dW_k = s_k' h_{k-1},  db_k = sum of the rows of s_k,  s_{k-1} = m_{k-1} f'(z_{k-1}) (s_k W_k):

Rumelhart, Hinton & Williams (1986), Nature 323:533, equations 4 to 8. For layers of a hundred units the products take
an eighth of a step, and the rest are calls: a graph built and walked, a gradient made and dropped, an optimiser that
looks at every parameter. Here nothing is made twice, and Adam moves all parameters in one call.

The parameters of the module, their gradients and the optimiser's moments become views into the vectors, so that all
that looks at them goes on as it is. Masks come from the layers of the module, in the order in which it would take them.
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn, optim

from shiftfix.mlp._network import Dropout, Linear
from shiftfix.mlp._training._batches import Rows
from shiftfix.mlp._training._diagnostics import LayerNorms
from shiftfix.mlp._training._flat_adam import AdamVectors, is_plain_adam, joined, moments_of, views_of
from shiftfix.mlp._training._slopes import ACTIVATION_RULES, activation_rule, loss_rule

PRECISIONS_WRITTEN_OUT = (torch.float32, torch.float64)
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@dataclass
class Stage:
    """A linear layer and what follows it up to the next one."""

    linear: Any
    activation: nn.Module | None = None
    dropout: Dropout | None = None

    @property
    def parameters(self) -> tuple[nn.Parameter, nn.Parameter]:
        """Weights (n_out, n_in) or (n_models, n_out, n_in), and biases (n_out,) or (n_models, n_out)."""
        return self.linear.weight, self.linear.bias


def is_untouched(layer: nn.Module) -> bool:
    """Whether a layer computes what its class says: nothing hooks into it, and its forward is the class's own."""
    return "forward" not in vars(layer) and not any(getattr(layer, name) for name in HOOKS)


def is_plain_linear(layer: nn.Module) -> bool:
    """Whether a layer computes x W' + b and nothing else."""
    if type(layer) is Linear:
        return not layer.masks.active
    return type(layer) is nn.Linear and layer.bias is not None


def _add_layer(stages: list[Stage], layer: nn.Module) -> bool:
    """Put a layer behind those before it; whether it has a place there."""
    if is_plain_linear(layer):
        stages.append(Stage(layer))
        return True
    if not stages or stages[-1].dropout is not None:
        return False
    if type(layer) is Dropout:
        stages[-1].dropout = layer
        return True
    is_first = stages[-1].activation is None
    stages[-1].activation = layer
    return is_first and type(layer) in ACTIVATION_RULES


def plain_stages(module: nn.Module) -> tuple[Dropout | None, list[Stage]] | None:
    """Dropout of the input, if any, and the stages of a perceptron; None for a module that is something else."""
    if type(module) is not nn.Sequential or not all(map(is_untouched, module.modules())):
        return None
    layers, stages = list(module), list[Stage]()
    before: Any = layers.pop(0) if layers and type(layers[0]) is Dropout else None
    if not all(_add_layer(stages, layer) for layer in layers):
        return None
    ends_linear = bool(stages) and stages[-1].activation is None and stages[-1].dropout is None
    return (before, stages) if ends_linear else None


def _is_trained(parameter: nn.Parameter, like: Tensor) -> bool:
    """Whether autograd and the optimiser treat it like any other, at the one rate of all."""
    hooked = parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None)
    same = (parameter.device, parameter.dtype) == (like.device, like.dtype)
    plain = type(parameter) is nn.Parameter and not hasattr(parameter, "rate") and not hooked
    return same and parameter.requires_grad and parameter.is_leaf and plain


def parameters_of(stages: Sequence[Stage]) -> list[nn.Parameter]:
    """Weights and biases, stage by stage."""
    return [parameter for stage in stages for parameter in stage.parameters]


def fit_together(stages: Sequence[Stage], n_features: int, n_models: int) -> bool:
    """Whether rows of so many features go through the weights, one stage after the other."""
    leading = () if n_models == 1 else (n_models,)
    shapes = [tuple(stage.linear.weight.shape) for stage in stages]
    widths = [n_features, *(shape[-2] for shape in shapes)]
    return shapes == [(*leading, n_out, n_in) for n_in, n_out in pairwise(widths)]


def takes_rows(stages: Sequence[Stage], rows: Any, n_models: int) -> bool:
    """Whether rows (n, n_features) on the CPU go through the stages, all of whose parameters are trained."""
    if not isinstance(rows, Tensor) or rows.ndim != 2 or not fit_together(stages, rows.shape[1], n_models):
        return False
    parameters = parameters_of(stages)
    is_known = rows.device.type == "cpu" and rows.dtype in PRECISIONS_WRITTEN_OUT
    return is_known and len(set(parameters)) == len(parameters) and all(_is_trained(p, rows) for p in parameters)


def active(dropout: Dropout | None) -> Dropout | None:
    """A dropout that can drop something, else None."""
    return dropout if dropout is not None and dropout.masks.active else None


class Place:
    """What a stage writes into for batches of one size: outputs, values passed on, slopes of the outputs."""

    def __init__(self, stage: "WrittenStage", shape: torch.Size) -> None:
        self.z = stage.weight.new_empty(*shape, stage.weight.shape[-2])
        self.h = torch.empty_like(self.z) if stage.writes_twice else self.z
        self.mask = self.z
        self.slopes = torch.empty_like(self.z)
        self.slopes_t = self.slopes.mT
        # A product with ones is the faster sum, of a matrix.
        self.ones = self.z.new_ones(shape) if len(shape) == 1 else None


class WrittenStage:
    """A stage whose parameters and gradients are views into vectors, and its two passes.

    Behind a ReLU one call drops and rectifies, min(max(z, 0), m) with m = 0 for a unit that is dropped, and the largest
    number for one that is kept; the factor of the latter, 1 over the share kept, waits for the products that follow.

    Parameters
    ----------
    stage : Stage
    values, slopes : sequence of two Tensors
        Views for its weights and biases, and for their gradients.
    scale : float
        Factor of the rows that come in.
    """

    def __init__(self, stage: Stage, values: Sequence[Tensor], slopes: Sequence[Tensor], scale: float) -> None:
        self.weight, bias = values
        self.weight_t = self.weight.mT
        self.bias = bias.unsqueeze(1) if bias.ndim == 2 else bias
        self.weight_slopes, self.bias_slopes = slopes
        self.products = torch.addmm if bias.ndim == 1 else torch.baddbmm
        self.layer = stage.linear if stage.activation is None else stage.activation
        self.rule = activation_rule(stage.activation)
        self.dropout = active(stage.dropout)
        self.clamps = self.rule.is_switch and self.dropout is not None
        self.writes_twice = not self.rule.is_switch and not (self.rule.keeps_value and self.dropout is None)
        self.scale = scale
        self.scale_on = self.dropout.masks.scale if self.clamps and self.dropout is not None else 1.0
        self.zero, self.most = self.weight.new_zeros(()), torch.finfo(self.weight.dtype).max

    def forward(self, x: Tensor, place: Place, watch: Callable[[Tensor], Any] | None) -> Tensor:
        """Values passed on to the next stage, of rows x."""
        z = place.z
        self.products(self.bias, x, self.weight_t, alpha=self.scale, out=z)
        if self.clamps and self.dropout is not None:
            if watch is not None:
                watch(z.relu())
            return z.clamp_(self.zero, self.dropout.masks.take(z, self.dropout.generator, self.most))
        value = z if self.rule.keeps_value else place.h
        self.rule.value(z, value)
        if watch is not None:
            watch(value)
        return value if self.dropout is None else self._drop(value, place, self.dropout)

    def _drop(self, value: Tensor, place: Place, dropout: Dropout) -> Tensor:
        """Values times a mask that the backward pass finds again."""
        place.mask = dropout.masks.take(value, dropout.generator)
        return torch.mul(value, place.mask, out=place.h)

    def backward(self, place: Place, x: Tensor) -> None:
        """Slopes of the parameters, from those of z and the rows x that came in."""
        self.products(self.weight_slopes, place.slopes_t, x, beta=0, alpha=self.scale, out=self.weight_slopes)
        if place.ones is None:
            torch.sum(place.slopes, -2, out=self.bias_slopes)
        else:
            torch.mv(place.slopes_t, place.ones, out=self.bias_slopes)

    def pull(self, place: Place, slopes: Tensor, weight: Tensor) -> None:
        """Slopes of z, from those of the next stage's and its weights."""
        own = place.slopes
        self.products(own, slopes, weight, beta=0, alpha=self.scale_on, out=own)
        if self.dropout is not None and not self.clamps:
            own.mul_(place.mask)
        self.rule.multiply(own, place.z)


class FlatStep:
    """One gradient step of a plain perceptron, without autograd.

    Parameters
    ----------
    before : Dropout or None
        On the rows.
    stages : list of Stage
        Their parameters become views into a vector, until :meth:`release`.
    loss : callable
        As in ``_losses``.
    optimizer : torch.optim.Optimizer
        Any; Adam and AdamW with torch's fused kernel move the vector at once from their second step on.
    """

    def __init__(
        self, before: Dropout | None, stages: list[Stage], loss: Callable[..., Any], optimizer: optim.Optimizer
    ) -> None:
        self.given = (before, stages)
        self.loss = loss
        self.before = active(before)
        self.rule = loss_rule(loss)
        self.optimizer = optimizer
        self.parameters = parameters_of(stages)
        self.values = joined(self.parameters)
        self.slopes = torch.zeros_like(self.values)
        self.value_views = views_of(self.values, self.parameters)
        self.slope_views = views_of(self.slopes, self.parameters)
        self.stages: list[WrittenStage] = []
        for stage, i in zip(stages, range(0, len(self.parameters), 2), strict=True):
            scale = self.stages[-1].scale_on if self.stages else 1.0
            self.stages.append(WrittenStage(stage, self.value_views[i : i + 2], self.slope_views[i : i + 2], scale))
        self.is_single = self.parameters[0].ndim == 2
        self.places: dict[torch.Size, list[Place]] = {}
        self.moments: AdamVectors | None = None

    def serves(
        self, before: Dropout | None, stages: list[Stage], loss: Callable[..., Any], optimizer: optim.Optimizer
    ) -> bool:
        """Whether it was made for these layers and parameters, this loss and this optimiser."""
        same = self.given == (before, stages) and all(map(operator.is_, self.parameters, parameters_of(stages)))
        return same and self.loss is loss and self.optimizer is optimizer

    def bind(self) -> None:
        """Make the parameters, their gradients and Adam's moments views into the vectors, where they are not."""
        for parameter, value, slope in zip(self.parameters, self.value_views, self.slope_views, strict=True):
            if parameter.data_ptr() != value.data_ptr():
                value.copy_(parameter.detach())
                parameter.data = value
            parameter.grad = slope
        if self.moments is None or not (self.moments.hold() and is_plain_adam(self.optimizer)):
            self.moments = moments_of(self.optimizer, self.parameters)

    def prepared(self, rows: Rows, batch_size: int, weighted: bool) -> Rows:
        """All rows as :meth:`gradients` takes them, with w_i or 1 over the batch size in the place of w_i."""
        weight = rows.weight if weighted else torch.ones_like(rows.weight)
        share = (weight.to(self.values.dtype) / batch_size).unsqueeze(1)
        return Rows(rows.X, *self.rule.prepare(rows.y, share))

    def gradients(self, batch: Rows, norms: LayerNorms | None = None) -> Tensor:
        """Write the gradient of sum(w_i l_i) / batch_size; returns losses for :meth:`losses`.

        Parameters
        ----------
        batch : Rows
            Of those prepared: X of shape (n_rows, n_features) or (n_models, n_rows, n_features).
        norms : LayerNorms or None
            Sees the values of each stage, if given.
        """
        X, y, share = batch.X, batch.y, batch.weight
        assert isinstance(X, Tensor)
        places = self._places(X.shape[:-1])
        inputs = [X if self.before is None else X * self.before.masks.take(X, self.before.generator)]
        for k, (stage, place) in enumerate(zip(self.stages, places, strict=True)):
            watch = None if norms is None else partial(norms.see, norms.names[k], stage.layer)
            inputs.append(stage.forward(inputs[-1], place, watch))
        outputs, last = inputs.pop(), places[-1]
        if self.is_single:
            losses, last.slopes = self.rule.slope(outputs, y, share)
        else:
            losses, slopes = self.rule.slope(outputs.flatten(0, 1), y.flatten(0, 1), share.flatten(0, 1))
            losses, last.slopes = losses.view(X.shape[:-1]), slopes.view(outputs.shape)
        last.slopes_t = last.slopes.mT
        self._pull_back(places, inputs)
        return losses

    def losses(self, parts: Sequence[Tensor]) -> Tensor:
        """Losses of all rows, (n,) or (n_models, n), from what :meth:`gradients` returned for each batch."""
        joint = torch.cat(list(parts)).squeeze(1) if self.is_single else torch.cat(list(parts), dim=-1)
        return joint * self.rule.sign

    def _places(self, shape: torch.Size) -> list[Place]:
        found = self.places.get(shape)
        if found is None:
            found = self.places[shape] = [Place(stage, shape) for stage in self.stages]
        return found

    def _pull_back(self, places: list[Place], inputs: list[Tensor]) -> None:
        """The backward pass, from the slopes of the outputs on."""
        for k in range(len(places) - 1, 0, -1):
            self.stages[k].backward(places[k], inputs[k])
            self.stages[k - 1].pull(places[k - 1], places[k].slopes, self.stages[k].weight)
        self.stages[0].backward(places[0], inputs[0])

    def step(self) -> None:
        """Move the parameters by the optimiser."""
        if self.moments is not None:
            self.moments.move(self.values, self.slopes)
        else:
            self.optimizer.step()
            self.moments = moments_of(self.optimizer, self.parameters)

    def release(self) -> None:
        """Give each parameter and moment a place of its own: pickled, each view would take its whole vector along."""
        for parameter in self.parameters:
            parameter.data, parameter.grad = parameter.data.clone(), None
            state = self.optimizer.state.get(parameter, {})
            state.update({name: value.clone() for name, value in state.items() if isinstance(value, Tensor)})


def flat_step(
    module: nn.Module,
    loss: Callable[..., Any],
    optimizer: optim.Optimizer,
    rows: Any,
    n_models: int = 1,
    autocast: torch.dtype | None = None,
    before: FlatStep | None = None,
) -> FlatStep | None:
    """The written-out step for a module, or None where autograd has to make the gradients.

    Taken are ``nn.Sequential`` of linear layers, the activations of ``ACTIVATION_RULES`` and our dropout, in float32 or
    float64 on the CPU, with every parameter trained at one rate and nothing hooked in; any loss and any optimiser.
    Batch norm, noise, dropped weights, frozen layers, rates by group as a preset has them, lower precision, other
    devices and other modules are left to autograd.

    Parameters
    ----------
    module : torch.nn.Module
    loss : callable
    optimizer : torch.optim.Optimizer
    rows : Tensor of shape (n, n_features)
        Some that are like those to come.
    n_models : int, default=1
    autocast : torch.dtype or None, default=None
    before : FlatStep, default=None
        That of the epoch before, which is kept when nothing has changed since.
    """
    layers = None if autocast is not None else plain_stages(module)
    if layers is not None and not takes_rows(layers[1], rows, n_models):
        layers = None
    if before is not None and (layers is None or not before.serves(*layers, loss, optimizer)):
        before.release()
        before = None
    if layers is None:
        return None
    step = FlatStep(*layers, loss, optimizer) if before is None else before
    step.bind()
    return step
