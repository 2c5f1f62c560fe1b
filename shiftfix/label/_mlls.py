"""Target prior of maximum likelihood on calibrated scores.

Assumes p(x | y) is shared. The solver, with its certificate, is in ``_mlls_solver``, the sampling error in
``_mlls_error``.
Source: Saerens, Latinne & Decaestecker (2002), Neural Computation 14(1):21-41; Alexandari, Kundaje &
Shrikumar (2020), ICML, for the calibration that comes first.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shiftfix._setting_checks import check_count, check_number
from shiftfix.label._base import Estimate, Learned
from shiftfix.label._bootstrap import BaseResampledPrior
from shiftfix.label._implied_prior import PriorFrom, score_prior_from
from shiftfix.label._likelihood import log_scores
from shiftfix.label._mlls_error import LEARNED_ERROR_CLASSES, learned_error, prior_covariance
from shiftfix.label._mlls_solver import PriorLikelihood, mlls_prior
from shiftfix.label._source import CalibrationOption, Source, SourceScores, TargetScores

# Gap of an estimate that begins near its end, at most: at a loose ``tol`` it would stop where it began.
WARM_TOLERANCE = 1e-6


class MLLS(BaseResampledPrior):
    """Target prior of maximum likelihood on calibrated scores.

    The most precise estimator here when the scores are calibrated, which is why they are calibrated first; on raw
    scores of an overconfident network it can be worse than :class:`BBSE`.

    Assumes that p(x given y) stayed, and gives an answer whatever moved. :func:`label_shift_fit` asks whether one
    change of the class shares is what moved; ``LabelShiftClassifier`` does so before it corrects.

    Parameters
    ----------
    calibration : {"auto", "none", "temperature", "bcts", "vector"}, default="auto"
        Fitted on the labelled source scores; see :class:`ScoreCalibrator`.
    shrink : {None, "significance"}, default=None
        "significance" takes the source prior when the mean scores of source and target do not differ at level 0.02.
    n_bootstrap : int, default=200
        Draws behind ``interval``. 0 keeps no rows and makes intervals from ``prior_covariance_``.
    random_state : int, numpy Generator or RandomState, default=None
        For the bootstrap.
    tol : float, default=1e-8
        Certified gap of the mean log likelihood per row.
    max_iter : int, default=100
        Newton steps at most.

    Attributes
    ----------
    gap_, n_iter_ : float, int
        Bound of what is left to gain in mean log likelihood per row, and steps taken.
    classes_ : ndarray of shape (n_classes,)
    source_prior_, target_prior_ : ndarray of shape (n_classes,)
        p and q; q is >= 0 and sums to 1.
    class_weight_ : ndarray of shape (n_classes,)
        q / p: what training rows are weighted by.
    score_prior_ : ndarray of shape (n_classes,)
        The prior that the calibrated scores imply: what posteriors are divided by.
    calibration_, calibration_scale_, calibration_bias_ : str, ndarray and ndarray of shape (n_classes,)
        The calibration that was fitted: softmax(scale * log(scores) + bias).
    shift_p_value_, shrunk_ : float or None, bool
        With ``shrink``, the test that nothing moved, and whether the source prior stands in for the estimate.
    joint_confusion_, conditional_confusion_ : ndarray of shape (n_classes, n_classes)
        P(predicted i, true j), which sums to 1, and P(predicted i given true j), whose columns do.
    condition_number_, smallest_singular_value_ : float
        Of the joint matrix; errors of the mean prediction grow up to 1 / ``smallest_singular_value_`` in the weights.
    identified_ : bool
        False when the estimate is vague (its variances sum to more than a quarter of those of a uniform
        draw from the simplex) and also cannot be told from the source prior (Wald test at level 0.05).
    reason_ : str
        What the verdict rests on; when ``identified_`` is False, why not, and which classes to merge.
    verdict_ : Verdict
        "abstain" when the prior is not identified, else "ok", which has a reason where ``shrink`` found no shift.
    prior_covariance_ : ndarray of shape (n_classes, n_classes)
        Asymptotic sampling covariance of the estimate from target, calibration and implied prior; above 100 classes
        from the target alone. Classes of prior 0 are held there.

    Raises
    ------
    ShiftDataError
        By ``fit``, ``update``, ``transform`` and ``adjust_proba``, for input that cannot be used.
    NotIdentifiedError
        By ``fit``, when the confusion matrix is singular; names the confounded classes.

    See Also
    --------
    BBSE : By the confusion matrix, with an analytic interval.
    RLLS : By the confusion matrix, regularised towards no shift.
    ScoreCalibrator : Temperature, bias-corrected temperature, vector scaling.
    shiftfix.corrected.LabelShiftClassifier : A classifier that follows the target's class shares.

    Notes
    -----
    Without a bias in the calibration, posteriors are divided by the mean calibrated score of the source, which errs
    less than the class frequencies where some miscalibration is left. Where the scores clearly come from another prior
    than either (balanced training, say), that prior is found by the bias that fits the labels best, and used instead.

    References
    ----------
    Saerens, Latinne & Decaestecker (2002), Neural Computation 14(1):21-41. Alexandari, Kundaje & Shrikumar
    (2020), "Maximum likelihood with bias-corrected calibration is hard-to-beat at label shift adaptation", ICML.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> y, y_target = np.repeat([0, 1], 500), np.repeat([0, 1], [900, 100])
    >>> x, x_target = rng.normal(2 * y - 1), rng.normal(2 * y_target - 1)
    >>> p, p_target = (1 / (1 + np.exp(-2 * v)) for v in (x, x_target))  # posteriors under equal priors
    >>> mlls = MLLS().fit(np.column_stack([1 - p, p]), y, np.column_stack([1 - p_target, p_target]))
    >>> mlls.target_prior_.round(1)
    array([0.9, 0.1])
    """

    gap_: float
    n_iter_: int

    _usual_prior_from: PriorFrom = "mean"

    def __init__(
        self,
        calibration: CalibrationOption = "auto",
        *,
        shrink: Literal["significance"] | None = None,
        n_bootstrap: int = 200,
        random_state: int | np.random.Generator | np.random.RandomState | None = None,
        tol: float = 1e-8,
        max_iter: int = 100,
    ) -> None:
        self.calibration = calibration
        self.shrink = shrink
        self.n_bootstrap = n_bootstrap
        self.random_state = random_state
        self.tol = tol
        self.max_iter = max_iter

    def _check_settings(self) -> None:
        super()._check_settings()
        check_number(self.tol, "tol", above=0, below=np.inf)
        check_count(self.max_iter, "max_iter")

    def _maximize(
        self, target: TargetScores, score_prior: NDArray[np.float64], start: NDArray[np.float64] | None = None
    ) -> PriorLikelihood:
        tol = self.tol if start is None else min(self.tol, WARM_TOLERANCE)
        return mlls_prior(target.scores, score_prior, target.counts, start=start, tol=tol, max_iter=self.max_iter)

    def _prior_of(self, source: Source, sample: SourceScores, target: TargetScores) -> NDArray[np.float64]:
        # The priors of draws lie around that of all rows.
        return self._maximize(target, score_prior_from(*sample, source.prior_from), self._estimated_prior).prior

    def _fit_source(self, source: Source, sample: SourceScores, raw: NDArray[Any]) -> Learned:
        if len(source.classes) > LEARNED_ERROR_CLASSES:
            return Learned()
        return Learned(
            learned_error(log_scores(raw), *sample, source.calibration, source.prior_from, source.score_prior)
        )

    def _estimate(
        self, source: Source, learned: NDArray[np.float64] | None, target: TargetScores, raw: NDArray[Any]
    ) -> Estimate:
        found = self._maximize(target, source.score_prior)
        plain, cautious = (
            prior_covariance(target, raw, source.score_prior, found.prior, learned, cautious=cautious)
            for cautious in (False, True)
        )
        return Estimate(found.prior, plain, cautious, {"gap_": found.gap, "n_iter_": found.n_iter})
