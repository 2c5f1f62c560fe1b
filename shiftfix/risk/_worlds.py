"""What each method would say if another assumption held: targets made of source rows, in which the truth is known.

Source rows are dealt to two halves. One plays the source; from the other a target is drawn, as it would be if
nothing had moved, if the features alone had moved (rows drawn by the weights) or the class shares alone (rows drawn by
the ratio of class shares). Its labels are known, and hidden from the methods, whose errors are then seen.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import _safe_indexing

from shiftfix._crossfit import Rows, shuffled_folds
from shiftfix._numerics import Floats
from shiftfix.risk._label_risk import class_ratio
from shiftfix.risk._method import ones_of
from shiftfix.risk._problem import Problem
from shiftfix.risk._tools import Tools

NO_SHIFT, COVARIATE_SHIFT, LABEL_SHIFT = "no shift", "covariate shift", "label shift"


class World(NamedTuple):
    """A problem whose answer is known."""

    problem: Problem
    truth: float


def world_weights(problem: Problem, tools: Tools) -> dict[str, Floats]:
    """Weights of the source rows that make a target of them, for each assumption under which there are any."""
    ones = ones_of(problem)
    weights = {NO_SHIFT: ones.source, COVARIATE_SHIFT: tools.reweigh(*ones)}
    if problem.classes is not None and hasattr(tools.prior, "target_prior_"):
        weights[LABEL_SHIFT] = class_ratio(tools.prior.target_prior_, problem.y, ones.source)
    return {name: w for name, w in weights.items() if w.any()}


def _sub_problem(problem: Problem, source: Rows, target: Rows) -> Problem:
    """Some source rows as the source, and others as the target."""
    return problem._replace(
        X_source=_safe_indexing(problem.X_source, source),
        X_target=_safe_indexing(problem.X_source, target),
        y=problem.y[source],
        source=problem.source.at(source),
        target=problem.source.at(target),
        known=None,
        groups=[],
    )


def _keeps_classes(y: NDArray[Any], rows: Rows) -> bool:
    return len(np.unique(y[rows])) == len(np.unique(y))


def _world_of(problem: Problem, source: Rows, pool: Rows, weights: Floats, rng: np.random.Generator) -> World | None:
    """Source rows, and a target drawn from the pool; None where a class, or all weight, is missing."""
    metric, w = problem.metric, weights[pool]
    if not w.any() or (problem.classes is not None and not _keeps_classes(problem.y, source)):
        return None
    target = rng.choice(pool, size=problem.n_target, p=w / w.sum())
    view = metric.prepare(problem.source.at(pool), problem.y[pool], problem.n_classes)
    truth = metric.value(view, problem.labels(problem.y[pool]) * w[:, np.newaxis])
    return World(_sub_problem(problem, source, target), truth)


def draw_worlds(problem: Problem, weights: Floats, n_worlds: int, rng: np.random.Generator) -> list[World]:
    """Problems made of the source rows, by the weights with which target rows are drawn.

    Either half is the source once, so that what sets the halves apart by chance cancels in the mean of both.

    Parameters
    ----------
    problem : Problem
    weights : ndarray of shape (n_source,)
    n_worlds : int
        Ways to halve the rows.
    rng : numpy.random.Generator
    """
    worlds = []
    for _ in range(n_worlds):
        seed = int(rng.integers(2**31 - 1))
        for source, pool in shuffled_folds(2, problem.y, stratified=problem.classes is not None, seed=seed):
            worlds.append(_world_of(problem, source, pool, weights, rng))
    return [world for world in worlds if world is not None]
