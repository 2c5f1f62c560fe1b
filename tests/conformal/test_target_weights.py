"""Weights of rows that calibrate and of rows to be judged: exact on discrete rows."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from shiftfix.conformal._target_weights import (
    TargetWeights,
    clipped,
    covariate_weights,
    target_class_weights,
    weighter_for,
)
from shiftfix.covariate import ClassifierWeighter, LogisticWeighter, TableColumns
from shiftfix.exceptions import ShiftDataError
from shiftfix.label import MLLS
from tests.conformal.brute_force import KnownTilt


def test_the_mixture_of_source_and_labelled_rows():
    """p = (.5, .3, .2), q = (.1, .3, .6): 30 source and 10 labelled rows are of (30 p + 10 q) / 40, and q over that is
    the weight; none exceeds 4, where w is 3 and might be anything."""
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.3, 0.6])
    both = TargetWeights().with_labels(30, 10)
    assert_allclose(both.finish(q / p), q / ((30 * p + 10 * q) / 40))
    assert_allclose(both.finish(np.array([0.0, 1e300])), [0, 4])


def test_raw_weights_average_one_and_are_clipped_after():
    weights = TargetWeights(mean=2.0, clip=3.0)
    assert weights.finish(np.array([1.0, 4.0, 100.0])).tolist() == [0.5, 2.0, 3.0]


def test_the_weighter_neither_clips_nor_normalizes():
    given = LogisticWeighter(clip=2.0)
    made = weighter_for(given, None, np.zeros((2, 1)), np.zeros((2, 1)))
    assert (made.clip, made.normalize) == (None, None)
    assert given.clip == 2.0
    assert isinstance(weighter_for(None, None, np.zeros((2, 1)), np.zeros((2, 1))), LogisticWeighter)


@pytest.mark.parametrize(
    "weighter", [LogisticWeighter(), ClassifierWeighter(cv=3, random_state=0), KnownTilt((0.5, 0))]
)
def test_source_rows_have_the_fitted_weights(weighter):
    """Those of new rows at the same place, but out of fold where the weighter is cross-fitted."""
    rng = np.random.default_rng(0)
    X, X_target = rng.normal(size=(200, 2)), rng.normal(0.5, 1, (150, 2))
    fitted = weighter_for(weighter, None, X, X_target)
    weights, raw = covariate_weights(fitted, X, X_target, None, None)
    assert np.average(weights.finish(raw)) == pytest.approx(1)
    same = np.allclose(weights.of_rows(X, 200), weights.finish(raw))
    assert same == (not isinstance(weighter, ClassifierWeighter))


def test_the_clip_and_its_cost():
    """Weights .2, 1, 3 of mean 1 over the source, clipped at 2: the cost of the discrete case is .1."""
    raw = np.repeat([0.2, 1.0, 3.0], [5, 3, 2]) * 7
    weights = clipped(TargetWeights(mean=7.0), raw, np.ones(10), 2.0, np.repeat([0.2, 1.0, 3.0], [1, 3, 6]) * 7)
    assert weights.clip == 2.0
    assert weights.cost == pytest.approx(0.1)
    assert clipped(weights, raw, np.ones(10), None, raw) is weights


def test_known_and_estimated_class_weights():
    y = np.repeat([0, 1, 2], [5, 3, 2])
    found = target_class_weights([0.1, 0.3, 0.6], np.empty((10, 3)), y, None, np.arange(3), np.ones(10))
    assert_allclose(found.class_weight, [0.2, 1, 3])
    scores = np.eye(3)[y] * 0.9 + 1 / 30
    prior = target_class_weights(
        MLLS("none", n_bootstrap=0),
        np.tile(scores, (20, 1)),
        np.tile(y, 20),
        np.repeat(scores, np.repeat([2, 15, 50], [5, 3, 2]), axis=0),
        np.arange(3),
        np.ones(200),
    )
    assert_allclose(prior.class_weight, prior.prior.class_weight_)


def test_errors():
    with pytest.raises(ShiftDataError, match="no calibration row is of it"):
        target_class_weights([0.5, 0.5], np.empty((3, 2)), np.zeros(3, int), None, np.array(["a", "b"]), np.ones(3))
    with pytest.raises(ShiftDataError, match="not a probability vector"):
        target_class_weights([0.5, 0.6], np.empty((3, 2)), np.zeros(3, int), None, np.array(["a", "b"]), np.ones(3))


def test_tables_with_gaps_are_read_as_the_estimator_reads_them():
    from sklearn.ensemble import HistGradientBoostingClassifier

    X = np.array([[1.0, np.nan], [2.0, 3.0]])
    made = weighter_for(None, HistGradientBoostingClassifier(), X, X)
    assert isinstance(made.features, TableColumns)
