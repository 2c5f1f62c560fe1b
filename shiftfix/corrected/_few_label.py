"""Correct any model by a few labels of the target.

Assumes that the labelled target rows were drawn at random from the target; of what moved nothing is assumed.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.frozen import FrozenEstimator
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted

from shiftfix._crossfit import Fold, is_fold_count, out_of_fold
from shiftfix._learner import Fallback, fit_weighted_of
from shiftfix._numerics import Floats, log_proba
from shiftfix._row_order import Rows
from shiftfix._setting_checks import check_option
from shiftfix._validation import check_labels, check_rows
from shiftfix.corrected._few_base import ALL_LEVELS, LEAST_LABELS, BaseFewLabel, FewLabels, check_levels
from shiftfix.corrected._few_classes import NOTHING, ClassCorrection, corrected_proba, learn_class_correction
from shiftfix.corrected._few_numbers import NumberCorrection, corrections_of, learn_number_correction
from shiftfix.corrected._label_inputs import check_estimator
from shiftfix.exceptions import ShiftDataError
from shiftfix.label import ScoreCalibrator, bounded_scores
from shiftfix.risk import (
    SourceRows,
    check_source,
    check_value_source,
    counted_folds,
    cross_fitted_scores,
    new_folds,
    score_folds,
    values_of_rows,
)

FEW = "y of the TargetSample"
# Median of |z| for a standard normal z.
NORMAL_MEDIAN = 0.6745
# Standardised predictions at which slopes end: a new row may be anything.
MOST_DEVIATIONS = 100.0


def calibrated_log_scores(scores: Any, n_classes: int, scale: float) -> Floats:
    """Logarithm of the scores at an inverse temperature, shape (n_rows, n_classes)."""
    P = bounded_scores(scores, n_classes)
    if scale != 1:
        P = P**scale
        P = bounded_scores(P / P.sum(axis=1, keepdims=True), n_classes)
    return np.log(P)


class FewLabelClassifier(ClassifierMixin, BaseFewLabel):
    """Classifier corrected by a few target labels, as far as they support it.

    The model of the source is calibrated by one temperature, and small Gaussian-process corrections of its logits are
    fitted to the labels: of a constant, of a slope in the score, linear and smooth in the features. What each said of
    the labels that it did not see decides how much of the prediction it gets, and "nothing" starts ``a0`` labels ahead.

    Parameters
    ----------
    estimator : classifier with ``predict_proba``
        Cloned before fitting. A trained one in ``sklearn.frozen.FrozenEstimator`` is used as it is; then
        X and y must be rows it was not trained on.
    a0 : float, default=4.0
        Pseudo-rows on "nothing". With 2 more is gained on average, and more is lost now and then.
    levels : tuple of {"intercept", "slope", "linear", "smooth"}, default=all four
        Corrections that are tried. The first two read the scores alone; with them features need not be numbers.
    experts : {"auto", "target", None}, default="auto"
        "target" adds a process that learns from the target labels alone, "auto" from 100 labels on.
    calibrate : {"temperature", None}, default="temperature"
        Whether the scores of the source are calibrated ahead of everything, on out-of-fold scores.
    cv : int, splitter or iterable, default=5
        Folds for the out-of-fold scores: a number of shuffled stratified ones, at most as many as the rarest class has
        rows; a splitter of scikit-learn; or pairs of (training, held-out) positions.
    fallback : {None, "resample"}, default=None
        For a learner that takes no weights, where ``sample_weight`` is given.
    random_state : int, numpy Generator, RandomState or None, default=0
        For the folds and for ``fallback``.

    Attributes
    ----------
    estimator_ : classifier
        Fitted on all source rows.
    classes_ : ndarray of shape (n_classes,)
    weights_ : dict of str to float
        Share of the prediction that "nothing" (the calibrated model), each level and "target" get.
    correction_ : str
        The same in words, such as "70% nothing, 30% slope and intercept".
    temperature_ : float
        Scores are divided by it in log space; above 1 for an overconfident model.
    n_labels_ : int
    learned_ : ClassCorrection
        The corrections.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only when X had string column names.

    Notes
    -----
    Below 5 labels nothing is corrected; above 2,048 (647 with ten classes) training on them is better. Preprocessing
    belongs inside ``estimator``, as a Pipeline: a Pipeline around this one transforms X but not the target rows. The
    corrections read the target rows as they are given, categories as 0 and 1 and gaps filled with the mean. Fitting
    takes m^3 per correction for m labels (m^3 times the classes for more than two), predicting m^2 per row.

    References
    ----------
    Rasmussen & Williams (2006), "Gaussian Processes for Machine Learning", chapter 3; Yao, Vehtari, Simpson & Gelman
    (2018), Bayesian Analysis 13(3):917-1007 (stacking); Guo, Pleiss, Sun & Weinberger (2017), ICML (temperature).

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from shiftfix.corrected import TargetSample
    >>> from shiftfix.simulate import concept_shift
    >>> problem = concept_shift(500, 500, angle=1.5, random_state=0)
    >>> target = TargetSample(problem.X_target, y=problem.y_target[:50], rows=range(50))
    >>> model = FewLabelClassifier(LogisticRegression(), random_state=0)
    >>> model = model.fit(problem.X_source, problem.y_source, X_target=target)
    >>> rest = problem.X_target[50:], problem.y_target[50:]
    >>> bool(model.score(*rest) > model.estimator_.score(*rest) + 0.1)
    True
    """

    classes_: NDArray[Any]
    temperature_: float
    learned_: ClassCorrection

    def __init__(
        self,
        estimator: Any,
        *,
        a0: float = 4.0,
        levels: Any = ALL_LEVELS,
        experts: Literal["auto", "target"] | None = "auto",
        calibrate: Literal["temperature"] | None = "temperature",
        cv: Any = 5,
        fallback: Fallback = None,
        random_state: Any = 0,
    ) -> None:
        self.estimator = estimator
        self.a0 = a0
        self.levels = levels
        self.experts = experts
        self.calibrate = calibrate
        self.cv = cv
        self.fallback = fallback
        self.random_state = random_state

    def _check_settings(self) -> None:
        super()._check_settings()
        check_option(self.calibrate, "calibrate", ["temperature", None])
        check_estimator(self.estimator, "adjust")

    def _check_source(self, X: Any, y: Any, sample_weight: Any, groups: Any) -> SourceRows:
        return check_source(X, y, sample_weight, groups)

    def _check_few(self, y: NDArray[Any], source: SourceRows) -> NDArray[Any]:
        labels = check_labels(y, FEW)
        classes = np.unique(source.labels[source.rows]).tolist()
        unknown = sorted(set(labels.tolist()) - set(classes), key=str)
        if unknown:
            raise ShiftDataError(
                f"{FEW} holds {', '.join(map(repr, unknown))}, and the source holds {', '.join(map(repr, classes))} "
                "only: a model of the source cannot predict another class. Leave such rows out, or add rows of the "
                "class to the source."
            )
        return labels

    def _n_processes(self, source: SourceRows) -> int:
        n_classes = len(np.unique(source.labels[source.rows]))
        return 1 if n_classes == 2 else n_classes

    def _learn(self, source: SourceRows, few: FewLabels, X_target: Any, model: Any, rng: Any) -> dict[str, Any]:
        classes = np.unique(source.labels[source.rows])
        scale = self._scale(source, few.X, classes, rng)
        place = {label: code for code, label in enumerate(classes.tolist())}
        codes = np.array([place[label] for label in few.y.tolist()])
        z = calibrated_log_scores(self._scores(model, few.X, classes), len(classes), scale)
        if len(codes) < LEAST_LABELS:
            learned = ClassCorrection({NOTHING: 1.0}, [], few.features, z)
        else:
            levels = check_levels(self.levels)
            learned = learn_class_correction(z, codes, few.features, levels, self._alone(len(codes)), self.a0)
        return {
            "classes_": classes,
            "temperature_": 1 / scale,
            "n_labels_": len(codes),
            "learned_": learned,
            "weights_": learned.weights,
        }

    def _scores(self, model: Any, X: Any, classes: NDArray[Any]) -> Any:
        """Class probabilities of a model that knows these classes."""
        if not np.array_equal(model.classes_, classes):
            raise ShiftDataError(
                f"The classifier knows the classes {model.classes_.tolist()}, and y holds {classes.tolist()}: pass "
                "source rows of all its classes."
            )
        return model.predict_proba(X)

    def _scale(self, source: SourceRows, X: Any, classes: NDArray[Any], rng: np.random.Generator) -> float:
        """Inverse temperature of the scores."""
        folds = score_folds(self.estimator, source, self.cv, rng)
        if self.calibrate is None:
            return 1.0
        scores = cross_fitted_scores(self.estimator, source, classes, X, folds, fallback=self.fallback, rng=rng)
        counts = None if source.counts is None else source.counts[scores.rows]
        calibrator = ScoreCalibrator("temperature")
        calibrator.fit(bounded_scores(scores.source, len(classes)), source.labels[scores.rows], sample_weight=counts)
        return float(calibrator.scale_[0])

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Corrected class probabilities, shape (n_rows, n_classes)."""
        check_is_fitted(self)
        X = check_rows(X, "X")
        scores = self.estimator_.predict_proba(X)
        log_scores = calibrated_log_scores(scores, len(self.classes_), 1 / self.temperature_)
        return corrected_proba(self.learned_, log_scores, X)

    def predict_log_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Logarithm of the class probabilities, shape (n_rows, n_classes)."""
        return log_proba(self.predict_proba(X))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Most probable class, shape (n_rows,)."""
        P = self.predict_proba(X)
        return self.classes_[np.argmax(P, axis=1)]


