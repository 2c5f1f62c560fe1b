"""BBSE against exact confusion matrices, EM, and simulation."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from shiftfix.exceptions import NotIdentifiedError, PoorIdentificationWarning, ShiftDataError
from shiftfix.label import BBSE
from shiftfix.label._identification import guess_variance, tells_the_prior
from tests import oracles
from tests.strategies import counts, invertible_confusions, simplex_points

BINARY = np.array([[0.9, 0.2], [0.1, 0.8]])
THREE = np.array([[0.8, 0.1, 0.1], [0.1, 0.7, 0.2], [0.1, 0.2, 0.7]])


def exact_hard(conditional, n_source, n_target):
    """Source predictions and labels, target predictions and labels, with exactly these matrices."""
    return *oracles.rows_of_confusion(conditional, n_source), *oracles.rows_of_confusion(conditional, n_target)


def test_two_classes_exactly():
    """p = (.6, .4), q = (.3, .7): mu = (.41, .59), w = (.5, 1.75), P(0 | yhat = 0) = .658537, accuracy .83."""
    predicted, y, predicted_target, y_target = exact_hard(BINARY, [600, 400], [300, 700])
    prior = BBSE(kind="hard").fit(predicted, y, predicted_target)
    assert_allclose(prior.target_mean_, [0.41, 0.59])
    assert_allclose(prior.joint_confusion_, [[0.54, 0.08], [0.06, 0.32]])
    assert_allclose(prior.conditional_confusion_, BINARY)
    assert_allclose(prior.target_prior_, [0.3, 0.7], atol=1e-12)
    assert_allclose(prior.class_weight_, [0.5, 1.75], atol=1e-12)
    assert_allclose(prior.joint_confusion_ @ prior.class_weight_, prior.target_mean_, atol=1e-12)
    source_posterior = prior.joint_confusion_ / prior.joint_confusion_.sum(axis=1, keepdims=True)
    assert prior.adjust_proba(source_posterior)[0, 0] == pytest.approx(0.658537, abs=1e-6)
    assert prior.target_prior_ @ np.diag(prior.conditional_confusion_) == pytest.approx(0.83)
    assert (predicted_target == y_target).mean() == pytest.approx(0.83)


def test_two_classes_standard_error():
    """n_t = 1000, n_0 = 600, n_1 = 400: sd(q_1) = .0303517, by the delta method; Monte Carlo .03046."""
    predicted, y, predicted_target, _ = exact_hard(BINARY, [600, 400], [300, 700])
    prior = BBSE(kind="hard").fit(predicted, y, predicted_target)
    assert np.sqrt(prior.prior_covariance_[1, 1]) == pytest.approx(0.0303517, abs=1e-7)
    # The interval counts two rows more, which at these sizes widens it by a few parts in a thousand.
    for level, z in [(0.5, 0.674490), (0.95, 1.959964), (0.99, 2.575829)]:
        half = z * 0.0303517
        assert_allclose(prior.interval(level)[1], [0.7 - half, 0.7 + half], rtol=0.005 * half)
        assert prior.interval(level)[1, 1] - 0.7 > half


def test_the_joint_matrix_is_not_mistaken_for_the_conditional_one():
    """Read as a prior, the joint solution (.5, 1.75) clipped and rescaled is (.222, .778), not (.3, .7)."""
    predicted, y, predicted_target, _ = exact_hard(BINARY, [600, 400], [300, 700])
    prior = BBSE(kind="hard").fit(predicted, y, predicted_target)
    assert prior.class_weight_.sum() == pytest.approx(2.25)
    assert np.abs(prior.target_prior_ - [0.222, 0.778]).max() > 0.07


def test_three_classes_exactly():
    """p = (.5, .3, .2), q = (.2, .3, .5): mu = (.24, .33, .43), w = (.4, 1, 2.5)."""
    predicted, y, predicted_target, _ = exact_hard(THREE, [500, 300, 200], [200, 300, 500])
    prior = BBSE(kind="hard").fit(predicted, y, predicted_target)
    assert_allclose(prior.target_mean_, [0.24, 0.33, 0.43])
    assert_allclose(prior.class_weight_, [0.4, 1, 2.5], atol=1e-12)
    assert prior.condition_number_ == pytest.approx(3.655381, abs=1e-6)
    assert prior.smallest_singular_value_ == pytest.approx(0.113807, abs=1e-6)
    assert_allclose(prior.transform(y), np.array([0.4, 1, 2.5])[y])
    assert prior.transform(y).mean() == pytest.approx(1)


def test_equals_em_on_hard_binned_posteriors():
    """The fixed point of EM on the posteriors given each prediction; its path and rate are known."""
    predicted, y, predicted_target, _ = exact_hard(BINARY, [600, 400], [300, 700])
    prior = BBSE(kind="hard").fit(predicted, y, predicted_target)
    joint = BINARY * [0.6, 0.4]
    posteriors = joint / joint.sum(axis=1, keepdims=True)
    path = oracles.em_path(posteriors, np.array([0.41, 0.59]), np.array([0.6, 0.4]), 60)[:, 0]
    assert_allclose(path[:3], [0.450255, 0.377291, 0.341515], atol=1e-6)
    assert (path[20] - 0.3) / (path[19] - 0.3) == pytest.approx(0.574618, abs=1e-4)
    assert prior.target_prior_[0] == pytest.approx(path[-1], abs=1e-12)


@pytest.mark.slow
@given(data=st.data())
def test_rogan_gladen_for_two_classes(data):
    """q_1 = (mu_1 - fpr) / (tpr - fpr) where that is a probability, and cut to [0, 1] where not."""
    tpr, fpr = data.draw(st.integers(60, 95)), data.draw(st.integers(5, 40))
    positives = data.draw(st.integers(1, 199))
    A = np.array([[100 - fpr, 100 - tpr], [fpr, tpr]]) / 100
    predicted, y = oracles.rows_of_confusion(A, [100, 200])
    target = np.repeat([0, 1], [200 - positives, positives])
    expected = np.clip((positives / 200 - fpr / 100) / (tpr / 100 - fpr / 100), 0, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PoorIdentificationWarning)
        prior = BBSE(kind="hard").fit(predicted, y, target)
    assert prior.target_prior_[1] == pytest.approx(expected, abs=1e-9)


@pytest.mark.slow
@given(data=st.data())
def test_soft_scores_of_an_exact_mixture(data):
    """When the target scores have the mean A q, q comes back, whatever A, p and q."""
    A = data.draw(invertible_confusions())
    q = data.draw(simplex_points(len(A)))
    y = np.repeat(np.arange(len(A)), data.draw(st.integers(1, 5)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PoorIdentificationWarning)
        prior = BBSE(kind="soft").fit(A.T[y], y, np.tile(A @ q, (3, 1)))
    assert_allclose(prior.target_prior_, q, atol=1e-8)
    assert_allclose(prior.conditional_confusion_, A, atol=1e-12)


@pytest.mark.slow
@given(data=st.data())
def test_repeat_counts_equal_repeated_rows(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    y = np.repeat([0, 1, 2], 10)
    scores = 0.7 * np.eye(3)[y] + 0.3 * rng.dirichlet(np.ones(3), 30)
    target = rng.dirichlet(np.ones(3), 12)
    c = np.maximum(data.draw(counts(30)), np.tile([1] + [0] * 9, 3))
    c_target = data.draw(counts(12))
    for kind in ("soft", "hard"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PoorIdentificationWarning)
            by_counts = BBSE(kind).fit(scores, y, target, sample_weight_source=c, sample_weight_target=c_target)
            repeated = BBSE(kind).fit(
                np.repeat(scores, c, axis=0), np.repeat(y, c), np.repeat(target, c_target, axis=0)
            )
        assert_allclose(by_counts.target_prior_, repeated.target_prior_, atol=1e-9)
        assert_allclose(by_counts.class_weight_, repeated.class_weight_, atol=1e-9)
        assert_allclose(by_counts.prior_covariance_, repeated.prior_covariance_, rtol=1e-9, atol=1e-12)
        assert_allclose(by_counts.interval(), repeated.interval(), atol=1e-9)


@pytest.mark.slow
@given(seed=st.integers(0, 999))
def test_order_of_rows_and_names_of_classes_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1, 2], 10)
    scores = 0.7 * np.eye(3)[y] + 0.3 * rng.dirichlet(np.ones(3), 30)
    target = rng.dirichlet([2, 1, 1], 40)
    base = BBSE().fit(scores, y, target)
    order, order_target = rng.permutation(30), rng.permutation(40)
    shuffled = BBSE().fit(scores[order], np.array(["a", "b", "c"])[y[order]], target[order_target])
    assert_allclose(base.target_prior_, shuffled.target_prior_, atol=1e-10)
    swap = [2, 0, 1]
    permuted = BBSE().fit(scores[:, swap], y, target[:, swap], classes=swap)
    assert_allclose(permuted.target_prior_, base.target_prior_[swap], atol=1e-10)


def gaussian_scores(rng, prior, n):
    """Exact posteriors (under equal priors) of three unit Gaussians in the plane, two apart."""
    centres = 2 / np.sqrt(3) * np.column_stack([np.cos([0, 2.0944, 4.1888]), np.sin([0, 2.0944, 4.1888])])
    y = rng.choice(3, size=n, p=prior)
    x = centres[y] + rng.normal(size=(n, 2))
    density = np.exp(-0.5 * ((x[:, np.newaxis] - centres) ** 2).sum(axis=2))
    return density / density.sum(axis=1, keepdims=True), y


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_intervals_cover_and_the_error_is_the_promised_one(kind):
    """400 repetitions, n_s = 600, n_t = 300: coverage of 95% intervals has standard error 1.1%, so .91 to .985
    is allowed; the standard deviation over the repetitions has one of 3.5%, so 15% is. Leaving the source
    error out of the variance lowers the coverage to about .85."""
    rng, truth = np.random.default_rng(0), np.array([0.2, 0.3, 0.5])
    found, promised, covered = [], [], []
    for _ in range(400):
        scores, y = gaussian_scores(rng, [1 / 3] * 3, 600)
        target, _ = gaussian_scores(rng, truth, 300)
        prior = BBSE(kind).fit(scores, y, target)
        found.append(prior.target_prior_)
        promised.append(np.sqrt(np.diag(prior.prior_covariance_)))
        low, high = prior.interval(0.95).T
        covered.append((low <= truth) & (truth <= high))
    assert_allclose(np.mean(found, axis=0), truth, atol=0.012)
    assert_allclose(np.std(found, axis=0), np.mean(promised, axis=0), rtol=0.15)
    assert (np.mean(covered, axis=0) > 0.91).all()
    assert (np.mean(covered, axis=0) < 0.985).all()


@pytest.mark.slow
def test_soft_is_more_precise_than_hard():
    """200 repetitions: root mean squared errors differ by a quarter (.045 against .057 in the literature's setting)."""
    rng, truth, errors = np.random.default_rng(1), np.array([0.2, 0.3, 0.5]), {"soft": [], "hard": []}
    for _ in range(200):
        scores, y = gaussian_scores(rng, [1 / 3] * 3, 500)
        target, _ = gaussian_scores(rng, truth, 500)
        for kind, found in errors.items():
            found.append(BBSE(kind).fit(scores, y, target).target_prior_ - truth)
    assert np.square(errors["soft"]).mean() < 0.85 * np.square(errors["hard"]).mean()


def test_update_equals_a_new_fit_and_keeps_the_source(rng):
    scores, y = gaussian_scores(rng, [1 / 3] * 3, 300)
    first, second = (
        gaussian_scores(rng, [0.1, 0.2, 0.7], 200)[0],
        gaussian_scores(rng, [0.6, 0.3, 0.1], 200)[0],
    )
    prior = BBSE().fit(scores, y, first)
    before = prior.target_prior_.copy()
    prior.update(second)
    assert_allclose(prior.target_prior_, BBSE().fit(scores, y, second).target_prior_)
    assert np.abs(prior.target_prior_ - before).max() > 0.2


def test_hard_takes_labels_or_scores_alike(rng):
    scores, y = gaussian_scores(rng, [1 / 3] * 3, 300)
    target, _ = gaussian_scores(rng, [0.1, 0.2, 0.7], 200)
    by_scores = BBSE("hard").fit(scores, y, target)
    by_labels = BBSE("hard").fit(scores.argmax(axis=1), y, target.argmax(axis=1))
    assert_allclose(by_scores.target_prior_, by_labels.target_prior_)


@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_confounded_classes_are_named(kind):
    y = np.array(["cat", "dog", "fox", "cat", "dog", "fox"])
    scores = np.array([[0.8, 0.1, 0.1], [0.1, 0.6, 0.3], [0.1, 0.6, 0.3]] * 2)
    with pytest.raises(NotIdentifiedError, match=r"\['dog', 'fox'\]") as caught:
        BBSE(kind).fit(scores, y, scores)
    assert caught.value.confounded == [["dog", "fox"]]


def test_an_almost_useless_classifier_warns_and_says_so(rng):
    y = np.repeat([0, 1], 50)
    scores = 0.5 + 0.01 * rng.normal(size=100) + 0.001 * y
    scores = np.column_stack([1 - scores, scores])
    with pytest.warns(PoorIdentificationWarning, match="do not tell the target prior"):
        prior = BBSE().fit(scores, y, scores[::3])
    assert not prior.identified_
    assert (prior.interval() == [0, 1]).all()


@pytest.mark.parametrize("kind", ["soft", "hard"])
@pytest.mark.parametrize(("n_target", "says"), [(1, False), (2, False), (300, True)])
def test_a_handful_of_target_rows_tells_nothing(kind, n_target, says, rng):
    """A near-perfect classifier: one row of class 1 does not make the target class 1 alone."""
    y = np.repeat([0, 1], 100)
    p = np.clip(0.02 + 0.96 * y + 0.01 * rng.normal(size=200), 0, 1)
    scores = np.column_stack([1 - p, p])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PoorIdentificationWarning)
        prior = BBSE(kind).fit(scores, y, np.tile([[0.02, 0.98]], (n_target, 1)))
    assert prior.identified_ == says
    assert np.diff(prior.interval()[1])[0] > (0.3 if n_target < 10 else 0.005)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.01, 0.03])
