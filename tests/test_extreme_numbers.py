"""Numbers at the ends of what a double holds: the right answer, or a refusal in words; never NaN or a raw error."""

import functools
import inspect
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression

from shiftfix import simulate
from shiftfix.corrected import CovariateShiftClassifier, LabelShiftClassifier, fit_weighted
from shiftfix.covariate import KMM, LogisticWeighter
from shiftfix.exceptions import NotIdentifiedError, ShiftDataError
from shiftfix.label import (
    BBSE,
    MLLS,
    OnlinePrior,
    ScoreCalibrator,
    adjust_proba,
    confusion_matrices,
    label_shift_test,
    mean_score_test,
)
from shiftfix.mlp import MLPClassifier
from shiftfix.risk import absolute_losses, pinball_losses, squared_losses
from shiftfix.weights import (
    clip_weights,
    effective_sample_size,
    normalize_weights,
    pareto_k,
    smooth_weights,
    summarize_weights,
    temper_weights,
)
from tests.registry import KERNEL_WEIGHTERS, LEARNERS, PRIORS, WEIGHTERS, taken
from tests.test_contract import LABELS, SCORES, SCORES_TARGET, X_SOURCE, X_TARGET, Y, answer, arguments

UNITS = [5e-324, 1e-300, 1e-155, 1e155, 1e300]
EVERY_WEIGHTER = WEIGHTERS | KERNEL_WEIGHTERS
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
every_unit = pytest.mark.parametrize("unit", UNITS)


