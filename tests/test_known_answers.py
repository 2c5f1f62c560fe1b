"""Every method against every problem whose answer is known."""

import functools

import numpy as np
import pytest
from numpy.testing import assert_allclose

from tests.registry import COVARIATE_PROBLEMS, LABEL_PROBLEMS, ODDS_WEIGHTERS, PRIORS, WEIGHTERS, overlapping_scores

covariate = pytest.mark.parametrize("problem", COVARIATE_PROBLEMS.values(), ids=COVARIATE_PROBLEMS.keys())
weighters = pytest.mark.parametrize("weighter", WEIGHTERS.values(), ids=WEIGHTERS.keys())
label = pytest.mark.parametrize("problem", LABEL_PROBLEMS)
# One seed is enough for a quick run.
seeds = pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
priors = pytest.mark.parametrize("prior", PRIORS.values(), ids=PRIORS.keys())


@functools.cache
def drawn(problem, seed):
    return problem(seed)


@functools.cache
def fitted(weighter, problem, seed, clip):
    """A fit that several tests look at and none changes."""
    sample = drawn(problem, seed)
    return weighter(clip=clip).fit(sample.X_source, sample.X_target)


@pytest.mark.slow
@covariate
@weighters
@seeds
def test_log_ratio_is_the_true_one(weighter, problem, seed):
    """Regressed on the truth, the estimate has slope 1 and correlation 1.

    Of a right program over 200 seeds the slope was within .21 of 1, the correlation at least .983 and the level
    within .07; an inverted ratio has both negative, forgotten sizes shift the level by log 2 = .69 or more.
    """
    found = fitted(weighter, problem, seed, None)
    problem = drawn(problem, seed)
    found = found.log_ratio(problem.X_source)
    truth = np.log(problem.source_weights)
    slope, _ = np.polyfit(truth, found, 1)
    assert slope == pytest.approx(1, abs=0.25)
    assert np.corrcoef(truth, found)[0, 1] > 0.93
    assert np.mean(found - truth) == pytest.approx(0, abs=0.35)


@pytest.mark.slow
@covariate
@weighters
def test_weighted_source_moments_are_the_target_ones(weighter, problem):
    """Within .3 of the shift between the raw means, which an unweighted mean misses by all of it and
    inverted weights by twice that; over 200 seeds a right program missed by at most .24 of it."""
    w, problem = fitted(weighter, problem, 0, None).source_weights_, drawn(problem, 0)
    raw = problem.X_target.mean(axis=0) - problem.X_source.mean(axis=0)
    moved = problem.X_target.mean(axis=0) - np.average(problem.X_source, axis=0, weights=w)
    assert np.linalg.norm(moved) < 0.3 * np.linalg.norm(raw)


@covariate
@weighters
def test_effective_size_is_near_that_of_the_true_weights(weighter, problem):
    """Over 200 seeds a right program was within .18 of the one and .04 of the other."""
    summary, problem = fitted(weighter, problem, 0, None).summary_, drawn(problem, 0)
    truth = problem.source_weights.sum() ** 2 / (problem.source_weights**2).sum()
    assert summary.effective_size == pytest.approx(truth, rel=0.35)
    assert summary.raw_mean == pytest.approx(1, abs=0.2)


@pytest.mark.slow
@covariate
@pytest.mark.parametrize("weighter", ODDS_WEIGHTERS.values(), ids=ODDS_WEIGHTERS.keys())
def test_swapping_the_samples_inverts_the_ratio(weighter, problem):
    forth, problem = fitted(weighter, problem, 0, "sqrt"), drawn(problem, 0)
    forth = forth.log_ratio(problem.X_source)
    back = weighter().fit(problem.X_target, problem.X_source).log_ratio(problem.X_source)
    assert_allclose(forth, -back, atol=1e-3)


@pytest.mark.slow
@covariate
@weighters
def test_finished_weights_average_one(weighter, problem):
    for clip in ("sqrt", 3.0, None):
        w = fitted(weighter, problem, 0, clip).source_weights_
        assert w.mean() == pytest.approx(1, abs=1e-12)
        assert (w >= 0).all()


@functools.cache
def scored(problem, seed):
    """Scores and labels of the source and of the target."""
    source_prior, target_prior, n = LABEL_PROBLEMS[problem]
    return overlapping_scores(2 * seed, source_prior, n), overlapping_scores(2 * seed + 1, target_prior, n)


@functools.cache
def estimated(prior, problem, seed):
    """As ``fitted``."""
    source, (target, _) = scored(problem, seed)
    return prior().fit(*source, target)


@label
@priors
@seeds
def test_target_prior_is_the_true_one(prior, problem, seed):
    """Within 4.5 of its own standard errors; over 200 seeds the largest miss was 3.7 of them."""
    _, target_prior, _ = LABEL_PROBLEMS[problem]
    fitted, ((_, y), _) = estimated(prior, problem, seed), scored(problem, seed)
    error = np.sqrt(np.diag(fitted.prior_covariance_))
    assert (np.abs(fitted.target_prior_ - target_prior) <= 4.5 * error).all()
    assert error.max() < 0.05
    assert fitted.target_prior_.sum() == pytest.approx(1)
    assert (fitted.target_prior_ >= 0).all()
    assert_allclose(fitted.class_weight_ * fitted.source_prior_, fitted.target_prior_)
    assert fitted.transform(y).mean() == pytest.approx(1)


@label
@priors
def test_adjusted_scores_average_the_target_prior(prior, problem):
    """Posteriors adjusted to q and averaged over the target give q: calibration in the large. The scores here are
    exact under equal source priors only, so other sources are left out."""
    source_prior, target_prior, _ = LABEL_PROBLEMS[problem]
    if np.ptp(source_prior) > 0:
        pytest.skip("the scores are posteriors under equal priors")
    _, (target, _) = scored(problem, 0)
    adjusted = estimated(prior, problem, 0).adjust_proba(target)
    assert_allclose(adjusted.sum(axis=1), 1)
    assert_allclose(adjusted.mean(axis=0), target_prior, atol=0.05)


@label
@priors
def test_source_and_target_exchanged_exchange_the_priors(prior, problem):
    source_prior, target_prior, _ = LABEL_PROBLEMS[problem]
    if min(target_prior) == 0:
        pytest.skip("a source needs rows of every class")
    (scores, _), target = scored(problem, 0)
    forth = estimated(prior, problem, 0).target_prior_
    back = prior().fit(*target, scores).target_prior_
    assert_allclose(forth, target_prior, atol=0.1)
    assert_allclose(back, source_prior, atol=0.2)
