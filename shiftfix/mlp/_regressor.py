"""A multilayer perceptron for numbers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Tags

from shiftfix._learner import unchanged_on_error
from shiftfix._naming import ColumnError, cells_named, column_word
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._held_out import held_out_rows
from shiftfix.mlp._inputs import feature_scaler, read_y
from shiftfix.mlp._mlp import BaseMLP
from shiftfix.mlp._presets import NUMBER_PRESETS, preset_values
from shiftfix.mlp._settings import RandomState, concern
from shiftfix.mlp._training import REGRESSION_LOSSES, Rows, check_loss


@dataclass(frozen=True)
class NumberTargets:
    """Numbers in columns, on the scale of the training rows; see ``Targets``.

    Parameters
    ----------
    single : bool
        Whether y has no column axis.
    n_outputs : int
    scaler : StandardScaler or None
    """

    single: bool
    n_outputs: int
    scaler: StandardScaler | None = None

    def codes(self, y: Any, name: str) -> NDArray[np.float64]:
        """Y as columns.

        Raises
        ------
        ShiftDataError
            For what is no number, not finite, or of another number of columns.
        """
        if np.asarray(y).dtype.kind == "U":
            y = np.asarray(y, dtype=object)  # numpy's text would stand in the message as np.str_
        try:
            columns = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
        except (ValueError, TypeError) as error:
            raise ShiftDataError(f"{name} cannot be read as numbers ({error}).") from error
        if not np.isfinite(columns).all() or columns.shape[1] != self.n_outputs:
            raise ShiftDataError(f"{name} needs {self.n_outputs} finite numbers per row.")
        return columns

    def check_columns(self, columns: NDArray[Any] | None, name: str) -> None:
        """Nothing: columns of numbers are counted by ``codes``."""

    def factors(
        self, codes: NDArray[Any], weight: NDArray[np.float64]
    ) -> Callable[[NDArray[Any]], NDArray[np.float64]]:
        """1 for every row."""
        return lambda codes: np.ones(len(codes))

    def scaled(self, codes: NDArray[Any], weight: NDArray[np.float64]) -> Self:
        """The same on the scale of the training rows: weighted mean 0 and variance 1.

        Raises
        ------
        ShiftDataError
            For a column whose values overflow, or whose differences vanish, when squared.
        """
        names = ["y"] if self.single else [f"y {place}" for place in range(self.n_outputs)]
        try:
            return replace(self, scaler=feature_scaler(codes, weight))
        except ColumnError as error:  # in a fit, columns by position are called as those of X
            raise ShiftDataError(error.message.format(column=column_word(names, error.place))) from error

    def encode(self, codes: NDArray[Any]) -> NDArray[np.float32]:
        """The array that the loss takes.

        Raises
        ------
        ShiftDataError
            For numbers that float32 does not hold on this scale.
        """
        with np.errstate(over="ignore"):
            found = (codes if self.scaler is None else self.scaler.transform(codes)).astype(np.float32)
        if not np.isfinite(found).all():
            raise ShiftDataError(
                "y, or that of the rows to stop by, holds numbers that are too large for the float32 network on the "
                "scale of the training rows: rescale y, and give all rows the same units."
            )
        return found

    def decode(self, outputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Outputs of shape (n, n_rows, n_outputs) in the units of y, without the last axis for 1D y."""
        if self.scaler is not None:
            flat = self.scaler.inverse_transform(outputs.reshape(-1, self.n_outputs))
            outputs = flat.reshape(outputs.shape)
        return outputs[..., 0] if self.single else outputs

    def accuracy(self, module: Any, rows: Rows) -> None:
        """None: numbers are not right or wrong."""


def learn_columns(y: Any) -> NumberTargets:
    """The number of columns of y."""
    single = np.ndim(y) == 1
    return NumberTargets(single, 1 if single else np.shape(y)[1])


