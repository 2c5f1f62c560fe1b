"""The one-standard-error rule by hand, and in a search."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from shiftfix.covariate import LogisticWeighter
from shiftfix.exceptions import ShiftDataError
from shiftfix.risk import (
    OneStandardErrorRule,
    make_weighted_scorer,
    simplest_within_one_error,
)
from shiftfix.risk._exponent import weighted_means
from tests.risk.test_weighted_validation import classes


def test_the_first_within_one_paired_error_by_hand(rng):
    scores = rng.normal(size=(4, 50)) * 0.1 + rng.normal(size=50) + np.array([0, 0.02, 0.05, 0.06])[:, np.newaxis]
    w = rng.gamma(2, 0.5, 50)
    means = np.array([np.average(row, weights=w) for row in scores])
    best = means.argmax()
    for choice in range(4):
        gap = scores[best] - scores[choice]
        error = np.sqrt((w**2 * (gap - np.average(gap, weights=w)) ** 2).sum()) / w.sum()
        if means[best] - means[choice] <= error:
            break
    assert simplest_within_one_error(scores, w) == choice
    assert simplest_within_one_error(scores, w, n_errors=0) == best
    assert simplest_within_one_error(scores, w, n_errors=1e9) == 0


def test_rows_hard_for_all_do_not_hide_a_difference():
    """Paired: the best is .1 ahead on every row, whose scores spread by 10."""
    hard = np.linspace(-10, 10, 100)
    assert simplest_within_one_error([hard, hard + 0.1]) == 1
    assert weighted_means(hard[np.newaxis], np.ones(100), np.ones(100))[1][0] > 0.5


@pytest.mark.parametrize(("complexity", "index"), [("C", 0), ("-C", 2), (lambda params: -params["C"], 2)])
def test_the_rule_for_a_search_by_hand(complexity, index):
    """Differences from the best (0): -.02 +- .02 at 1, -.01 +- .02 at 2; 3 is out of reach."""
    scores = {
        "split0_test_score": [0.8, 0.8, 0.81, 0.2],
        "split1_test_score": [0.8, 0.76, 0.77, 0.3],
    }
    results = {"params": [{"C": 1}, {"C": 2}, {"C": 3}, {"C": 4}], **scores}
    assert OneStandardErrorRule(complexity)(results) == index


def test_the_rule_chooses_in_a_search(rng):
    X, y, X_target = classes(rng)
    scorer = make_weighted_scorer(LogisticWeighter().fit(X, X_target))
    grid = {"C": [10.0, 0.001, 1.0, 0.1]}
    rule = OneStandardErrorRule("C")
    search = GridSearchCV(LogisticRegression(), grid, scoring=scorer, refit=rule, cv=4).fit(X, y)
    best = int(np.argmax(search.cv_results_["mean_test_score"]))
    assert search.best_index_ == rule(search.cv_results_)
    assert search.best_params_["C"] <= grid["C"][best]
    assert clone(search).refit == rule


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (OneStandardErrorRule("gamma"), "a setting that was searched"),
        (OneStandardErrorRule("C", metric="f1"), "metric='f1'"),
        (OneStandardErrorRule("kind"), "the values of kind"),
        (OneStandardErrorRule("C", n_errors=-1), "n_errors=-1"),
    ],
)
def test_errors_of_the_rule(rule, message):
    results = {"params": [{"C": 1, "kind": "a"}], "split0_test_score": [1.0], "split1_test_score": [1.0]}
    with pytest.raises(ShiftDataError, match=message):
        rule(results)
    with pytest.raises(ShiftDataError, match="1 folds"):
        OneStandardErrorRule("C")({"params": [{"C": 1}], "split0_test_score": [1.0]})
