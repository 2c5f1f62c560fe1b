import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression

from shiftfix import _setting_checks
from shiftfix.covariate import ClassifierWeighter, LogisticWeighter, TableColumns
from shiftfix.display import BalanceDisplay
from shiftfix.exceptions import MissingDependencyError
from shiftfix.weights._balance import balance_table
from tests.display.helpers import labels


@pytest.fixture
def samples(rng):
    return rng.normal(size=(300, 8)), rng.normal(np.arange(8) / 8, 1, (200, 8))


def parts(container):
    """Points, and the ends of the error bars."""
    line, _, (bars,) = container
    return line.get_xdata(), line.get_ydata(), np.array([segment[:, 0] for segment in bars.get_segments()])


@pytest.mark.slow
def test_points_and_bars_are_those_of_the_table(samples):
    weighter = LogisticWeighter().fit(*samples)
    display = BalanceDisplay.from_estimator(weighter, *samples, top=5, score=lambda X: X[:, 0])
    table = balance_table(*samples, weighter.transform(samples[0]), score=lambda X: X[:, 0]).worst(5)
    assert display.shown_.names == table.names
    for container, gap, error in (
        (display.before_, table.before, table.se_before),
        (display.after_, table.after, table.se_after),
    ):
        x, y, ends = parts(container)
        gap = np.abs(gap)
        assert_allclose(x, gap)
        assert_array_equal(np.round(y), np.arange(5))
        assert_allclose(ends, np.column_stack([np.maximum(gap - 2 * error, 0), gap + 2 * error]), atol=1e-12)
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == list(table.names)
    assert np.diff(display.ax_.get_ylim()) < 0  # the worst is on top
    assert display.limit_line_.get_xdata()[0] == 0.1
    assert labels(display.ax_).splitlines() == ["0.1 SD", "before weighting", "after weighting"]
    assert "5 worst of 18" in display.ax_.get_title(loc="left")


@pytest.mark.slow
def test_an_infinite_difference_sits_at_the_edge():
    table = balance_table(np.zeros((50, 1)), np.ones((50, 1)), np.ones(50))
    display = BalanceDisplay.from_table(table)
    assert parts(display.after_)[0][0] == display.ax_.get_xlim()[1]


@pytest.mark.slow
def test_names_with_dollars_or_great_length_stay_legible(samples):
    names = ["cost $ per $ day", "x" * 60, *"abcdef"]
    display = BalanceDisplay.from_weights(*samples, np.ones(300), feature_names=names, squares=False)
    shown = [label for label in display.ax_.get_yticklabels() if "cost" in label.get_text()]
    assert not shown[0].get_parse_math()
    assert max(len(label.get_text()) for label in display.ax_.get_yticklabels()) <= 28
    display.figure_.canvas.draw()


def test_axes_are_used_or_made(samples):
    display = BalanceDisplay.from_weights(*samples, np.ones(300))
    assert display.plot(display.ax_, top=3).ax_ is display.ax_
    assert "standard deviations" in display.ax_.get_xlabel()


@pytest.mark.slow
def test_importing_the_folder_loads_no_matplotlib():
    code = "import sys, shiftfix.display; print('matplotlib' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_without_matplotlib_the_message_says_what_to_install(samples, monkeypatch):
    def missing(module):
        raise ImportError(module)

    monkeypatch.setattr(_setting_checks.importlib, "import_module", missing)
    with pytest.raises(MissingDependencyError, match=r"shiftfix\[plots\]"):
        BalanceDisplay.from_weights(*samples, np.ones(300))


@pytest.mark.slow
def test_a_cross_fitted_weighter_is_shown_by_the_weights_it_keeps():
    rng = np.random.default_rng(0)
    X_source, X_target = rng.normal(size=(300, 2)), rng.normal(0.5, 1, (200, 2))
    weighter = ClassifierWeighter(LogisticRegression(), cv=3, random_state=0).fit(X_source, X_target)
    shown = BalanceDisplay.from_estimator(weighter, X_source, X_target)
    kept = BalanceDisplay.from_weights(X_source, X_target, weighter.source_weights_)
    assert np.array_equal(shown.table.after, kept.table.after)


@pytest.mark.slow
def test_as_many_other_rows_are_shown_by_weights_of_their_own():
    rng = np.random.default_rng(0)
    X_source, X_target, X_new = rng.normal(size=(300, 2)), rng.normal(0.5, 1, (200, 2)), rng.normal(size=(300, 2))
    weighter = LogisticWeighter().fit(X_source, X_target)
    shown = BalanceDisplay.from_estimator(weighter, X_new, X_target)
    expected = BalanceDisplay.from_weights(X_new, X_target, weighter.transform(X_new))
    assert np.array_equal(shown.table.after, expected.table.after)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_frame_with_categories_and_gaps_is_shown_as_its_weighter_read_it(library, rng):
    """The names of the user's columns, and the differences that encoding by hand gives."""
    frames = pytest.importorskip(library)
    samples = []
    for share in (0.3, 0.7):
        ward = rng.choice(["east", "west"], 200, p=[share, 1 - share])
        dose = np.where(rng.random(200) < 0.2, np.nan, rng.normal(share, 1, 200))
        samples.append(frames.DataFrame({"dose": dose, "ward": ward}))
    weighter = LogisticWeighter(features=TableColumns()).fit(*samples)
    other_order = samples[1][["ward", "dose"]]
    shown = BalanceDisplay.from_estimator(weighter, samples[0], other_order, squares=False, score=east_or_not).shown_
    found = dict(zip(shown.names, shown.before, strict=True))
    assert {"dose", "dose is missing", "ward=east", "ward=west", "score"} <= set(found)
    east = [np.asarray(frame["ward"]) == "east" for frame in samples]
    expected = (east[1].mean() - east[0].mean()) / east[1].std()
    assert found["ward=east"] == pytest.approx(expected, rel=0.01)
    assert found["score"] == pytest.approx(expected, rel=0.01)


def east_or_not(frame):
    """A score of the frame as it was given, signed."""
    return np.where(np.asarray(frame["ward"]) == "east", 1.0, -1.0)
