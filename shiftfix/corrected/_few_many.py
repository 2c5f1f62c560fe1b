"""With many target labels the estimator learns from them too, and processes from as many as their tables can hold.

Processes take m^3 for m labels, so beyond a number they learn from labels drawn by what their rows hold; what they say
of the other labels is then what they say of rows they did not see. The estimator itself, trained on all target labels,
becomes one more expert, judged out of fold: nobody who labels much is served worse than by those labels alone.

Source: Wolpert (1992), Neural Networks 5(2):241-259 (stacking of out-of-fold predictions).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.frozen import FrozenEstimator
from sklearn.utils import _safe_indexing

from shiftfix._crossfit import out_of_fold
from shiftfix._learner import fit_weighted_of
from shiftfix._row_order import Rows, order_of_rows
from shiftfix.risk import new_folds

TRAINED = "trained"
# Covariances of all labels that one correction may hold: of 724 labels and two classes, 228 and ten.
MOST_ENTRIES = 2**19
# Labels that experts are judged on, at most: from here on their shares move by less than a hundredth.
MOST_JUDGED = 5_000
# From here on an estimator may learn from the target labels alone; with 300 it was chosen by chance at times.
LABELS_TO_TRAIN = 500
TRAINING_FOLDS = 3
# What a learner raises that cannot do with these labels, or with what their rows hold.
REFUSALS = (ValueError, TypeError, LookupError, ArithmeticError)


class DrawnLabels(NamedTuple):
    """Positions among the target labels.

    Attributes
    ----------
    judged : ndarray of int
        Those that all experts are judged on.
    n_learned : int
        The first so many are those that processes learn from.
    """

    judged: Rows
    n_learned: int

    @property
    def learned(self) -> Rows:
        """Those that processes learn from."""
        return self.judged[: self.n_learned]

    @property
    def others(self) -> Rows:
        """Those judged only."""
        return self.judged[self.n_learned :]


def draw_labels(X: Any, y: NDArray[Any], n_processes: int, rng: np.random.Generator) -> DrawnLabels:
    """All labels, or those drawn where they are more than a process can hold.

    Parameters
    ----------
    X : array-like of n_labels rows
        The labelled rows: the draw is by what they hold, and not by their order.
    y : ndarray of shape (n_labels,)
    n_processes : int
        Gaussian processes of one correction.
    rng : numpy.random.Generator
        Nothing is drawn from it for a few labels.

    Returns
    -------
    DrawnLabels
    """
    most = int((MOST_ENTRIES / n_processes) ** 0.5)
    if len(y) <= most:
        return DrawnLabels(np.arange(len(y)), len(y))
    drawn = order_of_rows(X, y)[rng.permutation(len(y))]
    return DrawnLabels(drawn[:MOST_JUDGED], most)


class TrainedOnTarget(NamedTuple):
    """The estimator trained on the target labels alone.

    Attributes
    ----------
    model : estimator
    scores : ndarray of n_labels rows
        What models of other labels say of each labelled row.
    """

    model: Any
    scores: NDArray[Any]


class TargetTraining(NamedTuple):
    """What the estimator learns from.

    Attributes
    ----------
    estimator : estimator
        Cloned.
    X : array-like of n_labels rows
    y : ndarray of shape (n_labels,)
    X_target : array-like of n_target rows
        It must be able to answer for all of them, which categories that no label has may prevent.
    rng : numpy.random.Generator
    """

    estimator: Any
    X: Any
    y: NDArray[Any]
    X_target: Any
    rng: np.random.Generator

    def fit(self, rows: Rows) -> Any:
        """The estimator trained on some of the labels."""
        return fit_weighted_of(self.estimator, _safe_indexing(self.X, rows), self.y[rows], None)


def can_train(training: TargetTraining, n_alike: int) -> bool:
    """Whether the estimator may learn from the target labels alone; a frozen one learns nothing.

    Parameters
    ----------
    training : TargetTraining
    n_alike : int
        Labels of the second most frequent class, where there are classes: there must be two to tell apart.
    """
    frozen = isinstance(training.estimator, FrozenEstimator)
    return not frozen and len(training.y) >= LABELS_TO_TRAIN and n_alike >= TRAINING_FOLDS


def train_on_target(
    training: TargetTraining, score: Callable[[Any, Any], NDArray[Any]], *, stratified: bool
) -> TrainedOnTarget | str:
    """Train the estimator on the target labels, or say why it cannot be.

    Parameters
    ----------
    training : TargetTraining
    score : callable
        ``score(model, X)``, one entry per row.
    stratified : bool

    Returns
    -------
    TrainedOnTarget or str
    """
    X, y, everything = training.X, training.y, np.arange(len(training.y))
    try:
        folds = new_folds(TRAINING_FOLDS, X, y, None, everything, None, stratified=stratified, rng=training.rng)
        found = out_of_fold(folds, training.fit, lambda model, rows: score(model, _safe_indexing(X, rows)))
        model = training.fit(everything)
        score(model, training.X_target)
    except REFUSALS as refusal:
        reason = str(refusal).partition("\n")[0]
        return f"the estimator cannot learn from the target labels alone ({reason})"
    return TrainedOnTarget(model, found.by_row(len(y)))


def notes_of_draw(n_labels: int, drawn: DrawnLabels) -> list[str]:
    """What is to be told of labels that processes did not learn from."""
    if drawn.n_learned == n_labels:
        return []
    return [f"corrections learned from {drawn.n_learned} of {n_labels} labels, drawn at random"]
