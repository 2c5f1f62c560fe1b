"""Diagnose, then apply the correction that the evidence supports, or none.

A correction has to earn its place: class shares are corrected where they moved and nothing speaks against label shift,
rows are weighted where that is shown to lower the loss of this model, and a few target labels beat both.
"""

from dataclasses import replace
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, RegressorMixin, is_classifier
from sklearn.utils import Tags, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from shiftfix._crossfit import check_folds, is_fold_count
from shiftfix._learner import Fallback, fit_weighted_of, unchanged_on_error
from shiftfix._numerics import log_proba
from shiftfix._setting_checks import check_generator, check_methods, check_number, check_option
from shiftfix._target_sample import LabelledRows, TargetSample, target_rows
from shiftfix._validation import check_rows
from shiftfix._verdict import KeepsVerdicts, Level, Verdict
from shiftfix.corrected._base import BaseCorrected, estimator_has
from shiftfix.corrected._covariate import CovariateShiftClassifier, CovariateShiftRegressor
from shiftfix.corrected._few_label import FewLabelClassifier, FewLabelRegressor
from shiftfix.corrected._label import LabelShiftClassifier
from shiftfix.detect import (
    NO_PROBABILITIES,
    Causes,
    Corrections,
    Evidence,
    ShiftDiagnosis,
    corrections_for,
    diagnosis_of,
    gather_evidence,
    known_labels,
    read_samples,
    refuse_new_classes,
    shares_by_labels,
)
from shiftfix.exceptions import ShiftDataError
from shiftfix.label import intervals_of_worlds
from shiftfix.risk import SourceRows, Weighing, check_source, check_target, check_value_source

Shift = Literal["auto", "covariate", "label", "none"]
ALLOWED: dict[str, Corrections] = {
    "auto": ("none", "weights", "prior", "labels"),
    "covariate": ("none", "weights"),
    "label": ("none", "prior"),
    "none": ("none",),
}


def only_decides(self: Any) -> bool:
    """Whether the model inside has decision values and no probabilities."""
    model = getattr(self, "estimator_", self.estimator)
    return hasattr(model, "decision_function") and not hasattr(model, "predict_proba")


class Parts(NamedTuple):
    """What a corrector is made from: the labelled rows, the target, its labels, and folds."""

    source: SourceRows
    X_target: Any
    few: LabelledRows | None
    cv: Any


def without_labels(diagnosis: ShiftDiagnosis, shift: Shift) -> ShiftDiagnosis:
    """The diagnosis, with why the target labels that there are were not used."""
    why = NO_PROBABILITIES if shift == "auto" else f"the target labels are not used: shift={shift!r}"
    found = diagnosis.verdict
    level: Level = "abstain" if found == "abstain" else "caution"
    return replace(diagnosis, verdict=Verdict(level, [why, *found.reasons], found.action))


