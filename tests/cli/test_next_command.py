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
from shiftfix.report._next_code import REPEATED, repeated_options
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
    target.to_csv("t.csv", index=False, sep=";")
    second = run(*command)
    assert second.exit_code == 0, second.stderr
    assert "key" in pd.read_csv("repaired_by_labels/predictions.csv").columns
    assert "logistic" in second.stdout


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
