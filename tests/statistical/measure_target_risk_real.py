"""Estimated against true accuracy on natural splits of real tables, kept in ``results/target_risk_real.json``.

    PYTHONPATH=. python -m tests.statistical.measure_target_risk_real [--draws N] [--seed S] [SPLIT ...]

Half of the source rows train a model, the other half is the source. Target labels are drawn, with the other target
rows, from all target rows with replacement, so that the accuracy on all of them is the truth.
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy as np

from shiftfix.covariate import LogisticWeighter
from shiftfix.risk import compare_risks
from shiftfix.risk._ppi_risk import LabelsRisk, PPIRisk
from shiftfix.risk._problem import Known, read_problem
from shiftfix.risk._tools import Tools
from tests.benchmarks.natural.learners import CLASSIFIERS
from tests.benchmarks.natural.splits import draw

RESULTS = Path(__file__).parent / "results" / "target_risk_real.json"
METHODS = ("source", "importance", "control_variate", "doubly_robust", "label_shift", "cbpe", "pape", "atc", "doc")
SPLITS = (
    "adult_men_women",
    "adult_private_public",
    "california_inland_coast",
    "california_coast_inland",
    "elec2_1997_1998",
    "heart_cleveland_hungary",
    "wine_red_white",
)
MOST_ROWS, N_LABELS = 3000, 100
WEIGHTERS = {"linear": LogisticWeighter(), "auto": LogisticWeighter(features="auto")}


def parts_of(split, seed):
    """Rows to train on, source, target."""
    rows = draw(split, seed, MOST_ROWS)
    here = np.random.default_rng(seed).permutation(np.flatnonzero(~rows.in_target))
    sides = (here[: len(here) // 2], here[len(here) // 2 :], np.flatnonzero(rows.in_target))
    return [(rows.X[side], rows.y[side]) for side in sides]


def covered(model, source, target, n_draws, seed):
    """Share of intervals by labels alone and with scores that hold the accuracy, and the ratio of their widths."""
    (X, y), (X_target, y_target) = source, target
    rng = np.random.default_rng(seed)
    truth = model.score(X_target, y_target)
    settings = {"metric": "accuracy", "quantile": 0.5, "target_labels": None, "rows": None}
    whole = read_problem(model, X, y, X_target, sampling_probability=None, groups=None, rng=rng, **settings)
    expected = Tools(whole, None, None, rng).expected
    # The same order of rows as the problem's.
    labels = {tuple(row): [] for row in whole.X_target}
    for row, label in zip(X_target, y_target, strict=True):
        labels[tuple(row)].append(label)
    known_y = np.array([labels[tuple(row)].pop() for row in whole.X_target])
    held, widths = [], []
    for _ in range(n_draws):
        rows = rng.choice(len(known_y), len(known_y))
        drawn = whole._replace(
            target=whole.target.at(rows),
            X_target=whole.X_target[rows],
            known=Known(np.arange(N_LABELS), known_y[rows[:N_LABELS]], None),
        )
        tools = Tools(drawn, None, None, rng)
        tools.__dict__["expected"] = expected._replace(target=expected.target[rows])
        found = [kind(drawn, tools).answer(0.95) for kind in (LabelsRisk, PPIRisk)]
        held.append([bool(f.low[0] <= truth <= f.high[0]) for f in found])
        widths.append([float(f.high[0] - f.low[0]) for f in found])
    share, width = np.mean(held, axis=0), np.mean(widths, axis=0)
    return {"labels": share[0], "ppi": share[1], "width_ratio": width[1] / width[0], "draws": n_draws}


def measured(split, learner, n_draws, seed):
    """Errors of every method, refusals, and coverage with labels."""
    (X, y), source, target = parts_of(split, seed)
    model = CLASSIFIERS[learner](seed).fit(X, y)
    truth = model.score(*target)
    told = {"truth": truth, "source": model.score(*source)}
    for name, weighter in WEIGHTERS.items():
        both = compare_risks(model, *source, target[0], methods=METHODS, weighter=weighter, n_bootstrap=2, n_worlds=0)
        told[name] = {m: round(r.value - truth, 5) for m, r in both.estimates.items()}
        told[f"{name} refused"] = [m for m, r in both.estimates.items() if r.verdict == "abstain"]
    return told | {"coverage": covered(model, source, target, n_draws, seed)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("splits", nargs="*")
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for split in asked.splits or SPLITS:
        for learner in CLASSIFIERS:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = measured(split, learner, asked.draws, asked.seed)
            results[f"{split}, {learner}, {asked.seed}"] = found
            print(split, learner, json.dumps(found), flush=True)  # noqa: T201
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    for name in WEIGHTERS:
        errors = {m: np.mean([abs(r[name][m]) for r in results.values()]) for m in METHODS}
        print(name, {m: round(float(e), 4) for m, e in errors.items()})  # noqa: T201


if __name__ == "__main__":
    main()
