"""Every weighter, those with kernels too, against ratios in closed form.

The problems whose log ratio is linear in the features are met in ``test_known_answers`` and, by the kernel methods, in
their own files; here are the discrete case and the shifts of variance.
"""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from shiftfix import simulate
from shiftfix._blocks import column_spread
from shiftfix.covariate import KLIEP, KMM, RULSIF, ULSIF, ClassifierWeighter, LogisticWeighter
from shiftfix.covariate._finishing import learn_clip
from shiftfix.covariate._overlap import share_outside
from shiftfix.exceptions import PoorOverlapWarning
from shiftfix.weights import clip_threshold, smooth_weights
from shiftfix.weights._summary import probability_larger
from tests.registry import KERNEL_WEIGHTERS, SQUARES_PROBLEMS, SQUARES_WEIGHTERS
from tests.strategies import two_samples

SMALL_SAMPLES = pytest.mark.filterwarnings("ignore::shiftfix.exceptions.PoorOverlapWarning")
METHODS = KERNEL_WEIGHTERS | SQUARES_WEIGHTERS
weighters = pytest.mark.parametrize("name", METHODS)

# Root mean square errors of log w and of w between the 5 % and 95 % points of the source; see the test for what was
# measured. Weights of 1 miss by .59 and .48 at least.
BAND = dict.fromkeys(SQUARES_WEIGHTERS, (0.15, 0.12)) | dict.fromkeys(KERNEL_WEIGHTERS, (0.4, 0.27))
BAND["ULSIF"] = (0.65, 0.27)
# Correlation of log w with the truth; the least measured with each method is in the test.
LEAST = dict.fromkeys(SQUARES_WEIGHTERS, 0.85) | {"ULSIF": 0.5, "RULSIF": 0.55, "KLIEP": 0.55, "KMM": 0.3}

