"""Run methods on problems, several at a time, and keep what was found on disk."""

import hashlib
import json
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

import shiftfix
from tests.benchmarks.natural.controls import CONTROLS
from tests.benchmarks.natural.methods import METHODS
from tests.benchmarks.natural.problems import Pool, TooFewRowsError
from tests.benchmarks.natural.splits import CLASSIFICATION, SPLITS
from tests.benchmarks.natural.tables import MissingTableError

# Of values only those that need no class.
VALUE_CONTROLS = ("natural", "none", "covariate_orthogonal", "covariate_along")
FOUND_BY = ("tables", "splits", "controls", "learners", "problems", "methods")
# Labels are tried where this many times as many target rows are left to judge by.
LEFT_TO_JUDGE = 1


class Unit(NamedTuple):
    """What one process does at a time: a split and a learner, with one draw of the rows."""

    split: str
    learner: str
    seed: int


class Plan(NamedTuple):
    """What is asked for.

    Attributes
    ----------
    methods, controls : tuple of str
        "natural" is one of the controls.
    label_counts : tuple of int
        Target labels that the methods which read some are given.
    draws : int
        Of the rows labelled.
    most_rows : int
        Of a side.
    control_seeds : tuple of int
        Seeds for which the controls are made; the natural problem always is.
    """

    methods: tuple[str, ...]
    controls: tuple[str, ...]
    label_counts: tuple[int, ...]
    draws: int
    most_rows: int
    control_seeds: tuple[int, ...]


def digest():
    """Of the sources of the package, the problems and the methods: what was found with others is found anew."""
    found, package, here = hashlib.sha256(), Path(shiftfix.__file__).parent, Path(__file__).parent
    for path in [*sorted(package.rglob("*.py")), *(here / f"{name}.py" for name in FOUND_BY)]:
        found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()[:16]


def coverage(interval, prior):
    """Share of the class shares that the intervals hold, and their mean width."""
    if interval is None:
        return {}
    low, high = np.asarray(interval, dtype=float).T
    return {"covered": float(np.mean((low <= prior) & (prior <= high))), "width": float(np.mean(high - low))}


def timed(run):
    """What a call returns, or the error it raised, and its CPU seconds."""
    start = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outcome = run()
    except Exception as error:  # a method that fails is a finding, and the others go on
        return None, f"{type(error).__name__}: {error}", time.process_time() - start
    return outcome, None, time.process_time() - start


def judged(problem, run, rows=slice(None)):
    """Record of a method: losses on the given target rows, what it did and said, seconds; or why it failed."""
    outcome, error, seconds = timed(run)
    if error is not None:
        return {"error": error, "seconds": seconds}
    record = problem.losses(outcome.predictions, rows) | {"acted": outcome.acted, "seconds": seconds}
    return record | (coverage(outcome.interval, problem.target_prior) if problem.classify else {})


def label_draw(n_target, n_labels, seed, draw):
    """Positions of the target rows labelled, and of the others, at random."""
    order = np.random.default_rng([seed, draw]).permutation(n_target)
    return np.sort(order[:n_labels]), np.sort(order[n_labels:])


def with_labels(problem, name, plan):
    """Records of a method that reads labels, by how many and draw; judged on the rows not labelled.

    Beside each stand the losses of the uncorrected and of the calibrated model on the same rows.
    """
    n_target = len(problem.y_target)
    for n_labels in plan.label_counts:
        if n_labels * (1 + LEFT_TO_JUDGE) > n_target:
            continue
        for draw in range(plan.draws):
            known, others = label_draw(n_target, n_labels, problem.seed, draw)
            record = judged(problem, lambda known=known: METHODS[name].run(problem, known), others)
            beside = {"uncorrected": problem.losses(problem.target_scores, others)}
            if problem.classify:
                beside["temperature"] = problem.losses(problem.calibrated, others)
            yield f"{name}/{n_labels}/{draw}", record | {"labels": n_labels, "draw": draw, "beside": beside}


