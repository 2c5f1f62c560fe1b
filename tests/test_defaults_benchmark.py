"""The benchmark of the trainer's defaults: scenarios do what they say, test rows stay apart, records are reused."""

import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from shiftfix.mlp import MLPClassifier
from tests.benchmarks.defaults import __main__ as command
from tests.benchmarks.defaults import methods, runs, scenarios, tasks
from tests.benchmarks.defaults.summary import compared, mean_ranks, means, price_of_weights, text
from tests.benchmarks.natural.tables import MissingTableError

N = 6000


@pytest.fixture
def rows(rng):
    X = rng.normal(size=(N, 4))
    return X, rng.integers(0, 3, N), rng


def test_there_are_tasks_enough_in_both_halves():
    for half in ("design", "confirm", "fresh"):
        of_half = [task for task in tasks.TASKS.values() if task.half == half]
        assert len(of_half) >= 12
        assert {task.classify for task in of_half} == {True, False}
    assert set(scenarios.SCENARIOS) == {"unweighted", "exponential", "tilted", "label_shift"}


@pytest.mark.parametrize("name", ["tilted", "label_shift"])
@pytest.mark.parametrize("classify", [True, False])
def test_weights_bring_the_rows_kept_back_to_all(name, classify, rows):
    """Inverse probabilities: their sum is the number of rows, weighted means those of all rows, within five standard
    errors of each; without weights the means are off."""
    X, y, rng = rows
    y = y if classify else X[:, 0] + y
    kept, weight = scenarios.SCENARIOS[name](X, y, classify, rng)
    assert (weight > 1).all()
    assert weight.sum() == pytest.approx(N, abs=5 * np.sqrt((weight**2 - weight).sum()))
    values = np.column_stack([X, y])
    off = np.abs(values[kept].mean(axis=0) - values.mean(axis=0)).max()
    centered = values[kept] - values.mean(axis=0)
    errors = np.sqrt(((weight[:, None] * centered) ** 2).sum(axis=0)) / N
    assert (np.abs((weight[:, None] * centered).sum(axis=0)) / N < 5 * errors).all()
    assert off > 0.1


def test_no_class_is_lost(rng):
    y = np.repeat([0, 1], [500, 4])
    for _ in range(20):
        kept, weight = scenarios.label_shift(rng.normal(size=(504, 2)), y, True, rng)
        assert np.bincount(y[kept])[1] >= 3
        assert len(weight) == len(kept)


def test_exponential_weights_are_of_all_rows(rows):
    X, y, rng = rows
    kept, weight = scenarios.exponential(X, y, True, rng)
    assert np.array_equal(kept, np.arange(N))
    assert weight.mean() == pytest.approx(1, abs=0.07)
    assert scenarios.unweighted(X, y, True, rng)[1] is None


@pytest.mark.parametrize("name", ["iris", "diabetes"])
def test_rows_to_test_on_are_no_rows_to_train_on(name):
    drawn = [runs.problem_of(name, scenario, 1) for scenario in scenarios.SCENARIOS]
    for problem in drawn:
        assert np.array_equal(problem.X_test, drawn[0].X_test)
        trained, tested = (
            {(*row, value) for row, value in zip(X, y, strict=True)} for X, y in (problem[:2], problem[3:5])
        )
        # iris holds one flower twice
        assert len(trained & tested) <= 1
    again = runs.problem_of(name, "tilted", 1)
    assert np.array_equal(again.weight, drawn[2].weight)
    assert len(runs.problem_of(name, "tilted", 2).y) != 0


def test_losses_are_those_of_their_definition():
    found = runs.losses(np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.9, 0.1], [0.5, 0.5]]), True)
    assert found["error"] == pytest.approx(2.5 / 3)  # two ties and wrong ones, and a half
    assert found["log_loss"] == pytest.approx(-np.log([0.9, 0.1, 0.5]).mean())
    assert runs.losses(np.array([0.0, 2.0]), np.array([0.0, 0.0]), False)["error"] == pytest.approx(np.sqrt(2))


def test_a_class_that_no_training_row_has_is_given_no_probability():
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 2])
    problem = runs.Problem(None, None, None, np.zeros((3, 1)), np.array([0, 1, 2]), True)
    proba = runs.predict(model, problem)
    assert proba.shape == (3, 3)
    assert (proba[:, 1] == 0).all()


