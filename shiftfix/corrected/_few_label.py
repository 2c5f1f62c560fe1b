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
from shiftfix._numerics import log_proba
from shiftfix._row_order import Rows
from shiftfix._setting_checks import check_option
from shiftfix._validation import check_labels, check_rows
from shiftfix.corrected._few_base import ALL_LEVELS, LEAST_LABELS, BaseFewLabel, FewLabels, Tried
from shiftfix.corrected._few_classes import (
    NOTHING,
    ClassCorrection,
    JudgedLabels,
    corrected_proba,
    learn_class_correction,
)
from shiftfix.corrected._few_many import TRAINED, TargetTraining
from shiftfix.corrected._few_numbers import (
    JudgedNumbers,
    NumberCorrection,
    NumberUnits,
    corrections_of,
    learn_number_correction,
    units_of,
)
from shiftfix.corrected._few_trained import (
    TrainedClassifier,
    calibrated_log_scores,
    predicted,
    scores_of_all,
    temperature_scale,
    train_classifier,
    train_regressor,
)
from shiftfix.corrected._label_inputs import check_estimator
from shiftfix.exceptions import ShiftDataError
from shiftfix.label import bounded_scores
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
        Corrections that are tried. The first two read the scores alone; of all four only they remain where rows are no
        table, as texts are.
    experts : {"auto", "target", None}, default="auto"
        "target" adds a process that learns from the target labels alone, "auto" from 100 labels on; with both the
        estimator, trained on the target labels, joins from 500 on (four more fits). None keeps to ``levels``.
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
        Share of the prediction that "nothing" (the calibrated model), each level, "target" and "trained" get.
    correction_ : str
        The same in words, such as "70% uncorrected, 30% slope and intercept", and ``notes_``.
    notes_ : tuple of str
        What could not be done as usual: too few labels, more than processes can hold, rows that are no table.
    temperature_ : float
        Scores are divided by it in log space; above 1 for an overconfident model.
    target_estimator_ : classifier or None
        Trained on the target labels alone; None for fewer than 500, for a frozen estimator, for labels of one class and
        where it cannot learn from them.
    target_temperature_ : float
        Of its scores.
    n_labels_ : int
    learned_ : ClassCorrection
        The corrections.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only when X had string column names.

    See Also
    --------
    FewLabelRegressor : Corrects a regressor by a few target labels.
    ShiftCorrectedClassifier : Diagnoses, and corrects as far as the evidence supports it.
    shiftfix.risk.plan_labels : How many labels buy which interval?

    Notes
    -----
    Below 5 labels nothing is corrected. Of more than 724 (228 with ten classes) the processes learn from so many, drawn
    by what the rows hold, and are judged on 5,000. In four real shifts and two learners, 720 to 4,000 labels gave .6
    points less to 3.2 more accuracy than the estimator trained on them alone, .7 more on average.
    Preprocessing belongs inside ``estimator``, as a Pipeline: a Pipeline around this one transforms X but not the
    target rows. The corrections read the target rows as they are given, categories as 0 and 1 and gaps filled with the
    mean. Fitting takes m^3 per correction for m labels (m^3 times the classes for more than two), predicting m^2 per
    row.

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
    target_estimator_: Any
    target_temperature_: float
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
                "only: a model of the source cannot predict another class. Write labels as in the source, leave such "
                "rows out, or add rows of the class to the source."
            )
        return labels

    def _n_processes(self, source: SourceRows) -> int:
        n_classes = len(np.unique(source.labels[source.rows]))
        return 1 if n_classes == 2 else n_classes

    def _learn(
        self, source: SourceRows, few: FewLabels, tried: Tried, X_target: Any, model: Any, rng: Any
    ) -> dict[str, Any]:
        classes = np.unique(source.labels[source.rows])
        scale = self._scale(source, few.X, classes, rng)
        place = {label: code for code, label in enumerate(classes.tolist())}
        codes = np.array([place[label] for label in few.y.tolist()])
        z = calibrated_log_scores(self._scores(model, few.X, classes), len(classes), scale)
        training = TargetTraining(self.estimator, few.X, classes[codes], X_target, rng)
        trained = TrainedClassifier()
        if self.experts is not None:
            trained = train_classifier(training, classes, calibrate=self.calibrate is not None)
        if len(codes) < LEAST_LABELS:
            learned = ClassCorrection({NOTHING: 1.0}, [], tried.features, z)
        else:
            shown, others = few.drawn.judged, _safe_indexing(few.X, few.drawn.others)
            judged = JudgedLabels(z[shown], codes[shown], others, trained.left_out_of(shown))
            learned = learn_class_correction(judged, tried.features, tried.levels, tried.alone, self.a0)
        return {
            "classes_": classes,
            "temperature_": 1 / scale,
            "n_labels_": len(codes),
            "learned_": learned,
            "weights_": learned.weights,
            "target_estimator_": trained.model,
            "target_temperature_": 1 / trained.scale,
            "notes_": self._notes(few, tried, *trained.notes),
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
        return temperature_scale(bounded_scores(scores.source, len(classes)), source.labels[scores.rows], counts)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Corrected class probabilities, shape (n_rows, n_classes)."""
        check_is_fitted(self)
        X = check_rows(X, "X")
        n_classes, trained = len(self.classes_), None
        log_scores = calibrated_log_scores(self.estimator_.predict_proba(X), n_classes, 1 / self.temperature_)
        if self.target_estimator_ is not None:
            scores = scores_of_all(self.target_estimator_, X, self.classes_)
            trained = np.exp(calibrated_log_scores(scores, n_classes, 1 / self.target_temperature_))
        return corrected_proba(self.learned_, log_scores, X, trained)

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
        Corrections that are tried. The first two read the prediction alone; of all four only they remain where rows are
        no table, as texts are.
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
        Share of the prediction that "nothing" (the model of the source), each level and "trained" get.
    correction_ : str
        The same in words, such as "70% uncorrected, 30% slope and intercept", and ``notes_``.
    notes_ : tuple of str
        What could not be done as usual: too few labels, more than processes can hold, rows that are no table.
    scale_ : float
        The unit of the corrections, in units of y: the root mean square of the out-of-fold residuals of the source, or
        half the size of a common residual of the target labels, whichever is larger.
    prediction_mean_, prediction_scale_ : float
        Of the predictions of the target rows, in units of y: the slope is one of standardised predictions.
    target_estimator_ : regressor or None
        Trained on the target labels alone; None for fewer than 500, and for a frozen estimator.
    n_labels_ : int
    learned_ : NumberCorrection
        The corrections.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only when X had string column names.

    See Also
    --------
    FewLabelClassifier : Corrects a classifier by a few target labels.
    ShiftCorrectedRegressor : Diagnoses, and corrects values as far as the evidence supports it.
    shiftfix.risk.plan_labels : How many labels buy which interval?

    Notes
    -----
    As :class:`FewLabelClassifier`, with 724 labels for all processes; fitting takes m^3 per correction for m labels,
    predicting m per row.

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
    target_estimator_: Any
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

    def _learn(
        self, source: SourceRows, few: FewLabels, tried: Tried, X_target: Any, model: Any, rng: Any
    ) -> dict[str, Any]:
        found = predicted(model, few.X)
        units = units_of(few.y - found, self._residual_scale(source, rng), predicted(model, X_target))
        trained = train_regressor(TargetTraining(self.estimator, few.X, few.y, X_target, rng))
        scores, shown = units.scores(found), few.drawn.judged
        if len(few.y) < LEAST_LABELS:
            learned = NumberCorrection({NOTHING: 1.0}, tried.features, scores, np.zeros((4, len(scores))))
        else:
            missed = None if trained.left_out is None else units.residuals(few.y - trained.left_out)[shown]
            others = _safe_indexing(few.X, few.drawn.others)
            judged = JudgedNumbers(units.residuals(few.y - found)[shown], scores[shown], others, missed)
            learned = learn_number_correction(judged, tried.features, tried.levels, self.a0)
        return {
            "scale_": units.sigma,
            "prediction_mean_": units.mean,
            "prediction_scale_": units.spread,
            "n_labels_": len(few.y),
            "learned_": learned,
            "weights_": learned.weights,
            "target_estimator_": trained.model,
            "notes_": self._notes(few, tried, *trained.notes),
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
        weights = None if source.counts is None else source.counts[found.rows]
        with np.errstate(over="ignore"):  # infinite units are refused
            squares = np.square(found.scores - source.labels[found.rows])
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
        units = NumberUnits(self.scale_, self.prediction_mean_, self.prediction_scale_)
        corrected = found + self.scale_ * corrections_of(self.learned_, units.scores(found), X)
        if self.target_estimator_ is None:
            return corrected
        return corrected + self.weights_[TRAINED] * (predicted(self.target_estimator_, X) - found)
