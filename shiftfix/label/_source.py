"""What every prior estimator learns from the labelled source: calibration, implied prior, confusion matrices.

The rows of both samples are checked here, at the door; everything below trusts them.
"""

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftfix._validation import check_repeat_counts, check_rows
from shiftfix.exceptions import NotIdentifiedError, ShiftDataError
from shiftfix.label._calibration import WITH_BIAS, calibrate, choose_calibration, fit_calibration
from shiftfix.label._confusion import check_predictions, confounded_classes, joint_and_conditional
from shiftfix.label._implied_prior import PriorFrom, comes_from_another_prior, score_prior_from
from shiftfix.label._labels import check_as_many, class_positions, class_totals, count_rows
from shiftfix.label._likelihood import CalibrationKind

CalibrationOption = Literal["none", "auto", "temperature", "bcts", "vector"]
ScoreKind = Literal["soft", "hard"]


class SourceScores(NamedTuple):
    """Checked scores of labelled source rows.

    Attributes
    ----------
    scores : ndarray of shape (n_source, n_classes)
        float64 or float32.
    class_index : ndarray of shape (n_source,)
        True class of each row, as an index into the columns; every class has a row.
    counts : ndarray of shape (n_source,)
        Repeat counts.
    """

    scores: NDArray[Any]
    class_index: NDArray[np.intp]
    counts: NDArray[np.float64]


class TargetScores(NamedTuple):
    """Checked scores of target rows, shape (n_target, n_classes), and their repeat counts, shape (n_target,)."""

    scores: NDArray[Any]
    counts: NDArray[np.float64]


class Source(NamedTuple):
    """What every method learns from the source.

    Attributes
    ----------
    kind : {"soft", "hard"}
        How scores are read: as they are, or as one-hot predictions.
    classes : ndarray of shape (n_classes,)
    prior : ndarray of shape (n_classes,)
        p, the class frequencies.
    calibration : {"none", "temperature", "bcts", "vector"}
    scale, bias : ndarray of shape (n_classes,)
        Of the calibration.
    prior_from : {"frequency", "mean", "bias"}
        How ``score_prior`` was found; see :func:`score_prior_from`.
    score_prior : ndarray of shape (n_classes,)
        The prior that the calibrated scores imply.
    joint, conditional : ndarray of shape (n_classes, n_classes)
        The confusion matrices.
    smallest_singular_value, condition_number : float
        Of the joint matrix.
    """

    kind: ScoreKind
    classes: NDArray[Any]
    prior: NDArray[np.float64]
    calibration: CalibrationKind
    scale: NDArray[np.float64]
    bias: NDArray[np.float64]
    prior_from: PriorFrom
    score_prior: NDArray[np.float64]
    joint: NDArray[np.float64]
    conditional: NDArray[np.float64]
    smallest_singular_value: float
    condition_number: float

    def calibrated(self, scores: NDArray[Any]) -> NDArray[Any]:
        """Checked scores after the calibration; the array itself where there is none."""
        return _calibrated(scores, self.calibration, self.scale, self.bias)


def read_source(
    scores_source: ArrayLike,
    y_source: ArrayLike,
    classes: ArrayLike | None,
    sample_weight: ArrayLike | None,
    kind: ScoreKind,
) -> tuple[NDArray[Any], SourceScores]:
    """Checked classes and source rows; see :meth:`BasePriorEstimator.fit`.

    Raises
    ------
    ShiftDataError
        For scores that are no probabilities, lengths that differ, a class without rows, or one class only.
    """
    labels, class_index = class_positions(y_source, "y_source", classes)
    counts, _ = count_rows(class_index, sample_weight, labels, "y_source")
    shape = np.shape(check_rows(scores_source, "scores_source"))
    if len(shape) == 2 and shape[1] > len(labels):
        raise ShiftDataError(
            f"scores_source has {shape[1]} columns, and y_source holds only the {len(labels)} "
            f"classes {labels.tolist()}: how a class is scored can only be learned from rows of it. Collect rows "
            "of the missing classes, or leave their columns out."
        )
    scores = check_predictions(scores_source, "scores_source", labels, kind)
    check_as_many(class_index, scores, "y_source", "scores_source")
    return labels, SourceScores(scores, class_index, counts)


def read_target(
    scores_target: ArrayLike, classes: NDArray[Any], sample_weight: ArrayLike | None, kind: ScoreKind
) -> TargetScores:
    """Checked target rows.

    Raises
    ------
    ShiftDataError
        For scores that are no probabilities or have another number of columns.
    """
    scores = check_predictions(scores_target, "scores_target", classes, kind)
    return TargetScores(scores, check_repeat_counts(sample_weight, len(scores), "sample_weight_target"))


def learn_source(
    given: SourceScores,
    classes: NDArray[Any],
    *,
    kind: ScoreKind,
    calibration: CalibrationOption,
    prior_from: PriorFrom,
) -> tuple[Source, SourceScores]:
    """What every method learns from the source, and its rows after the calibration.

    Parameters
    ----------
    given : SourceScores
        Before the calibration.
    classes : ndarray of shape (n_classes,)
    kind : {"soft", "hard"}
        How the scores were read.
    calibration : {"none", "auto", "temperature", "bcts", "vector"}
    prior_from : {"frequency", "mean"}
        Where the score prior comes from when neither the calibration nor the scores say otherwise.

    Raises
    ------
    NotIdentifiedError
        When the confusion matrix is singular; names the confounded classes.
    """
    raw, class_index, counts = given
    fitted = choose_calibration(raw, class_index, counts)[0] if calibration == "auto" else calibration
    scale, bias = fit_calibration(raw, class_index, counts, fitted)
    sample = SourceScores(_calibrated(raw, fitted, scale, bias), class_index, counts)
    totals = class_totals(class_index, counts, len(classes))
    prior = totals / totals.sum()
    if fitted in WITH_BIAS:
        found_from: PriorFrom = "frequency"
    else:
        found_from = "bias" if comes_from_another_prior(*sample) else prior_from
    # What is learned again from resampled rows is the same function of them, to the last bit.
    of_labels = found_from == prior_from == "frequency"
    score_prior = prior if of_labels else score_prior_from(*sample, found_from)
    joint, conditional = joint_and_conditional(*sample)
    _check_distinct(conditional, classes)
    singular = np.linalg.svd(joint, compute_uv=False)
    source = Source(
        kind=kind,
        classes=classes,
        prior=prior,
        calibration=fitted,
        scale=scale,
        bias=bias,
        prior_from=found_from,
        score_prior=score_prior,
        joint=joint,
        conditional=conditional,
        smallest_singular_value=float(singular[-1]),
        condition_number=float(singular[0] / singular[-1]),
    )
    return source, sample


def _calibrated(
    scores: NDArray[Any], calibration: CalibrationKind, scale: NDArray[np.float64], bias: NDArray[np.float64]
) -> NDArray[Any]:
    return scores if calibration == "none" else calibrate(scores, scale, bias)


def _check_distinct(conditional: NDArray[np.float64], classes: NDArray[Any]) -> None:
    """Raise when the columns of a conditional confusion matrix cannot tell some classes apart."""
    groups = confounded_classes(conditional)
    if groups:
        named = [classes[group].tolist() for group in groups]
        raise NotIdentifiedError(
            f"The confusion matrix is singular: the scores do not tell apart {' nor '.join(map(str, named))}, so "
            "their priors are not identified. Use a classifier that separates them, or merge them into one class.",
            named,
        )
