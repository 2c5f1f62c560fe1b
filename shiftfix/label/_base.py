"""What every estimator of the target prior shares: scores in, prior, weights and posteriors out.

Assumes p(x | y) is shared and only p(y) moves. Notation: p source prior, q target prior, w = q / p.
"""

import warnings
from abc import ABCMeta, abstractmethod

import numpy as np
from scipy.stats import chi2, norm
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from shiftfix._validation import (
    check_labels,
    check_number,
    check_prior,
    check_repeat_counts,
    check_scores,
)
from shiftfix.exceptions import PoorIdentificationWarning, ShiftDataError

# An estimate whose variances sum to a quarter of a uniform guess's is vague; a clear shift may still show in it.
VAGUE_SHARE = 0.25
# Chance that a vague estimate is used although nothing moved.
SHIFT_LEVEL = 0.05


def guess_variance(n_classes):
    """Summed variances of a uniform draw from the simplex, (K - 1) / (K (K + 1)): 1/6 for two classes."""
    return (n_classes - 1) / (n_classes * (n_classes + 1))


def tells_the_prior(target_prior, source_prior, covariance):
    """Whether an estimate of the target prior is worth using.

    No, when it is vague (its variances sum to more than a quarter of a uniform guess's) and also cannot be told
    from the source prior by a Wald test, (q - p)' Cov^+ (q - p) against chi-squared with K - 1 degrees of freedom at
    level 0.05. A shift that is clear in one direction shows there, however vague the others.

    Parameters
    ----------
    target_prior, source_prior : ndarray of shape (n_classes,)
        The estimate q, and p.
    covariance : ndarray of shape (n_classes, n_classes)
        Sampling covariance of q.
    """
    if np.trace(covariance) <= VAGUE_SHARE * guess_variance(len(target_prior)):
        return True
    shift = target_prior - source_prior
    wald = shift @ np.linalg.pinv(covariance, rcond=1e-10, hermitian=True) @ shift
    return bool(chi2.sf(wald, len(shift) - 1) < SHIFT_LEVEL)


def adjust_proba(scores, source_prior, target_prior):
    """Class probabilities under the target prior: P_k q_k / p_k, rescaled to sum to 1.

    Parameters
    ----------
    scores : array-like of shape (n_rows, n_classes)
        Class probabilities that were made under ``source_prior``.
    source_prior : array-like of shape (n_classes,)
        Prior the scores imply; positive.
    target_prior : array-like of shape (n_classes,)

    Returns
    -------
    ndarray of shape (n_rows, n_classes)
        A row whose whole mass lies on classes of target prior 0 keeps the limit of equal small
        priors on them.

    Raises
    ------
    ShiftDataError
        For scores that are no probabilities, a source prior with a zero, or priors of another length.

    References
    ----------
    Saerens, Latinne & Decaestecker (2002), Neural Computation 14(1):21-41, equation 2.4.
    """
    scores = check_scores(scores, "scores")
    p = check_prior(source_prior, "source_prior", scores.shape[1])
    q = check_prior(target_prior, "target_prior", scores.shape[1])
    if (p == 0).any():
        raise ShiftDataError(
            f"source_prior is 0 for class {int(np.flatnonzero(p == 0)[0])}: scores made without a class cannot be "
            "adjusted to its presence."
        )
    adjusted = scores * (q / p)
    total = adjusted.sum(axis=1, keepdims=True)
    impossible = total[:, 0] == 0
    if impossible.any():
        adjusted[impossible] = scores[impossible] / p
        total[impossible] = adjusted[impossible].sum(axis=1, keepdims=True)
    return adjusted / total


