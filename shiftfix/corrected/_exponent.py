"""How far to weight: the exponent of the training weights, chosen by importance-weighted cross-validation.

Training with w ** exponent trades the bias of not weighting (0) for the variance of weighting fully (1). Whichever
exponent trains, the held-out rows are judged with the full weights: their weighted mean loss estimates the target
loss, and tempered weights would favour their own exponent.
Source: Shimodaira (2000), J. Statist. Plann. Inference 90:227-244, section 8, the exponent; Sugiyama, Krauledat &
Müller (2007), JMLR 8:985-1005, section 3, the cross-validation.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import is_classifier
from sklearn.utils import _safe_indexing

from shiftfix._crossfit import Fold, OutOfFold, Rows, is_fold_count, out_of_fold
from shiftfix._learner import Fallback, fit_weighted_of
from shiftfix._setting_checks import check_count
from shiftfix.corrected._folds import counted_folds, new_folds
from shiftfix.exceptions import ShiftDataError
from shiftfix.risk import row_losses
from shiftfix.weights import normalize_weights_of

EXPONENTS = (0.0, 0.5, 1.0)
Losses = dict[float, tuple[float, float]]


def tempered_weights(
    weights: NDArray[np.float64], exponent: float, counts: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Shift weights to train with: the weights themselves at exponent 1, else tempered and rescaled to mean 1."""
    if exponent == 1:
        return weights
    return normalize_weights_of(weights**exponent, np.ones(len(weights)) if counts is None else counts)


def fit_tempered(
    estimator: Any,
    X: ArrayLike,
    y: ArrayLike,
    weights: NDArray[np.float64],
    exponent: float,
    counts: NDArray[np.float64] | None,
    *,
    fallback: Fallback,
    rng: np.random.Generator,
) -> Any:
    """Fitted clone of the estimator, by tempered weights times repeat counts; without weights at exponent 0."""
    w = None if exponent == 0 else tempered_weights(weights, exponent, counts)
    if counts is not None:
        w = counts if w is None else w * counts
    return fit_weighted_of(estimator, X, y, w, fallback=fallback, rng=rng)


def _check_fold_count(cv: Any, y: NDArray[Any], stratified: bool) -> None:
    """Raise unless that many folds of these labels or values leave every fold something to learn and to judge."""
    check_count(cv, "cv", 2)
    if len(y) < cv:
        raise ShiftDataError(f"cv={cv} folds of {len(y)} source rows: pass a smaller cv, or a number for exponent.")
    if not stratified:
        return
    classes, sizes = np.unique(y, return_counts=True)
    if sizes.max() < cv or (classes.size == 2 and sizes.min() == 1):
        raise ShiftDataError(
            f"cv={cv} folds, and of {classes.size} classes the largest has {sizes.max()} source rows, the "
            f"smallest {sizes.min()}: some fold would lack a class to train on. Pass a smaller cv, or a number "
            "for exponent."
        )


def _folds(
    estimator: Any,
    X: ArrayLike,
    y: ArrayLike,
    counts: NDArray[np.float64] | None,
    rows: Rows,
    cv: Any,
    groups: NDArray[Any] | None,
    rng: Any,
) -> list[Fold]:
    """Folds of the rows that count."""
    if not is_fold_count(cv):
        return counted_folds(cv, X, y, rows, groups)
    labels, stratified = np.asarray(y), is_classifier(estimator)
    _check_fold_count(cv, labels[rows], stratified)
    return new_folds(cv, X, labels, counts, rows, groups, stratified=stratified, rng=rng)


def _losses_by_exponent(
    estimator: Any,
    X: ArrayLike,
    y: ArrayLike,
    weights: NDArray[np.float64],
    counts: NDArray[np.float64] | None,
    folds: list[Fold],
    *,
    fallback: Fallback,
    rng: np.random.Generator,
) -> OutOfFold:
    """Loss of each held-out row at each exponent; scores of shape (n_scored, n_exponents)."""

    def fit(training: Rows) -> list[Any]:
        X_training, y_training = _safe_indexing(X, training), _safe_indexing(y, training)
        repeats = None if counts is None else counts[training]
        return [
            fit_tempered(
                estimator, X_training, y_training, weights[training], exponent, repeats, fallback=fallback, rng=rng
            )
            for exponent in EXPONENTS
        ]

    def score(models: list[Any], held_out: Rows) -> NDArray[np.float64]:
        X_held_out, y_held_out = _safe_indexing(X, held_out), _safe_indexing(y, held_out)
        return np.column_stack([row_losses(model, X_held_out, y_held_out) for model in models])

    return out_of_fold(folds, fit, score)


def choose_exponent(
    estimator: Any,
    X: ArrayLike,
    y: ArrayLike,
    weights: NDArray[np.float64],
    *,
    rng: np.random.Generator,
    sample_weight: NDArray[np.float64] | None = None,
    cv: Any = 5,
    groups: NDArray[Any] | None = None,
    fallback: Fallback = None,
) -> tuple[float, Losses]:
    """Exponent among 0, 1/2 and 1 with the least estimated target loss.

    Parameters
    ----------
    estimator : estimator
        Fitted three times per fold.
    X, y : array-like of n_rows rows
        Source rows and their labels or values.
    weights : ndarray of shape (n_rows,)
        Finished importance weights, target / source.
    rng : numpy.random.Generator
        For the folds and for ``fallback``.
    sample_weight : ndarray of shape (n_rows,), default=None
        Repeat counts of the rows. A row that counts zero times is no row: it does not move the folds.
    cv : int, splitter or iterable, default=5
        Folds; an int means shuffled ones, for classifiers stratified. Of a row held out several times the mean loss
        counts, a row never held out does not count.
    groups : ndarray of shape (n_rows,), default=None
        Rows of one group stay in one fold.
    fallback : {None, "resample"}, default=None
        As in :func:`shiftfix.corrected.fit_weighted`.

    Returns
    -------
    exponent : float
        The smaller one of equals.
    losses : dict of float to (float, float)
        For each exponent sum w l / sum w over all held-out rows, and its standard error given the weights.

    Raises
    ------
    ShiftDataError
        For a number of folds below 2 or above the number of rows (for classifiers, of every class), for a class of
        which a fold holds all rows where there are but two, for folds that judge rows they learn from, and for a
        learner that takes no weights.
    """
    rows = np.arange(len(weights)) if sample_weight is None else np.flatnonzero(sample_weight)
    folds = _folds(estimator, X, y, sample_weight, rows, cv, groups, rng)
    held_out = _losses_by_exponent(estimator, X, y, weights, sample_weight, folds, fallback=fallback, rng=rng)
    judged = np.unique(held_out.rows)
    # A row of memory for each exponent: how numbers lie there decides how their sums round.
    losses = np.ascontiguousarray(held_out.by_row(len(weights))[judged].T)
    counts = np.ones(len(judged)) if sample_weight is None else sample_weight[judged]
    w = weights[judged]
    total = w @ counts
    means = losses @ (w * counts) / total
    # A row counted c times is c rows of the same loss.
    errors = np.sqrt((losses - means[:, np.newaxis]) ** 2 @ (w**2 * counts)) / total
    found = {exponent: (float(m), float(e)) for exponent, m, e in zip(EXPONENTS, means, errors, strict=True)}
    return EXPONENTS[int(np.argmin(means))], found