def finite_or_refused(call):
    """Numbers of a call, all finite, without a warning of numpy's; None where it refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            found = np.asarray(call(), dtype=np.float64)
        except (ShiftDataError, NotIdentifiedError, FloatingPointError):
            return None
    assert np.isfinite(found).all()
    return found


@functools.cache
def plain_weights(name):
    """Weights of the rows as they are."""
    return EVERY_WEIGHTER[name]().fit(X_SOURCE, X_TARGET).transform(X_TARGET)


@functools.cache
def small_weighter(name):
    return EVERY_WEIGHTER[name]().fit(X_SOURCE[:80], X_TARGET[:60])


@functools.cache
def plain_prior(name):
    return PRIORS[name]().fit(SCORES, LABELS, SCORES_TARGET).target_prior_


@every_unit
@pytest.mark.parametrize("name", EVERY_WEIGHTER)
def test_columns_of_any_unit_weigh_alike_or_are_refused(name, unit):
    """All rows, all columns: what ``fit`` and ``transform`` make of them is what they make of unit 1."""
    make = EVERY_WEIGHTER[name]
    found = finite_or_refused(lambda: make().fit(X_SOURCE * unit, X_TARGET * unit).transform(X_TARGET * unit))
    # A logistic regression that is not told to standardise has a penalty with a unit.
    if found is not None and unit > 1e-310 and "classifier" not in name:
        assert_allclose(found, plain_weights(name), rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@every_unit
@pytest.mark.parametrize("name", EVERY_WEIGHTER)
def test_new_rows_and_counts_of_any_size(name, unit):
    make = EVERY_WEIGHTER[name]
    small, target = X_SOURCE[:80], X_TARGET[:60]
    weighter = small_weighter(name)
    finite_or_refused(lambda: weighter.transform(X_TARGET * unit))
    finite_or_refused(lambda: make().fit(small, target * unit).transform(target))
    one = np.append(unit, np.ones(79))
    finite_or_refused(lambda: make().fit(small, target, sample_weight_source=one).transform(target))
    counts = np.full(80, unit)
    found = finite_or_refused(lambda: make().fit(small, target, sample_weight_source=counts).transform(target))
    assert (found is None) == (unit > 1)
    if found is not None:
        assert_allclose(found, weighter.transform(target), rtol=1e-5, atol=1e-8)


@every_unit
@pytest.mark.parametrize("name", PRIORS)
def test_priors_of_counts_of_any_size(name, unit):
    make = PRIORS[name]
    for side, n_rows in (("source", 300), ("target", 200)):
        one = {f"sample_weight_{side}": np.append(unit, np.ones(n_rows - 1))}
        finite_or_refused(lambda one=one: make().fit(SCORES, LABELS, SCORES_TARGET, **one).interval())
        all_rows = {f"sample_weight_{side}": np.full(n_rows, unit)}
        found = finite_or_refused(
            lambda all_rows=all_rows: make().fit(SCORES, LABELS, SCORES_TARGET, **all_rows).target_prior_
        )
        assert (found is None) == (unit > 1)
        if found is not None:
            assert_allclose(found, plain_prior(name), atol=1e-9)


def numeric_settings(make):
    """Names of the settings of an estimator that are numbers, or may be."""
    for name, value in make().get_params(deep=True).items():
        last = name.rpartition("__")[2]
        counted = ("random_state", "n_bootstrap", "max_iter", "n_centers", "cv", "verbose", "n_jobs", "n_models")
        of_others = name.startswith(("estimator__", "classifier__")) or isinstance(value, bool)
        if last not in counted and not of_others and (isinstance(value, int | float) or value in ("auto", "sqrt")):
            yield name


SETTINGS = [
    pytest.param(kind, make, name, id=f"{label}-{name}")
    for kinds, group in (("weighter", EVERY_WEIGHTER), ("prior", PRIORS), (None, LEARNERS))
    for label, make in group.items()
    for kind in [kinds or label]
    for name in numeric_settings(make)
    if not kind.startswith("MLP") or name in ("l1", "l2", "learning_rate", "max_norm", "clip_norm", "clip_value")
]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "make", "name"), SETTINGS)
def test_settings_of_any_size(kind, make, name):
    positional, keywords = arguments(kind)
    positional = [values[::5] for values in positional]
    keywords = {key: taken(values, slice(None, None, 5)) for key, values in keywords.items()}
    for unit in (5e-324, 1e-155, 1e155, 1e308):
        estimator = make().set_params(**{name: unit})
        finite_or_refused(lambda estimator=estimator: answer(kind, estimator.fit(*positional, **keywords)))


W = np.random.default_rng(0).exponential(size=120)
OF_WEIGHTS = {
    "effective_sample_size": effective_sample_size,
    "normalize_weights": normalize_weights,
    "temper_weights": lambda w, sample_weight=None: normalize_weights(temper_weights(w, 0.5)),
    "pareto_k": pareto_k,
    "smooth_weights": lambda w, **keys: normalize_weights(smooth_weights(w, **keys)),
    "summarize_weights": lambda w, **keys: summarize_weights(w, **keys).effective_size,
} | {
    f"clip {clip}": lambda w, clip=clip, **keys: normalize_weights(clip_weights(w, clip, min_ess=40, **keys))
    for clip in ("sqrt", "90%", "ess", "pareto", None)
}


@pytest.mark.parametrize("unit", [*UNITS, 1.7e308])
@pytest.mark.parametrize("name", OF_WEIGHTS)
def test_functions_of_weights_have_no_unit(name, unit):
    of = OF_WEIGHTS[name]
    found = finite_or_refused(lambda: of(W / W.max() * unit))
    if found is not None and unit > 1e-310:
        assert_allclose(found, of(W), rtol=1e-6)
    finite_or_refused(lambda: of(np.append(unit, W)))
    finite_or_refused(lambda: of(W, sample_weight=np.full(120, unit)))
    finite_or_refused(lambda: of(W, sample_weight=np.append(unit, np.ones(119))))


@every_unit
def test_functions_of_scores_and_losses(unit):
    one = np.append(unit, np.ones(299))
    finite_or_refused(lambda: mean_score_test(SCORES, SCORES_TARGET, sample_weight_source=one, random_state=0))
    finite_or_refused(
        lambda: label_shift_test(SCORES, LABELS, SCORES_TARGET, sample_weight_source=one, n_bootstrap=9).p_value
    )
    finite_or_refused(lambda: ScoreCalibrator("bcts").fit(SCORES, LABELS, sample_weight=one).transform(SCORES))
    finite_or_refused(lambda: confusion_matrices(SCORES, LABELS, sample_weight=one))
    tiny = np.array([min(unit, 0.1), 0.4, 0.6]) / (1 + min(unit, 0.1))
    for p, q in ((tiny, np.full(3, 1 / 3)), (np.full(3, 1 / 3), tiny)):
        finite_or_refused(lambda p=p, q=q: adjust_proba(SCORES, p, q))
    stream = OnlinePrior(BBSE().fit(SCORES, LABELS, SCORES_TARGET), "forgetting")
    finite_or_refused(lambda: stream.set_params(half_life=unit).update(SCORES_TARGET).target_prior_)
    for losses in (squared_losses, absolute_losses, pinball_losses):
        finite_or_refused(lambda losses=losses: losses(W * unit, -W * unit))


@pytest.mark.parametrize("name", [name for name in simulate.__all__ if inspect.isfunction(getattr(simulate, name))])
def test_simulators_of_any_setting(name):
    function = getattr(simulate, name)
    given = {"n_source": 20, "n_target": 20, "n_classes": 3, "rate": 0.75, "mean_shift": 0.5, "angle": 0.3, "index": 0}
    given |= {"p": [0.5, 0.5], "q": [0.3, 0.7], "X": X_SOURCE[:, :1], "clip": 2.0, "alpha": 1.0, "probability": 0.5}
    given |= {"fraction_removed": 0.5, "beta": [1.0], "y": Y, "target_prior": [0.4, 0.6], "random_state": 0}
    parameters = inspect.signature(function).parameters
    needed = {p.name for p in parameters.values() if p.default is p.empty or p.name == "random_state"}
    if not needed <= given.keys():
        pytest.skip("takes other things")
    call = {key: given[key] for key in needed}
    for parameter in parameters.values():
        value = call.get(parameter.name, parameter.default)
        if isinstance(value, bool) or not isinstance(value, float):
            continue
        for unit in UNITS:
            found = None
            with warnings.catch_warnings():
                warnings.simplefilter("error", RuntimeWarning)
                try:
                    found = function(**call | {parameter.name: unit})
                except ShiftDataError:
                    continue
            parts = [getattr(found, part) for part in ("X_source", "X_target", "y_source") if hasattr(found, part)]
            # A divergence may be infinite, the rows of a problem may not.
            assert all(np.isfinite(part).all() for part in parts)
            assert parts or not np.isnan(np.asarray(found, dtype=float)).any()


TWO_LABELS = {
    "neighbours in int64": np.array([2**53, 2**53 + 1]),
    "neighbours in uint64": np.array([2**64 - 2, 2**64 - 1], dtype=np.uint64),
    "neighbours as objects": np.array([2**53, 2**53 + 1], dtype=object),
    "beyond int64": np.array([1, 2**63], dtype=np.uint64),
    "neighbours as floats": np.array([2.0**53, 2.0**53 + 2]),
    "huge floats": np.array([1e300, 2e300]),
    "huge floats as objects": np.array([1.0, 1e300], dtype=object),
    "a list with a float in it": [2**53, 2**53 + 1, 1.0],
}
OF_LABELS = {
    "confusion_matrices": lambda y: confusion_matrices(np.tile([[0.8, 0.2], [0.3, 0.7]], (60, 1)), y)[1],
    "MLLS": lambda y: list(MLLS("none", n_bootstrap=0).fit(SCORES2, y, SCORES2[:50]).class_weight()),
    "MLPClassifier": lambda y: MLPClassifier((4,), max_epochs=1, random_state=0).fit(X_SOURCE[:120], y).classes_,
    "LabelShiftClassifier": lambda y: (
        LabelShiftClassifier(LogisticRegression(), random_state=0).fit(X_SOURCE[:120], y, X_target=X_TARGET).classes_
    ),
}
SCORES2 = np.tile([[0.8, 0.2], [0.3, 0.7]], (60, 1))


@pytest.mark.parametrize("labels", TWO_LABELS)
@pytest.mark.parametrize("name", OF_LABELS)
def test_labels_beyond_double_are_told_apart_or_refused(name, labels):
    labels = TWO_LABELS[labels]
    y = np.resize(labels, 120) if len(labels) == 2 else [*np.resize(labels[:2], 119).tolist(), labels[2]]
    try:
        found = OF_LABELS[name](y)
    except (ShiftDataError, ValueError):
        return
    assert len(found) == 2
    if name != "confusion_matrices":
        assert {int(label) for label in found} == {int(label) for label in labels}


def test_signed_and_unsigned_labels_are_compared_exactly():
    y = np.resize(np.array([2**53, 2**53 + 1]), 120)
    prior = BBSE().fit(SCORES2, y, SCORES2, classes=np.array([2**53, 2**53 + 1], dtype=np.uint64))
    assert_array_equal(prior.classes_, [2**53, 2**53 + 1])
    assert_allclose(prior.source_prior_, [0.5, 0.5])


def test_a_shift_of_rows_far_away_is_refused_by_kmm():
    with pytest.raises(ShiftDataError, match="no number"):
        KMM().fit(X_SOURCE, X_TARGET).transform(X_TARGET * 1e155)


def test_counts_that_cannot_be_counted_say_what_to_do():
    with pytest.raises(ShiftDataError, match=r"how often each row.*\.max\(\)"):
        MLLS("none", n_bootstrap=0).fit(SCORES, LABELS, SCORES_TARGET, sample_weight_source=np.full(300, 1e160))


@pytest.mark.parametrize("weights", [[-1.0] + [1.0] * 239, [0.0] * 240, [1.0] * 3, [np.nan] * 240])
def test_fit_weighted_checks_its_weights(weights):
    with pytest.raises(ShiftDataError, match="weights"):
        fit_weighted(LogisticRegression(), X_SOURCE, Y, np.array(weights))


class Recorder(BaseEstimator):
    """A learner that takes whatever it is given."""

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.zeros(len(X), int)

    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)


def masked(values):
    mask = np.zeros(np.shape(values), bool)
    mask[(3,) * mask.ndim if mask.ndim == 1 else (3, 0)] = True
    return np.ma.masked_array(values, mask)


MASKED = {
    **{
        f"{name}, source": (lambda make=make: make().fit(masked(X_SOURCE), X_TARGET))
        for name, make in EVERY_WEIGHTER.items()
    },
    **{
        f"{name}, target": (lambda make=make: make().fit(X_SOURCE, masked(X_TARGET)))
        for name, make in EVERY_WEIGHTER.items()
    },
    **{
        f"{name}, y": (lambda make=make: make().fit(SCORES, masked(LABELS), SCORES_TARGET))
        for name, make in PRIORS.items()
    },
    **{
        f"{name}, scores": (lambda make=make: make().fit(masked(SCORES), LABELS, SCORES_TARGET))
        for name, make in PRIORS.items()
    },
    "transform": lambda: LogisticWeighter().fit(X_SOURCE, X_TARGET).transform(masked(X_TARGET)),
    "counts": lambda: LogisticWeighter().fit(X_SOURCE, X_TARGET, sample_weight_source=masked(np.ones(240))),
    "weights": lambda: effective_sample_size(masked(W)),
    "covariate X": lambda: CovariateShiftClassifier(Recorder()).fit(masked(X_SOURCE), Y, X_target=X_TARGET),
    "covariate y": lambda: CovariateShiftClassifier(Recorder()).fit(X_SOURCE, masked(Y), X_target=X_TARGET),
    "covariate target": lambda: CovariateShiftClassifier(Recorder()).fit(X_SOURCE, Y, X_target=masked(X_TARGET)),
    "label X": lambda: LabelShiftClassifier(Recorder()).fit(masked(X_SOURCE), Y, X_target=X_TARGET),
    "label y": lambda: LabelShiftClassifier(Recorder()).fit(X_SOURCE, masked(Y), X_target=X_TARGET),
    "label target": lambda: LabelShiftClassifier(Recorder()).fit(X_SOURCE, Y, X_target=masked(X_TARGET)),
    "mlp X": lambda: MLPClassifier().fit(masked(X_SOURCE), Y),
    "mlp y": lambda: MLPClassifier().fit(X_SOURCE, masked(Y)),
}


@pytest.mark.parametrize("name", MASKED)
def test_what_lies_under_a_mask_is_no_value(name):
    with pytest.raises(ShiftDataError, match="masked"):
        MASKED[name]()


def test_an_empty_mask_changes_nothing():
    plain = LogisticWeighter().fit_transform(X_SOURCE, X_TARGET)
    unmasked = LogisticWeighter().fit_transform(np.ma.masked_array(X_SOURCE), np.ma.masked_array(X_TARGET))
    assert_array_equal(plain, unmasked)


NO_NUMBERS = {
    "dates": np.arange(240).astype("datetime64[D]"),
    "durations": np.arange(240).astype("timedelta64[D]"),
    "complex": np.arange(240) + 1j,
    # astype(object) would make Python's own of them, which no float is made of.
    "dates as objects": np.array([*np.arange(240).astype("datetime64[D]")], dtype=object),
    "durations as objects": np.array([*np.arange(240).astype("timedelta64[D]")], dtype=object),
    "complex as objects": np.array([*(np.arange(240) + 1j)], dtype=object),
}


@pytest.mark.parametrize("kind", NO_NUMBERS)
def test_dates_and_complex_numbers_are_not_read_as_others(kind):
    values = NO_NUMBERS[kind]
    with pytest.raises(ShiftDataError):
        LogisticWeighter().fit(np.column_stack([values, values]), X_TARGET[:, :2])
    with pytest.raises(ShiftDataError):
        LogisticWeighter().fit(X_SOURCE, X_TARGET, sample_weight_source=values)
    with pytest.raises(ShiftDataError):
        effective_sample_size(values)
    with pytest.raises(ShiftDataError):
        MLLS("none", n_bootstrap=0).fit(np.resize(SCORES2, (240, 2)), values[np.arange(240) % 2 + 1], SCORES2)


@pytest.mark.parametrize("kind", ["datetime64[us]", "timedelta64[us]"])
def test_dates_of_a_frame_are_not_read_as_numbers(kind):
    """Also where all columns are dates, so that the frame makes an array of one type."""
    times = np.arange(240).astype(kind)
    for library in (pytest.importorskip("pandas"), pytest.importorskip("polars")):
        for frame in (library.DataFrame({"since": times}), library.DataFrame({"since": times, "age": np.arange(240)})):
            with pytest.raises(ShiftDataError, match="X_source holds d"):
                LogisticWeighter().fit(frame, frame)
        with pytest.raises(ShiftDataError, match="weights holds d"):
            effective_sample_size(library.Series(times))
