"""What every weighter shares: two samples in, finished weights out.

A method supplies the logarithm of the ratio w = target density / source density. The finishing
steps, always in this order, stand here once: clip min(w, c) or smooth the tail, then divide by the
mean over the source.
"""

import warnings
from abc import ABCMeta, abstractmethod

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted

from shiftfix._blocks import column_range, column_spread, matrix_blocks
from shiftfix._numerics import log_mean_exp
from shiftfix._validation import (
    check_matrix,
    check_option,
    check_repeat_counts,
    check_same_columns,
    check_two_samples,
)
from shiftfix.exceptions import PoorOverlapWarning
from shiftfix.weights import balance_table, clip_threshold, smooth_weights, summarize_weights
from shiftfix.weights._balance import balance_table_of
from shiftfix.weights._transform import check_clip

# exp(500) is about 1e217: sums over any number of rows, and products with their root, stay finite.
LOG_RATIO_BOUND = 500.0
# Entries of both samples up to which the summary's balance looks at squares too: beyond, that pass over the rows would
# take longer than the fit of a linear ratio.
SQUARES_ENTRIES = 10_000_000


def bounded(log_ratio):
    """Log ratios within +-LOG_RATIO_BOUND, so that their exponentials are finite and positive."""
    return np.clip(log_ratio, -LOG_RATIO_BOUND, LOG_RATIO_BOUND)


def share_outside(target, target_counts, least, most):
    """Share of the target rows outside the source's range, in the feature where it is largest, and its position.

    Feature by feature, so that the number does not grow with the number of features. ``least`` and ``most`` are the
    source's, shape (n_features,).
    """
    if sparse.issparse(target):
        columns, values = target.indices, target.data
        counts = np.repeat(target_counts, np.diff(target.indptr))
        outside = counts * ((values < least[columns]) | (values > most[columns]))
        stored = np.bincount(columns, weights=counts, minlength=len(least))
        # What is not stored is 0.
        zeros = (target_counts.sum() - stored) * ((least > 0) | (most < 0))
        outside = np.bincount(columns, weights=outside, minlength=len(least)) + zeros
    else:
        outside = np.zeros(target.shape[1])
        for rows in matrix_blocks(target):
            block = target[rows]
            low, high = column_range(block)
            # Most blocks leave the range in few columns.
            columns = np.flatnonzero((low < least) | (high > most))
            left = block[:, columns]
            beyond = (left < least[columns]) | (left > most[columns])
            outside[columns] += target_counts[rows] @ beyond
    share = outside / target_counts.sum()
    return float(share.max()), int(share.argmax())


