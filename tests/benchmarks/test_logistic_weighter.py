"""LogisticWeighter beside scikit-learn's solvers, at one final gradient norm.

"fit" is our whole ``fit`` (checks, standardisation, solver, weights, balance, summary) on raw rows, "solver" our solver
alone; scikit-learn's is ``LogisticRegression.fit``, on rows standardised and stacked beforehand. "uncorrelated": 50
independent features; "correlated": every pair with correlation .99. The samples are half the rows each, their means
.5 apart in Euclidean norm. A solver's tolerance is lowered until the largest entry of its gradient (of the mean loss
over standardised columns) is at most 1e-7; ``gradient`` says what it reached, by one formula for all solvers.

Asserted are that gradient, that all solvers found the same coefficients, the mean of our weights and our memory; time
is not.
"""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from shiftfix.covariate import LogisticWeighter
from shiftfix.covariate._logistic_columns import make_columns
from shiftfix.covariate._logistic_solver import Objective, solve

GRADIENT = 1e-7
# Largest difference of two solvers' coefficients per standard deviation. With every gradient within 1e-7, two of 51
# entries differ by at most 2e-7 * sqrt(51) = 1.4e-6 in norm, and coefficients by that over the least curvature: about
# .23 without correlation, and a hundredth of it with .99.
AGREEMENT = {"uncorrelated": 1e-5, "correlated": 1e-3}
# Of the data: what a fit may take beyond them. A stacked or standardised copy would take 1 or more; measured .15.
MEMORY_SHARE = 0.3
N_ROWS, N_FEATURES = 1_000_000, 50
ROUNDS = 5


def make(n_rows, design):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, N_FEATURES))
    if design == "correlated":
        X *= 0.1
        X += rng.normal(size=(len(X), 1))
    X[n_rows // 2 :] += 0.5 / np.sqrt(N_FEATURES)
    return X


def gradient_at(X, mean, scale, point):
    """Gradient at (intercept, coefficients) of the penalised mean loss over columns (X - mean) / scale.

    Minimised is mean(log(1 + exp(-d h))) + |coefficients|^2 / (2 n_rows), d = -1 in the first half of the rows and 1 in
    the second.
    """
    slope = point[1:] / scale
    residual = 1 / (1 + np.exp(mean @ slope - point[0] - X @ slope))
    residual[len(X) // 2 :] -= 1
    pulls = (X.T @ residual - mean * residual.sum()) / scale
    return np.append(residual.sum(), pulls + point[1:]) / len(X)


def prepare(n_rows, design, method):
    """The call to be measured; it returns a function that tells the point reached, and the mean weight or None."""
    X = make(n_rows, design)
    samples = [X[: n_rows // 2], X[n_rows // 2 :]]
    if method == "fit":
        LogisticWeighter().fit(X[:500], X[-500:])  # imports

        def fit_weighter():
            weighter = LogisticWeighter(tol=GRADIENT).fit(*samples)

            def tell():
                mean, scale = X.mean(axis=0), X.std(axis=0)
                point = np.append(weighter.intercept_ + mean @ weighter.coef_, weighter.coef_ * scale)
                return point, gradient_at(X, mean, scale, point), weighter.transform(samples[0]).mean()

            return tell

        return fit_weighter
    if method == "solver":
        counts = [np.ones(len(rows)) for rows in samples]
        columns, _ = make_columns(samples, counts, "linear")

        def fit_solver():
            point = solve(Objective(samples, counts, columns, 1 / n_rows), tol=GRADIENT)[0]
            return lambda: (point, gradient_at(X, X.mean(axis=0), X.std(axis=0), point), None)

        return fit_solver
    domain = np.repeat([-1, 1], n_rows // 2)
    for column in X.T:
        column -= column.mean()
        column /= column.std()
    model = LogisticRegression(solver=method, tol=GRADIENT, max_iter=10_000)

    def tell():
        point = np.append(model.intercept_, model.coef_[0])
        return point, gradient_at(X, np.zeros(N_FEATURES), np.ones(N_FEATURES), point), None

    def fit():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X, domain)
        return tell

    while np.abs(fit()()[1]).max() > GRADIENT and model.tol > 1e-12:
        model.set_params(tol=model.tol / 10)
    return fit


@pytest.fixture
def compare(measure, results):
    """``measure`` for these fits, and what must hold of them."""

    def compared(name, arguments, rounds, rivals):
        points = []

        def describe(tell):
            point, gradient, mean_weight = tell()
            points.append(point)
            weight = {} if mean_weight is None else {"mean_weight": float(mean_weight)}
            return {"gradient": float(np.abs(gradient).max()), **weight}

        own = measure(name, prepare, arguments, rounds, describe, rivals)
        cases = results[1]["cases"]
        for case in (name, *rivals):
            # Sums of a million terms in another order differ by about 1e-12.
            assert cases[case]["gradient"] <= GRADIENT + 1e-11, case
            assert cases[case].get("mean_weight", 1) == pytest.approx(1, abs=1e-9), case
        data_mb = arguments[0] * N_FEATURES * 8 / 2**20
        assert own["extra_mb"] < MEMORY_SHARE * data_mb
        return points

    return compared


@pytest.mark.parametrize("design", ["uncorrelated", "correlated"])
def test_beside_lbfgs(compare, design):
    rivals = {f"{design}, {method}": (N_ROWS, design, method) for method in ("solver", "lbfgs")}
    ours, *others = compare(f"{design}, fit", (N_ROWS, design, "fit"), ROUNDS, rivals)
    for other in others:
        assert_allclose(other, ours, rtol=0, atol=AGREEMENT[design])


def test_time_is_linear_in_the_rows(compare):
    names = {n: f"uncorrelated, fit, {n} rows" for n in (1_000_000, 100_000, 10_000)}
    (largest, name), *smaller = names.items()
    rivals = {names[n]: (n, "uncorrelated", "fit") for n, _ in smaller}
    compare(name, (largest, "uncorrelated", "fit"), ROUNDS, rivals)


@pytest.mark.parametrize("design", ["uncorrelated", "correlated"])
def test_beside_newton_cholesky(compare, design):
    """One round: on a busy machine it takes minutes."""
    rivals = {f"{design}, newton-cholesky": (N_ROWS, design, "newton-cholesky")}
    ours, other = compare(f"{design}, fit again", (N_ROWS, design, "fit"), 1, rivals)
    assert_allclose(other, ours, rtol=0, atol=AGREEMENT[design])
