"""Weighted training of any torch module, and what the estimators share with it."""

import copy
import functools
import os
import warnings
from abc import ABCMeta
from contextlib import contextmanager

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from shiftfix._validation import check_count, check_generator, check_number, check_option, import_optional
from shiftfix.exceptions import InactiveWeightsWarning, ShiftDataError
from shiftfix.mlp._batches import Rows
from shiftfix.mlp._callbacks import check_callbacks
from shiftfix.mlp._checkpoint import PLAIN, check_writable, digest, read, write_atomically
from shiftfix.mlp._diagnostics import INACTIVE, warn_of_gradients
from shiftfix.mlp._holdout import random_split, stratified_split
from shiftfix.mlp._loop import Run, fit_loop, forward, limited_threads
from shiftfix.mlp._losses import CLASSIFICATION_LOSSES, REGRESSION_LOSSES, check_loss
from shiftfix.mlp._module import describe
from shiftfix.mlp._optimizers import check_optimizer, make_optimizer
from shiftfix.mlp._regularizers import Regularizers
from shiftfix.mlp._row_weights import check_row_weights, check_weight_settings, training_weights, warn_of_few_rows
from shiftfix.mlp._schedules import check_schedule, make_schedule

# With fewer validation rows the least validation loss is mostly luck, so "auto" trains to the end.
MIN_AUTO_VALIDATION_ROWS = 10
# Share of the training weight predicted right above which a network has interpolated its rows; each
# row's loss is then near zero whatever its weight.
INTERPOLATION_ACCURACY = 0.99
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16}
# Settings that may differ between a run and the one that resumes it.
FREE_ON_RESUME = ("max_epochs", "n_threads", "progress", "callbacks", "checkpoint", "resume", "random_state")


def resolve_device(device):
    """torch.device for "auto", a name, or a torch.device that this machine has."""
    if isinstance(device, str) and device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        torch.empty(0, device=resolved)
    except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
        raise ShiftDataError(
            f"device={device!r} cannot be used here ({str(error).splitlines()[0][:200]}): pass "
            '"cpu", "auto", or a device that torch finds on this machine.'
        ) from error
    return resolved


def setting_text(value):
    """A setting as text that is the same in another process: functions and classes by name, objects by their numbers.

    The layers of a torch module are told apart by those too; its parameters are not part of the text.
    """
    if isinstance(value, functools.partial):
        return f"partial({setting_text(value.func)}, {value.args!r}, {sorted(value.keywords.items())!r})"
    if not callable(value):
        return repr(value)
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    is_module = isinstance(value, torch.nn.Module)
    parts = [f"{setting_text(type(part))} {_numbers(part)}" for part in (value.modules() if is_module else [value])]
    if is_module:
        parts += [f"{name} {tuple(p.shape)} {p.dtype} {p.requires_grad}" for name, p in value.named_parameters()]
    return "; ".join(parts)


def _numbers(value):
    """Attributes that are numbers, text or tuples of them, but for torch's note of the mode a module is in."""
    attributes = getattr(value, "__dict__", {})
    return sorted(
        (name, item)
        for name, item in attributes.items()
        if name != "training" and all(type(part) in PLAIN for part in (item if type(item) is tuple else (item,)))
    )


@contextmanager
def unchanged_on_error(estimator):
    """Put an estimator's attributes back when the block fails: half of a new fit beside half of an old one predicts."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


@contextmanager
def borrowed_generators(device, seed):
    """Torch's global generators that a module on this device draws from, by name: seeded, and put back afterwards."""
    generators = {"torch": torch.default_generator}
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        generators["cuda"] = torch.cuda.default_generators[index]
    elif device.type == "mps":
        generators["mps"] = torch.mps._get_default_mps_generator()
    before = {name: generator.get_state() for name, generator in generators.items()}
    try:
        for generator in generators.values():
            generator.manual_seed(seed)
        yield generators
    finally:
        for name, generator in generators.items():
            generator.set_state(before[name])


def _as_tensor(values, name):
    """Tensor of numbers from an array-like, without gradient."""
    if isinstance(values, torch.Tensor):
        return values.detach()
    array = np.asarray(values)
    if array.dtype.kind not in "biufc":
        raise ShiftDataError(
            f"{name} is an array of {array.dtype}: pass numbers; class labels as indices from 0, a sparse matrix as "
            "X.toarray()."
        )
    return torch.as_tensor(np.require(array, requirements=["W"]))  # torch warns of memory it could not write to


