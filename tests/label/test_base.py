"""Posterior adjustment, and what every prior estimator shares."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.special import expit
from scipy.stats import norm
from sklearn.exceptions import NotFittedError

from shiftfix.exceptions import NotIdentifiedError, PoorIdentificationWarning, ShiftDataError
from shiftfix.label import BBSE, MLLS, RLLS, ScoreCalibrator, adjust_proba
from shiftfix.label._posterior import unadjusted_threshold
from tests.registry import PRIORS, overlapping_scores
from tests.statistical.coverage import distorted_scores
from tests.strategies import simplex_points

SOURCE, TARGET = [0.5, 0.3, 0.2], [0.2, 0.3, 0.5]
SAMPLES = (*distorted_scores(0, SOURCE, SOURCE, 400), distorted_scores(1, SOURCE, TARGET, 300)[0])
every_prior = pytest.mark.parametrize("make", PRIORS.values(), ids=PRIORS.keys())


def two_classes(seed, prior, n, power=2.0):
    """Overconfident posteriors of N(-1, 1) and N(1, 1) under equal priors, and labels 0 or 1."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < prior).astype(int)
    p = expit(2 * power * rng.normal(2 * y - 1) + 0.5)
    return np.column_stack([1 - p, p]), y


@pytest.mark.slow
@given(data=st.data())
def test_adjusting_is_bayes_rule_on_a_finite_space(data):
    """P(x | y) fixed, priors p and q: the posterior under q follows from that under p."""
    n_classes = data.draw(st.integers(2, 5))
    p = data.draw(simplex_points(n_classes))
    q = data.draw(simplex_points(n_classes))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    likelihood = rng.dirichlet(np.ones(7), size=n_classes).T + 1e-3
    under_p, under_q = likelihood * p, likelihood * q
    under_p /= under_p.sum(axis=1, keepdims=True)
    under_q /= under_q.sum(axis=1, keepdims=True)
    assert_allclose(adjust_proba(under_p, p, q), under_q, atol=1e-12)
    assert_allclose(adjust_proba(under_q, q, p), under_p, atol=1e-12)


def test_gaussian_classes_have_the_closed_form_posterior():
    """N(-1, 1) and N(1, 1): logit P(1 | x) = 2 x + logit of the prior."""
    x, p, q = np.linspace(-3, 3, 13), 0.4, 0.9

    def posterior(prior):
        one = prior * norm.pdf(x, 1) / (prior * norm.pdf(x, 1) + (1 - prior) * norm.pdf(x, -1))
        return np.column_stack([1 - one, one])

    assert_allclose(adjust_proba(posterior(p), [1 - p, p], [1 - q, q]), posterior(q), rtol=1e-10)


def test_same_prior_changes_nothing():
    scores = np.array([[0.2, 0.8], [1.0, 0.0]])
    assert_allclose(adjust_proba(scores, [0.3, 0.7], [0.3, 0.7]), scores)


def test_a_class_gone_from_the_target_gets_probability_zero():
    assert_allclose(adjust_proba([[0.6, 0.3, 0.1]], [1 / 3] * 3, [0, 0.5, 0.5]), [[0, 0.75, 0.25]])


def test_a_row_certain_of_a_class_gone_stays_finite():
    """The limit of equal small priors on the classes that are gone."""
    limit = adjust_proba([[0.5, 0.5, 0.0]], [0.2, 0.4, 0.4], [1e-12, 1e-12, 1 - 2e-12])
    assert_allclose(adjust_proba([[0.5, 0.5, 0.0]], [0.2, 0.4, 0.4], [0, 0, 1]), limit, atol=1e-9)


