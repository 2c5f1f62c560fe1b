"""Certificates of no harm: Wald and Wilson by hand, chances of wrong answers by enumeration, and errors."""

import math
from bisect import bisect

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import binom, norm, t

from shiftfix.exceptions import ShiftDataError
from shiftfix.risk import certify_no_harm, plan_labels
from shiftfix.risk._certify import BETS, bettors_lower_bound, wald_bounds
from shiftfix.risk._ppi import ppi_mean

Z = norm.ppf(0.95)


def test_bounds_without_a_range_are_students():
    d = np.random.default_rng(0).normal(0.1, 1, 25)
    found = certify_no_harm(d, 0.0, loss_range=None)
    reach = t.ppf(0.95, 24) * d.std(ddof=1) / 5
    assert_allclose([found.low, found.high], d.mean() + np.array([-reach, reach]))


def test_no_errors_are_wilsons_bound():
    """Two models that agree on 100 rows: z^2 / (100 + z^2) = .0263, which certifies three points and not two."""
    same = np.zeros(100)
    found = certify_no_harm(same, same, tolerance=0.03)
    assert found.high == pytest.approx(Z**2 / (100 + Z**2))
    assert found.answer == "yes"
    assert certify_no_harm(same, same, tolerance=0.02).answer == "more labels"


def test_rows_at_the_ends_are_agresti_and_coulls_interval():
    """20 errors in 100 against 0: (20 + z^2 / 2) / (100 + z^2) and its binomial error."""
    found = certify_no_harm(np.arange(100) < 20, 0.0)
    p = (20 + Z**2 / 2) / (100 + Z**2)
    reach = Z * math.sqrt(p * (1 - p) / (100 + Z**2))
    assert_allclose([found.low, found.high], [p - reach, p + reach])


def chances(n, reference, tolerance):
    """Of "yes" and of "no" where the loss rises by just the tolerance."""
    yes = no = 0.0
    for k in range(n + 1):
        bounds = wald_bounds((np.arange(n) < k) - reference, None, None, (-reference, 1 - reference), 0.95)
        chance = binom.pmf(k, n, reference + tolerance)
        yes, no = yes + chance * (bounds.high <= tolerance), no + chance * (bounds.low > tolerance)
    return yes, no


@pytest.mark.parametrize(("n", "reference"), [(30, 0.1), (100, 0.02), (100, 0.3), (300, 0.1)])
def test_wrong_answers_are_rare_by_enumeration(n, reference):
    """At the tolerance itself, where they are most likely."""
    assert max(chances(n, reference, 0.02)) <= 0.07


@pytest.mark.parametrize(("n", "stated"), [(30, 0.09), (40, 0.09), (100, 0.08), (300, 0.08)])
def test_wrong_answers_are_as_rare_as_stated_at_any_true_rate(n, stated):
    """Of all rates: so many errors or fewer are likeliest to say yes where their upper bound is the truth; likewise
    no. At most .0900 of n = 30 to 3000, and .0786 of n = 100 to 3000."""
    worst = 0.0
    for k in range(n + 1):
        bounds = wald_bounds((np.arange(n) < k).astype(float), None, None, (0.0, 1.0), 0.95)
        yes = binom.cdf(k, n, bounds.high) if bounds.high < 1 else 0.0
        no = binom.sf(k - 1, n, bounds.low) if bounds.low > 0 else 0.0
        worst = max(worst, yes, no)
    assert stated - 0.01 < worst < stated + 0.0001
    assert f"at most {stated:g}".replace("0.", ".") in (certify_no_harm.__doc__ or "")


def test_two_models_that_differ_in_few_rows_take_fewer_labels_paired():
    before = (np.arange(800) < 160).astype(float)
    after = np.where((np.arange(800) >= 148) & (np.arange(800) < 172), 1 - before, before)
    paired, other = certify_no_harm(after, before), certify_no_harm(after, before.mean())
    assert paired.answer == "yes"
    assert paired.high - paired.low < 0.6 * (other.high - other.low)


def test_scores_of_all_rows_narrow_the_bounds_as_planned(rng):
    """Errors with chance .02 or .6: R2 = .58 among 4000 rows."""
    expected = np.tile([0.02, 0.6], 2000)
    wrong = (rng.random(4000) < expected).astype(float)
    given = {"scores": expected[:300], "scores_unlabelled": expected[300:]}
    scored, alone = certify_no_harm(wrong[:300], 0.3, **given), certify_no_harm(wrong[:300], 0.3)
    assert scored.difference == pytest.approx(ppi_mean(wrong[:300], expected[:300], expected[300:]).mean - 0.3)
    plan = plan_labels(expected[300:], wrong[:300], expected[:300])
    shrunk = (scored.high - scored.low) / (alone.high - alone.low)
    assert shrunk == pytest.approx(plan.half_width(300) / plan.half_width(300, with_scores=False), rel=0.03)
    assert "scores of all rows" in str(scored)


