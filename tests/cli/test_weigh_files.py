"""``shiftfix weigh`` of files that need not fit in memory: the real command, stopped anywhere and given again."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from typer.testing import CliRunner

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("polars")

from shiftfix.cli._app import app  # noqa: E402
from shiftfix.cli._choices import Dialect, EngineName  # noqa: E402
from shiftfix.cli._results import names_below  # noqa: E402
from shiftfix.large import _engines, _sql  # noqa: E402
from tests.cli.test_process import DEFAULT_SIGNALS  # noqa: E402
from tests.cli.test_records import faults  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
N_FILES, ROWS = 5, 300
OPTIONS = ["--label", "y", "--id", "key"]
COMMAND = "from shiftfix.cli import main; main()"
# The same command, which kills itself by a signal at a unit of a pass of the fit (1) or of the writing (2).
KILLED = f"""
import os, sys
from shiftfix.large import _driver
number, place, at_pass, at_unit = map(int, sys.argv.pop(1).split(","))
made, told, begin = [], _driver.Passes._told, _driver.Passes.__init__
def counted(self, *arguments):
    begin(self, *arguments)
    made.append(self)
def killed(self, results):
    for done, result in enumerate(told(self, results), start=1):
        if (len(made), self.n_passes, done) == (place, at_pass, at_unit):
            os.kill(os.getpid(), number)
        yield result
