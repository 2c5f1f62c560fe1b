"""Coverage, width and bias of the estimates of the risk on the target, kept in ``results/target_risk.json``.

    PYTHONPATH=. python -m tests.statistical.measure_target_risk [--draws N] [--seed S] [--methods A,B] [PART ...]

PART is a key of ``STUDIES``; none means all. The model is fitted once to rows of its own, and the truth is its risk
over half a million target rows.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from shiftfix.covariate import LogisticWeighter
from shiftfix.risk import compare_risks, target_risk
from shiftfix.risk._loss_model import expected_losses
from shiftfix.risk._ppi import ppi_mean
from shiftfix.risk._problem import read_problem

RESULTS = Path(__file__).parent / "results" / "target_risk.json"
UNLABELLED = ("source", "importance", "control_variate", "doubly_robust", "label_shift", "cbpe", "pape", "atc", "doc")
LABELLED = ("labels", "ppi")
MANY = 500_000
# Draws behind an interval here: the error of its standard error, a fourteenth, hides nothing.
N_BOOTSTRAP = 100


def gaussian_rows(rng, n, mean, spread=1.0, d=3):
    return rng.normal(np.broadcast_to(mean, d), spread, (n, d))


def labels_at(rng, X, slope=1.5, tilt=0.0):
    """Labels whose log odds are linear but for a square, so that a logistic model is somewhat wrong."""
    return (rng.uniform(size=len(X)) < expit(slope * X[:, 0] - X[:, 1] + 0.3 * X[:, 0] ** 2 + tilt)).astype(int)


def none(rng, n):
    X = gaussian_rows(rng, n, 0.0)
    return X, labels_at(rng, X)


def covariate(rng, n):
    """Another mean: the log ratio is linear, and the weights have a second moment."""
    X = gaussian_rows(rng, n, [0.6, -0.4, 0.0])
    return X, labels_at(rng, X)


def hard(rng, n):
    """More rows at the boundary, along which the mean of the third feature moves too."""
    X = gaussian_rows(rng, n, 0.0)
    X[:, 0] *= 0.5
    return X, labels_at(rng, X)


def wide(rng, n):
    """Other spreads: no linear log ratio balances the squares."""
    X = gaussian_rows(rng, n, 0.0, 1.3)
    return X, labels_at(rng, X)


def label(rng, n):
    """Rows of the source's classes, with 85% of class 1."""
    X, y = none(rng, 8 * n + 200)
    wanted = rng.uniform(size=n) < 0.85
    pools = [rng.permutation(np.flatnonzero(y == k)) for k in (0, 1)]
    rows = np.where(wanted, pools[1][:n], pools[0][:n])
    return X[rows], y[rows]


def concept(rng, n):
    X = gaussian_rows(rng, n, [0.3, 0.0, 0.0])
    return X, labels_at(rng, X, slope=0.5, tilt=-0.5)


def noisy_source(rng, n):
    """Where the third feature is above .5 labels are a coin's, which no linear score can tell."""
    X, y = none(rng, n)
    return X, np.where(X[:, 2] > 0.5, rng.integers(0, 2, n), y)


def noisy(rng, n):
    """More rows of the noisy region."""
    X = gaussian_rows(rng, n, [0.0, 0.0, 0.8])
    return X, np.where(X[:, 2] > 0.5, rng.integers(0, 2, n), labels_at(rng, X))


SOURCES = {"noisy": noisy_source}
SHIFTS = {f.__name__: f for f in (none, covariate, hard, wide, noisy, label, concept)}


def fitted_model(source=none):
    rng = np.random.default_rng(12345)
    return LogisticRegression().fit(*source(rng, 1000))


def truth_of(model, shift, metric):
    X, y = SHIFTS[shift](np.random.default_rng(999), MANY)
    if metric == "accuracy":
        return float(model.score(X, y))
    P = model.predict_proba(X)
    return float(-np.log(np.maximum(P[np.arange(len(y)), y], 1e-6)).mean())


