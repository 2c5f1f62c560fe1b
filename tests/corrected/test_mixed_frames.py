"""Frames with text and missing values, weighted by a transformer of their own and learned by a Pipeline."""

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from shiftfix.corrected import CovariateShiftClassifier, TargetSample
from shiftfix.covariate import LogisticWeighter

pandas = pytest.importorskip("pandas")


def frame(rng, n, ill):
    ward = np.where(rng.random(n) < ill, "acute", "day")
    age = rng.normal(50 + 10 * (ward == "acute"), 10)
    age[rng.random(n) < 0.1] = np.nan
    y = np.where(rng.random(n) < np.where(ward == "acute", 0.7, 0.2), "back", "gone")
    return pandas.DataFrame({"ward": ward, "age": age}), y


def test_categories_and_gaps_go_through_a_transformer(rng):
    """Wards .2 -> .7: the weighted share of acute rows is the target's, .7 +- .03."""
    (X, y), (X_target, _) = frame(rng, 2000, 0.2), frame(rng, 1000, 0.7)
    encoder = make_column_transformer((OneHotEncoder(), ["ward"]), (SimpleImputer(add_indicator=True), ["age"]))
    model = CovariateShiftClassifier(
        make_pipeline(encoder, LogisticRegression()), weighter=LogisticWeighter(features=encoder), exponent=1.0
    )
    model.fit(X, y, X_target=X_target)
    assert model.corrected_
    assert np.average(X["ward"] == "acute", weights=model.weights_) == pytest.approx(
        (X_target["ward"] == "acute").mean(), abs=0.03
    )
    search = GridSearchCV(model, {"weighter__C": [0.1, 1.0]}, cv=3).fit(X, y, X_target=TargetSample(X_target))
    assert set(search.predict(X_target)) <= {"back", "gone"}
