"""How often conformal sets of level .9 hold the truth on the target, and their size; ``results/conformal.json``.

    PYTHONPATH=. python -m tests.statistical.measure_conformal [--draws 1000] [--rows 1000] [--only NAME ...]

Covariate shift: three unit normal columns of which the target's first is moved by 1 (a source row in 2.7 counts);
values are a curve plus noise that grows along the moved column, fitted by a line; the three classes are the harder to
tell the further along it. Label shift: three unit normal classes in the plane, the last between the others, shares
(.5, .3, .2) to (.1, .2, .7). 1,000 source rows, 500 target rows, 500 rows judged in each draw. Coverage is the mean
over the draws, with its standard error; "worst" the mean less 1.64 standard deviations of a draw. Finite is the share
of sets that are not everything for want of calibration rows; sizes are of finite intervals, and of all sets.
"""

import argparse
import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from scipy.special import expit, softmax
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, QuantileRegressor

from shiftfix.conformal import ConformalClassifier, ConformalRegressor
from shiftfix.corrected import TargetSample
from shiftfix.covariate import ClassifierWeighter
from shiftfix.datasets import load
from shiftfix.exceptions import DatasetNotFoundError
from shiftfix.label import MLLS
from tests.conformal.brute_force import KnownTilt

RESULTS = Path(__file__).parent / "results" / "conformal.json"
LEVEL, N_DRAWS, N_SOURCE = 0.9, 1000, 1000
N_TARGET, N_JUDGED, N_COLUMNS = 500, 500, 3
ROWS = {"source": N_SOURCE}  # of a draw, by --rows
SLOPE = np.array([1.0, 0.0, 0.0])
SHARES, TARGET_SHARES = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.2, 0.7])
CENTERS = np.array([[-1.5, 0.0], [1.5, 0.0], [0.0, 0.8]])
CLASS_SLOPES = np.array([[0.0, 0.0, 0.0], [0.0, 1.5, 1.0], [0.0, -1.0, 1.5]])


def true_ratio():
    return KnownTilt(tuple(SLOPE), 0.5)


def sizes_of_noise(X):
    return 0.4 + 1.2 * expit(2 * X[:, 0] - 1)


def values(rng, X, concept=0.0):
    return X[:, 0] + X[:, 1] + 0.3 * X[:, 0] ** 2 + concept + sizes_of_noise(X) * rng.normal(size=len(X))


def posteriors(X):
    return softmax(4 * expit(-2 * X[:, :1]) * (X @ CLASS_SLOPES.T), axis=1)


def drawn(rng, proba):
    return (rng.random((len(proba), 1)) > np.cumsum(proba, axis=1)).sum(axis=1).clip(max=proba.shape[1] - 1)


def features(rng, n_rows, moved):
    return rng.normal(size=(n_rows, N_COLUMNS)) + moved * SLOPE


def three_features(rng):
    """Source, target and judged rows."""
    return features(rng, ROWS["source"], 0), features(rng, N_TARGET, 1), features(rng, N_JUDGED, 1)


def judged_intervals(model, X, y):
    found = model.predict_interval(X, LEVEL)
    finite = np.isfinite(found).all(axis=1)
    width = np.mean(np.diff(found[finite], axis=1)) if finite.any() else np.nan
    return np.mean((found[:, 0] <= y) & (y <= found[:, 1])), np.mean(finite), width, model.effective_size_


def judged_sets(model, X, y):
    found = model.predict_set(X, LEVEL)
    places = np.searchsorted(model.classes_, y)
    told = model.summarize(X, LEVEL)
    return np.mean(found[np.arange(len(y)), places]), 1 - told.infinite_share, told.size, told.effective_size


def regression(rng, options, target=True):
    X, X_target, X_new = three_features(rng)
    y, y_new = values(rng, X), values(rng, X_new)
    learner = QuantileRegressor(alpha=0) if options.get("conformity_score") == "cqr" else LinearRegression()
    model = ConformalRegressor(learner, **options).fit(X, y, X_target if target else None)
    return judged_intervals(model, X_new, y_new)


def classification(rng, options, target=True):
    X, X_target, X_new = three_features(rng)
    y, y_new = drawn(rng, posteriors(X)), drawn(rng, posteriors(X_new))
    model = ConformalClassifier(LogisticRegression(), **options).fit(X, y, X_target if target else None)
    return judged_sets(model, X_new, y_new)


def class_rows(rng, shares, n_rows):
    y = rng.choice(3, n_rows, p=shares)
    return CENTERS[y] + rng.normal(size=(n_rows, 2)), y


def label_shift(rng, options, target=True):
    X, y = class_rows(rng, SHARES, ROWS["source"])
    X_target, _ = class_rows(rng, TARGET_SHARES, N_TARGET)
    X_new, y_new = class_rows(rng, TARGET_SHARES, N_JUDGED)
    model = ConformalClassifier(LogisticRegression(), **options).fit(X, y, X_target if target else None)
    return judged_sets(model, X_new, y_new)