def covered(
    shift, n, *, metric="accuracy", methods=UNLABELLED, n_labels=0, n_draws=100, seed=0, n_target=None, **known
):
    """Of each method: share of intervals that hold the truth, mean bias, spread, mean error told, width, refusals."""
    model = fitted_model()
    truth = truth_of(model, shift, metric)
    told = {m: [] for m in methods}
    for draw in range(n_draws):
        rng = np.random.default_rng([seed, draw])
        X, y = none(rng, n)
        X_target, y_target = SHIFTS[shift](rng, n_target or n)
        labels = {"target_labels": y_target[:n_labels]} if n_labels else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            both = compare_risks(
                model,
                X,
                y,
                X_target,
                metric=metric,
                methods=methods,
                n_bootstrap=N_BOOTSTRAP,
                n_worlds=0,
                random_state=draw,
                **labels,
                **known,
            )
        for m, r in both.estimates.items():
            told[m].append((r.value, r.low, r.high, r.standard_error, r.verdict == "abstain"))
    found = {}
    for m, rows in told.items():
        value, low, high, error, refused = np.array(rows, dtype=float).T
        kept = refused == 0
        acted = (
            {}
            if not kept.any()
            else {
                "coverage": float(np.mean((low <= truth) & (truth <= high), where=kept)),
                "width": float(np.mean(high - low, where=kept)),
                "error_told": float(np.mean(error, where=kept)),
            }
        )
        found[m] = acted | {
            "bias": float(np.mean(value) - truth),
            "spread": float(np.std(value)),
            "refused": float(refused.mean()),
        }
    return {"truth": truth, "n_draws": n_draws, "methods": found}


def bias_of(shift, *, n=4000, methods=UNLABELLED, n_draws=10, seed=0):
    """Mean error of every method in many rows, with a ratio that knows squares."""
    source = SOURCES.get(shift, none)
    model = fitted_model(source)
    truth, errors = truth_of(model, shift, "accuracy"), []
    for draw in range(n_draws):
        rng = np.random.default_rng([seed, draw])
        (X, y), (X_target, _) = source(rng, n), SHIFTS[shift](rng, n)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            weighter = LogisticWeighter(features="squares")
            both = compare_risks(model, X, y, X_target, methods=methods, weighter=weighter, n_bootstrap=2, n_worlds=0)
        errors.append([both[m].value - truth for m in methods])
    mean, error = np.mean(errors, axis=0), np.std(errors, axis=0) / np.sqrt(n_draws)
    told = {m: {"bias": float(b), "error": float(e)} for m, b, e in zip(methods, mean, error, strict=True)}
    return {"truth": truth, "n_draws": n_draws, "methods": told}


def narrower(shift, n_labels, *, n_draws=100, seed=0, n=1000, n_target=2000):
    """Variance by PPI++ over that of labels alone: as told, as it comes out, and 1 - r^2 / (1 + n / N) of theory."""
    model, told = fitted_model(), []
    for draw in range(n_draws):
        rng = np.random.default_rng([seed, draw])
        (X, y), (X_target, y_target) = none(rng, n), SHIFTS[shift](rng, n_target)
        given = {"metric": "log_loss", "quantile": 0.5, "rows": None, "sampling_probability": None, "groups": None}
        problem = read_problem(model, X, y, X_target, target_labels=y_target, rng=rng, **given)
        rows, labels = problem.known.rows, problem.known.y
        scores = expected_losses(problem, None, rng).target[rows]
        losses = problem.losses(problem.target.at(rows), labels)
        theory = 1 - np.corrcoef(losses, scores)[0, 1] ** 2 / (1 + n_labels / (n_target - n_labels))
        known, others = slice(n_labels), slice(n_labels, None)
        helped, alone = (ppi_mean(losses[known], scores[known], scores[others], power) for power in (None, 0))
        told.append((helped.variance / alone.variance, theory, helped.mean, alone.mean))
    ratio, theory, helped, alone = np.array(told).T
    found = {"told": ratio.mean(), "theory": theory.mean(), "of_estimates": helped.var() / alone.var()}
    truth = truth_of(model, shift, "log_loss")
    found = {key: round(float(value), 4) for key, value in found.items()}
    return {"truth": truth, "n_draws": n_draws, "methods": {"variance of ppi / labels": found}}