class TestThreshold:
    @pytest.mark.parametrize("calibration", ["none", "temperature", "bcts", "vector"])
    @pytest.mark.parametrize("make", [MLLS, RLLS])
    def test_does_to_raw_scores_what_it_does_to_adjusted_ones(self, make, calibration):
        """Brute force: the decisions agree on 3,000 rows and on scores next to the threshold itself."""
        scores, y = two_classes(0, 0.4, 500)
        fitted = make(calibration=calibration, n_bootstrap=0).fit(scores, y, two_classes(1, 0.8, 300)[0])
        fresh, _ = two_classes(2, 0.6, 3000)
        for threshold in (0.01, 0.3, 0.5, 0.9):
            raw = fitted.adjusted_threshold(threshold)
            near = raw + np.array([-1e-7, 1e-7])
            fresh_and_near = np.vstack([fresh, np.column_stack([1 - near, near])])
            adjusted = fitted.adjust_proba(fresh_and_near)[:, 1]
            assert np.array_equal(adjusted > threshold, fresh_and_near[:, 1] > raw)
            assert adjusted[-2] == pytest.approx(threshold, abs=1e-4)

    @pytest.mark.slow
    @given(data=st.data())
    def test_solves_its_equation_for_any_calibration(self, data):
        """Scales differ by up to 1e5: where the one is large the other term may outweigh it near zero."""
        scale = np.array([10.0 ** data.draw(st.floats(-3, 2)) for _ in range(2)])
        bias = np.array([data.draw(st.floats(-20, 20)), 0.0])
        p, q = data.draw(simplex_points(2)), data.draw(simplex_points(2))
        threshold = data.draw(st.floats(0.001, 0.999))
        raw = unadjusted_threshold(threshold, scale, bias, p, q)
        assert 0 <= raw <= 1
        for near, wanted in ((raw * (1 - 1e-6), False), (1 - (1 - raw) * (1 - 1e-6), True)):
            if 1e-12 < near < 1 - 1e-12:
                log_odds = scale[1] * np.log(near) - scale[0] * np.log1p(-near) + bias[1] - bias[0]
                log_odds += np.log(q[1] / p[1]) - np.log(q[0] / p[0])
                # A float next to 1 leaves 1 - s few digits.
                missed = 1e-7 + np.finfo(float).eps * (scale[1] / near + scale[0] / (1 - near))
                assert (log_odds > np.log(threshold / (1 - threshold)) - (missed if wanted else -missed)) == wanted

    def test_nothing_moved_and_nothing_calibrated_leaves_it(self):
        same, half = np.array([0.4, 0.6]), np.zeros(2)
        assert unadjusted_threshold(0.3, np.ones(2), half, same, same) == pytest.approx(0.3, abs=1e-12)

    def test_elkan_by_hand(self):
        """Odds of the threshold times (p_1 / p_0) / (q_1 / q_0): 1 * 1 / 4, so .2."""
        found = unadjusted_threshold(0.5, np.ones(2), np.zeros(2), np.array([0.5, 0.5]), np.array([0.2, 0.8]))
        assert found == pytest.approx(0.2, abs=1e-12)

    def test_a_class_that_is_gone_is_never_or_always_predicted(self):
        y = np.repeat([0, 1], 50)
        scores = np.where(y[:, np.newaxis] == [0, 1], 0.9, 0.1)
        for present, expected in ((0, 1.0), (1, 0.0)):
            fitted = MLLS("none", n_bootstrap=0).fit(scores, y, scores[y == present])
            assert fitted.target_prior_[1 - present] == 0
            assert fitted.adjusted_threshold() == expected

    def test_is_for_two_classes_and_a_probability(self):
        with pytest.raises(ShiftDataError, match="There are 3 classes, and a threshold is for two"):
            BBSE().fit(*SAMPLES).adjusted_threshold()
        fitted = BBSE().fit(*two_classes(0, 0.4, 100), two_classes(1, 0.8, 100)[0])
        with pytest.raises(ShiftDataError, match="threshold=1"):
            fitted.adjusted_threshold(1)


@every_prior
def test_class_weights_by_label(make):
    scores, y, target = SAMPLES
    names = np.array(["wolf", "ant", "moth"])
    fitted = make().fit(scores, names[y], target, classes=names)
    assert list(fitted.class_weight()) == names.tolist()
    for k, name in enumerate(names):
        assert fitted.class_weight()[name] == pytest.approx(fitted.target_prior_[k] / np.mean(y == k))
    assert all(type(value) is float for value in fitted.class_weight().values())
    assert_allclose(fitted.transform(names[y]), [fitted.class_weight()[name] for name in names[y]])


