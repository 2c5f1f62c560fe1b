"""Before and after on labelled rows: by hand, and beside Wilson's printed interval."""

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LogisticRegression, Ridge

from shiftfix.corrected import CovariateShiftRegressor
from shiftfix.report._answers import change_in_words, unmeasured
from shiftfix.report._before_after import (
    ACCURACY,
    OF_VALUES,
    before_and_after,
    compare_on,
    mean_and_interval,
    metrics_of,
)


def test_an_accuracy_has_wilsons_interval():
    """81 of 263: .308, (.255, .366) by Newcombe (1998), Statist. Med. 17:857-872, Table I, the score method."""
    found = mean_and_interval(np.repeat([1.0, 0.0], [81, 182]), is_share=True)
    assert [round(found[name], 4) for name in ("value", "low", "high")] == [0.308, 0.2553, 0.3662]


def test_a_change_is_that_of_paired_rows():
    y = np.array([0, 0, 1, 1])
    before, after = (DummyClassifier(strategy="constant", constant=c).fit([[0], [1]], [0, 1]) for c in (0, 1))
    row = compare_on(ACCURACY, before, after, np.zeros((4, 1)), np.array([0, 1, 1, 1]))
    assert (row["before"]["value"], row["after"]["value"], row["change"]["value"]) == (0.25, 0.75, 0.5)
    half = 1.96 * np.std([-1, 1, 1, 1], ddof=1) / 2
    assert row["change"]["high"] - row["change"]["value"] == pytest.approx(half)
    same = compare_on(ACCURACY, before, before, np.zeros((4, 1)), y)["change"]
    assert (same["value"], same["low"], same["high"]) == (0, 0, 0)
    assert change_in_words(same) == "0 (the same in every row)"
    assert change_in_words(row["change"]).startswith("+0.5 (")
    zero, one = (DummyRegressor(strategy="constant", constant=c).fit([[0]], [0]) for c in (0, 1))
    rows = [compare_on(metric, zero, one, np.zeros((4, 1)), np.array([0.0, 3, 3, 3])) for metric in OF_VALUES]
    assert [(row["before"]["value"], row["after"]["value"]) for row in rows] == [(2.25, 1.75), (6.75, 3.25)]


def test_a_weighted_model_is_compared_with_one_without_weights(rng):
    X, X_target = rng.normal(0, 1, (300, 1)), rng.normal(1, 0.6, (200, 1))
    y, y_target = X[:, 0] ** 2, X_target[:, 0] ** 2
    model = CovariateShiftRegressor(Ridge(), exponent=1.0).fit(X, y, X_target)
    rows = before_and_after(model, X, y, X_target, y_target)
    plain = np.abs(Ridge().fit(X, y).predict(X_target) - y_target).mean()
    assert rows[0]["before"]["value"] == pytest.approx(plain)
    assert rows[0]["after"]["value"] == pytest.approx(np.abs(model.predict(X_target) - y_target).mean())
    assert rows[0]["after"]["value"] < rows[0]["before"]["value"]
    assert before_and_after(model, None, None, X_target, y_target) == []  # nobody can fit it again
    assert before_and_after(model, X, y, X_target[:1], y_target[:1]) == []


def test_what_models_are_judged_by():
    X, y = np.arange(6.0)[:, np.newaxis], np.array([0, 0, 0, 1, 1, 1])
    sure = LogisticRegression().fit(X, y)
    assert [metric.name for metric in metrics_of(sure, sure)] == ["accuracy", "log loss"]
    assert metrics_of(Ridge().fit(X, y), Ridge().fit(X, y)) == OF_VALUES


def test_only_new_class_shares_change_the_share_that_they_would():
    """A repair by target labels is not told by the share of predictions that new class shares would change."""
    for correction, told in (("prior", True), ("labels", False), ("weights", False)):
        record = {"correction": correction, "diagnosis": {"prior_changes": 0.469}}
        assert ("46.9%" in unmeasured(record)) == told
