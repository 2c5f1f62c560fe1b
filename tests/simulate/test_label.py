import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from shiftfix.exceptions import ShiftDataError
from shiftfix.simulate import dirichlet_prior, knock_out_prior, label_shift, tweak_one_prior
from shiftfix.simulate._label import class_counts


def rows_of(*counts):
    """One column with a number of its own per row, and labels with the given class counts."""
    y = np.repeat(np.arange(len(counts)), counts)
    return np.arange(float(len(y)))[:, np.newaxis], y


def test_golden_case():
    """p = (.5, .3, .2), q = (.1, .3, .6): class weights (.2, 1, 3), all exact."""
    X, y = rows_of(200, 200, 200)
    p = label_shift(X, y, [0.1, 0.3, 0.6], n_target=100, n_source=100, source_prior=[0.5, 0.3, 0.2], random_state=0)
    assert_allclose(p.source_weights, np.array([0.2, 1, 3])[p.y_source], rtol=1e-12)
    assert np.bincount(p.y_source).tolist() == [50, 30, 20]
    assert np.bincount(p.y_target).tolist() == [10, 30, 60]
    assert p.source_weights.mean() == pytest.approx(1, rel=1e-12)
    assert p.kind == "label"
    assert p.classes.tolist() == [0, 1, 2]


@pytest.mark.slow
@given(
    counts=st.lists(st.integers(3, 40), min_size=2, max_size=5),
    raw=st.lists(st.floats(0.01, 1), min_size=5, max_size=5),
    n_target=st.integers(1, 60),
    n_source=st.none() | st.integers(1, 60),
    replace=st.booleans(),
    seed=st.integers(0, 99),
)
def test_samples_are_disjoint_and_have_the_priors_asked_for(counts, raw, n_target, n_source, replace, seed):
    X, y = rows_of(*counts)
    prior = np.array(raw[: len(counts)]) / sum(raw[: len(counts)])
    settings = {"n_target": n_target, "n_source": n_source, "replace": replace, "random_state": seed}
    if replace:
        p = label_shift(X, y, prior, **settings)
    else:
        try:
            p = label_shift(X, y, prior, **settings)
        except ShiftDataError:
            assume(False)
    assert not set(p.X_source[:, 0]) & set(p.X_target[:, 0])
    assert np.array_equal(y[p.X_source[:, 0].astype(int)], p.y_source)
    assert np.array_equal(y[p.X_target[:, 0].astype(int)], p.y_target)
    assert len(p.y_target) == n_target
    assert n_source is None or len(p.y_source) == n_source
    if not replace:
        assert len(np.unique(p.X_source)) == len(p.X_source)
        assert len(np.unique(p.X_target)) == len(p.X_target)
        if n_source is None:
            assert len(p.X_source) + len(p.X_target) == len(y)
    assert np.abs(p.target_prior - prior).max() < 1 / n_target + 1e-9
    # Weighted class shares of the source are those of the target, wherever the source has the class.
    weighted = np.bincount(p.y_source, p.source_weights, minlength=len(counts)) / len(p.y_source)
    assert_allclose(weighted, np.where(p.source_prior > 0, p.target_prior, 0), atol=1e-12)


@pytest.mark.slow
def test_rows_within_a_class_are_drawn_evenly():
    """400 draws of 10 of 20 rows: each is in the target about 200 times, sd 10; allowed 50."""
    X, y = rows_of(20, 20)
    hits = np.zeros(40)
    for seed in range(400):
        hits[label_shift(X, y, [1, 0], n_target=10, random_state=seed).X_target[:, 0].astype(int)] += 1
    assert_allclose(hits[:20], 200, atol=50)
    assert not hits[20:].any()


def test_the_largest_source_with_a_prior_takes_all_there_is():
    """Left after the target: (40, 90); with prior (1/2, 1/2) that is 40 + 40."""
    X, y = rows_of(50, 100)
    p = label_shift(X, y, [0.5, 0.5], n_target=20, source_prior=[0.5, 0.5], random_state=0)
    assert np.bincount(p.y_source).tolist() == [40, 40]


@pytest.mark.slow
@given(
    counts=st.lists(st.integers(0, 25), min_size=2, max_size=4),
    n_source=st.none() | st.integers(1, 20),
    with_prior=st.booleans(),
)
def test_the_largest_n_target_in_the_message_works_and_the_next_does_not(counts, n_source, with_prior):
    """Brute force: every n_target from 1 on."""
    assume(sum(c > 0 for c in counts) == len(counts))
    X, y = rows_of(*counts)
    q = np.arange(1.0, len(counts) + 1) / np.arange(1, len(counts) + 1).sum()
    settings = {"n_source": n_source, "source_prior": q[::-1] if with_prior else None, "random_state": 0}

    def works(n_target):
        try:
            label_shift(X, y, q, n_target=n_target, **settings)
        except ShiftDataError:
            return False
        return True

    feasible = [n for n in range(1, sum(counts) + 1) if works(n)]
    with pytest.raises(ShiftDataError) as caught:
        label_shift(X, y, q, n_target=sum(counts) + 1, **settings)
    if feasible:
        assert f"the largest n_target that works is {max(feasible)}," in str(caught.value)
    else:
        assert "no n_target works" in str(caught.value)


