"""Size, coverage and power of the tests of shift that take labels, kept in ``results/detect_labels.json``.

    PYTHONPATH=. python -m tests.statistical.measure_detect_labels [PART ...]

PART is a key of ``STUDIES``; none means all. Each part is some minutes on one core.
"""

import json
import sys
from pathlib import Path

import numpy as np
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from shiftfix import detect
from shiftfix._verdict import caller_warns
from shiftfix.detect._mechanism import _decide, _hypotheses, _labels_needed, _log_calibrated, log_evidence
from shiftfix.label import MLLS

RESULTS = Path(__file__).parent / "results" / "detect_labels.json"
LEVEL = 0.05
TWO, FIVE = [0.5, 0.5], [0.2] * 5
N_SEQUENCE = 400


def gaussian_classes(rng, y, n_classes, d):
    """Unit normal rows about two centres 2 apart, or five on a circle of radius 2; and the centres."""
    centres = np.zeros((n_classes, d))
    angle = 2 * np.pi * np.arange(n_classes) / n_classes
    centres[:, :2] = np.column_stack([np.cos(angle), np.sin(angle)]) * (1 if n_classes == 2 else 2)
    return centres[y] + rng.normal(size=(len(y), d)), centres


def two_worlds(seed, target_prior, *, n=500, n_target=500, d=10):
    """Scores of a fitted model, and labels of the same target rows in two worlds.

    Under label shift the rows keep their classes; under covariate shift they draw new ones by the source's exact
    posterior. Unlabelled rows cannot tell the two apart. Rows of both samples are scored by the same models, those of
    the folds, that did not see them.
    """
    rng, n_classes = np.random.default_rng(seed), len(target_prior)
    y = rng.choice(n_classes, n)
    X, _ = gaussian_classes(rng, y, n_classes, d)
    y_label = rng.choice(n_classes, n_target, p=target_prior)
    X_target, centres = gaussian_classes(rng, y_label, n_classes, d)
    posterior = np.exp(-0.5 * np.square(X_target[:, np.newaxis] - centres).sum(axis=2))
    posterior /= posterior.sum(axis=1, keepdims=True)
    y_covariate = np.array([rng.choice(n_classes, p=p) for p in posterior])
    scores, scores_target = np.empty((n, n_classes)), np.empty((n_target, n_classes))
    for k, (training, held_out) in enumerate(StratifiedKFold(5, shuffle=True, random_state=0).split(X, y)):
        model = LogisticRegression(max_iter=1000).fit(X[training], y[training])
        scores[held_out], scores_target[k::5] = model.predict_proba(X[held_out]), model.predict_proba(X_target[k::5])
    return scores, y, scores_target, {"label shift": y_label, "covariate shift": y_covariate}


def decided(target_prior, n_trials=300, **sizes):
    """Shares of right decisions by 100 labels, and of false refutations at any time up to 400."""
    right, false, needed = {"label shift": 0, "covariate shift": 0}, {"label shift": 0, "covariate shift": 0}, []
    by_then = {"label shift": [], "covariate shift": []}
    bound = -np.log(LEVEL)
    for seed in range(n_trials):
        scores, y, scores_target, worlds = two_worlds(seed, target_prior, **sizes)
        with caller_warns():
            fitted = MLLS("auto", n_bootstrap=0).fit(scores, y, scores_target)
        hypotheses = _hypotheses(fitted, scores, np.random.default_rng(0))
        log_p = _log_calibrated(fitted, scores_target)
        needed.append(_labels_needed(hypotheses, log_p, (0, 0), bound) or np.inf)
        for truth, labels in worlds.items():
            evidence = log_evidence(hypotheses, log_p[:N_SEQUENCE], labels[:N_SEQUENCE])
            if needed[-1] <= N_SEQUENCE:
                by_then[truth].append(max(e[: needed[-1]].max() for e in evidence) >= bound)
            by_100 = _decide((evidence[0][:100].max(), evidence[1][:100].max()), bound)
            right[truth] += by_100 == truth
            false[truth] += evidence[truth == "label shift"].max() >= bound
    return {
        "right by 100 labels": {truth: times / n_trials for truth, times in right.items()},
        "truth refuted at any time up to 400": {truth: times / n_trials for truth, times in false.items()},
        "labels said to be needed, median": float(np.median(needed)),
        "decided by so many, where at most 400": {
            truth: float(np.mean(found)) if found else None for truth, found in by_then.items()
        },
        "trials": n_trials,
    }


def labelled_problem(seed, kind, n_classes, n, n_labels, d):
    """Logistic classes; "none", "covariate" (one column moved by .5), "intercept" or "rotated" p(y | x)."""
    rng = np.random.default_rng(seed)
    coef = rng.normal(size=(d, n_classes)) * 2 / np.sqrt(d)
    X, X_target = rng.normal(size=(n, d)), rng.normal(size=(n, d))
    X_target[:, 0] += 0.5 * (kind != "none")
    moved = coef * np.where(np.arange(d) < d / 3, -1, 1)[:, np.newaxis] if kind == "rotated" else coef
    logits = [X @ coef, X_target @ moved + (kind == "intercept") * np.eye(n_classes)[0]]
    y, y_target = (np.argmax(logit + rng.gumbel(size=logit.shape), axis=1) for logit in logits)
    return X, y, X_target, y_target[:n_labels]


def share_of_concept_tests(kind, n_trials, n_classes=2, n=500, n_labels=200, d=10):
    found = [
        detect.concept_test(
            *labelled_problem(seed, kind, n_classes, n, n_labels, d), n_bootstrap=199, random_state=seed
        )
        for seed in range(n_trials)
    ]
    return float(np.mean([one.p_value <= LEVEL for one in found]))


