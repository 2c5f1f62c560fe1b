"""Estimators of the target prior at 1000 classes, a prior along a stream of ten million rows, and a bootstrap interval.

Scores are float32 posteriors of standard normal classes that lie ``distance`` from one another: of ``n_classes``
independent log likelihood ratios, the true class's has mean distance^2 / 2. The source has equal classes, the target a
prior drawn evenly from the simplex. ``cpu_seconds`` (all threads; those that wait for one another are counted) and
``load`` (of the last minute, at the end) tell how busy the machine was: seconds are those of a machine shared with
others. ``limit`` is what the project asks for on two quiet cores. Time is not asserted; what the estimates are worth,
the certificate of the likelihood and the memory are.
"""

import os
import time

import numpy as np
import pytest

from shiftfix.label import BBSE, MLLS, OnlinePrior
from shiftfix.label._mlls_solver import mlls_prior

MAKERS = {
    "BBSE": lambda: BBSE(),
    "MLLS, none": lambda: MLLS("none", n_bootstrap=0),
    "MLLS, auto": lambda: MLLS("auto", n_bootstrap=0),
}
# Method, classes, source rows, target rows.
FITS = {
    "BBSE, 1000 classes, 100,000 and 100,000 rows": ("BBSE", 1000, 100_000, 100_000),
    "MLLS without calibration, 1000 classes, 100,000 and 100,000 rows": ("MLLS, none", 1000, 100_000, 100_000),
    "MLLS, chosen calibration, 1000 classes, 20,000 and 20,000 rows": ("MLLS, auto", 1000, 20_000, 20_000),
}
# Total variation from the drawn prior, a tenth above what was measured. The source's prior is .37 away from one drawn
# evenly from the simplex of a thousand classes.
FARTHEST = {
    "BBSE, 1000 classes, 100,000 and 100,000 rows": 0.195,
    "MLLS without calibration, 1000 classes, 100,000 and 100,000 rows": 0.157,
    "MLLS, chosen calibration, 1000 classes, 20,000 and 20,000 rows": 0.315,
}
FARTHEST_OF_STREAM = 0.025
GAP = 1e-8
LIMITS = {"BBSE": {"seconds": 10, "data_and_extra_mb": 1500}}
BATCH, CLASSES = 10_000, 10


def make(n_classes, n_rows, prior, rng, distance=3.5):
    """Scores in float32, and their classes."""
    y = rng.choice(n_classes, n_rows, p=prior)
    scores = rng.standard_normal((n_rows, n_classes), dtype=np.float32)
    scores *= np.float32(distance / np.sqrt(2))
    scores[np.arange(n_rows), y] += np.float32(distance**2 / 2)
    scores -= scores.max(axis=1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=1, keepdims=True)
    return scores, y


def two_samples(n_classes, n_source, n_target):
    rng = np.random.default_rng(0)
    prior = rng.dirichlet(np.ones(n_classes))
    source, y = make(n_classes, n_source, np.full(n_classes, 1 / n_classes), rng)
    return source, y, make(n_classes, n_target, prior, rng)[0], prior


def timed(call):
    """The call, returning its result with CPU seconds and the load."""

    def run():
        start = time.process_time()
        result = call()
        return result, {"cpu_seconds": time.process_time() - start, "load": os.getloadavg()[0]}

    return run


def prepare_fit(method, n_classes, n_source, n_target):
    """The whole ``fit``, checks and covariances included."""
    source, y, target, prior = two_samples(n_classes, n_source, n_target)
    small = two_samples(3, 100, 100)
    MAKERS[method]().fit(*small[:3])  # imports

    def fit():
        found = MAKERS[method]().fit(source, y, target)
        tells = {"total_variation": np.abs(found.target_prior_ - prior).sum() / 2, "calibration": found.calibration_}
        data = {"data_mb": (source.nbytes + target.nbytes) / 2**20}
        return tells | data | ({"gap": found.gap_, "steps": found.n_iter_} if method != "BBSE" else {})

    return timed(fit)


def prepare_likelihood(n_classes, n_rows):
    """The maximisation of the likelihood alone."""
    rng = np.random.default_rng(0)
    scores, _ = make(n_classes, n_rows, rng.dirichlet(np.ones(n_classes)), rng)
    score_prior = np.full(n_classes, 1 / n_classes)

    def fit():
        found = mlls_prior(scores, score_prior)
        return {"gap": found.gap, "steps": found.n_iter}

    return timed(fit)


def prepare_stream(n_rows, method):
    """``update`` by batches of 10,000 rows; the same batch again and again, so that data take no time."""
    source, y, batch, prior = two_samples(CLASSES, 10_000, BATCH)
    fitted = BBSE().fit(source, y, batch)

    def run():
        stream = OnlinePrior(fitted, method)
        for _ in range(n_rows // BATCH):
            stream.update(batch)
        error = np.abs(stream.target_prior_ - prior).sum() / 2
        return {"total_variation": error, "restarts": len(stream.restarts_)}

    return timed(run)


def prepare_interval(n_rows, calibration):
    source, y, target, prior = two_samples(CLASSES, n_rows, n_rows)

    def run():
        found = MLLS(calibration, random_state=0).fit(source, y, target)
        low, high = found.interval().T
        return {"covered": ((low <= prior) & (prior <= high)).mean(), "draws": found.n_bootstrap}

    return timed(run)


def describe(found):
    result, spent = found
    return result | spent


@pytest.mark.parametrize("name", FITS)
def test_fit_at_a_thousand_classes(measure, name):
    limit = LIMITS.get(FITS[name][0])
    own = measure(name, prepare_fit, FITS[name], 1, lambda found: describe(found) | {"limit": limit})
    assert own["total_variation"] < FARTHEST[name]
    assert own.get("gap", 0) <= GAP
    if limit is not None:
        assert own["data_mb"] + own["extra_mb"] <= limit["data_and_extra_mb"]


def test_likelihood_at_a_thousand_classes(measure):
    name = "likelihood alone, 1000 classes, 100,000 rows"
    limit = {"limit": {"seconds": 60}}
    own = measure(name, prepare_likelihood, (1000, 100_000), 1, lambda found: describe(found) | limit)
    assert own["gap"] <= GAP


@pytest.mark.parametrize("method", ["history", "window", "forgetting"])
def test_stream(measure, method):
    """Ten times the rows shall not take more memory."""
    rivals = {f"stream, {method}, 1,000,000 rows": (1_000_000, method)}
    own = measure(f"stream, {method}, 10,000,000 rows", prepare_stream, (10_000_000, method), 1, describe, rivals)
    assert own["total_variation"] < FARTHEST_OF_STREAM
    assert own["restarts"] == 0
    assert own["extra_mb"] < 2


@pytest.mark.parametrize("calibration", ["none", "bcts"])
def test_interval(measure, calibration):
    name = f"interval of 200 draws, 2,000 rows, {calibration}"
    own = measure(name, prepare_interval, (2000, calibration), 3, describe)
    assert own["draws"] == 200
    # Of ten 95% intervals; by chance fewer than seven cover once in a thousand draws, and the draw is fixed.
    assert own["covered"] >= 0.7
