"""Maximum likelihood priors against closed forms, grids, a general solver and the definition."""

import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from shiftfix.exceptions import ShiftDataError
from shiftfix.label._mlls_error import likelihood_covariance
from shiftfix.label._mlls_solver import mlls_prior
from tests import oracles
from tests.label.scores import BINARY, THREE, binned, gradient_of
from tests.strategies import counts, invertible_confusions, simplex_points


def mean_log_likelihood(scores, score_prior, prior, weight):
    """From the definition, row by row."""
    return sum(
        w * np.log(sum(s[k] / score_prior[k] * prior[k] for k in range(len(prior))))
        for s, w in zip(scores, weight, strict=True)
        if w > 0
    ) / np.sum(weight)


@st.composite
def problems(draw, max_classes=6):
    """Scores from sharp to flat, some exactly 0 or 1, a prior they imply, and repeat counts."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_rows, n_classes = draw(st.integers(1, 40)), draw(st.integers(2, max_classes))
    scores = rng.dirichlet(np.full(n_classes, draw(st.sampled_from([0.05, 0.5, 5.0]))), n_rows)
    hard = rng.random(n_rows) < draw(st.sampled_from([0.0, 0.3, 1.0]))
    scores[hard] = np.eye(n_classes)[scores[hard].argmax(axis=1)]
    return scores, draw(simplex_points(n_classes, 0.01)), draw(counts(n_rows))


def test_em_takes_the_known_path():
    """p = (.6, .4), q = (.3, .7): .450255, .377291, .341515 to .3, at the linear rate .574618."""
    scores, weight = binned(BINARY, [0.6, 0.4]), np.array([410, 590])
    path = oracles.em_path(scores, weight / weight.sum(), np.array([0.6, 0.4]), 60)[:, 0]
    assert_allclose(path[:3], [0.450255, 0.377291, 0.341515], atol=1e-6)
    assert (path[25] - 0.3) / (path[24] - 0.3) == pytest.approx(0.574618, abs=1e-5)
    assert path[-1] == pytest.approx(0.3, abs=1e-12)
    assert mlls_prior(scores, np.array([0.6, 0.4]), weight).prior[0] == pytest.approx(0.3, abs=1e-10)


def test_three_classes_exactly():
    """p = (.5, .3, .2), q = (.2, .3, .5), predictions in the proportions (.24, .33, .43)."""
    p = np.array([0.5, 0.3, 0.2])
    found = mlls_prior(binned(THREE, p), p, np.array([24, 33, 43]))
    assert_allclose(found.prior, [0.2, 0.3, 0.5], atol=1e-10)
    assert found.gap <= 1e-8


@pytest.mark.parametrize("n_classes", [2, 3, 8])
def test_the_estimate_of_few_classes_is_one_wherever_it_begins(n_classes, rng):
    """To 1e-9, far below what ``tol`` asks for: draws of a bootstrap begin at the estimate of all rows."""
    means = rng.normal(size=(n_classes, 2)) * 1.5
    x = means[rng.integers(n_classes, size=2000)] + rng.normal(size=(2000, 2))
    scores = np.exp(-((x[:, np.newaxis] - means) ** 2).sum(axis=2) / 2)
    scores, p = scores / scores.sum(axis=1, keepdims=True), np.full(n_classes, 1 / n_classes)
    found = mlls_prior(scores, p).prior
    for start in (np.eye(n_classes)[0], np.eye(n_classes)[-1], rng.dirichlet(np.ones(n_classes)), found):
        assert_allclose(mlls_prior(scores, p, start=start).prior, found, atol=1e-9)


@pytest.mark.slow
@given(data=st.data())
def test_equals_the_confusion_matrix_solution_on_binned_scores(data):
    """Interior q and predictions in the proportions A q: the likelihood is maximal at q = A^-1 mu itself."""
    A = data.draw(invertible_confusions())
    p, q = data.draw(simplex_points(len(A), 0.01)), data.draw(simplex_points(len(A), 0.01))
    found = mlls_prior(binned(A, p), p, A @ q, tol=1e-12)
    assert_allclose(found.prior, q, atol=1e-6)


@pytest.mark.slow
@given(problem=problems(2))
def test_two_classes_against_a_grid(problem):
    scores, p, weight = problem
    found = mlls_prior(scores, p, weight)
    with np.errstate(divide="ignore"):
        grid = [
            np.log((scores / p)[weight > 0] @ [1 - q, q]) @ weight[weight > 0] / weight.sum()
            for q in np.linspace(0, 1, 401)
        ]
    assert found.log_likelihood >= max(grid) - 1e-8
    assert found.log_likelihood == pytest.approx(mean_log_likelihood(scores, p, found.prior, weight), abs=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_three_classes_against_a_general_solver(seed):
    """SLSQP reaches the likelihood to about 1e-9, and priors that are well determined to about 1e-4."""
    rng = np.random.default_rng(seed)
    scores, p = rng.dirichlet([0.3, 0.3, 0.3], 60), rng.dirichlet([4, 4, 4])
    weight = np.ones(60)
    best = minimize(
        lambda q: -mean_log_likelihood(scores, p, q, weight),
        np.full(3, 1 / 3),
        jac=lambda q: -gradient_of(scores, p, q, weight),
        bounds=[(1e-9, 1)] * 3,
        constraints={"type": "eq", "fun": lambda q: q.sum() - 1, "jac": lambda q: np.ones(3)},
        method="SLSQP",
        options={"ftol": 1e-14},
    )
    found = mlls_prior(scores, p)
    assert found.log_likelihood >= -best.fun - 1e-9
    assert_allclose(found.prior, best.x, atol=1e-4)


@pytest.mark.slow
@given(problem=problems())
def test_the_optimum_is_certified(problem):
    """g_k <= 1 + gap everywhere, and a class is present only as far as gap / (1 - g_k)."""
    scores, p, weight = problem
    found = mlls_prior(scores, p, weight)
    g = gradient_of(scores[weight > 0], p, found.prior, weight[weight > 0])
    assert found.gap <= 1e-8
    assert g.max() - 1 <= 1e-8 + 1e-12
    assert (found.prior >= 0).all()
    assert found.prior.sum() == pytest.approx(1, abs=1e-12)
    assert (found.prior * (1 - g) <= 1e-8 + 1e-12).all()


@pytest.mark.slow
@given(problem=problems())
def test_em_never_lowers_the_likelihood_and_never_passes_the_optimum(problem):
    scores, p, weight = problem
    present = weight > 0
    scores, weight = scores[present], weight[present]
    start = np.full(len(p), 1 / len(p))
    path = oracles.em_path(scores, weight / weight.sum(), p, 15, start=start)
    values = [mean_log_likelihood(scores, p, q, weight) for q in [start, *path]]
    assert np.diff(values).min() >= -1e-12
    assert max(values) <= mlls_prior(scores, p, weight).log_likelihood + 1e-8


@pytest.mark.slow
@given(problem=problems())
def test_repeat_counts_equal_repeated_rows_in_any_order(problem):
    """The likelihood agrees to the gap; a prior that several classes share freely need not."""
    scores, p, weight = problem
    found = mlls_prior(scores, p, weight)
    repeated = np.repeat(scores, weight, axis=0)
    other = mlls_prior(repeated[np.random.default_rng(0).permutation(len(repeated))], p)
    assert found.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-8)
    assert_allclose(likelihood_covariance(scores, p, found.prior, weight),
                    likelihood_covariance(repeated, p, found.prior), atol=1e-7)  # fmt: skip
    order = np.argsort(p)
    permuted = mlls_prior(scores[:, order], p[order], weight)
    assert permuted.log_likelihood == pytest.approx(found.log_likelihood, abs=1e-8)


def test_priors_are_the_same_for_repeated_rows_and_permuted_classes(rng):
    """A well-determined problem, where Newton's last step leaves far less than the tolerance."""
    y = rng.choice(4, 200, p=[0.1, 0.2, 0.3, 0.4])
    scores = 0.6 * np.eye(4)[y] + 0.4 * rng.dirichlet(np.ones(4), 200)
    p, weight, order = np.array([0.4, 0.3, 0.2, 0.1]), rng.integers(0, 4, 200), [2, 0, 3, 1]
    found = mlls_prior(scores, p, weight).prior
    assert_allclose(mlls_prior(np.repeat(scores, weight, axis=0), p).prior, found, atol=1e-8)
    assert_allclose(mlls_prior(scores[:, order], p[order], weight).prior, found[order], atol=1e-8)


