"""The training loop, in short steps: train_step -> run_epoch -> fit_loop.

Row weights are normalised to mean 1 once, over the whole training set. A batch contributes
sum(w_i l_i) / batch_size, which in expectation over batches is the weighted mean loss; dividing by the
batch's own weight sum instead would be a ratio estimate with a biased gradient. The last, shorter
batch is divided by the same batch_size, so that each row counts once an epoch; penalties are scaled down with it.
"""

import copy
import warnings
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch

from shiftfix.exceptions import NonFiniteLossWarning
from shiftfix.mlp._batches import batches, epoch_order, resampled_order
from shiftfix.mlp._callbacks import notify
from shiftfix.mlp._diagnostics import LayerNorms, interpolated_share, loss_summary
from shiftfix.mlp._layers import BatchNorm
from shiftfix.mlp._losses import check_row_losses
from shiftfix.mlp._module import forget_masks
from shiftfix.mlp._regularizers import Regularizers, weights_of
from shiftfix.mlp._schedules import Schedule, WarmUp

# Rows per forward pass outside training: enough to keep the cores busy, 8 MB at 256 units. Rows of many numbers,
# such as images, go through in smaller parts, for the activations of a convolution are many times its input.
CHUNK = 8192
CHUNK_NUMBERS = 2**23


