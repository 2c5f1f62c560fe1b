"""One-hot targets: the labels that they stand for, to the bit; and all that looks like them and is something else."""

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import OneHotEncoder

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp import MLPClassifier, MLPRegressor
from shiftfix.mlp._one_hot import check_one_hot_columns, read_one_hot

SETTINGS = {"hidden_layer_sizes": (6,), "max_epochs": 3, "batch_size": 16, "random_state": 0}


@pytest.fixture
def data(rng):
    X = rng.normal(size=(60, 3))
    return X, np.digitize(X[:, 0], [-0.5, 0.5]), rng.exponential(size=60) + 0.1


def hot(y, n_classes=3):
    return np.eye(n_classes)[np.asarray(y, int)]


# ------------------------------------------------------------------------------- reading


@pytest.mark.parametrize(
    "make",
    [
        lambda Y: Y,
        lambda Y: Y.astype(bool),
        lambda Y: Y.astype(np.int8),
        lambda Y: Y.astype(object),
        lambda Y: Y.tolist(),
        lambda Y: [tuple(row) for row in Y],
        lambda Y: tuple(Y),
        torch.tensor,
        sparse.csr_matrix,
        sparse.csc_array,
        sparse.coo_array,
        lambda Y: sparse.csr_array((np.r_[0.0, np.ones(4)], ([0, 0, 1, 2, 3], [0, 2, 0, 1, 2])), shape=(4, 3)),
    ],
)
def test_every_kind_of_table_is_read_alike(make):
    labels, columns = read_one_hot(make(hot([2, 0, 1, 2])), "y")
    assert labels.tolist() == [2, 0, 1, 2]
    assert columns.tolist() == [0, 1, 2]


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_the_names_of_a_frame_are_the_classes(library):
    frames = pytest.importorskip(library)
    Y = frames.DataFrame({"wet": [0, 1, 0], "dry": [1, 0, 1]})
    labels, columns = read_one_hot(Y, "y")
    assert labels.tolist() == ["dry", "wet", "dry"]
    assert columns.tolist() == ["wet", "dry"]


def test_other_names_are_not_classes():
    pd = pytest.importorskip("pandas")
    for names, classes in (([5, 3], [5, 3]), (["a", 1], [0, 1]), ([0.5, 1.5], [0, 1]), ([("a", 1), ("a", 2)], [0, 1])):
        assert read_one_hot(pd.DataFrame(hot([0, 1], 2), columns=names), "y")[1].tolist() == classes
    with pytest.raises(ShiftDataError, match="y has 2 columns named 'a': name them apart"):
        read_one_hot(pd.DataFrame(hot([0, 1], 2), columns=["a", "a"]), "y")


@pytest.mark.parametrize(
    "y",
    [
        [0, 1, 2],
        ["a", "b"],
        np.zeros(3),
        np.zeros((3, 1)),
        [[0], [1]],
        np.zeros((2, 2, 2)),
        None,
        "ab",
        3,
        [],
        [[]],
        {0, 1},
    ],
    ids=str,
)
def test_what_is_no_table_is_left_alone(y):
    found, columns = read_one_hot(y, "y")
    assert found is y
    assert columns is None


@pytest.mark.parametrize(
    ("Y", "said"),
    [
        ([[1, 0, 1], [0, 1, 0]], r"y has shape \(2, 3\), and row 0 holds 2 1s, as multilabel targets may"),
        ([[0, 1], [0, 0]], "row 1 holds no 1s"),
        ([[0.5, 0.5], [1, 0]], "holds 0.5: one label per row, or one-hot columns"),
        ([[0, 2], [1, 0]], "holds 2"),
        ([[-1, 1], [1, -1]], "holds -1"),
        ([[np.nan, 1], [1, 0]], "holds nan"),
        ([[np.inf, 1], [1, 0]], "holds inf"),
        ([["a", "b"], ["b", "a"]], "holds 'a'"),
        ([["1", "0"], ["0", "1"]], "holds '1'"),
        ([[None, 1], [1, 0]], "holds None"),
        (np.array([["a", 1], [object(), 0]], dtype=object), "holds 'a'"),
        (np.array([["2020-01-01", "2020-01-02"]], dtype="M8[D]"), "holds"),
        (np.array([[1 + 0j, 2j]]), "holds 2j"),
        (np.ma.array([[1, 0], [0, 1]], mask=[[True, False], [False, False]]), "masked"),
        (sparse.csr_array(np.array([[0.5, 0.0]])), "holds 0.5"),
        (sparse.csr_array(np.array([[0, 0], [1, 0]])), "row 0 holds no 1s"),
        ([[1, 0], [1, 0, 0]], "makes no array"),
        (np.random.default_rng(0).normal(size=(4, 2)), "numbers in several columns are for MLPRegressor"),
    ],
    ids=lambda part: part if isinstance(part, str) else type(part).__name__,
)
def test_other_tables_are_refused(Y, said, data):
    with pytest.raises(ShiftDataError, match=said) as caught:
        read_one_hot(Y, "y")
    assert "\n" not in str(caught.value)
    X = data[0][: len(Y) if not sparse.issparse(Y) else Y.shape[0]]
    with pytest.raises(ValueError, match=said):
        MLPClassifier(**SETTINGS).fit(X, Y)


