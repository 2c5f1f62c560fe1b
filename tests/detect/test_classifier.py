"""The classifier two-sample test: refits by one product of matrices are refits, and its size is what it says."""

import numpy as np
import pandas
import pytest
from numpy.testing import assert_allclose
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from shiftfix.detect import classifier_test
from shiftfix.detect._classifier import (
    RIDGE,
    cross_fitted_statistics,
    fold_sums,
    quadratic_features,
    rank_auc,
)

RNG = np.random.default_rng(0)


def samples(seed, shift=0.0, scale=1.0, n=300, d=4):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(n, d)) * np.append(scale, np.ones(d - 1)) + shift


@pytest.mark.parametrize("entries", [2**21, 40])
def test_one_product_refits_for_every_permutation(entries, monkeypatch):
    """Brute force: for each assignment of labels and fold, ridge regression by the normal equations; with the rows of a
    fold in one block, and in blocks of three."""
    monkeypatch.setattr("shiftfix.detect._classifier.PRODUCT_ENTRIES", entries)
    rows, labels = RNG.normal(1, 1, size=(60, 3)), RNG.random((4, 60)) < 0.4
    folds = np.array_split(RNG.permutation(60), 5)
    expected = np.zeros(4)
    features = quadratic_features(rows)
    centred = np.empty_like(features)
    for fold in folds:
        centred[fold] = features[fold] - features[fold].mean(axis=0)
    for b, y in enumerate(labels.astype(float)):
        for fold in folds:
            rest = np.setdiff1d(np.arange(60), fold)
            gram = centred[rest].T @ centred[rest]
            ridge = RIDGE * len(gram) / 60 * np.trace(gram) / len(gram)
            coef = np.linalg.solve(gram + ridge * np.eye(len(gram)), centred[rest].T @ y[rest])
            expected[b] += (y[fold] * (centred[fold] @ coef)).sum()
    assert_allclose(cross_fitted_statistics(fold_sums(rows, labels, folds)), expected, rtol=1e-9)


def test_quadratic_features():
    rows = np.array([[2.0, 3.0]])
    assert_allclose(quadratic_features(rows), [[2, 3, 4 / np.sqrt(2), 6, 9 / np.sqrt(2)]])
    assert quadratic_features(np.ones((1, 40))).shape == (1, 80)


def test_auc_of_ranks():
    scores, y = np.round(RNG.normal(size=50), 1), RNG.random(50) < 0.4
    assert_allclose(rank_auc(scores, y), roc_auc_score(y, scores))
    assert rank_auc(scores, np.ones(50, bool)) == 0.5


@pytest.mark.parametrize("scale", [1.0, 0.4])
def test_blocks_change_nothing(scale, monkeypatch):
    """Where the quadratic features tell, and where the linear ones do."""
    both = samples(3, shift=0.3 * (scale == 1), scale=scale)
    whole = classifier_test(*both, random_state=0)
    monkeypatch.setattr("shiftfix.detect._classifier.PRODUCT_ENTRIES", 40)
    parts = classifier_test(*both, random_state=0)
    assert_allclose(parts.statistic, whole.statistic, rtol=1e-9)
    assert_allclose([parts.p_value, parts.effect_size], [whole.p_value, whole.effect_size])


@pytest.mark.parametrize(("change", "features"), [({"shift": 0.5}, "linear"), ({"scale": 0.4}, "quadratic")])
def test_sees_means_and_spreads_and_says_by_which_features(change, features):
    found = classifier_test(*samples(0, **change), random_state=0)
    assert found.p_value == 1 / 500
    assert features in found.method
    assert found.effect_size > 0.6
    assert str(found).startswith("Classifier test (least squares")


def test_sees_a_moved_correlation():
    source, target = samples(1)
    target[:, 0] = 0.5 * target[:, 1] + np.sqrt(0.75) * target[:, 0]
    assert classifier_test(source, target, random_state=0).p_value < 0.01


def test_the_auc_is_that_of_two_gaussians():
    """Means 1 apart: Phi(1 / sqrt 2) = .760; standard error of 4,000 + 4,000 rows .005."""
    found = classifier_test(*samples(2, shift=[1, 0, 0, 0], n=4000), n_permutations=9, random_state=0)
    assert found.effect_size == pytest.approx(0.760, abs=0.02)


def test_order_of_rows_and_units_do_not_matter():
    source, target = samples(3, shift=0.1)
    one = classifier_test(source, target, random_state=0)
    other = classifier_test(
        source[::-1] * [1, 10, 100, 1e-3] + 5, target[::-1] * [1, 10, 100, 1e-3] + 5, random_state=0
    )
    assert other.p_value == one.p_value
    assert_allclose(other.statistic, one.statistic, rtol=1e-6)


@pytest.mark.slow
def test_gaps_and_categories():
    source = pandas.DataFrame({"a": RNG.normal(size=200), "b": RNG.choice(["x", "y"], 200)})
    target = pandas.DataFrame({"a": RNG.normal(size=200), "b": RNG.choice(["x", "z"], 200)})
    source.loc[:20, "a"] = np.nan
    assert classifier_test(source, target, random_state=0).p_value < 0.01
    learner = HistGradientBoostingClassifier(categorical_features="from_dtype", max_iter=10)
    frames = [frame.astype({"b": "category"}) for frame in (source, target)]
    assert classifier_test(*frames, classifier=learner, random_state=0).p_value < 0.01


class Labels:
    """A classifier that gives labels only."""

    def __init__(self):
        self.model = LogisticRegression()

    def get_params(self, deep=True):
        return {}

    def set_params(self):
        return self

    def fit(self, X, y):
        self.model.fit(X, y)
        return self

    def predict(self, X):
        return self.model.predict(X)


@pytest.mark.slow
@pytest.mark.parametrize("classifier", [LogisticRegression(), HistGradientBoostingClassifier(max_iter=20), Labels()])
def test_any_classifier_is_judged_on_rows_it_never_saw(classifier):
    assert classifier_test(*samples(4, shift=0.7), classifier=classifier, random_state=0).p_value < 0.01
    p_values = [classifier_test(*samples(seed), classifier=classifier, random_state=0).p_value for seed in range(5, 9)]
    assert max(p_values) > 0.1


def test_a_classifier_that_does_worse_than_chance_is_no_evidence():
    class Wrong(LogisticRegression):
        def decision_function(self, X):
            return -super().decision_function(X)

    assert classifier_test(*samples(0, shift=1.0), classifier=Wrong(), random_state=0).p_value > 0.9


def test_too_many_columns_are_refused():
    with pytest.raises(ValueError, match="1001 columns"):
        classifier_test(RNG.normal(size=(6, 1001)), RNG.normal(size=(6, 1001)))


@pytest.mark.slow
def test_size():
    """300 problems without shift at level .05: 15 expected, standard deviation 3.8."""
    rejected = [
        classifier_test(*samples(seed, n=100), n_permutations=99, random_state=seed).p_value <= 0.05
        for seed in range(300)
    ]
    assert 4 <= sum(rejected) <= 28