@contextmanager
def limited_threads(n_threads):
    """Run torch on this many CPU threads inside the block; the caller's number comes back. None changes nothing.

    Layers of a few hundred units are too small to share out: on a machine with other work, threads that wait for each
    other at every layer made one fit ten times slower.
    """
    before = torch.get_num_threads()
    try:
        if n_threads is not None:
            torch.set_num_threads(n_threads)
        yield
    finally:
        if n_threads is not None:
            torch.set_num_threads(before)


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
    floor : float
        The least value a row's loss can have.
    autocast : torch.dtype or None
    epoch : int
        Epochs done.
    history : dict of str to list
        One entry per epoch: "train_loss" and "train_loss_unweighted" as met while training, with dropout;
        "weight_effect" and "train_interpolation" when weights vary; "validation_loss" and
        "validation_loss_unweighted" with a validation set; "learning_rate"; "gradient_norm" and "activation_norm",
        lists over the layers, of the last full batch. The losses, the weight effect and the interpolation are lists
        over the models for more than one.
    best_epoch : Tensor of int64 of shape (n_models,)
    finite : dict or None
        "state" of the module at the end of the "epoch" with the least training "loss" so far, to go back to.
    stop : bool
        Set by a callback to end the training. No part of the state: a run that is resumed goes on.
    """

    module: torch.nn.Module
    loss: Any
    optimizer: torch.optim.Optimizer
    generators: dict[str, torch.Generator]
    batch_size: int
    max_epochs: int
    patience: int = 10
    schedule: Schedule = field(default_factory=lambda: Schedule(None))
    n_models: int = 1
    regularizers: Regularizers = field(default_factory=Regularizers)
    weighting: str = "loss"
    warmup: int = 0
    floor: float = 0.0
    autocast: Any = None
    epoch: int = 0
    step: int = 0
    history: dict[str, list] = field(default_factory=dict)
    stop: bool = False

    def __post_init__(self):
        self.best_loss = torch.full((self.n_models,), float("inf"), dtype=torch.float64)
        self.best_epoch = torch.zeros(self.n_models, dtype=torch.int64)
        self.best_state: dict[str, torch.Tensor] | None = None
        self.initial_pull: list[float] | None = None
        self.finite: dict[str, Any] | None = None
        self.norms = LayerNorms(self.module)
        self.warm_up = WarmUp(self.optimizer, self.warmup)
        self.matrices = weights_of(self.module)
        self.parameters = [p for p in self.module.parameters() if p.requires_grad]
        self.batch_norms = [layer for layer in self.module.modules() if isinstance(layer, BatchNorm)]
        self.device = self.parameters[0].device if self.parameters else torch.device("cpu")

    @property
    def orders(self):
        """Generators of the order of the rows, one per model."""
        return [self.generators[f"order {k}"] for k in range(self.n_models)]

    @property
    def out_of_patience(self):
        """Whether no model has improved on its validation loss for ``patience`` epochs."""
        return self.best_state is not None and bool((self.epoch - self.best_epoch >= self.patience).all())

    def state_dict(self):
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

    def load_state_dict(self, state):
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


def row_losses(run, X, y):
    """Loss of each row, (n,) or (n_models, n)."""
    with nullcontext() if run.autocast is None else torch.autocast(X.device.type, dtype=run.autocast):
        outputs = run.module(X)
    if run.autocast is not None:
        outputs = outputs.float()
    if run.n_models == 1:
        losses = run.loss(outputs, y)
        check_row_losses(losses, len(X))
        return losses
    shape = outputs.shape[:2]
    if X.ndim == 2:  # outside training all models are asked for the same rows
        y = y.expand(run.n_models, *y.shape)
    losses = run.loss(outputs.flatten(0, 1), y.flatten(0, 1))
    check_row_losses(losses, shape.numel())
    return losses.view(shape)


def train_step(run, batch, gradients=None):
    """One gradient step; returns the losses met. ``gradients`` is called between the backward pass and the step."""
    weight = batch.weight if run.weighting == "loss" else torch.ones_like(batch.weight)
    for layer in run.batch_norms:
        layer.row_weight = weight
    run.optimizer.zero_grad(set_to_none=True)
    losses = row_losses(run, batch.X, batch.y)
    (torch.dot(losses.flatten(), weight.flatten().to(losses.dtype)) / run.batch_size).backward()
    if gradients is not None:
        gradients()
    run.warm_up.before_step(run.step)
    rate = run.optimizer.param_groups[0]["lr"]
    share = batch.weight.shape[-1] / run.batch_size
    if run.regularizers.active:
        run.regularizers.before_step(run.matrices, run.parameters, run.n_models, rate, share)
    run.optimizer.step()
    if run.regularizers.active:
        run.regularizers.after_step(run.matrices, rate, share)
    run.warm_up.after_step()
    run.step += 1
    return losses.detach()


def run_epoch(run, rows):
    """One pass over the rows in random order; losses met on the way and their weights, (n,) or (n_models, n).

    The norms of the last full batch are left in the history: those of a shorter one would be of another size.
    """
    run.module.train()
    forget_masks(run.module)  # they are not in the state of a run: each epoch starts from the generators
    drawn = run.weighting == "resample"
    order = resampled_order(rows.weight, run.orders) if drawn else epoch_order(len(rows), run.orders)
    losses, weights, gradients = [], [], {}
    watched = len(rows) // run.batch_size
    for step, batch in enumerate(batches(rows, order, run.batch_size), 1):
        if step != watched:
            losses.append(train_step(run, batch))
        else:
            with run.norms.watch():
                losses.append(train_step(run, batch, lambda: gradients.update(run.norms.gradients())))
        weights.append(batch.weight)
    record(run, "gradient_norm", [float(gradients[name]) for name in run.norms.names])
    record(run, "activation_norm", [float(run.norms.activations[name]) for name in run.norms.names])
    return torch.cat(losses, dim=-1), torch.cat(weights, dim=-1)


def chunk_size(X):
    """Rows of X for one forward pass."""
    return max(1, min(CHUNK, CHUNK_NUMBERS // max(1, X[:1].numel())))


@torch.no_grad()
def forward(module, X, axis=0):
    """Outputs for all rows, without dropout, in chunks that bound the memory; ``axis`` is that of the rows."""
    module.eval()
    return torch.cat([module(part) for part in X.split(chunk_size(X))], dim=axis)


@torch.no_grad()
def mean_losses(run, rows):
    """Weighted mean, unweighted mean and pull of the losses without dropout; tensors of shape () or (n_models,)."""
    run.module.eval()
    size = chunk_size(rows.X)
    parts = [row_losses(run, X, y) for X, y in zip(rows.X.split(size), rows.y.split(size), strict=True)]
    losses = torch.cat(parts, dim=-1)
    return loss_summary(losses, rows.weight, run.floor, False)


def record(run, name, value):
    """Add an entry to the history: a number for one model, a list of numbers for several."""
    if isinstance(value, torch.Tensor):
        value = value.tolist()
    run.history.setdefault(name, []).append(value)


def strided(rows, n_rows):
    """About ``n_rows`` rows, evenly spread."""
    if len(rows) <= n_rows:
        return rows
    return rows.take(torch.linspace(0, len(rows) - 1, n_rows, device=rows.X.device).round().long())


def _copy_of(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def keep_best(run, losses):
    """Store each model's parameters when its loss is the least so far, unless it has run out of patience before."""
    losses = losses.reshape(-1).cpu()
    waiting = run.epoch - 1 - run.best_epoch < run.patience
    better = (losses < run.best_loss) & waiting
    run.best_loss = torch.where(better, losses, run.best_loss)
    run.best_epoch = torch.where(better, run.epoch, run.best_epoch)
    if better.all():
        run.best_state = _copy_of(run.module)
    elif better.any():
        for name, value in run.module.state_dict().items():
            run.best_state[name][better.to(value.device)] = value[better.to(value.device)]


