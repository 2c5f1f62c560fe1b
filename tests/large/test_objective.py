"""Sums over units against the objective written out row by row."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from shiftfix.large._logistic_sums import LogisticPoint, log_of_ones_plus, merge_logistic, unit_logistic
from shiftfix.large._moments import join_moments, unit_moments
from shiftfix.large._objective import discriminant_point, evaluate_sums, make_scales, start_from_moments
from shiftfix.large._units import ArrayPart, Unit

RNG = np.random.default_rng(0)
ROWS = [RNG.normal(3, 2, (700, 3)), RNG.normal(3.5, 2, (400, 3))]
COUNTS = [RNG.integers(1, 4, len(rows)).astype(float) for rows in ROWS]
UNITS = [
    Unit(ArrayPart(rows, c, ("a", "b", "c"), "x"), 0, len(rows), i)
    for i, (rows, c) in enumerate(zip(ROWS, COUNTS, strict=True))
]
MOMENTS = (unit_moments(UNITS[0], True)[0], unit_moments(UNITS[1], True)[1])
SCALES = make_scales(MOMENTS, 0.7)


def objective(point):
    """F at (intercept, beta), from its definition."""
    rows, c = np.vstack(ROWS), np.concatenate(COUNTS)
    mean = c @ rows / c.sum()
    scale = np.sqrt(c @ (rows - mean) ** 2 / c.sum())
    h = point[0] + (rows - mean) / scale @ point[1:]
    sign = np.repeat([-1, 1], [700, 400])
    return c @ np.logaddexp(0, -sign * h) / c.sum() + point[1:] @ point[1:] / (2 * 0.7 * c.sum())


def numerical(function, point, step=1e-5):
    columns = [(function(point + step * e) - function(point - step * e)) / (2 * step) for e in np.eye(len(point))]
    return np.array(columns)


@pytest.mark.parametrize("away", [0.0, 5.0])
def test_value_gradient_and_hessian_about_any_centre(away):
    """Central differences of a smooth function miss by about 1e-10."""
    at = LogisticPoint(0.3, np.array([0.2, -0.1, 0.4]), SCALES.mean + away)
    sums = merge_logistic(unit_logistic(UNITS[0], at, True), unit_logistic(UNITS[1], at, True))
    found = evaluate_sums(sums, at, SCALES)
    assert found.value == pytest.approx(objective(found.point), rel=1e-12)
    assert_allclose(found.gradient, numerical(objective, found.point), atol=1e-8)
    assert_allclose(found.hessian, numerical(lambda p: numerical(objective, p, 1e-4), found.point, 1e-4), atol=1e-5)
    assert sums[0].odds == pytest.approx(COUNTS[0] @ np.exp(at.intercept + (ROWS[0] - at.centre) @ at.slope))


def test_where_the_odds_are_constant_moments_tell_all():
    found = start_from_moments(MOMENTS, SCALES)
    assert found.value == pytest.approx(objective(found.point), rel=1e-12)
    assert_allclose(found.gradient, numerical(objective, found.point), atol=1e-9)
    assert_allclose(found.hessian, numerical(lambda p: numerical(objective, p, 1e-4), found.point, 1e-4), atol=1e-5)


def test_the_discriminant_is_lower_than_a_newton_step():
    flat = start_from_moments(MOMENTS, SCALES)
    step = flat.point - np.linalg.solve(flat.hessian, flat.gradient)
    assert objective(discriminant_point(MOMENTS, SCALES)) < objective(step) < flat.value


def test_moments_of_parts_are_those_of_the_whole():
    parts = [unit_moments(UNITS[0]._replace(start=a, stop=b), True)[0] for a, b in ((0, 1), (1, 400), (400, 700))]
    whole = join_moments(join_moments(parts[0], parts[1]), parts[2])
    rows, c = ROWS[0], COUNTS[0]
    mean = c @ rows / c.sum()
    assert_allclose(whole.mean, mean, rtol=1e-13)
    assert_allclose(whole.scatter, ((rows - mean).T * c) @ (rows - mean), rtol=1e-12, atol=1e-9)
    assert (whole.n_rows, whole.total, whole.least) == (700, c.sum(), 1)
    assert np.array_equal(whole.low, rows.min(axis=0))
    assert np.array_equal(whole.high, rows.max(axis=0))


@pytest.mark.parametrize("n", [1, 511, 512, 5000])
def test_one_logarithm_for_many_rows(n):
    decay = RNG.random(n)
    decay[0] = 1.0
    assert log_of_ones_plus(decay, None) == pytest.approx(np.log1p(decay).sum(), rel=1e-13)
    assert log_of_ones_plus(decay, np.full(n, 2.0)) == pytest.approx(2 * np.log1p(decay).sum(), rel=1e-13)
