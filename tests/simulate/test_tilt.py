import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose

from shiftfix.exceptions import ShiftDataError
from shiftfix.simulate import exponential_tilt, tilt_log_weights


def test_weights_are_the_normalised_exponential(rng):
    X, beta = rng.normal(size=(30, 3)), np.array([1.0, -0.5, 0.0])
    truth = np.exp(X @ beta) / np.exp(X @ beta).mean()
    assert_allclose(np.exp(tilt_log_weights(X, beta)), truth, rtol=1e-12)
    centred = (X - X.mean(axis=0)) / X.std(axis=0)
    truth = np.exp(centred @ beta) / np.exp(centred @ beta).mean()
    assert_allclose(np.exp(tilt_log_weights(X, beta, standardize=True)), truth, rtol=1e-12)


def test_a_constant_feature_standardises_to_nothing():
    X = np.column_stack([np.arange(5.0), np.full(5, 7.0)])
    assert np.array_equal(
        tilt_log_weights(X, [0.0, 3.0], standardize=True), tilt_log_weights(X, [0.0, 0.0], standardize=True)
    )


@pytest.mark.slow
@given(
    X=arrays(float, (12, 2), elements=st.floats(-900, 900)),
    beta=arrays(float, 2, elements=st.floats(-3, 3)),
)
def test_weights_are_finite_and_average_one(X, beta):
    """x'beta reaches 5400 here, where exp alone overflows from 710 on."""
    w = np.exp(tilt_log_weights(X, beta))
    assert np.isfinite(w).all()
    assert w.mean() == pytest.approx(1, rel=1e-9)


@pytest.mark.slow
@given(shift=st.floats(-1e4, 1e4))
def test_a_constant_added_to_a_feature_changes_nothing(shift):
    """The normalisation removes it; rounding of x + shift leaves about 1e-11."""
    X = np.arange(10.0)[:, np.newaxis]
    assert_allclose(tilt_log_weights(X + shift, [0.3]), tilt_log_weights(X, [0.3]), atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("draw", ["replace", "thin"])
def test_target_frequencies_are_the_weights_of_a_brute_force_pool(draw):
    """4 kinds of row, 500 each; 200 splits. Share of each kind in the target = its share of the total weight.
    Largest misses in 3 runs 0.001 and 0.002; allowed 0.005 and 0.008. An inverted tilt misses by 0.3."""
    kinds = np.repeat(np.arange(4.0), 500)
    share = np.exp(0.7 * np.arange(4)) / np.exp(0.7 * np.arange(4)).sum()
    found = np.zeros(4)
    for seed in range(200):
        p = exponential_tilt(kinds[:, np.newaxis], kinds, [0.7], draw=draw, random_state=seed)
        found += np.bincount(p.y_target.astype(int), minlength=4)
        assert np.array_equal(p.X_target[:, 0], p.y_target)
    assert_allclose(found / found.sum(), share, atol=0.005 if draw == "replace" else 0.008)


@pytest.mark.parametrize("seed", range(3))
def test_weighted_source_means_are_the_target_means(seed):
    """20000 rows of N(0, I), beta = (0.8, 0): the tilted law is N(beta, I). Largest misses in 100 runs
    0.046 (weighted) and 0.051 (target); allowed 0.07. The unweighted source misses by 0.8."""
    X = np.random.default_rng(100 + seed).normal(size=(20_000, 2))
    p = exponential_tilt(X, X[:, 0], [0.8, 0.0], random_state=seed)
    assert_allclose(np.average(p.X_source, axis=0, weights=p.source_weights), [0.8, 0], atol=0.07)
    assert_allclose(p.X_target.mean(axis=0), [0.8, 0], atol=0.07)
    assert p.source_weights.mean() == pytest.approx(1, abs=0.07)


@pytest.mark.slow
@given(seed=st.integers(0, 1000), fraction=st.floats(0.2, 0.8))
def test_no_row_is_in_both_samples(seed, fraction):
    X = np.arange(25.0)[:, np.newaxis]
    p = exponential_tilt(X, X[:, 0], [0.1], source_fraction=fraction, random_state=seed)
    assert not set(p.y_source) & set(p.y_target)
    assert len(p.y_source) == round(25 * fraction)
    assert len(set(p.y_source)) == len(p.y_source)
    thin = exponential_tilt(X, X[:, 0], [0.1], source_fraction=fraction, draw="thin", random_state=seed)
    assert len(set(thin.y_target)) == len(thin.y_target) >= 1
    assert not set(thin.y_source) & set(thin.y_target)


def test_sizes():
    X = np.zeros((40, 1))
    assert len(exponential_tilt(X, X[:, 0], [0.0], random_state=0).X_target) == 20
    assert len(exponential_tilt(X, X[:, 0], [0.0], target_fraction=0.25, random_state=0).X_target) == 5
    assert len(exponential_tilt(X, X[:, 0], [0.0], n_target=100, random_state=0).X_target) == 100


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beta": [1.0]}, "beta has 1 values for 2 features"),
        ({"y": np.zeros(3)}, "y has shape"),
        ({"source_fraction": 1.0}, "source_fraction=1.0"),
        ({"source_fraction": 0.01}, "0 source rows"),
        ({"n_target": 3, "target_fraction": 0.5}, "both set the target size"),
        ({"n_target": 3, "draw": "thin"}, "thin"),
        ({"target_fraction": 0}, "target_fraction=0"),
        ({"draw": "reject"}, "'reject'"),
        ({"standardize": "yes"}, "standardize"),
    ],
)
def test_bad_settings_are_named(settings, message):
    X = np.arange(20.0).reshape(10, 2)
    with pytest.raises(ShiftDataError, match=message):
        exponential_tilt(**{"X": X, "y": np.zeros(10), "beta": [0.1, 0.0], **settings})


def test_target_weights_are_those_of_the_rows_drawn():
    """Each row is told by its values; its weight is exp(x'beta) over the mean of the pool."""
    X = np.random.default_rng(0).normal(size=(60, 2))
    problem = exponential_tilt(X, X[:, 0], [1.0, -0.5], random_state=1)
    tilt = np.exp(X @ [1.0, -0.5])
    weight = {tuple(row): w for row, w in zip(X.tolist(), tilt / tilt.mean(), strict=True)}
    for rows, weights in ((problem.X_source, problem.source_weights), (problem.X_target, problem.target_weights)):
        assert_allclose(weights, [weight[tuple(row)] for row in rows.tolist()], rtol=1e-12)
