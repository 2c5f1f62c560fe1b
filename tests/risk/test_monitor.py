"""The monitor: its evidence and estimate by hand, streams cut in other ways, delays of labels, state, and errors."""

import copy
import json

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit, logit
from scipy.stats import binom
from sklearn.exceptions import NotFittedError

import shiftfix
from shiftfix.exceptions import ShiftDataError
from shiftfix.risk import RiskMonitor
from shiftfix.risk._alarms import factors_of, worst_reference_error
from shiftfix.risk._evidence import TILTS, log_factors, no_evidence, with_observations
from shiftfix.risk._ppi import ppi_mean
from shiftfix.risk._stream_window import share_with_interval


def two_columns(p):
    return np.column_stack([1 - p, p])


def calibrated(rng, n):
    """Scores of two classes and labels drawn by them."""
    p = expit(rng.normal(0, 2, n))
    return two_columns(p), (rng.random(n) < p).astype(int)


SCORES, LABELS = calibrated(np.random.default_rng(0), 40)


def told(monitor, scores, y, *, size=None, delay=0):
    """Feed scores batch by batch, and the labels of each batch so many batches later."""
    size = size or len(y)
    batches = [np.arange(start, min(start + size, len(y))) for start in range(0, len(y), size)]
    for number in range(len(batches) + delay):
        if number < len(batches):
            monitor.update(scores[batches[number]])
        if number >= delay:
            monitor.update_labels(batches[number - delay], y[batches[number - delay]])
    return monitor


def test_the_accuracy_alarm_is_the_evidence_of_errors_against_the_bound(rng):
    scores, y = calibrated(rng, 300)
    monitor = told(RiskMonitor(0.9, tolerance=0.03, horizon=100), scores, y)
    wrong = (scores.argmax(axis=1) != y).astype(float)
    _, path = with_observations(no_evidence(), log_factors(wrong, 0.13), 100)
    alarm = monitor.alarms_["accuracy"]
    assert alarm.evidence == pytest.approx(np.exp(path.max()), rel=1e-9)
    assert alarm.threshold == pytest.approx(40)
    assert alarm.is_raised == (path.max() >= np.log(40))
    assert alarm.n_labels == monitor.n_labels_ == 300


def test_calibrated_scores_are_a_fair_game_for_both_sides_of_the_calibration_alarm():
    """Without tolerance the mean factor over the label is 1 at every confidence; with one it is less."""
    confidence = np.linspace(0.5, 0.99, 9)
    wrong, right = (factors_of("calibration", np.full(9, z), confidence, 0.0, 0.0) for z in (1.0, 0.0))
    assert wrong.shape == (9, 2 * len(TILTS))
    share = 1 - confidence[:, np.newaxis]
    assert_allclose(share * np.exp(wrong) + (1 - share) * np.exp(right), 1, rtol=1e-12)
    wrong, right = (factors_of("calibration", np.full(9, z), confidence, 0.0, 0.05) for z in (1.0, 0.0))
    assert (share * np.exp(wrong) + (1 - share) * np.exp(right) <= 1 + 1e-12).all()
    assert (wrong[confidence + 0.05 >= 1, len(TILTS) :] == 0).all()


