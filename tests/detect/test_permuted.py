"""Several statistics under one permutation null, and what is pooled for it."""

from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from shiftfix.detect._permuted import CUT, largest_of, permuted_labels, pool

RNG = np.random.default_rng(0)


def test_the_p_value_is_the_rank_among_all_assignments():
    """Six rows, three of them target: of the 20 assignments one has a sum as large as the observed one."""
    values = np.array([0.0, 1, 2, 3, 4, 5])
    chosen = [(3, 4, 5), *(rows for rows in combinations(range(6), 3) if rows != (3, 4, 5))]
    sums = np.array([[values[list(rows)].sum()] for rows in chosen])
    assert largest_of(sums).p_value == 1 / 20


def test_the_scale_of_a_statistic_does_not_matter_and_the_largest_is_named():
    values = RNG.normal(size=(100, 2))
    values[0] = [0, 9]
    first, second = largest_of(values), largest_of(values * [1e6, 1e-6] + [5, -7])
    assert (first.place, first.p_value) == (second.place, second.p_value) == (1, 0.01)
    assert_allclose(first.statistic, second.statistic, rtol=1e-6)


def test_statistics_that_never_vary_tell_nothing():
    assert largest_of(np.full((50, 1), 0.1 + 0.2)).p_value == 1


def test_labels_are_permuted_and_the_first_ones_are_the_observed():
    is_target = np.arange(30) < 10
    labels = permuted_labels(is_target, 200, np.random.default_rng(0))
    assert (labels[0] == is_target).all()
    assert (labels.sum(axis=1) == 10).all()
    # Each row is target in a third of them: 3.5 standard errors.
    assert_allclose(labels[1:].mean(axis=0), 1 / 3, atol=0.12)


def test_the_pool_is_the_same_for_rows_and_columns_in_another_order():
    source, target = RNG.normal(size=(20, 3)), RNG.normal(size=(15, 3))
    one = pool(source, target, None)
    other = pool(source[::-1][:, ::-1], target[RNG.permutation(15)][:, ::-1], None)
    assert_allclose(one.rows, other.rows[:, ::-1], atol=1e-12)
    assert (one.is_target == other.is_target).all()


def test_the_pool_is_standardised_cut_and_without_constants():
    source = np.column_stack([np.append(RNG.normal(size=99), 1e6), np.ones(100)])
    rows = pool(source, source, None).rows
    assert rows.shape == (200, 1)
    assert rows.max() == CUT


@pytest.mark.parametrize("sample", ["X_source", "X_target"])
def test_few_rows_are_refused(sample):
    from shiftfix.detect import classifier_test

    samples = {"X_source": RNG.normal(size=(9, 2)), "X_target": RNG.normal(size=(9, 2))}
    samples[sample] = samples[sample][:4]
    with pytest.raises(ValueError, match=f"{sample} has 4 rows"):
        classifier_test(**samples)
