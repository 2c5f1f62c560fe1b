"""Posterior adjustment, and what every prior estimator shares."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.stats import norm

from shiftfix.label import adjust_proba
from tests.strategies import simplex_points


@given(data=st.data())
def test_adjusting_is_bayes_rule_on_a_finite_space(data):
    """P(x | y) fixed, priors p and q: the posterior under q follows from that under p."""
    n_classes = data.draw(st.integers(2, 5))
    p = data.draw(simplex_points(n_classes))
    q = data.draw(simplex_points(n_classes))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    likelihood = rng.dirichlet(np.ones(7), size=n_classes).T + 1e-3
    under_p, under_q = likelihood * p, likelihood * q
    under_p /= under_p.sum(axis=1, keepdims=True)
    under_q /= under_q.sum(axis=1, keepdims=True)
    assert_allclose(adjust_proba(under_p, p, q), under_q, atol=1e-12)
    assert_allclose(adjust_proba(under_q, q, p), under_p, atol=1e-12)


def test_gaussian_classes_have_the_closed_form_posterior():
    """N(-1, 1) and N(1, 1): logit P(1 | x) = 2 x + logit of the prior."""
    x, p, q = np.linspace(-3, 3, 13), 0.4, 0.9

    def posterior(prior):
        one = prior * norm.pdf(x, 1) / (prior * norm.pdf(x, 1) + (1 - prior) * norm.pdf(x, -1))
        return np.column_stack([1 - one, one])

    assert_allclose(adjust_proba(posterior(p), [1 - p, p], [1 - q, q]), posterior(q), rtol=1e-10)


def test_same_prior_changes_nothing():
    scores = np.array([[0.2, 0.8], [1.0, 0.0]])
    assert_allclose(adjust_proba(scores, [0.3, 0.7], [0.3, 0.7]), scores)


def test_a_class_gone_from_the_target_gets_probability_zero():
    assert_allclose(adjust_proba([[0.6, 0.3, 0.1]], [1 / 3] * 3, [0, 0.5, 0.5]), [[0, 0.75, 0.25]])


def test_a_row_certain_of_a_class_gone_stays_finite():
    """The limit of equal small priors on the classes that are gone."""
    limit = adjust_proba([[0.5, 0.5, 0.0]], [0.2, 0.4, 0.4], [1e-12, 1e-12, 1 - 2e-12])
    assert_allclose(adjust_proba([[0.5, 0.5, 0.0]], [0.2, 0.4, 0.4], [0, 0, 1]), limit, atol=1e-9)
