"""The questions put to shiftfix: `python tests/benchmarks/comparison/of_shiftfix.py [FILE]`."""

import numpy as np
import probe
from sklearn.linear_model import LinearRegression, LogisticRegression

from shiftfix.conformal import ConformalRegressor
from shiftfix.corrected import CovariateShiftRegressor, FewLabelClassifier, ShiftCorrectedRegressor, TargetSample
from shiftfix.covariate import LogisticWeighter
from shiftfix.detect import classifier_test
from shiftfix.label import MLLS
from shiftfix.risk import target_risk


def weights():
    X_source, _, X_target, _ = probe.covariate()
    return probe.correlation_of(LogisticWeighter().fit_transform(X_source, X_target))


def learner():
    X_source, y_source, X_target, _ = probe.covariate()
    model = CovariateShiftRegressor(LinearRegression(), random_state=0)
    return probe.error_of_model(model.fit(X_source, y_source, X_target=X_target))


def prior():
    (X_source, y_source), (X_target, _) = probe.shares()
    model = LogisticRegression().fit(X_source[::2], y_source[::2])
    scores = (model.predict_proba(X) for X in (X_source[1::2], X_target))
    scores_source, scores_target = scores
    return MLLS(random_state=0).fit(scores_source, y_source[1::2], scores_target)


def interval():
    low, high = prior().interval(0.95)[1]
    return f"{low:.2f} to {high:.2f}"


def risk():
    model, X_source, y_source, X_target, _ = probe.accuracy()
    return target_risk(model, X_source, y_source, X_target, metric="accuracy", random_state=0)


def sets():
    X_source, y_source, X_target, y_target = probe.covariate()
    model = ConformalRegressor(LinearRegression(), random_state=0).fit(X_source, y_source, X_target)
    low, high = model.predict_interval(X_target, level=0.9).T
    return f"{np.mean((low <= y_target) & (y_target <= high)):.3f}"


def moved():
    X_source, _, X_target, _ = probe.covariate()
    tests = (classifier_test(X_source[:1000], X, random_state=0) for X in (X_target, X_source[1000:]))
    return "p = " + ", ".join(f"{test.p_value:.3f}" for test in tests)


def no_overlap():
    X_source, _, X_target, _ = probe.covariate(shift=8.0)
    return f"verdict: {LogisticWeighter().fit(X_source, X_target).summary_.verdict.level}"


def few_labels():
    model, X_source, y_source, X_target, y_target = probe.accuracy()
    few = TargetSample(X_target, y=1 - y_target[:50], rows=range(50))  # the labels are exchanged over there
    corrected = FewLabelClassifier(LogisticRegression(), random_state=0).fit(X_source, y_source, X_target=few)
    before, after = (m.score(X_target[50:], 1 - y_target[50:]) for m in (model, corrected))
    return f"accuracy {before:.2f} -> {after:.2f} where the labels are exchanged"


def alone():
    X_source, y_source, X_target, _ = probe.covariate(shift=8.0)
    model = ShiftCorrectedRegressor(LinearRegression(), random_state=0).fit(X_source, y_source, X_target=X_target)
    return f"correction: {model.correction_}"


probe.tell(
    "shiftfix",
    {
        "weights": weights,
        "learner": learner,
        "shares": lambda: f"{prior().target_prior_[1]:.3f}",
        "shares_interval": interval,
        "accuracy": lambda: f"{risk().value:.3f} ({risk().method})",
        "accuracy_interval": lambda: f"{risk().low:.3f} to {risk().high:.3f}",
        "sets": sets,
        "moved": moved,
        "no_overlap": no_overlap,
        "few_labels": few_labels,
        "alone": alone,
    },
)
