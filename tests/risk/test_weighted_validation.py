"""Importance-weighted validation: by hand, beside ``exponent="cv"``, against known risks, and through GridSearchCV."""

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import accuracy_score, log_loss, make_scorer, mean_absolute_error, mean_squared_error
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score

from shiftfix.corrected import CovariateShiftClassifier, TargetSample
from shiftfix.covariate import LogisticWeighter
from shiftfix.exceptions import PoorOverlapWarning, ShiftDataError
from shiftfix.risk import (
    OneStandardErrorRule,
    iw_cross_val_score,
    make_weighted_scorer,
    row_losses,
    simplest_within_one_error,
)
from shiftfix.risk._exponent import choose_exponent, weighted_means


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def parabola(rng, n, mu=0.5):
    """y = x^2, N(0, 1) -> N(mu, 1): source rows, values, target rows, true weights."""
    X = rng.normal(size=(n, 1))
    return X, X[:, 0] ** 2, rng.normal(mu, 1, (n, 1)), np.exp(mu * X[:, 0] - mu**2 / 2)


def classes(rng, n=200):
    X, X_target = rng.normal(size=(n, 3)), rng.normal(0.3, 1, (n, 3))
    return X, (X[:, 0] + rng.normal(size=n) > 0).astype(int), X_target


# ------------------------------------------------------------------------------------------- iw_cross_val_score


def test_scores_by_hand(rng):
    X, y, _, w = parabola(rng, 60)
    folds = list(KFold(3).split(X))
    found = iw_cross_val_score(LinearRegression(), X, y, weights=w, cv=folds)
    rows = np.empty(60)
    for number, (training, held_out) in enumerate(folds):
        model = LinearRegression().fit(X[training], y[training])
        rows[held_out] = -((model.predict(X[held_out]) - y[held_out]) ** 2)
        assert found.scores[number] == pytest.approx(np.average(rows[held_out], weights=w[held_out]))
    assert_allclose(found.row_scores, rows)
    mean = np.average(rows, weights=w)
    assert found.mean == pytest.approx(mean)
    assert found.standard_error == pytest.approx(np.sqrt((w**2 * (rows - mean) ** 2).sum()) / w.sum())
    assert found.effective_size == pytest.approx(w.sum() ** 2 / (w**2).sum())
    assert_array_equal(found.rows, np.arange(60))


