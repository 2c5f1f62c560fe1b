"""Target prior of maximum likelihood on scores in cells, with the test of label shift and the share that it explains.

Assumes p(x | y) is shared. Scores are counted in cells (see ``_score_bins``) in one pass; all that follows works on one
weighted row for each cell, in memory. Source: Saerens, Latinne & Decaestecker (2002), Neural Computation 14(1):21-41.
"""

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from shiftfix._numerics import Floats
from shiftfix._setting_checks import check_count, check_option
from shiftfix._verdict import caller_warns
from shiftfix.exceptions import ShiftDataError
from shiftfix.label import MLLS, LabelShiftFit, LabelShiftTest, label_shift_fit, label_shift_test
from shiftfix.large._driver import Statistic
from shiftfix.large._fit import ProgressCall
from shiftfix.large._priors import BaseStreamingPrior
from shiftfix.large._score_bins import CellRows, merge_unit_cells, unit_cells, weighted_scores

CELLS = Statistic(unit_cells, merge_unit_cells)
CALIBRATION_KINDS = ("auto", "none", "temperature", "bcts", "vector")


class StreamingMLLS(BaseStreamingPrior):
    """Target prior of maximum likelihood on calibrated scores, in one pass over files, arrays or a cluster.

    Parameters
    ----------
    calibration : {"auto", "none", "temperature", "bcts", "vector"}, default="auto"
        Fitted on the labelled source scores, as by :class:`shiftfix.label.MLLS`.
    max_cells : int, default=20_000
        Cells that scores are counted in, at most. With two classes they are finer than any sampling error; with many
        classes fewer cells cost precision, and no bias.
    classes : array-like of shape (n_classes,), default=None
        Labels, which are numbers, in the order of the scores. None means the sorted labels of the source, which take a
        pass to find.
    rows_per_unit, engine, n_workers, scheduler, retries
        As for :class:`StreamingLogisticWeighter`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    source_prior_, target_prior_ : ndarray of shape (n_classes,)
        p and q; q is >= 0 and sums to 1.
    class_weight_ : ndarray of shape (n_classes,)
        q / p: what training rows are weighted by.
    score_prior_ : ndarray of shape (n_classes,)
        The prior that the calibrated scores imply.
    prior_covariance_ : ndarray of shape (n_classes, n_classes)
        Sampling covariance of ``target_prior_``.
    identified_, reason_, verdict_ : bool, str, Verdict
        Whether the estimate is worth using, and why or why not.
    estimator_ : MLLS
        Fitted to the cells: it calibrates, adjusts and tells intervals.
    n_cells_, level_ : int
        Cells that hold rows; 2**level_ boxes lie along the square root of a score.
    n_passes_ : int

    Raises
    ------
    ShiftDataError
        By ``fit``, for scores that are no probabilities and labels that are none of the classes, with file and count.
    NotIdentifiedError
        By ``fit``, when the scores cannot tell some classes apart.

    Warns
    -----
    PoorIdentificationWarning
        By ``fit``, when ``identified_`` comes out False.

    See Also
    --------
    StreamingBBSE : Class shares in one pass.
    shiftfix.label.MLLS : Maximum likelihood on calibrated scores; the most precise.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> y, y_target = np.repeat([0, 1], 500), np.repeat([0, 1], [900, 100])
    >>> p, p_target = (1 / (1 + np.exp(-2 * rng.normal(2 * v - 1))) for v in (y, y_target))
    >>> mlls = StreamingMLLS().fit(np.column_stack([1 - p, p]), np.column_stack([1 - p_target, p_target]), label=y)
    >>> mlls.target_prior_.round(1)
    array([0.9, 0.1])
    """

    prior_covariance_: Floats
    estimator_: MLLS
    n_cells_: int
    level_: int
    n_passes_: int
    _rows: CellRows

    def __init__(
        self,
        calibration: Literal["auto", "none", "temperature", "bcts", "vector"] = "auto",
        *,
        max_cells: int = 20_000,
        classes: Sequence[float] | None = None,
        rows_per_unit: int = 1_000_000,
        engine: Any = "serial",
        n_workers: int | None = None,
        scheduler: Any = None,
        retries: int = 2,
    ) -> None:
        self.calibration = calibration
        self.max_cells = max_cells
        self.classes = classes
        self.rows_per_unit = rows_per_unit
        self.engine = engine
        self.n_workers = n_workers
        self.scheduler = scheduler
        self.retries = retries

    def fit(
        self,
        source: Any,
        target: Any,
        *,
        scores: Sequence[str] | None = None,
        label: Any = None,
        sample_weight_source: Any = None,
        sample_weight_target: Any = None,
        progress: ProgressCall | None = None,
    ) -> Self:
        """Estimate the target prior.

        Parameters
        ----------
        source : files, array or memory map
            As for :class:`StreamingLogisticWeighter`: scores of labelled rows that the classifier was NOT trained on.
        target : like ``source``
            Scores of the target rows by the same classifier.
        scores : list of str, default=None
            Of files, the columns of the scores, one per class; of frames too, where None takes all.
        label : str or array-like of shape (n_source,)
            Of files, the column of the true labels of the source; of arrays, the labels.
        sample_weight_source, sample_weight_target : str or array-like, default=None
            Repeat counts.
        progress : callable, default=None
            Called as ``progress(pass, units_done, n_units)``.

        Returns
        -------
        self

        Raises
        ------
        ShiftDataError
            For input that cannot be used; the estimator is then left as it was.
        """
        check_option(self.calibration, "calibration", CALIBRATION_KINDS)
        most = check_count(self.max_cells, "max_cells", least=2)
        weights = sample_weight_source, sample_weight_target
        with self._reading((source, target), scores, label, weights, progress, True) as (passes, layout):
            found = passes.run(CELLS, layout, most).cells
            if found is None:
                raise ShiftDataError("Rows of both samples are needed.")
            rows = weighted_scores(found)
            self._set_classes(layout)
            estimator = MLLS(self.calibration, n_bootstrap=0)
            with caller_warns():
                estimator.fit(rows.source, rows.labels, rows.target, **_further(rows, layout.n_classes))
            self._keep(estimator)
            self._rows = rows
            self.n_cells_, self.level_, self.n_passes_ = len(found.keys), found.level, passes.n_passes
            self._warn_if_vague()
            return self

    def _keep(self, estimator: MLLS) -> None:
        self.estimator_ = estimator
        self.source_prior_, self.target_prior_ = estimator.source_prior_, estimator.target_prior_
        self.class_weight_, self.score_prior_ = estimator.class_weight_, estimator.score_prior_
        self.prior_covariance_ = estimator.prior_covariance_
        self.identified_, self.reason_, self.verdict_ = estimator.identified_, estimator.reason_, estimator.verdict_

    def interval(self, level: float = 0.95) -> Floats:
        """Confidence intervals of the target prior, from source and target sampling error.

        Parameters
        ----------
        level : float in (0, 1), default=0.95

        Returns
        -------
        ndarray of shape (n_classes, 2)
        """
        check_is_fitted(self, "estimator_")
        return self.estimator_.interval(level)

    def adjust_proba(self, scores: Any) -> Any:
        """Calibrated class probabilities under the estimated target prior.

        Parameters
        ----------
        scores : array-like of shape (n_rows, n_classes)
            By the classifier that scored the fitted rows.

        Returns
        -------
        ndarray of shape (n_rows, n_classes)
        """
        check_is_fitted(self, "estimator_")
        return self.estimator_.adjust_proba(scores)

    def test_label_shift(
        self, *, n_bootstrap: int = 0, random_state: int | np.random.Generator | None = None
    ) -> LabelShiftTest:
        """:func:`shiftfix.label.label_shift_test` of the scores in their cells.

        Parameters
        ----------
        n_bootstrap : int, default=0
            0 takes chi-squared's p-value, good from some thousand rows.
        random_state : int or numpy Generator, default=None
            For the bootstrap.
        """
        check_is_fitted(self, "estimator_")
        rows = self._rows
        return label_shift_test(
            rows.source,
            rows.labels,
            rows.target,
            n_bootstrap=n_bootstrap,
            random_state=random_state,
            **_further(rows, len(self.classes_)),
        )

    def explain_shift(self) -> LabelShiftFit:
        """:func:`shiftfix.label.label_shift_fit` of the scores in their cells: the share that label shift explains."""
        check_is_fitted(self, "estimator_")
        rows = self._rows
        return label_shift_fit(rows.source, rows.labels, rows.target, **_further(rows, len(self.classes_)))


def _further(rows: CellRows, n_classes: int) -> dict[str, Any]:
    """What methods in memory are told of the rows of cells beside the rows."""
    return {
        "classes": np.arange(n_classes),
        "sample_weight_source": rows.source_counts,
        "sample_weight_target": rows.target_counts,
    }
