"""What a model is worth on the target: exact cases, invariants, refusals."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from shiftfix.corrected import TargetSample
from shiftfix.covariate import LogisticWeighter
from shiftfix.exceptions import ShiftDataError
from shiftfix.risk import target_risk
from shiftfix.risk._target_risk import LABELLED_METHODS, UNLABELLED_METHODS

QUICK = {"n_bootstrap": 10}


class Atoms(ClassifierMixin, BaseEstimator):
    """Says class 1 with the probability that stands in the first column."""

    classes_ = np.array([0, 1])
    fitted_ = True

    def predict_proba(self, X):
        p = np.asarray(X, dtype=float)[:, 0]
        return np.column_stack([1 - p, p])

    def predict(self, X):
        return (self.predict_proba(X)[:, 1] > 0.5).astype(int)


def atoms(n_low, n_high):
    """Rows of confidence .6 and .9, and labels that are right as often."""
    X = np.repeat([0.6, 0.9], [n_low, n_high])[:, np.newaxis]
    right = np.concatenate([np.arange(n_low) < 0.6 * n_low, np.arange(n_high) < 0.9 * n_high])
    return X, right.astype(int)


def rows(n, mean, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(mean, 1, (n, 2))
    return X, (X[:, 0] + rng.normal(size=n) > 0).astype(int)


@pytest.fixture(scope="module")
def case():
    X, y = rows(400, 0, 1)
    X_target, y_target = rows(300, 0.4, 2)
    return LogisticRegression().fit(*rows(300, 0, 0)), X, y, X_target, y_target


@pytest.mark.parametrize("method", ["cbpe", "doc", "importance"])
def test_calibrated_atoms(method):
    """Source half and half, accuracy .75; target 20 to 80: .2 x .6 + .8 x .9."""
    weighter = LogisticWeighter(C=np.inf, clip=None)
    found = target_risk(Atoms(), *atoms(100, 100), atoms(40, 160)[0], method=method, weighter=weighter, **QUICK)
    assert_allclose(found.value, 0.84, atol=1e-6)


@pytest.mark.parametrize("method", ["atc", "doc", "source", "importance", "label_shift", "doubly_robust"])
def test_without_shift_the_source_accuracy_is_returned(case, method):
    """Of the same rows; those of tied confidence too. Regressions are shrunk, so doubly robust is near only."""
    model, X, y, *_ = case
    tolerance = 0.01 if method == "doubly_robust" else 1e-6 if method == "importance" else 1e-9
    if method == "label_shift":
        tolerance = 0.01  # class shares by calibrated scores
    assert_allclose(target_risk(model, X, y, X, method=method, **QUICK).value, model.score(X, y), atol=tolerance)
    tied = atoms(70, 30)
    if method in ("atc", "doc"):
        assert_allclose(target_risk(Atoms(), *tied, tied[0], method=method, **QUICK).value, np.mean(tied[1]))


def test_auc_without_shift_is_that_of_the_source(case):
    model, X, y, *_ = case
    found = target_risk(model, X, y, X, metric="auc", method="source", **QUICK)
    assert_allclose(found.value, roc_auc_score(y, model.predict_proba(X)[:, 1]))


ALL = [*UNLABELLED_METHODS, *LABELLED_METHODS]


@pytest.mark.parametrize("method", ALL)
def test_every_method_is_near_the_truth_of_a_mild_covariate_shift(case, method):
    """Errors here are below .06, and .1 where label shift is assumed; a ratio upside down costs the others .1."""
    model, X, y, X_target, y_target = case
    metric = "calibration_error" if method == "lascal" else "accuracy"
    found = target_risk(model, X, y, X_target, metric=metric, method=method, target_labels=y_target[:150], **QUICK)
    assert found.low <= found.value <= found.high
    assert found.n_labels == (150 if method in LABELLED_METHODS else 0)
    assert found.assumes in str(found)
    if method != "lascal":
        assert abs(found.value - model.score(X_target, y_target)) < (0.12 if method == "label_shift" else 0.06)
    assert copy.deepcopy(found) == pickle.loads(pickle.dumps(found)) == found


@pytest.mark.parametrize("method", ALL)
def test_the_order_of_rows_does_not_matter(case, method):
    model, X, y, X_target, y_target = case
    metric = "calibration_error" if method == "lascal" else "accuracy"
    labels = {"target_labels": y_target[:60], "rows": np.arange(60)}
    first = target_risk(model, X, y, X_target, metric=metric, method=method, **labels, **QUICK)
    order, order_target = (np.random.default_rng(5).permutation(n) for n in (400, 300))
    place = np.argsort(order_target)[:60]
    again = target_risk(
        model,
        X[order],
        y[order],
        X_target[order_target],
        metric=metric,
        method=method,
        target_labels=y_target[:60],
        rows=place,
        **QUICK,
    )
    assert_allclose((again.value, again.low, again.high), (first.value, first.low, first.high), rtol=1e-6)


@pytest.mark.parametrize(("method", "metric"), [("labels", "auc"), ("ppi", "auc"), ("importance", "accuracy")])
def test_the_order_of_equal_rows_does_not_matter(method, metric):
    """Rows of eleven values: labels and groups tell apart what features do not."""
    rng = np.random.default_rng(0)
    X, X_target = (rng.uniform(0.01, 0.99, (n, 1)).round(1).clip(0.02, 0.98) for n in (200, 300))
    y, y_target = ((rng.uniform(size=len(part)) < part[:, 0]).astype(int) for part in (X, X_target))
    groups = rng.integers(0, 2, 200), rng.integers(0, 2, 300)
    order, order_target = rng.permutation(200), rng.permutation(300)
    place = np.argsort(order_target)[:100]
    given = {"method": method, "metric": metric, "target_labels": y_target[:100], "n_bootstrap": 30}
    first = target_risk(Atoms(), X, y, X_target, rows=np.arange(100), groups=groups, **given)
    moved = groups[0][order], groups[1][order_target]
    again = target_risk(Atoms(), X[order], y[order], X_target[order_target], rows=place, groups=moved, **given)
    for one, other in zip((first, *first.groups), (again, *again.groups), strict=True):
        assert_allclose((one.value, one.low, one.high), (other.value, other.low, other.high), rtol=1e-6)


def test_frames_and_arrays_say_the_same(case):
    model, X, y, X_target, _ = case
    model = LogisticRegression().fit(pd.DataFrame(X, columns=["a", "b"]), y)
    frames = [pd.DataFrame(part, columns=["a", "b"]) for part in (X, X_target)]
    found = target_risk(model, frames[0], y, frames[1], **QUICK)
    plain = target_risk(LogisticRegression().fit(X, y), X, y, X_target, **QUICK)
    assert_allclose(found.value, plain.value)


def test_labels_may_come_with_the_target(case):
    model, X, y, X_target, y_target = case
    apart = target_risk(model, X, y, X_target, target_labels=y_target[:50], rows=np.arange(50))
    assert apart.method == target_risk(model, X, y, TargetSample(X_target, y_target[:50], np.arange(50))).method
    assert target_risk(model, X, y, TargetSample(X_target, y_target[:50], np.arange(50))) == apart
    assert target_risk(model, X, y, X_target, target_labels=y_target[:50]) == apart


def test_labels_alone_are_their_mean(case):
    model, X, y, X_target, y_target = case
    found = target_risk(model, X, y, X_target, method="labels", target_labels=y_target[:80])
    assert_allclose(found.value, model.score(X_target[:80], y_target[:80]))
    few = target_risk(model, X, y, X_target, method="labels", target_labels=y_target[:8])
    assert few.verdict == "caution"
    assert "8 target labels" in few.reasons[0]


def test_known_probabilities_undo_a_biased_choice(case):
    """Rows of the second half of x are labelled four times as often; half of the rows have labels."""
    model, X, y, X_target, y_target = case
    chances = np.where(X_target[:, 0] > 0.4, 0.8, 0.2)
    drawn = np.flatnonzero(np.random.default_rng(0).uniform(size=300) < chances)
    given = {"target_labels": y_target[drawn], "rows": drawn, "method": "ppi"}
    aware = target_risk(model, X, y, X_target, sampling_probability=chances[drawn], **given).value
    assert abs(aware - model.score(X_target, y_target)) < 0.06


def test_one_probability_for_all_gives_the_interval_of_labels_at_random(case):
    model, X, y, X_target, y_target = case
    given = {"method": "labels", "target_labels": y_target[:60]}
    plain = target_risk(model, X, y, X_target, **given)
    same = target_risk(model, X, y, X_target, sampling_probability=np.full(60, 0.1), **given)
    assert_allclose((same.value, same.low, same.high), (plain.value, plain.low, plain.high))


def judged_rows(n, rng, share_low, right_low, right_high):
    """Rows of confidence .6 and .9 with these chances of being right; label 1 is right."""
    low = rng.uniform(size=n) < share_low
    right = rng.uniform(size=n) < np.where(low, right_low, right_high)
    return np.where(low, 0.6, 0.9)[:, np.newaxis], right.astype(int)


def accuracy_coverage(method, probabilities, n_draws, **world):
    """How often the interval of an accuracy holds it, rows drawn with one of two probabilities by chance."""
    rng = np.random.default_rng(3)
    truth = world["share_low"] * world["right_low"] + (1 - world["share_low"]) * world["right_high"]
    source, held = judged_rows(500, rng, **world), 0
    for _ in range(n_draws):
        X, y = judged_rows(2000, rng, **world)
        chances = rng.choice(probabilities, 2000)
        rows = np.flatnonzero(rng.uniform(size=2000) < chances)
        given = {"target_labels": y[rows], "rows": rows}
        if probabilities[0] != probabilities[1]:
            given["sampling_probability"] = chances[rows]
        found = target_risk(Atoms(), *source, X, method=method, **given)
        assert found.low <= found.value <= found.high
        held += found.low <= truth <= found.high
    return held / n_draws


@pytest.mark.slow
@pytest.mark.parametrize("method", ["labels", "ppi"])
@pytest.mark.parametrize("probabilities", [(0.01, 0.09), (0.01, 0.19)])
def test_intervals_hold_where_probabilities_are_known(method, probabilities):
    """Accuracy .9 whatever is drawn; .95 asked for, .90 allowed for the chance in 150 draws."""
    world = {"share_low": 0.3, "right_low": 0.9, "right_high": 0.9}
    assert accuracy_coverage(method, probabilities, 150, **world) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("labelled", [0.015, 0.025])
def test_scores_that_explain_few_labels_do_not_narrow_the_interval_much(labelled):
    """Always wrong at one score and nearly always right at the other; .95 asked for, 30 and 50 labels, 200 draws."""
    world = {"share_low": 0.1, "right_low": 0.0, "right_high": 0.96}
    assert accuracy_coverage("ppi", (labelled, labelled), 200, **world) >= 0.9


@pytest.mark.parametrize("metric", ["auc", "balanced_accuracy"])
@pytest.mark.parametrize("method", ["labels", "ppi"])
def test_labels_that_lack_a_class_tell_nothing_of_it(case, metric, method):
    """Nor do two of them tell much: both are right, and by Wilson's interval of 4 / (1 / 2 + 1 / 60) labels."""
    model, X, y, X_target, y_target = case
    said = model.predict(X_target)
    zeros = np.flatnonzero((y_target == 0) & (said == 0))[:60]
    ones = np.flatnonzero((y_target == 1) & (said == 1))[:2]
    given = {"metric": metric, "method": method, "n_bootstrap": 20}
    lost = target_risk(model, X, y, X_target, target_labels=y_target[zeros], rows=zeros, **given)
    assert lost.verdict == "abstain"
    assert (lost.low, lost.high) == (0, 1)
    few = np.append(zeros, ones)
    assert target_risk(model, X, y, X_target, target_labels=y_target[few], rows=few, **given).low < 0.75


