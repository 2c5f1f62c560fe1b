"""Models that say a band at each row: a prediction with a scale, or two quantiles."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import _safe_indexing

from shiftfix._crossfit import Fold, out_of_fold, shuffled_folds
from shiftfix._learner import fit_weighted_of, learner_of
from shiftfix._numerics import Floats
from shiftfix._row_order import Rows, generator_of_sample, order_of_rows
from shiftfix.conformal._bands import Band
from shiftfix.conformal._data import Labelled
from shiftfix.exceptions import ShiftDataError

ValueScore = Literal["absolute", "normalized", "cqr"]
VALUE_SCORES: tuple[ValueScore, ...] = ("absolute", "normalized", "cqr")
# No row's residual is taken for less than this share of the mean one: a scale near 0 makes the scores of a few rows
# large, and with them all intervals.
LEAST_SCALE = 0.1
SCALE_FOLDS = 3


def finite_predictions(model: Any, X: Any) -> Floats:
    """Predictions as numbers."""
    found = np.asarray(model.predict(X), dtype=np.float64)
    if not np.isfinite(found).all():
        row = int(np.flatnonzero(~np.isfinite(found.reshape(len(found), -1)).all(axis=1))[0])
        raise ShiftDataError(
            f"The estimator predicts no finite number for row {row}: rescale the columns, or look at that row."
        )
    return found


def one_prediction(model: Any, X: Any) -> Floats:
    """Predictions of one value per row, shape (n_rows,)."""
    found = finite_predictions(model, X)
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim != 1:
        raise ShiftDataError(
            f"The estimator predicts arrays of shape {found.shape}, and one value per row is needed: "
            'pass conformity_score="cqr" for one that predicts two quantiles.'
        )
    return found


@dataclass(frozen=True)
class PointModel:
    """A prediction, with the same scale everywhere or one that another model predicts.

    Attributes
    ----------
    model : regressor
    scale_model : regressor or None
        Predicts the size of the residual.
    least : float
        Smallest scale, in units of y.
    """

    model: Any
    scale_model: Any = None
    least: float = 1.0

    def band(self, X: Any) -> Band:
        """What it says of rows."""
        center = one_prediction(self.model, X)
        if self.scale_model is None:
            return Band(center, center, np.ones(len(center)))
        return Band(center, center, np.maximum(one_prediction(self.scale_model, X), self.least))


@dataclass(frozen=True)
class QuantileModel:
    """Two quantiles, by one model each, or by one that predicts both.

    Attributes
    ----------
    models : tuple of regressor
    """

    models: tuple[Any, ...]

    def band(self, X: Any) -> Band:
        """What it says of rows; quantiles that cross change places."""
        if len(self.models) == 2:
            both = np.column_stack([one_prediction(model, X) for model in self.models])
        else:
            both = finite_predictions(self.models[0], X)
        if both.ndim != 2 or both.shape[1] != 2:
            raise ShiftDataError(
                f'conformity_score="cqr" needs two quantiles per row, and predictions have shape {both.shape}: '
                "pass a regressor with a parameter for the quantile, or one whose predictions have two columns."
            )
        return Band(both.min(axis=1), both.max(axis=1), np.ones(len(both)))


def quantile_parameter(estimator: Any) -> str | None:
    """Name of the parameter that says which quantile is predicted, of an estimator or of the last learner inside."""
    own = learner_of(estimator).get_params(deep=False)
    wanted = "quantile" if "quantile" in own else "alpha" if own.get("loss") == "quantile" else None
    names = [name for name in estimator.get_params(deep=True) if name.split("__")[-1] == wanted]
    return max(names, key=len) if names else None


def quantile_learners(estimator: Any, quantiles: tuple[float, float]) -> list[Any]:
    """A clone for each quantile; the estimator alone where it has no parameter for one."""
    name = None if isinstance(estimator, FrozenEstimator) else quantile_parameter(estimator)
    return [estimator] if name is None else [clone(estimator).set_params(**{name: q}) for q in quantiles]


def _fitted(estimator: Any, source: Labelled) -> Any:
    return fit_weighted_of(estimator, source.X, source.y, source.counts)


def fit_quantile_model(estimator: Any, source: Labelled, quantiles: tuple[float, float]) -> QuantileModel:
    """Fit the quantiles on some source rows; of a frozen estimator nothing."""
    learners = quantile_learners(estimator, quantiles)
    return QuantileModel(
        tuple(learners if isinstance(estimator, FrozenEstimator) else (_fitted(e, source) for e in learners))
    )


def _scale_folds(source: Labelled, rng: np.random.Generator) -> list[Fold]:
    """Folds of the training rows, by what they hold."""
    order = order_of_rows(source.X, source.y, counts=source.counts)
    seed = int(generator_of_sample(rng, source.y[order]).integers(2**31 - 1))
    groups = None if source.groups is None else source.groups[order]
    n_folds = min(SCALE_FOLDS, len(order) if groups is None else len(np.unique(groups)))
    if n_folds < 2:
        raise ShiftDataError(
            'conformity_score="normalized" needs two rows, or two groups, to learn the scale from: pass more rows.'
        )
    folds = shuffled_folds(n_folds, source.y[order], stratified=False, seed=seed, groups=groups)
    return [Fold(np.sort(order[fold.training]), np.sort(order[fold.held_out])) for fold in folds]


def residual_sizes(estimator: Any, source: Labelled, rng: np.random.Generator) -> Floats:
    """How far out-of-fold predictions are from the values, shape (n_rows,); of a frozen estimator its own."""
    if isinstance(estimator, FrozenEstimator):
        return np.abs(source.y - one_prediction(estimator, source.X))

    def fit(rows: Rows) -> Any:
        return _fitted(estimator, source.taken(rows))

    def score(model: Any, rows: Rows) -> NDArray[Any]:
        return one_prediction(model, _safe_indexing(source.X, rows))

    return np.abs(source.y - out_of_fold(_scale_folds(source, rng), fit, score).by_row(len(source.y)))


def fit_point_model(
    estimator: Any, source: Labelled, scale_estimator: Any, normalized: bool, rng: np.random.Generator
) -> PointModel:
    """Fit a prediction on some source rows, and its scale."""
    frozen = isinstance(estimator, FrozenEstimator)
    model = estimator if frozen else _fitted(estimator, source)
    if not normalized:
        return PointModel(model)
    sizes = residual_sizes(estimator, source, rng)
    mean = float(np.average(sizes, weights=source.counts))
    least = LEAST_SCALE * mean if mean > 0 else 1.0
    learner = scale_estimator
    if learner is None:
        learner = clone(estimator.estimator) if frozen else estimator
    return PointModel(model, _fitted(learner, source._replace(y=sizes)), least)
