"""The weights reach the learner, wherever it sits."""

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import RandomForestClassifier, StackingRegressor, VotingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from shiftfix._learner import fit_weighted, weight_parameter
from shiftfix.exceptions import ShiftDataError

POLYNOMIAL = make_pipeline(PolynomialFeatures(2), StandardScaler(), Ridge())


@pytest.mark.parametrize(
    ("estimator", "name"),
    [
        (Ridge(), "sample_weight"),
        (KNeighborsClassifier(), None),
        (POLYNOMIAL, "ridge__sample_weight"),
        (make_pipeline(StandardScaler(), KNeighborsClassifier()), None),
        (make_pipeline(StandardScaler(), POLYNOMIAL), "pipeline__ridge__sample_weight"),
        (GridSearchCV(Ridge(), {"alpha": [1]}), "sample_weight"),
        (GridSearchCV(POLYNOMIAL, {"ridge__alpha": [1]}), "ridge__sample_weight"),
        (GridSearchCV(KNeighborsClassifier(), {}), None),
        (TransformedTargetRegressor(Ridge()), "sample_weight"),
        (VotingClassifier([("a", LogisticRegression()), ("b", RandomForestClassifier())]), "sample_weight"),
        (VotingClassifier([("a", LogisticRegression()), ("b", KNeighborsClassifier())]), None),
        (StackingRegressor([("a", Ridge()), ("b", LinearRegression())]), "sample_weight"),
        (CalibratedClassifierCV(LogisticRegression()), "sample_weight"),
        (CalibratedClassifierCV(make_pipeline(StandardScaler(), LogisticRegression())), None),
        (CalibratedClassifierCV(KNeighborsClassifier()), None),
        (StackingRegressor([("a", Ridge())], KNeighborsRegressor()), None),
        (OneVsRestClassifier(LogisticRegression()), None),
        (TransformedTargetRegressor(), "sample_weight"),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "fit") else str(value),
)
def test_name_of_the_fit_argument(estimator, name):
    assert weight_parameter(estimator) == name


@pytest.mark.parametrize(
    "estimator",
    [
        Ridge(),
        make_pipeline(PolynomialFeatures(2), Ridge()),
        make_pipeline(PolynomialFeatures(1), make_pipeline(PolynomialFeatures(2), Ridge())),
        GridSearchCV(
            make_pipeline(PolynomialFeatures(2), Ridge()),
            {"ridge__alpha": [1.0]},
            cv=[(np.arange(15), np.arange(15))],
        ),
        TransformedTargetRegressor(Ridge(), func=np.arcsinh, inverse_func=np.sinh),
        StackingRegressor([("a", Ridge())], LinearRegression(), cv=[(np.arange(15), np.arange(15))], passthrough=True),
    ],
    ids=["bare", "pipeline", "nested pipeline", "search", "transformed target", "stacking"],
)
def test_doubled_weights_equal_doubled_rows(estimator, rng):
    """The weights act as repeat counts. Folds, where there are any, cover all rows of both fits."""
    X, y = rng.normal(size=(15, 2)), rng.normal(size=15)
    counts = rng.integers(1, 4, 15).astype(float)
    weighted = fit_weighted(estimator, X, y, counts).predict(X)
    rows = np.repeat(np.arange(15), counts.astype(int))
    whole = sklearn.base.clone(estimator)
    if "cv" in whole.get_params(deep=False):
        whole.set_params(cv=[(np.arange(len(rows)), np.arange(len(rows)))])
    assert_allclose(weighted, whole.fit(X[rows], y[rows]).predict(X), rtol=1e-6)
    unweighted = fit_weighted(estimator, X, y, None).predict(X)
    assert np.abs(weighted - unweighted).max() > 1e-3


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        make_pipeline(StandardScaler(), LogisticRegression()),
        GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression()), {"logisticregression__C": [1.0]}, cv=2),
        VotingClassifier([("a", LogisticRegression())], voting="soft"),
        CalibratedClassifierCV(LogisticRegression(), cv=2),
    ],
    ids=["bare", "pipeline", "search", "voting", "calibrated"],
)
def test_works_with_metadata_routing_switched_on(estimator, rng):
    X, w = rng.normal(size=(40, 2)), rng.exponential(size=40)
    y = (X[:, 0] + rng.normal(size=40) > 0).astype(int)
    expected = fit_weighted(estimator, X, y, w).predict_proba(X)
    with sklearn.config_context(enable_metadata_routing=True):
        assert_allclose(fit_weighted(estimator, X, y, w).predict_proba(X), expected, atol=1e-6)


def test_the_estimator_given_is_not_changed(rng):
    estimator = make_pipeline(StandardScaler(), Ridge())
    fit_weighted(estimator, rng.normal(size=(9, 2)), rng.normal(size=9), np.ones(9))
    assert not hasattr(estimator[-1], "coef_")


def test_rows_of_weight_zero_do_not_reach_the_estimator(rng):
    X, y = rng.normal(size=(9, 2)), rng.normal(size=9)
    w = np.append(np.ones(8), 0.0)
    X[8] = 1e9
    scaler = fit_weighted(make_pipeline(StandardScaler(), Ridge()), X, y, w)[0]
    assert_allclose(scaler.mean_, X[:8].mean(axis=0))


def test_a_learner_without_weights_is_named():
    with pytest.raises(ShiftDataError, match=r"KNeighborsClassifier takes no sample_weight.*resample"):
        fit_weighted(
            make_pipeline(StandardScaler(), KNeighborsClassifier()),
            np.zeros((4, 1)),
            [0, 1, 0, 1],
            np.ones(4),
        )


def test_resampling_draws_rows_in_proportion(rng):
    """20,000 draws: the share of a class of weight share .9 is within 5 standard errors (.011) of .9."""
    X, y = np.arange(20000.0)[:, None], np.tile([0, 1], 10000)
    weights = np.where(y == 1, 9.0, 1.0)
    model = fit_weighted(KNeighborsClassifier(1), X, y, weights, fallback="resample", rng=rng)
    assert model._y.mean() == pytest.approx(0.9, abs=0.011)
    assert len(model._y) == 20000
