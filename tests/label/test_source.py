"""What is learned from the source: a fit that fails changes nothing, and rows are checked once."""

from collections import Counter

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from shiftfix.exceptions import NotIdentifiedError, PoorIdentificationWarning, ShiftDataError
from shiftfix.label import BBSE, MLLS, OnlinePrior, _confusion, _labels, _source
from tests.registry import PRIORS, overlapping_scores

SCORES, LABELS = overlapping_scores(0, [0.5, 0.3, 0.2], 200)
TARGET, _ = overlapping_scores(1, [0.2, 0.3, 0.5], 100)
FLAT = np.full((20, 2), 0.5)
every_prior = pytest.mark.parametrize("make", PRIORS.values(), ids=PRIORS.keys())


def state(estimator):
    """The attributes, by identity."""
    return {name: id(value) for name, value in vars(estimator).items()}


@every_prior
def test_a_fit_that_fails_leaves_an_unfitted_estimator_unfitted(make):
    prior = make()
    before = state(prior)
    flat = FLAT if "hard" not in str(prior) else np.tile([[0.6, 0.4]], (20, 1))
    with pytest.raises(NotIdentifiedError):
        prior.fit(flat, np.arange(20) % 2, flat)
    with pytest.raises(ShiftDataError):
        prior.fit(SCORES, LABELS, TARGET[:, :2])
    assert state(prior) == before
    with pytest.raises(NotFittedError):
        prior.interval()


@every_prior
def test_a_fit_or_an_update_that_fails_leaves_a_fitted_estimator_as_it_was(make):
    prior = make().fit(SCORES, LABELS, TARGET)
    before = state(prior)
    flat = FLAT if "hard" not in str(prior) else np.tile([[0.6, 0.4]], (20, 1))
    with pytest.raises(NotIdentifiedError):
        prior.fit(flat, np.arange(20) % 2, flat)
    with pytest.raises(ShiftDataError):
        prior.fit(SCORES[:150], LABELS[:150], TARGET[:, :2])
    with pytest.raises(ShiftDataError):
        prior.update(TARGET * 2)
    assert state(prior) == before


@every_prior
def test_an_estimate_that_fails_leaves_the_estimator_too(make, monkeypatch):
    """The source is learned by then, and must not be kept without its target."""
    prior = make().fit(SCORES, LABELS, TARGET)
    before = state(prior)

    def fail(*args):
        raise FloatingPointError

    monkeypatch.setattr(type(prior), "_estimate", fail)
    with pytest.raises(FloatingPointError):
        prior.fit(SCORES[:150], LABELS[:150], TARGET)
    with pytest.raises(FloatingPointError):
        prior.update(TARGET[:50])
    assert state(prior) == before


@pytest.mark.filterwarnings("error")
def test_a_warning_turned_into_an_error_in_the_middle_leaves_the_estimator_too():
    prior = MLLS("none", n_bootstrap=0, max_iter=1, tol=1e-300)
    before = state(prior)
    with pytest.raises(ConvergenceWarning):
        prior.fit(SCORES, LABELS, TARGET)
    assert state(prior) == before


@every_prior
def test_the_warning_names_the_line_that_asked(make):
    prior = make()
    with pytest.warns(PoorIdentificationWarning) as fitted:
        prior.fit(SCORES, LABELS, TARGET[:1])
    with pytest.warns(PoorIdentificationWarning) as updated:
        prior.update(TARGET[:1])
    assert [warning.filename for warning in (fitted[0], updated[0])] == [__file__] * 2


@every_prior
def test_the_prior_that_scores_imply_is_that_of_the_source_alone(make):
    """Whatever the target, and the frequencies or the mean score when the scores come from no other prior."""
    prior = make().fit(SCORES, LABELS, TARGET)
    first = prior.score_prior_
    assert prior.update(TARGET[:30]).score_prior_ is first
    assert first.sum() == pytest.approx(1)


@every_prior
@pytest.mark.parametrize("shrink", [None, "significance"])
def test_every_array_is_checked_once_in_a_fit(make, shrink, monkeypatch):
    """Also by the test behind ``shrink``, which the checks of its public function would read again."""
    found = Counter()

    def counting(check):
        def counted(values, name, *args, **kwargs):
            found[name] += 1
            return check(values, name, *args, **kwargs)

        return counted

    for module, name in (
        (_confusion, "check_scores"),
        (_labels, "check_labels"),
    ):
        monkeypatch.setattr(module, name, counting(getattr(module, name)))

    def counts_checked(sample_weight, n_rows, name="sample_weight", **kwargs):
        found[name] += 1
        return check_repeat_counts(sample_weight, n_rows, name, **kwargs)

    check_repeat_counts = _source.check_repeat_counts
    monkeypatch.setattr(_source, "check_repeat_counts", counts_checked)
    monkeypatch.setattr(_labels, "check_repeat_counts", counts_checked)
    for module in ("_shift_test", "_fit_test"):
        for name in ("check_scores", "check_repeat_counts"):
            monkeypatch.setattr(f"shiftfix.label.{module}.{name}", lambda *args, **kwargs: pytest.fail("again"))
    make().set_params(shrink=shrink).fit(SCORES, LABELS, TARGET, classes=[0, 1, 2])
    assert found == {
        "scores_source": 1,
        "scores_target": 1,
        "y_source": 1,
        "classes": 1,
        "sample_weight_source": 1,
        "sample_weight_target": 1,
    }


def test_a_stream_has_the_verdict_of_its_rows():
    stream = OnlinePrior(BBSE().fit(SCORES, LABELS, TARGET))
    with pytest.raises(NotFittedError):
        stream.verdict_  # noqa: B018
    assert stream.update(SCORES[:1]).verdict_ == "abstain"
    assert stream.update(np.repeat(TARGET, 3, axis=0)).verdict_ == "ok"
    assert_array_equal(stream.restarts_, [])
