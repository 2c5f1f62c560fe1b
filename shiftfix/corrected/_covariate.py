"""Train any estimator on importance-weighted source rows.

Assumes p(y | x) is shared and p(x) moves. The weighted source risk sum w_i l_i / sum w_i then estimates
the target risk (Shimodaira 2000, J. Statist. Plann. Inference 90:227-244, equation 2.2).
"""

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, RegressorMixin, is_classifier
from sklearn.utils import Tags, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _num_samples, check_consistent_length, check_is_fitted

from shiftfix._crossfit import check_folds, check_groups
from shiftfix._learner import Fallback, unchanged_on_error
from shiftfix._numerics import log_proba
from shiftfix._setting_checks import check_generator, check_methods, check_number, check_option
from shiftfix._target_sample import target_rows
from shiftfix._validation import check_labels, check_repeat_counts, check_rows
from shiftfix._verdict import KeepsVerdicts, Verdict, judge
from shiftfix.corrected._abstain import WEIGHTING, OnAbstain, decide
from shiftfix.corrected._base import BaseCorrected, estimator_has
from shiftfix.exceptions import ShiftDataError
from shiftfix.label import bounded_scores, calibrate
from shiftfix.risk import (
    Choice,
    Losses,
    Weighing,
    check_weighter,
    choose_exponent,
    default_weighter,
    exponents_of,
    fit_tempered,
    fit_weighter,
    tempered_weights,
    weighting_effect,
)

NOTHING_BETTER = (
    "Nothing is shown to do better, if p(y given x) is shared, as covariate shift has it; to ask whether that is so, "
    "diagnose the samples, or label target rows."
)


def verdict_on_weighting(weighing: Weighing) -> Verdict:
    """What may be said of a weighted model: of the weights alone nothing follows for it."""
    summary, choice = weighing.weighter.summary_.verdict, weighing.choice
    if summary == "abstain":
        return summary
    found = [*summary.reasons, *weighing.unbalanced_score]
    if not weighing.chosen:
        asked = "whether the weights help this model was not asked"
        return judge((), [*found, asked], summary.action or 'Pass exponent="cv", or compare on labelled target rows.')
    if choice.exponent > 0:
        return judge((), found, summary.action or "Compare with the unweighted model on labelled target rows.")
    if not choice.gains:
        return Verdict("caution", ["too few rows to see whether weights help this model: it was fitted without"])
    reason = f"weights are not shown to help this model ({gains_in_words(weighing)}): fitted without them"
    return Verdict("ok", [reason], NOTHING_BETTER)


def gains_in_words(weighing: Weighing) -> str:
    """By how much each exponent lowers the loss, and how much the predictions would change."""
    gains = weighing.choice.gains.items()
    told = (f"{'lower' if gain >= 0 else 'higher'} by {abs(gain):.2g} +- {error:.1g} at exponent {e:g}"
            for e, (gain, error) in gains)  # fmt: skip
    found = f"estimated target loss {', '.join(told)}"
    if weighing.effect is None:
        return found
    changed, of_class = weighing.effect.changed, weighing.choice.says is not None and weighing.choice.says.classes.size
    by = f"{changed:.1%} of the predicted classes" if of_class else f"predictions by {changed:.2g} standard deviations"
    return f"{found}; they would change {by}"