class BaseShiftCorrected(KeepsVerdicts, BaseCorrected):
    """Shared fit of the classifier and the regressor."""

    estimator: Any
    shift: Shift
    causes: Causes
    weighter: Any
    cv: Any
    fallback: Fallback
    random_state: Any
    diagnosis_: ShiftDiagnosis
    corrector_: Any

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        X_target: Any = None,
        *,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Diagnose the shift, and fit the model with the correction that follows.

        Parameters
        ----------
        X : array-like of shape (n_source, n_features)
            Source rows.
        y : array-like of shape (n_source,)
            Their labels or values.
        X_target : array-like of shape (n_target, n_features) or TargetSample
            Target rows; a ``TargetSample(X_target, y=labels, rows=positions)`` carries the labels of some. Required.
        sample_weight : array-like of shape (n_source,), default=None
            Repeat counts of the source rows. Weights below 1 compare the rows and are rescaled to average 1.
        groups : array-like of shape (n_source,), default=None
            Rows of one group (one person, say) stay in one fold.

        Returns
        -------
        self

        Raises
        ------
        ShiftDataError
            Without ``X_target``, for unusable data or settings, for a target label that the source does not have, for
            folds that judge rows they learn from, and for a learner that takes no weights.
        """
        self._check_settings()
        given = target_rows(X_target)
        source = self._check_source(X, y, sample_weight, groups)
        known = known_labels(X_target, None, None)
        refuse_new_classes(known, source, is_classifier(self))
        few = known if "labels" in self._allowed() else None
        X_target = check_target(source.X, given)
        cv = self.cv if is_fold_count(self.cv) or hasattr(self.cv, "split") else list(self.cv)
        rng = check_generator(self.random_state)
        seed = int(rng.integers(2**31 - 1))
        evidence = gather_evidence(
            self.estimator,
            source,
            X_target,
            weighter=self.weighter,
            cv=cv,
            fallback=self.fallback,
            rng=rng,
            # With labels weights are not used, and their fits would be for nothing.
            weighs=few is None and "weights" in self._allowed(),
            is_class=is_classifier(self),
        )
        samples = read_samples(source, X_target, few, is_classifier(self))
        diagnosis = diagnosis_of(samples, evidence, self.causes, self._allowed(), self.estimator, seed)
        if known is not None and few is None:
            diagnosis = without_labels(diagnosis, self.shift)
        corrector = self._corrector(Parts(source, X_target, few, cv), evidence, diagnosis, rng)
        with unchanged_on_error(self):
            self.diagnosis_, self.corrector_ = diagnosis, corrector
            self.estimator_ = getattr(corrector, "estimator_", corrector)
            self._keep(evidence, few)
            self._copy_input_attributes()
            return self

    def _allowed(self) -> Corrections:
        """Corrections to choose from."""
        can = corrections_for(self.estimator, is_classifier(self))
        return tuple(name for name in ALLOWED[self.shift] if name in can)

    def _check_source(self, X: Any, y: Any, sample_weight: Any, groups: Any) -> SourceRows:
        """The labelled source rows, checked."""
        raise NotImplementedError

    def _keep(self, evidence: Evidence, few: LabelledRows | None) -> None:
        """Set what else is learned."""

    def _few_label(self, cv: Any) -> Any:
        """Unfitted corrector by target labels."""
        raise NotImplementedError

    def _covariate_shift(self) -> Any:
        """Unfitted corrector by weights."""
        raise NotImplementedError

    def _corrector(self, parts: Parts, evidence: Evidence, diagnosis: ShiftDiagnosis, rng: np.random.Generator) -> Any:
        """The fitted meta-estimator that makes the predictions, or the model alone where none has a say."""
        source, few = parts.source, parts.few
        if few is not None:
            target = TargetSample(parts.X_target, y=few.y, rows=few.rows)
            kept = {"sample_weight": source.counts, "groups": source.groups}
            return self._few_label(parts.cv).fit(source.X, source.labels, X_target=target, **kept)
        if evidence.weighing is not None:
            weighing = self._used(evidence.weighing, diagnosis.correction == "weights")
            corrector = self._covariate_shift()
            corrector._fit_weighed(source.X, source.labels, source.counts, weighing, rng)
            corrector.verdict_ = diagnosis.verdict
            return corrector
        rows, values, counts = source.counted()
        return fit_weighted_of(self.estimator, rows, values, counts, fallback=self.fallback, rng=rng)

    def _used(self, weighing: Weighing, use: bool) -> Weighing:
        """The weights, left out unless they are to be used."""
        choice = weighing.choice
        return weighing if use else weighing._replace(choice=choice._replace(exponent=0.0, scale=None, bias=None))

    def _check_settings(self) -> None:
        """Raise for settings that are not known."""
        check_option(self.shift, "shift", list(ALLOWED))
        check_option(self.causes, "causes", [None, "label", "features"])
        check_option(self.fallback, "fallback", [None, "resample"])
        check_methods(self.estimator, "estimator", ["fit", "get_params"], "an estimator of scikit-learn's kind")
        if is_classifier(self.estimator) != is_classifier(self):
            kind = "Classifier" if is_classifier(self.estimator) else "Regressor"
            raise ShiftDataError(
                f"estimator is a {type(self.estimator).__name__}, which {type(self).__name__} cannot correct: "
                f"ShiftCorrected{kind} can."
            )
        check_folds(self.cv)
        if self.weighter is not None and not hasattr(self.weighter, "log_ratio"):
            raise ShiftDataError(
                f"weighter={self.weighter!r} is no weighter: pass one from shiftfix.covariate, or None."
            )

    @property
    def correction_(self) -> str:
        """What was done: "none", "weights", "prior" or "labels"."""
        check_is_fitted(self)
        return self.diagnosis_.correction

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Predictions of the corrected model, shape (n_rows,)."""
        check_is_fitted(self)
        return self.corrector_.predict(check_rows(X, "X"))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator).input_tags
        tags.input_tags.sparse, tags.input_tags.allow_nan = inner.sparse, inner.allow_nan
        return tags


