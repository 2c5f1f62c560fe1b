import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize_scalar

from shiftfix.exceptions import ShiftDataError
from shiftfix.simulate import BiasedCoin


def expected_loss(coin, judged, in_use):
    """Squared loss, by its definition: summed over x = -1, 1 and y = 0, 1."""
    total = 0.0
    for x in (-1, 1):
        chance = 0.5 + (coin.mu + coin.eps * in_use) * x
        predicted = 0.5 + judged * x
        total += 0.5 * (chance * (1 - predicted) ** 2 + (1 - chance) * predicted**2)
    return total


def test_the_printed_case():
    """mu = .2, eps = .3."""
    coin = BiasedCoin(mu=0.2, eps=0.3)
    assert coin.stable == pytest.approx(0.285714, abs=5e-7)
    assert coin.optimum == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize(("mu", "eps"), [(0.2, 0.3), (0.1, 0.2), (0.05, 0.4), (0.3, 0.3), (0.05, 0.8), (0.2, 0.0)])
def test_points_and_risk_are_those_of_the_definition(mu, eps):
    """Brute force over the four outcomes, minimized numerically to 1e-8."""
    coin, within = BiasedCoin(mu, eps), {"bounds": (-0.5, 0.5), "method": "bounded", "options": {"xatol": 1e-10}}
    for theta in (-0.4, 0.0, 0.25, 0.5):
        assert coin.risk(theta) == pytest.approx(expected_loss(coin, theta, theta), abs=1e-12)
        best = minimize_scalar(lambda judged, t=theta: expected_loss(coin, judged, t), **within).x
        assert coin.retrained(theta) == pytest.approx(best, abs=1e-6)
    assert coin.retrained(coin.stable) == pytest.approx(coin.stable, abs=1e-12)
    grid = np.linspace(-0.5, 0.5, 100_001)
    assert coin.optimum == pytest.approx(grid[np.argmin(expected_loss(coin, grid, grid))], abs=2e-5)


def test_tosses_follow_the_rule():
    """20000 tosses of a side: standard error .0035; allowed .0175."""
    coin = BiasedCoin(0.2, 0.3)
    X, y, chance, ratio = coin.draw(lambda X: 0.5 + 0.4 * X[:, 0], 40_000, 0)
    assert_allclose(chance, 0.5 + 0.32 * X[:, 0])
    assert y[X[:, 0] > 0].mean() == pytest.approx(0.82, abs=0.0175)
    assert (X > 0).mean() == pytest.approx(0.5, abs=0.0125)
    assert_allclose(ratio, 1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: BiasedCoin(0.6), "mu=0.6"),
        (lambda: BiasedCoin(0.2, 1.0), "eps=1"),
        (lambda: BiasedCoin(0.4, 0.3), "an eps of at most 0.2"),
        (lambda: BiasedCoin().risk(0.7), "theta=0.7"),
        (lambda: BiasedCoin().draw(lambda X: 2 * X[:, 0], 5), "theta=2"),
    ],
    ids=["mu", "eps", "both", "theta", "rule"],
)
def test_errors(call, words):
    with pytest.raises(ShiftDataError, match=words):
        call()
