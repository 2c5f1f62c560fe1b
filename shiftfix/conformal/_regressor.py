"""Intervals that hold the true value as often as asked for."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.utils.validation import _num_samples, check_is_fitted

from shiftfix._numerics import Floats
from shiftfix._row_order import Rows
from shiftfix._setting_checks import check_methods, check_number, check_option
from shiftfix._validation import check_rows
from shiftfix.conformal._band_models import (
    VALUE_SCORES,
    PointModel,
    QuantileModel,
    ValueScore,
    fit_point_model,
    fit_quantile_model,
)
from shiftfix.conformal._bands import in_order, one_model_interval, several_models_interval
from shiftfix.conformal._base import BaseConformal
from shiftfix.conformal._calibrated import UseOfLabels
from shiftfix.conformal._coverage import CoverageSummary
from shiftfix.conformal._data import Conditional, Labelled, numbers_of_rows
from shiftfix.exceptions import ShiftDataError


class ConformalRegressor(RegressorMixin, BaseConformal):
    """Intervals that hold the true value with a given probability, on the target.

    Split conformal prediction or CV+ around any regressor. Without target rows coverage holds for rows like the source;
    with them under covariate shift, the calibration rows weighted by ``weighter``.

    Parameters
    ----------
    estimator : regressor
        Cloned before fitting. A trained one in ``sklearn.frozen.FrozenEstimator`` is used as it is; then X and y must
        be rows it was not trained on, and all of them calibrate (but for those that learn the scale of "normalized").
    conformity_score : {"absolute", "normalized", "cqr"}, default="absolute"
        "absolute": intervals of one width. "normalized": as wide as ``scale_estimator`` predicts residuals to be.
        "cqr": between two predicted quantiles, widened or narrowed; the estimator needs a parameter for the quantile
        (``quantile``, or ``alpha`` with ``loss="quantile"``), or must predict two columns.
    weighter : weighter, default=None
        Fitted on both samples, without its own clip. None means ``LogisticWeighter()`` where there are target rows.
    conditional : {None, "group"}, default=None
        "group": coverage in each of ``groups``. Of level 1 - a that needs 1 / a - 1 calibration rows in each.
    cv : int, default=None
        None holds out ``calibration_fraction`` of the rows; a number of folds trains as many models, and every row
        calibrates by the one that did not see it (CV+).
    calibration_fraction : float in (0, 1), default=0.5
    clip : None, float, "sqrt", percentile or "ess", default=None
        Largest weight, in units of their mean. A clip makes fewer intervals infinite and costs coverage, which
        ``clip_cost_`` bounds and which is added to the level.
    use_labels : {"auto", "combine", "alone"}, default="auto"
        Whether target labels calibrate together with the weighted source rows or alone, valid whatever moved. "auto"
        combines them unless the labels speak against the source rows (p < .2), which is no proof that they agree.
    scale_estimator : regressor, default=None
        For "normalized": learns the size of out-of-fold residuals. None means a clone of ``estimator``.
    quantiles : tuple of (float, float), default=(0.05, 0.95)
        For "cqr": the quantiles that are predicted, whatever level is asked for later.
    random_state : int, numpy Generator, RandomState or None, default=0
        For the rows held out.

    Attributes
    ----------
    estimators_ : list of PointModel or QuantileModel
        The model, or that of each fold; ``model`` or ``models`` of each holds the regressors.
    weighter_ : weighter or None
    clip_, clip_cost_ : float
        Largest weight at mean 1 (infinity for none), and how much coverage that may cost.
    n_calibration_ : float
        Rows that calibrate (with sample_weight: their total).
    effective_size_ : float
        Equally weighted rows they are worth, in the smallest group where coverage holds in each.
    labels_used_ : {"combine", "alone"} or None
        What was done with target labels.
    contradiction_ : float or None
        P-value of "sets of the weighted source rows cover the target" by the labels.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only when X had string column names.

    See Also
    --------
    ConformalClassifier : Sets of labels around any classifier.
    CoverageSummary : What such sets cost and what their coverage rests on.
    shiftfix.display.CoverageDisplay : Draws the coverage of sets and intervals.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from shiftfix.simulate import gaussian_covariate_shift
    >>> problem = gaussian_covariate_shift(1000, 500, random_state=0)
    >>> model = ConformalRegressor(LinearRegression()).fit(problem.X_source, problem.y_source, problem.X_target)
    >>> model.predict_interval(problem.X_target, level=0.9).shape
    (500, 2)
    """

    estimators_: list[PointModel] | list[QuantileModel]

    def __init__(
        self,
        estimator: Any,
        conformity_score: ValueScore = "absolute",
        *,
        weighter: Any = None,
        conditional: Conditional = None,
        cv: int | None = None,
        calibration_fraction: float = 0.5,
        clip: Any = None,
        use_labels: UseOfLabels = "auto",
        scale_estimator: Any = None,
        quantiles: tuple[float, float] = (0.05, 0.95),
        random_state: Any = 0,
    ) -> None:
        self.estimator = estimator
        self.conformity_score = conformity_score
        self.weighter = weighter
        self.conditional = conditional
        self.cv = cv
        self.calibration_fraction = calibration_fraction
        self.clip = clip
        self.use_labels = use_labels
        self.scale_estimator = scale_estimator
        self.quantiles = quantiles
        self.random_state = random_state

    def _check_own_settings(self) -> None:
        check_option(self.conformity_score, "conformity_score", VALUE_SCORES)
        check_option(self.conditional, "conditional", [None, "group"])
        if self.scale_estimator is not None:
            check_methods(self.scale_estimator, "scale_estimator", ["fit", "predict", "get_params"], "a regressor")
        if not (isinstance(self.quantiles, tuple | list) and len(self.quantiles) == 2):
            raise ShiftDataError(f"quantiles={self.quantiles!r}: two numbers in (0, 1), the lower first, are needed.")
        for quantile in self.quantiles:
            check_number(quantile, "quantiles", above=0, below=1)
        if self.quantiles[0] >= self.quantiles[1]:
            raise ShiftDataError(f"quantiles={self.quantiles!r}: two numbers in (0, 1), the lower first, are needed.")

    def _trains(self) -> bool:
        return super()._trains() or self.conformity_score == "normalized"

    def _read_y(self, y: Any, name: str) -> NDArray[Any]:
        return numbers_of_rows(y, name)

    def _fit_model(self, source: Labelled, rng: np.random.Generator) -> Any:
        if self.conformity_score == "cqr":
            return fit_quantile_model(self.estimator, source, (self.quantiles[0], self.quantiles[1]))
        inside = source._replace(groups=None) if self.conditional == "group" else source
        return fit_point_model(self.estimator, inside, self.scale_estimator, self.conformity_score == "normalized", rng)

    def _own_scores(self, models: Sequence[Any], number: int, X: Any, y: NDArray[Any]) -> Floats:
        return models[number].band(X).scores(y)

    def _intervals(self, X: Any, strata: Rows, own: Floats, level: float) -> Floats:
        """Intervals of checked rows, shape (n_rows, 2)."""
        bands, known = [model.band(X) for model in self.estimators_], self._calibrated
        if len(bands) == 1:
            return in_order(one_model_interval(bands[0], known.pooled, strata, own, level))
        return in_order(several_models_interval(bands, known.ranked, known.pooled, strata, own, level))

    def predict_interval(self, X: ArrayLike, level: float = 0.9, *, groups: ArrayLike | None = None) -> Floats:
        """Interval of the value of each row.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Target rows.
        level : float in (0, 1), default=0.9
            Probability with which an interval holds the true value.
        groups : array-like of shape (n_rows,), default=None
            For ``conditional="group"``. The interval of a row of a group without calibration rows is infinite.

        Returns
        -------
        ndarray of shape (n_rows, 2)
            Lower and upper ends in units of y; infinite where a row's own weight leaves no finite one that is known to
            cover.

        Raises
        ------
        ShiftDataError
            For a level outside (0, 1), rows that cannot be read, and groups that are missing.
        """
        X, strata, used = self._read_new(X, level, groups)
        return self._intervals(X, strata, self._calibrated.weights.of_rows(X, len(strata)), used)

    def summarize(self, X: ArrayLike, level: float = 0.9, *, groups: ArrayLike | None = None) -> CoverageSummary:
        """What intervals of rows cost, and what their coverage rests on.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Target rows.
        level : float in (0, 1), default=0.9
        groups : array-like of shape (n_rows,), default=None
            For ``conditional="group"``.

        Returns
        -------
        CoverageSummary

        Raises
        ------
        ShiftDataError
            As :meth:`predict_interval`.
        """
        X, strata, used = self._read_new(X, level, groups)
        own = self._calibrated.weights.of_rows(X, len(strata))
        found = self._intervals(X, strata, own, used)
        finite = found[np.isfinite(found).all(axis=1)]
        width = float(np.median(finite[:, 1] - finite[:, 0])) if len(finite) else np.nan
        return self._summarize(level, self._without_threshold(strata, own, used), width, "units of y")

    def predict(self, X: ArrayLike) -> Floats:
        """Mean prediction of ``estimators_``; with "cqr" the middle between the quantiles.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)

        Returns
        -------
        ndarray of shape (n_rows,)
        """
        check_is_fitted(self, "estimators_")
        X = check_rows(X, "X")
        bands = [model.band(X) for model in self.estimators_]
        return np.mean([band.low / 2 + band.high / 2 for band in bands], axis=0).reshape(_num_samples(X))
