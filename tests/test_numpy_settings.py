"""Settings of numpy's types are settings like any other: the answer of Python's, and what was given stays."""

import copy
import inspect
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from shiftfix import simulate, weights
from shiftfix._door import plain
from shiftfix._setting_checks import check_count, check_number, check_option
from shiftfix.corrected import CovariateShiftClassifier, LabelShiftClassifier
from shiftfix.covariate import KLIEP, KMM, RULSIF, ULSIF, ClassifierWeighter, LogisticWeighter
from shiftfix.exceptions import ShiftDataError
from shiftfix.label import BBSE, MLLS, RLLS, OnlinePrior, ScoreCalibrator
from shiftfix.large import StreamingLogisticWeighter
from shiftfix.mlp import MLPClassifier, MLPRegressor, WeightedTrainer
from tests.test_contract import LABELS, SCORES, SCORES_TARGET, X_SOURCE, X_TARGET, Y
from tests.test_options import NET

pytestmark = [
    pytest.mark.filterwarnings("ignore::shiftfix.exceptions.InactiveWeightsWarning"),
    pytest.mark.filterwarnings("ignore::shiftfix.exceptions.LabelShiftRejectedWarning"),
    pytest.mark.filterwarnings("ignore::shiftfix.exceptions.PoorOverlapWarning"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]

SCALARS = {bool: np.bool_, int: np.int32, float: np.float64, str: np.str_}


def as_scalar(value):
    """A setting as numpy's scalar; entries of sequences and values of dicts too."""
    if isinstance(value, tuple):
        return np.array(value)
    if isinstance(value, dict):
        return {key: as_scalar(item) for key, item in value.items()}
    make = SCALARS.get(type(value))
    return value if make is None else make(value)


def as_array(value):
    """A setting as an array without dimensions."""
    return np.array(value) if type(value) in SCALARS else as_scalar(value)


# Of every estimator, settings of each type that are not the default's.
NETWORK = {
    "hidden_layer_sizes": (8, 4),
    "activation": "tanh",
    "initializer": "xavier_uniform",
    "dropout": (0.1, 0.2),
    "input_dropout": 0.1,
    "dropconnect": 0.1,
    "input_noise": 0.05,
    "hidden_noise": (0.1, 0.05),
    "batch_norm": True,
    "optimizer": "rmsprop",
    "learning_rate": 0.01,
    "running_decay": 0.9,
    "eps": 1e-4,
    "schedule": "cosine",
    "warmup": 1,
    "batch_size": 32,
    "max_epochs": 3,
    "early_stopping": True,
    "validation_fraction": 0.25,
    "patience": 2,
    "weighting": "resample",
    "exponent": 0.5,
    "clip": "ess",
    "l1": 0.001,
    "l2": 0.01,
    "decoupled": True,
    "max_norm": 3.0,
    "clip_norm": 1.0,
    "clip_value": 0.5,
    "n_models": 2,
    "standardize": False,
    "warm_start": False,
    "precision": "float32",
    "device": "cpu",
    "n_threads": 1,
    "data_parallel": False,
    "progress": False,
    "resume": False,
    "random_state": 3,
}
OWN = {
    name: value
    for name, value in NETWORK.items()
    if name in inspect.signature(WeightedTrainer).parameters and name not in ("early_stopping", "weighting")
}
FINISHING = {"clip": 3.5, "min_ess": 20, "normalize": "mean"}
KERNELS = {"bandwidth": 1.5, "n_centers": 20, "random_state": 1}
PRIOR = {"calibration": "temperature", "shrink": "significance"}
SAMPLES = (X_SOURCE, X_TARGET)
SCORED = (SCORES, LABELS, SCORES_TARGET)


def weigh(estimator):
    return estimator.fit(*SAMPLES).transform(X_TARGET)


def adjust(estimator):
    estimator.fit(*SCORED)
    return np.concatenate([estimator.adjust_proba(SCORES_TARGET).ravel(), estimator.interval().ravel()])


def learn(estimator):
    model = estimator.fit(X_SOURCE, Y, sample_weight=np.arange(240) % 3 + 1.0)
    return getattr(model, "predict_proba", model.predict)(X_TARGET)


def correct(estimator):
    return estimator.fit(X_SOURCE, Y, X_target=X_TARGET).predict_proba(X_TARGET)


CASES = {
    "MLPClassifier": (
        MLPClassifier,
        NETWORK | {"loss": "cross_entropy", "label_smoothing": 0.1, "class_weight": {0: 1.0, 1: 2.0}},
        learn,
    ),
    "MLPClassifier, other names": (
        MLPClassifier,
        {"loss": "binary_cross_entropy", "class_weight": "balanced", "initializer": 0.1, "early_stopping": False}
        | {"max_epochs": 2, "hidden_layer_sizes": 8, "dropout": 0.25, "random_state": 0}
        | {"optimizer": "averaged_momentum", "running_decay": 0.8},
        learn,
    ),
    "MLPRegressor, other names": (
        MLPRegressor,
        {"optimizer": "rmsprop", "running_decay": 0.9, "max_epochs": 2, "hidden_layer_sizes": 8, "random_state": 0},
        learn,
    ),
    "MLPClassifier, tables": (
        MLPClassifier,
        NETWORK | {"preset": "tabular", "temperature": "auto", "n_models": 2, "schedule": "cosine_log"},
        learn,
    ),
    "MLPRegressor": (MLPRegressor, NETWORK | {"loss": "huber"}, learn),
    "MLPRegressor, tables": (MLPRegressor, NETWORK | {"preset": "tabular", "n_models": 2}, learn),
    "WeightedTrainer": (
        WeightedTrainer,
        OWN | {"module": NET, "loss": "polynomial_tail", "temperature": "auto"},
        learn,
    ),
    "WeightedTrainer, other names": (
        WeightedTrainer,
        {"module": NET, "optimizer": "momentum", "running_decay": 0.8, "max_epochs": 2, "random_state": 0},
        learn,
    ),
    "LogisticWeighter": (
        LogisticWeighter,
        FINISHING | {"C": 0.5, "features": "squares", "max_iter": 50, "tol": 1e-6, "warm_start": True},
        weigh,
    ),
    "LogisticWeighter, chosen": (LogisticWeighter, {"C": "cv", "features": "auto", "clip": "90%"}, weigh),
    "ClassifierWeighter": (
        ClassifierWeighter,
        FINISHING | {"cv": 3, "calibration": "sigmoid", "random_state": 0},
        weigh,
    ),
    "ClassifierWeighter, auto": (ClassifierWeighter, {"cv": "auto", "clip": "pareto"}, weigh),
    "ULSIF": (ULSIF, FINISHING | KERNELS | {"penalty": 0.1}, weigh),
    "RULSIF": (RULSIF, FINISHING | KERNELS | {"penalty": (0.1, 1.0), "alpha": 0.2}, weigh),
    "KLIEP": (KLIEP, FINISHING | KERNELS | {"cv": 3, "tol": 1e-3, "max_iter": 300}, weigh),
    "KMM": (
        KMM,
        FINISHING
        | {
            "bandwidth": "auto",
            "bound": 50,
            "slack": 0.5,
            "ridge": 0.01,
            "tol": 1e-3,
            "max_iter": 500,
            "random_state": 0,
        },
        weigh,
    ),
    "StreamingLogisticWeighter": (
        StreamingLogisticWeighter,
        FINISHING
        | {"C": 0.5, "tol": 1e-6, "max_passes": 20, "warm_start_rows": 100, "economical": False, "warm_start": False}
        | {"rows_per_unit": 90, "engine": "threads", "n_workers": 2, "retries": 1},
        weigh,
    ),
    "MLLS": (MLLS, PRIOR | {"n_bootstrap": 10, "random_state": 0, "tol": 1e-6, "max_iter": 50}, adjust),
    "BBSE": (BBSE, PRIOR | {"kind": "soft", "calibration": "auto"}, adjust),
    "BBSE hard": (BBSE, {"kind": "hard"}, adjust),
    "RLLS soft": (RLLS, PRIOR | {"regularization": "auto", "n_bootstrap": 0}, adjust),
    "RLLS": (RLLS, {"kind": "hard", "regularization": 0.1, "gamma": 0.5, "n_bootstrap": 5, "random_state": 1}, adjust),
    "ScoreCalibrator": (
        ScoreCalibrator,
        {"kind": "bcts"},
        lambda estimator: estimator.fit(SCORES, LABELS).transform(SCORES_TARGET),
    ),
    "OnlinePrior": (
        OnlinePrior,
        {"prior": BBSE().fit(*SCORED), "method": "window", "window": 90, "half_life": 50.0, "restart": False},
        lambda estimator: estimator.update(SCORES_TARGET).adjust_proba(SCORES_TARGET),
    ),
    "CovariateShiftClassifier": (
        CovariateShiftClassifier,
        {"estimator": LogisticRegression(), "exponent": 0.5, "on_abstain": "correct", "fallback": None}
        | {"calibrate": "temperature", "random_state": 0},
        correct,
    ),
    "CovariateShiftClassifier, chosen": (
        CovariateShiftClassifier,
        {"estimator": LogisticRegression(), "exponent": "cv", "cv": 3, "random_state": 0},
        correct,
    ),
    "LabelShiftClassifier": (
        LabelShiftClassifier,
        {"estimator": LogisticRegression(), "prior": MLLS(), "correction": "retrain", "cv": 3}
        | {"on_abstain": "uncorrected", "fallback": "resample", "random_state": 0}
        | {"on_reject": "correct", "causes": "label", "calibrate": "temperature"},
        correct,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("convert", [as_scalar, as_array])
@pytest.mark.parametrize("case", CASES)
def test_the_answer_is_that_of_pythons_types(case, convert):
    make, settings, ask = CASES[case]
    expected = ask(make(**settings))
    given = {name: convert(value) for name, value in settings.items()}
    estimator = make(**given)
    assert np.array_equal(ask(estimator), expected)
    for name, value in given.items():
        assert estimator.get_params(deep=False)[name] is value
    if make is not OnlinePrior:  # a clone of it has a prior that is not fitted
        assert np.array_equal(ask(clone(make(**given))), expected)


def test_the_table_has_every_setting_that_can_be_of_numpys_types():
    for make in {case[0] for case in CASES.values()}:
        known = {name for other, settings, _ in CASES.values() if other is make for name in settings}
        free = {
            "callbacks",
            "checkpoint",
            "columns",
            "scheduler",
            "classifier",
            "weighter",
            "exponent",
            "cv",
            "random_state",
            "class_weight",
        }
        free |= {"early_stopping", "weighting"} if make is WeightedTrainer else set()
        missing = set(inspect.signature(make).parameters) - known - free
        assert not missing, (make.__name__, missing)


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (MLPClassifier, ["learning_rate", "l2", "dropout", "input_noise", "clip_norm", "exponent", "label_smoothing"]),
        (LogisticWeighter, ["C", "tol", "min_ess"]),
        (KMM, ["bound", "slack", "ridge", "bandwidth"]),
        (RLLS, ["regularization", "gamma"]),
    ],
)
@pytest.mark.parametrize("kind", [np.float32, np.float16, np.longdouble])
def test_other_precisions_do_what_their_value_does(make, names, kind):
    one, other = ({name: as_type(kind(0.5 if name != "bound" else 2)) for name in names} for as_type in (float, kind))
    network = {
        "max_epochs": 2,
        "hidden_layer_sizes": (4,),
        "early_stopping": False,
        "batch_size": 256,
        "random_state": 0,
    }
    fixed = network if make is MLPClassifier else {}
    ask = {MLPClassifier: learn, RLLS: adjust}.get(make, weigh)
    fixed = {"random_state": 0, "n_bootstrap": 0} if make is RLLS else fixed
    assert np.array_equal(ask(make(**one, **fixed)), ask(make(**other, **fixed)))


@pytest.mark.slow
def test_a_search_over_arrays_of_settings():
    grid = {
        "batch_size": np.array([16, 32]),
        "activation": np.array(["tanh"]),
        "batch_norm": np.array([True, False]),
        "learning_rate": np.geomspace(0.001, 0.01, 1),
    }
    network = MLPClassifier((4,), max_epochs=1, random_state=0)
    search = GridSearchCV(network, grid, cv=2, error_score="raise").fit(X_SOURCE, Y)
    assert search.best_params_["batch_size"] in (16, 32)


def test_a_refused_fit_leaves_the_estimator_with_what_was_given():
    estimator = MLPClassifier((4,), max_epochs=np.int64(2), batch_size=np.array(16), random_state=0).fit(X_SOURCE, Y)
    before = copy.copy(vars(estimator))
    with pytest.raises(ValueError, match="NaN"):
        estimator.fit(np.full((4, 3), np.nan), [0, 1, 0, 1])
    assert vars(estimator) == before
    fresh = MLPClassifier((4,), max_epochs=np.int64(2))
    with pytest.raises(ValueError, match="NaN"):
        fresh.fit(np.full((4, 3), np.nan), [0, 1, 0, 1])
    assert not [name for name in vars(fresh) if name.endswith("_")]


@pytest.mark.slow
def test_models_are_saved_resumed_and_pickled(tmp_path):
    settings = {
        "hidden_layer_sizes": np.array([4]),
        "max_epochs": 2,
        "l2": np.float32(0.1),
        "random_state": np.int64(0),
    }
    model = MLPClassifier(**settings, n_models=np.int8(2)).fit(X_SOURCE, Y)
    model.save(tmp_path / "model")
    for other in (MLPClassifier.load(tmp_path / "model"), pickle.loads(pickle.dumps(model))):
        assert np.array_equal(other.predict_proba(X_TARGET), model.predict_proba(X_TARGET))
    run = {"checkpoint": np.str_(tmp_path / "run"), "resume": np.bool_(True)}
    MLPClassifier(**settings, **run).fit(X_SOURCE, Y)
    python = {"hidden_layer_sizes": np.array([4]), "l2": float(np.float32(0.1)), "max_epochs": 3, "random_state": 0}
    resumed = MLPClassifier(**python, checkpoint=str(tmp_path / "run"), resume=True).fit(X_SOURCE, Y)
    assert resumed.n_epochs_ == 3


FUNCTIONS = {
    "clip": lambda as_type: weights.clip_weights(np.arange(9), as_type("90%"), min_ess=as_type(2)),
    "temper": lambda as_type: weights.temper_weights(np.arange(9), as_type(0.5)),
    "balance": lambda as_type: weights.balance_table(
        X_SOURCE, X_TARGET, np.ones(240), scale=as_type("pooled"), squares=as_type(True)
    ).worst(as_type(2)),
    "summary": lambda as_type: weights.summarize_weights(np.arange(1, 300), clip=as_type("ess"), min_ess=as_type(9.5)),
    "gaussian": lambda as_type: (
        simulate.gaussian_covariate_shift(
            as_type(9), as_type(8), n_features=as_type(2), mean_shift=as_type(0.5), random_state=as_type(0)
        ).X_target
    ),
    "discrete": lambda as_type: (
        simulate.discrete_covariate_shift(
            [0.5, 0.5], [0.25, 0.75], as_type(10), as_type(8), exact_counts=as_type(True), random_state=as_type(0)
        ).X_target
    ),
    "concept": lambda as_type: (
        simulate.concept_shift(as_type(9), as_type(8), angle=as_type(0.5), random_state=as_type(0)).X_target
    ),
    "coin": lambda as_type: simulate.BiasedCoin(as_type(0.25), as_type(0.5)).draw(None, as_type(9), as_type(0)),
    "applicants": lambda as_type: (
        simulate.LoanApplicants(as_type(0.75), gaming=as_type(0.5), staying_away=as_type(0.5))
        .draw(None, as_type(9), as_type(0))
        .y
    ),
    "feedback": lambda as_type: (
        simulate.feedback_loop(
            simulate.LoanApplicants(),
            LogisticRegression(),
            n_rounds=as_type(2),
            n_rows=as_type(40),
            threshold=as_type(0.5),
            explore=as_type(0.25),
            random_state=as_type(0),
        )[1].accepted
    ),
    "prior": lambda as_type: simulate.knock_out_prior(as_type(3), as_type(1), as_type(0.5)),
    "interval": lambda as_type: MLLS(n_bootstrap=0).fit(*SCORED).interval(level=as_type(0.9), of=as_type("weight")),
    "threshold": lambda as_type: (
        MLLS(n_bootstrap=0)
        .fit(
            SCORES[:, :2] / SCORES[:, :2].sum(axis=1, keepdims=True),
            np.minimum(LABELS, 1),
            SCORES_TARGET[:, :2] * 0 + 0.5,
        )
        .adjusted_threshold(as_type(0.3))
    ),
    "samples": lambda as_type: (
        MLPRegressor((4,), dropout=as_type(0.5), max_epochs=1, random_state=0)
        .fit(X_SOURCE, Y)
        .predict_mc(X_TARGET, as_type(3), as_type(1))
    ),
}


@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.PoorIdentificationWarning")
@pytest.mark.parametrize("convert", [as_scalar, as_array])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_arguments_may_be_of_numpys_types(name, convert):
    call = FUNCTIONS[name]
    expected, found = call(lambda value: value), call(convert)
    assert str(found) == str(expected)
    if isinstance(expected, np.ndarray):
        assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.longdouble(0.5), 0.5),
        (np.int8(3), 3),
        (np.uint64(2**63), 2**63),
        (np.True_, True),
        (np.str_("a"), "a"),
        (np.array(2), 2),
        (np.array("a"), "a"),
        (np.array(None), None),
    ],
)
def test_plain_values(value, expected):
    assert plain(value) == expected
    assert type(plain(value)) is type(expected)


