"""Sparse rows in the networks: the answers of the same rows as arrays, and never all of them dense at once."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils.estimator_checks import estimator_checks_generator

from shiftfix.corrected import CovariateShiftClassifier
from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp import MLPClassifier, MLPRegressor
from shiftfix.mlp._training import SparseRows

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 12)) * (RNG.random((300, 12)) < 0.25)
X[:, 5] = 0
X[:, 6] = 3
Y = (X[:, :4].sum(axis=1) + 0.3 * RNG.normal(size=300) > 0).astype(int)
WEIGHT = RNG.integers(0, 4, 300).astype(float)
SMALL = {"hidden_layer_sizes": (8,), "max_epochs": 4, "batch_size": 32, "random_state": 0}
FORMATS = ["csr", "csc", "coo", "lil", "dok", "bsr", "dia"]
ESTIMATORS = pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])

pytestmark = [
    pytest.mark.filterwarnings("ignore::shiftfix.exceptions.InactiveWeightsWarning"),
    pytest.mark.filterwarnings("ignore::scipy.sparse.SparseEfficiencyWarning"),  # DIA is for few diagonals
]


def answer(model, rows):
    return (model.predict_proba if hasattr(model, "predict_proba") else model.predict)(rows)


def sampled(model, rows):
    return (model.predict_proba_mc if hasattr(model, "predict_proba_mc") else model.predict_mc)(rows, 3, 1)


@pytest.mark.slow
@ESTIMATORS
@pytest.mark.parametrize("kind", ["matrix", "array"])
@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_answer_of_the_array(estimator, kind, form):
    rows = getattr(sparse, f"{form}_{kind}")(X)
    found = answer(estimator(**SMALL).fit(rows, Y, sample_weight=WEIGHT), rows)
    # The means and deviations of the columns are summed in another order: float32 training moves by rounding.
    assert_allclose(found, answer(estimator(**SMALL).fit(X, Y, sample_weight=WEIGHT), X), atol=1e-5)


VARIANTS = {
    "float32": {},
    "unscaled": {"standardize": False},
    "all rows at once": {"batch_size": None},
    "batch norm and noise": {"batch_norm": True, "input_noise": 0.1, "dropout": 0.2},
    "ensemble": {"n_models": 3, "dropout": 0.2},
    "drawn": {"weighting": "resample"},
    "stops early": {"early_stopping": True},
}


@pytest.mark.slow
@ESTIMATORS
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_way_of_training_gives_the_answer_of_the_array(estimator, variant):
    settings = SMALL | VARIANTS[variant]
    dense = X.astype(np.float32 if variant == "float32" else np.float64)
    rows = sparse.csr_array(dense)
    one, other = (estimator(**settings).fit(part, Y, sample_weight=WEIGHT + 1) for part in (rows, dense))
    assert_allclose(answer(one, rows), answer(other, dense), atol=1e-5)
    assert_allclose(answer(one, dense), answer(one, rows), rtol=1e-12)
    if settings.get("dropout"):
        assert_allclose(sampled(one, rows), sampled(other, dense), atol=1e-4)


@pytest.mark.slow
@ESTIMATORS
def test_scaling_is_that_of_the_array(estimator):
    one, other = (estimator(**SMALL).fit(rows, Y, sample_weight=WEIGHT).scaler_ for rows in (sparse.csr_matrix(X), X))
    assert_allclose(one.mean_, other.mean_, rtol=1e-12, atol=1e-15)
    assert_allclose(one.scale_, other.scale_, rtol=1e-12)
    assert one.with_mean


@pytest.mark.slow
@ESTIMATORS
@pytest.mark.parametrize("validating", [sparse.csr_array, np.asarray])
def test_eval_set_may_be_sparse_or_not(estimator, validating):
    held = {"eval_set": (validating(X[200:]), Y[200:], WEIGHT[200:])}
    one = estimator(**SMALL).fit(sparse.csr_array(X[:200]), Y[:200], **held)
    other = estimator(**SMALL).fit(X[:200], Y[:200], eval_set=(X[200:], Y[200:], WEIGHT[200:]))
    assert_allclose(one.history_["validation_loss"], other.history_["validation_loss"], rtol=1e-4)


@pytest.mark.slow
def test_partial_fit_and_warm_start():
    rows = sparse.csr_array(X)
    one, other = (MLPClassifier(**SMALL), MLPClassifier(**SMALL))
    for _ in range(2):
        one.partial_fit(rows, Y, classes=[0, 1])
        other.partial_fit(X, Y, classes=[0, 1])
    assert_allclose(answer(one, rows), answer(other, X), atol=1e-5)
    warm = MLPClassifier(**SMALL, warm_start=True).fit(X, Y).fit(rows, Y)
    assert warm.score(rows, Y) == warm.score(X, Y)


@pytest.mark.slow
def test_a_run_resumes_and_is_told_apart_by_its_rows(tmp_path):
    settings = SMALL | {"checkpoint": tmp_path / "run", "resume": True}
    rows = sparse.csr_array(X)
    MLPClassifier(**settings | {"max_epochs": 2}).fit(rows, Y)
    other = rows.copy()
    other.data[0] += 1
    with pytest.raises(ShiftDataError, match="other rows"):
        MLPClassifier(**settings).fit(other, Y)
    resumed = MLPClassifier(**settings).fit(rows, Y)
    assert np.array_equal(answer(resumed, rows), answer(MLPClassifier(**SMALL).fit(rows, Y), rows))


@pytest.mark.slow
def test_a_saved_model_predicts_sparse_rows(tmp_path):
    rows = sparse.csr_array(X)
    model = MLPClassifier(**SMALL).fit(rows, Y)
    model.save(tmp_path / "model")
    assert np.array_equal(answer(MLPClassifier.load(tmp_path / "model"), rows), answer(model, rows))


def test_the_users_matrix_is_left_alone_and_repeated_places_are_summed():
    twice = sparse.coo_array((np.ones(6), ([0, 0, 1, 2, 3, 3], [1, 1, 0, 1, 0, 0])), shape=(4, 2))
    rows = sparse.csr_array((np.ones(6), np.array([1, 1, 0, 1, 0, 0]), np.array([0, 2, 3, 4, 6])), shape=(4, 2))
    before = rows.data.copy(), rows.indices.copy()
    y = np.array([0, 1, 0, 1])
    expected = answer(MLPClassifier(**SMALL).fit(twice.toarray(), y), twice.toarray())
    assert_allclose(answer(MLPClassifier(**SMALL).fit(rows, y), rows), expected, atol=1e-6)
    assert np.array_equal(rows.data, before[0])
    assert np.array_equal(rows.indices, before[1])


@ESTIMATORS
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_numbers_that_no_network_takes_are_refused(estimator, value, standardize):
    if value == 1e300 and standardize:
        return  # a large number beside others is one deviation away
    rows = sparse.csr_array(X)
    rows.data[0] = value
    with pytest.raises(ValueError, match=r"NaN|infinity|too large"):
        estimator(**SMALL, standardize=standardize).fit(rows, Y)
    model = estimator(**SMALL, standardize=standardize).fit(X, Y)
    with pytest.raises(ValueError, match=r"NaN|infinity|too large"):
        model.predict(rows)


@pytest.mark.slow
def test_the_most_ordinary_pipeline():
    rng = np.random.default_rng(1)
    words = rng.choice([f"street {i}" for i in range(60)], size=(200, 2)).astype(object)
    y = np.array([int(word[-1]) % 2 for word in words[:, 0]])
    encode = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), [0, 1]), sparse_threshold=1.0)
    assert sparse.issparse(encode.fit_transform(words))
    model = make_pipeline(encode, MLPClassifier(**SMALL | {"max_epochs": 30, "learning_rate": 0.01})).fit(words, y)
    assert model.score(words, y) > 0.95


@pytest.mark.slow
def test_sparse_rows_go_through_a_weighter_to_a_network():
    rows, target = sparse.csr_array(X), sparse.csr_array(X[100:])
    model = CovariateShiftClassifier(MLPClassifier(**SMALL), random_state=0).fit(rows, Y, X_target=target)
    assert model.predict_proba(target).shape == (target.shape[0], 2)


@pytest.mark.slow
def test_no_more_than_a_batch_is_made_dense(monkeypatch):
    """Of 6,000 rows of 4,000 columns, the network meets a third at once."""
    largest = []
    real = sparse.csr_array.toarray
    monkeypatch.setattr(
        sparse.csr_array, "toarray", lambda self, *args: largest.append(np.prod(self.shape)) or real(self, *args)
    )
    n_rows, n_columns = 6000, 4000
    place = np.random.default_rng(0).integers(n_columns, size=n_rows)
    rows = sparse.csr_array((np.ones(n_rows), (np.arange(n_rows), place)), shape=(n_rows, n_columns))
    y = (place < n_columns // 2).astype(int)
    model = MLPClassifier((4,), dropout=0.5, max_epochs=1, early_stopping=True, random_state=0).fit(rows, y)
    model.predict(rows)
    model.predict_proba_mc(rows[:3000], 2)
    assert max(largest) <= 2**23


def test_rows_come_dense_when_asked_for():
    rows = SparseRows(sparse.csr_array(X), lambda part: torch.as_tensor(part.toarray()))
    assert len(rows) == 300
    assert_allclose(rows[3:5].numpy(), X[3:5])
    assert_allclose(np.concatenate([part.numpy() for part in rows.split([140, 140, 20])]), X)


CHECKS = [
    pytest.param(estimator, check, id=f"{type(estimator).__name__}-{check.func.__name__}")
    for make in (MLPClassifier, MLPRegressor)
    for estimator, check in estimator_checks_generator(make(**SMALL))
    # How repeated rows are batched and masked decides the rest: as for arrays.
    if "sparse" in check.func.__name__ and "equivalence" not in check.func.__name__
]


@pytest.mark.slow
@pytest.mark.parametrize(("estimator", "check"), CHECKS)
def test_scikit_learn_on_sparse_data(estimator, check):
    check(estimator)


def test_scikit_learn_has_checks_of_sparse_data():
    assert len(CHECKS) >= 6
