"""What the three trainers share: the door, the run with its checkpoint, and what a run leaves behind."""

from abc import ABCMeta, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from shiftfix._atomic import check_writable
from shiftfix._door import PublicCalls
from shiftfix._setting_checks import check_count, import_optional
from shiftfix.mlp._network import describe
from shiftfix.mlp._saving import checkpoint_writer, fingerprint, go_on, saved_run
from shiftfix.mlp._settings import Running, Training, concern
from shiftfix.mlp._training import (
    Rows,
    Run,
    check_callbacks,
    draw_seeds,
    own_torch_options,
    resolve_device,
    tensors_of,
)


def callbacks_and_device(running: Running) -> tuple[tuple[Any, ...], torch.device]:
    """The callbacks, and the device; raise ShiftDataError for those and for a checkpoint that cannot be written."""
    callbacks = check_callbacks(running.callbacks)
    if running.checkpoint is not None:
        check_writable(running.checkpoint)
    return callbacks, resolve_device(running.device)


def progress_bar(running: Running) -> Callable[[range], Any] | None:
    """What wraps the range of epochs, where a bar is asked for."""
    return import_optional("tqdm", "cli").tqdm if running.progress else None


def weights_may_rest(run: Run) -> bool:
    """Whether the weights vary, and no epoch was chosen by the weighted loss, which is the remedy."""
    return bool(run.history.get("weight_effect")) and run.best_state is None


def can_interpolate(run: Run, rows: Rows) -> bool:
    """Whether a model has as many parameters as there are numbers to reproduce."""
    return sum(p.numel() for p in run.parameters) / run.n_models >= rows.y.numel()


@concern
class BaseTrainer(PublicCalls, Running, BaseEstimator, metaclass=ABCMeta):
    """Seeds, checkpoints, and what a run leaves behind; see :class:`WeightedTrainer` for the settings."""

    @property
    @abstractmethod
    def _row_shape(self) -> tuple[int, ...] | Callable[[int], Any]:
        """Shape of one row, or a function that runs the fitted module on so many rows."""

    def _surroundings(self) -> AbstractContextManager[None]:
        return own_torch_options()

    def _seeds(self, n_models: int) -> dict[str, Any]:
        return draw_seeds(self.random_state, n_models)

    def _start(self, training: Training, n_models: int) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Seeds of a run, and the checkpoint that it goes on from, whose seeds they are then, or None."""
        seeds = self._seeds(n_models)
        saved = saved_run(training, training.max_epochs, seeds)
        return (seeds, None) if saved is None else (saved["seeds"], saved)

    def _checkpoint(
        self, run: Run, rows: tuple[Rows | None, ...], loss: Any, seeds: dict[str, Any], saved: dict[str, Any] | None
    ) -> Callable[[Run], None] | None:
        """Give a run the state that was saved, if any; the function that saves it after each epoch, if there is a path.

        Parameters
        ----------
        run : Run
            Before its first epoch.
        rows : tuple of Rows or None
            Of the training and the validation; part of what runs that resume one another share.
        loss : str or callable
            The setting; one with parameters is told apart by these too.
        seeds : dict
        saved : dict or None
            Content of the checkpoint.
        """
        if self.checkpoint is None:
            return None
        tensors = [tensor for part in rows if part is not None for tensor in (*tensors_of(part.X), part.y, part.weight)]
        mark = fingerprint(self.get_params(deep=False), loss, tensors)
        if saved is not None:
            go_on(run, saved, mark, self.checkpoint)
        return checkpoint_writer(self.checkpoint, mark, seeds)

    def _keep_run(self, run: Run, device: torch.device, sizes: tuple[float, float | None]) -> None:
        """Store what a run leaves behind, and the effective sizes of its rows."""
        self.device_ = str(device)
        self.module_: Any = run.module.cpu().eval()
        self.history_ = run.history
        self.layer_names_ = run.norms.names
        self.best_epoch_ = int(run.best_epoch[0]) if run.n_models == 1 else run.best_epoch.numpy()
        self.n_epochs_ = run.epoch
        self.n_steps_, self.n_batches_ = run.step, run.n_batches
        self.n_parameters_ = sum(parameter.numel() for parameter in run.module.parameters())
        self.effective_sample_size_, self.validation_effective_sample_size_ = sizes

    def summary(self, batch_size: int | None = None) -> str:
        """Table of the layers as text, and what the network takes.

        Parameters
        ----------
        batch_size : int or None, default=None
            Rows of a batch, to be told in the shapes and in the memory. None writes n, and takes the memory of a row.

        Returns
        -------
        str
            Name, kind, shape of the output and parameters of each layer; how many parameters are trained and how many
            frozen; MB (10^6 bytes) of them, and of the outputs of all layers, which the backward pass needs; and the
            steps, epochs and batches of the training.
        """
        check_is_fitted(self, "module_")
        n_rows = None if batch_size is None else check_count(batch_size, "batch_size")
        return f"{describe(self.module_, self._row_shape, n_rows, sizes=True)}{self._told_training()}"

    def _told_training(self) -> str:
        """Steps, epochs and batches as a line; nothing for a network from a file that does not have them."""
        if not hasattr(self, "n_steps_"):
            return ""
        return f"\n{self.n_steps_:,} steps in {self.n_epochs_:,} epochs, {self.n_batches_:,} batches per epoch"
