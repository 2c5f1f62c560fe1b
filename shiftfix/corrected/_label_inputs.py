"""What a label-shift correction is made from: the estimator, both samples and the prior, checked and fitted."""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.frozen import FrozenEstimator
from sklearn.utils import column_or_1d, indexable
from sklearn.utils.multiclass import check_classification_targets

from shiftfix._crossfit import check_groups
from shiftfix._learner import learner_of
from shiftfix._validation import check_labels, check_repeat_counts, check_rows, check_same_columns, column_names
from shiftfix._values import as_array
from shiftfix._verdict import Verdict, caller_warns
from shiftfix.corrected._scores import Scores, SourceRows
from shiftfix.exceptions import NotIdentifiedError, ShiftDataError

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


def check_source(X: Any, y: Any, sample_weight: ArrayLike | None, groups: ArrayLike | None) -> SourceRows:
    """The labelled rows, checked as far as the classifier does not check them itself."""
    X = check_rows(X, "X")
    labels = check_labels(y if y is None else column_or_1d(as_array(y, "y"), warn=True), "y")
    check_classification_targets(labels)
    X, labels = indexable(X, labels)
    counts = None if sample_weight is None else check_repeat_counts(sample_weight, len(labels))
    rows = np.arange(len(labels)) if counts is None else np.flatnonzero(counts)
    return SourceRows(X, labels, counts, rows, check_groups(groups, len(labels)))


def check_target(X: Any, X_target: Any) -> Any:
    """The target rows, with the columns of the source rows."""
    X_target = indexable(check_rows(X_target, "X_target"))[0]
    if len(np.shape(X)) == len(np.shape(X_target)) == 2:
        check_same_columns(column_names(X), X_target, "X", "X_target", np.shape(X)[1])
    return X_target


def fit_prior(
    prior: Any, source: SourceRows, scores: Scores, classes: NDArray[Any], *, raise_as_found: bool
) -> tuple[Any, Verdict]:
    """Fit a prior estimator; returns it with the verdict on it, which is yet to be told.

    Parameters
    ----------
    prior : prior estimator
        Changed by the fit.
    source : SourceRows
    scores : Scores
    classes : ndarray of shape (n_classes,)
    raise_as_found : bool
        Whether the NotIdentifiedError of classes that cannot be told apart, which names them, goes to the caller; else
        it becomes the verdict.

    Returns
    -------
    prior : prior estimator
    verdict : Verdict
    """
    counts = None if source.counts is None else source.counts[scores.rows]
    try:
        with caller_warns():
            prior.fit(
                scores.source, source.labels[scores.rows], scores.target, classes=classes, sample_weight_source=counts
            )
    except NotIdentifiedError as error:
        if raise_as_found:
            raise
        prior.verdict_ = Verdict("abstain", [str(error).rstrip(".")])
        prior.identified_, prior.shrunk_, prior.reason_ = False, False, prior.verdict_.reasons[0]
    return prior, prior.verdict_
