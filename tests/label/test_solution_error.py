"""Errors of the black-box solution against the definition, with every matrix written out."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from shiftfix._validation import check_scores
from shiftfix.exceptions import ShiftDataError
from shiftfix.label._confusion import joint_and_conditional
from shiftfix.label._solution_error import mean_covariance, mean_scatter, solution_covariance, source_error
from tests import oracles
from tests.strategies import counts, simplex_points


def written_out(scores, y, weight, target, target_weight, prior, pseudo_rows):
    """The delta method with every row repeated, pseudo rows appended as rows of fractional weight, and every column's
    covariance formed."""

    def covariance(rows, w):
        n, size = w.sum(), rows.shape[1]
        rows = np.vstack([rows, np.eye(size)])
        w = np.append(w, np.full(size, pseudo_rows / size))
        mean = w @ rows / w.sum()
        return sum(wi * np.outer(r - mean, r - mean) for wi, r in zip(w, rows, strict=True)) / w.sum() / n

    size = scores.shape[1]
    A = np.column_stack([np.average(scores[y == j], axis=0, weights=weight[y == j]) for j in range(size)])
    noise = covariance(target, target_weight)
    for j in range(size):
        noise = noise + prior[j] ** 2 * covariance(scores[y == j], weight[y == j])
    return np.linalg.inv(A) @ noise @ np.linalg.inv(A).T


@st.composite
def problems(draw):
    """Source and target scores with repeat counts; every class has a row that counts."""
    size = draw(st.integers(2, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    y = np.append(np.arange(size), rng.integers(0, size, 25))
    scores = 0.7 * np.eye(size)[y] + 0.3 * rng.dirichlet(np.ones(size), len(y))
    weight = draw(counts(len(y))).astype(float)
    weight[:size] = np.maximum(weight[:size], 1)
    target = rng.dirichlet(np.ones(size), 12)
    return scores, y, weight, target, draw(counts(12)).astype(float), draw(simplex_points(size))


def covariance_of(scores, y, weight, target, target_weight, prior, kind, pseudo_rows=0.0, **options):
    conditional = joint_and_conditional(scores, y, weight)[1]
    source = source_error(scores, y, weight, conditional, kind, **options)
    return solution_covariance(source, mean_scatter(target, target_weight), prior, pseudo_rows)


@pytest.mark.slow
@given(problem=problems(), pseudo_rows=st.sampled_from([0.0, 2.0]))
def test_soft_scores_against_the_definition(problem, pseudo_rows):
    found = covariance_of(*problem, "soft", pseudo_rows)
    assert_allclose(found, written_out(*problem, pseudo_rows), rtol=1e-8, atol=1e-12)


@pytest.mark.slow
@given(problem=problems(), pseudo_rows=st.sampled_from([0.0, 2.0]))
def test_hard_predictions_against_the_definition(problem, pseudo_rows):
    """A needs every class predicted as itself by its first row, so that it can be inverted more often than not."""
    scores, y, weight, target, target_weight, prior = problem
    hard, hard_target = (np.eye(len(prior))[s.argmax(axis=1)] for s in (scores, target))
    arguments = hard, y, weight, hard_target, target_weight, prior
    found = covariance_of(*arguments, "hard", pseudo_rows)
    assert_allclose(found, written_out(*arguments, pseudo_rows), rtol=1e-8, atol=1e-12)


@pytest.mark.slow
@given(problem=problems(), pseudo_rows=st.sampled_from([0.0, 2.0]))
def test_the_form_for_many_classes_has_exact_variances(problem, pseudo_rows):
    found = covariance_of(*problem, "soft", pseudo_rows, full_classes=0)
    expected = written_out(*problem, pseudo_rows)
    assert_allclose(np.diag(found), np.diag(expected), rtol=1e-7, atol=1e-12)
    assert np.linalg.eigvalsh(found)[0] >= -1e-10 * np.trace(found)


@pytest.mark.slow
@given(problem=problems())
def test_the_form_for_many_classes_is_exact_where_nothing_moved(problem):
    scores, y, weight, target, target_weight, _ = problem
    p = np.bincount(y, weights=weight) / weight.sum()
    arguments = scores, y, weight, target, target_weight, p
    assert_allclose(
        covariance_of(*arguments, "soft", full_classes=0), written_out(*arguments, 0.0), rtol=1e-7, atol=1e-12
    )


def test_the_correlations_elsewhere_are_near(rng):
    """Six classes, a clear shift: off the diagonal the form for many classes misses by less than a fifth of the
    standard deviations' product, with 40 source rows a class and as many target rows as make both errors count."""
    y = np.repeat(np.arange(6), 40)
    scores = 0.5 * np.eye(6)[y] + 0.5 * rng.dirichlet(np.ones(6), 240)
    target, prior = rng.dirichlet(np.ones(6), 300), np.array([0.4, 0.3, 0.1, 0.1, 0.05, 0.05])
    arguments = scores, y, np.ones(240), target, np.ones(300), prior
    exact, near = (covariance_of(*arguments, "soft", full_classes=size) for size in (100, 0))
    deviation = np.sqrt(np.diag(exact))
    assert (np.abs(near - exact) / np.outer(deviation, deviation)).max() < 0.2


