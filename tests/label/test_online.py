"""Priors that follow a stream: against batch fits, brute-force weights, and streams with known paths."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.exceptions import NotFittedError

from shiftfix.exceptions import ShiftDataError
from shiftfix.label import BBSE, OnlinePrior, adjust_proba
from shiftfix.label._solution_error import MeanScatter, mean_scatter, solution_covariance
from tests.registry import overlapping_scores

A, B = [0.6, 0.3, 0.1], [0.1, 0.3, 0.6]
METHODS = [
    {"method": "history"},
    {"method": "window", "window": 300},
    {"method": "forgetting", "half_life": 150},
]


@pytest.fixture(scope="module")
def prior():
    scores, y = overlapping_scores(0, [1 / 3] * 3, 6000)
    return BBSE().fit(scores, y, scores)


def stream(seed, *segments):
    return np.vstack([overlapping_scores([seed, k], q, n)[0] for k, (q, n) in enumerate(segments)])


def in_batches(online, scores, cuts, counts=None):
    counts = np.ones(len(scores)) if counts is None else counts
    for rows, weight in zip(np.split(scores, cuts), np.split(counts, cuts), strict=True):
        online.update(rows, sample_weight_target=weight)
    return online


def same(one, other):
    assert_allclose(one.target_prior_, other.target_prior_, atol=1e-10)
    assert_allclose(one.prior_covariance_, other.prior_covariance_, atol=1e-10)
    assert_allclose(one.interval(0.9), other.interval(0.9), atol=1e-9)
    assert one.n_rows_ == pytest.approx(other.n_rows_)
    assert one.restarts_ == other.restarts_


@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_history_equals_one_batch_of_all_rows(kind):
    scores, y = overlapping_scores(0, [1 / 3] * 3, 2000)
    target = stream(1, (A, 500))
    batch = BBSE(kind).fit(scores, y, target)
    online = in_batches(OnlinePrior(BBSE(kind).fit(scores, y, scores)), target, [1, 7, 150, 410])
    assert_allclose(online.target_prior_, batch.target_prior_, atol=1e-12)
    assert_allclose(online.class_weight_, batch.class_weight_, atol=1e-12)
    assert_allclose(online.prior_covariance_, batch.prior_covariance_, atol=1e-12)
    assert_allclose(online.interval(0.8), batch.interval(0.8), atol=1e-10)
    assert online.n_rows_ == 500
    assert_allclose(online.adjust_proba(target), adjust_proba(target, batch.source_prior_, batch.target_prior_))


@pytest.mark.slow
def test_window_equals_a_fit_of_its_rows(prior):
    """Window 300 in blocks of 6: positions that 6 divides hold 300 rows, others up to 5 more."""
    target = stream(2, (A, 400), (B, 400))
    online = OnlinePrior(prior, "window", window=300, restart=False)
    start = 0
    for stop in [250, 603, 720, 721, 794, 800]:
        online.update(target[start:stop])
        start = stop
        first = max(0, (stop - 300) // 6 * 6)
        held = target[first:stop]
        assert online.n_rows_ == len(held)
        expected = BBSE().fit(*overlapping_scores(0, [1 / 3] * 3, 6000), held)
        assert_allclose(online.target_prior_, expected.target_prior_, atol=1e-10)


def test_forgetting_equals_brute_force_weights(prior):
    target = stream(3, (A, 300), (B, 300))
    online = in_batches(OnlinePrior(prior, "forgetting", half_life=150, restart=False), target, [1, 2, 77, 401])
    weight = 0.5 ** (np.arange(600)[::-1] / 150)
    mean = weight @ target / weight.sum()
    assert_allclose(online.target_prior_, np.linalg.solve(prior.conditional_confusion_, mean), atol=1e-10)
    n = weight.sum() ** 2 / np.square(weight).sum()
    assert online.n_rows_ == pytest.approx(n)
    rows = mean_scatter(target, weight)
    expected = solution_covariance(
        prior._source_error, MeanScatter(n, rows.mean, rows.scatter * n / weight.sum()), online.target_prior_
    )
    assert_allclose(online.prior_covariance_, expected, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("settings", METHODS)
def test_batches_may_be_cut_anywhere(settings, prior):
    target = stream(4, (A, 3000), (B, 1001))
    whole = OnlinePrior(prior, **settings).update(target)
    assert len(whole.restarts_) == 1
    cuts = np.unique(np.random.default_rng(0).integers(1, 4001, 90))
    same(in_batches(OnlinePrior(prior, **settings), target, np.append(cuts, [3998, 3999])), whole)
    same(in_batches(OnlinePrior(prior, **settings), target, np.sort([2999, 3000, 3001])), whole)


@pytest.mark.parametrize("settings", METHODS)
def test_counts_are_repeated_rows(settings, prior):
    target = stream(5, (A, 1500), (B, 700))
    counts = np.random.default_rng(1).integers(0, 4, 2200)
    counts[[0, 300, -1]] = 1  # a batch without any row is an error
    repeated = OnlinePrior(prior, **settings).update(np.repeat(target, counts, axis=0))
    assert len(repeated.restarts_) >= 1
    same(in_batches(OnlinePrior(prior, **settings), target, [300, 301, 1640], counts), repeated)


@pytest.mark.parametrize("settings", METHODS)
def test_restarts_at_a_jump(settings, prior):
    """4,000 rows, then 1,200 of another prior: one restart within 400 rows of it, and the error of the new rows."""
    for seed in range(3):
        online = OnlinePrior(prior, **settings).update(stream(seed, (A, 4000), (B, 1200)))
        assert len(online.restarts_) == 1
        assert abs(online.restarts_[0] - 4000) <= 400
        assert np.abs(online.target_prior_ - B).max() < (0.12 if online.n_rows_ > 500 else 0.2)
        assert online.n_rows_ <= 1600
        if online.method == "history":
            assert online.n_rows_ == 5200 - online.restarts_[0]
    stale = OnlinePrior(prior, restart=False).update(stream(0, (A, 4000), (B, 1200)))
    assert stale.restarts_ == []
    assert np.abs(stale.target_prior_ - B).max() > 0.3


@pytest.mark.slow
def test_no_false_alarm_in_stationary_streams(prior):
    """20 streams of 10,000 rows, restart=0.05: the bound is not exhausted; right alarms in none, two are allowed."""
    alarms = sum(bool(OnlinePrior(prior).update(stream(seed, (A, 10_000))).restarts_) for seed in range(20))
    assert alarms <= 2


@pytest.mark.slow
def test_what_is_kept_grows_as_the_logarithm(prior):
    """Marks: about 5 log(t); of 1,000 looks some 30 stay."""
    target = stream(0, (A, 10_000))
    online = OnlinePrior(prior, "window", window=777)
    for _ in range(20):
        online.update(target)
    assert len(online._marks) < 45
    assert len(online._blocks) <= 52


@pytest.mark.slow
def test_float32_scores_and_single_rows(prior):
    target = stream(6, (A, 230)).astype(np.float32)
    online = OnlinePrior(prior, "forgetting")
    for row in target:
        online.update(row[np.newaxis])
    expected = OnlinePrior(prior, "forgetting").update(target.astype(np.float64))
    assert_allclose(online.target_prior_, expected.target_prior_, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prior": BBSE()}, "not a fitted BBSE"),
        ({"method": "latest"}, "method='latest'"),
        ({"window": 0}, "window=0"),
        ({"half_life": 0}, "half_life=0"),
        ({"restart": 1.0}, "restart=1.0"),
        ({"restart": "yes"}, "restart='yes'"),
    ],
)
def test_bad_settings(change, message, prior):
    with pytest.raises(ShiftDataError, match=message):
        OnlinePrior(**({"prior": prior} | change)).update(np.full((2, 3), 1 / 3))


def test_asking_before_the_first_rows(prior):
    for ask in (OnlinePrior(prior).interval, lambda: OnlinePrior(prior).adjust_proba(np.full((2, 3), 1 / 3))):
        with pytest.raises(NotFittedError, match="call update"):
            ask()


def test_bad_scores_leave_the_state(prior):
    online = OnlinePrior(prior).update(np.full((2, 3), 1 / 3))
    for bad in (np.ones((2, 3)), np.full((2, 2), 0.5), np.full((0, 3), 1 / 3), np.full((2, 3), np.nan)):
        with pytest.raises(ShiftDataError):
            online.update(bad)
    with pytest.raises(ShiftDataError, match="all zero"):
        online.update(np.full((2, 3), 1 / 3), sample_weight_target=[0, 0])
    assert online.n_rows_ == 2
