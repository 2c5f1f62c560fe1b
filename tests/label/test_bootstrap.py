"""The bootstrap of both samples against a loop written out by hand, and what resampling cannot see."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit

from shiftfix._row_order import generator_of_sample, order_of_rows
from shiftfix.exceptions import ShiftDataError
from shiftfix.label import MLLS, RLLS
from tests.statistical.coverage import distorted_scores

SOURCE, TARGET = [0.5, 0.3, 0.2], [0.2, 0.3, 0.5]


@pytest.fixture(scope="module")
def samples():
    scores, y = distorted_scores(0, SOURCE, SOURCE, 150)
    return scores, y, distorted_scores(1, SOURCE, TARGET, 100)[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "settings"),
    [(MLLS, {"calibration": kind}) for kind in ("none", "temperature", "bcts", "vector")]
    + [(RLLS, {"calibration": "bcts"}), (RLLS, {"kind": "hard"})],
)
def test_each_draw_is_a_fit_of_the_resampled_rows(make, settings):
    """Source rows of each class multinomially by class, then target rows; calibration and all fitted anew. Right: 1e-8,
    the tolerance of the fits. A calibration that is not refitted, or rows drawn from all classes, is off by 1e-2."""
    # No bias in the scores: whether they come from another prior is decided once, not in every draw.
    scores, y = distorted_scores(0, SOURCE, SOURCE, 150, bias=0.0)
    target, _ = distorted_scores(1, SOURCE, TARGET, 100, bias=0.0)
    seen, seen_target = (np.eye(3)[s.argmax(axis=1)] if "kind" in settings else s for s in (scores, target))
    order, order_target = order_of_rows(seen, y), order_of_rows(seen_target)
    scores, y, target = scores[order], y[order], target[order_target]
    found = make(**settings, n_bootstrap=6, random_state=5).fit(scores, y, target).bootstrap()
    rng, expected = generator_of_sample(np.random.default_rng(5), y), []
    for _ in range(6):
        source_counts = np.zeros(len(y))
        for k in range(3):
            rows = np.flatnonzero(y == k)
            source_counts[rows] = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)))
        target_counts = rng.multinomial(len(target), np.full(len(target), 1 / len(target)))
        refitted = make(**settings, n_bootstrap=0).fit(
            np.repeat(scores, source_counts.astype(int), axis=0),
            np.repeat(y, source_counts.astype(int)),
            np.repeat(target, target_counts, axis=0),
        )
        expected.append(refitted.target_prior_)
    assert_allclose(found, expected, atol=2e-6)
    assert np.std(found, axis=0).min() > 0.005


@pytest.mark.parametrize("make", [MLLS, RLLS])
def test_rows_that_count_zero_times_move_no_draw(samples, make):
    scores, y, target = samples
    counts = np.random.default_rng(3).integers(0, 3, (2, len(y)))
    own, theirs = counts[0], counts[1, : len(target)]
    there, there_target = own > 0, theirs > 0
    weighted, removed = make(n_bootstrap=5, random_state=0), make(n_bootstrap=5, random_state=0)
    weighted.fit(scores, y, target, sample_weight_source=own, sample_weight_target=theirs)
    removed.fit(
        scores[there],
        y[there],
        target[there_target],
        sample_weight_source=own[there],
        sample_weight_target=theirs[there_target],
    )
    assert_allclose(weighted.bootstrap(), removed.bootstrap(), atol=1e-9)


@pytest.mark.slow
def test_counts_and_repeated_rows_have_the_same_distribution(samples):
    """150 draws each: means agree within 4 of their errors, deviations (each off by 6%) within 30%."""
    scores, y, target = samples
    rng = np.random.default_rng(0)
    c, c_target = rng.integers(1, 4, 150), rng.integers(0, 3, 100)
    settings = {"calibration": "none", "n_bootstrap": 150}
    weighted = MLLS(**settings, random_state=0).fit(
        scores, y, target, sample_weight_source=c, sample_weight_target=c_target
    )
    repeated = MLLS(**settings, random_state=1).fit(
        np.repeat(scores, c, axis=0), np.repeat(y, c), np.repeat(target, c_target, axis=0)
    )
    one, other = weighted.bootstrap(), repeated.bootstrap()
    assert_allclose(one.mean(axis=0), other.mean(axis=0), atol=4 * np.sqrt(2 / 150) * one.std(axis=0).max())
    assert_allclose(one.std(axis=0), other.std(axis=0), rtol=0.3)


@pytest.mark.slow
def test_seeds_repeat_and_draws_are_made_once(samples):
    def fit(seed):
        return MLLS("bcts", n_bootstrap=8, random_state=seed).fit(*samples)

    first = fit(0)
    assert np.array_equal(first.bootstrap(), fit(0).bootstrap())
    assert not np.array_equal(first.bootstrap(), fit(1).bootstrap())
    assert first.bootstrap() is first.bootstrap()
    before = first.bootstrap()
    first.update(samples[2][:50])
    assert not np.array_equal(first.bootstrap(), before)


@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.PoorIdentificationWarning")
def test_draws_do_not_stop_where_they_begin():
    """Draws begin at the estimate of all rows. With 25 classes and a loose ``tol`` they would end up to .012 from where
    they belong, a sixth of their spread; they come as far as those of a tight one, to 1e-5."""
    rng, K = np.random.default_rng(0), 25
    means = rng.normal(size=(K, 4)) * 0.8

    def scored(prior, n_rows):
        y = np.append(np.arange(K), rng.choice(K, size=n_rows - K, p=prior))
        x = means[y] + rng.normal(size=(n_rows, 4))
        scores = np.exp(-((x[:, np.newaxis] - means) ** 2).sum(axis=2) / 2)
        return scores / scores.sum(axis=1, keepdims=True), y

    source, y = scored(np.full(K, 1 / K), 1500)
    target, _ = scored(rng.dirichlet(np.ones(K)), 600)
    loose, tight = (
        MLLS("none", n_bootstrap=20, random_state=0, tol=tol).fit(source, y, target).bootstrap() for tol in (1e-2, 1e-8)
    )
    assert_allclose(loose, tight, atol=1e-5)


@pytest.mark.slow
def test_the_interval_is_the_percentiles(samples):
    fitted = MLLS("bcts", n_bootstrap=40, random_state=0).fit(*samples)
    draws = fitted.bootstrap()
    for level in (0.5, 0.8):
        expected = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0).T
        assert_allclose(fitted.interval(level), expected)


@pytest.mark.parametrize("make", [MLLS, RLLS])
def test_no_bootstrap_keeps_no_rows(make, samples):
    fitted = make(n_bootstrap=0).fit(*samples)
    held = [value for value in vars(fitted).values() for value in (value if isinstance(value, tuple) else (value,))]
    assert not any(isinstance(value, np.ndarray) and len(value) in (100, 150) for value in held if np.ndim(value))
    half = 1.959964 * np.sqrt(np.diag(fitted._cautious_covariance))
    assert_allclose(fitted.interval(), np.clip(fitted.target_prior_ + np.outer([-1, 1], half), 0, 1).T, atol=1e-6)
    with pytest.raises(ShiftDataError, match="n_bootstrap=0 keeps no rows"):
        fitted.bootstrap()
    fitted.set_params(n_bootstrap=20)  # too late: the rows are gone
    assert_allclose(fitted.interval().mean(axis=1), fitted.target_prior_, atol=0.01)
    with pytest.raises(ShiftDataError, match="fit again"):
        fitted.bootstrap()


def test_a_class_that_no_target_row_shows_may_still_be_there():
    """Perfect scores, 30 target rows of class 2 alone: up to -log(.05) / 30 = .0999 of another goes unseen at 95%."""
    y = np.repeat([0, 1, 2], 20)
    fitted = MLLS("none", n_bootstrap=20, random_state=0).fit(np.eye(3)[y], y, np.eye(3)[[2] * 30])
    assert_allclose(fitted.target_prior_, [0, 0, 1])
    assert_allclose(fitted.interval(), [[0, 0.09986], [0, 0.09986], [0.90014, 1]], atol=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.PoorIdentificationWarning")
def test_a_class_of_one_source_row_is_not_taken_for_known(samples):
    """Resampling a single row gives that row: the interval must not be narrower than the one that allows for it."""
    scores, y, target = samples
    rows = [np.flatnonzero(y == k)[0] for k in range(3)]
    fitted = MLLS("none", n_bootstrap=50, random_state=0).fit(scores[rows], y[rows], target)
    by_covariance = MLLS("none", n_bootstrap=0).fit(scores[rows], y[rows], target).interval()
    assert (fitted.interval()[:, 0] <= by_covariance[:, 0]).all()
    assert (fitted.interval()[:, 1] >= by_covariance[:, 1]).all()
    assert np.ptp(np.quantile(fitted.bootstrap(), [0.025, 0.975], axis=0), axis=0).max() < 0.3
    assert np.ptp(fitted.interval(), axis=1).min() > 0.35


def test_a_progress_bar_changes_nothing(samples, capfd):
    pytest.importorskip("tqdm")
    quiet, loud = (MLLS("none", n_bootstrap=5, random_state=0).fit(*samples) for _ in range(2))
    assert np.array_equal(loud.bootstrap(progress=True), quiet.bootstrap())
    assert "bootstrap" in capfd.readouterr().err


def binary_scores(seed, share, n=150):
    """Right scores of two unit normal classes, 2 apart, and labels."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < share).astype(int)
    one = expit(2 * rng.normal(2 * y - 1.0))
    return np.column_stack([1 - one, one]), y


@pytest.mark.slow
def test_a_seed_does_not_make_all_intervals_short():
    """Scores of two classes lie on a line, along which rows are in order. Draws of positions by the seed alone take the
    same ranks of every sample, and a seed whose width is short in one is short in all: the mean log width of 12 samples
    at four seeds then spreads by a variance near that of 40 draws, 1 / 80. By the sample as well it is the twelfth of
    1 / 80, and below four times that."""
    widths = np.empty((12, 4))
    for sample in range(12):
        given = *binary_scores([sample, 0], 0.5), binary_scores([sample, 1], 0.7)[0]
        for seed in range(4):
            draws = MLLS("none", n_bootstrap=40, random_state=seed).fit(*given).bootstrap()
            widths[sample, seed] = np.log(draws[:, 0].std())
    assert widths.mean(axis=0).var(ddof=1) < 4 / 80 / 12
