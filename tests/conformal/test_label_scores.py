"""Scores of classes: worked by hand, and valid whatever they are."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from shiftfix.conformal._label_scores import (
    adaptive_scores,
    label_scores,
    least_ambiguous_scores,
    proba_at_target,
    row_fractions,
)

PROBA = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [1.0, 0.0, 0.0]])


def test_by_hand():
    """The probability of the likelier classes, and a fraction of the class's own."""
    assert_allclose(least_ambiguous_scores(PROBA), 1 - PROBA)
    u = row_fractions(PROBA)
    assert_allclose(adaptive_scores(PROBA, u)[0], [0.5 * u[0, 0], 0.5 + 0.3 * u[0, 0], 0.8 + 0.2 * u[0, 0]])
    assert_allclose(adaptive_scores(PROBA, u)[1, 2], 0.8 * u[1, 0])
    assert_allclose(adaptive_scores(PROBA, u)[2], [u[2, 0], 1, 1])


def test_fractions_are_as_good_as_drawn():
    """Uniform over random rows (largest gap .0043 at 50,000, where draws have .006 on average), and the row's own."""
    proba = np.random.default_rng(0).dirichlet([1, 1, 1], 50_000)
    u = row_fractions(proba)[:, 0]
    assert (u >= 0).all()
    assert (u < 1).all()
    gap = np.abs(np.sort(u) - (np.arange(50_000) + 0.5) / 50_000).max()
    assert gap < 0.01
    assert np.array_equal(row_fractions(proba[::-1][:100])[::-1][:, 0], u[-100:])


@given(seed=st.integers(0, 10**6), kind=st.sampled_from(["lac", "aps"]))
def test_a_likelier_class_fits_better(seed, kind):
    proba = np.random.default_rng(seed).dirichlet(np.ones(5), 20)
    scores = label_scores([proba], kind)[0]
    assert (np.diff(np.take_along_axis(scores, np.argsort(-proba, axis=1), axis=1), axis=1) >= -1e-12).all()
    assert ((scores >= 0) & (scores <= 1 + 1e-12)).all()


def test_probabilities_at_the_shares_of_the_target():
    """Bayes' rule; a row whose only classes have no share in the target stays as it is."""
    found = proba_at_target(np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]), np.array([0.0, 2.0, 1.0]))
    assert_allclose(found, [[0, 1, 0], [1, 0, 0]])
    assert_allclose(proba_at_target(PROBA, np.array([1.0, 1.0, 2.0]))[0], np.array([0.5, 0.3, 0.4]) / 1.2)


def test_several_models_share_the_fraction_of_a_row():
    other = PROBA[:, ::-1].copy()
    first, second = label_scores([PROBA, other], "aps")
    assert_allclose(first, adaptive_scores(PROBA, row_fractions(PROBA)))
    assert_allclose(second, adaptive_scores(other, row_fractions(PROBA)))
