"""Weighted training of any torch module."""

import os
from collections.abc import Callable
from typing import Any, Self

import torch
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted
from torch.utils.data import DataLoader, Dataset

from shiftfix._atomic import check_writable
from shiftfix._learner import unchanged_on_error
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._base import (
    BaseTrainer,
    callbacks_and_device,
    can_interpolate,
    progress_bar,
    ranks_of,
    weights_may_rest,
)
from shiftfix.mlp._held_out import TRAINING, RowsToStopBy, held_out_rows
from shiftfix.mlp._inputs import rows_on
from shiftfix.mlp._module_files import filled_module, pack_module, trainer_settings, unpack_fitted
from shiftfix.mlp._module_inputs import ModuleInput
from shiftfix.mlp._module_outputs import check_module, copy_of_module, module_dtype, proba_of_outputs
from shiftfix.mlp._module_predictions import ModulePredictor
from shiftfix.mlp._module_rows import ModuleRows, learn_module_classes, read_held_out, read_module_rows
from shiftfix.mlp._module_targets import loss_kind, outputs_as_columns
from shiftfix.mlp._parallel import check_shared_module
from shiftfix.mlp._saving import read, write_atomically
from shiftfix.mlp._settings import (
    Calibration,
    OwnModule,
    Penalties,
    Steps,
    Stopping,
    Training,
    Weighting,
    check_fields,
    check_training,
    concern,
    part_of,
    share,
)
from shiftfix.mlp._temperature import fit_temperature
from shiftfix.mlp._training import (
    CLASSIFICATION_LOSSES,
    REGRESSION_LOSSES,
    Rows,
    Run,
    borrowed_generators,
    call_module,
    check_loss,
    check_schedule,
    fit_loop,
    forward,
    hold_out,
    limited_threads,
    make_run,
    training_weights,
    try_steps,
    warn_of_few_rows,
    warn_of_gradients,
    warn_of_inactive_weights,
    warn_of_units,
)


