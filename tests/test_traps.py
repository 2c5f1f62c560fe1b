"""Mistakes found in published code and text, each kept out by a test that the mistake would fail."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from shiftfix.covariate import LogisticWeighter
from shiftfix.label import BBSE
from shiftfix.simulate import gaussian_covariate_shift
from tests.oracles import rows_of_confusion


@pytest.mark.parametrize("seed", range(3))
def test_the_odds_are_not_inverted(seed):
    """N(0, 1) -> N(1, 1), n = 4000: (1 - p) / p with target as 1 has corr(log w, x) = -1 and a weighted source mean
    of about -1; right are +1 and +1. The weighted mean's standard error is about .05."""
    problem = gaussian_covariate_shift(4000, 4000, random_state=seed)
    weighter = LogisticWeighter().fit(problem.X_source, problem.X_target)
    x = problem.X_source[:, 0]
    assert np.corrcoef(weighter.log_ratio(problem.X_source), x)[0, 1] == pytest.approx(1)
    assert np.average(x, weights=weighter.transform(problem.X_source)) == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize(("n_source", "n_target"), [(20000, 2000), (2000, 20000)])
def test_the_clip_is_not_applied_to_bare_odds(n_source, n_target):
    """With n_t = n_s / 10, exp(h) = w / 10, and min(exp(h), 2) would clip w at 20. E_S min(w, 2) = .809390 is the
    mean of right weights before normalisation; its sampling error here is below .03. The bare odds give
    .1 or about 1.7."""
    problem = gaussian_covariate_shift(n_source, n_target, random_state=0)
    weighter = LogisticWeighter(clip=2, normalize=None).fit(problem.X_source, problem.X_target)
    assert weighter.transform(problem.X_source).mean() == pytest.approx(0.809390, abs=0.06)
    assert weighter.transform(problem.X_source).max() == pytest.approx(2)
    # P_S(w > 2) = Phi(-(log 2 + 1/2)) = .116.
    assert weighter.summary_.clipped_share == pytest.approx(0.116, abs=0.02)


def test_the_joint_matrix_gives_weights_and_the_conditional_one_the_prior():
    """Joint C solves to (.5, 1.75), sum 2.25; clipped and rescaled that is (.222, .778), and q is (.3, .7)."""
    A = np.array([[0.9, 0.2], [0.1, 0.8]])
    (predicted, y), (target, _) = rows_of_confusion(A, [600, 400]), rows_of_confusion(A, [300, 700])
    prior = BBSE("hard").fit(predicted, y, target)
    solved = np.linalg.solve(prior.joint_confusion_, prior.target_mean_)
    assert_allclose(solved, [0.5, 1.75])
    assert_allclose(solved / solved.sum(), [0.222, 0.778], atol=5e-4)
    assert_allclose(prior.class_weight_, solved)
    assert_allclose(prior.target_prior_, [0.3, 0.7])


def test_hard_and_soft_are_not_mixed():
    """Scores far from one-hot: hard C with a soft mu would not return the source prior on the source itself."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [60, 40])
    p = np.clip(0.35 + 0.3 * y + 0.1 * rng.normal(size=100), 0.01, 0.99)
    scores = np.column_stack([1 - p, p])
    for kind in ("hard", "soft"):
        assert_allclose(BBSE(kind).fit(scores, y, scores).target_prior_, [0.6, 0.4], atol=1e-9)
    hard_matrix = BBSE("hard").fit(scores, y, scores).conditional_confusion_
    mixed = np.linalg.solve(hard_matrix, scores.mean(axis=0))
    assert np.abs(mixed - [0.6, 0.4]).max() > 0.02


def test_posteriors_are_adjusted_from_the_prior_of_the_source_scores():
    """The mean adjusted score is the target prior only if the division is by the prior that the scores imply, here
    that of the source rows; dividing by a uniform prior misses by more than .1."""
    rng = np.random.default_rng(1)
    p_source, p_target, n = 0.8, 0.3, 20000

    def draw(prior):
        y = (rng.random(n) < prior).astype(int)
        x = rng.normal(2 * y - 1)
        log_odds = 2 * x + np.log(p_source / (1 - p_source))
        p = 1 / (1 + np.exp(-log_odds))
        return np.column_stack([1 - p, p]), y

    (scores, y), (target, _) = draw(p_source), draw(p_target)
    adjusted = BBSE().fit(scores, y, target).adjust_proba(target)
    assert adjusted[:, 1].mean() == pytest.approx(p_target, abs=0.02)
    wrong = target * [1 - p_target, p_target]
    assert abs((wrong / wrong.sum(axis=1, keepdims=True))[:, 1].mean() - p_target) > 0.1