@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_intervals_cover_rare_classes(kind, share):
    """A good classifier (the means six standard deviations apart), 100 target rows: many samples hold no row of the
    rare class at all. 300 repetitions, standard error 1.3%; without the two extra rows about .7 are covered at .01."""
    covered = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)

        def draw(prior, n, rng=rng):
            y = (rng.random(n) < prior).astype(int)
            p = 1 / (1 + np.exp(-6 * rng.normal(3 * (2 * y - 1))))
            return np.column_stack([1 - p, p]), y

        (scores, y), (target, _) = draw(0.5, 600), draw(share, 100)
        low, high = BBSE(kind).fit(scores, y, target).interval()[1]
        covered += low <= share <= high
    assert covered / 300 > 0.91


def test_weights_that_sum_to_one_compare_rows_and_do_not_shrink_the_sample(rng):
    scores, y = gaussian_scores(rng, [1 / 3] * 3, 300)
    target, _ = gaussian_scores(rng, [0.1, 0.2, 0.7], 200)
    plain = BBSE().fit(scores, y, target)
    shares = BBSE().fit(scores, y, target, sample_weight_source=np.full(300, 1 / 300))
    assert_allclose(shares.prior_covariance_, plain.prior_covariance_)


def test_update_keeps_the_kind_that_was_fitted(rng):
    scores, y = gaussian_scores(rng, [1 / 3] * 3, 300)
    target, _ = gaussian_scores(rng, [0.1, 0.2, 0.7], 200)
    hard = BBSE("hard").fit(scores, y, target).target_prior_
    changed = BBSE("hard").fit(scores, y, target).set_params(kind="soft").update(target)
    assert_allclose(changed.target_prior_, hard)


