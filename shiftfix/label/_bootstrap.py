"""Both-sample stratified bootstrap of an estimated target prior.

Source rows are drawn with replacement within each class, so that the class frequencies, which training weights divide
by, stay what they are; target rows are drawn with replacement from all. Whatever was learned from the source is learned
again from every draw, calibration included.
Source: Efron & Tibshirani (1993), "An Introduction to the Bootstrap", chapters 8 (more than one sample) and 13
(percentile intervals).
"""

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from shiftfix._resample import bootstrap_two_samples
from shiftfix._row_order import generator_of_sample, order_of_rows
from shiftfix._setting_checks import check_count, check_generator
from shiftfix.exceptions import ShiftDataError
from shiftfix.label._base import BasePriorEstimator, JudgedEstimate
from shiftfix.label._likelihood import fit_log_scores, log_scores, softmax_block
from shiftfix.label._source import Source, SourceScores, TargetScores

# Draws from n rows of a class vary by (n - 1) / n of what new rows would: a single row never does. Where a class has
# fewer rows than this, the normal approximation, which allows for it, widens the interval.
FEW_ROWS = 10


def resampled_priors(
    source: Source,
    given: SourceScores,
    given_target: TargetScores,
    prior_of: Callable[[SourceScores, TargetScores], NDArray[np.float64]],
    *,
    n_bootstrap: int,
    rng: np.random.Generator,
    progress: bool = False,
) -> NDArray[np.float64]:
    """Target priors of resampled rows, the calibration fitted anew to each draw; shape (n_bootstrap, n_classes).

    Parameters
    ----------
    source : Source
        What all rows told; its calibration starts those of the draws.
    given, given_target : SourceScores and TargetScores
        Rows before the calibration.
    prior_of : callable
        ``prior_of(sample, target)`` gives the prior of calibrated rows.
    n_bootstrap : int
    rng : numpy.random.Generator
    progress : bool, default=False
        Show a bar.
    """
    given, given_target = _in_content_order(given), _in_content_order(given_target)
    calibrates = source.calibration != "none"
    scores, target_scores = (log_scores(z) if calibrates else z for z in (given.scores, given_target.scores))

    def estimate(source_weight: NDArray[np.float64], target_weight: NDArray[np.float64]) -> NDArray[np.float64]:
        rows, rows_target = np.flatnonzero(source_weight), np.flatnonzero(target_weight)
        weight, weight_target = source_weight[rows], target_weight[rows_target]
        here, there, labels = scores[rows], target_scores[rows_target], given.class_index[rows]
        if calibrates:
            start = source.scale, source.bias
            scale, bias, _ = fit_log_scores(here, labels, weight, source.calibration, start)
            here, there = (softmax_block(z, scale, bias)[0] for z in (here, there))
        return prior_of(SourceScores(here, labels, weight), TargetScores(there, weight_target))

    return bootstrap_two_samples(
        estimate,
        given.counts,
        given_target.counts,
        n_bootstrap=n_bootstrap,
        rng=generator_of_sample(rng, given.class_index),
        source_strata=[np.flatnonzero(given.class_index == k) for k in range(given.class_index.max() + 1)],
        progress=progress,
    )


def _in_content_order(sample: Any) -> Any:
    """A sample whose rows come in an order that depends on what they hold alone: draws are of positions.

    Rows that count zero times are no rows: they move no draw.
    """
    present = np.flatnonzero(sample[-1])
    *known, counts = (of_rows[present] for of_rows in sample)
    order = order_of_rows(*known, counts=counts)
    return type(sample)(*(of_rows[order] for of_rows in (*known, counts)))


class BaseResampledPrior(BasePriorEstimator):
    """Prior estimator whose intervals come from resampling both samples; it keeps them, uncopied."""

    n_bootstrap: int
    random_state: int | np.random.Generator | np.random.RandomState | None
    # Draws of the last target batch, made when first asked for.
    _draws: NDArray[np.float64] | None

    @abstractmethod
    def _prior_of(self, source: Source, sample: SourceScores, target: TargetScores) -> NDArray[np.float64]:
        """Target prior of calibrated rows, of which whatever the method needs is learned anew."""

    def _check_settings(self) -> None:
        super()._check_settings()
        check_count(self.n_bootstrap, "n_bootstrap", least=0)
        check_generator(self.random_state)

    def _keeps_rows(self) -> bool:
        return bool(self.n_bootstrap)

    def _set_outcome(self, outcome: JudgedEstimate, given: TargetScores) -> None:
        self._draws = None
        super()._set_outcome(outcome, given)

    def bootstrap(self, *, progress: bool = False) -> NDArray[np.float64]:
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
        rows = self._kept_rows()
        if rows is None:
            raise ShiftDataError("n_bootstrap=0 keeps no rows to resample: set it to 200, say, and fit again.")
        if self._draws is None:
            self._draws = resampled_priors(
                self._source,
                *rows,
                partial(self._prior_of, self._source),
                n_bootstrap=self.n_bootstrap,
                rng=check_generator(self.random_state),
                progress=progress,
            )
        return self._draws

    def _kept_rows(self) -> tuple[SourceScores, TargetScores] | None:
        """Rows of both samples before the calibration; None where none were kept, or none are asked for."""
        if not self.n_bootstrap or self._source_sample is None or self._target_sample is None:
            return None
        return self._source_sample, self._target_sample

    def _interval(self, level: float, progress: bool) -> NDArray[np.float64]:
        """Percentiles of the bootstrap; the normal approximation where no rows were kept."""
        rows = self._kept_rows()
        if rows is None:
            return super()._interval(level, progress)
        given, given_target = rows
        low, high = np.quantile(self.bootstrap(progress=progress), [(1 - level) / 2, (1 + level) / 2], axis=0)
        # Resampling never finds what no row showed, and a share of -log(1 - level) / n goes unseen in n rows with
        # probability 1 - level: at 95% the rule of three (Hanley & Lippman-Hand 1983, JAMA 249(13):1743-1745).
        unseen = min(-np.log1p(-level) / given_target.counts.sum(), 1.0)
        low, high = np.minimum(low, 1 - unseen), np.maximum(high, unseen)
        if np.bincount(given.class_index, weights=given.counts).min() < FEW_ROWS:
            wide_low, wide_high = super()._interval(level, progress).T
            low, high = np.minimum(low, wide_low), np.maximum(high, wide_high)
        return np.column_stack([low, high])