class BaseCovariateShift(KeepsVerdicts, BaseCorrected):
    """Shared fit of the classifier and the regressor."""

    exponent_losses_: Losses | None
    exponent_gains_: Losses | None
    calibration_scale_: NDArray[np.float64] | None
    calibration_bias_: NDArray[np.float64] | None

    def __init__(
        self,
        estimator: Any,
        weighter: Any = None,
        *,
        exponent: float | Literal["cv"] = "cv",
        cv: Any = 3,
        on_abstain: OnAbstain = "uncorrected",
        fallback: Fallback = None,
        random_state: Any = 0,
    ) -> None:
        self.estimator = estimator
        self.weighter = weighter
        self.exponent = exponent
        self.cv = cv
        self.on_abstain = on_abstain
        self.fallback = fallback
        self.random_state = random_state

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        X_target: Any = None,
        *,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Estimate the weights and train the estimator with them.

        Parameters
        ----------
        X : array-like of shape (n_source, n_features)
            Source rows. The weighter reads them too, and a Pipeline in ``estimator`` does not reach it: with categories
            or missing values the default weighter makes numbers of its own, a ``ClassifierWeighter`` takes a learner
            that reads them, and others need ``LogisticWeighter(features=transformer)``.
        y : array-like of shape (n_source,)
            Their labels or values.
        X_target : array-like of shape (n_target, n_features) or TargetSample
            Unlabelled target rows; required.
        sample_weight : array-like of shape (n_source,), default=None
            Repeat counts of the source rows: they enter the ratio and multiply its weights. Weights below 1
            compare the rows and are rescaled to average 1.
        groups : array-like of shape (n_source,), default=None
            Rows of one group (one person, say) stay in one fold, of ``exponent="cv"`` and of a cross-fitted weighter.

        Returns
        -------
        self

        Raises
        ------
        ShiftDataError
            Without ``X_target``, for unusable data or settings, for folds that judge rows they learn from, and for a
            learner that takes no weights.
        NotIdentifiedError
            On the verdict "abstain" with ``on_abstain="error"``.

        Warns
        -----
        PoorOverlapWarning
            When the weighter's verdict is "abstain".
        """
        self._check_settings()
        X_target = target_rows(X_target)
        if y is None:
            raise ShiftDataError(
                "One label or value per row is needed: this requires y to be passed, but the target y is None."
            )
        check_rows(X, "X")
        check_rows(X_target, "X_target")
        if np.ndim(check_rows(y, "y")) == 1 and is_classifier(self):
            check_labels(y, "y")
        check_consistent_length(X, y)
        n_rows = _num_samples(X)
        counts = None if sample_weight is None else check_repeat_counts(sample_weight, n_rows)
        groups = check_groups(groups, n_rows)
        weighter = default_weighter(self.estimator, X, X_target) if self.weighter is None else self.weighter
        weighter = fit_weighter(weighter, X, X_target, counts, groups)
        weights, summary = weighter.source_weights_, weighter.summary_
        usable = decide(summary.verdict, self.on_abstain, WEIGHTING)
        rng = check_generator(self.random_state)
        exponents = exponents_of(self.exponent, summary.verdict, usable)
        choice = self._choice(X, y, weights, counts, groups, rng, exponents, X_target)
        effect = weighting_effect(choice.says, weights, counts)
        return self._fit_weighed(X, y, counts, Weighing(weighter, usable, choice, len(exponents) > 1, effect), rng)

    def _fit_weighed(
        self, X: ArrayLike, y: ArrayLike, counts: NDArray[np.float64] | None, weighing: Weighing, rng: Any
    ) -> Self:
        """Train the estimator as far as the weights are used."""
        weighter, usable, choice, chosen, _ = weighing
        weights, exponent = weighter.source_weights_, choice.exponent
        estimator = fit_tempered(self.estimator, X, y, weights, exponent, counts, fallback=self.fallback, rng=rng)
        with unchanged_on_error(self):
            self.weighter_, self.summary_, self.corrected_ = weighter, weighter.summary_, usable and exponent > 0
            self.verdict_ = verdict_on_weighting(weighing)
            self.exponent_ = exponent
            self.exponent_losses_, self.exponent_gains_ = (choice.losses, choice.gains) if chosen else (None, None)
            if is_classifier(self):
                self.calibration_scale_, self.calibration_bias_ = choice.scale, choice.bias
            self.weights_ = tempered_weights(weights, exponent, counts)
            self.estimator_ = estimator
            self._copy_input_attributes()
            return self

    def _check_settings(self) -> None:
        """Raise for settings that are not known."""
        check_option(self.on_abstain, "on_abstain", ["uncorrected", "error", "correct"])
        check_option(self.fallback, "fallback", [None, "resample"])
        check_methods(self.estimator, "estimator", ["fit", "get_params"], "an estimator of scikit-learn's kind")
        check_folds(self.cv)
        if not isinstance(self.exponent, str):
            check_number(self.exponent, "exponent", least=0, most=1)
        elif self.exponent != "cv":
            raise ShiftDataError(f'exponent={self.exponent!r}: a number >= 0 and <= 1, or "cv", is needed.')
        check_weighter(self.weighter)

    def _choice(
        self,
        X: ArrayLike,
        y: ArrayLike,
        weights: NDArray[np.float64],
        counts: NDArray[np.float64] | None,
        groups: NDArray[Any] | None,
        rng: np.random.Generator,
        exponents: tuple[float, ...],
        X_target: Any,
    ) -> Choice:
        """The exponent given, or the one that is shown to help, and the calibration of its probabilities."""
        calibrates = getattr(self, "calibrate", None) is not None and hasattr(self.estimator, "predict_proba")
        if len(exponents) == 1 and not calibrates:
            return Choice(exponents[0], {}, {})
        choice = choose_exponent(
            self.estimator,
            X,
            y,
            weights,
            sample_weight=counts,
            cv=self.cv,
            groups=groups,
            fallback=self.fallback,
            rng=rng,
            exponents=exponents,
            X_target=X_target,
        )
        return choice if calibrates else choice._replace(scale=None, bias=None)


class CovariateShiftClassifier(ClassifierMixin, BaseCovariateShift):
    """Classifier trained on importance-weighted source rows.

    Parameters
    ----------
    estimator : estimator
        Cloned before fitting. Its learner must take ``sample_weight``; in a Pipeline, the last step gets it.
    weighter : weighter, default=None
        Fitted on both samples; its ``source_weights_`` and ``summary_`` are used. None means ``LogisticWeighter()``,
        of the columns that ``TableColumns`` makes where the estimator takes categories or missing values.
    exponent : float in [0, 1] or "cv", default="cv"
        Training weights are those of the weighter at 1, and w ** exponent rescaled to mean 1 below; 0 does not weight
        at all. A model flexible enough for p(y given x) needs no weights, and they cost it precision; a misspecified
        one needs them. ``"cv"`` takes the best of 1/2 and 1 where importance-weighted cross-validation shows it to be
        better than 0 beyond chance, else 0, at three fits per fold.
    cv : int, splitter or iterable, default=3
        Folds for ``exponent="cv"`` and ``calibrate``: a number of shuffled ones stratified by class, a splitter of
        scikit-learn, or pairs of (training, held-out) positions.
    on_abstain : {"uncorrected", "error", "correct"}, default="uncorrected"
        What to do when the data do not support weighting: warn and fit without weights, raise, or warn and
        weight all the same (``exponent="cv"`` then fully: such weights cannot be cross-validated).
    fallback : {None, "resample"}, default=None
        For a learner that takes no weights: an error, or rows drawn in proportion to their weights.
    random_state : int, numpy Generator, RandomState or None, default=0
        For ``fallback`` and for the folds.
    calibrate : {"temperature", None}, default="temperature"
        Whether probabilities go through a temperature fitted on out-of-fold scores; one fit per fold, which
        ``exponent="cv"`` makes anyway.

    Attributes
    ----------
    estimator_ : estimator
        The fitted clone.
    weighter_ : weighter
    weights_ : ndarray of shape (n_source,)
        Shift weights of the source rows as they trained, with the exponent, before the user's sample_weight; ones
        when not corrected.
    exponent_ : float
        The exponent that was used; 0 when not corrected.
    exponent_losses_ : dict of float to (float, float) or None
        For ``exponent="cv"``: the estimated target loss of each exponent and its standard error. The loss is the
        negative log probability of the label after a temperature (without ``predict_proba``, of the decision values
        turned into probabilities).
    exponent_gains_ : dict of float to (float, float) or None
        By how much each exponent above 0 lowers that loss, and the standard error of the difference.
    calibration_scale_, calibration_bias_ : ndarray of shape (n_classes,) or None
        Probabilities are softmax(scale * log p + bias).
    summary_ : WeightSummary
        Effective size, overlap, verdict on the weights and reasons.
    verdict_ : Verdict
        On weighting this model: "ok" where it is shown to help, or shown to be needless and left out.
    corrected_ : bool
        Whether the weights were used: with ``exponent="cv"`` not where they are not shown to help.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only when X had string column names.
    classes_ : ndarray of shape (n_classes,)

    See Also
    --------
    ShiftCorrectedClassifier : Diagnoses, and corrects as far as the evidence supports it.
    CovariateShiftRegressor : Trains a regressor on weighted source rows.
    shiftfix.covariate.LogisticWeighter : Odds of a logistic source-versus-target classifier; the default.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from shiftfix.simulate import gaussian_covariate_shift
    >>> problem = gaussian_covariate_shift(500, 500, conditional="logistic", random_state=0)
    >>> model = CovariateShiftClassifier(LogisticRegression(), random_state=0)
    >>> model = model.fit(problem.X_source, problem.y_source, X_target=problem.X_target)
    >>> model.corrected_, model.verdict_  # p(y given x) is logistic: weights have nothing to repair
    (False, 'ok')
    """

    def __init__(
        self,
        estimator: Any,
        weighter: Any = None,
        *,
        exponent: float | Literal["cv"] = "cv",
        cv: Any = 3,
        on_abstain: OnAbstain = "uncorrected",
        fallback: Fallback = None,
        random_state: Any = 0,
        calibrate: Literal["temperature"] | None = "temperature",
    ) -> None:
        super().__init__(
            estimator,
            weighter,
            exponent=exponent,
            cv=cv,
            on_abstain=on_abstain,
            fallback=fallback,
            random_state=random_state,
        )
        self.calibrate = calibrate

    def _check_settings(self) -> None:
        super()._check_settings()
        check_option(self.calibrate, "calibrate", [None, "temperature"])

    @property
    def classes_(self) -> NDArray[Any]:
        """Class labels, in the order of the columns of ``predict_proba``."""
        return self.estimator_.classes_

    @available_if(estimator_has("predict_proba"))  # type: ignore[untyped-decorator]
    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Class probabilities, shape (n_rows, n_classes)."""
        check_is_fitted(self)
        proba = self.estimator_.predict_proba(check_rows(X, "X"))
        if self.calibration_scale_ is None or self.calibration_bias_ is None:
            return proba
        bounded = bounded_scores(proba, len(self.classes_))
        return calibrate(bounded, self.calibration_scale_, self.calibration_bias_)

    @available_if(estimator_has("predict_proba"))  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Logarithm of the class probabilities, shape (n_rows, n_classes); as the estimator gives it, uncalibrated."""
        check_is_fitted(self)
        own = None if self.calibration_scale_ is not None else getattr(self.estimator_, "predict_log_proba", None)
        return log_proba(self.predict_proba(X)) if own is None else own(X)

    @available_if(estimator_has("decision_function"))  # type: ignore[untyped-decorator]
    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Decision values, as the estimator gives them."""
        check_is_fitted(self)
        return self.estimator_.decision_function(check_rows(X, "X"))