@pytest.mark.parametrize("temperature", [2.5, 0.3])
def test_scores_too_sure_or_not_sure_enough_raise_the_calibration_alarm_alone(temperature):
    """Log odds times 2.5 or .3: the same predictions. A right program did so in 200 of 200 draws for either."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        scores, y = calibrated(rng, 2000)
        accuracy = (scores.max(axis=1)).mean()
        monitor = told(RiskMonitor(accuracy), two_columns(expit(temperature * logit(scores[:, 1]))), y)
        assert monitor.alarms_["calibration"].is_raised
        assert not monitor.alarms_["accuracy"].is_raised
        assert monitor.verdict_ == "caution"
        assert "calibration" in monitor.verdict_.reasons[0]


def test_a_drop_raises_the_accuracy_alarm_and_tells_since_when():
    """Labels of a quarter of the rows flipped from 1500 on: accuracy .84 to .67."""
    rng = np.random.default_rng(0)
    scores, y = calibrated(rng, 3000)
    flipped = (np.arange(3000) >= 1500) & (rng.random(3000) < 0.25)
    monitor = told(RiskMonitor(0.83), scores, np.where(flipped, 1 - y, y), size=100, delay=3)
    alarm = monitor.alarms_["accuracy"]
    assert alarm.is_raised
    assert 1500 < alarm.raised_at < 2000
    assert abs(alarm.likely_start - 1500) < 150
    assert str(alarm).startswith(f"ALARM on accuracy at label {alarm.raised_at}")


def test_without_a_change_nothing_is_raised(rng):
    monitor = told(RiskMonitor(0.8), *calibrated(rng, 3000), size=500)
    assert monitor.verdict_ == "ok"
    assert str(monitor.alarms_["accuracy"]).startswith("No alarm on accuracy in 3000 labels")


def test_the_order_of_rows_within_a_call_and_the_batches_do_not_matter(rng):
    scores, y = calibrated(rng, 400)
    whole = told(RiskMonitor(0.8), scores, y)
    batches = told(RiskMonitor(0.8), scores, y, size=37, delay=2)
    order = rng.permutation(400)
    shuffled = RiskMonitor(0.8).update(scores).update_labels(order, y[order])
    for other in (batches, shuffled):
        assert other.estimate() == whole.estimate()
        for name, alarm in whole.alarms_.items():
            assert other.alarms_[name].evidence == pytest.approx(alarm.evidence, rel=1e-9)


def test_the_estimate_is_prediction_powered(rng):
    scores, y = calibrated(rng, 500)
    monitor = RiskMonitor(0.8).update(scores).update_labels(np.arange(0, 500, 5), y[::5])
    right, confidence = (scores.argmax(axis=1) == y).astype(float), scores.max(axis=1)
    found = monitor.estimate()
    of_all = np.delete(confidence, np.arange(0, 500, 5))
    assert found.accuracy == pytest.approx(ppi_mean(right[::5], confidence[::5], of_all).mean)
    assert found.low < found.accuracy < found.high
    assert (found.n_rows, found.n_labels) == (500, 100)
    assert found.overconfidence == pytest.approx((confidence - right)[::5].mean())
    assert "100 labels" in str(found)


def test_without_labels_the_estimate_is_the_mean_confidence_and_says_what_that_assumes(rng):
    scores, _ = calibrated(rng, 200)
    found = RiskMonitor(0.8).update(scores).estimate()
    assert found.accuracy == pytest.approx(scores.max(axis=1).mean())
    assert found.overconfidence is None
    assert "calibrated" in str(found)


def test_scores_alone_give_no_interval():
    """However sure they are."""
    found = RiskMonitor(0.8).update(np.tile([1.0, 0.0], (50, 1))).estimate()
    assert (found.accuracy, found.low, found.high) == (1, 0, 1)
    assert "no interval" in str(found)


@pytest.mark.parametrize("n", [2, 7, 49, 97, 1000])
def test_the_share_lies_in_its_interval_where_all_are_alike(n):
    for value in (0.0, 1.0):
        share, low, high = share_with_interval(np.full(n, value), np.full(n, 0.7), np.full(50, 0.7), 0.95)
        assert low <= share <= high


@pytest.mark.parametrize(("n", "n_right"), [(100, 100), (100, 80), (1, 1), (2, 0)])
def test_scores_that_say_nothing_leave_wilsons_interval(n, n_right):
    """Wilson (1927): the shares p with |p_hat - p| <= z sqrt(p (1 - p) / n)."""
    right = (np.arange(n) < n_right).astype(float)
    share, low, high = share_with_interval(right, np.full(n, 0.7), np.full(50, 0.7), 0.95)
    assert share == pytest.approx(n_right / n)
    for end in (low, high):
        assert (share - end) ** 2 == pytest.approx(1.959964**2 * end * (1 - end) / n, abs=1e-6)


def test_scores_narrow_the_interval_as_more_labels_would(rng):
    """Wilson's interval of as many labels as are as exact alone: those at hand times the ratio of the variances, by
    hand with z^2 / 2 rows at both ends of the labels and of what the scores leave."""
    expected = np.tile([0.1, 0.95], 500)
    right = (rng.random(1000) < expected).astype(float)
    share, low, high = share_with_interval(right[:200], expected[:200], expected[200:], 0.95)
    found = ppi_mean(right[:200], expected[:200], expected[200:])
    left = right[:200] - found.power * (expected[:200] - expected[:200].mean())
    alone, powered = (
        (np.square(z - z.mean()).sum() + 1.920729 * ((m := z.mean()) ** 2 + (1 - m) ** 2)) / 203.841459
        - ((1.920729 - 3.841459 * m) / 203.841459) ** 2
        for z in (right[:200], left)
    )
    n = 200 * alone / (powered * 199 / 198 + found.power**2 * expected[200:].var(ddof=1) / 4)
    assert n > 300
    for end in (low, high):
        assert (share - end) ** 2 == pytest.approx(1.959964**2 * end * (1 - end) / n, abs=1e-6)


def test_scores_that_happen_to_explain_few_labels_leave_a_wide_interval():
    """6 of 10 right, just as scored: no narrower than Wilson's interval of 10 labels that are all right."""
    right = (np.arange(10) < 6).astype(float)
    share, low, high = share_with_interval(right, 0.5 + 0.4 * right, np.tile([0.9, 0.5], 500), 0.95)
    assert low < share < high
    assert high - low > 1.959964**2 / (10 + 1.959964**2)


