"""Bring row weights to the learner, wherever in an estimator it sits."""

import numpy as np
import sklearn
from sklearn.base import clone
from sklearn.ensemble import StackingClassifier, StackingRegressor, VotingClassifier, VotingRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import has_fit_parameter

from shiftfix.exceptions import ShiftDataError

ENSEMBLES = (StackingClassifier, StackingRegressor, VotingClassifier, VotingRegressor)


def learner_of(estimator):
    """The estimator inside that is trained last: the last step of a pipeline, the estimator of a search."""
    if isinstance(estimator, Pipeline):
        return learner_of(estimator.steps[-1][1])
    if not has_fit_parameter(estimator, "sample_weight"):
        for name in ("estimator", "regressor"):
            inner = getattr(estimator, name, None)
            if hasattr(inner, "fit"):
                return learner_of(inner)
    return estimator


def weight_parameter(estimator):
    """Name of the fit argument that takes the row weights to the learner, or None.

    A Pipeline takes them for its last step, as ``step__sample_weight``; a parameter search or a
    TransformedTargetRegressor hands on the name that its inner estimator takes.
    """
    if isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        inner = weight_parameter(last)
        return None if inner is None else f"{name}__{inner}"
    if isinstance(estimator, ENSEMBLES):
        members = [member for _, member in estimator.estimators if hasattr(member, "fit")]
        takes = all(has_fit_parameter(member, "sample_weight") for member in members)
        return "sample_weight" if takes else None
    if isinstance(estimator, FrozenEstimator) or has_fit_parameter(estimator, "sample_weight"):
        return "sample_weight"
    inner = learner_of(estimator)
    if inner is estimator:
        return None
    for name in ("estimator", "regressor"):
        if hasattr(getattr(estimator, name, None), "fit"):
            return weight_parameter(getattr(estimator, name))
    return None


def fit_weighted(estimator, X, y, weights, *, fallback=None, rng=None):
    """Clone and fit an estimator with row weights.

    Parameters
    ----------
    estimator : estimator
        Not changed.
    X : array-like of shape (n_rows, n_features)
    y : array-like of shape (n_rows,)
    weights : ndarray of shape (n_rows,) or None
        None fits without weights. Rows of weight 0 are left out.
    fallback : {None, "resample"}, default=None
        What to do with a learner that takes no weights: an error, or as many rows drawn with
        replacement with probability proportional to the weights.
    rng : numpy.random.Generator, default=None
        For resampling only.

    Returns
    -------
    estimator
        The fitted clone.

    Raises
    ------
    ShiftDataError
        When the learner takes no weights and ``fallback`` is None.
    """
    estimator = clone(estimator)
    if weights is None:
        return estimator.fit(X, y)
    if (weights == 0).any():
        kept = np.flatnonzero(weights)
        X, y, weights = _safe_indexing(X, kept), _safe_indexing(y, kept), weights[kept]
    parameter = weight_parameter(estimator)
    if parameter is None:
        name = type(learner_of(estimator)).__name__
        if fallback != "resample":
            raise ShiftDataError(
                f"{name} takes no sample_weight, so the correction cannot reach it: use a learner that does, or "
                'fallback="resample" to draw rows in proportion to their weights.'
            )
        rows = rng.choice(len(weights), size=len(weights), p=weights / weights.sum())
        return estimator.fit(_safe_indexing(X, rows), _safe_indexing(y, rows))
    if sklearn.get_config()["enable_metadata_routing"]:
        learner = learner_of(estimator)
        if hasattr(learner, "set_fit_request"):
            learner.set_fit_request(sample_weight=True)
        parameter = "sample_weight"
    return estimator.fit(X, y, **{parameter: weights})
