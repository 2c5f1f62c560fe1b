import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.stats import kstest

from shiftfix.exceptions import ShiftDataError
from shiftfix.simulate import exponential_chi2, exponential_covariate_shift


def test_log_ratio_at_the_golden_value():
    """G2: log w = -0.287682 + 0.25 x."""
    p = exponential_covariate_shift(200, 100, rate=0.75, random_state=0)
    for X, w in ((p.X_source, p.source_weights), (p.X_target, p.target_weights)):
        assert_allclose(np.log(w), -0.287682072 + 0.25 * X[:, 0], atol=1e-8)


def test_chi2():
    assert exponential_chi2(0.75) == pytest.approx(0.125, rel=1e-12)
    truth = quad(lambda x: 1.7**2 * np.exp(-2 * 1.7 * x + x), 0, 60)[0] - 1
    assert exponential_chi2(1.7) == pytest.approx(truth, rel=1e-9)
    assert exponential_chi2(0.5) == np.inf
    assert exponential_chi2(0.4) == np.inf


@pytest.mark.parametrize("rate", [0.4, 0.75])
def test_weights_are_pareto_with_index_one_minus_rate(rate):
    """P(w > t) = (t / rate)^(-1/k). Kolmogorov-Smirnov on 5000 weights: fixed seed, p-value above 0.01; with
    k = rate in place of 1 - rate it is below 1e-20."""
    w = exponential_covariate_shift(5000, 1, rate=rate, random_state=0).source_weights
    k = 1 - rate
    assert kstest(w, lambda t: 1 - (np.maximum(t, rate) / rate) ** (-1 / k)).pvalue > 0.01


def test_means_of_both_samples():
    """n = 40000. Largest misses in 100 runs: target mean 0.017, allowed 0.035; weighted source mean 0.029,
    allowed 0.06. The unweighted mean misses by 0.33."""
    p = exponential_covariate_shift(40_000, 40_000, rate=0.75, random_state=1)
    assert p.X_target.mean() == pytest.approx(4 / 3, abs=0.035)
    assert np.average(p.X_source[:, 0], weights=p.source_weights) == pytest.approx(4 / 3, abs=0.06)


@pytest.mark.parametrize("rate", [0, -1.0, np.nan, np.inf, "a"])
def test_bad_rate(rate):
    with pytest.raises(ShiftDataError, match="rate="):
        exponential_covariate_shift(5, 5, rate=rate)
