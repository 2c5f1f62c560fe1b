"""What every estimator of the target prior shares: scores in, prior, weights and posteriors out.

Assumes p(x | y) is shared and only p(y) moves. Notation: p source prior, q target prior, w = q / p.
"""

from abc import ABCMeta, abstractmethod
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from shiftfix._door import PublicCalls
from shiftfix._learner import unchanged_on_error
from shiftfix._setting_checks import check_number, check_option
from shiftfix._validation import check_class_order, check_scores
from shiftfix._verdict import KeepsVerdicts, Verdict, tell
from shiftfix.exceptions import PoorIdentificationWarning, ShiftDataError
from shiftfix.label._identification import Identification, identify, prior_verdict, shows_no_shift
from shiftfix.label._implied_prior import PriorFrom
from shiftfix.label._labels import positions_among
from shiftfix.label._likelihood import CALIBRATIONS, CalibrationKind
from shiftfix.label._posterior import proba_at_prior, unadjusted_threshold
from shiftfix.label._shift_test import mean_score_p_value
from shiftfix.label._source import (
    CalibrationOption,
    ScoreKind,
    Source,
    SourceScores,
    TargetScores,
    learn_source,
    read_source,
    read_target,
)


class Learned(NamedTuple):
    """What one method learns from the source beyond what all do.

    Attributes
    ----------
    own : object
        What ``_estimate`` of the method needs; None for nothing.
    facts : mapping of str to object
        Learned attributes of the method, by their public names.
    """

    own: Any = None
    facts: Mapping[str, Any] = {}


class Estimate(NamedTuple):
    """Target prior by one method.

    Attributes
    ----------
    prior : ndarray of shape (n_classes,)
        q, on the simplex.
    covariance : ndarray of shape (n_classes, n_classes)
        Sampling covariance.
    cautious_covariance : ndarray of shape (n_classes, n_classes)
        The same, allowing for events too rare to show in the samples.
    facts : mapping of str to object
        Learned attributes of the method, by their public names.
    """

    prior: NDArray[np.float64]
    covariance: NDArray[np.float64]
    cautious_covariance: NDArray[np.float64]
    facts: Mapping[str, Any] = {}


class JudgedEstimate(NamedTuple):
    """An estimate, and what it is worth.

    Attributes
    ----------
    estimate : Estimate
    identification : Identification
    shift_p_value : float or None
        Of the test of equal mean scores; None when nothing depends on it.
    """

    estimate: Estimate
    identification: Identification
    shift_p_value: float | None


