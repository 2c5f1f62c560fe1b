"""After a fit that fails or is interrupted, wherever, an estimator is as it was, or unfitted: never half of each."""

import random
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.linear_model import LogisticRegression

import shiftfix
from shiftfix.corrected import LabelShiftClassifier
from shiftfix.exceptions import PoorIdentificationWarning, PoorOverlapWarning
from shiftfix.label import BBSE, MLLS, OnlinePrior, ScoreCalibrator
from shiftfix.mlp import WeightedTrainer
from shiftfix.risk import RiskMonitor
from tests.registry import KERNEL_WEIGHTERS, PRIORS, WEIGHTERS, taken
from tests.test_contract import EVERYTHING, LABELS, SCORES, SCORES_TARGET, X_SOURCE, Y, answer, arguments

PACKAGE = str(Path(shiftfix.__file__).parent)
N_MOMENTS = 2
LAST_LINES = (1, 4, 8, 14)


def trainer():
    with torch.random.fork_rng():
        module = torch.nn.Linear(3, 2)
    return WeightedTrainer(module, "cross_entropy", max_epochs=2, random_state=0)


def stream():
    return OnlinePrior(BBSE().fit(SCORES, LABELS, SCORES_TARGET), "window", window=90)


# name: new estimator, its first fit, another fit, what it says
TASKS = {
    "ScoreCalibrator": (
        lambda: ScoreCalibrator("bcts"),
        lambda estimator: estimator.fit(SCORES, LABELS),
        lambda estimator: estimator.fit(SCORES[50:], LABELS[50:]),
        lambda estimator: estimator.transform(SCORES_TARGET),
    ),
    "OnlinePrior": (
        stream,
        lambda estimator: estimator.update(SCORES_TARGET),
        lambda estimator: estimator.update(SCORES),
        lambda estimator: estimator.adjust_proba(SCORES_TARGET),
    ),
    "RiskMonitor": (
        lambda: RiskMonitor(0.8),
        lambda estimator: estimator.update(SCORES),
        lambda estimator: estimator.update_labels(np.arange(100), LABELS[:100]),
        lambda estimator: [estimator.estimate().accuracy, estimator.n_labels_],
    ),
    "RiskMonitor, another batch": (
        lambda: RiskMonitor(0.8),
        lambda estimator: estimator.update(SCORES),
        lambda estimator: estimator.update(SCORES_TARGET),
        lambda estimator: [estimator.estimate().accuracy, estimator.n_rows_],
    ),
    "MLLS, another batch": (
        lambda: MLLS(n_bootstrap=5, random_state=0),
        lambda estimator: estimator.fit(SCORES, LABELS, SCORES_TARGET),
        lambda estimator: estimator.update(SCORES),
        lambda estimator: estimator.adjust_proba(SCORES_TARGET),
    ),
    "WeightedTrainer": (
        trainer,
        lambda estimator: estimator.fit(X_SOURCE.astype(np.float32), Y),
        lambda estimator: estimator.fit(X_SOURCE[:100].astype(np.float32), Y[:100]),
        lambda estimator: estimator.predict(X_SOURCE.astype(np.float32)),
    ),
}


def shared_task(kind, make):
    """First fit, refit and answer of an estimator of the registry."""
    positional, keywords = arguments(kind)

    def fit_every(estimator, step, start):
        rows = slice(start, None, step)
        return estimator.fit(
            *(X[rows] for X in positional), **{name: taken(values, rows) for name, values in keywords.items()}
        )

    return (
        make,
        lambda estimator: fit_every(estimator, 5, 0),
        lambda estimator: fit_every(estimator, 5, 1),
        lambda estimator: answer(kind, estimator),
    )


EVERY_TASK = [pytest.param(task, id=name) for name, task in TASKS.items()] + [
    pytest.param(shared_task(*case.values), id=case.id) for case in EVERYTHING
]


def run_to_line(run, last):
    """Lines of the package that ``run`` went through, and whether it was interrupted at number ``last``."""
    passed = 0

    def watch(frame, event, _):
        nonlocal passed
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        passed += event == "line"
        if passed == last:
            sys.settrace(None)
            raise KeyboardInterrupt
        return watch

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        run()
    except KeyboardInterrupt:
        return passed, True
    finally:
        sys.settrace(before)
    return passed, False


