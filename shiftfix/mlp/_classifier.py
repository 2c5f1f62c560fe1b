"""A multilayer perceptron for classes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from shiftfix._learner import unchanged_on_error
from shiftfix._naming import cells_named
from shiftfix._numerics import log_proba
from shiftfix._validation import check_labels
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._class_targets import ClassTargets, learn_classes, smoothed_loss
from shiftfix.mlp._held_out import held_out_rows
from shiftfix.mlp._mlp import BaseMLP
from shiftfix.mlp._one_hot import check_one_hot_columns, read_one_hot
from shiftfix.mlp._presets import CLASS_PRESETS, preset_values
from shiftfix.mlp._settings import (
    Calibration,
    Classes,
    ClassLoss,
    RandomState,
    check_classes,
    check_fields,
    concern,
    part_of,
)
from shiftfix.mlp._temperature import scaled_proba
from shiftfix.mlp._training import Rows, class_probabilities


# ``Classes`` stands last, and so behind the loss and ahead of the steps in the constructor.
@concern
class MLPClassifier(ClassifierMixin, BaseMLP, Calibration, Classes):
    """Multilayer perceptron for classes, trained with row weights.

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
    dropout : float in [0, 1) or sequence of them, default=0.2
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
        their WEIGHTED quartiles and kept within 3; each input has a learned factor, and each group of parameters a rate
        of its own. Settings that are left at their defaults, or equal them, have others: hidden_layer_sizes=(64, 64,
        64), activation="selu", dropout=0.15, learning_rate=0.04, schedule="cosine_log", batch_size=256, max_epochs=160,
        patience=160, validation_fraction=0.1, n_models=8, and label_smoothing=0.1 for a named loss with a temperature,
        which takes back what the smoothing does to the probabilities.
    loss : str or callable, default="cross_entropy"
        "cross_entropy", "binary_cross_entropy" (two classes, one logit), "polynomial_tail" (keeps weights acting on
        rows that are right already; Wang, Chatterji, Haque & Hashimoto 2022, ICLR), or a function of logits
        (n_rows, n_classes) and class indices that returns one loss per row.
    label_smoothing : float in [0, 1), default=0
        Share of each target that is spread over all classes; ``predict_proba`` then estimates the smoothed
        probabilities.
    class_weight : None, "balanced" or dict, default=None
        Multiplies the row weights, the validation's too. "balanced" gives all classes the same total weight. A
        dict needs a weight for every label in y; labels that no row has are ignored.
    temperature : "auto" or None, default="auto"
        "auto" scales the probabilities by a temperature that the rows held out for early stopping choose by their
        WEIGHTED likelihood, in folds by that of the network which held each row out; the classes predicted stay the
        same. It is 1 without such rows, where these are few or of one class, and after ``partial_fit``. With label
        smoothing it undoes some of the smoothing. None leaves the probabilities as the network has them.
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
    classes_ : ndarray of shape (n_classes,)
    temperature_ : float
        ``predict_proba`` is in proportion to p ** (1 / T), p the mean over the networks: above 1 where these
        were surer than the held-out rows bear out.
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
    MLPRegressor : A network for values, with row weights and dropout.
    WeightedTrainer : Trains a torch module of your own.
    shiftfix.display.LearningCurveDisplay : Draws losses by epoch, and whether weights still act.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> MLPClassifier((32,), dropout=0.1, batch_size=16, random_state=0).fit(X, y).score(X, y) > 0.9
    True
    """

    dropout: float | Sequence[float] = 0.2
    loss: ClassLoss | Callable[..., Any] = "cross_entropy"

    _multi_output = False
    _y_numeric = False
    _stratify = True
    _embeds = False
    _saved_private = ("_n_outputs", "_trained_loss", "_training_state")

    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
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
        y : array-like of shape (n_rows,), or one-hot of shape (n_rows, n_classes)
        classes : array-like of shape (n_classes,), default=None
            All classes there will be; needed in the first call, unless y is one-hot.
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
            For a bad setting, unusable rows or weights, unknown labels, and an optimiser, learning rate, schedule
            or network that differ from the last call's. After any error the estimator is as it was.
        FloatingPointError
            When the loss becomes infinite or NaN.
        """
        first = not hasattr(self, "module_")
        if isinstance(self.class_weight, str) and self.class_weight == "balanced":
            raise ShiftDataError('class_weight="balanced" needs all rows at once: pass a dict to use partial_fit.')
        y, columns = self._labels(y, "y")
        classes = columns if classes is None else classes
        if first and classes is None:
            raise ShiftDataError("classes is needed in the first call of partial_fit: pass all labels there are.")
        labels = None if classes is None else check_labels(classes, "classes")
        if not (first or labels is None or np.array_equal(np.unique(labels), self.classes_)):
            raise ShiftDataError(
                f"classes differs from the classes of the first call, {self.classes_.tolist()}: leave it out."
            )
        X, categories = self._coded(X, first)
        with cells_named(X, "X"), unchanged_on_error(self):
            targets = self._learn_targets(labels) if first else self._fitted_targets()
            targets.check_columns(columns, "y")
            held_out = held_out_rows(None, X_val, y_val, sample_weight_val)
            return self._partial_fit(X, y, sample_weight, targets, categories, first, held_out)

    def _preset_values(self) -> Mapping[str, Any]:
        values = preset_values(CLASS_PRESETS, self.preset)
        taken_back = self.temperature is not None and self.early_stopping is not False and not callable(self.loss)
        return values if taken_back else {name: value for name, value in values.items() if name != "label_smoothing"}

    def _check_settings(self) -> None:
        super()._check_settings()
        check_classes(part_of(self, Classes))
        check_fields(part_of(self, Calibration))

    def _labels(self, y: Any, name: str) -> tuple[Any, NDArray[Any] | None]:
        return read_one_hot(y, name)

    def _learn_targets(self, y: Any, columns: NDArray[Any] | None = None) -> ClassTargets:
        return learn_classes(y, self.loss, self.class_weight, columns)

    def _fitted_targets(self) -> ClassTargets:
        return ClassTargets(self.classes_, self._n_outputs, self.class_weight)

    def _loss_function(self, targets: ClassTargets) -> tuple[Callable[..., Any], float]:
        return smoothed_loss(part_of(self, Classes), targets.n_outputs, len(targets.classes))

    def _calibrated(self, targets: ClassTargets, module: Any, rows: Rows | None) -> ClassTargets:
        return targets if rows is None or self.temperature is None else targets.calibrated(module, rows, self.loss)

    def _keep_targets(self, targets: ClassTargets) -> None:
        self.classes_ = targets.classes
        self.temperature_ = targets.temperature
        self._n_outputs = targets.n_outputs
        self._trained_loss = self.loss  # predict_proba may not follow a loss that was set afterwards

    def _probabilities(self, outputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of outputs of shape (n, n_rows, n_outputs), float64 of shape (n, n_rows, n_classes)."""
        flat = class_probabilities(self._trained_loss, outputs.reshape(-1, self._n_outputs))
        return flat.reshape(*outputs.shape[:-1], len(self.classes_))

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Class probabilities, float64 of shape (n_rows, n_classes), columns as ``classes_``.

        Of the loss the network was trained with: those that make the expected loss least. The mean over the models of
        an ensemble, scaled by ``temperature_``.
        """
        return scaled_proba(self.predict_proba_members(X).mean(axis=0), self.temperature_)

    def predict_log_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Logarithm of :meth:`predict_proba`, shape (n_rows, n_classes)."""
        return log_proba(self.predict_proba(X))

    def predict_proba_members(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probabilities of each of the ``n_models`` networks, float64 of shape (n_models, n_rows, n_classes).

        As the networks have them: ``temperature_`` is that of their mean, and scales :meth:`predict_proba` alone.
        """
        return self._probabilities(self._outputs(X))

    def predict_proba_mc(
        self, X: ArrayLike, n_samples: int = 50, random_state: RandomState = None
    ) -> NDArray[np.float32]:
        """Class probabilities with dropout on: samples whose spread shows what the network does not know.

        Batch norm and noise stay as in :meth:`predict_proba`. The samples are not scaled by ``temperature_``, which is
        that of the predictions without dropout.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_rows, n_features)
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

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Most probable class of each row, shape (n_rows,)."""
        found = self.predict_proba_members(X).mean(axis=0).argmax(axis=1)
        return self.classes_[found]

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Accuracy, weighted if weights are given; y are labels or one-hot columns, as in :meth:`fit`."""
        check_is_fitted(self, "module_")
        labels, columns = self._labels(y, "y")
        check_one_hot_columns(columns, self.classes_, "y")
        return float(super().score(X, labels, sample_weight))
