"""The command that a report gives for the next step runs as it stands, with the options of the run that wrote it."""

import html
import inspect
import re
import shlex

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from shiftfix.cli._app import app
from shiftfix.cli._commands._correct import correct
from shiftfix.cli._options import with_defaults
from shiftfix.mlp import MLPClassifier, MLPRegressor
from shiftfix.report._next_code import REPEATED, next_code, repeated_options
from tests.cli.test_automatic import classes

NAMES = {"id": "id_column"}


@pytest.mark.slow
def test_the_command_of_a_report_runs(tmp_path, monkeypatch):
    """With a key, a word for gaps, an odd separator and another learner, none of which it can do without."""
    monkeypatch.chdir(tmp_path)
    truth = classes(200, 0.9, 1)
    for name, frame in (("a b.csv", classes(300, 0.5, 0)), ("t.csv", truth.drop(columns="y"))):
        frame.insert(0, "key", [f"{name}{row}" for row in range(len(frame))])
        frame["ward"] = frame["ward"].where(np.arange(len(frame)) % 9 > 0, "?")
        frame.to_csv(name, index=False, sep=";")
    options = ["--id", "key", "--sep", ";", "--missing", "?", "--missing", "-", "--learner", "logistic", "--drop", "z"]
    run = lambda *words: CliRunner().invoke(app, list(words))  # noqa: E731
    first = run("diagnose", "a b.csv", "t.csv", "--label", "y", *options, "--html", "page.html")
    assert first.exit_code == 0, first.stderr
    page = html.unescape((tmp_path / "page.html").read_text(encoding="utf-8"))
    command = shlex.split(re.search(r"^shiftfix (correct .*)$", page, re.M)[1])
    target = pd.read_csv("t.csv", sep=";", keep_default_na=False)
    target["known_label"] = truth["y"].where(np.arange(200) % 4 == 0, "")
    target.to_csv("t_labelled.csv", index=False, sep=";")
    second = run(*command)
    assert second.exit_code == 0, second.stderr
    assert "key" in pd.read_csv("repaired_by_labels/predictions.csv").columns
    assert "logistic" in second.stdout
    # The next one is of the next folder.
    further = commands_of(tmp_path / "repaired_by_labels" / "report.html")
    target.drop(columns="known_label").to_csv("newest.csv", index=False, sep=";")
    for words in further:
        done = run(*words)
        assert done.exit_code == 0, done.stderr


def commands_of(page):
    """The commands that a page gives for the next step, each as words."""
    text = html.unescape(re.sub("<[^>]+>", "", page.read_text(encoding="utf-8")))
    return [shlex.split(line) for line in re.findall(r"^shiftfix (.*)$", text, re.M)]


@pytest.mark.slow
def test_the_command_after_a_diagnosis_corrects_and_what_follows_predicts(tmp_path, monkeypatch):
    """Known classes as causes, a key, and gaps by a word: all the way to newer rows, by the pages' own commands."""
    monkeypatch.chdir(tmp_path)
    files = {"s.csv": classes(400, 0.5, 0), "t.csv": classes(300, 0.9, 1), "newest.csv": classes(100, 0.9, 2)}
    for name, frame in files.items():
        frame.insert(0, "key", [f"{name}{row}" for row in range(len(frame))])
        frame["ward"] = frame["ward"].where(np.arange(len(frame)) % 9 > 0, "?")
        frame.drop(columns=[] if name == "s.csv" else "y").to_csv(name, index=False)
    options = ["--label", "y", "--id", "key", "--missing", "?", "--learner", "logistic", "--causes", "label"]
    run = lambda *words: CliRunner().invoke(app, list(words))  # noqa: E731
    first = run("diagnose", "s.csv", "t.csv", *options, "--html", "page.html")
    assert first.exit_code == 0, first.stderr
    (fit,) = commands_of(tmp_path / "page.html")
    assert fit[0] == "correct"
    done = run(*fit)
    assert done.exit_code == 0, done.stderr
    again = commands_of(tmp_path / "repaired" / "report.html")
    assert [words[0] for words in again] == ["diagnose", "predict"]
    for words in again:
        done = run(*words)
        assert done.exit_code == 0, done.stderr
    assert pd.read_csv("newest_predictions.csv")["key"].tolist() == files["newest.csv"]["key"].tolist()


def test_commands_after_other_findings():
    """Columns that name rows are left out by the command too; a model that is left alone is asked again."""
    columns = {"columns": [{"name": "a b", "kind": "identifier"}, {"name": "x", "kind": "number"}]}
    said = {"verdict": "caution", "reasons": [], "action": "Drop 'a b', and diagnose again."}
    parts = {
        "source": {"file": "s.csv"},
        "target": {"file": "t.csv"},
        "columns": {"label": "y"},
        "options": {"target_labels": "known", "seed": 3},
    }
    record = {**parts, "diagnosis": {**said, "correction": "none", "columns": columns}}
    assert next_code(record)[1] == (
        "shiftfix diagnose s.csv t.csv --label y --seed 3 --target-labels known --drop 'a b'\n"
    )
    assert next_code({**record, **said, "corrected": False})[1].startswith("shiftfix correct s.csv t.csv --label y")
    record["diagnosis"]["action"] = "Deploy, and monitor."
    assert next_code(record)[1].endswith("shiftfix diagnose s.csv newest.csv --label y --seed 3\n")
    record["diagnosis"]["action"] = "Label 50 target rows."
    labels = {**record, **said, "action": "Label 50 target rows.", "corrected": True}
    for folder, out in (("a/repaired_by_labels", "_2"), ("repaired_by_labels_7/", "_8"), ("other", ""), (None, "")):
        told = next_code({**labels, "folder": folder})[1]
        assert told.endswith(f"--target-labels known --out repaired_by_labels{out}\n"), told
    record["options"]["target_labels"] = None
    record["target"]["file"] = "data/t 1.csv.gz"
    assert "Copy the target file to t 1.csv_labelled.gz" not in next_code(record)[1]
    assert "'data/t 1_labelled.csv.gz' --label y" in next_code(record)[1]
    record["diagnosis"]["action"] = "Deploy, and monitor."
    del record["source"]
    assert "diagnose_shift(" in next_code(record)[1]


def test_options_left_out_are_the_defaults_of_the_command():
    signature = inspect.signature(correct).parameters
    for name in REPEATED:
        value = signature[NAMES.get(name, name)].default
        filled = with_defaults({"shift": "auto", "learner": "mlp", "clip": None, "hidden": None, "epochs": None})
        expected = filled[name] if name in filled else {"drop": [], "missing": []}.get(name, value)
        assert REPEATED[name] == expected, name
    assert repeated_options({"options": {**REPEATED, "hidden": [64, 32], "drop": ["a", "b"]}}) == [
        *("--drop", "a", "--drop", "b", "--hidden", "64,32"),
    ]


@pytest.mark.parametrize("network", [MLPClassifier, MLPRegressor])
def test_the_networks_of_the_command_have_the_defaults_of_the_package(network):
    filled = with_defaults({"shift": "auto", "learner": "mlp", "clip": None, "hidden": None, "epochs": None})
    assert (tuple(filled["hidden"]), filled["epochs"]) == (network().hidden_layer_sizes, network().max_epochs)
