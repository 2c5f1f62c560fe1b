"""Priors learned again from repeat counts are those of a full fit."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from shiftfix.label import MLLS, calibration_refits, prior_refits
from shiftfix.label._calibration import fit_calibration


@pytest.fixture
def case(rng):
    y = np.arange(400) % 3
    centres = 2 * np.eye(3)

    def scores(labels):
        z = 1.7 * (rng.normal(size=(len(labels), 3)) + centres[labels])
        return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)

    return scores(y), y, scores(rng.choice(3, 300, p=[0.6, 0.3, 0.1]))


def test_counts_of_one_give_the_prior_that_was_fitted(case):
    scores, y, scores_target = case
    prior = MLLS(n_bootstrap=0).fit(scores, y, scores_target)
    found = prior_refits(prior, scores, y, scores_target)(np.ones(400), np.ones(300))
    assert_allclose(found, prior.target_prior_, atol=1e-5)


@pytest.mark.parametrize("calibration", ["none", "temperature", "bcts"])
def test_refits_are_full_fits(case, rng, calibration):
    scores, y, scores_target = case
    here, there = rng.integers(0, 3, 400).astype(float), rng.integers(0, 3, 300).astype(float)
    prior = MLLS(calibration, n_bootstrap=0).fit(scores, y, scores_target)
    found = prior_refits(prior, scores, y, scores_target)(here, there)
    full = MLLS(calibration, n_bootstrap=0).fit(
        scores, y, scores_target, sample_weight_source=here, sample_weight_target=there
    )
    assert_allclose(found, full.target_prior_, atol=1e-4)


def test_calibrations_take_weights_as_counts(case):
    scores, y, _ = case
    w = np.where(np.arange(400) < 100, 2.0, 0.0) + 1
    found = calibration_refits(scores, y, "bcts")(w)
    wanted = fit_calibration(
        np.repeat(scores, w.astype(int), axis=0), np.repeat(y, w.astype(int)), np.ones(int(w.sum())), "bcts"
    )
    for a, b in zip(found, wanted, strict=True):
        assert_allclose(a, b, atol=1e-4)
