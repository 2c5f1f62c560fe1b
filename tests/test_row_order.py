"""No weighter depends on the order of rows or columns, nor on the unit of a column, beyond rounding."""

import functools
import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import integers
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from shiftfix._row_order import content_order
from shiftfix.covariate import ClassifierWeighter
from tests.registry import KERNEL_WEIGHTERS, WEIGHTERS

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
    if "classifier" in name and kind == "every combination of answers":
        # Equal rows may stand for each other, and are judged by the models of other folds.
        rows, target_rows = np.arange(len(source)), np.arange(len(target))
    columns = rng.permutation(source.shape[1])
    moved = make().fit_transform(source[rows][:, columns], target[target_rows][:, columns])
    assert_allclose(moved, weights[rows], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", CENTERED)
def test_rows_written_twice_or_counted_twice_weigh_the_same(name):
    source, target = tables("alike")
    counts = np.where(np.arange(len(target)) % 3 == 0, 2, 1)
    counted = CENTERED[name]().fit(source, target[:, ::-1], sample_weight_target=counts)
    written = CENTERED[name]().fit(source[:, ::-1], np.repeat(target, counts, axis=0))
    assert_allclose(counted.transform(source), written.transform(source[:, ::-1]), rtol=1e-6, atol=1e-8)


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