@pytest.mark.parametrize("value", [np.ma.masked, np.array([1]), np.datetime64("2020-01-01"), [1], "a", 1.5, None])
def test_everything_else_is_left_as_it_is(value):
    assert plain(value) is value


def test_checks_return_pythons_value():
    assert type(check_number(np.float32(0.5), "x")) is float
    assert type(check_count(np.array(3), "x")) is int
    assert check_option(np.bool_(True), "x", [True, False]) is True
    assert type(check_option(np.str_("a"), "x", ["a"])) is str
    for wrong in (np.bool_(True), np.ma.masked, np.array([1]), np.str_("1")):
        with pytest.raises(ShiftDataError):
            check_count(wrong, "x")
        with pytest.raises(ShiftDataError):
            check_number(wrong, "x")


COUNTS = [
    (make, name)
    for make, names in {
        MLPClassifier: [
            "batch_size",
            "max_epochs",
            "n_models",
            "n_threads",
            "patience",
            "warmup",
            "hidden_layer_sizes",
        ],
        ULSIF: ["n_centers"],
        KLIEP: ["cv", "max_iter"],
        MLLS: ["n_bootstrap", "max_iter"],
    }.items()
    for name in names
]


@pytest.mark.parametrize(("make", "name"), COUNTS)
@pytest.mark.parametrize("value", [2**31, 2**63, 10**30])
def test_counts_beyond_any_use_are_refused(make, name, value):
    ask = {MLPClassifier: learn, MLLS: adjust}.get(make, weigh)
    with pytest.raises(ShiftDataError, match=f"{name}={value}"):
        ask(make(**{name: value}))


