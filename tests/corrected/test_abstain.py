"""What is done on each verdict, and who tells the user."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.linear_model import LinearRegression, LogisticRegression

from shiftfix._verdict import Verdict, caller_warns
from shiftfix.corrected import CovariateShiftClassifier, CovariateShiftRegressor, LabelShiftClassifier
from shiftfix.corrected._abstain import PRIOR, WEIGHTING, decide
from shiftfix.covariate import LogisticWeighter
from shiftfix.exceptions import NotIdentifiedError, PoorIdentificationWarning, PoorOverlapWarning, ShiftDataError
from shiftfix.label import MLLS

ABSTAIN = Verdict("abstain", ["few rows", "a gap"])


@pytest.mark.parametrize("on_abstain", ["uncorrected", "error", "correct"])
@pytest.mark.parametrize("level", ["ok", "caution"])
def test_short_of_abstain_all_is_corrected_in_silence(level, on_abstain):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decide(Verdict(level, ["few rows"]), on_abstain, WEIGHTING)


@pytest.mark.parametrize(("words", "category"), [(WEIGHTING, PoorOverlapWarning), (PRIOR, PoorIdentificationWarning)])
def test_on_abstain(words, category):
    found = f"{words.finding}: few rows; a gap."
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert not decide(ABSTAIN, "uncorrected", words)
        assert decide(ABSTAIN, "correct", words)
    assert [warning.category for warning in caught] == [category] * 2
    assert [str(warning.message) for warning in caught] == [
        f"{found} {words.uncorrected}",
        f"{found} {words.corrected}",
    ]
    with pytest.raises(NotIdentifiedError) as error:
        decide(ABSTAIN, "error", words)
    assert str(error.value) == f"{found} {words.remedy}".strip()


def far(rng):
    return rng.normal(size=(200, 1)), np.tile([0, 1], 100), rng.normal(6, 1, (200, 1))


def vague():
    """Labels that the rows say next to nothing of."""
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(80, 2)), np.tile([0, 0, 0, 1], 20)
    X[:, 0] += 0.2 * y
    return X, y, rng.normal(0.1, 1, (40, 2))


@pytest.mark.slow
def test_the_warning_is_shown_at_the_users_line(rng):
    for model, data in (
        (CovariateShiftClassifier(LogisticRegression()), far(rng)),
        (LabelShiftClassifier(LogisticRegression(), MLLS(), random_state=0), vague()),
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(*data)
        assert [warning.filename for warning in caught] == [__file__]


def test_a_fit_leaves_the_warning_to_a_caller_who_asks(rng):
    X, _, X_target = far(rng)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with caller_warns():
            weighter = LogisticWeighter().fit(X, X_target)
            MLLS().fit([[0.6, 0.4], [0.5, 0.5], [0.4, 0.6]], [0, 1, 1], [[0.5, 0.5]])
    assert weighter.summary_.verdict == "abstain"
    with pytest.warns(PoorOverlapWarning, match="go on unweighted"):
        weighter.fit(X, X_target)


@pytest.mark.slow
def test_the_verdict_of_a_label_shift_classifier(rng):
    X, y = rng.normal(size=(400, 1)), np.tile([0, 1], 200)
    X = X + 2 * y[:, np.newaxis]
    moved = rng.normal(2, 1, (200, 1))
    model = LabelShiftClassifier(LogisticRegression(), random_state=0).fit(X, y, moved)
    assert model.verdict_ == "ok"
    assert model.corrected_
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        still = LabelShiftClassifier(LogisticRegression(), on_abstain="error", random_state=0).fit(X, y, X[:200])
    assert still.verdict_ == "ok"
    assert not still.corrected_
    assert "no shift was detected" in still.prior_.reason_
    assert "do not differ" in still.verdict_.reasons[0]
    with pytest.warns(PoorIdentificationWarning):
        lost = LabelShiftClassifier(LogisticRegression()).fit(0 * X, y, 0 * X)
    assert "confusion matrix is singular" in lost.verdict_.reasons[0]
    assert (lost.prior_.reason_, lost.prior_.identified_) == (lost.verdict_.reasons[0], False)


@pytest.mark.slow
@pytest.mark.parametrize("meta", [CovariateShiftClassifier, CovariateShiftRegressor, LabelShiftClassifier])
def test_a_fit_that_fails_leaves_the_one_before(meta, rng):
    X, y = rng.normal(size=(300, 1)), np.tile([0, 1], 150)
    X = X + y[:, np.newaxis]
    learner = LinearRegression() if meta is CovariateShiftRegressor else LogisticRegression()
    model = meta(learner, random_state=0).fit(X, y, X[y == 1])
    before, predicted = dict(vars(model)), model.predict(X)
    failures = [
        (ShiftDataError, {"fallback": "none"}, (X, y, X)),
        (ShiftDataError, {}, (X, y, X[:, :0])),
        (NotIdentifiedError, {"on_abstain": "error"}, (0 * X, y, 0 * X + (meta is not LabelShiftClassifier))),
        (
            ValueError,
            {"estimator": type(learner)(n_jobs="x", **({"C": -1.0} if hasattr(learner, "C") else {}))},
            (X, y, X),
        ),
    ]
    for error, settings, data in failures:
        attempt = meta(learner, random_state=0)
        attempt.__dict__.update(before)
        attempt.set_params(**settings)
        with pytest.raises(error):
            attempt.fit(*data)
        learned = {name: value for name, value in vars(attempt).items() if name.endswith("_")}
        assert all(learned[name] is before[name] for name in learned)
        assert_array_equal(attempt.predict(X), predicted)
