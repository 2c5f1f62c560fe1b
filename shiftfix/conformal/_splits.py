"""Which source rows train, and which calibrate: by what the rows hold, not by their order.

Rows held out once, or folds that each hold out their own; every class or group gives its share. A mask drawn by the
seed alone would hold out the same ranks of every sample: the few that decide a threshold far out, or none of them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftfix._crossfit import Fold, shuffled_folds
from shiftfix._numerics import Floats
from shiftfix._row_order import Rows, generator_of_sample, order_of_rows
from shiftfix.exceptions import ShiftDataError


def evenly_spread(n_rows: int, share: float) -> NDArray[np.bool_]:
    """Which of n_rows in a row are taken, the same share of every stretch and never the first; shape (n_rows,)."""
    steps = np.floor(np.arange(n_rows + 1) * share + 1e-9)
    return np.diff(steps) > 0


def held_out_mask(strata: Rows, share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which rows are held out: of every stratum the share, at random, and at least one row left; shape (n_rows,)."""
    shuffled = rng.permutation(len(strata))
    by_stratum = shuffled[np.argsort(strata[shuffled], kind="stable")]
    sizes = np.unique(strata, return_counts=True)[1]
    mask = np.empty(len(strata), dtype=bool)
    mask[by_stratum] = np.concatenate([evenly_spread(size, share) for size in sizes])
    return mask


def hold_out_share(
    X: Any,
    y: NDArray[Any],
    share: float,
    rng: np.random.Generator,
    *,
    strata: Rows,
    counts: Floats | None = None,
    together: Rows | None = None,
) -> Fold:
    """Rows to learn from, and rows held out.

    Parameters
    ----------
    X : array-like of n_rows rows
    y : ndarray of shape (n_rows,)
    share : float in (0, 1)
        Of the rows, or of the groups that stay together.
    rng : numpy.random.Generator
    strata : ndarray of int of shape (n_rows,)
        Each gives its share; not where groups stay together.
    counts : ndarray of shape (n_rows,), default=None
        Positive repeat counts.
    together : ndarray of int of shape (n_rows,), default=None
        Group of each row.

    Returns
    -------
    Fold
        Positions in increasing order.

    Raises
    ------
    ShiftDataError
        Where no row is left to learn from or to calibrate on.
    """
    order = order_of_rows(X, y, strata, counts=counts)
    rng = generator_of_sample(rng, y[order])
    mask = np.empty(len(order), dtype=bool)
    if together is None:
        mask[order] = held_out_mask(strata[order], share, rng)
    else:
        mask = held_out_mask(np.zeros(together.max() + 1, dtype=np.intp), share, rng)[together]
    if mask.all() or not mask.any():
        raise ShiftDataError(
            f"Of n_samples={len(mask)} rows none is left to {'learn from' if mask.all() else 'calibrate on'} with "
            f"calibration_fraction={share:g}: pass more rows, or another fraction."
        )
    return Fold(np.flatnonzero(~mask), np.flatnonzero(mask))


def content_folds(
    n_folds: int,
    X: Any,
    y: NDArray[Any],
    rng: np.random.Generator,
    *,
    strata: Rows,
    counts: Floats | None = None,
    together: Rows | None = None,
) -> list[Fold]:
    """Folds of rows of which all strata have their share; arguments as :func:`hold_out_share`.

    Returns
    -------
    list of Fold
        At most ``n_folds``, and at most as many as the largest stratum has rows.

    Raises
    ------
    ShiftDataError
        For too few rows or groups.
    """
    order = order_of_rows(X, y, strata, counts=counts)
    seed = int(generator_of_sample(rng, y[order]).integers(2**31 - 1))
    several = strata.max() > 0
    n_folds = min(n_folds, int(np.bincount(strata).max()))
    if n_folds < 2:
        raise ShiftDataError(f"n_samples={len(order)} rows make no two folds: pass more rows.")
    groups = None if together is None else together[order]
    folds = shuffled_folds(n_folds, strata[order], stratified=bool(several), seed=seed, groups=groups)
    return [Fold(np.sort(order[fold.training]), np.sort(order[fold.held_out])) for fold in folds]
