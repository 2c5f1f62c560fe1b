"""The training loop, in short steps: train_step -> run_epoch -> fit_loop.

Row weights are normalised to mean 1 once, over the whole training set. A batch contributes
sum(w_i l_i) / batch_size, which in expectation over batches is the weighted mean loss; dividing by the
batch's own weight sum instead would be a ratio estimate with a biased gradient. The last, shorter
batch is divided by the same batch_size, so that each row counts once an epoch; penalties are scaled down with it.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn

from shiftfix._verdict import tell
from shiftfix.exceptions import NonFiniteLossWarning
from shiftfix.mlp._network import forget_masks
from shiftfix.mlp._training._batches import Rows, batches, order_of, part_sizes, strided
from shiftfix.mlp._training._callbacks import notify
from shiftfix.mlp._training._diagnostics import interpolated_share, loss_summary
from shiftfix.mlp._training._explained import explained, shapes_text
from shiftfix.mlp._training._flat import flat_step
from shiftfix.mlp._training._losses import check_row_losses
from shiftfix.mlp._training._optimizers import base_rate
from shiftfix.mlp._training._ranks import RankedRows, add_gradients
from shiftfix.mlp._training._run import Run
from shiftfix.mlp._training._several import RowsOfX, call_module
from shiftfix.mlp._training._units import MOST_IDLE, warn_of_idle_units

# Rows per forward pass outside training: enough to keep the cores busy, 8 MB at 256 units. Rows of many numbers,
# such as images, go through in smaller parts, for the activations of a convolution are many times its input.
CHUNK = 8192
CHUNK_NUMBERS = 2**23
VALIDATION_LOSSES = ("validation_loss", "validation_loss_unweighted")
IDLE_KINDS = ("dead_units", "saturated_units")


def outputs_in_training(module: nn.Module, X: RowsOfX) -> Any:
    """Outputs of a module for the rows of a batch; raise ShiftDataError where it fails."""
    with explained(
        lambda: f"The module fails in training on rows of shape {shapes_text(X)}",
        "it must take all rows, after module.train() too, and an embedding have a place for each whole number.",
    ):
        return call_module(module, X)


def losses_of_rows(run: Run, X: RowsOfX, y: torch.Tensor) -> torch.Tensor:
    """Loss of each row, (n,) or (n_models, n)."""
    with nullcontext() if run.autocast is None else torch.autocast(X.device.type, dtype=run.autocast):
        outputs = outputs_in_training(run.module, X)
    if run.autocast is not None:
        outputs = outputs.float()
    if run.n_models == 1:
        losses = run.loss(outputs, y)
        check_row_losses(losses, len(X))
        return losses
    shape = outputs.shape[:2]
    assert isinstance(X, torch.Tensor)
    if X.ndim == 2:  # outside training all models are asked for the same rows
        y = y.expand(run.n_models, *y.shape)
    losses = run.loss(outputs.flatten(0, 1), y.flatten(0, 1))
    check_row_losses(losses, shape.numel())
    return losses.view(shape)


def make_dense(parameters: Iterable[nn.Parameter]) -> None:
    """Replace the sparse gradients of embeddings: most optimisers, and all penalties, are for dense ones."""
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.to_dense()


def backward_pass(run: Run, batch: Rows) -> torch.Tensor:
    """Leave the gradients of a batch with the parameters, by autograd; returns the losses met."""
    weight = batch.weight if run.weighting == "loss" else torch.ones_like(batch.weight)
    for layer in run.batch_norms:
        layer.row_weight = weight
    run.optimizer.zero_grad(set_to_none=True)
    if len(batch.y) == 0 and not run.writes_out:  # a module of the user's need not take no rows
        return batch.weight
    losses = losses_of_rows(run, batch.X, batch.y)
    (torch.dot(losses.flatten(), weight.flatten().to(losses.dtype)) / run.batch_size).backward()
    if run.densify or run.ranks.size > 1:
        make_dense(run.parameters)
    return losses.detach()


def train_step(run: Run, batch: Rows, gradients: Callable[[], Any] | None = None) -> torch.Tensor:
    """One gradient step; returns the losses met. ``gradients`` is called between the backward pass and the step.

    A step that is written out takes the rows, and gives the losses, in its own form.
    """
    for layer in run.sharing:
        layer.share = batch.share
    if run.flat is None:
        losses = backward_pass(run, batch)
    else:
        losses = run.flat.gradients(batch, None if gradients is None else run.norms)
    if batch.share is not None:
        add_up(run)
    if gradients is not None:
        gradients()
    run.warm_up.before_step(run.step)
    n_rows = batch.weight.numel() / run.n_models if batch.share is None else batch.share.n_rows
    _move_parameters(run, n_rows / run.batch_size)
    run.warm_up.after_step()
    run.step += 1
    return losses


def add_up(run: Run) -> None:
    """The gradient of the whole batch, in the place of that of this process's rows."""
    if run.flat is None:
        add_gradients(run.ranks, run.parameters)
    else:
        run.ranks.add(run.flat.slopes)