class CovariateShiftRegressor(RegressorMixin, BaseCovariateShift):
    """Regressor trained on importance-weighted source rows.

    Parameters
    ----------
    estimator : estimator
        Cloned before fitting. Its learner must take ``sample_weight``; in a Pipeline, the last step gets it.
    weighter : weighter, default=None
        Fitted on both samples; its ``source_weights_`` and ``summary_`` are used. None means ``LogisticWeighter()``,
        of the columns that ``TableColumns`` makes where the estimator takes categories or missing values.
    exponent : float in [0, 1] or "cv", default="cv"
        Training weights are those of the weighter at 1, and w ** exponent rescaled to mean 1 below; 0 does not weight
        at all. A model flexible enough for p(y given x) needs no weights, and they cost it precision; a misspecified
        one needs them. ``"cv"`` takes the best of 1/2 and 1 where importance-weighted cross-validation shows it to be
        better than 0 beyond chance, else 0, at three fits per fold.
    cv : int, splitter or iterable, default=3
        Folds for ``exponent="cv"``: a number of shuffled ones, a splitter of scikit-learn, or pairs of
        (training, held-out) positions.
    on_abstain : {"uncorrected", "error", "correct"}, default="uncorrected"
        What to do when the data do not support weighting: warn and fit without weights, raise, or warn and
        weight all the same (``exponent="cv"`` then fully: such weights cannot be cross-validated).
    fallback : {None, "resample"}, default=None
        For a learner that takes no weights: an error, or rows drawn in proportion to their weights.
    random_state : int, numpy Generator, RandomState or None, default=0
        For ``fallback`` and for the folds of ``exponent="cv"``.

    Attributes
    ----------
    estimator_ : estimator
        The fitted clone.
    weighter_ : weighter
    weights_ : ndarray of shape (n_source,)
        Shift weights of the source rows as they trained, with the exponent, before the user's sample_weight; ones
        when not corrected.
    exponent_ : float
        The exponent that was used; 0 when not corrected.
    exponent_losses_ : dict of float to (float, float) or None
        For ``exponent="cv"``: the estimated target loss of each exponent and its standard error. The loss is the
        squared error.
    exponent_gains_ : dict of float to (float, float) or None
        By how much each exponent above 0 lowers that loss, and the standard error of the difference.
    summary_ : WeightSummary
        Effective size, overlap, verdict on the weights and reasons.
    verdict_ : Verdict
        On weighting this model: "ok" where it is shown to help, or shown to be needless and left out.
    corrected_ : bool
        Whether the weights were used: with ``exponent="cv"`` not where they are not shown to help.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only when X had string column names.

    See Also
    --------
    ShiftCorrectedRegressor : Diagnoses, and corrects values as far as the evidence supports it.
    CovariateShiftClassifier : Trains a classifier on weighted source rows.
    shiftfix.covariate.LogisticWeighter : Odds of a logistic source-versus-target classifier; the default.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from shiftfix.simulate import gaussian_covariate_shift
    >>> problem = gaussian_covariate_shift(500, 500, random_state=0)
    >>> model = CovariateShiftRegressor(LinearRegression(), random_state=0)
    >>> model.fit(problem.X_source, problem.y_source, X_target=problem.X_target).corrected_
    True
    """

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = get_tags(self.estimator).target_tags.multi_output
        return tags
