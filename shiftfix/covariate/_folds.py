"""Folds over two samples, one below the other, source rows first."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftfix._crossfit import (
    Fold,
    assign_folds,
    check_groups,
    fold_of_each_row,
    folds_of_numbers,
    given_folds,
    shuffled_folds,
)
from shiftfix.covariate._odds import SOURCE, TARGET, stack_rows
from shiftfix.covariate._samples import Samples
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
        For groups of another length, missing or mixed labels, and text in one sample and numbers in the other.
    """
    known = [
        check_groups(labels, size, f"groups_{side}", f"rows of X_{side}")
        for labels, size, side in zip(groups, sizes, ["source", "target"], strict=True)
    ]
    given = [labels for labels in known if labels is not None]
    if not given:
        return None
    if len({labels.dtype.kind in "OUST" for labels in given}) > 1:
        raise ShiftDataError("groups_source and groups_target hold text and numbers: one label must be one group.")
    _, numbers = np.unique(np.concatenate(given), return_inverse=True)
    if len(given) == 2:
        return numbers
    alone = numbers.max() + 1 + np.arange(sum(sizes) - len(numbers))
    return np.concatenate([alone, numbers] if known[0] is None else [numbers, alone])


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


def own_folds(cv: Any, samples: Samples, groups: NDArray[np.intp] | None) -> list[Fold]:
    """Folds of the user's splitter or list, among the rows that count.

    Parameters
    ----------
    cv : splitter, or iterable of (training, held-out) positions
        Of all the rows that the user passed, source rows first.
    samples : Samples
    groups : ndarray of shape (n_source + n_target,) or None
        For the splitter; a list is taken as it is.

    Returns
    -------
    list of Fold

    Raises
    ------
    ShiftDataError
        For folds that do not hold every row that counts out exactly once.
    """
    present = np.concatenate(samples.present)
    domain = np.repeat([SOURCE, TARGET], [len(rows) for rows in samples.present])
    folds = folds_of_present_rows(given_folds(cv, stack_rows(*samples.all_rows), domain, groups=groups), present)
    fold_of_each_row(folds, int(present.sum()))
    return folds


def new_folds_of_samples(
    n_folds: int,
    samples: Sequence[Any],
    domain: NDArray[np.int_],
    rng: np.random.Generator,
    groups: NDArray[np.intp] | None,
) -> list[Fold]:
    """Folds of the stacked rows that count: by their values, or stratified by sample where rows come in groups.

    Parameters
    ----------
    n_folds : int
    samples : sequence of two ndarray or csr_array of shape (n_rows, n_features)
        The source and the target rows that count.
    domain : ndarray of shape (n_source + n_target,)
        Which sample the stacked rows come from.
    rng : numpy.random.Generator
        One seed is drawn from it.
    groups : ndarray of shape (n_source + n_target,) or None

    Returns
    -------
    list of Fold
    """
    if groups is None:
        return folds_of_numbers(np.concatenate(assign_folds(samples, n_folds, int(rng.integers(2**63 - 1)))))
    return shuffled_folds(n_folds, domain, stratified=True, seed=int(rng.integers(2**31 - 1)), groups=groups)
