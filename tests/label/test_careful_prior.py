"""The prior to act on: closed forms."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from shiftfix.label._careful_prior import careful_prior

EVEN = np.array([0.5, 0.5])


def test_the_step_is_shortened_by_the_share_that_sampling_error_explains():
    """|q - p|^2 = .18, trace .018: a tenth of the step is error."""
    q, covariance = np.array([0.8, 0.2]), np.array([[0.009, -0.009], [-0.009, 0.009]])
    assert_allclose(careful_prior(q, EVEN, covariance, 1000), [0.77, 0.23])
    assert_allclose(careful_prior(q, EVEN, 0 * covariance, 1000), q)
    assert_allclose(careful_prior(q, EVEN, 10 * covariance, 1000), EVEN)
    assert_allclose(careful_prior(q, EVEN, 99 * covariance, 1000), EVEN)
    assert_allclose(careful_prior(EVEN, EVEN, covariance, 1000), EVEN)


@pytest.mark.parametrize("n_target", [20, 1000])
def test_no_class_has_less_than_half_a_target_row(n_target):
    found = careful_prior(np.array([1.0, 0.0]), EVEN, np.zeros((2, 2)), n_target)
    floor = 0.5 / n_target
    assert_allclose(found, np.array([1, floor]) / (1 + floor))
    # A class that is rarer than that in the source keeps its share.
    rare = careful_prior(np.array([1.0, 0.0]), np.array([0.999999, 0.000001]), np.zeros((2, 2)), n_target)
    assert_allclose(rare[1], 1e-6, rtol=1e-5)


def test_it_is_a_prior_between_the_two(rng):
    for _ in range(50):
        p, q = rng.dirichlet(np.ones(4), 2)
        root = rng.normal(size=(4, 4)) * 0.05
        found = careful_prior(q, p, root @ root.T, 200)
        assert found.sum() == pytest.approx(1)
        assert (found > 0).all()
        low, high = np.minimum(p, q), np.maximum(p, q)
        assert ((found > low - 0.003) & (found < high + 0.003)).all()
