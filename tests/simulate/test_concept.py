import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.stats import norm

from shiftfix.exceptions import ShiftDataError
from shiftfix.simulate import concept_shift, rotated_accuracy


@pytest.mark.slow
@given(noise=st.floats(0.05, 5))
def test_accuracy_at_home_against_numerical_integration(noise):
    """E max(p, 1 - p) with p = Phi(z / noise); quad misses by less than 1e-8."""
    truth = 2 * quad(lambda z: norm.cdf(z / noise) * norm.pdf(z), 0, 12, points=[noise])[0]
    assert rotated_accuracy(0.0, noise) == pytest.approx(truth, abs=1e-7)


def test_accuracy_without_noise_is_the_angle():
    """The two half planes disagree on two wedges of the given angle."""
    for angle in np.linspace(0, np.pi, 7):
        assert rotated_accuracy(angle) == pytest.approx(1 - angle / np.pi, abs=1e-7)


@pytest.mark.slow
@given(angle=st.floats(0, np.pi), noise=st.floats(0, 3))
def test_opposite_angles_add_to_one(angle, noise):
    assert rotated_accuracy(angle, noise) + rotated_accuracy(np.pi - angle, noise) == pytest.approx(1, abs=1e-7)


@pytest.mark.parametrize("angle", [0.0, 0.7, 2.5])
def test_simulated_accuracy_is_the_closed_form(angle):
    """40000 rows: standard error 0.0025, allowed 0.0125. The formula without the noise misses by 0.09."""
    p = concept_shift(40_000, 40_000, angle=angle, noise=0.3, random_state=0)
    assert ((p.X_target[:, 0] > 0) == p.y_target).mean() == pytest.approx(rotated_accuracy(angle, 0.3), abs=0.0125)
    assert ((p.X_source[:, 0] > 0) == p.y_source).mean() == pytest.approx(rotated_accuracy(0, 0.3), abs=0.0125)


def test_x_does_not_move_and_no_weights_are_given():
    """Standard error of a mean 0.007, allowed 0.035."""
    p = concept_shift(20_000, 20_000, angle=1.0, n_features=3, random_state=1)
    assert_allclose(p.X_source.mean(axis=0), 0, atol=0.035)
    assert_allclose(p.X_target.mean(axis=0), 0, atol=0.035)
    assert p.kind == "concept"
    assert p.source_weights is p.target_weights is p.source_prior is p.target_prior is None


@pytest.mark.parametrize("settings", [{"n_features": 1}, {"angle": np.nan}, {"noise": -1}, {"n_target": 0}])
def test_bad_settings(settings):
    with pytest.raises(ShiftDataError):
        concept_shift(**{"n_source": 5, "n_target": 5, "angle": 1.0, **settings})
