"""Class shares from a few labels: counts, and counts helped by scores."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import norm

from shiftfix.exceptions import ShiftDataError
from shiftfix.label import prior_from_labels
from shiftfix.label._prior_from_labels import powered_shares, wilson_interval
from tests.registry import overlapping_scores


def test_counts():
    prior = prior_from_labels(["b", "a", "b", "b"], classes=["a", "b", "c"])
    assert prior.unbiased.tolist() == [0.25, 0.75, 0]
    assert_allclose(prior.shares, np.array([1.5, 3.5, 0.5]) / 5.5)
    assert (prior.n_labels, prior.power, prior.effective_labels.tolist()) == (4, 0, [4, 4, 4])


@pytest.mark.parametrize(("count", "n"), [(0, 20), (3, 25), (50, 50), (60, 100)])
def test_wilson_ends_are_where_the_test_rejects(count, n):
    """|share - q| = z sqrt(q (1 - q) / n) at either end, solved by bisection."""
    z, share = norm.ppf(0.975), count / n
    low, high = wilson_interval(np.array([share]), np.array([float(n)]), 0.95)

    def gap(q):
        return abs(share - q) - z * np.sqrt(q * (1 - q) / n)

    if count > 0:
        assert low[0] == pytest.approx(brentq(gap, 1e-12, share - 1e-9), abs=1e-9)
    if count < n:
        assert high[0] == pytest.approx(brentq(gap, share + 1e-9, 1 - 1e-12), abs=1e-9)


def test_dirichlet_ends_are_quantiles_of_the_posterior():
    """Drawn from Dirichlet(counts + 1/2); its marginals are those of the interval."""
    prior = prior_from_labels(np.repeat([0, 1], [12, 18]))
    drawn = np.random.default_rng(0).dirichlet([12.5, 18.5], 200_000)
    low, high = prior.interval(0.9, "dirichlet")
    assert_allclose(low, np.quantile(drawn, 0.05, axis=0), atol=0.003)
    assert_allclose(high, np.quantile(drawn, 0.95, axis=0), atol=0.003)


def test_power_and_variance_are_the_formula():
    """lambda is where the sum of the variances is least, by a general optimiser."""
    scores, y = overlapping_scores(0, [0.5, 0.3, 0.2], 60)
    further = overlapping_scores(1, [0.5, 0.3, 0.2], 200)[0]
    Y = np.eye(3)[y]
    found = powered_shares(Y, scores, further)

    def total(power):
        spread = np.concatenate([scores, further]).var(axis=0)
        covariance = np.cov((Y - 0).T, scores.T)[:3, 3:].diagonal()
        return (Y.var(axis=0) / 60 - 2 * power * covariance / 60 + power**2 * spread * (1 / 60 + 1 / 200)).sum()

    assert found.power == pytest.approx(minimize_scalar(total, (0, 1)).x, abs=1e-6)
    rest = Y - found.power * scores
    by_hand = found.power**2 * np.concatenate([scores, further]).var(axis=0) / 200 + rest.var(axis=0, ddof=1) / 60
    assert_allclose(found.variances, by_hand)
    assert found.shares.sum() == pytest.approx(1)


def test_useless_scores_change_nothing_and_exact_ones_are_as_good_as_all_labels():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=80)
    flat = np.full((80, 2), 0.5)
    plain = prior_from_labels(y)
    assert_allclose(prior_from_labels(y, flat, flat).shares, plain.shares)
    everywhere = np.eye(2)[rng.integers(2, size=100_000)]
    exact = prior_from_labels(y, np.eye(2)[y], everywhere)
    assert exact.power == pytest.approx(1, abs=0.02)
    assert exact.effective_labels.min() > 2000
    assert_allclose(exact.unbiased, everywhere.mean(axis=0), atol=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("n", [25, 50, 100, 200])
def test_coverage(n):
    """1,000 samples of three classes with shares .1, .3, .6: 92 to 97% covered at 95% (sampling error .4 points over
    three classes), in both kinds, with and without scores; scores of overlapping classes shorten the intervals."""
    truth = np.array([0.1, 0.3, 0.6])
    held = {(kind, scored): [] for kind in ("wilson", "dirichlet") for scored in (False, True)}
    width = {scored: [] for scored in (False, True)}
    for seed in range(1000):
        scores, y = overlapping_scores(seed, truth, n + 500)
        for scored in (False, True):
            prior = prior_from_labels(y[:n], *([scores[:n], scores[n:]] if scored else []), classes=range(3))
            for kind in ("wilson", "dirichlet"):
                low, high = prior.interval(0.95, kind)
                held[kind, scored].append((low <= truth) & (truth <= high))
            width[scored].append((high - low).mean())
    for found in held.values():
        assert 0.915 < np.mean(found) < 0.98
    assert np.mean(width[True]) < 0.9 * np.mean(width[False])


def test_the_order_of_rows_and_classes_does_not_matter(rng):
    scores, y = overlapping_scores(0, [0.2, 0.3, 0.5], 300)
    one = prior_from_labels(y[:50], scores[:50], scores[50:])
    order = rng.permutation(50)
    turned = [2, 0, 1]
    other = prior_from_labels(
        y[:50][order], scores[:50][order][:, turned], scores[:49:-1][:, turned], classes=np.arange(3)[turned]
    )
    assert_allclose(other.shares, one.shares[turned])
    assert_allclose(other.interval()[0], one.interval()[0][turned])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: prior_from_labels([]), "y is empty"),
        (lambda: prior_from_labels([0, 1], [[0.5, 0.5]] * 2), "belong together"),
        (lambda: prior_from_labels([0, 1], [[0.5, 0.5]] * 3, [[0.5, 0.5]]), "3"),
        (lambda: prior_from_labels([0, 2], classes=[0, 1]), r"holds \[2\]"),
        (lambda: prior_from_labels([0, 1], [[0.5, 0.6]] * 2, [[0.5, 0.5]]), "not made of probabilities"),
        (lambda: prior_from_labels([0, 1]).interval(1.0), "level=1.0"),
        (lambda: prior_from_labels([0, 1]).interval(kind="normal"), "kind='normal'"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ShiftDataError, match=message):
        call()