def present_rows(X, counts):
    """The rows that count at all, and their counts; X itself when all of them do."""
    present = counts > 0
    return (X, counts) if present.all() else (_safe_indexing(X, np.flatnonzero(present)), counts[present])


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
        source, target, names = check_two_samples(X_source, X_target, self._check_rows)
        n_features = source.shape[1]
        all_counts_source = check_repeat_counts(sample_weight_source, source.shape[0], "sample_weight_source")
        counts_target = check_repeat_counts(sample_weight_target, target.shape[0], "sample_weight_target")
        # A row that counts zero times is no row: it must not even reach the scaling.
        all_source = source
        source, counts_source = present_rows(source, all_counts_source)
        target, counts_target = present_rows(target, counts_target)
        check_clip(self.clip, self.min_ess)

        self.n_features_in_ = n_features
        self._column_names = names
        if names is not None:
            self.feature_names_in_ = np.asarray(names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        source, target = self._fit_features(source, target)
        self._fit_log_ratio(source, target, counts_source, counts_target)

        log_source, log_target = (bounded(values) for values in self._fitted_log_ratios(source, target))
        self._set_clip(log_source, counts_source)
        self.log_mean_ = log_mean_exp(self._clipped(log_source), counts_source)
        spreads = self._spreads([source, target], [counts_source, counts_target])
        outside, place = share_outside(target, counts_target, spreads[0].low, spreads[0].high)
        named = names if source.shape[1] == n_features else None  # a transformer makes columns of its own
        w = np.exp(self._clipped(log_source) - self.log_mean_)
        labels = [f"x{j}" for j in range(source.shape[1])] if named is None else named
        if sparse.issparse(source) or source.size + target.size > SQUARES_ENTRIES:
            balance = balance_table_of(
                [source, target], [counts_source, counts_target], w, spreads, labels, squares=False
            )
        else:
            balance = balance_table(
                source,
                target,
                w,
                feature_names=labels,
                sample_weight_source=counts_source,
                sample_weight_target=counts_target,
            )
        summary = summarize_weights(
            np.exp(log_source),
            target_outside_share=outside,
            target_outside_feature=f"column {place}" if named is None else repr(named[place]),
            target_weights=np.exp(log_target),
            balance=balance,
            clip=self._applied_clip(),
            sample_weight=counts_source,
            target_sample_weight=counts_target,
        )
        self.summary_ = summary
        self._keep_source_weights(all_source, all_counts_source, log_source)
        self._report(summary)
        return self

    def _check_rows(self, X, name):
        """Checked rows of one sample: a matrix, or what ``_features`` turns into one."""
        return check_matrix(X, name)

    def _fit_features(self, source, target):
        """Matrices the ratio is a function of, from checked rows of both samples."""
        return source, target

    def _features(self, X):
        """The matrix the ratio is a function of, from checked rows."""
        return X

    def _fitted_log_ratios(self, source, target):
        """Log ratios of the fitted rows of both samples, as they shall be judged."""
        return self._log_ratio(source), self._log_ratio(target)

    def _spreads(self, samples, counts):
        """ColumnSpread of the fitted rows of both samples."""
        return [column_spread(X, c) for X, c in zip(samples, counts, strict=True)]

    def _keep_source_weights(self, source, counts, log_ratio):
        """Keep finished weights of the fitted rows that ``transform`` would not return; nothing by default.

        ``source`` and ``counts`` hold all the source rows, ``log_ratio`` belongs to those that count.
        """

    def _set_clip(self, log_ratio, counts):
        """Learn the clip from bounded log ratios of the source rows; with "pareto", the map that smooths the tail."""
        self._tail = None
        if not isinstance(self.clip, str):
            self.log_clip_ = float(np.log(clip_threshold(np.ones(1), self.clip)))
            return
        top = log_ratio.max()
        w = np.exp(log_ratio - top)
        # What lies at the bound stands for a weight of 0.
        w[log_ratio <= -LOG_RATIO_BOUND] = 0 if top > -LOG_RATIO_BOUND else 1
        clip = clip_threshold(w, self.clip, sample_weight=counts, min_ess=self.min_ess)
        self.log_clip_ = float(np.log(clip) + top)
        if self.clip == "pareto":
            smoothed = smooth_weights(w, sample_weight=counts)
            moved = w[smoothed != w]
            if moved.size:
                # From the largest weight below the tail on, which may be 0; between the fitted rows, straight lines on
                # the log scale.
                knots = np.flatnonzero(log_ratio >= log_ratio[w < moved.min()].max())
                raw, place = np.unique(log_ratio[knots], return_index=True)
                knots = knots[place]
                mapped = raw.copy()
                changed = smoothed[knots] != w[knots]
                mapped[changed] = np.log(smoothed[knots][changed]) + top
                self._tail = raw, mapped

    def _clipped(self, log_ratio):
        """Bounded log ratios after the clip, or with the tail smoothed (at most to the largest smoothed one)."""
        log_w = np.minimum(log_ratio, self.log_clip_)
        if self._tail is not None:
            raw, smoothed = self._tail
            log_w = np.where(log_w > raw[0], np.interp(log_w, raw, smoothed), log_w)
        return log_w

    def _applied_clip(self):
        """The clip as ``summarize_weights`` takes it: a number, "pareto" or None."""
        if isinstance(self.clip, str) and self.clip == "pareto":
            return "pareto"
        return None if np.isinf(self.log_clip_) else float(np.exp(self.log_clip_))

    def _finish(self, log_ratio):
        """Weights from bounded log ratios: clipped, then divided by the mean."""
        log_w = self._clipped(log_ratio)
        return np.exp(log_w - self.log_mean_ if self.normalize == "mean" else log_w)

    def _report(self, summary):
        """Warn of what the user must know; called by ``fit``."""
        if summary.verdict == "abstain":
            warnings.warn(
                f"The data do not support weighting: {'; '.join(summary.reasons)}. {summary.verdict.action}",
                PoorOverlapWarning,
                stacklevel=3,
            )

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
        return self._finish(self.log_ratio(X))

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
        rows = self._check_rows(X, "X")
        check_same_columns(
            self._column_names, X if hasattr(X, "columns") else rows, "X_source", "X", self.n_features_in_
        )
        return bounded(self._log_ratio(self._features(rows)))