@pytest.mark.slow
@given(raw=st.lists(st.floats(0, 1), min_size=1, max_size=8), n_rows=st.integers(1, 500))
def test_counts_are_within_one_row_and_sum_up(raw, n_rows):
    assume(sum(raw) > 1e-3)
    prior = np.array(raw) / sum(raw)
    counts = class_counts(prior, n_rows)
    assert counts.sum() == n_rows
    assert (np.abs(counts - prior * n_rows) < 1 + 1e-6).all()
    assert (counts >= 0).all()


def test_counts_of_whole_products_are_those_products():
    assert class_counts([0.1, 0.3, 0.6], 10).tolist() == [1, 3, 6]
    assert class_counts([0.7, 0.1, 0.2], 10).tolist() == [7, 1, 2]
    assert class_counts([1 / 3, 1 / 3, 1 / 3], 10).tolist() == [4, 3, 3]


def test_priors():
    assert_allclose(tweak_one_prior(5, 2, 0.6), [0.1, 0.1, 0.6, 0.1, 0.1])
    assert_allclose(knock_out_prior(4, 0, 0.5), [1 / 7, 2 / 7, 2 / 7, 2 / 7])
    assert_allclose(knock_out_prior(2, 1, 0.75, prior=[0.2, 0.8]), [0.5, 0.5])
    assert_allclose(knock_out_prior(3, 1, 0.0), 1 / 3)


@pytest.mark.slow
def test_dirichlet_moments():
    """alpha = 0.5, 3 classes, 20000 draws: mean 1/3, variance (2/9) / 2.5 = 0.0889. Largest misses in 100
    runs 0.008 and 0.002; allowed 0.011 and 0.004. alpha + 1 in its place gives the variance 0.040."""
    generator = np.random.default_rng(0)
    draws = np.array([dirichlet_prior(3, 0.5, generator) for _ in range(20_000)])
    assert_allclose(draws.mean(axis=0), 1 / 3, atol=0.011)
    assert_allclose(draws.var(axis=0), 2 / 9 / 2.5, atol=0.004)


@pytest.mark.slow
@given(alpha=st.floats(1e-6, 1e6), seed=st.integers(0, 99))
def test_dirichlet_is_a_prior_at_any_concentration(alpha, seed):
    prior = dirichlet_prior(4, alpha, seed)
    assert prior.sum() == pytest.approx(1)
    assert (prior >= 0).all()


def test_too_few_rows_says_how_many():
    X, y = rows_of(30, 10)
    message = (
        r"class 1 has 10 rows, and 21 are needed \(20 target, at least 1 source\): "
        r"the largest n_target that works is 19, or pass replace=True"
    )
    with pytest.raises(ShiftDataError, match=message):
        label_shift(X, y, [0.5, 0.5], n_target=40)
    p = label_shift(X, y, [0.5, 0.5], n_target=40, replace=True, random_state=0)
    assert np.bincount(p.y_target).tolist() == [20, 20]


def test_labels_of_words_in_sorted_order():
    X, y = rows_of(20, 20)
    p = label_shift(X, np.array(["yes", "no"], dtype=object)[y], [0.9, 0.1], n_target=10, random_state=0)
    assert p.classes.tolist() == ["no", "yes"]
    assert (p.y_target == "no").sum() == 9
    with pytest.raises(ShiftDataError, match="class 'no' has 20 rows"):
        label_shift(X, np.array(["yes", "no"], dtype=object)[y], [0.9, 0.1], n_target=100)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target_prior": [0.5, 0.6]}, "not a probability vector"),
        ({"target_prior": [1.0]}, "target_prior has 1 values for 2 classes"),
        ({"source_prior": [0.5, 0.2, 0.3]}, "source_prior has 3"),
        ({"n_target": 0}, "n_target=0"),
        ({"n_source": 2.5}, "n_source=2.5"),
        ({"X": np.zeros((3, 1))}, "for 40 labels"),
        ({"y": np.linspace(0, 1, 40)}, "continuous"),
        ({"replace": None}, "replace"),
        ({"y": np.r_[np.zeros(39), 1], "replace": True}, "2 are needed to keep"),
    ],
)
def test_bad_settings_are_named(settings, message):
    X, y = rows_of(20, 20)
    with pytest.raises(ShiftDataError, match=message):
        label_shift(**{"X": X, "y": y, "target_prior": [0.5, 0.5], "n_target": 4, **settings})


@pytest.mark.parametrize(
    "call",
    [
        lambda: tweak_one_prior(1, 0, 0.5),
        lambda: tweak_one_prior(3, 3, 0.5),
        lambda: tweak_one_prior(3, -1, 0.5),
        lambda: tweak_one_prior(3, 0, 1.5),
        lambda: knock_out_prior(3, 0, -0.1),
        lambda: knock_out_prior(2, 0, 1.0, prior=[1.0, 0.0]),
        lambda: dirichlet_prior(3, 0.0),
    ],
)
def test_bad_priors(call):
    with pytest.raises(ShiftDataError):
        call()