def test_scores_that_happen_to_explain_few_labels_certify_nothing(rng):
    """3 of 30 wrong, just as scored: what the scores leave is 0, and z^2 / 2 rows at both ends stand beside it."""
    wrong, others = np.arange(30) < 3, rng.permutation(5000) < 500
    found = certify_no_harm(wrong, 0.1, tolerance=0.05, scores=wrong, scores_unlabelled=others)
    assert found.answer == "more labels"
    assert found.high - found.low > 2 * Z * math.sqrt(Z**2 * 0.25) / (30 + Z**2)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "share", "tolerance"), [(30, 0.0575, 0.05), (60, 0.03, 0.025), (100, 0.02, 0.017)])
def test_scores_that_explain_nearly_all_seldom_make_for_a_false_yes(n, share, tolerance):
    """A tenth is wrong as scored, and a share of the rest unscored, by just more than is tolerated: of 600 draws more
    than 46 have chance .001 at .05; relying on what was left at face value .10 said yes."""
    rng, said = np.random.default_rng(1), 0
    for _ in range(600):
        scores, others = rng.random(n) < 0.1, rng.random(5000) < 0.1
        wrong = scores | (rng.random(n) < share)
        found = certify_no_harm(wrong, 0.1, tolerance=tolerance, scores=scores, scores_unlabelled=others)
        said += found.is_certified
    assert said <= 46


def test_a_reference_on_other_rows_adds_its_own_error():
    rng = np.random.default_rng(2)
    target, source = rng.random(400) < 0.2, rng.random(300) < 0.2
    found = certify_no_harm(target, source, paired=False, tolerance=0.2)
    alone = certify_no_harm(target, float(source.mean()), tolerance=0.2)
    own = Z * source.std(ddof=1) / math.sqrt(300)
    reach = math.hypot(alone.high - alone.difference, own)
    assert found.high == pytest.approx(found.difference + reach)
    assert "300 other rows" in str(found)


def test_a_reference_without_an_error_is_not_exact():
    """Ten rows that are right allow for .25 errors (z^2 / 2 rows at both ends), and .1 were found."""
    found = certify_no_harm(np.arange(1000) < 100, np.zeros(10), paired=False)
    assert found.answer == "more labels"
    alone = certify_no_harm(np.arange(1000) < 100, 0.0)
    p = Z**2 / 2 / (10 + Z**2)
    reach = math.hypot(alone.difference - alone.low, p + Z * math.sqrt(p * (1 - p) / (10 + Z**2)))
    assert found.low == pytest.approx(found.difference - reach)


def test_a_reference_of_equal_rows_without_a_range_tells_nothing(rng):
    found = certify_no_harm(rng.normal(1, 0.1, 50), np.zeros(10), paired=False, loss_range=None)
    assert (found.answer, found.low, found.high, found.n_more) == ("more labels", -math.inf, math.inf, None)


@pytest.mark.parametrize(("n_reference", "most"), [(10, 0.05), (20, 0.05), (30, 0.05)])
def test_a_small_reference_seldom_makes_for_a_false_no(n_reference, most):
    """Both have .1 errors, and 1000 labels are known, by enumeration of the reference's errors and of the target's."""
    wrong = 0.0
    for errors, chance in enumerate(binom.pmf(np.arange(n_reference + 1), n_reference, 0.1)):
        reference = (np.arange(n_reference) < errors).astype(float)
        least = bisect(
            range(1001),
            False,
            key=lambda c, reference=reference: (
                certify_no_harm(np.arange(1000) < c, reference, paired=False).answer == "no"
            ),
        )
        wrong += chance * binom.sf(least - 1, 1000, 0.1)
    assert wrong <= most


def test_a_reference_too_vague_for_any_number_of_labels():
    found = certify_no_harm(np.arange(50) < 5, np.arange(60) < 6, paired=False)
    assert found.answer == "more labels"
    assert found.n_more is None
    assert "No number of labels" in str(found)