def test_the_entries():
    assert set(methods.METHODS) >= {"before", "default", "sklearn_mlp", "boosting", "linear"}
    for weighted, stopping in ((True, "auto"), (False, False)):
        before = methods.METHODS["before"].classifier(3, weighted)
        assert (before.max_epochs, before.patience, before.early_stopping) == (100, 10, stopping)
        assert before.random_state == 3
    default, plain = methods.METHODS["default"].classifier(0, True), MLPClassifier(random_state=0)
    assert repr(default.get_params()) == repr(plain.get_params())


RECORDS = [
    {"task": task, "scenario": scenario, "seed": seed, "method": method, "half": "design", "seconds": 1.0}
    | {"error": error * (2 if scenario == "exponential" and method == "new" else 1), "log_loss": error}
    for task, factor in (("a", 1), ("b", 10))
    for scenario in ("unweighted", "exponential")
    for seed in (0, 1)
    for method, error in (("before", 0.2 * factor), ("new", 0.1 * factor), ("other", 0.3 * factor))
]


def test_ranks_and_ratios():
    found = {(row["scenario"], row["method"]): row for row in compared(RECORDS)}
    new = found["unweighted", "new"]
    assert (new["rank_error"], new["error"], new["tasks"]) == (1.0, pytest.approx(0.5), 2)
    assert found["exponential", "new"]["rank_error"] == 1.5
    assert found["unweighted", "other"]["worst_error"] == pytest.approx(1.5)
    assert price_of_weights(RECORDS) == {"before": 1.0, "new": pytest.approx(2.0), "other": 1.0}


def test_one_seed_that_failed_takes_the_task_away():
    records = [*RECORDS, RECORDS[1] | {"seed": 2, "failed": "ValueError: no"}]
    assert ("unweighted", "a", "new") not in means(records)
    new = next(row for row in compared(records) if row["method"] == "new" and row["scenario"] == "unweighted")
    assert new["tasks"] == 1
    assert mean_ranks(means(records), "unweighted", ["before", "new"], "error") == {"before": 2.0, "new": 1.0}
    assert "FAILED" in text(records, "title")


@pytest.mark.slow
def test_what_is_kept_is_not_run_again(tmp_path, monkeypatch):
    unit = runs.Unit("iris", "exponential", 0, "linear")
    first = runs.run_unit(unit, tmp_path, "now")
    assert 0 < first["log_loss"] < 1
    monkeypatch.setattr(runs, "judged", lambda unit: pytest.fail("run again"))
    assert runs.run_unit(unit, tmp_path, "now") == first
    for other, stamp in ((unit, "other sources"), (unit._replace(seed=1), "now")):
        with pytest.raises(pytest.fail.Exception, match="run again"):
            runs.run_unit(other, tmp_path, stamp)
    entry = methods.METHODS["linear"]._replace(classifier=methods.METHODS["sklearn_mlp"].classifier)
    monkeypatch.setitem(methods.METHODS, "linear", entry)
    with pytest.raises(pytest.fail.Exception, match="run again"):  # for its settings are others
        runs.run_unit(unit, tmp_path, "now")


@pytest.mark.slow
def test_the_command_prints_and_writes(tmp_path, capsys):
    out = tmp_path / "found.json"
    words = "--tasks iris --seeds 0 --methods linear --scenarios unweighted,label_shift --out"
    command.main([*words.split(), str(out)])
    assert "design: 1 tasks" in capsys.readouterr().out
    told = json.loads(out.read_text())
    assert {row["method"] for row in told["design"]["rows"]} == {"before", "linear"}
    assert told["records"]["columns"][:4] == ["task", "scenario", "seed", "method"]
    assert len(told["records"]["rows"]) == 4


def test_methods_without_weights_meet_none():
    units = runs.units_of(["iris"], list(scenarios.SCENARIOS), [0], ["realmlp_s", "linear"])
    assert [unit.scenario for unit in units if unit.method == "realmlp_s"] == ["unweighted"]
    assert len(units) == 5


@pytest.mark.slow
@pytest.mark.parametrize("name", tasks.TASKS)
def test_tasks_are_read(name):
    try:
        drawn = tasks.draw(name, 0)
    except MissingTableError as error:
        pytest.skip(str(error))
    assert np.isfinite(drawn.X).all()
    assert 100 <= len(drawn.X) <= 4000
    assert drawn.X.shape[1] == drawn.X_test.shape[1]
    if tasks.TASKS[name].classify:
        assert set(drawn.y) == set(drawn.y_test) == set(range(drawn.y.max() + 1))
    else:
        assert (drawn.y.mean(), drawn.y.std()) == pytest.approx((0, 1))