def test_a_class_of_three_without_a_label_leaves_no_mean_over_classes():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 2)), np.repeat([0, 1, 2], 100)
    X[:, 0] += y
    model = LogisticRegression().fit(X, y)
    for metric in ("auc", "balanced_accuracy"):
        found = target_risk(model, X, y, X, metric=metric, method="labels", target_labels=y[:200], n_bootstrap=20)
        assert found.verdict == "abstain"


@pytest.mark.parametrize("method", ["importance", "control_variate"])
def test_weighted_rows_that_are_all_right_count_as_many_as_they_are_worth(method):
    """300 rows that weigh as 46 or so: Wilson's lower end is 1 / (1 + z^2 / 46), and not that of 300."""
    rng = np.random.default_rng(0)
    X, X_target = (np.column_stack([np.full(300, 0.9), rng.normal(mean, 1, 300)]) for mean in (0, 1.3))
    found = target_risk(Atoms(), X, np.ones(300, dtype=int), X_target, method=method)
    size = target_risk(Atoms(), X, np.ones(300, dtype=int), X_target, method="importance").effective_size
    assert size < 100
    assert_allclose((found.low, found.high), (1 / (1 + 1.959964**2 / size), 1), atol=0.01)


def test_an_unfitted_model_is_cross_fitted(case):
    _, X, y, X_target, y_target = case
    found = target_risk(LogisticRegression(), X, y, X_target, **QUICK)
    assert "folds" in found.assumes
    assert abs(found.value - LogisticRegression().fit(X, y).score(X_target, y_target)) < 0.06


