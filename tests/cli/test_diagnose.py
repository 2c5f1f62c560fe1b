"""``shiftfix diagnose``: what it prints, the one file that it writes, and that ``correct`` does what it says."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from shiftfix.cli._app import app
from tests.cli.test_automatic import classes, save

LOGISTIC = ["--learner", "logistic"]


def run(command, *arguments):
    return CliRunner().invoke(app, [command, *map(str, arguments)], env={"COLUMNS": "1000"})


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Two files in which class shares moved, what is printed of them, and the record."""
    folder = tmp_path_factory.mktemp("diagnose")
    source, target = classes(300, 0.5, 0), classes(200, 0.9, 1).drop(columns="y")
    source.loc[::7, "x"] = target.loc[::7, "x"] = np.nan
    paths = save(folder, source, target)
    before = sorted(folder.iterdir())
    result = run("diagnose", *paths, "--label", "y", *LOGISTIC, "--out", folder / "found.json")
    assert result.exit_code == 0, result.stderr
    assert sorted(folder.iterdir()) == sorted([*before, folder / "found.json"])
    return folder, paths, result.stdout, json.loads((folder / "found.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_it_prints_a_page_that_ends_with_what_to_do(found):
    folder, _, printed, _ = found
    lines = printed.splitlines()
    page = [line for line in lines if not line.startswith(("notice: ", "written: "))]
    assert len(page) <= 25
    assert page[0] == "LogisticRegression: 300 source rows, 200 target rows"
    assert re.match(r"Model now +accuracy 0\.\d{3} \+- 0\.0\d on source rows", page[1])
    assert re.match(r"Did it move\? +samples: yes", page[2])
    assert "Verdict          caution: correct the class shares" in page
    assert page[-1].startswith("Next             Label ")
    assert lines[-1] == f"written: {folder / 'found.json'}"
    assert any("--target-labels" in line for line in lines if line.startswith("notice: "))
    assert "x (0." in printed  # the user's own column, not an encoded one


@pytest.mark.slow
def test_the_file_holds_every_test_and_what_was_read(found):
    _, paths, printed, record = found
    diagnosis = record["diagnosis"]
    assert [diagnosis["correction"], diagnosis["n_source"], diagnosis["n_target"]] == ["prior", 300, 200]
    assert {column["name"]: column["kind"] for column in diagnosis["columns"]["columns"]} == {
        "x": "number",
        "z": "number",
        "ward": "category",
    }
    for label, text in diagnosis["lines"]:
        assert f"{label:<17}{text}\n" in printed
    assert [record[name]["file"] for name in ("source", "target")] == [str(path) for path in paths]
    assert record["columns"]["text"] == ["ward"]
    assert record["options"]["learner"] == "logistic"
    assert set(record["versions"]) >= {"shiftfix", "scikit-learn"}


@pytest.mark.slow
def test_correct_makes_the_same_diagnosis_and_does_what_it_says(found):
    folder, paths, _, record = found
    result = run("correct", *paths, "--label", "y", *LOGISTIC, "--out", folder / "out")
    assert result.exit_code == 0, result.stderr
    summary = json.loads((folder / "out" / "summary.json").read_text(encoding="utf-8"))
    assert summary["diagnosis"] == record["diagnosis"]
    assert summary["correction"] == "prior"


@pytest.mark.slow
def test_a_file_is_replaced_only_when_asked_and_values_are_diagnosed_too(found):
    folder, *_ = found
    rng = np.random.default_rng(0)
    x, x_target = rng.normal(size=(2, 60))
    paths = save(folder, pd.DataFrame({"x": x, "y": x + rng.normal(size=60)}), pd.DataFrame({"x": x_target + 2}))
    out = folder / "values.json"
    out.write_text("mine")
    arguments = [*paths, "--label", "y", "--learner", "linear", "--out", out]
    result = run("diagnose", *arguments)
    assert result.exit_code == 5
    assert "values.json exists: name another file, or pass --overwrite" in result.stderr
    assert out.read_text() == "mine"
    result = run("diagnose", *arguments, "--overwrite", "--causes", "features")
    assert result.exit_code == 0, result.stderr
    record = json.loads(out.read_text(encoding="utf-8"))
    assert [record["task"], record["diagnosis"]["class_shares"]] == ["regression", []]
    assert record["options"]["causes"] == "features"


ROWS = pd.DataFrame({"x": np.arange(40) / 7, "y": ["no", "yes"] * 20})
CASES = {
    "no label": (["--label", "q"], 3, "--label q: the source has no such column"),
    "unknown learner": (["--label", "y", "--learner", "svm"], 2, "svm"),
    "hidden, forest": (["--label", "y", "--learner", "forest", "--hidden", "8"], 2, "--hidden is for --learner mlp"),
    "linear for classes": (["--label", "y", "--learner", "linear"], 2, "pass --learner logistic"),
    "separator": (["--label", "y", "--sep", "xx"], 2, "--sep 'xx'"),
    "out is read": (["--label", "y", "--out", "source.csv"], 5, "is a file that this run reads"),
    "out has no folder": (["--label", "y", "--out", "nowhere/found.json"], 5, "cannot be written"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_message_says_what_is_wrong_and_nothing_is_written(tmp_path, monkeypatch, case):
    options, exit_code, fragment = CASES[case]
    monkeypatch.chdir(tmp_path)
    paths = save(tmp_path, ROWS, ROWS.drop(columns="y"))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    result = run("diagnose", *paths, *options)
    assert result.exit_code == exit_code, result.output
    assert fragment in result.stderr
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_everything_that_is_wrong_comes_at_once(tmp_path):
    paths = save(tmp_path, ROWS, ROWS.drop(columns="y").rename(columns={"x": "X"}))
    result = run("diagnose", *paths, "--label", "y", "--out", tmp_path / "no" / "f.json", "--learner", "linear")
    assert result.exit_code == 5
    for words in ("3 things stand in the way", "no/f.json", "lacks 'x' and adds 'X'", "--learner linear"):
        assert words in result.stderr
