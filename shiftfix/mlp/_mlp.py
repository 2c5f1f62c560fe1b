"""The fit of the two estimators: rows and targets in, a network out."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import Tags

from shiftfix._learner import unchanged_on_error
from shiftfix._naming import cells_named
from shiftfix._validation import check_sample_weight
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._base import (
    BaseTrainer,
    callbacks_and_device,
    can_interpolate,
    progress_bar,
    ranks_of,
    weights_may_rest,
)
from shiftfix.mlp._categories import Categories, coded, learn_categories
from shiftfix.mlp._going_on import check_same_shapes, continued_settings
from shiftfix.mlp._held_out import RowsToStopBy, held_out_rows
from shiftfix.mlp._inputs import network_inputs, present, read_rows, refuse_stored_for_preset, rows_on
from shiftfix.mlp._layer_settings import check_network
from shiftfix.mlp._network import build_network, remove_generators, warn_of_symmetry
from shiftfix.mlp._network_outputs import NetworkPredictor
from shiftfix.mlp._parallel import (
    check_same_network,
    check_shared_network,
    rows_of_all,
    rows_to_stop_by,
)
from shiftfix.mlp._saved import SavedNetwork
from shiftfix.mlp._saving import networks_of
from shiftfix.mlp._settings import (
    BatchSize,
    Count,
    Fitting,
    HeldOutShare,
    LearningRate,
    LossSettings,
    Network,
    Penalties,
    Preset,
    Steps,
    Stopping,
    Training,
    Weighting,
    check_batches,
    check_fields,
    check_training,
    concern,
    part_of,
)
from shiftfix.mlp._split import Split, plan_networks
from shiftfix.mlp._targets import Scales, Targets, learn_scales
from shiftfix.mlp._training import (
    ALONE,
    OneProcess,
    Rows,
    Run,
    check_row_weights,
    check_schedule,
    deal,
    effective_size,
    fit_loop,
    hold_out,
    limited_threads,
    make_run,
    n_dealt,
    training_weights,
    warn_of_few_rows,
    warn_of_gradients,
    warn_of_inactive_weights,
    warn_of_units,
    weights_in_unit,
)


# Of several concerns the last comes first in the constructor.
@concern
class BaseMLP(
    NetworkPredictor,
    SavedNetwork,
    BaseTrainer,
    Preset,
    Fitting,
    Penalties,
    Weighting,
    Stopping,
    Steps,
    LossSettings,
    Network,
):
    """Shared fit and forward pass of the two estimators."""

    # What lost least on twelve tables, beside other widths, lengths, rates of dropout and of learning.
    learning_rate: LearningRate = 3e-3
    batch_size: BatchSize = "auto"
    max_epochs: Count = 200
    validation_fraction: HeldOutShare = "folds"
    patience: Count = 20

    _multi_output: ClassVar[bool]
    _y_numeric: ClassVar[bool]
    _stratify: ClassVar[bool]

    @abstractmethod
    def _learn_targets(self, y: Any, columns: NDArray[Any] | None = None) -> Targets:
        """The classes, those of one-hot columns or of y, or the number of columns of y, from the rows that count."""

    @abstractmethod
    def _fitted_targets(self) -> Targets:
        """Those of the fitted estimator."""

    @abstractmethod
    def _keep_targets(self, targets: Any) -> None:
        """Store them."""

    def _calibrated(self, targets: Any, module: Any, rows: Rows | None) -> Any:
        """The targets with what the held-out rows, if any, say of a trained network."""
        return targets

    @abstractmethod
    def _loss_function(self, targets: Any) -> tuple[Callable[..., Any], float]:
        """Loss per row with its settings, and the least value it can have."""

    def _check_settings(self) -> None:
        network, training = part_of(self, Network), part_of(self, Training)
        check_network(network)
        check_fields(part_of(self, Fitting))
        check_training(training)
        check_batches(network, training)

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        eval_set: tuple[Any, ...] | None = None,
        *,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> Self:
        """Train the network.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_rows, n_features)
            Sparse rows are made dense a batch at a time, here and when predicting. See also :class:`ParquetRows`.
        y : array-like of shape (n_rows,), or of (n_rows, n_classes) or (n_rows, n_outputs)
            Class labels, or their one-hot columns: a 1 in each row and 0 elsewhere. The classes are then the names of a
            frame's columns, or 0 to n_classes - 1, and one that no row has keeps its column in ``predict_proba``;
            ``predict`` returns labels. A row with several 1s or none, as multilabel targets have, is an error. Numbers
            for the regressor.
        sample_weight : array-like of shape (n_rows,), default=None
            Non-negative; only ratios matter. Rows of weight 0 are left out altogether.
        eval_set : tuple (X, y) or (X, y, sample_weight), default=None
            Rows for early stopping instead of a split of the training rows. (X, y) counts them alike, which is right
            for labelled target rows; source rows that are held out need their weights. A Pipeline hands it on as it
            is: transform its X first, or pass X_val.
        X_val, y_val, sample_weight_val : array-like, default=None
            The same rows one by one, as scikit-learn's estimators take them: with its metadata routing
            (``set_fit_request``) a Pipeline hands them on, and transforms X_val where its ``transform_input`` says so.
            Not beside eval_set.

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
        LowEffectiveSizeWarning, NonFiniteLossWarning, GradientWarning, IdleUnitsWarning, SymmetricUnitsWarning
            As their docstrings say.
        """
        with unchanged_on_error(self):
            self._check_settings()
            held_out = held_out_rows(eval_set, X_val, y_val, sample_weight_val, self.early_stopping)
            goes_on = self.warm_start and hasattr(self, "module_")
            X, categories = self._coded(X, not goes_on)
            # All of it: what torch does on several threads ahead of the loop would leave them to a forked child, too.
            with cells_named(X, "X"), limited_threads(self.n_threads):
                trained = self._fit(X, y, sample_weight, held_out, categories, goes_on)
            return self._keep(*trained)

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        held_out: RowsToStopBy | None,
        categories: Categories,
        goes_on: bool,
    ) -> tuple[Any, ...]:
        """What ``_keep`` takes, of a network that was trained on these rows."""
        training = part_of(self, Training)
        ranks = ranks_of(training)
        callbacks, device = callbacks_and_device(training, ranks)
        check_shared_network(ranks, self, X)
        with ranks.together():
            y, columns = self._labels(y, "y")
            X, y = self._validate(X, y, reset=not goes_on)
            refuse_stored_for_preset(X, self.preset)
            weight = check_row_weights(sample_weight, len(y), shared=ranks.size > 1)
        X, y, weight = rows_of_all(ranks, (X, y, weight), sample_weight)
        check_same_network(ranks, self, columns, held_out)
        weight, X, y = present(weight, X, y)
        targets = self._targets_of(y, columns, not goes_on)
        objective = self._loss_function(targets)
        codes = targets.codes(y, "y")
        classes = codes if self._stratify else None
        one_part = held_out is not None or ranks.size > 1 or hasattr(X, "starts")
        counted = (self.n_models_ if goes_on else None, one_part, n_dealt(classes, len(codes)))
        n_models, n_parts = plan_networks(part_of(self, Fitting), part_of(self, Stopping), *counted)
        seeds, saved = self._start(training, n_models, ranks)

        split = self._split((X, codes, weight), held_out, targets, seeds["split"], categories, n_parts, ranks)
        check_schedule(training.schedule, split.validation is not None)
        scales = self._fitted_scales(targets) if goes_on else learn_scales(self, targets, split.training, categories)
        sizes = warn_of_few_rows(split.training[2], split.judging_weight)
        rows, validation_rows = split.rows_on(device, scales)
        run = self._run(len(rows), objective, scales, seeds, device, goes_on, ranks)
        if not goes_on:
            warn_of_symmetry(part_of(self, Network))
        write = self._checkpoint(run, (rows, validation_rows), self.loss, seeds, saved)
        bar = progress_bar(training, ranks)
        fit_loop(run, rows, validation_rows, callbacks=callbacks, checkpoint=write, progress=bar)
        accuracy = targets.accuracy(run.module, rows) if weights_may_rest(run) else None
        warn_of_units(run, rows)
        warn_of_gradients(run.norms.names, run.history.get("gradient_norm"), run.history.get("dead_units"))
        if weights_may_rest(run):
            warn_of_inactive_weights(run.history["weight_effect"], can_interpolate(run, rows), accuracy)
        calibrated = self._calibrated(scales.targets, run.module, validation_rows)
        return run, device, sizes, replace(scales, targets=calibrated), None

    def _partial_fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        targets: Targets,
        categories: Categories,
        first: bool,
        held_out: RowsToStopBy | None,
    ) -> Self:
        """One epoch over the rows, going on from where the last call left off."""
        self._check_settings()
        if self.early_stopping is True:
            raise ShiftDataError('partial_fit does not stop by held-out rows: set early_stopping="auto" or False.')
        if self.data_parallel:
            raise ShiftDataError("partial_fit trains in one process: leave data_parallel out, or call fit.")
        check_schedule(part_of(self, Steps).schedule, has_validation=held_out is not None)
        with limited_threads(self.n_threads):
            trained = self._trained_further(X, y, sample_weight, targets, categories, first, held_out)
        return self._keep(*trained)

    def _trained_further(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        targets: Targets,
        categories: Categories,
        first: bool,
        held_out: RowsToStopBy | None,
    ) -> tuple[Any, ...]:
        """What ``_keep`` takes, after one epoch."""
        training = part_of(self, Training)
        callbacks, device = callbacks_and_device(training)
        X, y = self._validate(X, y, reset=first)
        weight, X, y = present(check_sample_weight(sample_weight, len(y)), X, y)
        objective = self._loss_function(targets)
        state = getattr(self, "_training_state", None)

        codes = targets.codes(y, "y")
        weight, unit = weights_in_unit(weight, training, None if state is None else state["unit"])
        factors = targets.factors(codes, weight)
        weight = weight * factors(codes)
        scales = learn_scales(self, targets, (X, codes, weight), categories) if first else self._fitted_scales(targets)
        trained_mean = unit.setdefault("trained mean", weight.mean())
        rows = rows_on(device, *scales.tensors(X, codes), weight, unit=trained_mean)
        continued = continued_settings(training, None if state is None else state["continued"])
        seeds = self._seeds(networks_of(self)) if state is None else state["seeds"]
        run = self._run(len(rows), objective, scales, seeds, device, not first)
        if first:
            warn_of_symmetry(part_of(self, Network))
        if state is not None:
            run.load_state_dict(state["run"] | {"module": run.module.state_dict()})
        run.max_epochs = run.epoch + 1
        watched = None
        if held_out is not None:
            X_val, codes_val, _, weight_val = self._held_out(held_out, targets, factors, categories)
            watched = rows_on(device, *scales.tensors(X_val, codes_val), weight_val)
        fit_loop(run, rows, watched=watched, callbacks=callbacks)
        kept = {
            "unit": {name: float(value) for name, value in unit.items()},
            "continued": continued,
            "seeds": seeds,
            "run": run.state_dict() | {"module": None, "finite": None},
        }
        return run, device, (effective_size(weight), None), scales, kept

    def _coded(self, X: Any, first: bool) -> tuple[Any, Categories]:
        """The rows with codes in the place of categories, which a preset takes, and their levels, learned at first."""
        categories = (learn_categories(X) if self.preset is not None else {}) if first else self.categories_
        return coded(X, categories), categories

    def _validate(self, X: Any, y: Any, reset: bool) -> tuple[Any, NDArray[Any]]:
        return read_rows(self, X, y, reset=reset, multi_output=self._multi_output, y_numeric=self._y_numeric)

    def _split(
        self,
        rows: tuple[Any, NDArray[Any], NDArray[np.float64]],
        held_out: RowsToStopBy | None,
        targets: Targets,
        seed: int,
        categories: Categories,
        n_parts: int,
        ranks: OneProcess,
    ) -> Split:
        """Training and validation rows of (X, codes, weight), in so many parts if in more than one."""
        weighting, (X, codes, weight) = part_of(self, Weighting), rows
        full = training_weights(weight, 1.0, weighting.clip)
        tempered = training_weights(weight, weighting.exponent, weighting.clip)
        factors = targets.factors(codes, full)  # "balanced" is about the weights as they are used
        full, tempered = full * factors(codes), tempered * targets.factors(codes, tempered)(codes)
        if n_parts > 1:
            folds = deal(codes if self._stratify else None, len(codes), n_parts, seed)
            return Split((X, codes, tempered), (X, codes, full), folds)
        to_stop_by = None if held_out is None else self._held_out(held_out, targets, factors, categories, ranks)
        trained, validation = hold_out(
            (X, codes, tempered, full), to_stop_by, part_of(self, Stopping), seed, self._stratify
        )
        return Split(trained[:3], None if validation is None else (validation[0], validation[1], validation[3]))

    def _held_out(
        self,
        held_out: RowsToStopBy,
        targets: Targets,
        factors: Callable[[NDArray[Any]], NDArray[np.float64]],
        categories: Categories,
        ranks: OneProcess = ALONE,
    ) -> tuple[Any, NDArray[Any], None, NDArray[np.float64]]:
        """The rows to stop by as (X, codes, None, full weight)."""
        X, codes, weight = rows_to_stop_by(ranks, self, held_out, targets, categories)
        return X, codes, None, weight * factors(codes)

    def _labels(self, y: Any, name: str) -> tuple[Any, NDArray[Any] | None]:
        """Y, and the classes of its columns where they are one-hot; then y are the labels."""
        return y, None

    def _targets_of(self, y: Any, columns: NDArray[Any] | None, learn: bool) -> Targets:
        """The targets learned from y, or those of the fitted estimator, which the columns must be then."""
        targets = self._learn_targets(y, columns) if learn else self._fitted_targets()
        targets.check_columns(columns, "y")
        return targets

    def _fitted_scales(self, targets: Targets) -> Scales:
        return Scales(self.scaler_, targets, self.categories_)

    def _build_module(self) -> torch.nn.Sequential:
        """An untrained network of the shapes of the fitted one."""
        targets, start = self._fitted_targets(), [0] * networks_of(self)
        width, embedded = network_inputs(self.scaler_, self.n_features_in_, self._embeds)
        return build_network(part_of(self, Network), width, targets.n_outputs, start, n_numbers=embedded)

    def _run(
        self,
        n_rows: int,
        objective: tuple[Callable[..., Any], float],
        scales: Scales,
        seeds: dict[str, Any],
        device: torch.device,
        goes_on: bool,
        ranks: OneProcess = ALONE,
    ) -> Run:
        """A run before its first epoch, of a new network or, going on, of one with the parameters of the fitted one.

        Raises
        ------
        ShiftDataError
            When the fitted network has other layers.
        """
        generator = torch.Generator(device).manual_seed(seeds["dropout"])
        width, embedded = network_inputs(scales.features, self.n_features_in_, self._embeds)
        n_outputs, network = scales.targets.n_outputs, part_of(self, Network)
        module = build_network(network, width, n_outputs, seeds["start"], generator, embedded)
        if goes_on:
            check_same_shapes(module, self.module_)
            module.load_state_dict(self.module_.state_dict())
        loss, floor = objective
        return make_run(
            module.to(device),
            loss,
            n_rows,
            seeds["order"],
            part_of(self, Training),
            n_models=len(seeds["start"]),
            floor=floor,
            writes_out=True,
            ranks=ranks,
            generators={"dropout": generator},
        )

    def _keep(
        self,
        run: Run,
        device: torch.device,
        sizes: tuple[float, float | None],
        scales: Scales,
        state: dict[str, Any] | None,
    ) -> Self:
        """Store all that a fit has learned; ``state`` is for the next call of ``partial_fit``."""
        remove_generators(run.module)
        self._keep_run(run, device, sizes)
        self._keep_targets(scales.targets)
        self.n_models_ = run.n_models
        self.scaler_, self.categories_ = scales.features, scales.categories
        self._training_state = state
        return self

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