# ------------------------------------------------------------------------------- the classifier


@pytest.mark.parametrize("loss", ["cross_entropy", "polynomial_tail"])
def test_a_fit_on_columns_is_the_fit_on_labels_to_the_bit(loss, data):
    X, y, w = data
    settings = SETTINGS | {"loss": loss, "label_smoothing": 0.1, "class_weight": "balanced"}
    labels = MLPClassifier(**settings).fit(X, y, w, eval_set=(X[::2], y[::2], w[::2]))
    columns = MLPClassifier(**settings).fit(X, hot(y), w, eval_set=(X[::2], hot(y)[::2], w[::2]))
    assert np.array_equal(columns.predict_proba(X), labels.predict_proba(X))
    assert columns.classes_.tolist() == [0, 1, 2]
    assert columns.predict(X).shape == (60,)
    assert columns.score(X, hot(y), w) == labels.score(X, y, w) == columns.score(X, y, w)
    assert columns.history_ == labels.history_


def test_a_repeated_row_is_a_weight_of_two(data):
    X, y, _ = data
    settings = SETTINGS | {"dropout": 0.0, "batch_size": None, "early_stopping": False}
    twice = np.r_[np.arange(60), np.arange(20)]
    counts = np.bincount(twice)
    repeated = MLPClassifier(**settings).fit(X[twice], hot(y)[twice])
    weighed = MLPClassifier(**settings).fit(X, sparse.csr_array(hot(y)), counts)
    np.testing.assert_allclose(weighed.predict_proba(X), repeated.predict_proba(X), atol=1e-5)


def test_two_columns_of_a_binary_loss_and_what_the_encoder_makes(data):
    X, y, _ = data
    binary = MLPClassifier(**SETTINGS, loss="binary_cross_entropy").fit(X, hot(y > 0, 2))
    assert np.array_equal(
        binary.predict_proba(X),
        MLPClassifier(**SETTINGS, loss="binary_cross_entropy").fit(X, (y > 0) * 1).predict_proba(X),
    )
    encoded = OneHotEncoder().fit_transform(y[:, np.newaxis])
    assert sparse.issparse(encoded)
    assert np.array_equal(
        MLPClassifier(**SETTINGS).fit(X, encoded).predict_proba(X), MLPClassifier(**SETTINGS).fit(X, y).predict_proba(X)
    )


def test_a_column_without_rows_is_a_class_all_the_same(data):
    """Nothing is known of it, and the columns of predict_proba are those of y; also when its rows have no weight."""
    X, y, _ = data
    model = MLPClassifier(**SETTINGS | {"max_epochs": 30}).fit(X, hot(y, 4))
    assert model.predict_proba(X).shape == (60, 4)
    assert model.classes_.tolist() == [0, 1, 2, 3]
    assert model.predict_proba(X)[:, 3].mean() < 0.2
    unweighted = MLPClassifier(**SETTINGS).fit(X, hot(y), (y < 2) + 0.0)
    assert unweighted.predict_proba(X).shape == (60, 3)
    with pytest.raises(ShiftDataError, match=r"there are none of \[3\]"):
        MLPClassifier(**SETTINGS, class_weight="balanced").fit(X, hot(y, 4))
    with pytest.raises(ShiftDataError, match="one class only"):
        MLPClassifier(**SETTINGS).fit(X, hot(np.zeros(60, int)))