def test_labels_said_to_be_needed_are_those_of_the_textbook():
    """Against .15 with no difference: s2 (1.645 + .842)^2 / .02^2, s2 with rows at both ends."""
    d = np.arange(200) < 30
    found = certify_no_harm(d, 0.15)
    p = (30 + Z**2 / 2) / (200 + Z**2)
    total = p * (1 - p) * (Z + norm.ppf(0.8)) ** 2 / 0.02**2
    assert found.n_more_if_equal == math.ceil(total) - 200
    assert found.n_more == found.n_more_if_equal


@pytest.mark.slow
def test_so_many_labels_do_decide():
    """No rise, .15 errors: with the 2,000 labels said to be needed 80% say yes; 200 draws: .80 +- .09."""
    rng = np.random.default_rng(3)
    n = 200 + certify_no_harm(np.arange(200) < 30, 0.15).n_more
    yes = np.mean([certify_no_harm(rng.random(n) < 0.15, 0.15).is_certified for _ in range(200)])
    assert yes == pytest.approx(0.8, abs=0.09)


def test_answers_at_any_time_are_a_bettors():
    """Below the bound the bettor's largest wealth is above 20, at it 20: by hand, bet by bet."""
    wrong = (np.random.default_rng(4).random(300) < 0.5).astype(float)
    found = certify_no_harm(wrong, 0.2, anytime=True)

    def wealth(mean):
        gains = np.exp(np.array(BETS)) - 1
        return np.cumprod((1 + np.outer(wrong, gains)) / (1 + gains * mean), axis=0).mean(axis=1).max()

    assert wealth(found.low + 0.2) == pytest.approx(20, rel=1e-4)
    assert wealth(found.low + 0.19) > 20
    mirrored = certify_no_harm(1 - wrong, 0.8, anytime=True)
    assert_allclose([mirrored.low, mirrored.high], [-found.high, -found.low], atol=1e-8)
    assert found.answer == "no"
    assert "as often as one asks" in str(found)
    assert found.low < certify_no_harm(wrong, 0.2).low < found.difference < found.high


def test_few_labels_prove_nothing_at_any_time():
    found = certify_no_harm(np.zeros(2), 0.2, anytime=True)
    assert (found.low, found.answer) == (pytest.approx(-0.2), "more labels")


@pytest.mark.slow
def test_bounds_at_any_time_hold_at_all_times():
    """Asked after each of 400 labels at a true mean of .2: of 200 draws more than 20 above .05 have chance .001."""
    crossed = 0
    for seed in range(200):
        wrong = (np.random.default_rng(seed).random(400) < 0.2).astype(float)
        crossed += bettors_lower_bound(wrong, 0.05) > 0.2  # of all labels, at its highest: the peak is over time
    assert crossed <= 20


def test_answers_in_words():
    few, many = np.zeros(50), np.zeros(500)
    assert str(certify_no_harm(many, many)).startswith("Yes: the loss rises by 0.02 at most (estimated +0, -0.00538")
    assert str(certify_no_harm(many + 1, many)).startswith("No: the loss rises by more than 0.02")
    open_ = certify_no_harm(few, few)
    assert str(open_).startswith("Not known yet")
    assert f"About {open_.n_more} labels more" in str(open_)
    assert "drawn at random" in str(open_)
    assert not open_.is_certified


def test_the_order_of_rows_does_not_matter(rng):
    wrong, before = (rng.random((2, 90)) < 0.2).astype(float)
    order = rng.permutation(90)
    first, second = certify_no_harm(wrong, before), certify_no_harm(wrong[order], before[order])
    assert first.high == pytest.approx(second.high, rel=1e-12)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"losses": [0, 2]}, "loss_range is 0 to 1"),
        ({"losses_reference": 2.0}, "losses_reference holds"),
        ({"losses_reference": [0.0, 1.0, 0.0]}, "3 values for 2 losses"),
        ({"losses_reference": 0.1, "paired": False}, "is a number"),
        ({"losses_reference": [0.1], "paired": False}, "single row"),
        ({"losses_reference": [0.1, 0.2], "paired": False, "anytime": True}, "anytime=True needs"),
        ({"loss_range": None, "anytime": True}, "pass the least and the largest"),
        ({"losses": [1], "loss_range": None}, "at least 2 labels"),
        ({"scores": [0, 1]}, "belong together"),
        ({"level": 0.4}, "level=0.4"),
        ({"tolerance": "x"}, "tolerance='x'"),
    ],
)
def test_errors(given, message):
    with pytest.raises(ShiftDataError, match=message):
        certify_no_harm(**{"losses": [0, 1], "losses_reference": 0.1} | given)
