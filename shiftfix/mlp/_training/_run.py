"""A training under way: what it trains with, from which seeds, and all its state."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from shiftfix._setting_checks import check_generator
from shiftfix.mlp._network import BatchNorm
from shiftfix.mlp._settings import Precision, Training, part_of
from shiftfix.mlp._training._batches import part_sizes, rows_of_a_step
from shiftfix.mlp._training._diagnostics import LayerNorms
from shiftfix.mlp._training._flat import FlatStep
from shiftfix.mlp._training._optimizers import make_optimizer, options_of
from shiftfix.mlp._training._ranks import ALONE, OneProcess
from shiftfix.mlp._training._regularizers import Regularizers, weights_of
from shiftfix.mlp._training._schedules import Schedule, WarmUp, make_schedule

PRECISIONS: dict[Precision, torch.dtype | None] = {"float32": None, "bfloat16": torch.bfloat16}


def finite_names(module: nn.Module) -> list[str]:
    """Names in the state of a module that hold finite numbers only."""
    state = module.state_dict().items()
    return [name for name, value in state if torch.is_tensor(value) and bool(value.isfinite().all())]


@dataclass
class Run:
    """A training under way: what it trains with, and all that a resumed run needs to go on as if never stopped.

    Attributes
    ----------
    module : torch.nn.Module
    loss : callable
        As in ``_losses``.
    optimizer : torch.optim.Optimizer
    schedule : Schedule
    generators : dict of str to torch.Generator
        "order 0" to "order K - 1" for the order of the rows of each model, and any other the module draws from.
    batch_size, max_epochs, patience : int
    n_models : int
    regularizers : Regularizers
    weighting : {"loss", "resample"}
    warmup : int
        Steps over which the learning rate rises.
    least_batch : int
        Rows that a batch has at least.
    densify : bool
        Whether sparse gradients are made dense ahead of the step.
    n_batches : int
        Of an epoch.
    floor : float
        The least value a row's loss can have.
    autocast : torch.dtype or None
    epoch : int
        Epochs done.
    history : dict of str to list
        One entry per epoch: "train_loss" and "train_loss_unweighted" as met while training, with dropout;
        "weight_effect" and "train_interpolation" when weights vary; "validation_loss" and
        "validation_loss_unweighted" with a validation set; "learning_rate"; "gradient_norm", "activation_norm",
        "dead_units" and "saturated_units", lists over the layers, of the last full batch. The losses, the weight effect
        and the interpolation are lists over the models for more than one.
    best_epoch : Tensor of int64 of shape (n_models,)
    finite : dict or None
        "state" of the module at the end of the "epoch" with the least training "loss" so far, to go back to.
    writes_out : bool
        Whether the step may be written out: for networks of ours, while a module of the user's gets autograd's numbers,
        to the bit, whatever it is wrapped in.
    flat : FlatStep or None
        The step written out, where autograd is not needed. No part of the state, which it looks into.
    ranks : OneProcess
        The processes that train it together.
    stop : bool
        Set by a callback to end the training. No part of the state: a run that is resumed goes on.
    """

    module: torch.nn.Module
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    optimizer: torch.optim.Optimizer
    generators: dict[str, torch.Generator]
    batch_size: int
    max_epochs: int
    patience: int = 10
    schedule: Schedule = field(default_factory=lambda: Schedule(None))
    n_models: int = 1
    regularizers: Regularizers = field(default_factory=Regularizers)
    weighting: Literal["loss", "resample"] = "loss"
    warmup: int = 0
    least_batch: int = 1
    densify: bool = False
    n_batches: int = 0
    floor: float = 0.0
    autocast: torch.dtype | None = None
    epoch: int = 0
    step: int = 0
    history: dict[str, list[Any]] = field(default_factory=dict)
    stop: bool = False
    writes_out: bool = False
    flat: FlatStep | None = None
    ranks: OneProcess = ALONE

    def __post_init__(self) -> None:
        self.best_loss = torch.full((self.n_models,), float("inf"), dtype=torch.float64)
        self.best_epoch = torch.zeros(self.n_models, dtype=torch.int64)
        self.best_state: dict[str, torch.Tensor] | None = None
        self.initial_pull: list[float] | None = None
        self.finite: dict[str, Any] | None = None
        self.finite_at_start = finite_names(self.module)
        self.norms = LayerNorms(self.module)
        self.warm_up = WarmUp(self.optimizer, self.warmup)
        self.matrices = weights_of(self.module)
        self.parameters = [p for p in self.module.parameters() if p.requires_grad]
        self.batch_norms = [layer for layer in self.module.modules() if isinstance(layer, BatchNorm)]
        self.sharing: list[Any] = [layer for layer in self.module.modules() if hasattr(layer, "share")]
        self.device = self.parameters[0].device if self.parameters else torch.device("cpu")

    @property
    def orders(self) -> list[torch.Generator]:
        """Generators of the order of the rows, one per model."""
        return [self.generators[f"order {k}"] for k in range(self.n_models)]

    @property
    def out_of_patience(self) -> bool:
        """Whether no model has improved on its validation loss for ``patience`` epochs."""
        return self.best_state is not None and bool((self.epoch - self.best_epoch >= self.patience).all())

    def state_dict(self) -> dict[str, Any]:
        """All that changes while training, as tensors, numbers, strings, lists and dicts."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "history": self.history,
            "best_loss": self.best_loss,
            "best_epoch": self.best_epoch,
            "best_state": self.best_state,
            "initial_pull": self.initial_pull,
            "finite": self.finite,
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "generators": {name: generator.get_state() for name, generator in self.generators.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state, which is left as it is."""
        state = copy.deepcopy(state)  # an optimiser would go on in the very tensors that it is given
        for name in ("epoch", "step", "history", "best_loss", "best_epoch", "best_state", "initial_pull", "finite"):
            setattr(self, name, state[name])
        if self.best_state is not None:
            self.best_state = {name: value.to(self.device) for name, value in self.best_state.items()}
        self.module.load_state_dict(state["module"])
        self.schedule.load_state_dict(state["schedule"])
        self.optimizer.load_state_dict(state["optimizer"])
        for name, generator in self.generators.items():
            generator.set_state(state["generators"][name])
        self.stop = self.out_of_patience


def draw_seeds(random_state: Any, n_models: int) -> dict[str, Any]:
    """Seeds of separate streams: changing, say, the dropout rate must not change the split or the start.

    The first of several models starts and walks as a single model would.

    Parameters
    ----------
    random_state : int, numpy Generator or RandomState, or None
    n_models : int

    Returns
    -------
    dict
        "split" and "dropout" (int), "start" and "order" (lists of n_models int).
    """
    rng = check_generator(random_state)
    split, start, order, dropout = (int(s) for s in rng.integers(2**31 - 1, size=4))
    more = rng.integers(2**31 - 1, size=(n_models - 1, 2)).tolist()
    return {
        "split": split,
        "dropout": dropout,
        "start": [start, *(pair[0] for pair in more)],
        "order": [order, *(pair[1] for pair in more)],
    }


def make_run(
    module: nn.Module,
    loss: Callable[..., Any],
    n_rows: int,
    order_seeds: list[int],
    training: Training,
    *,
    n_models: int = 1,
    floor: float = 0.0,
    least_batch: int = 1,
    writes_out: bool = False,
    ranks: OneProcess = ALONE,
    generators: dict[str, torch.Generator],
) -> Run:
    """The run of a module that is on its device, before its first epoch.

    Parameters
    ----------
    module : torch.nn.Module
    loss : callable
    n_rows : int
        Of the training.
    order_seeds : list of int
        Of the order of the rows, one per model.
    training : Training
    n_models : int, default=1
    floor : float, default=0.0
        The least value a row's loss can have.
    least_batch : int, default=1
        Rows that a batch has at least: a shorter last one joins the batch before it.
    writes_out : bool, default=False
        Whether the step may be written out, where it can be.
    ranks : OneProcess
        The processes that train it together.
    generators : dict of str to torch.Generator
        That the module draws from.

    Returns
    -------
    Run
    """
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = make_optimizer(training.optimizer, trained, training.learning_rate, options_of(training))
    batch_size = rows_of_a_step(training.batch_size, n_rows)
    n_steps = len(part_sizes(n_rows, batch_size, least_batch))
    orders = {f"order {k}": torch.Generator().manual_seed(seed) for k, seed in enumerate(order_seeds)}
    return Run(
        module,
        loss,
        optimizer,
        generators=orders | generators,
        batch_size=batch_size,
        max_epochs=training.max_epochs,
        patience=training.patience,
        schedule=make_schedule(training.schedule, optimizer, training.max_epochs, training.patience),
        n_models=n_models,
        regularizers=part_of(training, Regularizers),
        weighting=training.weighting,
        warmup=training.warmup * n_steps,
        least_batch=least_batch,
        densify=isinstance(training.optimizer, str),
        n_batches=n_steps,
        floor=floor,
        autocast=PRECISIONS[training.precision],
        writes_out=writes_out,
        ranks=ranks,
    )