class FewLabelRegressor(RegressorMixin, BaseFewLabel):
    """Regressor corrected by a few target labels, as far as they support it.

    Small Gaussian-process corrections are fitted to the residuals of the labels: a constant, a slope in the prediction,
    linear and smooth in the features. What each said of the labels that it did not see decides how much of the
    prediction it gets, and "nothing" starts ``a0`` labels ahead.

    Parameters
    ----------
    estimator : regressor
        Cloned before fitting. A trained one in ``sklearn.frozen.FrozenEstimator`` is used as it is; then
        X and y must be rows it was not trained on.
    a0 : float, default=4.0
        Pseudo-rows on "nothing".
    levels : tuple of {"intercept", "slope", "linear", "smooth"}, default=all four
        Corrections that are tried. The first two read the prediction alone; with them features need not be numbers.
    cv : int, splitter or iterable, default=5
        Folds for the out-of-fold residuals: a number of shuffled ones, a splitter of scikit-learn, or pairs of
        (training, held-out) positions.
    fallback : {None, "resample"}, default=None
        For a learner that takes no weights, where ``sample_weight`` is given.
    random_state : int, numpy Generator, RandomState or None, default=0
        For the folds and for ``fallback``.

    Attributes
    ----------
    estimator_ : regressor
        Fitted on all source rows.
    weights_ : dict of str to float
        Share of the prediction that "nothing" (the model of the source) and each level get.
    correction_ : str
        The same in words, such as "70% nothing, 30% slope and intercept".
    scale_ : float
        The unit of the corrections, in units of y: the root mean square of the out-of-fold residuals of the source, or
        half the size of a common residual of the target labels, whichever is larger.
    prediction_mean_, prediction_scale_ : float
        Of the predictions of the target rows, in units of y: the slope is one of standardised predictions.
    n_labels_ : int
    learned_ : NumberCorrection
        The corrections.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only when X had string column names.

    Notes
    -----
    As :class:`FewLabelClassifier`; fitting takes m^3 per correction for m labels, predicting m per row.

    References
    ----------
    Rasmussen & Williams (2006), "Gaussian Processes for Machine Learning", chapters 2 and 5; Yao, Vehtari, Simpson &
    Gelman (2018), Bayesian Analysis 13(3):917-1007 (stacking).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> from shiftfix.corrected import TargetSample
    >>> X, X_target = np.random.default_rng(0).normal(size=(2, 500, 3))
    >>> target = TargetSample(X_target, y=X_target[:50, 0] + 1, rows=range(50))
    >>> model = FewLabelRegressor(Ridge(), random_state=0).fit(X, X[:, 0] + X[:, 1], X_target=target)
    >>> errors = [np.abs(made.predict(X_target) - X_target[:, 0] - 1).mean() for made in (model, model.estimator_)]
    >>> bool(errors[0] < errors[1] / 2)
    True
    """

    scale_: float
    prediction_mean_: float
    prediction_scale_: float
    learned_: NumberCorrection
    experts = None

    def __init__(
        self,
        estimator: Any,
        *,
        a0: float = 4.0,
        levels: Any = ALL_LEVELS,
        cv: Any = 5,
        fallback: Fallback = None,
        random_state: Any = 0,
    ) -> None:
        self.estimator = estimator
        self.a0 = a0
        self.levels = levels
        self.cv = cv
        self.fallback = fallback
        self.random_state = random_state

    def _check_source(self, X: Any, y: Any, sample_weight: Any, groups: Any) -> SourceRows:
        return check_value_source(X, y, sample_weight, groups)

    def _check_few(self, y: NDArray[Any], source: SourceRows) -> NDArray[Any]:
        return values_of_rows(y, FEW)

    def _learn(self, source: SourceRows, few: FewLabels, X_target: Any, model: Any, rng: Any) -> dict[str, Any]:
        found = predicted(model, few.X)
        with np.errstate(over="ignore", invalid="ignore"):
            common = float(np.median(np.abs(few.y - found))) / NORMAL_MEDIAN
            # Where the target's residuals are of another order, corrections of the source's could not reach them.
            sigma = max(self._residual_scale(source, rng), common / 2) or 1.0
            everywhere = predicted(model, X_target)
            mean, spread = float(everywhere.mean()), float(everywhere.std()) or 1.0
            residuals = (few.y - found) / sigma
            refuse_overflow(sigma, mean, spread, np.square(residuals).sum())
        scores = standard_scores(found, mean, spread)
        if len(few.y) < LEAST_LABELS:
            learned = NumberCorrection({NOTHING: 1.0}, few.features, scores, np.zeros((4, len(scores))))
        else:
            learned = learn_number_correction(residuals, scores, few.features, check_levels(self.levels), self.a0)
        return {
            "scale_": sigma,
            "prediction_mean_": mean,
            "prediction_scale_": spread,
            "n_labels_": len(few.y),
            "learned_": learned,
            "weights_": learned.weights,
        }

    def _residual_scale(self, source: SourceRows, rng: np.random.Generator) -> float:
        """Root mean square of out-of-fold residuals."""

        def fit(training: Rows) -> Any:
            counts = None if source.counts is None else source.counts[training]
            X, y = _safe_indexing(source.X, training), source.labels[training]
            return fit_weighted_of(self.estimator, X, y, counts, fallback=self.fallback, rng=rng)

        found = out_of_fold(
            self._value_folds(source, rng), fit, lambda m, rows: predicted(m, _safe_indexing(source.X, rows))
        )
        squares = np.square(found.scores - source.labels[found.rows])
        weights = None if source.counts is None else source.counts[found.rows]
        return float(np.sqrt(np.average(squares, weights=weights)))

    def _value_folds(self, source: SourceRows, rng: np.random.Generator) -> list[Fold]:
        """Folds of the source rows that count; for a frozen model one that learns nothing."""
        if isinstance(self.estimator, FrozenEstimator):
            return [Fold(source.rows, source.rows)]
        if not is_fold_count(self.cv):
            return counted_folds(self.cv, source.X, source.labels, source.rows, source.groups)
        if len(source.rows) < 2:
            raise ShiftDataError("X has n_samples=1: at least 2 rows are needed for out-of-fold residuals.")
        n_folds = min(self.cv, len(source.rows))
        return new_folds(
            n_folds, source.X, source.labels, source.counts, source.rows, source.groups, stratified=False, rng=rng
        )

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Corrected predictions, shape (n_rows,)."""
        check_is_fitted(self)
        X = check_rows(X, "X")
        found = predicted(self.estimator_, X)
        scores = standard_scores(found, self.prediction_mean_, self.prediction_scale_)
        return found + self.scale_ * corrections_of(self.learned_, scores, X)


def predicted(model: Any, X: Any) -> Floats:
    """Predictions of a model as float64, shape (n_rows,)."""
    return np.asarray(model.predict(X), dtype=np.float64)


def standard_scores(found: Floats, mean: float, spread: float) -> Floats:
    """Standardised predictions, within ``MOST_DEVIATIONS`` of 0."""
    with np.errstate(over="ignore"):
        return np.clip((found - mean) / spread, -MOST_DEVIATIONS, MOST_DEVIATIONS)


def refuse_overflow(*numbers: float) -> None:
    """Raise for numbers that are not finite."""
    if not np.isfinite(numbers).all():
        raise ShiftDataError(
            "Values, predictions or residuals are so large, or so far from one another, that their squares overflow: "
            "pass y in larger units, and rows and labels without outliers beyond all numbers."
        )