def concept(n_trials=60):
    sizes = {
        f"{kind} shift, {n_classes} classes, n={n}, d={d}, {m} labels": share_of_concept_tests(
            kind, n_trials, n_classes, n, m, d
        )
        for kind in ("none", "covariate")
        for n_classes in (2, 5)
        for n, d, m in ((200, 2, 100), (200, 10, 100), (500, 2, 200), (500, 10, 200), (500, 40, 200))
    }
    power = {f"{kind}, {m} labels": share_of_concept_tests(kind, n_trials, n_labels=m)
             for kind in ("intercept", "rotated") for m in (100, 200)}  # fmt: skip
    return {"size": sizes, "size, mean": float(np.mean(list(sizes.values()))), "power": power}


def novel_problem(seed, share, target_prior, n, d):
    rng, n_classes = np.random.default_rng(seed), len(target_prior)
    centres, spreads = rng.normal(size=(n_classes + 1, d)) * 1.5, np.linspace(1, 1.5, n_classes + 1)
    centres[-1] *= 2
    y, y_target = rng.choice(n_classes, n), rng.choice(n_classes, n, p=target_prior)
    y_target = np.where(rng.random(n) < share, n_classes, y_target)
    X, X_target = (centres[c] + rng.normal(size=(n, d)) * spreads[c][:, np.newaxis] for c in (y, y_target))
    return X, y, X_target


def share_of_novel_tests(n_trials, *problem):
    found = [
        detect.novel_class_test(*novel_problem(seed, *problem), n_permutations=199, random_state=seed).p_value
        for seed in range(n_trials)
    ]
    return float(np.mean(np.array(found) <= LEVEL))


def novel():
    sizes = {
        f"{len(prior)} classes, n={n}, d={d}": share_of_novel_tests(200, 0, prior, n, d)
        for prior in (TWO, FIVE)
        for n in (200, 500)
        for d in (2, 10, 40)
    }
    return {
        "size": sizes,
        "rejections under label shift to .9 / .1, n=500, d=10": share_of_novel_tests(200, 0, [0.9, 0.1], 500, 10),
        "rejections under label shift to .6 of 5, n=500, d=10": share_of_novel_tests(
            500, 0, [0.6, 0.1, 0.1, 0.1, 0.1], 500, 10
        ),
        "power, 5% of a new class, n=500, d=10": share_of_novel_tests(200, 0.05, TWO, 500, 10),
        "power, 2% of a new class, n=500, d=10": share_of_novel_tests(200, 0.02, TWO, 500, 10),
    }


def score(n_trials=500):
    found = {}
    for n_classes in (2, 5):
        for n in (200, 500):
            p_values = []
            for seed in range(n_trials):
                rng = np.random.default_rng(seed)
                scores = rng.dirichlet(np.ones(n_classes), 2 * n)
                p_values.append(
                    detect.score_test(scores[:n], scores[n:], n_permutations=199, random_state=seed).p_value
                )
            found[f"{n_classes} classes, n={n}"] = float(np.mean(np.array(p_values) <= LEVEL))
    return found


MOVED, MORE_LOSS = 0.7, 1.0


def drop_problem(seed, moved, more_loss, n=1000, n_labels=300):
    rng = np.random.default_rng(seed)
    X, X_target = rng.normal(size=(n, 3)), rng.normal([moved, 0, 0], 1, (n, 3))
    losses, losses_target = (rows[:, 0] ** 2 + rng.normal(size=n) ** 2 for rows in (X, X_target))
    return losses, (losses_target + more_loss)[:n_labels], X, X_target


def true_parts():
    """By integration over the column that moves."""
    x = np.linspace(-12, 13, 100_001)
    p, q = norm.pdf(x), norm.pdf(x, MOVED)
    shared = p * q / (p + q)
    square = (shared * x**2).sum() / shared.sum()
    total = MOVED**2 + MORE_LOSS
    return {"total": total, "features": square - 1, "labels": MORE_LOSS, "support": MOVED**2 + 1 - square}


def drop(n_trials=500):
    results = [detect.performance_drop(*drop_problem(seed, MOVED, MORE_LOSS)) for seed in range(n_trials)]
    cover = {
        part: float(
            np.mean([getattr(r, part).low <= truth <= getattr(r, part).high for r in results if getattr(r, part)])
        )
        for part, truth in true_parts().items()
    }
    null = [detect.performance_drop(*drop_problem(seed, 0, 0)).p_value for seed in range(n_trials)]
    return {
        "coverage of 95% intervals": cover,
        "parts told": float(np.mean([r.labels is not None for r in results])),
        "size": float(np.mean(np.array(null) <= LEVEL)),
    }


STUDIES = {
    "covariate_or_label, two classes, .5 to .9": lambda: decided([0.1, 0.9]),
    "covariate_or_label, five classes, .2 to .6": lambda: decided([0.6, 0.1, 0.1, 0.1, 0.1]),
    "covariate_or_label, two classes, no shift, 200 source rows": lambda: decided(TWO, n=200),
    "covariate_or_label, five classes, no shift, 200 source rows": lambda: decided(FIVE, n=200),
    "performance_drop": drop,
    "score_test": score,
    "novel_class_test": novel,
    "concept_test": concept,
    "covariate_or_label, two classes, .5 to .8": lambda: decided([0.2, 0.8]),
}


def main(parts):
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for part in parts or STUDIES:
        kept[part] = STUDIES[part]()
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