def unchanged(before, estimator):
    after = vars(estimator)
    return before.keys() == after.keys() and all(after[name] is value for name, value in before.items())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("task", EVERY_TASK)
def test_an_interrupted_fit_leaves_no_half_of_it(task):
    """At random lines, and at the last ones, where the results are set: all of the old fit or all of the new one."""
    make, fit, refit, ask = task
    refit(fit(make()))  # the first of all may import and cache
    whole = fit(make())
    n_lines, _ = run_to_line(lambda: refit(whole), None)
    expected, n_interrupted = ask(whole), 0
    moments = random.Random(0).sample(range(1, n_lines), N_MOMENTS)
    for moment in sorted({*moments, *(n_lines - back for back in LAST_LINES)}):
        estimator = fit(make())
        before = dict(vars(estimator))
        _, interrupted = run_to_line(lambda estimator=estimator: refit(estimator), moment)
        n_interrupted += interrupted
        if not unchanged(before, estimator):
            assert vars(estimator).keys() == vars(whole).keys()
            assert_array_equal(ask(estimator), expected)
            assert moment > n_lines - 4, "a whole new fit, so long before its end?"
    assert n_interrupted >= N_MOMENTS


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("task", EVERY_TASK)
def test_an_interrupted_first_fit_leaves_an_unfitted_estimator(task):
    make, fit, _, ask = task
    known = make()
    fit(known)  # the first of all may import and cache
    known = make()
    n_lines, _ = run_to_line(lambda: fit(known), None)
    for moment in (n_lines // 3, n_lines - 6, n_lines - 9):
        estimator = make()
        before = dict(vars(estimator))
        _, interrupted = run_to_line(lambda estimator=estimator: fit(estimator), moment)
        assert interrupted
        assert unchanged(before, estimator)
        with pytest.raises(Exception, match=r"not fitted yet|has seen no rows"):
            ask(estimator)


@pytest.mark.slow
@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in (WEIGHTERS | KERNEL_WEIGHTERS).items()])
def test_a_warning_that_is_an_error_leaves_the_weighter_as_it_was(make):
    weighter = make().fit(X_SOURCE, X_SOURCE[:100])
    before = dict(vars(weighter))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", PoorOverlapWarning)
        with pytest.raises(PoorOverlapWarning):
            weighter.fit(X_SOURCE, X_SOURCE[:40] + 9)
    assert unchanged(before, weighter)


@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in PRIORS.items()])
def test_a_prior_refitted_in_vain_is_that_of_before(make):
    """An error at the end of a refit, after the new calibration was found: the old prior and the old calibration."""
    prior = make().fit(SCORES, LABELS, SCORES_TARGET)
    before, said = dict(vars(prior)), prior.adjust_proba(SCORES_TARGET)
    rng = np.random.default_rng(0)
    blind = rng.dirichlet([5, 5, 5], 12)
    with warnings.catch_warnings():
        warnings.simplefilter("error", PoorIdentificationWarning)
        with pytest.raises((PoorIdentificationWarning, ValueError)):
            prior.fit(blind, np.arange(12) % 3, blind[:5])
    assert unchanged(before, prior)
    assert_array_equal(prior.adjust_proba(SCORES_TARGET), said)


def test_a_prior_that_could_not_be_told_says_why():
    """Fifty classes of three rows, most of which no row is predicted to be: the confusion matrix is singular."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(50), 3)
    X = rng.normal(size=(150, 2))
    with pytest.warns(PoorIdentificationWarning):
        model = LabelShiftClassifier(LogisticRegression(), BBSE("hard"), cv=3, random_state=0).fit(X, y, X_target=X)
    assert not model.corrected_
    assert not model.prior_.identified_
    assert "singular" in model.prior_.reason_
    assert model.prior_.verdict_ == model.verdict_ == "abstain"
    assert (model.prior_.reason_,) == model.verdict_.reasons
    with pytest.raises(Exception, match="not fitted yet"):
        model.prior_.adjust_proba(model.predict_proba(X))
