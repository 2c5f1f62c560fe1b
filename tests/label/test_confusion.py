import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from shiftfix.label import confusion_matrices
from shiftfix.label._confusion import confounded_classes, one_hot_predictions
from tests.strategies import invertible_confusions


def test_hard_matrices_count_pairs():
    predicted, true = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 1, 0])
    joint, conditional = confusion_matrices(predicted, true, kind="hard")
    assert_allclose(joint, [[1 / 5, 1 / 5], [1 / 5, 2 / 5]])
    assert_allclose(conditional, [[1 / 2, 1 / 3], [1 / 2, 2 / 3]])


def test_soft_matrices_average_scores():
    scores, true = np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]]), np.array([0, 0, 1])
    joint, conditional = confusion_matrices(scores, true)
    assert_allclose(conditional, [[0.7, 0.2], [0.3, 0.8]])
    assert_allclose(joint, conditional * [2 / 3, 1 / 3])


@pytest.mark.slow
@given(data=st.data())
def test_joint_sums_to_one_and_columns_of_conditional_do(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    scores = rng.dirichlet(np.ones(4), size=30)
    true = np.append(np.arange(4), rng.integers(0, 4, 26))
    weight = rng.integers(1, 4, 30)
    joint, conditional = confusion_matrices(scores, true, sample_weight=weight)
    assert joint.sum() == pytest.approx(1)
    assert_allclose(conditional.sum(axis=0), 1)
    repeated = confusion_matrices(np.repeat(scores, weight, axis=0), np.repeat(true, weight))
    assert_allclose(joint, repeated[0], atol=1e-12)
    assert_allclose(conditional, repeated[1], atol=1e-12)


def test_predictions_are_the_arg_max():
    assert_allclose(one_hot_predictions(np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]])), [[0, 1, 0], [1, 0, 0]])


@pytest.mark.slow
@given(A=invertible_confusions())
def test_invertible_matrices_confound_nothing(A):
    assert confounded_classes(A) == []


def test_equal_columns_are_confounded():
    A = np.array([[0.8, 0.1, 0.1, 0.2], [0.1, 0.5, 0.5, 0.2], [0.05, 0.2, 0.2, 0.2], [0.05, 0.2, 0.2, 0.4]])
    assert confounded_classes(A) == [[1, 2]]


def test_two_pairs_of_equal_columns_are_two_groups():
    first, second = np.array([0.7, 0.2, 0.1, 0.0]), np.array([0.0, 0.1, 0.3, 0.6])
    assert confounded_classes(np.column_stack([first, second, first, second])) == [[0, 2], [1, 3]]


def test_a_mixture_of_two_classes_confounds_all_three():
    first, second = np.array([0.9, 0.05, 0.05]), np.array([0.1, 0.8, 0.1])
    assert confounded_classes(np.column_stack([first, second, (first + second) / 2])) == [[0, 1, 2]]
