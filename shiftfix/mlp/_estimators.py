"""scikit-learn estimators on the training loop."""

import copy
import functools
import numbers
import warnings
from abc import abstractmethod

import numpy as np
import torch
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from shiftfix._validation import (
    check_count,
    check_generator,
    check_labels,
    check_number,
    check_option,
    check_sample_weight,
)
from shiftfix.exceptions import ShiftDataError, SymmetricUnitsWarning
from shiftfix.mlp._batches import Rows
from shiftfix.mlp._callbacks import check_callbacks
from shiftfix.mlp._checkpoint import check_writable, pack_estimator, read, unpack_estimator, write_atomically
from shiftfix.mlp._diagnostics import warn_of_gradients
from shiftfix.mlp._initializers import check_initializer, is_constant
from shiftfix.mlp._loop import CHUNK, fit_loop, forward, limited_threads
from shiftfix.mlp._losses import (
    CLASSIFICATION_LOSSES,
    REGRESSION_LOSSES,
    check_loss,
    class_probabilities,
    loss_floor,
)
from shiftfix.mlp._module import ACTIVATIONS, build_mlp, remove_generators
from shiftfix.mlp._monte_carlo import is_random, monte_carlo_outputs
from shiftfix.mlp._row_weights import check_row_weights, class_weights, training_weights, warn_of_few_rows
from shiftfix.mlp._schedules import check_schedule
from shiftfix.mlp._trainer import (
    TRAINING_ATTRIBUTES,
    TRAINING_PARAMETERS,
    BaseTrainer,
    resolve_device,
    setting_text,
    unchanged_on_error,
)
from shiftfix.weights import clip_weights, effective_sample_size, temper_weights

# Types that X keeps. Others become the first: whole numbers, such as seconds since 1970, may have more digits than
# float32 holds.
FLOATS = [np.float64, np.float32]
# What the state of an optimiser or a schedule belongs to: these may not change between calls of partial_fit.
CONTINUED = ("optimizer", "learning_rate", "schedule")


