import numpy as np
import pytest

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._holdout import random_split, stratified_split


def test_held_out_rows_keep_the_shares_of_the_classes():
    """95 to 5: exactly 5% of the held-out rows, whatever the seed."""
    y = np.repeat([0, 1], [380, 20])
    for seed in range(5):
        _, held_out = stratified_split(y, 40, np.random.default_rng(seed))
        assert np.bincount(y[held_out]).tolist() == [38, 2]


@pytest.mark.parametrize("seed", range(20))
def test_no_class_is_lost_to_the_held_out_rows(seed):
    y = np.append(np.repeat([0, 1], 50), [2, 3, 3])
    training, held_out = stratified_split(y, 11, np.random.default_rng(seed))
    assert set(y[training]) == {0, 1, 2, 3}
    assert sorted([*training, *held_out]) == list(range(103))
    assert len(held_out) == 11


def test_more_held_out_rows_than_there_are_beside_one_of_each_class():
    with pytest.raises(ShiftDataError, match="5 rows of 3 classes cannot be split to hold out 3"):
        stratified_split(np.array([0, 0, 1, 1, 2]), 3, np.random.default_rng(0))


def test_a_random_split_takes_every_row_once():
    training, held_out = random_split(50, 7, np.random.default_rng(0))
    assert len(held_out) == 7
    assert sorted([*training, *held_out]) == list(range(50))
    assert sorted(held_out) != list(range(7))
