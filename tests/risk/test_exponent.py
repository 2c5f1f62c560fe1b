"""The exponent of the training weights: closed forms of the target loss, and the cross-validation by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize_scalar
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsRegressor
from sklearn.tree import DecisionTreeRegressor

from shiftfix._row_order import order_of_rows
from shiftfix.corrected import CovariateShiftClassifier, CovariateShiftRegressor
from shiftfix.covariate import LogisticWeighter
from shiftfix.exceptions import PoorOverlapWarning, ShiftDataError
from shiftfix.risk._exponent import (
    Choice,
    _shown,
    choose_exponent,
    most_folds,
    optimism,
    tempered_weights,
    weighted_means,
)
from shiftfix.risk._losses import LEAST_PROBABILITY, row_losses
from shiftfix.weights import normalize_weights


def parabola(rng, n, mu):
    """y = x^2, N(0, 1) -> N(mu, 1), and the true weights."""
    X = rng.normal(size=(n, 1))
    return X, X[:, 0] ** 2, np.exp(mu * X[:, 0] - mu**2 / 2)


@pytest.mark.slow
def test_target_losses_of_a_line_through_a_parabola(rng):
    """N(0, 1) -> N(1/2, 1): the best line at exponent g has target risk 2 + 4 mu^2 (1 - g)^2 + mu^4 (1 - g)^4
    = 3.0625, 2.2539, 2. With n = 20,000 a right program was within .33, .26 and .22 in 40 runs, and always
    chose 1; judged by unweighted rows, exponent 0 would get 2 and win."""
    choice = choose_exponent(LinearRegression(), *parabola(rng, 20_000, 0.5), rng=rng)
    assert choice.exponent == 1
    for (loss, error), truth in zip(choice.losses.values(), (3.0625, 2.25390625, 2), strict=True):
        assert loss == pytest.approx(truth, abs=0.6)
        assert abs(loss - truth) < 5 * error
    for (gain, error), truth in zip(choice.gains.values(), (0.80859375, 1.0625), strict=True):
        assert abs(gain - truth) < 5 * error
        assert gain > 1.64 * error


@pytest.mark.slow
def test_a_right_model_is_rarely_weighted_fully(rng):
    """y = x + e: the model is right and weights only add variance (factors 1, 1.64, 3.40 without an intercept).
    In 40 times 30 runs a right program chose 0 27 to 30 times; their mean was .1 at most."""
    chosen = []
    for _ in range(30):
        X, _, w = parabola(rng, 200, 1)
        y = X[:, 0] + rng.normal(size=200)
        chosen.append(choose_exponent(LinearRegression(fit_intercept=False), X, y, w, rng=rng).exponent)
    assert np.mean(chosen) < 0.2
    assert chosen.count(0) >= 22


def test_the_losses_are_those_of_a_loop(rng):
    """Each fold trained with normalised w ** exponent, all held-out rows judged by sum w l / sum w; exact. Rows
    that count zero times are left out before the folds are made."""
    X, y, w = parabola(rng, 60, 1)
    counts = rng.integers(0, 4, 60).astype(float)
    choice = choose_exponent(
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
    loss = {exponent: np.empty(len(X)) for exponent in (0, 0.5, 1)}
    for training, held_out in KFold(3, shuffle=True, random_state=seed).split(X):
        for exponent, values in loss.items():
            tree = DecisionTreeRegressor(max_depth=2, random_state=0)
            tree.fit(X[training], y[training], w[training] ** exponent * counts[training])
            values[held_out] = (y[held_out] - tree.predict(X[held_out])) ** 2
    for exponent, values in loss.items():
        assert_allclose(choice.losses[exponent], mean_and_error(values, w, counts), rtol=1e-7)
    gains = {exponent: mean_and_error(loss[0] - loss[exponent], w, counts) for exponent in (0.5, 1)}
    assert_allclose([choice.gains[exponent] for exponent in gains], list(gains.values()), rtol=1e-7)
    assert choice.exponent == best_beyond_chance(gains)
    assert choice.scale is None


def mean_and_error(values, w, counts):
    """sum w v / sum w and its standard error given the weights, row by row."""
    w, values = np.repeat(w, counts.astype(int)), np.repeat(values, counts.astype(int))
    mean = np.average(values, weights=w)
    return mean, np.sqrt(np.sum(w**2 * (values - mean) ** 2)) / w.sum()


def best_beyond_chance(gains):
    best, most = 0, 0.0
    for exponent, (gain, error) in gains.items():
        if gain > 1.64 * error and gain > most:
            best, most = exponent, gain
    return best


@pytest.mark.slow
@pytest.mark.parametrize("with_counts", [False, True])
def test_classifiers_are_judged_after_a_temperature(with_counts, rng):
    """The same loop by hand: of each exponent's out-of-fold probabilities p, softmax(a log p) with the one a that is
    best under the weights it trained with; then -log of the label's, weighted in full."""
    X = rng.normal(size=(150, 2))
    y = (X[:, 0] ** 2 + 0.5 * X[:, 1] + rng.normal(size=150) > 0.5).astype(int)
    w = normalize_weights(np.exp(X[:, 0]))
    counts = rng.integers(0, 4, 150).astype(float) if with_counts else np.ones(150)
    choice = choose_exponent(
        LogisticRegression(C=100), X, y, w, sample_weight=counts if with_counts else None, rng=np.random.default_rng(4)
    )
    seed = int(np.random.default_rng(4).integers(2**31 - 1))
    X, y, w, counts = (values[counts > 0] for values in (X, y, w, counts))
    order = order_of_rows(X, y, counts=counts if with_counts else None)
    X, y, w, counts = (values[order] for values in (X, y, w, counts))
    loss, scale = {}, {}
    for exponent in (0, 0.5, 1):
        log_p = np.empty((len(X), 2))
        for training, held_out in StratifiedKFold(3, shuffle=True, random_state=seed).split(X, y):
            own = w[training] ** exponent
            own = own * counts[training].sum() / (own * counts[training]).sum() if exponent < 1 else own
            model = LogisticRegression(C=100).fit(X[training], y[training], own * counts[training])
            log_p[held_out] = model.predict_log_proba(X[held_out])

        def losses_at(a, log_p=log_p):
            z = a * log_p
            return np.logaddexp(z[:, 0], z[:, 1]) - z[np.arange(len(y)), y]

        trained = w**exponent * counts
        scale[exponent] = minimize_scalar(
            lambda a: trained @ losses_at(a),  # noqa: B023
            bounds=(0.01, 10),
            method="bounded",
            options={"xatol": 1e-9},
        ).x
        loss[exponent] = losses_at(scale[exponent])
    for exponent, values in loss.items():
        assert_allclose(choice.losses[exponent], mean_and_error(values, w, counts), rtol=1e-5)
    gains = {}
    for exponent in (0.5, 1):
        gain, error = mean_and_error(loss[0] - loss[exponent], w, counts)
        # One parameter fitted to the rows that judge: those of other rows gain less.
        flatters = [np.sum(w**e * w * counts) / np.sum(w**e * counts) / np.sum(w * counts) for e in (0, exponent)]
        gains[exponent] = (gain - flatters[1] + flatters[0], error)
    assert_allclose([choice.gains[exponent] for exponent in gains], list(gains.values()), atol=1e-6)
    assert choice.exponent == best_beyond_chance(gains)
    assert_allclose(choice.scale, scale[choice.exponent], rtol=1e-4)
    assert_allclose(choice.bias, 0)


