"""Every public call with arguments that work, for hostile ones to be tried on one by one."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression, Ridge

import shiftfix
from shiftfix import conformal, corrected, covariate, detect, label, mlp, risk, simulate, weights

RNG = np.random.default_rng(7)
N_SOURCE, N_TARGET, N_CLASSES = 48, 36, 3
X_SOURCE = RNG.normal(size=(N_SOURCE, 2))
X_TARGET = RNG.normal(0.3, 1, (N_TARGET, 2))
Y = np.arange(N_SOURCE) % N_CLASSES
NUMBERS = X_SOURCE @ [1.0, -2.0] + RNG.normal(size=N_SOURCE)
SCORES_SOURCE = RNG.dirichlet(np.ones(N_CLASSES), N_SOURCE) / 2 + np.eye(N_CLASSES)[Y] / 2
SCORES_TARGET = RNG.dirichlet(np.ones(N_CLASSES), N_TARGET) / 2 + np.eye(N_CLASSES)[np.arange(N_TARGET) % 3] / 2
WEIGHTS = RNG.gamma(2.0, 0.5, N_SOURCE)
COUNTS = RNG.integers(1, 4, N_SOURCE).astype(float)
TARGET_COUNTS = RNG.integers(1, 4, N_TARGET).astype(float)
PRIOR = np.array([0.5, 0.3, 0.2])


@dataclass(frozen=True)
class Call:
    """A public call with arguments that work.

    Parameters
    ----------
    run : callable
        Takes data and settings by name; its result is judged.
    data : dict
        Arrays, by argument.
    settings : dict
        Anything else, by argument.
    """

    run: Callable[..., Any]
    data: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


TINY_NET = {"hidden_layer_sizes": (3,), "max_epochs": 1, "batch_size": 16, "random_state": 0}
WEIGHTED = {"X": X_SOURCE, "y": Y, "sample_weight": COUNTS}
TWO_SAMPLES = {"X_source": X_SOURCE, "X_target": X_TARGET, "sample_weight_source": COUNTS}
TWO_ROWS = {"X_source": X_SOURCE, "X_target": X_TARGET}
THREE_SCORES = {
    "scores_source": SCORES_SOURCE,
    "y_source": Y,
    "scores_target": SCORES_TARGET,
    "sample_weight_target": TARGET_COUNTS,
}


def explained(**given: Any) -> Any:
    """Numbers of a fit of label shift; those that are not known are NaN, and 0 here."""
    return np.nan_to_num(label.label_shift_fit(**given)[:6])


def defaults(kind: type, **changed: Any) -> dict[str, Any]:
    """Every setting of a class at its default, but for those given."""
    parameters = inspect.signature(kind).parameters
    return {name: parameter.default for name, parameter in parameters.items()} | changed


def fits(kind: type, data: dict[str, Any], then: Callable[[Any, dict[str, Any]], Any], **settings: Any) -> Call:
    """Fit an estimator, and ask it."""
    chosen = defaults(kind, **settings)

    def run(**arguments: Any) -> Any:
        estimator = kind(**{name: value for name, value in arguments.items() if name in chosen})
        given = {name: value for name, value in arguments.items() if name in data and name != "X_new"}
        estimator.fit(**given)
        return estimator, then(estimator, arguments)

    return Call(run, data, chosen)


def weigher(kind: type, **settings: Any) -> Call:
    return fits(
        kind,
        TWO_SAMPLES | {"X_new": X_TARGET},
        lambda made, given: [made.source_weights_, made.transform(given["X_new"]), made.summary_],
        **settings,
    )


def prior(kind: type, **settings: Any) -> Call:
    def ask(made: Any, given: dict[str, Any]) -> Any:
        return [
            made.target_prior_,
            made.transform(given["y_source"]),
            made.adjust_proba(given["X_new"]),
            made.interval(),
        ]

    return fits(kind, THREE_SCORES | {"X_new": SCORES_TARGET}, ask, **settings)


def learner(kind: type, data: dict[str, Any], **settings: Any) -> Call:
    def ask(made: Any, given: dict[str, Any]) -> Any:
        asked = [made.predict(given["X_new"])]
        if hasattr(made, "predict_proba"):
            asked.append(made.predict_proba(given["X_new"]))
        return asked

    return fits(kind, data | {"X_new": X_TARGET}, ask, **settings)


def few_labels(kind: type, data: dict[str, Any], y: Any, **settings: Any) -> Call:
    """A learner from labels of some target rows, which are arguments of their own."""
    chosen = defaults(kind, random_state=0, **settings)
    given = {"X_target": X_TARGET, "y_target": y[:20], "rows": np.arange(20), "X_new": X_TARGET}

    def run(**arguments: Any) -> Any:
        made = kind(**{name: value for name, value in arguments.items() if name in chosen})
        target = corrected.TargetSample(arguments["X_target"], y=arguments["y_target"], rows=arguments["rows"])
        made.fit(arguments["X"], arguments["y"], X_target=target, sample_weight=arguments["sample_weight"])
        predict = getattr(made, "predict_proba", made.predict)
        return made, predict(arguments["X_new"])

    return Call(run, data | given, chosen)


def conformal_sets(kind: type, data: dict[str, Any], asked: str, **settings: Any) -> Call:
    """Sets or intervals, and what they cost."""

    def ask(made: Any, given: dict[str, Any]) -> Any:
        return [getattr(made, asked)(given["X_new"]), made.predict(given["X_new"]), str(made.summarize(given["X_new"]))]

    return fits(kind, data | {"X_target": X_TARGET, "X_new": X_TARGET}, ask, **settings)


def calls(function: Callable[..., Any], data: dict[str, Any], **settings: Any) -> Call:
    """Call a function."""
    parameters = inspect.signature(function).parameters
    rest = {
        name: parameter.default
        for name, parameter in parameters.items()
        if name not in data and parameter.default is not inspect.Parameter.empty
    }
    return Call(function, data, rest | settings)


def tabled(**arguments: Any) -> Any:
    made = covariate.TableColumns().fit(arguments["X"])
    return made, made.transform(arguments["X_new"])


def calibrated(**arguments: Any) -> Any:
    made = label.ScoreCalibrator(arguments["kind"]).fit(arguments["scores"], arguments["y"])
    return made, made.transform(arguments["scores_new"])


def followed(**arguments: Any) -> Any:
    settings = {name: arguments[name] for name in ("method", "window", "half_life", "restart")}
    base = label.BBSE().fit(SCORES_SOURCE, Y, SCORES_TARGET)
    online = label.OnlinePrior(base, **settings).update(arguments["scores"])
    return online, [online.target_prior_, online.adjust_proba(arguments["scores"])]


def monitored(**arguments: Any) -> Any:
    settings = {name: arguments[name] for name in defaults(risk.RiskMonitor)}
    monitor = risk.RiskMonitor(**settings).update(arguments["scores"])
    monitor.update_labels(arguments["rows"], arguments["y"])
    called = risk.RiskMonitor(**settings).update(SCORES_TARGET[:4], arguments["ids"])
    called.update_labels(arguments["ids"], Y[:4])
    resumed = risk.RiskMonitor.from_state(monitor.get_state())
    return resumed, [resumed.estimate(), list(resumed.alarms_.values())]


def searched(**arguments: Any) -> Any:
    rule = risk.OneStandardErrorRule(arguments["complexity"], arguments["n_errors"], arguments["metric"])
    return rule({"params": [{"C": 1.0}, {"C": 2.0}], "split0_test_score": [0.5, 0.6], "split1_test_score": [0.4, 0.6]})


FITTED = LogisticRegression().fit(X_SOURCE, Y)


def judged_by(**arguments: Any) -> Any:
    made = risk.make_weighted_scorer(arguments["weighter"], arguments["scoring"])
    return made(FITTED, X_SOURCE, Y, sample_weight=COUNTS)


def scored(**arguments: Any) -> Any:
    return risk.WeightedScorer(arguments["weighter"], arguments["scoring"]).score(
        FITTED, arguments["X"], arguments["y"], sample_weight=arguments["sample_weight"]
    )


CALLS: dict[str, Call] = {
    # weights
    "balance_table": calls(
        weights.balance_table,
        {"X_source": X_SOURCE, "X_target": X_TARGET, "weights": WEIGHTS, "sample_weight_source": COUNTS},
    ),
    "clip_threshold": calls(weights.clip_threshold, {"weights": WEIGHTS, "sample_weight": COUNTS}),
    "clip_weights": calls(weights.clip_weights, {"weights": WEIGHTS, "sample_weight": COUNTS}),
    "effective_sample_size": calls(weights.effective_sample_size, {"weights": WEIGHTS, "sample_weight": COUNTS}),
    "normalize_weights": calls(weights.normalize_weights, {"weights": WEIGHTS, "sample_weight": COUNTS}),
    "pareto_k": calls(weights.pareto_k, {"weights": np.tile(WEIGHTS, 3), "sample_weight": np.tile(COUNTS, 3)}),
    "pareto_k_threshold": calls(weights.pareto_k_threshold, {}, n_rows=100),
    "smooth_weights": calls(weights.smooth_weights, {"weights": np.tile(WEIGHTS, 3)}),
    "summarize_weights": calls(
        weights.summarize_weights,
        {
            "weights": WEIGHTS,
            "target_weights": RNG.gamma(2.0, 0.5, N_TARGET),
            "sample_weight": COUNTS,
            "target_sample_weight": TARGET_COUNTS,
        },
        min_ess=5,
    ),
    "temper_weights": calls(weights.temper_weights, {"weights": WEIGHTS}, exponent=0.5),
    # conformal
    "ConformalClassifier": conformal_sets(
        conformal.ConformalClassifier, WEIGHTED, "predict_set", estimator=LogisticRegression()
    ),
    "ConformalRegressor": conformal_sets(
        conformal.ConformalRegressor, WEIGHTED | {"y": NUMBERS}, "predict_interval", estimator=Ridge()
    ),
    "clipping_cost": calls(conformal.clipping_cost, {"target_weights": WEIGHTS, "sample_weight": COUNTS}, clip=2.0),
    "conformal_p_values": calls(
        conformal.conformal_p_values, {"scores": NUMBERS, "test_scores": NUMBERS[::-1].copy(), "weights": WEIGHTS}
    ),
    "conformal_quantile": calls(
        conformal.conformal_quantile,
        {"scores": NUMBERS, "weights": WEIGHTS, "test_weights": WEIGHTS[:9], "strata": Y, "test_strata": Y[:9]},
    ),
    "label_shift_p_values": calls(
        conformal.label_shift_p_values,
        {"scores": NUMBERS, "y": Y, "test_scores": SCORES_TARGET, "classes": np.arange(3), "class_weight": PRIOR},
    ),
    # covariate
    "KLIEP": weigher(covariate.KLIEP, n_centers=10, cv=2, min_ess=5),
    "KMM": weigher(covariate.KMM, min_ess=5),
    "RULSIF": weigher(covariate.RULSIF, n_centers=10, min_ess=5),
    "ULSIF": weigher(covariate.ULSIF, n_centers=10, min_ess=5),
    "ClassifierWeighter": weigher(covariate.ClassifierWeighter, min_ess=5, random_state=0),
    "LogisticWeighter": weigher(covariate.LogisticWeighter, min_ess=5),
    "TableColumns": Call(tabled, {"X": X_SOURCE, "X_new": X_TARGET}, {}),
    # label
    "BBSE": prior(label.BBSE),
    "GMM": prior(label.GMM),
    "MLLS": prior(label.MLLS, n_bootstrap=3, random_state=0),
    "RLLS": prior(label.RLLS, n_bootstrap=3, random_state=0),
    "OnlinePrior": Call(
        followed, {"scores": SCORES_TARGET}, {"method": "history", "window": 100, "half_life": 100, "restart": True}
    ),
    "ScoreCalibrator": Call(
        calibrated, {"scores": SCORES_SOURCE, "y": Y, "scores_new": SCORES_TARGET}, {"kind": "temperature"}
    ),
    "adjust_proba": calls(
        label.adjust_proba, {"scores": SCORES_TARGET, "source_prior": np.ones(3) / 3, "target_prior": PRIOR}
    ),
    "confusion_matrices": calls(label.confusion_matrices, {"scores": SCORES_SOURCE, "y": Y, "sample_weight": COUNTS}),
    "label_shift_fit": calls(
        explained,
        THREE_SCORES
        | {
            "X_source": X_SOURCE,
            "X_target": X_TARGET,
            "sample_weight_source": COUNTS,
            "sample_weight_target": TARGET_COUNTS,
        },
    ),
    "label_shift_test": calls(
        label.label_shift_test, THREE_SCORES | {"sample_weight_source": COUNTS}, n_bootstrap=5, random_state=0
    ),
    "mean_score_test": calls(
        label.mean_score_test,
        {
            "scores_source": SCORES_SOURCE,
            "scores_target": SCORES_TARGET,
            "sample_weight_source": COUNTS,
            "sample_weight_target": TARGET_COUNTS,
        },
        n_permutations=5,
        random_state=0,
    ),
    "prior_from_labels": calls(
        label.prior_from_labels,
        {"y": Y, "scores": SCORES_SOURCE, "scores_unlabelled": SCORES_TARGET},
        classes=np.arange(3),
    ),
    "prior_of_scores": calls(label.prior_of_scores, {"scores": SCORES_SOURCE, "y": Y, "sample_weight": COUNTS}),
    # corrected
    "CovariateShiftClassifier": learner(
        corrected.CovariateShiftClassifier,
        WEIGHTED | {"X_target": X_TARGET},
        estimator=LogisticRegression(),
        random_state=0,
    ),
    "CovariateShiftRegressor": learner(
        corrected.CovariateShiftRegressor,
        WEIGHTED | {"y": NUMBERS, "X_target": X_TARGET},
        estimator=Ridge(),
        random_state=0,
    ),
    "LabelShiftClassifier": learner(
        corrected.LabelShiftClassifier,
        WEIGHTED | {"X_target": X_TARGET},
        estimator=LogisticRegression(),
        prior=label.MLLS(n_bootstrap=0),
        cv=2,
        random_state=0,
    ),
    "FewLabelClassifier": few_labels(corrected.FewLabelClassifier, WEIGHTED, Y, estimator=LogisticRegression(), cv=2),
    "FewLabelRegressor": few_labels(
        corrected.FewLabelRegressor, WEIGHTED | {"y": NUMBERS}, NUMBERS, estimator=Ridge(), cv=2
    ),
    "ShiftCorrectedClassifier": learner(
        corrected.ShiftCorrectedClassifier,
        WEIGHTED | {"X_target": X_TARGET},
        estimator=LogisticRegression(),
        cv=2,
    ),
    "ShiftCorrectedRegressor": learner(
        corrected.ShiftCorrectedRegressor,
        WEIGHTED | {"y": NUMBERS, "X_target": X_TARGET},
        estimator=Ridge(),
        cv=2,
    ),
    "fit_weighted": Call(
        lambda **given: corrected.fit_weighted(LogisticRegression(), **given).predict_proba(X_TARGET),
        {"X": X_SOURCE, "y": Y, "weights": WEIGHTS},
        {"fallback": None, "rng": None},
    ),
    # detect
    "classifier_test": calls(detect.classifier_test, TWO_ROWS, n_permutations=9, random_state=0),
    "concept_test": calls(
        detect.concept_test,
        {
            "X_source": np.tile(X_SOURCE, (3, 1)),
            "y_source": np.tile(Y, 3),
            "X_target": np.tile(X_TARGET, (3, 1)),
            "y_target": np.arange(104) % N_CLASSES,
            "rows": np.arange(104),
        },
        n_bootstrap=20,
        random_state=0,
    ),
    "covariate_or_label": calls(
        detect.covariate_or_label,
        {
            "scores_source": SCORES_SOURCE,
            "y_source": Y,
            "scores_target": SCORES_TARGET,
            "y_target": np.arange(20) % N_CLASSES,
            "rows": np.arange(20),
        },
    ),
    "diagnose_shift": calls(
        detect.diagnose_shift,
        TWO_ROWS
        | {"y_source": Y, "sample_weight": COUNTS, "target_labels": np.arange(20) % N_CLASSES, "rows": np.arange(20)},
        estimator=LogisticRegression(),
        cv=2,
    ),
    "feature_tests": calls(detect.feature_tests, TWO_ROWS),
    "mmd_test": calls(detect.mmd_test, TWO_ROWS, n_permutations=9, random_state=0),
    "novel_class_test": calls(detect.novel_class_test, TWO_ROWS | {"y_source": Y}, n_permutations=9, random_state=0),
    "performance_drop": calls(
        detect.performance_drop,
        TWO_ROWS | {"losses_source": NUMBERS**2, "losses_target": np.arange(24.0), "rows": np.arange(24)},
    ),
    "score_test": calls(
        detect.score_test,
        {"scores_source": SCORES_SOURCE, "scores_target": SCORES_TARGET},
        n_permutations=9,
        random_state=0,
    ),
    # mlp
    "MLPClassifier": learner(mlp.MLPClassifier, WEIGHTED, **TINY_NET),
    "MLPRegressor": learner(mlp.MLPRegressor, WEIGHTED | {"y": NUMBERS}, **TINY_NET),
    "MLPClassifier, one-hot": learner(
        mlp.MLPClassifier,
        {"X": X_SOURCE, "y": np.eye(N_CLASSES)[Y], "X_val": X_SOURCE, "y_val": Y, "sample_weight_val": COUNTS},
        **TINY_NET,
    ),
    "MLPRegressor, every layer": learner(
        mlp.MLPRegressor,
        {"X": X_SOURCE, "y": NUMBERS, "X_val": X_SOURCE, "y_val": NUMBERS, "sample_weight_val": COUNTS},
        **TINY_NET | {"hidden_layer_sizes": (3, 2), "activation": ["prelu", "selu"], "hidden_noise": [0.1, 0.2]},
        initializer=["auto", "lecun_uniform", 0.1],
        optimizer="rmsprop",
        running_decay=0.9,
        eps=1e-6,
    ),
    "MLPClassifier, tables": learner(mlp.MLPClassifier, WEIGHTED, **TINY_NET, preset="tabular", n_models=1),
    "WeightedTrainer": learner(
        mlp.WeightedTrainer, WEIGHTED, module=torch.nn.Linear(2, 3), max_epochs=1, batch_size=16, random_state=0
    ),
    # risk
    "absolute_losses": calls(risk.absolute_losses, {"predicted": NUMBERS + 1, "y": NUMBERS}),
    "compare_risks": calls(
        risk.compare_risks,
        {"X_source": X_SOURCE, "y_source": Y, "X_target": X_TARGET, "target_labels": Y[:20]},
        model=LogisticRegression().fit(X_SOURCE, Y),
        methods=["importance", "label_shift", "pape", "ppi"],
        n_bootstrap=3,
        n_worlds=1,
    ),
    "log_losses": calls(risk.log_losses, {"proba": SCORES_SOURCE, "y": Y, "classes": np.arange(3)}),
    "pinball_losses": calls(risk.pinball_losses, {"predicted": NUMBERS + 1, "y": NUMBERS}),
    "OneStandardErrorRule": Call(searched, {}, {"complexity": "C", "n_errors": 1.0, "metric": "score"}),
    "RiskMonitor": Call(
        monitored,
        {"scores": SCORES_TARGET, "rows": np.arange(20), "y": np.arange(20) % N_CLASSES, "ids": np.arange(4)},
        defaults(risk.RiskMonitor, reference=0.8),
    ),
    "WeightedScorer": Call(scored, WEIGHTED, {"weighter": None, "scoring": "accuracy"}),
    "certify_no_harm": calls(
        risk.certify_no_harm,
        {
            "losses": np.arange(24) % 2.0,
            "losses_reference": np.arange(24) % 3 / 2,
            "scores": np.linspace(0, 1, 24),
            "scores_unlabelled": np.linspace(0, 1, 30),
        },
    ),
    "iw_cross_val_score": calls(
        risk.iw_cross_val_score, WEIGHTED | {"X_target": X_TARGET}, estimator=LogisticRegression(), cv=3
    ),
    "make_weighted_scorer": Call(judged_by, {}, {"weighter": None, "scoring": "accuracy"}),
    "plan_labels": calls(
        risk.plan_labels,
        {
            "scores_unlabelled": np.linspace(0, 1, 30),
            "losses": np.arange(24) % 2.0,
            "scores": np.linspace(0, 1, 24),
        },
    ),
    "row_losses": calls(risk.row_losses, {"X": X_SOURCE, "y": Y}, model=LogisticRegression().fit(X_SOURCE, Y)),
    "simplest_within_one_error": calls(
        risk.simplest_within_one_error, {"row_scores": X_SOURCE.T.copy(), "weights": WEIGHTS}
    ),
    "squared_losses": calls(risk.squared_losses, {"predicted": NUMBERS + 1, "y": NUMBERS}),
    "target_risk": calls(
        risk.target_risk,
        {
            "X_source": X_SOURCE,
            "y_source": Y,
            "X_target": X_TARGET,
            "target_labels": Y[:20],
            "rows": np.arange(20),
            "sampling_probability": np.full(20, 0.5),
        },
        model=LogisticRegression().fit(X_SOURCE, Y),
        n_bootstrap=3,
    ),
    "zero_one_losses": calls(risk.zero_one_losses, {"predicted": Y[::-1].copy(), "y": Y}),
    # simulate
    "concept_shift": calls(simulate.concept_shift, {}, n_source=20, n_target=10, angle=0.5),
    "dirichlet_prior": calls(simulate.dirichlet_prior, {}, n_classes=3, alpha=1.0),
    "discrete_covariate_shift": calls(
        simulate.discrete_covariate_shift, {"p": PRIOR, "q": PRIOR[::-1].copy()}, n_source=20, n_target=10
    ),
    "exponential_chi2": calls(simulate.exponential_chi2, {}, rate=0.75),
    "exponential_covariate_shift": calls(simulate.exponential_covariate_shift, {}, n_source=20, n_target=10),
    "exponential_tilt": calls(simulate.exponential_tilt, {"X": X_SOURCE, "y": Y, "beta": np.array([0.5, -0.5])}),
    "from_recipe": calls(
        simulate.from_recipe,
        {"X": X_SOURCE, "y": Y},
        recipe={"simulator": "exponential_tilt", "features": [0], "parameters": {"beta": [0.5]}},
    ),
    "gaussian_chi2": calls(simulate.gaussian_chi2, {}),
    "gaussian_clipped_mean": calls(simulate.gaussian_clipped_mean, {}, clip=2.0),
    "gaussian_clipped_square": calls(simulate.gaussian_clipped_square, {}, clip=2.0),
    "gaussian_covariate_shift": calls(simulate.gaussian_covariate_shift, {}, n_source=20, n_target=10),
    "gaussian_domain_auc": calls(simulate.gaussian_domain_auc, {}),
    "gaussian_ess_share": calls(simulate.gaussian_ess_share, {}),
    "gaussian_log_ratio": calls(simulate.gaussian_log_ratio, {"X": X_SOURCE}),
    "gaussian_share_above_clip": calls(simulate.gaussian_share_above_clip, {}, clip=2.0),
    "knock_out_prior": calls(simulate.knock_out_prior, {}, n_classes=3, index=1, fraction_removed=0.5),
    "label_shift": calls(simulate.label_shift, {"X": X_SOURCE, "y": Y, "target_prior": PRIOR}, n_target=10),
    "rotated_accuracy": calls(simulate.rotated_accuracy, {}, angle=0.5),
    "tilt_log_weights": calls(simulate.tilt_log_weights, {"X": X_SOURCE, "beta": np.array([0.5, -0.5])}),
    "tweak_one_prior": calls(simulate.tweak_one_prior, {}, n_classes=3, index=1, probability=0.5),
    # datasets
    "load_card": calls(shiftfix.datasets.load_card, {}, name="digits"),
    "make_clinic": calls(shiftfix.datasets.make_clinic, {}, n_source=20, n_target=10),
}
