"""False alarms and delays of the monitor, kept in ``results/monitor.json``.

    PYTHONPATH=. python -m tests.statistical.measure_monitor [PART ...] [--draws N]

PART is a key of ``STUDIES``; none means all. 500 draws are some minutes on one core.

The delay is counted in labels from the change to the alarm, by streams without an alarm before the change; beside it
that of a test which is told the time of the change: the same bets, all of them staked there, at the same level. It does
not have to search for the time, which costs at least log(labels before the change) in log evidence, where the level
itself costs log(1 / alpha); so the ratio of the delays grows with the stream, and with the size of the drop.

How much of it no test can avoid is the study "floor": the sum of the likelihood ratios from every possible start
(Roberts 1966, Technometrics 8(3):411-430; Shiryaev's rule for a uniform start), which knows both shares of errors and
all but the time, beside the likelihood ratio from the true start. Both are stopped where simulation puts 2.5% of false
alarms in 10,000 labels.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.special import expit, logit

from shiftfix.risk import RiskMonitor
from shiftfix.risk._alarms import factors_of
from shiftfix.risk._evidence import log_told, no_evidence, with_observations

RESULTS = Path(__file__).parent / "results" / "monitor.json"
N_LABELS, LEVEL, TOLERANCE, HORIZON = 10_000, 0.025, 0.02, 5000
LONGEST = 8000
# Accuracy of the reference, drop, labels before it.
DESIGN = [(0.85, 0.1, 1000), (0.85, 0.1, 5000), (0.9, 0.06, 2000), (0.75, 0.2, 5000), (0.95, 0.1, 5000)]
CONFIRM = [(0.8, 0.12, 3000), (0.9, 0.15, 8000), (0.7, 0.08, 1500), (0.92, 0.06, 4000), (0.6, 0.15, 2500)]
DESIGN, CONFIRM = [*DESIGN, (0.85, 0.07, 5000)], [*CONFIRM, (0.85, 0.06, 500)]
# By what the log odds are multiplied, labels before it.
TOO_SURE, NOT_SURE_ENOUGH = [(2.0, 1000), (2.0, 5000), (3.0, 3000)], [(0.4, 1000), (0.4, 5000), (0.25, 3000)]


def calibrated_rows(rng, n):
    """Probability of class 1, and labels drawn by it."""
    p = expit(rng.normal(0, 2, n))
    return p, (rng.random(n) < p).astype(int)


def errors_of(rng, *parts):
    """Ones for errors: (accuracy, n) of each part of a stream."""
    return np.concatenate([rng.random(n) >= accuracy for accuracy, n in parts]).astype(float)


def accuracy_factors(wrong, accuracy):
    return factors_of("accuracy", wrong, wrong, 1 - accuracy + TOLERANCE, 0.0)


def calibration_factors(p, y):
    confidence = np.maximum(p, 1 - p)
    return factors_of("calibration", ((p >= 0.5) != y).astype(float), confidence, 0.0, 0.05)


def first_alarm(path, at_least=1 / LEVEL):
    found = np.flatnonzero(path >= np.log(at_least))
    return int(found[0]) + 1 if found.size else None


def share_of_alarms(draw, n_draws):
    """Share of streams with an alarm, and its standard error."""
    found = [
        first_alarm(with_observations(no_evidence(f.shape[1]), f, HORIZON)[1]) is not None
        for f in (draw(np.random.default_rng(seed)) for seed in range(n_draws))
    ]
    share = float(np.mean(found))
    return {"share": share, "standard error": round((max(share, 1 / n_draws) / n_draws) ** 0.5, 4), "draws": n_draws}


def false_alarms(n_draws):
    """Each alarm has level .025; the two together .05."""

    def monitored(rng):
        p, y = calibrated_rows(rng, N_LABELS)
        return calibration_factors(p, y)

    found = {
        f"accuracy {r}, no change": share_of_alarms(
            lambda rng, r=r: accuracy_factors(errors_of(rng, (r, N_LABELS)), r), n_draws
        )
        for r in (0.6, 0.85, 0.97)
    }
    found |= {
        f"accuracy {r}, all of the tolerance used": share_of_alarms(
            lambda rng, r=r: accuracy_factors(errors_of(rng, (r - TOLERANCE, N_LABELS)), r), n_draws
        )
        for r in (0.6, 0.85, 0.97)
    }
    return found | {"calibrated scores": share_of_alarms(monitored, n_draws)}


def whole_monitor(n_draws):
    """Any alarm of a RiskMonitor in 9,500 labels: batches of 500 rows, labels of a random half two batches later.

    The reference is the accuracy of 500 rows of the same kind. The interval of the newest rows is held against the
    accuracy that all rows are drawn with.
    """
    alarms, covered, looks = 0, 0, 0
    p, _ = calibrated_rows(np.random.default_rng(0), 2_000_000)
    truth = float(np.maximum(p, 1 - p).mean())
    for seed in range(n_draws):
        rng = np.random.default_rng(seed)
        p, y = calibrated_rows(rng, 500)
        reference = float(((p >= 0.5) == y).mean())
        monitor, waiting = RiskMonitor(reference, n_reference=500, window=2500), []
        for batch in range(40):
            p, y = calibrated_rows(rng, 500)
            monitor.update(np.column_stack([1 - p, p]))
            waiting.append((np.sort(rng.permutation(500)[:250]) + 500 * batch, y))
            if batch >= 2:
                rows, labels = waiting[batch - 2]
                monitor.update_labels(rows, labels[rows - 500 * (batch - 2)])
            if batch >= 10:
                found, looks = monitor.estimate(), looks + 1
                covered += found.low <= truth <= found.high
        alarms += any(alarm.is_raised for alarm in monitor.alarms_.values())
    return {
        "share of streams with an alarm": alarms / n_draws,
        "coverage of the accuracy by the 95% interval": covered / looks,
        "draws": n_draws,
    }


def delays(draw, before, n_draws, batch=1):
    """Mean and median labels to the alarm, and to that of the test told the time of the change.

    Parameters
    ----------
    draw : callable
        Factors of a stream, by a generator.
    before : int
        Labels before the change.
    n_draws : int
    batch : int
        Labels that come in at once; the alarm is seen at the end of a batch.
    """
    ours, told, early = [], [], 0
    for seed in range(n_draws):
        factors = draw(np.random.default_rng(seed))
        found = first_alarm(with_observations(no_evidence(factors.shape[1]), factors, HORIZON)[1]) or len(factors)
        if found <= before:
            early += 1
            continue
        ours.append(-(-(found - before) // batch) * batch)
        told.append(-(-(first_alarm(log_told(factors[before:])) or LONGEST) // batch) * batch)
    return {
        "delay": float(np.mean(ours)),
        "told": float(np.mean(told)),
        "ratio": round(float(np.mean(ours) / np.mean(told)), 2),
        "ratio of medians": round(float(np.median(ours) / np.median(told)), 2),
        "alarm before the change": early / n_draws,
        "draws": n_draws,
    }


def accuracy_delays(cases, n_draws, batch=1):
    return {
        f"{r} to {r - drop:.2f} after {before}": delays(
            lambda rng, r=r, drop=drop, before=before: accuracy_factors(
                errors_of(rng, (r, before), (r - drop, LONGEST)), r
            ),
            before,
            n_draws,
            batch,
        )
        for r, drop, before in cases
    }


def misfit(rng, factor, before):
    p, y = calibrated_rows(rng, before + LONGEST)
    p[before:] = expit(factor * logit(p[before:]))
    return calibration_factors(p, y)


def calibration_delays(cases, n_draws):
    return {
        f"log odds times {factor} after {before}": delays(
            lambda rng, factor=factor, before=before: misfit(rng, factor, before), before, n_draws
        )
        for factor, before in cases
    }


def log_ratio_paths(rng, n_streams, n, before, shares, start, told):
    """Log statistic of each label of streams whose share of errors is ``start`` and, after ``before``, ``shares[1]``.

    ``told`` sums the log likelihood ratios of ``shares`` from the first label on; else all starts are added up.
    """
    right, wrong = np.log((1 - shares[1]) / (1 - shares[0])), np.log(shares[1] / shares[0])
    value = np.full(n_streams, 0.0 if told else -np.inf)
    for step in range(n):
        errors = rng.random(n_streams) < (start if step < before else shares[1])
        value = (value if told else np.logaddexp(0, value)) + np.where(errors, wrong, right)
        yield value


def crossing(paths, threshold, n_streams):
    """Label, from 1, at which each stream reaches the threshold; 0 for never."""
    found = np.zeros(n_streams, dtype=int)
    for step, value in enumerate(paths, 1):
        found[(value >= threshold) & (found == 0)] = step
        if found.all():
            break
    return found


def best_delay(shares, start, before, n_draws, told):
    """Mean labels from the change to the alarm of a test that knows both shares, and the start if ``told``."""
    n_null, rng = 10 * n_draws, np.random.default_rng(0)
    peak = np.full(n_null, -np.inf)
    for value in log_ratio_paths(rng, n_null, N_LABELS, N_LABELS, shares, shares[0], told):
        np.maximum(peak, value, out=peak)
    waited = 0 if told else before
    paths = log_ratio_paths(rng, n_draws, waited + LONGEST, waited, shares, start, told)
    found = crossing(paths, np.quantile(peak, 1 - LEVEL), n_draws)
    return float((found[found > waited] - waited).mean())


def floor(n_draws):
    """Delay of the best test that does not know the time over that of the best one which does."""
    found = {}
    for r, drop, before in DESIGN + CONFIRM:
        shares = (1 - r + TOLERANCE, 1 - r + drop)
        untold, told = (best_delay(shares, 1 - r, before, n_draws, told) for told in (False, True))
        name = f"{r} to {r - drop:.2f} after {before}"
        found[name] = {"delay": untold, "told": told, "ratio": round(untold / told, 2), "draws": n_draws}
    return found


STUDIES = {
    "false alarms in 10,000 labels, level .025 each": false_alarms,
    "whole monitor": lambda n: whole_monitor(max(n // 5, 20)),
    "delay on accuracy, design": lambda n: accuracy_delays(DESIGN, n),
    "delay on accuracy, confirm": lambda n: accuracy_delays(CONFIRM, n),
    "delay on accuracy, confirm, labels in batches of 100": lambda n: accuracy_delays(CONFIRM, n, 100),
    "floor of the delay on accuracy, both accuracies known": floor,
    "delay on calibration, too sure": lambda n: calibration_delays(TOO_SURE, n),
    "delay on calibration, not sure enough": lambda n: calibration_delays(NOT_SURE_ENOUGH, n),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*")
    parser.add_argument("--draws", type=int, default=500)
    asked = parser.parse_args()
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for part in asked.parts or STUDIES:
        kept[part] = STUDIES[part](asked.draws)
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
