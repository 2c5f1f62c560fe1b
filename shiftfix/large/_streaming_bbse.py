"""Black-box shift estimation from sums over any number of rows: the answer of ``BBSE`` in memory.

Assumes p(x | y) is shared. The confusion matrix, the mean prediction and what tells their errors are sums over rows.
Source: Lipton, Wang & Smola (2018), ICML, section 4.
"""

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from shiftfix._numerics import Floats
from shiftfix._setting_checks import check_number, check_option
from shiftfix.exceptions import ShiftDataError
from shiftfix.label import PriorBySums, ScoreSums, bbse_of_sums, normal_interval
from shiftfix.large._driver import Statistic
from shiftfix.large._fit import ProgressCall
from shiftfix.large._priors import BaseStreamingPrior
from shiftfix.large._score_sums import SideSums, merge_scores, unit_scores

SCORES = Statistic(unit_scores, merge_scores)
# Products of the scores of each class have so many classes cubed entries.
MOST_SOFT_CLASSES = 200


class StreamingBBSE(BaseStreamingPrior):
    """Target prior from a confusion matrix, in one pass over files, arrays or a cluster.

    The answer, its covariance and the verdict are those of :class:`shiftfix.label.BBSE` without calibration.

    Parameters
    ----------
    kind : {"soft", "hard"}, default="soft"
        "soft" averages probabilities, "hard" counts arg-max predictions, or a column of predicted labels. Soft up to
        200 classes.
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
        What posteriors are divided by: the class frequencies.
    joint_confusion_, conditional_confusion_ : ndarray of shape (n_classes, n_classes)
        P(predicted i, true j) and P(predicted i given true j).
    target_mean_ : ndarray of shape (n_classes,)
        Mean prediction on the target.
    prior_covariance_ : ndarray of shape (n_classes, n_classes)
        Delta-method sampling covariance.
    identified_, reason_, verdict_ : bool, str, Verdict
        Whether the estimate is worth using, and why or why not.
    n_passes_ : int

    Raises
    ------
    ShiftDataError
        By ``fit``, for scores that are no probabilities and labels that are none of the classes, with file and count.
    NotIdentifiedError
        By ``fit``, when the confusion matrix is singular; names the confounded classes.

    Warns
    -----
    PoorIdentificationWarning
        By ``fit``, when ``identified_`` comes out False.

    See Also
    --------
    StreamingMLLS : Class shares by maximum likelihood in passes.
    shiftfix.label.BBSE : By the confusion matrix, with an analytic interval.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.repeat([0, 1], 50)
    >>> scores = np.where((y == 0)[:, None], [0.8, 0.2], [0.3, 0.7])
    >>> bbse = StreamingBBSE().fit(scores, np.repeat(scores, [9] * 50 + [1] * 50, axis=0), label=y)
    >>> bbse.target_prior_.round(3)
    array([0.9, 0.1])
    """

    joint_confusion_: Floats
    conditional_confusion_: Floats
    target_mean_: Floats
    prior_covariance_: Floats
    n_passes_: int
    _cautious_covariance: Floats

    def __init__(
        self,
        kind: Literal["soft", "hard"] = "soft",
        *,
        classes: Sequence[float] | None = None,
        rows_per_unit: int = 1_000_000,
        engine: Any = "serial",
        n_workers: int | None = None,
        scheduler: Any = None,
        retries: int = 2,
    ) -> None:
        self.kind = kind
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
            Of files, the columns of the scores, one per class, or the one of predicted labels; of frames too, where
            None takes all.
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
        check_option(self.kind, "kind", ["soft", "hard"])
        weights = sample_weight_source, sample_weight_target
        soft = self.kind == "soft"
        with self._reading((source, target), scores, label, weights, progress, soft) as (passes, layout):
            if layout.soft and layout.n_classes > MOST_SOFT_CLASSES:
                raise ShiftDataError(
                    f'{layout.n_classes} classes: products of soft scores take too much; use kind="hard".'
                )
            sums = _as_score_sums(passes.run(SCORES, layout))
            self._set_classes(layout)
            self._keep(bbse_of_sums(sums, self.classes_), passes.n_passes)
            self._warn_if_vague()
            return self

    def _keep(self, found: PriorBySums, n_passes: int) -> None:
        self.source_prior_, self.target_prior_ = found.source_prior, found.target_prior
        self.class_weight_, self.score_prior_ = found.target_prior / found.source_prior, found.source_prior
        self.joint_confusion_, self.conditional_confusion_ = found.joint, found.conditional
        self.target_mean_, self.prior_covariance_ = found.target_mean, found.covariance
        self._cautious_covariance = found.cautious_covariance
        self.identified_, self.verdict_ = found.identification.identified, found.verdict
        self.reason_ = "; ".join(found.verdict.reasons) or found.identification.reason
        self.n_passes_ = n_passes

    def interval(self, level: float = 0.95) -> Floats:
        """Confidence intervals of the target prior, from source and target sampling error.

        Parameters
        ----------
        level : float in (0, 1), default=0.95

        Returns
        -------
        ndarray of shape (n_classes, 2)
        """
        check_is_fitted(self, "target_prior_")
        check_number(level, "level", above=0, below=1)
        return normal_interval(self.target_prior_, self._cautious_covariance, level)


def _as_score_sums(found: tuple[SideSums | None, SideSums | None]) -> ScoreSums:
    source, target = found
    if source is None or target is None or not target.rows.sum():
        raise ShiftDataError("Rows of both samples are needed.")
    if not source.rows.all():
        raise ShiftDataError(
            f"The source has no rows of class {int(np.argmin(source.rows))} (by position): how a class is scored can "
            "only be learned from rows of it."
        )
    products = None if target.products is None else target.products[0]
    return ScoreSums(source.rows, source.scores, source.products, float(target.rows[0]), target.scores[0], products)
