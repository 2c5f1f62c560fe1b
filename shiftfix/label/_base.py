"""What every estimator of the target prior shares: scores in, prior, weights and posteriors out.

Assumes p(x | y) is shared and only p(y) moves. Notation: p source prior, q target prior, w = q / p.
"""

import warnings
from abc import ABCMeta, abstractmethod

import numpy as np
from scipy.stats import norm
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from shiftfix._blocks import row_blocks
from shiftfix._validation import (
    check_class_order,
    check_number,
    check_option,
    check_repeat_counts,
    check_scores,
)
from shiftfix.exceptions import NotIdentifiedError, PoorIdentificationWarning, ShiftDataError
from shiftfix.label._calibration import CALIBRATIONS, calibrate, choose_calibration, fit_calibration
from shiftfix.label._confusion import check_predictions, confounded_classes, joint_and_conditional
from shiftfix.label._identification import GATE_LEVEL, suggest_merge, tells_the_prior
from shiftfix.label._implied_prior import CALIBRATION_SIGMAS, calibration_in_the_large, implied_prior
from shiftfix.label._labels import check_as_many, class_counts, class_positions
from shiftfix.label._posterior import proba_at_prior, unadjusted_threshold
from shiftfix.label._shift_test import mean_score_test

# Classes that a message names one by one.
MOST_NAMED = 50


