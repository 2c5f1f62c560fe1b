"""Score moments against exact mixtures, brute force and simulation."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from shiftfix.exceptions import ShiftDataError
from shiftfix.label import BBSE, GMM, label_shift_test
from shiftfix.label._gmm import (
    MOMENTS,
    choose_moments,
    gmm_prior,
    group_moments,
    moment_noise,
    score_moments,
)
from tests.registry import overlapping_scores

SOURCE = [1 / 3] * 3
TARGET = [0.2, 0.3, 0.5]


def samples(scores, y, target, kind="products"):
    n_classes = scores.shape[1]
    return (
        group_moments(scores, y, n_classes, np.ones(len(y)), kind),
        group_moments(target, None, 1, np.ones(len(target)), kind),
    )


class TestMoments:
    def test_by_hand(self):
        scores = np.array([[0.2, 0.3, 0.5]])
        assert_allclose(score_moments(scores, "products"), [[0.2, 0.3, 0.04, 0.06, 0.09]])
        assert_allclose(score_moments(scores, "squares"), [[0.2, 0.3, 0.04, 0.09, 0.25]])
        assert_allclose(score_moments(scores, "sum of squares"), [[0.2, 0.3, 0.38]])

    @pytest.mark.parametrize(
        ("n_classes", "n_rows", "kind"),
        [(2, 20, "products"), (3, 50, "products"), (3, 49, "sum of squares"), (10, 540, "products"),
         (10, 539, "squares"), (10, 190, "squares"), (10, 150, "sum of squares"),
         (50, 10**6, "squares"), (200, 10**6, "sum of squares")],
    )  # fmt: skip
    def test_their_number_stays_below_the_rows(self, n_classes, n_rows, kind):
        assert choose_moments(n_classes, n_rows) == kind

    @pytest.mark.parametrize("kind", MOMENTS)
    def test_group_means_and_covariances_by_brute_force(self, kind, rng):
        scores, y = rng.dirichlet(np.ones(4), 60), np.arange(60) % 4
        counts = rng.integers(0, 4, 60).astype(float)
        groups = group_moments(scores, y, 4, counts, kind)
        padded = group_moments(scores, y, 4, counts, kind, pseudo_rows=4.0)
        for k in range(4):
            rows = score_moments(np.repeat(scores[y == k], counts[y == k].astype(int), axis=0), kind)
            assert_allclose(groups.mean[k], rows.mean(axis=0))
            assert_allclose(groups.covariance[k], np.cov(rows.T, bias=True) / len(rows), atol=1e-15)
            more = np.vstack([rows, score_moments(np.eye(4), kind)])
            assert_allclose(padded.covariance[k], np.cov(more.T, bias=True) / len(rows), atol=1e-15)


class TestPrior:
    def test_an_exact_mixture_is_found_and_fits_exactly(self):
        """Two classes on three atoms: the target holds the classes' own rows, 1 to 3."""
        atoms = np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]])
        first, second = np.repeat(atoms, [6, 3, 1], axis=0), np.repeat(atoms, [1, 4, 5], axis=0)
        source = np.vstack([first, second])
        target = np.vstack([first, second, second, second])
        found = gmm_prior(*samples(source, np.repeat([0, 1], 10), target))
        assert_allclose(found.prior, [0.25, 0.75])
        assert found.statistic == pytest.approx(0, abs=1e-12)
        assert found.degrees_of_freedom == 1

    @pytest.mark.slow
    def test_two_classes_by_brute_force(self):
        """J and the prior against a grid over q, with V at the solution; right: 1e-6, the grid's step."""
        rng = np.random.default_rng(3)
        p = rng.beta(2, 2, 300)
        y = (rng.random(300) < p).astype(int)
        target = rng.beta(3, 2, 200)
        source, sample = samples(np.column_stack([1 - p, p]), y, np.column_stack([1 - target, target]))
        found = gmm_prior(source, sample)
        noise = moment_noise(source.covariance, sample.covariance[0], found.prior)
        grid = np.linspace(0, 1, 1_000_001)
        gap = sample.mean[0] - np.outer(grid, source.mean[1]) - np.outer(1 - grid, source.mean[0])
        objective = np.einsum("ij,jk,ik->i", gap, np.linalg.inv(noise), gap)
        assert found.prior[1] == pytest.approx(grid[objective.argmin()], abs=1e-5)
        assert found.statistic == pytest.approx(objective.min(), rel=1e-4)
        slope = source.mean[1] - source.mean[0]
        variance = 1 / (slope @ np.linalg.solve(noise, slope))
        assert_allclose(found.covariance, variance * np.array([[1, -1], [-1, 1]]), rtol=1e-3)

    def test_one_hot_scores_give_the_confusion_matrix_estimate(self):
        """All products are redundant then: no more equations than classes, and BBSE's solution and covariance."""
        scores, y = overlapping_scores(0, SOURCE, 400)
        target, _ = overlapping_scores(1, TARGET, 300)
        hard, hard_target = np.eye(3)[scores.argmax(axis=1)], np.eye(3)[target.argmax(axis=1)]
        expected = BBSE("hard").fit(hard, y, hard_target)
        found = gmm_prior(*samples(hard, y, hard_target))
        assert_allclose(found.prior, expected.target_prior_, atol=1e-10)
        assert_allclose(found.covariance, expected.prior_covariance_, atol=1e-10)
        assert found.degrees_of_freedom == 0
        with pytest.raises(ShiftDataError, match="nothing to test"):
            label_shift_test(hard, y, hard_target)

    def test_the_order_of_the_classes_does_not_matter(self):
        scores, y = overlapping_scores(2, SOURCE, 400)
        target, _ = overlapping_scores(3, TARGET, 300)
        order = np.array([2, 0, 1])
        found = gmm_prior(*samples(scores, y, target))
        other = gmm_prior(*samples(scores[:, order], np.argsort(order)[y], target[:, order]))
        assert_allclose(other.prior, found.prior[order], atol=1e-9)
        assert_allclose(other.covariance, found.covariance[np.ix_(order, order)], atol=1e-9)
        assert other.statistic == pytest.approx(found.statistic, rel=1e-6)
        assert_allclose(found.influence.sum(axis=0), 0, atol=1e-9)

    def test_a_share_of_zero_stays_on_the_simplex(self):
        scores, y = overlapping_scores(4, SOURCE, 300)
        for seed in range(5):
            found = gmm_prior(*samples(scores, y, overlapping_scores(seed, [0.0, 0.1, 0.9], 60)[0]))
            assert found.prior.min() >= 0
            assert found.prior.sum() == pytest.approx(1)

    @pytest.mark.slow
    def test_covariance_matches_the_spread_and_beats_the_confusion_matrix(self):
        """200 repetitions: a standard deviation is off by 5%. Error 0.037 against 0.060 for n = 500."""
        found, promised, plain = [], [], []
        for seed in range(200):
            scores, y = overlapping_scores([seed, 0], SOURCE, 500)
            target, _ = overlapping_scores([seed, 1], TARGET, 500)
            fit = gmm_prior(*samples(scores, y, target))
            found.append(fit.prior)
            promised.append(np.sqrt(np.diag(fit.covariance)))
            plain.append(BBSE().fit(scores, y, target).target_prior_)
        assert_allclose(np.mean(found, axis=0), TARGET, atol=0.012)
        assert_allclose(np.std(found, axis=0), np.mean(promised, axis=0), rtol=0.17)
        assert np.std(found, axis=0).sum() < 0.97 * np.std(plain, axis=0).sum()