class TestIsTheEstimateWorthUsing:
    """Vague: variances sum to more than a quarter of (K - 1) / (K (K + 1)), 1/24 for two classes."""

    @pytest.mark.parametrize(
        ("variance", "shift", "answer"),
        [(0.0199, 0.0, True), (0.0215, 0.0, False), (0.0215, 0.28, False), (0.0215, 0.30, True), (0.13, 0.5, False)],
    )
    def test_two_classes(self, variance, shift, answer):
        """Covariance [[v, -v], [-v, v]]: the variances sum to 2 v; Wald is shift^2 / v against 3.841."""
        p = np.array([0.5, 0.5])
        q = p + np.array([shift, -shift])
        assert tells_the_prior(q, p, variance * np.array([[1, -1], [-1, 1]])) == answer

    def test_a_clear_shift_shows_beside_a_vague_direction(self):
        """Three classes: the first share is known to .02 and moved by .2, the split of the others is not known."""
        vague, clear = np.array([0.0, 1.0, -1.0]), np.array([2.0, -1.0, -1.0])
        covariance = 0.3 * np.outer(vague, vague) / 2 + 0.02**2 * np.outer(clear, clear) / 4
        p = np.array([0.2, 0.4, 0.4])
        assert tells_the_prior(p + [0.2, -0.1, -0.1], p, covariance)  # noqa: RUF005
        assert not tells_the_prior(p + [0.0, 0.3, -0.3], p, covariance)  # noqa: RUF005

    def test_uniform_draws_have_the_stated_variance(self, rng):
        for n_classes in (2, 5, 10):
            draws = rng.dirichlet(np.ones(n_classes), 20000)
            assert draws.var(axis=0).sum() == pytest.approx(guess_variance(n_classes), rel=0.03)