@pytest.mark.parametrize(
    ("gains", "chosen"),
    [
        ({0.5: (1.63, 1.0), 1.0: (1.0, 1.0)}, 0),
        ({0.5: (1.65, 1.0), 1.0: (9.0, 9.0)}, 0.5),
        ({0.5: (2.0, 1.0), 1.0: (2.1, 1.0)}, 1),
        ({0.5: (2.1, 1.0), 1.0: (2.0, 1.0)}, 0.5),
        ({0.5: (-9.0, 1.0), 1.0: (-9.0, 1.0)}, 0),
        ({0.5: (0.0, 0.0), 1.0: (0.0, 0.0)}, 0),
    ],
)
def test_a_gain_counts_beyond_1_64_standard_errors(gains, chosen):
    assert (0, *gains)[_shown(list(gains.values()))] == chosen == best_beyond_chance(gains)


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
        CovariateShiftClassifier(LogisticRegression(), random_state=3).fit(X, y, X_target=X_target) for _ in range(2)
    ]
    assert fits[0].exponent_losses_ == fits[1].exponent_losses_
    losses = {exponent: loss for exponent, (loss, _) in fits[0].exponent_losses_.items()}
    assert set(losses) == {0, 0.5, 1}
    assert fits[0].exponent_ == best_beyond_chance(fits[0].exponent_gains_)
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
    assert found[:3] == without[:3]
    few = choose_exponent(LinearRegression(), X, y, w, sample_weight=(np.arange(90) < 3).astype(float), cv=5, rng=rng)
    assert set(few.losses) == {0, 0.5, 1}  # three folds, one row each


