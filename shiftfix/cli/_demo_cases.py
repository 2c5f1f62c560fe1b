"""The cases of ``shiftfix demo``: known shifts in data sets.

Every case is a function of data and seed that returns an Outcome: the learner as it is, corrected, and with
the true weights or class shares in place of the estimated ones (the oracle).
"""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shiftfix.exceptions import LabelShiftRejectedWarning

OFFLINE = ("digits", "breast_cancer")
# One network, trained to the end: by rows held out each fit would stop by its own weights, and the comparison would be
# of lengths too.
WHOLE: dict[str, Any] = {"early_stopping": False, "max_epochs": 100, "learning_rate": 1e-3}
CALIFORNIA_SOURCE_ROWS, CALIFORNIA_TARGET_ROWS = 4000, 2000


@dataclass(frozen=True)
class Outcome:
    """One run of one demo.

    Attributes
    ----------
    score, effective_size, seconds : tuple of float
        Uncorrected, corrected, oracle. Effective sizes in rows; seconds of estimating and training.
    verdict : str
    reasons : tuple of str
    detail : float
        How close the estimated weights or class shares come to the true ones; the demo says how.
    """

    score: tuple[float, ...]
    effective_size: tuple[float, ...]
    seconds: tuple[float, ...]
    verdict: str
    reasons: tuple[str, ...]
    detail: float