@pytest.mark.slow
@pytest.mark.parametrize("n", [5, 10, 50])
def test_the_estimate_covers_by_few_labels(n):
    """Two levels of confidence; of 400 draws fewer than 366 hold the truth with chance .001 at .95."""
    rng, held = np.random.default_rng(4), 0
    for _ in range(400):
        easy = rng.random(2000) < 0.6
        right = rng.random(2000) < np.where(easy, 0.92, 0.6)
        p = np.where(easy, 0.97, 0.6)
        monitor = RiskMonitor(0.8).update(two_columns(p))
        rows = rng.choice(2000, n, replace=False)
        found = monitor.update_labels(rows, right[rows].astype(int)).estimate()
        held += found.low <= right.mean() <= found.high
    assert held >= 366


def test_old_rows_leave_the_window_and_their_labels_are_counted_as_late(rng):
    scores, y = calibrated(rng, 300)
    monitor = RiskMonitor(0.8, window=100).update(scores)
    monitor.update_labels(np.arange(180, 260), y[180:260])
    assert (monitor.n_late_, monitor.n_labels_, monitor.n_rows_) == (20, 60, 300)
    assert monitor.estimate().n_rows == 100
    assert monitor.alarms_["accuracy"].n_labels == 60
    monitor.update_labels([3, 4], [0, 1])
    assert (monitor.n_late_, monitor.n_labels_) == (22, 60)
    small = RiskMonitor(0.8).update(scores[200:]).update_labels(np.arange(60), y[200:260])
    assert small.estimate() == monitor.estimate()


@pytest.mark.parametrize("name", [lambda i: 7 * i - 900, "row {}".format])
def test_rows_are_found_by_their_ids(rng, name):
    scores, y = calibrated(rng, 300)
    ids = np.array([name(i) for i in rng.permutation(300)])
    numbers, called = (RiskMonitor(0.8, window=120) for _ in range(2))
    for part in (slice(0, 100), slice(100, 300)):
        numbers.update(scores[part])
        called.update(scores[part], ids[part])
    asked = rng.permutation(300)[:150]
    numbers.update_labels(asked, y[asked])
    called.update_labels(ids[asked].tolist(), y[asked])
    same_answers(called, numbers)
    assert called.n_late_ > 0
    same_answers(RiskMonitor.from_state(json.loads(json.dumps(called.get_state(), default=np.ndarray.tolist))), numbers)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ([1, 2], None, "with every batch"),
        (None, [1, 2], "with every batch"),
        ([1, 2], ["a", "b"], "pass one kind"),
        ([1, 2], [3, 1], "1 2 times within the window"),
        (["a", "a"], None, "'a' 2 times"),
        ([1.5, 2.5], None, "whole numbers|continuous"),
        ([1, 2, 3], None, "3 labels for 2"),
    ],
)
def test_ids_that_are_none(first, second, message):
    monitor = RiskMonitor(0.8)

    def twice():
        monitor.update(SCORES[:2], first).update(SCORES[2:4], second)

    with pytest.raises(ShiftDataError, match=message):
        twice()


