"""What is compared: each method is one function of a problem, and an entry in a table.

A method may look at the source, its labels and the target rows; of the target's labels only at those of the rows it is
given, unless it is called an oracle. It returns what it predicts for all target rows, and tells what it did.
"""

from collections.abc import Callable
from inspect import signature
from typing import Any, NamedTuple

import numpy as np

from shiftfix import corrected
from shiftfix.label import adjust_proba
from tests.benchmarks.natural.problems import out_of_fold, predict


class Outcome(NamedTuple):
    """What a method says.

    Attributes
    ----------
    predictions : ndarray
        Class probabilities of the target rows, shape (n_target, n_classes), or values, shape (n_target,).
    acted : bool or None, default=None
        Whether it corrected for a shift; None where that is no question.
    interval : ndarray of shape (n_classes, 2) or None, default=None
        Of the target's class shares at 95%.
    """

    predictions: Any
    acted: bool | None = None
    interval: Any = None


class Method(NamedTuple):
    """One entry.

    Attributes
    ----------
    run : callable
        ``run(problem)``, or ``run(problem, rows)`` with the positions of the target rows whose labels it may read.
    tasks : tuple of str
        "classes", "values" or both.
    labels : bool, default=False
        Whether it reads target labels.
    available : callable
        False while the class or setting it needs does not exist, and where it is the default under another name.
    """

    run: Callable[..., Outcome]
    tasks: tuple[str, ...] = ("classes",)
    labels: bool = False
    available: Callable[[], bool] = lambda: True


BOTH = ("classes", "values")


def uncorrected(problem, rows=None):
    return Outcome(problem.target_scores, False)


def temperature(problem, rows=None):
    return Outcome(problem.calibrated, False)


def true_prior(problem):
    return Outcome(adjust_proba(problem.calibrated, problem.implied_prior, problem.target_prior), True)


def target_labels(problem):
    """Trained on all target labels; out of fold."""
    return Outcome(
        out_of_fold(problem.estimator(), problem.X_target, problem.y_target, problem.seed, problem.classify), True
    )


def interval_of(model):
    """Interval of the target's class shares that a fitted meta-estimator stands by, or None."""
    keeper = model if hasattr(model, "interval") else getattr(model, "prior_", None)
    try:
        return None if keeper is None else keeper.interval()
    except (ValueError, AttributeError):  # without an estimate there is no interval
        return None


def fitted(problem, model, X_target=None):
    X_target = problem.X_target if X_target is None else X_target
    model.fit(problem.X_source, problem.y_source, X_target=X_target)
    return model, predict(model, problem.X_target, problem.classify)


def covariate(problem, **settings):
    kind = corrected.CovariateShiftClassifier if problem.classify else corrected.CovariateShiftRegressor
    model, predictions = fitted(problem, kind(problem.estimator(), random_state=problem.seed, **settings))
    return Outcome(predictions, bool(model.corrected_ and model.exponent_ > 0))


def label(problem, **settings):
    model, predictions = fitted(
        problem, corrected.LabelShiftClassifier(problem.estimator(), random_state=problem.seed, **settings)
    )
    return Outcome(predictions, bool(model.corrected_), interval_of(model))


def known(problem, rows):
    """The target rows, with the labels of some."""
    return corrected.TargetSample(problem.X_target, y=problem.y_target[rows], rows=rows)


def automatic(problem, rows=None):
    """The meta-estimator that diagnoses first, without labels or with some."""
    kind = getattr(corrected, "ShiftCorrectedClassifier" if problem.classify else "ShiftCorrectedRegressor")
    target = problem.X_target if rows is None else known(problem, rows)
    model, predictions = fitted(problem, kind(problem.estimator(), shift="auto", random_state=problem.seed), target)
    return Outcome(predictions, model.correction_ not in (None, "none"), interval_of(model))


def few(problem, rows, **settings):
    kind = getattr(corrected, "FewLabelClassifier" if problem.classify else "FewLabelRegressor")
    model, predictions = fitted(
        problem, kind(problem.estimator(), random_state=problem.seed, **settings), known(problem, rows)
    )
    return Outcome(predictions, True, interval_of(model))


def counting(problem, rows):
    """Class shares counted in the labels, one of each class added, and the calibrated scores adjusted to them."""
    counts = np.bincount(problem.y_target[rows], minlength=problem.n_classes) + 1
    return Outcome(adjust_proba(problem.calibrated, problem.implied_prior, counts / counts.sum()), True)


def pooled(problem, rows, weight):
    """Trained on source rows of weight 1 and the labelled target rows of another."""
    X = np.vstack([problem.X_source, problem.X_target[rows]])
    y = np.concatenate([problem.y_source, problem.y_target[rows]])
    weights = np.repeat([1.0, weight], [len(problem.y_source), len(rows)])
    model = corrected.fit_weighted(problem.estimator(), X, y, weights)
    return Outcome(predict(model, problem.X_target, problem.classify), True)


def setting_of(kind, name):
    """Whether a class of ``shiftfix.corrected`` exists and has a setting."""
    return lambda: name in signature(getattr(corrected, kind, lambda: None)).parameters


def not_default(kind, name, value):
    """Whether a class's own value of a setting is another one, so that no method runs under two names."""
    return lambda: signature(getattr(corrected, kind)).parameters[name].default != value


METHODS = {
    "uncorrected": Method(uncorrected, BOTH),
    "temperature": Method(temperature),
    "covariate_default": Method(covariate, BOTH),
    "covariate_one": Method(
        lambda problem: covariate(problem, exponent=1.0),
        BOTH,
        available=not_default("CovariateShiftClassifier", "exponent", 1.0),
    ),
    "covariate_cv": Method(
        lambda problem: covariate(problem, exponent="cv"),
        BOTH,
        available=not_default("CovariateShiftClassifier", "exponent", "cv"),
    ),
    "label_default": Method(label),
    "label_ungated": Method(
        lambda problem: label(problem, on_reject="correct"),
        available=setting_of("LabelShiftClassifier", "on_reject"),
    ),
    "label_causes": Method(
        lambda problem: label(problem, causes="label"), available=setting_of("LabelShiftClassifier", "causes")
    ),
    "auto": Method(automatic, BOTH, available=setting_of("ShiftCorrectedClassifier", "shift")),
    "oracle_prior": Method(true_prior),
    "oracle_target_labels": Method(target_labels, BOTH),
    "few_counting": Method(counting, labels=True),
    "few_pooled": Method(lambda problem, rows: pooled(problem, rows, 2.0), BOTH, labels=True),
    "few": Method(few, BOTH, labels=True, available=setting_of("FewLabelClassifier", "a0")),
    "few_a0_2": Method(
        lambda problem, rows: few(problem, rows, a0=2.0),
        BOTH,
        labels=True,
        available=setting_of("FewLabelClassifier", "a0"),
    ),
    "few_auto": Method(automatic, BOTH, labels=True, available=setting_of("ShiftCorrectedClassifier", "shift")),
}
