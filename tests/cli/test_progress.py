"""Stages on standard error: of a terminal while it runs, elsewhere only when asked for, and never among results."""

import json
import os
import pty
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from shiftfix.cli._app import app
from shiftfix.cli._progress import silent, stages

COMMAND = [sys.executable, "-c", "from shiftfix.cli import main; main()"]
COLOR = re.compile(r"\x1b\[[0-9;]*3[0-9]m")
LINE = re.compile(r"shiftfix: +\d+\.\d s  (.*)")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("progress")
    rng = np.random.default_rng(0)
    for name, mean in (("s 1", 0.0), ("t[2]", 0.5)):
        pd.DataFrame({"x": rng.normal(mean, 1, 120)}).to_csv(folder / f"{name}.csv", index=False)
    return folder, [str(folder / "s 1.csv"), str(folder / "t[2].csv")]


@pytest.mark.slow
def test_each_stage_is_a_line_when_asked_for_and_the_record_stays_json(files):
    folder, paths = files
    told = CliRunner().invoke(app, ["weigh", *paths, "--out", str(folder / "a"), "--json", "--verbose"])
    lines = [LINE.fullmatch(line)[1] for line in told.stderr.splitlines()]
    assert lines == [
        f"reading the source file {paths[0]}",
        "checking 120 source rows of 1 column",
        f"reading the target file {paths[1]}",
        "checking 120 target rows of 1 column",
        "weighing 120 source rows and 120 target rows",
    ]
    plain = CliRunner().invoke(app, ["weigh", *paths, "--out", str(folder / "b"), "--json"])
    assert plain.stderr == ""
    # The same record, told or not.
    assert json.loads(plain.stdout) == json.loads(told.stdout)


def on_terminal(arguments, **variables):
    """What a command writes to a terminal as its standard error, and to a pipe as its standard output."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", **variables}
    environment.pop("CI", None)
    with subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        shown = bytearray()
        try:
            while block := os.read(ours, 65536):
                shown += block
        except OSError:  # the terminal's other end is closed
            pass
        printed = process.stdout.read()
    os.close(ours)
    assert process.returncode == 0, shown
    return shown.decode(), printed.decode()


@pytest.mark.slow
@pytest.mark.parametrize("color", [True, False], ids=["color", "no color"])
def test_a_terminal_shows_stages_and_none_is_left(files, color):
    folder, paths = files
    out = str(folder / f"terminal {color}")
    shown, printed = on_terminal(
        [*COMMAND, "weigh", *paths, "--out", out, "--json"], **({} if color else {"NO_COLOR": "1"})
    )
    assert "weighing 120 source rows and 120 target rows" in shown
    assert bool(COLOR.search(shown)) == color
    assert json.loads(printed)["command"] == "weigh"
    # The last thing is to remove the line and to show the cursor again.
    assert "\x1b[2K" in shown.rpartition("weighing")[2]
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l")


MARKUP = """
from shiftfix.cli._progress import stages
with stages(verbose=False) as tell:
    tell("reading t[2].csv [bold]\\n")
"""


@pytest.mark.slow
def test_a_name_in_brackets_is_shown_as_it_is():
    shown, _ = on_terminal([sys.executable, "-c", MARKUP])
    assert "reading t[2].csv [bold]\\n" in shown


def test_nothing_is_told_without_a_terminal(capsys):
    with stages(verbose=False) as tell:
        assert tell is silent
        tell("anything")
    with stages(verbose=False, quiet=True) as tell:
        assert tell is silent
    assert capsys.readouterr().err == ""


def test_a_stage_is_one_line(capsys):
    with stages(verbose=True, quiet=True) as tell:
        tell("reading a\nverdict  ok")
    assert LINE.fullmatch(capsys.readouterr().err.rstrip("\n"))[1] == "reading a\\nverdict  ok"
