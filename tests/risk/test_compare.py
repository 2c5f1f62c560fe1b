"""Estimates side by side."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import LinearRegression, LogisticRegression

from shiftfix.exceptions import ShiftDataError
from shiftfix.risk import compare_risks, target_risk

QUICK = {"n_bootstrap": 20}


def rows(n, mean, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(mean, 1, (n, 2))
    return X, (X[:, 0] + rng.normal(size=n) > 0).astype(int)


@pytest.fixture(scope="module")
def case():
    return LogisticRegression().fit(*rows(300, 0, 0)), *rows(600, 0, 1), *rows(600, 0.6, 2)


def test_the_values_are_those_of_target_risk(case):
    model, X, y, X_target, y_target = case
    names = ["source", "importance", "label_shift", "atc", "labels"]
    found = compare_risks(model, X, y, X_target, methods=names, target_labels=y_target[:50], n_worlds=0, **QUICK)
    assert list(found.estimates) == names
    assert found.errors == {}
    for name in names:
        alone = target_risk(model, X, y, X_target, method=name, target_labels=y_target[:50], **QUICK)
        assert_allclose(found[name].value, alone.value)
        assert name in str(found)


def test_without_names_every_method_that_can_is_asked(case):
    model, X, y, X_target, _ = case
    found = compare_risks(model, X, y, X_target, metric="log_loss", n_worlds=1, **QUICK)
    assert "atc" not in found.estimates
    assert {"doubly_robust", "pape", "doc"} <= found.estimates.keys()
    assert "ppi" not in found.estimates


@pytest.mark.slow
def test_each_method_errs_least_where_its_assumption_holds(case):
    """Means over ten pairs of worlds: errors of right methods are below .012, of the others above .02."""
    model, X, y, X_target, _ = case
    names = ["source", "importance", "doubly_robust", "label_shift"]
    errors = compare_risks(model, X, y, X_target, methods=names, n_worlds=10, **QUICK).errors
    assert all(abs(errors["no shift"][name]) < 0.012 for name in names)
    assert all(abs(errors["covariate shift"][name]) < 0.012 for name in ("importance", "doubly_robust"))
    assert all(errors["covariate shift"][name] < -0.02 for name in ("source", "label_shift"))
    assert abs(errors["label shift"]["label_shift"]) < 0.012
    assert errors["label shift"]["importance"] > 0.02


def test_labels_that_contradict_raise_the_alarm(case):
    """Concept shift: labels of the target turned around; what is unlabelled cannot know."""
    model, X, y, X_target, y_target = case
    given = {"methods": ["importance", "ppi"], "n_worlds": 0, **QUICK}
    right = compare_risks(model, X, y, X_target, target_labels=y_target[:200], **given)
    wrong = compare_risks(model, X, y, X_target, target_labels=1 - y_target[:200], **given)
    assert not right.disagree
    assert wrong.disagree
    assert wrong.verdict == "caution"
    assert "differ" in wrong.verdict.reasons[0]
    assert wrong.disagreement > right.disagreement


def test_estimates_that_refuse_are_named():
    X, y = rows(400, 0, 1)
    model = LogisticRegression().fit(*rows(300, 0, 0))
    found = compare_risks(model, X, y, 1.8 * rows(400, 0, 2)[0], methods=["source", "importance"], n_worlds=0, **QUICK)
    assert found["importance"].verdict == "abstain"
    assert found.verdict == "caution"
    alone = compare_risks(model, X, y, 1.8 * rows(400, 0, 2)[0], methods=["importance"], n_worlds=0, **QUICK)
    assert alone.verdict == "abstain"


def test_regressors_have_no_label_shift():
    rng = np.random.default_rng(0)
    X, X_target = rng.normal(size=(200, 2)), rng.normal(0.2, 1, size=(200, 2))
    model = LinearRegression().fit(X[:100], X[:100, 0])
    found = compare_risks(model, X[100:], X[100:, 0] + 1, X_target, metric="mae", n_worlds=1, **QUICK)
    assert set(found.errors) == {"no shift", "covariate shift"}
    assert "label_shift" not in found.estimates


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"methods": "atc"}, "list of names"),
        ({"methods": ["best"]}, "methods='best'"),
        ({"methods": ["ppi"]}, "needs target labels"),
        ({"n_worlds": -1}, "n_worlds=-1"),
    ],
)
def test_refusals(case, changed, words):
    model, X, y, X_target, _ = case
    with pytest.raises(ShiftDataError, match=words):
        compare_risks(model, X, y, X_target, **changed)
