"""Scores of both samples for the prior to be learned from, by models that did not see the rows they score.

Target rows are dealt to the fold models in turn: source and target scores then come from the same mixture of models,
as the confusion-matrix equation needs; scores of a refitted model, or averaged ones, would be sharper than those of
the source.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.frozen import FrozenEstimator
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from shiftfix._crossfit import Fold, Rows, is_fold_count, out_of_fold
from shiftfix._learner import Fallback, fit_weighted_of
from shiftfix._row_order import order_of_rows
from shiftfix._validation import check_scores
from shiftfix.exceptions import ShiftDataError
from shiftfix.risk._folds import counted_folds, new_folds


class SourceRows(NamedTuple):
    """The labelled rows, checked.

    Attributes
    ----------
    X : array-like of n_rows rows
    labels : ndarray of shape (n_rows,)
    counts : ndarray of shape (n_rows,) or None
        Repeat counts; None for ones.
    rows : ndarray of int
        Positions of the rows that count at all.
    groups : ndarray of shape (n_rows,) or None
    """

    X: Any
    labels: NDArray[Any]
    counts: NDArray[np.float64] | None
    rows: Rows
    groups: NDArray[Any] | None

    def counted(self) -> tuple[Any, NDArray[Any], NDArray[np.float64] | None]:
        """Rows that count, their labels and their repeat counts."""
        if self.counts is None:
            return self.X, self.labels, None
        return _safe_indexing(self.X, self.rows), self.labels[self.rows], self.counts[self.rows]


class Scores(NamedTuple):
    """Class probabilities of both samples.

    Attributes
    ----------
    source, target : array-like of shape (n_scored, n_classes), (n_target, n_classes)
    rows : ndarray of int, shape (n_scored,)
        Source row of each source score.
    """

    source: NDArray[Any]
    target: Any
    rows: Rows


def given_scores(scores_source: Any, scores_target: Any, rows: Rows, n_rows: int, n_classes: int) -> Scores:
    """The user's scores, of the source rows that count.

    Raises
    ------
    ShiftDataError
        For source scores that are no probabilities, or are not one row for each of X.
    """
    scores = check_scores(scores_source, "scores_source", n_classes)
    if len(scores) != n_rows:
        raise ShiftDataError(f"scores_source has {len(scores)} rows for {n_rows} of X: pass one per row.")
    return Scores(scores[rows], scores_target, rows)


def score_folds(estimator: Any, source: SourceRows, cv: Any, rng: np.random.Generator) -> list[Fold]:
    """Folds of the rows that count; for a frozen classifier one that learns nothing and scores all of them.

    Raises
    ------
    ShiftDataError
        For one class only, fewer than two folds, a class with a single row, and what ``counted_folds`` refuses.
    """
    found, n_rows = np.unique(source.labels[source.rows], return_counts=True)
    if len(found) < 2:
        raise ShiftDataError(f"y holds one class only ({found.tolist()[0]!r}): label shift needs at least two classes.")
    if isinstance(estimator, FrozenEstimator):
        return [Fold(source.rows, source.rows)]
    if not is_fold_count(cv):
        return counted_folds(cv, source.X, source.labels, source.rows, source.groups)
    if cv < 2:
        raise ShiftDataError(f"cv={cv}: at least 2 folds are needed for out-of-fold scores.")
    if n_rows.min() < 2:
        raise ShiftDataError(
            f"Of class {found.tolist()[n_rows.argmin()]!r} y has a single row: out-of-fold scores need at "
            "least 2 rows of every class. Collect more, or drop the class."
        )
    n_folds = min(cv, n_rows.min())
    return new_folds(
        n_folds, source.X, source.labels, source.counts, source.rows, source.groups, stratified=True, rng=rng
    )


def cross_fitted_scores(
    estimator: Any,
    source: SourceRows,
    classes: NDArray[Any],
    X_target: ArrayLike,
    folds: list[Fold],
    *,
    fallback: Fallback,
    rng: np.random.Generator,
) -> Scores:
    """Scores by the models of the folds.

    Parameters
    ----------
    estimator : classifier
        Cloned for every fold.
    source : SourceRows
    classes : ndarray of shape (n_classes,)
    X_target : array-like of n_target rows
    folds : list of Fold
    fallback : {None, "resample"}
    rng : numpy.random.Generator
        For ``fallback``.

    Returns
    -------
    Scores

    Raises
    ------
    ShiftDataError
        Without target rows, and for a model that does not know all the classes.
    """
    if _num_samples(X_target) == 0:
        raise ShiftDataError("X_target has no rows: pass at least one.")

    def fit(training: Rows) -> Any:
        counts = None if source.counts is None else source.counts[training]
        X, labels = _safe_indexing(source.X, training), source.labels[training]
        model = fit_weighted_of(estimator, X, labels, counts, fallback=fallback, rng=rng)
        if not np.array_equal(model.classes_, classes):
            raise ShiftDataError(
                f"A classifier knows the classes {model.classes_.tolist()}, and y holds {classes.tolist()}: "
                "use folds, or a frozen classifier, with all of them."
            )
        return model

    def score(model: Any, rows: Rows) -> NDArray[Any]:
        return model.predict_proba(_safe_indexing(source.X, rows))

    def score_target(model: Any, rows: Rows) -> NDArray[np.float64]:
        return np.asarray(model.predict_proba(_safe_indexing(X_target, rows)), dtype=np.float64)

    found = out_of_fold(folds, fit, score, score_target=score_target, target_order=order_of_rows(X_target))
    return Scores(found.scores, found.target_scores, found.rows)
