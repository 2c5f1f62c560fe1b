"""What the fitted network of an estimator says of new rows, from X as the user has it."""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from shiftfix._naming import cells_named
from shiftfix._setting_checks import check_count, check_generator
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._categories import Categories, coded
from shiftfix.mlp._inputs import FeatureScaler, network_inputs, read_rows
from shiftfix.mlp._network import is_random
from shiftfix.mlp._prediction import network_outputs, sampled_outputs
from shiftfix.mlp._settings import RandomState


class NetworkPredictor:
    """Outputs of the network in ``module_``, as they are and with dropout on."""

    module_: Any
    scaler_: FeatureScaler | None
    categories_: Categories
    n_features_in_: int
    n_threads: int | None
    random_state: RandomState
    # Whether a preset embeds numbers.
    _embeds: ClassVar[bool]

    @property
    def _row_shape(self) -> tuple[int, ...]:
        return (network_inputs(self.scaler_, self.n_features_in_, self._embeds)[0],)

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
