"""Every public function and estimator against hostile arrays and settings.

A call is bad when it ends in an error that is none of ours ("raw error"), gives what cannot be right ("silent
nonsense"), changes what it was given or what is set outside ("side effect"), or does not end ("hang"). One argument at
a time is replaced in ``test_one_hostile_argument``, up to three in ``test_several_hostile_arguments``.
"""

import contextlib
import copy
import os
import signal
import threading
import traceback
import warnings
from dataclasses import fields, is_dataclass

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

import shiftfix
from shiftfix import exceptions
from tests.hostile import ARRAYS, NO_LABELS, NO_NUMBERS, NO_SETTING, SETTINGS
from tests.hostile_calls import CALLS

OURS = tuple(
    kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, Exception)
)  # warnings among them
# A network whose loss becomes infinite says so as numpy would; see the docstrings of ``fit``.
REFUSALS = (*OURS, NotFittedError, FloatingPointError)
# They speak of the inside, or forge a line of a log.
NOT_IN_A_MESSAGE = ("np.int64(", "np.float64(", "np.str_(", "np.bool", "Traceback", "\x1b", "\r")
LONGEST_MESSAGE = 1500
SECONDS = 60

# Checks of scikit-learn, whose words its users know.
SPEAKS_FOR_ITSELF = (
    "sklearn/utils/validation.py",
    "sklearn/utils/multiclass.py",
    "sklearn/utils/_param_validation.py",
    "sklearn/base.py",
)

LABELS = {
    "classes", "ids", "predicted of zero_one_losses", "strata", "target_labels", "test_strata", "y", "y_source",
    "y_target",
}  # fmt: skip
# Rows that are drawn from as they are, whatever they hold.
CARRIED = {"X of fit_weighted", "X of label_shift", "y of exponential_tilt", "y of from_recipe"}
# Gaps, words and dates are what it is for.
CARRIED |= {"X of TableColumns", "X_new of TableColumns"}
ROWS_AS_THEY_ARE = (
    "classifier_test", "concept_test", "feature_tests", "mmd_test", "novel_class_test", "performance_drop",
)  # fmt: skip
CARRIED |= {f"{sample} of {name}" for name in ROWS_AS_THEY_ARE for sample in ("X_source", "X_target")}
# A learner of scikit-learn's is inside, and what it says or warns of is its own.
LEARNERS_INSIDE = {
    "fit_weighted", "row_losses", "CovariateShiftClassifier", "CovariateShiftRegressor", "LabelShiftClassifier",
    "FewLabelClassifier", "FewLabelRegressor", "ShiftCorrectedClassifier", "ShiftCorrectedRegressor",
    "ClassifierWeighter", "concept_test", "diagnose_shift", "ConformalClassifier", "ConformalRegressor",
    "target_risk", "compare_risks", "iw_cross_val_score", "make_weighted_scorer", "WeightedScorer",
}  # fmt: skip
LEARNER = "sklearn/linear_model"
# On these the time of a call depends without bound, and what is too large for it is no question of right or wrong.
LENGTHS = {"max_epochs", "max_iter", "n_bootstrap", "n_permutations", "patience", "n_models", "n_source", "n_target"}
LONG = {"beyond int64", "largest", "beyond double"}
# They take what the user has written, whose errors are the user's own.
YOURS = {
    "callbacks", "classifier", "conditional", "estimator", "initializer", "loss", "model", "module", "optimizer",
    "prior", "scale_estimator", "schedule", "weighter", "loss_model", "metric",
}  # fmt: skip
YOUR_CODE = {"function", "class", "failing estimator"}
# Anything that is true or false to Python; a stream of anything; text of anyone's.
ANYTHING = {"callbacks", "checkpoint", "device", "feature_names", "target_outside_feature"}
# These can be infinite, or no number where there is none to give.
INFINITE = {
    "clip_threshold", "diagnose_shift", "exponential_chi2", "exponential_tilt", "from_recipe", "gaussian_chi2",
    "ShiftCorrectedClassifier", "label_shift", "make_clinic", "pareto_k", "pareto_k_threshold", "row_losses",
    "conformal_quantile", "target_risk", "compare_risks",
}  # fmt: skip


@pytest.fixture(autouse=True)
def folder_of_its_own(tmp_path, monkeypatch):
    """A word may be taken for the name of a file to write, such as a checkpoint's."""
    monkeypatch.chdir(tmp_path)


class HangError(Exception):
    """A call did not end."""


