import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._training._holdout import random_split, stratified_split


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


@pytest.mark.slow
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    share=st.floats(0.01, 0.9),
    seed=st.integers(0, 999),
)
def test_each_class_is_held_out_in_proportion_to_one_row(sizes, share, seed):
    """With m_k rows of class k beside the one that must stay, there is one share t of all classes with
    |held out - t m_k| <= 1. Classes come in any order and under any name."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(np.array(["d", "a", "e", "c", "b"])[: len(sizes)], sizes))
    n_held_out = int(share * (len(y) - len(sizes)))
    training, held_out = stratified_split(y, n_held_out, rng)
    assert len(held_out) == n_held_out
    assert sorted([*training, *held_out]) == list(range(len(y)))
    assert set(y[training]) == set(y)
    low, high = 0.0, 1.0
    for label in np.unique(y):
        m, found = (y == label).sum() - 1, (y[held_out] == label).sum()
        if m == 0:
            assert found == 0
        else:
            low, high = max(low, (found - 1) / m), min(high, (found + 1) / m)
    assert low <= high + 1e-12


@pytest.mark.slow
def test_every_row_of_a_class_is_held_out_as_often():
    """4000 splits of 6 and 14 rows, 5 held out: each row of a class within 5 standard errors of the class's mean. The
    first row of a class, say, must not be the one that always stays."""
    y, rng = np.repeat([0, 1], [6, 14]), np.random.default_rng(0)
    counts = np.zeros(20)
    for _ in range(4000):
        counts[stratified_split(y, 5, rng)[1]] += 1
    for label in (0, 1):
        shares = counts[y == label] / 4000
        assert np.abs(shares - shares.mean()).max() < 5 * np.sqrt(shares.mean() / 4000)
    assert counts.sum() == 5 * 4000


def test_every_row_is_held_out_as_often_without_classes():
    rng, counts = np.random.default_rng(0), np.zeros(10)
    for _ in range(4000):
        counts[random_split(10, 3, rng)[1]] += 1
    assert np.abs(counts / 4000 - 0.3).max() < 5 * np.sqrt(0.21 / 4000)


def test_one_seed_one_split():
    y = np.arange(60) % 3
    split = lambda seed: stratified_split(y, 12, np.random.default_rng(seed))[1].tolist()  # noqa: E731
    assert split(0) == split(0) != split(1)


@pytest.mark.slow
def test_a_rare_class_is_held_out_no_more_often_than_its_share():
    """10 rows of 1000 beside those that stay, 10 held out: 0.1 of them on average, 5 standard errors over 2000 splits.
    Classes that all took their turn first would hold out one each time."""
    y, rng = np.repeat([0, 1], [11, 991]), np.random.default_rng(0)
    found = np.mean([(y[stratified_split(y, 10, rng)[1]] == 0).sum() for _ in range(2000)])
    assert found == pytest.approx(0.1, abs=5 * np.sqrt(0.09 / 2000))