# Settings under which the three levels are saturated: no penalty, or kernels that see no other level.
SATURATED = {
    "logistic": partial(LogisticWeighter, np.inf),
    "classifier": partial(ClassifierWeighter, LogisticRegression(C=1e9, tol=1e-10, max_iter=1000), cv=None),
    "ULSIF": partial(ULSIF, 0.1, 1e-9),
    "RULSIF": partial(RULSIF, bandwidth=0.1, penalty=1e-9),
    "KLIEP": partial(KLIEP, 0.1),
    "KMM": partial(KMM, 0.1, ridge=0.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("n_target", [100, 1000, 10000])
@pytest.mark.parametrize("name", SATURATED)
def test_one_hot_features_give_the_exact_ratios_and_swapped_samples_the_inverse(name, n_target):
    """w = (.2, 1, 3) at any ratio of sizes; the classifier's own solver stops short of the other methods."""
    problem = simulate.discrete_covariate_shift([0.5, 0.3, 0.2], [0.1, 0.3, 0.6], 1000, n_target, random_state=0)
    forth = SATURATED[name](clip=None, normalize=None).fit(problem.X_source, problem.X_target)
    back = SATURATED[name](clip=None, normalize=None).fit(problem.X_target, problem.X_source)
    tolerance = 1e-4 if name == "classifier" else 1e-5
    assert_allclose(np.exp(forth.log_ratio(np.eye(3))), [0.2, 1, 3], rtol=tolerance)
    assert_allclose(np.exp(back.log_ratio(np.eye(3))), [5, 1, 1 / 3], rtol=tolerance)


@pytest.mark.slow
@SMALL_SAMPLES
@weighters
@pytest.mark.parametrize("problem", SQUARES_PROBLEMS)
def test_a_wider_target_weighs_the_outside_and_a_narrower_one_the_inside(name, problem):
    """Positive correlation with the true log ratio, and negative with the samples exchanged.

    Over two seeds the least of either was .66 for ULSIF, .70 for RULSIF, .73 for KLIEP, .43 for KMM, .93 for the
    others.

    Kernels with positive coefficients fall off on all sides: without the bowl KLIEP has -.4 to -.6 on the variance in
    five dimensions, and ULSIF with coefficients cut at 0 has -.8 to -1.
    """
    shift = SQUARES_PROBLEMS[problem](0)
    truth = np.log(shift.source_weights)
    forth = METHODS[name](clip=None).fit(shift.X_source, shift.X_target).log_ratio(shift.X_source)
    back = METHODS[name](clip=None).fit(shift.X_target, shift.X_source).log_ratio(shift.X_source)
    assert np.corrcoef(truth, forth)[0, 1] > LEAST[name]
    assert np.corrcoef(truth, back)[0, 1] < -LEAST[name]


@pytest.mark.parametrize("problem", ["variance 1d", "variance 5d"])
def test_linear_features_have_no_signal_of_a_variance_shift(problem):
    """The best linear log ratio is constant here, which is why these problems ask for squares."""
    shift = SQUARES_PROBLEMS[problem](0)
    found = LogisticWeighter(clip=None).fit(shift.X_source, shift.X_target).log_ratio(shift.X_source)
    assert np.std(found) < 0.2 < np.std(np.log(shift.source_weights))


# Bounded ratios or nearly so, which all methods can follow, of a spread far above the errors allowed. The sizes differ,
# so that a forgotten factor of them is off by log 2.
CURVES = {
    "mean, G1": lambda seed: simulate.gaussian_covariate_shift(2000, 1000, random_state=seed),
    "exponential of rate 2": lambda seed: simulate.exponential_covariate_shift(2000, 1000, rate=2, random_state=seed),
    "narrower": lambda seed: simulate.gaussian_covariate_shift(
        2000, 1000, mean_shift=0.0, scale=0.6, random_state=seed
    ),
}


@pytest.mark.slow
@SMALL_SAMPLES
@weighters
@pytest.mark.parametrize("curve", CURVES)
def test_log_ratio_is_the_true_one_within_a_band(name, curve):
    """Errors of log w and of w, and correlation of log w, between the 5 % and 95 % points of the source.

    The truth is about .1 or more there. Weights below .05 count as .05: kernel methods set some to 0, or nearly, whose
    logarithm says nothing. Over six seeds the largest errors were .52 and .20 for ULSIF, .25 and .15 RULSIF, .29 and
    .19 KLIEP, .24 and .12 KMM, .09 and .07 the others; the least correlation was .92.
    """
    shift = CURVES[curve](0)
    x = shift.X_source[:, 0]
    middle = (x > np.quantile(x, 0.05)) & (x < np.quantile(x, 0.95))
    log_ratio = METHODS[name](clip=None).fit(shift.X_source, shift.X_target).log_ratio(shift.X_source)
    found, w = np.maximum(np.exp(log_ratio[middle]), 0.05), shift.source_weights[middle]
    log_error, error = (np.sqrt(np.mean(e**2)) for e in (np.log(found / w), found - w))
    assert log_error < BAND[name][0]
    assert error < BAND[name][1]
    assert np.corrcoef(np.log(found), np.log(w))[0, 1] > 0.85


@SMALL_SAMPLES
@pytest.mark.parametrize(("n_source", "n_target"), [(300, 3000), (3000, 300)])
@pytest.mark.parametrize("cv", [None, 5])
def test_classifier_weights_average_one_whatever_the_sizes_and_the_clip_acts_on_the_ratio(n_source, n_target, cv):
    """Raw mean within .15 (a forgotten size factor is off tenfold), and a clip of 2 is reached by no weight above 2."""
    shift = simulate.gaussian_covariate_shift(n_source, n_target, mean_shift=0.7, random_state=0)
    weighter = ClassifierWeighter(LogisticRegression(), cv=cv, clip=2.0, normalize=None, random_state=0)
    weighter.fit(shift.X_source, shift.X_target)
    assert weighter.summary_.raw_mean == pytest.approx(1, abs=0.15)
    w = weighter.transform(shift.X_source)
    assert w.max() == pytest.approx(2)
    # P_S(w > 2) for a mean shift of .7.
    assert np.mean(w >= 2) == pytest.approx(np.mean(shift.source_weights >= 2), abs=0.06)


@pytest.mark.slow
@SMALL_SAMPLES
@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.UncalibratedRatioWarning")
@given(samples=two_samples(), scale=st.floats(1e-2, 1e2), offset=st.floats(-100, 100))
def test_units_do_not_matter_to_a_standardized_classifier(samples, scale, offset):
    X_source, X_target = samples
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-10, max_iter=1000))
    plain, rescaled = (
        ClassifierWeighter(pipeline, cv=None).fit_transform(a + b * X_source, a + b * X_target)
        for a, b in ((0, 1), (offset, scale))
    )
    assert_allclose(rescaled, plain, rtol=1e-3, atol=1e-6)


def test_zeros_that_are_not_stored_lie_outside_a_source_without_zeros():
    """Of five target rows three hold 0 in the second column, where the source goes from 1 to 2."""
    source = np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 1.5]])
    target = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 1.5], [0.5, 0.0], [1.0, 2.0]])
    for kind in (np.asarray, sparse.csr_array):
        spread = column_spread(kind(source), np.ones(3))
        assert share_outside(kind(target), np.ones(5), spread.low, spread.high) == pytest.approx((0.6, 1))


