"""What is set outside the package changes no number of it, and the package changes nothing outside."""

import functools
import importlib
import inspect
import subprocess
import sys
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest
import sklearn
import torch
from numpy.testing import assert_allclose
from scipy import special
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from shiftfix import simulate, weights
from shiftfix._door import PublicCalls
from shiftfix.corrected import CovariateShiftClassifier
from shiftfix.covariate import ULSIF, LogisticWeighter
from shiftfix.label import BBSE, OnlinePrior, ScoreCalibrator
from shiftfix.mlp import MLPClassifier, MLPRegressor, WeightedTrainer
from tests.test_contract import EVERYTHING, LABELS, SCORES, SCORES_TARGET, X_SOURCE, X_TARGET, Y, answer, arguments

pytestmark = [
    pytest.mark.filterwarnings("ignore::shiftfix.exceptions.InactiveWeightsWarning"),
    pytest.mark.filterwarnings("ignore::shiftfix.exceptions.LabelShiftRejectedWarning"),
    pytest.mark.filterwarnings("ignore::shiftfix.exceptions.PoorOverlapWarning"),
]


@contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


OPTIONS = {
    "pandas out": lambda: sklearn.config_context(transform_output="pandas"),
    "polars out": lambda: sklearn.config_context(transform_output="polars"),
    "routing": lambda: sklearn.config_context(enable_metadata_routing=True),
    "finite": lambda: sklearn.config_context(assume_finite=True),
    "numpy raises": lambda: np.errstate(all="raise"),
    "numpy calls": lambda: np.errstate(all="call", call=lambda *found: pytest.fail(str(found))),
    "numpy ignores": lambda: np.errstate(all="ignore"),
    "scipy raises": lambda: special.errstate(all="raise"),
    "numpy prints": lambda: np.printoptions(precision=1, threshold=2, legacy="1.13"),
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "meta device": lambda: torch.device("meta"),
    "no gradient": torch.no_grad,
    "inference": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
}


@contextmanager
def everything_set(*left_out):
    with ExitStack() as stack:
        for name, option in OPTIONS.items():
            if name not in left_out:
                stack.enter_context(option())
        yield


SETS = {
    "first": lambda: everything_set("polars out", "numpy calls", "numpy ignores", "bfloat16"),
    "second": lambda: everything_set("pandas out", "numpy raises", "numpy ignores", "float64", "inference"),
}


def small_net():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Dropout(0.3), torch.nn.Linear(8, 2))


NET = small_net()


def trainer():
    return WeightedTrainer(NET, max_epochs=3, batch_size=32, random_state=0)


def small(estimator, **settings):
    return estimator((8,), **{"max_epochs": 3, "batch_size": 32, "random_state": 0, "dropout": 0.2} | settings)


def rows_told(estimator):
    return lambda: estimator.fit(X_SOURCE, Y, sample_weight=np.arange(240) % 3).predict(X_TARGET)


def shifted_scores():
    online = OnlinePrior(BBSE(kind="soft").fit(SCORES, LABELS, SCORES_TARGET)).update(SCORES_TARGET)
    return online.adjust_proba(SCORES_TARGET)


