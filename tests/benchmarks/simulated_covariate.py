"""How much of what full weights gain or lose the exponent chosen by default keeps, on SKADA-Bench's simulated set.

    python -m tests.benchmarks.simulated_covariate --quick
    python -m tests.benchmarks.simulated_covariate --out tests/benchmarks/results/simulated_covariate.json

Two columns: a class spread evenly over an ellipse, half of the rows, and four normal blobs around it, together a class
or each one of its own. The target is chosen from 100 times as many rows, with probabilities exp(-2 |x - c|^2) around
c = (-.4, 3). Normal noise of standard deviation .6 covers all rows: in the published set ("after") once they are
chosen, so that p(y | x) of what a learner sees moves too; here also before that ("before"), so that it is shared.
``moved`` tells how much: a flexible model trained on many target rows beats the one trained on many source rows by so
many points, where nothing but p(x) moved by none.
Source: Lalou et al. (2024), SKADA-Bench, arXiv:2407.11676, appendix; 640 rows of each side after its split.
"""

import argparse
import json
import sys
import time
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from shiftfix.corrected import CovariateShiftClassifier
from shiftfix.covariate import LogisticWeighter

ELLIPSE = (2.0, 2.0), ((2.0, -0.5), (-0.5, 2.0))
# Mean, and the matrix that standard normal rows are multiplied by.
BLOBS = (
    ((-1.5, 3.0), ((0.15, 0.0), (0.0, 0.3))),
    ((-0.5, 1.0), ((0.2, -0.1), (-0.1, 0.2))),
    ((1.0, -0.4), ((0.17, -0.05), (-0.05, 0.17))),
    ((3.0, -1.0), ((0.3, 0.0), (0.0, 0.15))),
)
CENTER, STEEPNESS, NOISE, POOL = (-0.4, 3.0), 2.0, 0.6, 100
PUBLISHED_ROWS = 640
# Target rows with labels that the models are judged by, apart from those that the weights see.
JUDGED = 4000
# Rows of the flexible models that tell whether p(y | x) moved.
MANY = 40_000
POINTS, MILLINATS = 100, 1000
LEAST_PROBABILITY = 1e-6
# A group counts as one that weights help from so many standard errors of the mean gain on.
CLEARLY = 2

BOOSTING = {"max_iter": 30, "max_leaf_nodes": 15, "learning_rate": 0.2}
LEARNERS = {
    "logistic": lambda seed: LogisticRegression(max_iter=1000),
    "svc": lambda seed: SVC(),
    "svc_probability": lambda seed: SVC(probability=True, random_state=seed),
    "boosting": lambda seed: HistGradientBoostingClassifier(random_state=seed, **BOOSTING),
}
WEIGHTERS = {"linear": LogisticWeighter, "quadratic": lambda: LogisticWeighter(features="quadratic")}
# Noise, classes, rows and seeds: the published set, other sizes, p(y | x) shared, and a class for each blob.
WHOLE = (
    ("after", 2, PUBLISHED_ROWS, 20),
    ("after", 2, 200, 20),
    ("after", 2, 1600, 5),
    ("before", 2, PUBLISHED_ROWS, 20),
    ("after", 5, PUBLISHED_ROWS, 6),
    ("before", 5, PUBLISHED_ROWS, 6),
)
QUICK = (("after", 2, PUBLISHED_ROWS, 3),)


def draw(rng, n_rows, n_classes):
    """Rows without noise and their labels: half of them the ellipse's, an eighth each blob's."""
    n_blob = n_rows // 8
    angle, radius = rng.uniform(0, 2 * np.pi, 4 * n_blob), np.sqrt(rng.random(4 * n_blob))
    disk = radius[:, np.newaxis] * np.column_stack([np.cos(angle), np.sin(angle)])
    parts = [disk @ np.array(ELLIPSE[1]) + ELLIPSE[0]]
    parts += [rng.normal(size=(n_blob, 2)) @ np.array(shape) + mean for mean, shape in BLOBS]
    labels = range(5) if n_classes == 5 else (0, 1, 1, 1, 1)
    return np.concatenate(parts), np.repeat(labels, [4 * n_blob] + [n_blob] * 4)


def with_noise(rng, X):
    return X + rng.normal(scale=NOISE, size=X.shape)