class ShiftCorrectedClassifier(ClassifierMixin, BaseShiftCorrected):
    """Classifier corrected as far as the evidence supports it: by target labels, class shares, weights, or not at all.

    Parameters
    ----------
    estimator : classifier
        Cloned: fitted out of fold with and without weights, and once on all source rows; seven fits by default. A
        trained one in ``sklearn.frozen.FrozenEstimator`` is used as it is; then X and y must be rows it was not
        trained on.
    shift : {"auto", "covariate", "label", "none"}, default="auto"
        Corrections to choose from: all, weights alone, the class shares alone, none. The diagnosis is made anyway.
    causes : {None, "label", "features"}, default=None
        What is known of the world: "label" where y causes x and nothing but the class shares moved, so that they are
        corrected whatever the samples look like; "features" where x causes y, so that they are not.
    weighter : weighter, default=None
        None means ``LogisticWeighter()``, of the columns that ``TableColumns`` makes where the estimator takes
        categories or missing values.
    cv : int, splitter or iterable, default=3
        Folds for the scores and losses out of fold: a number of shuffled stratified ones, a splitter of scikit-learn,
        or pairs of (training, held-out) positions.
    fallback : {None, "resample"}, default=None
        For a learner that takes no weights: an error, or rows drawn in proportion to their weights.
    random_state : int, numpy Generator, RandomState or None, default=0
        For folds, permutations and ``fallback``.
    calibrate : {"temperature", None}, default="temperature"
        Whether probabilities go through a temperature fitted on out-of-fold scores, whatever is corrected.

    Attributes
    ----------
    diagnosis_ : ShiftDiagnosis
        The evidence, the verdict, and what to do next; ``print`` it.
    correction_ : {"none", "weights", "prior", "labels"}
    corrector_ : estimator
        What makes the predictions: a fitted ``FewLabelClassifier`` ("labels"), ``CovariateShiftClassifier``
        ("weights"), or ``LabelShiftClassifier`` ("prior"; with "none" it corrects nothing).
    estimator_ : classifier
        The model inside, fitted on the source.
    classes_ : ndarray of shape (n_classes,)
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only when X had string column names.

    Notes
    -----
    Preprocessing belongs inside ``estimator``, as a Pipeline: a Pipeline around this one transforms X but not X_target.
    Cross-validated scores (``GridSearchCV``) judge predictions meant for the target on source rows; search the
    parameters of ``estimator`` by themselves.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from shiftfix.simulate import gaussian_covariate_shift
    >>> problem = gaussian_covariate_shift(500, 500, conditional="logistic", random_state=0)
    >>> model = ShiftCorrectedClassifier(LogisticRegression())
    >>> model.fit(problem.X_source, problem.y_source, X_target=problem.X_target).correction_
    'none'
    """

    classes_: NDArray[Any]

    def __init__(
        self,
        estimator: Any,
        shift: Shift = "auto",
        *,
        causes: Causes = None,
        weighter: Any = None,
        cv: Any = 3,
        fallback: Fallback = None,
        random_state: Any = 0,
        calibrate: Literal["temperature"] | None = "temperature",
    ) -> None:
        self.estimator = estimator
        self.shift = shift
        self.causes = causes
        self.weighter = weighter
        self.cv = cv
        self.fallback = fallback
        self.random_state = random_state
        self.calibrate = calibrate

    def _check_settings(self) -> None:
        super()._check_settings()
        check_option(self.calibrate, "calibrate", [None, "temperature"])

    def _check_source(self, X: Any, y: Any, sample_weight: Any, groups: Any) -> SourceRows:
        return check_source(X, y, sample_weight, groups)

    def _keep(self, evidence: Evidence, few: LabelledRows | None) -> None:
        labels = evidence.labels
        self.classes_ = self.estimator_.classes_
        self._shares = None
        if labels is not None:
            counted = None if few is None else shares_by_labels(labels, few)
            self._shares = (labels.prior, labels.worlds, labels.fit.passes, counted)

    def _settings(self) -> dict[str, Any]:
        """What every corrector is made with."""
        kept = {"fallback": self.fallback, "random_state": self.random_state}
        return {"calibrate": self.calibrate, "cv": self.cv, **kept}

    def _few_label(self, cv: Any) -> FewLabelClassifier:
        return FewLabelClassifier(self.estimator, **self._settings() | {"cv": cv})

    def _covariate_shift(self) -> CovariateShiftClassifier:
        return CovariateShiftClassifier(self.estimator, self.weighter, **self._settings())

    def _used(self, weighing: Weighing, use: bool) -> Weighing:
        used = super()._used(weighing, use)
        calibrates = self.calibrate is not None and hasattr(self.estimator, "predict_proba")
        return used if calibrates else used._replace(choice=used.choice._replace(scale=None, bias=None))

    def _corrector(self, parts: Parts, evidence: Evidence, diagnosis: ShiftDiagnosis, rng: np.random.Generator) -> Any:
        labels, source = evidence.labels, parts.source
        by_shares = parts.few is None and hasattr(self.estimator, "predict_proba")
        if labels is None or not by_shares or diagnosis.correction == "weights":
            return super()._corrector(parts, evidence, diagnosis, rng)
        causes: Literal["label"] | None = "label" if self.causes == "label" else None
        corrector = LabelShiftClassifier(self.estimator, causes=causes, **self._settings())
        corrector.label_shift_fit_, corrector.corrected_ = labels.fit, diagnosis.correction == "prior"
        corrector._fit_corrected(source, labels.classes, labels.prior, diagnosis.verdict, labels.scores, rng)
        return corrector

    def interval(self, level: float = 0.95) -> NDArray[np.float64]:
        """Intervals of the target's class shares, shape (n_classes, 2).

        By the target labels where there are some; else of the estimate where label shift is what moved, and over all
        worlds that may be where it is not, as :meth:`LabelShiftClassifier.interval`.

        Parameters
        ----------
        level : float in (0, 1), default=0.95
        """
        check_is_fitted(self)
        level = check_number(level, "level", above=0, below=1)
        if self._shares is None:
            return np.tile([0.0, 1.0], (len(self.classes_), 1))
        prior, worlds, passes, counted = self._shares
        if counted is not None:
            return np.column_stack(counted.interval(level))
        return intervals_of_worlds(prior, len(self.classes_), worlds, level, is_label_shift=passes)

    @available_if(only_decides)  # type: ignore[untyped-decorator]
    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Decision values, where the model has no probabilities to correct."""
        check_is_fitted(self)
        return self.estimator_.decision_function(check_rows(X, "X"))

    @available_if(estimator_has("predict_proba"))  # type: ignore[untyped-decorator]
    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Class probabilities on the target, shape (n_rows, n_classes)."""
        check_is_fitted(self)
        return self.corrector_.predict_proba(check_rows(X, "X"))

    @available_if(estimator_has("predict_proba"))  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Logarithm of the class probabilities on the target, shape (n_rows, n_classes)."""
        return log_proba(self.predict_proba(X))


class ShiftCorrectedRegressor(RegressorMixin, BaseShiftCorrected):
    """Regressor corrected as far as the evidence supports it: by target labels, by weights, or not.

    Parameters
    ----------
    estimator : regressor
        Cloned: fitted out of fold with and without weights, and once on all source rows; seven fits by default.
    shift : {"auto", "covariate", "none"}, default="auto"
        Corrections to choose from: all, weights alone, none. The diagnosis is made anyway.
    causes : {None, "label", "features"}, default=None
        "label" where y causes x, so that weights, which take p(y given x) for shared, are not used.
    weighter : weighter, default=None
        As for :class:`ShiftCorrectedClassifier`.
    cv : int, splitter or iterable, default=3
        Folds for the losses out of fold.
    fallback : {None, "resample"}, default=None
        For a learner that takes no weights: an error, or rows drawn in proportion to their weights.
    random_state : int, numpy Generator, RandomState or None, default=0
        For folds, permutations and ``fallback``.

    Attributes
    ----------
    diagnosis_ : ShiftDiagnosis
    correction_ : {"none", "weights", "labels"}
    corrector_ : estimator
        What makes the predictions: a fitted ``FewLabelRegressor`` or ``CovariateShiftRegressor``.
    estimator_ : regressor
        The model inside, fitted on the source.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only when X had string column names.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> rng = np.random.default_rng(0)
    >>> X, X_target = rng.normal(size=(300, 1)), rng.normal(1, 1, (300, 1))
    >>> target = TargetSample(X_target, y=X_target[:40, 0] + 1, rows=range(40))
    >>> model = ShiftCorrectedRegressor(Ridge()).fit(X, X[:, 0], X_target=target)
    >>> model.correction_, model.predict([[2.0]]).round(1).tolist()
    ('labels', [2.9])
    """

    def __init__(
        self,
        estimator: Any,
        shift: Shift = "auto",
        *,
        causes: Causes = None,
        weighter: Any = None,
        cv: Any = 3,
        fallback: Fallback = None,
        random_state: Any = 0,
    ) -> None:
        self.estimator = estimator
        self.shift = shift
        self.causes = causes
        self.weighter = weighter
        self.cv = cv
        self.fallback = fallback
        self.random_state = random_state

    def _check_settings(self) -> None:
        super()._check_settings()
        if self.shift == "label":
            raise ShiftDataError('shift="label" is about classes: pass "auto", "covariate" or "none" for values.')

    def _check_source(self, X: Any, y: Any, sample_weight: Any, groups: Any) -> SourceRows:
        return check_value_source(X, y, sample_weight, groups)

    def _few_label(self, cv: Any) -> FewLabelRegressor:
        return FewLabelRegressor(self.estimator, cv=cv, fallback=self.fallback, random_state=self.random_state)

    def _covariate_shift(self) -> CovariateShiftRegressor:
        return CovariateShiftRegressor(
            self.estimator, self.weighter, cv=self.cv, fallback=self.fallback, random_state=self.random_state
        )