# Beside the registry: everything that a network can have, and what has a fit of its own.
MORE = {
    "trainer": lambda: rows_told(trainer())(),
    "ensemble": lambda: rows_told(
        small(MLPClassifier, n_models=2, batch_norm=True, dropconnect=0.1, input_noise=0.1)
    )(),
    "tables": lambda: rows_told(small(MLPClassifier, preset="tabular", n_models=2, dropout=0.2, early_stopping=True))(),
    "masks": lambda: small(MLPRegressor).fit(X_SOURCE, Y).predict_mc(X_TARGET, 3, 0),
    "all optimisers": lambda: np.stack(
        [
            rows_told(small(MLPRegressor, optimizer=name, max_epochs=1))()
            for name in ("sgd", "averaged_momentum", "nesterov", "adagrad", "rmsprop", "adamw", "lars")
        ]
    ),
    "all activations": lambda: rows_told(
        MLPClassifier(
            (5,) * 7,
            activation=["prelu", "elu", "selu", "silu", "mish", "softplus", "softsign"],
            hidden_noise=0.1,
            dropout=0.2,
            max_epochs=1,
            random_state=0,
        )
    )(),
    "one-hot rows and rows to stop by": lambda: (
        small(MLPClassifier)
        .fit(X_SOURCE, np.eye(2)[Y], X_val=X_SOURCE[::2], y_val=np.eye(2)[Y[::2]], sample_weight_val=np.arange(120) % 3)
        .predict_proba(X_TARGET)
    ),
    "tail": lambda: rows_told(small(MLPClassifier, loss="polynomial_tail", label_smoothing=0.1, l1=0.01))(),
    "drawn": lambda: rows_told(small(MLPClassifier, weighting="resample", schedule="plateau", early_stopping=True))(),
    "calls of partial_fit": lambda: (
        small(MLPRegressor).partial_fit(X_SOURCE, Y).partial_fit(X_SOURCE, Y).predict(X_TARGET)
    ),
    "calibrator": lambda: ScoreCalibrator().fit(SCORES, LABELS).transform(SCORES_TARGET),
    "online": shifted_scores,
    "exponent": lambda: (
        CovariateShiftClassifier(small(MLPClassifier), ULSIF(random_state=0), exponent="cv", random_state=0)
        .fit(X_SOURCE, Y, X_target=X_TARGET)
        .predict_proba(X_TARGET)
    ),
    "transformer": lambda: LogisticWeighter(features=StandardScaler()).fit(X_SOURCE, X_TARGET).transform(X_SOURCE),
    "weights": lambda: np.array(
        [
            weights.pareto_k(np.geomspace(1e-300, 1e8, 400)),
            weights.effective_sample_size(np.geomspace(1e-300, 1, 50)),
            *weights.smooth_weights(np.geomspace(1e-200, 1e3, 50)),
            *weights.temper_weights([1e-300, 1.0], 1.0),
        ]
    ),
    "simulated": lambda: np.concatenate(
        [
            simulate.gaussian_covariate_shift(40, 40, mean_shift=30, conditional="logistic", random_state=0).X_target[
                :, 0
            ],
            simulate.exponential_covariate_shift(40, 40, random_state=0).X_source[:, 0],
            [simulate.gaussian_clipped_mean(40.0, 2.0), simulate.gaussian_share_above_clip(40.0, 2.0)],
            simulate.tilt_log_weights(X_SOURCE, np.array([400.0, 0, 0])),
        ]
    ),
}
MORE["numbers far apart"] = lambda: np.concatenate(
    [
        make().fit(np.geomspace(1e-30, 1, 60)[:, None], np.geomspace(1e-20, 1, 40)[:, None]).source_weights_
        for make in (ULSIF, LogisticWeighter)
    ]
)
REGISTERED = {
    case.id: functools.partial(
        lambda kind, make: answer(kind, make().fit(*arguments(kind)[0], **arguments(kind)[1])), *case.values
    )
    for case in EVERYTHING
}
ALL = MORE | REGISTERED


@functools.cache
def expected(name):
    return ALL[name]()


@pytest.mark.slow
@pytest.mark.parametrize("options", SETS)
@pytest.mark.parametrize("name", ALL)
def test_options_change_no_number(name, options):
    before = expected(name)
    with SETS[options]():
        found = ALL[name]()
    # The transformer of the user's gives frames then, which lie column by column in the memory.
    assert_allclose(found, before, rtol=1e-12 if name == "transformer" else 0)


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("name", ["trainer", "masks", "drawn", "ULSIF", "MLLS"])
def test_no_single_option_changes_a_number(name, option):
    before = expected(name)
    with OPTIONS[option]():
        found = ALL[name]()
    assert np.array_equal(found, before)


@pytest.mark.slow
def test_a_model_fitted_under_inference_trains_on():
    with torch.inference_mode():
        model = small(MLPClassifier, warm_start=True).fit(X_SOURCE, Y)
    model.fit(X_SOURCE, Y)
    assert not any(parameter.is_inference() for parameter in model.module_.parameters())


