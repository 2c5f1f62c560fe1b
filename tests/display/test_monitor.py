"""Plots of a monitor: what is drawn is what it said."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from shiftfix.display import MonitorDisplay
from shiftfix.exceptions import ShiftDataError
from shiftfix.risk import RiskMonitor
from tests.display.helpers import labels, pyplot


def watched(rng, wrong):
    """History of a monitor over batches of 100 rows, each with its share of wrong predictions."""
    monitor, history = RiskMonitor(0.9, tolerance=0.05), []
    for share in wrong:
        monitor.update(np.tile([0.1, 0.9], (100, 1)))
        rows = np.arange(monitor.n_rows_ - 100, monitor.n_rows_)
        monitor.update_labels(rows, (rng.permutation(100) >= 100 * share).astype(int))
        history.append((monitor.estimate(), monitor.alarms_))
    return history


def test_the_line_is_the_estimates_and_alarms_stand_where_they_were_raised(rng):
    history = watched(rng, [0.1] * 3 + [0.9] * 2)
    display = MonitorDisplay.from_history(history, reference=0.85)
    assert_allclose(display.line_.get_xdata(), [1, 2, 3, 4, 5])
    assert_allclose(display.line_.get_ydata(), [estimate.accuracy for estimate, _ in history])
    assert_allclose(display.confidence_line_.get_ydata(), 0.9)
    assert display.raised == {"accuracy": 3, "calibration": 3}
    assert_allclose(display.alarm_lines_["accuracy"].get_xdata(), [4, 4])
    assert display.alarm_lines_["accuracy"] is display.alarm_lines_["calibration"]
    assert "alarm: accuracy, calibration" in labels(display.ax_)
    assert_allclose(display.reference_line_.get_ydata(), 0.85)
    path = display.band_.get_paths()[0].vertices
    assert path[:, 1].min() == pytest.approx(min(estimate.low for estimate, _ in history))
    assert path[:, 1].max() == pytest.approx(max(estimate.high for estimate, _ in history))
    pyplot().close("all")


def test_dates_are_an_axis_and_no_alarm_is_no_line(rng):
    days = np.array(["2026-01-01", "2026-01-03"], dtype="datetime64[D]")
    display = MonitorDisplay.from_history(watched(rng, [0.1, 0.1]), x=days)
    assert (display.alarm_lines_, display.reference_line_) == ({}, None)
    assert display.ax_.get_xlabel() == ""
    pyplot().close("all")


def test_bad_histories_are_refused(rng):
    history = watched(rng, [0.1])
    with pytest.raises(ShiftDataError, match="history is empty"):
        MonitorDisplay.from_history([])
    for given in ([history[0][0]], [(0.8, {})], ["ok"]):
        with pytest.raises(ShiftDataError, match="pairs"):
            MonitorDisplay.from_history(given)
    with pytest.raises(ShiftDataError, match="one value per batch"):
        MonitorDisplay.from_history(history, x=[1, 2])
    with pytest.raises(ShiftDataError, match="reference"):
        MonitorDisplay.from_history(history, reference=2)
