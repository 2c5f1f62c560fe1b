"""Units that no longer take part: ReLUs that are 0 for every row, and units of the other kinds in their flat part.

A ReLU is dead when it is 0 for all rows: no gradient comes through it, and only what moves the layers below can revive
it. A unit of a bounded activation, or of one that levels off below, is saturated when its slope is less than 5 % of its
greatest for at least 95 % of the rows: what little comes through it hardly moves it (Glorot & Bengio 2010, AISTATS,
section 3, watch the same in sigmoid and tanh networks). Slopes, as shares of the greatest, follow from the outputs h:

=============  =========================================
tanh           1 - h^2
sigmoid        4 h (1 - h)
softsign       (1 - |h|)^2
elu            h + alpha below 0
selu           (h + 1.7581) / 1.7581 below 0
softplus       1 - exp(-h)
=============  =========================================
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from shiftfix._verdict import tell
from shiftfix.exceptions import IdleUnitsWarning
from shiftfix.mlp._network import SELU_FLOOR

# Below this share of the greatest slope a unit is in its flat part.
FLAT = 0.05
# Share of the rows for which a unit has to be there.
MOST_ROWS = 0.95
# Share of a layer's units from which on there is a warning. Of 192 ordinary fits (1 and 3 layers of 16 and 256 units,
# 40 and 400 rows, rates of 1e-3 and 3e-3, 60 epochs) the largest share of dead units was .24, and of saturated ones
# .09, but for softplus .53.
MOST_IDLE = 0.75


def _levels_off(floor: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """Slope of an exponential below 0 that tends to the floor, as a share of that at 0; 1 above."""
    return lambda h: torch.where(h < 0, (h - floor) / -floor, torch.ones_like(h))


SLOPES: dict[type[nn.Module], Callable[[torch.Tensor], torch.Tensor]] = {
    nn.Tanh: lambda h: 1 - h.square(),
    nn.Sigmoid: lambda h: 4 * h * (1 - h),
    nn.Softsign: lambda h: (1 - h.abs()).square(),
    nn.ELU: _levels_off(-1.0),
    nn.SELU: _levels_off(SELU_FLOOR),
    nn.Softplus: lambda h: 1 - torch.exp(-h),
}


def share_of_rows(holds: torch.Tensor, stacked: bool) -> torch.Tensor:
    """For each unit the share of the rows for which something holds.

    Parameters
    ----------
    holds : Tensor of bool
        Of shape (n_rows, ...) or, stacked, (n_models, n_rows, width). A channel of an image is one unit, (n_rows,
        n_channels, height, width) with as many rows as it has places.
    stacked : bool
    """
    if stacked:
        return holds.float().mean(dim=-2)
    return holds.float().flatten(2).mean(dim=(0, 2)) if holds.ndim > 3 else holds.float().mean(dim=0)


def idle_units(layer: nn.Module, outputs: torch.Tensor, stacked: bool) -> tuple[Any, Any] | None:
    """Shares of dead and of saturated units of an activation, by its outputs; None for a layer that has neither.

    Parameters
    ----------
    layer : torch.nn.Module
    outputs : Tensor
        As in :func:`share_of_rows`.
    stacked : bool
    """
    if type(layer) is nn.ReLU:
        return (share_of_rows(outputs <= 0, stacked) == 1).float().mean(), 0.0
    slope = SLOPES.get(type(layer))
    if slope is None:
        return None
    flat = slope(outputs.float()) < FLAT
    return 0.0, (share_of_rows(flat, stacked) >= MOST_ROWS).float().mean()


def warn_of_idle_units(names: Sequence[str], dead: Sequence[float], saturated: Sequence[float]) -> None:
    """Warn of the first layer in which most units take no part, of dead ones before saturated ones.

    Parameters
    ----------
    names : sequence of str
        Of the layers.
    dead, saturated : sequence of float
        Shares of each layer's units.
    """
    kinds = (
        (dead, "dead (0 for every row, so that they get no gradient)", 'activation="leaky_relu" or '),
        (saturated, "saturated (in the flat part of their activation, and hardly learn)", ""),
    )
    for shares, what, otherwise in kinds:
        places = [place for place, share in enumerate(shares) if share >= MOST_IDLE]
        if places:
            tell(
                IdleUnitsWarning(
                    f"{shares[places[0]]:.0%} of the units of layer {names[places[0]]!r} are {what}: lower "
                    f'learning_rate, scale the inputs, or take the initializer "auto", {otherwise}batch_norm=True.'
                )
            )
            return
