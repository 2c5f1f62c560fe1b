"""Evidence for covariate or label shift: bettors against brute force, fairness by enumeration, and both worlds."""

from functools import partial
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import softmax

from shiftfix.detect import covariate_or_label
from shiftfix.detect._mechanism import (
    WIDTH,
    Hypotheses,
    _gains,
    averaged,
    draw_ratios,
    labels_to_decide,
    log_evidence,
)
from shiftfix.detect._recalibrations import Changes, calibration_errors

RNG = np.random.default_rng(0)
LOG_P = np.log(RNG.dirichlet([1, 1, 1], 6))


def changes(n, rng=RNG):
    return Changes(rng.uniform(0.5, 2, n), rng.normal(size=(n, 3)))


def probability(change, draw, row):
    return softmax(change.slopes[draw] * LOG_P[row] + change.biases[draw])


def test_evidence_by_brute_force():
    hypotheses, y = Hypotheses(changes(4), changes(5), changes(3), 1e-3), np.array([0, 2, 1, 1, 0, 2])
    likelihood = [
        [np.prod([probability(kind, draw, row)[y[row]] for row in range(6)]) for draw in range(len(kind.slopes))]
        for kind in (*hypotheses[:3], hypotheses.covariate.widened(WIDTH))
    ]
    covariate, label, anything, wide = map(np.array, likelihood)
    found = log_evidence(hypotheses, LOG_P, y)
    expected = (label.mean() + anything.mean()) / 2 / wide.mean()
    assert_allclose(np.exp(found.against_covariate[-1]), expected)
    assert_allclose(np.exp(found.against_label[-1]), (covariate.mean() + anything.mean()) / 2 / label.max())


def test_gains_by_brute_force():
    """Mean and variance of the log ratio of a label drawn from the truth, label by label and draw by draw."""
    rng = np.random.default_rng(5)
    truth, rivals = np.log(rng.dirichlet([2, 1, 1], 6)), changes(4, rng)
    mean, variance = _gains(truth, LOG_P, rivals)
    for draw in range(4):
        gain = truth - np.log([probability(rivals, draw, row) for row in range(6)])
        expected = (np.exp(truth) * gain).sum() / 6
        assert mean[draw] == pytest.approx(expected, rel=1e-12)
        assert variance[draw] == pytest.approx((np.exp(truth) * gain**2).sum() / 6 - expected**2, rel=1e-10)


def mean_wealth(hypotheses, chances, direction):
    """Expected e-value after three labels, enumerated, where ``chances(y)`` is the probability of these labels."""
    total = 0.0
    for y in map(np.array, product(range(3), repeat=3)):
        found = getattr(log_evidence(hypotheses, LOG_P[:3], y), direction)
        total += chances(y) * np.exp(found[-1])
    return total


def likelihood(change, draw, y):
    return np.prod([probability(change, draw, row)[label] for row, label in enumerate(y)])


@pytest.mark.parametrize("seed", range(5))
def test_covariate_shift_loses_nobody_money_on_average(seed):
    """The truth is a calibration drawn as it errs: the mean e-value is 1 where the hypothesis is the mean over draws,
    and less where the largest of several counts instead."""
    rng = np.random.default_rng(seed)
    single, several, others, anything = changes(1, rng), changes(5, rng), changes(4, rng), changes(3, rng)
    for covariate in (single, several):
        wide, n_draws = covariate.widened(WIDTH), len(covariate.slopes)

        def chances(y, wide=wide, n_draws=n_draws):
            return np.mean([likelihood(wide, draw, y) for draw in range(n_draws)])

        found = [
            mean_wealth(Hypotheses(covariate, others, anything, n_source), chances, "against_covariate")
            for n_source in (1e-6, 1e6)
        ]
        assert_allclose(found[0], 1)
        assert (found[1] < 1 - 1e-9) == (n_draws > 1)


@pytest.mark.parametrize("seed", range(5))
def test_label_shift_loses_nobody_money_on_average(seed):
    """Whichever of the drawn class shares is true, the mean e-value is at most 1; at one alone it is 1."""
    rng = np.random.default_rng(seed)
    several, others, anything = changes(4, rng), changes(5, rng), changes(3, rng)
    for draw in range(4):
        kept = Changes(several.slopes[[draw]], several.biases[[draw]])
        of_draw = partial(likelihood, several, draw)
        assert mean_wealth(Hypotheses(others, several, anything, 50.0), of_draw, "against_label") < 1
        assert_allclose(mean_wealth(Hypotheses(others, kept, anything, 50.0), of_draw, "against_label"), 1)


