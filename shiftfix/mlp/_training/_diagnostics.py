"""What an epoch tells: weighted and unweighted loss, whether the weights still act, and the norms of each layer.

The pull of the weights. Weights change a fit through sum (w_i - 1) dl_i: a row whose loss has nothing left to lose is
not moved, whatever its weight. Its size is measured by

    pull = sum_i |w_i - 1| (l_i - floor) / sum_i |w_i - 1|

and ``weight_effect`` is the pull of an epoch over that of the network the training started from: about 1 at the start,
the share of the loss that cannot be explained for a network that has learned what can be known, and 0 for one that
interpolates (Byrd & Lipton 2019, ICML, "What is the effect of importance weighting in deep learning?"). A function of
the user's own is taken to have 0 as its least value.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from shiftfix._verdict import tell
from shiftfix.exceptions import GradientWarning, InactiveWeightsWarning
from shiftfix.mlp._network import Dropout, GaussianNoise
from shiftfix.mlp._training._units import idle_units

# Below this share of the pull at the start, weights no longer act.
INACTIVE = 0.05
# Share of the training weight predicted right above which a network has interpolated its rows; each
# row's loss is then near zero whatever its weight.
INTERPOLATION_ACCURACY = 0.99
# A layer whose gradient is this much smaller than the largest one, in half of the epochs, does not learn. The least
# median share over 100 ordinary fits (1 to 6 layers, all activations and losses, 6 to 400 rows) was 3e-2, but for
# sigmoid layers: 3e-3 for 4, 3e-4 for 6 and 1e-7 for 12 of them.
VANISHING = 1e-4
# With inputs and losses of order 1 a weight matrix has gradients of order 1 to 10, and up to 120 in the same fits.
EXPLODING = 1e3
# They leave the signal's scale alone in expectation and are noise for its norm.
NOISE = (Dropout, GaussianNoise, nn.modules.dropout._DropoutNd)


def loss_summary(
    losses: torch.Tensor, weight: torch.Tensor, floor: float, drawn_by_weight: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Weighted mean, unweighted mean and pull of one epoch's row losses, each a tensor of shape () or (n_models,).

    Parameters
    ----------
    losses, weight : Tensor of shape (n,) or (n_models, n)
        Weights of mean 1 over all rows.
    floor : float
        The least value a row's loss can have.
    drawn_by_weight : bool
        Whether rows were drawn in proportion to their weights: then each stands for 1 / w rows.
    """
    losses, weight = losses.double(), weight.double()
    count = 1 / weight if drawn_by_weight else torch.ones_like(weight)
    weighted = (count * weight * losses).sum(-1) / (count * weight).sum(-1)
    unweighted = (count * losses).sum(-1) / count.sum(-1)
    distance = count * (weight - 1).abs()
    return weighted, unweighted, (distance * (losses - floor)).sum(-1) / distance.sum(-1)


def interpolated_share(
    losses: torch.Tensor, weight: torch.Tensor, floor: float, drawn_by_weight: bool, initial_pull: torch.Tensor
) -> torch.Tensor:
    """Share of the training weight on rows that are fitted, a tensor of shape () or (n_models,).

    A row is fitted when its loss is within ``INACTIVE`` of the pull at the start, ``initial_pull`` of shape () or
    (n_models,), from the floor; the other parameters are those of :func:`loss_summary`.
    """
    losses, weight = losses.double(), weight.double()
    count = torch.ones_like(weight) if drawn_by_weight else weight
    fitted = losses - floor < INACTIVE * initial_pull.unsqueeze(-1)
    return (count * fitted).sum(-1) / count.sum(-1)


class LayerNorms:
    """Of each layer with a weight matrix: root mean square of its activations, norm of its gradient, idle units.

    Parameters
    ----------
    module : torch.nn.Module

    Attributes
    ----------
    names : list of str
        Of the layers, in the module's order; "module" when the module itself is the layer.
    activations : dict of str to Tensor
        By name, of the last forward pass watched; NaN for a layer that was not called.
    idle : dict of str to tuple
        Shares of dead and of saturated units in the same pass.
    """

    def __init__(self, module: nn.Module) -> None:
        self._leaves = [
            (name or "module", layer) for name, layer in module.named_modules() if not list(layer.children())
        ]
        # A weight computed from other parameters (torch's weight_norm) is no parameter, and has no gradient of its own.
        self._weights = {
            name: layer.weight
            for name, layer in self._leaves
            if isinstance(getattr(layer, "weight", None), nn.Parameter) and layer.weight.ndim >= 2
        }
        self.names = list(self._weights)

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Inside, a forward pass leaves what a layer does, behind its activation: norms and ``idle`` units."""
        self.activations: dict[str, Any] = dict.fromkeys(self.names, float("nan"))
        self.idle: dict[str, tuple[Any, Any]] = dict.fromkeys(self.names, (0.0, 0.0))
        current = None

        def note(name: str, layer: nn.Module) -> Callable[..., Any]:
            def hook(_: nn.Module, __: Any, output: Any) -> None:
                nonlocal current
                current = name if name in self._weights else current
                if current is not None and isinstance(output, torch.Tensor):
                    self.see(current, layer, output.detach())

            return hook

        handles = [layer.register_forward_hook(note(name, layer)) for name, layer in self._leaves]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def see(self, name: str, layer: nn.Module, outputs: torch.Tensor) -> None:
        """Note the outputs of a layer with weights, or of one behind it, the last of which counts.

        Parameters
        ----------
        name : str
            Of the layer with weights.
        layer : torch.nn.Module
            That the outputs are of.
        outputs : Tensor
        """
        if isinstance(layer, NOISE):
            return
        self.activations[name] = outputs.float().square().mean().sqrt()
        stacked = getattr(self._weights[name], "stacked", False)
        self.idle[name] = idle_units(layer, outputs, stacked) or self.idle[name]

    def gradients(self) -> dict[str, float | torch.Tensor]:
        """Norm of each weight's gradient as it stands, NaN where there is none."""
        return {
            name: float("nan") if weight.grad is None else weight.grad.float().norm()
            for name, weight in self._weights.items()
        }


