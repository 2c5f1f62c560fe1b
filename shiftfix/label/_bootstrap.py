"""Both-sample stratified bootstrap of an estimated target prior.

Source rows are drawn with replacement within each class, so that the class frequencies, which training weights divide
by, stay what they are; target rows are drawn with replacement from all. Whatever was learned from the source is learned
again from every draw, calibration included.
Source: Efron & Tibshirani (1993), "An Introduction to the Bootstrap", chapters 8 (more than one sample) and 13
(percentile intervals).
"""

from abc import abstractmethod

import numpy as np
from sklearn.utils.validation import check_is_fitted

from shiftfix._resample import bootstrap_two_samples
from shiftfix._validation import check_count, check_generator
from shiftfix.exceptions import ShiftDataError
from shiftfix.label._base import BasePriorEstimator
from shiftfix.label._calibration import fit_log_scores, log_scores, softmax_block

# Draws from n rows of a class vary by (n - 1) / n of what new rows would: a single row never does. Where a class has
# fewer rows than this, the normal approximation, which allows for it, widens the interval.
FEW_ROWS = 10


class BaseResampledPrior(BasePriorEstimator):
    """Prior estimator whose intervals come from resampling both samples; it keeps them, uncopied."""

    _source_sample: tuple
    _target_sample: tuple

    @abstractmethod
    def _learn(self, scores, class_index, sample_weight):
        """What ``_solve`` needs to know of calibrated source scores."""

    @abstractmethod
    def _solve(self, learned, scores, sample_weight):
        """Target prior from calibrated target scores."""

    def _check_settings(self):
        super()._check_settings()
        check_count(self.n_bootstrap, "n_bootstrap", least=0)
        check_generator(self.random_state)

    def _fit_source(self, scores, class_index, sample_weight, raw):
        self._learned = self._learn(scores, class_index, sample_weight)
        self._source_sample = (raw, class_index, sample_weight) if self.n_bootstrap else ()

    def _estimate(self, scores, sample_weight, raw):
        self._target_sample = (raw, sample_weight) if self.n_bootstrap else ()
        self._draws = None

    def bootstrap(self, *, progress=False):
        """Target priors of resampled data: source rows within each class, target rows, calibration refitted.

        Parameters
        ----------
        progress : bool, default=False
            Show a bar; needs tqdm.

        Returns
        -------
        ndarray of shape (n_bootstrap, n_classes)
            Made once for each target batch, then kept.

        Raises
        ------
        ShiftDataError
            With ``n_bootstrap=0``.
        """
        check_is_fitted(self, "target_prior_")
        if not self._keeps_rows():
            raise ShiftDataError("n_bootstrap=0 keeps no rows to resample: set it to 200, say, and fit again.")
        if self._draws is None:
            source, class_index, source_weight = self._source_sample
            target, target_weight = self._target_sample
            start = self.calibration_scale_, self.calibration_bias_
            calibrates = self.calibration_ != "none"
            source, target = (log_scores(scores) if calibrates else scores for scores in (source, target))

            def estimate(source_weight, target_weight):
                rows, rows_target = np.flatnonzero(source_weight), np.flatnonzero(target_weight)
                weight, weight_target = source_weight[rows], target_weight[rows_target]
                here, there, labels = source[rows], target[rows_target], class_index[rows]
                if calibrates:
                    scale, bias, _ = fit_log_scores(here, labels, weight, self.calibration_, start)
                    here, there = (softmax_block(z, scale, bias)[0] for z in (here, there))
                return self._solve(self._learn(here, labels, weight), there, weight_target)

            self._draws = bootstrap_two_samples(
                estimate,
                source_weight,
                target_weight,
                n_bootstrap=self.n_bootstrap,
                rng=check_generator(self.random_state),
                source_strata=[np.flatnonzero(class_index == k) for k in range(class_index.max() + 1)],
                progress=progress,
            )
        return self._draws

    def _keeps_rows(self):
        return bool(self.n_bootstrap and self._source_sample and self._target_sample)

    def _interval(self, level, progress):
        """Percentiles of the bootstrap; the normal approximation where no rows were kept."""
        if not self._keeps_rows():
            return super()._interval(level, progress)
        low, high = np.quantile(self.bootstrap(progress=progress), [(1 - level) / 2, (1 + level) / 2], axis=0)
        # Resampling never finds what no row showed, and a share of -log(1 - level) / n goes unseen in n rows with
        # probability 1 - level: at 95% the rule of three (Hanley & Lippman-Hand 1983, JAMA 249(13):1743-1745).
        _, target_weight = self._target_sample
        unseen = min(-np.log1p(-level) / target_weight.sum(), 1.0)
        low, high = np.minimum(low, 1 - unseen), np.maximum(high, unseen)
        _, class_index, source_weight = self._source_sample
        if np.bincount(class_index, weights=source_weight).min() < FEW_ROWS:
            wide_low, wide_high = super()._interval(level, progress).T
            low, high = np.minimum(low, wide_low), np.maximum(high, wide_high)
        return np.column_stack([low, high])
