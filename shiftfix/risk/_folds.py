"""Folds of source rows, among those that count.

A row with repeat count 0 is no row: it neither moves the folds nor is learned from or judged. A splitter or a list of
folds of the user speaks of all rows, and what it says of the others is left out.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import _safe_indexing

from shiftfix._crossfit import Fold, Rows, given_folds, shuffled_folds
from shiftfix._row_order import order_of_rows
from shiftfix.exceptions import ShiftDataError


def counted_folds(cv: Any, X: Any, y: ArrayLike, rows: Rows, groups: NDArray[Any] | None) -> list[Fold]:
    """Folds of the user's splitter or list, as far as their rows count.

    Parameters
    ----------
    cv : splitter or iterable
        As :func:`shiftfix._crossfit.given_folds`; of all rows.
    X, y : array-like of n_rows rows
    rows : ndarray of int
        Positions of the rows that count, in increasing order.
    groups : ndarray of shape (n_rows,) or None

    Returns
    -------
    list of Fold
        Positions in increasing order.

    Raises
    ------
    ShiftDataError
        As there, and for a fold without rows that count on either side.
    """
    folds = []
    for number, fold in enumerate(given_folds(cv, X, y, groups=groups)):
        kept = Fold(*(np.intersect1d(side, rows) for side in fold))
        if not (kept.training.size and kept.held_out.size):
            raise ShiftDataError(
                f"Of the rows that count, fold {number} of cv has {kept.training.size} to learn from and "
                f"{kept.held_out.size} held out: both need some."
            )
        folds.append(kept)
    return folds


def new_folds(
    n_folds: int,
    X: Any,
    y: NDArray[Any],
    counts: NDArray[np.float64] | None,
    rows: Rows,
    groups: NDArray[Any] | None,
    *,
    stratified: bool,
    rng: np.random.Generator,
) -> list[Fold]:
    """Shuffled folds of the rows that count, by what they hold and not by their order; groups stay in one fold.

    Parameters
    ----------
    n_folds : int
    X : array-like of n_rows rows
    y : ndarray of shape (n_rows,) or (n_rows, n_outputs)
    counts : ndarray of shape (n_rows,) or None
        Repeat counts.
    rows : ndarray of int
        Positions of the rows that count.
    groups : ndarray of shape (n_rows,) or None
    stratified : bool
    rng : numpy.random.Generator
        One seed is drawn from it.

    Returns
    -------
    list of Fold
        Positions among all rows, in increasing order.
    """
    seed = int(rng.integers(2**31 - 1))
    known = [of_rows[rows] for of_rows in (y, groups) if of_rows is not None]
    here = X if len(rows) == len(y) else _safe_indexing(X, rows)
    rows = rows[order_of_rows(here, *known, counts=None if counts is None else counts[rows])]
    kept = None if groups is None else groups[rows]
    folds = shuffled_folds(n_folds, y[rows], stratified=stratified, seed=seed, groups=kept)
    return [Fold(np.sort(rows[fold.training]), np.sort(rows[fold.held_out])) for fold in folds]
