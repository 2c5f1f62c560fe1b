"""What a model is worth on the target, with an interval that holds the error of everything that was estimated."""

import time
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from shiftfix._door import public
from shiftfix._numerics import Floats
from shiftfix._setting_checks import check_count, check_generator, check_methods, check_number, check_option
from shiftfix._verdict import Verdict, judge
from shiftfix.exceptions import ShiftDataError
from shiftfix.risk._atc import ATCRisk
from shiftfix.risk._cbpe import CBPERisk
from shiftfix.risk._cbpe_recalibrated import RecalibratedCBPERisk
from shiftfix.risk._control_variate import ControlVariateRisk
from shiftfix.risk._doc import DoCRisk
from shiftfix.risk._doubly_robust import DoublyRobustRisk
from shiftfix.risk._estimate import GroupRisk, RiskEstimate
from shiftfix.risk._hajek import HajekRisk
from shiftfix.risk._interval import (
    Answer,
    interval_of_draws,
    judged_answer,
    resampled_values,
    rows_behind,
    values_of_groups,
)
from shiftfix.risk._label_risk import LabelShiftRisk
from shiftfix.risk._lascal import LaSCalRisk
from shiftfix.risk._method import RiskMethod, UnweightedRisk, ones_of
from shiftfix.risk._metrics import RiskMetric
from shiftfix.risk._ppi_bootstrap import ResampledLabelsRisk, ResampledPPIRisk
from shiftfix.risk._ppi_risk import FEW_LABELS, LabelsRisk, PPIRisk, SequentialPPIRisk
from shiftfix.risk._problem import Problem, read_problem
from shiftfix.risk._tools import Tools
from shiftfix.risk._weighter import check_weighter
from shiftfix.weights import effective_sample_size_of

UNLABELLED_METHODS: dict[str, type[RiskMethod]] = {
    "source": UnweightedRisk,
    "importance": HajekRisk,
    "control_variate": ControlVariateRisk,
    "doubly_robust": DoublyRobustRisk,
    "label_shift": LabelShiftRisk,
    "cbpe": CBPERisk,
    "pape": RecalibratedCBPERisk,
    "atc": ATCRisk,
    "doc": DoCRisk,
    "lascal": LaSCalRisk,
}
LABELLED_METHODS: dict[str, type[LabelsRisk]] = {
    "labels": LabelsRisk,
    "ppi": PPIRisk,
    "ppi_sequential": SequentialPPIRisk,
}
ONE_CLASS_ACTION = "Collect rows of every class, or take another metric."
# Of metrics that are no mean.
RESAMPLED_METHODS: dict[str, type[RiskMethod]] = {"labels": ResampledLabelsRisk, "ppi": ResampledPPIRisk}
OF_MEANS = ("control_variate", "doubly_robust", "ppi_sequential")
OF_OWN_SCORES = ("doc", "ppi")
OF_CLASSES = ("label_shift", "lascal")
OF_PROBABILITIES = ("cbpe", "pape", "atc", "doc")
MethodName = Literal[
    "auto",
    "source",
    "importance",
    "control_variate",
    "doubly_robust",
    "label_shift",
    "cbpe",
    "pape",
    "atc",
    "doc",
    "lascal",
    "labels",
    "ppi",
    "ppi_sequential",
]


class Asked(NamedTuple):
    """How intervals are to be made.

    Attributes
    ----------
    level : float
    n_bootstrap : int
    rng : numpy.random.Generator
    """

    level: float
    n_bootstrap: int
    rng: np.random.Generator


