"""How far to weight: the exponent of the training weights, chosen by importance-weighted cross-validation.

Training with w ** exponent trades the bias of not weighting (0) for the variance of weighting fully (1). Whichever
exponent trains, the held-out rows are judged with the full weights: their weighted mean loss estimates the target
loss, and tempered weights would favour their own exponent.
Source: Shimodaira (2000), J. Statist. Plann. Inference 90:227-244, section 8, the exponent; Sugiyama, Krauledat &
Müller (2007), JMLR 8:985-1005, section 3, the cross-validation.
"""

import warnings

import numpy as np
from sklearn.base import is_classifier
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.utils import _safe_indexing

from shiftfix._learner import fit_weighted
from shiftfix._validation import check_count
from shiftfix.exceptions import ShiftDataError
from shiftfix.risk import row_losses
from shiftfix.weights import normalize_weights, temper_weights

EXPONENTS = (0.0, 0.5, 1.0)


def tempered_weights(weights, exponent, counts):
    """Shift weights to train with: the weights themselves at exponent 1, else tempered and rescaled to mean 1."""
    return weights if exponent == 1 else normalize_weights(temper_weights(weights, exponent), sample_weight=counts)


def fit_tempered(estimator, X, y, weights, exponent, counts, *, fallback, rng):
    """Fitted clone of the estimator, by tempered weights times repeat counts; without weights at exponent 0."""
    w = None if exponent == 0 else tempered_weights(weights, exponent, counts)
    if counts is not None:
        w = counts if w is None else w * counts
    return fit_weighted(estimator, X, y, w, fallback=fallback, rng=rng)


def choose_exponent(estimator, X, y, weights, *, sample_weight=None, cv=5, fallback=None, rng=None):
    """Exponent among 0, 1/2 and 1 with the least estimated target loss.

    Parameters
    ----------
    estimator : estimator
        Fitted three times per fold.
    X, y : array-like of n_rows rows
        Source rows and their labels or values.
    weights : ndarray of shape (n_rows,)
        Finished importance weights, target / source.
    sample_weight : ndarray of shape (n_rows,), default=None
        Repeat counts of the rows.
    cv : int, default=5
        Folds, shuffled; for classifiers stratified.
    fallback : {None, "resample"}, default=None
        As in :func:`shiftfix._learner.fit_weighted`.
    rng : numpy.random.Generator
        For the folds and for ``fallback``.

    Returns
    -------
    exponent : float
        The smaller one of equals.
    losses : dict of float to (float, float)
        For each exponent sum w l / sum w over all held-out rows, and its standard error given the weights.

    Raises
    ------
    ShiftDataError
        For a ``cv`` below 2 or above the number of rows (for classifiers, of every class), for a class of which a
        fold holds all rows where there are but two, and for a learner that takes no weights.
    """
    check_count(cv, "cv", 2)
    if sample_weight is not None and (sample_weight == 0).any():
        # A row that counts zero times is no row: it must not move the folds.
        present = np.flatnonzero(sample_weight)
        X, y = _safe_indexing(X, present), _safe_indexing(y, present)
        weights, sample_weight = weights[present], sample_weight[present]
    n_rows = len(weights)
    if n_rows < cv:
        raise ShiftDataError(f"cv={cv} folds of {n_rows} source rows: pass a smaller cv, or a number for exponent.")
    if is_classifier(estimator):
        classes, sizes = np.unique(np.asarray(y), return_counts=True)
        if sizes.max() < cv or (classes.size == 2 and sizes.min() == 1):
            raise ShiftDataError(
                f"cv={cv} folds, and of {classes.size} classes the largest has {sizes.max()} source rows, the "
                f"smallest {sizes.min()}: some fold would lack a class to train on. Pass a smaller cv, or a number "
                "for exponent."
            )
    splitter = StratifiedKFold if is_classifier(estimator) else KFold
    folds = splitter(cv, shuffle=True, random_state=int(rng.integers(2**31 - 1)))
    losses = np.zeros((len(EXPONENTS), n_rows))
    with warnings.catch_warnings():
        # A class with fewer rows than folds is absent from some of them, and row_losses allows for that.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        pairs = list(folds.split(np.zeros(n_rows), np.asarray(y)))
    for training, held_out in pairs:
        X_training, y_training = _safe_indexing(X, training), _safe_indexing(y, training)
        X_held_out, y_held_out = _safe_indexing(X, held_out), _safe_indexing(y, held_out)
        counts = None if sample_weight is None else sample_weight[training]
        for place, exponent in enumerate(EXPONENTS):
            model = fit_tempered(
                estimator, X_training, y_training, weights[training], exponent, counts, fallback=fallback, rng=rng
            )
            losses[place, held_out] = row_losses(model, X_held_out, y_held_out)
    counts = np.ones(n_rows) if sample_weight is None else sample_weight
    total = weights @ counts
    means = losses @ (weights * counts) / total
    # A row counted c times is c rows of the same loss.
    errors = np.sqrt((losses - means[:, np.newaxis]) ** 2 @ (weights**2 * counts)) / total
    found = {exponent: (float(m), float(e)) for exponent, m, e in zip(EXPONENTS, means, errors, strict=True)}
    return EXPONENTS[int(np.argmin(means))], found
