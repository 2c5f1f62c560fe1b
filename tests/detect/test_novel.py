"""Rows of a new class are found; other shares of known classes are none."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from shiftfix.detect import novel_class_test
from shiftfix.detect._novel import beyond_tails, class_distances, novelty


def problem(seed, share, prior=(0.5, 0.5), n=300):
    rng = np.random.default_rng(seed)
    centres, spreads = np.array([[0.0, 0], [6, 0], [3, 8]]), np.array([1.0, 2, 1])
    y, y_target = rng.choice(2, n), rng.choice(2, n, p=prior)
    y_target[: round(share * n)] = 2
    X, X_target = (centres[c] + rng.normal(size=(n, 2)) * spreads[c][:, np.newaxis] for c in (y, y_target))
    return X, y, X_target


def test_a_new_class_is_found_and_its_share_estimated():
    found = novel_class_test(*problem(0, 0.1), random_state=0)
    assert found.p_value == 0.001
    assert found.effect_size == pytest.approx(0.1, abs=0.04)
    assert "excess share of rows" in str(found)


@pytest.mark.slow
def test_other_class_shares_are_no_new_class():
    p_values = [novel_class_test(*problem(seed, 0, (0.05, 0.95)), random_state=0).p_value for seed in range(5)]
    assert np.median(p_values) > 0.05


def test_distances_are_in_units_of_the_class():
    line = np.arange(20.0)[:, np.newaxis]
    asked = np.array([[10.0], [29.0]])
    # The fifth neighbour of a row within is 3 away (itself left out), at the ends up to 5.
    assert_allclose(class_distances(line, asked), [2 / 3, 14 / 3])
    assert_allclose(class_distances(100 * line, 100 * asked), class_distances(line, asked))


def test_novelty_is_the_least_over_the_classes_and_rare_ones_count_together():
    known = np.concatenate([np.arange(20.0), 100 + np.arange(20.0), [50, 50.5, 51, 51.5]])[:, np.newaxis]
    y = np.repeat([0, 1, 2, 3], [20, 20, 2, 2])
    found = novelty(known, y, np.array([[110.0], [51.0], [200.0]]))
    assert found[0] < 1
    assert found[1] < 2
    assert found[2] > 20


def test_tails_hold_their_shares():
    far = beyond_tails(np.random.default_rng(0).permutation(np.arange(1000.0)))
    assert far.sum(axis=0).tolist() == pytest.approx([10, 20, 50, 100, 200], abs=1)


def test_five_rows_of_five_classes_are_enough():
    assert novel_class_test(np.eye(5), np.arange(5), np.eye(5), random_state=0).p_value > 0.05


@pytest.mark.slow
def test_size():
    """300 problems without a new class at level .05: 15 expected, standard deviation 3.8."""
    rejected = [
        novel_class_test(*problem(seed, 0, n=150), n_permutations=99, random_state=seed).p_value <= 0.05
        for seed in range(300)
    ]
    assert 4 <= sum(rejected) <= 28
