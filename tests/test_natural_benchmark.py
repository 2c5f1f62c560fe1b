"""The benchmark on natural splits: controls do what they say, no row is on both sides, labels stay unread.

Splits are read where their files and packages are; a made-up one stands in for them elsewhere.
"""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from scipy.stats import ks_2samp

from tests.benchmarks.natural import __main__ as command
from tests.benchmarks.natural import methods, problems, runs, splits
from tests.benchmarks.natural.controls import CONTROLS, Control, cells, deal, normal_ranks, target_log_odds
from tests.benchmarks.natural.summary import as_columns, gain_kept, grouped, tables, text
from tests.benchmarks.natural.tables import MissingTableError

N_ROWS = 4000
LABEL = [name for name, control in CONTROLS.items() if control == Control(label=control.label) and control.label]
COVARIATE = ["covariate_orthogonal", "covariate_along"]


@pytest.fixture(scope="module")
def made_up():
    """Features, labels and true log probabilities of a logistic model in which one feature of three matters."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, 3))
    p = expit(1.5 * X[:, 0] - 0.5)
    return X, (rng.random(N_ROWS) < p).astype(int), np.log(np.column_stack([1 - p, p]))


@pytest.fixture
def split(made_up, monkeypatch):
    """A split by the sign of the last feature, whose second feature numbers the rows."""
    X, y, _ = made_up
    table = pd.DataFrame(X, columns=["a", "b", "c"]).assign(y=y, number=np.arange(N_ROWS))
    entry = splits.Split(
        "adult", lambda: table, lambda t: t["c"] < 0, lambda t: t["c"] >= 0, lambda t: t["y"], "a number"
    )
    for known in (splits.SPLITS, splits.CLASSIFICATION):
        monkeypatch.setitem(known, "made_up", entry)
    return "made_up"


def odds_ratio(y, in_target):
    target, source = y[in_target].mean(), y[~in_target].mean()
    return target / (1 - target) / (source / (1 - source))


@pytest.mark.parametrize("name", LABEL)
def test_label_shift_moves_the_classes_by_what_it_says_and_nothing_within_them(name, made_up):
    """Standard error of a log odds ratio of 4000 rows: .08 at most. Within a class both sides are draws from one."""
    X, y, scores = made_up
    in_target = deal(name, X, y, scores, 0)
    assert abs(np.log(odds_ratio(y, in_target))) == pytest.approx(CONTROLS[name].label, abs=0.3)
    p_values = [
        ks_2samp(X[(y == k) & in_target, column], X[(y == k) & ~in_target, column]).pvalue
        for k in (0, 1)
        for column in range(3)
    ]
    assert min(p_values) > 1e-3


@pytest.mark.parametrize("name", COVARIATE)
def test_covariate_shift_does_not_look_at_the_labels(name, made_up):
    X, y, scores = made_up
    assert np.array_equal(deal(name, X, y, scores, 0), deal(name, X, 1 - y, scores, 0))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_orthogonal_shift_leaves_the_scores_and_moves_the_features(seed, made_up):
    """Largest distance of a right control in 200: .063. Ranked over all rows, not within cells: .23 in the median."""
    X, y, scores = made_up
    in_target = deal("covariate_orthogonal", X, y, scores, seed)
    assert ks_2samp(scores[in_target, 1], scores[~in_target, 1]).statistic < 0.07
    assert max(ks_2samp(X[in_target, k], X[~in_target, k]).statistic for k in (1, 2)) > 0.2
    # Given its score a row's label is independent of what moves.
    assert abs(np.log(odds_ratio(y, in_target))) < 0.25


@pytest.mark.slow
def test_orthogonal_shift_leaves_the_scores_of_three_classes(rng):
    X = rng.normal(size=(N_ROWS, 4))
    scores = np.log(rng.dirichlet([1, 2, 3], N_ROWS))
    in_target = deal("covariate_orthogonal", X, np.zeros(N_ROWS, int), scores, 0)
    assert max(ks_2samp(scores[in_target, k], scores[~in_target, k]).statistic for k in range(3)) < 0.05


def test_shift_along_the_score_moves_it(made_up):
    X, y, scores = made_up
    in_target = deal("covariate_along", X, y, scores, 0)
    assert ks_2samp(scores[in_target, 1], scores[~in_target, 1]).statistic > 0.3


def test_no_shift_is_a_coin_for_each_row(made_up):
    X, y, scores = made_up
    assert not target_log_odds(CONTROLS["none"], X, y, scores, np.random.default_rng(0)).any()
    assert deal("none", X, y, scores, 0).mean() == pytest.approx(0.5, abs=0.03)


def test_cells_hold_neighbours(rng):
    scores = rng.normal(size=(1000, 1))
    cell = cells(scores, 40)
    sizes = np.bincount(cell)
    assert 20 <= sizes.min() <= sizes.max() <= 40
    ends = np.sort([(scores[cell == k].min(), scores[cell == k].max()) for k in range(cell.max() + 1)], axis=0)
    assert (ends[1:, 0] > ends[:-1, 1]).all()


def test_normal_ranks_are_standard_normal(rng):
    ranks = normal_ranks(np.repeat([3.0, 1.0], 500), rng)
    assert ranks.mean() == pytest.approx(0, abs=1e-12)
    assert ranks.std() == pytest.approx(1, abs=0.01)
    assert ranks[:500].min() > ranks[500:].max()


@pytest.mark.parametrize("control", ["natural", *CONTROLS])
def test_no_row_is_on_both_sides(control, split):
    problem = problems.Pool(split, "logistic", 0, 300).problem(control)
    source, target = problem.X_source[:, 1], problem.X_target[:, 1]
    assert len(set(source)) == len(source) <= 300
    assert len(set(target)) == len(target) <= 300
    assert not set(source) & set(target)
    assert len(source) == len(problem.y_source)


def test_the_natural_problem_keeps_the_groups(split, made_up):
    X, y, _ = made_up
    problem = problems.Pool(split, "logistic", 1, 300).problem()
    numbers = problem.X_source[:, 1].astype(int)
    assert (X[numbers, 2] < 0).all()
    assert (X[problem.X_target[:, 1].astype(int), 2] >= 0).all()
    assert np.array_equal(problem.y_source, y[numbers])


@pytest.fixture
def problem(split):
    return problems.Pool(split, "logistic", 0, 300).problem()


@pytest.mark.parametrize("name", ["few_counting", "few_pooled"])
def test_methods_read_the_labels_they_are_given_only(name, problem):
    known, others = runs.label_draw(300, 50, 0, 0)
    before = methods.METHODS[name].run(problem, known).predictions
    problem.y_target[others] = 1 - problem.y_target[others]
    assert np.array_equal(methods.METHODS[name].run(problem, known).predictions, before)
    problem.y_target[known] = 1 - problem.y_target[known]
    assert not np.array_equal(methods.METHODS[name].run(problem, known).predictions, before)


@pytest.mark.parametrize(
    "name", ["covariate_default", pytest.param("label_default", marks=pytest.mark.slow), "temperature"]
)
@pytest.mark.filterwarnings("ignore")
def test_methods_without_labels_read_none(name, problem):
    before = methods.METHODS[name].run(problem)
    problem.y_target[:] = 1 - problem.y_target
    again = methods.METHODS[name].run(problem)
    assert np.array_equal(again.predictions, before.predictions)
    assert before.predictions.shape == (300, 2)


def test_labelled_rows_are_not_judged():
    known, others = runs.label_draw(300, 50, 3, 1)
    assert len(known) == 50
    assert sorted([*known, *others]) == list(range(300))


def test_losses_are_those_of_their_definition(problem):
    problem.y_target = np.array([0, 1, 1])
    found = problem.losses(np.array([[0.9, 0.1], [0.9, 0.1], [1.0, 0.0]]))
    assert found["accuracy"] == pytest.approx(1 / 3)
    assert found["log_loss"] == pytest.approx(-np.log([0.9, 0.1, 1e-6]).mean())


def test_coverage_counts_the_classes_held():
    found = runs.coverage([[0.1, 0.3], [0.5, 0.6]], np.array([0.2, 0.8]))
    assert found == {"covered": 0.5, "width": pytest.approx(0.15)}
    assert runs.coverage(None, np.array([0.2, 0.8])) == runs.coverage([[0.1, 0.3]], np.array([0.2, 0.8])) == {}


def record(method, accuracy, log_loss, **facts):
    return {
        "split": "s",
        "half": "design",
        "learner": "logistic",
        "seed": 0,
        "control": "natural",
        "method": method,
        "accuracy": accuracy,
        "log_loss": log_loss,
        "acted": False,
        "seconds": 1.0,
    } | facts


def test_changes_are_against_the_uncorrected_model():
    records = [
        record("uncorrected", 0.8, 0.5),
        record("temperature", 0.8, 0.48),
        record("worse", 0.78, 0.53, acted=True),
        record("failed", 0, 0) | {"error": "ValueError: no"},
        record("few", 0.7, 0.6, labels=25, beside={"uncorrected": {"accuracy": 0.6, "log_loss": 0.7}}),
    ]
    found = {row["method"]: row for row in grouped(records, "method")}
    assert found["uncorrected"]["points"] == 0
    worse = found["worse"]
    assert worse["points"] == pytest.approx(-2)
    assert worse["millinats"] == pytest.approx(-30)
    assert worse["over_temperature"] == pytest.approx(-50)
    assert worse["worse"] == [1, 1, 0]
    assert worse["acted"] == 1
    assert "failed" not in found
    assert found["few"]["points"] == pytest.approx(10)
    told = tables(records)
    assert list(told["failures"].values()) == [1]
    assert "FAILED 1 times: failed" in text(told)
    assert len(as_columns(told)["classification"]["by_half"]["rows"]) == 3


def test_gain_kept_is_a_share_of_the_ungated_gain():
    """The gate keeps the first problem's two points and leaves the second's; the third is too small to count."""
    points = {"uncorrected": (0.5, 0.5, 0.5), "label_ungated": (0.52, 0.53, 0.9), "gated": (0.52, 0.5, 0.5)}
    records = [
        record(method, accuracy, 0.5, seed=seed, control="label_mild", n_source=1000 - (seed == 2))
        for method, values in points.items()
        for seed, accuracy in enumerate(values)
    ]
    kept = {row["method"]: row["kept"] for row in gain_kept(records)}
    assert kept == {"uncorrected": 0, "label_ungated": 1, "gated": pytest.approx(0.4)}


def test_coverage_is_told_where_a_method_acted_and_where_not():
    records = [record("uncorrected", 0.5, 0.5), record("uncorrected", 0.5, 0.5, seed=1)]
    records += [record("gated", 0.5, 0.5, acted=seed == 0, covered=1.0 - seed, seed=seed) for seed in (0, 1)]
    found = next(row for row in grouped(records, "method") if row["method"] == "gated")
    assert (found["covered"], found["covered_acted"], found["covered_else"]) == (0.5, 1, 0)


PLAN = runs.Plan(("uncorrected", "temperature", "few_counting"), ("natural", "none"), (25,), 2, 200, (0,))


@pytest.mark.slow
def test_what_is_kept_is_not_run_again(split, tmp_path, monkeypatch):
    unit = runs.Unit(split, "logistic", 0)
    first = runs.run_unit(unit, PLAN, tmp_path, "now")
    assert len(first) == 2 * 2 + 2
    monkeypatch.setattr(runs, "found", lambda *given: pytest.fail("run again"))
    assert runs.run_unit(unit, PLAN, tmp_path, "now") == first
    more = PLAN._replace(controls=(*PLAN.controls, "label_mild"))
    assert runs.run_unit(unit, more, tmp_path, "now", only_kept=True) == first
    with pytest.raises(pytest.fail.Exception, match="run again"):
        runs.run_unit(unit, PLAN, tmp_path, "other sources")


@pytest.mark.slow
def test_a_method_that_fails_is_told(split, monkeypatch):
    def fails(problem):
        raise ValueError("no")

    monkeypatch.setitem(methods.METHODS, "fails", methods.Method(fails))
    found = runs.run_unit(runs.Unit(split, "logistic", 0), PLAN._replace(methods=("uncorrected", "fails")))
    assert [record.get("error") for record in found] == [None, "ValueError: no"] * 2


@pytest.mark.slow
def test_the_command_prints_and_writes(split, tmp_path, capsys):
    out = tmp_path / "found.json"
    words = f"--splits {split} --learners logistic --seeds 0 --methods temperature,oracle_prior --rows 200"
    command.main([*words.split(), "--controls", "natural,label_strong", "--out", str(out)])
    printed = capsys.readouterr().out
    assert "classification, natural, design" in printed
    assert "classification, label_strong, design" in printed
    assert "oracle_prior" in printed
    told = json.loads(out.read_text())
    assert told["classification"]["by_half"]["columns"][:3] == ["control", "half", "method"]
    assert len(told["classification"]["by_half"]["rows"]) == 2 * 3


def test_unknown_names_are_refused(capsys):
    with pytest.raises(SystemExit):
        command.main(["--methods", "magic"])
    assert "'magic' is not one of" in capsys.readouterr().err


def test_values_are_in_units_of_the_source(rng):
    values, source = rng.normal(5, 3, 400), np.arange(400) < 200
    found = problems.standardized(values, source)
    assert (found[source].mean(), found[source].std()) == pytest.approx((0, 1))
    assert np.corrcoef(found, values)[0, 1] == pytest.approx(1)


def test_there_are_splits_enough_and_halves_go_by_data_set():
    for task, least in ((splits.CLASSIFICATION, 14), (splits.REGRESSION, 3)):
        assert len(task) >= least
        assert {split.half for split in task.values()} == {"design", "confirm"}
    assert set(splits.HALVES) == {split.data for split in splits.SPLITS.values()}


@pytest.mark.slow
@pytest.mark.parametrize("name", splits.SPLITS)
def test_splits_are_read_and_hold_no_label_among_their_features(name):
    """A feature that gives the label away would correlate with it by nearly 1."""
    try:
        rows = splits.draw(name, 0)
    except MissingTableError as error:
        pytest.skip(str(error))
    assert np.isfinite(rows.X).all()
    assert splits.SMALLEST <= rows.in_target.sum() <= splits.MOST_ROWS
    assert splits.SMALLEST <= (~rows.in_target).sum() <= splits.MOST_ROWS
    assert len(set(rows.names)) == rows.X.shape[1]
    if name in splits.CLASSIFICATION:
        assert set(rows.y[~rows.in_target]) == set(rows.y) == set(range(rows.y.max() + 1))
    correlations = [abs(np.corrcoef(column, rows.y)[0, 1]) for column in rows.X.T]
    assert max(correlations) < 0.9
