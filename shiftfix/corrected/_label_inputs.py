"""Which classifiers a label-shift correction can be made with."""

from typing import Any, Literal

from sklearn.frozen import FrozenEstimator

from shiftfix._learner import learner_of
from shiftfix.exceptions import ShiftDataError

Correction = Literal["adjust", "retrain"]


def check_estimator(estimator: Any, correction: Correction) -> None:
    """Raise for a classifier that the correction cannot be made with."""
    if not hasattr(estimator, "predict_proba"):
        raise ShiftDataError(
            f"{type(estimator).__name__} has no predict_proba, and the prior is learned from class "
            "probabilities: wrap it in scikit-learn's CalibratedClassifierCV."
        )
    if correction == "adjust":
        return
    if isinstance(estimator, FrozenEstimator):
        raise ShiftDataError('A FrozenEstimator cannot be retrained: use correction="adjust".')
    learner = learner_of(estimator)
    if getattr(learner, "class_weight", None) is not None:
        raise ShiftDataError(
            f"{type(learner).__name__} has class_weight={learner.class_weight!r}, which would work against the "
            'weights of retraining: set it to None, or use correction="adjust".'
        )
