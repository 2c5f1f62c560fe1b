import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from shiftfix.weights import effective_sample_size
from tests import oracles
from tests.strategies import counts, weight_vectors


def test_equal_weights_are_worth_their_number():
    assert effective_sample_size(np.full(7, 0.3)) == pytest.approx(7)


def test_one_weight_alone_is_worth_one_row():
    assert effective_sample_size([0, 0, 5, 0]) == pytest.approx(1)


def test_discrete_case():
    """p = (.5, .3, .2), w = (.2, 1, 3): ESS / n = 1 / E w^2 = 1 / 2.12 = .471698."""
    w = np.repeat([0.2, 1, 3], [500, 300, 200])
    assert effective_sample_size(w) / 1000 == pytest.approx(0.471698, abs=1e-6)


@pytest.mark.parametrize("mu", [0.5, 1.0])
def test_gaussian_shift_tends_to_the_chi_squared_value(mu):
    """ESS / n -> exp(-mu^2); .367879 at mu = 1. On the quantile grid the sum misses by 2% at most."""
    n = 200_000
    x = norm.ppf((np.arange(n) + 0.5) / n)
    assert effective_sample_size(np.exp(mu * x)) / n == pytest.approx(np.exp(-(mu**2)), rel=0.02)


@pytest.mark.slow
@given(w=weight_vectors(), scale=st.floats(1e-200, 1e200))
def test_bounds_and_scale(w, scale):
    size = effective_sample_size(w)
    assert 1 - 1e-9 <= size <= len(w) * (1 + 1e-9)
    assert effective_sample_size(w / w.max() * scale) == pytest.approx(size, rel=1e-9)


@pytest.mark.slow
@given(data=st.data())
def test_repeat_counts_equal_repeated_rows(data):
    w = data.draw(weight_vectors(min_size=2)) + 1e-3
    c = data.draw(counts(len(w)))
    assert effective_sample_size(w, sample_weight=c) == pytest.approx(oracles.kish_by_duplication(w, c))


def test_a_huge_weight_that_counts_zero_times_changes_nothing():
    assert effective_sample_size([1, 2, 1e200], sample_weight=[1, 1, 0]) == pytest.approx(9 / 5)