def test_two_classes_standard_error():
    """n_t = 1000, n_0 = 600, n_1 = 400: sd(q_1) = .0303517, by the delta method; Monte Carlo .03046."""
    A = np.array([[0.9, 0.2], [0.1, 0.8]])
    predicted, y = oracles.rows_of_confusion(A, [600, 400])
    predicted_target, _ = oracles.rows_of_confusion(A, [300, 700])
    for kind, options in [("hard", {}), ("soft", {}), ("soft", {"full_classes": 0})]:
        found = covariance_of(
            np.eye(2)[predicted], y, np.ones(1000), np.eye(2)[predicted_target], np.ones(1000), np.array([0.3, 0.7]),
            kind, **options,
        )  # fmt: skip
        assert np.sqrt(found[1, 1]) == pytest.approx(0.0303517, abs=1e-7)


@pytest.mark.slow
@given(problem=problems(), pseudo_rows=st.sampled_from([0.0, 2.0]))
def test_covariance_of_a_mean(problem, pseudo_rows):
    """Repeated rows, and pseudo rows as rows of fractional weight that are not sample size."""
    target, weight = problem[3], problem[4]
    size = target.shape[1]
    rows = np.vstack([np.repeat(target, weight.astype(int), axis=0), np.eye(size)])
    w = np.append(np.ones(int(weight.sum())), np.full(size, pseudo_rows / size))
    expected = np.cov(rows.T, aweights=w, ddof=0) / weight.sum()
    assert_allclose(mean_covariance(mean_scatter(target, weight), pseudo_rows), expected, atol=1e-14)


def test_float32_of_a_near_perfect_classifier_keeps_its_small_variance(rng):
    """Scores of .9999 with a spread of 1e-5: second moments minus squared means would be rounding noise in float32."""
    p = 0.9999 + 1e-5 * rng.normal(size=5000)
    scores = np.column_stack([p, 1 - p]).astype(np.float32)
    found = mean_covariance(mean_scatter(scores, np.ones(5000)))
    assert found[0, 0] == pytest.approx(np.var(scores[:, 0].astype(float)) / 5000, rel=0.02)


@pytest.mark.slow
@given(problem=problems())
def test_confusion_matrices_against_the_dense_definition(problem):
    scores, y, weight = problem[:3]
    truth = np.zeros(scores.shape)
    truth[np.arange(len(y)), y] = weight
    joint, conditional = joint_and_conditional(scores, y, weight)
    assert_allclose(joint, scores.T @ truth / weight.sum(), atol=1e-14)
    assert_allclose(conditional, joint / joint.sum(axis=0), atol=1e-14)


@pytest.mark.slow
def test_many_rows_in_float32_take_little_memory(rng):
    """60 MB of scores in 200 classes; a float64 copy is 120 MB, a dense one-hot truth or a copy in float32 60 MB. The
    blocks take a few times 8 to 16 MB."""
    scores = np.tile(rng.dirichlet(np.full(200, 0.1), 3750).astype(np.float32), (20, 1))
    y = np.append(np.arange(200), rng.integers(0, 200, len(scores) - 200))
    weight = np.ones(len(scores))
    tracemalloc.start()
    checked = check_scores(scores, "scores", 200, dtype=[np.float64, np.float32])
    conditional = joint_and_conditional(checked, y, weight)[1]
    source_error(checked, y, weight, 0.5 * np.eye(200) + 0.5 * conditional, "soft")
    mean_scatter(checked, weight)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert checked is scores
    assert peak < 50e6


class TestScoresKeepTheirType:
    KEEP = (np.float64, np.float32)

    def test_float64_is_the_default(self):
        assert check_scores(np.array([[0.5, 0.5]], np.float32), "scores").dtype == np.float64

    def test_float32_is_rescaled_where_more_than_rounding_is_missing(self):
        scores = np.array([[0.5005, 0.5], [0.2, 0.8]], np.float32)
        checked = check_scores(scores, "scores", dtype=list(self.KEEP))
        assert checked.dtype == np.float32
        assert_allclose(checked.sum(axis=1), 1, atol=1e-6)
        assert scores[0, 0] == np.float32(0.5005)

    def test_half_precision_becomes_float64(self):
        assert check_scores(np.array([[0.5, 0.5]], np.float16), "scores", dtype=list(self.KEEP)).dtype == np.float64

    @pytest.mark.parametrize("row", [[0.5, 0.6], [-0.1, 1.1]])
    def test_what_is_no_probability_is_refused(self, row):
        with pytest.raises(ShiftDataError, match=r"row 1 sums to .*, its least entry is"):
            check_scores(np.array([[0.5, 0.5], row], np.float32), "scores", dtype=list(self.KEEP))
