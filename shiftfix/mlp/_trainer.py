"""Weighted training of any torch module."""

import copy
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from shiftfix._learner import unchanged_on_error
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._base import (
    BaseTrainer,
    callbacks_and_device,
    can_interpolate,
    progress_bar,
    weights_may_rest,
)
from shiftfix.mlp._inputs import class_index_limit, module_inputs, module_rows, parts_of_eval_set, rows_on
from shiftfix.mlp._settings import (
    OwnModule,
    Penalties,
    Steps,
    Stopping,
    Training,
    Weighting,
    check_training,
    concern,
    part_of,
)
from shiftfix.mlp._training import (
    CLASSIFICATION_LOSSES,
    REGRESSION_LOSSES,
    Rows,
    borrowed_generators,
    check_loss,
    check_schedule,
    fit_loop,
    forward,
    hold_out,
    limited_threads,
    make_run,
    training_weights,
    warn_of_few_rows,
    warn_of_gradients,
    warn_of_inactive_weights,
)


def check_module(module: Any) -> None:
    """Raise ShiftDataError unless it is a torch module with something to train."""
    if not isinstance(module, torch.nn.Module):
        raise ShiftDataError(f"module is a {type(module).__name__}: a torch.nn.Module is needed.")
    if not any(parameter.requires_grad for parameter in module.parameters()):
        raise ShiftDataError("module has no parameter to train: pass one whose parameters require a gradient.")


def check_outputs(module: torch.nn.Module, loss: Any, classes: bool, *sets: Rows | None) -> None:
    """Raise unless the module takes the rows, and has a column for each class: torch says less, or trains on.

    Parameters
    ----------
    module : torch.nn.Module
    loss : str or callable
    classes : bool
        Whether the loss takes class indices.
    *sets : Rows or None
        The training rows first.
    """
    rows = [part for part in sets if part is not None]
    X = rows[0].X[:2]
    try:
        outputs = forward(module, X)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise ShiftDataError(
            f"The module fails on rows of shape {tuple(X.shape)} and {X.dtype} ({str(error).splitlines()[0]}): "
            "pass X as its first layer takes it. Whole numbers go in as int64: make pixels floats."
        ) from error
    if not classes:
        return
    n_classes = class_index_limit(outputs.shape, loss)
    largest = max(int(part.y.max()) for part in rows)
    if largest >= n_classes:
        raise ShiftDataError(
            f"y holds the class index {largest}, and the module's outputs are for {n_classes} classes: number "
            f"them from 0 to {n_classes - 1}, or give the module more outputs."
        )