class BaseTrainer(BaseEstimator, metaclass=ABCMeta):
    """Settings, splitting, weights and the run itself; see :class:`WeightedTrainer` for the settings."""

    def _check_training(self):
        """Raise for a training setting out of range."""
        check_optimizer(self.optimizer)
        check_number(self.learning_rate, "learning_rate", above=0)
        check_count(self.warmup, "warmup", least=0)
        if self.batch_size is not None:
            check_count(self.batch_size, "batch_size")
        check_count(self.max_epochs, "max_epochs")
        if self.warmup > self.max_epochs:
            raise ShiftDataError(
                f"warmup={self.warmup} epochs and max_epochs={self.max_epochs}: the learning rate would never be "
                "reached; lower warmup."
            )
        check_option(self.early_stopping, "early_stopping", ["auto", True, False])
        check_number(self.validation_fraction, "validation_fraction", above=0, below=1)
        check_count(self.patience, "patience")
        check_weight_settings(self.weighting, self.exponent, self.clip)
        self._regularizers().check()
        check_option(self.precision, "precision", list(PRECISIONS))
        if self.n_threads is not None:
            check_count(self.n_threads, "n_threads")
        check_callbacks(self.callbacks)
        if self.checkpoint is not None:
            check_writable(self.checkpoint)
        elif self.resume:
            raise ShiftDataError("resume=True needs checkpoint, the path of the file to go on from.")

    def _regularizers(self):
        return Regularizers(self.l1, self.l2, self.decoupled, self.max_norm, self.clip_norm, self.clip_value)

    def _hold_out(self, rows, weighted, eval_set, seed, stratify):
        """Training and validation rows as tuples of arrays; the latter None without early stopping."""
        if eval_set is not None:
            if self.early_stopping is False:
                raise ShiftDataError("eval_set is given with early_stopping=False: drop one of them.")
            return rows, eval_set
        n_rows = len(rows[0])
        n_validation = int(np.ceil(self.validation_fraction * n_rows))
        if self.early_stopping == "auto":
            stops = weighted and n_validation >= MIN_AUTO_VALIDATION_ROWS
        else:
            stops = self.early_stopping
        if not stops:
            return rows, None
        if n_validation >= n_rows:
            raise ShiftDataError(
                f"{n_rows} rows cannot be split with validation_fraction={self.validation_fraction}: pass more rows, "
                "an eval_set, or early_stopping=False."
            )
        rng = np.random.default_rng(seed)
        if stratify:
            training, validation = stratified_split(rows[1], n_validation, rng)
        else:
            training, validation = random_split(n_rows, n_validation, rng)
        return tuple(part[training] for part in rows), tuple(part[validation] for part in rows)

    def _seeds(self, n_models):
        """Separate streams: changing, say, the dropout rate must not change the split or the start.

        The first of several models starts and walks as a single model would.
        """
        rng = check_generator(self.random_state)
        split, start, order, dropout = (int(s) for s in rng.integers(2**31 - 1, size=4))
        more = rng.integers(2**31 - 1, size=(n_models - 1, 2)).tolist()
        return {
            "split": split,
            "dropout": dropout,
            "start": [start, *(pair[0] for pair in more)],
            "order": [order, *(pair[1] for pair in more)],
        }

    def _saved_run(self, seeds):
        """The content of the checkpoint to resume from, or None for a fresh start."""
        if self.checkpoint is None or not os.path.exists(self.checkpoint):
            return None
        if not self.resume:
            raise ShiftDataError(
                f"{os.fspath(self.checkpoint)!r} exists: pass resume=True to go on from it, or move it away."
            )
        saved = read(self.checkpoint, "checkpoint")
        if saved["run"]["epoch"] > self.max_epochs:
            raise ShiftDataError(
                f"{os.fspath(self.checkpoint)!r} holds {saved['run']['epoch']} epochs, and max_epochs="
                f"{self.max_epochs}: raise it to resume."
            )
        if isinstance(self.random_state, int | np.integer) and saved["seeds"] != seeds:
            raise ShiftDataError(
                f"{os.fspath(self.checkpoint)!r} was written with another random_state, or another n_models: pass "
                "the same ones to resume."
            )
        return saved

    def _fingerprint(self, training, validation):
        """Digest of the settings and the rows, which a resumed run must share."""
        settings = [
            [name, setting_text(value)]
            for name, value in sorted(self.get_params(deep=False).items())
            if name not in FREE_ON_RESUME
        ]
        tensors = [
            t.cpu() for rows in (training, validation) if rows is not None for t in (rows.X, rows.y, rows.weight)
        ]
        if isinstance(self.loss, torch.nn.Module):
            tensors += [value.cpu() for value in self.loss.state_dict().values()]
        return digest(settings, tensors)

    def _make_run(self, module, loss, n_rows, seeds, *, n_models=1, floor=0.0, generators=None):
        """The run of a module that is on its device, before its first epoch."""
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        optimizer = make_optimizer(self.optimizer, trained, self.learning_rate)
        batch_size = n_rows if self.batch_size is None else min(self.batch_size, n_rows)
        orders = {f"order {k}": torch.Generator().manual_seed(seed) for k, seed in enumerate(seeds["order"])}
        return Run(
            module,
            loss,
            optimizer,
            generators=orders | (generators or {}),
            batch_size=batch_size,
            max_epochs=self.max_epochs,
            patience=self.patience,
            schedule=make_schedule(self.schedule, optimizer, self.max_epochs, self.patience),
            n_models=n_models,
            regularizers=self._regularizers(),
            weighting=self.weighting,
            warmup=self.warmup * -(-n_rows // batch_size),
            floor=floor,
            autocast=PRECISIONS[self.precision],
        )

    def _train(self, module, loss, training, validation, seeds, *, saved=None, **settings):
        """Run the loop on rows that are on the device; the finished run."""
        run = self._make_run(module, loss, len(training), seeds, **settings)
        write = None
        if self.checkpoint is not None:
            fingerprint = self._fingerprint(training, validation)
            if saved is not None:
                if saved["fingerprint"] != fingerprint:
                    raise ShiftDataError(
                        f"{os.fspath(self.checkpoint)!r} was written with other settings or other rows: pass the "
                        "same ones to resume, or another checkpoint to start anew."
                    )
                run.load_state_dict(saved["run"])

            def write(run):
                content = {"fingerprint": fingerprint, "seeds": seeds, "run": run.state_dict()}
                write_atomically(content, self.checkpoint, "checkpoint")

        fit_loop(
            run,
            training,
            validation,
            callbacks=check_callbacks(self.callbacks),
            checkpoint=write,
            progress=import_optional("tqdm", "cli").tqdm if self.progress else None,
        )
        return run

    def _keep(self, run, device):
        """Store what a run leaves behind."""
        self.device_ = str(device)
        self.module_ = run.module.cpu().eval()
        self.history_ = run.history
        self.layer_names_ = run.norms.names
        self.best_epoch_ = int(run.best_epoch[0]) if run.n_models == 1 else run.best_epoch.numpy()
        self.n_epochs_ = run.epoch
        self.n_parameters_ = sum(parameter.numel() for parameter in run.module.parameters())

    def _accuracy(self, module, training):
        """Hook: only the classifier has one."""

    def _warn_after(self, run, training):
        """Warn of weights that no longer act in the parameters kept."""
        effect = run.history.get("weight_effect")
        if not effect or run.best_state is not None:
            return  # a best epoch chosen by the weighted loss is the remedy
        # Fewer parameters than numbers to reproduce: a small loss then is a good model and no interpolation, and its
        # weights act on what is left. Unless every row is right, which more training only makes surer.
        n_parameters = sum(p.numel() for p in run.parameters) / run.n_models
        can_interpolate = n_parameters >= training.y.numel()
        accuracy = self._accuracy(run.module, training)
        levels = np.reshape(effect, (len(effect), -1)).mean(axis=1)
        inactive = np.abs(levels) < INACTIVE  # a loss of the user's own may go on falling below 0
        if inactive[-1] and can_interpolate:
            first = int(np.argmax(inactive)) + 1
            found = f"Since epoch {first} the pull of the weights is below {INACTIVE:.0%} of what it was at the start"
        elif accuracy is not None and accuracy > (INTERPOLATION_ACCURACY if can_interpolate else 1 - 1e-9):
            found = f"The network predicts {accuracy:.1%} of the training weight right"
        else:
            return
        warnings.warn(
            f"{found}, so that the weights hardly act any more: use early_stopping=True, a smaller network, fewer "
            "epochs, or more regularisation.",
            InactiveWeightsWarning,
            stacklevel=4,
        )

    def summary(self):
        """Table of the layers as text: name, kind, shape of the output for n rows, parameters."""
        check_is_fitted(self, "module_")
        return describe(self.module_, self._input_shape)


TRAINING_PARAMETERS = """
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
        CPU threads while fitting and predicting; torch's own number is put back afterwards. More than one
        pays for wide layers on an idle machine only. None leaves torch's number alone.
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
"""

TRAINING_ATTRIBUTES = """
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
        Where the network was trained."""


class WeightedTrainer(BaseTrainer):
    __doc__ = f"""Train a torch module of your own with row weights, by the loop of the MLP estimators.

    Parameters
    ----------
    module : torch.nn.Module
        Maps a batch of rows to outputs. It is copied: training starts from its parameters and leaves them alone. Its
        own dropout layers draw from torch's global generator, which is seeded for the training and put back.
    loss : str or callable, default="cross_entropy"
        A name ("cross_entropy", "binary_cross_entropy", "polynomial_tail" for classes 0 to K - 1; "squared_error",
        "absolute_error", "huber", "smooth_l1" for numbers), or a function of outputs and targets that returns ONE
        LOSS PER ROW, such as ``torch.nn.BCEWithLogitsLoss(reduction="none")``.{TRAINING_PARAMETERS}
    Attributes
    ----------
    module_ : torch.nn.Module
        The trained copy, on the CPU and in evaluation mode.{TRAINING_ATTRIBUTES}

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

    def __init__(
        self,
        module,
        loss="cross_entropy",
        *,
        optimizer="adam",
        learning_rate=1e-3,
        schedule=None,
        warmup=0,
        batch_size=256,
        max_epochs=100,
        early_stopping="auto",
        validation_fraction=0.1,
        patience=10,
        weighting="loss",
        exponent=1.0,
        clip=None,
        l1=0.0,
        l2=0.0,
        decoupled=False,
        max_norm=None,
        clip_norm=None,
        clip_value=None,
        precision="float32",
        device="cpu",
        n_threads=1,
        progress=False,
        callbacks=None,
        checkpoint=None,
        resume=False,
        random_state=None,
    ):
        self.module = module
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.warmup = warmup
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.weighting = weighting
        self.exponent = exponent
        self.clip = clip
        self.l1 = l1
        self.l2 = l2
        self.decoupled = decoupled
        self.max_norm = max_norm
        self.clip_norm = clip_norm
        self.clip_value = clip_value
        self.precision = precision
        self.device = device
        self.n_threads = n_threads
        self.progress = progress
        self.callbacks = callbacks
        self.checkpoint = checkpoint
        self.resume = resume
        self.random_state = random_state

    def fit(self, X, y, sample_weight=None, eval_set=None):
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

    def _fit(self, X, y, sample_weight, eval_set):
        self._check_training()
        if not isinstance(self.module, torch.nn.Module):
            raise ShiftDataError(f"module is a {type(self.module).__name__}: a torch.nn.Module is needed.")
        if not any(parameter.requires_grad for parameter in self.module.parameters()):
            raise ShiftDataError("module has no parameter to train: pass one whose parameters require a gradient.")
        loss = check_loss(self.loss, CLASSIFICATION_LOSSES | REGRESSION_LOSSES)
        device = resolve_device(self.device)
        X, y, weight = self._arrays(X, y, sample_weight, "")
        full = training_weights(weight, 1.0, self.clip)
        seeds = self._seeds(1)
        saved = self._saved_run(seeds)
        seeds = seeds if saved is None else saved["seeds"]
        held_out = None if eval_set is None else self._eval_rows(eval_set)
        training, validation = self._hold_out(
            (X, y, full), sample_weight is not None, held_out, seeds["split"], self._stratify
        )
        check_schedule(self.schedule, validation is not None)
        X, y, full = training
        weight = training_weights(full, self.exponent, None)
        self.effective_sample_size_, self.validation_effective_sample_size_ = warn_of_few_rows(
            weight, None if validation is None else validation[2]
        )
        self._input_shape = tuple(X.shape[1:])
        module = copy.deepcopy(self.module).to(device)
        training = self._on(device, X, y, weight)
        if validation is not None:
            validation = self._on(device, *validation)
        with limited_threads(self.n_threads), borrowed_generators(device, seeds["dropout"]) as generators:
            self._check_outputs(module, training, validation)
            run = self._train(module, loss, training, validation, seeds, generators=generators, saved=saved)
        warn_of_gradients(run.norms.names, run.history.get("gradient_norm"))
        self._warn_after(run, training)
        self._keep(run, device)
        return self

    def _check_outputs(self, module, *sets):
        """Raise unless the module takes the rows, and has a column for each class: torch says less, or trains on."""
        X = sets[0].X[:2]
        try:
            outputs = forward(module, X)
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            raise ShiftDataError(
                f"The module fails on rows of shape {tuple(X.shape)} and {X.dtype} ({str(error).splitlines()[0]}): "
                "pass X as its first layer takes it. Whole numbers go in as int64: make pixels floats."
            ) from error
        if not self._stratify:
            return
        shape = tuple(outputs.shape[1:])
        binary = self.loss == "binary_cross_entropy"
        if len(shape) != 1 or (shape[0] != 1 if binary else shape[0] < 2):
            raise ShiftDataError(
                f"loss={self.loss!r} needs outputs of shape (n_rows, {'1' if binary else 'n_classes'}), and the "
                f"module's have {('n_rows', *shape)}."
            )
        n_classes = 2 if binary else shape[0]
        largest = max(int(rows.y.max()) for rows in sets if rows is not None)
        if largest >= n_classes:
            raise ShiftDataError(
                f"y holds the class index {largest}, and the module's outputs are for {n_classes} classes: number "
                f"them from 0 to {n_classes - 1}, or give the module more outputs."
            )

    @property
    def _stratify(self):
        return isinstance(self.loss, str) and self.loss in CLASSIFICATION_LOSSES

    def _arrays(self, X, y, sample_weight, name):
        """Tensors of the rows that have a weight, and float64 weights, checked."""
        dtype = next(self.module.parameters()).dtype
        X = self._inputs(X, f"{name}X")
        y = _as_tensor(y, f"{name}y")
        if y.ndim == 0 or len(y) != len(X):
            raise ShiftDataError(
                f"{name}X has {len(X)} rows and {name}y has shape {tuple(y.shape)}: pass one y per row."
            )
        if self._stratify:
            if y.ndim != 1 or y.is_floating_point() or y.is_complex() or (y < 0).any():
                raise ShiftDataError(
                    f"loss={self.loss!r} needs {name}y as class indices, whole numbers from 0 in one column; found "
                    f"{y.dtype} of shape {tuple(y.shape)}."
                )
            y = y.long()
        elif isinstance(self.loss, str):
            y = y.to(dtype).reshape(len(y), -1)
        elif y.is_floating_point():
            y = y.to(dtype)
        if y.is_floating_point() and not bool(y.isfinite().all()):
            raise ShiftDataError(f"{name}y contains NaN or infinity: drop those rows.")
        weight = check_row_weights(sample_weight, len(X), f"{name}sample_weight")
        kept = weight > 0
        return (X, y, weight) if kept.all() else (X[torch.as_tensor(kept)], y[torch.as_tensor(kept)], weight[kept])

    def _inputs(self, X, name):
        X = _as_tensor(X, name)
        if X.ndim == 0 or len(X) == 0:
            raise ShiftDataError(f"{name} has shape {tuple(X.shape)}: pass at least one row.")
        if X.is_floating_point():
            X = X.to(next(self.module.parameters()).dtype)
            if not bool(X.isfinite().all()):
                raise ShiftDataError(
                    f"{name} contains NaN or infinity, or values too large for the module's precision."
                )
            return X
        return X if X.is_complex() else X.long()

    def _eval_rows(self, eval_set):
        if not isinstance(eval_set, tuple) or len(eval_set) not in (2, 3):
            raise ShiftDataError("eval_set needs to be a tuple (X, y) or (X, y, sample_weight), and no list.")
        X, y, *weight = eval_set
        return self._arrays(X, y, weight[0] if weight else None, "the eval_set's ")

    def _on(self, device, X, y, weight):
        """Rows on the device, with weights of mean 1."""
        dtype = next(self.module.parameters()).dtype
        return Rows(X.to(device), y.to(device), torch.as_tensor(weight / weight.mean(), dtype=dtype).to(device))

    def predict(self, X):
        """Outputs of the module as an array of shape (n_rows, ...), without dropout: logits for the class losses."""
        check_is_fitted(self, "module_")
        with limited_threads(self.n_threads):
            return forward(self.module_, self._inputs(X, "X")).numpy()
