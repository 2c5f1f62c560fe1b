"""Messages call columns what the user calls them: from frames, through transformers, in every public estimator."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from shiftfix._naming import CellError, ColumnError, cells_named, made_names, odd_cell, one_line
from shiftfix._validation import check_matrix
from shiftfix.corrected import CovariateShiftClassifier
from shiftfix.covariate import ClassifierWeighter, LogisticWeighter
from shiftfix.weights import balance_table, summarize_weights
from tests.registry import KERNEL_WEIGHTERS, LEARNERS, WEIGHTERS

NAMES = ["height", "weight in kg", "age"]
ALL_WEIGHTERS = {**WEIGHTERS, **KERNEL_WEIGHTERS}


def frames(n=60, shift=0.5, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(pd.DataFrame(rng.normal(m, 1, (n, 3)), columns=NAMES) for m in (0, shift))


def spoiled(frame, cell):
    frame = frame.astype(object)
    frame.loc[7, "age"] = cell
    return frame


BAD = {"NaN": np.nan, "infinity": np.inf, "text": "forty", "none": None, "a line": "x\ny"}


def message(function, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises((ValueError, TypeError)) as caught:
            function(*arguments, **options)
    assert isinstance(pickle.loads(pickle.dumps(caught.value)), type(caught.value))
    text = str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == text
    assert "\n" not in text
    return text


@pytest.mark.slow
@pytest.mark.parametrize("cell", BAD.values(), ids=BAD)
@pytest.mark.parametrize("make", ALL_WEIGHTERS.values(), ids=ALL_WEIGHTERS)
@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.PoorOverlapWarning")
def test_every_weighter_names_the_column_of_a_bad_cell(make, cell):
    source, target = frames()
    for pair in [(spoiled(source, cell), target), (source, spoiled(target, cell))]:
        text = message(make().fit, *pair)
        assert "'age'" in text
        assert "row 7" in text
    fitted = make().fit(source, target)
    assert "'age'" in message(fitted.transform, spoiled(source, cell))


@pytest.mark.parametrize("cell", BAD.values(), ids=BAD)
@pytest.mark.parametrize(
    "name", ["MLPClassifier", "MLPRegressor", "CovariateShiftClassifier", "CovariateShiftRegressor"]
)
def test_every_learner_names_the_column_of_a_bad_cell(name, cell):
    source, target = frames()
    y = np.tile([0, 1], 30)
    given = {"X_target": target} if name.startswith("Cov") else {}
    text = message(LEARNERS[name]().fit, spoiled(source, cell), y, **given)
    assert "'age', row 7" in text
    if not given:
        fitted = LEARNERS[name]().fit(source, y)
        assert "'age', row 7" in message(fitted.predict, spoiled(source, cell))
        assert "'age', row 7" in message(
            LEARNERS[name]().set_params(early_stopping=True).fit, source, y, eval_set=(spoiled(source, cell), y)
        )


@pytest.mark.parametrize("make", ALL_WEIGHTERS.values(), ids=ALL_WEIGHTERS)
@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid")
def test_every_weighter_names_a_column_that_overflows(make):
    source, target = frames()
    source["weight in kg"] *= 1e200
    # A classifier says what it thinks of such rows.
    if not isinstance(make(), ClassifierWeighter):
        assert "column 'weight in kg' overflow" in message(make().fit, source, target)


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_networks_name_a_column_too_large_for_them(name):
    source, _ = frames()
    fitted = LEARNERS[name]().fit(source, np.tile([0, 1], 30))
    source.loc[3, "weight in kg"] = 1e300
    assert "column 'weight in kg' of X are too large" in message(fitted.predict, source)


@pytest.mark.slow
@pytest.mark.parametrize("make", ALL_WEIGHTERS.values(), ids=ALL_WEIGHTERS)
@pytest.mark.filterwarnings("ignore")
def test_every_summary_names_the_columns(make):
    source, target = frames(shift=9)
    summary = make().fit(source, target).summary_
    assert summary.target_outside_feature.strip("'") in NAMES
    assert any(f"in {summary.target_outside_feature}" in reason for reason in summary.reasons)
    assert {entry.name.removesuffix("^2") for entry in summary.worst_balanced} <= set(NAMES)


# Through a transformer ---------------------------------------------------------------------------


def mixed(n=80, shift=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"ward": rng.choice(["north", "south"], n), "age": rng.normal(shift, 1, n)})


def reversing(X):
    return X[X.columns[::-1]]


ENCODERS = {
    "column transformer": make_column_transformer((OneHotEncoder(), ["ward"]), (StandardScaler(), ["age"])),
    "no prefix": ColumnTransformer(
        [("w", OneHotEncoder(sparse_output=False), ["ward"]), ("a", StandardScaler(), ["age"])],
        verbose_feature_names_out=False,
    ),
    "pipeline": make_pipeline(
        make_column_transformer((OneHotEncoder(sparse_output=False), ["ward"]), ("passthrough", ["age"])),
        StandardScaler(),
    ),
    "frames": make_pipeline(
        make_column_transformer((OneHotEncoder(sparse_output=False), ["ward"]), ("passthrough", ["age"])),
        StandardScaler(),
    ).set_output(transform="pandas"),
}


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ENCODERS.values(), ids=ENCODERS)
@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.filterwarnings("ignore")
def test_the_names_come_through_a_transformer(encoder, corrected):
    weighter, source, target = LogisticWeighter(features=encoder), mixed(), mixed(shift=9, seed=1)
    if corrected:
        model = CovariateShiftClassifier(make_pipeline(encoder, LogisticRegression()), weighter)
        summary = model.fit(source, np.tile([0, 1], 40), X_target=target).summary_
    else:
        summary = weighter.fit(source, target).summary_
    assert "age" in summary.target_outside_feature
    assert any("age" in reason for reason in summary.reasons)
    assert not any(reason.endswith(("column 2", "column 1")) for reason in summary.reasons)
    assert all("age" in entry.name or "ward" in entry.name for entry in summary.worst_balanced)


@pytest.mark.filterwarnings("ignore")
def test_columns_put_in_another_order_keep_their_names():
    """As many columns out as in, but not the same ones."""
    source, target = frames()
    target["age"] += 9
    reverse = FunctionTransformer(reversing)
    assert LogisticWeighter(features=reverse).fit(source, target).summary_.target_outside_feature == "'age'"
    blind = FunctionTransformer(lambda X: X.to_numpy()[:, ::-1])
    found = LogisticWeighter(features=blind).fit(source, target).summary_.target_outside_feature
    assert found == "'transformed column 0'"


def test_the_names_of_a_transformer():
    source = mixed()
    encoder = ENCODERS["no prefix"].fit(source)
    assert made_names(encoder, encoder.transform(source), list(source)) == ["ward_north", "ward_south", "age"]
    assert made_names(object(), np.zeros((2, 2)), None) == ["transformed column 0", "transformed column 1"]


def test_a_part_without_names_leaves_the_others_theirs():
    """What makes as many columns as it takes is called what it takes."""
    source = mixed().assign(dose=1.0, day=2.0)
    encoder = make_column_transformer(
        (OneHotEncoder(), ["ward"]),
        (make_pipeline(FunctionTransformer(np.abs), StandardScaler()), ["age", "dose"]),
        (FunctionTransformer(lambda X: np.hstack([X, X])), ["day"]),
    ).fit(source)
    names = made_names(encoder, encoder.transform(source), list(source))
    assert names == ["ward_north", "ward_south", "age", "dose", "transformed column 4", "transformed column 5"]


def test_what_a_transformer_leaves_is_named():
    source, target = frames()
    source.loc[3, "age"] = np.nan
    text = message(LogisticWeighter(features=StandardScaler()).fit, source, target)
    assert "'age'" in text
    assert "features=StandardScaler(...) leaves them so" in text


# What the estimator would have done --------------------------------------------------------------


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(
            make_column_transformer((OneHotEncoder(), ["ward"]), remainder=SimpleImputer()), LogisticRegression()
        ),
        HistGradientBoostingClassifier(categorical_features="from_dtype"),
    ],
)
@pytest.mark.parametrize("spoil", ["category", "gap"])
def test_nobody_is_told_to_encode_what_the_estimator_encodes(estimator, spoil):
    source, target = mixed(), mixed(seed=1)
    if spoil == "gap":
        source = source.assign(ward=1.0)
        target = target.assign(ward=1.0)
        source.loc[3, "age"] = np.nan
    model = CovariateShiftClassifier(estimator, LogisticWeighter())
    text = message(model.fit, source, np.tile([0, 1], 40), X_target=target)
    assert "first, for example" not in text
    assert "LogisticWeighter(features=transformer)" in text
    assert ("'age'" if spoil == "gap" else "'ward'") in text


# The pieces --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31m", "\u202e", "a\rb", "\x00", "\u2028", "\t"])
def test_one_line_has_nothing_unprintable(text):
    assert one_line(text).isprintable()
    assert one_line("größe 'x'") == "größe 'x'"


def test_odd_cells():
    assert odd_cell([[1, "2"], ["x", 3]], None) == "'x' in column 0, row 1"
    assert odd_cell([[1.0, np.inf]], ["a", "b"]) == "inf in column 'b', row 0"
    assert odd_cell([[1, "2"]], None) is None
    assert odd_cell([1, 2], None) is None


def test_check_matrix_names_the_columns_of_arrays_and_sparse_matrices():
    with pytest.raises(CellError, match="'b', row 0"):
        check_matrix(np.array([[1, np.nan]]), "X", names=["a", "b"])
    with pytest.raises(CellError, match="first in column 'b'"):
        check_matrix(sparse.csr_array([[1, np.nan]]), "X", accept_sparse=True, names=["a", "b"])
    with pytest.raises(CellError, match="'north' in column 1, row 0"):
        check_matrix([[1, "north"]], "X")


def test_other_errors_are_left_alone():
    frame, _ = frames(5)
    with pytest.raises(ValueError, match="mine"), cells_named(frame, "X"):
        raise ValueError("mine")
    with pytest.raises(ColumnError, match="column 'age' is odd"), cells_named(frame, "X"):
        raise ColumnError("{column} is odd", 2)


def test_printed_tables_have_a_line_each():
    source, target = (frame.rename(columns={"age": "age\nverdict  ok"}) for frame in frames())
    table = balance_table(source, target, np.ones(60))
    lines = str(summarize_weights(np.ones(60), balance=table)).split("\n") + str(table).split("\n")
    assert not any(line.startswith("verdict  ok") for line in lines)
