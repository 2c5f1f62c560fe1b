"""Time and memory of LogisticWeighter beside scikit-learn's solvers, at one final gradient norm. Prints JSON.

    python tests/benchmarks/bench_logistic.py [n_rows [repeats]]

Each measurement is a process of its own. Ours is the whole ``fit`` (checks, standardisation, solver, weights, summary)
on raw rows; scikit-learn's is ``LogisticRegression.fit`` alone, on rows that were standardised and stacked before the
clock. "uncorrelated": 50 independent features; "correlated": every pair with correlation .99. The samples are half
the rows each, their means .5 apart in Euclidean norm. Every solver's tolerance is lowered until its gradient (the
largest entry, of the mean loss over standardised columns) is at most 1e-7; ``gradient`` says what it reached.
"""

import json
import resource
import statistics
import subprocess
import sys
import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from shiftfix.covariate import LogisticWeighter

GRADIENT = 1e-7
N_FEATURES = 50


def make(n_rows, design):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, N_FEATURES))
    if design == "correlated":
        X *= 0.1
        X += rng.normal(size=(len(X), 1))
    X[n_rows // 2 :] += 0.5 / np.sqrt(N_FEATURES)
    return X


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MB


def fit_ours(X):
    half = len(X) // 2
    LogisticWeighter().fit(X[:500], X[-500:])  # imports
    before = peak()
    start = time.perf_counter()
    weighter = LogisticWeighter(tol=GRADIENT).fit(X[:half], X[half:])
    return time.perf_counter() - start, weighter.gradient_norm_, before


def fit_theirs(X, solver):
    domain = np.repeat([-1, 1], len(X) // 2)
    for column in X.T:
        column -= column.mean()
        column /= column.std()
    LogisticRegression(solver=solver).fit(X[::1000], domain[::1000])
    tolerance = GRADIENT
    before = peak()
    while True:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            start = time.perf_counter()
            model = LogisticRegression(solver=solver, tol=tolerance, max_iter=10000).fit(X, domain)
            seconds = time.perf_counter() - start
        residual = 1 / (1 + np.exp(-model.decision_function(X))) - (domain > 0)
        gradient = np.append(residual.sum(), X.T @ residual + model.coef_[0]) / len(X)
        if np.abs(gradient).max() <= GRADIENT or tolerance < 1e-12:
            return seconds, np.abs(gradient).max(), before
        tolerance /= 10


def measure(n_rows, design, method):
    X = make(n_rows, design)
    seconds, gradient, before = fit_ours(X) if method == "ours" else fit_theirs(X, method)
    return {"seconds": seconds, "gradient": float(gradient), "extra_mb": peak() - before}


def run(n_rows, design, method, repeats):
    runs = []
    for _ in range(repeats):
        command = [sys.executable, __file__, "--one", str(n_rows), design, method]
        runs.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    seconds = [r["seconds"] for r in runs]
    return runs[0] | {"seconds": statistics.median(seconds), "seconds_range": [min(seconds), max(seconds)]}


def main(n_rows=1_000_000, repeats=3):
    results: dict = {"n_rows": n_rows, "n_features": N_FEATURES, "repeats": repeats}
    for design in ("uncorrelated", "correlated"):
        methods = ["ours", "lbfgs", "newton-cholesky"]
        found = {
            method: run(n_rows, design, method, repeats if method != "newton-cholesky" else 1) for method in methods
        }
        found["ours / lbfgs"] = found["ours"]["seconds"] / found["lbfgs"]["seconds"]
        found["ours / newton-cholesky"] = found["ours"]["seconds"] / found["newton-cholesky"]["seconds"]
        results[design] = found
    sizes = [n_rows // 100, n_rows // 10, n_rows]
    seconds = [run(n, "uncorrelated", "ours", repeats)["seconds"] for n in sizes]
    results["scaling"] = {
        str(n): {"seconds": s, "us_per_row": 1e6 * s / n} for n, s in zip(sizes, seconds, strict=True)
    }
    sys.stdout.write(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        sys.stdout.write(json.dumps(measure(int(sys.argv[2]), *sys.argv[3:5])))
    else:
        main(*map(int, sys.argv[1:3]))