@contextlib.contextmanager
def time_limit(seconds):
    """Raise HangError when the block takes longer; in the main thread only, which is where pytest runs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_):
        raise HangError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def numbers_in(value, where="", depth=0):
    """Every array of numbers in a result, with a name for it: of lists, dataclasses and fitted estimators too."""
    if depth > 4 or value is None or isinstance(value, str | bytes | type | torch.nn.Module):
        return
    if isinstance(value, torch.Tensor):
        value = value.detach().numpy()
    if isinstance(value, bool | np.bool_):
        return
    if isinstance(value, int | float | np.number | np.ndarray):
        array = np.asarray(value)
        if array.dtype.kind in "iufc":
            yield where, array
        return
    if isinstance(value, list | tuple):
        for position, item in enumerate(value):
            yield from numbers_in(item, f"{where}[{position}]", depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from numbers_in(item, f"{where}[{key}]", depth + 1)
    elif is_dataclass(value) and not isinstance(value, BaseEstimator):
        for item in fields(value):
            yield from numbers_in(getattr(value, item.name), f"{where}.{item.name}", depth + 1)
    elif isinstance(value, BaseEstimator) and type(value).__module__.startswith("shiftfix"):
        for name, item in vars(value).items():
            if name.endswith("_") and not name.startswith("_"):
                yield from numbers_in(item, f"{where}.{name}", depth + 1)


SHARES = {"source_prior_", "target_prior_", "explained_share_", "domain_auc_", "p_value", "p_value_chi2"}
NOT_NEGATIVE = {"source_weights_", "class_weight_", "effective_size", "effective_sample_size_", "max_weight"}
# No clip is an infinite one, weights without a tail have no shape of it, one row has no bound of it, and two constants
# differ by infinitely many standard deviations.
NOT_FINITE = {
    "clip", "clip_", "log_clip_", "cv_scores_", "loo_scores_", "threshold_", "pareto_k", "pareto_k_threshold", "before",
    "after", "se_before", "se_after",
}  # fmt: skip


def nonsense_in(name, result):
    """What in a result cannot be right, or None."""
    for where, array in numbers_in(result):
        if name in LEARNERS_INSIDE and where.startswith("[1]"):
            continue
        last = where.rpartition(".")[2]
        if name not in INFINITE and last not in NOT_FINITE and not np.isfinite(array).all():
            return f"{where or 'result'} is not finite"
        if last in SHARES and array.size and (array.min() < 0 or array.max() > 1 + 1e-9):
            return f"{where} is outside [0, 1]"
        if last in NOT_NEGATIVE and array.size and array.min() < 0:
            return f"{where} is negative"
    return None


def may_not_pass(name, replaced):
    """The first argument of which nothing may come out but an error."""
    call = CALLS[name]
    for argument, kind in replaced.items():
        if f"{argument} of {name}" in CARRIED:
            continue
        if argument in call.data:
            refused = NO_LABELS if {argument, f"{argument} of {name}"} & LABELS else NO_NUMBERS
            if kind in refused:
                return argument
        elif (argument, kind) == ("hidden_layer_sizes", "empty array"):
            continue  # no hidden layer
        elif kind in NO_SETTING and argument not in YOURS | ANYTHING:
            return argument
    return None


def outside():
    """What is set outside the package."""
    return (
        np.geterr(),
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        len(warnings.filters),
        os.getcwd(),
    )


def judge(name, replaced):
    """Make a call with hostile arguments.

    Parameters
    ----------
    name : str
        Of the call.
    replaced : dict
        Hostile kind of each argument replaced.

    Returns
    -------
    tuple of str
        "fine", "refused", "raw error", "silent nonsense", "side effect" or "hang"; and details.
    """
    call = CALLS[name]
    arguments = {key: copy.deepcopy(value) for key, value in (call.data | call.settings).items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's matrices are to be no more
        for argument, kind in replaced.items():
            made = ARRAYS[kind](np.array(call.data[argument])) if argument in call.data else SETTINGS[kind]
            arguments[argument] = made
    given = {key: value.copy() for key, value in arguments.items() if isinstance(value, np.ndarray)}
    before = outside()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with time_limit(SECONDS):
                result = call.run(**arguments)
                text = nonsense_in(name, result)
            verdict = ("fine", "") if text is None else ("silent nonsense", text)
        except HangError:
            verdict = ("hang", f"over {SECONDS} s")
        except REFUSALS as error:
            verdict = judged_message(str(error))
        except Exception as error:  # that is what is looked for
            verdict = judged_error(name, error)
    if verdict[0] == "raw error" and any(
        argument in YOURS and kind in YOUR_CODE for argument, kind in replaced.items()
    ):
        return "refused", "by what the user has written"
    if verdict[0] == "fine" and (wrong := may_not_pass(name, replaced)):
        return "silent nonsense", f"{wrong} was taken"
    if verdict[0] in ("fine", "refused"):
        raw = [w for w in caught if issubclass(w.category, RuntimeWarning | FutureWarning | DeprecationWarning)]
        if name in LEARNERS_INSIDE:
            raw = [w for w in raw if "shiftfix" in w.filename]
        if raw:
            return "raw error", f"{raw[0].category.__name__}: {raw[0].message} ({raw[0].filename}:{raw[0].lineno})"
        if outside() != before:
            return "side effect", f"{before} became {outside()}"
        for key, value in given.items():
            now = np.asarray(arguments[key])
            if now.dtype != value.dtype or now.tobytes() != np.asarray(value).tobytes():
                return "side effect", f"{key} was changed"
    return verdict


def judged_error(name, error):
    """Raw, unless scikit-learn's own checks speak, or ours in the type that scikit-learn asks for."""
    frames = traceback.extract_tb(error.__traceback__)
    if name in LEARNERS_INSIDE and any(LEARNER in frame.filename.replace(os.sep, "/") for frame in frames):
        return "refused", "by the learner inside"
    last = frames[-1].filename.replace(os.sep, "/")
    ours = "/shiftfix/" in last and isinstance(error, TypeError) and (frames[-1].line or "").startswith("raise ")
    if ours or last.endswith(SPEAKS_FOR_ITSELF):
        return judged_message(str(error))
    return "raw error", f"{type(error).__name__}: {error} ({last}:{frames[-1].lineno})"


