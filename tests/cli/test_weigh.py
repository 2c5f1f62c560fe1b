"""``shiftfix weigh``: the weights of ``correct`` and of the closed form, without labels; then what refuses what."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from shiftfix.cli._app import app
from shiftfix.cli._weigh_options import KERNELS
from shiftfix.simulate import gaussian_covariate_shift
from tests.cli.test_records import faults


def run(*arguments, code=0):
    result = CliRunner().invoke(app, ["weigh", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def shifted(tmp_path_factory):
    """Two Gaussians as CSV files, and the problem that they are of."""
    folder = tmp_path_factory.mktemp("weigh")
    problem = gaussian_covariate_shift(600, 400, conditional="logistic", random_state=0)
    names = [f"x{k}" for k in range(problem.X_source.shape[1])]
    source = pd.DataFrame(problem.X_source, columns=names)
    source.insert(0, "key", [f"row {k}" for k in range(len(source))])
    paths = folder / "s.csv", folder / "t.csv"
    source.assign(n=np.arange(600) % 3, y=problem.y_source).to_csv(paths[0], index=False)
    pd.DataFrame(problem.X_target, columns=names).to_csv(paths[1], index=False)
    return folder, paths, problem


SAME = ["--label", "y", "--id", "key", "--drop", "n"]


@pytest.mark.slow
def test_the_weights_are_those_of_correct_and_follow_the_true_ones(shifted):
    """Linear log odds are exact here: a right program reaches .98, the inverse ratio -1."""
    folder, paths, problem = shifted
    result = run(*paths, *SAME, "--out", folder / "w")
    assert sorted(path.name for path in (folder / "w").iterdir()) == ["summary.json", "summary.txt", "weights.csv"]
    found = pd.read_csv(folder / "w" / "weights.csv")
    assert list(found.columns) == ["row", "key", "weight"]
    assert np.corrcoef(np.log(found["weight"]), np.log(problem.source_weights))[0, 1] >= 0.95
    assert found["weight"].mean() == pytest.approx(1, abs=1e-9)
    corrects = ["correct", *map(str, paths), *SAME, "--shift", "covariate", "--learner", "logistic", "--exponent", "1"]
    corrected = CliRunner().invoke(app, [*corrects, "--out", str(folder / "c")])
    assert corrected.exit_code == 0, corrected.output
    assert (folder / "c" / "weights.csv").read_bytes() == (folder / "w" / "weights.csv").read_bytes()
    # No label has a part in it.
    changed = pd.read_csv(paths[0]).assign(y=1)
    changed.to_csv(folder / "changed.csv", index=False)
    run(folder / "changed.csv", paths[1], *SAME, "--out", folder / "w2")
    assert (folder / "w2" / "weights.csv").read_bytes() == (folder / "w" / "weights.csv").read_bytes()
    assert "LogisticWeighter" in result.stdout
    assert f"written: {folder / 'w'}" in result.stdout


@pytest.mark.slow
def test_the_record_is_as_the_schema_says_and_parquet_holds_the_same(shifted):
    folder, paths, _ = shifted
    options = [*paths, "--label", "y", "--id", "key", "--weight", "n"]
    printed = json.loads(run(*options, "--out", folder / "p", "--format", "parquet", "--json").stdout)
    written = json.loads((folder / "p" / "summary.json").read_text(encoding="utf-8"))
    assert faults(printed) == faults(written) == []
    assert {name: part for name, part in written.items() if name not in ("files", "digest")} == printed
    found = pd.read_parquet(folder / "p" / "weights.parquet")
    lines = run(*options, "--out", "-")
    pd.testing.assert_frame_equal(found, pd.read_csv(io.StringIO(lines.stdout)), check_dtype=False)
    assert "effective sample size" in lines.stderr
    np.testing.assert_allclose(found["total_weight"], found["weight"] * (np.arange(600) % 3))
    assert np.average(found["weight"], weights=np.arange(600) % 3) == pytest.approx(1, abs=1e-9)
    assert "written" not in lines.stderr


METHODS = {
    "logistic": ["--features", "auto", "--penalty", "cv"],
    "boosting": [],
    "ulsif": ["--bandwidth", "1.5"],
    "rulsif": ["--alpha", "0.2"],
    "kliep": ["--bandwidth", "2"],
    "kmm": ["--clip", "none"],
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_the_direction_of_the_shift(shifted, method):
    """The log weights rise with the true ones: a right program reaches .5, weights by chance are within .1 of 0."""
    _, paths, problem = shifted
    options = [*paths, *SAME, "--method", method, *METHODS[method], "--out", "-"]
    weights = pd.read_csv(io.StringIO(run(*options).stdout))["weight"]
    found = np.corrcoef(np.argsort(np.argsort(weights)), np.argsort(np.argsort(problem.source_weights)))[0, 1]
    assert found >= 0.5
    assert weights.min() >= 0


@pytest.mark.slow
def test_weights_that_are_no_use_have_a_code(tmp_path):
    rng = np.random.default_rng(0)
    for name, mean in (("s", 0), ("t", 9)):
        pd.DataFrame({"x": rng.normal(mean, 1, 100)}).to_csv(tmp_path / f"{name}.csv", index=False)
    paths = [tmp_path / "s.csv", tmp_path / "t.csv"]
    run(*paths, "--out", tmp_path / "a", "--exit-code", code=4)
    assert json.loads((tmp_path / "a" / "summary.json").read_text(encoding="utf-8"))["verdict"] == "abstain"
    assert run(*paths, "--out", tmp_path / "b", "--quiet").output == ""


CASES = {
    "unknown method": (["--method", "trees"], 2, "trees"),
    "penalty, kernels": (["--method", "kmm", "--penalty", "1"], 2, "--penalty is for --method logistic, and"),
    "features, boosting": (["--method", "boosting", "--features", "linear"], 2, "--features is for --method logistic"),
    "alpha, logistic": (["--alpha", "0.5"], 2, "--alpha is for --method rulsif, and --method is logistic"),
    "alpha": (["--method", "rulsif", "--alpha", "1"], 2, "--alpha"),
    "bandwidth, logistic": (["--bandwidth", "1"], 2, f"--bandwidth is for --method {' or '.join(KERNELS)}"),
    "bandwidth": (["--method", "ulsif", "--bandwidth", "wide"], 2, '--bandwidth wide: "auto" or a number > 0'),
    "penalty": (["--penalty", "-1"], 2, '--penalty -1: "cv" or a number > 0 is needed'),
    "infinite penalty": (["--penalty", "inf"], 2, '--penalty inf: "cv" or a number > 0 is needed'),
    "clip": (["--clip", "big"], 2, "--clip big"),
    "min-ess alone": (["--min-ess", "50"], 2, "--min-ess is what --clip ess reaches: pass --clip ess"),
    "a label that is not there": (["--label", "q"], 3, "--label q: the source has no such column"),
    "label left in": ([], 3, "A label is left out with --label."),
    "two roles": (["--label", "y", "--drop", "y"], 2, "more than one role"),
    "json and weights": (["--label", "y", "--out", "-", "--json"], 2, "--out - prints the weights as CSV"),
    "parquet to print": (["--label", "y", "--out", "-", "--format", "parquet"], 2, "--out - prints the weights as CSV"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_message_says_what_is_wrong_and_nothing_is_written(tmp_path, case):
    options, code, fragment = CASES[case]
    rows = pd.DataFrame({"x": np.arange(40) / 7, "y": ["no", "yes"] * 20})
    rows.to_csv(tmp_path / "s.csv", index=False)
    rows.drop(columns="y").to_csv(tmp_path / "t.csv", index=False)
    before = sorted(tmp_path.iterdir())
    out = [] if "--out" in options else ["--out", tmp_path / "out"]
    result = run(tmp_path / "s.csv", tmp_path / "t.csv", *out, *options, code=code)
    assert fragment in " ".join(result.stderr.split())
    assert sorted(tmp_path.iterdir()) == before


def test_everything_that_is_wrong_comes_at_once(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    paths = [tmp_path / "s.csv", tmp_path / "t.csv"]
    result = run(*paths, "--out", tmp_path / "out", "--alpha", "0.5", code=5)
    for words in ("4 things stand in the way", "is not empty", "--alpha is for", "source file", "target file"):
        assert words in result.stderr
