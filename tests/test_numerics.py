import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose
from scipy.optimize import nnls

from shiftfix._all_numbers import FIRST_ASKED, are_all_in_order, are_all_whole
from shiftfix._numerics import _pivoted_nnls, column_scale, log_mean_exp, simplex_least_squares
from tests import oracles
from tests.strategies import invertible_confusions, simplex_points


@pytest.mark.slow
@given(data=st.data())
def test_interior_solution_is_the_linear_solution(data):
    A = data.draw(invertible_confusions())
    q = data.draw(simplex_points(len(A)))
    assert_allclose(simplex_least_squares(A, A @ q), q, atol=1e-9)


@pytest.mark.slow
@given(data=st.data())
def test_boundary_solution_equals_a_general_constrained_solver(data):
    """Both are exact methods; SLSQP stops within 1e-6 of the answer for these condition numbers."""
    A = data.draw(invertible_confusions(max_classes=4))
    b = data.draw(simplex_points(len(A)))
    found = simplex_least_squares(A, b)
    assert (found >= 0).all()
    assert found.sum() == pytest.approx(1)
    best = oracles.simplex_least_squares(A, b)
    assert np.linalg.norm(A @ found - b) <= np.linalg.norm(A @ best - b) + 1e-9
    assert_allclose(found, best, atol=1e-4)


@pytest.mark.slow
def test_a_solution_outside_the_simplex_is_projected_not_clipped():
    """A q = b has q = (1.25, -.25) exactly; clip-and-rescale and the constrained answer are both (1, 0) only
    for two classes, so three are used: brute force over the simplex on a grid of 1/400."""
    A = np.array([[0.8, 0.1, 0.1], [0.1, 0.7, 0.2], [0.1, 0.2, 0.7]])
    b = np.array([0.15, 0.75, 0.10])
    raw = np.linalg.solve(A, b)
    assert raw.min() < 0
    steps = np.arange(401)
    grid = np.array([(i, j, 400 - i - j) for i in steps for j in steps[: 401 - i]]) / 400
    best = grid[np.argmin(np.linalg.norm(grid @ A.T - b, axis=1))]
    assert_allclose(simplex_least_squares(A, b), best, atol=1 / 400)
    clipped = np.clip(raw, 0, None)
    assert np.abs(clipped / clipped.sum() - best).max() > 2 / 400


def test_more_equations_than_classes():
    A = np.array([[0.5, 0.1], [0.3, 0.2], [0.2, 0.7]])
    assert_allclose(simplex_least_squares(A, A @ [0.4, 0.6]), [0.4, 0.6], atol=1e-12)


@pytest.mark.slow
@given(values=arrays(float, 5, elements=st.floats(-30, 30)), counts=arrays(float, 5, elements=st.floats(0.1, 9)))
def test_log_mean_exp_is_the_log_of_the_weighted_mean(values, counts):
    assert log_mean_exp(values, counts) == pytest.approx(np.log(np.average(np.exp(values), weights=counts)), abs=1e-9)


def test_log_mean_exp_does_not_overflow():
    assert log_mean_exp(np.array([2000.0, 2000.0]), np.ones(2)) == pytest.approx(2000)


@pytest.mark.parametrize("place", [0, FIRST_ASKED - 1, FIRST_ASKED, 3 * FIRST_ASKED])
def test_one_number_among_many_is_seen_wherever_it_stands(place):
    rising = np.arange(3.0 * FIRST_ASKED + 1)
    assert are_all_whole(rising)
    assert are_all_in_order(rising)
    assert are_all_in_order(-rising)
    for odd in (place + 0.5, np.inf):
        assert not are_all_whole(np.where(rising == place, odd, rising))
    for sign in (1, -1):
        assert not are_all_in_order(sign * np.where(rising == place, rising.mean() + 0.5, rising))
        assert not are_all_in_order(sign * np.insert(rising, place, rising[place]))


def test_constant_columns_have_scale_one():
    """A variance that rounding alone can make counts as none; the others' scale is their deviation."""
    mean, variance = np.array([0.3, 1e8, 2.0]), np.array([1e-34, 1e-3, 4.0])
    assert_allclose(column_scale(mean, variance, 1000), [1.0, np.sqrt(1e-3), 2.0])


@pytest.mark.parametrize("seed", range(3))
def test_exchanges_of_many_classes_find_what_one_at_a_time_does(seed):
    rng = np.random.default_rng(seed)
    n_classes = 120
    A = np.eye(n_classes) * 0.5 + rng.dirichlet(np.full(n_classes, 0.3), n_classes).T * 0.5
    b = rng.dirichlet(np.full(n_classes, 0.2))
    M = np.vstack([A - b[:, np.newaxis], np.ones(n_classes)])
    expected = nnls(M, np.append(np.zeros(n_classes), 1.0))[0]
    assert (expected == 0).any()
    assert_allclose(_pivoted_nnls(M), expected, rtol=0, atol=1e-12)
    assert_allclose(simplex_least_squares(A, b), expected / expected.sum(), rtol=0, atol=1e-12)
