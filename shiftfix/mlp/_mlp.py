"""The fit of the two estimators: rows and targets in, a network out."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, column_or_1d

from shiftfix._learner import unchanged_on_error
from shiftfix._naming import cells_named
from shiftfix._setting_checks import check_count, check_generator
from shiftfix._validation import check_sample_weight
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._base import (
    BaseTrainer,
    callbacks_and_device,
    can_interpolate,
    progress_bar,
    weights_may_rest,
)
from shiftfix.mlp._categories import Categories, coded, learn_categories
from shiftfix.mlp._inputs import inputs_of, parts_of_eval_set, present, read_rows, read_y, rows_on
from shiftfix.mlp._network import build_network, is_random, remove_generators, warn_of_symmetry
from shiftfix.mlp._prediction import network_outputs, sampled_outputs
from shiftfix.mlp._saved import SavedNetwork
from shiftfix.mlp._saving import setting_text
from shiftfix.mlp._settings import (
    Fitting,
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
    check_network,
    check_training,
    concern,
    part_of,
)
from shiftfix.mlp._targets import Scales, Targets, learn_scales
from shiftfix.mlp._training import (
    Rows,
    Run,
    check_row_weights,
    check_schedule,
    effective_size,
    fit_loop,
    hold_out,
    limited_threads,
    make_run,
    training_weights,
    warn_of_few_rows,
    warn_of_gradients,
    warn_of_inactive_weights,
    weights_in_unit,
)

# What the state of an optimiser or a schedule belongs to: these may not change between calls of partial_fit.
CONTINUED = ("optimizer", "learning_rate", "schedule")
# X, codes and weight of some rows.
Held = tuple[Any, NDArray[Any], NDArray[np.float64]]


def continued_settings(steps: Steps, before: list[str] | None) -> list[str]:
    """Text of the settings that calls of ``partial_fit`` share; raise ShiftDataError when those before had others."""
    now = [setting_text(getattr(steps, name)) for name in CONTINUED]
    if before is not None and now != before:
        raise ShiftDataError(
            f"{', '.join(CONTINUED)} were {', '.join(before)} in the calls of partial_fit so far, and "
            f"are {', '.join(now)} now: put them back, or fit anew."
        )
    return now


def check_same_shapes(new: torch.nn.Module, fitted: torch.nn.Module) -> None:
    """Raise unless the network to go on from has the shapes of the new one."""
    shapes = [{name: value.shape for name, value in part.state_dict().items()} for part in (new, fitted)]
    if shapes[0] != shapes[1]:
        raise ShiftDataError(
            "The fitted network has other layers than the settings ask for: keep hidden_layer_sizes, n_models, "
            "batch_norm, and which of the dropout and noise settings are 0, to go on from it, or fit a new one."
        )


# Of several concerns the last comes first in the constructor.
@concern
class BaseMLP(SavedNetwork, BaseTrainer, Preset, Fitting, Penalties, Weighting, Stopping, Steps, LossSettings, Network):
    """Shared fit and forward pass of the two estimators."""

    _multi_output: ClassVar[bool]
    _y_numeric: ClassVar[bool]
    _stratify: ClassVar[bool]
    # Whether a preset embeds numbers.
    _embeds: ClassVar[bool]

    @abstractmethod
    def _learn_targets(self, y: Any) -> Targets:
        """The classes, or the number of columns, of y, from the rows that count."""

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
    ) -> Self:
        """Train the network.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_rows, n_features)
            Sparse rows are made dense a batch at a time, here and when predicting.
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
            self._check_settings()
            goes_on = self.warm_start and hasattr(self, "module_")
            X, categories = self._coded(X, not goes_on)
            # All of it: what torch does on several threads ahead of the loop would leave them to a forked child, too.
            with cells_named(X, "X"), limited_threads(self.n_threads):
                trained = self._fit(X, y, sample_weight, eval_set, categories, goes_on)
            return self._keep(*trained)

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, eval_set: Any, categories: Categories, goes_on: bool
    ) -> tuple[Any, ...]:
        """What ``_keep`` takes, of a network that was trained on these rows."""
        training = part_of(self, Training)
        callbacks, device = callbacks_and_device(training)
        X, y = self._validate(X, y, reset=not goes_on)
        weight, X, y = present(check_row_weights(sample_weight, len(y)), X, y)
        targets = self._fitted_targets() if goes_on else self._learn_targets(y)
        objective = self._loss_function(targets)
        seeds, saved = self._start(training, part_of(self, Fitting).n_members)

        trained, validation = self._split(
            X, y, weight, sample_weight is not None, eval_set, targets, seeds["split"], categories
        )
        check_schedule(training.schedule, validation is not None)
        X, codes, weight = trained
        scales = self._fitted_scales(targets) if goes_on else learn_scales(self, targets, trained, categories)
        sizes = warn_of_few_rows(weight, None if validation is None else validation[2])
        rows, validation_rows = rows_on(device, *scales.tensors(X, codes), weight), None
        if validation is not None:
            X, codes, weight = validation
            validation_rows = rows_on(device, *scales.tensors(X, codes), weight)
        run = self._run(len(rows), objective, scales, seeds, device, goes_on)
        if not goes_on:
            warn_of_symmetry(part_of(self, Network))
        write = self._checkpoint(run, (rows, validation_rows), self.loss, seeds, saved)
        fit_loop(
            run,
            rows,
            validation_rows,
            callbacks=callbacks,
            checkpoint=write,
            progress=progress_bar(training),
        )
        accuracy = targets.accuracy(run.module, rows) if weights_may_rest(run) else None
        warn_of_gradients(run.norms.names, run.history.get("gradient_norm"))
        if weights_may_rest(run):
            warn_of_inactive_weights(run.history["weight_effect"], can_interpolate(run, rows), accuracy)
        calibrated = self._calibrated(scales.targets, run.module, validation_rows)
        return run, device, sizes, replace(scales, targets=calibrated), None

    def _partial_fit(
        self, X: Any, y: Any, sample_weight: Any, targets: Targets, categories: Categories, first: bool
    ) -> Self:
        """One epoch over the rows, going on from where the last call left off."""
        self._check_settings()
        if self.early_stopping is True:
            raise ShiftDataError('partial_fit sees no held-out rows: set early_stopping="auto" or False.')
        check_schedule(part_of(self, Steps).schedule, has_validation=False)
        with limited_threads(self.n_threads):
            trained = self._trained_further(X, y, sample_weight, targets, categories, first)
        return self._keep(*trained)

    def _trained_further(
        self, X: Any, y: Any, sample_weight: Any, targets: Targets, categories: Categories, first: bool
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
        weight = weight * targets.factors(codes, weight)(codes)
        scales = learn_scales(self, targets, (X, codes, weight), categories) if first else self._fitted_scales(targets)
        trained_mean = unit.setdefault("trained mean", weight.mean())
        rows = rows_on(device, *scales.tensors(X, codes), weight, unit=trained_mean)
        continued = continued_settings(training, None if state is None else state["continued"])
        seeds = self._seeds(part_of(self, Fitting).n_members) if state is None else state["seeds"]
        run = self._run(len(rows), objective, scales, seeds, device, not first)
        if first:
            warn_of_symmetry(part_of(self, Network))
        if state is not None:
            run.load_state_dict(state["run"] | {"module": run.module.state_dict()})
        run.max_epochs = run.epoch + 1
        fit_loop(run, rows, callbacks=callbacks)
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
        X: Any,
        y: NDArray[Any],
        weight: NDArray[np.float64],
        weighted: bool,
        eval_set: Any,
        targets: Targets,
        seed: int,
        categories: Categories,
    ) -> tuple[Held, Held | None]:
        """Training and validation rows, the latter None without early stopping, as (X, codes, weight).

        The training weights are tempered; the validation's are full, since its loss speaks of the target.
        """
        weighting, codes = part_of(self, Weighting), targets.codes(y, "y")
        full = training_weights(weight, 1.0, weighting.clip)
        tempered = training_weights(weight, weighting.exponent, weighting.clip)
        factors = targets.factors(codes, full)  # "balanced" is about the weights as they are used
        full, tempered = full * factors(codes), tempered * targets.factors(codes, tempered)(codes)
        held_out = None if eval_set is None else self._eval_rows(eval_set, targets, factors, categories)
        stopping, judged = part_of(self, Stopping), weighted or self.preset is not None
        rows, validation = hold_out((X, codes, tempered, full), judged, held_out, stopping, seed, self._stratify)
        return rows[:3], None if validation is None else (validation[0], validation[1], validation[3])

    def _eval_rows(
        self,
        eval_set: Any,
        targets: Targets,
        factors: Callable[[NDArray[Any]], NDArray[np.float64]],
        categories: Categories,
    ) -> tuple[Any, NDArray[Any], None, NDArray[np.float64]]:
        """The rows of an eval_set as (X, codes, None, full weight)."""
        X, y, weight = parts_of_eval_set(eval_set)
        X = coded(X, categories)
        with cells_named(X, "the eval_set's X"):
            X = read_rows(self, X)
        weight = check_row_weights(weight, X.shape[0], "the eval_set's sample_weight")
        y = np.empty(()) if y is None else read_y(y, "the eval_set's y")
        if y.ndim == 0 or len(y) != X.shape[0]:
            raise ShiftDataError(
                f"eval_set has {X.shape[0]} rows of X and {len(y) if y.ndim else 'none'} of y: pass one y per row."
            )
        if not self._multi_output and y.shape[1:] == (1,):
            y = column_or_1d(y, warn=True)  # as for the training rows
        weight, X, y = present(weight, X, y)
        codes = targets.codes(y, "the eval_set's y")
        return X, codes, None, weight * factors(codes)

    def _fitted_scales(self, targets: Targets) -> Scales:
        return Scales(self.scaler_, targets, self.categories_)

    def _build_module(self) -> torch.nn.Sequential:
        """An untrained network of the shapes of the fitted one."""
        targets, start = self._fitted_targets(), [0] * part_of(self, Fitting).n_members
        width, embedded = inputs_of(self.scaler_, self.n_features_in_, self._embeds)
        return build_network(part_of(self, Network), width, targets.n_outputs, start, n_numbers=embedded)

    def _run(
        self,
        n_rows: int,
        objective: tuple[Callable[..., Any], float],
        scales: Scales,
        seeds: dict[str, Any],
        device: torch.device,
        goes_on: bool,
    ) -> Run:
        """A run before its first epoch, of a new network or of one with the parameters of the fitted one.

        Parameters
        ----------
        n_rows : int
            Of the training.
        objective : tuple (loss, floor)
        scales : Scales
        seeds : dict
        device : torch.device
        goes_on : bool
            Whether to start from the fitted network.

        Raises
        ------
        ShiftDataError
            When the fitted network has other layers.
        """
        generator = torch.Generator(device).manual_seed(seeds["dropout"])
        width, embedded = inputs_of(scales.features, self.n_features_in_, self._embeds)
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
            n_models=part_of(self, Fitting).n_members,
            floor=floor,
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
        self.scaler_, self.categories_ = scales.features, scales.categories
        self._training_state = state
        return self

    @property
    def _row_shape(self) -> tuple[int, ...]:
        return (inputs_of(self.scaler_, self.n_features_in_, self._embeds)[0],)

    def _outputs(self, X: ArrayLike) -> NDArray[np.float64]:
        """Network outputs, shape (n_models, n_rows, n_outputs)."""
        check_is_fitted(self, "module_")
        X = coded(X, self.categories_)
        with cells_named(X, "X"):
            return network_outputs(self.module_, read_rows(self, X), self.scaler_, self.n_threads)

    def _sampled(
        self, X: ArrayLike, n_samples: int, random_state: Any, transform: Callable[[NDArray[np.float64]], NDArray[Any]]
    ) -> NDArray[np.float32]:
        """``transform`` of Monte-Carlo outputs, shape (n_samples * n_models, n_rows, ...)."""
        check_is_fitted(self, "module_")
        X = coded(X, self.categories_)
        with cells_named(X, "X"):
            rows = read_rows(self, X)
        check_count(n_samples, "n_samples")
        if not any(is_random(layer) for layer in self.module_):
            raise ShiftDataError("The network has no dropout, so that all samples would be equal: fit it with dropout.")
        rng = check_generator(self.random_state if random_state is None else random_state)
        return sampled_outputs(
            self.module_,
            rows,
            self.scaler_,
            self.n_threads,
            n_samples=n_samples,
            seed=int(rng.integers(2**31 - 1)),
            transform=transform,
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
