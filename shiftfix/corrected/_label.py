"""Correct any probabilistic classifier for a moved class prior.

Assumes p(x | y) is shared and p(y) moves. The scores that the prior is learned from come from models that did not see
the rows they score.
"""

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin, clone
from sklearn.utils import Tags, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from shiftfix._learner import Fallback, fit_weighted_of, unchanged_on_error
from shiftfix._numerics import log_proba
from shiftfix._setting_checks import check_generator, check_number, check_option
from shiftfix._target_sample import target_rows
from shiftfix._validation import check_rows
from shiftfix._verdict import KeepsVerdicts, Verdict
from shiftfix.corrected._abstain import PRIOR, decide
from shiftfix.corrected._base import BaseCorrected, estimator_has
from shiftfix.corrected._gate import Causes, OnReject, act_on
from shiftfix.corrected._label_inputs import Correction, check_estimator
from shiftfix.detect import ask_for_label_shift, names_of_rows
from shiftfix.exceptions import ShiftDataError
from shiftfix.label import (
    MLLS,
    ScoreCalibrator,
    adjust_proba,
    bounded_scores,
    careful_prior,
    intervals_of_worlds,
    mean_score,
    share_of_counts,
    unadjusted_threshold,
)
from shiftfix.risk import (
    Scores,
    SourceRows,
    check_source,
    check_target,
    cross_fitted_scores,
    fit_prior,
    given_scores,
    score_folds,
)