def judged_message(text):
    """Refused, unless the words of the message are no words for a user."""
    wrong = [words for words in NOT_IN_A_MESSAGE if words in text]
    if wrong or not text or len(text) > LONGEST_MESSAGE:
        return "raw error", f"a message with {wrong or len(text)}: {text[:300]!r}"
    return "refused", text


def kinds_for(call, argument):
    """Hostile kinds that make sense for an argument."""
    if argument in call.data:
        return list(ARRAYS)
    return [kind for kind in SETTINGS if not (argument in LENGTHS and kind in LONG)]


ONE_AT_A_TIME = [
    (name, argument, kind)
    for name, call in CALLS.items()
    for argument in call.data | call.settings
    for kind in kinds_for(call, argument)
]


@st.composite
def hostile_calls(draw, most=3):
    """A call, and hostile kinds for one to three of its arguments."""
    name = draw(st.sampled_from(list(CALLS)))
    call = CALLS[name]
    arguments = draw(
        st.lists(st.sampled_from(sorted(call.data | call.settings)), min_size=1, max_size=most, unique=True)
    )
    return name, {argument: draw(st.sampled_from(kinds_for(call, argument))) for argument in arguments}


def assert_not_bad(name, replaced):
    verdict, details = judge(name, replaced)
    assert verdict in ("fine", "refused"), f"{name}({replaced}): {verdict}: {details}"


def assert_none_bad(cases):
    answers = [(name, replaced, *judge(name, replaced)) for name, replaced in cases]
    bad = [f"{name}({replaced}): {verdict}: {details}" for name, replaced, verdict, details in answers
           if verdict not in ("fine", "refused")]  # fmt: skip
    assert not bad, f"{len(bad)} bad answers:\n" + "\n".join(bad[:20])


PUBLIC = {
    name
    for part in shiftfix.__all__
    if part not in ("__version__", "display", "exceptions", "report")
    for name in getattr(getattr(shiftfix, part), "__all__", [])
    if callable(getattr(getattr(shiftfix, part), name))
}
# Results, which nobody makes by hand; what reads and writes files; and losses that torch calls.
NOT_CALLED = {
    "BalanceTable", "ClassShare", "ColumnShift", "CoverageSummary", "FeatureTests", "LabelShiftFit",
    "LabelShiftTest", "LabelledPrior", "MechanismTest", "Part", "PerformanceDrop", "ShiftDiagnosis", "ShiftProblem",
    "ShiftTest", "TargetSample", "WeightSummary", "list_datasets", "load", "write_clinic", "huber",
    "polynomial_tail", "smooth_l1", "weighted_loss", "AccuracyEstimate", "HarmCertificate", "LabelPlan",
    "MonitorAlarm", "WeightedScores", "RiskEstimate", "RiskComparison", "GroupRisk", "ParquetRows",
    "Crowd", "FeedbackRound", "LoanCells", "PriorTable",
    "UnitError", "read_manifest",
}  # fmt: skip


def test_every_public_call_is_tried():
    # Some are tried in several ways, told apart behind a comma.
    assert {name.partition(", ")[0] for name in CALLS} == PUBLIC - NOT_CALLED


@pytest.mark.parametrize("name", CALLS)
def test_the_arguments_work_as_they_are(name):
    assert judge(name, {}) == ("fine", "")


def search(seed, n_calls):
    """Fail with the smallest bad call among so many; the same for the same seed."""

    @hypothesis.seed(seed)
    @settings(max_examples=n_calls, derandomize=False, database=None)
    @given(case=hostile_calls())
    def is_answered(case):
        assert_not_bad(*case)

    is_answered()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_hostile_arguments(seed):
    """Up to three at a time; a failure is shrunk to the arguments that matter."""
    search(seed, 250)


@pytest.mark.long
@pytest.mark.parametrize("name", CALLS)
def test_every_hostile_argument(name):
    """Each kind for each argument by itself: 27,000 calls."""
    assert_none_bad((name, {argument: kind}) for call, argument, kind in ONE_AT_A_TIME if call == name)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 110))
def test_many_hostile_arguments(seed):
    """10,000 calls in all."""
    search(seed, 1000)
