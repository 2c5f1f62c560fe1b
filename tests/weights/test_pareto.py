import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import genpareto, norm

from shiftfix.exceptions import ShiftDataError
from shiftfix.weights._pareto import fit_generalized_pareto, pareto_k, pareto_k_threshold, smooth_weights
from tests.strategies import counts, weight_vectors


def exponential_weights(rate, n, rng):
    """Exp(1) to Exp(rate): w = rate exp((1 - rate) x), exactly Pareto with k = 1 - rate."""
    return rate * np.exp((1 - rate) * rng.exponential(size=n))


@pytest.mark.parametrize("k", [-0.5, 0.0, 0.25, 0.6, 1.2])
def test_fit_finds_the_shape_and_scale_of_its_own_distribution(k):
    """On 2000 quantiles of the distribution: largest miss .0011 in k, .11% in sigma."""
    x = genpareto.ppf((np.arange(2000) + 0.5) / 2000, k, scale=3.0)
    found_k, found_sigma = fit_generalized_pareto(x, np.ones(2000))
    assert found_k == pytest.approx(k, abs=0.003)
    assert found_sigma == pytest.approx(3.0, rel=0.003)


def test_fit_agrees_with_maximum_likelihood(rng):
    """A posterior mean under a nearly flat prior lies within a fraction of the standard error, .07, of the maximum: at
    most .0094 in k and .93% in sigma in 100 samples."""
    x = np.sort(genpareto.rvs(0.4, size=400, random_state=rng))
    k_ml, _, sigma_ml = genpareto.fit(x, floc=0)
    k, sigma = fit_generalized_pareto(x, np.ones(400))
    assert k == pytest.approx(k_ml, abs=0.02)
    assert sigma == pytest.approx(sigma_ml, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.75, 0.4])
def test_exponential_shift_has_k_one_minus_rate(rate):
    """Mean over 40 samples of 20,000 (424 in the tail, standard error of one (1 + k) / sqrt(424) = .06 to .08, of the
    mean .013): 4 standard errors, plus the prior's pull of (.5 - k) 10 / 434 < .006."""
    k = np.mean([pareto_k(exponential_weights(rate, 20_000, np.random.default_rng(s))) for s in range(40)])
    assert k == pytest.approx(1 - rate, abs=0.055)


@pytest.mark.slow
@pytest.mark.parametrize("variance", [1.5, 3.0])
def test_variance_shift_tends_to_k_one_minus_inverse_variance(variance):
    """N(0, 1) to N(0, s2) on 10^6 quantiles. The tail is Pareto only in the limit (a slowly varying factor): the fit
    stays below the limit 1 - 1/s2, by .013 and .038."""
    x = norm.ppf((np.arange(1_000_000) + 0.5) / 1_000_000)
    k, limit = pareto_k(np.exp(0.5 * x * x * (1 - 1 / variance))), 1 - 1 / variance
    assert limit - 0.06 < k < limit


def test_uniform_weights_have_k_minus_one():
    """The excess over any threshold is uniform, k = -1; with M = 949 the prior gives (949 k + 5) / 959 = -.984."""
    assert pareto_k((np.arange(100_000) + 0.5) / 100_000) == pytest.approx(-0.984, abs=0.05)


def test_prior_counts_ten_rows_at_one_half():
    w = np.exp(np.random.default_rng(3).exponential(size=25))  # M = 5: the prior weighs two thirds
    tail = np.sort(w)[-5:] - np.sort(w)[-6]
    raw, _ = fit_generalized_pareto(tail, np.ones(5))
    assert pareto_k(w) == pytest.approx((5 * raw + 5) / 15)


@pytest.mark.parametrize(("n", "in_tail"), [(25, 5), (100, 20), (225, 45), (400, 60), (10_000, 300)])
def test_size_of_the_tail(n, in_tail):
    """ceil(min(n / 5, 3 sqrt n)) rows change, none other; all smoothed values are new."""
    w = np.exp(np.random.default_rng(n).exponential(size=n))
    assert (smooth_weights(w) != w).sum() in (in_tail, in_tail - 1)  # the largest may be cut back to itself


@pytest.mark.parametrize(
    ("weights", "k"),
    [
        (np.ones(1), -np.inf),
        (np.full(500, 1e-300), -np.inf),
        (1 + 1e-13 * np.arange(500.0) / 500, -np.inf),
        ([1.0] * 50 + [2.0] * 50, -np.inf),
        ([0.0] * 99 + [1.0], np.inf),
        ([1.0] * 99 + [1000.0], np.inf),
        (np.arange(1, 21), np.inf),
    ],
    ids=["one row", "constant", "rounding", "atom at the top", "one row alone", "one above ties", "20 rows"],
)
def test_documented_values_where_nothing_can_be_fitted(weights, k):
    assert pareto_k(weights) == k
    assert_array_equal(smooth_weights(weights), weights)


def test_twenty_one_rows_are_enough():
    assert np.isfinite(pareto_k(np.arange(1, 22)))


@pytest.mark.parametrize(("n", "threshold"), [(1, -np.inf), (10, 0), (100, 0.5), (1000, 2 / 3), (10**5, 0.7)])
def test_threshold(n, threshold):
    assert pareto_k_threshold(n) == pytest.approx(threshold)


