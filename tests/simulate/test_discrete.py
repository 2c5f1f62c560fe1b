import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from shiftfix.exceptions import ShiftDataError
from shiftfix.simulate import discrete_covariate_shift

P, Q = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.3, 0.6])


def test_golden_weights_and_means():
    """G3, G4: w = (0.2, 1, 3), ESS share 0.471698, source mean 1.9, target mean 3.1, all exact."""
    p = discrete_covariate_shift(P, Q, 100, 50, outcomes=[1, 2, 4], random_state=0)
    assert_allclose(p.source_weights, p.X_source @ [0.2, 1, 3], rtol=1e-12)
    assert_allclose(p.target_weights, p.X_target @ [0.2, 1, 3], rtol=1e-12)
    w = p.source_weights
    assert w.mean() == pytest.approx(1, rel=1e-12)
    assert w.sum() ** 2 / (w**2).sum() / 100 == pytest.approx(0.471698, abs=5.1e-7)
    assert p.y_source.mean() == pytest.approx(1.9)
    assert p.y_target.mean() == pytest.approx(3.1)
    assert (w * p.y_source).mean() == pytest.approx(3.1, rel=1e-12)


@pytest.mark.slow
@given(
    source=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    target=st.lists(st.integers(0, 30), min_size=6, max_size=6),
)
def test_exact_counts_reproduce_every_level(source, target):
    target = np.array(target[: len(source)])
    target[0] += 1
    source = np.array(source)
    p = discrete_covariate_shift(
        source / source.sum(), target / target.sum(), int(source.sum()), int(target.sum()), random_state=1
    )
    assert np.array_equal(p.X_source.sum(axis=0), source)
    assert np.array_equal(p.X_target.sum(axis=0), target)
    assert_allclose(p.source_weights @ p.X_source / source.sum(), target / target.sum(), atol=1e-12)


def test_drawn_counts_follow_the_probabilities():
    """40000 rows: standard error of a share at most 0.0025, allowed 0.0125."""
    p = discrete_covariate_shift(P, Q, 40_000, 40_000, exact_counts=False, random_state=0)
    assert_allclose(p.X_source.mean(axis=0), P, atol=0.0125)
    assert_allclose(p.X_target.mean(axis=0), Q, atol=0.0125)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_source": 7}, "whole numbers"),
        ({"p": [0.5, 0.5, 0.0]}, "p is 0 for level 2"),
        ({"q": [0.5, 0.5]}, "q has 2 values for 3 classes"),
        ({"q": [0.5, 0.4, 0.2]}, "not a probability vector"),
        ({"outcomes": [1, 2]}, "outcomes has 2"),
        ({"exact_counts": 1}, "exact_counts"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ShiftDataError, match=message):
        discrete_covariate_shift(**{"p": P, "q": Q, "n_source": 10, "n_target": 10, **settings})
