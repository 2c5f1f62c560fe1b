"""What every weighter shares: two samples in, finished weights out.

A method supplies the logarithm of the ratio w = target density / source density. What is made of it, always in this
order, stands in ``_finishing.py`` once: clip min(w, c) or smooth the tail, then divide by the mean over the source.
"""

from abc import ABCMeta, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted

from shiftfix._blocks import ColumnSpread, column_spread
from shiftfix._door import PublicCalls
from shiftfix._learner import unchanged_on_error
from shiftfix._naming import columns_named
from shiftfix._numerics import Floats, log_mean_exp
from shiftfix._setting_checks import check_option
from shiftfix._validation import (
    check_matrix,
    check_repeat_counts,
    check_same_columns,
    check_two_samples,
    refuse_vanishing,
)
from shiftfix._verdict import tell
from shiftfix.covariate._finishing import bounded, finished_weights, learn_clip
from shiftfix.covariate._overlap import summarize_ratio
from shiftfix.covariate._samples import Samples
from shiftfix.exceptions import PoorOverlapWarning, ShiftDataError
from shiftfix.weights import ClipRule, WeightSummary, check_clip

# Overflow and what comes of it is found in the results, and told in words.
QUIET: Any = {"over": "ignore", "under": "ignore", "invalid": "ignore", "divide": "ignore"}


class FittedRatio(NamedTuple):
    """What a fit gives.

    Attributes
    ----------
    source, target : ndarray of shape (n_source,), (n_target,)
        Log ratios of the fitted rows, as they shall be judged: out of fold where the method is cross-fitted.
    n_source, n_target : float
        Totals of the repeat counts.
    kept : bool
        Whether ``source_weights_`` are made of ``source``, as they must be out of fold. Otherwise they are made of what
        ``_log_ratio`` says of these rows, so that they are those of ``transform`` to the last digit.
    spreads : sequence of two ColumnSpread or None
        Of the columns of both samples, where the fit knows them.
    warnings : sequence of Warning
        Given to the user when the fit has come to its end.
    """

    source: Floats
    target: Floats
    n_source: float
    n_target: float
    kept: bool = False
    spreads: Sequence[ColumnSpread] | None = None
    warnings: Sequence[Warning] = ()


def refuse_no_number(*log_ratios: Floats) -> None:
    """Raise ShiftDataError for log ratios that are NaN, as overflow makes them; infinite ones are bounded elsewhere."""
    lost = sum(int(np.isnan(log_ratio).sum()) for log_ratio in log_ratios)
    if lost:
        raise ShiftDataError(
            f"The log ratio of {lost} rows is no number, most likely since values overflow when squared or multiplied: "
            "rescale the columns, for example to thousands or logarithms."
        )


