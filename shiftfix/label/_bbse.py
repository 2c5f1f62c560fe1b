"""Black-box shift estimation: the target prior through a confusion matrix.

Assumes p(x | y) is shared. The mean prediction on the target is mu = A q, with A[i, j] = P(predicted i
given true j) measured on the source, so q solves a linear system on the simplex.
Source: Lipton, Wang & Smola (2018), ICML, section 4; two classes: Rogan & Gladen (1978), Am. J.
Epidemiol. 107(1):71-76. A and mu are both hard (arg max) or both soft (mean probabilities).
"""

from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from shiftfix._numerics import simplex_least_squares
from shiftfix._validation import check_class_order, check_labels, check_matrix, check_rows
from shiftfix._values import as_array
from shiftfix.exceptions import ShiftDataError
from shiftfix.label._base import BasePriorEstimator, Estimate, Learned
from shiftfix.label._confusion import check_predictions
from shiftfix.label._posterior import proba_at_prior
from shiftfix.label._solution_error import SourceError, prediction_scatter, solution_covariances, source_error
from shiftfix.label._source import CalibrationOption, ScoreKind, Source, SourceScores, TargetScores


def _check_whole(counts: NDArray[np.float64], name: str) -> None:
    """Raise unless all numbers are counts, not all 0."""
    if (counts < 0).any() or (counts % 1 != 0).any() or counts.sum() == 0:
        raise ShiftDataError(f"{name} must hold counts of rows: whole numbers >= 0, not all 0.")


def _check_counts(
    confusion: ArrayLike, predicted: ArrayLike, classes: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[Any]]:
    """Checked counts of a confusion matrix and of predictions, and their classes; see :meth:`BBSE.fit_confusion`."""
    counts = check_matrix(confusion, "confusion")
    n_classes = len(counts)
    labels = np.arange(n_classes) if classes is None else check_labels(classes, "classes")
    check_class_order(confusion, "confusion", labels)
    check_class_order(predicted, "predicted", labels)
    predicted = as_array(predicted, "predicted")
    if predicted.ndim != 1 or predicted.dtype.kind not in "iuf":
        raise ShiftDataError(
            "predicted must hold how many target rows were predicted as each class, shape (n_classes,); predicted "
            "labels themselves can be given to fit or update."
        )
    target = check_matrix(np.atleast_2d(predicted), "predicted")[0]
    if counts.shape != (n_classes, n_classes) or target.shape != (n_classes,):
        raise ShiftDataError(
            f"confusion has shape {counts.shape} and predicted {np.shape(predicted)}: pass (n_classes, n_classes) "
            "and (n_classes,)."
        )
    _check_whole(counts, "confusion")
    _check_whole(target, "predicted")
    if len(labels) != n_classes:
        raise ShiftDataError(f"classes names {len(labels)} labels for {n_classes} columns: name each once.")
    return counts, target, labels