def target(rng, n_rows, n_classes, noise):
    """Rows chosen near the center, and their labels."""
    X, y = draw(rng, POOL * n_rows, n_classes)
    seen = with_noise(rng, X)
    deciding = seen if noise == "before" else X
    probability = np.exp(-STEEPNESS * ((deciding - CENTER) ** 2).sum(axis=1))
    chosen = rng.choice(len(X), n_rows, replace=False, p=probability / probability.sum())
    return seen[chosen], y[chosen]


def problem(seed, noise, n_classes, n_rows):
    """Source rows and labels, target rows, and further target rows with the labels to judge by."""
    rng = np.random.default_rng([seed, n_rows, n_classes])
    X, y = draw(rng, n_rows, n_classes)
    X = with_noise(rng, X)
    X_target, _ = target(rng, n_rows, n_classes, noise)
    # As many at a time as there: who is chosen depends a little on how many of the pool are.
    parts = [target(rng, n_rows, n_classes, noise) for _ in range(-(-JUDGED // n_rows))]
    return X, y, X_target, *(np.concatenate(part) for part in zip(*parts, strict=True))


def moved(noise, n_classes, n_rows=MANY):
    """Points of accuracy on the target that training on it brings to a flexible model with many rows of either."""
    rng = np.random.default_rng(0)
    X, y = draw(rng, 8 * n_rows, n_classes)
    samples = (with_noise(rng, X), y), target(rng, n_rows, n_classes, noise)
    judged = target(rng, n_rows, n_classes, noise)
    first, second = (HistGradientBoostingClassifier(random_state=0).fit(*rows).score(*judged) for rows in samples)
    return POINTS * (second - first)


def judge(model, X, y):
    """Accuracy in points and, of a learner that gives probabilities, log loss in millinats."""
    accuracy, log_loss = POINTS * float(np.mean(model.predict(X) == y)), None
    if hasattr(model, "predict_proba"):
        own = model.predict_proba(X)[np.arange(len(y)), np.searchsorted(model.classes_, y)]
        log_loss = -MILLINATS * float(np.log(np.maximum(own, LEAST_PROBABILITY)).mean())
    return {
        "accuracy": accuracy,
        "log_loss": log_loss,
        "exponent": model.exponent_,
        "verdict": str(model.summary_.verdict),
    }


def fitted(learner, weighter, exponent, seed, X, y, X_target):
    estimator, weighter = LEARNERS[learner](seed), WEIGHTERS[weighter]()
    model = CovariateShiftClassifier(estimator, weighter, exponent=exponent, random_state=seed)
    return model.fit(X, y, X_target=X_target)


def records_of(seed, setting, learners):
    """One record for each learner, weighter and exponent."""
    X, y, X_target, *judged = problem(seed, *setting)
    for learner in learners:
        # Whatever the weights: they are not used.
        plain = judge(fitted(learner, "linear", 0.0, seed, X, y, X_target), *judged)
        for weighter in WEIGHTERS:
            key = {"weighter": weighter, "learner": learner, "seed": seed}
            yield key | {"method": "none"} | plain
            for method, exponent in (("one", 1.0), ("cv", "cv")):
                model = fitted(learner, weighter, exponent, seed, X, y, X_target)
                yield key | {"method": method} | judge(model, *judged)


def records(settings, n_seeds, learners, say=lambda text: None):
    """Records of all settings; ``n_seeds`` for each where it is not None."""
    for *setting, usual in settings:
        key = dict(zip(("noise", "n_classes", "n_rows"), setting, strict=True))
        for seed in range(n_seeds or usual):
            yield from (key | record for record in records_of(seed, setting, learners))
        say(", ".join(str(value) for value in setting))


def change(rows, method, key, sign):
    """Mean change against no weights for the better, and its standard error; (None, None) without that loss."""
    if rows["none"][0][key] is None:
        return None, None
    values = [sign * (row[key] - beside[key]) for row, beside in zip(rows[method], rows["none"], strict=True)]
    return float(np.mean(values)), float(np.std(values) / np.sqrt(len(values)))


def summary(found):
    """One row for each setting, weighter and learner."""
    groups = defaultdict(lambda: defaultdict(list))
    names = ("noise", "n_classes", "n_rows", "weighter", "learner")
    for record in found:
        groups[tuple(record[name] for name in names)][record["method"]].append(record)
    table = []
    for key, rows in groups.items():
        row = dict(zip(names, key, strict=True)) | {"n": len(rows["none"])}
        row["accuracy"] = float(np.mean([record["accuracy"] for record in rows["none"]]))
        row["abstained"] = float(np.mean([record["verdict"] == "abstain" for record in rows["one"]]))
        for method in ("one", "cv"):
            row[f"{method}_points"], row[f"{method}_points_error"] = change(rows, method, "accuracy", 1)
            row[f"{method}_mn"], row[f"{method}_mn_error"] = change(rows, method, "log_loss", -1)
        row["acted"] = float(np.mean([record["exponent"] > 0 for record in rows["cv"]]))
        table.append(row)
    return table


def kept(rows):
    """Share of the points gained by full weights that the default keeps: over all rows, and where they clearly help."""

    def share(some):
        gain = sum(row["one_points"] for row in some)
        return sum(row["cv_points"] for row in some) / gain if gain > 0 else None

    return {"all": share(rows), "helped": share([r for r in rows if r["one_points"] > CLEARLY * r["one_points_error"]])}


def shares(table):
    """``kept`` of each setting and weighter, the learners together."""
    groups = defaultdict(list)
    for row in table:
        groups[row["noise"], row["n_classes"], row["n_rows"], row["weighter"]].append(row)
    return [
        dict(zip(("noise", "n_classes", "n_rows", "weighter"), key, strict=True)) | kept(rows)
        for key, rows in groups.items()
    ]


LEGEND = """
points: mean change of accuracy against no weights, and its standard error; mn: of the log loss in millinats, where the
learner gives probabilities; more is better. one: full weights. cv: the default. acted: share of problems it weighted.
kept: share of the points gained by full weights that the default keeps, of all learners, and of those that are helped.
"""
SETTING = (("noise", "", 7), ("n_classes", "", 10), ("n_rows", "", 7), ("weighter", "", 10))
COLUMNS = (
    *SETTING,
    ("learner", "", 16),
    ("n", "", 4),
    ("accuracy", ".1f", 9),
    ("one_points", "+.2f", 11),
    ("one_points_error", ".2f", 17),
    ("cv_points", "+.2f", 10),
    ("cv_points_error", ".2f", 16),
    ("one_mn", "+.0f", 7),
    ("cv_mn", "+.0f", 6),
    ("acted", ".0%", 6),
)
KEPT = (*SETTING, ("all", ".0%", 6), ("helped", ".0%", 7))


def text(rows, columns):
    """A table to print; blank where there is nothing to tell."""
    lines = ["".join(f"{name:<{width}} " for name, _, width in columns)]
    for row in rows:
        cells = ("" if row[name] is None else format(row[name], form) for name, form, _ in columns)
        lines.append("".join(f"{told:<{width}} " for told, (_, _, width) in zip(cells, columns, strict=True)))
    return "\n".join(lines)


def main(argv=None):
    made = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.simulated_covariate", description=__doc__.splitlines()[0]
    )
    made.add_argument("--quick", action="store_true", help="the published set, three seeds")
    made.add_argument("--seeds", type=int, help="how many, instead of 5 to 20")
    made.add_argument("--learners", type=lambda names: names.split(","), default=list(LEARNERS))
    made.add_argument("--out", type=Path, help="file of JSON")
    asked = made.parse_args(argv)
    settings, start = QUICK if asked.quick else WHOLE, time.time()
    say = lambda told: print(told, file=sys.stderr, flush=True)  # noqa: E731, T201
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = summary(records(settings, asked.seeds, asked.learners, say))
        gaps = {f"{noise}, {k} classes": moved(noise, k) for noise, k in dict.fromkeys(s[:2] for s in settings)}
    shares_kept = shares(table)
    sys.stdout.write(
        f"{LEGEND}\n{text(table, COLUMNS)}\n\nkept\n{text(shares_kept, KEPT)}\n\np(y | x) moved by points: "
    )
    sys.stdout.write("; ".join(f"{name}: {gap:+.1f}" for name, gap in gaps.items()) + "\n")
    if asked.out is not None:
        told = {"seconds": round(time.time() - start), "moved": gaps}
        told |= {"shares_kept": shares_kept, "table": table}
        asked.out.write_text(json.dumps(told).replace("}, {", "},\n{") + "\n")


if __name__ == "__main__":
    main()