@concern
class MLPRegressor(RegressorMixin, BaseMLP):
    """Multilayer perceptron for numbers: conditional means, or medians, trained with row weights.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(128,)
        Units of each hidden layer; ``()`` gives a linear model.
    activation : str or sequence of str, default="relu"
        "relu", "leaky_relu", "prelu" (a slope learned for each unit), "elu", "selu", "gelu", "silu" (swish), "mish",
        "softplus", "tanh", "sigmoid", "softsign" or "identity"; or one of them per hidden layer. Behind "selu" the
        ``dropout`` is alpha dropout (unless there is a preset), since setting units to 0 would undo its normalisation;
        give such layers the initializer "auto" or "lecun_normal", ``standardize=True`` and no batch norm.
    initializer : str, float, callable or sequence of them, default="auto"
        Starting weights: "kaiming_normal", "kaiming_uniform" (He; keep the signal's mean square through the
        activation), "xavier_normal", "xavier_uniform" (Glorot), "lecun_normal", "lecun_uniform", "uniform" (within
        +-1 / sqrt(inputs)), "normal" (deviation 0.01), "zeros", "ones", a number for all weights, or a function that
        fills a weight matrix from a ``torch.Generator``. "auto" is what goes with the activation: "kaiming_normal" for
        relu and its kin, "xavier_normal" for tanh, sigmoid and softsign, "lecun_normal" for selu. Or one per hidden
        layer, of which the last is the output layer's too unless there is one more.
    dropout : float in [0, 1) or sequence of them, default=0.0
        Rate of inverted dropout after every hidden layer, or one rate per hidden layer: the share of units that is
        DROPPED. A text that gives the probability p of keeping a unit means 1 - p.
    input_dropout : float in [0, 1), default=0
        Rate on the features.
    dropconnect : float in [0, 1), default=0
        Rate at which weights are dropped, one mask per step.
    input_noise : float, default=0
        Standard deviation of Gaussian noise on the (standardised) features while training.
    hidden_noise : float or sequence of float, default=0
        The same on the outputs of each hidden layer, behind its activation, or one deviation per hidden layer.
    batch_norm : bool, default=False
        Batch normalisation ahead of each activation, with WEIGHTED means and variances.
    preset : "tabular" or None, default=None
        "tabular" is for tables of numbers and categories: a frame may have columns of text or categories, which enter
        as indicators of the 100 levels of most weight (none for a level that is missing or new); numbers are scaled by
        their WEIGHTED quartiles, kept within 3 and embedded by learned waves; each input has a learned factor, and each
        group of parameters a rate of its own. Settings that are left at their defaults, or equal them, have others:
        hidden_layer_sizes=(64, 64, 64), activation="gelu", learning_rate=0.1, schedule="cosine_log", batch_size=256,
        max_epochs=192, patience=192, validation_fraction=0.1, n_models=8.
    loss : str or callable, default="squared_error"
        "squared_error" (means), "absolute_error" (medians), "huber" and "smooth_l1" (between the two, the switch at 1
        in the units of the standardised y), or a function of outputs and targets, both (n_rows, n_outputs), that
        returns one loss per row.
    optimizer : str or class, default="adam"
        "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw" (from ``torch.optim``, with its defaults
        but the learning rate and a momentum of 0.9), "averaged_momentum" (v = 0.9 v + 0.1 g where "momentum" has
        v = 0.9 v + g, so that the same path takes ten times the rate), "lars" (a rate per layer, so it needs a much
        larger ``learning_rate``), or an optimiser class that is called with the parameters and ``lr``. Adam corrects
        the bias of its averages: texts that leave that out take a first step of 3.2 rates where this takes one.
    learning_rate : float, default=3e-3
    running_decay : float in [0, 1) or None, default=None
        What is kept at each step of the running sum or average: of the gradients for "momentum", "averaged_momentum",
        "nesterov" and "lars" (None is 0.9), of their squares for "rmsprop" (None is 0.99, many texts have 0.9).
    eps : float or None, default=None
        What "adagrad", "rmsprop", "adam" and "adamw" add to the root they divide by, so that it is never 0; None is
        1e-10 for adagrad and 1e-8 for the others.
    schedule : str, class or None, default=None
        Learning rate after each epoch: "step" (a tenth after each third of ``max_epochs``), "multistep" (a tenth at a
        half and at three quarters), "exponential" (to a hundredth at the end), "cosine" (to 0), "plateau" (half when
        the WEIGHTED validation loss stands still), "cosine_log" (four cosine cycles, each twice as long as the one
        before), or a scheduler from ``torch.optim.lr_scheduler`` that is called with the optimiser, such as
        ``functools.partial(StepLR, step_size=30)``. None keeps it. "step_decay" and "StepLR" are "step",
        "multistep_decay" and "MultiStepLR" "multistep", "exponential_decay" and "ExponentialLR" "exponential".
    warmup : int, default=0
        Epochs over which the rate rises linearly, step by step.
    batch_size : int, "auto" or None, default="auto"
        Rows per gradient step; capped at the number of rows. "auto" is the power of two next to a twentieth of the rows
        that a network trains on, but 16 at least and 256 at most, so that an epoch is about twenty steps where rows are
        few. None takes all rows in each step.
    max_epochs : int, default=200
    early_stopping : {"auto", True, False}, default="auto"
        Stop when the WEIGHTED loss of held-out rows stops falling, and restore the best epoch: a network that
        interpolates its rows has forgotten their weights. "auto" does so, with weights and without, when at least 10
        rows would be held out (by each network) or rows to stop by are given.
    validation_fraction : float in (0, 1) or "folds", default="folds"
        Share of the rows held out, the same ones by all networks. With "folds" each of ``n_models`` networks holds out
        another n_models-th of the rows, so that all are learned from (Krogh & Vedelsby 1995, NIPS); one network, and
        several that have too few rows, hold out a tenth. Rows are drawn in the proportions of the classes; never the
        last row of one, and in folds none of a class with fewer than three. An eval_set or X_val takes the place of
        all that.
    patience : int, default=20
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
    n_models : int or None, default=None
        Networks trained together by batched matrix products, each with its own start, order of rows, masks and, unless
        ``validation_fraction`` is a number, rows to stop by; predictions are their means (a deep ensemble:
        Lakshminarayanan, Pritzel & Blundell 2017, NIPS). None is five where each can hold out 10 rows of its own, of
        20,000 at most; else one, so with an eval_set, with early_stopping=False and in ``partial_fit``; a preset has
        its own number, and ``warm_start`` that of the fitted network.
        "plateau" follows the mean of their validation losses, and one whose loss becomes infinite ends the training
        of all.
    standardize : bool, default=True
        Scale features to weighted mean 0 and variance 1 inside (and the regressor's y).
    warm_start : bool, default=False
        Start ``fit`` from the fitted network, with its scaling and its classes.
    precision : {"float32", "bfloat16"}, default="float32"
        "bfloat16" runs the forward pass under autocast; parameters and losses stay float32.
    device : str or torch.device, default="cpu"
        "auto" takes a GPU when there is one. Prediction runs on the CPU.
    n_threads : int or None, default=1
        CPU threads while fitting and predicting, no more than there are processors; torch's own number is put back
        afterwards. More than one pays for wide layers on an idle machine only. A child process that is forked after a
        fit with several works with one: more would wait for threads that it does not have, as they do with None, which
        leaves torch's number alone. Children that are spawned may use several.
    data_parallel : bool, default=False
        Whether several processes train one network together: start them with torchrun, Ray Train or Slurm, call
        ``torch.distributed.init_process_group`` in each, and then ``fit`` in each with rows of its own, as many as it
        has and in any order. The model is that of one process with all of these rows, up to rounding, and all have it
        in the end. X stays where it is; y, the weights and the order of an epoch are those of all rows on each
        process, about 100 bytes per row. The first process writes ``checkpoint``; where one dies, start as many again
        with ``resume``. Not for batch norm, presets, several networks and sparse rows.
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
    target_scaler_ : StandardScaler or None
        Scaling of y.
    module_ : torch.nn.Sequential
        The trained network, on the CPU and in evaluation mode; several carry a leading axis in all parameters.
    scaler_ : StandardScaler, TableScaler or None
        The second with a preset.
    categories_ : dict of int to ndarray of str
        With a preset: the levels of each column of text or categories, by its position.
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
    best_epoch_ : int, or ndarray of shape (n_models,)
        Epoch whose parameters were kept, counted from 1.
    n_models_ : int
        Networks.
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
        The least of the networks', where each holds out its own rows.
    device_ : str
        Where the network was trained.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only when X had string column names.

    See Also
    --------
    MLPClassifier : A network for classes, with row weights and dropout.
    WeightedTrainer : Trains a torch module of your own.
    shiftfix.display.LearningCurveDisplay : Draws losses by epoch, and whether weights still act.

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
    _embeds = True
    _saved_private = ("_single_output", "_n_outputs", "_training_state")

    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> Self:
        """One epoch over these rows; scaling is learned from the first call's, and so is the unit of the weights.

        Calls on the same rows do what as many epochs of ``fit`` with ``early_stopping=False`` do, to the bit. After
        ``fit`` they start from its network, with a new optimiser and history. A schedule by name is laid out over
        ``max_epochs`` calls; make no more of them.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_rows, n_features)
        y : array-like of shape (n_rows,) or (n_rows, n_outputs)
        sample_weight : array-like of shape (n_rows,), default=None
            On one scale over all calls: they are divided by the mean weight of the first one's rows (with
            weighting="resample" they only compare the rows of one call). Rows of weight 0 are left out altogether.
        X_val, y_val, sample_weight_val : array-like, default=None
            Rows whose WEIGHTED loss goes into ``history_``, NaN for calls without them, and lowers the rate by
            schedule="plateau". They stop nothing and choose no parameters: that is for who calls.

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
        first = not hasattr(self, "module_")
        X, categories = self._coded(X, first)
        with cells_named(X, "X"), unchanged_on_error(self):
            # Its shape is learned before it is checked: what has none is refused later.
            targets = learn_columns(np.atleast_1d(read_y(y, "y"))) if first else self._fitted_targets()
            held_out = held_out_rows(None, X_val, y_val, sample_weight_val)
            return self._partial_fit(X, y, sample_weight, targets, categories, first, held_out)

    def _preset_values(self) -> Mapping[str, Any]:
        return preset_values(NUMBER_PRESETS, self.preset)

    def _learn_targets(self, y: Any, columns: NDArray[Any] | None = None) -> NumberTargets:
        return learn_columns(y)

    def _fitted_targets(self) -> NumberTargets:
        return NumberTargets(self._single_output, self._n_outputs, self.target_scaler_)

    def _loss_function(self, targets: NumberTargets) -> tuple[Callable[..., Any], float]:
        return check_loss(self.loss, REGRESSION_LOSSES), 0.0

    def _keep_targets(self, targets: NumberTargets) -> None:
        self._single_output = targets.single
        self._n_outputs = targets.n_outputs
        self.target_scaler_ = targets.scaler

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Conditional means, float64 of shape (n_rows,), or (n_rows, n_outputs) for 2D y; medians for "absolute_error".

        The mean over the models of an ensemble.
        """
        return self.predict_members(X).mean(axis=0)

    def predict_members(self, X: ArrayLike) -> NDArray[np.float64]:
        """Prediction of each of the ``n_models`` networks, float64 of shape (n_models, n_rows[, n_outputs])."""
        outputs = self._outputs(X)
        return self._fitted_targets().decode(outputs)

    def predict_mc(self, X: ArrayLike, n_samples: int = 50, random_state: RandomState = None) -> NDArray[np.float32]:
        """Predictions with dropout on: samples whose spread shows what the network does not know.

        Batch norm and noise stay as in :meth:`predict`. The spread is the network's alone; the noise of y is
        not in it.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_rows, n_features)
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
        return self._sampled(X, n_samples, random_state, lambda outputs: self._fitted_targets().decode(outputs))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