def looked_at_often(shift, *, n_labels=400, n_target=2000, n_draws=100, seed=0):
    """Of the interval at any time: the last is that of all looks together."""
    sizes = {"n_labels": n_labels, "n_target": n_target, "n_draws": n_draws, "seed": seed}
    return covered(shift, 1000, methods=("ppi_sequential", "ppi"), **sizes)


def of_groups(shift, *, n_labels=200, n_target=2000, n_draws=100, seed=0):
    """Share of draws in which the intervals of the whole target and of its four quarters all hold."""
    model = fitted_model()
    quarters = lambda X: 2 * (X[:, 0] > 0) + (X[:, 1] > 0)  # noqa: E731
    X, y = SHIFTS[shift](np.random.default_rng(999), MANY)
    right, of_row = model.predict(X) == y, quarters(X)
    truths = np.array([right.mean(), *(right[of_row == k].mean() for k in range(4))])
    held = []
    for draw in range(n_draws):
        rng = np.random.default_rng([seed, draw])
        X, y = none(rng, 1000)
        X_target, y_target = SHIFTS[shift](rng, n_target)
        groups = quarters(X), quarters(X_target)
        given = {"target_labels": y_target[:n_labels], "groups": groups, "method": "ppi", "random_state": draw}
        found = target_risk(model, X, y, X_target, **given)
        rows = np.array([[r.low, r.high] for r in (found, *found.groups)])
        held.append((rows[:, 0] <= truths) & (truths <= rows[:, 1]))
    told = {"all": np.all(held, axis=1).mean(), "least of one": np.mean(held, axis=0).min()}
    told = {key: round(float(value), 4) for key, value in told.items()}
    return {"truth": float(truths[0]), "n_draws": n_draws, "methods": {"ppi": told}}


STUDIES = {
    **{f"bias, {shift}": (lambda shift=shift, **k: bias_of(shift, **k)) for shift in SHIFTS},
    **{
        f"narrower, 100 labels, {shift}": (lambda shift=shift, **k: narrower(shift, 100, **k))
        for shift in ("none", "covariate", "label", "concept")
    },
    "no shift, 300": lambda **k: covered("none", 300, **k),
    "no shift, 1000": lambda **k: covered("none", 1000, **k),
    "covariate, 300": lambda **k: covered("covariate", 300, **k),
    "covariate, 1000": lambda **k: covered("covariate", 1000, **k),
    "hard, 1000": lambda **k: covered("hard", 1000, **k),
    "wide, 1000": lambda **k: covered("wide", 1000, **k),
    "wrong linear ratio, 1000": lambda **k: covered("wide", 1000, weighter=LogisticWeighter(), **k),
    "label, 300": lambda **k: covered("label", 300, **k),
    "label, 1000": lambda **k: covered("label", 1000, **k),
    "concept, 1000": lambda **k: covered("concept", 1000, **k),
    "log loss, covariate, 300": lambda **k: covered("covariate", 300, metric="log_loss", **k),
    **{
        f"{n_labels} labels, {shift}": (
            lambda shift=shift, n_labels=n_labels, **k: covered(
                shift, 1000, methods=LABELLED, n_labels=n_labels, n_target=2000, **k
            )
        )
        for shift in SHIFTS
        for n_labels in (50, 100)
    },
    **{f"at any of 400 labels, {shift}": (lambda shift=shift, **k: looked_at_often(shift, **k)) for shift in SHIFTS},
    **{f"groups, 200 labels, {shift}": (lambda shift=shift, **k: of_groups(shift, **k)) for shift in SHIFTS},
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*")
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--methods", help="Names with commas between; None means those of the study.")
    asked = parser.parse_args()
    chosen = {"methods": tuple(asked.methods.split(","))} if asked.methods else {}
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for part in asked.parts or STUDIES:
        start = time.process_time()
        results[part] = STUDIES[part](n_draws=asked.draws, seed=asked.seed, **chosen) | {"seed": asked.seed}
        results[part]["cpu_seconds"] = round(time.process_time() - start, 1)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        print(part, f"truth {results[part]['truth']:.4f}, {results[part]['cpu_seconds']} s")  # noqa: T201
        for name, told in results[part]["methods"].items():
            print(f"  {name:<18}" + "  ".join(f"{key} {value:.4f}" for key, value in told.items()))  # noqa: T201


if __name__ == "__main__":
    main()