@pytest.mark.slow
def test_a_thousand_threads_are_no_more_than_the_machine_has():
    settings = {"hidden_layer_sizes": (4,), "max_epochs": 1, "random_state": 0}
    assert learn(MLPClassifier(**settings, n_threads=1000)).shape == (150, 2)
    model = MLPClassifier(**settings).fit(X_SOURCE, Y).set_params(n_threads=0)
    with pytest.raises(ShiftDataError, match="n_threads=0"):
        model.predict(X_TARGET)


def test_networks_beyond_the_memory_are_refused_before_they_are_made():
    with pytest.raises(ShiftDataError, match=r"hidden_layer_sizes.*memory"):
        MLPClassifier((2_000_000, 2_000_000)).fit(X_SOURCE, Y)
    with pytest.raises(ShiftDataError, match=r"memory"):
        MLPClassifier((100_000, 10_000), n_models=10_000).fit(X_SOURCE, Y)
    with pytest.raises(ShiftDataError, match=r"n_models=1073741824"):
        MLPClassifier((), n_models=2**30).fit(X_SOURCE, Y)


class Interrupted(MLPClassifier):
    """Of a subclass's own: a call during which something else happens, and one that sets a setting."""

    def predict_after(self, happens, X):
        found = self.predict(X)
        happens()
        return found

    def train_longer(self):
        self.max_epochs = int(self.max_epochs) + 5
        return self


def test_a_fit_during_another_call_is_kept():
    """As of two threads, one of which predicts while the other fits."""
    model = Interrupted((4,), max_epochs=np.int64(1), random_state=0).fit(X_SOURCE, Y)
    before = model.module_
    model.predict_after(lambda: model.fit(X_SOURCE, Y), X_TARGET)
    assert model.module_ is not before
    assert type(model.max_epochs) is np.int64


def test_a_method_of_a_subclass_may_change_a_setting():
    assert Interrupted((4,), max_epochs=np.int64(1)).train_longer().max_epochs == 6
