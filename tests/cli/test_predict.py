"""``shiftfix predict``: the rows of ``correct`` get its predictions, others are checked, and no file is lost."""

import errno
import io
import os
import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from typer.testing import CliRunner

from shiftfix import load_model, save_model
from shiftfix._atomic import replace_file
from shiftfix.cli import _predict
from shiftfix.cli._app import app
from shiftfix.mlp import MLPRegressor

SMALL = ["--hidden", "8", "--epochs", "2"]


def run(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def frames(n=200, seed=0):
    """Numbers with and without gaps, text and a flag; a class and a number to predict."""
    rng = np.random.default_rng(seed)

    def sample(shift):
        age = rng.normal(50 + shift, 10, n).round(1)
        return pd.DataFrame(
            {
                "age": age,
                "dose": np.where(rng.random(n) < 0.2, np.nan, rng.exponential(size=n)),
                "ward": rng.choice(["north", "south", "west"], n),
                "smoker": rng.random(n) < 0.3,
                "ill": np.where(rng.logistic(size=n) < (age - 50) / 5, "yes", "no"),
                "cost": age * 2 + rng.normal(size=n),
            }
        )

    return sample(0), sample(3)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Folder with source, target without labels, and the results of a run."""
    folder = tmp_path_factory.mktemp("results")
    source, target = frames()
    source.drop(columns="cost").to_csv(folder / "source.csv", index=False)
    target.drop(columns=["cost", "ill"]).to_csv(folder / "target.csv", index=False)
    options = ["--label", "ill", "--shift", "covariate", "--learner", "logistic", "--out", folder / "out"]
    assert run("correct", folder / "source.csv", folder / "target.csv", *options).exit_code == 0
    return folder


def predict(results, rows, *arguments, model="out/model.skops"):
    path = results / "rows.csv"
    rows.to_csv(path, index=False)
    return run("predict", results / model, path, *arguments)


def table(result):
    assert result.exit_code == 0, result.output
    return pd.read_csv(io.StringIO(result.stdout))


@pytest.mark.slow
@pytest.mark.parametrize("learner", ["mlp", "logistic", "linear", "forest", "boosting"])
@pytest.mark.parametrize(("label", "shift"), [("ill", "covariate"), ("ill", "label"), ("cost", "covariate")])
def test_the_target_gets_the_predictions_of_correct(tmp_path, learner, label, shift):
    if (learner, label) in [("linear", "ill"), ("logistic", "cost")]:
        learner = {"ill": "logistic", "cost": "linear"}[label]
    source, target = frames()
    other = {"ill": "cost", "cost": "ill"}[label]
    source.drop(columns=other).to_csv(tmp_path / "source.csv", index=False)
    target.drop(columns=["ill", "cost"]).to_csv(tmp_path / "target.csv", index=False)
    options = ["--label", label, "--shift", shift, "--learner", learner, *(SMALL if learner == "mlp" else [])]
    done = run("correct", tmp_path / "source.csv", tmp_path / "target.csv", *options, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    out = tmp_path / "again.csv"
    done = run("predict", tmp_path / "out" / "model.skops", tmp_path / "target.csv", "--out", out)
    assert done.exit_code == 0, done.output
    assert out.read_bytes() == (tmp_path / "out" / "predictions.csv").read_bytes()


@pytest.mark.slow
def test_columns_go_by_their_names(results):
    rows = pd.read_csv(results / "target.csv")
    expected = table(predict(results, rows))
    written = pd.read_csv(results / "out" / "predictions.csv")
    assert_array_equal(expected["prediction"], written["prediction"])
    assert_allclose(expected["probability_yes"], written["probability_yes"])
    again = table(predict(results, rows[rows.columns[::-1]].assign(more=1), "--drop", "more"))
    pd.testing.assert_frame_equal(again, expected)
    one = table(predict(results, rows.iloc[[7]]))
    assert one["prediction"].tolist() == [expected["prediction"][7]]


@pytest.fixture(scope="module")
def keyed(tmp_path_factory):
    """As ``results``, of files with a key, a weight and a column to drop."""
    folder = tmp_path_factory.mktemp("keyed")
    for name, frame in zip(("source", "target"), frames(), strict=True):
        frame.insert(0, "key", [f"{name}{row}" for row in range(len(frame))])
        frame["count"] = 1 + np.arange(len(frame)) % 2
        frame.drop(columns="ill" if name == "target" else []).to_csv(folder / f"{name}.csv", index=False)
    options = ["--label", "ill", "--id", "key", "--weight", "count", "--drop", "cost", "--learner", "logistic"]
    done = run("correct", folder / "source.csv", folder / "target.csv", *options, "--out", folder / "out")
    assert done.exit_code == 0, done.stderr
    return folder


@pytest.mark.slow
def test_what_was_no_feature_is_known(keyed):
    """The same files go into both commands, with no option said twice."""
    written = (keyed / "out" / "predictions.csv").read_text(encoding="utf-8")
    rows = pd.read_csv(keyed / "target.csv")
    done = predict(keyed, rows)
    assert done.stdout == written
    assert done.stderr == "notice: left out, as when the model was fitted: 'count', 'cost'.\n"
    assert predict(keyed, rows.assign(ill="yes")).stdout == written
    bare = predict(keyed, rows[["age", "dose", "ward", "smoker"]])
    assert bare.stderr == ""
    assert_array_equal(table(bare), table(done).drop(columns="key"))


@pytest.mark.slow
def test_what_is_said_goes_before_what_is_known(keyed):
    rows = pd.read_csv(keyed / "target.csv")
    assert "key" not in table(predict(keyed, rows, "--drop", "key"))
    other = table(predict(keyed, rows.assign(name=np.arange(len(rows))), "--id", "name"))
    assert other["name"].tolist() == list(range(len(rows)))
    assert "key" not in other
    assert predict(keyed, rows.assign(more=1)).exit_code == 3
    for option in ("--id", "--drop"):
        refused = predict(keyed, rows, option, "ward")
        assert refused.exit_code == 3
        assert "the model learned from column 'ward'" in refused.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "roles",
    [
        {},
        {"identifier": 3, "left_out": "age"},
        {"identifier": "age", "left_out": ["age", 7, None]},
        {"identifier": "key", "left_out": None},
    ],
)
def test_files_without_roles_or_with_odd_ones_know_none(keyed, tmp_path, roles):
    """As those of before, which have no such attributes, or made up."""
    model = load_model(keyed / "out" / "model.skops")
    named = _predict.encoder_of(model)[-1]
    del named.identifier, named.left_out
    vars(named).update(roles)
    assert _predict.roles_in(named, ["age", "dose", "ward", "smoker"]) == (None, [])


BAD = {
    "a column is missing": (lambda rows: rows.drop(columns="age"), "the rows lack 'age': add or rename"),
    "a column too many": (lambda rows: rows.assign(more="yes"), "the rows add 'more': leave columns out with --drop"),
    "both": (lambda rows: rows.rename(columns={"age": "years"}), "lack 'age' and add 'years'"),
    "text for numbers": (lambda rows: rows.assign(age="old"), r"column 'age' holds text \(such as 'old'\)"),
    "numbers for text": (
        lambda rows: rows.assign(ward=3),
        r"column 'ward' holds numbers \(such as '3'\), and held text",
    ),
    "infinity": (lambda rows: rows.assign(age=np.inf), "column 'age' is infinite in 200 rows"),
    "an unseen word": (lambda rows: rows.assign(ward="east"), "'ward' has the values 'east' in 200 rows"),
    "a gap in text": (lambda rows: rows.assign(ward=None), r"'ward' has the values '\(missing\)'"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BAD)
def test_rows_of_another_kind_are_refused(results, name):
    change, words = BAD[name]
    result = predict(results, change(pd.read_csv(results / "target.csv")))
    assert result.exit_code == 3
    assert pd.Series([result.stderr]).str.contains(words)[0], result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


@pytest.mark.slow
def test_all_problems_come_at_once(results):
    rows = pd.read_csv(results / "target.csv").assign(age="old", ward=3)
    assert "'age' holds text" in predict(results, rows).stderr
    assert "'ward' holds numbers (" in predict(results, rows).stderr


@pytest.mark.slow
def test_what_is_filled_in_is_noticed(results):
    rows = pd.read_csv(results / "target.csv").assign(ward="east", age=np.nan, dose=np.nan)
    result = predict(results, rows, "--unseen-category", "ignore")
    assert len(table(result)) == len(rows)
    assert "notice: column 'age' is missing in 200 rows" in result.stderr
    assert "encoded as none of the known ones" in result.stderr
    assert "'dose'" not in result.stderr


@pytest.mark.slow
def test_the_file_is_written_once(results, tmp_path):
    rows, out = pd.read_csv(results / "target.csv"), tmp_path / "found.csv"
    assert predict(results, rows, "--out", out).exit_code == 0
    before = out.read_bytes()
    again = predict(results, rows.iloc[:5], "--out", out)
    assert (again.exit_code, out.read_bytes()) == (5, before)
    assert "pass --overwrite" in again.stderr
    assert predict(results, rows.iloc[:5], "--out", out, "--overwrite").exit_code == 0
    assert len(pd.read_csv(out)) == 5
    assert [path.name for path in tmp_path.iterdir()] == ["found.csv"]


@pytest.mark.slow
@pytest.mark.parametrize("place", ["rows.csv", "out/model.skops", "missing/found.csv", "out"])
def test_a_place_that_is_no_place_is_refused(results, place):
    rows = pd.read_csv(results / "target.csv")
    predict(results, rows)
    before = {path: path.read_bytes() for path in results.rglob("*") if path.is_file()}
    assert predict(results, rows, "--out", results / place, "--overwrite").exit_code == 5
    assert {path: path.read_bytes() for path in results.rglob("*") if path.is_file()} == before


def test_a_file_that_is_no_model_is_refused(results):
    rows = pd.read_csv(results / "target.csv")
    (results / "model.pkl").write_bytes(pickle.dumps(3))
    for model, words in [
        ("model.pkl", "is a pickle"),
        ("source.csv", "is no model"),
        ("none.skops", "does not exist"),
        ("out", "is a directory"),
    ]:
        result = predict(results, rows, model=model)
        assert result.exit_code == 3, model
        assert words in result.stderr
        assert result.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("named", [True, False])
def test_a_network_of_ones_own_predicts_a_file(tmp_path, named):
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 2)), columns=["a", "b"])
    y = np.column_stack([frame["a"], frame["b"]])
    model = MLPRegressor((4,), max_epochs=1, random_state=0).fit(frame if named else frame.to_numpy(), y)
    save_model(model, tmp_path / "model")
    frame[["b", "a"] if named else ["a", "b"]].to_csv(tmp_path / "rows.csv", index=False)
    found = table(run("predict", tmp_path / "model", tmp_path / "rows.csv"))
    expected = model.predict(frame if named else frame.to_numpy())
    assert_allclose(found[["prediction_0", "prediction_1"]], expected)
    if not named:
        frame[["a"]].to_csv(tmp_path / "rows.csv", index=False)
        result = run("predict", tmp_path / "model", tmp_path / "rows.csv")
        assert result.exit_code == 3
        assert "fitted with 2 columns without names" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("names", [("numeric", "text"), ("numbers", "words")])
def test_an_encoder_of_ones_own_takes_what_it_takes(tmp_path, names):
    """Whatever its parts are called: those of the encoder of ``correct`` are told by its classes."""
    frame = frames(60)[0][["age", "ward"]]
    parts = zip(names, (StandardScaler(), OneHotEncoder()), (["age"], ["ward"]), strict=True)
    model = make_pipeline(ColumnTransformer(list(parts)), LogisticRegression()).fit(frame, frame["age"] > 50)
    save_model(model, tmp_path / "model")
    frame.to_csv(tmp_path / "rows.csv", index=False)
    found = table(run("predict", tmp_path / "model", tmp_path / "rows.csv"))
    assert_allclose(found["probability_True"], model.predict_proba(frame)[:, 1])
    frame.assign(age="old").to_csv(tmp_path / "rows.csv", index=False)
    result = run("predict", tmp_path / "model", tmp_path / "rows.csv")
    assert result.exit_code == 3
    assert "text in 'age', 'ward'" in result.stderr


@pytest.mark.slow
def test_a_row_is_read_alone_as_among_others(tmp_path):
    """Numbers among words are words, and NA among numbers is a gap: by what the model knows, not by the file."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"stage": rng.choice(["1", "2", "10,5", "unclear"], 80), "x": rng.normal(size=80).round(3)})
    frame["x"] = frame["x"].astype(object).where(rng.random(80) < 0.8, "NA")
    frame.assign(y=rng.normal(size=80)).to_csv(tmp_path / "source.csv", index=False)
    frame.to_csv(tmp_path / "target.csv", index=False)
    options = ["--label", "y", "--shift", "covariate", "--learner", "linear", "--out", tmp_path / "out"]
    assert run("correct", tmp_path / "source.csv", tmp_path / "target.csv", *options).exit_code == 0
    among = pd.read_csv(tmp_path / "out" / "predictions.csv")["prediction"]
    for row in [
        *(frame["stage"] == "1").to_numpy().nonzero()[0][:2],
        *(frame["stage"] == "10,5").to_numpy().nonzero()[0][:2],
        *(frame["x"] == "NA").to_numpy().nonzero()[0][:3],
    ]:
        frame.iloc[[row]].to_csv(tmp_path / "row.csv", index=False)
        alone = table(run("predict", tmp_path / "out" / "model.skops", tmp_path / "row.csv"))
        assert_allclose(alone["prediction"], among[row])


@pytest.mark.slow
def test_what_correct_says_of_a_column_predict_says_too(results):
    rows = pd.read_csv(results / "target.csv").assign(ward="?")
    result = predict(results, rows, "--unseen-category", "ignore")
    assert "pass --missing '?'" in result.stderr
    assert "pass --missing" in predict(results, rows.assign(age="old")).stderr


@pytest.mark.slow
def test_an_identifier_gets_into_nobodys_way(results):
    rows = pd.read_csv(results / "target.csv").assign(patient=[f"p{k}" for k in range(200)])
    assert table(predict(results, rows, "--id", "patient"))["patient"].tolist() == rows["patient"].tolist()
    for name in ("row", "prediction", "probability_yes", "prediction_0"):
        result = predict(results, rows.rename(columns={"patient": name}), "--id", name)
        assert result.exit_code == 2
        assert "the results have a column of this name" in result.stderr
    assert predict(results, rows, "--id", "patient", "--drop", "patient").exit_code == 2


def test_all_refusals_of_a_run_come_in_one_message(results, tmp_path):
    (tmp_path / "there.csv").write_text("mine")
    result = run("predict", tmp_path / "m", tmp_path / "r.csv", "--out", tmp_path / "there.csv", "--id", "row")
    assert result.exit_code == 5
    assert "4 things stand in the way" in result.stderr
    for words in ("there.csv exists", "--id row", "m does not exist", "r.csv' does not exist"):
        assert words in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_a_file_that_came_during_the_run_stays(results, tmp_path, monkeypatch, overwrite):
    """As the file of another run does that was started at the same moment."""
    out, predicted = tmp_path / "found.csv", _predict.prediction_table

    def slow(*arguments):
        out.write_text("somebody's")
        return predicted(*arguments)

    monkeypatch.setattr(_predict, "prediction_table", slow)
    result = predict(results, pd.read_csv(results / "target.csv"), "--out", out, *overwrite)
    assert result.exit_code == (0 if overwrite else 5)
    assert (out.read_text() == "somebody's") != bool(overwrite)
    assert overwrite or "came during the run" in result.stderr
    assert os.listdir(tmp_path) == ["found.csv"]


def test_a_new_file_where_there_are_no_hard_links(tmp_path, monkeypatch):
    def refuse(*places):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    write = partial(replace_file, tmp_path / "file", lambda file: file.write(b"new"), overwrite=False)
    write()
    assert (tmp_path / "file").read_bytes() == b"new"
    with pytest.raises(FileExistsError):
        write()
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["x" * 300, "x/" * 3000])
def test_an_output_whose_name_is_too_long(results, name):
    result = predict(results, pd.read_csv(results / "target.csv"), "--out", results / name)
    assert result.exit_code == 5
    assert "cannot be written" in result.stderr