@pytest.mark.slow
@given(w=weight_vectors(min_size=25, max_size=80), scale=st.floats(1e-150, 1e150))
def test_never_nan_and_scale_and_order_do_not_matter(w, scale):
    k = pareto_k(w)
    assert not np.isnan(k)
    w = w / w.max()
    assert pareto_k(w) == pytest.approx(k, rel=1e-6, abs=1e-6)
    assert pareto_k(np.roll(w, 7)[::-1]) == pytest.approx(pareto_k(w))
    power_of_two = 2.0 ** np.floor(np.log2(scale))
    assert pareto_k(w * power_of_two) == pytest.approx(pareto_k(w))
    assert_allclose(smooth_weights(w * power_of_two), smooth_weights(w) * power_of_two, rtol=1e-12)


@pytest.mark.slow
@given(data=st.data())
def test_repeat_counts_equal_repeated_rows(data):
    w = data.draw(weight_vectors(min_size=25, max_size=60))
    c = data.draw(counts(len(w)))
    repeated = np.repeat(w, c)
    if not repeated.any():
        assert pareto_k(w, sample_weight=c) == -np.inf
        return
    assert pareto_k(w, sample_weight=c) == pytest.approx(pareto_k(repeated), rel=1e-9)
    assert_allclose(np.repeat(smooth_weights(w, sample_weight=c), c), smooth_weights(repeated), rtol=1e-9)


@pytest.mark.slow
@given(w=weight_vectors(min_size=25, max_size=80))
def test_smoothing_keeps_the_order_the_ties_and_the_bulk(w):
    before = w.copy()
    smoothed = smooth_weights(w)
    assert_array_equal(w, before)
    order = np.argsort(w, kind="stable")
    assert (np.diff(smoothed[order]) >= 0).all()
    tied = np.diff(w[order]) == 0
    assert (np.diff(smoothed[order])[tied] == 0).all()
    assert smoothed.max() <= w.max()
    changed = smoothed != w
    assert changed.sum() <= np.ceil(0.2 * w.size)
    assert not changed.any() or w[changed].min() > w[~changed].min()


def test_smoothed_tail_is_the_quantiles_of_the_fit(rng):
    """Against scipy's quantile function at (z - 1/2) / M with the fit that includes the prior in k."""
    w = exponential_weights(0.4, 1000, rng)
    ordered = np.sort(w)
    n_tail = int(np.ceil(3 * np.sqrt(1000)))
    threshold = ordered[-n_tail - 1]
    _, sigma = fit_generalized_pareto(ordered[-n_tail:] - threshold, np.ones(n_tail))
    levels = (np.arange(n_tail) + 0.5) / n_tail
    expected = threshold + genpareto.ppf(levels, pareto_k(w), scale=sigma)
    assert_allclose(np.sort(smooth_weights(w))[-n_tail:], np.minimum(expected, w.max()), rtol=1e-9)


def test_quantiles_of_an_exact_tail_are_left_where_they_are():
    """Weights that are the expected order statistics already move by 1.4% at most, but for the five largest."""
    w = 0.75 * (1 - (np.arange(10_000) + 0.5) / 10_000) ** -0.25
    assert_allclose(np.sort(smooth_weights(w))[:-5], np.sort(w)[:-5], rtol=0.02)


@pytest.mark.slow
def test_smoothing_lessens_the_error_of_a_weighted_mean():
    """N(0, 1) to N(2, 1), n = 5000, mean of (x + 1)^2 / 2 (METHODS 1.2); Exp(1) to Exp(.4), n = 1000, mean of x.
    Relative root mean squared error over the seeds 0 to 2999: raw .131 and .272, smoothed .095 and .157, ratios .72 and
    .58; in ten batches of 300 seeds .61 to .86 and .44 to .82 (heavy tails). Seeds 300 to 899, allowed .9."""
    errors = np.zeros((2, 2, 600))
    for seed in range(600):
        rng = np.random.default_rng(seed + 300)
        x = rng.normal(size=5000)
        e = rng.exponential(size=1000)
        for j, smooth in enumerate((np.asarray, smooth_weights)):
            errors[0, j, seed] = np.average((x + 1) ** 2 / 2, weights=smooth(np.exp(2 * x - 2))) / 5 - 1
            errors[1, j, seed] = np.average(e, weights=smooth(0.4 * np.exp(0.6 * e))) / 2.5 - 1
    raw, smoothed = np.sqrt(np.mean(errors**2, axis=2)).T
    assert (smoothed / raw < 0.9).all()


@pytest.mark.parametrize("function", [pareto_k, smooth_weights])
@pytest.mark.parametrize(
    ("weights", "message"),
    [([1, np.nan], "NaN"), ([1, -1], "negative"), ([0, 0], "all zero"), ([], "empty"), ([[1.0]], "1D")],
)
def test_unusable_weights_are_refused(function, weights, message):
    with pytest.raises(ShiftDataError, match=message):
        function(weights)


@pytest.mark.parametrize("n", [0, 0.5, np.nan, np.inf, "10"])
def test_a_threshold_needs_a_number_of_rows(n):
    with pytest.raises(ShiftDataError, match="n_rows"):
        pareto_k_threshold(n)


def test_rows_tied_but_for_rounding_are_tied(rng):
    """Three atoms, each row off by one unit in the last place or so: as if exact, to the 1e-10 that counts as equal."""
    w = np.repeat([1.0, 2.0, 3.0], [650, 300, 50])
    rounded = w * (1 + 2e-16 * rng.normal(size=1000))
    assert np.unique(rounded).size > 3
    assert pareto_k(rounded) == pytest.approx(pareto_k(w), abs=1e-8)
    assert_allclose(smooth_weights(rounded), smooth_weights(w), rtol=1e-8)