def test_exact_scores_are_counted():
    scores = np.eye(3)[[0, 0, 0, 1, 2, 2, 2, 2]]
    found = mlls_prior(scores, np.array([0.2, 0.5, 0.3]))
    assert_allclose(found.prior, [3 / 8, 1 / 8, 4 / 8], atol=1e-12)


def test_an_absent_class_is_exactly_zero():
    """All rows speak against class 2, more than its being rare under the source explains."""
    scores = np.tile([[0.55, 0.4, 0.05], [0.3, 0.68, 0.02]], (50, 1))
    p = np.array([0.4, 0.4, 0.2])
    found = mlls_prior(scores, p)
    assert found.prior[2] == 0
    assert gradient_of(scores, p, found.prior, np.ones(100))[2] < 0.5
    never = mlls_prior(np.tile([0.5, 0.5, 0.0], (4, 1)), p)
    assert never.prior[2] == 0


def test_a_start_does_not_rule_a_class_out(rng):
    scores, p = rng.dirichlet(np.full(3, 0.3), 100), np.full(3, 1 / 3)
    cold, warm = mlls_prior(scores, p), mlls_prior(scores, p, start=np.array([1.0, 0.0, 0.0]))
    assert_allclose(warm.prior, cold.prior, atol=1e-7)


def test_rows_without_weight_are_not_there():
    scores = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    assert_allclose(mlls_prior(scores, np.array([0.5, 0.5]), np.array([0, 2, 1])).prior, [0, 1], atol=1e-12)