class BasePriorEstimator(BaseEstimator, metaclass=ABCMeta):
    """Estimator of the target prior from black-box scores; see the subclasses for methods."""

    @abstractmethod
    def _fit_source(self, scores, class_index, sample_weight):
        """Learn from checked source scores and class indices."""

    @abstractmethod
    def _estimate(self, scores, sample_weight):
        """Return from checked target scores the target prior, its covariance, and one that allows for rare events."""

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
        labels = check_labels(y_source, "y_source")
        found = np.unique(labels)
        classes = found if classes is None else check_labels(classes, "classes")
        if len(np.unique(classes)) != len(classes):
            raise ShiftDataError(f"classes={classes.tolist()} repeats a label: name each column once.")
        unknown = [label for label in found.tolist() if label not in classes]
        if unknown:
            raise ShiftDataError(f"y_source holds {unknown}, which classes={classes.tolist()} does not name.")
        if len(classes) < 2:
            raise ShiftDataError(
                f"y_source holds one class only ({found.tolist()[0]!r}): label shift needs at least two classes."
            )
        scores = self._check_source_scores(scores_source, classes)
        if len(labels) != len(scores):
            raise ShiftDataError(
                f"y_source has {len(labels)} labels for {len(scores)} rows of scores_source: pass one per row."
            )
        counts = check_repeat_counts(sample_weight_source, len(labels), "sample_weight_source")
        class_index = np.argmax(labels[:, np.newaxis] == classes, axis=1)
        totals = np.bincount(class_index, weights=counts, minlength=len(classes))
        if (totals == 0).any():
            missing = classes[totals == 0].tolist()
            raise ShiftDataError(
                f"y_source has no rows of {missing}: how a class is scored can only be learned from rows of it. "
                "Collect some, or leave the class out of the scores."
            )
        self.classes_ = classes
        self.source_prior_ = totals / totals.sum()
        self._fit_source(scores, class_index, counts)
        return self.update(scores_target, sample_weight_target=sample_weight_target)

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
        """
        check_is_fitted(self, "source_prior_")
        scores = self._check_target_scores(scores_target)
        counts = check_repeat_counts(sample_weight_target, len(scores), "sample_weight_target")
        self.target_prior_, self.prior_covariance_, self._cautious_covariance = self._estimate(scores, counts)
        self.class_weight_ = self.target_prior_ / self.source_prior_
        self.identified_ = tells_the_prior(self.target_prior_, self.source_prior_, self._cautious_covariance)
        self.reason_ = ""
        if not self.identified_:
            error = np.sqrt(np.diag(self._cautious_covariance))
            self.reason_ = (
                f"standard errors are up to {error.max():.2f} (class {self.classes_.tolist()[error.argmax()]!r}), and "
                "the estimate cannot be told from the source prior; use a better classifier or more rows, or merge "
                "classes"
            )
            warnings.warn(
                f"The scores do not tell the target prior: {self.reason_}.",
                PoorIdentificationWarning,
                stacklevel=2,
            )
        return self

    def interval(self, level=0.95):
        """Confidence intervals of the target prior, from source AND target sampling error.

        Parameters
        ----------
        level : float in (0, 1), default=0.95

        Returns
        -------
        ndarray of shape (n_classes, 2)
            Normal approximation, cut to [0, 1]. Its variances count two rows more than there are, spread over the
            classes, so that an event not seen yet is not taken for impossible (the idea of Agresti & Coull 1998,
            Am. Stat. 52(2):119-126).
        """
        check_is_fitted(self, "target_prior_")
        check_number(level, "level", above=0, below=1)
        half = norm.ppf((1 + level) / 2) * np.sqrt(np.diag(self._cautious_covariance))
        return np.clip(np.column_stack([self.target_prior_ - half, self.target_prior_ + half]), 0, 1)

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
        labels = check_labels(y, "y")
        match = labels[:, np.newaxis] == self.classes_
        if not match.any(axis=1).all():
            unknown = np.unique(labels[~match.any(axis=1)]).tolist()
            raise ShiftDataError(f"y holds {unknown}, and the classes fitted are {self.classes_.tolist()}.")
        return self.class_weight_[np.argmax(match, axis=1)]

    def adjust_proba(self, scores):
        """Class probabilities under the estimated target prior; see :func:`adjust_proba`.

        Parameters
        ----------
        scores : array-like of shape (n_rows, n_classes)
            Made under the source prior.

        Returns
        -------
        ndarray of shape (n_rows, n_classes)
        """
        check_is_fitted(self, "target_prior_")
        scores = check_scores(scores, "scores", len(self.classes_))
        return adjust_proba(scores, self.source_prior_, self.target_prior_)

    def _check_source_scores(self, scores, classes):
        return check_scores(scores, "scores_source", len(classes))

    def _check_target_scores(self, scores):
        return check_scores(scores, "scores_target", len(self.classes_))
