"""Wrong and right answers of certify_no_harm, and widths as planned, kept in ``results/certify.json``.

    PYTHONPATH=. python -m tests.statistical.measure_certify [PART ...] [--draws N]

PART is a key of ``STUDIES``; none means all.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.special import expit

from shiftfix.risk import certify_no_harm, plan_labels

RESULTS = Path(__file__).parent / "results" / "certify.json"
TOLERANCE, N_TARGET = 0.02, 5000


def answers(certify, n_draws):
    found = [certify(np.random.default_rng(seed)).answer for seed in range(n_draws)]
    return {answer: found.count(answer) / n_draws for answer in ("yes", "no", "more labels")} | {"draws": n_draws}


def errors_and_scores(rng, n, rise=0.0):
    """Zeros and ones with mean .149 + rise, and what a model expects of them, right but for the rise."""
    expected = expit(rng.normal(-2.4, 1.6, n))
    return (rng.random(n) < expected + rise).astype(float), expected


MEAN = float(expit(np.random.default_rng(0).normal(-2.4, 1.6, 4_000_000)).mean())


def against_number(rng, n, rise):
    wrong, _ = errors_and_scores(rng, n, rise)
    return certify_no_harm(wrong, MEAN, tolerance=TOLERANCE)


def powered(rng, n, rise):
    wrong, expected = errors_and_scores(rng, N_TARGET, rise)
    return certify_no_harm(wrong[:n], MEAN, tolerance=TOLERANCE, scores=expected[:n], scores_unlabelled=expected[n:])


def of_other_rows(rng, n, rise):
    source, _ = errors_and_scores(rng, 2000)
    wrong, _ = errors_and_scores(rng, n, rise)
    return certify_no_harm(wrong, source, paired=False, tolerance=TOLERANCE)


def paired(rng, n, rise, differ=0.06):
    """Rows right before and wrong now are (differ + rise) / 2 of all, the reverse (differ - rise) / 2."""
    u, before = rng.random(n), np.zeros(n)
    after = (u < (differ + rise) / 2).astype(float)
    before[u > 1 - (differ - rise) / 2] = 1
    return certify_no_harm(after, before, tolerance=TOLERANCE)


def at_any_time(rng, n, rise):
    """Asked after the last label, which finds what would have been found after any before it."""
    wrong, _ = errors_and_scores(rng, n, rise)
    return certify_no_harm(wrong, MEAN, tolerance=TOLERANCE, anytime=True)


KINDS = {
    "against a number": against_number,
    "with scores of 5000 rows": powered,
    "2000 other rows": of_other_rows,
    "paired, 6% differ": paired,
}


def at_the_tolerance(n_draws):
    """Where a "yes" and a "no" are both wrong, nearly: each .05 is asked for."""
    return {
        f"{name}, {n} labels": answers(lambda rng, make=make, n=n: make(rng, n, TOLERANCE), n_draws)
        for name, make in KINDS.items()
        for n in (100, 300, 1000)
    }


def without_a_rise(n_draws):
    return {
        f"{name}, {n} labels": answers(lambda rng, make=make, n=n: make(rng, n, 0.0), n_draws)
        for name, make in KINDS.items()
        for n in (300, 1000, 2000)
    }


def looked_at_often(n_draws):
    cases, n_draws = ((0.0, 2000), (0.0, 4000), (TOLERANCE, 1000), (TOLERANCE, 4000), (0.06, 2000)), n_draws // 5
    return {
        f"rise {rise}, {n} labels": answers(lambda rng, rise=rise, n=n: at_any_time(rng, n, rise), n_draws)
        for rise, n in cases
    }


def sized_by_a_pilot(n_draws):
    """A pilot of 200 labels says how many more decide it if there is no rise; then so many are drawn, and it is asked.

    Of the pilots that leave it open; power .8 is asked for.
    """
    found, sizes = [], []
    for seed in range(n_draws):
        rng = np.random.default_rng(seed)
        pilot = against_number(rng, 200, 0.0)
        if pilot.answer == "more labels":
            sizes.append(200 + pilot.n_more_if_equal)
            found.append(against_number(rng, sizes[-1], 0.0).is_certified)
    return {"yes": float(np.mean(found)), "labels, median": float(np.median(sizes)), "open pilots": len(found)}


def planned_widths(n_draws):
    """Width planned by the scores, and by a pilot of 200, beside that of the estimates: 1.96 standard deviations."""
    kept = {}
    for n in (100, 400):
        rng = np.random.default_rng(0)
        _, expected = errors_and_scores(rng, N_TARGET)
        estimates, by_pilot = [], []
        for seed in range(n_draws):
            rng = np.random.default_rng(seed)
            wrong, order = (rng.random(N_TARGET) < expected).astype(float), rng.permutation(N_TARGET)
            few, rest = order[:n], order[n:]
            made = certify_no_harm(wrong[few], MEAN, scores=expected[few], scores_unlabelled=expected[rest])
            estimates.append(made.difference)
            pilot, others = order[-200:], order[:-200]
            by_pilot.append(plan_labels(expected[others], wrong[pilot], expected[pilot]).half_width(n))
        kept[f"{n} labels"] = {
            "truth": round(1.96 * float(np.std(estimates)), 4),
            "planned by the scores": round(plan_labels(expected).half_width(n), 4),
            "planned by a pilot, median": round(float(np.median(by_pilot)), 4),
            "planned without scores": round(plan_labels(expected).half_width(n, with_scores=False), 4),
            "draws": n_draws,
        }
    return kept


def scores_that_explain_nearly_all(n_draws):
    """A tenth is wrong as scored, and few of the rest unscored, by just more than is tolerated: "yes" is wrong."""

    def asked(rng, n, share, tolerance):
        scores, others = rng.random(n) < 0.1, rng.random(N_TARGET) < 0.1
        wrong = scores | (rng.random(n) < share)
        return certify_no_harm(wrong, 0.1, tolerance=tolerance, scores=scores, scores_unlabelled=others)

    return {
        f"{case[0]} labels": answers(lambda rng, case=case: asked(rng, *case), n_draws)
        for case in ((30, 0.0575, 0.05), (60, 0.03, 0.025), (100, 0.02, 0.017))
    }


def small_references(n_draws):
    """1000 labels against few other rows: equal errors of .1, where "no" is wrong, and a rise of .021, where "yes" is
    wrong."""

    def asked(rng, n_reference, share, share_reference):
        target, source = rng.random(1000) < share, rng.random(n_reference) < share_reference
        return certify_no_harm(target, source, paired=False, tolerance=TOLERANCE)

    return {
        f"{n} other rows, errors {share} against {of_reference}": answers(
            lambda rng, n=n, share=share, of_reference=of_reference: asked(rng, n, share, of_reference), n_draws
        )
        for n in (10, 20, 30, 100)
        for share, of_reference in ((0.1, 0.1), (0.121, 0.1), (0.9, 0.879))
    }


STUDIES = {
    "rise of just the tolerance": at_the_tolerance,
    "no rise": without_a_rise,
    "asked after every label": looked_at_often,
    "sized by a pilot": sized_by_a_pilot,
    "half widths as planned": planned_widths,
    "scores that explain nearly all": scores_that_explain_nearly_all,
    "small references": small_references,
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*")
    parser.add_argument("--draws", type=int, default=1000)
    asked = parser.parse_args()
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for part in asked.parts or STUDIES:
        kept[part] = STUDIES[part](asked.draws)
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