# Of several concerns the last comes first in the constructor.
@concern
class WeightedTrainer(ModulePredictor, BaseTrainer, Penalties, Weighting, Stopping, Steps, Calibration, OwnModule):
    """Train a torch module of your own with row weights, by the loop of the MLP estimators.

    Parameters
    ----------
    module : torch.nn.Module
        Maps a batch of rows to one tensor of outputs. It is copied: training starts from its parameters and leaves
        them alone. Its own dropout layers draw from torch's global generator, which is seeded for the training and put
        back; threads that train modules take turns, and others of yours should not draw from it meanwhile. Before the
        training it is tried on a few rows, in evaluation and in training mode.
    loss : str or callable, default="cross_entropy"
        A name, or a function of outputs and targets that returns ONE LOSS PER ROW, such as
        ``torch.nn.BCEWithLogitsLoss(reduction="none")``. With "cross_entropy", "polynomial_tail" (a column of logits
        for each class) and "binary_cross_entropy" (the logit of the second class) the trainer is a classifier; with
        "squared_error", "absolute_error", "huber" and "smooth_l1" a regressor. With a function of your own
        :meth:`predict` returns the outputs, and there is no ``predict_proba`` and no ``score``.
    temperature : "auto" or None, default="auto"
        Of a classifier: "auto" scales the probabilities by a temperature that the rows held out for early stopping
        choose by their WEIGHTED likelihood; the classes predicted stay the same. It is 1 without such rows, and where
        these are few or of one class. None leaves the probabilities as the module has them.
    optimizer : str or class, default="adam"
        "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw" (from ``torch.optim``, with its defaults
        but the learning rate and a momentum of 0.9), "averaged_momentum" (v = 0.9 v + 0.1 g where "momentum" has
        v = 0.9 v + g, so that the same path takes ten times the rate), "lars" (a rate per layer, so it needs a much
        larger ``learning_rate``), or an optimiser class that is called with the parameters and ``lr``. Adam corrects
        the bias of its averages: texts that leave that out take a first step of 3.2 rates where this takes one.
    learning_rate : float, default=1e-3
    running_decay : float in [0, 1) or None, default=None
        What is kept at each step of the running sum or average: of the gradients for "momentum", "averaged_momentum",
        "nesterov" and "lars" (None is 0.9), of their squares for "rmsprop" (None is 0.99, many texts have 0.9).
    eps : float or None, default=None
        What "adagrad", "rmsprop", "adam" and "adamw" add to the root they divide by, so that it is never 0; None is
        1e-10 for adagrad and 1e-8 for the others.
    schedule : str, class or None, default=None
        Learning rate after each epoch: "step" (a tenth after each third of ``max_epochs``), "multistep" (a tenth at a
        half and at three quarters), "exponential" (to a hundredth at the end), "cosine" (to 0), "plateau" (half when
        the WEIGHTED validation loss stands still), or a scheduler from ``torch.optim.lr_scheduler`` that is called
        with the optimiser, such as ``functools.partial(StepLR, step_size=30)``. None keeps it. "step_decay" and
        "StepLR" are "step", "multistep_decay" and "MultiStepLR" "multistep", "exponential_decay" and "ExponentialLR"
        "exponential".
    warmup : int, default=0
        Epochs over which the rate rises linearly, step by step.
    batch_size : int, "auto" or None, default=256
        Rows per gradient step; capped at the number of rows. "auto" is the power of two next to a twentieth of the rows
        that a network trains on, but 16 at least and 256 at most, so that an epoch is about twenty steps where rows are
        few. None takes all rows in each step.
    max_epochs : int, default=100
    early_stopping : {"auto", True, False}, default="auto"
        Stop when the WEIGHTED loss of held-out rows stops falling, and restore the best epoch: a network that
        interpolates its rows has forgotten their weights. "auto" does so, with weights and without, when at least 10
        rows would be held out or rows to stop by are given.
    validation_fraction : float in (0, 1), default=0.1
        Share of the rows held out; drawn in the proportions of the classes, and never the last row of one.
    patience : int, default=10
        Epochs without improvement before stopping.
    weighting : {"loss", "resample"}, default="loss"
        Multiply the losses by the weights, or draw the rows of each epoch in proportion to them, with replacement,
        and leave the losses alone. Both have the same expected gradient.
    exponent : float in [0, 1], default=1
        Train with w ** exponent: 0 ignores the weights, 1 is full weighting (Shimodaira 2000). The validation loss is
        fully weighted whatever the exponent, since it speaks of the target.
    clip : float, "sqrt", percentile such as "99%", "ess", "pareto" or None, default=None
        Upper bound of the weights, before the exponent; a number bounds weights of mean 1. It is that of the rows
        held out too; the weights of an eval_set are taken as they are. See :func:`shiftfix.weights.clip_weights`.
        Weighters clip on their own: None leaves theirs.
    l1, l2 : float, default=0
        Penalty ``l1 sum |w| + l2 / 2 sum w^2`` on weights, not on biases; both are the elastic net. It is added
        to the weighted mean of the losses, whatever the scale of ``sample_weight`` and ``batch_size``.
    decoupled : bool, default=False
        Shrink the weights themselves instead of adding the penalty's gradient to the loss's: w <- w (1 - lr l2), and
        after the step towards 0 by lr l1 and no further, so that l1 gives exact zeros.
    max_norm : float or None, default=None
        Largest norm of each unit's incoming weights, restored after each step.
    clip_norm, clip_value : float or None, default=None
        Largest norm of the whole gradient, and largest size of each of its entries.
    precision : {"float32", "bfloat16"}, default="float32"
        "bfloat16" runs the forward pass under autocast; parameters and losses stay float32.
    device : str or torch.device, default="cpu"
        "auto" takes a GPU when there is one. Prediction runs on the CPU.
    n_threads : int or None, default=1
        CPU threads while fitting and predicting, no more than there are processors; torch's own number is put back
        afterwards. More than one pays for wide layers on an idle machine only. A child process that is forked after a
        fit with several works with one: more would wait for threads that it does not have, as they do with None, which
        leaves torch's number alone.
    data_parallel : bool, default=False
        Whether several processes train one network together: start them with torchrun, Ray Train or Slurm, call
        ``torch.distributed.init_process_group`` in each, and then ``fit`` in each with rows of its own, as many as it
        has and in any order. The model is that of one process with all of these rows, up to rounding, and all have it
        in the end. X stays where it is; y, the weights and the order of an epoch are those of all rows on each
        process, about 100 bytes per row. The first process writes ``checkpoint``; where one dies, start as many again
        with ``resume``. Not for batch norm; dropout of the module's own draws other masks than in one process.
    progress : bool, default=False
        Show a bar over the epochs; needs tqdm.
    callbacks : callable, object or list of them, default=None
        A function of the run is called after each epoch; an object may have ``on_fit_start``, ``on_epoch_end`` and
        ``on_fit_end``. The run has ``epoch``, ``history``, ``module`` and ``optimizer``, and stops at
        ``run.stop = True``.
    checkpoint : path or None, default=None
        File that is replaced, whole or not at all, after each epoch. It must not exist yet, unless ``resume``.
    resume : bool, default=False
        Go on from ``checkpoint`` when it exists, bit for bit as if the run had not been interrupted (on the same
        machine, with the same number of threads). Settings, rows and ``random_state`` must be the same; None takes
        the file's. One file serves one fit: a search that clones the estimator needs ``checkpoint=None``.
        ``max_epochs`` may grow, but a schedule by name keeps the length it began with. A run that a callback
        stopped goes on; one that ran out of patience has ended.
    random_state : int, numpy Generator or RandomState, default=None
        The only source of randomness; no global generator is read or set. None gives fresh entropy. Batches and the
        split are drawn by the rows' positions: the same rows in another order give another model, unless
        ``batch_size`` is None and nothing is held out or dropped.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Label of each column of the outputs; with the named losses for classes only.
    temperature_ : float
        ``predict_proba`` is in proportion to p ** (1 / T), p what the outputs mean; with the named losses
        for classes only.
    module_ : torch.nn.Module
        The trained copy, on the CPU and in evaluation mode.
    history_ : dict of list
        Per epoch: "train_loss" (weighted) and "train_loss_unweighted", both as met while training, dropout and all;
        with early stopping "validation_loss" and "validation_loss_unweighted"; with weights that vary
        "weight_effect", the pull the weights still have as a share of that at the start of the training (near 0:
        they no longer act; for losses whose least value is 0), and "train_interpolation", the share of the training
        weight on rows whose loss is below 5% of that pull; "learning_rate", without the warm-up;
        "gradient_norm", "activation_norm", "dead_units" (the share of ReLUs that are 0 for every row) and
        "saturated_units" (the share with less than 5% of their greatest slope for 95% of the rows; tanh, sigmoid,
        softsign, elu, selu, softplus), lists over ``layer_names_``, of the last full batch of the epoch.
    layer_names_ : list of str
        Layers with a weight matrix, as in ``module_``.
    best_epoch_ : int
        Epoch whose parameters were kept, counted from 1.
    n_epochs_ : int
        Epochs run.
    n_steps_ : int
        Gradient steps taken, over all epochs.
    n_batches_ : int
        Batches of an epoch, each of them a step.
    n_parameters_ : int
        Weights and biases.
    effective_sample_size_ : float
        Of the training weights, in rows (Kish).
    validation_effective_sample_size_ : float or None
    device_ : str
        Where the network was trained.
    n_features_in_ : int
        Only when X was one table.
    feature_names_in_ : ndarray of str
        Only when X was one frame.

    See Also
    --------
    MLPClassifier : A network for classes, with row weights and dropout.
    weighted_loss : The objective, for a loop of your own.

    Notes
    -----
    Batch-norm layers from torch count every row once; those of the MLP estimators are weighted. Where they fail on a
    lone row at the end of an epoch, it joins the batch before.
    The gradients of an embedding with ``sparse=True`` are made dense for an optimizer by name, not for one of your own.

    Examples
    --------
    >>> import numpy as np
    >>> from torch import nn
    >>> rng = np.random.default_rng(0)
    >>> images, y = rng.normal(size=(200, 1, 8, 8)), rng.integers(0, 2, 200)
    >>> images[y == 1, :, 2:6, 2:6] += 1
    >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))
    >>> trainer = WeightedTrainer(net, learning_rate=0.01, batch_size=32, random_state=0)
    >>> trainer = trainer.fit(images, y, sample_weight=1.0 + y)
    >>> trainer.score(images, y) > 0.9
    True
    """

    def fit(
        self,
        X: ModuleInput,
        y: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        eval_set: tuple[Any, ...] | Dataset[Any] | DataLoader[Any] | None = None,
        *,
        X_val: ModuleInput | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> Self:
        """Train a copy of the module.

        Parameters
        ----------
        X : array-like, frame or torch.Tensor of shape (n_rows, ...); dict, tuple, Dataset or DataLoader
            Floating point goes in as float32 (or as the float64 of a module in float64), whole numbers as int64, as
            embeddings take them: make pixels floats first. A tuple of arrays is passed as ``module(*X)``, a dict as
            ``module(**X)``. A torch Dataset (items ``(x, y)`` or ``(x, y, weight)``, or ``x`` alone) is read once into
            memory, a DataLoader's too, in its own order: batches are cut by ``batch_size``. See :class:`ParquetRows`.
        y : array-like or torch.Tensor of shape (n_rows,) or (n_rows, ...), default=None
            Class labels for the named losses of classes: whole numbers from 0 to K - 1 are the K columns of the
            outputs themselves; other labels (text, bools, numbers that do not begin with 0) stand for the columns in
            their sorted order.
            Numbers for the named losses of numbers. As the loss takes it otherwise. None for a Dataset that holds it.
        sample_weight : array-like of shape (n_rows,), default=None
            Non-negative; only ratios matter. Rows of weight 0 are left out altogether.
        eval_set : tuple (X, y) or (X, y, sample_weight), Dataset or DataLoader, default=None
            Rows for early stopping instead of a split of the training rows. (X, y) counts them alike, which is right
            for labelled target rows; source rows that are held out need their weights.
        X_val, y_val, sample_weight_val : as X, y and sample_weight, default=None
            The same rows one by one, as scikit-learn's estimators take them, for its metadata routing. Not beside
            eval_set.

        Returns
        -------
        self

        Raises
        ------
        ShiftDataError
            For a bad setting, unusable rows or weights, a module or a loss that fails on the rows, a loss that is not
            one per row, labels that do not fit the outputs, or a checkpoint of another run. After any error the
            trainer is as it was.
        FloatingPointError
            When the loss becomes infinite or NaN, and no epoch before was better than the start.

        Warns
        -----
        InactiveWeightsWarning, LowEffectiveSizeWarning, NonFiniteLossWarning, GradientWarning, IdleUnitsWarning
            As their docstrings say.
        """
        with unchanged_on_error(self):
            check_training(part_of(self, Training))
            share(self.validation_fraction, "validation_fraction")
            check_fields(part_of(self, Calibration))
            held_out = held_out_rows(eval_set, X_val, y_val, sample_weight_val, self.early_stopping)
            # All of it: what torch does on several threads ahead of the loop would leave them to a forked child, too.
            with limited_threads(self.n_threads):
                run, device, sizes, given, learned = self._fit(X, y, sample_weight, held_out)
            self._keep_run(run, device, sizes)
            self._keep_learned(given, learned)
            return self

    def _fit(self, X: Any, y: Any, sample_weight: Any, held_out: RowsToStopBy | None) -> tuple[Any, ...]:
        """The run of a module trained on these rows, its device and sizes, the rows, and attributes by name."""
        training = part_of(self, Training)
        check_module(self.module)
        loss = check_loss(self.loss, CLASSIFICATION_LOSSES | REGRESSION_LOSSES)
        ranks = ranks_of(training)
        callbacks, device = callbacks_and_device(training, ranks)
        check_shared_module(ranks, self, held_out)
        dtype = module_dtype(self.module)
        given = read_module_rows(X, y, sample_weight, TRAINING, self.loss, dtype, ranks=ranks)
        sets, to_stop_by = {"X": given}, None
        if held_out is not None:
            to_stop_by = read_held_out(held_out, self.loss, dtype, given.form, ranks)
            sets[held_out.names.of("X")] = to_stop_by
        seeds, saved = self._start(training, 1, ranks)
        ranks.draw_noise_from(seeds["dropout"])
        module = copy_of_module(self.module).to(device)
        with borrowed_generators(device, seeds["dropout"]) as generators:
            with ranks.together():
                classes = learn_module_classes(module, self.loss, device, sets)
            ranks.share_state(module)
            columns, y, weight = given.columns(classes, "y")
            (columns, y, full), validation = hold_out(
                (columns, y, training_weights(weight, 1.0, training.clip)),
                None if held_out is None or to_stop_by is None else to_stop_by.columns(classes, held_out.names.of("y")),
                training,
                seeds["split"],
                classes is not None,
            )
            check_schedule(training.schedule, validation is not None)
            weight = training_weights(full, training.exponent, None)
            sizes = warn_of_few_rows(weight, None if validation is None else validation[2])
            rows = rows_on(device, columns, y, weight, dtype=dtype)
            validation_rows = None if validation is None else rows_on(device, *validation, dtype=dtype)
            objective = outputs_as_columns(loss, loss_kind(self.loss))
            with ranks.together():
                least = try_steps(module, objective, rows, training, generators)
            run = make_run(
                module,
                objective,
                len(rows),
                seeds["order"],
                training,
                least_batch=least,
                ranks=ranks,
                generators=generators,
            )
            write = self._checkpoint(run, (rows, validation_rows), self.loss, seeds, saved)
            bar = progress_bar(training, ranks)
            fit_loop(run, rows, validation_rows, callbacks=callbacks, checkpoint=write, progress=bar)
            warn_of_units(run, rows)
            learned: dict[str, Any] = {}
            if classes is not None:
                learned = {"classes_": classes, "temperature_": self._tempered(run, validation_rows)}
        warn_of_gradients(run.norms.names, run.history.get("gradient_norm"), run.history.get("dead_units"))
        if weights_may_rest(run):
            warn_of_inactive_weights(run.history["weight_effect"], can_interpolate(run, rows), None)
        return run, device, sizes, given, learned

    def _tempered(self, run: Run, rows: Rows | None) -> float:
        """Temperature of the held-out rows, 1 without."""
        if rows is None or self.temperature is None:
            return 1.0
        proba = proba_of_outputs(self.loss, forward(run.module, rows.X).double().cpu().numpy())
        return fit_temperature(proba, rows.y.long().flatten().cpu().numpy(), rows.weight.double().cpu().numpy())

    def _keep_learned(self, given: ModuleRows, learned: dict[str, Any]) -> None:
        """Store what was learned of the rows, and nothing of those of a fit before."""
        for name in ("classes_", "temperature_", "n_features_in_", "feature_names_in_"):
            self.__dict__.pop(name, None)
        for name, value in (given.form.as_attributes() | learned).items():
            setattr(self, name, value)
        self._form = given.form
        self._flat_targets = given.single
        self._loss_of_fit = self.loss  # what predict returns may not follow a loss that was set afterwards

    @property
    def _row_shape(self) -> Callable[[int], Any]:
        dtype = module_dtype(self.module_)
        return lambda n_rows: call_module(self.module_, self._form.zeros(n_rows, dtype))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the trained parameters and the settings to a file that runs no code when it is read.

        The module's class stays out of it: :meth:`load` takes an untrained module of the same architecture. So do
        settings that are functions, classes or objects, which ``load`` takes too, and ``callbacks``, ``checkpoint``,
        ``resume`` and ``progress``, which are of one training.

        Parameters
        ----------
        path : str or path-like
            Replaced whole or not at all.

        Raises
        ------
        ShiftDataError
            When ``loss`` was changed after ``fit``, or the module's state holds more than tensors and numbers.
        NotFittedError
            Before ``fit``.
        """
        check_is_fitted(self, "module_")
        check_writable(path)
        if self.loss is not self._loss_of_fit and self.loss != self._loss_of_fit:
            raise ShiftDataError("loss was changed after fit: put it back, or fit again.")
        write_atomically(pack_module(self.get_params(deep=False), vars(self), self.module_), path, "model")

    @classmethod
    def load(cls, path: str | os.PathLike[str], module: torch.nn.Module, **settings: Any) -> Self:
        """The trainer in a file written by :meth:`save`.

        Parameters
        ----------
        path : str or path-like
        module : torch.nn.Module
            Untrained, of the architecture of the saved one. It is copied and left alone; names, shapes and types of
            its parameters and buffers are compared with the file's before any is set.
        **settings
            Those that the file cannot hold, such as a loss of your own.

        Raises
        ------
        FileNotFoundError
        ShiftDataError
            For a damaged file, one of another program or estimator, another module, and missing settings.
        """
        content = read(path, "model")
        check_module(module)
        trainer = cls(module, **trainer_settings(content, cls(module).get_params(deep=False), settings))
        check_training(part_of(trainer, Training))
        share(trainer.validation_fraction, "validation_fraction")
        check_loss(trainer.loss, CLASSIFICATION_LOSSES | REGRESSION_LOSSES)
        fitted = unpack_fitted(content)
        if {(loss_kind(trainer.loss) == "classes")} != {name in fitted for name in ("classes_", "temperature_")}:
            raise ShiftDataError("The module in the file was trained with another kind of loss: pass that one as loss.")
        trainer.module_ = filled_module(module, content["module"])
        for name, value in fitted.items():
            setattr(trainer, name, value)
        trainer._loss_of_fit = trainer.loss
        return trainer
