"""A model that was diagnosed first is stored whole: the same predictions, the same diagnosis, word for word."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn.linear_model import LogisticRegression, Ridge

from shiftfix import load_model, save_model
from shiftfix.corrected import ShiftCorrectedClassifier, ShiftCorrectedRegressor, TargetSample


def frame(rng, n, move=0.0):
    return pd.DataFrame({"x": rng.normal(move, 1, n), "z": rng.normal(size=n)})


def signs(rng, X):
    return np.where(rng.logistic(size=len(X)) < 3 * X["x"], "b", "a")


def followed_labels(rng):
    """120 labels: with all tests that need some."""
    X, X_target = frame(rng, 200), frame(rng, 200, 0.5)
    target = TargetSample(X_target, y=signs(rng, X_target)[:120], rows=np.arange(120))
    return ShiftCorrectedClassifier(LogisticRegression()).fit(X, signs(rng, X), target), X_target


def no_overlap(rng):
    """An id that is left in, and rows far off: what is not finite is stored too."""
    X, X_target = frame(rng, 100), frame(rng, 80, 9.0)
    X["id"], X_target["id"] = np.arange(100), 5000 + np.arange(80)
    return ShiftCorrectedClassifier(LogisticRegression(max_iter=1000)).fit(X, signs(rng, X), X_target), X_target


def used_weights(rng):
    X, X_target = frame(rng, 600), frame(rng, 400, 1.5)
    return ShiftCorrectedRegressor(Ridge()).fit(X, X["x"] ** 2, X_target), X_target


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "correction"), [(followed_labels, "labels"), (no_overlap, "none"), (used_weights, "weights")]
)
def test_a_stored_model_is_the_same(tmp_path, rng, make, correction):
    model, X_target = make(rng)
    save_model(model, tmp_path / "model.skops")
    again = load_model(tmp_path / "model.skops")
    assert [model.correction_, again.correction_] == [correction, correction]
    assert_array_equal(again.predict(X_target), model.predict(X_target))
    assert str(again.diagnosis_) == str(model.diagnosis_)
    assert again.diagnosis_.verdict.reasons == model.diagnosis_.verdict.reasons
    assert again.diagnosis_.columns == model.diagnosis_.columns
    assert again.diagnosis_.performance == model.diagnosis_.performance
    if hasattr(model, "interval"):
        assert_array_equal(again.interval(0.9), model.interval(0.9))
