"""Diagnose, then apply the correction that the evidence supports, or none.

A correction has to earn its place: class shares are corrected where they moved and nothing speaks against label shift,
rows are weighted where that is shown to lower the loss of this model, and a few target labels beat both.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from shiftfix._learner import Fallback
from shiftfix._numerics import log_proba
from shiftfix._setting_checks import check_number, check_option
from shiftfix._target_sample import LabelledRows
from shiftfix._validation import check_rows
from shiftfix.corrected._auto_base import BaseShiftCorrected, Parts, Shift, only_decides
from shiftfix.corrected._base import estimator_has
from shiftfix.corrected._covariate import CovariateShiftClassifier, CovariateShiftRegressor
from shiftfix.corrected._few_label import FewLabelClassifier, FewLabelRegressor
from shiftfix.corrected._label import LabelShiftClassifier
from shiftfix.detect import (
    Causes,
    ShiftDiagnosis,
    ShiftEvidence,
    shares_by_labels,
)
from shiftfix.exceptions import ShiftDataError
from shiftfix.label import intervals_of_worlds
from shiftfix.risk import SourceRows, Weighing, check_source, check_value_source


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

    See Also
    --------
    shiftfix.detect.diagnose_shift : Evidence for each kind of shift, verdict, next action.
    LabelShiftClassifier : A classifier that follows the target's class shares.
    CovariateShiftClassifier : Trains a classifier on weighted source rows.
    FewLabelClassifier : Corrects a classifier by a few target labels.

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

    def _keep(self, evidence: ShiftEvidence, few: LabelledRows | None) -> None:
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

    def _corrector(
        self, parts: Parts, evidence: ShiftEvidence, diagnosis: ShiftDiagnosis, rng: np.random.Generator
    ) -> Any:
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

    See Also
    --------
    shiftfix.detect.diagnose_shift : Evidence for each kind of shift, verdict, next action.
    CovariateShiftRegressor : Trains a regressor on weighted source rows.
    FewLabelRegressor : Corrects a regressor by a few target labels.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> from shiftfix.corrected import TargetSample
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