@pytest.mark.parametrize("exponent", [0, 0.5, 1])
@pytest.mark.parametrize("groups", [None, np.arange(120) // 3])
def test_the_choice_of_the_exponent_is_made_by_the_same_numbers(exponent, groups):
    X, y, _, w = parabola(np.random.default_rng(0), 120)
    counts = np.tile([1.0, 2.0], 60)
    rng = np.random.default_rng(5)
    choice = choose_exponent(LinearRegression(), X, y, w, rng=rng, sample_weight=counts, cv=3, groups=groups)
    found = iw_cross_val_score(
        LinearRegression(),
        X,
        y,
        weights=w,
        cv=3,
        groups=groups,
        sample_weight=counts,
        exponent=exponent,
        random_state=np.random.default_rng(5),
    )
    assert_allclose([-found.mean, found.standard_error], choice.losses[exponent], rtol=1e-12)


def test_weights_of_ones_are_cross_val_score(rng):
    X, y, _ = classes(rng)
    for name in ("accuracy", "neg_log_loss"):
        found = iw_cross_val_score(LogisticRegression(), X, y, weights=np.ones(200), scoring=name, cv=KFold(4))
        assert_allclose(found.scores, cross_val_score(LogisticRegression(), X, y, scoring=name, cv=KFold(4)))


@pytest.mark.slow
def test_it_estimates_the_target_risk_where_the_source_risk_is_another():
    """A line through a parabola, N(0, 1) -> N(1/2, 1), n = 4000: target risk 3.0625, source risk 2. True within four
    standard errors; the unweighted score misses it by 10."""
    X, y, X_target, w = parabola(np.random.default_rng(0), 4000)
    for given in ({"weights": w}, {"X_target": X_target}):
        found = iw_cross_val_score(LinearRegression(), X, y, **given)
        assert abs(-found.mean - 3.0625) < 4 * found.standard_error
    plain = iw_cross_val_score(LinearRegression(), X, y, weights=np.ones(4000))
    assert -plain.mean + 4 * plain.standard_error < 3.0625


def test_the_weights_are_those_of_the_weighter(rng):
    X, y, X_target = classes(rng)
    found = iw_cross_val_score(LogisticRegression(), X, y, X_target, weighter=LogisticWeighter("cv"))
    assert_allclose(found.weights, LogisticWeighter("cv").fit(X, X_target).source_weights_)
    assert "Weighted cross-validation" in str(found)
    assert "p(y given x) is shared" in str(found)
    sample = iw_cross_val_score(LogisticRegression(), X, y, TargetSample(X_target))
    assert sample.mean == iw_cross_val_score(LogisticRegression(), X, y, X_target).mean


def test_a_row_counted_twice_is_the_row_twice(rng):
    X, y, _, w = parabola(rng, 40)
    folds = list(KFold(4).split(X))
    counts = np.where(np.arange(40) % 3 == 0, 2, 1)
    places = np.repeat(np.arange(40), counts)
    twice = [(np.flatnonzero(np.isin(places, a)), np.flatnonzero(np.isin(places, b))) for a, b in folds]
    found = iw_cross_val_score(Ridge(), X, y, weights=w, sample_weight=counts, cv=folds)
    other = iw_cross_val_score(Ridge(), X[places], y[places], weights=w[places], cv=twice)
    assert_allclose(found.scores, other.scores)
    assert found.mean == pytest.approx(other.mean)
    assert found.standard_error == pytest.approx(other.standard_error)


def test_the_order_of_rows_does_not_matter(rng):
    X, y, X_target = classes(rng)
    order = rng.permutation(200)
    first, second = (
        iw_cross_val_score(LogisticRegression(), *data, X_target) for data in ((X, y), (X[order], y[order]))
    )
    assert first.mean == pytest.approx(second.mean, rel=1e-6)


def test_a_meta_estimator_gets_the_target_uncut(rng):
    X, y, X_target = classes(rng)
    seen = []

    class Spy(CovariateShiftClassifier):
        def fit(self, X, y, X_target=None, **rest):
            seen.append(X_target)
            return super().fit(X, y, X_target, **rest)

    target = TargetSample(X_target)
    spy = Spy(LogisticRegression(), exponent=1)
    iw_cross_val_score(spy, X, y, target, fit_params={"X_target": target}, cv=3)
    assert len(seen) == 3
    assert all(one is target for one in seen)


def test_losses_of_the_users_own(rng):
    X, y, X_target = classes(rng)
    own = iw_cross_val_score(LogisticRegression(), X, y, X_target, scoring=row_losses)
    assert own.mean == iw_cross_val_score(LogisticRegression(), X, y, X_target, scoring="neg_log_loss").mean


def test_samples_far_apart_are_told_of(rng):
    X, y, _ = classes(rng)
    with pytest.warns(PoorOverlapWarning, match="do not support weighting"):
        found = iw_cross_val_score(LogisticRegression(), X, y, X[:50] + 6)
    assert found.verdict == "abstain"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "X_target is missing"),
        ({"weights": np.ones(200), "X_target": np.ones((5, 3))}, "pass weights, or X_target"),
        ({"weights": np.ones(3)}, "3 values for 200"),
        ({"weights": np.ones(200), "cv": 1}, "cv=1"),
        ({"weights": np.ones(200), "scoring": "roc_auc"}, "scoring='roc_auc'"),
        ({"weights": np.ones(200), "exponent": 1, "fit_params": {}}, "pass one"),
        ({"weights": np.ones(200), "scoring": lambda *_: np.ones(3)}, "losses of scoring has 3 values"),
        ({"weights": np.arange(200) == 7, "cv": KFold(2)}, "positive weight"),
        ({"weighter": LogisticRegression()}, "is no weighter"),
    ],
)
def test_errors(rng, given, message):
    X, y, _ = classes(rng)
    with pytest.raises(ShiftDataError, match=message):
        iw_cross_val_score(LogisticRegression(), X, y, **given)


def test_no_two_folds(rng):
    with pytest.raises(ShiftDataError, match="two folds"):
        iw_cross_val_score(LogisticRegression(), np.ones((4, 1)), [0, 0, 0, 0], weights=np.ones(4))
    X, y, _ = classes(rng)
    with pytest.raises(ShiftDataError, match="predict_proba"):
        iw_cross_val_score(RidgeClassifier(), X, y, weights=np.ones(200), scoring="neg_log_loss")


# ---------------------------------------------------------------------------------------------- weighted scorer


@pytest.mark.parametrize(
    ("name", "metric", "response"),
    [
        ("accuracy", accuracy_score, "predict"),
        ("neg_log_loss", log_loss, "predict_proba"),
        ("neg_mean_squared_error", mean_squared_error, "predict"),
        ("neg_mean_absolute_error", mean_absolute_error, "predict"),
    ],
)
def test_the_scorer_is_scikit_learns_weighted_metric(rng, name, metric, response):
    X, y, X_target = classes(rng)
    weighter = LogisticWeighter().fit(X, X_target)
    model = LogisticRegression().fit(X, y)
    score = metric(y, getattr(model, response)(X), sample_weight=weighter.transform(X))
    found = make_weighted_scorer(weighter, name)(model, X, y)
    assert found == pytest.approx(-score if name.startswith("neg") else score)


