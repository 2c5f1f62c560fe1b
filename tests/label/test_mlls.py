"""The prior estimator of maximum likelihood, against exact answers through ``fit``."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from shiftfix.label import BBSE, MLLS
from tests import oracles
from tests.label.scores import BINARY, THREE, binned, gradient_of
from tests.statistical.coverage import distorted_scores


class TestEstimator:
    """Through ``fit``: rows whose scores are the posteriors given each hard prediction, in exact proportions."""

    @pytest.mark.parametrize("calibration", ["none", "temperature", "bcts", "vector", "auto"])
    @pytest.mark.parametrize(
        ("conditional", "source", "target"),
        [(BINARY, [600, 400], [300, 700]), (THREE, [500, 300, 200], [200, 300, 500])],
        ids=["two classes", "three classes"],
    )
    def test_equals_the_confusion_matrix_solution_on_binned_scores(self, conditional, source, target, calibration):
        """The scores are calibrated, so that every calibration leaves them: q and w come out as BBSE's do, exactly."""
        predicted, y = oracles.rows_of_confusion(conditional, source)
        predicted_target, _ = oracles.rows_of_confusion(conditional, target)
        p = np.array(source) / 1000
        scores = binned(conditional, p)
        by_likelihood = MLLS(calibration, n_bootstrap=0).fit(scores[predicted], y, scores[predicted_target])
        by_matrix = BBSE("hard").fit(predicted, y, predicted_target)
        assert_allclose(by_likelihood.target_prior_, np.array(target) / 1000, atol=1e-7)
        assert_allclose(by_likelihood.target_prior_, by_matrix.target_prior_, atol=1e-7)
        assert_allclose(by_likelihood.class_weight_, by_matrix.class_weight_, atol=1e-6)
        assert_allclose(by_likelihood.adjust_proba(scores), by_matrix.adjust_proba(np.arange(len(p))), atol=1e-6)
        assert by_likelihood.gap_ <= 1e-8

    def test_two_classes_exactly(self):
        """q = (.3, .7), w = (.5, 1.75), P(0 | yhat = 0) = .658537; the variance of the likelihood is the binned one's:
        sd(q_1) = .0303517 of the delta method, its target part sqrt(.41 .59 / 1000) / .7 = .02222."""
        predicted, y = oracles.rows_of_confusion(BINARY, [600, 400])
        predicted_target, _ = oracles.rows_of_confusion(BINARY, [300, 700])
        scores = binned(BINARY, np.array([0.6, 0.4]))
        fitted = MLLS("none", n_bootstrap=0).fit(scores[predicted], y, scores[predicted_target])
        assert_allclose(fitted.class_weight_, [0.5, 1.75], atol=1e-8)
        assert fitted.adjust_proba(scores)[0, 0] == pytest.approx(0.658537, abs=1e-6)
        assert_allclose(fitted.score_prior_, [0.6, 0.4])
        path = oracles.em_path(scores[predicted_target], np.full(1000, 1 / 1000), fitted.score_prior_, 30)[:, 0]
        assert_allclose(path[:3], [0.450255, 0.377291, 0.341515], atol=1e-6)
        assert (path[25] - 0.3) / (path[24] - 0.3) == pytest.approx(0.574618, abs=1e-4)
        # The bins' scores are taken as they are, so of the source only the mean score varies.
        target_variance = 0.41 * 0.59 / 1000 / 0.7**2
        assert fitted.prior_covariance_[1, 1] > target_variance
        refitted = MLLS("bcts", n_bootstrap=0).fit(scores[predicted], y, scores[predicted_target])
        # Two parameters for two bins: the calibration is the confusion matrix, and the error BBSE's, up to n / (n - 1).
        assert np.sqrt(refitted.prior_covariance_[1, 1]) == pytest.approx(0.0303517, rel=2e-3)

    @pytest.mark.parametrize("kind", ["bcts", "vector"])
    def test_biases_make_the_mean_score_the_frequency(self, kind):
        scores, y = distorted_scores(0, [0.6, 0.3, 0.1], [0.6, 0.3, 0.1], 500)
        fitted = MLLS(kind, n_bootstrap=0).fit(scores, y, scores[:100])
        assert_allclose(fitted.calibrate(scores).mean(axis=0), fitted.source_prior_, atol=1e-8)
        assert_allclose(fitted.score_prior_, np.bincount(y) / 500)

    @pytest.mark.parametrize("kind", ["none", "temperature"])
    def test_the_source_as_its_own_target_gives_its_mean_score(self, kind):
        """The posteriors are divided by the mean calibrated score m, and at q = m every g_k is 1."""
        scores, y = distorted_scores(0, [0.6, 0.3, 0.1], [0.6, 0.3, 0.1], 120, bias=(0.2, 0.0, -0.2))
        fitted = MLLS(kind, n_bootstrap=0).fit(scores, y, scores)
        assert fitted._source.prior_from == "mean"
        mean = fitted.calibrate(scores).mean(axis=0)
        assert_allclose(fitted.score_prior_, mean)
        assert_allclose(fitted.target_prior_, mean, atol=1e-5)

    @pytest.mark.parametrize("kind", ["none", "temperature", "bcts", "vector"])
    def test_the_optimum_is_certified_from_the_definition(self, kind):
        scores, y = distorted_scores(0, [0.6, 0.3, 0.1], [0.6, 0.3, 0.1], 500)
        target, _ = distorted_scores(1, [0.6, 0.3, 0.1], [0.0, 0.2, 0.8], 200)
        fitted = MLLS(kind, n_bootstrap=0).fit(scores, y, target)
        calibrated, pi, q = fitted.calibrate(target), fitted.score_prior_, fitted.target_prior_
        g = gradient_of(calibrated, pi, q, np.ones(200))
        assert fitted.gap_ <= 1e-8
        assert g.max() - 1 <= 1.1e-8
        assert_allclose(q * (1 - g), 0, atol=1e-7)