class BasePriorEstimator(BaseEstimator, metaclass=ABCMeta):
    """Estimator of the target prior from black-box scores; see the subclasses for methods."""

    @abstractmethod
    def _fit_source(self, scores, class_index, sample_weight, raw):
        """Learn from calibrated source scores and class indices; ``raw`` are the scores before calibration."""

    @abstractmethod
    def _estimate(self, scores, sample_weight, raw):
        """Return from calibrated (and raw) target scores the target prior, its covariance, and a cautious covariance.

        The cautious one allows for events too rare to show in the samples.
        """

    def fit(
        self,
        scores_source,
        y_source,
        scores_target,
        *,
        classes=None,
        sample_weight_source=None,
        sample_weight_target=None,
    ):
        """Estimate the target prior.

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
        classes, class_index = class_positions(y_source, "y_source", classes)
        counts, totals = class_counts(class_index, sample_weight_source, classes, "y_source")
        if np.ndim(scores_source) == 2 and np.shape(scores_source)[1] > len(classes):
            raise ShiftDataError(
                f"scores_source has {np.shape(scores_source)[1]} columns, and y_source holds only the {len(classes)} "
                f"classes {classes.tolist()}: how a class is scored can only be learned from rows of it. Collect rows "
                "of the missing classes, or leave their columns out."
            )
        scores = self._check_scores(scores_source, "scores_source", classes)
        check_as_many(class_index, scores, "y_source", "scores_source")
        self.classes_ = classes
        self.source_prior_ = totals / totals.sum()
        kind = self.calibration
        if kind == "auto":
            kind, _ = choose_calibration(scores, class_index, counts)
        self.calibration_ = kind
        self.calibration_scale_, self.calibration_bias_ = fit_calibration(scores, class_index, counts, kind)
        raw, scores = scores, self._calibrated(scores)
        self._other_prior = self._comes_from_another_prior(scores, class_index, counts)
        self.score_prior_ = implied_prior(scores, class_index, counts) if self._other_prior else self.source_prior_
        self._learn_confusion(scores, class_index, counts)
        self._fit_source(scores, class_index, counts, raw)
        self._gate_sample = (scores, counts) if self.shrink == "significance" else None
        return self.update(scores_target, sample_weight_target=sample_weight_target)

    def _calibrated(self, scores):
        """Checked scores after the calibration."""
        if self.calibration_ == "none":
            return scores
        return calibrate(scores, self.calibration_scale_, self.calibration_bias_)

    def _comes_from_another_prior(self, scores, class_index, sample_weight):
        """Whether calibrated scores clearly imply another prior than the class frequencies."""
        # A bias makes the mean score equal the frequencies; scores of 0 and 1 only imply no prior at all.
        if self.calibration_ in ("bcts", "vector"):
            return False
        if not any(((scores[rows] > 0) & (scores[rows] < 1)).any() for rows in row_blocks(*scores.shape)):
            return False
        return calibration_in_the_large(scores, class_index, sample_weight) > CALIBRATION_SIGMAS

    def _learn_confusion(self, scores, class_index, sample_weight):
        """Set the confusion matrices and what they tell of identifiability."""
        self.joint_confusion_, self.conditional_confusion_ = joint_and_conditional(scores, class_index, sample_weight)
        groups = confounded_classes(self.conditional_confusion_)
        if groups:
            named = [self.classes_[group].tolist() for group in groups]
            raise NotIdentifiedError(
                f"The confusion matrix is singular: the scores do not tell apart {' nor '.join(map(str, named))}, so "
                "their priors are not identified. Use a classifier that separates them, or merge them into one class.",
                named,
            )
        singular = np.linalg.svd(self.joint_confusion_, compute_uv=False)
        self.smallest_singular_value_ = float(singular[-1])
        self.condition_number_ = float(singular[0] / singular[-1])

    def update(self, scores_target, *, sample_weight_target=None):
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
        check_is_fitted(self, "_gate_sample")  # set last: a fit that found the classes confounded is none
        scores = self._check_scores(scores_target, "scores_target", self.classes_)
        counts = check_repeat_counts(sample_weight_target, len(scores), "sample_weight_target")
        raw, scores = scores, self._calibrated(scores)
        self._estimated_prior, self.prior_covariance_, self._cautious_covariance = self._estimate(scores, counts, raw)
        self.shift_p_value_ = self._shift_p_value(scores, counts)
        self.shrunk_ = self.shift_p_value_ is not None and self.shift_p_value_ >= GATE_LEVEL
        self.target_prior_ = self.source_prior_ if self.shrunk_ else self._estimated_prior
        self.class_weight_ = self.target_prior_ / self.source_prior_
        self._judge()
        return self

    def _shift_p_value(self, scores, sample_weight):
        """Test of equal mean scores in source and target; None when nothing depends on it."""
        if self._gate_sample is None:
            return None
        source, source_weight = self._gate_sample
        # The same data shall always get the same answer, so the permutations are fixed.
        return mean_score_test(
            source, scores, sample_weight_source=source_weight, sample_weight_target=sample_weight, random_state=0
        )

    def _judge(self):
        """Set identified_ and reason_, and warn when the estimate is not worth using."""
        q, p, covariance = self._estimated_prior, self.source_prior_, self._cautious_covariance
        self.identified_ = tells_the_prior(q, p, covariance)
        self.reason_ = ""
        if self.identified_:
            return
        error = np.sqrt(np.diag(covariance))
        groups = [self.classes_[group].tolist() for group in suggest_merge(q, p, covariance)]
        merge = f"merge {' and '.join(map(str, groups))} into one class" if groups else "merge classes"
        if sum(map(len, groups)) > MOST_NAMED:
            merge = f"merge classes, {sum(map(len, groups))} of them into {len(groups)}"
        self.reason_ = (
            f"standard errors are up to {error.max():.2f} (class {self.classes_.tolist()[error.argmax()]!r}), and "
            f"the estimate cannot be told from the source prior; use a better classifier or more rows, or {merge}"
        )
        warnings.warn(
            f"The scores do not tell the target prior: {self.reason_}.",
            PoorIdentificationWarning,
            stacklevel=3,
        )

    def interval(self, level=0.95, *, of="prior", progress=False):
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

    def _interval(self, level, progress):
        """Normal approximation with the cautious covariance, cut to [0, 1]."""
        half = norm.ppf((1 + level) / 2) * np.sqrt(np.diag(self._cautious_covariance))
        return np.clip(np.column_stack([self._estimated_prior - half, self._estimated_prior + half]), 0, 1)

    def transform(self, y):
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
        _, class_index = class_positions(y, "y", self.classes_)
        return self.class_weight_[class_index]

    def class_weight(self):
        """Weights q / p by label, for learners that take ``class_weight``; dict of label to float.

        Train with these OR adjust the scores, never both.
        """
        check_is_fitted(self, "target_prior_")
        return dict(zip(self.classes_.tolist(), self.class_weight_.tolist(), strict=True))

    def adjust_proba(self, scores):
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

    def calibrate(self, scores):
        """Scores as the prior was estimated from: after the calibration, before any adjustment; same shape.

        Raises
        ------
        ShiftDataError
            For scores that are no probabilities or have another number of columns.
        """
        check_is_fitted(self, "calibration_scale_")
        check_class_order(scores, "scores", self.classes_)
        return self._calibrated(check_scores(scores, "scores", len(self.classes_), dtype=[np.float64, np.float32]))

    def adjusted_threshold(self, threshold=0.5):
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

    def _check_settings(self):
        """Raise for settings that are not known."""
        self._kind = getattr(self, "kind", "soft")
        check_option(self._kind, "kind", ["soft", "hard"])
        if self._kind == "hard" and self.calibration != "none":
            raise ShiftDataError(
                f'kind="hard" counts predictions, and calibration={self.calibration!r} is for probabilities: use '
                'kind="soft", or calibration="none".'
            )
        check_option(self.calibration, "calibration", [*CALIBRATIONS, "auto"])
        check_option(self.shrink, "shrink", [None, "significance"])

    def _check_scores(self, scores, name, classes):
        """Checked scores, as the method that was fitted reads them: with hard predictions one-hot."""
        return check_predictions(scores, name, classes, self._kind)