@every_prior
def test_update_is_a_new_fit(make):
    scores, y, target = SAMPLES
    other = distorted_scores(2, SOURCE, [0.7, 0.2, 0.1], 200)[0]
    counts = np.random.default_rng(0).integers(0, 3, 200)
    updated = make().fit(scores, y, target)
    updated.interval()
    updated.update(other, sample_weight_target=counts)
    fresh = make().fit(scores, y, other, sample_weight_target=counts)
    for name in ("target_prior_", "class_weight_", "prior_covariance_"):
        assert_allclose(getattr(updated, name), getattr(fresh, name), atol=1e-12)
    assert_allclose(updated.interval(), fresh.interval(), atol=1e-12)
    assert_allclose(updated.adjust_proba(other), fresh.adjust_proba(other), atol=1e-12)


@pytest.mark.slow
@every_prior
def test_shrinking_takes_the_source_prior_and_leaves_the_interval(make):
    """No shift: the test says so, q is p, and what is told of the estimate is what it is without the test."""
    scores, y, target = SAMPLES
    still = distorted_scores(5, SOURCE, SOURCE, 300)[0]
    plain, shrunk = make().fit(scores, y, still), make().set_params(shrink="significance").fit(scores, y, still)
    assert shrunk.shift_p_value_ > 0.05
    assert shrunk.shrunk_
    assert np.array_equal(shrunk.target_prior_, shrunk.source_prior_)
    assert_allclose(shrunk.class_weight_, 1)
    assert_allclose(shrunk.interval(), plain.interval())
    assert_allclose(shrunk.prior_covariance_, plain.prior_covariance_)
    low, high = shrunk.interval().T
    assert ((low <= plain.target_prior_) & (plain.target_prior_ <= high)).all()
    moved = shrunk.update(target)
    assert moved.shift_p_value_ < 0.01
    assert not moved.shrunk_
    assert_allclose(moved.target_prior_, make().fit(scores, y, target).target_prior_)
    assert plain.shift_p_value_ is None
    assert plain.shrunk_ is False


@pytest.mark.slow
@every_prior
def test_a_class_absent_from_the_target_lies_within_its_interval(make):
    """Twenty problems: an estimate next to 0, 0 inside (outside in one of five by chance is allowed)."""
    inside = []
    for seed in range(20):
        scores, y = overlapping_scores([seed, 0], [1 / 3] * 3, 200)
        target, _ = overlapping_scores([seed, 1], [0.0, 0.4, 0.6], 150)
        fitted = make().fit(scores, y, target)
        low, high = fitted.interval()[0]
        inside.append(low == 0)
        assert high > 0
        assert fitted.target_prior_[0] < 0.2
        assert (fitted.interval() >= 0).all()
        assert (fitted.interval() <= 1).all()
    assert np.sum(inside) >= 16


@every_prior
def test_intervals_of_weights_are_those_of_the_prior_over_the_frequencies(make):
    fitted = make().fit(*SAMPLES)
    assert_allclose(fitted.interval(0.9, of="weight"), fitted.interval(0.9) / fitted.source_prior_[:, np.newaxis])
    low, high = fitted.interval(of="weight").T
    assert ((low <= fitted.class_weight_) & (fitted.class_weight_ <= high)).all()
    with pytest.raises(ShiftDataError, match="of='odds': one of 'prior', 'weight'"):
        fitted.interval(of="odds")


@pytest.mark.parametrize("kind", ["none", "temperature", "bcts", "vector", "auto"])
def test_calibration_is_that_of_the_calibrator(kind):
    scores, y, target = SAMPLES
    fitted = MLLS(kind, n_bootstrap=0).fit(scores, y, target)
    calibrator = ScoreCalibrator(kind).fit(scores, y)
    assert fitted.calibration_ == calibrator.kind_
    assert_allclose(fitted.calibrate(target), calibrator.transform(target), atol=1e-10)
    assert_allclose(
        fitted.adjust_proba(target),
        adjust_proba(calibrator.transform(target), fitted.score_prior_, fitted.target_prior_),
        atol=1e-10,
    )


@every_prior
def test_float32_scores_and_frames_and_text_labels(make):
    pandas = pytest.importorskip("pandas")
    scores, y, target = SAMPLES
    names = np.array(["a", "b", "c"])
    plain = make().fit(scores, y, target)
    single = make().fit(scores.astype(np.float32), y, target.astype(np.float32))
    assert_allclose(single.target_prior_, plain.target_prior_, atol=2e-5)
    frames = make().fit(
        pandas.DataFrame(scores, columns=list("xyz")),
        pandas.Series(names[y], dtype="category"),
        pandas.DataFrame(target),
    )
    assert_allclose(frames.target_prior_, plain.target_prior_, atol=1e-12)
    assert list(frames.class_weight()) == ["a", "b", "c"]