def test_evidence_after_a_label_does_not_know_later_ones():
    hypotheses, y = Hypotheses(changes(4), changes(5), changes(3), 50.0), np.array([0, 2, 1, 1, 0, 2])
    assert_allclose(
        log_evidence(hypotheses, LOG_P, y).against_label[:3], log_evidence(hypotheses, LOG_P[:3], y[:3]).against_label
    )


def test_draws_of_the_calibration_err_as_a_calibration_does():
    """Bias of scores that are 1/2 everywhere: the log odds of n fair coins, standard error 2 / sqrt(n)."""
    draws = calibration_errors(np.log(np.full((400, 2), 0.5)), np.random.default_rng(0))
    assert_allclose(np.std(draws.biases[1:, 1] - draws.biases[1:, 0]), 0.1, rtol=0.15)
    assert (draws.slopes[0], draws.biases[0].tolist()) == (1, [0, 0])


def test_the_average_over_a_calibration_is_a_beta_integral():
    """Scores of 1/2 from n = 400 labels: the bias is about N(0, 4 / n), the wide one N(0, 9 / n). Of 300 labels, 120 or
    150 of one class, the mean of p^a (1 - p)^b by integration over p = expit(bias)."""
    log_p = np.log(np.full((400, 2), 0.5))
    draws = calibration_errors(log_p, np.random.default_rng(0)).widened(WIDTH)
    grid = np.linspace(-1.5, 1.5, 20_001)
    density = np.exp(-(grid**2) / (2 * 9 / 400)) / np.sqrt(2 * np.pi * 9 / 400) * (grid[1] - grid[0])
    for n_first in (120, 150):
        y = np.repeat([1, 0], [n_first, 300 - n_first])
        logs = np.cumsum(draws.log_likelihoods(log_p[:300], y), axis=0)
        likelihood = np.exp(-n_first * np.logaddexp(0, -grid) - (300 - n_first) * np.logaddexp(0, grid))
        truth = np.log((density * likelihood).sum())
        assert averaged(logs, draws.log_density, 400, 2)[-1] == pytest.approx(truth, abs=0.4)


def test_the_average_counts_where_no_draw_but_one_is_near():
    """Of a thousand draws one is likely: its likelihood, by its density and the information of the labels."""
    logs = np.full((3, 1000), -500.0)
    logs[:, 7] = -2.0
    density = np.full(1000, -1.0)
    found = averaged(logs, density, 1.5**2, 2)
    assert_allclose(found, -3 - np.log1p([1, 2, 3]))
    assert (found > -2 - np.log(1000)).all()


def test_draws_of_the_ratio():
    draws = draw_ratios(np.array([0.2, 0.8]), 1e-4 * np.array([[1, -1], [-1, 1]]), np.array([0.5, 0.5]), RNG)
    assert_allclose(np.exp(draws[0]), [0.4, 1.6])
    assert_allclose(np.std(np.exp(draws[1:, 0]) / 2), 0.01, rtol=0.15)


def test_labels_needed_by_simulation():
    """Labels of the truth until the log wealth reaches log 20: four in five sequences take at most so many."""
    truth, one = np.log([[0.7, 0.3]]), np.ones(1)
    log_p, rival = np.log([[0.5, 0.5]]), Changes(one, np.zeros((1, 2)))
    n = labels_to_decide(truth, log_p, rival, np.log(20))
    y = np.random.default_rng(0).random((2000, 400)) < 0.3
    wealth = np.cumsum(np.where(y, np.log(0.6), np.log(1.4)), axis=1)
    assert np.mean(wealth[:, int(n)] >= np.log(20)) == pytest.approx(0.8, abs=0.05)
    assert labels_to_decide(truth, truth, rival, 3.0) == np.inf
    assert labels_to_decide(truth, log_p, rival, -1.0) == 0
    # Of two rivals the nearer one counts, unless its density says that it need not be refuted.
    both = Changes(np.ones(2), np.array([[0, 0], [0.5, 0]]))
    nearer = labels_to_decide(truth, log_p, Changes(one, both.biases[1:]), np.log(20))
    assert labels_to_decide(truth, log_p, both, np.log(20)) == nearer > n
    assert labels_to_decide(truth, log_p, both._replace(log_density=np.array([0, -4.0])), np.log(20)) == n


