"""Weights learned again from repeat counts are those of a full fit."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from shiftfix._resample import resampled_counts
from shiftfix.covariate import RULSIF, ClassifierWeighter, LogisticWeighter, weight_refits


@pytest.fixture
def samples(rng):
    return rng.normal(size=(300, 3)), rng.normal(0.4, 1.1, size=(200, 3))


def counts_of(samples, rng):
    return [resampled_counts(np.ones(len(X)), rng) for X in samples]


def raw(weighter):
    """Weights before they are made to average 1."""
    return weighter.source_weights_ * np.exp(weighter.log_mean_)


@pytest.mark.parametrize(
    "weighter",
    [
        LogisticWeighter(),
        LogisticWeighter(features="squares", clip=None),
        LogisticWeighter(C=0.1, clip=3.0),
        RULSIF(),
    ],
)
def test_counts_of_one_give_the_weights_that_were_fitted(samples, weighter):
    weighter.fit(*samples)
    found = weight_refits(weighter, *samples)(np.ones(300), np.ones(200))
    assert_allclose(found, raw(weighter), rtol=1e-6)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("features", ["linear", "quadratic"])
@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.PoorOverlapWarning")
def test_refits_are_full_fits(samples, features, seed):
    """Largest miss of a right program .003 in relative terms, from the units of the columns, which stay."""
    weighter = LogisticWeighter(features=features).fit(*samples)
    here, there = counts_of(samples, np.random.default_rng(seed))
    found = weight_refits(weighter, *samples)(here, there)
    full = LogisticWeighter(features=features).fit(*samples, sample_weight_source=here, sample_weight_target=there)
    assert_allclose(found[here > 0], raw(full)[here > 0], rtol=0.02)
    assert abs(found / raw(weighter) - 1).max() > 0.1  # and not those of all rows


def test_the_weighter_stays_as_it_was(samples, rng):
    weighter = LogisticWeighter().fit(*samples)
    before = weighter.coef_.copy(), weighter.source_weights_.copy()
    weight_refits(weighter, *samples)(*counts_of(samples, rng))
    assert_allclose(weighter.coef_, before[0], rtol=0)
    assert_allclose(weighter.source_weights_, before[1], rtol=0)


@pytest.mark.slow
def test_other_weighters_are_fitted_anew(samples, rng):
    weighter = ClassifierWeighter().fit(*samples)
    here, there = counts_of(samples, rng)
    found = weight_refits(weighter, *samples)(here, there)
    assert found.shape == (300,)
    assert 0.5 < np.average(found, weights=here) < 2