# Of several concerns the last comes first in the constructor.
@concern
class WeightedTrainer(BaseTrainer, Penalties, Weighting, Stopping, Steps, OwnModule):
    """Train a torch module of your own with row weights, by the loop of the MLP estimators.

    Parameters
    ----------
    module : torch.nn.Module
        Maps a batch of rows to outputs. It is copied: training starts from its parameters and leaves them alone. Its
        own dropout layers draw from torch's global generator, which is seeded for the training and put back; threads
        that train modules take turns, and others of yours should not draw from it meanwhile.
    loss : str or callable, default="cross_entropy"
        A name ("cross_entropy", "binary_cross_entropy", "polynomial_tail" for classes 0 to K - 1; "squared_error",
        "absolute_error", "huber", "smooth_l1" for numbers), or a function of outputs and targets that returns ONE
        LOSS PER ROW, such as ``torch.nn.BCEWithLogitsLoss(reduction="none")``.
    optimizer : str or class, default="adam"
        "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw" (from ``torch.optim``, with its defaults
        but the learning rate and a momentum of 0.9), "lars" (a rate per layer, so it needs a much larger
        ``learning_rate``), or an optimiser class that is called with the parameters and ``lr``.
    learning_rate : float, default=1e-3
    schedule : str, class or None, default=None
        Learning rate after each epoch: "step" (a tenth after each third of ``max_epochs``), "multistep" (a tenth at a
        half and at three quarters), "exponential" (to a hundredth at the end), "cosine" (to 0), "plateau" (half when
        the WEIGHTED validation loss stands still), or a scheduler from ``torch.optim.lr_scheduler`` that is called
        with the optimiser, such as ``functools.partial(StepLR, step_size=30)``. None keeps it.
    warmup : int, default=0
        Epochs over which the rate rises linearly, step by step.
    batch_size : int or None, default=256
        Rows per gradient step; capped at the number of rows. None takes all rows in each step.
    max_epochs : int, default=100
    early_stopping : {"auto", True, False}, default="auto"
        Stop when the WEIGHTED loss of held-out rows stops falling, and restore the best epoch. "auto"
        does so when weights or an eval_set are given (and at least 10 rows would be held out): a
        network that interpolates its rows has forgotten their weights.
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
        Penalty l1 sum |w| + l2 / 2 sum w^2 on weights, not on biases; both together are the elastic net. It is added
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
        leaves torch's number alone. Children that are spawned may use several.
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
    module_ : torch.nn.Module
        The trained copy, on the CPU and in evaluation mode.
    history_ : dict of list
        Per epoch: "train_loss" (weighted) and "train_loss_unweighted", both as met while training, dropout and all;
        with early stopping "validation_loss" and "validation_loss_unweighted"; with weights that vary
        "weight_effect", the pull the weights still have as a share of that at the start of the training (near 0:
        they no longer act; for losses whose least value is 0), and "train_interpolation", the share of the training
        weight on rows whose loss is below 5% of that pull; "learning_rate", without the warm-up;
        "gradient_norm" and "activation_norm", lists over ``layer_names_``, of the last full batch of the epoch.
    layer_names_ : list of str
        Layers with a weight matrix, as in ``module_``.
    best_epoch_ : int
        Epoch whose parameters were kept, counted from 1.
    n_epochs_ : int
        Epochs run.
    n_parameters_ : int
        Weights and biases.
    effective_sample_size_ : float
        Of the training weights, in rows (Kish).
    validation_effective_sample_size_ : float or None
    device_ : str
        Where the network was trained.

    Notes
    -----
    Batch-norm layers from torch count every row once; those of the MLP estimators are weighted.

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
    >>> bool((trainer.predict(images).argmax(axis=1) == y).mean() > 0.9)
    True
    """

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        eval_set: tuple[Any, ...] | None = None,
    ) -> Self:
        """Train a copy of the module.

        Parameters
        ----------
        X : array-like or torch.Tensor of shape (n_rows, ...)
            Floating point goes in as float32 (or as the float64 of a module in float64), whole numbers as int64, as
            embeddings take them: make pixels floats first.
        y : array-like or torch.Tensor of shape (n_rows,) or (n_rows, ...)
            Class indices for the named classification losses; as the loss takes it otherwise.
        sample_weight : array-like of shape (n_rows,), default=None
            Non-negative; only ratios matter. Rows of weight 0 are left out altogether.
        eval_set : tuple (X, y) or (X, y, sample_weight), default=None
            Rows for early stopping instead of a split of the training rows. (X, y) counts them alike, which is right
            for labelled target rows; source rows that are held out need their weights.

        Returns
        -------
        self

        Raises
        ------
        ShiftDataError
            For a bad setting, unusable rows or weights, a loss that is not one per row, class indices beyond the
            module's outputs, or a checkpoint of another run. After any error the trainer is as it was.
        FloatingPointError
            When the loss becomes infinite or NaN, and no epoch before was better than the start.

        Warns
        -----
        InactiveWeightsWarning, LowEffectiveSizeWarning, NonFiniteLossWarning, GradientWarning
            As their docstrings say.
        """
        with unchanged_on_error(self):
            return self._fit(X, y, sample_weight, eval_set)

    def _fit(self, X: Any, y: Any, sample_weight: Any, eval_set: Any) -> Self:
        training = part_of(self, Training)
        check_training(training)
        check_module(self.module)
        loss = check_loss(self.loss, CLASSIFICATION_LOSSES | REGRESSION_LOSSES)
        callbacks, device = callbacks_and_device(training)
        X, y, weight = self._arrays(X, y, sample_weight, "")
        full = training_weights(weight, 1.0, training.clip)
        seeds, saved = self._start(training, 1)
        held_out = None if eval_set is None else self._arrays(*parts_of_eval_set(eval_set), "the eval_set's ")
        (X, y, full), validation = hold_out(
            (X, y, full), sample_weight is not None, held_out, training, seeds["split"], self._of_classes
        )
        check_schedule(training.schedule, validation is not None)
        weight = training_weights(full, training.exponent, None)
        sizes = warn_of_few_rows(weight, None if validation is None else validation[2])
        module = copy.deepcopy(self.module).to(device)
        rows = rows_on(device, X, y, weight, dtype=self._dtype)
        validation_rows = None if validation is None else rows_on(device, *validation, dtype=self._dtype)
        with limited_threads(training.n_threads), borrowed_generators(device, seeds["dropout"]) as generators:
            check_outputs(module, self.loss, self._of_classes, rows, validation_rows)
            run = make_run(module, loss, len(rows), seeds["order"], training, generators=generators)
            write = self._checkpoint(run, (rows, validation_rows), self.loss, seeds, saved)
            fit_loop(
                run,
                rows,
                validation_rows,
                callbacks=callbacks,
                checkpoint=write,
                progress=progress_bar(training),
            )
        warn_of_gradients(run.norms.names, run.history.get("gradient_norm"))
        if weights_may_rest(run):
            warn_of_inactive_weights(run.history["weight_effect"], can_interpolate(run, rows), None)
        self._keep_run(run, device, sizes)
        self._input_shape = tuple(X.shape[1:])
        return self

    @property
    def _row_shape(self) -> tuple[int, ...]:
        return self._input_shape

    @property
    def _of_classes(self) -> bool:
        """Whether the loss takes class indices."""
        return isinstance(self.loss, str) and self.loss in CLASSIFICATION_LOSSES

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.module.parameters()).dtype

    def _arrays(
        self, X: Any, y: Any, sample_weight: Any, name: str
    ) -> tuple[torch.Tensor, torch.Tensor, NDArray[np.float64]]:
        return module_rows(X, y, sample_weight, name, self.loss, self._of_classes, self._dtype)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Outputs of the module as an array of shape (n_rows, ...), without dropout: logits for the class losses."""
        check_is_fitted(self, "module_")
        with limited_threads(self.n_threads):
            return forward(self.module_, module_inputs(X, "X", self._dtype)).numpy()
