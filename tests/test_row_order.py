"""No method depends on the order of rows or columns, and no weighter on the unit of a column, beyond rounding."""

import functools
import inspect

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis.strategies import integers
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from shiftfix._row_order import content_order, equal_rows, order_of_rows
from shiftfix.corrected import (
    CovariateShiftClassifier,
    CovariateShiftRegressor,
    LabelShiftClassifier,
    ShiftCorrectedClassifier,
)
from shiftfix.covariate import ClassifierWeighter
from shiftfix.label import label_shift_fit, label_shift_test, mean_score_test
from tests.registry import KERNEL_WEIGHTERS, PRIORS, WEIGHTERS

N_SOURCE, N_TARGET, N_CENTERS = 128, 112, 40
CENTERED = {
    name: functools.partial(make, n_centers=N_CENTERS) if "n_centers" in inspect.signature(make).parameters else make
    for name, make in KERNEL_WEIGHTERS.items()
}
EVERY = WEIGHTERS | CENTERED
EVERY["classifier, standardised"] = lambda: ClassifierWeighter(
    make_pipeline(StandardScaler(), LogisticRegression()), cv=5, random_state=0
)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def tables(kind):
    """Both samples; more target rows than centres, so that some are drawn."""
    rng = np.random.default_rng(0)
    source, target = rng.normal(0, 1, (N_SOURCE, 4)), rng.normal(0.4, 1, (N_TARGET, 4))
    if kind == "units":
        unit, offset = np.array([1, 1e6, 1e-5, 3]), np.array([0, 1e7, 0, 0])
        return source * unit + offset, target * unit + offset
    if kind == "a constant column":
        source[:, 1] = target[:, 1] = 7.3
    if kind == "equally frequent categories":
        levels = np.eye(4)
        source = np.column_stack([levels[np.arange(N_SOURCE) % 4], source[:, 0]])
        target = np.column_stack([levels[rng.choice(4, N_TARGET, p=[0.4, 0.2, 0.2, 0.2])], target[:, 0]])
    if kind == "every combination of answers":
        # Their distinct rows alone look the same with the columns in any order.
        source, target = ((rng.random((n, 6)) < p).astype(float) for n, p in ((600, 0.5), (500, 0.6)))
    return source, target