def unfit(name: str, problem: Problem) -> str:
    """Why a method cannot estimate this metric of this model; empty where it can."""
    metric = problem.metric
    lacks = {
        "target labels (target_labels=...)": name in LABELLED_METHODS and problem.known is None,
        "a metric that is a mean of one loss per row": name in OF_MEANS and not metric.is_mean,
        "a classifier": name in (*OF_CLASSES, *OF_PROBABILITIES) and problem.classes is None,
        "predict_proba": name in OF_PROBABILITIES and problem.classes is not None and problem.source.proba is None,
        "source rows of every class": name in OF_CLASSES and len(np.unique(problem.y)) < problem.n_classes,
        "a metric that is not 0 by what the model says itself": name in OF_OWN_SCORES
        and metric.name == "calibration_error",
        "metric='accuracy'": name == "atc" and metric.name != "accuracy",
        "metric='calibration_error'": name == "lascal" and metric.name != "calibration_error",
        "a metric with bounds": name == "ppi_sequential" and not np.isfinite([metric.low, metric.high]).all(),
        "labels drawn at random": name == "ppi_sequential"
        and problem.known is not None
        and problem.known.probability is not None,
    }
    return next((needed for needed, missing in lacks.items() if missing), "")


def chosen_method(name: str, problem: Problem) -> str:
    """The method asked for; of "auto" the one that assumes least.

    Raises
    ------
    ShiftDataError
        For a method that cannot estimate this metric.
    """
    if name == "auto":
        enough = problem.known is not None and len(problem.known.y) >= FEW_LABELS
        wanted = ["ppi", "labels"] if enough else []
        return next(n for n in (*wanted, "doubly_robust", "importance") if not unfit(n, problem))
    needed = unfit(name, problem)
    if needed:
        raise ShiftDataError(f"method={name!r} with metric={problem.metric.name!r} needs {needed}.")
    return name


def method_of(name: str, problem: Problem, tools: Tools) -> RiskMethod | LabelsRisk:
    """A method, ready to be asked."""
    resampled = {} if problem.metric.is_mean else RESAMPLED_METHODS
    kind: Any = {**UNLABELLED_METHODS, **LABELLED_METHODS, **resampled}[name]
    return kind(problem, tools)


def _weights_of_groups(method: RiskMethod | LabelsRisk) -> tuple[float | None, list[tuple[float, float]]]:
    """Effective size of all weights; and of each group's, with its mean weight."""
    problem = method.problem
    if not isinstance(method, RiskMethod) or not (method.weighs and method.is_possible):
        return None, [(float(here.sum()), 1.0) for _, here, _ in problem.groups]
    w = method.learn(ones_of(problem))
    w = w / w.mean()
    sizes = [(_effective_size(w[here]), float(w[here].mean()) if here.any() else 0.0) for _, here, _ in problem.groups]
    return _effective_size(w), sizes


def _effective_size(w: Floats) -> float:
    return float(effective_sample_size_of(w, np.ones(len(w)))) if w.any() else 0.0


def _group_risks(problem: Problem, answer: Answer, sizes: list[tuple[float, float]]) -> tuple[GroupRisk, ...]:
    return tuple(
        GroupRisk(
            name,
            float(answer.values[i]),
            float(answer.low[i]),
            float(answer.high[i]),
            float(answer.errors[i]),
            int(here.sum()),
            int(there.sum()),
            *size,
        )
        for i, ((name, here, there), size) in enumerate(zip(problem.groups, sizes, strict=True), start=1)
    )


def unsupported_reason(answer: Answer, metric: RiskMetric) -> tuple[str, str]:
    """Why an estimate of the whole has no interval, and what to do; empty where it has one."""
    value, low, high, error = (float(part[0]) for part in answer)
    if not np.isfinite(value):
        return "these rows do not determine the metric, for one since a class is missing", ONE_CLASS_ACTION
    if (low, high) != (metric.low, metric.high):
        return "", ""
    if metric.is_gap:
        return "there are fewer than five labelled rows for each of the 15 bins", "Label more rows."
    if error == 0:
        return "all losses are equal: nothing tells how far others are", "Label more rows."
    return "", ""


def judged_support(answer: Answer, verdict: Verdict, metric: RiskMetric) -> Verdict:
    """The verdict on an estimate, which is "abstain" where nothing supports an interval."""
    reason, action = unsupported_reason(answer, metric)
    return judge([reason], [], action) if reason and verdict != "abstain" else verdict


