"""Folds and out-of-fold scores: no model judges a row it learned from, whoever made the folds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.model_selection import GroupKFold, KFold, LeaveOneOut, RepeatedKFold, ShuffleSplit, StratifiedKFold

from shiftfix._crossfit import (
    Fold,
    assign_folds,
    content_order,
    fold_of_each_row,
    folds_of_numbers,
    given_folds,
    is_fold_count,
    out_of_fold,
    shuffled_folds,
)
from shiftfix.exceptions import ShiftDataError

Y = np.repeat([0, 1], [18, 12])


def remember(folds, n_target=0):
    """Out-of-fold run whose model is the set of rows it learned from and whose score says whether a row was in it."""
    return out_of_fold(
        folds,
        fit=lambda training: set(training.tolist()),
        score=lambda model, rows: np.array([row in model for row in rows]),
        score_target=lambda model, rows: np.array([[len(model), row] for row in rows]),
        target_order=np.arange(n_target),
        keep_models=True,
    )


@pytest.mark.parametrize(
    "cv", [KFold(3), StratifiedKFold(4, shuffle=True, random_state=0), ShuffleSplit(5, random_state=0), LeaveOneOut()]
)
def test_no_model_scores_a_row_it_knows(cv):
    found = remember(given_folds(cv, np.zeros((30, 1)), Y))
    assert not found.scores.any()
    assert len(found.models) == cv.get_n_splits(np.zeros((30, 1)))


def test_target_rows_are_dealt_in_turn():
    folds = [Fold(np.arange(k), np.array([k])) for k in (1, 2, 3)]
    found = remember(folds, n_target=5).target_scores
    assert found.tolist() == [[1, 0], [2, 1], [3, 2], [1, 3], [2, 4]]
    assert remember(folds, n_target=2).target_scores.tolist() == [[1, 0], [2, 1]]
    assert remember(folds).target_scores is None


def test_target_rows_are_dealt_in_the_order_given():
    folds = [Fold(np.arange(k), np.array([k])) for k in (1, 2)]
    score_target = lambda model, rows: np.column_stack([np.full(len(rows), model), rows])  # noqa: E731
    found = out_of_fold(
        folds, len, lambda model, rows: rows, score_target=score_target, target_order=np.array([3, 1, 0, 2])
    )
    assert found.target_scores.tolist() == [[1, 0], [2, 1], [2, 2], [1, 3]]


def test_scores_come_back_in_the_order_of_the_rows():
    folds = given_folds(KFold(4, shuffle=True, random_state=0), np.zeros((30, 1)), Y)
    found = out_of_fold(folds, lambda training: None, lambda model, rows: rows * 10.0).by_row(30)
    assert_allclose(found, np.arange(30) * 10)


def test_a_row_held_out_twice_has_its_mean_and_one_never_held_out_nan():
    folds = [Fold(np.array([2, 3]), np.array([0, 1])), Fold(np.array([3]), np.array([1]))]
    found = out_of_fold(folds, len, lambda model, rows: np.full((len(rows), 2), float(model))).by_row(4)
    assert_allclose(found, [[2, 2], [1.5, 1.5], [np.nan, np.nan], [np.nan, np.nan]])


@pytest.mark.parametrize("stratified", [True, False])
@pytest.mark.parametrize("grouped", [True, False])
def test_shuffled_folds_partition_the_rows_and_keep_groups_together(stratified, grouped):
    groups = np.arange(30) % 10 if grouped else None
    folds = shuffled_folds(5, Y, stratified=stratified, seed=3, groups=groups)
    numbers = fold_of_each_row(folds, 30)
    for training, held_out in folds:
        assert sorted([*training, *held_out]) == list(range(30))
        if grouped:
            assert not set(groups[training]) & set(groups[held_out])
        if stratified and not grouped:
            assert abs(Y[held_out].mean() - Y.mean()) <= 1 / len(held_out)
    again = fold_of_each_row(shuffled_folds(5, Y, stratified=stratified, seed=3, groups=groups), 30)
    other = fold_of_each_row(shuffled_folds(5, Y, stratified=stratified, seed=4, groups=groups), 30)
    assert np.array_equal(numbers, again)
    assert not np.array_equal(numbers, other)


def test_shuffled_folds_are_scikit_learns():
    expected = StratifiedKFold(5, shuffle=True, random_state=11).split(np.zeros(30), Y)
    for fold, (training, held_out) in zip(shuffled_folds(5, Y, stratified=True, seed=11), expected, strict=True):
        assert np.array_equal(fold.training, training)
        assert np.array_equal(fold.held_out, held_out)


def test_fewer_groups_than_folds():
    with pytest.raises(ShiftDataError, match="groups holds 2 groups for 3 folds"):
        shuffled_folds(3, Y, stratified=False, seed=0, groups=Y)


def test_a_splitter_sees_the_groups():
    groups = np.arange(30) % 6
    for training, held_out in given_folds(GroupKFold(3), np.zeros((30, 1)), Y, groups=groups):
        assert not set(groups[training]) & set(groups[held_out])


def test_a_list_may_hold_positions_or_masks():
    mask = np.arange(30) < 10
    for pair in [(mask, ~mask), (range(10), range(10, 30)), (np.arange(10, dtype=np.uint8), list(range(10, 30)))]:
        (fold,) = given_folds([pair], None, Y)
        assert fold.training.tolist() == list(range(10))
        assert fold.held_out.tolist() == list(range(10, 30))


@pytest.mark.parametrize(
    ("cv", "words"),
    [
        ("five", "cv='five': a number of folds, a splitter, or a list"),
        (2.5, r"cv=2\.5: a number of folds"),
        ([], "cv holds no folds"),
        ([([0, 1], [1, 2])], "Fold 0 of cv holds out 1 of the rows it learns from"),
        ([([0], [1]), ([], [1])], "Fold 1 of cv has 0 rows to learn from and 1 held out"),
        ([([0], [30])], r"no pair of .* of 30 rows \(positions from 30 to 30\)"),
        ([([-1], [2])], "positions from -1 to -1"),
        ([([0.5], [1])], "an array of float64"),
        ([([True, False], [1])], r"a mask of shape \(2,\)"),
        ([3, 4], "no pair"),
        ([([0], [1], [2])], "no pair"),
    ],
)
def test_folds_that_cannot_be_used(cv, words):
    with pytest.raises(ShiftDataError, match=words):
        given_folds(cv, np.zeros((30, 1)), Y)


def test_a_partition_is_checked():
    with pytest.raises(ShiftDataError, match="holds 30 rows out not exactly once"):
        fold_of_each_row(given_folds(RepeatedKFold(n_splits=3, n_repeats=2, random_state=0), np.zeros((30, 1)), Y), 30)
    with pytest.raises(ShiftDataError, match="holds 2 rows out not exactly once"):
        fold_of_each_row([Fold(np.array([0]), np.arange(2, 30))], 30)


@pytest.mark.slow
@given(sizes=st.lists(st.integers(3, 20), min_size=1, max_size=3), n_folds=st.integers(2, 5), seed=st.integers(0, 9))
def test_assigned_folds_follow_the_values_of_the_rows(sizes, n_folds, seed):
    """Other row order, other units, other order of the samples: the same rows in the same folds, of equal size."""
    rng = np.random.default_rng(seed)
    samples = [rng.normal(size=(n, 2)) for n in sizes]
    found = assign_folds(samples, n_folds, seed)
    orders = [rng.permutation(n) for n in sizes]
    moved = assign_folds([X[o] * [3.0, 0.01] for X, o in zip(samples, orders, strict=True)][::-1], n_folds, seed)[::-1]
    for fold, order, other in zip(found, orders, moved, strict=True):
        assert np.array_equal(fold[order], other)
        assert np.ptp(np.bincount(fold, minlength=n_folds)) <= 1


def test_the_content_order_ignores_where_equal_rows_lie(rng):
    X = rng.integers(0, 3, (40, 2)).astype(float)
    order, again = content_order([X])[0], content_order([X[::-1]])[0]
    assert np.array_equal(X[order], X[::-1][again])


def test_numbers_and_folds_are_each_others_inverse(rng):
    numbers = rng.permutation(np.arange(30) % 4)
    assert np.array_equal(fold_of_each_row(folds_of_numbers(numbers), 30), numbers)


def test_what_counts_as_a_number_of_folds():
    assert all(is_fold_count(cv) for cv in (5, np.int64(5)))
    assert not any(is_fold_count(cv) for cv in (True, 5.0, "5", None, KFold(5), [([0], [1])]))
