"""Plots of risks: what is drawn is what was estimated."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import LogisticRegression

from shiftfix._verdict import Verdict
from shiftfix.display import RiskDisplay
from shiftfix.exceptions import ShiftDataError
from shiftfix.risk import GroupRisk, RiskEstimate, compare_risks
from tests.display.helpers import labels, pyplot


def estimate(value=0.8, low=0.7, high=0.9, level="ok", **changes):
    found = RiskEstimate(
        value, low, high, 0.05, "accuracy", "weights", "covariate shift", 0.9, 100, 80, 0, Verdict(level)
    )
    return replace(found, **changes)


def points(line):
    return np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()


def ends(intervals):
    return [segment[:, 0].tolist() for segment in intervals.get_segments()]


def test_a_row_per_estimate_and_what_is_refused_apart():
    found = {"first": estimate(), "second": estimate(0.6, 0, 1, "abstain"), "third": estimate(0.75, 0.72, 0.78)}
    display = RiskDisplay.from_comparison(found, true_value=0.77)
    assert points(display.points_) == ([0.8, 0.75], [0, 2])
    assert points(display.refused_) == ([0.6], [1])
    assert ends(display.intervals_) == [[0.7, 0.9], [0, 1], [0.72, 0.78]]
    assert list(display.truth_.get_xdata()) == [0.77, 0.77]
    assert [t.get_text() for t in display.ax_.get_yticklabels()] == ["first", "second", "third"]
    assert labels(display.ax_).splitlines() == ["estimate (90% interval)", "not supported by the data", "truth"]
    assert display.ax_.get_xlabel() == "accuracy on the target"
    # An interval of everything does not widen the axis.
    assert display.ax_.get_xlim()[0] > 0.5
    assert display.ax_.get_xlim()[1] < 1
    pyplot().close("all")


def test_axes_that_are_given_are_drawn_on():
    figure, ax = pyplot().subplots()
    display = RiskDisplay.from_comparison({"only": estimate()}, ax=ax)
    assert (display.ax_, display.figure_, display.truth_, display.refused_) == (ax, figure, None, None)
    assert display.plot().ax_ is not ax
    pyplot().close("all")


def test_groups_stand_below_the_whole():
    groups = (
        GroupRisk("north", 0.7, 0.6, 0.8, 0.04, 50, 40, 30.0, 1.0),
        GroupRisk("south", 0.9, 0.85, 1, 0.04, 50, 40, 40.0, 1.0),
    )
    display = RiskDisplay.from_groups(estimate(groups=groups))
    assert [t.get_text() for t in display.ax_.get_yticklabels()] == ["all rows", "north", "south"]
    assert points(display.points_) == ([0.8, 0.7, 0.9], [0, 1, 2])
    assert ends(display.intervals_) == [[0.7, 0.9], [0.6, 0.8], [0.85, 1]]
    with pytest.raises(ShiftDataError, match="groups="):
        RiskDisplay.from_groups(estimate())
    pyplot().close("all")


def test_what_is_no_estimate_is_refused():
    for given in ({}, {"one": 0.8}, [estimate()], "accuracy", None):
        with pytest.raises(ShiftDataError, match="Estimates are needed"):
            RiskDisplay.from_comparison(given)
    with pytest.raises(ShiftDataError, match="several metrics \\(accuracy, brier\\)"):
        RiskDisplay.from_comparison({"a": estimate(), "b": estimate(metric="brier")})
    with pytest.raises(ShiftDataError, match="true_value"):
        RiskDisplay.from_comparison({"a": estimate()}, true_value="high")


@pytest.mark.slow
def test_an_estimator_is_compared_and_drawn(rng):
    X, y = rng.normal(size=(400, 2)), rng.integers(0, 2, 400)
    model = LogisticRegression().fit(X[:100], y[:100])
    settings = {"methods": ["source", "doc"], "n_bootstrap": 10}
    display = RiskDisplay.from_estimator(model, X[100:], y[100:], X[100:] + 0.2, **settings)
    found = compare_risks(model, X[100:], y[100:], X[100:] + 0.2, n_worlds=0, **settings)
    assert_allclose(display.points_.get_xdata(), [found["source"].value, found["doc"].value])
    pyplot().close("all")
