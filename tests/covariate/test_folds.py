"""Folds over two samples: groups that stay together, and the user's own lists."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, PredefinedSplit, StratifiedKFold
from sklearn.naive_bayes import GaussianNB

from shiftfix._crossfit import Fold
from shiftfix.covariate import ClassifierWeighter
from shiftfix.covariate._folds import folds_of_present_rows, new_folds_of_samples, own_folds, stacked_groups
from shiftfix.covariate._samples import Samples
from shiftfix.exceptions import ShiftDataError

SAMPLES = np.random.default_rng(0).normal(0, 1, (80, 2)), np.random.default_rng(1).normal(0.3, 1, (60, 2))
DOMAIN = np.repeat([-1, 1], [80, 60])
SMALL_SAMPLES = pytest.mark.filterwarnings("ignore::shiftfix.exceptions.PoorOverlapWarning")


def rng():
    return np.random.default_rng(2)


def test_one_label_is_one_group_in_both_samples_and_rows_without_are_alone():
    assert stacked_groups([None, None], [2, 3]) is None
    assert stacked_groups([["a", "b"], ["b", "c", "b"]], [2, 3]).tolist() == [0, 1, 1, 2, 1]
    assert stacked_groups([[7, 7], None], [2, 3]).tolist() == [0, 0, 1, 2, 3]
    assert stacked_groups([None, [7, 9, 7]], [2, 3]).tolist() == [2, 3, 0, 1, 0]


def test_groups_of_another_length_are_refused():
    with pytest.raises(ShiftDataError, match=r"groups_target has shape \(2,\) for 3 rows of X_target"):
        stacked_groups([None, [1, 2]], [2, 3])


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        ([np.nan, 1.0], None, "groups_source contains NaN or None"),
        ([None, "a"], None, "groups_source contains NaN or None"),
        (np.array([1, "a"], object), None, "groups_source mixes text"),
        ([1, 2], ["1", "2", "3"], "hold text and numbers"),
    ],
)
def test_labels_of_groups_that_cannot_be_compared_are_refused(source, target, words):
    with pytest.raises(ShiftDataError, match=words):
        stacked_groups([source, target], [2, 3])


def test_folds_of_all_rows_become_folds_of_those_that_count():
    present = np.array([True, False, True, True, False])
    folds = [Fold(np.array([0, 1, 2]), np.array([3, 4])), Fold(np.array([2, 3]), np.array([1]))]
    (only,) = folds_of_present_rows(folds, present)
    assert (only.training.tolist(), only.held_out.tolist()) == ([0, 1], [2])


@pytest.mark.parametrize("cv", [4, GroupKFold(4)])
def test_groups_stay_in_one_fold(cv):
    groups = stacked_groups([np.arange(80) // 4, np.arange(60) // 3], [80, 60])
    given = Samples(SAMPLES, [np.ones(80), np.ones(60)], None)
    folds = new_folds_of_samples(4, SAMPLES, DOMAIN, rng(), groups) if cv == 4 else own_folds(cv, given, groups)
    assert len(folds) == 4
    for fold in folds:
        assert not np.intersect1d(groups[fold.training], groups[fold.held_out]).size
        # Each sample has its share of the rows judged: a quarter, up to a few groups.
        if cv == 4:
            assert np.mean(DOMAIN[fold.held_out] == 1) == pytest.approx(60 / 140, abs=0.1)


@pytest.mark.slow
def test_folds_of_groups_are_stratified_by_sample():
    """Forty groups of two source rows and two of thirty target rows: each of two folds gets one of the two."""
    groups = stacked_groups([np.arange(80) // 2, np.arange(60) // 30], [80, 60])
    for seed in range(10):
        for fold in new_folds_of_samples(2, SAMPLES, DOMAIN, np.random.default_rng(seed), groups):
            assert (DOMAIN[fold.held_out] == 1).sum() == 30


def test_fewer_groups_than_folds_are_refused():
    groups = stacked_groups([np.arange(80) % 2, np.arange(60) % 2], [80, 60])
    with pytest.raises(ShiftDataError, match="2 groups for 3 folds"):
        new_folds_of_samples(3, SAMPLES, DOMAIN, rng(), groups)


def test_a_row_held_out_twice_is_refused():
    folds = [(np.arange(10), np.arange(10, 140)), (np.arange(100, 140), np.arange(20))]
    with pytest.raises(ShiftDataError, match="not exactly once"):
        own_folds(folds, Samples(SAMPLES, [np.ones(80), np.ones(60)], None), None)


@SMALL_SAMPLES
def test_a_list_of_folds_is_what_its_splitter_is():
    splitter = StratifiedKFold(3, shuffle=True, random_state=1)
    folds = list(splitter.split(np.zeros(140), DOMAIN))
    by_splitter, by_list = (ClassifierWeighter(GaussianNB(), cv=cv).fit(*SAMPLES) for cv in (splitter, folds))
    assert np.array_equal(by_splitter.source_weights_, by_list.source_weights_)
    assert by_list.cross_fitted_


@SMALL_SAMPLES
def test_a_splitter_of_all_rows_serves_where_some_do_not_count():
    counts = np.ones(80)
    counts[[3, 50, 79]] = 0
    splitter = PredefinedSplit(np.arange(140) % 3)
    by_splitter, by_list = (
        ClassifierWeighter(GaussianNB(), cv=cv).fit(*SAMPLES, sample_weight_source=counts)
        for cv in (splitter, list(splitter.split()))
    )
    assert np.array_equal(by_splitter.source_weights_, by_list.source_weights_)


@SMALL_SAMPLES
def test_positions_in_a_list_count_rows_of_weight_zero():
    """The same answer as without these rows, with their positions taken out."""
    counts = np.ones(80)
    counts[[3, 50, 79]] = 0
    present = np.append(counts > 0, np.ones(60, bool))
    folds = [Fold(*fold) for fold in StratifiedKFold(3, shuffle=True, random_state=1).split(np.zeros(140), DOMAIN)]
    whole = ClassifierWeighter(GaussianNB(), cv=folds).fit(*SAMPLES, sample_weight_source=counts)
    less = ClassifierWeighter(GaussianNB(), cv=folds_of_present_rows(folds, present))
    less.fit(SAMPLES[0][counts > 0], SAMPLES[1])
    assert np.array_equal(whole.source_weights_[counts > 0], less.source_weights_)


@pytest.mark.slow
@SMALL_SAMPLES
@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.UncalibratedRatioWarning")
def test_groups_keep_copies_of_a_row_from_judging_themselves():
    """Every row eight times, but for a trace: one model judges all copies with groups, several do without."""
    trace = 1e-15 * (np.arange(320) % 8)[:, np.newaxis]
    X_source, X_target = (np.repeat(X[:40], 8, axis=0) + trace for X in SAMPLES)
    groups = np.repeat(np.arange(40), 8)
    weighter = ClassifierWeighter(LogisticRegression(), cv=5, random_state=0)
    apart = weighter.fit(X_source, X_target, groups_source=groups, groups_target=groups + 40).source_weights_
    assert np.array_equal(
        apart, weighter.fit_transform(X_source, X_target, groups_source=groups, groups_target=groups + 40)
    )
    assert np.ptp(apart.reshape(40, 8), axis=1).max() < 1e-12
    assert np.ptp(weighter.fit_transform(X_source, X_target).reshape(40, 8), axis=1).max() > 1e-6
