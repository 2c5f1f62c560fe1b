import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose
from scipy import sparse

from shiftfix._blocks import column_range, column_spread
from shiftfix._numerics import log_mean_exp, simplex_least_squares
from tests import oracles
from tests.strategies import invertible_confusions, simplex_points


@given(data=st.data())
def test_interior_solution_is_the_linear_solution(data):
    A = data.draw(invertible_confusions())
    q = data.draw(simplex_points(len(A)))
    assert_allclose(simplex_least_squares(A, A @ q), q, atol=1e-9)


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


@given(values=arrays(float, 5, elements=st.floats(-30, 30)), counts=arrays(float, 5, elements=st.floats(0.1, 9)))
def test_log_mean_exp_is_the_log_of_the_weighted_mean(values, counts):
    assert log_mean_exp(values, counts) == pytest.approx(np.log(np.average(np.exp(values), weights=counts)), abs=1e-9)


def test_log_mean_exp_does_not_overflow():
    assert log_mean_exp(np.array([2000.0, 2000.0]), np.ones(2)) == pytest.approx(2000)


@pytest.mark.parametrize("shape", [(1, 3), (15, 2), (16, 2), (1000, 3), (70000, 3)])
def test_range_of_columns(rng, shape):
    block = rng.normal(size=shape)
    block[0], block[-1] = 9, -9  # the range lies at the ends, where blocks are cut
    for rows in (block, -block, block[:, ::2], np.asfortranarray(block)):
        low, high = column_range(rows)
        assert (low == rows.min(axis=0)).all()
        assert (high == rows.max(axis=0)).all()


@pytest.mark.parametrize("unit", [1e-200, 1.0, 1e200])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_spread_of_columns_by_definition(rng, form, unit):
    """Where squares vanish or overflow too; rounding leaves 1e-12 or so, a forgotten count or unit misses by tenths."""
    X, counts = rng.normal(0.5, 1, (500, 3)), rng.integers(1, 4, 500).astype(float)
    X[:, 2] = 0.3
    spread = column_spread(form(X * unit), counts)
    mean = np.average(X, axis=0, weights=counts)
    deviation = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=counts))
    assert spread.total == counts.sum()
    assert_allclose(spread.mean / unit, mean, rtol=1e-11)
    assert_allclose(spread.deviation[:2] / unit, deviation[:2], rtol=1e-10)
    assert spread.deviation[2] == 0
    assert spread.mean[2] == 0.3 * unit
    assert_allclose([spread.low / unit, spread.high / unit], [X.min(axis=0), X.max(axis=0)])