def test_ties_count_half():
    one, many = np.ones(1), np.ones(3)
    assert probability_larger(np.ones(3), np.ones(3), many, many) == 0.5
    assert probability_larger(np.ones(1), np.array([0.0, 1.0, 2.0]), one, many) == pytest.approx(0.5)


def test_separable_samples_without_a_penalty_end_finite_and_warn():
    X_source, X_target = np.linspace(0, 1, 50)[:, None], np.linspace(2, 3, 50)[:, None]
    with pytest.warns(PoorOverlapWarning):
        weighter = LogisticWeighter(np.inf, clip=None).fit(X_source, X_target)
    w = weighter.transform(X_source)
    assert np.isfinite(w).all()
    assert w.mean() == pytest.approx(1)


RULES = ["sqrt", 1.5, "75%", "ess", "pareto", None]
NEW_ROWS = np.linspace(-500, 500, 4001)


def clipped_by(clip, log_ratio, counts):
    """The clip learnt from these log ratios."""
    return learn_clip(log_ratio, counts.astype(float), clip, 20)


@pytest.mark.parametrize("top", [0.0, 499.0])
@pytest.mark.parametrize("clip", RULES)
def test_the_clip_of_new_rows_is_that_of_repeated_rows_and_rises_to_the_largest_fitted(clip, top, rng):
    """Weights far above 1 too: the clip is learnt relative to the largest ratio; rounding 1e-9."""
    counts = rng.integers(1, 4, 300)
    log_ratio = np.round(rng.exponential(0.6, 300), 1)
    log_ratio += top - log_ratio.max()
    by_counts, repeated = (
        clipped_by(clip, *rows) for rows in [(log_ratio, counts), (np.repeat(log_ratio, counts), np.ones(counts.sum()))]
    )
    found = by_counts.apply(NEW_ROWS)
    assert_allclose(found, repeated.apply(NEW_ROWS), rtol=1e-9, atol=1e-9)
    assert np.isfinite(found).all()
    assert (np.diff(found) >= -1e-9).all()
    largest = by_counts.apply(log_ratio).max()
    if clip == "pareto":
        assert_allclose(found[top < NEW_ROWS], largest, atol=1e-9)
        w = np.exp(log_ratio - top)
        assert_allclose(by_counts.apply(log_ratio), np.log(smooth_weights(w, sample_weight=counts)) + top, atol=1e-8)
    elif clip not in (None, 1.5):
        expected = clip_threshold(np.exp(log_ratio - top), clip, sample_weight=counts, min_ess=20)
        assert by_counts.log_threshold == pytest.approx(np.log(expected) + top, abs=1e-9)


@pytest.mark.parametrize("rest", [-500.0, -300.0])
def test_a_tail_above_weights_of_zero_stays_finite(rest, rng):
    """Fewer positive weights than tail rows: the weight below the tail is 0, or underflows beside the largest."""
    log_ratio = np.append(np.full(380, rest), 480 + rng.exponential(3, 20).clip(max=20))
    weighter = clipped_by("pareto", log_ratio, np.ones(400))
    found = weighter.apply(log_ratio)
    assert_allclose(found[:380], rest)
    w = np.append(np.zeros(380), np.exp(log_ratio[380:] - 490))
    assert_allclose(found[380:], np.log(smooth_weights(w)[380:]) + 490, atol=1e-8)
    between = weighter.apply(NEW_ROWS)
    assert np.isfinite(between).all()
    assert (np.diff(between) >= -1e-9).all()


@pytest.mark.slow
@SMALL_SAMPLES
@pytest.mark.parametrize("clip", ["50%", "75%", "ess"])
def test_a_clip_at_an_atom_is_reported_as_it_acts(clip):
    """One-hot features: 50, 30 and 20% of the source weigh .2, 1 and 3, of the target 10, 30 and 60%."""
    problem = simulate.discrete_covariate_shift([0.5, 0.3, 0.2], [0.1, 0.3, 0.6], 1000, 1000, random_state=0)
    for C in (0.1, 0.5, 1, 3, 10, np.inf):
        summary = LogisticWeighter(C, clip=clip, min_ess=0.6).fit(problem.X_source, problem.X_target).summary_
        shares = (0.5, 0.9) if clip == "50%" else (0.2, 0.6)
        assert (summary.clipped_share, summary.target_clipped_share) == pytest.approx(shares)