KINDS = ["units", "alike", "a constant column", "equally frequent categories", "every combination of answers"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", EVERY)
def test_rows_and_columns_in_another_order_weigh_the_same(name, kind):
    """A right program misses by 1e-12 at most; by other centres or folds, weights of 7 move by up to 5."""
    source, target = tables(kind)
    if "classifier" in name and "standardised" not in name and kind == "units":
        pytest.skip("a logistic regression on columns of such units does not converge")
    make = EVERY[name]
    weights = make().fit_transform(source, target)
    rng = np.random.default_rng(1)
    rows, target_rows = rng.permutation(len(source)), rng.permutation(len(target))
    moved = make().fit_transform(source[:, ::-1], target[:, ::-1])
    assert_allclose(moved, weights, rtol=1e-6, atol=1e-8)
    columns = rng.permutation(source.shape[1])
    moved = make().fit_transform(source[rows][:, columns], target[target_rows][:, columns])
    assert_allclose(moved, weights[rows], rtol=1e-6, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("name", CENTERED)
def test_rows_written_twice_or_counted_twice_weigh_the_same(name):
    source, target = tables("alike")
    counts = np.where(np.arange(len(target)) % 3 == 0, 2, 1)
    counted = CENTERED[name]().fit(source, target[:, ::-1], sample_weight_target=counts)
    written = CENTERED[name]().fit(source[:, ::-1], np.repeat(target, counts, axis=0))
    assert_allclose(counted.transform(source), written.transform(source[:, ::-1]), rtol=1e-6, atol=1e-8)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(seed=integers(0, 9999), n_rows=integers(1, 60), n_columns=integers(1, 6), levels=integers(0, 4))
def test_the_order_of_rows_follows_from_what_they_hold(seed, n_rows, n_columns, levels):
    """Also where values repeat; equal rows may stand for each other, and columns that nothing tells apart, too."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_columns))
    if levels:
        # Columns of other frequencies each, or they could be exchanged without a trace.
        X = np.floor(np.abs(X) * levels * np.arange(1, n_columns + 1))
    (order,) = content_order([X])
    rows, columns = rng.permutation(n_rows), rng.permutation(n_columns)
    (again,) = content_order([X[rows] * 4.0])
    assert_array_equal(X[order], X[rows][again])
    if not levels and n_rows > n_columns + 1:
        (other,) = content_order([X[rows][:, columns]])
        assert_array_equal(X[order], X[rows][other])


def test_sparse_rows_have_the_order_of_dense_ones(rng):
    X = rng.normal(size=(80, 5)) * (rng.random((80, 5)) < 0.4)
    (dense,), (found,) = content_order([X]), content_order([sparse.csr_array(X)])
    assert_array_equal(X[dense], X[found])


def labelled(kind="numbers"):
    """A source with labels, weights and groups, and a target, under label shift that is told."""
    rng = np.random.default_rng(3)
    y, y_target = rng.integers(0, 2, 240), (rng.random(180) < 0.8).astype(int)
    source, target = (np.round(rng.normal(0, 1, (len(k), 2)) + 1.2 * k[:, np.newaxis], 1) for k in (y, y_target))
    if kind == "text and gaps":
        source, target = (
            pd.DataFrame(
                {"a": X[:, 0], "b": np.where(X[:, 1] > 0.5, "high", "low"), "c": np.where(X[:, 1] < -1, np.nan, 1)}
            )
            for X in (source, target)
        )
    return source, y, target, rng.integers(1, 3, len(source)), rng.integers(0, 60, len(source))


def taken(X, rows, columns=None):
    """Rows, and columns, in another order, of an array or a frame."""
    if isinstance(X, pd.DataFrame):
        return X.iloc[rows] if columns is None else X.iloc[rows, columns]
    return X[rows] if columns is None else X[rows][:, columns]


ENCODED = make_pipeline(make_column_transformer((OneHotEncoder(), ["b"]), remainder="drop"), LogisticRegression())
IMPUTED = make_pipeline(make_column_transformer((SimpleImputer(), ["a", "c"])), GaussianNB())
CORRECTED = {
    "adjusted": lambda: LabelShiftClassifier(GaussianNB(), random_state=0),
    "retrained": lambda: LabelShiftClassifier(GaussianNB(), correction="retrain", random_state=0),
    "resampled": lambda: LabelShiftClassifier(
        LinearDiscriminantAnalysis(), correction="retrain", fallback="resample", random_state=0
    ),
    "exponent": lambda: CovariateShiftClassifier(GaussianNB(), exponent="cv", random_state=0),
    "exponent, by resampling": lambda: CovariateShiftClassifier(
        LinearDiscriminantAnalysis(), exponent="cv", fallback="resample", random_state=0
    ),
    "regression": lambda: CovariateShiftRegressor(LinearRegression(), exponent="cv", random_state=0),
    "automatic": lambda: ShiftCorrectedClassifier(GaussianNB()),
    "text": lambda: LabelShiftClassifier(ENCODED, random_state=0),
    "gaps": lambda: LabelShiftClassifier(IMPUTED, random_state=0),
}


@pytest.mark.slow
@pytest.mark.parametrize("extra", ["", "counts", "groups"])
@pytest.mark.parametrize("name", CORRECTED)
def test_corrected_models_do_not_depend_on_the_order_of_rows_and_columns(name, extra):
    """Rows repeat, and equal ones may have other labels, counts or groups: only what they hold may decide."""
    if extra == "counts" and "resampl" in name:
        pytest.skip("discriminant analysis takes no counts")
    source, y, target, counts, groups = labelled("text and gaps" if name in ("text", "gaps") else "numbers")
    rng = np.random.default_rng(1)
    rows, target_rows, columns = (rng.permutation(n) for n in (len(source), len(target), source.shape[1]))
    options = {"counts": {"sample_weight": counts}, "groups": {"groups": groups}}.get(extra, {})
    model = CORRECTED[name]().fit(source, y, target, **options)
    moved = CORRECTED[name]().fit(
        taken(source, rows, columns),
        y[rows],
        taken(target, target_rows, columns),
        **{key: values[rows] for key, values in options.items()},
    )
    said = getattr(model, "predict_proba", model.predict)(target)
    said_again = getattr(moved, "predict_proba", moved.predict)(taken(target, np.arange(len(target)), columns))
    assert_allclose(said_again, said, rtol=1e-6, atol=1e-8)
    if hasattr(model, "exponent_losses_"):
        assert_allclose(list(moved.exponent_losses_.values()), list(model.exponent_losses_.values()), rtol=1e-6)
    else:
        assert_allclose(moved.interval(), model.interval(), rtol=1e-6, atol=1e-8)
    if hasattr(model, "diagnosis_"):
        assert str(moved.diagnosis_) == str(model.diagnosis_)


def scores_of(seed=0):
    """Scores of both samples, many of them equal, labels and counts."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, 150)
    drawn = [np.round(rng.dirichlet(np.ones(3), n) * 5) + 1 for n in (150, 120)]
    drawn[0][np.arange(150), y] += 4
    source, target = (scores / scores.sum(axis=1)[:, np.newaxis] for scores in drawn)
    return source, y, target, rng.integers(1, 4, 150), rng.integers(1, 4, 120)


@pytest.mark.slow
@pytest.mark.parametrize("name", PRIORS)
def test_intervals_do_not_depend_on_the_order_of_rows(name):
    source, y, target, counts, target_counts = scores_of()
    rows, target_rows = np.random.default_rng(1).permutation(150), np.random.default_rng(2).permutation(120)
    prior = PRIORS[name]().fit(source, y, target, sample_weight_source=counts, sample_weight_target=target_counts)
    moved = PRIORS[name]().fit(
        source[rows],
        y[rows],
        target[target_rows],
        sample_weight_source=counts[rows],
        sample_weight_target=target_counts[target_rows],
    )
    assert_allclose(moved.target_prior_, prior.target_prior_, rtol=1e-6, atol=1e-8)
    assert_allclose(moved.interval(), prior.interval(), rtol=1e-5, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("test", ["mean scores", "label shift", "explained share"])
def test_p_values_do_not_depend_on_the_order_of_rows(test):
    for seed in range(3):
        source, y, target, *_ = scores_of(seed)
        rows, target_rows = np.random.default_rng(1).permutation(150), np.random.default_rng(2).permutation(120)
        if test == "mean scores":
            said = mean_score_test(source, target, random_state=0)
            again = mean_score_test(source[rows], target[target_rows], random_state=0)
        elif test == "explained share":
            said = label_shift_fit(source, y, target)
            again = label_shift_fit(source[rows], y[rows], target[target_rows])
            assert again.passes == said.passes
            said, again = (
                pytest.approx(fit[:6], rel=1e-4, abs=1e-6) if fit is said else fit[:6] for fit in (said, again)
            )
        else:
            said = label_shift_test(source, y, target, random_state=0).p_value
            again = label_shift_test(source[rows], y[rows], target[target_rows], random_state=0).p_value
        assert again == said


TABLES = {
    "numbers": lambda rng, n: rng.integers(0, 3, (n, 2)),
    "gaps": lambda rng, n: np.where(rng.random((n, 2)) < 0.3, np.nan, rng.integers(0, 2, (n, 2))),
    "beyond squares": lambda rng, n: rng.integers(0, 3, (n, 2)) * 1e300,
    "one text": lambda rng, n: rng.choice(["a", "b", ""], n),
    "objects": lambda rng, n: rng.choice(np.array(["a", 1, None, 2.5], dtype=object), (n, 2)),
    "dates": lambda rng, n: rng.integers(0, 3, (n, 1)).astype("M8[D]"),
    "frame": lambda rng, n: pd.DataFrame({"a": rng.integers(0, 2, n), "b": pd.Categorical(rng.choice(["x", "y"], n))}),
    "sparse": lambda rng, n: sparse.csr_array(rng.integers(0, 2, (n, 3)).astype(float)),
    "pictures": lambda rng, n: rng.integers(0, 2, (n, 2, 2)),
}


@pytest.mark.parametrize("kind", TABLES)
def test_rows_of_any_kind_have_an_order_of_their_own(kind):
    """Equal rows by what else is known of them; and rows are equal exactly when they hold the same."""
    rng = np.random.default_rng(5)
    X, y = TABLES[kind](rng, 40), rng.integers(0, 3, 40)
    moved = rng.permutation(40)

    def written(rows):
        if isinstance(X, pd.DataFrame):
            return [repr(row) for row in X.iloc[rows].to_numpy().tolist()]
        return [repr(row) for row in (X[rows].toarray() if sparse.issparse(X) else X[rows]).tolist()]

    order, again = order_of_rows(X, y), order_of_rows(taken(X, moved), y[moved])
    assert written(order) == written(moved[again])
    assert_array_equal(y[order], y[moved][again])
    number, rows = equal_rows(X), written(np.arange(40))
    assert [[a == b for b in rows] for a in rows] == (number[:, np.newaxis] == number).tolist()
