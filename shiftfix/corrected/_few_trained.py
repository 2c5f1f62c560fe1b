"""The estimator trained on the target labels alone: scores and values by models of other labels."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shiftfix._numerics import Floats
from shiftfix._row_order import Rows
from shiftfix.corrected._few_many import TargetTraining, can_train, train_on_target
from shiftfix.label import ScoreCalibrator, bounded_scores


def calibrated_log_scores(scores: Any, n_classes: int, scale: float) -> Floats:
    """Logarithm of the scores at an inverse temperature, shape (n_rows, n_classes)."""
    P = bounded_scores(scores, n_classes)
    if scale != 1:
        P = P**scale
        P = bounded_scores(P / P.sum(axis=1, keepdims=True), n_classes)
    return np.log(P)


def temperature_scale(scores: Floats, labels: NDArray[Any], counts: Floats | None = None) -> float:
    """Inverse temperature of out-of-fold scores."""
    return float(ScoreCalibrator("temperature").fit(scores, labels, sample_weight=counts).scale_[0])


class TrainedClassifier(NamedTuple):
    """The estimator trained on the target labels alone, or none.

    Attributes
    ----------
    model : classifier or None
    scale : float
        Inverse temperature of its scores.
    left_out : ndarray of shape (n_labels, n_classes) or None
        Calibrated scores by models of other labels.
    notes : tuple of str
        Why there is none.
    """

    model: Any = None
    scale: float = 1.0
    left_out: Floats | None = None
    notes: tuple[str, ...] = ()

    def left_out_of(self, rows: Rows) -> Floats | None:
        """Calibrated scores of some labels."""
        return None if self.left_out is None else self.left_out[rows]


def known_to_all(scores: Floats, known: NDArray[Any], classes: NDArray[Any]) -> Floats:
    """Class probabilities with a column for every class, 0 for those that the labels lack.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_known)
    known : ndarray of shape (n_known,)
        Sorted classes of the columns, some of ``classes``.
    classes : ndarray of shape (n_classes,)
        Sorted.
    """
    P = np.zeros((len(scores), len(classes)))
    P[:, np.searchsorted(classes, known)] = scores
    return P


def scores_of_all(model: Any, X: Any, classes: NDArray[Any]) -> Floats:
    """Class probabilities by a model that may not know all classes, nowhere 0; shape (n_rows, n_classes)."""
    return bounded_scores(known_to_all(model.predict_proba(X), model.classes_, classes), len(classes))


def temperature_of_known(scores: Floats, labels: NDArray[Any], classes: NDArray[Any]) -> float:
    """Inverse temperature of scores among the classes that there are labels of."""
    P = scores[:, np.isin(classes, labels)]
    return temperature_scale(P / P.sum(axis=1, keepdims=True), labels)


def train_classifier(training: TargetTraining, classes: NDArray[Any], *, calibrate: bool) -> TrainedClassifier:
    """Train the estimator, where labels are enough, and of two classes at least."""
    n_each = np.sort(np.unique(training.y, return_counts=True)[1])
    if not can_train(training, n_each[-2] if len(n_each) > 1 else 0):
        return TrainedClassifier()
    found = train_on_target(training, lambda model, rows: scores_of_all(model, rows, classes), stratified=True)
    if isinstance(found, str):
        return TrainedClassifier(notes=(found,))
    scale = temperature_of_known(found.scores, training.y, classes) if calibrate else 1.0
    return TrainedClassifier(found.model, scale, np.exp(calibrated_log_scores(found.scores, len(classes), scale)))


class TrainedRegressor(NamedTuple):
    """The estimator trained on the target labels alone, or none.

    Attributes
    ----------
    model : regressor or None
    left_out : ndarray of shape (n_labels,) or None
        Predictions by models of other labels.
    notes : tuple of str
        Why there is none.
    """

    model: Any = None
    left_out: Floats | None = None
    notes: tuple[str, ...] = ()


def train_regressor(training: TargetTraining) -> TrainedRegressor:
    """Train the estimator, where labels are enough."""
    if not can_train(training, len(training.y)):
        return TrainedRegressor()
    found = train_on_target(training, predicted, stratified=False)
    return TrainedRegressor(notes=(found,)) if isinstance(found, str) else TrainedRegressor(found.model, found.scores)


def predicted(model: Any, X: Any) -> Floats:
    """Predictions of a model as float64, shape (n_rows,)."""
    return np.asarray(model.predict(X), dtype=np.float64)
