"""Plots of coverage: what is drawn is what sets held."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge

from shiftfix.conformal import ConformalClassifier
from shiftfix.display import CoverageDisplay
from shiftfix.exceptions import ShiftDataError
from tests.display.helpers import labels, pyplot


class Sets(BaseEstimator):
    """Sets of the first ``level * 10`` of ten classes; of rows whose label is their number modulo ten."""

    def fit(self):
        self.classes_ = np.arange(10)
        return self

    def predict_set(self, X, level, *, groups=None):
        return np.tile(np.arange(10) < round(level * 10), (len(X), 1))


class Intervals(BaseEstimator):
    """Intervals of half width ``level``, the first of them infinite."""

    def fit(self):
        self.fitted_ = True
        return self

    def predict_interval(self, X, level, *, groups=None):
        found = np.tile([-level, level], (len(X), 1))
        found[0] = -np.inf, np.inf
        return found


def test_sets_hold_the_label_as_often_as_counted():
    X = np.zeros((100, 1))
    display = CoverageDisplay.from_estimator(Sets().fit(), X, np.arange(100) % 10, levels=(0.9, 0.5))
    assert_allclose(display.points_.get_xdata(), [0.5, 0.9])
    assert_allclose(display.points_.get_ydata(), [0.5, 0.9])
    assert_allclose(display.size_line_.get_ydata(), [5, 9])
    assert "observed on 100 rows (95% interval)" in labels(display.ax_)
    assert display.size_ax_.get_ylabel() == "labels in a set"
    # Wilson's interval of 50 in 100.
    assert_allclose(display.intervals_.get_segments()[0][:, 1], [0.40383, 0.59617], atol=1e-5)
    # A label that no source row had is in no set.
    strange = CoverageDisplay.from_estimator(Sets().fit(), X, np.full(100, 77), levels=(0.9,))
    assert_allclose(strange.points_.get_ydata(), [0])
    pyplot().close("all")


def test_intervals_hold_the_value_as_often_as_counted():
    y = np.r_[5.0, np.linspace(-0.99, 0.99, 99)]
    display = CoverageDisplay.from_estimator(Intervals().fit(), np.zeros((100, 1)), y, levels=(0.5,))
    assert_allclose(display.coverage, [(1 + np.count_nonzero(np.abs(y[1:]) <= 0.5)) / 100])
    assert_allclose(display.sizes, [1.0])
    assert display.size_ax_.get_ylabel() == "width of an interval, in units of y"
    pyplot().close("all")


def test_bad_input_is_refused():
    X, y = np.zeros((4, 1)), np.arange(4)
    with pytest.raises(NotFittedError):
        CoverageDisplay.from_estimator(ConformalClassifier(LogisticRegression()), X, y)
    with pytest.raises(ShiftDataError, match="Ridge makes no sets"):
        CoverageDisplay.from_estimator(Ridge().fit(X, y), X, y)
    with pytest.raises(ShiftDataError, match="levels is empty"):
        CoverageDisplay.from_estimator(Sets().fit(), X, y, levels=())
    with pytest.raises(ShiftDataError, match="y has 3"):
        CoverageDisplay.from_estimator(Sets().fit(), X, y[:3])
    with pytest.raises(ShiftDataError, match=r"coverage holds 1\.2"):
        CoverageDisplay.from_coverage([0.5], [1.2], 10)
    with pytest.raises(ShiftDataError, match="coverage has 2"):
        CoverageDisplay.from_coverage([0.5], [0.5, 0.6], 10)
