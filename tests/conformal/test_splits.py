"""Rows held out: their share of every stratum, by what they hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftfix.conformal._band_models import _scale_folds
from shiftfix.conformal._data import Labelled
from shiftfix.conformal._splits import content_folds, evenly_spread, held_out_mask, hold_out_share
from shiftfix.exceptions import ShiftDataError


@given(n=st.integers(1, 60), share=st.floats(0.01, 0.99))
def test_a_share_of_every_stretch(n, share):
    taken = evenly_spread(n, share)
    assert not taken[0]
    assert (np.abs(np.cumsum(taken) - share * np.arange(1, n + 1)) < 1 + 1e-6).all()


@given(seed=st.integers(0, 1000), share=st.sampled_from([0.2, 0.5, 0.75]))
def test_every_stratum_gives_its_share_and_keeps_a_row(seed, share):
    rng = np.random.default_rng(seed)
    strata = rng.integers(5, size=40)
    mask = held_out_mask(strata, share, rng)
    for k in np.unique(strata):
        size = (strata == k).sum()
        assert mask[strata == k].sum() == int(np.floor(share * size + 1e-9))


def rows(seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(30, 2)), rng.normal(size=30), rng.integers(2, size=30), rng.integers(6, size=30)


@pytest.mark.parametrize("together", [False, True])
def test_the_order_of_rows_does_not_matter(together):
    X, y, strata, groups = rows(0)
    order = np.random.default_rng(1).permutation(30)
    kept = groups if together else None
    moved = None if kept is None else groups[order]
    first = hold_out_share(X, y, 0.5, np.random.default_rng(0), strata=strata, together=kept)
    second = hold_out_share(X[order], y[order], 0.5, np.random.default_rng(0), strata=strata[order], together=moved)
    assert np.array_equal(np.sort(order[second.held_out]), first.held_out)
    folds = content_folds(3, X, y, np.random.default_rng(0), strata=strata, together=kept)
    others = content_folds(3, X[order], y[order], np.random.default_rng(0), strata=strata[order], together=moved)
    assert [f.held_out.tolist() for f in folds] == [np.sort(order[f.held_out]).tolist() for f in others]
    assert np.array_equal(np.sort(np.concatenate([f.held_out for f in folds])), np.arange(30))


def test_rows_of_a_group_stay_together():
    X, y, strata, groups = rows(2)
    fold = hold_out_share(X, y, 0.5, np.random.default_rng(0), strata=strata, together=groups)
    assert not set(groups[fold.training]) & set(groups[fold.held_out])
    for fold in content_folds(3, X, y, np.random.default_rng(0), strata=np.zeros(30, int), together=groups):
        assert not set(groups[fold.training]) & set(groups[fold.held_out])


def test_too_few_rows():
    with pytest.raises(ShiftDataError, match="none is left to calibrate on"):
        hold_out_share(np.zeros((2, 1)), np.zeros(2), 0.3, np.random.default_rng(0), strata=np.zeros(2, int))
    with pytest.raises(ShiftDataError, match="make no two folds"):
        content_folds(3, np.zeros((1, 1)), np.zeros(1), np.random.default_rng(0), strata=np.zeros(1, int))


@pytest.mark.parametrize("split", ["share", "folds", "scale"])
def test_one_seed_holds_out_other_ranks_of_another_sample(split):
    """Of 60 samples the largest row is in the part looked at 30 times on average: beyond 12 and 48 with chance 4e-6."""
    found = 0
    for sample in range(60):
        rng = np.random.default_rng(sample)
        X, y = np.sort(rng.normal(size=(20, 1)), axis=0), rng.normal(size=20)
        options = {"strata": np.zeros(20, dtype=np.intp)}
        if split == "share":
            part = hold_out_share(X, y, 0.5, np.random.default_rng(0), **options)
        elif split == "folds":
            part = content_folds(2, X, y, np.random.default_rng(0), **options)[0]
        else:
            part = _scale_folds(Labelled(X, y, None, None), np.random.default_rng(0))[0]
        found += 19 in part.held_out
    average = 20 if split == "scale" else 30
    assert abs(found - average) < 18
