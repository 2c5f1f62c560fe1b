"""Bring row weights to the learner, wherever in an estimator it sits."""

from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Any, Literal

import numpy as np
import sklearn
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import StackingClassifier, StackingRegressor, VotingClassifier, VotingRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples, has_fit_parameter

from shiftfix._door import public
from shiftfix._row_order import order_of_rows
from shiftfix._setting_checks import check_generator, check_methods, check_option
from shiftfix._validation import check_rows, check_weights
from shiftfix.exceptions import ShiftDataError

Fallback = Literal["resample"] | None

ENSEMBLES = (StackingClassifier, StackingRegressor, VotingClassifier, VotingRegressor)
# Estimators whose fit hands its keyword arguments on, and the name of the one inside.
FORWARDERS = {
    BaseSearchCV: "estimator",
    FixedThresholdClassifier: "estimator",
    TunedThresholdClassifierCV: "estimator",
    TransformedTargetRegressor: "regressor",
}


def _forwarded(estimator: Any) -> Any:
    """The estimator inside one that hands its fit arguments on, or None."""
    for kind, name in FORWARDERS.items():
        if isinstance(estimator, kind):
            inner = getattr(estimator, name)
            return LinearRegression() if inner is None else inner  # what TransformedTargetRegressor fits for None
    return None


def learner_of(estimator: Any) -> Any:
    """The estimator inside that is trained last: the last step of a pipeline, the estimator of a search."""
    inner = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else _forwarded(estimator)
    return estimator if inner is None else learner_of(inner)


def weight_parameter(estimator: Any) -> str | None:
    """Name of the fit argument that takes the row weights to the learner, or None.

    A Pipeline takes them for its last step, as ``step__sample_weight``; a parameter search or a
    TransformedTargetRegressor hands on the name that its inner estimator takes.
    """
    if isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        inner = weight_parameter(last)
        return None if inner is None else f"{name}__{inner}"
    forwarded = _forwarded(estimator)
    if forwarded is not None:
        return weight_parameter(forwarded)
    if isinstance(estimator, FrozenEstimator):
        return "sample_weight"
    takes_weights = all(has_fit_parameter(taker, "sample_weight") for taker in _takers(estimator))
    return "sample_weight" if takes_weights else None


def _takers(estimator: Any) -> list[Any]:
    """The estimators that must take weights for this one to use them."""
    if isinstance(estimator, ENSEMBLES):
        members = [member for _, member in estimator.estimators if hasattr(member, "fit")]
        final = getattr(estimator, "final_estimator", None)
        return members if final is None else [*members, final]
    if isinstance(estimator, CalibratedClassifierCV):
        # It takes weights in any case, and drops them with a warning when its estimator takes none.
        return [] if estimator.estimator is None else [estimator.estimator]
    return [estimator]


def _request_weights(estimator: Any) -> None:
    """For scikit-learn's metadata routing: learners ask for the weights, everything else does without."""
    components = [estimator, *estimator.get_params(deep=True).values()]
    for component in components:
        if hasattr(component, "fit") and hasattr(component, "get_metadata_routing"):
            _request_of(component)


def _request_of(component: Any) -> None:
    learns = is_classifier(component) or is_regressor(component)
    if has_fit_parameter(component, "sample_weight") and hasattr(component, "set_fit_request"):
        component.set_fit_request(sample_weight=learns)
    if hasattr(component, "set_score_request") and "sample_weight" in signature(component.score).parameters:
        component.set_score_request(sample_weight=learns)


@public
def fit_weighted(
    estimator: Any,
    X: ArrayLike,
    y: ArrayLike,
    weights: ArrayLike | None,
    *,
    fallback: Fallback = None,
    rng: np.random.Generator | None = None,
) -> Any:
    """Clone and fit an estimator with row weights.

    Parameters
    ----------
    estimator : estimator
        Not changed.
    X : array-like of shape (n_rows, n_features)
    y : array-like of shape (n_rows,)
    weights : array-like of shape (n_rows,) or None
        Non-negative. None fits without weights. Rows of weight 0 are left out.
    fallback : {None, "resample"}, default=None
        What to do with a learner that takes no weights: an error, or as many rows drawn with
        replacement with probability proportional to the weights.
    rng : numpy.random.Generator, default=None
        For resampling only; None means fresh entropy.

    Returns
    -------
    estimator
        The fitted clone.

    Raises
    ------
    ShiftDataError
        When the learner takes no weights and ``fallback`` is None, and for weights that are negative, all zero or not
        one per row.

    See Also
    --------
    CovariateShiftClassifier : Trains a classifier on weighted source rows.
    shiftfix.covariate.LogisticWeighter : Odds of a logistic source-versus-target classifier; the default.
    """
    check_methods(estimator, "estimator", ["fit", "get_params"], "an estimator of scikit-learn's kind")
    check_option(fallback, "fallback", [None, "resample"])
    check_generator(rng)
    for values, name in ((X, "X"), (y, "y")):
        check_rows(values, name)
    weights = None if weights is None else check_weights(weights, "weights", _num_samples(X))
    return fit_weighted_of(estimator, X, y, weights, fallback=fallback, rng=rng)


def fit_weighted_of(
    estimator: Any,
    X: Any,
    y: Any,
    weights: NDArray[np.float64] | None,
    *,
    fallback: Fallback = None,
    rng: np.random.Generator | None = None,
) -> Any:
    """As :func:`fit_weighted`, of checked arguments."""
    estimator = clone(estimator)
    if weights is None:
        return estimator.fit(X, y)
    if weights.max() > np.finfo(np.float64).max / len(weights):
        raise ShiftDataError(
            f"weights holds {weights.max():.3g}, and a learner adds them up: pass weights / weights.max(), which have "
            "the same ratios."
        )
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
        order = order_of_rows(X, np.asarray(y), weights)
        chance = weights[order] / weights.sum()
        rows = order[check_generator(rng).choice(len(weights), size=len(weights), p=chance)]
        return estimator.fit(_safe_indexing(X, rows), _safe_indexing(y, rows))
    if sklearn.get_config()["enable_metadata_routing"]:
        _request_weights(estimator)
        parameter = "sample_weight"
    return estimator.fit(X, y, **{parameter: weights})


@contextmanager
def unchanged_on_error(estimator: object) -> Iterator[None]:
    """Put an estimator's attributes back, fitted or not, when the block fails or is interrupted: half of a new fit
    beside half of an old one predicts.

    A block is the whole of a public ``fit`` or ``update``, its warnings included, which a filter may turn into errors.
    """
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        estimator.__dict__ = before  # in one step: a second interruption finds all of it, or nothing done
        raise