def test_where_nothing_can_be_held_out_nothing_is_weighted(rng):
    """A class of two with a single row, or one row alone: no fold leaves both something to learn and to judge."""
    X = rng.normal(size=(60, 1))
    assert choose_exponent(LogisticRegression(), X, np.repeat([0, 1], [59, 1]), np.ones(60), rng=rng) == Choice(
        0, {}, {}
    )
    assert choose_exponent(LinearRegression(), X[:1], X[:1, 0], np.ones(1), rng=rng) == Choice(0, {}, {})
    y = np.repeat([0, 1], [299, 1])
    X = rng.normal(size=(300, 1))
    model = CovariateShiftClassifier(LogisticRegression()).fit(X, y, rng.normal(0.5, 1, (200, 1)))
    assert (model.exponent_, model.corrected_, model.verdict_) == (0, False, "caution")
    assert "too few rows to see whether weights help" in model.verdict_.reasons[0]
    with pytest.raises(ShiftDataError, match="cv=1"):
        choose_exponent(LinearRegression(), X, y, np.ones(300), cv=1, rng=rng)


@pytest.mark.parametrize(("size", "folds"), [(20, 3), (30, 2)])
def test_folds_are_as_many_as_the_largest_class_has_rows(size, folds):
    y = np.repeat(np.arange(size), 60 // size)
    assert most_folds(5, y, stratified=True) == folds
    assert most_folds(5, y, stratified=False) == 5


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [LogisticRegression(), RidgeClassifier()], ids=str)
def test_weights_of_an_effective_size_of_one_are_never_chosen(estimator, rng):
    """N(0, 1) -> N(5, 1/4): cross-validation judges by a row or two, and its losses are sure by 4 standard errors and
    more; what a calibration gains on the one row it is fitted to tells otherwise, and nothing is asked at all."""
    X = rng.normal(size=(300, 1))
    y = (X[:, 0] + rng.normal(size=300) > 0).astype(int)
    X_target = rng.normal(5, 0.5, (200, 1))
    weighter = LogisticWeighter(1e4, clip=None)
    with pytest.warns(PoorOverlapWarning, match="fitted without weights"):
        model = CovariateShiftClassifier(estimator, weighter).fit(X, y, X_target)
    assert model.summary_.effective_size < 2
    fooled = choose_exponent(estimator, X, y, model.weighter_.source_weights_, rng=rng)
    best = min(fooled.losses, key=fooled.losses.get)
    assert best > 0
    assert fooled.losses[0][0] - fooled.losses[best][0] > 4 * fooled.gains[best][1]
    assert fooled.gains[best][0] < -0.4  # less optimism of 1/2 nat and more for each parameter
    assert fooled.exponent == 0
    assert (model.exponent_, model.corrected_, model.exponent_losses_) == (0, False, None)
    assert model.verdict_ == "abstain"
    with pytest.warns(PoorOverlapWarning, match="weighted all the same"):
        model = CovariateShiftClassifier(estimator, weighter, on_abstain="correct").fit(X, y, X_target)
    assert (model.exponent_, model.corrected_, model.exponent_losses_) == (1, True, None)
    assert model.verdict_ == "abstain"


@pytest.mark.slow
def test_the_verdict_says_what_was_found_of_the_model(samples, rng):
    X, y, X_target = samples
    left_out = CovariateShiftClassifier(LogisticRegression()).fit(X, y, X_target)
    assert (left_out.verdict_, left_out.corrected_, left_out.exponent_) == ("ok", False, 0)
    assert "weights are not shown to help this model (estimated target loss higher by" in left_out.verdict_.reasons[0]
    assert (left_out.weights_ == 1).all()
    asked = CovariateShiftClassifier(LogisticRegression(), exponent=1.0).fit(X, y, X_target)
    assert (asked.verdict_, asked.corrected_) == ("caution", True)
    assert "whether the weights help this model was not asked" in asked.verdict_.reasons
    X, X_target = rng.normal(size=(2000, 1)), rng.normal(1, 1, (2000, 1))
    helped = CovariateShiftRegressor(LinearRegression()).fit(X, X[:, 0] ** 2, X_target)
    assert (helped.corrected_, helped.exponent_ > 0) == (True, True)
    assert helped.verdict_ == helped.summary_.verdict


