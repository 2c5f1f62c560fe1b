"""The fit of the two estimators: rows and targets in, a network out."""

import os
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from shiftfix._validation import check_count, check_generator, check_sample_weight
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._base import BaseTrainer, can_interpolate, train, unchanged_on_error, weights_may_rest
from shiftfix.mlp._inputs import FLOATS, parts_of_eval_set, present, rows_on, scaled_rows
from shiftfix.mlp._network import build_network, is_random, remove_generators, warn_of_symmetry
from shiftfix.mlp._prediction import network_outputs, sampled_outputs
from shiftfix.mlp._saving import (
    check_writable,
    pack_estimator,
    read,
    saved_run,
    setting_text,
    unpack_estimator,
    write_atomically,
)
from shiftfix.mlp._settings import (
    Fitting,
    Network,
    Objective,
    Penalties,
    Running,
    Steps,
    Stopping,
    Training,
    Weighting,
    check_fields,
    check_network,
    check_training,
    concern,
    part_of,
)
from shiftfix.mlp._training import (
    Rows,
    Run,
    check_row_weights,
    check_schedule,
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
from shiftfix.weights import effective_sample_size

# What the state of an optimiser or a schedule belongs to: these may not change between calls of partial_fit.
CONTINUED = ("optimizer", "learning_rate", "schedule")


class Targets(Protocol):
    """What a network learns to say. y is checked and turned into numbers once, its codes; all else takes these."""

    n_outputs: int

    def codes(self, y: Any, name: str) -> NDArray:
        """Checked numbers: class indices, or float64 of shape (n_rows, n_outputs)."""

    def factors(self, codes: NDArray, weight: NDArray[np.float64]) -> Callable[[NDArray], NDArray[np.float64]]:
        """Weight of each row's class as a function of codes, learned from the training rows; 1 for numbers."""

    def scaled(self, codes: NDArray, weight: NDArray[np.float64]) -> Self:
        """These targets on the scale of the training rows, where they have one."""

    def encode(self, codes: NDArray) -> NDArray:
        """The array that the loss takes."""

    def accuracy(self, module: torch.nn.Sequential, rows: Rows) -> float | None:
        """Share of the training weight predicted right; None for numbers."""


def placed(
    X: NDArray,
    codes: NDArray,
    weight: NDArray[np.float64],
    device: torch.device,
    scaler: StandardScaler | None,
    targets: Targets,
    unit: float | None = None,
) -> Rows:
    """Scaled rows on the device, with weights of mean 1, or divided by a unit."""
    return rows_on(device, scaled_rows(X, scaler), torch.as_tensor(targets.encode(codes)), weight, unit=unit)


# Of several concerns the last comes first in the constructor.
@concern
class BaseMLP(BaseTrainer, Running, Fitting, Penalties, Weighting, Stopping, Steps, Objective, Network):
    """Shared fit and forward pass of the two estimators."""

    _multi_output: ClassVar[bool]
    _y_numeric: ClassVar[bool]
    _stratify: ClassVar[bool]

    @abstractmethod
    def _learn_targets(self, y: Any) -> Targets:
        """The classes, or the number of columns, of y, from the rows that count."""

    @abstractmethod
    def _fitted_targets(self) -> Targets:
        """Those of the fitted estimator."""

    @abstractmethod
    def _keep_targets(self, targets: Any) -> None:
        """Store them."""

    @abstractmethod
    def _loss_function(self, targets: Any) -> tuple[Callable, float]:
        """Loss per row with its settings, and the least value it can have."""

    def _check_settings(self) -> None:
        check_network(part_of(self, Network), self.batch_size)
        check_fields(part_of(self, Fitting))
        check_training(part_of(self, Training))

    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None, eval_set: tuple | None = None
    ) -> Self:
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

    def _fit(self, X: Any, y: Any, sample_weight: Any, eval_set: Any) -> Self:
        self._check_settings()
        training = part_of(self, Training)
        callbacks, device = self._door(training)
        goes_on = self.warm_start and hasattr(self, "module_")
        X, y = self._validate(X, y, reset=not goes_on)
        weight, X, y = present(check_row_weights(sample_weight, len(X)), X, y)
        targets = self._fitted_targets() if goes_on else self._learn_targets(y)
        loss, floor = self._loss_function(targets)
        seeds = self._seeds(self.n_models)
        saved = saved_run(training, training.max_epochs, seeds)
        seeds = seeds if saved is None else saved["seeds"]

        codes = targets.codes(y, "y")
        full, tempered = (training_weights(weight, exponent, training.clip) for exponent in (1.0, training.exponent))
        factors = targets.factors(codes, full)  # "balanced" is about the weights as they are used
        full, tempered = full * factors(codes), tempered * targets.factors(codes, tempered)(codes)
        held_out = None if eval_set is None else self._eval_rows(eval_set, targets, factors)
        rows, validation = hold_out(
            (X, codes, tempered, full), sample_weight is not None, held_out, training, seeds["split"], self._stratify
        )
        check_schedule(training.schedule, validation is not None)
        X, codes, weight, _ = rows
        scaler = self.scaler_ if goes_on else self._fitted_scaler(X, weight)
        targets = targets if goes_on or not self.standardize else targets.scaled(codes, weight)
        sizes = warn_of_few_rows(weight, None if validation is None else validation[3])
        place = partial(placed, device=device, scaler=scaler, targets=targets)
        training_rows = place(X, codes, weight)
        validation_rows = None if validation is None else place(validation[0], validation[1], validation[3])

        module, generators = self._network_on(device, targets.n_outputs, seeds, goes_on)
        if not goes_on:
            warn_of_symmetry(part_of(self, Network))
        with limited_threads(training.n_threads):
            run = make_run(
                module,
                loss,
                len(training_rows),
                seeds["order"],
                training,
                n_models=self.n_models,
                floor=floor,
                generators=generators,
            )
            write = self._checkpoint(run, (training_rows, validation_rows), training.checkpoint, seeds, saved)
            train(run, training_rows, validation_rows, training, callbacks, write)
            warn_of_gradients(run.norms.names, run.history.get("gradient_norm"))
            if weights_may_rest(run):
                accuracy = targets.accuracy(run.module, training_rows)
                warn_of_inactive_weights(run.history["weight_effect"], can_interpolate(run, training_rows), accuracy)
        self._keep(run, device, sizes, scaler, targets, None)
        return self

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, targets: Targets, first: bool) -> Self:
        """One epoch over the rows, going on from where the last call left off."""
        self._check_settings()
        if self.early_stopping is True:
            raise ShiftDataError('partial_fit sees no held-out rows: set early_stopping="auto" or False.')
        check_schedule(self.schedule, has_validation=False)
        training = part_of(self, Training)
        callbacks, device = self._door(training)
        X, y = self._validate(X, y, reset=first)
        weight, X, y = present(check_sample_weight(sample_weight, len(X)), X, y)
        loss, floor = self._loss_function(targets)
        state = getattr(self, "_training_state", None)
        codes = targets.codes(y, "y")
        weight, unit = weights_in_unit(weight, training, None if state is None else state["unit"])
        weight = weight * targets.factors(codes, weight)(codes)
        scaler = self._fitted_scaler(X, weight) if first else self.scaler_
        targets = targets.scaled(codes, weight) if first and self.standardize else targets
        rows = placed(X, codes, weight, device, scaler, targets, unit.setdefault("trained mean", weight.mean()))

        continued = [setting_text(getattr(self, name)) for name in CONTINUED]
        if state is not None and continued != state["continued"]:
            raise ShiftDataError(
                f"{', '.join(CONTINUED)} were {', '.join(state['continued'])} in the calls of partial_fit so far, and "
                f"are {', '.join(continued)} now: put them back, or fit anew."
            )
        seeds = self._seeds(self.n_models) if state is None else state["seeds"]
        module, generators = self._network_on(device, targets.n_outputs, seeds, not first)
        if first:
            warn_of_symmetry(part_of(self, Network))
        with limited_threads(training.n_threads):
            run = make_run(
                module,
                loss,
                len(rows),
                seeds["order"],
                training,
                n_models=self.n_models,
                floor=floor,
                generators=generators,
            )
            if state is not None:
                run.load_state_dict(state["run"] | {"module": module.state_dict()})
            run.max_epochs = run.epoch + 1
            fit_loop(run, rows, callbacks=callbacks)
        kept = {
            "unit": {name: float(value) for name, value in unit.items()},
            "continued": continued,
            "seeds": seeds,
            "run": run.state_dict() | {"module": None, "finite": None},
        }
        self._keep(run, device, (effective_sample_size(weight), None), scaler, targets, kept)
        return self

    def _validate(self, X: Any, y: Any, reset: bool) -> tuple[NDArray, NDArray]:
        return validate_data(
            self, X, y, dtype=FLOATS, multi_output=self._multi_output, y_numeric=self._y_numeric, reset=reset
        )

    def _eval_rows(
        self, eval_set: Any, targets: Targets, factors: Callable[[NDArray], NDArray[np.float64]]
    ) -> tuple[NDArray, NDArray, None, NDArray[np.float64]]:
        """The rows of an eval_set as (X, codes, None, weight)."""
        X, y, weight = parts_of_eval_set(eval_set)
        X = validate_data(self, X, reset=False, dtype=FLOATS)
        weight = check_row_weights(weight, len(X), "the eval_set's sample_weight")
        y = np.asarray(y)
        if y.ndim == 0 or len(y) != len(X):
            raise ShiftDataError(
                f"eval_set has {len(X)} rows of X and {len(y) if y.ndim else 'none'} of y: pass one y per row."
            )
        if not self._multi_output and y.shape[1:] == (1,):
            y = column_or_1d(y, warn=True)  # as for the training rows
        weight, X, y = present(weight, X, y)
        codes = targets.codes(y, "the eval_set's y")
        return X, codes, None, weight * factors(codes)

    def _fitted_scaler(self, X: NDArray, weight: NDArray[np.float64]) -> StandardScaler | None:
        """Scaling of the features, from the training rows alone."""
        return StandardScaler().fit(X, sample_weight=weight) if self.standardize else None

    def _build_module(self) -> torch.nn.Sequential:
        """An untrained network of the shapes of the fitted one."""
        return build_network(
            part_of(self, Network), self.n_features_in_, self._fitted_targets().n_outputs, [0] * self.n_models
        )

    def _network_on(
        self, device: torch.device, n_outputs: int, seeds: dict[str, Any], goes_on: bool
    ) -> tuple[torch.nn.Sequential, dict[str, torch.Generator]]:
        """The network to train, new or with the parameters of the fitted one, and what it draws from."""
        generator = torch.Generator(device).manual_seed(seeds["dropout"])
        module = build_network(part_of(self, Network), self.n_features_in_, n_outputs, seeds["start"], generator)
        if goes_on:
            new, old = (
                {name: tuple(value.shape) for name, value in part.state_dict().items()}
                for part in (module, self.module_)
            )
            if new != old:
                raise ShiftDataError(
                    "The fitted network has other layers than the settings ask for: keep hidden_layer_sizes, n_models, "
                    "batch_norm, and which of the dropout and noise settings are 0, to go on from it, or fit a new one."
                )
            module.load_state_dict(self.module_.state_dict())
        return module.to(device), {"dropout": generator}

    def _keep(
        self,
        run: Run,
        device: torch.device,
        sizes: tuple[float, float | None],
        scaler: StandardScaler | None,
        targets: Targets,
        state: dict[str, Any] | None,
    ) -> None:
        """Store all that a fit has learned; ``state`` is for the next call of ``partial_fit``."""
        remove_generators(run.module)
        self._keep_run(run, device, sizes)
        self._keep_targets(targets)
        self.scaler_ = scaler
        self._training_state = state

    @property
    def _row_shape(self) -> tuple[int, ...]:
        return (self.n_features_in_,)

    def _outputs(self, X: ArrayLike) -> NDArray[np.float64]:
        """Network outputs, shape (n_models, n_rows, n_outputs)."""
        check_is_fitted(self, "module_")
        X = validate_data(self, X, reset=False, dtype=FLOATS)
        return network_outputs(self.module_, X, self.scaler_, self.n_threads)

    def _sampled(
        self, X: ArrayLike, n_samples: int, random_state: Any, transform: Callable[[NDArray[np.float64]], NDArray]
    ) -> NDArray[np.float32]:
        """``transform`` of Monte-Carlo outputs, shape (n_samples * n_models, n_rows, ...)."""
        check_is_fitted(self, "module_")
        X = validate_data(self, X, reset=False, dtype=FLOATS)
        check_count(n_samples, "n_samples")
        if not any(is_random(layer) for layer in self.module_):
            raise ShiftDataError("The network has no dropout, so that all samples would be equal: fit it with dropout.")
        rng = check_generator(self.random_state if random_state is None else random_state)
        return sampled_outputs(
            self.module_,
            X,
            self.scaler_,
            self.n_threads,
            n_samples=n_samples,
            seed=int(rng.integers(2**31 - 1)),
            transform=transform,
        )

    def save(self, path: str | os.PathLike) -> None:
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
    def load(cls, path: str | os.PathLike) -> Self:
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
