"""What a model's loss is expected to be at a row: a regression of the source's losses, out of fold.

Its columns are the features, their squares, what the model says, and the loss that its own probabilities expect, all
standardised and cut at five standard deviations. Cross-fitted as in Chernozhukov et al. (2018), definition 3.1: a row
is judged by a regression that has not seen it, a target row by the mean of all of them.
"""

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import RidgeCV

from shiftfix._crossfit import shuffled_folds
from shiftfix._numerics import Floats
from shiftfix.covariate import are_numbers
from shiftfix.risk._metrics import Outputs
from shiftfix.risk._problem import N_FOLDS, Problem

REACH = 5.0
# Rows for each column, so that the regression is no noise.
ROWS_PER_COLUMN = 10
PENALTIES = (1.0, 10.0, 100.0, 1000.0)


class ExpectedLosses(NamedTuple):
    """Expected losses of the rows of both samples, and those of the source as they came out.

    Attributes
    ----------
    source : ndarray of shape (n_source,)
    target : ndarray of shape (n_target,)
    losses : ndarray of shape (n_source,)
    """

    source: Floats
    target: Floats
    losses: Floats


def own_expectation(problem: Problem, outputs: Outputs) -> Floats:
    """The loss that the model's own probabilities expect, shape (n_rows, 1); of others what it predicts."""
    if outputs.proba is None:
        return np.empty((len(outputs.predicted), 0)) if problem.classes is not None else outputs.predicted[:, None]
    table = problem.metric.prepare(outputs, None, problem.n_classes)
    return (table * outputs.proba).sum(axis=1, keepdims=True)


def said_columns(problem: Problem, outputs: Outputs) -> Floats:
    """What the model says, as columns: the expected loss, and one column for each class or the value."""
    own = own_expectation(problem, outputs)
    if problem.classes is None:
        return own
    said = np.eye(problem.n_classes)[outputs.predicted] if outputs.proba is None else outputs.proba
    return np.hstack([own, said[:, 1:]])


def _feature_columns(problem: Problem, n_said: int) -> list[Floats]:
    """Features of both samples where they are numbers and few enough for the rows."""
    samples = [problem.X_source, problem.X_target]
    if not all(are_numbers(X) and not hasattr(X, "tocsr") for X in samples):
        return [np.empty((n, 0)) for n in (problem.n_source, problem.n_target)]
    tables = [np.asarray(X, dtype=np.float64).reshape(len(X), -1) for X in samples]
    room = problem.n_source // ROWS_PER_COLUMN - 2 * n_said
    return tables if tables[0].shape[1] * 2 <= room else [table[:, :0] for table in tables]


def _design(problem: Problem) -> tuple[Floats, Floats]:
    """Columns of both samples: standardised by the source, cut, and squared."""
    said = [said_columns(problem, outputs) for outputs in (problem.source, problem.target)]
    features = _feature_columns(problem, said[0].shape[1])
    here, there = (np.hstack(pair) for pair in zip(said, features, strict=True))
    if not here.shape[1]:
        return np.ones((len(here), 1)), np.ones((len(there), 1))
    mean, spread = here.mean(axis=0), here.std(axis=0)
    unit = np.where(spread > 0, spread, np.inf)
    z = [np.clip((table - mean) / unit, -REACH, REACH) for table in (here, there)]
    return np.hstack([z[0], np.square(z[0])]), np.hstack([z[1], np.square(z[1])])


def expected_losses(problem: Problem, loss_model: Any, rng: np.random.Generator) -> ExpectedLosses:
    """Expected losses of both samples, for a metric that is a mean.

    Parameters
    ----------
    problem : Problem
    loss_model : regressor or None
        Cloned for every fold; None means a ridge regression whose penalty is chosen by leave-one-out.
    rng : numpy.random.Generator
        Deals the rows to the folds.
    """
    losses = problem.losses(problem.source, problem.y)
    n_folds = min(N_FOLDS, problem.n_source)
    if n_folds < 2:
        return ExpectedLosses(losses, np.full(problem.n_target, losses.mean()), losses)
    here, there = _design(problem)
    base = RidgeCV(PENALTIES) if loss_model is None else loss_model
    source, target = np.empty(problem.n_source), np.zeros(problem.n_target)
    for fold in shuffled_folds(n_folds, losses, stratified=False, seed=int(rng.integers(2**31 - 1))):
        fitted = clone(base).fit(here[fold.training], losses[fold.training])
        source[fold.held_out] = fitted.predict(here[fold.held_out])
        target += np.asarray(fitted.predict(there)) / n_folds
    # No loss is expected that was never seen: far from the source a regression says anything.
    least, most = losses.min(), losses.max()
    return ExpectedLosses(np.clip(source, least, most), np.clip(target, least, most), losses)