class BaseWeighter(PublicCalls, BaseEstimator, metaclass=ABCMeta):
    """Two-sample estimator of importance weights; see the subclasses for methods.

    A method is a subclass with the settings ``clip``, ``min_ess`` and ``normalize`` beside its own, and two functions:
    ``_fit_log_ratio`` checks its own settings, learns, sets what it has learned and returns a FittedRatio;
    ``_log_ratio`` gives the ratio at any rows. Rows, clip, weights, summary and warnings are seen to here.
    """

    clip: ClipRule
    min_ess: float
    normalize: str | None

    @abstractmethod
    def _fit_log_ratio(self, X_source: Any, X_target: Any, counts_source: Floats, counts_target: Floats) -> FittedRatio:
        """Learn the ratio from checked matrices and positive repeat counts."""

    @abstractmethod
    def _log_ratio(self, X: Any) -> Floats:
        """log(target density / source density) at the rows of a checked matrix, shape (n_rows,)."""

    def fit(
        self,
        X_source: Any,
        X_target: Any,
        *,
        sample_weight_source: ArrayLike | None = None,
        sample_weight_target: ArrayLike | None = None,
    ) -> Self:
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
            sample weights, or a bad setting. The estimator is then left as it was.

        Warns
        -----
        PoorOverlapWarning
            When the verdict of ``summary_`` is "abstain".
        """
        return self._fit(self._check_samples(X_source, X_target, sample_weight_source, sample_weight_target))

    def _check_samples(
        self, X_source: Any, X_target: Any, sample_weight_source: Any, sample_weight_target: Any
    ) -> Samples:
        """The only checks of the data, and of the settings that all weighters have."""
        check_option(self.normalize, "normalize", ["mean", None])
        source, target, names = check_two_samples(X_source, X_target, self._check_rows)
        counts = [
            check_repeat_counts(sample_weight_source, source.shape[0], "sample_weight_source"),
            check_repeat_counts(sample_weight_target, target.shape[0], "sample_weight_target"),
        ]
        check_clip(self.clip, self.min_ess)
        return Samples([source, target], counts, names)

    def _fit(self, samples: Samples, **folds: Any) -> Self:
        """``fit`` of checked samples; ``folds`` are handed to ``_fit_log_ratio``."""
        with unchanged_on_error(self), np.errstate(**QUIET):
            matrices = self._fit_features(*samples.rows)
            names = self._matrix_names(samples)
            with columns_named(names):
                fitted = self._fit_log_ratio(*matrices, *samples.counts, **folds)
                self._keep(samples, matrices, fitted, names)
            for warning in (*fitted.warnings, *self._doubts(self.summary_)):
                tell(warning)
            return self

    def _check_rows(self, X: Any, name: str) -> Any:
        """Checked rows of one sample: a matrix, or what ``_features`` turns into one."""
        return check_matrix(X, name)

    def _fit_features(self, source: Any, target: Any) -> tuple[Any, Any]:
        """Matrices the ratio is a function of, from checked rows of both samples."""
        return source, target

    def _matrix_names(self, samples: Samples) -> list[str] | None:
        """Names of the columns of the matrices that ``_fit_features`` makes."""
        return samples.names

    def _features(self, X: Any) -> Any:
        """The matrix the ratio is a function of, from checked rows."""
        return X

    def _keep(self, samples: Samples, matrices: tuple[Any, Any], fitted: FittedRatio, names: list[str] | None) -> None:
        """Set what every weighter has learned; ``names`` are those of the matrices' columns."""
        refuse_no_number(fitted.source, fitted.target)
        log_ratios = [bounded(fitted.source), bounded(fitted.target)]
        clip = learn_clip(log_ratios[0], samples.counts[0], self.clip, self.min_ess)
        log_mean = log_mean_exp(clip.apply(log_ratios[0]), samples.counts[0])
        numbers, names = self._described(matrices, names)
        spreads = fitted.spreads or [column_spread(X, c) for X, c in zip(numbers, samples.counts, strict=True)]
        low, high = zip(*((spread.low, spread.high) for spread in spreads), strict=True)
        refuse_vanishing(np.minimum(*low), np.maximum(*high))
        self.summary_ = summarize_ratio(numbers, samples.counts, log_ratios, spreads, clip, log_mean, names)
        self.n_source_, self.n_target_ = fitted.n_source, fitted.n_target
        self.log_clip_, self.log_mean_, self._clip = clip.log_threshold, log_mean, clip
        self.n_features_in_, self._column_names = samples.all_rows[0].shape[1], samples.names
        if samples.names is not None:
            self.feature_names_in_ = np.asarray(samples.names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        kept = log_ratios[0] if fitted.kept else None
        self.source_weights_ = self._finish(self._log_ratio_of_source(samples, matrices[0], kept))

    def _described(
        self, matrices: tuple[Any, Any], names: list[str] | None
    ) -> tuple[tuple[Any, Any], list[str] | None]:
        """Numbers that both samples are compared by, and the names of their columns."""
        return matrices, names

    def _log_ratio_of_source(self, samples: Samples, source: Any, kept: Floats | None) -> Floats:
        """Bounded log ratios of all source rows: those kept, and what ``log_ratio`` says of the others."""
        rows, present = samples.all_rows[0], samples.present[0]
        if kept is None:
            return bounded(self._log_ratio(source if present.all() else self._features(rows)))
        if present.all():
            return kept
        log_ratio = np.empty(len(present))
        log_ratio[present] = kept
        log_ratio[~present] = bounded(self._log_ratio(self._features(_safe_indexing(rows, np.flatnonzero(~present)))))
        return log_ratio

    def _finish(self, log_ratio: Floats) -> Floats:
        return finished_weights(log_ratio, self._clip, self.log_mean_ if self.normalize == "mean" else 0.0)

    def _doubts(self, summary: WeightSummary) -> list[Warning]:
        """What the user must know of a ratio that has been fitted."""
        if summary.verdict != "abstain":
            return []
        reasons = "; ".join(summary.reasons)
        return [PoorOverlapWarning(f"The data do not support weighting: {reasons}. {summary.verdict.action}")]

    def transform(self, X: Any) -> Floats:
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

    def fit_transform(
        self,
        X_source: Any,
        X_target: Any,
        *,
        sample_weight_source: ArrayLike | None = None,
        sample_weight_target: ArrayLike | None = None,
    ) -> Floats:
        """``fit``, then a copy of ``source_weights_``, shape (n_source,)."""
        samples = self._check_samples(X_source, X_target, sample_weight_source, sample_weight_target)
        return self._fit(samples).source_weights_.copy()

    def log_ratio(self, X: Any) -> Floats:
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
        with np.errstate(**QUIET):
            log_ratio = self._log_ratio(self._features(rows))
        refuse_no_number(log_ratio)
        return bounded(log_ratio)
