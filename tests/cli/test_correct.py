"""``shiftfix correct``: the true answer first, then what the files hold, then what may be left on disk."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from typer.testing import CliRunner

from shiftfix import load_model
from shiftfix.cli._app import app
from shiftfix.cli._output import FILES
from shiftfix.simulate import gaussian_covariate_shift

SMALL_MLP = ["--hidden", "16", "--epochs", "5"]


def run(*arguments):
    return CliRunner().invoke(app, ["correct", *map(str, arguments)])


def correct(source, target, out, *arguments, label="y"):
    """Run the command on two frames or paths; fail with its message unless it succeeds."""
    paths = []
    for name, frame in [("source", source), ("target", target)]:
        path = out.parent / f"{out.name}_{name}.csv"
        if isinstance(frame, pd.DataFrame):
            frame.to_csv(path, index=False)
        paths.append(path if isinstance(frame, pd.DataFrame) else frame)
    result = run(*paths, "--label", label, "--out", out, *arguments)
    assert result.exit_code == 0, result.stderr
    return result


def read(out, name):
    if name.endswith(".json"):
        return json.loads((out / name).read_text())
    return pd.read_csv(out / name)


def covariate_problem(n=3000, seed=0):
    problem = gaussian_covariate_shift(n, n, conditional="logistic", random_state=seed)
    names = [f"x{k}" for k in range(problem.X_source.shape[1])]
    source = pd.DataFrame(problem.X_source, columns=names).assign(y=problem.y_source)
    return problem, source, pd.DataFrame(problem.X_target, columns=names)


def label_problem(n=2000, share=0.9, seed=0):
    """Two normal classes 2 apart, half and half in the source; "b" has the given share of the target."""
    rng = np.random.default_rng(seed)

    def sample(p):
        is_b = rng.random(n) < p
        return pd.DataFrame({"x0": rng.normal(2.0 * is_b), "x1": rng.normal(size=n), "y": np.where(is_b, "b", "a")})

    return sample(0.5), sample(share)


def mixed_frames(n=300, seed=0):
    """Numbers, text, a flag and missing values in both samples."""
    rng = np.random.default_rng(seed)

    def sample(shift):
        age = rng.normal(50 + shift, 10, n).round(1)
        frame = pd.DataFrame(
            {
                "age": age,
                "dose": np.where(rng.random(n) < 0.2, np.nan, rng.exponential(size=n)),
                "ward": rng.choice(["north", "south", None], n, p=[0.5, 0.4, 0.1]),
                "smoker": rng.random(n) < 0.3,
            }
        )
        return frame.assign(y=np.where(rng.logistic(size=n) < (age - 50) / 5, "ill", "well"))

    return sample(0), sample(5)


# The true answer ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_covariate_weights_follow_the_true_ones(tmp_path, seed):
    """Linear log odds are exact here. A right program reaches 0.98 or more; the inverse ratio gives -1."""
    problem, source, target = covariate_problem(seed=seed)
    correct(source, target, tmp_path / "out", "--shift", "covariate", "--learner", "logistic", "--exponent", "1")
    weights = read(tmp_path / "out", "weights.csv")
    assert list(weights.columns) == ["row", "weight"]
    correlation = np.corrcoef(np.log(weights["weight"]), np.log(problem.source_weights))[0, 1]
    assert correlation >= 0.95
    assert weights["weight"].mean() == pytest.approx(1, abs=1e-9)
    summary = read(tmp_path / "out", "summary.json")
    assert summary["corrected"]
    assert summary["weights"]["n_source"] == len(source)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "correction"), [(0, "adjust"), (1, "retrain")])
def test_predicted_classes_move_towards_the_true_shares(tmp_path, correction, seed):
    """The share of "b" is 0.9; standard error of its estimate about 0.015, allowed 0.06."""
    source, target = label_problem(seed=seed)
    options = ["--shift", "label", "--learner", "logistic", "--correction", correction]
    correct(source, target, tmp_path / "out", *options)
    summary = read(tmp_path / "out", "summary.json")
    share = {prior["class"]: prior for prior in summary["priors"]}["b"]
    assert share["target"] == pytest.approx(0.9, abs=0.06)
    assert share["low"] < share["target"] < share["high"]
    score = summary["target_score"]
    assert score["corrected"] > score["uncorrected"] + 0.02
    predicted = (read(tmp_path / "out", "predictions.csv")["prediction"] == "b").mean()
    # The plain model of two balanced classes at distance 2 calls 16% of "b" by the wrong name.
    assert predicted > 0.9 * 0.86 + 0.1 * 0.16
    weights = read(tmp_path / "out", "weights.csv")["weight"]
    by_class = weights.groupby(source["y"].to_numpy()).agg(["min", "max"])
    assert_allclose(by_class["min"], by_class["max"])
    assert by_class.loc["b", "min"] == pytest.approx(share["target"] / share["source"])


@pytest.mark.slow
def test_weight_two_is_the_row_twice(tmp_path):
    _, source, target = covariate_problem(n=300)
    counts = np.random.default_rng(1).integers(0, 3, len(source))
    options = ["--shift", "covariate", "--learner", "logistic", "--exponent", "1"]
    correct(source.assign(n=counts), target, tmp_path / "weighted", *options, "--weight", "n")
    correct(source.loc[np.repeat(source.index, counts)], target, tmp_path / "repeated", *options)
    weighted = read(tmp_path / "weighted", "weights.csv")
    repeated = read(tmp_path / "repeated", "weights.csv")
    assert_allclose(np.repeat(weighted["weight"], counts), repeated["weight"], rtol=1e-4)
    assert_allclose(weighted["total_weight"], weighted["weight"] * counts)


@pytest.mark.slow
def test_regression_follows_the_target(tmp_path):
    """E[y given x] = x^2: a line fitted to weighted rows near 1.5 has slope near 3, unweighted near 0."""
    rng = np.random.default_rng(0)
    x, x_target = rng.normal(0, 1, 4000), rng.normal(1.5, 0.7, 2000)
    source = pd.DataFrame({"x": x, "x2": x**2, "y": x**2 + rng.normal(0, 0.1, 4000)})
    target = pd.DataFrame({"x": x_target, "x2": x_target**2, "y": x_target**2})
    for name, options in [("both", []), ("one", ["--drop", "x2"])]:
        correct(source, target, tmp_path / name, "--shift", "covariate", "--learner", "linear", *options)
    score = read(tmp_path / "one", "summary.json")["target_score"]
    assert score["metric"] == "root mean squared error"
    assert score["corrected"] < 0.8 * score["uncorrected"]
    assert read(tmp_path / "one", "summary.json")["task"] == "regression"
    assert list(read(tmp_path / "one", "predictions.csv").columns) == ["row", "prediction"]
    assert_allclose(read(tmp_path / "both", "predictions.csv")["prediction"], target["y"], atol=0.1)


# What the files hold -----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("shift", ["covariate", "label"])
def test_the_same_seed_gives_the_same_bytes(tmp_path, shift):
    source, target = mixed_frames()
    for name in ("first", "second"):
        correct(source, target, tmp_path / name, "--shift", shift, "--seed", "3", *SMALL_MLP)
    correct(source, target, tmp_path / "other", "--shift", shift, "--seed", "4", *SMALL_MLP)
    for name in ("predictions.csv", "weights.csv"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    name = "predictions.csv"
    assert (tmp_path / "first" / name).read_bytes() != (tmp_path / "other" / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("learner", ["mlp", "logistic", "forest", "boosting"])
@pytest.mark.parametrize("shift", ["covariate", "label"])
def test_the_reloaded_model_repeats_the_predictions(tmp_path, shift, learner):
    source, target = mixed_frames()
    options = ["--shift", shift, "--learner", learner, *(SMALL_MLP if learner == "mlp" else [])]
    options += ["--exponent", "1"] if shift == "covariate" else []
    correct(source, target, tmp_path / "out", *options)
    model = load_model(tmp_path / "out" / "model.skops")
    predictions = read(tmp_path / "out", "predictions.csv")
    # Raw columns in another order, with one that was never there.
    raw = target[["smoker", "ward", "dose", "age"]].assign(extra=1)
    assert_array_equal(model.predict(raw), predictions["prediction"])
    probabilities = predictions[["probability_ill", "probability_well"]]
    assert_allclose(model.predict_proba(raw), probabilities, rtol=1e-12)
    assert_allclose(probabilities.sum(axis=1), 1)
    assert_array_equal(predictions["row"], np.arange(len(target)))


def test_the_folder_holds_the_five_files_and_the_summary_what_was_done(tmp_path):
    source, target = mixed_frames()
    arguments = ["--shift", "covariate", "--learner", "logistic", "--clip", "5", "--seed", "7"]
    result = correct(source, target, tmp_path / "out", *arguments)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(FILES)
    summary = read(tmp_path / "out", "summary.json")
    assert summary["verdict"] in result.stdout
    assert summary["columns"]["numeric"] == ["age", "dose"]
    assert summary["columns"]["text"] == ["ward", "smoker"]
    assert summary["options"]["clip"] == 5
    assert summary["options"]["seed"] == 7
    assert set(summary["versions"]) >= {"shiftfix", "scikit-learn", "torch"}
    assert "notice: the target's label column 'y' is not used for fitting" in result.stdout
    assert set(summary["target_score"]) == {"metric", "uncorrected", "corrected"}
    text = (tmp_path / "out" / "summary.txt").read_text()
    assert summary["source"]["sha256"] in text
    assert re.search(rf"^verdict +{summary['verdict']}$", text, re.MULTILINE)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
def test_target_labels_change_nothing_but_the_score(tmp_path):
    source, target = mixed_frames()
    options = ["--shift", "label", *SMALL_MLP]
    correct(source, target, tmp_path / "with", *options)
    correct(source, target.drop(columns="y"), tmp_path / "without", *options)
    correct(source, target.assign(y=[None, *target["y"][1:]]), tmp_path / "partly", *options)
    for name in ("predictions.csv", "weights.csv"):
        expected = (tmp_path / "with" / name).read_bytes()
        assert (tmp_path / "without" / name).read_bytes() == expected
        assert (tmp_path / "partly" / name).read_bytes() == expected
    assert read(tmp_path / "without", "summary.json")["target_score"] is None
    assert read(tmp_path / "partly", "summary.json")["target_score"] is None


@pytest.mark.slow
def test_csv_gzip_and_parquet_are_the_same_data(tmp_path):
    source, target = mixed_frames()
    source.to_parquet(tmp_path / "s.parquet")
    target.drop(columns="y").to_csv(tmp_path / "t.csv.gz", index=False)
    options = ["--shift", "covariate", "--learner", "logistic", "--exponent", "1"]
    correct(source, target, tmp_path / "csv", *options)
    correct(tmp_path / "s.parquet", tmp_path / "t.csv.gz", tmp_path / "other", *options)
    # pandas reads a text number within one unit in the last place.
    for name, column in [("weights.csv", "weight"), ("predictions.csv", "probability_ill")]:
        assert_allclose(read(tmp_path / "csv", name)[column], read(tmp_path / "other", name)[column], rtol=1e-9)


@pytest.mark.slow
def test_whole_numbers_with_few_values_are_classes_and_stay_whole(tmp_path):
    source, target = mixed_frames()
    numbered = source.assign(y=np.where(source["y"] == "ill", 3.0, 7.0))
    correct(numbered, target, tmp_path / "out", "--shift", "label", "--learner", "logistic")
    predictions = (tmp_path / "out" / "predictions.csv").read_text()
    assert predictions.startswith("row,prediction,probability_3,probability_7\n")
    assert read(tmp_path / "out", "predictions.csv")["prediction"].isin([3, 7]).all()


@pytest.mark.slow
def test_an_unseen_category_can_be_ignored(tmp_path):
    source, target = mixed_frames()
    target.loc[0, "ward"] = "west"
    options = ["--shift", "covariate", "--learner", "logistic", "--unseen-category", "ignore"]
    result = correct(source, target, tmp_path / "out", *options)
    assert "column 'ward': the values 'west' are in 1 target rows" in " ".join(result.stdout.split())


@pytest.mark.slow
def test_values_missing_only_in_the_target_are_filled_in_and_noticed(tmp_path):
    source, target = mixed_frames()
    target.loc[:9, "age"] = np.nan
    result = correct(source, target, tmp_path / "out", "--shift", "covariate", "--learner", "logistic")
    assert "column 'age' is missing in 10 target rows" in " ".join(result.stdout.split())


# No overlap, no answer ---------------------------------------------------------------------------


def far_apart():
    _, source, target = covariate_problem(n=500)
    return source, target + 8


def test_without_overlap_the_model_stays_uncorrected_and_says_so(tmp_path):
    result = correct(*far_apart(), tmp_path / "out", "--shift", "covariate", "--learner", "logistic")
    assert "abstain" in result.stdout
    assert (read(tmp_path / "out", "weights.csv")["weight"] == 1).all()
    assert not read(tmp_path / "out", "summary.json")["corrected"]


@pytest.mark.slow
def test_without_overlap_weights_can_be_forced(tmp_path):
    options = ["--shift", "covariate", "--learner", "logistic", "--on-abstain", "correct"]
    correct(*far_apart(), tmp_path / "out", *options)
    summary = read(tmp_path / "out", "summary.json")
    assert summary["verdict"] == "abstain"
    assert summary["corrected"]
    assert read(tmp_path / "out", "weights.csv")["weight"].nunique() > 1


@pytest.mark.slow
def test_useless_scores_leave_the_model_uncorrected(tmp_path):
    rng = np.random.default_rng(0)
    source = pd.DataFrame({"x": rng.normal(size=60), "y": ["a", "b"] * 30})
    target = pd.DataFrame({"x": rng.normal(size=60)})
    correct(source, target, tmp_path / "out", "--shift", "label", "--learner", "logistic")
    summary = read(tmp_path / "out", "summary.json")
    assert summary["verdict"] == "abstain"
    assert not summary["corrected"]
    assert (read(tmp_path / "out", "weights.csv")["weight"] == 1).all()


@pytest.mark.slow
def test_a_target_that_did_not_move_is_told_as_such(tmp_path):
    source, target = label_problem(n=300, share=0.5)
    options = ["--shift", "label", "--learner", "logistic", "--on-abstain", "error"]
    correct(source, target, tmp_path / "out", *options)
    summary = read(tmp_path / "out", "summary.json")
    assert (summary["verdict"], summary["corrected"]) == ("ok", False)
    assert "no shift was detected: the mean scores of source and target do not differ" in summary["reasons"][0]


# A correction has to earn its place --------------------------------------------------------------


@pytest.mark.slow
def test_weights_that_are_not_shown_to_help_are_left_out_and_told(tmp_path):
    """The logistic model is right, so that weights cost it precision and bring nothing."""
    _, source, target = covariate_problem(n=500)
    result = correct(source, target, tmp_path / "out", "--shift", "covariate", "--learner", "logistic")
    summary = read(tmp_path / "out", "summary.json")
    assert (summary["verdict"], summary["corrected"], summary["options"]["exponent"]) == ("ok", False, "cv")
    assert "weights are not shown to help this model" in summary["reasons"][0]
    assert (read(tmp_path / "out", "weights.csv")["weight"] == 1).all()
    text = " ".join((tmp_path / "out" / "summary.txt").read_text(encoding="utf-8").split())
    for told in (text, " ".join(result.stdout.split())):
        assert "because weights are not shown to help this model" in told
        assert "corrected nothing: no weights are needed" in told
    correct(source, target, tmp_path / "half", "--shift", "covariate", "--learner", "logistic", "--exponent", ".5")
    summary = read(tmp_path / "half", "summary.json")
    assert (summary["verdict"], summary["corrected"], summary["options"]["exponent"]) == ("caution", True, 0.5)
    assert "whether the weights help this model was not asked" in summary["reasons"]


def something_else():
    """Class shares moved, and a column that has nothing to do with them by far more."""
    source, target = label_problem(n=400, share=0.8)
    rng = np.random.default_rng(0)
    return tuple(frame.assign(z=rng.normal(4 * i, 2, len(frame))) for i, frame in enumerate((source, target)))


@pytest.mark.slow
def test_label_shift_that_is_not_what_moved_is_left_alone_and_told(tmp_path):
    options = ["--shift", "label", "--learner", "logistic"]
    result = correct(*something_else(), tmp_path / "out", *options)
    summary = read(tmp_path / "out", "summary.json")
    assert (summary["verdict"], summary["corrected"]) == ("abstain", False)
    assert (read(tmp_path / "out", "weights.csv")["weight"] == 1).all()
    text = " ".join((tmp_path / "out" / "summary.txt").read_text(encoding="utf-8").split())
    for told in (text, " ".join(result.stdout.split())):
        assert f"because {summary['reasons'][0]}" in told
        assert "corrected nothing: the source's class shares were kept" in told
        assert "label shift is not what moved, and nothing was corrected; --drop columns that name the samples" in told
        assert "--causes label" in told
    for prior in summary["priors"]:
        assert prior["low"] < prior["source"] < prior["high"]
    correct(*something_else(), tmp_path / "known", *options, "--causes", "label")
    summary = read(tmp_path / "known", "summary.json")
    assert (summary["verdict"], summary["corrected"], summary["options"]["causes"]) == ("caution", True, "label")
    assert "--causes" not in " ".join(summary["notices"])


def test_classes_that_cannot_be_told_apart_leave_the_model_uncorrected(tmp_path):
    source = pd.DataFrame({"x": np.zeros(60), "y": ["a", "b"] * 30})
    correct(source, source[["x"]], tmp_path / "out", "--shift", "label", "--learner", "logistic")
    summary = read(tmp_path / "out", "summary.json")
    assert summary["verdict"] == "abstain"
    assert "do not tell apart" in summary["reasons"][0]
    assert [prior["low"] for prior in summary["priors"]] == [None, None]


# What is left on disk ----------------------------------------------------------------------------


@pytest.fixture
def written(tmp_path):
    """Files, and a folder with an earlier result."""
    source, target = mixed_frames()
    correct(source, target, tmp_path / "out", "--shift", "covariate", "--learner", "logistic")
    base = [tmp_path / "out_source.csv", tmp_path / "out_target.csv", "--label", "y", "--shift", "covariate"]
    return tmp_path, [*base, "--learner", "logistic"]


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_result_is_replaced_only_when_asked(written):
    folder, base = written
    before = contents(folder)
    result = run(*base, "--out", folder / "out", "--seed", "1")
    assert result.exit_code == 5
    assert "not empty" in result.stderr
    assert contents(folder) == before
    assert run(*base, "--out", folder / "out", "--seed", "1", "--overwrite", "--quiet").exit_code == 0
    assert read(folder / "out", "summary.json")["options"]["seed"] == 1
    assert set(contents(folder)) == set(before)


@pytest.mark.slow
@pytest.mark.parametrize(
    "step", ["shiftfix.save_model", "shiftfix.cli._correct.write_text_file", "shiftfix.cli._safe_csv.csv_text"]
)
def test_a_failure_while_writing_leaves_what_was_there(written, monkeypatch, step):
    folder, base = written
    before = contents(folder)

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(step, full)
    for out in ("out", "new"):
        result = run(*base, "--out", folder / out, "--overwrite")
        assert result.exit_code == 5
        assert "No space left on device" in result.stderr
    assert contents(folder) == before
    assert not (folder / "new").exists()


@pytest.mark.slow
def test_overwrite_never_removes_other_files(written):
    folder, base = written
    (folder / "out" / "thesis.txt").write_text("years of work")
    before = contents(folder)
    result = run(*base, "--out", folder / "out", "--overwrite")
    assert result.exit_code == 5
    assert "thesis.txt" in result.stderr
    assert contents(folder) == before


@pytest.mark.slow
def test_an_empty_folder_and_quiet(written):
    folder, base = written
    (folder / "empty").mkdir()
    result = run(*base, "--out", folder / "empty", "--quiet")
    assert result.exit_code == 0
    assert result.output == ""
    assert sorted(path.name for path in (folder / "empty").iterdir()) == sorted(FILES)
