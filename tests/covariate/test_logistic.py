"""The logistic weighter against closed forms, brute force and its own score equations."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.special import expit

from shiftfix.covariate import LogisticWeighter
from shiftfix.exceptions import PoorOverlapWarning
from tests import oracles
from tests.strategies import counts, two_samples

SMALL_SAMPLES = pytest.mark.filterwarnings("ignore::shiftfix.exceptions.PoorOverlapWarning")


@pytest.mark.parametrize("seed", range(5))
def test_two_gaussians_have_their_exact_log_odds(seed):
    """N(0, 1) -> N(1, 1), 15,000 and 5,000 rows: slope 1, intercept log(1/3) - 1/2 = -1.598612.

    Standard errors .0195 and .0153; allowed are 4 of them. Forgotten sizes miss the intercept by log 3.
    """
    rng = np.random.default_rng(seed)
    weighter = LogisticWeighter().fit(rng.normal(0, 1, (15000, 1)), rng.normal(1, 1, (5000, 1)))
    assert weighter.coef_[0] == pytest.approx(1, abs=4 * 0.0195)
    assert weighter.intercept_ == pytest.approx(-1.598612, abs=4 * 0.0153)
    x = np.array([[-1.0], [0.5], [2.0]])
    assert_allclose(weighter.log_ratio(x), x[:, 0] - 0.5, atol=4 * 0.05)
    # ESS / n = exp(-1) in the limit; the heavy right tail moves it by .03 between samples.
    assert weighter.summary_.effective_size / 15000 == pytest.approx(0.367879, abs=0.1)


@pytest.mark.parametrize(("mu", "n_source", "n_target"), [(0.5, 12000, 12000), (-0.8, 3000, 15000), (1.2, 9000, 900)])
def test_gaussian_slope_and_intercept_at_other_parameters(mu, n_source, n_target):
    """h = mu x - mu^2 / 2 + log(n_t / n_s); 6 standard errors of about 1 / sqrt(min n) are allowed."""
    rng = np.random.default_rng(1)
    weighter = LogisticWeighter().fit(rng.normal(0, 1, (n_source, 1)), rng.normal(mu, 1, (n_target, 1)))
    allowed = 6 / np.sqrt(min(n_source, n_target))
    assert weighter.coef_[0] == pytest.approx(mu, abs=allowed)
    assert weighter.intercept_ == pytest.approx(np.log(n_target / n_source) - mu**2 / 2, abs=allowed)


@pytest.mark.parametrize("n_target", [100, 500, 5000])
def test_one_hot_features_give_the_exact_ratios(n_target):
    """Shares (.5, .3, .2) and (.1, .3, .6), unpenalised: w = (.2, 1, 3) whatever the sizes."""
    categories = np.eye(3)
    source = np.repeat(categories, [500, 300, 200], axis=0)
    target = np.repeat(categories, np.rint(np.array([0.1, 0.3, 0.6]) * n_target).astype(int), axis=0)
    weighter = LogisticWeighter(C=np.inf, clip=None).fit(source, target)
    assert_allclose(weighter.transform(categories), [0.2, 1, 3], rtol=1e-5)
    assert weighter.summary_.effective_size / 1000 == pytest.approx(0.471698, abs=1e-5)
    assert weighter.summary_.raw_mean == pytest.approx(1, abs=1e-5)
    # KL(T || S) and KL(S || T) differ on purpose: a ratio the wrong way round swaps them, and changes their signs.
    assert weighter.log_ratio(target).mean() == pytest.approx(0.498224, abs=1e-5)
    assert -weighter.log_ratio(source).mean() == pytest.approx(0.584996, abs=1e-5)
    w = np.exp(weighter.log_ratio(categories))
    assert_allclose(w / (0.5 * w + 0.5), [1 / 3, 1, 1.5], rtol=1e-5)


@pytest.mark.parametrize("n_target", [100, 1000, 10000])
def test_the_clip_acts_on_the_ratio_not_on_the_odds(n_target):
    """min(w, 2) of (.2, 1, 3) is (.2, 1, 2), mean .8, at every ratio of the sample sizes."""
    categories = np.eye(3)
    source = np.repeat(categories, [500, 300, 200], axis=0)
    target = np.repeat(categories, np.rint(np.array([0.1, 0.3, 0.6]) * n_target).astype(int), axis=0)
    raw = LogisticWeighter(C=np.inf, clip=2, normalize=None).fit(source, target)
    assert_allclose(raw.transform(categories), [0.2, 1, 2], rtol=1e-5)
    assert raw.transform(source).mean() == pytest.approx(0.8, abs=1e-5)
    assert raw.summary_.clipped_share == pytest.approx(0.2)
    assert raw.summary_.target_clipped_share == pytest.approx(0.6)
    assert_allclose(
        LogisticWeighter(C=np.inf, clip=2).fit(source, target).transform(categories),
        [0.25, 1.25, 2.5],
        rtol=1e-5,
    )


def test_exponential_samples_have_a_linear_log_ratio():
    """Exp(1) -> Exp(.75): log w = log .75 + .25 x = -.287682 + .25 x. Standard errors about .01."""
    rng = np.random.default_rng(0)
    weighter = LogisticWeighter(clip=None).fit(rng.exponential(1, (30000, 1)), rng.exponential(1 / 0.75, (30000, 1)))
    assert weighter.coef_[0] == pytest.approx(0.25, abs=0.05)
    assert weighter.log_ratio([[0.0]])[0] == pytest.approx(-0.287682, abs=0.06)


@SMALL_SAMPLES
@settings(max_examples=20)
@given(samples=two_samples(), C=st.sampled_from([0.01, 1.0, 100.0]))
def test_equals_a_general_optimiser_of_the_same_objective(samples, C):
    """BFGS on the penalised likelihood; both stop within 1e-4 of the optimum in h."""
    X_source, X_target = samples
    found = LogisticWeighter(C=C).fit(X_source, X_target).log_ratio(X_source)
    assert_allclose(found, oracles.logistic_ratio(X_source, X_target, C, X_source), atol=1e-3)


def test_unpenalised_score_equations_hold(rng):
    """sum_S p phi = sum_T (1 - p) phi for phi = (1, x), relative to n."""
    X_source, X_target = rng.normal(0, 1, (400, 3)), rng.normal(0.4, 1, (300, 3))
    weighter = LogisticWeighter(C=np.inf).fit(X_source, X_target)
    p_source, p_target = (expit(X @ weighter.coef_ + weighter.intercept_) for X in (X_source, X_target))
    left = np.append(p_source.sum(), p_source @ X_source)
    right = np.append((1 - p_target).sum(), (1 - p_target) @ X_target)
    assert_allclose(left / 700, right / 700, atol=1e-6)


@SMALL_SAMPLES
@given(samples=two_samples())
def test_swapping_the_samples_inverts_the_ratio(samples):
    X_source, X_target = samples
    forth = LogisticWeighter().fit(X_source, X_target).log_ratio(X_source)
    back = LogisticWeighter().fit(X_target, X_source).log_ratio(X_source)
    assert_allclose(forth, -back, atol=1e-4)


@SMALL_SAMPLES
@given(data=st.data())
def test_repeat_counts_equal_repeated_rows(data):
    X_source, X_target = data.draw(two_samples())
    c_source, c_target = data.draw(counts(len(X_source))), data.draw(counts(len(X_target)))
    by_counts = LogisticWeighter().fit(X_source, X_target, sample_weight_source=c_source, sample_weight_target=c_target)
    repeated = LogisticWeighter().fit(np.repeat(X_source, c_source, axis=0), np.repeat(X_target, c_target, axis=0))
    assert_allclose(by_counts.transform(X_source), repeated.transform(X_source), rtol=1e-3)
    assert by_counts.summary_.effective_size == pytest.approx(repeated.summary_.effective_size, rel=1e-3)


@SMALL_SAMPLES
@given(samples=two_samples(), scale=st.floats(1e-3, 1e3), offset=st.floats(-100, 100))
def test_units_of_the_features_do_not_matter(samples, scale, offset):
    X_source, X_target = samples
    one = LogisticWeighter().fit(X_source, X_target).transform(X_source)
    other = LogisticWeighter().fit(offset + scale * X_source, offset + scale * X_target)
    assert_allclose(one, other.transform(offset + scale * X_source), rtol=1e-3)


@SMALL_SAMPLES
@pytest.mark.parametrize("clip", ["sqrt", None, 0.5, 2.0])
def test_finished_weights_average_one_over_the_source(rng, clip):
    X_source, X_target = rng.normal(0, 1, (500, 2)), rng.normal(0.7, 1, (80, 2))
    weighter = LogisticWeighter(clip=clip)
    w = weighter.fit_transform(X_source, X_target)
    assert w.mean() == pytest.approx(1, abs=1e-12)
    assert_allclose(w, weighter.transform(X_source))


def test_weighted_source_moments_approach_the_target(rng):
    """E_S[w x] = E_T[x]; the sampling error here is .03, an inverted ratio misses by 1.4."""
    X_source, X_target = rng.normal(0, 1, (20000, 1)), rng.normal(0.7, 1, (20000, 1))
    w = LogisticWeighter().fit_transform(X_source, X_target)
    assert np.average(X_source[:, 0], weights=w) == pytest.approx(0.7, abs=0.1)


@pytest.mark.parametrize("C", [1.0, 1e6])
def test_separable_samples_end_finite_and_warn(C):
    X_source, X_target = np.linspace(0, 1, 50)[:, None], np.linspace(2, 3, 50)[:, None]
    with pytest.warns(PoorOverlapWarning, match="data do not support weighting"):
        weighter = LogisticWeighter(C=C, clip=None).fit(X_source, X_target)
    assert np.isfinite(weighter.transform(X_source)).all()
    assert weighter.transform(X_source).mean() == pytest.approx(1)
    assert weighter.summary_.verdict == "abstain"


def test_constant_columns_and_one_row_do_no_harm(rng):
    X_source = np.column_stack([rng.normal(size=200), np.full(200, 3.0)])
    X_target = np.column_stack([rng.normal(0.3, 1, 200), np.full(200, 3.0)])
    with_constant = LogisticWeighter().fit(X_source, X_target).transform(X_source)
    without = LogisticWeighter().fit(X_source[:, :1], X_target[:, :1]).transform(X_source[:, :1])
    assert_allclose(with_constant, without, rtol=1e-4)
    with pytest.warns(PoorOverlapWarning):
        assert LogisticWeighter().fit_transform(X_source[:1], X_target) == pytest.approx(1)


def test_identical_samples_need_no_weights(rng):
    X = rng.normal(size=(300, 4))
    w = LogisticWeighter().fit_transform(X, X)
    assert_allclose(w, 1, atol=1e-6)


@SMALL_SAMPLES
def test_rows_that_count_zero_times_leave_no_trace(rng):
    X_source, X_target = rng.normal(size=(40, 2)), rng.normal(0.5, 1, (40, 2))
    outlier = np.vstack([X_source, [[1e6, -1e6]]])
    w = LogisticWeighter().fit(outlier, X_target, sample_weight_source=np.append(np.ones(40), 0))
    assert_allclose(w.transform(X_source), LogisticWeighter().fit_transform(X_source, X_target), rtol=1e-6)


def test_ok_samples_do_not_warn(rng):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LogisticWeighter().fit(rng.normal(size=(500, 1)), rng.normal(0.2, 1, (500, 1)))


def test_summary_counts_repeated_target_rows(rng):
    X_source, X_target = rng.normal(size=(300, 2)), rng.normal(0.5, 1, (150, 2))
    counts = rng.integers(0, 4, 150)
    by_counts = LogisticWeighter(clip=1.2).fit(X_source, X_target, sample_weight_target=counts).summary_
    repeated = LogisticWeighter(clip=1.2).fit(X_source, np.repeat(X_target, counts, axis=0)).summary_
    for name in ("target_lost_mass", "target_clipped_share", "target_outside_share", "domain_auc", "n_target"):
        assert getattr(by_counts, name) == pytest.approx(getattr(repeated, name), abs=1e-6), name


def test_a_symmetric_gap_that_linear_log_odds_cannot_see_is_refused():
    """Source N(0, 1), target at -8 and 8: the ratio comes out flat and the effective size full."""
    rng = np.random.default_rng(0)
    X_source, X_target = rng.normal(size=(1000, 1)), rng.normal(size=(1000, 1)) + rng.choice([-8, 8], (1000, 1))
    with pytest.warns(PoorOverlapWarning, match="outside the source's range"):
        weighter = LogisticWeighter().fit(X_source, X_target)
    assert weighter.summary_.effective_size > 900
    assert weighter.summary_.target_outside_share > 0.95


@pytest.mark.parametrize(("n_target", "verdict"), [(10, "abstain"), (60, "caution")])
def test_a_ratio_from_few_target_rows_is_not_trusted(n_target, verdict, rng):
    """With 10 target rows in five dimensions the weighted mean errs twice as much as the unweighted one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PoorOverlapWarning)
        weighter = LogisticWeighter().fit(rng.normal(size=(2000, 5)), rng.normal(0.1, 1, (n_target, 5)))
    assert weighter.summary_.verdict == verdict


def test_weights_that_sum_to_one_compare_rows(rng):
    X_source, X_target = rng.normal(size=(500, 2)), rng.normal(0.5, 1, (300, 2))
    plain = LogisticWeighter().fit(X_source, X_target)
    shares = LogisticWeighter().fit(X_source, X_target, sample_weight_source=np.full(500, 1 / 500))
    assert_allclose(shares.transform(X_source), plain.transform(X_source), rtol=1e-6)
    assert shares.summary_.verdict == plain.summary_.verdict == "ok"
