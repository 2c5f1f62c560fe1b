"""One source, one target and one learner, with what several methods need computed once."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import KFold, StratifiedKFold

from shiftfix.label import ScoreCalibrator
from tests.benchmarks.natural.controls import deal
from tests.benchmarks.natural.learners import CLASSIFIERS, REGRESSORS
from tests.benchmarks.natural.splits import CLASSIFICATION, MOST_ROWS, draw

FOLDS = 5
# Fewer source rows of a class are no class to learn.
FEWEST_OF_A_CLASS = 10
# Log losses are cut here: at 13.8 nats.
LEAST_PROBABILITY = 1e-6


class TooFewRowsError(Exception):
    """A control left too few rows of a class in the source."""


def out_of_fold(estimator, X, y, seed, classify):
    """Class probabilities, or values, of each row by a model that did not see it."""
    kind = StratifiedKFold if classify else KFold
    parts = [
        (held_out, predict(clone(estimator).fit(X[rows], y[rows]), X[held_out], classify))
        for rows, held_out in kind(FOLDS, shuffle=True, random_state=seed).split(X, y)
    ]
    scores = np.empty((len(X), *parts[0][1].shape[1:]))
    for held_out, values in parts:
        scores[held_out] = values
    return scores


def predict(model, X, classify):
    return model.predict_proba(X) if classify else model.predict(X)


def shares(y, n_classes):
    return np.bincount(y, minlength=n_classes) / len(y)


@dataclass
class Problem:
    """Source rows with labels, target rows whose labels are for judging, and a learner.

    Labels are class codes from 0 on, all of them in the source, or values (``classify`` is False).
    """

    X_source: Any
    y_source: Any
    X_target: Any
    y_target: Any
    learner: str
    seed: int
    classify: bool = True

    @property
    def n_classes(self):
        return self.y_source.max() + 1

    def estimator(self):
        """A new learner."""
        return (CLASSIFIERS if self.classify else REGRESSORS)[self.learner](self.seed)

    @cached_property
    def model(self):
        return self.estimator().fit(self.X_source, self.y_source)

    @cached_property
    def source_scores(self):
        """Out of fold."""
        return out_of_fold(self.estimator(), self.X_source, self.y_source, self.seed, self.classify)

    @cached_property
    def target_scores(self):
        return predict(self.model, self.X_target, self.classify)

    @cached_property
    def temperature(self):
        return ScoreCalibrator("temperature").fit(self.source_scores, self.y_source)

    @cached_property
    def calibrated(self):
        """Target scores at the temperature of the source's out-of-fold scores."""
        return self.temperature.transform(self.target_scores)

    @property
    def implied_prior(self):
        """Mean calibrated score of the source: what posteriors are divided by."""
        return self.temperature.transform(self.source_scores).mean(axis=0)

    @property
    def target_prior(self):
        return shares(self.y_target, self.n_classes)

    def losses(self, predictions, rows=slice(None)):
        """What is judged, as a dict: accuracy and log loss in nats, or the root mean squared error."""
        y = self.y_target[rows]
        if not self.classify:
            return {"rmse": float(np.sqrt(np.mean((y - predictions[rows]) ** 2)))}
        scores = predictions[rows]
        true = np.maximum(scores[np.arange(len(y)), y], LEAST_PROBABILITY)
        return {"accuracy": float((scores.argmax(axis=1) == y).mean()), "log_loss": float(-np.log(true).mean())}


class Pool:
    """The rows of a split, from which the natural problem and its controls are made."""

    def __init__(self, split, learner, seed, most_rows=MOST_ROWS):
        self.learner, self.seed, self.most_rows = learner, seed, most_rows
        self.classify = split in CLASSIFICATION
        self.rows = draw(split, seed, most_rows)

    @cached_property
    def scores(self):
        """Out-of-fold scores of the learner on all rows; log probabilities, or values, as columns."""
        estimator = (CLASSIFIERS if self.classify else REGRESSORS)[self.learner](self.seed)
        scores = out_of_fold(estimator, self.rows.X, self.rows.y, self.seed, self.classify)
        return np.log(np.maximum(scores, LEAST_PROBABILITY)) if self.classify else scores[:, np.newaxis]

    def _some(self, chosen):
        """At most as many of the chosen rows as a side may have, at random."""
        return np.random.default_rng(self.seed).permutation(np.flatnonzero(chosen))[: self.most_rows]

    def problem(self, control="natural"):
        """The natural problem, or a control's.

        Raises
        ------
        TooFewRowsError
        """
        X, y = self.rows.X, self.rows.y
        in_target = self.rows.in_target if control == "natural" else deal(control, X, y, self.scores, self.seed)
        source, target = (self._some(in_target == side) for side in (False, True))
        if self.classify and np.bincount(y[source], minlength=y.max() + 1).min() < FEWEST_OF_A_CLASS:
            raise TooFewRowsError(f"{control}: fewer than {FEWEST_OF_A_CLASS} source rows of a class")
        return Problem(X[source], y[source], X[target], y[target], self.learner, self.seed, self.classify)
