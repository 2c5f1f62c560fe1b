"""Folds, and scores of rows by models that never saw them.

A model scores the rows it was trained on better than new ones, so whatever is learned from scores (weights, priors,
losses) is learned out of fold: each row is scored by the model of the fold that held it out. Target rows, which no
model saw, are dealt to the fold models in turn: scores of both samples then come from one mixture of models.
Source: Chernozhukov et al. (2018), Econometrics Journal 21(1):C1-C68, definition 3.1.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from shiftfix._row_order import Rows, content_order
from shiftfix._setting_checks import check_count
from shiftfix._validation import check_labels
from shiftfix._values import as_array
from shiftfix.exceptions import ShiftDataError


class Fold(NamedTuple):
    """Positions of the rows a model learns from, and of those it judges."""

    training: Rows
    held_out: Rows


class OutOfFold(NamedTuple):
    """What the models of all folds say of the rows they did not see.

    Attributes
    ----------
    models : list
        The model of each fold, where they are kept.
    rows : ndarray of shape (n_scored,)
        Rows held out, fold by fold.
    scores : ndarray of shape (n_scored, ...)
        What their fold's model says of them.
    target_scores : ndarray of shape (n_target, ...) or None
        Of the i-th target row in the given order by the model of fold i modulo the number of folds, in the order of
        the rows; None without target rows.
    """

    models: list[Any]
    rows: Rows
    scores: NDArray[Any]
    target_scores: NDArray[Any] | None

    def by_row(self, n_rows: int) -> NDArray[Any]:
        """Mean score of each row over the folds that held it out, shape (n_rows, ...); NaN for a row never held out."""
        times = np.bincount(self.rows, minlength=n_rows).reshape(-1, *[1] * (self.scores.ndim - 1))
        total = np.zeros((n_rows, *self.scores.shape[1:]))
        np.add.at(total, self.rows, self.scores)
        return np.divide(total, times, out=np.full_like(total, np.nan), where=times > 0)


def _put_together(dealt: list[tuple[Rows, NDArray[Any]]], n_rows: int) -> NDArray[Any]:
    """Scores in the order of the rows, from those of the rows that each model was dealt."""
    scores = np.empty((n_rows, *dealt[0][1].shape[1:]), dtype=np.result_type(*[s for _, s in dealt]))
    for rows, values in dealt:
        scores[rows] = values
    return scores


def out_of_fold(
    folds: Iterable[Fold],
    fit: Callable[[Rows], Any],
    score: Callable[[Any, Rows], NDArray[Any]],
    *,
    score_target: Callable[[Any, Rows], NDArray[Any]] | None = None,
    target_order: Rows | None = None,
    keep_models: bool = False,
) -> OutOfFold:
    """Train a model on each fold and score the rows it did not see.

    Parameters
    ----------
    folds : iterable of Fold
    fit : callable
        ``fit(training)`` gives the model of the source rows at these positions.
    score : callable
        ``score(model, held_out)`` gives an array with one entry per source row.
    score_target : callable, default=None
        ``score_target(model, rows)``, the same for target rows.
    target_order : ndarray of int of shape (n_target,), default=None
        Positions of the target rows in the order in which they are dealt to the folds.
    keep_models : bool, default=False
        Whether the models outlive their fold.

    Returns
    -------
    OutOfFold
    """
    folds = list(folds)
    target_order = np.empty(0, dtype=np.intp) if target_order is None else target_order
    models, parts, dealt = [], [], []
    for number, fold in enumerate(folds):
        model = fit(fold.training)
        if keep_models:
            models.append(model)
        parts.append(np.asarray(score(model, fold.held_out)))
        rows = target_order[number :: len(folds)]
        if score_target is not None and rows.size:
            dealt.append((rows, np.asarray(score_target(model, rows))))
    target_scores = _put_together(dealt, len(target_order)) if dealt else None
    return OutOfFold(models, np.concatenate([f.held_out for f in folds]), np.concatenate(parts), target_scores)


def check_groups(groups: ArrayLike | None, n_rows: int, name: str = "groups", of: str = "rows") -> NDArray[Any] | None:
    """Group of each row as an array of shape (n_rows,); None for none.

    Raises
    ------
    ShiftDataError
        For another length, missing labels, or labels of several kinds.
    """
    if groups is None:
        return None
    shape = np.shape(as_array(groups, name))
    if shape != (n_rows,):
        raise ShiftDataError(f"{name} has shape {shape} for {n_rows} {of}: pass one label per row.")
    return check_labels(groups, name, whole=False)


def is_fold_count(cv: Any) -> bool:
    """Whether ``cv`` is a number of folds, and not a splitter or a list of folds."""
    return isinstance(cv, int | np.integer) and not isinstance(cv, bool)


def check_folds(cv: Any) -> None:
    """Raise ShiftDataError unless it is a number of folds, a splitter, or pairs of positions."""
    if is_fold_count(cv):
        check_count(cv, "cv", least=2)
        return
    pairs = isinstance(cv, Iterable) and not (isinstance(cv, str | bytes | set | dict) or hasattr(cv, "ndim"))
    if not (pairs or callable(getattr(cv, "get_n_splits", None))):
        raise ShiftDataError(f"cv={cv!r}: a number of folds, a splitter, or a list of (training, held-out) is needed.")


def shuffled_folds(
    n_folds: int, y: ArrayLike, *, stratified: bool, seed: int, groups: ArrayLike | None = None
) -> list[Fold]:
    """Folds in random order, stratified by ``y`` if asked; rows of one group stay together.

    Parameters
    ----------
    n_folds : int
    y : array-like of shape (n_rows,)
        Labels, or values when not stratified.
    stratified : bool
    seed : int
    groups : array-like of shape (n_rows,), default=None

    Returns
    -------
    list of Fold

    Raises
    ------
    ShiftDataError
        For fewer groups than folds, and for groups that leave a fold one class to learn from.
    """
    y = np.asarray(y)
    if groups is None:
        splitter = StratifiedKFold if stratified else KFold
    else:
        splitter = StratifiedGroupKFold if stratified else GroupKFold
        n_groups = len(np.unique(np.asarray(groups)))
        if n_groups < n_folds:
            raise ShiftDataError(f"groups holds {n_groups} groups for {n_folds} folds: pass fewer folds.")
    with warnings.catch_warnings():
        # A class with fewer rows than folds is absent from some of them; who cannot have that checks it.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        split = splitter(n_folds, shuffle=True, random_state=seed).split(np.zeros(len(y)), y, groups)
        folds = [Fold(training, held_out) for training, held_out in split]
    if stratified and groups is not None:
        _refuse_lost_classes(folds, y)
    return folds


def _refuse_lost_classes(folds: Sequence[Fold], y: NDArray[Any]) -> None:
    """Raise where a fold holds out all rows of all classes but one: there is nothing to tell apart then."""
    for number, fold in enumerate(folds):
        if len(np.unique(y[fold.training])) < min(2, len(np.unique(y))):
            raise ShiftDataError(
                f"Fold {number} holds out all rows of every class but {np.unique(y[fold.training]).tolist()}, since "
                "their groups stay together: pass fewer folds, or groups that hold rows of several classes."
            )


def given_folds(cv: Any, X: Any, y: ArrayLike, *, groups: ArrayLike | None = None) -> list[Fold]:
    """Folds of the user's splitter, or the user's own list of folds.

    Parameters
    ----------
    cv : splitter or iterable
        With ``split(X, y, groups)``, or pairs of positions: training rows, held-out rows.
    X : array-like of n_rows rows
    y : array-like of shape (n_rows,)
    groups : array-like of shape (n_rows,), default=None
        Handed to the splitter.

    Returns
    -------
    list of Fold

    Raises
    ------
    ShiftDataError
        For anything else, for folds without rows on either side, with positions beyond the rows, or that judge rows
        they learn from.
    """
    y = np.asarray(y)
    check_folds(cv)
    pairs = cv.split(X, y, groups) if hasattr(cv, "split") else cv
    folds = [_checked_fold(number, pair, len(y)) for number, pair in enumerate(pairs)]
    if not folds:
        raise ShiftDataError("cv holds no folds: pass at least one pair of (training, held-out) rows.")
    return folds


def _checked_fold(number: int, pair: Any, n_rows: int) -> Fold:
    try:
        training, held_out = (_row_positions(rows, n_rows) for rows in pair)
    except (TypeError, ValueError) as error:
        raise ShiftDataError(
            f"Fold {number} of cv is no pair of (training, held-out) positions of {n_rows} rows ({error})."
        ) from error
    if not training.size or not held_out.size:
        raise ShiftDataError(
            f"Fold {number} of cv has {training.size} rows to learn from and {held_out.size} held out: both need some."
        )
    if np.intersect1d(training, held_out).size:
        raise ShiftDataError(
            f"Fold {number} of cv holds out {np.intersect1d(training, held_out).size} of the rows it learns from: what "
            "a model says of rows it knows tells nothing of others. Pass disjoint rows."
        )
    return Fold(training, held_out)


def _positions_in_mask(mask: NDArray[np.bool_], n_rows: int) -> Rows:
    if mask.shape != (n_rows,):
        raise ValueError(f"a mask of shape {mask.shape}")
    return np.flatnonzero(mask)


def _row_positions(rows: Any, n_rows: int) -> Rows:
    """Positions from positions or a mask of the rows."""
    found = np.asarray(rows)
    if found.dtype == bool:
        return _positions_in_mask(found, n_rows)
    if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
        raise ValueError(f"an array of {found.dtype} of shape {found.shape}")
    if found.size and not (found.min() >= 0 and found.max() < n_rows):
        raise ValueError(f"positions from {found.min()} to {found.max()}")
    return found.astype(np.intp)


def fold_of_each_row(folds: Sequence[Fold], n_rows: int) -> Rows:
    """Number of the fold that holds each row out, shape (n_rows,).

    Raises
    ------
    ShiftDataError
        When a row is held out never, or more than once.
    """
    held_out = np.concatenate([fold.held_out for fold in folds])
    times = np.bincount(held_out, minlength=n_rows)
    if (times != 1).any():
        raise ShiftDataError(
            f"cv holds {(times != 1).sum()} rows out not exactly once: pass folds that partition the rows, such as "
            "those of StratifiedKFold."
        )
    numbers = np.empty(n_rows, dtype=np.intp)
    numbers[held_out] = np.repeat(np.arange(len(folds)), [len(fold.held_out) for fold in folds])
    return numbers


def assign_folds(samples: Sequence[Any], n_folds: int, seed: int) -> list[Rows]:
    """Fold number of each row, as equal in size as can be within every sample.

    The folds depend on the values of the rows, the sizes and the seed, not on the order of rows, columns or samples.

    Parameters
    ----------
    samples : sequence of ndarray or csr_array of shape (n_rows, n_features)
    n_folds : int
    seed : int

    Returns
    -------
    list of ndarray of int, shape (n_rows,)
    """
    folds = []
    for order in content_order(samples):
        fold = np.empty(len(order), dtype=np.intp)
        fold[order] = np.random.default_rng(seed).permutation(len(order)) % n_folds
        folds.append(fold)
    return folds


def folds_of_numbers(numbers: Rows) -> list[Fold]:
    """Folds from the fold number of each row, 0 to the largest."""
    return [Fold(np.flatnonzero(numbers != k), np.flatnonzero(numbers == k)) for k in range(numbers.max() + 1)]
