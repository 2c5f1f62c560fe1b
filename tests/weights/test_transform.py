import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.stats import norm

from shiftfix.exceptions import ShiftDataError
from shiftfix.weights import clip_threshold, clip_weights, normalize_weights, smooth_weights, temper_weights
from tests.strategies import counts, weight_vectors


def test_clip_is_the_minimum_with_the_number():
    assert_allclose(clip_weights([0.2, 1, 3], 2), [0.2, 1, 2])


def test_discrete_case_clipped_at_two_averages_four_fifths():
    """p = (.5, .3, .2), w = (.2, 1, 3): E_S min(w, 2) = .8."""
    assert_allclose(np.dot([0.5, 0.3, 0.2], clip_weights([0.2, 1, 3], 2)), 0.8)


def test_sqrt_clip_is_mean_times_root_n():
    w = np.array([1.0, 1.0, 1.0, 9.0])
    assert clip_threshold(w, "sqrt") == pytest.approx(3 * 2)
    assert_allclose(clip_weights(w, "sqrt"), [1, 1, 1, 6])


def test_no_clip_leaves_the_weights():
    assert clip_threshold([1, 2], None) == np.inf
    assert_allclose(clip_weights([1, 1e300], None), [1, 1e300])


@pytest.mark.parametrize(
    ("clip", "mean", "affected"), [(2, 0.809390, 0.423422), (5, 0.953646, 0.133621), (10, 0.989621, 0.035727)]
)
def test_clipped_gaussian_ratio_has_its_closed_form_mean(clip, mean, affected):
    """N(0, 1) -> N(1, 1), w = exp(x - 1/2): E_S min(w, c) and P_T(w > c), by quadrature to 1e-6."""
    grid = np.linspace(-12, 12, 200001)
    clipped = clip_weights(np.exp(grid - 0.5), clip)
    assert np.trapezoid(clipped * norm.pdf(grid), grid) == pytest.approx(mean, abs=2e-6)
    assert norm.sf(np.log(clip) + 0.5, loc=1) == pytest.approx(affected, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("mu", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("clip", [0.5, 3.0, 50.0])
def test_clipped_mean_formula_holds_at_other_parameters(mu, clip):
    """E_S min(w, c) = Phi(a - mu) + c Phi(-a) with a = (log c + mu^2 / 2) / mu, against quadrature."""
    a = (np.log(clip) + mu**2 / 2) / mu
    closed = norm.cdf(a - mu) + clip * norm.cdf(-a)
    density = lambda x: clip_weights([np.exp(mu * x - mu**2 / 2)], clip)[0] * norm.pdf(x)  # noqa: E731
    numeric = quad(density, -15, a, limit=200)[0] + quad(density, a, 15, limit=200)[0]
    assert numeric == pytest.approx(closed, rel=1e-7)


@pytest.mark.slow
@given(w=weight_vectors())
def test_normalised_weights_average_one_and_keep_their_ratios(w):
    v = normalize_weights(w)
    assert v.mean() == pytest.approx(1, rel=1e-12)
    assert_allclose(v * w.max(), w * v.max(), rtol=1e-12, atol=0)


@pytest.mark.slow
@given(data=st.data())
def test_repeat_counts_equal_repeated_rows(data):
    w = data.draw(weight_vectors(min_size=2))
    c = data.draw(counts(len(w)))
    repeated = np.repeat(w, c)
    if not repeated.any():
        with pytest.raises(ShiftDataError, match="zero wherever sample_weight is not"):
            normalize_weights(w, sample_weight=c)
        return
    assert_allclose(np.repeat(normalize_weights(w, sample_weight=c), c), normalize_weights(repeated), rtol=1e-10)
    assert clip_threshold(w, "sqrt", sample_weight=c) == pytest.approx(clip_threshold(repeated, "sqrt"))


def test_normalising_survives_the_largest_and_smallest_floats():
    assert_allclose(normalize_weights([1e308, 1e308, 1e308]), 1)
    assert_allclose(normalize_weights([1e-308, 3e-308]), [0.5, 1.5])


def test_tempering_ends():
    assert_allclose(temper_weights([0, 0.25, 4], 0), 1)
    assert_allclose(temper_weights([0, 0.25, 4], 0.5), [0, 0.5, 2])
    assert_allclose(temper_weights([0, 0.25, 4], 1), [0, 0.25, 4])


@pytest.mark.parametrize("exponent", [0.0, 0.3, 0.5, 1.0])
def test_tempered_gaussian_weights_target_the_shrunken_mean(exponent):
    """w^g p_S is proportional to N(g mu, 1) for N(0, 1) -> N(mu, 1); quadrature, mu = 1.5."""
    mu, grid = 1.5, np.linspace(-12, 12, 20001)
    mass = temper_weights(np.exp(mu * grid - mu**2 / 2), exponent) * norm.pdf(grid)
    assert np.average(grid, weights=mass) == pytest.approx(exponent * mu, abs=1e-6)
    assert np.average((grid - exponent * mu) ** 2, weights=mass) == pytest.approx(1, abs=1e-6)


@pytest.mark.slow
@given(w=weight_vectors(min_size=2), data=st.data())
def test_a_percentile_is_the_least_weight_that_enough_rows_do_not_exceed(w, data):
    c = data.draw(counts(len(w)))
    repeated = np.sort(np.repeat(w, c))
    reaches = np.flatnonzero(np.arange(1, len(repeated) + 1) >= 0.75 * len(repeated))
    if repeated[reaches[0]] == 0:
        with pytest.raises(ShiftDataError, match="is 0, and a clip must be positive"):
            clip_threshold(w, "75%", sample_weight=c)
    else:
        assert clip_threshold(w, "75%", sample_weight=c) == repeated[reaches[0]]


@pytest.mark.slow
@given(w=weight_vectors(min_size=2), data=st.data(), share=st.floats(0.05, 1))
def test_the_clip_for_an_effective_size_is_the_largest_that_reaches_it(w, data, share):
    """Against the definition: worth it at c, not worth it a little above; (sum v)^2 / sum v^2 by hand."""
    c = data.draw(counts(len(w)))
    w = np.where(w < 1e-6, 0, w)
    repeated = np.repeat(w, c)
    reachable = (repeated > 0).sum()
    size = lambda v: v.sum() ** 2 / (v**2).sum()  # noqa: E731
    needed = share * reachable
    if reachable == 0 or needed < 1:
        return
    clip = clip_threshold(w, "ess", sample_weight=c, min_ess=needed)
    if clip == np.inf:
        assert size(repeated) >= needed * (1 - 1e-9)
    else:
        assert size(np.minimum(repeated, clip)) == pytest.approx(needed, rel=1e-6)
        assert size(np.minimum(repeated, clip * 1.01)) < needed * (1 + 1e-12)


def test_an_effective_size_has_its_closed_form():
    """w = (1, 1, 4), c between 1 and 4: (2 + c)^2 / (2 + c^2) = 2.5 at c = (4 + sqrt 10) / 3."""
    assert clip_threshold([1, 1, 4], "ess", min_ess=2.5) == pytest.approx((4 + 10**0.5) / 3)
    assert clip_threshold([1, 1, 4], "ess", min_ess=2.5 / 3) == pytest.approx((4 + 10**0.5) / 3)
    assert clip_threshold([1, 1, 4], "ess", min_ess=2) == np.inf
    assert clip_threshold([1, 1, 4], "ess", min_ess=3) == pytest.approx(1)


def test_pareto_smooths_and_does_not_cut(rng):
    w = rng.pareto(2, 500)
    assert clip_threshold(w, "pareto") == np.inf
    assert_allclose(clip_weights(w, "pareto"), smooth_weights(w))
    assert not np.allclose(clip_weights(w, "pareto"), w)


@pytest.mark.parametrize("percent", ["29%", "55%", "90%", "97.5%", "99%", "99.5%", "99.9%"])
@pytest.mark.parametrize("n_rows", [200, 1000, 2000])
def test_a_percentile_is_the_row_that_makes_up_the_share(percent, n_rows):
    """The weights 1..n: the clip is n * percent / 100 (a whole number here); 99.9 / 100 is not 999 / 1000 in floats."""
    expected = round(n_rows * 10 * float(percent[:-1])) / 1000
    assert clip_threshold(np.arange(1, n_rows + 1), percent) == np.ceil(expected)


def test_a_row_that_counts_zero_times_does_not_set_the_scale_of_the_effective_size():
    counted = [1.0, 2, 2, 9]
    expected = clip_threshold(counted, "ess", min_ess=3)
    with_outlier = clip_threshold([*counted, 1e200], "ess", min_ess=3, sample_weight=[1, 1, 1, 1, 0])
    assert with_outlier == pytest.approx(expected)
    with pytest.raises(ShiftDataError, match="zero wherever sample_weight is not"):
        clip_threshold([0, 1], "ess", min_ess=1, sample_weight=[1, 0])


def test_an_effective_size_is_found_among_the_smallest_floats():
    """w = (1, 1, 4) * 1e-310, as in the closed form; floats of that size still have twelve digits."""
    clip = clip_threshold(np.array([1, 1, 4]) * 1e-310, "ess", min_ess=2.5)
    assert clip / 1e-310 == pytest.approx((4 + 10**0.5) / 3, rel=1e-9)