def normal_interval(prior: NDArray[np.float64], covariance: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """Normal approximation of confidence intervals of a prior, cut to [0, 1]; shape (n_classes, 2)."""
    half = norm.ppf((1 + level) / 2) * np.sqrt(np.diag(covariance))
    return np.clip(np.column_stack([prior - half, prior + half]), 0, 1)


def shift_p_value(source: TargetScores, target: TargetScores) -> float:
    """Test of equal mean scores of two samples of checked rows; a float."""
    # Calibrated or in float32, rows sum to 1 up to rounding only.
    rows = [np.asarray(scores, dtype=np.float64) for scores in (source.scores, target.scores)]
    first, second = (scores / scores.sum(axis=1)[:, np.newaxis] for scores in rows)
    # The same data shall always get the same answer, so the permutations are fixed.
    return mean_score_p_value(first, second, source.counts, target.counts, rng=np.random.default_rng(0))


def _warn_unless_identified(identification: Identification) -> None:
    """Warn, at the line that called ``fit`` or ``update``, unless the estimate is worth using."""
    if not identification.identified:
        warning = PoorIdentificationWarning(f"The scores do not tell the target prior: {identification.reason}.")
        tell(warning)


class BasePriorEstimator(KeepsVerdicts, PublicCalls, BaseEstimator, metaclass=ABCMeta):
    """Estimator of the target prior from black-box scores; see the subclasses for methods.

    A method learns from the source in ``_fit_source`` and estimates in ``_estimate``. Both return what they find;
    attributes are set by ``fit`` and ``update`` alone, once nothing can fail any more.
    """

    calibration: CalibrationOption
    shrink: Literal["significance"] | None

    classes_: NDArray[Any]
    source_prior_: NDArray[np.float64]
    target_prior_: NDArray[np.float64]
    class_weight_: NDArray[np.float64]
    score_prior_: NDArray[np.float64]
    calibration_: CalibrationKind
    calibration_scale_: NDArray[np.float64]
    calibration_bias_: NDArray[np.float64]
    shift_p_value_: float | None
    shrunk_: bool
    joint_confusion_: NDArray[np.float64]
    conditional_confusion_: NDArray[np.float64]
    identified_: bool
    reason_: str
    verdict_: Verdict
    prior_covariance_: NDArray[np.float64]

    # Kept between ``fit`` and ``update``: what was learned from the source, by all methods and by this one.
    _source: Source
    _learned: Any
    # Calibrated source rows for the test behind ``shrink``; None without it.
    _gate_sample: TargetScores | None
    # Rows before the calibration, kept uncopied where intervals come from resampling them; None elsewhere.
    _source_sample: SourceScores | None
    _target_sample: TargetScores | None
    # The estimate itself, also where the source prior stands in for it.
    _estimated_prior: NDArray[np.float64]
    _cautious_covariance: NDArray[np.float64]

    # Where the score prior comes from when neither the calibration nor the scores say otherwise.
    _usual_prior_from: PriorFrom = "frequency"

    @abstractmethod
    def _fit_source(self, source: Source, sample: SourceScores, raw: NDArray[Any]) -> Learned:
        """Learn from calibrated source rows; ``raw`` are the scores before calibration."""

    @abstractmethod
    def _estimate(self, source: Source, learned: Any, target: TargetScores, raw: NDArray[Any]) -> Estimate:
        """Target prior from calibrated target rows; ``learned`` is the ``own`` of ``_fit_source``."""

    def fit(
        self,
        scores_source: ArrayLike,
        y_source: ArrayLike,
        scores_target: ArrayLike,
        *,
        classes: ArrayLike | None = None,
        sample_weight_source: ArrayLike | None = None,
        sample_weight_target: ArrayLike | None = None,
    ) -> Self:
        """Estimate the target prior. A fit that fails leaves the estimator as it was.

        Parameters
        ----------
        scores_source : array-like of shape (n_source, n_classes)
            Class probabilities of labelled source rows that the classifier was NOT trained on.
        y_source : array-like of shape (n_source,)
            Their labels.
        scores_target : array-like of shape (n_target, n_classes)
            Class probabilities of the target rows by the same classifier.
        classes : array-like of shape (n_classes,), default=None
            Label of each column. None means the sorted labels of ``y_source``, the order of
            scikit-learn's ``classes_``.
        sample_weight_source, sample_weight_target : array-like, default=None
            Repeat counts of the rows.

        Returns
        -------
        self

        Raises
        ------
        ShiftDataError
            For scores that are no probabilities, lengths that differ, a class without source rows,
            or one class only.
        NotIdentifiedError
            When the scores cannot tell some classes apart; the message names them.

        Warns
        -----
        PoorIdentificationWarning
            When ``identified_`` comes out False.
        """
        self._check_settings()
        kind = self._reads()
        labels, given = read_source(scores_source, y_source, classes, sample_weight_source, kind)
        given_target = read_target(scores_target, labels, sample_weight_target, kind)
        source, sample = learn_source(
            given, labels, kind=kind, calibration=self.calibration, prior_from=self._usual_prior_from
        )
        learned = self._fit_source(source, sample, given.scores)
        gate = TargetScores(sample.scores, sample.counts) if self.shrink == "significance" else None
        outcome = self._outcome(source, learned.own, gate, given_target)
        with unchanged_on_error(self):
            self._set_source(source, learned, gate, given)
            self._set_outcome(outcome, given_target)
            _warn_unless_identified(outcome.identification)
            return self

    def update(self, scores_target: ArrayLike, *, sample_weight_target: ArrayLike | None = None) -> Self:
        """Estimate the prior of a new target batch, with what was learned from the source kept.

        Parameters
        ----------
        scores_target : array-like of shape (n_target, n_classes)
        sample_weight_target : array-like of shape (n_target,), default=None

        Returns
        -------
        self

        Raises
        ------
        ShiftDataError
            For scores that are no probabilities or have another number of columns.

        Warns
        -----
        PoorIdentificationWarning
            When ``identified_`` comes out False.
        """
        check_is_fitted(self, "_source")
        given = read_target(scores_target, self._source.classes, sample_weight_target, self._source.kind)
        outcome = self._outcome(self._source, self._learned, self._gate_sample, given)
        with unchanged_on_error(self):
            self._set_outcome(outcome, given)
            _warn_unless_identified(outcome.identification)
            return self

    def _outcome(self, source: Source, learned: Any, gate: TargetScores | None, given: TargetScores) -> JudgedEstimate:
        """The estimate of a target batch, and what it is worth; sets nothing."""
        target = TargetScores(source.calibrated(given.scores), given.counts)
        estimate = self._estimate(source, learned, target, given.scores)
        return JudgedEstimate(
            estimate,
            identify(estimate.prior, source.prior, estimate.cautious_covariance, source.classes),
            None if gate is None else shift_p_value(gate, target),
        )

    def _set_source(self, source: Source, learned: Learned, gate: TargetScores | None, given: SourceScores) -> None:
        """Set what was learned from the source."""
        self._source, self._learned, self._gate_sample = source, learned.own, gate
        self._source_sample = given if self._keeps_rows() else None
        self.classes_, self.source_prior_, self.score_prior_ = source.classes, source.prior, source.score_prior
        self.calibration_ = source.calibration
        self.calibration_scale_, self.calibration_bias_ = source.scale, source.bias
        self.joint_confusion_, self.conditional_confusion_ = source.joint, source.conditional
        self._set_facts(learned.facts)

    def _set_outcome(self, outcome: JudgedEstimate, given: TargetScores) -> None:
        """Set what was found for a target batch."""
        estimate, identification, p_value = outcome
        self._target_sample = given if self._keeps_rows() else None
        self._estimated_prior, self._cautious_covariance = estimate.prior, estimate.cautious_covariance
        self.prior_covariance_ = estimate.covariance
        self.shift_p_value_, self.shrunk_ = p_value, shows_no_shift(p_value)
        self.target_prior_ = self.source_prior_ if self.shrunk_ else estimate.prior
        self.class_weight_ = self.target_prior_ / self.source_prior_
        self.identified_, self.verdict_ = identification.identified, prior_verdict(identification, p_value)
        self.reason_ = "; ".join(self.verdict_.reasons) or identification.reason
        self._set_facts(estimate.facts)

    def _set_facts(self, facts: Mapping[str, Any]) -> None:
        """Set the learned attributes of one method."""
        for name, value in facts.items():
            setattr(self, name, value)

    # Asked for by few, and at a thousand classes slower than the estimate itself.
    @property
    def smallest_singular_value_(self) -> float:
        """Least singular value of ``joint_confusion_``, computed when asked for."""
        return float(np.linalg.svd(self.joint_confusion_, compute_uv=False)[-1])

    @property
    def condition_number_(self) -> float:
        """Largest over least singular value of ``joint_confusion_``, computed when asked for."""
        singular = np.linalg.svd(self.joint_confusion_, compute_uv=False)
        return float(singular[0] / singular[-1])

    def _keeps_rows(self) -> bool:
        """Whether the rows are kept for intervals by resampling."""
        return False

    def interval(
        self, level: float = 0.95, *, of: Literal["prior", "weight"] = "prior", progress: bool = False
    ) -> NDArray[np.float64]:
        """Confidence intervals of the target prior or of the class weights, from source AND target sampling error.

        Parameters
        ----------
        level : float in (0, 1), default=0.95
        of : {"prior", "weight"}, default="prior"
            Of q, or of w = q / p with the class frequencies p of the source taken as they are.
        progress : bool, default=False
            Show a bar (tqdm) where the interval needs a bootstrap.

        Returns
        -------
        ndarray of shape (n_classes, 2)
            Cut to what a prior can be. Of the estimate itself, also where ``shrink`` put the source prior in its place.

        Raises
        ------
        ShiftDataError
            For a level outside (0, 1) or an unknown ``of``.
        """
        check_is_fitted(self, "target_prior_")
        check_number(level, "level", above=0, below=1)
        check_option(of, "of", ["prior", "weight"])
        bounds = self._interval(level, progress)
        return bounds if of == "prior" else bounds / self.source_prior_[:, np.newaxis]

    def _interval(self, level: float, progress: bool) -> NDArray[np.float64]:
        """By the normal approximation with the cautious covariance; shape (n_classes, 2)."""
        return normal_interval(self._estimated_prior, self._cautious_covariance, level)

    def transform(self, y: ArrayLike) -> NDArray[np.float64]:
        """Importance weight q / p of each row's class.

        Parameters
        ----------
        y : array-like of shape (n_rows,)
            Labels among ``classes_``.

        Returns
        -------
        ndarray of shape (n_rows,)
            No unit; mean 1 over the source.

        Raises
        ------
        ShiftDataError
            For labels that were not fitted.
        """
        check_is_fitted(self, "target_prior_")
        return self.class_weight_[positions_among(y, "y", self.classes_)]

    def class_weight(self) -> dict[Any, float]:
        """Weights q / p by label, for learners that take ``class_weight``; dict of label to float.

        Train with these OR adjust the scores, never both.
        """
        check_is_fitted(self, "target_prior_")
        return dict(zip(self.classes_.tolist(), self.class_weight_.tolist(), strict=True))

    def adjust_proba(self, scores: ArrayLike) -> NDArray[Any]:
        """Class probabilities under the estimated target prior: calibrated, then times q / ``score_prior_``.

        Parameters
        ----------
        scores : array-like of shape (n_rows, n_classes)
            By the classifier that scored the fitted rows.

        Returns
        -------
        ndarray of shape (n_rows, n_classes)

        Raises
        ------
        ShiftDataError
            For scores that are no probabilities or have another number of columns.

        See Also
        --------
        adjust_proba : the formula, for any two priors.
        """
        check_is_fitted(self, "target_prior_")
        return proba_at_prior(self.calibrate(scores), self.score_prior_, self.target_prior_)

    def calibrate(self, scores: ArrayLike) -> NDArray[Any]:
        """Scores as the prior was estimated from: after the calibration, before any adjustment; same shape.

        Raises
        ------
        ShiftDataError
            For scores that are no probabilities or have another number of columns.
        """
        check_is_fitted(self, "calibration_scale_")
        check_class_order(scores, "scores", self.classes_)
        checked = check_scores(scores, "scores", len(self.classes_), dtype=[np.float64, np.float32])
        return self._source.calibrated(checked)

    def adjusted_threshold(self, threshold: float = 0.5) -> float:
        """Threshold on the unadjusted score that does what ``threshold`` does on the adjusted one, for two classes.

        Parameters
        ----------
        threshold : float in (0, 1), default=0.5
            On the adjusted probability of ``classes_[1]``.

        Returns
        -------
        float in [0, 1]
            A row's adjusted probability of ``classes_[1]`` exceeds ``threshold`` where its raw score exceeds this.

        Raises
        ------
        ShiftDataError
            With other than two classes.
        """
        check_is_fitted(self, "target_prior_")
        if len(self.classes_) != 2:
            raise ShiftDataError(f"There are {len(self.classes_)} classes, and a threshold is for two.")
        check_number(threshold, "threshold", above=0, below=1)
        return unadjusted_threshold(
            threshold, self.calibration_scale_, self.calibration_bias_, self.score_prior_, self.target_prior_
        )

    def _reads(self) -> ScoreKind:
        """How scores are read: "hard" methods count predictions."""
        return getattr(self, "kind", "soft")

    def _check_settings(self) -> None:
        """Raise for settings that are not known."""
        check_option(self._reads(), "kind", ["soft", "hard"])
        if self._reads() == "hard" and self.calibration != "none":
            raise ShiftDataError(
                f'kind="hard" counts predictions, and calibration={self.calibration!r} is for probabilities: use '
                'kind="soft", or calibration="none".'
            )
        check_option(self.calibration, "calibration", [*CALIBRATIONS, "auto"])
        check_option(self.shrink, "shrink", [None, "significance"])
