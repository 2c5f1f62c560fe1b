"""What a training shares with the one that it goes on from: its optimiser, and the shapes of its network."""

import torch

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._saving import setting_text
from shiftfix.mlp._settings import Steps

# What the state of an optimiser or a schedule belongs to: these may not change between calls of partial_fit.
CONTINUED = ("optimizer", "learning_rate", "running_decay", "eps", "schedule")


def continued_settings(steps: Steps, before: list[str] | None) -> list[str]:
    """Text of the settings that calls of ``partial_fit`` share; raise ShiftDataError when those before had others."""
    now = [setting_text(getattr(steps, name)) for name in CONTINUED]
    if before is not None and now != before:
        raise ShiftDataError(
            f"{', '.join(CONTINUED)} were {', '.join(before)} in the calls of partial_fit so far, and "
            f"are {', '.join(now)} now: put them back, or fit anew."
        )
    return now


def check_same_shapes(new: torch.nn.Module, fitted: torch.nn.Module) -> None:
    """Raise unless the network to go on from has the shapes of the new one."""
    shapes = [{name: value.shape for name, value in part.state_dict().items()} for part in (new, fitted)]
    if shapes[0] != shapes[1]:
        raise ShiftDataError(
            "The fitted network has other layers than the settings ask for: keep hidden_layer_sizes, n_models, "
            "batch_norm, and which of the dropout and noise settings are 0, to go on from it, or fit a new one."
        )