class LabelShiftClassifier(KeepsVerdicts, ClassifierMixin, BaseCorrected):
    """Classifier corrected for the target's class prior.

    Exactly one correction is applied: either the posteriors are adjusted, or the training is weighted.

    Parameters
    ----------
    estimator : classifier with ``predict_proba``
        Cloned before fitting. A trained one in ``sklearn.frozen.FrozenEstimator`` is used as it is; then
        X and y must be rows it was not trained on.
    prior : prior estimator, default=None
        Fitted on out-of-fold source scores and target scores; None means ``MLLS(shrink="significance")``: scores
        calibrated by the kind that held-out rows prefer, and no correction where no shift can be told.
    correction : {"adjust", "retrain"}, default="adjust"
        "adjust" calibrates the posteriors as the prior estimator does and reweights them by q / ``score_prior_``:
        no retraining, and Bayes-optimal when they are calibrated. "retrain" fits again with row weights q / p, where
        q is taken as at least half a target row: for models too simple to represent p(y given x).
    cv : int, splitter or iterable, default=5
        Folds for the out-of-fold scores: a number of shuffled stratified ones, at most as many as the rarest class has
        rows; a splitter of scikit-learn; or pairs of (training, held-out) positions.
    on_abstain : {"uncorrected", "error"}, default="uncorrected"
        What to do when the scores cannot tell the prior: warn and predict uncorrected, or raise.
    fallback : {None, "resample"}, default=None
        For a learner that takes no weights, where weights are needed.
    random_state : int, numpy Generator, RandomState or None, default=0
        For the folds, for the intervals of the default ``prior``, and for ``fallback``.
    on_reject : {"uncorrected", "correct", "error"}, default="uncorrected"
        What to do when :func:`shiftfix.label.label_shift_fit` says that something else than the class shares moved:
        warn and predict uncorrected, warn and correct all the same, or raise.
    causes : {None, "label"}, default=None
        "label" when y is known to cause x and nothing else moved: the fit is told, and stops nothing.
    calibrate : {"temperature", None}, default="temperature"
        Whether probabilities that are not adjusted go through a temperature fitted on the out-of-fold source scores.

    Attributes
    ----------
    estimator_ : classifier
        Fitted on all source rows.
    prior_ : prior estimator
        Holds the interval, the confusion matrices and the condition number. Where the scores do not tell some classes
        apart at all, it has no estimate, and only ``identified_``, ``reason_`` and ``verdict_``.
    classes_ : ndarray of shape (n_classes,)
    source_prior_, target_prior_ : ndarray of shape (n_classes,)
        p, the class frequencies of the source, and the q that is used: the estimate ``prior_.target_prior_``, drawn
        towards p by its sampling error, each class with at least half a target row; equal to p when not corrected.
    label_shift_fit_ : LabelShiftFit or None
        How much of what moved one change of class shares explains; None where no shift was found to explain.
    calibrator_ : ScoreCalibrator or None
        The temperature.
    score_prior_ : ndarray of shape (n_classes,)
        The prior that posteriors are divided by: p, or what the scores imply when they disagree with p (a
        classifier trained with balanced classes, or on another population).
    verdict_ : Verdict
        On the prior: "abstain", with the reason, when the scores cannot tell it, else "ok", which has a reason where
        the prior estimator's ``shrink`` found no shift.
    corrected_ : bool
        Whether the correction is applied: whether the verdict is not "abstain" and a shift was found.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only when X had string column names.

    See Also
    --------
    ShiftCorrectedClassifier : Diagnoses, and corrects as far as the evidence supports it.
    shiftfix.label.MLLS : Maximum likelihood on calibrated scores; the most precise.
    shiftfix.label.label_shift_fit : How much of what moved does one change of the class shares explain?

    Notes
    -----
    Preprocessing belongs inside ``estimator``, as a Pipeline: a Pipeline around this one transforms X but not
    X_target. Cross-validated scores (``GridSearchCV``) judge predictions meant for the target on source rows, so
    they favour less correction; search the parameters of ``estimator`` by themselves.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> X, y = load_digits(return_X_y=True)
    >>> target = (y == 3) | (y == 8)
    >>> model = LabelShiftClassifier(LogisticRegression(max_iter=1000, C=0.01), random_state=0)
    >>> model = model.fit(X[::2], y[::2], X_target=X[target])
    >>> bool(model.target_prior_[[3, 8]].sum() > 0.9)
    True
    """

    def __init__(
        self,
        estimator: Any,
        prior: Any = None,
        *,
        correction: Correction = "adjust",
        cv: Any = 5,
        on_abstain: Literal["uncorrected", "error"] = "uncorrected",
        fallback: Fallback = None,
        random_state: Any = 0,
        on_reject: OnReject = "uncorrected",
        causes: Causes = None,
        calibrate: Literal["temperature"] | None = "temperature",
    ) -> None:
        self.estimator = estimator
        self.prior = prior
        self.correction = correction
        self.cv = cv
        self.on_abstain = on_abstain
        self.fallback = fallback
        self.random_state = random_state
        self.on_reject = on_reject
        self.causes = causes
        self.calibrate = calibrate

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        X_target: Any = None,
        *,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        scores_source: ArrayLike | None = None,
        scores_target: ArrayLike | None = None,
    ) -> Self:
        """Estimate the target prior and fit the corrected classifier.

        Parameters
        ----------
        X : array-like of shape (n_source, n_features)
            Source rows.
        y : array-like of shape (n_source,)
            Their labels.
        X_target : array-like of shape (n_target, n_features) or TargetSample
            Unlabelled target rows; required, unless their scores are given.
        sample_weight : array-like of shape (n_source,), default=None
            Repeat counts of the source rows: they enter the prior and multiply its weights. Weights below 1
            compare the rows and are rescaled to average 1.
        groups : array-like of shape (n_source,), default=None
            Rows of one group (one person, say) stay in one fold.
        scores_source, scores_target : array-like of shape (n_rows, n_classes), default=None
            Class probabilities of X and of the target rows by models that were NOT trained on those rows, with
            columns in sorted order of the labels. Given both, no model is cross-fitted.

        Returns
        -------
        self

        Raises
        ------
        ShiftDataError
            Without ``X_target``, for unusable data or settings, a class with a single row, folds that judge rows they
            learn from, or a classifier without ``predict_proba``.
        NotIdentifiedError
            When the scores cannot tell the prior and ``on_abstain="error"``.

        Warns
        -----
        PoorIdentificationWarning
            When the scores cannot tell the prior; nothing is corrected then.
        """
        self._check_settings()
        given = scores_source is not None
        if given != (scores_target is not None):
            raise ShiftDataError("scores_source and scores_target belong together: pass both, or neither.")
        if not given:
            X_target = target_rows(X_target)
        source = check_source(X, y, sample_weight, groups)
        classes = np.unique(source.labels[source.rows])
        rng = check_generator(self.random_state)
        if given:
            scores = given_scores(scores_source, scores_target, source.rows, len(source.labels), len(classes))
        else:
            X_target = check_target(source.X, X_target)
            scores = self._cross_fitted(source, classes, X_target, rng)
        prior, verdict = fit_prior(
            self._new_prior(rng), source, scores, classes, raise_as_found=self.on_abstain == "error"
        )
        label_fit, corrected = None, False
        if not getattr(prior, "identified_", False):
            decide(verdict, self.on_abstain, PRIOR)
        elif not getattr(prior, "shrunk_", False):
            rows = None if X_target is None else target_rows(X_target)
            label_fit = ask_for_label_shift(source, scores, classes, rows, prior)
            names = names_of_rows(source.X, rows) if label_fit.uses_features and not label_fit.passes else []
            corrected, verdict = act_on(label_fit, self.on_reject, self.causes, names)
        with unchanged_on_error(self):
            self.label_shift_fit_, self.corrected_ = label_fit, corrected
            self._fit_corrected(source, classes, prior, verdict, scores, rng)
            return self

    def _cross_fitted(
        self, source: SourceRows, classes: NDArray[Any], X_target: Any, rng: np.random.Generator
    ) -> Scores:
        """Scores of both samples by clones of the estimator that did not see the rows they score."""
        folds = score_folds(self.estimator, source, self.cv, rng)
        return cross_fitted_scores(self.estimator, source, classes, X_target, folds, fallback=self.fallback, rng=rng)

    def _fit_corrected(
        self,
        source: SourceRows,
        classes: NDArray[Any],
        prior: Any,
        verdict: Verdict,
        scores: Scores,
        rng: np.random.Generator,
    ) -> None:
        """Fit the classifier on all source rows and keep it with its priors."""
        corrected, n_target = self.corrected_, len(scores.target)
        X, labels, counts = source.counted()
        codes = np.searchsorted(classes, labels)
        totals = np.bincount(codes, weights=counts).astype(np.float64)
        source_prior = totals / totals.sum()
        target_prior = source_prior
        if corrected:
            target_prior = careful_prior(prior.target_prior_, source_prior, prior.prior_covariance_, n_target)
        # Scores that agree with the frequencies of the scored rows make a final classifier that agrees with those of
        # all rows; the two differ when the folds leave rows out.
        disagree = corrected and not np.array_equal(prior.score_prior_, prior.source_prior_)
        weights = counts
        if self.correction == "retrain" and corrected:
            class_weight = target_prior / source_prior
            weights = class_weight[codes] * (1.0 if counts is None else counts)
        self.estimator_ = fit_weighted_of(self.estimator, X, labels, weights, fallback=self.fallback, rng=rng)
        self.classes_, self.prior_, self.verdict_ = classes, prior, verdict
        self.calibrator_ = self._temperature(source, scores, classes)
        said = self._at_temperature(scores.target)
        self._worlds = share_of_counts(totals), mean_score(np.asarray(said, dtype=np.float64))
        self.source_prior_, self.target_prior_ = source_prior, target_prior
        self.score_prior_ = prior.score_prior_ if disagree else source_prior
        self._copy_input_attributes()

    def _temperature(self, source: SourceRows, scores: Scores, classes: NDArray[Any]) -> ScoreCalibrator | None:
        """The calibration of probabilities that are not adjusted, or None."""
        if self.calibrate is None:
            return None
        counts = None if source.counts is None else source.counts[scores.rows]
        said, labels = bounded_scores(scores.source, len(classes)), source.labels[scores.rows]
        return ScoreCalibrator("temperature").fit(said, labels, classes=classes, sample_weight=counts)

    def _at_temperature(self, scores: Any) -> Any:
        """Scores after the temperature, of the same shape; as they are without one."""
        if self.calibrator_ is None:
            return scores
        return self.calibrator_.transform(bounded_scores(scores, len(self.classes_)))

    def _check_settings(self) -> None:
        """Raise for settings that are not known, or not together."""
        check_option(self.on_reject, "on_reject", ["uncorrected", "correct", "error"])
        check_option(self.causes, "causes", [None, "label"])
        check_option(self.calibrate, "calibrate", [None, "temperature"])
        check_option(self.correction, "correction", ["adjust", "retrain"])
        check_option(self.on_abstain, "on_abstain", ["uncorrected", "error"])
        check_option(self.fallback, "fallback", [None, "resample"])
        if self.prior is not None and not hasattr(self.prior, "adjust_proba"):
            raise ShiftDataError(f"prior={self.prior!r} is no prior estimator: pass one from shiftfix.label, or None.")
        check_estimator(self.estimator, self.correction)

    def _new_prior(self, rng: np.random.Generator) -> Any:
        """The prior estimator, unfitted."""
        if self.prior is None:
            return MLLS(shrink="significance", random_state=int(rng.integers(2**31 - 1)))
        return clone(self.prior)

    def class_weight(self) -> dict[Any, float]:
        """Weights q / p by label, for learners that take ``class_weight``; all 1 when nothing is corrected.

        Returns
        -------
        dict of label to float

        Raises
        ------
        ShiftDataError
            When this estimator adjusts its posteriors: a learner trained with these weights must not be adjusted too.
        """
        check_is_fitted(self)
        if self.correction == "adjust":
            raise ShiftDataError(
                'correction="adjust" corrects the posteriors already, and weights would correct them again: fit with '
                'correction="retrain", or take prior_.class_weight() for a learner that is used by itself.'
            )
        return dict(zip(self.classes_.tolist(), (self.target_prior_ / self.source_prior_).tolist(), strict=True))

    def interval(self, level: float = 0.95) -> NDArray[np.float64]:
        """Intervals of the target's class shares, shape (n_classes, 2).

        Where label shift is what moved, those of ``prior_``, which are sampling error, and 5% of the odds beyond, since
        calibrated scores are never quite the class probabilities. Else they reach over three worlds: that the shares
        did not move, that p(y given x) stayed and they are the target's mean calibrated scores, and that p(x given y)
        stayed and they are ``prior_``'s; and on both sides by a factor of 1.65 of the odds further, by which p(y given
        x) was found to move where rows without labels show nothing. Most of their width is then not sampling error, and
        more rows without labels do not shorten it. What is beyond the sampling error was found for ``level=0.95``, and
        is the same at others.

        Parameters
        ----------
        level : float in (0, 1), default=0.95
        """
        check_is_fitted(self)
        level = check_number(level, "level", above=0, below=1)
        is_label_shift = self.label_shift_fit_ is not None and self.label_shift_fit_.passes
        return intervals_of_worlds(self.prior_, len(self.classes_), self._worlds, level, is_label_shift=is_label_shift)

    def adjusted_threshold(self, threshold: float = 0.5) -> float:
        """Threshold on ``estimator_``'s probability of ``classes_[1]`` that does what ``threshold`` does here.

        As :meth:`shiftfix.label.MLLS.adjusted_threshold`, and through the temperature alone when the posteriors are not
        adjusted.
        """
        check_is_fitted(self)
        if not (self.corrected_ and self.correction == "adjust"):
            threshold = check_number(threshold, "threshold", above=0, below=1)
            if self.calibrator_ is None or len(self.classes_) != 2:
                return threshold
            same = self.source_prior_
            return unadjusted_threshold(threshold, self.calibrator_.scale_, self.calibrator_.bias_, same, same)
        self.prior_.adjusted_threshold(threshold)  # checks
        # The prior estimator divides by the frequencies of the scored rows, which folds may draw from some rows only.
        return unadjusted_threshold(
            threshold,
            self.prior_.calibration_scale_,
            self.prior_.calibration_bias_,
            self.score_prior_,
            self.target_prior_,
        )

    @available_if(estimator_has("predict_proba"))  # type: ignore[untyped-decorator]
    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Class probabilities under the target prior, shape (n_rows, n_classes)."""
        check_is_fitted(self)
        return self.adjust_proba(self.estimator_.predict_proba(check_rows(X, "X")))

    @available_if(estimator_has("predict_proba"))  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Logarithm of the class probabilities under the target prior, shape (n_rows, n_classes)."""
        return log_proba(self.predict_proba(X))

    def adjust_proba(self, scores: Any) -> Any:
        """Class probabilities under the target prior from those of ``estimator_``, as ``predict_proba`` makes them.

        Parameters
        ----------
        scores : array-like of shape (n_rows, n_classes)
            What ``estimator_.predict_proba`` says of some rows.

        Returns
        -------
        ndarray of shape (n_rows, n_classes)
            After the temperature alone when nothing is corrected, or the correction was to retrain.
        """
        check_is_fitted(self)
        if not (self.corrected_ and self.correction == "adjust"):
            return self._at_temperature(scores)
        return adjust_proba(self.prior_.calibrate(scores), self.score_prior_, self.target_prior_)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Most probable class under the target prior, shape (n_rows,)."""
        scores = self.predict_proba(X)
        return self.classes_[np.argmax(scores, axis=1)]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator).input_tags
        tags.input_tags.sparse, tags.input_tags.allow_nan = inner.sparse, inner.allow_nan
        return tags