def _move_parameters(run: Run, share: float) -> None:
    """Penalise, clip and move the parameters; ``share`` is that of the rows of a full batch."""
    step = run.optimizer.step if run.flat is None else run.flat.step
    if not run.regularizers.active:
        step()
        return
    rate = base_rate(run.optimizer)
    run.regularizers.before_step(run.matrices, run.parameters, run.n_models, rate, share)
    step()
    run.regularizers.after_step(run.matrices, rate, share)


def run_epoch(run: Run, rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
    """One pass over the rows in random order; losses met on the way and their weights, (n,) or (n_models, n).

    The norms of the last full batch are left in the history: those of a shorter one would be of another size.
    """
    run.module.train()
    forget_masks(run.module)  # they are not in the state of a run: each epoch starts from the generators
    if run.writes_out:
        run.flat = flat_step(run.module, run.loss, run.optimizer, rows.X[:1], run.n_models, run.autocast, run.flat)
    elif run.ranks.size > 1:
        run.ranks.seed_noise(run.generators, run.epoch)
    drawn = run.weighting == "resample"
    order = order_of(rows, run.orders, drawn)
    source = rows if run.flat is None else run.flat.prepared(rows, run.batch_size, not drawn)
    losses, gradients, n_watched = [], {}, 0
    watched = len(rows) // run.batch_size
    for step, batch in enumerate(batches(source, order, run.batch_size, run.least_batch), 1):
        if step != watched:
            losses.append(train_step(run, batch))
        else:
            n_watched = len(batch.y)
            with run.norms.watch():
                losses.append(train_step(run, batch, lambda: gradients.update(run.norms.gradients())))
    run.ranks.share_state(run.module)
    run.ranks.share_norms(run.norms, n_watched)
    record(run, "gradient_norm", [float(gradients[name]) for name in run.norms.names])
    record(run, "activation_norm", [float(run.norms.activations[name]) for name in run.norms.names])
    for place, kind in enumerate(IDLE_KINDS):
        record(run, kind, [float(run.norms.idle[name][place]) for name in run.norms.names])
    joint = torch.cat(losses, dim=-1) if run.flat is None else run.flat.losses(losses)
    if isinstance(rows.X, RankedRows):
        joint = rows.X.filled(joint, order)
    return joint, rows.weight[order.to(rows.weight.device)]


def chunk_size(X: RowsOfX) -> int:
    """Rows of X for one forward pass."""
    return rows_at_once(X[:1].numel())


def rows_at_once(numbers_per_row: int) -> int:
    """Rows of so many numbers for one forward pass."""
    return max(1, min(CHUNK, CHUNK_NUMBERS // max(1, numbers_per_row)))


def chunk_sizes(X: RowsOfX) -> list[int]:
    """Rows of each forward pass through X outside training; none of a lone last row, which some layers refuse."""
    return part_sizes(len(X), chunk_size(X), 2)


@torch.no_grad()
def forward(module: nn.Module, X: RowsOfX, axis: int = 0) -> torch.Tensor:
    """Outputs for all rows, without dropout, in chunks that bound the memory; ``axis`` is that of the rows."""
    module.eval()
    if isinstance(X, RankedRows):
        return X.filled(forward(module, X.own(), axis))
    parts = [call_module(module, part) for part in X.split(chunk_sizes(X))]
    return torch.cat(parts, dim=axis) if parts else torch.zeros(0, device=X.device)


def passes_of(rows: Rows) -> Iterator[tuple[RowsOfX, torch.Tensor]]:
    """X and y of each forward pass through the rows outside training, (n, ...) or (n_models, n, ...)."""
    if rows.parts is None:
        sizes = chunk_sizes(rows.X)
        yield from zip(rows.X.split(sizes), rows.y.split(sizes), strict=True)
        return
    size = max(1, chunk_size(rows.X) // len(rows.parts))
    for index in rows.parts.split(part_sizes(len(rows), size, 2), dim=1):
        part = rows.take(index.to(rows.y.device))
        yield part.X, part.y


@torch.no_grad()
def own_outputs(module: nn.Module, rows: Rows) -> torch.Tensor:
    """Outputs of each model for its own rows, (n_models, n, n_outputs), without dropout."""
    module.eval()
    return torch.cat([call_module(module, X) for X, _ in passes_of(rows)], dim=1)


@torch.no_grad()
def mean_losses(run: Run, rows: Rows) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Weighted mean, unweighted mean and pull of the losses without dropout; tensors of shape () or (n_models,)."""
    run.module.eval()
    own = rows.own()
    parts = [losses_of_rows(run, X, y) for X, y in passes_of(own)]
    losses = torch.cat(parts, dim=-1) if parts else own.weight
    if isinstance(rows.X, RankedRows):
        losses = rows.X.filled(losses)
    return loss_summary(losses, rows.own_weight, run.floor, False)


def record(run: Run, name: str, value: torch.Tensor | float | list[float]) -> None:
    """Add an entry to the history: a number for one model, a list of numbers for several."""
    if isinstance(value, torch.Tensor):
        value = value.tolist()
    run.history.setdefault(name, []).append(value)


def _copy_of(module: nn.Module) -> dict[str, torch.Tensor]:
    # A module of the user's may keep more than tensors in its state.
    state = module.state_dict()
    return {name: value.clone() if torch.is_tensor(value) else copy.deepcopy(value) for name, value in state.items()}


def keep_best(run: Run, losses: torch.Tensor) -> None:
    """Store each model's parameters when its loss is the least so far, unless it has run out of patience before."""
    losses = losses.reshape(-1).cpu()
    waiting = run.epoch - 1 - run.best_epoch < run.patience
    better = (losses < run.best_loss) & waiting
    run.best_loss = torch.where(better, losses, run.best_loss)
    run.best_epoch = torch.where(better, run.epoch, run.best_epoch)
    if better.all():
        run.best_state = _copy_of(run.module)
    elif better.any() and run.best_state is not None:
        for name, value in run.module.state_dict().items():
            run.best_state[name][better.to(value.device)] = value[better.to(value.device)]


def all_finite(run: Run) -> bool:
    """Whether every number of the module is finite, where it was at the start: a mask may hold infinity."""
    state = run.module.state_dict()
    return all(bool(state[name].isfinite().all()) for name in run.finite_at_start)


def _begin(run: Run, training: Rows, callbacks: Sequence[Any]) -> None:
    """What precedes the first epoch."""
    if run.initial_pull is None and bool(training.weight.max() > training.weight.min()):
        measure_pull(run, training)
    notify(callbacks, "on_fit_start", run)
    if run.finite is None:
        run.finite = {"loss": float("inf"), "epoch": run.epoch, "state": _copy_of(run.module)}


def _judge_epoch(
    run: Run, weighted: torch.Tensor, validation: Rows | None, before: dict[str, Any], shown: float | None
) -> bool:
    """Keep what is best so far; whether all was finite."""
    return keep_last(run, weighted, before, shown) if validation is None else validate(run, weighted, validation)


def watch_loss(run: Run, watched: Rows | None) -> float | None:
    """Enter the losses of rows that only watch, NaN for epochs without them; the weighted one, the mean of the models'.

    A run that never had such rows has no entries.
    """
    if watched is None and VALIDATION_LOSSES[0] not in run.history:
        return None
    nothing = float("nan") if run.n_models == 1 else [float("nan")] * run.n_models
    found: Any = (None, None) if watched is None else mean_losses(run, watched)[:2]
    for name, losses in zip(VALIDATION_LOSSES, found, strict=True):
        told = run.history.setdefault(name, [])
        told += [nothing] * (run.epoch - 1 - len(told))
        record(run, name, nothing if losses is None else losses)
    return None if watched is None else float(found[0].mean())


def fit_loop(
    run: Run,
    training: Rows,
    validation: Rows | None = None,
    *,
    callbacks: Sequence[Any] = (),
    watched: Rows | None = None,
    checkpoint: Callable[[Run], None] | None = None,
    progress: Callable[[range], Iterable[int]] | None = None,
) -> None:
    """Train to ``run.max_epochs``, or until the weighted validation loss stops falling.

    Parameters
    ----------
    run : Run
        Changed in place; its module ends with the parameters of the best epoch when there is a validation set. With
        several models each has its own best epoch, and all train until the last has run out of patience.
    training, validation : Rows
        ``validation`` may be None.
    watched : Rows, default=None
        Whose loss is told, and followed by a plateau, where there is no ``validation``; it chooses nothing.
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
    _begin(run, training, callbacks)
    epochs = range(run.epoch + 1, (run.epoch if run.stop else run.max_epochs) + 1)
    for _ in epochs if progress is None else progress(epochs):
        before = _copy_of(run.module) if validation is None else {}
        record(run, "learning_rate", base_rate(run.optimizer))
        weighted = record_losses(run, *run_epoch(run, training))
        shown = None if validation is not None else watch_loss(run, watched)
        if not _judge_epoch(run, weighted, validation, before, shown):
            _back_to_finite(run)
            break
        notify(callbacks, "on_epoch_end", run)
        run.stop = run.ranks.any(run.stop)
        if checkpoint is not None:
            checkpoint(run)
        if run.stop:
            break
    if run.best_state is not None:
        run.module.load_state_dict(run.best_state)
    notify(callbacks, "on_fit_end", run)
    if run.flat is not None:
        run.flat.release()
        run.flat = None


def measure_pull(run: Run, training: Rows) -> None:
    """The pull of the weights on the untrained network, and NaN in the history for the epochs before there was one."""
    run.initial_pull = mean_losses(run, strided(training, CHUNK))[2].reshape(-1).tolist()
    nothing = float("nan") if run.n_models == 1 else [float("nan")] * run.n_models
    for name in ("weight_effect", "train_interpolation"):
        run.history[name] = [nothing] * run.epoch


def record_losses(run: Run, losses: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Enter what an epoch met in the history; its weighted loss, of shape () or (n_models,)."""
    run.epoch += 1
    drawn = run.weighting == "resample"
    weighted, unweighted, pull = loss_summary(losses, weight, run.floor, drawn)
    record(run, "train_loss", weighted)
    record(run, "train_loss_unweighted", unweighted)
    if run.initial_pull is not None:
        start = torch.tensor(run.initial_pull, dtype=pull.dtype, device=pull.device).reshape(pull.shape)
        record(run, "weight_effect", pull / start)
        record(run, "train_interpolation", interpolated_share(losses, weight, run.floor, drawn, start))
    return weighted


def warn_of_units(run: Run, rows: Rows) -> None:
    """Warn of a layer of which most units are dead or saturated in the parameters kept, judged on many rows at once.

    Those of a batch only tell whether to look: a unit that is 0 for its few rows may not be so for all.
    """
    seen = [share for kind in IDLE_KINDS for share in run.history.get(kind, [[]])[-1]]
    # Where no gradient came from the start, that is said.
    if max(seen, default=0.0) < MOST_IDLE or not any(run.history["gradient_norm"][0]):
        return
    # A process without a row does not know how large they are.
    some = strided(rows, min(run.ranks.gathered(chunk_size(rows.X))))
    with run.norms.watch():
        mean_losses(run, some)
    run.ranks.share_norms(run.norms, len(some.own()))
    found = [run.norms.idle[name] for name in run.norms.names]
    warn_of_idle_units(run.norms.names, *([float(pair[place]) for pair in found] for place in range(len(IDLE_KINDS))))


def keep_last(run: Run, losses: torch.Tensor, before: dict[str, torch.Tensor], shown: float | None = None) -> bool:
    """End an epoch without validation; whether all numbers are finite, else nothing is kept.

    Parameters
    ----------
    run : Run
    losses : Tensor of shape () or (n_models,)
        Weighted, as met in the epoch: those of the parameters it began with.
    before : dict of str to Tensor
        These parameters.
    shown : float, default=None
        The loss of rows that only watch.
    """
    if not (losses.isfinite().all() and all_finite(run)):
        return False
    run.best_epoch[:] = run.epoch
    if run.finite is not None and float(losses.mean()) <= run.finite["loss"]:
        run.finite = {"loss": float(losses.mean()), "epoch": run.epoch - 1, "state": before}
    run.schedule.step(shown)
    return True


def validate(run: Run, losses: torch.Tensor, validation: Rows) -> bool:
    """End an epoch by its validation; whether all numbers are finite, else nothing is kept.

    ``losses`` are those met in the epoch, weighted, of shape () or (n_models,).
    """
    validated, unweighted, _ = mean_losses(run, validation)
    record(run, "validation_loss", validated)
    record(run, "validation_loss_unweighted", unweighted)
    if not (losses.isfinite().all() and validated.isfinite().all() and all_finite(run)):
        return False
    keep_best(run, validated)
    run.stop |= run.out_of_patience
    run.schedule.step(float(validated.mean()))
    return True


def _back_to_finite(run: Run) -> None:
    """Restore the best finite epoch, or the start and say that there is none."""
    advice = "lower learning_rate, set clip_norm, or look for extreme values in X, y or sample_weight."
    started = True
    if run.best_state is None and run.finite is not None:
        run.module.load_state_dict(run.finite["state"])
        run.best_epoch[:] = run.finite["epoch"]
        started = run.finite["loss"] < float("inf")
    if not (started and run.best_epoch.any()):
        raise FloatingPointError(f"The loss or a parameter became infinite or NaN in epoch {run.epoch}: {advice}")
    kept = ", ".join(map(str, run.best_epoch.unique().tolist()))
    tell(
        NonFiniteLossWarning(
            f"The loss or a parameter became infinite or NaN in epoch {run.epoch}: training stopped, and the network "
            f"of epoch {kept} is kept, the best finite one; {advice}"
        )
    )