class BBSE(BasePriorEstimator):
    """Target prior from a confusion matrix, on the simplex.

    Assumes that p(x given y) stayed, and gives an answer whatever moved. :func:`label_shift_fit` asks whether one
    change of the class shares is what moved; ``LabelShiftClassifier`` does so before it corrects.

    Parameters
    ----------
    kind : {"soft", "hard"}, default="soft"
        "soft" averages probabilities, "hard" counts arg-max predictions, on the source and on the
        target alike. Soft is the more precise; hard also takes 1D predicted labels for scores, or counts
        (``fit_confusion``).
    calibration : {"none", "auto", "temperature", "bcts", "vector"}, default="none"
        Of soft scores, fitted on the labelled source rows; see :class:`ScoreCalibrator`. BBSE needs none, and gains
        some precision from one.
    shrink : {None, "significance"}, default=None
        "significance" takes the source prior when the mean scores of source and target do not differ at level 0.02.

    Attributes
    ----------
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
    target_mean_ : ndarray of shape (n_classes,)
        mu, the mean prediction on the target.
    prior_covariance_ : ndarray of shape (n_classes, n_classes)
        Delta-method sampling covariance of the unconstrained solution; on the boundary of the simplex the estimate
        itself varies less.

    Raises
    ------
    ShiftDataError
        By ``fit``, ``update``, ``transform`` and ``adjust_proba``, for input that cannot be used.
    NotIdentifiedError
        By ``fit``, when the confusion matrix is singular; names the confounded classes.

    See Also
    --------
    MLLS : Maximum likelihood on calibrated scores; the most precise.
    RLLS : By the confusion matrix, regularised towards no shift.
    confusion_matrices : Joint and conditional confusion matrices.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.repeat(["sick", "well"], 50)
    >>> scores = np.where((y == "sick")[:, None], [0.8, 0.2], [0.3, 0.7])
    >>> BBSE().fit(scores, y, np.repeat(scores, [9] * 50 + [1] * 50, axis=0)).target_prior_.round(3)
    array([0.9, 0.1])
    """

    target_mean_: NDArray[np.float64]

    def __init__(
        self,
        kind: ScoreKind = "soft",
        *,
        calibration: CalibrationOption = "none",
        shrink: Literal["significance"] | None = None,
    ) -> None:
        self.kind = kind
        self.calibration = calibration
        self.shrink = shrink

    def fit_confusion(self, confusion: ArrayLike, predicted: ArrayLike, *, classes: ArrayLike | None = None) -> Self:
        """Estimate the target prior from counts alone: a stored confusion matrix and the target's predictions.

        Parameters
        ----------
        confusion : array-like of shape (n_classes, n_classes)
            Source rows predicted as class i (row) that truly are class j (column): the transpose of scikit-learn's
            ``confusion_matrix``.
        predicted : array-like of shape (n_classes,)
            Target rows predicted as each class.
        classes : array-like of shape (n_classes,), default=None
            Labels; None means 0, 1, 2, ...

        Returns
        -------
        self
            Afterwards ``update`` takes predicted labels.

        Raises
        ------
        ShiftDataError
            For ``kind="soft"``, which needs rows, and for anything but counts: negative or fractional numbers, other
            shapes, a class without source rows.
        """
        if self.kind != "hard":
            raise ShiftDataError('Counts tell no probabilities: use BBSE(kind="hard").')
        counts, target, labels = _check_counts(confusion, predicted, classes)
        one_hot = np.eye(len(labels))
        return self.fit(
            np.repeat(one_hot, len(labels), axis=0),
            np.tile(labels, len(labels)),
            one_hot,
            classes=labels,
            sample_weight_source=counts.ravel(),
            sample_weight_target=target,
        )

    def adjust_proba(self, scores: ArrayLike) -> NDArray[Any]:
        """Class probabilities under the estimated target prior.

        Parameters
        ----------
        scores : array-like of shape (n_rows, n_classes)
            Class probabilities by the classifier that scored the fitted rows: times q / ``score_prior_``. With
            ``kind="hard"`` also predicted labels of shape (n_rows,): P(true j given predicted i) by the confusion
            matrix.

        Returns
        -------
        ndarray of shape (n_rows, n_classes)

        Raises
        ------
        ShiftDataError
            For scores that are no probabilities or have another number of columns, and for unknown labels.
        """
        check_is_fitted(self, "target_prior_")
        if self._source.kind != "hard" or np.ndim(check_rows(scores, "scores")) != 1:
            return super().adjust_proba(scores)
        predicted = check_predictions(scores, "scores", self.classes_, self._source.kind)
        given_source = predicted @ (self.joint_confusion_ / self.joint_confusion_.sum(axis=1, keepdims=True))
        return proba_at_prior(given_source, self.source_prior_, self.target_prior_)

    @property
    def _source_error(self) -> SourceError:
        """What the source adds to the error of the prior, whatever the target."""
        return self._learned

    def _fit_source(self, source: Source, sample: SourceScores, raw: NDArray[Any]) -> Learned:
        return Learned(source_error(*sample, source.conditional, source.kind))

    def _estimate(self, source: Source, learned: SourceError, target: TargetScores, raw: NDArray[Any]) -> Estimate:
        rows = prediction_scatter(target.scores, target.counts, source.kind)
        prior = simplex_least_squares(source.conditional, rows.mean)
        return Estimate(prior, *solution_covariances(learned, rows, prior), {"target_mean_": rows.mean})
