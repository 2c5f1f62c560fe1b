"""Run methods on tasks, one after the other, and keep what was found on disk."""

import hashlib
import json
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

import shiftfix
from tests.benchmarks.defaults.methods import METHODS, fit
from tests.benchmarks.defaults.scenarios import SCENARIOS
from tests.benchmarks.defaults.tasks import TASKS, draw
from tests.benchmarks.natural.tables import MissingTableError

LEAST_PROBABILITY = 1e-6


class Unit(NamedTuple):
    """One fit."""

    task: str
    scenario: str
    seed: int
    method: str


class Problem(NamedTuple):
    """Rows to train on with their weights or None, and rows to test on."""

    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray | None
    X_test: np.ndarray
    y_test: np.ndarray
    classify: bool


def problem_of(task, scenario, seed):
    """The rows and weights of a scenario; the same for all methods."""
    rows, classify = draw(task, seed), TASKS[task].classify
    rng = np.random.default_rng([seed, *scenario.encode()])
    kept, weight = SCENARIOS[scenario](rows.X, rows.y, classify, rng)
    return Problem(rows.X[kept], rows.y[kept], weight, rows.X_test, rows.y_test, classify)


def losses(y, predictions, classify):
    """Test error and log loss of class probabilities, or the root mean squared error as both."""
    if not classify:
        rmse = float(np.sqrt(np.mean((predictions - y) ** 2)))
        return {"error": rmse, "log_loss": rmse}
    of_label = np.maximum(predictions[np.arange(len(y)), y], LEAST_PROBABILITY)
    # Half an error more, so that the ratio of two small numbers of errors is no accident.
    error = (np.sum(predictions.argmax(axis=1) != y) + 0.5) / len(y)
    return {"error": float(error), "log_loss": float(-np.log(of_label).mean())}


def predict(model, problem):
    """Probabilities with a column for every class of the task, or values."""
    if not problem.classify:
        return model.predict(problem.X_test)
    proba = np.zeros((len(problem.X_test), 1 + problem.y_test.max()))
    proba[:, model.classes_] = model.predict_proba(problem.X_test)
    return proba


def model_of(unit):
    method = METHODS[unit.method]
    weighted = unit.scenario != "unweighted"
    return (method.classifier if TASKS[unit.task].classify else method.regressor)(unit.seed, weighted)


def settings_of(unit):
    """Text of the settings of a method's estimator, without the seed that the unit names."""
    return repr(sorted((name, repr(value)) for name, value in model_of(unit).get_params().items()))


def judged(unit):
    """Record of a fit: losses, CPU seconds of fitting, and epochs where there are some; or why it failed."""
    problem = problem_of(unit.task, unit.scenario, unit.seed)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.process_time()
        try:
            model = fit(model_of(unit), problem.X, problem.y, problem.weight)
        except Exception as error:  # a method that fails is a finding, and the others go on
            return {"failed": f"{type(error).__name__}: {error}"}
        seconds = time.process_time() - start
        found = losses(problem.y_test, predict(model, problem), problem.classify)
    facts = {"seconds": seconds, "rows": len(problem.y)}
    epochs = {name: np.mean(getattr(model, name)) for name in ("n_epochs_", "best_epoch_") if hasattr(model, name)}
    facts |= {name: round(float(value)) for name, value in epochs.items()}
    return found | facts


def digest():
    """Of the sources of the trainer and of the problems: what was found with others is found anew."""
    found, here = hashlib.sha256(), Path(__file__).parent
    package = Path(shiftfix.__file__).parent / "mlp"
    for path in [*sorted(package.rglob("*.py")), *(here / f"{name}.py" for name in ("tasks", "scenarios", "runs"))]:
        found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()[:16]


def kept_file(unit, cache, stamp):
    """Where a unit's record is kept: under its names, and a mark of its settings and of the sources."""
    if cache is None:
        return None
    mark = hashlib.sha256(f"{stamp} {settings_of(unit)}".encode()).hexdigest()[:12]
    return Path(cache) / f"{unit.task}.{unit.scenario}.{unit.seed}.{unit.method}.{mark}.json"


def run_unit(unit, cache=None, stamp=""):
    """Record of a unit with its names, from the cache where it was found before with the same settings."""
    path = kept_file(unit, cache, stamp)
    if path is not None and path.exists():
        record = json.loads(path.read_text())
    else:
        record = judged(unit)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Whole or not at all: a run may be stopped here.
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(record))
            partial.replace(path)
    return unit._asdict() | {"half": TASKS[unit.task].half} | record


def units_of(tasks, scenarios, seeds, methods):
    """All units, task by task; a method that takes no weights where there are none only."""
    return [
        Unit(task, scenario, seed, method)
        for task in tasks
        for seed in seeds
        for scenario in scenarios
        for method in methods
        if METHODS[method].weights or scenario == "unweighted"
    ]


def readable(names):
    """Tasks whose tables are here, and why the others are left out, by name."""
    here, left_out = [], {}
    for name in names:
        try:
            draw(name, 0)
            here.append(name)
        except MissingTableError as error:
            left_out[name] = str(error)
    return here, left_out