def all_finite(module):
    """Whether every number of a module is finite."""
    return all(bool(value.isfinite().all()) for value in module.state_dict().values())


def fit_loop(run, training, validation=None, *, callbacks=(), checkpoint=None, progress=None):
    """Train to ``run.max_epochs``, or until the weighted validation loss stops falling.

    Parameters
    ----------
    run : Run
        Changed in place; its module ends with the parameters of the best epoch when there is a validation set. With
        several models each has its own best epoch, and all train until the last has run out of patience.
    training, validation : Rows
        ``validation`` may be None.
    callbacks : sequence
        See ``_callbacks``.
    checkpoint : callable, default=None
        Called with the run after each epoch.
    progress : callable, default=None
        Wraps the range of epochs, like ``tqdm.tqdm``.

    Raises
    ------
    FloatingPointError
        When the loss or a parameter becomes infinite or NaN, and no epoch before it was better than the start.

    Warns
    -----
    NonFiniteLossWarning
        When it does so later: the best epoch by the validation loss, or by the training loss, is kept.
    """
    varying = bool(training.weight.max() > training.weight.min())
    if varying and run.initial_pull is None:
        run.initial_pull = mean_losses(run, strided(training, CHUNK))[2].reshape(-1).tolist()
        nothing = float("nan") if run.n_models == 1 else [float("nan")] * run.n_models
        for name in ("weight_effect", "train_interpolation"):
            run.history[name] = [nothing] * run.epoch
    notify(callbacks, "on_fit_start", run)
    if run.finite is None:
        run.finite = {"loss": float("inf"), "epoch": run.epoch, "state": _copy_of(run.module)}
    epochs = range(run.epoch + 1, (run.epoch if run.stop else run.max_epochs) + 1)
    for epoch in epochs if progress is None else progress(epochs):
        record(run, "learning_rate", run.optimizer.param_groups[0]["lr"])
        before = _copy_of(run.module) if validation is None else None
        losses, weight = run_epoch(run, training)
        run.epoch = epoch
        weighted, unweighted, pull = loss_summary(losses, weight, run.floor, run.weighting == "resample")
        record(run, "train_loss", weighted)
        record(run, "train_loss_unweighted", unweighted)
        if run.initial_pull is not None:
            start = torch.tensor(run.initial_pull, dtype=pull.dtype, device=pull.device).reshape(pull.shape)
            record(run, "weight_effect", pull / start)
            fitted = interpolated_share(losses, weight, run.floor, run.weighting == "resample", start)
            record(run, "train_interpolation", fitted)
        current = weighted
        if validation is not None:
            current, unweighted, _ = mean_losses(run, validation)
            record(run, "validation_loss", current)
            record(run, "validation_loss_unweighted", unweighted)
        if not (weighted.isfinite().all() and current.isfinite().all() and all_finite(run.module)):
            _back_to_finite(run)
            break
        if validation is not None:
            keep_best(run, current)
            run.stop |= run.out_of_patience
        else:
            run.best_epoch[:] = run.epoch
        # The losses met in an epoch are those of the parameters it began with.
        if validation is None and float(weighted.mean()) <= run.finite["loss"]:
            run.finite = {"loss": float(weighted.mean()), "epoch": epoch - 1, "state": before}
        run.schedule.step(float(current.mean()) if validation is not None else None)
        notify(callbacks, "on_epoch_end", run)
        if checkpoint is not None:
            checkpoint(run)
        if run.stop:
            break
    if run.best_state is not None:
        run.module.load_state_dict(run.best_state)
    notify(callbacks, "on_fit_end", run)


def _back_to_finite(run):
    """Restore the best finite epoch, or the start and say that there is none."""
    advice = "lower learning_rate, set clip_norm, or look for extreme values in X, y or sample_weight."
    if run.best_state is None:
        run.module.load_state_dict(run.finite["state"])
        run.best_epoch[:] = run.finite["epoch"]
    if not run.best_epoch.any() or (run.best_state is None and run.finite["loss"] == float("inf")):
        raise FloatingPointError(f"The loss or a parameter became infinite or NaN in epoch {run.epoch}: {advice}")
    kept = ", ".join(map(str, run.best_epoch.unique().tolist()))
    warnings.warn(
        f"The loss or a parameter became infinite or NaN in epoch {run.epoch}: training stopped, and the network of "
        f"epoch {kept} is kept, the best finite one; {advice}",
        NonFiniteLossWarning,
        stacklevel=6,
    )
