"""Importance-weighted validation: by hand, beside ``exponent="cv"``, and against known target risks."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import KFold, cross_val_score

from shiftfix.corrected import CovariateShiftClassifier, TargetSample
from shiftfix.covariate import LogisticWeighter
from shiftfix.exceptions import PoorOverlapWarning, ShiftDataError
from shiftfix.risk import (
    iw_cross_val_score,
    row_losses,
)
from shiftfix.risk._exponent import choose_exponent


def parabola(rng, n, mu=0.5):
    """y = x^2, N(0, 1) -> N(mu, 1): source rows, values, target rows, true weights."""
    X = rng.normal(size=(n, 1))
    return X, X[:, 0] ** 2, rng.normal(mu, 1, (n, 1)), np.exp(mu * X[:, 0] - mu**2 / 2)


def classes(rng, n=200):
    X, X_target = rng.normal(size=(n, 3)), rng.normal(0.3, 1, (n, 3))
    return X, (X[:, 0] + rng.normal(size=n) > 0).astype(int), X_target


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
