"""What ``--json``, ``--html``, ``--exit-code`` and ``shiftfix report`` make of a run: one record, told in several ways.

The published schema is held against records of every kind of run.
"""

import hashlib
import html
import io
import json
import os

import numpy as np
import pandas as pd
import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from shiftfix import _setting_checks
from shiftfix.cli import _page
from shiftfix.cli._app import app
from shiftfix.cli._commands._printing import print_page, print_record
from shiftfix.cli._exit import InputError, OutputError
from shiftfix.cli._outcome import outcome_code, weights_code
from shiftfix.cli._output import FILES
from shiftfix.cli._render import read_record
from shiftfix.cli._results import foreign_files, put_into_results, seal, unsealed
from shiftfix.exceptions import MissingDependencyError
from tests.cli.test_automatic import classes, save

QUICK = ["--label", "y", "--learner", "logistic"]
SCHEMA = json.loads(CliRunner().invoke(app, ["schema"]).stdout)


def run(*arguments, code=0):
    result = CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "1000"})
    assert result.exit_code == code, result.output
    return result


def faults(record):
    """What the schema says against a record, by the part of it that is for its command."""
    of_command = {"$ref": f"#/$defs/{record['command']}", "$defs": SCHEMA["$defs"]}
    return [
        f"{list(fault.absolute_path)}: {fault.message}"
        for fault in Draft202012Validator(of_command).iter_errors(record)
    ]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# One run of each command, told in all ways ---------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Class shares that moved: both files, results of ``correct``, its output, and the record it printed."""
    folder = tmp_path_factory.mktemp("records")
    source, target = classes(300, 0.5, 0), classes(200, 0.9, 1).drop(columns="y")
    source.loc[::7, "x"] = target.loc[::7, "x"] = np.nan
    paths = save(folder, source, target)
    result = run("correct", *paths, *QUICK, "--out", folder / "out", "--json", "--exit-code", code=6)
    return folder, paths, json.loads(result.stdout)


@pytest.fixture(scope="module")
def diagnosed(made):
    folder, paths, _ = made
    page = folder / "found.html"
    result = run("diagnose", *paths, *QUICK, "--out", "-", "--html", page, "--exit-code", code=6)
    return json.loads(result.stdout), page.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_record_that_is_printed_is_the_one_that_is_written(made):
    folder, _, record = made
    written = json.loads((folder / "out" / "summary.json").read_text(encoding="utf-8"))
    assert {name: part for name, part in written.items() if name not in ("files", "digest")} == record
    assert set(written["files"]) == {*FILES} - {"summary.json"}
    assert [record["command"], record["format"], record["correction"]] == ["correct", 1, "prior"]
    assert record["pictures"]["columns"][0]["name"] in ("x", "z", "ward")


@pytest.mark.slow
def test_records_are_as_the_schema_says(made, diagnosed):
    folder, _, record = made
    for found in (record, json.loads((folder / "out" / "summary.json").read_text(encoding="utf-8")), diagnosed[0]):
        assert faults(found) == []
        Draft202012Validator(SCHEMA).validate(found)
    assert diagnosed[0]["diagnosis"] == record["diagnosis"]


