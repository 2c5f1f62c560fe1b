"""Which shift it is: worlds with known answers, and what is said of them."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.naive_bayes import GaussianNB

from shiftfix._target_sample import TargetSample
from shiftfix._verdict import Verdict
from shiftfix.detect import ClassShare, PerformanceDrop, ShiftDiagnosis, diagnose_shift
from shiftfix.detect._decision import (
    Question,
    against_prior,
    against_weights,
    corrections_for,
    decide_correction,
    labels_to_ask,
    verdict_on_labels,
)
from shiftfix.detect._evidence import PriorEvidence, ShiftEvidence
from shiftfix.detect._result import ShiftTest
from shiftfix.detect._samples import known_labels
from shiftfix.exceptions import ShiftDataError
from shiftfix.label import LabelShiftFit
from shiftfix.risk import Choice, Weighing

N = 700


def draw(rng, share, n=N, move=0.0):
    """Two classes two deviations apart in the first of three columns; ``move`` the last, which has no part in y."""
    y = (np.arange(n) < share * n).astype(int)
    X = rng.normal(size=(n, 3)) + np.outer(y, [2, 0, 0]) + [0, 0, move]
    return X, y


def same_y_given_x(rng, mean, n=N):
    """p(y given x) is logistic in the first column."""
    X = rng.normal(size=(n, 3)) + mean
    return X, (rng.random(n) < 1 / (1 + np.exp(-2 * X[:, 0]))).astype(int)


def lines(found):
    text = str(found)
    assert len(text.splitlines()) <= 25
    return text


class Prior:
    identified_, shrunk_ = True, False


def evidence(passes=False, exponent=0.0, shrunk=False, read=True):
    """Made up, for the rule alone."""
    prior = Prior()
    prior.shrunk_ = shrunk
    fit = LabelShiftFit(0.9, 0.1, 0.0, 0.1, 0.1, 0.001, 0.5, True, passes, "")
    choice = Choice(exponent, {}, {})
    labels = PriorEvidence(None, None, prior, None, fit, None, (), 0.1)
    return ShiftEvidence(Weighing(None, True, choice, True, None) if read else None, choice, labels)


def samples(p_value):
    return ShiftTest(0.0, p_value, 0.5, 9, 9, "", 0.0)


ALL = ("none", "weights", "prior", "labels")


@pytest.mark.parametrize(
    ("kind", "p_value", "causes", "n_labels", "allowed", "correction"),
    [
        ({}, 0.001, None, 0, ALL, "none"),
        ({"passes": True}, 0.001, None, 0, ALL, "prior"),
        ({"passes": True, "exponent": 1.0}, 0.001, None, 0, ALL, "prior"),  # never both
        ({"passes": True, "exponent": 1.0}, 0.001, "features", 0, ALL, "weights"),
        ({"passes": True, "shrunk": True}, 0.001, None, 0, ALL, "none"),
        ({"passes": False}, 0.001, "label", 0, ALL, "prior"),
        ({"passes": False, "exponent": 1.0}, 0.001, "label", 0, ("none", "weights"), "none"),
        ({"exponent": 1.0}, 0.001, None, 0, ALL, "weights"),
        ({"exponent": 1.0}, 0.2, None, 0, ALL, "none"),  # no shift: a gain is chance
        ({"exponent": 1.0}, 0.001, None, 0, ("none", "prior"), "none"),
        ({"exponent": 1.0, "read": False}, 0.001, None, 0, ALL, "none"),
        ({"passes": True}, 0.001, None, 0, ("none", "weights"), "none"),
        ({"passes": True, "exponent": 1.0}, 0.001, None, 30, ALL, "labels"),
        ({"passes": True}, 0.001, None, 30, ("none", "prior"), "prior"),
    ],
)
def test_the_rule(kind, p_value, causes, n_labels, allowed, correction):
    question = Question(causes, allowed, 100, n_labels)
    assert decide_correction(evidence(**kind), samples(p_value), question) == correction


@pytest.mark.slow
def test_nothing_moved(rng):
    found = diagnose_shift(*draw(rng, 0.5), draw(rng, 0.5)[0], LogisticRegression())
    assert (found.correction, found.verdict, found.moved) == ("none", "ok", False)
    assert found.verdict.reasons == ("no shift was detected",)
    text = lines(found)
    assert "Deploy, and monitor." in text
    assert "no test without target labels can see it" in text


@pytest.mark.slow
def test_label_shift_and_what_looks_like_it(rng):
    """It passes, and it is said that a covariate shift along the score would too, and what would decide."""
    found = diagnose_shift(*draw(rng, 0.5), draw(rng, 0.9)[0], LogisticRegression())
    assert (found.correction, found.verdict) == ("prior", "caution")
    share = found.class_shares[1]
    assert isinstance(share, ClassShare)
    assert share.low < 0.9 < share.high
    assert share.high - share.low < 0.2
    assert found.prior_changes > 0.02
    text = lines(found)
    assert "Label shift      possible" in text
    assert "cannot be told from a covariate shift along the model's score" in text
    assert f"correcting them changes {found.prior_changes:.1%} of the predictions" in text
    assert found.mechanism.labels_needed is not None
    assert found.verdict.action == labels_to_ask(N, found.mechanism.labels_needed, corrected=True)
    # As many labels as that say which it is.
    y_target = draw(np.random.default_rng(1), 0.9)[1]
    rows = np.random.default_rng(2).permutation(N)[:300]
    told = diagnose_shift(
        *draw(np.random.default_rng(0), 0.5),
        draw(np.random.default_rng(1), 0.9)[0],
        LogisticRegression(),
        y_target[rows],
        rows=rows,
    )
    assert (told.correction, told.n_labels, told.mechanism.decision) == ("labels", 300, "label shift")
    assert "Which of the two by 300 labels: label shift" in lines(told)
    assert told.concept is not None
    assert told.performance is not None


@pytest.mark.slow
def test_covariate_shift_is_never_claimed_without_labels(rng):
    """Across the score the shares are left alone; the model is right, so that weights are not shown to help."""
    X_target, _ = same_y_given_x(rng, [0, 0, 1.5])
    found = diagnose_shift(*same_y_given_x(rng, 0), X_target, LogisticRegression())
    assert found.correction == "none"
    assert found.moved
    assert not found.label_shift.passes
    assert found.columns.shifted[0].name == "column 2"
    text = lines(found)
    assert "are not shown to help" in text
    assert "covariate shift is" not in text.lower()


@pytest.mark.slow
def test_without_overlap_it_abstains(rng):
    found = diagnose_shift(*draw(rng, 0.5), draw(rng, 0.5, move=40)[0])
    assert (found.correction, found.verdict) == ("none", "abstain")
    assert "Label target rows where the source has none" in found.verdict.action
    assert "no weighting" in lines(found)


@pytest.mark.slow
def test_identifiers_are_named_and_the_shares_left_alone(rng):
    (X, y), (X_target, _) = draw(rng, 0.5), draw(rng, 0.9)
    frames = [pd.DataFrame(rows, columns=["a", "b", "c"]) for rows in (X, X_target)]
    for frame, start in zip(frames, (1000, 5000), strict=True):
        frame.insert(1, "patient", np.arange(start, start + len(frame)))
    found = diagnose_shift(frames[0], y, frames[1], GaussianNB())
    assert [column.name for column in found.columns.identifiers] == ["patient"]
    assert found.correction == "none"
    text = lines(found)
    assert "'patient' looks like an identifier" in text
    # Whether the samples differ is asked of the other columns.
    assert found.samples.effect_size < 0.9


@pytest.mark.slow
def test_values(rng):
    X, X_target = rng.normal(size=(500, 1)), rng.normal(1, 0.5, (400, 1))
    bent = diagnose_shift(X, X[:, 0] ** 2, X_target, LinearRegression())
    assert (bent.correction, bent.label_shift, bent.class_shares) == ("weights", None, ())
    assert "if p(y given x) is shared" in bent.verdict.reasons[0]
    assert "standard deviations" in lines(bent)
    straight = diagnose_shift(X, X[:, 0] + rng.normal(size=500), X_target)
    assert straight.correction == "none"
    assert straight.model == "Ridge"
    labelled = diagnose_shift(X, X[:, 0], X_target, Ridge(), X_target[:30, 0] + 1, rows=range(30))
    assert labelled.correction == "labels"
    assert labelled.performance.total.estimate == pytest.approx(1, abs=0.05)
    assert "mean loss is higher by 1" in " ".join(labelled.verdict.reasons)


@pytest.mark.slow
def test_labels_may_be_given_in_three_ways(rng):
    (X, y), (X_target, y_target) = draw(rng, 0.5, 300), draw(rng, 0.8, 200)  # no share is NaN, which equals nothing
    rows = np.arange(3, 160, 5)
    gaps = np.full(200, np.nan)
    gaps[rows] = y_target[rows]
    ways = [
        diagnose_shift(X, y, X_target, None, y_target[rows], rows=rows),
        diagnose_shift(X, y, X_target, None, gaps),
        diagnose_shift(X, y, TargetSample(X_target, y=y_target[rows], rows=rows)),
    ]
    assert ways[0] == ways[1] == ways[2]
    assert ways[0].n_labels == len(rows)
    assert isinstance(ways[0], ShiftDiagnosis)


def test_gaps_among_labels():
    X = np.zeros((4, 1))
    assert known_labels(X, [None, "a", float("nan"), "b"], None).y.tolist() == ["a", "b"]
    assert known_labels(X, pd.array([1, None, None, 0], dtype="Int64"), None).y.dtype.kind == "i"
    found = known_labels(X, [np.nan, 1.0, np.nan, 0.0], None)
    assert (found.rows.tolist(), found.y.tolist(), found.y.dtype.kind) == ([1, 3], [1, 0], "i")
    assert_allclose(known_labels(X, [np.nan, 1.5, np.nan, 0.0], None).y, [1.5, 0])
    assert known_labels(X, [None] * 4, None) is None
    assert known_labels(X, None, None) is None
    with pytest.raises(ShiftDataError, match=r"shape \(2,\) for 4 target rows"):
        known_labels(X, [0, 1], None)


@pytest.mark.slow
def test_it_is_the_same_again(rng):
    (X, y), (X_target, _) = draw(rng, 0.5, 200), draw(rng, 0.8, 200)
    assert diagnose_shift(X, y, X_target) == diagnose_shift(X, y, X_target)


@pytest.mark.slow
def test_few_rows_and_one_class(rng):
    X, y = draw(rng, 0.5, 8)
    found = diagnose_shift(X, y, X[:3])
    assert (found.correction, found.verdict) == ("none", "caution")
    assert "3 target rows would hardly show a shift" in lines(found)
    with pytest.raises(ShiftDataError, match="causes='y'"):
        diagnose_shift(X, y, X, causes="y")
    with pytest.raises(ShiftDataError):
        diagnose_shift(X, y, X[:, :2])
    with pytest.raises(ShiftDataError):
        diagnose_shift(X, y, None)


@pytest.mark.slow
def test_without_a_model_of_the_users_tables_and_texts_are_read(rng):
    X, y = draw(rng, 0.5, 200)
    frame = pd.DataFrame({"a": X[:, 0], "kind": np.where(X[:, 1] > 0, "u", "v")})
    frame.loc[::9, "a"] = np.nan
    found = diagnose_shift(frame, y, frame.iloc[:90].assign(kind="u"))
    assert (found.model, found.columns.shifted[0].name) == ("LogisticRegression", "kind")
    texts = np.array(["good fine", "bad poor"])
    read = diagnose_shift(texts[y], y, texts[rng.integers(0, 2, 90)])
    assert (read.samples, read.columns, read.n_target) == (None, None, 90)
    assert "make no numbers to compare" in lines(read)


def test_labels_of_a_new_class_are_refused(rng):
    X, y = draw(rng, 0.5, 60)
    with pytest.raises(ShiftDataError, match="The target labels hold 7, and the source holds 0, 1 only"):
        diagnose_shift(X, y, X[:30], LogisticRegression(), [0, 7, 1], rows=[2, 3, 4])


@pytest.mark.parametrize(
    ("n_target", "needed", "asked", "says"),
    [
        (1000, None, 50, "they repair what can be repaired."),
        (1000, 30, 50, "they tell which shift it is"),
        (1000, 200, 200, "they tell which shift it is"),
        (150, 200, 50, "About 200 would tell which shift it is."),
        (9000, 7720, 50, "About 7,720 would tell which shift it is."),
        (20, None, 20, "they repair what can be repaired."),
    ],
)
def test_labels_asked_for(n_target, needed, asked, says):
    text = labels_to_ask(n_target, needed)
    assert text.startswith(f"Label {asked} target rows")
    assert says in text


@pytest.mark.parametrize(
    ("kind", "causes", "reason"),
    [
        ({"passes": False}, None, "label shift is not shown"),
        ({"passes": True}, "features", "but the features cause the label"),
        ({"passes": True, "shrunk": True}, None, "did not move beyond chance"),
        ({"passes": True}, None, "are not to be corrected, or cannot be here"),
    ],
)
def test_why_class_shares_are_left_alone(kind, causes, reason):
    (found,) = against_prior(evidence(**kind).labels, Question(causes, ALL, 100, 0))
    assert reason in found


@pytest.mark.parametrize(
    ("exponent", "p_value", "causes", "reason"),
    [
        (0.0, 0.001, None, "not shown to help"),
        (1.0, 0.001, "label", "but the label causes the features"),
        (1.0, 0.2, None, "do not surely differ"),
        (1.0, 0.001, None, "are not to be used"),
    ],
)
def test_why_weights_are_left_out(exponent, p_value, causes, reason):
    found = evidence(exponent=exponent)
    asked = found._replace(choice=found.choice._replace(gains={1.0: (0.1, 0.01)}))
    assert reason in against_weights(asked, samples(p_value), Question(causes, ALL, 100, 0))[0]
    assert against_weights(found, samples(p_value), Question(causes, ALL, 100, 0)) == []


def test_corrections_that_a_model_can_take():
    assert corrections_for(LogisticRegression(), True) == ALL
    assert corrections_for(RidgeClassifier(), True) == ("none", "weights")
    assert corrections_for(Ridge(), False) == ALL


@pytest.mark.slow
def test_a_row_counted_twice_is_two_rows(rng):
    """Counts turn a source of .14 into one of one half: everything is asked of the latter."""
    X, y = draw(rng, 0.14, 400)
    X_target, y_target = draw(rng, 0.5, 300)
    counts = np.where(y, 6.0, 1.0)
    rows = rng.permutation(300)[:120]
    settings = {"cv": [(np.arange(0, 400, 2), np.arange(1, 400, 2)), (np.arange(1, 400, 2), np.arange(0, 400, 2))]}
    counted = diagnose_shift(X, y, X_target, GaussianNB(), y_target[rows], rows=rows, sample_weight=counts, **settings)
    written = np.repeat(np.arange(400), counts.astype(int))
    folds = [tuple(np.flatnonzero(np.isin(written, side)) for side in fold) for fold in settings["cv"]]
    repeated = diagnose_shift(X[written], y[written], X_target, GaussianNB(), y_target[rows], rows=rows, cv=folds)
    assert counted.n_source == repeated.n_source == len(written)
    assert abs(counted.samples.effect_size - 0.5) < 0.07
    for name in ("samples", "scores", "concept", "performance"):
        ours, theirs = getattr(counted, name), getattr(repeated, name)
        assert ours.effect_size == pytest.approx(theirs.effect_size, abs=0.03), name
    assert counted.class_shares[1].source == pytest.approx(0.5, abs=0.02)
    # A row of no weight is no row.
    far = np.concatenate([X, X[:50] + 40])
    left_out = diagnose_shift(
        far, np.concatenate([y, y[:50]]), X_target, GaussianNB(), sample_weight=np.repeat([1.0, 0.0], [400, 50])
    )
    without = diagnose_shift(X, y, X_target, GaussianNB())
    assert (left_out.n_source, left_out.samples.effect_size) == (400, without.samples.effect_size)


@pytest.mark.slow
def test_counts_that_are_no_whole_numbers_are_followed(rng):
    X, y = draw(rng, 0.2, 500)
    weights = np.where(y, 0.73, 0.73 / 4)
    found = diagnose_shift(X, y, draw(rng, 0.5, 400)[0], GaussianNB(), sample_weight=weights)
    assert (found.n_source, found.correction) == (500, "none")
    assert found.samples.p_value > 0.01


@pytest.mark.slow
def test_images_sparse_rows_and_values_that_look_like_classes(rng):
    X, y = draw(rng, 0.5, 120)
    images = diagnose_shift(X.reshape(-1, 3, 1), y, X[:60].reshape(-1, 3, 1))
    assert images.overlap is None
    assert images.samples is not None
    assert diagnose_shift(sparse.csr_array(X), y, sparse.csr_array(X[:60])).columns is None
    assert diagnose_shift(X, rng.integers(0, 60, 120), X[:60]).model == "Ridge"
    with pytest.raises(ShiftDataError, match="one class only"):
        diagnose_shift(X, 0 * y, X[:60])
    with pytest.raises(ShiftDataError, match="target_labels is missing"):
        diagnose_shift(X, y, X[:60], rows=[0, 1])


@pytest.mark.parametrize("is_class", [True, False])
def test_the_loss_on_the_source_is_the_mean_over_rows_as_often_as_they_count(rng, is_class):
    """Of a frozen model, by hand; rows given twice say the same as rows that count twice."""
    X = rng.normal(size=(300, 2))
    y = (X[:, 0] + rng.normal(size=300) > 0).astype(int) if is_class else X[:, 0] + rng.normal(size=300)
    model = FrozenEstimator((LogisticRegression() if is_class else Ridge()).fit(X[:100], y[:100]))
    counts = np.repeat([1, 2], 150)
    found = diagnose_shift(X, y, X[:200] + 0.5, model, sample_weight=counts)
    wrong = model.predict(X) - y
    losses = np.repeat(wrong != 0 if is_class else wrong**2, counts)
    expected = losses.mean(), losses.std() / np.sqrt(len(losses))
    np.testing.assert_allclose(found.source_loss, expected)
    told = f"accuracy {1 - expected[0]:.3f} +- {expected[1]:.1g}"
    if not is_class:
        told = f"root mean squared error {np.sqrt(expected[0]):.3g} +- {expected[1] / 2 / np.sqrt(expected[0]):.1g}"
    assert f"{told} on source rows that it was not fitted with; on the target rows only labels can tell" in lines(found)
    # With labels the change is told, and nothing is said to be unknown.
    labelled = diagnose_shift(X, y, X[:200] + 0.5, model, y[:200], sample_weight=counts)
    assert labelled.performance is not None
    assert "only labels can tell" not in lines(labelled)


NOTHING_FOUND = ShiftDiagnosis(Verdict("ok"), "none", 500, 400, 0, "LogisticRegression")


@pytest.mark.parametrize(("n_labels", "asked"), [(199, "Label a few hundred"), (200, "Label further target rows")])
def test_a_few_hundred_labels_are_not_asked_of_who_has_them(n_labels, asked):
    drop = PerformanceDrop(1.0, 0.001, 0.1, 500, n_labels, "Change of the mean loss", 0.0)
    found = dataclasses.replace(NOTHING_FOUND, correction="labels", n_labels=n_labels, performance=drop)
    verdict = verdict_on_labels(found, Question(None, ("labels",), 400, n_labels))
    assert verdict.action.startswith(asked)


def test_words_of_a_labelled_diagnosis():
    """The loss by its name; and that a label shift moves p(y given x), where the labels say that it is one."""
    drop = PerformanceDrop(1.0, 0.001, 0.1, 500, 120, "Change of the mean loss", 0.0)
    concept = ShiftTest(1.0, 0.005, 0.1, 500, 120, "A test", 0.0)
    by_labels = SimpleNamespace(decision="label shift", labels_needed=None)
    found = dataclasses.replace(
        NOTHING_FOUND, correction="labels", n_labels=120, performance=drop, concept=concept, mechanism=by_labels
    )
    text = dict(found.lines)
    assert text["Error"].startswith("Change of the error rate: p = 0.001")
    assert text["Concept shift"] == "yes (p = 0.005; a label shift moves p(y given x) too)"
    other = dataclasses.replace(found, is_class=False, mechanism=SimpleNamespace(decision="covariate shift"))
    assert dict(other.lines)["Error"].startswith("Change of the mean squared error")
    assert dict(other.lines)["Concept shift"] == "yes (p = 0.005)"
