"""Plans of labels: closed forms, the variance that simulated labels have, and errors."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from shiftfix.exceptions import ShiftDataError
from shiftfix.risk import plan_labels
from shiftfix.risk._label_plan import Spread, explained_share, whole, with_ends
from shiftfix.risk._ppi import ppi_mean


def test_the_largest_variance_takes_the_labels_of_the_textbook():
    """1.96^2 / (4 .05^2) = 384.1; one-sided .95 and power .8: (1.645 + .842)^2 / (4 .02^2) = 3864.1."""
    plan = plan_labels()
    assert plan.labels_for(0.05) == 385
    assert plan.labels_to_certify(0.02) == 3865
    assert plan.labels_to_certify(0.03, rise=0.01) == 3865
    assert plan.half_width(100) == pytest.approx(1.959964 * 0.05, rel=1e-6)


def test_calibrated_scores_of_two_kinds():
    """Half of the rows are wrong with chance 0, half with chance .4: m = .2, s2 = .16, R2 = .04 / .16."""
    plan = plan_labels(np.tile([0.0, 0.4], 500))
    assert plan.loss_variance == pytest.approx(0.16)
    assert plan.explained == pytest.approx(0.25)
    assert plan.n_target == 1000
    expected = 1.959964 * math.sqrt(0.16 * (0.75 / 100 + 0.25 / 1000))
    assert plan.half_width(100) == pytest.approx(expected, rel=1e-6)
    assert plan.half_width(100, with_scores=False) == pytest.approx(1.959964 * 0.04, rel=1e-6)


spreads = st.builds(Spread, st.floats(0.01, 4), st.floats(0, 0.95), st.sampled_from([50.0, 1000.0, math.inf]))


@given(spread=spreads, n=st.floats(2, 5000))
def test_labels_needed_inverts_the_variance(spread, n):
    assert spread.labels_needed(spread.variance_of_mean(n)) == pytest.approx(n, rel=1e-6)


@given(spread=spreads)
def test_scores_never_cost_labels_and_all_rows_labelled_need_no_scores(spread):
    alone = Spread(spread.variance, 0.0, math.inf)
    n = np.array([2.0, 10, 49, 50, 999, 1000, 3000])
    assert all(spread.variance_of_mean(one) <= alone.variance_of_mean(one) * (1 + 1e-12) for one in n)
    if spread.n_target < math.inf:
        nearly = spread.variance_of_mean(spread.n_target * (1 - 1e-9))
        assert nearly == pytest.approx(spread.variance_of_mean(spread.n_target), rel=1e-6)


def test_the_interval_is_as_wide_as_planned(rng):
    """Prediction-powered means of 100 labels among 1000 rows: 2000 draws tell the standard error to 1.6%; within 6%."""
    expected = np.repeat([0.05, 0.6], 500)
    plan = plan_labels(expected)
    means = []
    for _ in range(2000):
        wrong = (rng.random(1000) < expected).astype(float)
        few = rng.permutation(1000)
        means.append(ppi_mean(wrong[few[:100]], expected[few[:100]], expected[few[100:]]).mean)
    assert 1.959964 * np.std(means) == pytest.approx(plan.half_width(100), rel=0.06)
    assert plan.half_width(100) < 0.85 * plan.half_width(100, with_scores=False)


def test_a_pilot_plans_by_its_own_variance(rng):
    losses = rng.exponential(size=4000)
    plan = plan_labels(losses=losses, loss_range=None)
    assert plan.loss_variance == pytest.approx(losses.var(ddof=1))
    assert plan.explained == 0
    with_scores = plan_labels(losses[:50] + 1, losses, losses + rng.normal(size=4000), loss_range=None)
    assert with_scores.explained == pytest.approx(0.5, abs=0.05)
    assert with_scores.n_target == 4050


def test_a_pilot_without_an_error_does_not_plan_for_certainty():
    """z^2 / 2 = 1.92 rows at either end of 0 to 1 beside 20 zeros."""
    plan = plan_labels(losses=np.zeros(20))
    m = 1.920729 / 23.841459
    assert plan.loss_variance == pytest.approx(m - m**2, rel=1e-5)


def test_rows_at_the_ends_give_wilsons_bound_for_no_error():
    z = norm.ppf(0.95)
    mean, variance = with_ends(np.zeros(100), (-1, 1), z**2 / 2)
    assert mean + z * math.sqrt(variance / (100 + z**2)) == pytest.approx(z**2 / (100 + z**2))


def test_scores_that_explain_nothing(rng):
    """R2 of 30 rows of noise averages 1 / 29; less what chance explains it is 0 on most draws."""
    found = [explained_share(rng.normal(size=30), rng.normal(size=30)) for _ in range(200)]
    assert np.median(found) == 0
    assert explained_share(np.zeros(9), np.arange(9.0)) == explained_share(np.arange(9.0), np.zeros(9)) == 0


def test_the_table_in_words():
    text = str(plan_labels(np.tile([0.0, 0.4], 500)))
    assert "100 labels: +-0.078, +-0.069 with the scores" in text
    assert "taken for calibrated" in text
    assert "scores" not in str(plan_labels())
    assert whole(2e9) is None
    assert plan_labels().labels_for(1e-9) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"losses": [0, 2]}, "loss_range is 0 to 1"),
        ({"loss_range": (1, 0)}, "the least loss, then the largest"),
        ({"loss_range": (0, 1, 2)}, "3 values for 2 ends"),
        ({"loss_range": None}, "pass losses of some rows"),
        ({"losses": [1, 1], "loss_range": None}, "2 equal values"),
        ({"losses": [0, 1], "scores": [1], "scores_unlabelled": [0.5]}, "1 values for 2 losses"),
        ({"scores_unlabelled": [0.5, 1.5]}, "scores_unlabelled holds"),
        ({"scores_unlabelled": [0.0, 0.0]}, "sure of every row"),
        ({"scores_unlabelled": [0.5], "loss_range": (-1, 1)}, "0-1 losses alone"),
        ({"level": 1}, "level=1"),
    ],
)
def test_errors(given, message):
    with pytest.raises(ShiftDataError, match=message):
        plan_labels(**given)


def test_errors_of_questions():
    plan = plan_labels()
    with pytest.raises(ShiftDataError, match="half_width=0"):
        plan.labels_for(0)
    with pytest.raises(ShiftDataError, match="is not below"):
        plan.labels_to_certify(0.02, rise=0.02)
    with pytest.raises(ShiftDataError, match="n_labels=0"):
        plan.half_width(0)