def test_names_come_back_from_predict_and_from_a_file(data, tmp_path):
    pd = pytest.importorskip("pandas")
    X, y, _ = data
    Y = pd.get_dummies(np.array(["wet", "dry", "ice"])[y])[["wet", "ice", "dry"]]
    model = MLPClassifier(**SETTINGS).fit(X, Y)
    assert model.classes_.tolist() == ["dry", "ice", "wet"]
    assert set(model.predict(X)) <= {"dry", "ice", "wet"}
    assert model.score(X, Y) == model.score(X, np.array(["wet", "dry", "ice"])[y])
    model.save(tmp_path / "model.pt")
    assert np.array_equal(MLPClassifier.load(tmp_path / "model.pt").predict(X), model.predict(X))
    for wrong in (Y[["wet", "ice"]], hot(y), Y.rename(columns={"ice": "snow"})):
        with pytest.raises(ShiftDataError, match=r"(stand for|holds)"):
            model.score(X, wrong)


def test_columns_that_are_not_the_classes_are_refused(data):
    X, y, _ = data
    with pytest.raises(
        ShiftDataError, match=r"columns of the eval_set's y stand for \[0, 1, 2, 3\], and .* \[0, 1, 2\]"
    ):
        MLPClassifier(**SETTINGS).fit(X, hot(y), eval_set=(X, hot(y, 4)))
    with pytest.raises(ShiftDataError, match=r"columns of y_val stand for \[0, 1, 2\], and .* \[1, 2, 3\]"):
        MLPClassifier(**SETTINGS).fit(X, y + 1, X_val=X, y_val=hot(y))
    model = MLPClassifier(**SETTINGS, warm_start=True).fit(X, hot(y))
    with pytest.raises(ShiftDataError, match=r"columns of y stand for \[0, 1\]"):
        model.fit(X, hot(y > 0, 2))
    check_one_hot_columns(None, np.arange(3), "y")
    check_one_hot_columns(np.array(["b", "a"]), np.array(["a", "b"]), "y")


def test_partial_fit_takes_the_classes_from_the_columns(data):
    X, y, _ = data
    model = MLPClassifier(**SETTINGS).partial_fit(X, hot(y)).partial_fit(X, y)
    labels = MLPClassifier(**SETTINGS).partial_fit(X, y, [0, 1, 2]).partial_fit(X, hot(y))
    assert np.array_equal(model.predict_proba(X), labels.predict_proba(X))
    with pytest.raises(ShiftDataError, match="classes differs"):
        model.partial_fit(X, hot(y, 4))
    with pytest.raises(ShiftDataError, match=r"stand for \[0, 1, 2\], and .* \[0, 1\]"):
        MLPClassifier(**SETTINGS).partial_fit(X, hot(y), [0, 1])


@pytest.mark.slow
def test_cross_validation_takes_columns(data):
    X, y, _ = data
    assert len(cross_val_score(MLPClassifier(**SETTINGS), X, hot(y), cv=3)) == 3


def test_a_failed_fit_changes_nothing(data):
    X, y, _ = data
    model = MLPClassifier(**SETTINGS).fit(X, hot(y))
    before = dict(vars(model))
    for wrong in (hot(y) * 2, hot(y)[:-1], np.ones((60, 3))):
        with pytest.raises(ValueError, match=r"y has shape|inconsistent"):
            model.fit(X, wrong)
    assert vars(model) == before


def test_columns_are_numbers_to_the_regressor(data):
    X, y, _ = data
    assert MLPRegressor(**SETTINGS).fit(X, hot(y)).predict(X).shape == (60, 3)


def test_a_missing_value_is_no_number(data):
    pd = pytest.importorskip("pandas")
    for missing in (pd.NA, None, np.nan, pd.NaT):
        with pytest.raises(ShiftDataError, match=r"y has shape \(2, 2\) and holds"):
            read_one_hot(np.array([[missing, 1], [1, 0]], dtype=object), "y")


def test_labels_that_are_unknown_are_named_in_part(data):
    X, y, _ = data
    with pytest.raises(
        ShiftDataError, match=r"y_val holds \[100, .*, 109, \.\.\.\], and the training classes are \[0, 1, 2\]"
    ):
        MLPClassifier(**SETTINGS).fit(X, y, X_val=X, y_val=np.arange(60) + 100)


def test_numbers_beyond_float32_are_an_error(data):
    X, y, _ = data
    for rows, held in ((y * 1e-100, y + 1.0), (y + 1.0, y * 1e200)):
        with pytest.raises(ShiftDataError, match="too large for the float32 network"):
            MLPRegressor(**SETTINGS).fit(X, rows, X_val=X, y_val=held)
