"""``--target-labels``: a few labels of target rows are learned from and never scored, or refused with the reason."""

import json

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from typer.testing import CliRunner

from shiftfix.cli._app import app
from shiftfix.cli._columns import Reading
from shiftfix.cli._exit import InputError
from shiftfix.cli._files import read_table
from shiftfix.cli._labels import known_target_labels

LOGISTIC = ["--learner", "logistic"]


def run(command, folder, source, target, *options):
    for name, frame in (("s", source), ("t", target)):
        frame.to_csv(folder / f"{name}.csv", index=False)
    arguments = [command, folder / "s.csv", folder / "t.csv", "--label", "y", *options]
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "1000"})


def turned(n, sign, seed):
    """A column that tells the classes by its sign; the target's signs are the other way round."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return pd.DataFrame({"x": x, "z": rng.normal(size=n), "y": np.where(rng.logistic(size=n) < 3 * sign * x, "b", "a")})


def known_of(frame, n, seed=0):
    """Labels of a few rows, blank elsewhere."""
    rows = np.random.default_rng(seed).choice(len(frame), n, replace=False)
    return frame["y"].where(frame.index.isin(rows))


def summary(folder):
    return json.loads((folder / "out" / "summary.json").read_text(encoding="utf-8"))


# The truth: labels repair what nothing else can ----------------------------------------------------


@pytest.mark.slow
def test_labels_repair_and_only_rows_without_them_are_scored(tmp_path):
    source, target = turned(300, 1, 0), turned(300, -1, 1)
    target["known"] = known_of(target, 60)
    result = run("correct", tmp_path, source, target, "--target-labels", "known", "--out", tmp_path / "out", *LOGISTIC)
    assert result.exit_code == 0, result.stderr
    found, predictions = summary(tmp_path), pd.read_csv(tmp_path / "out" / "predictions.csv")["prediction"]
    assert [found["correction"], found["diagnosis"]["n_labels"]] == ["labels", 60]
    assert found["columns"]["target_labels"] == "known"
    assert found["columns"]["numeric"] == ["x", "z"]
    fresh = target["known"].isna()
    score = found["target_score"]
    assert score["corrected"] == pytest.approx((predictions == target["y"])[fresh].mean())
    assert score["uncorrected"] < 0.4
    assert score["corrected"] > 0.7
    assert "the score is that of the 240 target rows whose labels were not used for fitting" in result.stdout
    assert "the target's column 'known' holds 60 labels in 300 rows, used for fitting" in result.stdout
    told = " ".join((tmp_path / "out" / "summary.txt").read_text(encoding="utf-8").split())
    assert "60 of them labelled" in told
    assert f"the predictions were corrected by 60 target labels: {found['used']}" in told
    assert (pd.read_csv(tmp_path / "out" / "weights.csv")["weight"] == 1).all()


@pytest.mark.slow
def test_the_label_column_of_both_files_may_hold_them(tmp_path):
    source, target = turned(200, 1, 0), turned(150, -1, 1)
    target["y"] = known_of(target, 40)
    result = run("correct", tmp_path, source, target, "--target-labels", "y", "--out", tmp_path / "out", *LOGISTIC)
    assert result.exit_code == 0, result.stderr
    found = summary(tmp_path)
    assert [found["correction"], found["diagnosis"]["n_labels"], found["target_score"]] == ["labels", 40, None]
    assert "holds 40 labels in 150 rows, used for fitting, so none is scored" in result.stdout
    assert "not used for fitting" not in result.stdout


@pytest.mark.slow
def test_where_every_label_was_used_none_is_scored(tmp_path):
    source, target = turned(150, 1, 0), turned(60, -1, 1)
    options = ["--target-labels", "known", "--out", tmp_path / "out", *LOGISTIC]
    result = run("correct", tmp_path, source, target.assign(known=target["y"]), *options)
    assert result.exit_code == 0, result.stderr
    assert summary(tmp_path)["target_score"] is None
    assert "every target label was used for fitting, so none is scored" in result.stdout


@pytest.mark.slow
def test_values_are_learned_from_too(tmp_path):
    """The target's values are 5 higher at the same x."""
    rng = np.random.default_rng(0)
    x, x_target = rng.normal(size=200), rng.normal(size=150)
    source = pd.DataFrame({"x": x, "y": 2 * x + rng.normal(0, 0.1, 200)})
    target = pd.DataFrame({"x": x_target, "y": 5 + 2 * x_target + rng.normal(0, 0.1, 150)})
    target["known"] = known_of(target, 30)
    options = ["--target-labels", "known", "--learner", "linear", "--out", tmp_path / "out"]
    result = run("correct", tmp_path, source, target, *options)
    assert result.exit_code == 0, result.stderr
    score = summary(tmp_path)["target_score"]
    assert score["uncorrected"] > 4
    assert score["corrected"] < 1


@pytest.mark.slow
def test_a_diagnosis_uses_them(tmp_path):
    source, target = turned(200, 1, 0), turned(200, -1, 1)
    target["known"] = known_of(target, 120)
    result = run("diagnose", tmp_path, source, target.drop(columns="y"), "--target-labels", "known", *LOGISTIC)
    assert result.exit_code == 0, result.stderr
    assert "120 of them labelled" in result.stdout
    assert "Concept shift    yes" in result.stdout
    assert "follow the target labels as far as they say" in result.stdout