def with_labels(rng, n_labels, concept, use):
    X, X_target, X_new = three_features(rng)
    y, y_target, y_new = values(rng, X), values(rng, X_target, concept), values(rng, X_new, concept)
    few = TargetSample(X_target, y=y_target[:n_labels], rows=np.arange(n_labels))
    return judged_intervals(ConformalRegressor(LinearRegression(), use_labels=use).fit(X, y, few), X_new, y_new)


def airfoil_data():
    try:
        data = load("airfoil", log_columns=True)
    except DatasetNotFoundError as error:
        sys.stdout.write(f"airfoil is left out: {error}\n")
        return None
    return data.data, data.target


def tilted(rng, w, share=0.25):
    """Rows kept with probability in proportion to the weight, over and over until a share of them is there."""
    rows = np.empty(0, dtype=int)
    while len(rows) <= len(w) * share:
        rows = np.concatenate([rows, np.flatnonzero(rng.random(len(w)) <= w / w.max())])
    return rows


def airfoil(rng, options, data, weighted):
    """Half of the rows train and calibrate, of the other half a tilted quarter is judged."""
    X, y = data
    order = rng.permutation(len(y))
    source, pool = order[: len(y) // 2], order[len(y) // 2 :]
    judged = pool[tilted(rng, np.exp(X[pool, 4] - X[pool, 0]))]
    options = dict(options)
    learner = options.pop("learner", LinearRegression())
    model = ConformalRegressor(learner, **options).fit(X[source], y[source], X[judged] if weighted else None)
    return judged_intervals(model, X[judged], y[judged])


def oracle_widths():
    """Mean width of the best interval of one width around the best line, and of the best interval at every row."""
    rng = np.random.default_rng(0)
    X, X_fit = features(rng, 400_000, 1), features(rng, 400_000, 0)
    line = LinearRegression().fit(X_fit, values(rng, X_fit))
    residual = np.abs(values(rng, X) - line.predict(X))
    scale = sizes_of_noise(X)
    return {"one width, best line": 2 * np.quantile(residual, LEVEL), "true quantiles": 2 * 1.6448536 * scale.mean()}


def oracle_sizes():
    """Mean size of the smallest sets by the true posteriors of the target."""
    rng = np.random.default_rng(0)
    found = {}
    proba = posteriors(features(rng, 200_000, 1))
    densities = np.exp(-0.5 * ((class_rows(rng, TARGET_SHARES, 200_000)[0][:, None] - CENTERS) ** 2).sum(axis=2))
    at_target = densities * TARGET_SHARES
    for name, said in (("covariate", proba), ("label", at_target / at_target.sum(axis=1, keepdims=True))):
        ordered = np.sort(said.ravel())[::-1]
        least = ordered[np.searchsorted(np.cumsum(ordered), LEVEL * len(said))]
        found[name] = (said >= least).sum(axis=1).mean()
    return found


def seconds():
    """CPU seconds for 100,000 target rows, after a fit on 20,000."""
    rng = np.random.default_rng(0)
    X, X_target, X_new = features(rng, 20_000, 0), features(rng, 5000, 1), features(rng, 100_000, 1)
    told = {}
    for cv in (None, 5):
        sets = ConformalClassifier(LogisticRegression(), cv=cv).fit(X, drawn(rng, posteriors(X)), X_target)
        intervals = ConformalRegressor(LinearRegression(), cv=cv).fit(X, values(rng, X), X_target)
        for name, ask in (("sets", sets.predict_set), ("intervals", intervals.predict_interval)):
            start = time.process_time()
            ask(X_new)
            told[f"{name}, {'split' if cv is None else f'{cv} folds'}"] = time.process_time() - start
    return told


def studies():
    """Name to what one draw does."""
    tell = {}
    estimated = {
        "cross-fitted": ClassifierWeighter(LogisticRegression(C=10), cv=5, random_state=0),
    }
    for score in ("absolute", "normalized", "cqr"):
        tell[f"regression, {score}, unweighted"] = lambda rng, s=score: regression(rng, {"conformity_score": s}, False)
        tell[f"regression, {score}, true weights"] = lambda rng, s=score: regression(
            rng, {"conformity_score": s, "weighter": true_ratio()}
        )
        tell[f"regression, {score}, logistic"] = lambda rng, s=score: regression(rng, {"conformity_score": s})
    tell["regression, absolute, cross-fitted classifier"] = lambda rng: regression(
        rng, {"weighter": estimated["cross-fitted"]}
    )
    for clip in ("sqrt", 5.0, 10.0):
        tell[f"regression, absolute, true weights, clip {clip}"] = lambda rng, c=clip: regression(
            rng, {"weighter": true_ratio(), "clip": c}
        )
    for score in ("absolute", "normalized"):
        tell[f"regression, {score}, 5 folds, true weights"] = lambda rng, s=score: regression(
            rng, {"conformity_score": s, "cv": 5, "weighter": true_ratio()}
        )
        tell[f"regression, {score}, 5 folds, logistic"] = lambda rng, s=score: regression(
            rng, {"conformity_score": s, "cv": 5}
        )
    for score in ("lac", "aps"):
        tell[f"classes, {score}, unweighted"] = lambda rng, s=score: classification(rng, {"conformity_score": s}, False)
        tell[f"classes, {score}, true weights"] = lambda rng, s=score: classification(
            rng, {"conformity_score": s, "weighter": true_ratio()}
        )
        tell[f"classes, {score}, logistic"] = lambda rng, s=score: classification(rng, {"conformity_score": s})
        tell[f"classes, {score}, 5 folds, logistic"] = lambda rng, s=score: classification(
            rng, {"conformity_score": s, "cv": 5}
        )
        tell[f"label shift, {score}, unweighted"] = lambda rng, s=score: label_shift(
            rng, {"conformity_score": s}, False
        )
        tell[f"label shift, {score}, true shares"] = lambda rng, s=score: label_shift(
            rng, {"conformity_score": s, "prior": TARGET_SHARES}
        )
        tell[f"label shift, {score}, MLLS"] = lambda rng, s=score: label_shift(
            rng, {"conformity_score": s, "prior": MLLS("bcts", n_bootstrap=0)}
        )
        tell[f"label shift, {score}, by class"] = lambda rng, s=score: label_shift(
            rng, {"conformity_score": s, "conditional": "class"}
        )
        tell[f"label shift, {score}, by class, scores by MLLS"] = lambda rng, s=score: label_shift(
            rng, {"conformity_score": s, "conditional": "class", "prior": MLLS("bcts", n_bootstrap=0)}
        )
    tell["label shift, lac, 5 folds, MLLS"] = lambda rng: label_shift(
        rng, {"cv": 5, "prior": MLLS("bcts", n_bootstrap=0)}
    )
    for concept, kind in ((0.0, "covariate"), (1.0, "concept")):
        for n_labels in (25, 50, 100, 200):
            for use in ("auto", "combine", "alone"):
                tell[f"{n_labels} labels, {kind} shift, {use}"] = lambda rng, m=n_labels, c=concept, u=use: with_labels(
                    rng, m, c, u
                )
    data = airfoil_data()
    if data is not None:
        tilt = KnownTilt((-1.0, 0.0, 0.0, 0.0, 1.0), 0.0)
        forest = RandomForestRegressor(50, min_samples_leaf=3, random_state=0)
        for name, options, weighted in (
            ("unweighted", {}, False),
            ("true weights", {"weighter": tilt}, True),
            ("logistic", {}, True),
            ("normalized, true weights", {"conformity_score": "normalized", "weighter": tilt}, True),
            ("5 folds, true weights", {"cv": 5, "weighter": tilt}, True),
        ):
            tell[f"airfoil, {name}"] = lambda rng, o=options, w=weighted: airfoil(rng, o, data, w)
        tell["airfoil, forest, logistic (100 draws)"] = lambda rng: airfoil(rng, {"learner": forest}, data, True)
    return tell


def study(draw, n_draws):
    """Coverage, its standard error, finite share, size and effective rows over the draws."""
    parts = [draw(np.random.default_rng([seed, 1])) for seed in range(n_draws)]
    covered, finite, size, effective = np.array(parts, dtype=float).T
    told = {
        "coverage": covered.mean(),
        "se": covered.std(ddof=1) / np.sqrt(n_draws),
        "worst": covered.mean() - 1.64 * covered.std(ddof=1),
        "finite": finite.mean(),
        "size": np.nanmean(size),
        "effective": effective.mean(),
    }
    enough = effective >= 100
    if enough.any():
        told["finite_from_100"] = finite[enough].mean()
    return {key: round(float(value), 4) for key, value in told.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=N_DRAWS)
    parser.add_argument("--only", nargs="+", default=[""], help="parts of names of studies")
    parser.add_argument("--rows", type=int, default=N_SOURCE, help="source rows")
    chosen = parser.parse_args()
    ROWS["source"] = chosen.rows
    more = "" if chosen.rows == N_SOURCE else f", {chosen.rows} source rows"
    start = time.time()
    told = {"level": LEVEL, "oracle_widths": oracle_widths(), "oracle_sizes": oracle_sizes(), "cpu_seconds": seconds()}
    found = json.loads(RESULTS.read_text())["found"] if RESULTS.exists() else {}
    for name, draw in studies().items():
        if not any(part in name for part in chosen.only):
            continue
        n_draws = min(chosen.draws, 100) if "100 draws" in name else chosen.draws
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found[name + more] = study(draw, n_draws) | {"draws": n_draws}
        sys.stdout.write(f"{name + more:50s} {found[name + more]}\n")
        sys.stdout.flush()
        RESULTS.write_text(json.dumps(told | {"seconds": round(time.time() - start), "found": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
