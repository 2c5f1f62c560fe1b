"""Size and power of the tests of shift, kept in ``results/detect.json``.

    PYTHONPATH=. python -m tests.statistical.measure_detect [PART ...]

PART is a key of ``STUDIES``; none means all. Each part is some minutes on one core.
Sizes are shares of rejections at level .05, over all problems and over either half: 1,000 problems without shift, half
of them with correlated columns, of which some are heavy-tailed or rounded. Power: 500 problems where not said, of 500
against 500 rows of ten normal columns: "mean", one column moved by .33; "spread", the standard deviation along one
column times .7; "oblique spread", the same along the diagonal.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from shiftfix import detect

RESULTS = Path(__file__).parent / "results" / "detect.json"
SIZES = [(n, d) for n in (200, 500) for d in (2, 10, 40)]
LEVEL = 0.05
MEAN_SHIFT, SHRUNK = 0.33, 0.7


def columns(rng, n, d, *, mixed):
    """Rows without shift: normal columns; or correlated ones of which every fourth is heavy-tailed or rounded."""
    if not mixed:
        return rng.normal(size=(n, d))
    X = rng.normal(size=(n, d)) * np.sqrt(0.7) + rng.normal(size=(n, 1)) * np.sqrt(0.3)
    X[:, ::4] = np.exp(X[:, ::4])
    X[:, 1::4] = np.round(X[:, 1::4])
    return X


def shifted(kind, rng, n=500, d=10):
    X_source, X_target = rng.normal(size=(n, d)), rng.normal(size=(n, d))
    along = {"mean": np.eye(d)[0], "spread": np.eye(d)[0], "oblique spread": np.ones(d) / np.sqrt(d)}[kind]
    if kind == "mean":
        return X_source, X_target + MEAN_SHIFT * along
    return X_source, X_target - (1 - SHRUNK) * np.outer(X_target @ along, along)


FEATURE_TESTS = {
    "classifier_test": lambda a, b, seed: detect.classifier_test(a, b, random_state=seed),
    "mmd_test": lambda a, b, seed: detect.mmd_test(a, b, random_state=seed),
    "feature_tests": lambda a, b, seed: detect.feature_tests(a, b),
}


def share_rejected(test, problem, n_trials):
    return float(
        np.mean([test(*problem(np.random.default_rng(seed)), seed).p_value <= LEVEL for seed in range(n_trials)])
    )


def size_of_feature_tests(name, n_trials=1000):
    found = {}
    for n, d in SIZES:
        halves = [
            share_rejected(
                FEATURE_TESTS[name],
                lambda rng, n=n, d=d, mixed=mixed: (columns(rng, n, d, mixed=mixed), columns(rng, n, d, mixed=mixed)),
                n_trials // 2,
            )
            for mixed in (False, True)
        ]
        found[f"n={n}, d={d}"] = [float(np.mean(halves)), *halves]
    return found


def power_of_feature_tests(name, n_trials=500):
    kinds = ("mean", "spread", "oblique spread")
    return {k: share_rejected(FEATURE_TESTS[name], lambda rng, k=k: shifted(k, rng), n_trials) for k in kinds}


def boosted(a, b, seed):
    learner = HistGradientBoostingClassifier(max_iter=30, random_state=0)
    return detect.classifier_test(a, b, classifier=learner, random_state=seed)


def size_of_boosting():
    return {
        "n=200, d=10": share_rejected(
            boosted, lambda rng: (rng.normal(size=(200, 10)), rng.normal(size=(200, 10))), 300
        )
    }


def costs():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(20_000, 30)), rng.normal(size=(20_000, 30))
    found = {}
    for name, test in FEATURE_TESTS.items():
        start = time.process_time()
        test(a, b, 0)
        found[name] = round(time.process_time() - start, 2)
    return found


STUDIES = {
    **{f"size of {name}": lambda name=name: size_of_feature_tests(name) for name in FEATURE_TESTS},
    **{f"power of {name}": lambda name=name: power_of_feature_tests(name) for name in FEATURE_TESTS},
    "size of classifier_test, boosting": size_of_boosting,
    "CPU seconds, 20,000 + 20,000 rows of 30 columns": costs,
}


def main(parts):
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for part in parts or STUDIES:
        kept[part] = STUDIES[part]()
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