def test_rows_of_words_are_read_as_the_model_reads_them():
    """The share of "b" goes from a half to three quarters, and the model is right on "a" alone: .9 -> .7 halfway."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"word": np.repeat(["a", "b"], 200), "n": rng.normal(size=400)})
    y = np.where(frame["word"] == "a", "yes", np.where(np.arange(400) % 2 == 0, "yes", "no"))
    encoder = make_column_transformer((OneHotEncoder(), ["word"]), remainder="passthrough")
    model = make_pipeline(encoder, DummyClassifier(strategy="constant", constant="yes")).fit(frame, y)
    target = frame.iloc[np.r_[0:100, 200:400, 200:300]]
    found = target_risk(model, frame, y, target, method="importance", **QUICK)
    assert_allclose(found.value, 0.25 + 0.75 * 0.5, atol=0.01)


def test_sparse_rows(case):
    model, X, y, X_target, y_target = case
    found = target_risk(model, csr_array(X), y, csr_array(X_target), **QUICK)
    assert abs(found.value - model.score(X_target, y_target)) < 0.06


def test_a_class_that_the_source_lacks_leaves_no_area(case):
    """One class: no area; and the class shares of two cannot be learned from rows of one."""
    model, X, y, X_target, _ = case
    found = target_risk(model, X[y == 1], y[y == 1], X_target, metric="auc", method="importance", **QUICK)
    assert found.verdict == "abstain"
    assert (found.low, found.high) == (0, 1)
    with pytest.raises(ShiftDataError, match="rows of every class"):
        target_risk(model, X[y == 1], y[y == 1], X_target, method="label_shift", **QUICK)


def test_a_users_loss_is_averaged(case):
    model, X, y, X_target, _ = case

    def missed(labels, proba):
        return (proba.argmax(axis=1) != labels).astype(float)

    ours = target_risk(model, X, y, X_target, metric=missed, method="importance", **QUICK)
    assert_allclose(ours.value, 1 - target_risk(model, X, y, X_target, method="importance", **QUICK).value)
    assert ours.metric == "missed"


def zero_one(labels, proba):
    return (proba.argmax(axis=1) != labels).astype(float)


@pytest.mark.parametrize("method", ["labels", "ppi", "source", "importance"])
def test_a_users_share_has_the_interval_of_an_accuracy(case, method):
    """Also where no row is wrong."""
    model, X, y, X_target, _ = case
    given = {"method": method, "target_labels": model.predict(X_target)[:30], **QUICK}
    for labels in (y, model.predict(X)):
        ours = target_risk(model, X, labels, X_target, metric=zero_one, **given)
        accuracy = target_risk(model, X, labels, X_target, **given)
        assert_allclose((ours.low, ours.high), (1 - accuracy.high, 1 - accuracy.low), atol=1e-3)
        assert ours.high > 0.005


@pytest.mark.parametrize("method", ["labels", "ppi", "source"])
@pytest.mark.parametrize("metric", ["rmse", "mae"])
def test_losses_that_are_all_alike_tell_nothing_of_others(method, metric):
    X, y = np.random.default_rng(0).normal(size=(100, 2)), np.full(100, 0.1)
    model = LinearRegression().fit(X, y)
    found = target_risk(model, X, y + 0.3, X, metric=metric, method=method, target_labels=np.full(30, 0.4), **QUICK)
    assert_allclose(found.value, 0.3)
    assert (found.low, found.high) == (0, np.inf)
    assert found.verdict == "abstain"
    assert "all losses are equal" in found.reasons[0]


@pytest.mark.parametrize("metric", ["rmse", "mae", "pinball"])
def test_regressors(metric):
    rng = np.random.default_rng(0)
    X, X_target = rng.normal(size=(300, 2)), rng.normal(0.3, 1, size=(300, 2))
    y = X[:, 0] + rng.normal(size=300)
    model = LinearRegression().fit(rng.normal(size=(200, 2)), rng.normal(size=200))
    found = target_risk(model, X, y, X_target, metric=metric, quantile=0.5, **QUICK)
    residual = X_target[:, 0] + rng.normal(size=300) - model.predict(X_target)
    truth = {
        "rmse": np.sqrt(np.mean(residual**2)),
        "mae": np.abs(residual).mean(),
        "pinball": np.abs(residual).mean() / 2,
    }
    assert_allclose(found.value, truth[metric], rtol=0.2)


def test_weights_that_do_not_balance_give_no_narrow_interval():
    """Twice the spread: a linear log ratio leaves the squares where they were."""
    X, y = rows(500, 0, 0)
    model = LogisticRegression().fit(*rows(300, 0, 1))
    linear = {"method": "importance", "weighter": LogisticWeighter(), **QUICK}
    found = target_risk(model, X, y, 1.5 * rows(500, 0, 2)[0], **linear)
    assert found.verdict == "abstain"
    assert (found.low, found.high) == (0, 1)
    assert "standard deviations" in str(found)
    assert target_risk(model, X, y, 1.2 * rows(500, 0, 2)[0], **linear).verdict == "abstain"
    for weighter in (LogisticWeighter(features="squares"), None):
        assert target_risk(model, X, y, 1.2 * rows(500, 0, 2)[0], weighter=weighter, **QUICK).verdict != "abstain"


def test_classes_that_scores_cannot_tell_apart_give_no_estimate():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 2)), rng.integers(0, 2, 200)
    constant = LogisticRegression(C=1e-12).fit(X, y)
    found = target_risk(constant, X, y, X, method="label_shift", **QUICK)
    assert found.verdict == "abstain"
    assert (found.low, found.high) == (0, 1)


def test_label_shift_that_is_none_is_told_of():
    """The second feature moves, and the scores with it: no class shares explain that."""
    X, y = rows(600, 0, 1)
    X_target = rows(600, [0.3, 1.5], 2)[0]
    model = LogisticRegression().fit(*rows(300, 0, 0))
    found = target_risk(model, X, y, X_target, method="label_shift", **QUICK)
    assert found.verdict == "caution"
    assert "class shares" in found.reasons[-1]


@pytest.mark.parametrize("metric", ["auc", "balanced_accuracy"])
def test_metrics_that_are_no_mean_from_labels(case, metric):
    """The labelled rows by themselves, and with the class probabilities of all; errors of 200 draws vary by a tenth."""
    model, X, y, X_target, y_target = case
    given = {"metric": metric, "target_labels": y_target[:80]}
    alone, helped = (target_risk(model, X, y, X_target, method=m, **given) for m in ("labels", "ppi"))
    own = target_risk(model, X_target[:80], y_target[:80], X_target, method="source", metric=metric, **QUICK)
    assert_allclose(alone.value, own.value)
    assert helped.n_labels == alone.n_labels == 80
    assert alone.low < helped.value < alone.high
    assert helped.standard_error < 1.2 * alone.standard_error


def test_calibration_error_of_probabilities_that_are_right_reaches_nought():
    """Noise alone makes the mean absolute difference of 300 rows .05 or so."""
    rng = np.random.default_rng(1)
    X = rng.uniform(size=(300, 1))
    y = (rng.uniform(size=300) < X[:, 0]).astype(int)
    for method in ("source", "labels"):
        found = target_risk(Atoms(), X, y, X, metric="calibration_error", method=method, target_labels=y)
        assert found.low == 0
        assert found.value < 0.03
        assert found.verdict == "ok"


@pytest.mark.slow
@pytest.mark.parametrize(("power", "truth"), [(1.0, 0.0), (0.5, 0.0974)])
def test_intervals_of_the_calibration_error_hold(power, truth):
    """Odds of p in (.02, .98) that are those told to a power; the truth by integration; 100 draws, .95 asked for."""
    rng, held = np.random.default_rng(2), 0
    for _ in range(100):
        X = rng.uniform(0.02, 0.98, (300, 1))
        odds = (X[:, 0] / (1 - X[:, 0])) ** power
        y = (rng.uniform(size=300) < odds / (1 + odds)).astype(int)
        given = {"metric": "calibration_error", "method": "source", "n_bootstrap": 50}
        found = target_risk(Atoms(), X, y, X, **given)
        held += found.low <= truth <= found.high
    assert held >= 90


def test_few_labels_give_no_interval_of_the_calibration_error(case):
    model, X, y, X_target, y_target = case
    given = {"metric": "calibration_error", "n_bootstrap": 20}
    found = target_risk(model, X, y, X_target, target_labels=y_target[:40], **given)
    assert found.method == "target labels alone"
    assert found.verdict == "abstain"
    assert "bins" in found.reasons[0]
    assert (found.low, found.high) == (0, 1)
    for method in ("ppi", "doc"):
        with pytest.raises(ShiftDataError, match="by what the model says itself"):
            target_risk(model, X, y, X_target, method=method, target_labels=y_target[:40], **given)


def test_groups(case):
    model, X, y, X_target, _ = case
    groups = X[:, 1] > 0, X_target[:, 1] > 0
    found = target_risk(model, X, y, X_target, method="importance", groups=groups)
    alone = target_risk(model, X, y, X_target, method="importance")
    assert found.value == alone.value
    assert [g.group for g in found.groups] == [False, True]
    assert [g.n_target for g in found.groups] == [int((~groups[1]).sum()), int(groups[1].sum())]
    # All together: each interval is wider than it would be by itself.
    assert found.high - found.low > alone.high - alone.low
    w = LogisticWeighter(features="auto").fit(X, X_target).source_weights_[groups[0]]
    right = (model.predict(X) == y)[groups[0]]
    assert_allclose(found.groups[1].value, np.average(right, weights=w))
    assert_allclose(found.groups[1].effective_size, w.sum() ** 2 / (w**2).sum())
    assert_allclose(found.groups[1].mean_weight, w.mean())


@pytest.mark.parametrize("method", ["control_variate", "doubly_robust", "cbpe", "label_shift", "ppi"])
def test_groups_of_every_kind_of_method_make_up_the_whole(case, method):
    """The whole is between the groups, and a group that the source lacks is unknown."""
    model, X, y, X_target, y_target = case
    groups = np.where(X[:, 1] > 0, "a", "b"), np.where(X_target[:, 1] > 0, "a", np.where(X_target[:, 1] > -2, "b", "c"))
    found = target_risk(
        model, X, y, X_target, method=method, groups=groups, target_labels=y_target[:150], n_bootstrap=20
    )
    values = [g.value for g in found.groups[:2]]
    assert min(values) - 0.01 <= found.value <= max(values) + 0.01
    if method != "ppi":
        assert (found.groups[2].low, found.groups[2].high) == (0, 1)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"metric": "rmse"}, "does not judge a classifier"),
        ({"metric": "f1"}, "metric='f1'"),
        ({"method": "ppi"}, "needs target labels"),
        ({"method": "atc", "metric": "log_loss"}, "needs metric='accuracy'"),
        ({"method": "doubly_robust", "metric": "auc"}, "mean of one loss per row"),
        ({"method": "best"}, "method='best'"),
        ({"level": 1.0}, "level=1.0"),
        ({"n_bootstrap": 1}, "n_bootstrap=1"),
        ({"groups": np.zeros(400)}, "pass a pair"),
        ({"groups": (np.zeros(400), np.zeros(3))}, "for 300 target rows"),
        ({"weighter": "logistic"}, "is no weighter"),
        ({"loss_model": 3}, "loss_model is a int"),
        ({"target_labels": [0, 1, 7]}, "7"),
        ({"target_labels": [0, 1], "rows": [0, 300]}, "positions"),
        ({"target_labels": [0, 1], "sampling_probability": [0.5, 0.0]}, "sampling_probability"),
        ({"X_target": np.zeros((5, 3))}, "3 columns"),
        ({"X_target": None}, "X_target is missing"),
        ({"y_source": np.zeros(399)}, "inconsistent"),
        ({"model": LogisticRegression}, "the class LogisticRegression"),
        ({"model": RidgeClassifier().fit([[0, 0], [1, 1]], [0, 1]), "metric": "log_loss"}, "predict_proba"),
        ({"model": RidgeClassifier().fit([[0, 0], [1, 1]], [0, 1]), "method": "cbpe"}, "predict_proba"),
    ],
)
def test_what_cannot_be_estimated_is_refused_in_words(case, changed, words):
    model, X, y, X_target, _ = case
    given = {"model": model, "X_source": X, "y_source": y, "X_target": X_target} | changed
    with pytest.raises((ShiftDataError, ValueError), match=words):
        target_risk(**given)