@pytest.mark.slow
def test_options_are_as_they_were_afterwards():
    with sklearn.config_context(transform_output="pandas"), np.errstate(all="raise"), torch.no_grad():
        small(MLPRegressor).fit(X_SOURCE, Y).predict(X_TARGET)
        ULSIF(random_state=0).fit(X_SOURCE, X_TARGET)
        assert sklearn.get_config()["transform_output"] == "pandas"
        assert set(np.geterr().values()) == {"raise"}
        assert not torch.is_grad_enabled()


@pytest.mark.slow
def test_the_users_own_steps_keep_the_users_output():
    """A step that asks for columns by name needs the frames that were asked for."""
    pandas = pytest.importorskip("pandas")
    frame, target = (pandas.DataFrame(X, columns=list("abc")) for X in (X_SOURCE, X_TARGET))
    model = make_pipeline(StandardScaler(), make_column_transformer(("passthrough", ["a", "b"])), LogisticRegression())
    with sklearn.config_context(transform_output="pandas"):
        corrected = CovariateShiftClassifier(model).fit(frame, Y, X_target=target)
        assert corrected.predict_proba(target).shape == (150, 2)


def test_bad_rows_are_refused_whatever_scikit_learn_assumes():
    X = X_SOURCE.copy()
    X[3, 1] = np.nan
    with sklearn.config_context(assume_finite=True):
        for call in (lambda: small(MLPClassifier).fit(X, Y), lambda: ULSIF().fit(X, X_TARGET)):
            with pytest.raises(ValueError, match="NaN"):
                call()


MODULES = [
    "conformal",
    "corrected",
    "covariate",
    "datasets",
    "detect",
    "display",
    "label",
    "mlp",
    "report",
    "risk",
    "simulate",
    "weights",
]
TORCH_LOSSES = {"huber", "polynomial_tail", "smooth_l1", "weighted_loss"}  # for loops under the reader's own options


def behind_the_door(call):
    """Whether the door is among what a function is wrapped in; scikit-learn wraps transformers once more."""
    while call is not None and not call.__code__.co_filename.endswith("_door.py"):
        call = getattr(call, "__wrapped__", None)
    return call is not None


def uncovered(kind):
    """Public methods of ours, inherited ones too, that are not behind the door."""
    ours = {}
    for base in reversed(kind.__mro__):
        ours |= vars(base) if base.__module__.startswith("shiftfix") and base is not PublicCalls else {}
    calls = {name: getattr(call, "fn", call) for name, call in ours.items() if not name.startswith("_")}
    return {name for name, call in calls.items() if inspect.isfunction(call) and not behind_the_door(call)}


@pytest.mark.parametrize("module", MODULES)
def test_every_public_call_goes_through_the_door(module):
    folder = importlib.import_module(f"shiftfix.{module}")
    for name in set(folder.__all__) - TORCH_LOSSES:
        thing = getattr(folder, name)
        if inspect.isfunction(thing):
            assert thing.__code__.co_filename.endswith("_door.py"), name
        elif issubclass(thing, BaseEstimator) or name.endswith("Display"):
            assert issubclass(thing, PublicCalls), name
            assert not uncovered(thing)


FIRST_FIT = """
import os, sys, tempfile, warnings
os.environ.pop("TORCHINDUCTOR_CACHE_DIR", None)
tempfile.tempdir = sys.argv[1]
os.environ["TMPDIR"] = sys.argv[1]
import numpy as np
from shiftfix.mlp import MLPClassifier
state = lambda: (dict(os.environ), list(warnings.filters), os.listdir(sys.argv[1]))
before = state()
MLPClassifier((4,), max_epochs=1).fit(np.eye(8), [0, 1] * 4).predict(np.eye(8))
assert state() == before, (set(state()[0]) - set(before[0]), state()[1][:2], state()[2])
"""


@pytest.mark.slow
def test_the_first_fit_leaves_nothing_outside(tmp_path):
    subprocess.run([sys.executable, "-c", FIRST_FIT, str(tmp_path)], check=True)
