"""Every input that cannot be used: exit code, what the message says, and nothing left on disk."""

import gzip

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from shiftfix.cli._app import app
from shiftfix.cli._exit import InputError

COVARIATE = ["--shift", "covariate"]
LABEL = ["--shift", "label"]
LOGISTIC = ["--learner", "logistic"]


def good(n=40):
    rng = np.random.default_rng(0)
    source = pd.DataFrame({"a": rng.normal(size=n), "b": rng.choice(["red", "blue"], n), "y": ["no", "yes"] * (n // 2)})
    return source, source.drop(columns="y").sample(frac=1, random_state=0)


def change(which, edit):
    """A case that edits one of two good frames."""

    def write(folder):
        source, target = good()
        source, target = (edit(source), target) if which == "source" else (source, edit(target))
        source.to_csv(folder / "s.csv", index=False)
        target.to_csv(folder / "t.csv", index=False)
        return folder / "s.csv", folder / "t.csv"

    return write


def unchanged(folder):
    return change("source", lambda frame: frame)(folder)


def put(name, content, which="source"):
    """A case that writes a file of its own in place of the source or the target."""

    def write(folder):
        source, target = unchanged(folder)
        path = folder / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            path.write_text(content)
        return (path, target) if which == "source" else (source, path)

    return write


def cell(column, value, rows=(0,)):
    def edit(frame):
        frame = frame.reset_index(drop=True)
        frame[column] = frame[column].astype(object)
        frame.loc[list(rows), column] = value
        return frame

    return edit


def parquet(edit):
    def write(folder):
        source, target = good()
        edit(source).to_parquet(folder / "s.parquet")
        target.to_csv(folder / "t.csv", index=False)
        return folder / "s.parquet", folder / "t.csv"

    return write


def far_apart(folder):
    rng = np.random.default_rng(0)
    pd.DataFrame({"a": rng.normal(size=200), "y": ["no", "yes"] * 100}).to_csv(folder / "s.csv", index=False)
    pd.DataFrame({"a": rng.normal(9, 1, size=200)}).to_csv(folder / "t.csv", index=False)
    return folder / "s.csv", folder / "t.csv"


def same_scores(folder):
    """Rows that tell nothing about the class: every class gets the same mean score."""
    pd.DataFrame({"a": [0.0] * 40, "y": ["no", "yes"] * 20}).to_csv(folder / "s.csv", index=False)
    pd.DataFrame({"a": [0.0] * 40}).to_csv(folder / "t.csv", index=False)
    return folder / "s.csv", folder / "t.csv"


def something_else(folder):
    """The classes tell one column apart, their shares moved, and the other column moved by far more."""
    rng = np.random.default_rng(0)
    for name, share, move in (("s", 0.5, 0), ("t", 0.8, 2)):
        ill = rng.random(400) < share
        columns = {"a": rng.normal(2 * ill, 1), "b": rng.normal(move, 1, 400), "y": np.where(ill, "yes", "no")}
        pd.DataFrame(columns).to_csv(folder / f"{name}.csv", index=False)
    return folder / "s.csv", folder / "t.csv"


def add(name, values):
    return lambda frame: frame.assign(**{name: values})


CASES = {
    # 2: usage
    "unknown shift": (unchanged, ["--shift", "concept"], 2, "concept"),
    "unknown learner": (unchanged, [*COVARIATE, "--learner", "svm"], 2, "svm"),
    "bad clip": (unchanged, [*COVARIATE, "--clip", "-1"], 2, "--clip -1"),
    "worded clip": (unchanged, [*COVARIATE, "--clip", "big"], 2, "or a number > 0 is needed"),
    "clip, label shift": (unchanged, [*LABEL, "--clip", "3"], 2, "--clip is for --shift covariate"),
    "correction": (unchanged, [*COVARIATE, "--correction", "retrain"], 2, "--correction is for --shift label"),
    "hidden, forest": (unchanged, [*COVARIATE, "--learner", "forest", "--hidden", "8"], 2, "--hidden is for"),
    "hidden": (unchanged, [*COVARIATE, "--hidden", "8,x"], 2, "--hidden 8,x"),
    "exponent": (unchanged, [*COVARIATE, "--exponent", "2"], 2, "--exponent 2"),
    "worded exponent": (unchanged, [*COVARIATE, "--exponent", "nan"], 2, '"cv" or a number from 0 to 1 is needed'),
    "exponent, label shift": (unchanged, [*LABEL, "--exponent", "1"], 2, "--exponent is for --shift covariate"),
    "causes, covariate shift": (unchanged, [*COVARIATE, "--causes", "label"], 2, "--causes is for --shift label"),
    "forced prior": (unchanged, [*LABEL, "--on-abstain", "correct"], 2, "--on-abstain correct"),
    "label regression": (unchanged, [*LABEL, "--task", "regression"], 2, "--shift covariate"),
    "clip, auto": (unchanged, ["--clip", "big"], 2, "or a number > 0 is needed"),
    "exponent, auto": (unchanged, ["--exponent", "1"], 2, "--exponent is for --shift covariate, and --shift is auto"),
    "correction, auto": (unchanged, ["--correction", "adjust"], 2, "--correction is for --shift label"),
    "forced, auto": (unchanged, ["--on-abstain", "correct"], 2, "nothing is corrected beyond the evidence"),
    "causes of label shift": (unchanged, [*LABEL, "--causes", "features"], 2, "pass --shift auto or covariate"),
    "linear for classes": (unchanged, [*COVARIATE, "--learner", "linear"], 2, "pass --learner logistic"),
    "two roles": (unchanged, [*COVARIATE, "--weight", "y"], 2, "more than one role"),
    "negative seed": (unchanged, [*COVARIATE, "--seed", "-1"], 2, "--seed"),
    # 3: files
    "missing file": (put("nowhere.csv", None), COVARIATE, 3, "does not exist"),
    "folder": (lambda folder: (folder, unchanged(folder)[1]), COVARIATE, 3, "is a folder"),
    "other kind": (put("s.xlsx", "x"), COVARIATE, 3, "save it as CSV or Parquet"),
    "empty file": (put("e.csv", ""), COVARIATE, 3, "is empty"),
    "header only": (put("h.csv", "a,b,y\n"), COVARIATE, 3, "no rows"),
    "target without rows": (put("h.csv", "a,b\n", "target"), COVARIATE, 3, "the target file"),
    "not gzip": (put("s.csv.gz", b"plain"), COVARIATE, 3, "cannot be read as CSV"),
    "cut gzip": (put("s.csv.gz", gzip.compress(b"a,b,y\n" * 99)[:-9]), COVARIATE, 3, "cannot be read as CSV"),
    "not text": (put("s.csv", b"\xff\xfe\x00\x01,\x92\n"), COVARIATE, 3, "UTF-8"),
    "not parquet": (put("s.parquet", "x"), COVARIATE, 3, "cannot be read as Parquet"),
    "short line": (put("s.csv", "a,b,y\n1,2,no\n1,2\n"), COVARIATE, 3, "2 fields in line 3 and 3 in its header"),
    "long line": (put("s.csv", "a,b,y\n1,2,no,4\n"), COVARIATE, 3, "4 fields in line 2"),
    "repeated name": (put("s.csv", "a,b,a,y\n1,2,3,no\n"), COVARIATE, 3, "'a' more than once"),
    "unnamed column": (put("s.csv", ",a,y\n0,1,no\n"), COVARIATE, 3, "no name for column 0"),
    # 3: columns
    "no label": (change("source", lambda f: f.drop(columns="y")), COVARIATE, 3, "--label y"),
    "no weight": (unchanged, [*COVARIATE, "--weight", "w"], 3, "--weight w"),
    "no drop": (unchanged, [*COVARIATE, "--drop", "q"], 3, "--drop q"),
    "no feature": (unchanged, [*COVARIATE, "--drop", "a", "--drop", "b"], 3, "at least one feature"),
    "target lacks": (change("target", lambda f: f.drop(columns="b")), COVARIATE, 3, "the target lacks 'b'"),
    "target adds": (change("target", add("z", 1)), COVARIATE, 3, "adds 'z'"),
    "renamed": (change("target", lambda f: f.rename(columns={"a": "A"})), COVARIATE, 3, "lacks 'a' and adds 'A'"),
    "empty column": (change("source", add("a", np.nan)), COVARIATE, 3, "'a' is empty in every source row"),
    "empty target column": (change("target", add("b", None)), COVARIATE, 3, "'b' is empty in every target row"),
    "text in numbers": (change("target", cell("a", "3 mg")), COVARIATE, 3, "numeric in the source and text"),
    "numbers for text": (change("target", add("b", 3)), COVARIATE, 3, "numeric in the target and text"),
    "infinite": (change("target", cell("a", np.inf, [1, 2])), COVARIATE, 3, "'a' is infinite in 2 target rows"),
    "unseen": (change("target", cell("b", "green")), COVARIATE, 3, "'b' has the values 'green' in 1 target"),
    "unseen, label": (change("target", cell("b", "green")), LABEL, 3, "--unseen-category ignore"),
    "unseen missing": (change("target", cell("b", None)), COVARIATE, 3, "'(missing)'"),
    "dates": (parquet(add("a", pd.Timestamp("2020-01-01"))), COVARIATE, 3, "--dates days"),
    # 3: labels and weights
    "missing labels": (
        change("source", cell("y", None, [3, 5])),
        LABEL,
        3,
        "missing in 2 of 40 source rows (rows 3, 5",
    ),
    "no labels at all": (change("source", add("y", None)), LABEL, 3, "empty in every source row"),
    "one class": (change("source", add("y", "no")), LABEL, 3, "single value 'no'"),
    "one number": (change("source", add("y", 1.5)), COVARIATE, 3, "single value 1.5"),
    "continuous": (change("source", add("y", np.arange(40) / 7)), LABEL, 3, "label shift is about classes"),
    "many numbers": (change("source", add("y", range(40))), LABEL, 3, "pass --task classification"),
    "decimals": (
        change("source", add("y", np.arange(40) / 7)),
        [*COVARIATE, "--task", "classification"],
        3,
        "pass --task regression",
    ),
    "text regression": (unchanged, [*COVARIATE, "--task", "regression"], 3, "holds text"),
    "infinite label": (change("source", add("y", [np.inf, *range(39)])), COVARIATE, 3, "infinite in 1 source"),
    "rare class": (change("source", cell("y", "maybe")), [*LABEL, *LOGISTIC], 3, "a single row"),
    "text weight": (unchanged, [*COVARIATE, "--weight", "b"], 3, "one number >= 0 per source row"),
    "bad weight": (
        change("source", add("w", [-1.0, *np.ones(39)])),
        [*COVARIATE, "--weight", "w"],
        3,
        "missing, infinite or negative (rows 0",
    ),
    "zero weights": (change("source", add("w", 0)), [*COVARIATE, "--weight", "w"], 3, "every value is 0"),
    "identifier": (
        lambda folder: _identifiers(folder),
        COVARIATE,
        3,
        "1200 different values",
    ),
    # 4: the data do not support the correction
    "no overlap": (far_apart, [*COVARIATE, *LOGISTIC, "--on-abstain", "error"], 4, "data do not support weighting"),
    "another shift": (
        something_else,
        [*LABEL, *LOGISTIC, "--on-abstain", "error"],
        4,
        "Label shift is not what moved",
    ),
    "no prior": (same_scores, [*LABEL, *LOGISTIC, "--on-abstain", "error"], 4, "do not tell apart"),
}


def _identifiers(folder):
    names = [f"id{k}" for k in range(1200)]
    pd.DataFrame({"id": names, "y": ["no", "yes"] * 600}).to_csv(folder / "s.csv", index=False)
    pd.DataFrame({"id": names}).to_csv(folder / "t.csv", index=False)
    return folder / "s.csv", folder / "t.csv"


@pytest.mark.parametrize("case", CASES)
def test_the_message_says_what_and_nothing_is_left(tmp_path, case):
    write, options, exit_code, fragment = CASES[case]
    source, target = write(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    arguments = [source, target, "--label", "y", "--out", tmp_path / "out", *options]
    result = CliRunner().invoke(app, ["correct", *map(str, arguments)], env={"COLUMNS": "400"})
    assert result.exit_code == exit_code, result.output
    assert fragment in result.stderr
    assert "Traceback" not in result.output
    assert not (tmp_path / "out").exists()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("out", "fragment"), [("s.csv", "is a file"), ("nowhere/out", "make it first"), ("s.csv/out", "no folder")]
)
def test_a_folder_that_cannot_be_made(tmp_path, out, fragment):
    source, target = unchanged(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    arguments = [source, target, "--label", "y", "--out", tmp_path / out, *COVARIATE]
    result = CliRunner().invoke(app, ["correct", *map(str, arguments)])
    assert result.exit_code == 5
    assert fragment in result.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_debug_lets_the_error_through(tmp_path):
    arguments = [tmp_path / "no.csv", tmp_path / "no.csv", "--label", "y", "--out", tmp_path / "out", *COVARIATE]
    result = CliRunner().invoke(app, ["correct", *map(str, arguments), "--debug"])
    assert isinstance(result.exception, InputError)


def test_a_fault_of_ours_is_called_one(tmp_path, monkeypatch):
    def broken(*arguments, **options):
        raise KeyError("oops")

    monkeypatch.setattr("shiftfix.cli._correct.fit_encoder", broken)
    source, target = unchanged(tmp_path)
    arguments = [source, target, "--label", "y", "--out", tmp_path / "out", *COVARIATE]
    result = CliRunner().invoke(app, ["correct", *map(str, arguments)])
    assert result.exit_code == 1
    assert "unexpected KeyError" in result.stderr
    assert "--debug" in result.stderr