def records_of(problem, name, plan):
    if METHODS[name].labels:
        found = dict(with_labels(problem, name, plan))
    else:
        found = {name: judged(problem, lambda: METHODS[name].run(problem))}
    sizes = {"n_source": len(problem.y_source), "n_target": len(problem.y_target)}
    return {key: record | sizes for key, record in found.items()}


def wanted(unit, plan):
    """Pairs of control and method that a unit is asked for."""
    task = "classes" if unit.split in CLASSIFICATION else "values"
    for control in plan.controls:
        if control != "natural" and unit.seed not in plan.control_seeds:
            continue
        if task == "values" and control not in VALUE_CONTROLS:
            continue
        for name in plan.methods:
            if task in METHODS[name].tasks and (control == "natural" or not METHODS[name].labels):
                yield control, name


def load_kept(path, stamp):
    """Groups of records that were found with the same sources and settings."""
    if path is None or not path.exists():
        return {}
    kept = json.loads(path.read_text())
    return kept["groups"] if kept["stamp"] == stamp else {}


def run_unit(unit, plan, cache=None, stamp="", only_kept=False):
    """All records of a unit, those in the cache among them; with ``only_kept`` no others.

    Returns
    -------
    list of dict
        With ``split``, ``half``, ``learner``, ``seed``, ``control`` and ``method``.
    """
    path = None if cache is None else Path(cache) / f"{unit.split}.{unit.learner}.{unit.seed}.json"
    stamp = f"{stamp} {plan.label_counts} {plan.draws} {plan.most_rows}"
    groups = load_kept(path, stamp)
    asked = list(wanted(unit, plan))
    missing = [pair for pair in asked if "/".join(pair) not in groups]
    if missing and not only_kept:
        groups |= found(unit, plan, missing)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"stamp": stamp, "groups": groups}))
    facts = {"split": unit.split, "half": SPLITS[unit.split].half, "learner": unit.learner, "seed": unit.seed}
    return [
        facts | {"control": control, "method": name} | record
        for control, name in asked
        for record in groups.get(f"{control}/{name}", {}).values()
    ]


def found(unit, plan, missing):
    """Groups of records by control and method."""
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pool, groups = Pool(unit.split, unit.learner, unit.seed, plan.most_rows), {}
        for control in dict.fromkeys(control for control, _ in missing):
            names = [name for other, name in missing if other == control]
            try:
                problem = pool.problem(control)
            except TooFewRowsError:
                groups |= {f"{control}/{name}": {} for name in names}
                continue
            # So that no method pays for what all share.
            timed(lambda problem=problem: (problem.target_scores, problem.classify and problem.calibrated))
            groups |= {f"{control}/{name}": records_of(problem, name, plan) for name in names}
    return groups


def readable(names):
    """Splits whose tables are here, and why the others are left out, by name."""
    here, left_out = [], {}
    for name in names:
        try:
            SPLITS[name].table()
            here.append(name)
        except MissingTableError as error:
            left_out[name] = str(error)
    return here, left_out


def run_all(units, plan, jobs=1, cache=None, only_kept=False, tell=lambda text: None):
    """Records of all units, in their order; with ``only_kept`` those in the cache alone."""
    stamp, results, start = digest(), {}, time.time()

    def keep(unit, records):
        results[unit] = records
        tell(f"{len(results)}/{len(units)} {unit.split} {unit.learner} {unit.seed} ({time.time() - start:.0f} s)")

    if jobs == 1:
        for unit in units:
            keep(unit, run_unit(unit, plan, cache, stamp, only_kept))
    else:
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as workers:
            waiting = {workers.submit(run_unit, unit, plan, cache, stamp, only_kept): unit for unit in units}
            for done in as_completed(waiting):
                keep(waiting[done], done.result())
    return [record for unit in units for record in results[unit]]


def controls_of(names):
    """Controls by name, "natural" first; raises for one that is not known."""
    known = ("natural", *CONTROLS)
    unknown = set(names) - set(known)
    if unknown:
        raise ValueError(f"No control is called {sorted(unknown)}: there are {', '.join(known)}.")
    return tuple(name for name in known if name in names)
