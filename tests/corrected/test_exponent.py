"""The exponent of the training weights: closed forms of the target loss, and the cross-validation by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.model_selection import KFold
from sklearn.neighbors import KNeighborsRegressor
from sklearn.tree import DecisionTreeRegressor

from shiftfix._row_order import order_of_rows
from shiftfix.corrected import CovariateShiftClassifier, CovariateShiftRegressor
from shiftfix.corrected._exponent import choose_exponent, tempered_weights
from shiftfix.exceptions import PoorOverlapWarning, ShiftDataError
from shiftfix.risk._losses import LEAST_PROBABILITY, row_losses
from shiftfix.weights import normalize_weights


def parabola(rng, n, mu):
    """y = x^2, N(0, 1) -> N(mu, 1), and the true weights."""
    X = rng.normal(size=(n, 1))
    return X, X[:, 0] ** 2, np.exp(mu * X[:, 0] - mu**2 / 2)


def test_target_losses_of_a_line_through_a_parabola(rng):
    """N(0, 1) -> N(1/2, 1): the best line at exponent g has target risk 2 + 4 mu^2 (1 - g)^2 + mu^4 (1 - g)^4
    = 3.0625, 2.2539, 2. With n = 20,000 a right program was within .33, .26 and .22 in 40 runs, and always
    chose 1; judged by unweighted rows, exponent 0 would get 2 and win."""
    exponent, losses = choose_exponent(LinearRegression(), *parabola(rng, 20_000, 0.5), rng=rng)
    assert exponent == 1
    for (loss, error), truth in zip(losses.values(), (3.0625, 2.25390625, 2), strict=True):
        assert loss == pytest.approx(truth, abs=0.6)
        assert abs(loss - truth) < 5 * error


@pytest.mark.slow
def test_a_right_model_is_rarely_weighted_fully(rng):
    """y = x + e: the model is right and weights only add variance (factors 1, 1.64, 3.40 without an intercept).
    Of 40 times 30 runs a right program chose 0 in 64%, .5 in 18% and 1 in 19%; 0 at least 15 times, 1 at most 11."""
    chosen = []
    for _ in range(30):
        X, _, w = parabola(rng, 200, 1)
        y = X[:, 0] + rng.normal(size=200)
        chosen.append(choose_exponent(LinearRegression(fit_intercept=False), X, y, w, rng=rng)[0])
    assert np.mean(chosen) < 0.45  # a right program: .12 to .40
    assert chosen.count(0) > chosen.count(1)


def test_the_losses_are_those_of_a_loop(rng):
    """Each fold trained with normalised w ** exponent, all held-out rows judged by sum w l / sum w; exact. Rows
    that count zero times are left out before the folds are made."""
    X, y, w = parabola(rng, 60, 1)
    counts = rng.integers(0, 4, 60).astype(float)
    _, losses = choose_exponent(
        DecisionTreeRegressor(max_depth=2, random_state=0),
        X,
        y,
        w,
        sample_weight=counts,
        cv=3,
        rng=np.random.default_rng(4),
    )
    seed = int(np.random.default_rng(4).integers(2**31 - 1))
    X, y, w, counts = (values[counts > 0] for values in (X, y, w, counts))
    order = order_of_rows(X, y, counts=counts)
    X, y, w, counts = (values[order] for values in (X, y, w, counts))
    for exponent in (0, 0.5, 1):
        loss = np.empty(len(X))
        for training, held_out in KFold(3, shuffle=True, random_state=seed).split(X):
            tree = DecisionTreeRegressor(max_depth=2, random_state=0)
            tree.fit(X[training], y[training], w[training] ** exponent * counts[training])
            loss[held_out] = (y[held_out] - tree.predict(X[held_out])) ** 2
        repeated_w, repeated_l = np.repeat(w, counts.astype(int)), np.repeat(loss, counts.astype(int))
        mean = np.average(repeated_l, weights=repeated_w)
        error = np.sqrt(np.sum(repeated_w**2 * (repeated_l - mean) ** 2)) / repeated_w.sum()
        assert_allclose(losses[exponent], [mean, error], rtol=1e-7)


def test_row_losses_of_classifiers():
    X = np.array([[-1.0], [0], [1], [2]])
    y = np.array(["a", "a", "b", "b"])
    model = LogisticRegression().fit(X, y)
    expected = -np.log(model.predict_proba(X)[np.arange(4), [0, 0, 1, 1]])
    assert_allclose(row_losses(model, X, y), expected)
    # A label that was never trained on is impossible, and counts as the floor.
    assert_allclose(row_losses(model, X[:1], ["c"]), -np.log(LEAST_PROBABILITY))
    assert_allclose(row_losses(RidgeClassifier().fit(X, y), X, ["a", "b", "b", "a"]), [0, 1, 0, 1])


class Recorder(ClassifierMixin, BaseEstimator):
    """Keeps what it was fitted with."""

    def fit(self, X, y, sample_weight=None):
        self.classes_, self.weight_ = np.unique(y), sample_weight
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


@pytest.fixture
def samples(rng):
    X, X_target = rng.normal(size=(300, 1)), rng.normal(0.5, 1, (200, 1))
    return X, (X[:, 0] > 0).astype(int), X_target


@pytest.mark.parametrize("exponent", [0, 0.3, 1])
def test_a_fixed_exponent_reaches_the_learner(samples, exponent, rng):
    X, y, X_target = samples
    counts = rng.integers(1, 4, 300).astype(float)
    model = CovariateShiftClassifier(Recorder(), exponent=exponent).fit(X, y, X_target=X_target, sample_weight=counts)
    raw = np.minimum(model.weighter_.log_ratio(X), model.weighter_.log_clip_)
    expected = normalize_weights(np.exp(exponent * raw), sample_weight=counts)
    assert_allclose(model.weights_, expected, rtol=1e-10)
    assert_allclose(model.estimator_.weight_, expected * counts, rtol=1e-10)
    assert model.exponent_ == exponent
    assert model.exponent_losses_ is None


def test_exponent_zero_needs_no_learner_that_takes_weights(samples):
    X, _, X_target = samples
    CovariateShiftRegressor(KNeighborsRegressor(), exponent=0).fit(X, X[:, 0], X_target=X_target)
    with pytest.raises(ShiftDataError, match="takes no sample_weight"):
        CovariateShiftRegressor(KNeighborsRegressor(), exponent="cv").fit(X, X[:, 0], X_target=X_target)
    model = CovariateShiftRegressor(KNeighborsRegressor(), exponent="cv", fallback="resample", random_state=0)
    assert model.fit(X, X[:, 0], X_target=X_target).exponent_ in (0, 0.5, 1)


@pytest.mark.slow
def test_the_search_is_reproducible_and_reported(samples):
    X, y, X_target = samples
    fits = [
        CovariateShiftClassifier(LogisticRegression(), exponent="cv", random_state=3).fit(X, y, X_target=X_target)
        for _ in range(2)
    ]
    assert fits[0].exponent_losses_ == fits[1].exponent_losses_
    losses = {exponent: loss for exponent, (loss, _) in fits[0].exponent_losses_.items()}
    assert fits[0].exponent_ == min(losses, key=losses.get)
    assert_allclose(
        fits[0].weights_, tempered_weights(fits[0].weighter_.transform(X), fits[0].exponent_, None), rtol=1e-12
    )


def test_an_abstention_is_not_searched(rng):
    X, y, X_target = rng.normal(size=(200, 1)), rng.normal(size=200), rng.normal(9, 1, (200, 1))
    with pytest.warns(PoorOverlapWarning):
        model = CovariateShiftRegressor(LinearRegression(), exponent="cv").fit(X, y, X_target=X_target)
    assert model.exponent_ == 0
    assert model.exponent_losses_ is None
    assert (model.weights_ == 1).all()


@pytest.mark.slow
def test_a_class_rarer_than_the_folds_is_no_obstacle(samples):
    X, y, X_target = samples
    y = y.copy()
    y[:2] = 7
    model = CovariateShiftClassifier(LogisticRegression(), exponent="cv", random_state=0).fit(X, y, X_target=X_target)
    assert all(np.isfinite(loss) for loss, _ in model.exponent_losses_.values())


@pytest.mark.slow
def test_rows_that_count_zero_times_change_no_fold(rng):
    X, y, w = parabola(rng, 90, 1)
    counts = (np.arange(90) % 3).astype(float)
    kept = counts > 0
    found, without = (
        choose_exponent(LinearRegression(), X[rows], y[rows], w[rows], sample_weight=counts[rows], rng=generator)
        for rows, generator in [(slice(None), np.random.default_rng(1)), (kept, np.random.default_rng(1))]
    )
    assert found == without
    with pytest.raises(ShiftDataError, match="cv=5 folds of 3 source rows"):
        choose_exponent(LinearRegression(), X, y, w, sample_weight=(np.arange(90) < 3).astype(float), rng=rng)


def test_classes_too_small_for_the_folds_are_named(rng):
    X = rng.normal(size=(60, 1))
    for labels in (np.repeat([0, 1], [59, 1]), np.repeat(np.arange(20), 3)):
        with pytest.raises(ShiftDataError, match="some fold would lack a class to train on"):
            choose_exponent(LogisticRegression(), X, labels, np.ones(60), rng=rng)
