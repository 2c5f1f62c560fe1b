"""Thresholds and p-values: golden numbers, brute force, exact coverage by enumeration."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import brentq

from shiftfix.conformal import conformal_p_values, conformal_quantile, label_shift_p_values
from shiftfix.exceptions import ShiftDataError
from tests.conformal import brute_force

LEVELS = st.floats(0.05, 0.95)


@pytest.mark.parametrize(("level", "expected"), [(0.9, np.inf), (0.8, 3), (0.5, 3), (0.4, 2)])
def test_golden_toy(level, expected):
    """Scores 1, 2, 3 of weights 1, 1, 2 and a row of weight 1: equality counts (.8 of 5 is the 4 up to 3)."""
    assert conformal_quantile([1, 2, 3], level, weights=[1, 1, 2], test_weights=1).tolist() == [expected]


@pytest.mark.parametrize("n", range(1, 120))
def test_unweighted_it_is_the_order_statistic(n):
    """The ceil(level (n + 1))-th smallest, infinite beyond n: at .9 the 9th of 9, and none of 8."""
    for tenths in range(1, 10):
        place = -(-tenths * (n + 1) // 10)
        expected = place if place <= n else np.inf
        assert conformal_quantile(np.arange(1, n + 1), tenths / 10).tolist() == [expected]


def two_kinds(n):
    """Golden case G10 without sampling error: X in {0, 1}, P_S(1) = .2, scores exponential of mean 1 or 3."""
    middle = (np.arange(n) + 0.5) / n
    scores = np.concatenate([-np.log(1 - middle), -3 * np.log(1 - middle)])
    source = np.repeat([0.8, 0.2], n) / n
    return scores, source, np.repeat([0.2 / 0.8, 0.8 / 0.2], n)


def test_golden_two_kinds_of_rows():
    """Threshold 3.226177 and coverage .719127 unweighted, 6.249931 and .9 weighted."""
    scores, mass, ratio = two_kinds(200_000)
    plain = conformal_quantile(scores, weights=mass, test_weights=0.0)[0]
    weighted = conformal_quantile(scores, weights=mass * ratio, test_weights=0.0)[0]
    assert_allclose([plain, weighted], [3.226177, 6.249931], atol=1e-4)
    exact = [brentq(lambda t, p=p: (1 - p) * np.exp(-t) + p * np.exp(-t / 3) - 0.1, 0, 20) for p in (0.2, 0.8)]
    assert_allclose(exact, [3.226177, 6.249931], atol=1e-6)
    covered = [1 - 0.2 * np.exp(-t) - 0.8 * np.exp(-t / 3) for t in (plain, weighted)]
    assert_allclose(covered, [0.719127, 0.9], atol=1e-5)


@pytest.mark.slow
def test_golden_two_kinds_of_rows_with_200():
    """Each step of the weighted distribution is crossed halfway: .9 + E_S w^2 / (2 n) = .908, and .726 unweighted.

    2,000 draws of 50 rows, whose standard error is .001; without the row's own mass it would be .894.
    """
    rng, covered = np.random.default_rng(0), []
    for _ in range(2000):
        x = rng.random(200) < 0.2
        scores = rng.exponential(np.where(x, 3, 1))
        x_new = rng.random(50) < 0.8
        new = rng.exponential(np.where(x_new, 3, 1))
        w, w_new = np.where(x, 4, 0.25), np.where(x_new, 4, 0.25)
        plain, weighted = conformal_quantile(scores), conformal_quantile(scores, weights=w, test_weights=w_new)
        covered.append([np.mean(new <= plain), np.mean(new <= weighted)])
    assert_allclose(np.mean(covered, axis=0), [0.726, 0.908], atol=0.004)


def test_coverage_is_exact_by_enumeration():
    """Three source rows and a target row of a distribution on four atoms, every outcome weighed: coverage is at least
    the level, whatever the ratio, and at most the level plus the mean largest weight."""
    p, q = np.array([0.4, 0.3, 0.2, 0.1]), np.array([0.1, 0.2, 0.3, 0.4])
    scores = np.array([0.5, 2.0, 1.0, 3.0])  # of each atom, in no order
    w = q / p
    for level in (0.3, 0.5, 0.6, 0.75):
        covered = excess = 0.0
        for atoms in np.ndindex(4, 4, 4):
            drawn = np.array(atoms)
            found = conformal_quantile(scores[drawn], level, weights=w[drawn], test_weights=w)
            covered += p[drawn].prod() * q[scores <= found].sum()
            excess += p[drawn].prod() * (q * np.maximum(w[drawn].max(), w) / (w[drawn].sum() + w)).sum()
        assert covered >= level - 1e-12
        assert covered <= level + 3 * excess  # atoms tie


@given(
    scores=arrays(float, st.integers(1, 20), elements=st.integers(0, 6).map(float)),
    seed=st.integers(0, 10**6),
    level=LEVELS,
)
def test_brute_force(scores, seed, level):
    """Ties among the scores, weights of 0 and a few rows of any weight."""
    rng = np.random.default_rng(seed)
    w = rng.gamma(0.5, 1, len(scores)) * (rng.random(len(scores)) > 0.2)
    w[0] += 0.1
    own = np.append(rng.gamma(1, 2, 5), 0.0)
    found = conformal_quantile(scores, level, weights=w, test_weights=own)
    present = w > 0
    expected = [brute_force.threshold(scores[present], w[present], o, level) for o in own]
    assert_array_equal(found, expected)
    new = rng.integers(-1, 8, 6).astype(float)
    p = conformal_p_values(scores, new, weights=w, test_weights=own)
    assert_allclose(p, [brute_force.p_value(scores, w, o, s) for o, s in zip(own, new, strict=True)], atol=1e-12)
    near = np.abs(p - (1 - level)) < 1e-9
    assert_array_equal((p > 1 - level)[~near], (new <= found)[~near])


@given(seed=st.integers(0, 10**6), factor=st.floats(1e-6, 1e6), level=LEVELS)
def test_neither_the_unit_of_the_weights_nor_the_order_of_rows_matters(seed, factor, level):
    rng = np.random.default_rng(seed)
    scores, w, own = rng.normal(size=15), rng.gamma(1, 1, 15), rng.gamma(1, 1, 4)
    order = rng.permutation(15)
    first = conformal_quantile(scores, level, weights=w, test_weights=own)
    assert_array_equal(
        conformal_quantile(scores[order], level, weights=w[order] * factor, test_weights=own * factor), first
    )


@given(seed=st.integers(0, 10**6))
def test_a_weight_of_two_is_the_row_twice(seed):
    rng = np.random.default_rng(seed)
    scores, w = rng.normal(size=8), rng.integers(0, 3, 8) + (np.arange(8) == 0)
    levels = [0.3, 0.6, 0.9]
    twice = [conformal_quantile(np.repeat(scores, w), level)[0] for level in levels]
    assert [conformal_quantile(scores, level, weights=w)[0] for level in levels] == twice


def test_strata_are_calibrated_by_themselves():
    """Each as if it were alone; one that was never seen gets an infinite threshold and a p-value of 1."""
    rng = np.random.default_rng(0)
    scores, kind, w = rng.normal(size=60), rng.choice(["a", "b", "c"], 60), rng.gamma(1, 1, 60)
    asked, own = np.array(["c", "a", "new", "b"]), np.array([0.5, 1.0, 1.0, 2.0])
    found = conformal_quantile(scores, 0.8, weights=w, test_weights=own, strata=kind, test_strata=asked)
    for label, o, threshold in zip(asked, own, found, strict=True):
        here = kind == label
        assert threshold == (brute_force.threshold(scores[here], w[here], o, 0.8) if here.any() else np.inf)
    p = conformal_p_values(scores, np.zeros(4), weights=w, test_weights=own, strata=kind, test_strata=asked)
    assert p[2] == 1
    assert p[0] == pytest.approx(brute_force.p_value(scores[kind == "c"], w[kind == "c"], 0.5, 0.0))


def test_label_shift_p_values_by_brute_force():
    """Every class with its own weight beside the calibration rows' weights of theirs."""
    rng = np.random.default_rng(1)
    scores, y, w = rng.normal(size=40), rng.choice(["x", "y", "z"], 40), np.array([0.2, 1.0, 3.0])
    new = rng.normal(size=(7, 3))
    found = label_shift_p_values(scores, y, new, ["x", "y", "z"], w)
    weights = w[np.searchsorted(["x", "y", "z"], y)]
    expected = [[brute_force.p_value(scores, weights, w[k], row[k]) for k in range(3)] for row in new]
    assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: conformal_quantile([1, 2], 1.0), "level=1.0"),
        (lambda: conformal_quantile([1, np.nan]), "scores contains NaN"),
        (lambda: conformal_quantile([1, 2], weights=[1, -1]), "negative"),
        (lambda: conformal_quantile([1, 2], weights=[1, 1, 1]), "3 values for 2 scores"),
        (lambda: conformal_quantile([1, 2], strata=["a", "b"]), "strata and test_strata belong together"),
        (lambda: conformal_p_values([1, 2], [1], test_weights=[1, 2]), "2 values for 1 rows to judge"),
        (lambda: label_shift_p_values([1, 2], ["a", "q"], [[1, 2]], ["a", "b"], [1, 1]), "not among the classes"),
        (lambda: label_shift_p_values([1, 2], ["a", "b"], [[1]], ["a", "b"], [1, 1]), "1 columns for 2 classes"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ShiftDataError, match=message):
        call()
