"""Folds of the meta-estimators: numbers, splitters and lists alike, groups, and rows that do not count."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GroupKFold, KFold, LeaveOneGroupOut, RepeatedKFold, StratifiedKFold

from shiftfix.corrected import CovariateShiftClassifier, CovariateShiftRegressor, LabelShiftClassifier
from shiftfix.covariate import ClassifierWeighter
from shiftfix.exceptions import ShiftDataError
from shiftfix.risk import row_losses
from shiftfix.risk._exponent import choose_exponent
from shiftfix.risk._folds import counted_folds, new_folds


def samples(rng, n=240):
    y = rng.integers(0, 2, n)
    return rng.normal(2 * y - 1, 1)[:, np.newaxis], y, rng.normal(0.4, 1.4, (150, 1))


class Recorder(LogisticRegression):
    """Keeps the rows of every fit; each row of X is its own name."""

    seen: list = []  # noqa: RUF012

    def fit(self, X, y, sample_weight=None):
        self.seen.append(set(np.ravel(X).tolist()))
        return super().fit(X, y, sample_weight)


def metas(cv, **settings):
    return [
        CovariateShiftClassifier(Recorder(), exponent="cv", cv=cv, random_state=0, **settings),
        LabelShiftClassifier(Recorder(), cv=cv, random_state=0, **settings),
    ]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.PoorIdentificationWarning")
@pytest.mark.parametrize("cv", [4, GroupKFold(4), LeaveOneGroupOut()], ids=["number", "GroupKFold", "LeaveOneGroupOut"])
def test_rows_of_one_group_stay_in_one_fold(cv, rng):
    X, y, X_target = samples(rng)
    groups = np.repeat(np.arange(12), 20)
    for model in metas(cv):
        Recorder.seen = []
        model.fit(X, y, X_target, groups=groups)
        folds = Recorder.seen[:-1]  # the last fit is of all rows
        assert len(folds) >= 4
        for rows in folds:
            known = np.array([value in rows for value in X[:, 0]])
            assert set(known.reshape(12, 20).mean(axis=1)) == {0.0, 1.0}


@pytest.mark.slow
@pytest.mark.parametrize("splitter", [KFold(3), StratifiedKFold(3)])
def test_a_splitter_is_the_list_of_its_folds(splitter, rng):
    X, y, X_target = samples(rng)
    folds = list(splitter.split(X, y))
    masks = [tuple(np.isin(np.arange(len(y)), rows) for rows in fold) for fold in folds]
    for ours, theirs, masked in zip(metas(splitter), metas(folds), metas(masks), strict=True):
        expected = ours.fit(X, y, X_target).predict_proba(X)
        assert_array_equal(theirs.fit(X, y, X_target).predict_proba(X), expected)
        assert_array_equal(masked.fit(X, y, X_target).predict_proba(X), expected)


def test_a_fold_that_judges_rows_it_learned_from_is_refused(rng):
    X, y, X_target = samples(rng)
    rows = np.arange(len(y))
    for model in metas([(rows[:150], rows[100:]), (rows[100:], rows[:100])]):
        with pytest.raises(ShiftDataError, match="Fold 0 of cv holds out 50 of the rows it learns from"):
            model.fit(X, y, X_target)
    for wrong in ("5", 3.5, True, []):
        for model in metas(wrong):
            with pytest.raises(ShiftDataError, match="cv"):
                model.fit(X, y, X_target)


@pytest.mark.slow
def test_of_a_row_judged_twice_the_mean_loss_counts_and_one_never_judged_does_not(rng):
    """By hand: folds that hold out rows 0 to 79 twice and the last 10 never."""
    X = rng.normal(size=(90, 1))
    y, w = X[:, 0] ** 2, np.exp(X[:, 0] / 2)
    counts = rng.integers(0, 3, 90).astype(float)
    splitter, rows = RepeatedKFold(n_splits=4, n_repeats=2, random_state=0), np.arange(80)
    folds = [(np.append(a, np.arange(80, 90)), b) for a, b in splitter.split(rows)]
    choice = choose_exponent(LinearRegression(), X, y, w, sample_weight=counts, cv=folds, rng=rng)
    unweighted = None
    for exponent, found in choice.losses.items():
        loss = np.zeros(80)
        for training, held_out in folds:
            line = LinearRegression().fit(X[training], y[training], (w**exponent * counts)[training])
            loss[held_out] += row_losses(line, X[held_out], y[held_out]) / 2
        v = w[:80] * counts[:80]
        mean = v @ loss / v.sum()
        error = np.sqrt((w[:80] * v) @ (loss - mean) ** 2) / v.sum()
        assert_allclose(found, [mean, error], rtol=1e-9)
        unweighted = loss if unweighted is None else unweighted
        gain = v @ (unweighted - loss) / v.sum()
        error = np.sqrt((w[:80] * v) @ (unweighted - loss - gain) ** 2) / v.sum()
        assert_allclose(choice.gains.get(exponent, (0, 0)), [gain, error], rtol=1e-9)


@pytest.mark.slow
def test_repeated_folds_serve_both(rng):
    X, y, X_target = samples(rng)
    once, twice = (
        [model.fit(X, y, X_target) for model in metas(RepeatedKFold(n_splits=4, n_repeats=n, random_state=1))]
        for n in (1, 8)
    )
    assert_allclose(twice[1].target_prior_, once[1].target_prior_, atol=0.1)
    for exponent, (loss, error) in once[0].exponent_losses_.items():
        assert abs(twice[0].exponent_losses_[exponent][0] - loss) < error


@pytest.mark.slow
def test_rows_that_count_zero_times_are_no_rows(rng):
    X, y, X_target = samples(rng)
    counts = rng.integers(0, 3, len(y)).astype(float)
    kept = np.flatnonzero(counts)
    groups = rng.integers(0, 30, len(y))
    folds = list(GroupKFold(4).split(X, y, groups))
    among_kept = [tuple(np.flatnonzero(np.isin(kept, side)) for side in fold) for fold in folds]
    for all_rows, present in zip(metas(folds), metas(among_kept), strict=True):
        all_rows.fit(X, y, X_target, sample_weight=counts)
        present.fit(X[kept], y[kept], X_target, sample_weight=counts[kept])
        assert_allclose(all_rows.predict_proba(X), present.predict_proba(X), rtol=1e-12)
    for all_rows, present in zip(metas(4), metas(4), strict=True):
        all_rows.fit(X, y, X_target, sample_weight=counts, groups=groups)
        present.fit(X[kept], y[kept], X_target, sample_weight=counts[kept], groups=groups[kept])
        assert_allclose(all_rows.predict_proba(X), present.predict_proba(X), rtol=1e-12)
    with pytest.raises(ShiftDataError, match="Of the rows that count, fold 0 of cv has 0 to learn from and 4 held out"):
        counted_folds(KFold(2), X, y, np.arange(4), None)


def test_new_folds_are_positions_among_all_rows():
    rows = np.arange(1, 40, 3)
    y = np.arange(40.0)
    folds = new_folds(3, y[:, np.newaxis], y, None, rows, None, stratified=False, rng=np.random.default_rng(0))
    assert sorted(np.concatenate([fold.held_out for fold in folds])) == rows.tolist()
    assert all(sorted(np.concatenate(fold)) == rows.tolist() for fold in folds)


@pytest.mark.slow
def test_groups_are_one_per_row_and_enough(rng):
    X, y, X_target = samples(rng)
    for model in metas(5):
        with pytest.raises(ShiftDataError, match=r"groups has shape \(7,\) for 240 rows"):
            model.fit(X, y, X_target, groups=np.arange(7))
        with pytest.raises(ShiftDataError, match="groups holds 3 groups for 5 folds"):
            model.fit(X, y, X_target, groups=np.arange(240) % 3)
        with pytest.raises(ShiftDataError, match="groups contains NaN or None"):
            model.fit(X, y, X_target, groups=np.where(np.arange(240) < 9, np.nan, np.arange(240)))
        one_group = np.where(y == 1, -1, np.arange(240))
        with pytest.raises(ShiftDataError, match=r"holds out all rows of every class but \[0\], since their groups"):
            model.fit(X, y, X_target, groups=one_group)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.LabelShiftRejectedWarning")
def test_there_are_at_most_as_many_folds_as_the_rarest_class_has_rows(rng):
    X, y, X_target = samples(rng)
    kept = np.append(np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:3])
    Recorder.seen = []
    LabelShiftClassifier(Recorder(), cv=5, random_state=0).fit(X[kept], y[kept], X_target)
    assert len(Recorder.seen) == 3 + 1


@pytest.mark.slow
def test_groups_reach_a_cross_fitted_weighter(rng):
    """Every source row eight times, but for a trace: with groups, the copies have one weight."""
    X, y, X_target = samples(rng, 60)
    X, y, groups = np.repeat(X, 8, axis=0), np.repeat(y, 8), np.repeat(np.arange(60), 8)
    X = X + 1e-15 * (np.arange(480) % 8)[:, np.newaxis]
    model = CovariateShiftClassifier(
        LogisticRegression(),
        ClassifierWeighter(LogisticRegression(), cv=5, random_state=0),
        exponent=1.0,
        on_abstain="correct",
    )
    with_groups = model.fit(X, y, X_target, groups=groups).weights_.reshape(60, 8)
    assert np.ptp(with_groups, axis=1).max() < 1e-12
    assert np.ptp(model.fit(X, y, X_target).weights_.reshape(60, 8), axis=1).max() > 1e-6


@pytest.mark.slow
def test_values_with_several_outputs_are_folded_too(rng):
    X, _, X_target = samples(rng)
    Y = np.hstack([X, X**2])
    model = CovariateShiftRegressor(LinearRegression(), exponent="cv", random_state=0)
    model.fit(X, Y, X_target, groups=np.arange(240) // 10)
    # The mean of the squared errors of both columns: the first is learned to rounding, the second is a parabola.
    alone = CovariateShiftRegressor(LinearRegression(), exponent="cv", random_state=0)
    alone.fit(X, Y[:, 1], X_target, groups=np.arange(240) // 10)
    for exponent, (loss, _) in model.exponent_losses_.items():
        assert loss == pytest.approx(alone.exponent_losses_[exponent][0] / 2, rel=1e-9)