def warn_of_gradients(
    names: list[str], norms: Sequence[Sequence[float]] | None, dead: Sequence[Sequence[float]] | None = None
) -> None:
    """Warn when a layer's gradient vanished or exploded.

    Parameters
    ----------
    names : list of str
    norms : list of list of float
        Per epoch, one number per layer; NaN for a layer without a gradient, such as a frozen one.
    dead : list of list of float, default=None
        Per epoch, the share of each layer's units that are dead.
    """
    if not norms or not names:
        return
    table = torch.tensor(norms, dtype=torch.float64).reshape(-1, len(names)).nan_to_num(-1.0, posinf=float("inf"))
    peak = table.amax(dim=0)
    if peak.max() > EXPLODING:
        worst = int(peak.argmax())
        tell(
            GradientWarning(
                f"The gradient of layer {names[worst]!r} reached a norm of {float(peak[worst]):.3g}: lower "
                'learning_rate, scale the inputs, take the initializer "kaiming_normal" or batch_norm=True, or set '
                "clip_norm."
            )
        )
    largest = table.amax(dim=1, keepdim=True)
    if largest[0] == 0:
        tell(
            GradientWarning(
                f"No gradient reached any weight in the first epoch{_first_dead(names, dead)}, so that the network "
                "hardly learns: take another "
                'initializer, such as "kaiming_normal", activation="leaky_relu", or fewer layers.'
            )
        )
        return
    # Epochs without a gradient tell nothing about the layers: the loss may have reached its least value.
    known = (largest[:, 0] > 0) & largest[:, 0].isfinite()
    table, largest = table[known], largest[known]
    small = ((table >= 0) & (table < VANISHING * largest)).double().mean(dim=0) >= 0.5
    if small.any():
        first = int(small.double().argmax())
        share = float((table[:, first] / largest[:, 0]).median())
        tell(
            GradientWarning(
                f"The gradient of layer {names[first]!r} is {share:.1g} of the largest layer's, so that it hardly "
                'learns: take activation="relu", the initializer "kaiming_normal", batch_norm=True or fewer layers.'
            )
        )


def _first_dead(names: list[str], dead: Sequence[Sequence[float]] | None) -> str:
    """The first layer all of whose units were dead in the first epoch, as part of a sentence."""
    found = [name for name, share in zip(names, dead[0], strict=True) if share == 1] if dead else []
    return f" (all units of layer {found[0]!r} are dead)" if found else ""


def warn_of_inactive_weights(
    effect: Sequence[float] | Sequence[Sequence[float]], can_interpolate: bool, accuracy: float | None
) -> None:
    """Warn of weights that no longer act in the parameters kept.

    Parameters
    ----------
    effect : list of float, or of lists of float over the models
        "weight_effect" of each epoch.
    can_interpolate : bool
        Whether a model has as many parameters as there are numbers to reproduce. With fewer, a small loss is a good
        model and no interpolation, and its weights act on what is left; unless every row is right, which more training
        only makes surer.
    accuracy : float or None
        Share of the training weight predicted right; None for numbers.
    """
    levels = np.reshape(effect, (len(effect), -1)).mean(axis=1)
    inactive = np.abs(levels) < INACTIVE  # a loss of the user's own may go on falling below 0
    if inactive[-1] and can_interpolate:
        first = int(np.argmax(inactive)) + 1
        found = f"Since epoch {first} the pull of the weights is below {INACTIVE:.0%} of what it was at the start"
    elif accuracy is not None and accuracy > (INTERPOLATION_ACCURACY if can_interpolate else 1 - 1e-9):
        found = f"The network predicts {accuracy:.1%} of the training weight right"
    else:
        return
    tell(
        InactiveWeightsWarning(
            f"{found}, so that the weights hardly act any more: use early_stopping=True, a smaller network, fewer "
            "epochs, or more regularisation."
        )
    )
