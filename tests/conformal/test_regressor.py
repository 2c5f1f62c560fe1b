"""Intervals: by brute force from the models inside, every score, what they rest on, errors."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, QuantileRegressor, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from shiftfix.conformal import ConformalRegressor
from shiftfix.conformal._band_models import quantile_parameter
from shiftfix.corrected import TargetSample
from shiftfix.exceptions import ShiftDataError
from tests.conformal import brute_force

RNG = np.random.default_rng(0)
X, X_TARGET = RNG.normal(size=(300, 2)), RNG.normal((0.7, 0.0), 1, (120, 2))
Y = X[:, 0] + (0.5 + (X[:, 1] > 0)) * RNG.normal(size=300)
Y_TARGET = X_TARGET[:, 0] + (0.5 + (X_TARGET[:, 1] > 0)) * RNG.normal(size=120)
FROZEN = FrozenEstimator(LinearRegression().fit(X[:100], Y[:100]))
REST, Y_REST = X[100:], Y[100:]
TILT = brute_force.KnownTilt((0.7, 0.0), 0.245)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
def test_a_frozen_model_by_brute_force(level, weighted):
    model = ConformalRegressor(FROZEN, weighter=TILT if weighted else None)
    model.fit(REST, Y_REST, X_TARGET if weighted else None)
    residual = np.abs(Y_REST - FROZEN.predict(REST))
    w, own = (np.exp(weighted * (rows @ [0.7, 0] - 0.245)) for rows in (REST, X_TARGET))
    reach = np.array([brute_force.threshold(residual, w, o, level) for o in own[:20]])
    center = FROZEN.predict(X_TARGET)[:20]
    assert_allclose(model.predict_interval(X_TARGET, level)[:20], np.column_stack([center - reach, center + reach]))
    assert_allclose(model.predict(X_TARGET)[:20], center)


OPTIONS = {
    "absolute": (LinearRegression(), {}),
    "normalized": (LinearRegression(), {"conformity_score": "normalized"}),
    "cqr": (QuantileRegressor(alpha=0), {"conformity_score": "cqr"}),
    "scale of its own": (LinearRegression(), {"conformity_score": "normalized", "scale_estimator": Ridge()}),
}


@pytest.mark.slow
@pytest.mark.parametrize("cv", [None, 3])
@pytest.mark.parametrize("name", OPTIONS)
def test_half_or_folds_by_brute_force(name, cv):
    """Ends of the calibration rows around what the model of their fold says of the row to be judged."""
    learner, options = OPTIONS[name]
    model = ConformalRegressor(learner, cv=cv, weighter=TILT, **options).fit(X, Y, X_TARGET)
    mean = np.exp(X @ [0.7, 0] - 0.245).mean()
    own = np.exp(X_TARGET @ [0.7, 0] - 0.245) / mean
    lower, upper, weights = [], [], []
    for fitted, ranked in zip(model.estimators_, model._calibrated.ranked, strict=True):
        band = fitted.band(X_TARGET)
        lower.append(band.low[:, None] - ranked[0].scores * band.scale[:, None])
        upper.append(band.high[:, None] + ranked[0].scores * band.scale[:, None])
        weights.append(np.diff(ranked[0].below))
    lower, upper, weights = np.hstack(lower), np.hstack(upper), np.concatenate(weights)
    assert len(weights) == (150 if cv is None else 300)
    found = model.predict_interval(X_TARGET, 0.8)
    for row in range(25):
        expected = [
            -brute_force.upper_end(-lower[row], weights, own[row], 0.8),
            brute_force.upper_end(upper[row], weights, own[row], 0.8),
        ]
        crossed = expected[0] > expected[1]  # of quantiles, where the threshold is negative
        assert_allclose(found[row], np.repeat(np.mean(expected), 2) if crossed else expected, rtol=1e-9)


@pytest.mark.parametrize("name", OPTIONS)
def test_calibration_rows_are_new_to_their_model(name):
    """The scores are those of rows that the model did not see: found among all rows, the other half or fold."""
    learner, options = OPTIONS[name]
    model = ConformalRegressor(learner, cv=3, **options).fit(X, Y)
    held_out = []
    for fitted, ranked in zip(model.estimators_, model._calibrated.ranked, strict=True):
        scores = fitted.band(X).scores(Y)
        rows = np.flatnonzero(np.isin(scores, ranked[0].scores))
        held_out.append(rows)
    assert_array_equal(np.sort(np.concatenate(held_out)), np.arange(300))


@pytest.mark.slow
def test_scores_that_see_the_noise_make_intervals_of_several_widths():
    """Noise of .5 or 1.5 by the sign of a column, which boosting finds: the widths differ by at least half."""
    learner = GradientBoostingRegressor(n_estimators=40, max_depth=2, random_state=0)
    quantile = clone(learner).set_params(loss="quantile")
    for model in (ConformalRegressor(learner, "normalized"), ConformalRegressor(quantile, "cqr")):
        width = np.diff(model.fit(X, Y).predict_interval(X_TARGET), axis=1)[:, 0]
        assert np.median(width[X_TARGET[:, 1] > 0.2]) > 1.5 * np.median(width[X_TARGET[:, 1] < -0.2])


def test_where_the_quantile_is_set():
    assert quantile_parameter(QuantileRegressor()) == "quantile"
    assert quantile_parameter(make_pipeline(StandardScaler(), QuantileRegressor())) == "quantileregressor__quantile"
    assert quantile_parameter(GradientBoostingRegressor(loss="quantile")) == "alpha"
    assert quantile_parameter(GradientBoostingRegressor()) is None
    assert quantile_parameter(Ridge()) is None
    model = ConformalRegressor(QuantileRegressor(alpha=0), "cqr", quantiles=(0.2, 0.7)).fit(X, Y)
    assert [inner.quantile for inner in model.estimators_[0].models] == [0.2, 0.7]


class TwoColumns(RegressorMixin, BaseEstimator):
    def fit(self, X, y):
        self.coef_ = 0
        return self

    def predict(self, X):
        return np.column_stack([X[:, 0] + 1, X[:, 0] - 1])


def test_a_model_of_two_quantiles():
    """Columns in either order; the band is theirs."""
    for estimator in (TwoColumns(), FrozenEstimator(TwoColumns().fit(X, Y))):
        model = ConformalRegressor(estimator, "cqr").fit(X, Y)
        found = model.predict_interval(X_TARGET)
        assert_allclose(found.mean(axis=1), X_TARGET[:, 0])
        assert_allclose(model.predict(X_TARGET), X_TARGET[:, 0])


def test_a_frozen_model_learns_its_scale_from_rows_that_do_not_calibrate():
    model = ConformalRegressor(FROZEN, "normalized").fit(REST, Y_REST)
    assert model.n_calibration_ == 100
    assert model.estimators_[0].model is FROZEN


def test_the_scale_never_vanishes():
    """Where residuals are predicted to be 0 or less, a tenth of their mean stands; where all are 0, 1."""
    scale = ConformalRegressor(LinearRegression(), "normalized", scale_estimator=Opposite()).fit(X, Y)
    assert np.ptp(scale.estimators_[0].band(X_TARGET).scale) == 0
    exact = ConformalRegressor(LinearRegression(), "normalized").fit(X, np.zeros(300))
    assert_allclose(exact.predict_interval(X_TARGET), 0, atol=1e-9)


class Opposite(RegressorMixin, BaseEstimator):
    def fit(self, X, y):
        self.value_ = -y.mean()
        return self

    def predict(self, X):
        return np.full(len(X), self.value_)


def test_groups_and_rows_far_away():
    groups = np.where(REST[:, 1] > 0, 1, 0)
    model = ConformalRegressor(FROZEN, conditional="group", weighter=TILT).fit(REST, Y_REST, X_TARGET, groups=groups)
    asked = np.where(X_TARGET[:, 1] > 0, 1, 0)
    asked[0] = 7
    found = model.predict_interval(X_TARGET, groups=asked)
    assert np.isinf(found[0]).all()
    assert np.median(np.diff(found[asked == 1])) > np.median(np.diff(found[asked == 0]))
    told = model.summarize(X_TARGET, groups=asked)
    assert told.infinite_share == np.isinf(found).all(axis=1).mean()
    assert told.size == pytest.approx(np.median(np.diff(found[np.isfinite(found).all(axis=1)], axis=1)))
    far = ConformalRegressor(FROZEN, weighter=TILT).fit(REST, Y_REST, X_TARGET)
    assert np.isinf(far.predict_interval([[50.0, 0.0]])).all()
    nothing = far.summarize([[50.0, 0.0]])
    assert (nothing.verdict.level, nothing.infinite_share) == ("abstain", 1.0)
    assert np.isnan(nothing.size)
    assert "an infinite interval" in str(nothing)


@pytest.mark.slow
def test_equivariance():
    """Values in another unit and from another zero give the same intervals there."""
    for cv in (None, 3):
        for score in ("absolute", "normalized"):
            model = ConformalRegressor(LinearRegression(), score, cv=cv, weighter=TILT)
            first = clone(model).fit(X, Y, X_TARGET).predict_interval(X_TARGET)
            second = clone(model).fit(X, 1000 * Y + 7, X_TARGET).predict_interval(X_TARGET)
            # the folds follow from what rows hold, which the unit of y may reorder only among equal rows
            assert_allclose(second, 1000 * first + 7, rtol=1e-6, atol=1e-5)


def test_labels_of_the_target():
    moved = Y_TARGET + 3
    few = TargetSample(X_TARGET, y=moved[:50], rows=np.arange(50))
    model = ConformalRegressor(LinearRegression()).fit(X, Y, few)
    assert (model.labels_used_, model.n_calibration_) == ("alone", 50)
    found = model.predict_interval(X_TARGET)
    assert np.mean((found[:, 0] <= moved) & (moved <= found[:, 1])) > 0.8
    for cv in (None, 3):
        agree = TargetSample(X_TARGET, y=Y_TARGET[:50], rows=np.arange(50))
        model = ConformalRegressor(LinearRegression(), use_labels="combine", cv=cv).fit(X, Y, agree)
        assert model.labels_used_ == "combine"
        assert np.isfinite(model.predict_interval([[30.0, 0.0]])).all()  # labels bound the weights


@pytest.mark.parametrize(
    ("options", "fit", "message"),
    [
        ({"conformity_score": "lac"}, {}, "conformity_score='lac'"),
        ({"conditional": "class"}, {}, "conditional='class'"),
        ({"quantiles": (0.9, 0.1)}, {}, "the lower first"),
        ({"quantiles": (0.1, 1.0)}, {}, "quantiles=1.0"),
        ({"quantiles": 0.1}, {}, "two numbers"),
        ({"scale_estimator": 3}, {}, "scale_estimator is a int"),
        ({"conformity_score": "cqr"}, {}, "needs two quantiles per row"),
        ({"weighter": TILT}, {}, "X_target is missing"),
        ({}, {"y": np.repeat("a", 300)}, "cannot be read as numbers"),
        ({}, {"y": None}, "requires y"),
        ({}, {"X_target": TargetSample(X_TARGET, y=[np.inf], rows=[0])}, "infinity"),
    ],
)
def test_errors(options, fit, message):
    with pytest.raises(ShiftDataError, match=message):
        ConformalRegressor(LinearRegression(), **options).fit(**({"X": X, "y": Y} | fit))


def test_more_errors():
    with pytest.raises(ShiftDataError, match="one value per row is needed"):
        ConformalRegressor(TwoColumns()).fit(X, Y)
    with pytest.raises(ShiftDataError, match="none is left to calibrate on"):
        ConformalRegressor(LinearRegression()).fit(X[:1], Y[:1])
    with pytest.raises(ShiftDataError, match="needs two rows"):
        ConformalRegressor(LinearRegression(), "normalized").fit(X[:2], Y[:2])
    with pytest.raises(ShiftDataError, match="estimator is a str"):
        ConformalRegressor("ridge").fit(X, Y)


@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.PoorOverlapWarning")
def test_the_verdict_on_the_weights_is_told():
    """Half of the target stands where no source row is: abstain, though most sets are finite."""
    beyond = np.vstack([X_TARGET, X_TARGET + 5])
    told = ConformalRegressor(LinearRegression()).fit(X, Y, beyond).summarize(X_TARGET)
    assert told.verdict == "abstain"
    assert any(reason.startswith("of the weights:") for reason in told.verdict.reasons)