def as_estimate(method: RiskMethod | LabelsRisk, answer: Answer, level: float) -> RiskEstimate:
    """What is told of an answer."""
    problem, verdict = method.problem, judged_support(answer, method.verdict, method.problem.metric)
    crossfitted = "; the model is those of the folds, each fitted to fewer source rows" if problem.crossfitted else ""
    answer = judged_answer(answer, verdict, problem)
    effective_size, sizes = _weights_of_groups(method)
    value, low, high, error = (float(part[0]) for part in answer)
    return RiskEstimate(
        value,
        low,
        high,
        error,
        metric=problem.metric.name,
        method=method.title,
        assumes=method.assumes + crossfitted,
        level=level,
        n_source=problem.n_source,
        n_target=problem.n_target,
        n_labels=len(problem.known.y) if problem.known is not None and method.uses_labels else 0,
        verdict=verdict,
        effective_size=effective_size,
        groups=_group_risks(problem, answer, sizes),
    )


def answer_of(method: RiskMethod | LabelsRisk, asked: Asked) -> Answer:
    """Value and interval of a method."""
    if isinstance(method, LabelsRisk):
        return method.answer(asked.level)
    if not method.is_possible:
        return Answer.unknown(1 + len(method.problem.groups))
    values = values_of_groups(method, ones_of(method.problem))
    draws = resampled_values([method], asked.n_bootstrap, asked.rng)[:, 0]
    return interval_of_draws(values, draws, asked.level, method.problem.metric, rows_behind(method))


