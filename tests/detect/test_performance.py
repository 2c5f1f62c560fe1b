"""Parts of a drop: a sum, closed forms, and intervals that hold the error of the weights."""

import numpy as np
import pytest
from scipy.stats import norm

from shiftfix.detect import Part, performance_drop


def problem(seed, *, moved=0.7, more=1.0, n=1000, m=300):
    rng = np.random.default_rng(seed)
    X, X_target = rng.normal(size=(n, 2)), rng.normal([moved, 0], 1, (n, 2))
    losses, losses_target = (rows[:, 0] ** 2 + rng.normal(size=n) ** 2 for rows in (X, X_target))
    return losses, (losses_target + more)[:m], X, X_target


def true_parts(moved=0.7, more=1.0):
    x = np.linspace(-12, 13, 20_001)
    p, q = norm.pdf(x), norm.pdf(x, moved)
    square = (p * q / (p + q) * x**2).sum() / (p * q / (p + q)).sum()
    return {"total": moved**2 + more, "features": square - 1, "labels": more, "support": moved**2 + 1 - square}


def test_the_parts_add_up_to_the_total():
    losses, losses_target, X, X_target = problem(0)
    found = performance_drop(losses, losses_target, X, X_target)
    assert found.total.estimate == pytest.approx(losses_target.mean() - losses.mean())
    parts = [found.features, found.labels, found.support]
    assert sum(part.estimate for part in parts) == pytest.approx(found.total.estimate)
    assert found.effect_size == found.total.estimate
    assert found.imbalance < 0.1
    assert "other y at the same x +" in str(found)


def test_the_parts_of_two_gaussians():
    """Standard errors of 20,000 rows: .02 to .04; allowed four of them."""
    found = performance_drop(*problem(1, n=20_000, m=20_000))
    for part, truth in true_parts().items():
        assert getattr(found, part).estimate == pytest.approx(truth, abs=0.12), part


@pytest.mark.slow
def test_intervals_cover():
    """150 problems, 95% intervals: 142.5 expected, standard deviation 2.7; heavy-tailed losses cost a little."""
    results = [performance_drop(*problem(seed)) for seed in range(150)]
    for part, truth in true_parts().items():
        found = [getattr(result, part) for result in results]
        assert sum(one.low <= truth <= one.high for one in found) >= 132, part


def test_samples_apart_have_no_parts():
    found = performance_drop(*problem(2, moved=6.0))
    assert found.labels is None
    assert "cannot be told" in str(found)
    assert found.total.estimate > 20


def test_a_shift_that_the_weights_do_not_see_is_found_by_the_squares():
    rng = np.random.default_rng(3)
    X, X_target = rng.normal(size=(2000, 1)), rng.normal(0, 0.2, (2000, 1))
    assert performance_drop(X[:, 0] ** 2, X_target[:, 0] ** 2, X, X_target).labels is None


def test_no_change():
    losses, _, X, _ = problem(4)
    found = performance_drop(losses, losses, X, X)
    assert (found.p_value, found.total.estimate) == (1, 0)
    constant = performance_drop(np.ones(1000), np.ones(100), X, X)
    assert (constant.p_value, constant.statistic) == (1, 0)


def test_rows_and_confidence():
    losses, losses_target, X, X_target = problem(5)
    first = performance_drop(losses, losses_target, X, X_target)
    moved = np.roll(np.arange(1000), -100)
    other = performance_drop(losses, losses_target, X, X_target[np.argsort(moved)], rows=moved[:300])
    assert other.labels.estimate == pytest.approx(first.labels.estimate, rel=1e-6)
    narrow = performance_drop(losses, losses_target, X, X_target, confidence=0.5)
    assert narrow.total.low > first.total.low
    assert str(Part(1.0, 0.5, 1.5)) == "+1 (+0.5 to +1.5)"


def test_errors():
    losses, losses_target, X, X_target = problem(6)
    with pytest.raises(ValueError, match="losses_target has 19 rows"):
        performance_drop(losses, losses_target[:19], X, X_target)
    with pytest.raises(ValueError, match="overflows"):
        performance_drop(losses * 1e300, losses_target, X, X_target)
