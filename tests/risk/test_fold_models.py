"""Models of one fold by several weights are those that each fit makes by itself."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_array_equal
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.svm import LinearSVC

from shiftfix.risk import _exponent as module
from shiftfix.risk import choose_exponent
from shiftfix.risk._fold_models import fit_each

RNG = np.random.default_rng(0)
X, X_TARGET = (pd.DataFrame(RNG.normal(size=(n, 3)), columns=list("abc")) for n in (90, 40))
Y = (X["a"].to_numpy() ** 2 + RNG.normal(size=90) > 1).astype(int)
SCALER = StandardScaler().fit(X + 1)


class Counted(StandardScaler):
    """Counts how often rows go through it."""

    n_fits = 0

    def fit(self, *arguments, **named):
        type(self).n_fits += 1
        return super().fit(*arguments, **named)


LEARNERS = {
    "one step ahead": (lambda: make_pipeline(Counted(), LogisticRegression()), 1),
    "nested": (lambda: make_pipeline(Counted(), make_pipeline(PolynomialFeatures(2), LogisticRegression())), 1),
    "frozen": (lambda: make_pipeline(FrozenEstimator(SCALER), Counted(), LinearSVC(random_state=0)), 1),
    "passed through": (lambda: Pipeline([("a", "passthrough"), ("b", Counted()), ("c", LogisticRegression())]), 1),
    "values": (lambda: make_pipeline(Counted(), Ridge()), 1),
    "prints": (lambda: Pipeline([("a", Counted()), ("c", LogisticRegression())], verbose=True), 3),
}


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("name", LEARNERS)
def test_shared_transformers_change_nothing(name, zeros, monkeypatch):
    make, fits = LEARNERS[name]
    y = Y if name != "values" else X["b"].to_numpy() * 2 + Y
    weights = np.exp(X["a"].to_numpy() / 2)
    if zeros:
        weights[:5] = 0.0

    def choose():
        Counted.n_fits = 0
        return choose_exponent(make(), X, y, weights, rng=np.random.default_rng(1), X_target=X_TARGET), Counted.n_fits

    shared, n_shared = choose()
    monkeypatch.setattr(module, "fit_each", lambda *given, drops_rows: fit_each(*given, drops_rows=True))
    alone, n_alone = choose()
    assert (n_shared, n_alone) == (9 if zeros else 3 * fits, 9)
    assert shared.exponent == alone.exponent
    assert shared.losses == alone.losses
    assert shared.gains == alone.gains
    assert_array_equal(shared.says.source, alone.says.source)
    assert_array_equal(shared.says.target, alone.says.target)


def test_rows_are_routed_by_the_pipeline_itself():
    with sklearn.config_context(enable_metadata_routing=True):
        models = fit_each(LEARNERS["nested"][0](), X, Y, [lambda learner, rows: learner], drops_rows=False)
    assert (models.ahead, type(models.learners[0])) == ([], Pipeline)