@dataclass(frozen=True)
class Demo:
    """What a demo shows and how.

    Attributes
    ----------
    kind : {"covariate", "label"}
    metric : str
        Head of the score's column, with its unit.
    better : {1, -1, 0}
        Whether more or less is better; 0 when near the oracle is.
    run : callable
        (data, seed) -> Outcome.
    done : str
        One sentence: what was done.
    detail : str
        What the outcome's detail is, with a place for the number; empty for none.
    options : dict
        For shiftfix.datasets.load.
    repeats : int
        Default number of seeds; a demo without anything random has one.
    fixed : bool
        Whether nothing in the demo is random.
    """

    kind: str
    metric: str
    better: int
    run: Callable[[Any, int], Outcome]
    done: str
    detail: str = ""
    options: tuple[tuple[str, bool], ...] = ()
    repeats: int = 5
    fixed: bool = False


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Result of a call and the seconds it took."""
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


def covariate_outcome(problem: Any, estimator: Any, score: Callable[[Any, Any], float]) -> Outcome:
    """Uncorrected, weighted and oracle fit of one covariate-shift problem."""
    from sklearn.base import clone, is_classifier

    from shiftfix.corrected import CovariateShiftClassifier, CovariateShiftRegressor
    from shiftfix.weights import effective_sample_size

    X, y, X_target = problem.X_source, problem.y_source, problem.X_target
    # The tilts were chosen to need weights: what is shown is what weights are worth, not whether they are used.
    corrected: Any = partial(CovariateShiftRegressor, exponent=1.0)
    if is_classifier(estimator):
        corrected = partial(CovariateShiftClassifier, exponent=1.0, calibrate=None)
    plain, plain_seconds = timed(lambda: clone(estimator).fit(X, y))
    model, seconds = timed(lambda: corrected(clone(estimator)).fit(X, y, X_target=X_target))
    oracle, oracle_seconds = timed(lambda: clone(estimator).fit(X, y, sample_weight=problem.source_weights))
    log_truth = np.log(problem.source_weights)
    return Outcome(
        tuple(score(problem.y_target, fitted.predict(X_target)) for fitted in (plain, model, oracle)),
        (float(len(X)), effective_sample_size(model.weights_), effective_sample_size(problem.source_weights)),
        (plain_seconds, seconds, oracle_seconds),
        model.summary_.verdict,
        model.summary_.reasons,
        float(np.corrcoef(log_truth, model.weighter_.log_ratio(X))[0, 1]),
    )


def label_outcome(problem: Any, estimator: Any, seed: int, causes: Literal["label"] | None = None) -> Outcome:
    """Uncorrected, corrected and oracle accuracy of one label-shift problem."""
    from sklearn.base import clone

    from shiftfix.corrected import LabelShiftClassifier
    from shiftfix.label import adjust_proba
    from shiftfix.weights import effective_sample_size

    X, y, X_target = problem.X_source, problem.y_source, problem.X_target
    plain, plain_seconds = timed(lambda: clone(estimator).fit(X, y))
    model, seconds = timed(
        lambda: LabelShiftClassifier(clone(estimator), causes=causes, random_state=seed).fit(X, y, X_target=X_target)
    )
    scores = plain.predict_proba(X_target)
    oracle = adjust_proba(scores, model.source_prior_, problem.target_prior)
    source_class = np.searchsorted(model.classes_, y)
    true_weights = (problem.target_prior / model.source_prior_)[source_class]
    weights = (model.target_prior_ / model.source_prior_)[source_class]
    predicted = [model.classes_[scores.argmax(axis=1)], model.predict(X_target)]
    predicted.append(model.classes_[oracle.argmax(axis=1)])
    return Outcome(
        tuple(float((values == problem.y_target).mean()) for values in predicted),
        (float(len(X)), effective_sample_size(weights), effective_sample_size(true_weights)),
        # The oracle needs no estimate of the shares, only the plain model.
        (plain_seconds, seconds, plain_seconds),
        model.verdict_,
        model.verdict_.reasons,
        float(np.abs(model.target_prior_ - problem.target_prior).max()),
    )


def _problem(data: Any, seed: int) -> Any:
    from shiftfix.simulate import from_recipe

    return from_recipe(data.data, data.target, data.recipe, feature_names=data.feature_names, random_state=seed)


def _accuracy(truth: NDArray[Any], predicted: NDArray[Any]) -> float:
    return float((truth == predicted).mean())


def _error(truth: NDArray[Any], predicted: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean((truth - predicted) ** 2)))


def _demo_digits(data: Any, seed: int) -> Outcome:
    from shiftfix.mlp import MLPClassifier

    network = MLPClassifier((128,), dropout=0.5, batch_size=64, **WHOLE, random_state=seed)
    return label_outcome(_problem(data, seed), network, seed)


def _demo_breast_cancer(data: Any, seed: int) -> Outcome:
    from shiftfix.mlp import MLPClassifier

    network = MLPClassifier((4,), dropout=0.2, batch_size=32, **WHOLE | {"max_epochs": 200}, random_state=seed)
    return covariate_outcome(_problem(data, seed), network, _accuracy)


def _demo_airfoil(data: Any, seed: int) -> Outcome:
    from shiftfix.mlp import MLPRegressor

    network = MLPRegressor((32,), batch_size=64, **WHOLE, random_state=seed)
    return covariate_outcome(_problem(data, seed), network, _error)


def _demo_fashion_mnist(data: Any, seed: int) -> Outcome:
    from shiftfix.mlp import MLPClassifier

    network = MLPClassifier((128,), dropout=0.5, batch_size=256, **WHOLE | {"max_epochs": 15}, random_state=seed)
    return label_outcome(_problem(data, seed), network, seed)


def _demo_california_housing(data: Any, seed: int) -> Outcome:
    from shiftfix.mlp import MLPClassifier
    from shiftfix.simulate import ShiftProblem

    # Longitude and latitude tell coast from inland apart perfectly.
    kept = [place for place, name in enumerate(data.feature_names) if name not in ("longitude", "latitude")]
    rng = np.random.default_rng(seed)
    inland = data.ocean_proximity == "INLAND"
    source = rng.choice(np.flatnonzero(~inland), CALIFORNIA_SOURCE_ROWS, replace=False)
    target = rng.choice(np.flatnonzero(inland), CALIFORNIA_TARGET_ROWS, replace=False)
    X = np.asarray(data.data, dtype=np.float64)[:, kept]
    X = np.where(np.isnan(X), np.nanmedian(X, axis=0), X)
    expensive = (data.target > np.median(data.target[source])).astype(int)
    share = expensive[target].mean()
    problem = ShiftProblem(
        X[source],
        expensive[source],
        X[target],
        expensive[target],
        kind="label",
        description="coast to inland",
        target_prior=np.array([1 - share, share]),
    )
    network = MLPClassifier((64,), dropout=0.5, batch_size=256, **WHOLE | {"max_epochs": 30}, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LabelShiftRejectedWarning)  # the verdict tells it
        return label_outcome(problem, network, seed, causes="label")


def _demo_cifar10(data: Any, seed: int) -> Outcome:
    from shiftfix.label import MLLS, adjust_proba, label_shift_fit
    from shiftfix.weights import effective_sample_size

    gate = label_shift_fit(data.scores_source, data.y_source, data.scores_target)
    prior, seconds = timed(lambda: MLLS(n_bootstrap=0).fit(data.scores_source, data.y_source, data.scores_target))
    truth = np.array([(data.y_target == value).mean() for value in prior.classes_])
    oracle = adjust_proba(data.scores_target, prior.source_prior_, truth)
    scores = (data.scores_target, prior.adjust_proba(data.scores_target) if gate.passes else data.scores_target, oracle)
    true_weights = (truth / prior.source_prior_)[np.searchsorted(prior.classes_, data.y_source)]
    return Outcome(
        tuple(_accuracy(data.y_target, prior.classes_[values.argmax(axis=1)]) for values in scores),
        (
            float(len(data.y_source)),
            effective_sample_size(prior.transform(data.y_source)),
            effective_sample_size(true_weights),
        ),
        (0.0, seconds, 0.0),
        "caution" if gate.passes else "abstain",
        (f"{gate.reason}; only the scores were compared", *prior.verdict_.reasons),
        float(np.abs(prior.target_prior_ - truth).max()),
    )


def _demo_lalonde(data: Any, seed: int) -> Outcome:
    from shiftfix.covariate import LogisticWeighter

    def features(X: NDArray[Any]) -> NDArray[Any]:
        # Dehejia and Wahba (1999) add u74 and u75, whether a person earned nothing.
        earnings = X[:, [data.feature_names.index("re74"), data.feature_names.index("re75")]]
        return np.hstack([X, earnings == 0])

    X, X_target = features(data.X_source), features(data.X_target)
    weighter, seconds = timed(lambda: LogisticWeighter().fit(X, X_target))
    summary, weights = weighter.summary_, weighter.transform(X)
    rows = float(len(X))
    return Outcome(
        (
            float(np.mean(data.y_source)),
            float(np.average(data.y_source, weights=weights)),
            float(np.mean(data.y_target)),
        ),
        (rows, summary.effective_size, float(len(X_target))),
        (0.0, seconds, 0.0),
        summary.verdict,
        summary.reasons,
        float(np.std(data.y_target, ddof=1) / np.sqrt(len(X_target))),
    )


SHARES = "The largest error of an estimated class share is {:.3f}."
CORRELATION = "Estimated and true log weights correlate by {:.3f}."

DEMOS = {
    "digits": Demo(
        "label",
        "accuracy",
        1,
        _demo_digits,
        "A dropout MLP was trained where digit 8 is rare and used where it is common; its probabilities "
        "were adjusted to class shares estimated from the unlabelled target.",
        SHARES,
    ),
    "breast_cancer": Demo(
        "covariate",
        "accuracy",
        1,
        _demo_breast_cancer,
        "A small dropout MLP (4 hidden units, two features) was trained on source rows weighted to look "
        "like the target; the tilt was chosen to hurt models too simple for the data.",
        CORRELATION,
    ),
    "fashion_mnist": Demo(
        "label",
        "accuracy",
        1,
        _demo_fashion_mnist,
        "A dropout MLP was trained on equal shares and used where half of the images are shirts; its "
        "probabilities were adjusted to class shares estimated from the unlabelled target.",
        SHARES,
        repeats=3,
    ),
    "cifar10_label_shift_predictions": Demo(
        "label",
        "accuracy",
        1,
        _demo_cifar10,
        "The published scores of a trained network were adjusted to class shares estimated from the "
        "unlabelled target; nothing was trained.",
        SHARES,
        fixed=True,
    ),
    "california_housing": Demo(
        "label",
        "accuracy",
        1,
        _demo_california_housing,
        "A dropout MLP learned on the coast whether a block is dearer than the coast's median, and was "
        "used inland; its probabilities were adjusted to estimated shares. Label shift holds only nearly "
        'here, and would be refused: causes="label" says that nothing else is meant to have moved.',
        SHARES,
    ),
    "lalonde": Demo(
        "covariate",
        "mean re78 (dollars)",
        0,
        _demo_lalonde,
        "Survey respondents were weighted to look like the controls of a job-training trial (indicators of "
        "zero earnings added); the oracle is the mean of those controls, and its ESS their number.",
        "The oracle's own standard error is {:.0f} dollars.",
        fixed=True,
    ),
    "airfoil": Demo(
        "covariate",
        "RMSE (dB)",
        -1,
        _demo_airfoil,
        "An MLP regressor was trained on source rows weighted to look like the target, which was drawn in "
        "proportion to known weights.",
        CORRELATION,
        options=(("log_columns", True),),
    ),
}