def test_memory_is_bounded(rng):
    monitor = RiskMonitor(0.8, window=50)
    sizes = []
    for _ in range(4):
        scores, y = calibrated(rng, 200)
        first = monitor.n_rows_ if hasattr(monitor, "n_rows_") else 0
        monitor.update(scores).update_labels(np.arange(first + 150, first + 200), y[150:])
        state = monitor.get_state()
        arrays = [state["window"], *(watch["evidence"] for watch in state["watches"].values())]
        sizes.append(sum(np.size(part) for parts in arrays for part in parts.values()))
    assert len(set(sizes)) == 1


@pytest.mark.parametrize("wrong", [0, 3, 40])
def test_a_reference_of_few_labels_is_taken_at_its_worst(wrong):
    """Clopper-Pearson: so few errors have chance alpha under the bound."""
    bound = worst_reference_error(1 - wrong / 80, 80, 0.01)
    assert binom.cdf(wrong, 80, bound) == pytest.approx(0.01)
    assert worst_reference_error(0.8, None, 0) == pytest.approx(0.2)


def test_a_reference_of_few_labels_takes_more_to_alarm(rng):
    scores, y = calibrated(rng, 500)
    exact = told(RiskMonitor(0.9), scores, y).alarms_["accuracy"]
    vague = told(RiskMonitor(0.9, n_reference=200), scores, y).alarms_["accuracy"]
    assert exact.evidence > vague.evidence
    assert vague.threshold == pytest.approx(exact.threshold / 0.9)


def test_labels_of_any_kind(rng):
    scores, y = calibrated(rng, 200)
    words = np.array(["sick", "well"])
    numbers = told(RiskMonitor(0.8), scores, y)
    assert told(RiskMonitor(0.8, classes=words), scores, words[y]).estimate() == numbers.estimate()


def test_the_accuracy_alone_has_the_whole_level(rng):
    monitor = told(RiskMonitor(0.8, calibration_tolerance=None), *calibrated(rng, 100))
    assert list(monitor.alarms_) == ["accuracy"]
    assert monitor.alarms_["accuracy"].threshold == pytest.approx(20)


def same_answers(first, second):
    assert first.estimate() == second.estimate()
    assert first.alarms_ == second.alarms_
    assert (first.n_rows_, first.n_labels_, first.n_late_) == (second.n_rows_, second.n_labels_, second.n_late_)


def test_a_state_goes_on_as_the_monitor_would(rng):
    scores, y = calibrated(rng, 600)
    words = np.array(["a", "b"])
    monitor = told(RiskMonitor(0.85, classes=words, window=250), scores[:400], words[y[:400]], size=90)
    plain = json.loads(json.dumps(monitor.get_state(), default=lambda array: array.tolist()))
    for state in (monitor.get_state(), plain):
        resumed = RiskMonitor.from_state(state)
        same_answers(resumed, monitor)
        further = [
            one.update(scores[400:]).update_labels(np.arange(400, 500), words[y[400:500]])
            for one in (resumed, copy.deepcopy(monitor))
        ]
        same_answers(*further)


def test_a_monitor_is_saved_without_pickle(rng, tmp_path):
    pytest.importorskip("skops")
    monitor = told(RiskMonitor(0.85), *calibrated(rng, 100))
    shiftfix.save_model(monitor, tmp_path / "monitor.skops")
    same_answers(shiftfix.load_model(tmp_path / "monitor.skops"), monitor)


def test_a_state_is_a_copy(rng):
    scores, y = calibrated(rng, 100)
    monitor = told(RiskMonitor(0.85), scores, y)
    state, before = monitor.get_state(), monitor.estimate()
    state["window"]["wrong"][:] = 1
    state["watches"]["accuracy"]["evidence"]["log_wealth"][:] = 99
    assert monitor.estimate() == before
    assert monitor.alarms_["accuracy"].evidence < 99