@public
def target_risk(
    model: Any,
    X_source: Any,
    y_source: ArrayLike,
    X_target: Any,
    *,
    metric: Any = "accuracy",
    method: MethodName = "auto",
    target_labels: ArrayLike | None = None,
    rows: ArrayLike | None = None,
    sampling_probability: ArrayLike | None = None,
    weighter: Any = None,
    loss_model: Any = None,
    groups: tuple[ArrayLike, ArrayLike] | None = None,
    quantile: float = 0.5,
    level: float = 0.95,
    n_bootstrap: int = 200,
    random_state: Any = 0,
) -> RiskEstimate:
    """Estimate what a model is worth on the target, with an interval and what it assumes.

    Parameters
    ----------
    model : classifier or regressor
        Fitted, on rows OTHER than these source rows: losses at rows that a model was trained on are too small, and no
        weight mends that. Not fitted, it is cloned and cross-fitted here (five folds), target rows being dealt to the
        models of the folds; its parts that are fitted in advance are then taken as they are.
    X_source : array-like or data frame of shape (n_source, n_features)
    y_source : array-like of shape (n_source,)
    X_target : array-like, data frame or TargetSample of shape (n_target, n_features)
        A TargetSample may carry the labels.
    metric : str or callable, default="accuracy"
        Of classifiers "accuracy", "log_loss" (nats), "brier" (of two classes in [0, 1]), "auc" (of more than two
        classes the mean of each against the others), "balanced_accuracy", "calibration_error" (expected, of the
        predicted class, 15 bins, less the most that noise may add to it); of regressors "rmse", "mae", "pinball". Or
        ``loss(y, outputs)``, one number per row: outputs are class probabilities, of a classifier without them and of
        regressors predictions.
    method : str, default="auto"
        ====================  ===========================================================  =========================
        "source"              the source as it is                                          nothing moved
        "importance"          weighted source, self-normalised                             covariate shift
        "control_variate"     the same, corrected by the mean weight                       covariate shift
        "doubly_robust"       weights and a regression of the loss                         covariate shift
        "label_shift"         source risks of the classes, by the target's class shares    label shift
        "cbpe"                calibrated confidence                                        calibration holds
        "pape"                confidence recalibrated by weights                           covariate shift
        "atc"                 thresholded confidence; accuracy only                        nothing that can be tested
        "doc"                 source, moved by the confidences' difference                 nothing that can be tested
        "lascal"              calibration error of the target's confidences                label shift
        "labels"              target labels alone                                          labels at random
        "ppi"                 target labels and expected losses of all rows                labels at random
        "ppi_sequential"      the same, at any time while labels come in                   labels at random, in order
        ====================  ===========================================================  =========================

        "auto" takes "ppi" from 25 target labels on ("labels" for the calibration error), else "doubly_robust", and
        "importance" for metrics that are no mean of one loss per row.
    target_labels : array-like of shape (n_labels,), default=None
        Labels of target rows that were drawn at random.
    rows : array-like, default=None
        Which target rows these are: positions or a mask; None means the first ones.
    sampling_probability : array-like of shape (n_labels,), default=None
        Probability with which each labelled row was drawn, independently of the others, where it was not the same for
        all.
    weighter : weighter, default=None
        None means ``LogisticWeighter(features="auto")``: linear in the features, their squares or their products as
        cross-validation has it, one choice for all draws. It is cloned.
    loss_model : regressor, default=None
        What predicts the loss from features and outputs, for "doubly_robust" and "ppi"; None means ridge regression.
    groups : pair of array-like, default=None
        Group of each source row and of each target row: the risk of each group of the target, too. Intervals of all
        groups and of the whole then hold together.
    quantile : float in (0, 1), default=0.5
        Of metric="pinball".
    level : float in (0, 1), default=0.95
    n_bootstrap : int, default=200
        Draws of both samples behind the interval; weights, prior and calibration are learned again from each. What the
        model says, and the regression of the loss, stay.
    random_state : int, numpy Generator or RandomState, default=0
        For folds and draws. None draws anew each time.

    Returns
    -------
    RiskEstimate
        Where its verdict is "abstain" (the weights do not make the source look like the target, or the class shares
        cannot be found) the interval is that of all values the metric can take.

    Raises
    ------
    ShiftDataError
        For data and settings that cannot be used, and a method that cannot estimate the metric.

    See Also
    --------
    compare_risks : Several methods side by side.
    RiskEstimate : Value, interval, what it assumes.
    certify_no_harm : Is the loss at most so much higher?
    shiftfix.display.RiskDisplay : Draws estimates of the risk side by side.

    Notes
    -----
    Without target labels no method is safe: each is right under the assumption that its result states, and
    :func:`compare_risks` shows what it would say if another one held. Intervals of "atc", "doc" and "cbpe" hold the
    sampling error, not that of their assumption.

    References
    ----------
    The files of the methods name theirs. Hajek (1971); Chernozhukov et al. (2018); Saerens et al. (2002); Garg et al.
    (2022); Guillory et al. (2021); Bialek et al. (2024); Angelopoulos, Duchi & Zrnic (2023).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> rng = np.random.default_rng(0)
    >>> def draw(n, mean):
    ...     X = rng.normal(mean, 1, (n, 2))
    ...     return X, (X[:, 0] + rng.normal(size=n) > 0).astype(int)
    >>> model = LogisticRegression().fit(*draw(500, 0))
    >>> X, y = draw(1000, 0)
    >>> X_target, y_target = draw(1000, 0.5)
    >>> found = target_risk(model, X, y, X_target)
    >>> bool(found.low < model.score(X_target, y_target) < found.high), found.verdict
    (True, 'ok')
    """
    start = time.perf_counter()
    asked = check_risk_settings(method, level, n_bootstrap, random_state, weighter, loss_model)
    problem = read_problem(
        model,
        X_source,
        y_source,
        X_target,
        metric=metric,
        quantile=quantile,
        target_labels=target_labels,
        rows=rows,
        sampling_probability=sampling_probability,
        groups=groups,
        rng=asked.rng,
    )
    name = chosen_method(method, problem)
    found = method_of(name, problem, Tools(problem, weighter, loss_model, asked.rng))
    estimate = as_estimate(found, answer_of(found, asked), asked.level)
    return replace(estimate, seconds=time.perf_counter() - start)


def check_risk_settings(
    method: Any, level: Any, n_bootstrap: Any, random_state: Any, weighter: Any, loss_model: Any
) -> Asked:
    """Settings of the estimate, checked."""
    check_option(method, "method", ["auto", *UNLABELLED_METHODS, *LABELLED_METHODS])
    check_weighter(weighter)
    if loss_model is not None:
        check_methods(loss_model, "loss_model", ["fit", "predict"], "a regressor")
    return Asked(
        float(check_number(level, "level", above=0, below=1)),
        check_count(n_bootstrap, "n_bootstrap", least=2),
        check_generator(random_state),
    )
