"""False actions of the exponent chosen by default, and what it keeps where weights help; ``results/exponent.json``.

    PYTHONPATH=. python -m tests.statistical.measure_exponent

Five unit normal columns; the target is moved by .7 along two of them or not at all, and p(y | x) is shared. Logistic
regression is right where the log odds are linear ("line") and wrong where they have squares and products ("curve").
A gain is one of accuracy in points, or of log loss in millinats, over the model without weights, on 4,000 target rows.
"""

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from shiftfix.corrected import CovariateShiftClassifier

RESULTS = Path(__file__).parent / "results" / "exponent.json"
SIZES = (200, 500, 1500)
SLOPE = np.array([1.0, -1.0, 0.5, 0.0, 0.0])
MOVED = np.array([1.0, 0.0, 0.0, 1.0, 0.0])
N_PROBLEMS, N_JUDGED = 250, 4000
POINTS, MILLINATS = 100, 1000


def labelled(rng, X, truth):
    """Labels of rows: logistic, with linear log odds or with curved ones."""
    log_odds = X @ SLOPE
    if truth == "curve":
        log_odds = log_odds + X[:, 0] ** 2 - 1 + X[:, 1] * X[:, 2]
    return (rng.random(len(X)) < expit(log_odds)).astype(int)


def losses(model, X, y):
    """Points of accuracy and millinats of log loss; more is better."""
    proba = model.predict_proba(X)
    own = proba[np.arange(len(y)), y]
    return np.array([POINTS * np.mean(proba.argmax(axis=1) == y), MILLINATS * np.mean(np.log(own))])


def one_problem(truth, shift, n_rows, seed):
    """The exponent chosen, the gains of full weights and those of the choice, each as points and millinats."""
    rng = np.random.default_rng([seed, n_rows, truth == "curve", shift > 0])
    X = rng.normal(size=(n_rows, len(SLOPE)))
    y = labelled(rng, X, truth)
    X_target, X_judged = (rng.normal(size=(n, len(SLOPE))) + shift * MOVED for n in (n_rows, N_JUDGED))
    y_judged = labelled(rng, X_judged, truth)
    found = [
        CovariateShiftClassifier(LogisticRegression(max_iter=1000), exponent=exponent, random_state=seed).fit(
            X, y, X_target=X_target
        )
        for exponent in (0.0, 1.0, "cv")
    ]
    plain, one, chosen = (losses(model, X_judged, y_judged) for model in found)
    return found[-1].exponent_, one - plain, chosen - plain


def study(truth, shift, n_rows, n_problems=N_PROBLEMS):
    exponents, one, chosen = zip(*(one_problem(truth, shift, n_rows, seed) for seed in range(n_problems)), strict=True)
    one, chosen = np.mean(one, axis=0), np.mean(chosen, axis=0)
    told = {"acted": float(np.mean(np.array(exponents) > 0))}
    told |= {"one_points": one[0], "one_mn": one[1], "cv_points": chosen[0], "cv_mn": chosen[1]}
    return told | (
        {"kept_points": chosen[0] / one[0], "kept_mn": chosen[1] / one[1]} if one.min() > 0 and shift else {}
    )


def main():
    start, found = time.time(), {}
    for shift in (0.0, 0.7):
        for truth in ("line", "curve"):
            for n_rows in SIZES:
                key = f"{truth}, moved by {shift}, n={n_rows}"
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found[key] = {name: round(float(value), 3) for name, value in study(truth, shift, n_rows).items()}
                sys.stdout.write(f"{key}: {found[key]}\n")
                sys.stdout.flush()
    told = {"problems": N_PROBLEMS, "seconds": round(time.time() - start), "found": found}
    RESULTS.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
