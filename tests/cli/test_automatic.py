"""``shiftfix correct`` without ``--shift``: what is corrected, and what left alone, where it is known what moved."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from typer.testing import CliRunner

from shiftfix import load_model
from shiftfix.cli._app import app
from shiftfix.cli._automatic import raw_samples
from shiftfix.cli._columns import Column, feature_frame
from shiftfix.cli._encode import as_numbers
from shiftfix.cli._output import FILES
from shiftfix.cli._tables import Tables
from tests.benchmarks.natural import tables

LOGISTIC = ["--learner", "logistic"]


def run(command, *arguments):
    return CliRunner().invoke(app, [command, *map(str, arguments)], env={"COLUMNS": "1000"})


def save(folder, source, target):
    paths = folder / "source.csv", folder / "target.csv"
    for path, frame in zip(paths, (source, target), strict=True):
        frame.to_csv(path, index=False)
    return paths


def correct(folder, source, target, *options, out="out"):
    """The command on two frames; what was printed, and the summary."""
    result = run("correct", *save(folder, source, target), "--label", "y", "--out", folder / out, *options)
    assert result.exit_code == 0, result.stderr
    return result.stdout, json.loads((folder / out / "summary.json").read_text(encoding="utf-8"))


def read(folder, name, out="out"):
    return pd.read_csv(folder / out / name)


def classes(n, share, seed, move=0.0):
    """Two normal classes 2 apart, "b" with the given share, a column that moves by itself, and one of words."""
    rng = np.random.default_rng(seed)
    is_b = rng.random(n) < share
    columns = {"x": rng.normal(2.0 * is_b), "z": rng.normal(move, 1, n), "ward": rng.choice(["north", "south"], n)}
    return pd.DataFrame({**columns, "y": np.where(is_b, "b", "a")})


def parabola(n, center, spread, seed):
    """E[y given x] = x^2, which no line follows everywhere."""
    rng = np.random.default_rng(seed)
    x = rng.normal(center, spread, n)
    return pd.DataFrame({"x": x, "y": x**2 + rng.normal(0, 0.1, n)})


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    """Class shares moved from half and half to 9 in 10, and nothing else."""
    folder = tmp_path_factory.mktemp("prior")
    source, target = classes(600, 0.5, 0), classes(500, 0.9, 1)
    stdout, summary = correct(folder, source, target, *LOGISTIC)
    return folder, source, target, stdout, summary


@pytest.fixture(scope="module")
def nothing(tmp_path_factory):
    """Nothing moved."""
    folder = tmp_path_factory.mktemp("nothing")
    source, target = classes(300, 0.5, 0), classes(200, 0.5, 1).drop(columns="y")
    stdout, summary = correct(folder, source, target, *LOGISTIC)
    return folder, source, target, stdout, summary


def in_lines(text):
    return [" ".join(line.split()) for line in text.splitlines()]


# The true answer ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_moved_class_shares_are_corrected(prior):
    """The share of "b" is 0.9; standard error of its estimate about 0.02, allowed 0.07."""
    folder, source, _, stdout, summary = prior
    assert [summary["shift"], summary["correction"], summary["corrected"]] == ["auto", "prior", True]
    share = {found["class"]: found for found in summary["priors"]}["b"]
    assert share["target"] == pytest.approx(0.9, abs=0.07)
    assert share["low"] < share["target"] < share["high"]
    weights = read(folder, "weights.csv")["weight"]
    assert_allclose(weights[source["y"] == "b"], share["target"] / share["source"])
    assert summary["target_score"]["corrected"] > summary["target_score"]["uncorrected"] + 0.02
    assert "corrected the class probabilities were adjusted to the target's class shares" in in_lines(stdout)


@pytest.mark.slow
def test_where_nothing_moved_nothing_is_corrected_and_that_is_a_success(nothing):
    folder, _, _, stdout, summary = nothing
    assert [summary["correction"], summary["corrected"], summary["verdict"]] == ["none", False, "ok"]
    assert summary["reasons"] == ["no shift was detected"]
    assert summary["action"] == "Deploy, and monitor."
    assert (read(folder, "weights.csv")["weight"] == 1).all()
    assert summary["weights"]["effective_size"] == 300
    assert [found["target"] for found in summary["priors"]] == [None, None]
    for told in (stdout, (folder / "out" / "summary.txt").read_text(encoding="utf-8")):
        lines = in_lines(told)
        assert "corrected nothing: the model was fitted on the source as it is" in lines
        assert "next Deploy, and monitor." in lines
        assert "because no shift was detected" in lines
    assert "--target-labels" not in stdout


@pytest.mark.slow
def test_weights_are_used_where_they_are_shown_to_help(tmp_path):
    """A line fitted to weighted rows near 1.5 has slope near 3, an unweighted one near 0."""
    source, target = parabola(1000, 0, 1, 0), parabola(500, 1.5, 0.7, 1)
    stdout, summary = correct(tmp_path, source, target, "--learner", "linear")
    assert [summary["correction"], summary["corrected"], summary["priors"]] == ["weights", True, None]
    assert summary["target_score"]["corrected"] < 0.8 * summary["target_score"]["uncorrected"]
    weights = read(tmp_path, "weights.csv")["weight"]
    assert weights.mean() == pytest.approx(1, abs=1e-9)
    slope = np.polyfit(source["x"], np.log(weights), 1)[0]
    assert slope > 1  # of the true ratio 3.1 - 0.5 x / 0.49, hence above 1 wherever most rows are
    assert summary["weights"]["max_weight"] == pytest.approx(weights.max())
    assert "notice: to pass labels of target rows" in stdout
    clipped = correct(tmp_path, source, target, "--learner", "linear", "--clip", "2", out="clipped")[1]
    assert clipped["options"]["clip"] == 2
    assert read(tmp_path, "weights.csv", "clipped")["weight"].max() < weights.max()


@pytest.mark.slow
def test_something_else_that_moved_is_left_alone_and_labels_are_asked_for(tmp_path):
    """A column that has nothing to do with the classes moved by two deviations, beside their shares."""
    source, target = classes(300, 0.5, 0), classes(250, 0.8, 1, move=2)
    stdout, summary = correct(tmp_path, source, target, *LOGISTIC)
    assert [summary["correction"], summary["verdict"] != "ok"] == ["none", True]
    assert "Label" in summary["action"]
    assert "'z'" in stdout or "z (" in stdout
    assert "to pass labels of target rows, give the target file a column for them" in stdout


@pytest.mark.slow
def test_what_is_known_of_the_causes_decides(prior):
    folder, source, target, *_ = prior
    found = correct(folder, source, target, *LOGISTIC, "--causes", "features", out="features")[1]
    assert found["correction"] != "prior"
    found = correct(folder, source, target, *LOGISTIC, "--causes", "label", out="label")[1]
    assert [found["correction"], found["verdict"], found["options"]["causes"]] == ["prior", "ok", "label"]


@pytest.mark.slow
def test_without_overlap_there_is_no_correction_and_it_can_be_an_error(tmp_path):
    source, target = classes(200, 0.5, 0), classes(150, 0.5, 1, move=15).drop(columns="y")
    summary = correct(tmp_path, source, target, *LOGISTIC)[1]
    assert [summary["correction"], summary["verdict"]] == ["none", "abstain"]
    arguments = [*save(tmp_path, source, target), "--label", "y", "--out", tmp_path / "no", *LOGISTIC]
    result = run("correct", *arguments, "--on-abstain", "error")
    assert result.exit_code == 4
    assert "the data do not support a correction: source rows do not stand for the target's" in result.stderr
    assert not (tmp_path / "no").exists()


# What is written ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_folder_holds_the_five_files_and_the_diagnosis(prior):
    folder, _, _, stdout, summary = prior
    assert sorted(path.name for path in (folder / "out").iterdir()) == sorted(FILES)
    assert summary["options"]["shift"] == "auto"
    diagnosis = summary["diagnosis"]
    assert [diagnosis["correction"], diagnosis["verdict"]] == ["prior", summary["verdict"]]
    told = in_lines((folder / "out" / "summary.txt").read_text(encoding="utf-8"))
    for label, text in diagnosis["lines"]:
        line = f"{label.lower()} {text}"
        assert line in told
        assert line in in_lines(stdout)
    assert diagnosis["columns"]["columns"][0]["name"] == "x"
    assert {column["name"] for column in diagnosis["columns"]["columns"]} == {"x", "z", "ward"}


@pytest.mark.slow
@pytest.mark.parametrize("case", ["prior", "nothing"])
def test_the_saved_model_predicts_the_same_and_holds_the_diagnosis(case, request):
    folder, _, target, _, summary = request.getfixturevalue(case)
    model, predictions = load_model(folder / "out" / "model.skops"), read(folder, "predictions.csv")
    raw = target[["ward", "z", "x"]]
    assert_array_equal(model.predict(raw), predictions["prediction"])
    assert_allclose(model.predict_proba(raw)[:, 1], predictions["probability_b"], rtol=1e-12)
    assert [list(line) for line in model.diagnosis_.lines] == summary["diagnosis"]["lines"]
    raw.to_csv(folder / "rows.csv", index=False)
    result = run("predict", folder / "out" / "model.skops", folder / "rows.csv")
    assert result.exit_code == 0, result.stderr
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(result.stdout)), predictions)
    raw.assign(ward="west").to_csv(folder / "rows.csv", index=False)
    result = run("predict", folder / "out" / "model.skops", folder / "rows.csv")
    assert result.exit_code == 3
    assert "column 'ward' has the values 'west'" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("learner", ["mlp", "boosting"])
def test_other_learners_are_diagnosed_and_saved(tmp_path, learner):
    source, target = classes(120, 0.5, 0), classes(80, 0.5, 1)
    source.loc[::9, "x"] = target.loc[::9, "x"] = np.nan
    small = ["--hidden", "8", "--epochs", "2"] if learner == "mlp" else []
    correct(tmp_path, source, target, "--learner", learner, *small)
    model = load_model(tmp_path / "out" / "model.skops")
    assert_array_equal(model.predict(target), read(tmp_path, "predictions.csv")["prediction"])


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes(nothing):
    folder, source, target, *_ = nothing
    correct(folder, source, target, *LOGISTIC, out="again")
    for name in ("predictions.csv", "weights.csv"):
        assert (folder / "out" / name).read_bytes() == (folder / "again" / name).read_bytes()


@pytest.mark.slow
def test_weights_of_rows_count(nothing):
    folder, source, target, *_ = nothing
    counted = source.assign(n=2.0)
    arguments = [
        *save(folder, counted, target),
        "--label",
        "y",
        "--weight",
        "n",
        "--out",
        folder / "counted",
        *LOGISTIC,
    ]
    result = run("correct", *arguments)
    assert result.exit_code == 0, result.stderr
    assert_allclose(read(folder, "weights.csv", "counted")["total_weight"], 2)


# Columns that name rows --------------------------------------------------------------------------


def with_ids(frame, first, repeated):
    """An integer id in front; with one that stands twice it is no plain id any more."""
    numbers = first + np.arange(len(frame))
    numbers[1] -= repeated
    return frame.assign(patient=numbers)


def refused_or_left_alone(folder, source, target, shift):
    """What was printed where an id was left in; the prior must not have been touched."""
    paths = save(folder, source, target)
    result = run("correct", *paths, "--label", "y", "--shift", shift, "--out", folder / "out", *LOGISTIC)
    said = " ".join((result.stdout + result.stderr).split())
    assert result.exit_code in (0, 3), said
    assert "'patient'" in said
    assert "--drop patient" in said
    if result.exit_code == 0:
        summary = json.loads((folder / "out" / "summary.json").read_text(encoding="utf-8"))
        assert [summary["verdict"], summary["corrected"]] == ["abstain", False]
        assert (read(folder, "weights.csv")["weight"] == 1).all()
        assert f"verdict {summary['verdict']}" in said
    return result.exit_code


@pytest.mark.slow
@pytest.mark.parametrize("shift", ["auto", "label"])
@pytest.mark.parametrize(("repeated", "exit_code"), [(False, 3), (True, 0)])
def test_an_id_that_was_left_in_is_named_and_the_prior_left_alone(tmp_path, shift, repeated, exit_code):
    source, target = classes(200, 0.5, 0), classes(150, 0.8, 1)
    source, target = with_ids(source, 1000, repeated), with_ids(target, 5000, repeated)
    assert refused_or_left_alone(tmp_path, source, target, shift) == exit_code


def test_days_become_the_dates_they_were():
    days = np.array([0.0, 19358.25, np.nan, -200000.5])
    column = Column("when", "source", "date", days)
    frame = feature_frame([column], 4)
    found = raw_samples(Tables(frame, frame, np.zeros(4), None, None, (None, None), "", ["when"], [], dates=["when"]))
    expected = np.array(["1970-01-01", "2023-01-01T06:00", "NaT", "1422-06-02T12:00"], dtype="datetime64[us]")
    assert_array_equal(found.source["when"].to_numpy(), expected)
    assert_array_equal(as_numbers(found.target)[:, 0], days)


@pytest.mark.slow
def test_dates_are_called_dates_and_labels_are_learned_beside_them(tmp_path):
    source, target = classes(150, 0.5, 0), classes(120, 0.5, 1)
    for frame, year in ((source, "2021"), (target, "2023")):
        frame["when"] = pd.date_range(f"{year}-01-01", periods=len(frame)).strftime("%Y-%m-%d")
    target["known"] = target["y"].where(np.arange(120) % 3 == 0)
    options = [*LOGISTIC, "--dates", "days", "--target-labels", "known"]
    stdout, summary = correct(tmp_path, source, target, *options)
    assert (
        "'when' looks like a time stamp, rising or falling from row to row (2021-01-01 to 2021-05-30 in the" in stdout
    )
    assert summary["columns"]["numeric"] == ["x", "z", "when"]
    rows = target.drop(columns=["y", "known"])
    rows.to_csv(tmp_path / "rows.csv", index=False)
    result = run("predict", tmp_path / "out" / "model.skops", tmp_path / "rows.csv", "--dates", "days")
    assert result.exit_code == 0, result.stderr
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(result.stdout)), read(tmp_path, "predictions.csv"))
    probabilities = load_model(tmp_path / "out" / "model.skops").predict_proba(
        rows.assign(when=rows["when"].astype("datetime64[s]"))
    )
    assert_allclose(probabilities[:, 1], read(tmp_path, "predictions.csv")["probability_b"], rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("shift", ["auto", "label"])
@pytest.mark.parametrize("repeated", [False, True])
def test_hospitals_with_an_id_left_in(tmp_path, shift, repeated):
    """Heart patients of Cleveland and of Budapest: the id tells the hospitals apart, and nothing of the disease."""
    try:
        table = tables.heart()
    except tables.MissingTableError as error:
        pytest.skip(str(error))
    table = table.drop(columns=["restecg"]).assign(y=np.where(table["sick"], "ill", "well")).drop(columns="sick")
    parts = [table[table["hospital"] == name].drop(columns="hospital") for name in ("cleveland", "hungarian")]
    parts = [part.dropna(ignore_index=True) for part in parts]
    source, target = (with_ids(part, first, repeated) for part, first in zip(parts, (1000, 5000), strict=True))
    refused_or_left_alone(tmp_path, source, target, shift)
