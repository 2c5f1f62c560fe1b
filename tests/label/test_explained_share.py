"""The explained share: simulated shifts of known kind, the logistic with an offset, and one fold by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from shiftfix._crossfit import Fold
from shiftfix.exceptions import ShiftDataError
from shiftfix.label import MLLS, LabelShiftFit, label_shift_fit
from shiftfix.label._explained_share import (
    DomainRows,
    domain_losses,
    fold_losses,
    judge_label_shift,
    offset_logistic,
    projected,
    visible_share_of,
)
from shiftfix.label._label_shift_rule import passes_if_known


def draw(rng, share, n, move=0.0):
    """Classes N(-1, 1) and N(1, 1) in the first of three columns, scores that are right at share .5, and a second
    column that has nothing to do with them and moves by ``move``."""
    y = (rng.random(n) < share).astype(int)
    X = np.column_stack([rng.normal(2 * y - 1, 1), rng.normal(move, 1, n), rng.normal(size=n)])
    p = expit(2 * X[:, 0])
    return np.column_stack([1 - p, p]), y, X


def fit_of(rng, share, n, move=0.0, n_target=None):
    scores, y, X = draw(rng, 0.5, n)
    scores_target, _, X_target = draw(rng, share, n_target or n, move)
    return label_shift_fit(scores, y, scores_target, X, X_target)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.3, 0.8])
def test_label_shift_passes_with_a_share_near_one(share, rng):
    fit = fit_of(rng, share, 1500)
    assert fit.passes
    assert fit.explained_share == pytest.approx(1, abs=0.08)
    assert fit.z < 1.64  # often far below 0: what learns more columns pays for it on held-out rows
    assert fit.p_value < 0.01
    assert fit.uses_features
    assert 0 < fit.label_gain <= fit.best_gain < np.log(2)


@pytest.mark.slow
def test_label_shift_passes_most_of_the_time():
    """20 problems of 300 and 200 rows, .5 -> .75; a right program passed 19 or 20 in three times 20 runs."""
    passed = [fit_of(np.random.default_rng(seed), 0.75, 300, n_target=200).passes for seed in range(20)]
    assert sum(passed) >= 15


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.5, 0.75])
def test_a_column_that_the_classes_do_not_explain_is_seen(share, rng):
    """With and without a change of the shares beside it."""
    fit = fit_of(rng, share, 1000, move=0.8)
    assert not fit.passes
    assert fit.z > 4 or fit.p_value > 0.02
    assert not fit.explained_share > 0.8


@pytest.mark.slow
def test_without_features_only_the_scores_are_compared(rng):
    scores, y, X = draw(rng, 0.5, 800)
    scores_target, _, X_target = draw(rng, 0.75, 800, move=0.8)
    fit = label_shift_fit(scores, y, scores_target)
    assert (fit.passes, fit.uses_features) == (True, False)  # the column that moved goes unseen
    assert not label_shift_fit(scores, y, scores_target, X, X_target).passes


@pytest.mark.slow
def test_where_nothing_moved_nothing_passes():
    passed = [fit_of(np.random.default_rng(seed), 0.5, 300) for seed in range(20)]
    assert sum(fit.passes for fit in passed) <= 2
    assert "did not move beyond chance" in passed[0].reason


@pytest.mark.slow
def test_the_gain_of_label_shift_is_the_divergence_of_the_samples():
    """x itself is the class: p = (.5, .5), q = (.2, .8). With both domains at one half the best log loss is
    log 2 - JS, JS = the Jensen-Shannon divergence of p and q; the estimate is of order 1 / n off."""
    y, y_target = np.repeat([0, 1], [1000, 1000]), np.repeat([0, 1], [400, 1600])
    scores, scores_target = (0.98 * np.eye(2)[labels] + 0.01 for labels in (y, y_target))
    p, q = np.array([0.5, 0.5]), np.array([0.2, 0.8])
    middle = (p + q) / 2
    divergence = 0.5 * np.sum(p * np.log(p / middle)) + 0.5 * np.sum(q * np.log(q / middle))
    fit = label_shift_fit(scores, y, scores_target)
    assert fit.label_gain == pytest.approx(divergence, abs=0.002)
    assert fit.explained_share == pytest.approx(1, abs=0.03)
    assert fit.passes


def test_the_logistic_with_an_offset_against_newton_and_scipy(rng):
    n = 300
    columns, is_target = rng.normal(size=(n, 3)), rng.random(n) < 0.4
    weight, offset = rng.random(n), rng.normal(size=n)
    weight /= weight.sum()

    def objective(point):
        margin = np.where(is_target, 1, -1) * (offset + columns @ point[:3] + point[3])
        return weight @ np.log1p(np.exp(-margin)) + 0.05 / 2 * point[:3] @ point[:3]

    by_scipy = minimize(objective, np.zeros(4), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13})
    coefficients, intercept = offset_logistic(columns, is_target, weight, offset, 0.05)
    assert_allclose([*coefficients, intercept], by_scipy.x, atol=2e-4)
    # Without an offset it is scikit-learn's: C = 1 / penalty, weights of sum 1.
    ridge = LogisticRegression(C=1 / 0.05, tol=1e-10, max_iter=1000).fit(columns, is_target, sample_weight=weight)
    coefficients, intercept = offset_logistic(columns, is_target, weight, np.zeros(n), 0.05)
    assert_allclose([*coefficients, intercept], [*ridge.coef_[0], ridge.intercept_[0]], atol=2e-4)
    # Rows of weight 0 are no rows.
    wild = np.vstack([columns, rng.normal(50, 9, (40, 3))]), np.append(is_target, rng.random(40) < 0.5)
    found = offset_logistic(*wild, np.append(weight, np.zeros(40)), np.append(np.zeros(n), rng.normal(size=40)), 0.05)
    assert_allclose([*found[0], found[1]], [*coefficients, intercept], atol=1e-7)


def test_domain_losses():
    assert_allclose(
        domain_losses(np.array([0.0, 2.0, -800.0]), np.array([True, False, True])),
        [
            np.log(2),
            np.log1p(np.exp(2)),
            800,
        ],
    )


@pytest.mark.slow
def test_the_losses_of_one_fold_by_hand(rng):
    """b: log r_w with q, p and the calibration of the training rows; c: the logistic on standardised, cut columns and
    their squares; d: the same beside log r_w."""
    scores, y, X = draw(rng, 0.5, 120)
    scores_target, _, X_target = draw(rng, 0.8, 80, move=0.3)
    X[0, 2] = 90.0  # an outlier, to be cut
    every, is_target = np.vstack([scores, scores_target]), np.repeat([False, True], [120, 80])
    z = np.log(every)
    columns = np.column_stack([np.vstack([X, X_target]), z[:, 1] - z.mean(axis=1)])
    counts = rng.integers(1, 3, 200).astype(float)
    fold = Fold(np.flatnonzero(np.arange(200) % 3 != 0), np.flatnonzero(np.arange(200) % 3 == 0))
    found = fold_losses(DomainRows(every, columns, is_target, y, counts), fold)

    source, target = fold.training[fold.training < 120], fold.training[fold.training >= 120]
    prior = MLLS(n_bootstrap=0).fit(
        every[source],
        y[source],
        every[target],
        sample_weight_source=counts[source],
        sample_weight_target=counts[target],
    )
    log_r = np.log(prior.calibrate(every) @ (prior.target_prior_ / prior.score_prior_))
    sign = np.where(is_target, 1, -1)
    weight = np.where(is_target, counts / counts[target].sum() / 2, counts / counts[source].sum() / 2)[fold.training]

    def standardised(values):
        centre = np.average(values[fold.training], axis=0, weights=weight)
        spread = np.sqrt(np.average((values[fold.training] - centre) ** 2, axis=0, weights=weight))
        return np.clip((values - centre) / spread, -5, 5)

    made = standardised(columns)
    made = np.hstack([made, standardised(made**2)])
    penalty = 1 / counts[fold.training].sum()
    losses = [np.log1p(np.exp(-sign * log_r))]
    for offset in (np.zeros(200), log_r):

        def objective(point, offset=offset):
            margin = (sign * (offset + made @ point[:-1] + point[-1]))[fold.training]
            slope = -weight * sign[fold.training] * expit(-margin)
            value = weight @ np.log1p(np.exp(-margin)) + penalty / 2 * point[:-1] @ point[:-1]
            return value, np.append(made[fold.training].T @ slope + penalty * point[:-1], slope.sum())

        point = minimize(objective, np.zeros(made.shape[1] + 1), jac=True, method="BFGS", options={"gtol": 1e-9}).x
        losses.append(np.log1p(np.exp(-sign * (offset + made @ point[:-1] + point[-1]))))
    assert_allclose(found, np.column_stack(losses)[fold.held_out], atol=1e-3)


class TestTheRule:
    """From losses that are given: 100 rows of either sample, gains of mean m and spread s."""

    def judged(self, gains, p_value=0.001, visible=0.5):
        rng = np.random.default_rng(0)
        noise = rng.normal(size=(200, 1)) * np.ones(3)
        noise -= np.concatenate([np.tile(part.mean(axis=0), (100, 1)) for part in np.split(noise, 2)])
        # The further gain of d over b has a standard error of .01.
        other = np.tile([1.0, -1.0], 100)[:, np.newaxis] * [0, 0, 0.01 * np.sqrt(200)]
        losses = np.log(2) - np.asarray(gains) - 0.05 * noise + other
        rows = DomainRows(np.zeros((200, 2)), np.zeros((200, 0)), np.repeat([False, True], 100), [], np.ones(200))
        return judge_label_shift(rows, losses, p_value, visible, uses_features=True)

    def test_the_numbers(self):
        fit = self.judged([0.2, 0.21, 0.22])
        assert fit.explained_share == pytest.approx(0.2 / 0.22)
        assert (fit.label_gain, fit.best_gain) == (pytest.approx(0.2), pytest.approx(0.22))
        assert fit.z == pytest.approx(2)
        # SE of mean(g_b - S g_best) / mean(g_best): independent parts .05 (1 - S) and .01 S sqrt(200), of 200 rows.
        share = 0.2 / 0.22
        noise = np.random.default_rng(0).normal(size=200)
        part = np.concatenate([half - half.mean() for half in np.split(noise, 2)])
        values = 0.05 * part * (1 - share) + share * 0.01 * np.sqrt(200) * np.tile([1.0, -1.0], 100)
        error = np.sqrt(sum(half.var() / 400 for half in np.split(values, 2))) / 0.22
        assert fit.explained_share_error == pytest.approx(error, rel=1e-6)

    @pytest.mark.parametrize(
        ("gains", "p_value", "passes", "reason"),
        [
            ([0.2, 0.1, 0.2], 0.001, True, "no classifier tells the samples apart clearly better"),
            ([0.2, 0.1, 0.2], 0.03, False, "the mean scores did not move beyond chance"),
            ([0.1, 0.1, 0.21], 0.001, False, "explains 48% of what tells the samples apart, less than half"),
            ([0.1, 0.1, 0.115], 0.001, True, "no classifier"),  # z = 1.5
            ([0.1, 0.1, 0.12], 0.001, False, "something else moved too"),  # z = 2, surely not .8
            ([0.6, 0.1, 0.65], 0.001, True, "no classifier"),  # z = 5, and surely above .8
            ([-0.1, -0.2, -0.1], 0.001, False, "no classifier tells the samples apart on held-out rows"),
            ([-0.1, 0.2, 0.2], 0.001, False, "less than half"),
        ],
    )
    def test_of_passing(self, gains, p_value, passes, reason):
        fit = self.judged(gains, p_value)
        assert fit.passes == passes
        assert reason in fit.reason
        assert ("Passed: " if passes else "Not passed: ") in str(fit)

    def test_scores_that_hardly_move_imply_nothing(self):
        assert self.judged([0.2, 0.1, 0.2], visible=0.041).passes
        fit = self.judged([0.2, 0.1, 0.2], visible=0.039)
        assert not fit.passes
        assert "moved them by 3.9% of it" in fit.reason

    def test_a_change_that_is_not_known_is_not_acted_on(self):
        """A step of .1 sqrt 2, with an error of .039 or .041 sqrt 2; 2.5 standard errors are asked."""
        fit, p, q = self.judged([0.2, 0.1, 0.2]), np.array([0.5, 0.5]), np.array([0.6, 0.4])
        assert passes_if_known(fit, q, p, np.eye(2) * 0.039**2).passes
        unknown = passes_if_known(fit, q, p, np.eye(2) * 0.041**2)
        assert not unknown.passes
        assert "not known well enough (0.14 +- 0.06)" in unknown.reason
        rejected = self.judged([0.1, 0.1, 0.21])
        assert passes_if_known(rejected, q, p, np.eye(2)) is rejected

    def test_no_gain_is_no_share(self):
        fit = self.judged([-0.1, -0.2, -0.1])
        assert np.isnan([fit.explained_share, fit.explained_share_error]).all()


@pytest.mark.parametrize("spread", [0.1, 0.8])
def test_how_much_of_a_change_scores_show(spread):
    """Calibrated scores 1/2 +- spread/2 move by spread^2 per unit: R^2 = Var(s) / (p (1 - p)) = spread^2."""
    high, low = 1000 * (1 + spread) / 2, 1000 * (1 - spread) / 2
    s = (1 + spread * np.array([1.0, 1, -1, -1])) / 2
    q = 0.8  # of the target, in which p(s given y) is that of the source
    # P(high score) = (1 + spread (2 y_share - 1)) / 2.
    n_high = round(1000 * (1 + spread * (2 * q - 1)) / 2)
    labels = np.repeat([1, 0, 1, 0], np.rint([high, low, low, high]).astype(int))
    p = np.append(
        np.repeat(s, np.rint([high, low, low, high]).astype(int)), np.repeat(s[[0, 2]], [n_high, 1000 - n_high])
    )
    rows = DomainRows(
        np.column_stack([1 - p, p]), np.zeros((3000, 0)), np.repeat([False, True], [2000, 1000]), labels, np.ones(3000)
    )
    assert visible_share_of(rows) == pytest.approx(spread**2, rel=0.05)


@pytest.mark.slow
def test_order_units_and_places_of_columns_do_not_matter(rng):
    scores, y, X = draw(rng, 0.4, 150)
    scores_target, _, X_target = draw(rng, 0.7, 120, move=0.2)
    fit = label_shift_fit(scores, y, scores_target, X, X_target)
    order, there = rng.permutation(150), rng.permutation(120)
    shuffled = label_shift_fit(scores[order], y[order], scores_target[there], X[order], X_target[there])
    scaled = label_shift_fit(scores, y, scores_target, X * [1, 1e6, 1e-3] + 7, X_target * [1, 1e6, 1e-3] + 7)
    swapped = label_shift_fit(scores, y, scores_target, X[:, ::-1], X_target[:, ::-1])
    names = np.array(["b", "a"])[y]
    renamed = label_shift_fit(scores[:, ::-1], names, scores_target[:, ::-1], X, X_target)
    for other in (shuffled, scaled, swapped):
        assert_allclose(numbers_of(other), numbers_of(fit), rtol=1e-3, atol=1e-4)
        assert other.passes == fit.passes
    assert renamed.label_gain == pytest.approx(fit.label_gain, abs=0.02)


def numbers_of(fit):
    return [fit.explained_share, fit.explained_share_error, fit.z, fit.label_gain, fit.best_gain, fit.p_value]


@pytest.mark.slow
def test_repeat_counts_of_zero_are_no_rows_and_sparse_rows_are_dense_ones(rng):
    scores, y, X = draw(rng, 0.5, 150)
    scores_target, _, X_target = draw(rng, 0.8, 100)
    counts = (np.arange(150) % 4 > 0).astype(float)
    here = counts > 0
    weighted = label_shift_fit(scores, y, scores_target, X, X_target, sample_weight_source=counts)
    assert weighted == label_shift_fit(scores[here], y[here], scores_target, X[here], X_target)
    wide = np.hstack([X, rng.normal(size=(150, 4))]), np.hstack([X_target, rng.normal(size=(100, 4))])
    assert label_shift_fit(scores, y, scores_target, *map(sparse.csr_array, wide)).passes == (
        label_shift_fit(scores, y, scores_target, *(projected(sparse.csr_array(part)) for part in wide)).passes
    )


@pytest.mark.slow
def test_wide_and_sparse_rows_are_projected(rng):
    assert projected(np.ones((5, 200))).shape == (5, 200)
    wide = rng.normal(size=(150, 201))
    assert projected(wide).shape == (150, 100)
    assert_allclose(projected(sparse.csr_array(wide)), projected(wide), atol=1e-8)
    # All but one direction: distances stay as they are but for the part along the last.
    assert projected(sparse.csr_array(wide[:, :5])).shape == (150, 4)
    assert_allclose(projected(sparse.csr_array(wide[:, :1])), wide[:, :1])


def test_too_few_rows_to_hold_any_out(rng):
    scores, y, _ = draw(rng, 0.5, 30)
    one = label_shift_fit(scores, y, scores[:1])
    assert not one.passes
    assert "nothing can be held out" in one.reason
    assert np.isnan(one.explained_share)
    assert isinstance(one, LabelShiftFit)


def test_errors(rng):
    scores, y, X = draw(rng, 0.5, 30)
    with pytest.raises(ShiftDataError, match="X_source and X_target belong together"):
        label_shift_fit(scores, y, scores, X)
    with pytest.raises(ShiftDataError, match="X_target has 29 rows for 30 of scores_target"):
        label_shift_fit(scores, y, scores, X, X[:-1])
    with pytest.raises(ShiftDataError, match="columns"):
        label_shift_fit(scores, y, scores, X, X[:, :2])
    with pytest.raises(ShiftDataError, match="scores_target"):
        label_shift_fit(scores, y, scores[:, :1])
    with pytest.raises(ShiftDataError, match="sum"):
        label_shift_fit(scores * 2, y, scores)
    with pytest.raises(ShiftDataError, match="NaN"):
        label_shift_fit(scores, y, scores, X, np.where(X > 2, np.nan, X) * np.nan)
