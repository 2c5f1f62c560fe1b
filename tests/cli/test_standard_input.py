"""``-`` for standard input and output: the same results as of files, and messages that call it what the user did."""

import gzip
import io
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from shiftfix.cli._app import app
from shiftfix.cli._exit import InputError
from shiftfix.cli._standard_input import readable

COVARIATE = ["--label", "y", "--shift", "covariate", "--learner", "logistic"]


def run(*arguments, given=None, code=0):
    result = CliRunner().invoke(app, [*map(str, arguments)], input=given)
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stdin")
    rng = np.random.default_rng(0)
    x, x_target = rng.normal(size=(150, 2)), rng.normal(0.3, 1, size=(80, 2))
    source = pd.DataFrame(x, columns=["a", "b"]).assign(y=np.where(x[:, 0] + rng.normal(size=150) > 0, "yes", "no"))
    target = pd.DataFrame(x_target, columns=["a", "b"])
    source.to_csv(folder / "s.csv", index=False)
    target.to_csv(folder / "t.csv", index=False)
    run("correct", folder / "s.csv", folder / "t.csv", *COVARIATE, "--out", folder / "out")
    return folder, target


def as_csv(target):
    return target.to_csv(index=False).encode()


def as_gzip(target):
    return gzip.compress(as_csv(target))


def as_semicolons(target):
    return target.to_csv(index=False, sep=";", decimal=",").encode("utf-8-sig")


def as_parquet(target):
    buffer = io.BytesIO()
    target.to_parquet(buffer, index=False)
    return buffer.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("form", [as_csv, as_gzip, as_semicolons, as_parquet], ids=lambda form: form.__name__)
def test_rows_from_standard_input_are_predicted_as_from_a_file(fitted, form):
    folder, target = fitted
    model = folder / "out" / "model.skops"
    expected = run("predict", model, folder / "t.csv").stdout
    before = set(os.listdir(os.environ.get("TMPDIR", "/tmp")))
    assert run("predict", model, "-", given=form(target)).stdout == expected
    assert run("predict", model, "-", "--out", "-", given=form(target)).stdout == expected
    left = set(os.listdir(os.environ.get("TMPDIR", "/tmp"))) - before
    assert not [name for name in left if name.startswith("shiftfix-")]


@pytest.mark.slow
def test_a_sample_from_standard_input_is_told_as_it_was_given(fitted):
    folder, _ = fitted
    given = (folder / "s.csv").read_bytes()
    printed = run("weigh", "-", folder / "t.csv", "--label", "y", "--out", folder / "w", "--json", given=given).stdout
    record = json.loads(printed)
    plain = run("weigh", folder / "s.csv", folder / "t.csv", "--label", "y", "--out", folder / "w2", "--json").stdout
    assert record["source"] == json.loads(plain)["source"] | {"file": "-"}
    assert (folder / "w" / "weights.csv").read_bytes() == (folder / "w2" / "weights.csv").read_bytes()


def test_messages_call_it_by_the_name_it_was_given(tmp_path):
    (tmp_path / "t.csv").write_text("a\n1\n2\n")
    for given, fragment in [
        (b"", "the source file '-' is empty"),
        (b"a,b\n", "the source file '-' has a header and no rows"),
        (b"a,a\n1,2\n", "the source file '-' has the column names 'a' more than once"),
        (b"a\n\xff\xfe\n", "the source file '-' cannot be read as CSV"),
        (b"PAR1 and nothing else", "the source file '-' cannot be read as Parquet"),
    ]:
        result = run("weigh", "-", tmp_path / "t.csv", "--out", tmp_path / "out", given=given, code=3)
        assert fragment in result.stderr
        assert "standard-input" not in result.stderr
    assert os.listdir(tmp_path) == ["t.csv"]


def test_only_one_file_is_standard_input():
    result = run("weigh", "-", "-", "--out", "out", given=b"a\n1\n", code=2)
    assert "standard input, which - stands for, is one file only" in result.stderr


def test_no_room_for_standard_input(tmp_path, monkeypatch):
    def full(source, file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shiftfix.cli._standard_input.shutil.copyfileobj", full)
    (tmp_path / "t.csv").write_text("a\n1\n2\n")
    result = run("weigh", "-", tmp_path / "t.csv", "--out", tmp_path / "out", given=b"a\n1\n", code=3)
    assert "standard input cannot be read and kept in" in result.stderr
    assert "No space left on device" in result.stderr
    assert os.listdir(tmp_path) == ["t.csv"]


def test_standard_input_that_is_closed(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(InputError, match="standard input is closed"), readable(Path("-")):
        pass