@pytest.mark.parametrize("on", [False, True])
def test_a_fitted_weighter_needs_no_routing(rng, on):
    X, y, X_target = classes(rng)
    weighter = LogisticWeighter().fit(X, X_target)
    with sklearn.config_context(enable_metadata_routing=on):
        scorer = make_weighted_scorer(weighter, "accuracy")
        found = cross_val_score(LogisticRegression(), X, y, scoring=scorer, cv=KFold(4))
        inner = GridSearchCV(LogisticRegression(), {"C": [0.01, 1]}, scoring=scorer, cv=3)
        nested = cross_val_score(inner, X, y, scoring=scorer, cv=KFold(2))
    by_weights = iw_cross_val_score(
        LogisticRegression(), X, y, weights=weighter.transform(X), scoring="accuracy", cv=KFold(4)
    )
    assert_allclose(found, by_weights.scores)
    assert np.isfinite(nested).all()
    assert clone(scorer) is scorer
    assert clone(inner).scoring is scorer


class TargetSpy(RegressorMixin, BaseEstimator):
    """Predicts the mean of the target's first column; keeps what it was handed."""

    def fit(self, X, y, X_target=None, sample_weight=None):
        self.seen_ = X_target
        self.mean_ = 0.0 if X_target is None else float(np.mean(X_target.X))
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_)


@pytest.mark.usefixtures("routing")
def test_routed_weights_are_cut_as_the_rows(rng):
    X, y, _, w = parabola(rng, 90)
    scorer = make_weighted_scorer().set_score_request(sample_weight=True)
    model = Ridge().set_fit_request(sample_weight=False)
    search = GridSearchCV(model, {"alpha": [0.1, 100]}, scoring=scorer, cv=KFold(3))
    search.fit(X, y, sample_weight=w)
    plain = make_scorer(mean_squared_error, greater_is_better=False).set_score_request(sample_weight=True)
    other = GridSearchCV(model, {"alpha": [0.1, 100]}, scoring=plain, cv=KFold(3)).fit(X, y, sample_weight=w)
    assert_allclose(search.cv_results_["split1_test_score"], other.cv_results_["split1_test_score"])


@pytest.mark.usefixtures("routing")
@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.PoorOverlapWarning")  # of the fits by hand
def test_the_target_is_routed_uncut_to_scorer_and_estimator_even_where_it_is_as_long_as_the_source(rng):
    X, y, X_target, _ = parabola(rng, 90)
    target = TargetSample(X_target)
    scorer = make_weighted_scorer(LogisticWeighter(min_ess=5)).set_score_request(X_target=True)
    model = TargetSpy().set_fit_request(X_target=True, sample_weight=False)
    search = GridSearchCV(model, {}, scoring=scorer, cv=KFold(3)).fit(X, y, X_target=target)
    assert search.best_estimator_.seen_ is target
    for number, (_, held_out) in enumerate(KFold(3).split(X)):
        weights = LogisticWeighter(min_ess=5).fit(X[held_out], X_target).source_weights_
        expected = -np.average((y[held_out] - X_target.mean()) ** 2, weights=weights)
        assert search.cv_results_[f"split{number}_test_score"][0] == pytest.approx(expected)


def test_without_routing_scikit_learn_hands_the_target_to_the_estimator_and_not_to_the_scorer(rng):
    X, y, X_target, _ = parabola(rng, 90)
    target, weighter = TargetSample(X_target), LogisticWeighter().fit(X, X_target)
    search = GridSearchCV(TargetSpy(), {}, scoring=make_weighted_scorer(weighter), cv=KFold(3), error_score="raise")
    search.fit(X, y, X_target=target)
    assert search.best_estimator_.seen_ is target
    _, held_out = next(KFold(3).split(X))
    expected = -np.average((y[held_out] - X_target.mean()) ** 2, weights=weighter.transform(X[held_out]))
    assert search.cv_results_["split0_test_score"][0] == pytest.approx(expected)


def test_a_search_by_the_target_chooses_another_than_one_by_the_source():
    """A constant is wrong by x^4 moments: on N(2, 1) a strongly shrunk line loses to a free one, on N(0, 1) neither."""
    rng = np.random.default_rng(0)
    X = rng.normal(0, 1, (600, 1))
    y = np.where(X[:, 0] > 1, 5 * X[:, 0], 0.0) + rng.normal(size=600)
    weighter = LogisticWeighter().fit(X, rng.normal(1, 0.7, (600, 1)))
    by_target = iw_cross_val_score(DummyRegressor(), X, y, weights=weighter.transform(X)).mean
    by_source = iw_cross_val_score(DummyRegressor(), X, y, weights=np.ones(600)).mean
    assert by_target < 1.5 * by_source < 0


def test_a_scorer_without_weights_says_how_to_get_some(rng):
    X, y, _ = classes(rng)
    model = LogisticRegression().fit(X, y)
    with pytest.raises(ShiftDataError, match="set_score_request"):
        make_weighted_scorer()(model, X, y)
    with pytest.raises(ShiftDataError, match="is no weighter"):
        make_weighted_scorer(LogisticRegression())
    with pytest.raises(ShiftDataError, match="scoring='f1'"):
        make_weighted_scorer(scoring="f1")


# -------------------------------------------------------------------------------------- one standard error


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
