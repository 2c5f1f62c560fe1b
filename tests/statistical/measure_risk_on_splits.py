"""Estimated against true accuracy on natural splits, kept in ``results/risk_on_splits.json``.

    PYTHONPATH=. python -m tests.statistical.measure_risk_on_splits [LEARNER ...]

For each split and learner: the model is trained on half of the source, judged by the other half, and the truth is its
accuracy on all target rows. Targets with few labels are drawn many times from those, with replacement.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

from shiftfix.risk import compare_risks, target_risk
from tests.benchmarks.natural.learners import CLASSIFIERS
from tests.benchmarks.natural.problems import Pool
from tests.benchmarks.natural.runs import readable

RESULTS = Path(__file__).parent / "results" / "risk_on_splits.json"
SPLITS = (
    "adult_men_women",
    "adult_school_college",
    "california_inland_coast",
    "california_coast_inland",
    "elec2_1997_1998",
    "heart_cleveland_hungary",
    "wine_red_white",
)
METHODS = ["source", "importance", "control_variate", "doubly_robust", "label_shift", "cbpe", "pape", "atc", "doc"]
N_LABELS, N_DRAWS = 100, 500


def of_split(split, learner, n_draws=N_DRAWS):
    """Truth, estimates, which of them were refused, and coverage and width of intervals by few labels."""
    problem = Pool(split, learner, 0).problem("natural")
    X_train, X, y_train, y = train_test_split(
        problem.X_source, problem.y_source, test_size=0.5, stratify=problem.y_source, random_state=0
    )
    model = problem.estimator().fit(X_train, y_train)
    X_target, y_target = problem.X_target, problem.y_target
    truth = float((model.predict(X_target) == y_target).mean())
    found = compare_risks(model, X, y, X_target, methods=METHODS, n_bootstrap=50, n_worlds=0)
    held, width = dict.fromkeys(("labels", "ppi"), 0), dict.fromkeys(("labels", "ppi"), 0.0)
    for seed in range(n_draws):
        # With replacement: the target rows are the population, so that no sample of them comes near it.
        rows = np.random.default_rng(seed).integers(len(X_target), size=len(X_target))
        for method in held:
            one = target_risk(model, X, y, X_target[rows], method=method, target_labels=y_target[rows[:N_LABELS]])
            held[method] += one.low <= truth <= one.high
            width[method] += (one.high - one.low) / n_draws
    return {
        "truth": truth,
        "n_target": len(X_target),
        "estimates": {name: e.value for name, e in found.estimates.items()},
        "covered": {name: bool(e.low <= truth <= e.high) for name, e in found.estimates.items()},
        "refused": [name for name, e in found.estimates.items() if e.verdict == "abstain"],
        "disagree": found.disagree,
        "few labels cover": {name: times / n_draws for name, times in held.items()},
        "few labels width": width,
    }


def summary(found):
    """Mean absolute error of each method in points: of all estimates, and of those not refused."""
    told = {}
    for name in METHODS:
        errors = [(100 * abs(one["estimates"][name] - one["truth"]), name in one["refused"]) for one in found.values()]
        kept = [error for error, refused in errors if not refused]
        told[name] = {
            "all": round(float(np.mean([error for error, _ in errors])), 2),
            "not refused": round(float(np.mean(kept)), 2) if kept else None,
            "refused": sum(refused for _, refused in errors),
        }
    cover = [one["few labels cover"]["ppi"] for one in found.values()]
    return {
        "mean absolute error": told,
        "ppi covers, least and most": [min(cover), max(cover)],
        "told to disagree": sum(one["disagree"] for one in found.values()),
        "pairs": len(found),
    }


def main(learners):
    kept = json.loads(RESULTS.read_text())["pairs"] if RESULTS.exists() else {}
    names, _ = readable(list(SPLITS))
    for learner in learners or CLASSIFIERS:
        for split in names:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                kept[f"{split}, {learner}"] = of_split(split, learner)
            RESULTS.write_text(json.dumps({"summary": summary(kept), "pairs": kept}, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