def test_after_a_reset_the_evidence_starts_anew(rng):
    monitor = told(RiskMonitor(0.99), *calibrated(rng, 300))
    assert monitor.verdict_ == "caution"
    before = monitor.estimate()
    assert monitor.reset().verdict_ == "ok"
    assert monitor.estimate() == before
    assert monitor.alarms_["accuracy"].evidence == 1


# ------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"reference": 1.2}, "reference=1.2"),
        ({"tolerance": -0.1}, "tolerance=-0.1"),
        ({"reference": 0.3, "tolerance": 0.7}, "no accuracy to fall below"),
        ({"alpha": 1}, "alpha=1"),
        ({"horizon": 0}, "horizon=0"),
        ({"window": 0}, "window=0"),
        ({"n_reference": 0}, "n_reference=0"),
        ({"calibration_tolerance": 2}, "calibration_tolerance=2"),
        ({"classes": [0, 1, 2]}, "2 columns for 3 classes"),
        ({"classes": ["a", "a"]}, "more than once"),
    ],
)
def test_settings_that_are_none(settings, message):
    monitor = RiskMonitor(**{"reference": 0.8} | settings)
    with pytest.raises(ShiftDataError, match=message):
        monitor.update(SCORES)
    assert not hasattr(monitor, "n_rows_")


@pytest.mark.parametrize(
    ("rows", "y", "message"),
    [
        ([0, 0], [0, 1], "more than once"),
        ([40], [0], "40 rows were scored"),
        ([-1], [0], "-1"),
        ([0.5], [0], "pass the number"),
        ([[1]], [0], "pass the number"),
        ([], [], "pass the number"),
        ([1, 2], [0], "1 labels for 2"),
        ([1], [7], "7"),
        ([1], [np.nan], "NaN"),
        ([5], [0], "have a label already"),
    ],
)
def test_labels_that_are_none_leave_the_state(rows, y, message):
    monitor = RiskMonitor(0.8).update(SCORES).update_labels([5], [LABELS[5]])
    before = monitor.get_state()
    with pytest.raises(ShiftDataError, match=message):
        monitor.update_labels(rows, y)
    assert monitor.get_state()["counts"] == before["counts"]
    assert monitor.estimate().n_labels == 1


def test_other_errors():
    with pytest.raises(NotFittedError, match="call update"):
        RiskMonitor(0.8).estimate()
    with pytest.raises(NotFittedError, match="call update"):
        RiskMonitor(0.8).update_labels([0], [1])
    with pytest.raises(ShiftDataError, match="3 columns"):
        RiskMonitor(0.8).update(SCORES).update(np.ones((2, 3)) / 3)
    with pytest.raises(ShiftDataError, match="probabilities"):
        RiskMonitor(0.8).update(SCORES * 2)


def broken(state, path, value):
    inner = state
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return state


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), 2),
        (("settings",), {}),
        (("settings", "alpha"), 3),
        (("settings", "classes"), ["a", "b", "c"]),
        (("settings", "calibration_tolerance"), None),
        (("counts", "n_labels"), -1),
        (("counts", "n_labels"), "many"),
        (("window", "predicted"), np.zeros(3, int)),
        (("window", "predicted"), np.full(40, 2)),
        (("window", "confidence"), np.full(40, 1.5)),
        (("window", "wrong"), np.full(40, 0.5)),
        (("window", "n_seen"), 3),
        (("window", "ids"), [1] * 40),
        (("window", "ids"), [0.5] * 40),
        (("watches", "accuracy"), None),
        (("watches", "accuracy", "evidence", "log_wealth"), np.full(4, np.inf)),
        (("watches", "accuracy", "evidence", "start"), np.full(4, 99)),
        (("watches", "accuracy", "raised_at"), 99),
        (("watches", "accuracy", "log_peak"), np.nan),
    ],
)
def test_a_state_that_is_none(path, value):
    state = RiskMonitor(0.8).update(SCORES).update_labels(np.arange(9), LABELS[:9]).get_state()
    with pytest.raises(ShiftDataError):
        RiskMonitor.from_state(broken(state, path, value))


@pytest.mark.parametrize("state", [None, 3, [], {}, {"version": 1}])
def test_no_state(state):
    with pytest.raises(ShiftDataError, match="get_state"):
        RiskMonitor.from_state(state)
