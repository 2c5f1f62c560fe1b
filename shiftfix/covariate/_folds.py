"""Folds over two samples, one below the other, source rows first."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftfix._crossfit import (
    Fold,
    assign_folds,
    fold_of_each_row,
    folds_of_numbers,
    given_folds,
    is_fold_count,
    shuffled_folds,
)
from shiftfix.covariate._odds import stack_rows
from shiftfix.exceptions import ShiftDataError

Mask = NDArray[np.bool_]


def stacked_groups(groups: Sequence[ArrayLike | None], sizes: Sequence[int]) -> NDArray[np.intp] | None:
    """Group number of each row of both samples; None when neither has groups.

    One label is one group, in whichever sample it stands. The rows of a sample without groups are groups of their own.

    Parameters
    ----------
    groups : sequence of two array-like of shape (n_rows,), or None
        Labels of the source and of the target rows.
    sizes : sequence of two int
        Rows of each.

    Raises
    ------
    ShiftDataError
        For groups of another length.
    """
    known = [_check_groups(groups[i], name, sizes[i]) for i, name in enumerate(["source", "target"])]
    given = [labels for labels in known if labels is not None]
    if not given:
        return None
    _, numbers = np.unique(np.concatenate(given), return_inverse=True)
    if len(given) == 2:
        return numbers
    alone = numbers.max() + 1 + np.arange(sum(sizes) - len(numbers))
    return np.concatenate([alone, numbers] if known[0] is None else [numbers, alone])


def _check_groups(labels: ArrayLike | None, name: str, n_rows: int) -> NDArray[Any] | None:
    if labels is None:
        return None
    found = np.asarray(labels)
    if found.shape != (n_rows,):
        raise ShiftDataError(f"groups_{name} has shape {found.shape}, and X_{name} {n_rows} rows: pass one per row.")
    return found


def folds_of_present_rows(folds: Sequence[Fold], present: Mask) -> list[Fold]:
    """Folds of all rows as folds of those that count, whose positions count these only.

    Parameters
    ----------
    folds : sequence of Fold
    present : ndarray of bool of shape (n_rows,)
    """
    place = np.cumsum(present) - 1
    kept = [Fold(*(place[rows[present[rows]]] for rows in fold)) for fold in folds]
    return [fold for fold in kept if fold.held_out.size]


def folds_of_samples(
    cv: Any,
    samples: Sequence[Any],
    domain: NDArray[np.int_],
    rng: np.random.Generator,
    *,
    groups: NDArray[np.intp] | None = None,
    present: Mask | None = None,
) -> list[Fold]:
    """Folds of the stacked rows that hold every row out once.

    Parameters
    ----------
    cv : int, splitter, or iterable of (training, held-out) positions
    samples : sequence of two ndarray or csr_array of shape (n_rows, n_features)
        The source and the target rows that count.
    domain : ndarray of shape (n_source + n_target,)
        Which sample the stacked rows come from.
    rng : numpy.random.Generator
        For a number of folds.
    groups : ndarray of shape (n_source + n_target,), default=None
        Rows of one group stay in one fold; a list of folds is taken as it is.
    present : ndarray of bool, default=None
        Which of the rows that the user passed count: the positions in a list of folds are among all these.

    Returns
    -------
    list of Fold

    Raises
    ------
    ShiftDataError
        For folds that do not hold every row out exactly once.
    """
    if is_fold_count(cv):
        if groups is None:
            return folds_of_numbers(np.concatenate(assign_folds(samples, cv, int(rng.integers(2**63 - 1)))))
        return shuffled_folds(cv, domain, stratified=True, seed=int(rng.integers(2**31 - 1)), groups=groups)
    if hasattr(cv, "split"):
        folds = given_folds(cv, stack_rows(*samples), domain, groups=groups)
    else:
        present = np.ones(len(domain), bool) if present is None else present
        folds = folds_of_present_rows(given_folds(cv, None, present), present)
    fold_of_each_row(folds, len(domain))
    return folds
