"""Several models of the same rows by different weights: what stands ahead of the learner is fitted once for all.

The transformers of a pipeline get no weights, so that those of all the models are the same, and make the same of rows.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import sklearn
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from shiftfix._learner import weight_parameter


class FoldModels(NamedTuple):
    """Models that read the same rows.

    Attributes
    ----------
    ahead : list of estimators
        Fitted transformers, in order, that all of them begin with.
    learners : list of estimators
        What takes the rows behind those, fitted.
    """

    ahead: list[Any]
    learners: list[Any]

    def rows(self, X: Any) -> Any:
        """Rows as the learners take them."""
        for transformer in self.ahead:
            X = transformer.transform(X)
        return X


def fit_each(
    estimator: Any, X: Any, y: Any, fits: Sequence[Callable[[Any, Any], Any]], *, drops_rows: bool
) -> FoldModels:
    """Models of the same rows.

    Parameters
    ----------
    estimator : estimator
        Not changed.
    X, y : array-like of n_rows rows
    fits : sequence of callable
        ``fits[k](estimator, X)`` gives the k-th fitted clone.
    drops_rows : bool
        Whether a model learns from other rows than the others, as one does with weights of zero.
    """
    shared = [] if drops_rows else _transformers_of(estimator)
    learner = estimator
    ahead = []
    for transformer in shared:
        fitted = clone(transformer)
        X = fitted.fit_transform(X, y) if hasattr(fitted, "fit_transform") else fitted.fit(X, y).transform(X)
        ahead.append(fitted)
    if shared:
        while isinstance(learner, Pipeline):
            learner = learner.steps[-1][1]
    return FoldModels(ahead, [fit(learner, X) for fit in fits])


def _transformers_of(estimator: Any) -> list[Any]:
    """What stands ahead of the learner in nested pipelines; empty where a pipeline does more than hand rows on."""
    found: list[Any] = []
    if sklearn.get_config()["enable_metadata_routing"] or weight_parameter(estimator) is None:
        return found
    while isinstance(estimator, Pipeline):
        if type(estimator) is not Pipeline or not _hands_rows_on(estimator):
            return []
        found += [step for _, step in estimator.steps[:-1] if step not in (None, "passthrough")]
        estimator = estimator.steps[-1][1]
    return found


def _hands_rows_on(pipeline: Pipeline) -> bool:
    """Whether a pipeline keeps nothing, prints nothing, and ends in a learner."""
    return (
        pipeline.memory is None
        and not pipeline.verbose
        and getattr(pipeline, "transform_input", None) is None
        and pipeline.steps[-1][1] not in (None, "passthrough")
    )
