"""Steps tried on a copy of a module of the user's, so that what cannot be trained is said ahead of the training."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._settings import Training, part_of
from shiftfix.mlp._training._batches import Rows, part_sizes, rows_of_a_step
from shiftfix.mlp._training._devices import generators_put_back
from shiftfix.mlp._training._explained import explained
from shiftfix.mlp._training._loop import outputs_in_training, train_step
from shiftfix.mlp._training._losses import check_row_losses
from shiftfix.mlp._training._optimizers import make_optimizer, options_of
from shiftfix.mlp._training._ranks import RankedRows
from shiftfix.mlp._training._regularizers import Regularizers
from shiftfix.mlp._training._run import PRECISIONS, Run


def _try_step(module: nn.Module, loss: Callable[..., Any], rows: Rows, training: Training) -> None:
    """One gradient step of a copy; raise ShiftDataError where the module, the loss or the optimiser fails."""
    trial = copy.deepcopy(module).train()
    trained = [parameter for parameter in trial.parameters() if parameter.requires_grad]
    with explained("The optimizer cannot be made", "it is called with the parameters of the module and lr."):
        optimizer = make_optimizer(training.optimizer, trained, training.learning_rate, options_of(training))
    run = Run(
        trial,
        loss,
        optimizer,
        generators={},
        batch_size=len(rows),
        max_epochs=1,
        regularizers=part_of(training, Regularizers),
        autocast=PRECISIONS[training.precision],
        densify=isinstance(training.optimizer, str),
    )
    outputs = outputs_in_training(trial, rows.X)
    check_one_tensor(outputs, len(rows))
    check_row_losses(loss(outputs, rows.y), len(rows))
    with explained(
        "A gradient step fails",
        "the outputs must depend on parameters that require a gradient, and the optimizer must take the gradients "
        "that the module makes (those of an embedding with sparse=True, for example) and need no closure.",
    ):
        train_step(run, rows)


def check_one_tensor(outputs: Any, n_rows: int) -> None:
    """Raise unless a module returned one tensor with an entry for each row."""
    if not isinstance(outputs, torch.Tensor):
        size = f" of {len(outputs)}" if isinstance(outputs, tuple | list) else ""
        raise ShiftDataError(
            f"The module returns a {type(outputs).__name__}{size}: one tensor is needed; wrap it in a module whose "
            "forward returns the part that the loss takes, such as outputs[0]."
        )
    if outputs.ndim == 0 or len(outputs) != n_rows:
        raise ShiftDataError(
            f"The module returns outputs of shape {tuple(outputs.shape)} for {n_rows} rows: one entry per row is "
            "needed, along the first axis."
        )


def _is_trained_alone(n_rows: int, batch_size: int | str | None) -> bool:
    """Whether a row of an epoch would be a batch of its own."""
    return part_sizes(n_rows, rows_of_a_step(batch_size, n_rows), 1)[-1] == 1


def try_steps(
    module: nn.Module,
    loss: Callable[..., Any],
    rows: Rows,
    training: Training,
    generators: Mapping[str, torch.Generator],
) -> int:
    """Try a step on two rows, and on one where an epoch ends in a lone one: the least rows of a batch, 1 or 2.

    Batch norm, and what else compares the rows of a batch, fails on a lone row; that one then joins the batch before.

    Parameters
    ----------
    module : torch.nn.Module
        On its device; left as it is.
    loss : callable
    rows : Rows
    training : Training
    generators : dict of str to torch.Generator
        That the module draws from; left as they are.

    Raises
    ------
    ShiftDataError
        When the module, the loss or the optimiser fails, or a batch has one row and the module needs two.
    """
    shared, rows = isinstance(rows.X, RankedRows), rows.own()
    if len(rows.y) == 0:
        return 1
    most = 1 if training.batch_size == 1 else min(2, len(rows))
    with generators_put_back(generators):
        if most == 2:
            _try_step(module, loss, rows.take(torch.arange(2, device=rows.y.device)), training)
        if not (shared or _is_trained_alone(len(rows), training.batch_size)):
            return 1
        try:
            _try_step(module, loss, rows.take(torch.arange(1, device=rows.y.device)), training)
        except ShiftDataError as error:
            if most == 2 and not shared:
                return 2
            advice = "raise batch_size above 1" if len(rows) > 1 else "pass two rows or more of positive weight"
            raise ShiftDataError(f"{error} Batches of one row do not do for batch norm: {advice}.") from error
    return 1