# How they are read -------------------------------------------------------------------------------


def labels_of(folder, cells, y, task="classification", **reading):
    (folder / "t.csv").write_text("a,known\n" + "".join(f"1,{cell}\n" for cell in cells), encoding="utf-8")
    y = np.asarray(y)
    column = read_table(folder / "t.csv", "target", Reading(**reading)).column(
        "known", "text" if y.dtype.kind in "US" else "label"
    )
    return known_target_labels(column, y, task)


@pytest.mark.parametrize(
    ("cells", "y", "reading", "rows", "expected"),
    [
        (["no", "", "yes"], ["yes", "no"], {}, [0, 2], ["no", "yes"]),
        (["1", "", "2"], ["1", "2", "x"], {}, [0, 2], ["1", "2"]),  # words that look like numbers
        (["1", "", "0.0"], [0, 1], {}, [0, 2], [1, 0]),
        (["?", "yes", "?"], ["yes", "no"], {"missing": ("?",)}, [1], ["yes"]),
        (["-9", "1", ""], [0, 1], {"missing": ("-9",)}, [1], [1]),
        (["true", "", "FALSE"], ["False", "True"], {}, [0, 2], ["True", "False"]),
    ],
)
def test_labels_are_of_the_kind_of_the_source_s(tmp_path, cells, y, reading, rows, expected):
    found = labels_of(tmp_path, cells, y, **reading)
    assert_array_equal(found.rows, rows)
    assert_array_equal(found.y, expected)
    assert found.y.dtype.kind == np.asarray(y).dtype.kind


def test_values_may_be_new_and_are_finite(tmp_path):
    found = labels_of(tmp_path, ["7.5", "", "-2"], [0.5, 1.5], "regression")
    assert_array_equal(found.y, [7.5, -2])
    with pytest.raises(InputError, match=r"infinite in 1 row \(2, counted from 0\)"):
        labels_of(tmp_path, ["1", "", "inf"], [0.5, 1.5], "regression")


@pytest.mark.parametrize(
    ("cells", "y", "task", "fragment"),
    [
        (["", ""], ["a", "b"], "classification", "column 'known' of the target is empty in every row: fill in some"),
        (["c", "a", "c"], ["a", "b"], "classification", r"holds 'c' in 2 rows, and no source row does \('a', 'b'\)"),
        (["3", "1"], [0, 1], "classification", r"holds 3 in 1 row, and no source row does \(0, 1\)"),
        (["0.5", "1"], [0, 1], "classification", r"holds 0.5 in 1 row"),
        (["a", ""], [0, 1], "classification", r"holds text \(such as 'a'\), and the source's labels are numbers"),
        (["a", ""], [0.5, 1.5], "regression", "holds text"),
        (["1", "unknown"], [0, 1], "classification", "pass --missing unknown"),
    ],
)
def test_labels_that_cannot_be_learned_from(tmp_path, cells, y, task, fragment):
    with pytest.raises(InputError, match=fragment):
        labels_of(tmp_path, cells, y, task)


def test_numbers_of_parquet_for_labels_that_are_words(tmp_path):
    pd.DataFrame({"known": [1.0, np.nan]}).to_parquet(tmp_path / "t.parquet")
    column = read_table(tmp_path / "t.parquet", "target").column("known", "text")
    with pytest.raises(
        InputError, match=r"holds numbers \(such as 1\), and the source's labels are text \(such as '1'\)"
    ):
        known_target_labels(column, np.array(["1", "2"]), "classification")


# Refusals ----------------------------------------------------------------------------------------

REFUSALS = {
    "no such column": (
        ["--target-labels", "q"],
        3,
        "--target-labels q: the target has no such column; it has 'x', 'z'",
    ),
    "covariate": (["--target-labels", "known", "--shift", "covariate"], 2, "--target-labels is for --shift auto"),
    "label": (["--target-labels", "known", "--shift", "label"], 2, "--target-labels is for --shift auto"),
    "two roles": (["--target-labels", "z"], 3, "the target lacks 'known'"),
    "two options": (["--target-labels", "known", "--drop", "known"], 2, "more than one role"),
    "an id": (["--target-labels", "known", "--id", "known"], 2, "more than one role"),
    "another class": (["--target-labels", "odd"], 3, "holds 'c' in 1 row, and no source row does"),
}


BOTH = [("correct", case) for case in REFUSALS]
BOTH += [("diagnose", case) for case, (options, *_) in REFUSALS.items() if "--shift" not in options]


@pytest.mark.parametrize(("command", "case"), BOTH)
def test_the_message_says_what_is_wrong(tmp_path, command, case):
    options, exit_code, fragment = REFUSALS[case]
    source, target = turned(20, 1, 0), turned(20, -1, 1)
    target["known"] = known_of(target, 5)
    target["odd"] = [*target["y"][:19], "c"]
    out = ["--out", tmp_path / "out"] if command == "correct" else []
    if case == "two roles":
        source, target = source.assign(known=1), target.drop(columns=["known", "odd"])
    elif case != "another class":
        target = target.drop(columns="odd")
    else:
        target = target.drop(columns="known")
    result = run(command, tmp_path, source, target, *options, *out, *LOGISTIC)
    assert result.exit_code == exit_code, result.output
    assert fragment in result.stderr
    assert not (tmp_path / "out").exists()