class BaseMLP(BaseTrainer):
    """Shared fit and forward pass of the two estimators."""

    # Dropout is off by default for numbers: its noise ahead of a linear output inflates the variance that a
    # regression is judged by, while a classifier's arg max hardly sees it.
    def __init__(
        self,
        hidden_layer_sizes=(256, 256),
        *,
        activation="relu",
        initializer="kaiming_normal",
        dropout=0.0,
        input_dropout=0.0,
        dropconnect=0.0,
        input_noise=0.0,
        batch_norm=False,
        loss="squared_error",
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
        n_models=1,
        standardize=True,
        warm_start=False,
        precision="float32",
        device="cpu",
        n_threads=1,
        progress=False,
        callbacks=None,
        checkpoint=None,
        resume=False,
        random_state=None,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.initializer = initializer
        self.dropout = dropout
        self.input_dropout = input_dropout
        self.dropconnect = dropconnect
        self.input_noise = input_noise
        self.batch_norm = batch_norm
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
        self.n_models = n_models
        self.standardize = standardize
        self.warm_start = warm_start
        self.precision = precision
        self.device = device
        self.n_threads = n_threads
        self.progress = progress
        self.callbacks = callbacks
        self.checkpoint = checkpoint
        self.resume = resume
        self.random_state = random_state

    @abstractmethod
    def _encode_targets(self, y):
        """Learn the classes, or the number of columns, of y from the rows that count."""

    @abstractmethod
    def _target_array(self, y, name):
        """Targets as the array the loss takes, scaled where the estimator scales them."""

    @abstractmethod
    def _loss_function(self):
        """Loss per row with its settings, and the least value it can have."""

    def _class_factor(self, y, weight):
        """Weight of each row's class as a function of y; 1 for numbers."""
        return lambda y: np.ones(len(y))

    def _fit_scalers(self, X, y, weight):
        """Learn the scaling from the training rows alone."""
        self.scaler_ = StandardScaler().fit(X, sample_weight=weight) if self.standardize else None

    def _check_settings(self):
        sizes = self._sizes
        for size in sizes:
            check_count(size, "hidden_layer_sizes")
        check_option(self.activation, "activation", list(ACTIVATIONS))
        check_initializer(self.initializer)
        if isinstance(self.dropout, numbers.Real):
            check_number(self.dropout, "dropout", least=0, below=1)
        elif not isinstance(self.dropout, tuple | list | np.ndarray) or len(self.dropout) != len(sizes):
            raise ShiftDataError(
                f"dropout={self.dropout!r}: a rate, or one rate for each of the {len(sizes)} hidden layers, is needed."
            )
        else:
            for rate in self.dropout:
                check_number(rate, "dropout", least=0, below=1)
        check_number(self.input_dropout, "input_dropout", least=0, below=1)
        check_number(self.dropconnect, "dropconnect", least=0, below=1)
        check_number(self.input_noise, "input_noise", least=0, below=np.inf)
        check_option(self.batch_norm, "batch_norm", [True, False])
        if self.batch_norm and self.batch_size == 1:
            raise ShiftDataError("batch_norm=True needs batches of several rows: raise batch_size above 1.")
        check_count(self.n_models, "n_models")
        check_option(self.standardize, "standardize", [True, False])
        check_option(self.warm_start, "warm_start", [True, False])
        self._check_training()
        return sizes

    @property
    def _sizes(self):
        sizes = self.hidden_layer_sizes
        if isinstance(sizes, numbers.Integral):
            return (sizes,)
        if not isinstance(sizes, tuple | list | np.ndarray):
            raise ShiftDataError(
                f"hidden_layer_sizes={sizes!r}: a tuple of whole numbers is needed, such as (256, 256)."
            )
        return sizes

    def _warn_of_symmetry(self, sizes):
        """Warn when the units of a hidden layer start alike and nothing will tell them apart."""
        if not (is_constant(self.initializer) and len(sizes)):
            return
        # With weights of 0 and f(0) = 0 no gradient reaches any weight, dropout or not.
        dead = self.initializer in ("zeros", 0) and self.activation != "sigmoid"
        if dead or not (np.any(self.dropout) or self.dropconnect):
            stay = "get no gradient" if dead else "stay equal for ever, so that a layer of many is worth one"
            warnings.warn(
                f"initializer={self.initializer!r} starts all units of a hidden layer alike, and they {stay}: take a "
                'random one, such as "kaiming_normal".',
                SymmetricUnitsWarning,
                stacklevel=4,
            )

    def fit(self, X, y, sample_weight=None, eval_set=None):
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
        y : array-like of shape (n_rows,)
            Class labels, or numbers (the regressor also takes (n_rows, n_outputs)).
        sample_weight : array-like of shape (n_rows,), default=None
            Non-negative; only ratios matter. Rows of weight 0 are left out altogether.
        eval_set : tuple (X, y) or (X, y, sample_weight), default=None
            Rows for early stopping instead of a split of the training rows. (X, y) counts them alike, which is right
            for labelled target rows; source rows that are held out need their weights. A Pipeline hands it on as it
            is: transform its X first.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For unusable X or y (scikit-learn's messages), one class only, too few rows for a split.
        ShiftDataError
            For a bad setting, unusable weights, or a checkpoint of another run. After any error the estimator is as
            it was.
        FloatingPointError
            When the loss becomes infinite or NaN, and no epoch before was better than the start.

        Warns
        -----
        InactiveWeightsWarning
            When weights were given and the network ended up interpolating its training rows.
        LowEffectiveSizeWarning, NonFiniteLossWarning, GradientWarning, SymmetricUnitsWarning
            As their docstrings say.
        """
        with unchanged_on_error(self):
            return self._fit(X, y, sample_weight, eval_set)

    def _fit(self, X, y, sample_weight, eval_set):
        sizes = self._check_settings()
        goes_on = self.warm_start and hasattr(self, "module_")
        X, y = self._validate(X, y, reset=not goes_on)
        weight = check_row_weights(sample_weight, len(X))
        if (weight == 0).any():
            kept = weight > 0
            X, y, weight = X[kept], y[kept], weight[kept]
        if not goes_on:
            self._encode_targets(y)
        loss, floor = self._loss_function()
        device = resolve_device(self.device)
        seeds = self._seeds(self.n_models)
        saved = self._saved_run(seeds)
        seeds = seeds if saved is None else saved["seeds"]

        full, tempered = (training_weights(weight, exponent, self.clip) for exponent in (1.0, self.exponent))
        factor = self._class_factor(y, full)  # "balanced" is about the weights as they are used
        full, tempered = full * factor(y), tempered * self._class_factor(y, tempered)(y)
        training, validation = self._hold_out(
            (X, y, tempered, full),
            sample_weight is not None,
            None if eval_set is None else self._check_eval_set(eval_set, factor),
            seeds["split"],
            self._stratify,
        )
        check_schedule(self.schedule, validation is not None)
        if not goes_on:
            self._fit_scalers(*training[:3])
        X, y, weight, _ = training
        training_rows = self._rows(X, y, weight, device, "y")
        validation_rows = None
        if validation is not None:
            X, y, _, held_out_weight = validation
            validation_rows = self._rows(X, y, held_out_weight, device, "the eval_set's y")
        self.effective_sample_size_, self.validation_effective_sample_size_ = warn_of_few_rows(
            weight, None if validation is None else held_out_weight
        )
        dropout_generator = torch.Generator(device).manual_seed(seeds["dropout"])
        module = self._build_module(seeds["start"], dropout_generator)
        if goes_on:
            self._check_same_shapes(module)
            module.load_state_dict(self.module_.state_dict())
        else:
            self._warn_of_symmetry(sizes)
        with limited_threads(self.n_threads):
            run = self._train(
                module.to(device),
                loss,
                training_rows,
                validation_rows,
                seeds,
                n_models=self.n_models,
                floor=floor,
                generators={"dropout": dropout_generator},
                saved=saved,
            )
            warn_of_gradients(run.norms.names, run.history.get("gradient_norm"))
            self._warn_after(run, training_rows)
        self._training_state = None
        self._keep(run, device)
        return self

    def _build_module(self, start_seeds=None, dropout_generator=None):
        """The untrained network, on the CPU."""
        seeds = [0] * self.n_models if start_seeds is None else start_seeds
        return build_mlp(
            self.n_features_in_,
            self._sizes,
            self._n_outputs,
            self.activation,
            self.dropout,
            [torch.Generator().manual_seed(seed) for seed in seeds],
            dropout_generator,
            self.initializer,
            input_dropout=self.input_dropout,
            dropconnect=self.dropconnect,
            input_noise=self.input_noise,
            batch_norm=self.batch_norm,
        )

    def _check_same_shapes(self, module):
        """Raise unless the network to go on from has the shapes of ``module``."""
        shapes = [{name: tuple(value.shape) for name, value in m.state_dict().items()} for m in (module, self.module_)]
        if shapes[0] != shapes[1]:
            raise ShiftDataError(
                "The fitted network has other layers than the settings ask for: keep hidden_layer_sizes, n_models, "
                "batch_norm, and which of the dropout and noise settings are 0, to go on from it, or fit a new one."
            )

    def _partial_fit(self, X, y, sample_weight, first):
        """One epoch over the rows, going on from where the last call left off."""
        sizes = self._check_settings()
        if self.early_stopping is True:
            raise ShiftDataError('partial_fit sees no held-out rows: set early_stopping="auto" or False.')
        check_schedule(self.schedule, has_validation=False)
        X, y = self._validate(X, y, reset=first)
        weight = check_sample_weight(sample_weight, len(X))
        if (weight == 0).any():
            kept = weight > 0
            X, y, weight = X[kept], y[kept], weight[kept]
        loss, floor = self._loss_function()
        device = resolve_device(self.device)
        # The first call sets the unit of the weights: a mean of 1 in each call would forget that the rows of one call
        # count more than those of another. The steps are those of fit, so that they round alike.
        state = getattr(self, "_training_state", None)
        unit = {"largest": weight.max()} if state is None else dict(state["unit"])
        weight = weight / unit["largest"]
        if self.clip is not None:
            weight = clip_weights(weight / unit.setdefault("mean", weight.mean()), self.clip)
        weight = temper_weights(weight, self.exponent) * self._class_factor(y, weight)(y)
        if first:
            self._fit_scalers(X, y, weight)
        rows = self._rows(X, y, weight, device, "y", unit.setdefault("trained mean", weight.mean()))

        continued = [setting_text(getattr(self, name)) for name in CONTINUED]
        if state is not None and continued != state["continued"]:
            raise ShiftDataError(
                f"{', '.join(CONTINUED)} were {', '.join(state['continued'])} in the calls of partial_fit so far, and "
                f"are {', '.join(continued)} now: put them back, or fit anew."
            )
        seeds = self._seeds(self.n_models) if state is None else state["seeds"]
        dropout_generator = torch.Generator(device).manual_seed(seeds["dropout"])
        module = self._build_module(seeds["start"], dropout_generator)
        if first:
            self._warn_of_symmetry(sizes)
        else:
            self._check_same_shapes(module)
            module.load_state_dict(self.module_.state_dict())
        with limited_threads(self.n_threads):
            run = self._make_run(
                module.to(device),
                loss,
                len(rows),
                seeds,
                n_models=self.n_models,
                floor=floor,
                generators={"dropout": dropout_generator},
            )
            if state is not None:
                run.load_state_dict(state["run"] | {"module": module.state_dict()})
            run.max_epochs = run.epoch + 1
            fit_loop(run, rows, callbacks=check_callbacks(self.callbacks))
        self._training_state = {
            "unit": {name: float(value) for name, value in unit.items()},
            "continued": continued,
            "seeds": seeds,
            "run": run.state_dict() | {"module": None, "finite": None},
        }
        self.effective_sample_size_, self.validation_effective_sample_size_ = effective_sample_size(weight), None
        self._keep(run, device)
        return self

    def _validate(self, X, y, reset=True):
        return validate_data(
            self,
            X,
            y,
            dtype=FLOATS,
            multi_output=self._multi_output,
            y_numeric=self._y_numeric,
            reset=reset,
        )

    def _check_eval_set(self, eval_set, factor):
        """The rows of an eval_set as (X, y, None, weight)."""
        if not isinstance(eval_set, tuple) or len(eval_set) not in (2, 3):
            raise ShiftDataError("eval_set needs to be a tuple (X, y) or (X, y, sample_weight), and no list.")
        X, y, *rest = eval_set
        X = validate_data(self, X, reset=False, dtype=FLOATS)
        weight = check_row_weights(rest[0] if rest else None, len(X), "the eval_set's sample_weight")
        y = np.asarray(y)
        if y.ndim == 0 or len(y) != len(X):
            raise ShiftDataError(
                f"eval_set has {len(X)} rows of X and {len(y) if y.ndim else 'none'} of y: pass one y per row."
            )
        if not self._multi_output and y.shape[1:] == (1,):
            y = column_or_1d(y, warn=True)  # as for the training rows
        kept = weight > 0
        X, y, weight = X[kept], y[kept], weight[kept]
        return X, y, None, weight * factor(y)

    def _keep(self, run, device):
        remove_generators(run.module)
        super()._keep(run, device)

    def _rows(self, X, y, weight, device, name, unit=None):
        """Scaled rows on the device, with weights of mean 1, or divided by a unit."""
        targets = self._target_array(y, name)
        return Rows(
            self._tensor(X).to(device),
            torch.as_tensor(targets).to(device),
            torch.as_tensor(weight / (weight.mean() if unit is None else unit), dtype=torch.float32).to(device),
        )

    def _tensor(self, X):
        """Standardised float32 rows; the scaling runs in the precision of X."""
        if self.scaler_ is not None:
            X = self.scaler_.transform(X)
        with np.errstate(over="ignore"):
            # Writeable, because torch warns of memory it could not write to.
            rows = np.require(X, np.float32, ["C", "W"])
        if not np.isfinite(rows).all():
            column = int(np.flatnonzero(~np.isfinite(rows).all(axis=0))[0])
            raise ShiftDataError(
                f"Values of column {column} of X are too large for the float32 network, even after scaling: rescale "
                "the column, or clip its extreme values."
            )
        return torch.as_tensor(rows)

    @property
    def _input_shape(self):
        return (self.n_features_in_,)

    def _checked(self, X):
        check_is_fitted(self, "module_")
        return validate_data(self, X, reset=False, dtype=FLOATS)

    @property
    def _n_fitted(self):
        """Number of networks there are, whatever ``n_models`` asks for by now."""
        last = self.module_[-1].weight
        return len(last) if last.ndim == 3 else 1

    def _outputs(self, X):
        """Network outputs as float64, shape (n_models, n_rows, n_outputs)."""
        X = self._checked(X)
        # In float64, so that a row's prediction does not depend on the rows it is batched with.
        module = copy.deepcopy(self.module_).double()
        axis = int(self._n_fitted > 1)
        with limited_threads(self.n_threads):
            parts = [forward(module, self._tensor(X[i : i + CHUNK]).double(), axis) for i in range(0, len(X), CHUNK)]
        outputs = torch.cat(parts, dim=axis).numpy()
        return outputs if axis else outputs[np.newaxis]

    def _sampled(self, X, n_samples, random_state, transform):
        """``transform`` of Monte-Carlo outputs, float32 of shape (n_samples * n_models, n_rows, ...)."""
        X = self._checked(X)
        check_count(n_samples, "n_samples")
        if not any(is_random(layer) for layer in self.module_):
            raise ShiftDataError("The network has no dropout, so that all samples would be equal: fit it with dropout.")
        rng = check_generator(self.random_state if random_state is None else random_state)
        generator = torch.Generator().manual_seed(int(rng.integers(2**31 - 1)))
        sample = monte_carlo_outputs(self.module_, n_samples, generator)
        parts = []
        with limited_threads(self.n_threads):
            for start in range(0, len(X), CHUNK):
                rows = self._tensor(X[start : start + CHUNK])
                outputs = sample(rows if self._n_fitted == 1 else rows.expand(self._n_fitted, *rows.shape))
                outputs = outputs.reshape(-1, *outputs.shape[-2:]).double().numpy()
                parts.append(transform(outputs).astype(np.float32))
        return np.concatenate(parts, axis=1)

    def save(self, path):
        """Write the fitted estimator to a file that runs no code when it is read; replaced whole or not at all.

        Parameters
        ----------
        path : str or path-like

        Raises
        ------
        ShiftDataError
            When a setting is a function, class or object, which cannot be stored without pickle: use joblib then. When
            a setting that makes the layers was changed after ``fit``.
        NotFittedError
            Before ``fit``.
        """
        check_is_fitted(self, "module_")
        check_writable(path)
        write_atomically(pack_estimator(self), path, "model")

    @classmethod
    def load(cls, path):
        """The estimator in a file written by :meth:`save`.

        Parameters
        ----------
        path : str or path-like

        Raises
        ------
        FileNotFoundError
        ShiftDataError
            For a damaged file, one of another program, or of another estimator.
        """
        return unpack_estimator(read(path, "model"), cls)


_ENSEMBLE = """    n_models : int, default=1
        Networks trained together by batched matrix products, each with its own start, order of rows and masks, on the
        same split; predictions are their means (a deep ensemble: Lakshminarayanan, Pritzel & Blundell 2017, NIPS).
        "plateau" follows the mean of their validation losses, and one whose loss becomes infinite ends the training
        of all.
    standardize : bool, default=True
        Scale features to weighted mean 0 and variance 1 inside (and the regressor's y).
    warm_start : bool, default=False
        Start ``fit`` from the fitted network, with its scaling and its classes.
    precision :"""
_training = TRAINING_PARAMETERS.replace("    precision :", _ENSEMBLE)

_PARAMETERS = f"""
    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(256, 256)
        Units of each hidden layer; ``()`` gives a linear model.
    activation : {{"relu", "leaky_relu", "gelu", "tanh", "sigmoid", "identity"}}, default="relu"
    initializer : str, float or callable, default="kaiming_normal"
        Starting weights: "kaiming_normal", "kaiming_uniform" (keep the signal's mean square through the activation),
        "xavier_normal", "xavier_uniform", "uniform" (within +-1 / sqrt(inputs)), "normal" (deviation 0.01), "zeros",
        "ones", a number for all weights, or a function that fills a weight matrix from a ``torch.Generator``.
    dropout : float in [0, 1) or sequence of them, default=DROPOUT
        Rate of inverted dropout after every hidden layer, or one rate per hidden layer.
    input_dropout : float in [0, 1), default=0
        Rate on the features.
    dropconnect : float in [0, 1), default=0
        Rate at which weights are dropped, one mask per step.
    input_noise : float, default=0
        Standard deviation of Gaussian noise on the (standardised) features while training.
    batch_norm : bool, default=False
        Batch normalisation ahead of each activation, with WEIGHTED means and variances.
    loss : str or callable, default=LOSS{_training}"""

_MANY = "best_epoch_ : int, or ndarray of shape (n_models,)"
_training_attributes = TRAINING_ATTRIBUTES.replace("best_epoch_ : int", _MANY)
_ATTRIBUTES = f"""
    module_ : torch.nn.Sequential
        The trained network, on the CPU and in evaluation mode; several carry a leading axis in all parameters.
    scaler_ : StandardScaler or None{_training_attributes}
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only when X had string column names.
"""


class MLPRegressor(RegressorMixin, BaseMLP):
    __doc__ = f"""Multilayer perceptron for numbers: conditional means, or medians, trained with row weights.
{
        _PARAMETERS.replace("DROPOUT", "0.0").replace(
            "LOSS",
            '''"squared_error"
        "squared_error" (means), "absolute_error" (medians), "huber" and "smooth_l1" (between the two, the switch at 1
        in the units of the standardised y), or a function of outputs and targets, both (n_rows, n_outputs), that
        returns one loss per row.''',
        )
    }
    Attributes
    ----------
    target_scaler_ : StandardScaler or None
        Scaling of y.{_ATTRIBUTES}
    Examples
    --------
    >>> import numpy as np
    >>> X = np.linspace(-1, 1, 200)[:, None]
    >>> MLPRegressor((32,), batch_size=16, random_state=0).fit(X, X[:, 0] ** 2).score(X, X[:, 0] ** 2) > 0.9
    True
    """

    _multi_output = True
    _y_numeric = True
    _stratify = False
    _saved_private = ("_single_output", "_n_outputs", "_training_state")

    def partial_fit(self, X, y, sample_weight=None):
        """One epoch over these rows; scaling is learned from the first call's, and so is the unit of the weights.

        Calls on the same rows do what as many epochs of ``fit`` with ``early_stopping=False`` do, to the bit. After
        ``fit`` they start from its network, with a new optimiser and history. A schedule by name is laid out over
        ``max_epochs`` calls; make no more of them.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
        y : array-like of shape (n_rows,) or (n_rows, n_outputs)
        sample_weight : array-like of shape (n_rows,), default=None
            On one scale over all calls: they are divided by the mean weight of the first one's rows (with
            weighting="resample" they only compare the rows of one call). Rows of weight 0 are left out altogether.

        Returns
        -------
        self

        Raises
        ------
        ShiftDataError
            For a bad setting, unusable rows or weights, and an optimiser, learning rate, schedule or network
            that differ from the last call's. After any error the estimator is as it was.
        FloatingPointError
            When the loss becomes infinite or NaN.
        """
        with unchanged_on_error(self):
            first = not hasattr(self, "module_")
            if first:
                # Its shape is learned before it is checked: what has none is refused later.
                self._encode_targets(np.atleast_1d(y))
            return self._partial_fit(X, y, sample_weight, first)

    def _loss_function(self):
        return check_loss(self.loss, REGRESSION_LOSSES), 0.0

    def _encode_targets(self, y):
        self._single_output = np.ndim(y) == 1
        self._n_outputs = 1 if self._single_output else np.shape(y)[1]

    def _fit_scalers(self, X, y, weight):
        super()._fit_scalers(X, y, weight)
        columns = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
        self.target_scaler_ = StandardScaler().fit(columns, sample_weight=weight) if self.standardize else None

    def _target_array(self, y, name):
        try:
            columns = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
        except (ValueError, TypeError) as error:
            raise ShiftDataError(f"{name} cannot be read as numbers ({error}).") from error
        if not np.isfinite(columns).all() or columns.shape[1] != self._n_outputs:
            raise ShiftDataError(f"{name} needs {self._n_outputs} finite numbers per row.")
        if self.target_scaler_ is not None:
            columns = self.target_scaler_.transform(columns)
        return columns.astype(np.float32)

    def _in_units_of_y(self, outputs):
        """Outputs of shape (n, n_rows, n_outputs) in the units of y, without the last axis for 1D y."""
        if self.target_scaler_ is not None:
            flat = self.target_scaler_.inverse_transform(outputs.reshape(-1, self._n_outputs))
            outputs = flat.reshape(outputs.shape)
        return outputs[..., 0] if self._single_output else outputs

    def predict(self, X):
        """Conditional means, float64 of shape (n_rows,), or (n_rows, n_outputs) for 2D y; medians for "absolute_error".

        The mean over the models of an ensemble.
        """
        return self.predict_members(X).mean(axis=0)

    def predict_members(self, X):
        """Prediction of each of the ``n_models`` networks, float64 of shape (n_models, n_rows[, n_outputs])."""
        return self._in_units_of_y(self._outputs(X))

    def predict_mc(self, X, n_samples=50, random_state=None):
        """Predictions with dropout on: samples whose spread shows what the network does not know.

        Batch norm and input noise stay as in :meth:`predict`. The spread is the network's alone; the noise of y is
        not in it.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
        n_samples : int, default=50
            Passes per network.
        random_state : int, numpy Generator or RandomState, default=None
            Of the masks; None takes the estimator's.

        Returns
        -------
        ndarray of float32 of shape (n_samples * n_models, n_rows[, n_outputs])
            Sample s of network k stands at s * n_models + k. DropConnect's masks are shared by 8192 rows each.

        Raises
        ------
        ShiftDataError
            For a network without dropout.
        """
        return self._sampled(X, n_samples, random_state, self._in_units_of_y)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


class MLPClassifier(ClassifierMixin, BaseMLP):
    __doc__ = f"""Multilayer perceptron for classes, trained with row weights.
{
        _PARAMETERS.replace("DROPOUT", "0.5").replace(
            "LOSS",
            '''"cross_entropy"
        "cross_entropy", "binary_cross_entropy" (two classes, one logit), "polynomial_tail" (keeps weights acting on
        rows that are right already; Wang, Chatterji, Haque & Hashimoto 2022, ICLR), or a function of logits
        (n_rows, n_classes) and class indices that returns one loss per row.
    label_smoothing : float in [0, 1), default=0
        Share of each target that is spread over all classes; ``predict_proba`` then estimates the smoothed
        probabilities.
    class_weight : None, "balanced" or dict, default=None
        Multiplies the row weights, the validation's too. "balanced" gives all classes the same total weight.''',
        )
    }
    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,){_ATTRIBUTES}
    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> MLPClassifier((32,), dropout=0.1, batch_size=16, random_state=0).fit(X, y).score(X, y) > 0.9
    True
    """

    _multi_output = False
    _y_numeric = False
    _stratify = True
    _saved_private = ("_n_outputs", "_trained_loss", "_training_state")

    def __init__(
        self,
        hidden_layer_sizes=(256, 256),
        *,
        activation="relu",
        initializer="kaiming_normal",
        dropout=0.5,
        input_dropout=0.0,
        dropconnect=0.0,
        input_noise=0.0,
        batch_norm=False,
        loss="cross_entropy",
        label_smoothing=0.0,
        class_weight=None,
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
        n_models=1,
        standardize=True,
        warm_start=False,
        precision="float32",
        device="cpu",
        n_threads=1,
        progress=False,
        callbacks=None,
        checkpoint=None,
        resume=False,
        random_state=None,
    ):
        super().__init__(
            hidden_layer_sizes,
            activation=activation,
            initializer=initializer,
            dropout=dropout,
            input_dropout=input_dropout,
            dropconnect=dropconnect,
            input_noise=input_noise,
            batch_norm=batch_norm,
            loss=loss,
            optimizer=optimizer,
            learning_rate=learning_rate,
            schedule=schedule,
            warmup=warmup,
            batch_size=batch_size,
            max_epochs=max_epochs,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            patience=patience,
            weighting=weighting,
            exponent=exponent,
            clip=clip,
            l1=l1,
            l2=l2,
            decoupled=decoupled,
            max_norm=max_norm,
            clip_norm=clip_norm,
            clip_value=clip_value,
            n_models=n_models,
            standardize=standardize,
            warm_start=warm_start,
            precision=precision,
            device=device,
            n_threads=n_threads,
            progress=progress,
            callbacks=callbacks,
            checkpoint=checkpoint,
            resume=resume,
            random_state=random_state,
        )
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """One epoch over these rows; scaling is learned from the first call's, and so is the unit of the weights.

        Calls on the same rows do what as many epochs of ``fit`` with ``early_stopping=False`` do, to the bit. After
        ``fit`` they start from its network, with a new optimiser and history. A schedule by name is laid out over
        ``max_epochs`` calls; make no more of them.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
        y : array-like of shape (n_rows,)
        classes : array-like of shape (n_classes,), default=None
            All classes there will be; needed in the first call.
        sample_weight : array-like of shape (n_rows,), default=None
            On one scale over all calls: they are divided by the mean weight of the first one's rows (with
            weighting="resample" they only compare the rows of one call). Rows of weight 0 are left out altogether.

        Returns
        -------
        self

        Raises
        ------
        ShiftDataError
            For a bad setting, unusable rows or weights, unknown labels, and an optimiser, learning rate, schedule
            or network that differ from the last call's. After any error the estimator is as it was.
        FloatingPointError
            When the loss becomes infinite or NaN.
        """
        first = not hasattr(self, "module_")
        if isinstance(self.class_weight, str) and self.class_weight == "balanced":
            raise ShiftDataError('class_weight="balanced" needs all rows at once: pass a dict to use partial_fit.')
        if first and classes is None:
            raise ShiftDataError("classes is needed in the first call of partial_fit: pass all labels there are.")
        if not first and classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ShiftDataError(
                f"classes differs from the classes of the first call, {self.classes_.tolist()}: leave it out."
            )
        with unchanged_on_error(self):
            if first:
                self._encode_targets(np.asarray(classes))
            return self._partial_fit(X, y, sample_weight, first)

    def _check_settings(self):
        sizes = super()._check_settings()
        check_number(self.label_smoothing, "label_smoothing", least=0, below=1)
        if self.label_smoothing and callable(self.loss):
            raise ShiftDataError("label_smoothing is for the named losses: a function of your own smooths on its own.")
        return sizes

    def _loss_function(self):
        loss = check_loss(self.loss, CLASSIFICATION_LOSSES)
        if self.loss == "binary_cross_entropy" and len(self.classes_) > 2:
            raise ShiftDataError(
                f'loss="binary_cross_entropy" is for two classes, and y has {len(self.classes_)}: use "cross_entropy".'
            )
        if (self._n_outputs == 1) != (self.loss == "binary_cross_entropy"):
            raise ShiftDataError(
                f"The fitted network has {self._n_outputs} outputs, which loss={self.loss!r} cannot use: keep the loss "
                "to go on from it, or fit a new estimator."
            )
        if not self.label_smoothing:
            return loss, 0.0
        loss = functools.partial(loss, label_smoothing=self.label_smoothing)
        return loss, loss_floor(loss, self._n_outputs)

    def _class_factor(self, y, weight):
        factors = class_weights(self.class_weight, self._index(y, "y"), weight, self.classes_)
        return lambda y: factors[self._index(y, "the eval_set's y")]

    def _encode_targets(self, y):
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        if len(self.classes_) < 2:
            raise ShiftDataError(
                f"y holds one class only ({self.classes_.tolist()[0]!r}, counting rows of positive weight): at least "
                "two classes are needed."
            )
        self._n_outputs = 1 if self.loss == "binary_cross_entropy" else len(self.classes_)

    def _index(self, y, name):
        """Position of each label in ``classes_``."""
        y = check_labels(y, name)
        index = np.minimum(np.searchsorted(self.classes_, y), len(self.classes_) - 1)
        unknown = self.classes_[index] != y
        if np.any(unknown):
            raise ShiftDataError(
                f"{name} holds {np.unique(y[unknown]).tolist()}, and the training classes are {self.classes_.tolist()}."
            )
        return index.astype(np.int64)

    def _target_array(self, y, name):
        return self._index(y, name)

    def _accuracy(self, module, training):
        """Share of the training weight predicted right."""
        outputs = forward(module, training.X, int(self.n_models > 1))
        found = (outputs[..., 0] > 0).long() if self._n_outputs == 1 else outputs.argmax(dim=-1)
        return float(((found == training.y).double() * training.weight).mean() / training.weight.double().mean())

    def _keep(self, run, device):
        super()._keep(run, device)
        self._trained_loss = self.loss  # predict_proba may not follow a loss that was set afterwards

    def _probabilities(self, outputs):
        """Of outputs of shape (n, n_rows, n_outputs), float64 of shape (n, n_rows, n_classes)."""
        flat = class_probabilities(self._trained_loss, outputs.reshape(-1, self._n_outputs))
        return flat.reshape(*outputs.shape[:-1], len(self.classes_))

    def predict_proba(self, X):
        """Class probabilities, float64 of shape (n_rows, n_classes), columns as ``classes_``.

        Of the loss the network was trained with: those that make the expected loss least. The mean over the models of
        an ensemble.
        """
        return self.predict_proba_members(X).mean(axis=0)

    def predict_proba_members(self, X):
        """Probabilities of each of the ``n_models`` networks, float64 of shape (n_models, n_rows, n_classes)."""
        return self._probabilities(self._outputs(X))

    def predict_proba_mc(self, X, n_samples=50, random_state=None):
        """Class probabilities with dropout on: samples whose spread shows what the network does not know.

        Batch norm and input noise stay as in :meth:`predict_proba`.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
        n_samples : int, default=50
            Passes per network.
        random_state : int, numpy Generator or RandomState, default=None
            Of the masks; None takes the estimator's.

        Returns
        -------
        ndarray of float32 of shape (n_samples * n_models, n_rows, n_classes)
            Sample s of network k stands at s * n_models + k. DropConnect's masks are shared by 8192 rows each.

        Raises
        ------
        ShiftDataError
            For a network without dropout.
        """
        return self._sampled(X, n_samples, random_state, self._probabilities)

    def predict(self, X):
        """Most probable class of each row, shape (n_rows,)."""
        found = self.predict_proba(X).argmax(axis=1)
        return self.classes_[found]