class TestEstimator:
    def test_is_the_function_and_its_test(self):
        scores, y = overlapping_scores(0, SOURCE, 400)
        target, _ = overlapping_scores(1, TARGET, 300)
        fitted, expected = GMM().fit(scores, y, target), gmm_prior(*samples(scores, y, target))
        assert fitted.moments_ == "products"
        assert_allclose(fitted.target_prior_, expected.prior)
        assert_allclose(fitted.prior_covariance_, expected.covariance)
        outcome = label_shift_test(scores, y, target, n_bootstrap=0)
        assert (fitted.statistic_, fitted.p_value_) == (outcome.statistic, outcome.p_value)

    def test_a_smaller_target_gets_by_with_fewer_moments(self):
        scores, y = overlapping_scores(0, SOURCE, 400)
        target, _ = overlapping_scores(1, TARGET, 300)
        fitted = GMM().fit(scores, y, target).update(target[:40])
        assert fitted.moments_ == "sum of squares"
        assert_allclose(fitted.target_prior_, gmm_prior(*samples(scores, y, target[:40], "sum of squares")).prior)

    @pytest.mark.parametrize("present", [0, 1, 2])
    def test_moments_that_never_vary_tell_all_the_same(self, present):
        """Perfect scores, one class in the target: no covariance to weight by, and the answer is plain. Thirty rows
        leave about 1 / 30 for the other classes."""
        y = np.repeat([0, 1, 2], 20)
        fitted = GMM().fit(np.eye(3)[y], y, np.eye(3)[[present] * 30])
        assert_allclose(fitted.target_prior_, np.eye(3)[present], atol=1e-9)
        assert_allclose(fitted.prior_covariance_, 0, atol=1e-15)
        assert 0.7 < fitted.interval()[present, 0] < 0.97
        assert fitted.interval()[present, 1] == 1

    def test_many_classes_are_refused(self):
        scores = np.eye(101)
        with pytest.raises(ShiftDataError, match=r"101 classes.*use MLLS or BBSE"):
            GMM().fit(scores, np.arange(101), scores)