_driver.Passes.__init__, _driver.Passes._told = counted, killed
{COMMAND}
"""


def run(*arguments, code=0):
    result = CliRunner().invoke(app, ["weigh", *map(str, arguments)], env={"COLUMNS": "1000"})
    assert result.exit_code == code, result.output
    return result


def process(script, *arguments, cwd=None, **environment):
    """The command as a process of its own, signals handled as under a shell."""
    command = [sys.executable, "-I", "-S", "-c", DEFAULT_SIGNALS, sys.executable, "-c", script, *map(str, arguments)]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, timeout=300, check=False)


def write_sample(folder, mean, seed, labelled):
    rng = np.random.default_rng(seed)
    folder.mkdir()
    for part in range(N_FILES):
        X = rng.normal(mean, 1, (ROWS, 3))
        columns = {name: X[:, place] for place, name in enumerate("abc")}
        if labelled:
            keys = [f"row {part}-{row}" for row in range(ROWS)]
            columns |= {"key": keys, "y": rng.integers(0, 2, ROWS), "n": rng.integers(0, 3, ROWS)}
        pq.write_table(pa.table(columns), folder / f"part-{part}.parquet", row_group_size=100)
    return folder


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    where = tmp_path_factory.mktemp("samples")
    return write_sample(where / "source", 0, 0, True), write_sample(where / "target", 0.5, 1, False)


def contents(folder):
    """Every file of a folder and those in it."""
    return {name: (folder / name).read_bytes() for name in names_below(folder)}


@pytest.fixture(scope="module")
def whole(samples, tmp_path_factory):
    """What a run leaves that nothing stops."""
    out = tmp_path_factory.mktemp("whole") / "out"
    result = run(*samples, *OPTIONS, "--drop", "n", "--out", out)
    assert f"written: {out}" in result.stdout
    return contents(out)


@pytest.mark.slow
def test_the_weights_are_those_of_one_file_in_memory(samples, whole, tmp_path):
    """The optimum in memory is reached to its own tolerance: weights agree to 1e-5, wrong ones differ by tenths."""
    for sample, name in zip(samples, "st", strict=True):
        pq.write_table(pq.read_table(sample), tmp_path / f"{name}.parquet")
    files = tmp_path / "s.parquet", tmp_path / "t.parquet"
    run(*files, *OPTIONS, "--drop", "n", "--out", tmp_path / "memory", "--format", "parquet")
    expected = pd.read_parquet(tmp_path / "memory" / "weights.parquet")
    run(*files, *OPTIONS, "--drop", "n", "--out", tmp_path / "passes", "--engine", "serial")
    for folder, parts in ((tmp_path / "passes", 1), (None, N_FILES)):
        files = contents(folder) if folder else whole
        tables = [pq.read_table(pa.BufferReader(files[name])) for name in sorted(files) if name.endswith(".parquet")]
        found = pa.concat_tables(tables).to_pandas()
        assert len(tables) == parts
        assert list(found.columns) == ["key", "weight"]
        assert list(found["key"]) == list(expected["key"])
        assert_allclose(found["weight"], expected["weight"], rtol=1e-5)


@pytest.mark.slow
def test_the_record_is_as_the_schema_says(samples, whole, tmp_path):
    record = json.loads(run(*samples, *OPTIONS, "--weight", "n", "--out", tmp_path / "o", "--json").stdout)
    written = json.loads((tmp_path / "o" / "summary.json").read_text(encoding="utf-8"))
    assert faults(record) == faults(written) == faults(json.loads(whole["summary.json"])) == []
    assert {name: part for name, part in written.items() if name not in ("files", "digest")} == record
    assert record["source"] == {"file": str(samples[0]), "sha256": None, "rows": 1500, "files": N_FILES}
    assert record["columns"]["numeric"] == ["a", "b", "c"]
    assert [record["passes"]["parts"], record["options"]["format"]] == [N_FILES, "parquet"]
    assert 3 <= record["passes"]["passes"] <= 5
    # Repeat counts count: the mean of the weights is 1 with them.
    weights = pq.read_table(tmp_path / "o" / "weights").to_pandas()["weight"]
    counts = pq.read_table(samples[0]).to_pandas()["n"]
    assert np.average(weights, weights=counts) == pytest.approx(1, abs=1e-9)


def test_the_words_of_the_options_are_those_of_the_library():
    assert tuple(EngineName) == _engines.ENGINES
    assert set(Dialect) == set(_sql.DOUBLES)


SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -signal.SIGKILL}
# The first two passes find where to begin.
STOPS = {
    "Ctrl-C in the third pass": (signal.SIGINT, "1,3,4"),
    "Ctrl-C while writing": (signal.SIGINT, "2,1,3"),
    "SIGTERM in the last pass": (signal.SIGTERM, "1,4,2"),
    "kill -9 in the third pass": (signal.SIGKILL, "1,3,2"),
    "kill -9 while writing": (signal.SIGKILL, "2,1,2"),
}


@pytest.mark.slow
@pytest.mark.parametrize("stop", STOPS)
def test_a_run_that_is_stopped_goes_on_to_the_same_bytes(samples, whole, tmp_path, stop):
    number, place = STOPS[stop]
    arguments = [*samples, *OPTIONS, "--drop", "n", "--out", "out"]
    stopped = process(KILLED, f"{int(number)},{place}", "weigh", *arguments, cwd=tmp_path)
    assert stopped.returncode == SIGNALS[number]
    assert sorted(os.listdir(tmp_path)) == [".out.shiftfix"]
    if number != signal.SIGKILL:
        said = f"shiftfix: stopped by {number.name}. What it has done is kept in "
        assert stopped.stderr.startswith(said)
        assert stopped.stderr.endswith("give the same command again to go on from there.\n")
        assert stopped.stderr.count("\n") == 1
    parts = sorted(tmp_path.glob(".out.shiftfix/kept/results/weights/*.parquet"))
    stamps = [path.stat().st_mtime_ns for path in parts]
    assert (len(parts) > 0) == place.startswith("2")
    # Another command may not end it.
    other = process(COMMAND, "weigh", *arguments, "--penalty", "2", cwd=tmp_path)
    assert other.returncode == 5
    assert "of another set of options" in other.stderr
    # Who works is no part of a run.
    again = process(COMMAND, "weigh", *arguments, "--verbose", "--engine", "serial", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "going on with the run that was stopped" in again.stderr
    assert "pass 1:" not in again.stderr
    assert contents(tmp_path / "out") == whole
    assert [(tmp_path / "out" / "weights" / path.name).stat().st_mtime_ns for path in parts] == stamps
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.slow
def test_a_run_that_is_stopped_in_its_first_pass_leaves_nothing(samples, tmp_path):
    stopped = process(
        KILLED, f"{int(signal.SIGINT)},1,1,2", "weigh", *samples, *OPTIONS, "--drop", "n", "--out", "out", cwd=tmp_path
    )
    assert (stopped.returncode, stopped.stderr) == (130, "shiftfix: stopped by SIGINT.\n")
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_overwrite_discards_what_another_run_has_kept(samples, whole, tmp_path):
    """In the end the old results stand there or the new ones, and a folder that was changed is left alone."""
    arguments = ["weigh", *samples, *OPTIONS, "--drop", "n", "--out", "out"]
    process(KILLED, f"{int(signal.SIGKILL)},2,1,3", *arguments, "--penalty", "2", cwd=tmp_path)
    clinic = [tmp_path / f"{name}.csv" for name in "st"]
    for path in clinic:
        pd.DataFrame({"x": np.arange(40) / 7}).to_csv(path, index=False)
    assert "is being made by a run of shiftfix weigh" in run(*clinic, "--out", tmp_path / "out", code=5).stderr
    run(*arguments[1:-1], tmp_path / "out", "--overwrite")
    assert sorted(os.listdir(tmp_path)) == ["out", "s.csv", "t.csv"]
    assert contents(tmp_path / "out") == whole
    assert "is not empty" in run(*arguments[1:-1], tmp_path / "out", code=5).stderr
    run(*arguments[1:-1], tmp_path / "out", "--overwrite", "--engine", "serial")
    assert contents(tmp_path / "out") == whole
    (tmp_path / "out" / "weights" / "mine.txt").write_text("mine")
    refused = run(*arguments[1:-1], tmp_path / "out", "--overwrite", code=5)
    assert "'weights/mine.txt'" in refused.stderr
    assert (tmp_path / "out" / "weights" / "mine.txt").read_text() == "mine"


def frame(folder, name, **columns):
    folder.mkdir(exist_ok=True)
    given = {"x": np.arange(6) / 7, "z": np.arange(6) ** 2.0, **columns}
    pq.write_table(pa.table({key: values for key, values in given.items() if values is not None}), folder / name)


# What is wrong, the options, the exit code, and what is said.
CASES = {
    "no parquet": ("empty", [], 3, "empty' holds no file that ends in .parquet"),
    "other columns": ("more", [], 3, "more/b.parquet adds 'q', compared with"),
    "missing in the target": ("source", [], 3, "the target lacks 'z'"),
    "other types": ("types", [], 3, "Column 'x' is int64 in"),
    "text": ("text", [], 3, "Column 'city' holds string values"),
    "a gap": ("gap", [], 3, "1 in column 'x'. Impute or drop them, or leave the column out with --drop COLUMN."),
    "no such column": ("source", ["--drop", "q"], 3, "--drop q: the source has no such column"),
    "two roles": ("source", ["--drop", "z", "--id", "z"], 2, "more than one role"),
    "kernels": ("source", ["--method", "kmm"], 2, "--method kmm is for two files that fit in memory"),
    "squares": ("source", ["--features", "squares"], 2, "--features squares is for two files"),
    "penalty by cv": ("source", ["--penalty", "cv"], 2, "pass a number"),
    "words of CSV": ("source", ["--missing", "?"], 2, "--missing ? is for two files"),
    "csv parts": ("source", ["--format", "csv"], 2, "--format csv is for two files"),
    "printed": ("source", ["--out", "-"], 2, "name a folder, which gets them in parts"),
    "sql of a tail": ("source", ["--sql", "duckdb", "--clip", "pareto"], 2, "--clip pareto, whose tail"),
    "scheduler alone": ("source", ["--scheduler", "tcp://here:1"], 2, "pass --engine dask or ray"),
    "workers, serial": ("source", ["--engine", "serial", "--workers", "3"], 2, "--engine is serial"),
    "workers, a cluster": (
        "source",
        ["--engine", "dask", "--scheduler", "tcp://here:1", "--workers", "3"],
        2,
        "leave one out",
    ),
    "csv with an engine": ("s.csv", ["--engine", "serial"], 2, "s.csv' is no Parquet or Arrow file"),
    "in the source": ("source", ["--out", "{here}/source"], 5, "a.parquet', which this run reads"),
    "below the source": ("source", ["--out", "{here}/source/out"], 2, "whose files are read"),
}


@pytest.fixture(scope="module")
def wrong(tmp_path_factory):
    """Samples with something wrong in each."""
    here = tmp_path_factory.mktemp("wrong")
    for name in ("source", "more", "types", "text", "gap"):
        frame(here / name, "a.parquet", city=["a"] * 6 if name == "text" else None)
    frame(here / "more", "b.parquet", q=np.arange(6.0))
    frame(here / "types", "b.parquet", x=np.arange(6))
    frame(here / "gap", "b.parquet", x=[None, *np.arange(5.0)])
    frame(here / "target", "a.parquet")
    frame(here / "text target", "a.parquet", city=["a"] * 6)
    frame(here / "short", "a.parquet", z=None)
    (here / "empty").mkdir()
    (here / "empty" / "notes.txt").write_text("nothing")
    pd.DataFrame({"x": [1.0, 2.0], "z": [1.0, 3.0]}).to_csv(here / "s.csv", index=False)
    return here


@pytest.mark.parametrize("case", CASES)
def test_the_message_says_what_is_wrong_and_nothing_is_left(wrong, case):
    source, options, code, fragment = CASES[case]
    target = {"missing in the target": "short", "text": "text target"}.get(case, "target")
    before = names_below(wrong)
    out = [] if "--out" in options else ["--out", wrong / "out"]
    options = [option.format(here=wrong) for option in options]
    result = run(wrong / source, wrong / target, *out, *options, code=code)
    assert fragment in " ".join(result.stderr.split())
    assert "columns=[" not in result.stderr
    assert names_below(wrong) == before


@pytest.mark.parametrize(("engine", "module", "extra"), [("dask", "distributed", "large"), ("ray", "ray", "ray")])
def test_an_engine_that_is_not_installed_names_its_extra(samples, tmp_path, monkeypatch, engine, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    result = run(*samples, *OPTIONS, "--drop", "n", "--out", tmp_path / "out", "--engine", engine, code=2)
    assert f"shiftfix[{extra}]" in result.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_a_scheduler_that_is_not_there_discards_nothing(samples, whole, tmp_path):
    pytest.importorskip("distributed")
    arguments = ["weigh", *samples, *OPTIONS, "--drop", "n", "--out", "out"]
    process(KILLED, f"{int(signal.SIGKILL)},2,1,4", *arguments, cwd=tmp_path)
    kept = sorted(tmp_path.glob(".out.shiftfix/kept/results/weights/*.parquet"))
    assert len(kept) >= 4
    timeout = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "1s"}
    nowhere = ["--engine", "dask", "--scheduler", "tcp://127.0.0.1:9"]
    found = process(COMMAND, *arguments, *nowhere, cwd=tmp_path, **timeout)
    assert found.returncode == 2
    assert "--engine dask: No Dask scheduler answers at 'tcp://127.0.0.1:9'" in found.stderr
    assert "Traceback" not in found.stderr
    assert sorted(tmp_path.glob(".out.shiftfix/kept/results/weights/*.parquet")) == kept
    # A cluster of this machine completes it.
    ended = process(COMMAND, *arguments, "--engine", "dask", "--quiet", cwd=tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert contents(tmp_path / "out") == whole


@pytest.mark.slow
def test_ctrl_c_reaches_every_process_of_dask_and_one_line_is_said(samples, whole, tmp_path):
    """A terminal sends it to the whole group; the state is that after the last pass."""
    pytest.importorskip("distributed")
    script = KILLED.replace("os.kill(os.getpid(), number)", "os.killpg(0, number)")
    arguments = ["weigh", *samples, *OPTIONS, "--drop", "n", "--out", "out", "--engine", "dask"]
    command = [sys.executable, "-I", "-S", "-c", DEFAULT_SIGNALS, sys.executable, "-c", script]
    stopped = subprocess.run(
        [*command, f"{int(signal.SIGINT)},1,3,2", *map(str, arguments)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert stopped.returncode == 130, stopped.stderr
    assert "shiftfix: stopped by SIGINT. What it has done is kept in " in stopped.stderr
    assert "Traceback" not in stopped.stderr, stopped.stderr
    again = process(COMMAND, *arguments[:-2], cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert contents(tmp_path / "out") == whole


@pytest.mark.slow
def test_ray_gives_the_same_bytes(samples, whole, tmp_path):
    pytest.importorskip("ray", reason="ray is an extra of its own, and heavy")
    run(*samples, *OPTIONS, "--drop", "n", "--out", tmp_path / "out", "--engine", "ray")
    assert contents(tmp_path / "out") == whole


@pytest.mark.slow
def test_the_expression_of_a_database_is_the_weight(samples, whole, tmp_path):
    duckdb = pytest.importorskip("duckdb")
    pattern = samples[0] / "part-[0-9].parquet"
    run(pattern, samples[1], *OPTIONS, "--drop", "n", "--out", tmp_path / "out", "--sql", "duckdb")
    found = contents(tmp_path / "out")
    assert {name: found[name] for name in whole if "weights/" in name} == {n: whole[n] for n in whole if "/" in n}
    expression = found["weights.sql"].decode()
    rows = duckdb.sql(f"SELECT {expression} AS weight FROM '{pattern}' ORDER BY key").fetchnumpy()["weight"]
    expected = pq.read_table(tmp_path / "out" / "weights").to_pandas().sort_values("key")["weight"]
    assert_allclose(rows, expected, rtol=1e-12)


@pytest.mark.slow
def test_samples_that_nothing_tells_together_have_a_notice_and_a_code(tmp_path):
    for name, mean in (("s", 0.0), ("t", 30.0)):
        frame(tmp_path / name, "a.parquet", x=mean + np.arange(6) / 7, z=None)
    result = run(tmp_path / "s", tmp_path / "t", "--out", tmp_path / "out", "--exit-code", code=4)
    assert "verdict" in result.stdout
    assert run(tmp_path / "s", tmp_path / "t", "--out", tmp_path / "quiet", "--quiet").output == ""