@pytest.mark.slow
@every_prior
def test_one_target_row_tells_nothing_and_says_so(make):
    scores, y, target = SAMPLES
    for n_target in (1, 2):  # fewer than classes
        with pytest.warns(PoorIdentificationWarning):
            fitted = make().fit(scores, y, target[:n_target])
        assert not fitted.identified_
        assert np.isfinite(fitted.prior_covariance_).all()
        assert np.ptp(fitted.interval(), axis=1).max() > 0.5
        assert fitted.target_prior_.sum() == pytest.approx(1)


@pytest.mark.slow
@every_prior
def test_scores_of_0_and_1_by_a_perfect_classifier_are_counted(make):
    """Also where each class has one row, and the target one class: which one must come out."""
    for rows in (1, 20):
        y = np.repeat([0, 1, 2], rows)
        for target, expected in (
            ([2] * 30, [0, 0, 1]),
            ([0] * 30, [1, 0, 0]),
            ([0] * 10 + [1] * 20, [1 / 3, 2 / 3, 0]),
        ):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", PoorIdentificationWarning)
                fitted = make().fit(np.eye(3)[y], y, np.eye(3)[target])
            # RLLS is drawn to the source prior by next to nothing.
            assert_allclose(fitted.target_prior_, expected, atol=1e-3)
            low, high = fitted.interval().T
            assert (high - low > 0.05).all()


@every_prior
def test_a_fit_that_found_classes_confounded_cannot_be_updated(make):
    flat = np.full((20, 2), 0.5) if "hard" not in str(make()) else np.tile([[0.6, 0.4]], (20, 1))
    prior = make()
    with pytest.raises(NotIdentifiedError):
        prior.fit(flat, np.arange(20) % 2, flat)
    with pytest.raises(NotFittedError):
        prior.update(flat)


@pytest.mark.slow
def test_the_order_that_classes_names_is_that_of_the_columns():
    scores, y = overlapping_scores(0, SOURCE, 300)
    target, _ = overlapping_scores(1, TARGET, 200)
    plain = MLLS(n_bootstrap=0).fit(scores, y, target)
    swap = [2, 0, 1]
    swapped = MLLS(n_bootstrap=0).fit(scores[:, swap], y, target[:, swap], classes=swap)
    assert_allclose(swapped.target_prior_, plain.target_prior_[swap], atol=1e-6)
    assert swapped.class_weight()[2] == pytest.approx(plain.class_weight()[2], abs=1e-6)


def test_frames_that_name_the_classes_in_another_order_are_refused(rng):
    """Read by position, they would give each class the prior of another; names that are not classes tell nothing."""
    pandas = pytest.importorskip("pandas")
    scores, y = overlapping_scores(0, [1 / 3] * 3, 200)
    names = np.array(["a", "b", "c"])
    frame = pandas.DataFrame(scores, columns=names)
    target = pandas.DataFrame(overlapping_scores(1, [0.1, 0.2, 0.7], 200)[0], columns=names)
    fitted = MLLS("none", n_bootstrap=0).fit(frame, names[y], target)
    assert_allclose(fitted.target_prior_, MLLS("none", n_bootstrap=0).fit(scores, y, target.to_numpy()).target_prior_)
    for arguments in ((frame[["b", "a", "c"]], names[y], target), (frame, names[y], target[["c", "b", "a"]])):
        with pytest.raises(ShiftDataError, match=r"names the classes .* their order is \['a', 'b', 'c'\]"):
            MLLS("none", n_bootstrap=0).fit(*arguments)
    with pytest.raises(ShiftDataError, match="names the classes"):
        fitted.adjust_proba(target[["c", "b", "a"]])
    renamed = target.rename(columns={"a": "p1", "b": "p2", "c": "p3"})
    assert_allclose(fitted.adjust_proba(renamed), fitted.adjust_proba(target))
    counts = pandas.Series([5, 20], index=["b", "a"])
    with pytest.raises(ShiftDataError, match="predicted names the classes"):
        BBSE("hard").fit_confusion([[40, 5], [10, 60]], counts, classes=["a", "b"])