class TestFromCounts:
    """A stored confusion matrix: rows are predictions, columns true classes."""

    @pytest.mark.parametrize(
        ("conditional", "source", "target"),
        [(BINARY, [600, 400], [300, 700]), (THREE, [500, 300, 200], [200, 300, 500])],
    )
    def test_equals_the_rows_written_out(self, conditional, source, target):
        predicted, y, predicted_target, _ = exact_hard(conditional, source, target)
        rows = BBSE("hard").fit(predicted, y, predicted_target)
        counts = BBSE("hard").fit_confusion(conditional * source, np.rint(conditional @ target))
        for name in ("target_prior_", "source_prior_", "class_weight_", "conditional_confusion_", "prior_covariance_"):
            assert_allclose(getattr(counts, name), getattr(rows, name), atol=1e-12)
        assert_allclose(counts.interval(), rows.interval(), atol=1e-12)
        assert counts.condition_number_ == pytest.approx(rows.condition_number_)
        labels = np.arange(len(source))
        assert_allclose(counts.adjust_proba(labels), rows.adjust_proba(labels), atol=1e-12)
        assert_allclose(counts.update(predicted).target_prior_, rows.source_prior_, atol=1e-9)

    def test_predicted_labels_are_adjusted_by_the_matrix(self):
        """P(0 | yhat = 0) = .9 .3 / (.9 .3 + .2 .7) = .658537; P(1 | yhat = 1) = .8 .7 / .59."""
        fitted = BBSE("hard").fit_confusion(BINARY * [600, 400], [410, 590], classes=["ill", "well"])
        adjusted = fitted.adjust_proba(["well", "ill"])
        assert_allclose(adjusted, [[1 - 0.56 / 0.59, 0.56 / 0.59], [0.658537, 1 - 0.658537]], atol=1e-6)
        assert fitted.target_prior_ @ [0.9, 0.8] == pytest.approx(0.83)
        with pytest.raises(ShiftDataError, match=r"holds \['fine'\]"):
            fitted.adjust_proba(["fine"])

    def test_rows_and_columns_are_not_swapped(self):
        """The transpose is another matrix: q_0 = (.41 - .1) / (.9 - .1) of conditional columns (.9, .1) ..."""
        counts = np.array([[540, 80], [60, 320]])
        right = BBSE("hard").fit_confusion(counts, [410, 590]).target_prior_
        assert_allclose(right, [0.3, 0.7], atol=1e-12)
        assert np.abs(BBSE("hard").fit_confusion(counts.T, [410, 590]).target_prior_ - right).max() > 0.02

    @pytest.mark.parametrize(
        ("kind", "confusion", "predicted", "classes", "words"),
        [
            ("soft", [[3, 1], [1, 3]], [2, 2], None, r'BBSE\(kind="hard"\)'),
            ("hard", [[0.3, 0.1], [0.1, 0.3]], [2, 2], None, "confusion must hold counts of rows: whole numbers"),
            ("hard", [[3, 1], [1, 3]], [2, -2], None, "predicted must hold counts"),
            ("hard", [[3, 1], [1, 3]], [0, 0], None, "not all 0"),
            ("hard", [[3, 1], [1, 3]], [2, 2, 2], None, r"shape \(2, 2\) and predicted \(3,\)"),
            ("hard", [[3, 1, 0], [1, 3, 0]], [2, 2], None, r"shape \(2, 3\)"),
            ("hard", [[3, 0], [1, 0]], [2, 2], ["a", "b"], r"no rows of \['b'\]"),
            ("hard", [[3, 1], [1, 3]], [2, 2], ["a"], "1 labels for 2 columns"),
            ("hard", [[3, 1], [1, 3]], [2, 2], ["a", "a"], "repeats a label"),
            ("hard", [[3, np.nan], [1, 3]], [2, 2], None, "confusion contains NaN"),
        ],
    )
    def test_errors(self, kind, confusion, predicted, classes, words):
        with pytest.raises(ShiftDataError, match=words):
            BBSE(kind).fit_confusion(confusion, predicted, classes=classes)

    def test_a_singular_matrix_names_the_classes(self):
        with pytest.raises(NotIdentifiedError, match=r"\['a', 'b'\]"):
            BBSE("hard").fit_confusion([[3, 6], [2, 4]], [2, 2], classes=["a", "b"])


@pytest.mark.slow
def test_calibrated_soft_scores_are_more_precise(rng):
    """Sharpened scores are far from posteriors; 60 problems, and the squared error falls by a tenth or more."""
    truth, errors = np.array([0.2, 0.3, 0.5]), {"none": [], "temperature": []}
    for _ in range(60):
        scores, y = gaussian_scores(rng, [1 / 3] * 3, 300)
        target, _ = gaussian_scores(rng, truth, 300)
        scores, target = (s**4 / (s**4).sum(axis=1, keepdims=True) for s in (scores, target))
        for calibration, found in errors.items():
            found.append(BBSE(calibration=calibration).fit(scores, y, target).target_prior_ - truth)
    assert np.square(errors["temperature"]).mean() < 0.95 * np.square(errors["none"]).mean()


def test_hard_predictions_are_not_calibrated():
    with pytest.raises(ShiftDataError, match="kind=\"hard\" counts predictions, and calibration='bcts'"):
        BBSE("hard", calibration="bcts").fit([0, 1], [0, 1], [0, 1])
