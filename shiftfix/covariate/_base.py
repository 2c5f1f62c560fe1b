"""What every weighter shares: two samples in, finished weights out.

A method supplies the logarithm of the ratio w = target density / source density. The finishing
steps, always in this order, stand here once: clip min(w, c), then divide by the mean over the source.
"""

import warnings
from abc import ABCMeta, abstractmethod

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from shiftfix._numerics import log_mean_exp
from shiftfix._validation import (
    check_matrix,
    check_option,
    check_repeat_counts,
    check_same_columns,
    check_two_samples,
)
from shiftfix.exceptions import PoorOverlapWarning
from shiftfix.weights import balance_table, clip_threshold, summarize_weights

# exp(500) is about 1e217: sums over any number of rows, and products with their root, stay finite.
LOG_RATIO_BOUND = 500.0


def share_outside(source, target, target_counts):
    """Share of the target rows outside the source's range, in the feature where it is largest, and its position.

    Feature by feature, so that the number does not grow with the number of features.
    """
    outside = (target < source.min(axis=0)) | (target > source.max(axis=0))
    share = np.average(outside, axis=0, weights=target_counts)
    return float(share.max()), int(share.argmax())


class BaseWeighter(BaseEstimator, metaclass=ABCMeta):
    """Two-sample estimator of importance weights; see the subclasses for methods."""

    @abstractmethod
    def _fit_log_ratio(self, X_source, X_target, sample_weight_source, sample_weight_target):
        """Learn the ratio from checked float64 arrays and repeat counts."""

    @abstractmethod
    def _log_ratio(self, X):
        """log(target density / source density) at checked rows, shape (n_rows,)."""

    def fit(self, X_source, X_target, *, sample_weight_source=None, sample_weight_target=None):
        """Learn the density ratio of two samples.

        Parameters
        ----------
        X_source : array-like of shape (n_source, n_features)
            Rows of the population that has labels.
        X_target : array-like of shape (n_target, n_features)
            Rows of the population that matters; the same columns.
        sample_weight_source : array-like of shape (n_source,), default=None
            Repeat counts of the source rows: weight 2 is the same as the row twice, 0 leaves it out.
            Weights below 1 compare the rows and are rescaled to average 1.
        sample_weight_target : array-like of shape (n_target,), default=None
            Repeat counts of the target rows.

        Returns
        -------
        self

        Raises
        ------
        ShiftDataError
            For NaN or infinite values, an empty sample, columns that differ, negative or all-zero
            sample weights, or a bad setting.

        Warns
        -----
        PoorOverlapWarning
            When the verdict of ``summary_`` is "abstain".
        """
        check_option(self.normalize, "normalize", ["mean", None])
        source, target, names = check_two_samples(X_source, X_target)
        n_features = source.shape[1]
        counts_source = check_repeat_counts(sample_weight_source, len(source), "sample_weight_source")
        counts_target = check_repeat_counts(sample_weight_target, len(target), "sample_weight_target")
        # A row that counts zero times is no row: it must not even reach the scaling.
        source, counts_source = source[counts_source > 0], counts_source[counts_source > 0]
        target, counts_target = target[counts_target > 0], counts_target[counts_target > 0]
        clip_threshold(np.ones(1), self.clip)

        self.n_features_in_ = n_features
        self._column_names = names
        if names is not None:
            self.feature_names_in_ = np.asarray(names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        self._fit_log_ratio(source, target, counts_source, counts_target)

        log_source = self._bounded_log_ratio(source)
        log_target = self._bounded_log_ratio(target)
        log_mean = log_mean_exp(log_source, counts_source)
        if self.clip == "sqrt":
            self.log_clip_ = log_mean + 0.5 * np.log(counts_source.sum())
        else:
            self.log_clip_ = float(np.log(clip_threshold(np.ones(1), self.clip)))
        self.log_mean_ = log_mean_exp(np.minimum(log_source, self.log_clip_), counts_source)
        outside, place = share_outside(source, target, counts_target)
        balance = balance_table(
            source,
            target,
            np.exp(np.minimum(log_source, self.log_clip_) - self.log_mean_),
            feature_names=names,
            sample_weight_source=counts_source,
            sample_weight_target=counts_target,
        )
        summary = summarize_weights(
            np.exp(log_source),
            target_outside_share=outside,
            target_outside_feature=f"column {place}" if names is None else repr(names[place]),
            target_weights=np.exp(log_target),
            balance=balance,
            clip=None if np.isinf(self.log_clip_) else float(np.exp(self.log_clip_)),
            sample_weight=counts_source,
            target_sample_weight=counts_target,
        )
        self.summary_ = summary
        if summary.verdict == "abstain":
            warnings.warn(
                f"The data do not support weighting: {'; '.join(summary.reasons)}. Collect more rows where it says, "
                "drop the features that separate the samples, or go on unweighted.",
                PoorOverlapWarning,
                stacklevel=2,
            )
        return self

    def transform(self, X):
        """Finished weights of source rows: clipped, then divided by the mean over the fitted source.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            The fitted source rows, or others of the same population.

        Returns
        -------
        ndarray of shape (n_rows,)
            No unit. Mean 1 over the fitted source, unless ``normalize=None``.

        Raises
        ------
        ShiftDataError
            For NaN, infinite values or columns other than those fitted.
        """
        log_w = np.minimum(self.log_ratio(X), self.log_clip_)
        return np.exp(log_w - self.log_mean_ if self.normalize == "mean" else log_w)

    def fit_transform(self, X_source, X_target, *, sample_weight_source=None, sample_weight_target=None):
        """``fit``, then the weights of the source rows, shape (n_source,)."""
        self.fit(
            X_source,
            X_target,
            sample_weight_source=sample_weight_source,
            sample_weight_target=sample_weight_target,
        )
        return self.transform(X_source)

    def log_ratio(self, X):
        """Estimated log(target density / source density), neither clipped nor normalised.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)

        Returns
        -------
        ndarray of shape (n_rows,)
            Within +-500, so that its exponential is finite and positive.

        Raises
        ------
        ShiftDataError
            For NaN, infinite values or columns other than those fitted.
        """
        check_is_fitted(self, "log_mean_")
        array = check_matrix(X, "X")
        check_same_columns(
            self._column_names, X if hasattr(X, "columns") else array, "X_source", "X", self.n_features_in_
        )
        return self._bounded_log_ratio(array)

    def _bounded_log_ratio(self, X):
        return np.clip(self._log_ratio(X), -LOG_RATIO_BOUND, LOG_RATIO_BOUND)