class TestTemperature:
    """Probabilities of an over-confident learner, whether or not anything is weighted."""

    @pytest.mark.slow
    @pytest.mark.parametrize("exponent", ["cv", 0, 1.0])
    def test_it_changes_no_prediction_and_lowers_the_loss_on_fresh_rows(self, exponent, rng):
        """Naive Bayes that is given each column four times: its logits are four times too large, so that the
        temperature is 4, or its reciprocal, the scale, .25."""

        def draw(n, mean):
            y = (rng.random(n) < 0.5).astype(int)
            return np.tile(rng.normal(mean + y[:, np.newaxis], 1, (n, 2)), 4), y

        X, y = draw(1000, 0)
        learner = GaussianNB()
        settings = {"exponent": exponent, "random_state": 0}
        X_target, _ = draw(500, 0.3)
        calibrated = CovariateShiftClassifier(learner, **settings).fit(X, y, X_target)
        raw = CovariateShiftClassifier(learner, calibrate=None, **settings).fit(X, y, X_target)
        fresh, truth = draw(2000, 0.3)
        if exponent == "cv":
            assert calibrated.exponent_ == raw.exponent_
        assert (calibrated.predict(fresh) == raw.predict(fresh)).all()
        before, after = (model.predict_proba(fresh) for model in (raw, calibrated))
        assert (before.argmax(axis=1) == after.argmax(axis=1)).all()
        assert log_loss(truth, after) < log_loss(truth, before) - 0.1
        assert raw.calibration_scale_ is None
        assert calibrated.calibration_scale_[0] == pytest.approx(0.25, abs=0.08)
        assert_allclose(calibrated.calibration_bias_, 0)
        assert_allclose(calibrated.predict_log_proba(fresh), np.log(after))


@pytest.mark.slow
def test_what_a_calibration_gains_on_the_rows_it_is_fitted_to(rng):
    """Noise of two classes, a score that tells nothing: the true scale is 0 and the bias 0. Fitted under v = w and
    judged by w, two parameters flatter by 2 sum w^2 / (sum w)^2 nats: half gained there, half lost elsewhere."""
    n, flattered = 300, []
    w = np.exp(rng.normal(size=n))
    w /= w.mean()
    for _ in range(400):
        y, s = rng.integers(0, 2, n), rng.normal(size=n)
        # One Newton step from the truth to the fit: g' J^-1 g / 2 gained here, and as much lost on other rows.
        design = np.column_stack([np.ones(n), s])
        slope, curved = design.T @ (w * (y - 0.5)), design.T @ (0.25 * w[:, None] * design)
        flattered.append(slope @ np.linalg.solve(curved, slope) / w.sum())
    assert np.mean(flattered) == pytest.approx(optimism(1.0, w, np.ones(n), 2), rel=0.2)
    assert optimism(0.0, w, np.ones(n), 2) == pytest.approx(2 / n)
    counts = rng.integers(1, 4, n)
    assert optimism(0.5, w, counts.astype(float), 3) == pytest.approx(
        optimism(0.5, np.repeat(w, counts), np.ones(counts.sum()), 3)
    )


def test_errors_of_groups_are_those_of_their_sums():
    """Two groups: of 1 + 1 and 2 - 4, about a mean of 0, weights 1: sqrt(2^2 + 2^2) / 4."""
    values, w, ones = np.array([[1.0, 1, 2, -4]]), np.ones(4), np.ones(4)
    means, errors = weighted_means(values, w, ones, np.array([0, 0, 1, 1]))
    assert (means, errors) == ([0], [pytest.approx(np.sqrt(8) / 4)])
    assert weighted_means(values, w, ones, np.arange(4)) == weighted_means(values, w, ones)
    assert weighted_means(values[:0], w, ones, np.arange(4)) == ([], [])
