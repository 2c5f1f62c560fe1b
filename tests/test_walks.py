"""The walks told in CONTRIBUTING.md are walked: each step is called, in that order, and none is left out."""

import re
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import shiftfix
from shiftfix.corrected import CovariateShiftClassifier
from shiftfix.covariate import LogisticWeighter
from shiftfix.label import MLLS
from shiftfix.mlp import MLPClassifier
from tests.registry import overlapping_scores

PACKAGE = Path(shiftfix.__file__).parent
MOST_CALLS = 10
GUIDE = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")


def told_walks():
    """Title of each walk: its steps as (file, function)."""
    section = GUIDE.split("## Three walks, and a short one")[1].split("\n## ")[0]
    parts = re.split(r"^### (.*)$", section, flags=re.MULTILINE)
    return {
        title: re.findall(r"^\d+\. `([\w/.]+): ([\w.]+)`", text, flags=re.MULTILINE)
        for title, text in zip(parts[1::2], parts[2::2], strict=True)
    }


WALKS = told_walks()


def calls_of(run):
    """Every call of the package's functions as (step, step that called it), in order."""
    found = []

    def step(frame):
        path = Path(frame.f_code.co_filename)
        # The door stands before every public call, and is no step.
        if PACKAGE not in path.parents or frame.f_code.co_name.startswith("<") or path.name == "_door.py":
            return None
        return path.relative_to(PACKAGE).as_posix(), frame.f_code.co_qualname.replace(".<locals>", "")

    def watch(frame, event, _):
        here = step(frame) if event == "call" else None
        if here is None:
            return
        above = frame.f_back
        while above is not None and step(above) is None:
            above = above.f_back
        found.append((here, above and step(above)))

    before = sys.getprofile()
    threading.setprofile(watch)
    sys.setprofile(watch)
    try:
        run()
    finally:
        sys.setprofile(before)
        threading.setprofile(None)
    return found


def covariate_fit():
    rng = np.random.default_rng(0)
    X, X_target = rng.normal(size=(200, 2)), rng.normal(0.3, 1, size=(200, 2))
    CovariateShiftClassifier(MLPClassifier((4,), max_epochs=1, random_state=0)).fit(
        X, (X[:, 0] > 0).astype(int), X_target=X_target
    )


def prior_fit():
    scores, y = overlapping_scores(0, [1 / 3] * 3, 300)
    MLLS(n_bootstrap=0).fit(scores, y, overlapping_scores(1, [0.2, 0.3, 0.5], 200)[0])


def network_fit():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 2))
    MLPClassifier((4,), max_epochs=1, random_state=0).fit(X, (X[:, 0] > 0).astype(int), sample_weight=rng.random(40))


def weighter_fit():
    rng = np.random.default_rng(0)
    LogisticWeighter().fit(rng.normal(size=(200, 2)), rng.normal(0.3, 1, size=(200, 2)))


RUNS = [covariate_fit, prior_fit, network_fit, weighter_fit]


@pytest.mark.slow
@pytest.mark.parametrize(("title", "run"), list(zip(WALKS, RUNS, strict=True)))
def test_a_walk_is_as_told(title, run):
    steps = WALKS[title]
    assert 3 <= len(steps) - 1 <= MOST_CALLS  # the first is the door
    calls = calls_of(run)
    place = 0
    for number, step in enumerate(steps):
        places = [i for i in range(place, len(calls)) if calls[i][0] == step]
        assert places, f"{step} is not called after {steps[:number]}"
        if number:
            # Called by a step told before it: there is nothing on the way that is not told.
            direct = [i for i in places if calls[i][1] in steps[:number]]
            assert direct, f"{step} is called by {sorted({calls[i][1] for i in places})}"
            place = direct[0]
        else:
            place = places[0]