def test_classes_with_the_same_scores_share_freely_but_are_certified():
    scores = np.tile([[0.8, 0.1, 0.1], [0.2, 0.4, 0.4]], (10, 1))
    found = mlls_prior(scores, np.full(3, 1 / 3))
    assert found.gap <= 1e-8


@pytest.mark.parametrize(("n_rows", "n_classes"), [(1500, 200), (60, 200)])
def test_many_classes_and_fewer_rows_than_classes(n_rows, n_classes, rng):
    logits = rng.normal(size=(n_rows, n_classes))
    logits[np.arange(n_rows), rng.choice(n_classes, n_rows, p=rng.dirichlet(np.full(n_classes, 0.3)))] += 3
    scores = np.exp(2 * logits)
    scores /= scores.sum(axis=1, keepdims=True)
    found = mlls_prior(scores, np.full(n_classes, 1 / n_classes))
    g = gradient_of(scores, np.full(n_classes, 1 / n_classes), found.prior, np.ones(n_rows))
    assert g.max() - 1 <= 1e-8
    assert found.n_iter < 20


def test_an_early_end_is_told(rng):
    scores = rng.dirichlet(np.full(4, 0.5), 50)
    with pytest.warns(ConvergenceWarning, match=r"certified to .* per row only.*raise max_iter"):
        found = mlls_prior(scores, np.full(4, 0.25), max_iter=0)
    assert found.gap > 1e-8
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mlls_prior(scores, np.full(4, 0.25), max_iter=0, tol=2 * found.gap)


def test_a_score_prior_with_a_zero_is_refused():
    with pytest.raises(ShiftDataError, match="score_prior is 0 for class 1"):
        mlls_prior(np.full((2, 2), 0.5), np.array([1.0, 0.0]))


@pytest.mark.slow
def test_float32_scores_give_the_same_and_are_not_copied(rng):
    """80 MB of scores; the blocks take 8 MB each in float32 and 1 MB in float64. A copy in float64 is 160 MB."""
    scores = rng.dirichlet(np.full(200, 0.1), 5000)
    p = np.full(200, 1 / 200)
    tight = mlls_prior(scores.astype(np.float32), p)
    assert tight.gap <= 1e-8
    assert_allclose(tight.prior, mlls_prior(scores, p).prior, atol=1e-5)
    large = np.tile(scores.astype(np.float32), (20, 1))
    tracemalloc.start()
    mlls_prior(large, p)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 45e6