def worlds(seed, prior=0.9, n=800):
    """Scores, source labels and target scores; and target labels under label and under covariate shift."""
    rng = np.random.default_rng(seed)
    y, y_label = rng.random(n) < 0.5, rng.random(n) < prior
    x, x_target = (rng.normal(2.0 * labels - 1) for labels in (y, y_label))
    p, p_target = (1 / (1 + np.exp(-2 * values)) for values in (x, x_target))
    y_covariate = rng.random(n) < p_target
    scores = [np.column_stack([1 - values, values]) for values in (p, p_target)]
    return scores[0], y.astype(int), scores[1], y_label.astype(int), y_covariate.astype(int)


@pytest.mark.slow
def test_both_worlds_are_told_apart():
    source, y, target, y_label, y_covariate = worlds(0)
    label = covariate_or_label(source, y, target, y_label[:150])
    covariate = covariate_or_label(source, y, target, y_covariate[:150])
    assert (label.decision, covariate.decision) == ("label shift", "covariate shift")
    assert label.against_covariate > 20 > label.against_label
    assert label.p_value == 1 / label.against_covariate
    assert label.labels_needed == 0
    assert "class shares" in str(label)


def test_a_flip_of_the_labels_is_neither():
    source, y, target, y_label, _ = worlds(1)
    assert covariate_or_label(source, y, target, (1 - y_label)[:150]).decision == "neither"


def test_without_labels_it_says_how_many():
    source, y, target, *_ = worlds(2)
    found = covariate_or_label(source, y, target)
    assert found.decision == "undecided"
    assert 20 < found.labels_needed < 200
    assert str(found.labels_needed) in str(found)
    assert found.p_value == 1


def test_without_a_shift_labels_cannot_tell():
    source, y, *_ = worlds(3)
    found = covariate_or_label(source, y, source)
    assert found.labels_needed is None or found.labels_needed > 2000


@pytest.mark.slow
def test_rows_say_which_rows_are_labelled():
    source, y, target, y_label, _ = worlds(4)
    rows = np.random.default_rng(0).permutation(800)[:120]
    moved = np.concatenate([rows, np.setdiff1d(np.arange(800), rows)])
    one = covariate_or_label(source, y, target, y_label[rows], rows=rows)
    other = covariate_or_label(source, y, target[moved], y_label[rows])
    assert_allclose(one.against_covariate, other.against_covariate, rtol=1e-6)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"y_target": [0, 2]}, "y_target holds 2, a class that the source never had"),
        ({"y_target": [0, 1], "rows": [0, 800]}, "rows 0 to 800 of 800 target rows"),
        ({"y_target": [0, 1], "rows": [1, 1]}, "holds a position twice"),
        ({"y_target": [0, 1], "rows": [0.5, 1]}, "rows holds 0.5"),
        ({"y_target": [0, 1], "rows": [1]}, "rows has 1 values for 2 labels"),
        ({"level": 1.0}, "level"),
    ],
)
def test_errors(changed, message):
    source, y, target, *_ = worlds(5)
    with pytest.raises(ValueError, match=message):
        covariate_or_label(source, y, target, **changed)


@pytest.mark.slow
def test_a_true_hypothesis_is_refuted_rarely_at_any_time():
    """30 pairs of worlds of 400 labels: 1.5 false refutations expected at most in either; 5 are 3 standard deviations
    more. By 100 labels 90% are right."""
    false, right = [0, 0], 0
    for seed in range(30):
        source, y, target, y_label, y_covariate = worlds(seed, n=400)
        false[0] += covariate_or_label(source, y, target, y_label).against_label >= 20
        false[1] += covariate_or_label(source, y, target, y_covariate).against_covariate >= 20
        right += covariate_or_label(source, y, target, y_label[:100]).decision == "label shift"
        right += covariate_or_label(source, y, target, y_covariate[:100]).decision == "covariate shift"
    assert max(false) <= 5
    assert right >= 0.8 * 60