KINDS = {
    "labels": ([], True, "classes"),
    "covariate": (["--shift", "covariate", "--exponent", "1"], False, "classes"),
    "label": (["--shift", "label", "--causes", "label"], False, "classes"),
    "values": (["--learner", "linear"], False, "values"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_run_is_as_the_schema_says_and_has_a_page(tmp_path, kind):
    """Scored, too: the target's labels are there, of some rows to learn from."""
    options, few, task = KINDS[kind]
    source, target = classes(200, 0.5, 0), classes(150, 0.8, 1)
    if task == "values":
        source, target = (frame.assign(y=frame["x"].fillna(0) ** 2 + frame["z"] / 3) for frame in (source, target))
    if few:
        known = np.random.default_rng(0).random(len(target)) < 0.3
        target["few"] = target["y"].where(known, "")
        options = [*options, "--target-labels", "few"]
    paths = save(tmp_path, source, target)
    run("correct", *paths, *QUICK, "--out", tmp_path / "out", *options)
    record = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert faults(record) == []
    score, compared = record["target_score"], record["before_after"]
    if task == "classes":
        accuracy = next(found for found in compared if found["metric"] == "accuracy")
        assert accuracy["before"]["value"] == pytest.approx(score["uncorrected"], abs=1e-12)
        assert accuracy["after"]["value"] == pytest.approx(score["corrected"], abs=1e-12)
        # The columns of the file, not those that the learner sees.
        assert {picture["name"] for picture in record["pictures"]["columns"]} <= {"x", "z", "ward"}
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.lower().startswith("<!doctype html>")
    assert len(page) < 300_000


def test_the_schema_is_one_and_refuses_what_is_none():
    Draft202012Validator.check_schema(SCHEMA)
    record = {"command": "weigh", "format": 1}
    assert faults(record)
    assert not Draft202012Validator(SCHEMA).is_valid({"command": "weight", "format": 1})
    assert all(SCHEMA["$defs"][name]["additionalProperties"] is False for name in ("correct", "diagnose", "weigh"))


# The page ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_report_made_later_is_the_same_and_belongs_to_the_results(made):
    folder, _, _ = made
    out = folder / "out"
    before = contents(out)
    result = run("report", out)
    assert result.stdout == f"written: {out / 'report.html'}\n"
    assert contents(out) == before
    # Results of an install that made no page get one.
    (out / "report.html").unlink()
    summary = json.loads(before["summary.json"])
    seal_again(out, summary)
    assert foreign_files(out) == []
    run("report", out)
    assert contents(out) == before
    assert run("report", out, "--out", "-").stdout.encode() == before["report.html"]
    assert not (folder / ".out.shiftfix").exists()


def seal_again(folder, summary):
    (folder / "summary.json").unlink()
    seal(folder, {name: part for name, part in summary.items() if name not in ("files", "digest")})


@pytest.mark.slow
def test_a_report_of_a_diagnosis_is_the_page_that_it_wrote(diagnosed, tmp_path):
    record, page = diagnosed
    (tmp_path / "found.json").write_text(json.dumps(record), encoding="utf-8")
    result = run("report", tmp_path / "found.json")
    assert result.stdout == f"written: {tmp_path / 'found.html'}\n"
    assert (tmp_path / "found.html").read_text(encoding="utf-8") == page
    assert "exists: name another file" in run("report", tmp_path / "found.json", code=5).stderr
    run("report", tmp_path / "found.json", "--overwrite")


@pytest.mark.slow
def test_a_page_of_somebody_else_stays(made, tmp_path):
    folder, _, _ = made
    out = tmp_path / "results"
    out.mkdir()
    for name, content in contents(folder / "out").items():
        (out / name).write_bytes(content)
    (out / "report.html").write_text("mine")
    assert "no result of this command, or was changed since" in run("report", out, code=5).stderr
    assert (out / "report.html").read_text() == "mine"
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    (out / "summary.json").write_text(json.dumps(summary | {"verdict": "ok", "corrected": False}))
    assert "was changed since it was written" in run("report", out, code=3).stderr


@pytest.mark.slow
def test_a_full_disk_leaves_everything_as_it_was(made, monkeypatch):
    folder, paths, _ = made

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    before, names = contents(folder / "out"), sorted(folder.iterdir())
    monkeypatch.setattr("shiftfix.cli._results.replace_file", full)
    monkeypatch.setattr("shiftfix.cli._output_file.replace_file", full)
    for out in ([], ["--out", folder / "full.html"]):
        assert "No space left on device" in run("report", folder / "out", *out, code=5).stderr
    monkeypatch.setattr("shiftfix.cli._runs.write_text_file", full)
    result = run("correct", *paths, *QUICK, "--out", folder / "full", code=5)
    assert "make room or name another folder" in result.stderr
    assert contents(folder / "out") == before
    assert sorted(folder.iterdir()) == names


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="there is no folder here that nobody can write to")
def test_a_folder_that_takes_no_file_is_told_before_the_fit(made):
    folder, paths, _ = made
    found = run("diagnose", *paths, *QUICK, "--html", "/proc/found.html", code=5)
    assert "--html /proc/found.html cannot be written" in found.stderr
    assert (
        "--out /proc/f.html cannot be written" in run("report", folder / "out", "--out", "/proc/f.html", code=5).stderr
    )
    weighed = run("weigh", *paths, "--label", "y", "--out", "/proc/weights", code=5)
    assert "/proc/weights cannot be written" in weighed.stderr


RECORD = {"command": "correct", "format": 1, "verdict": "ok", "corrected": False}
BAD_RECORDS = {
    "no file": (None, "does not exist: pass a folder that shiftfix correct has written"),
    "a table": ("a;b\n1;2\n", "cannot be read as JSON"),
    "deep": ("[" * 100_000, "cannot be read as JSON"),
    "not UTF-8": (b"\xff\xfe{}", "cannot be read as JSON"),
    "a list": ("[1]", "holds no record of shiftfix correct or diagnose"),
    "something else": ('{"command": "train"}', "holds no record of shiftfix correct or diagnose"),
    "weights": ('{"command": "weigh", "format": 1}', "holds weights of shiftfix weigh, of which no page is made"),
    "another version": ('{"command": "correct", "format": 99}', "format 99, this one reads 1"),
    "no files": (json.dumps({**RECORD, "digest": "0"}), "was changed since it was written"),
}


@pytest.mark.parametrize("case", BAD_RECORDS)
def test_a_report_of_what_is_no_record(tmp_path, case):
    content, fragment = BAD_RECORDS[case]
    path = tmp_path / "found.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    before = sorted(tmp_path.iterdir())
    assert fragment in run("report", path, code=3).stderr
    assert sorted(tmp_path.iterdir()) == before
    if content is not None:
        path.rename(tmp_path / "summary.json")
        assert fragment in run("report", tmp_path, code=3).stderr


def test_a_sealed_record_is_opened_and_gets_one_file_more(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    seal(tmp_path, RECORD)
    assert read_record(tmp_path / "summary.json") == RECORD
    assert unsealed(RECORD, "it") == RECORD
    for content in ("first", "second"):
        put_into_results(tmp_path, "report.html", content)
        assert (tmp_path / "report.html").read_text() == content
        assert foreign_files(tmp_path) == []
    files = json.loads((tmp_path / "summary.json").read_text())["files"]
    assert files["report.html"] == hashlib.sha256(b"second").hexdigest()
    (tmp_path / "report.html").write_text("third")
    with pytest.raises(OutputError, match="was changed since"):
        put_into_results(tmp_path, "report.html", "fourth")
    with pytest.raises(InputError, match="it was changed since"):
        unsealed({**RECORD, "files": {}, "digest": "1" * 64}, "it")


# Without what makes pages --------------------------------------------------------------------------


@pytest.fixture
def no_jinja2(monkeypatch):
    monkeypatch.setattr(_page, "makes_pages", lambda: False)
    monkeypatch.setattr("shiftfix.cli._runs.makes_pages", lambda: False)

    import_optional = _setting_checks.import_optional

    def refuse(module, extra):
        if module != "jinja2":
            return import_optional(module, extra)
        raise MissingDependencyError(f'{module} is not installed: pip install "shiftfix[{extra}]".')

    monkeypatch.setattr("shiftfix._setting_checks.import_optional", refuse)


def test_a_page_that_was_asked_for_needs_jinja2(no_jinja2, tmp_path):
    paths = save(tmp_path, *(pd.DataFrame({"x": np.arange(40) / 7, "y": ["no", "yes"] * 20}) for _ in range(2)))
    before = sorted(tmp_path.iterdir())
    for arguments in (["diagnose", *paths, *QUICK, "--html", tmp_path / "f.html"], ["report", tmp_path]):
        result = run(*arguments, code=2)
        assert 'jinja2 is not installed: pip install "shiftfix[cli]"' in result.stderr
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.slow
def test_results_without_jinja2_have_no_page_and_say_so(no_jinja2, made):
    folder, paths, record = made
    result = run("correct", *paths, *QUICK, "--out", folder / "plain")
    assert "notice: report.html was left out: jinja2" in result.stdout
    written = json.loads((folder / "plain" / "summary.json").read_text(encoding="utf-8"))
    assert set(written["files"]) == {*FILES} - {"summary.json", "report.html"}
    assert written["notices"] == [*record["notices"], _page.LEFT_OUT]


# Exit codes ----------------------------------------------------------------------------------------

OUTCOMES = {
    "nothing moved": ({"diagnosis": {"correction": "none", "moved": False, "verdict": "ok"}}, 0),
    "too few rows to see": ({"diagnosis": {"correction": "none", "moved": False, "verdict": "caution"}}, 0),
    "moved, nothing supported": ({"diagnosis": {"correction": "none", "moved": True, "verdict": "caution"}}, 4),
    "no overlap": ({"diagnosis": {"correction": "none", "moved": True, "verdict": "abstain"}}, 4),
    "weights": ({"diagnosis": {"correction": "weights", "moved": True, "verdict": "caution"}}, 6),
    "labels": ({"diagnosis": {"correction": "labels", "moved": False, "verdict": "ok"}}, 6),
    "assumed, corrected": ({"verdict": "caution", "corrected": True}, 6),
    "assumed, no need": ({"verdict": "ok", "corrected": False}, 0),
    "assumed, refused": ({"verdict": "abstain", "corrected": False}, 4),
    "assumed, forced": ({"verdict": "abstain", "corrected": True}, 4),
}


@pytest.mark.parametrize("case", OUTCOMES)
def test_the_code_says_what_was_found(case):
    record, code = OUTCOMES[case]
    assert outcome_code(record) == code


def test_the_code_of_weights():
    assert [weights_code({"verdict": level}) for level in ("ok", "caution", "abstain")] == [0, 0, 4]


@pytest.mark.parametrize("command", ["diagnose", "correct", "weigh"])
def test_the_help_tells_every_code(command):
    words = " ".join(run(command, "--help").stdout.split())
    for code in (0, 1, 2, 3, 4, 5, 6):
        assert f"{code} " in words.split("Exit codes:")[1]
    assert "--exit-code" in words


@pytest.mark.parametrize("command", ["diagnose", "correct", "predict", "weigh", "report"])
def test_the_place_of_the_results_has_a_short_name(command):
    assert "-o, --out " in run(command, "--help").stdout


# What is printed where -----------------------------------------------------------------------------


@pytest.mark.slow
def test_one_thing_is_printed_at_a_time(made):
    _, paths, _ = made
    both = run("diagnose", *paths, *QUICK, "--json", "--html", "-", code=2)
    assert "both to be printed" in both.stderr
    page = run("diagnose", *paths, *QUICK, "--html", "-").stdout
    assert page.lower().startswith("<!doctype html>")
    assert page.rstrip().endswith("</html>")


def test_two_files_of_one_name_are_refused(tmp_path):
    paths = save(tmp_path, *(pd.DataFrame({"x": np.arange(40) / 7, "y": ["no", "yes"] * 20}) for _ in range(2)))
    same = ["--out", tmp_path / "f", "--html", tmp_path / "f"]
    assert "--out and --html are both" in run("diagnose", *paths, *QUICK, *same, code=2).stderr
    (tmp_path / "f").write_text("mine")
    for option in ("--out", "--html"):
        result = run("diagnose", *paths, *QUICK, option, tmp_path / "f", code=5)
        assert f"{option} {tmp_path / 'f'} exists: name another file, or pass --overwrite" in result.stderr
    assert (tmp_path / "f").read_text() == "mine"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_and_pages_are_whole_in_every_encoding(monkeypatch, encoding):
    """Escapes of JSON and of HTML, not Python's, which neither of the two has."""
    record, page = {"ärzte": "Ω \udcff \u2028", "n": 1.5}, "<p>Ärzte 😀</p>"
    printed = io.BytesIO()
    stream = io.TextIOWrapper(printed, encoding=encoding, errors="backslashreplace")
    monkeypatch.setattr("sys.stdout", stream)
    print_record(record)
    stream.flush()
    assert json.loads(printed.getvalue().decode(encoding)) == record
    printed.truncate(0)
    printed.seek(0)
    print_page(page)
    stream.flush()
    assert html.unescape(printed.getvalue().decode(encoding)) == page
