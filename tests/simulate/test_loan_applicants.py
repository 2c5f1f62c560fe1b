import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit

from shiftfix.exceptions import ShiftDataError
from shiftfix.simulate import LoanApplicants

INCOMES = np.linspace(-2.5, 2.5, 21)


def by_hand(people, rule):
    """Shares and chances, person by person: income, reliability, own shoes, shoes worn, and who stays away."""
    density, repaying = {}, {}
    shares = np.exp(-(INCOMES**2) / 2)
    for income, share in zip(INCOMES, shares / shares.sum(), strict=True):
        accept = {worn: rule(np.array([[income, worn]])).item() for worn in (0, 1)}
        for reliable in (0, 1):
            for own in (0, 1):
                of_own = people.signal if own == reliable else 1 - people.signal
                for worn in (0, 1):
                    change = people.gaming * max(0, accept[1 - own] - accept[own])
                    comes = 1 - people.staying_away * (1 - accept[worn])
                    person = share / 2 * of_own * (change if worn != own else 1 - change) * comes
                    key = (round(float(income), 6), worn)
                    density[key] = density.get(key, 0) + person
                    repaying[key] = repaying.get(key, 0) + person * expit(income + (1 if reliable else -1))
    return density, repaying


@pytest.mark.parametrize("gaming", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("staying_away", [0.0, 0.7])
def test_exact_shares_and_chances(gaming, staying_away):
    """Two ways of summing; differences of rounding only."""
    people = LoanApplicants(0.8, gaming=gaming, staying_away=staying_away)

    def rule(X):
        return np.where(X[:, 0] > 0, 0.2 + 0.6 * X[:, 1], 0.5 - 0.4 * X[:, 1])

    cells = people.cells(rule)
    density, repaying = by_hand(people, rule)
    keys = [(round(float(income), 6), int(shoes)) for income, shoes in cells.X]
    came = sum(density.values())
    assert cells.came == pytest.approx(came, abs=1e-12)
    assert_allclose(cells.share, [density[key] / came for key in keys], atol=1e-12)
    assert_allclose(cells.chance, [repaying[key] / density[key] for key in keys], atol=1e-12)


def test_shoes_that_everybody_wears_tell_nothing():
    """The textbook's ending: the rule wants Oxfords, all come in Oxfords, and repay as all did before."""
    people = LoanApplicants(0.85)
    before, after = people.cells(None), people.cells(lambda X: X[:, 1])
    oxfords = before.X[:, 1] == 1
    assert after.share[oxfords].sum() == pytest.approx(1)
    assert_allclose(after.chance[oxfords], (before.chance[oxfords] + before.chance[~oxfords]) / 2)
    assert before.share @ before.chance == pytest.approx(after.share @ after.chance, abs=1e-12)


def test_who_stays_away_moves_no_chance():
    """Without gaming a rule changes who comes (covariate shift) and nothing of p(y | x)."""
    people = LoanApplicants(gaming=0.0, staying_away=1.0)
    before, after = people.cells(None), people.cells(lambda X: (X[:, 0] > 0).astype(float))
    assert_allclose(after.chance, before.chance)
    assert_allclose(after.share[before.X[:, 0] > 0].sum(), 1)
    assert after.came == pytest.approx(before.share[before.X[:, 0] > 0].sum())


def test_draws_have_the_exact_shares():
    """40000 rows, standard error of a mean at most .008; allowed .04. The ratio averages 1 in the mean of 1 / ratio."""
    people = LoanApplicants(staying_away=0.5)
    cells = people.cells(lambda X: X[:, 1])
    X, y, chance, ratio = people.draw(lambda X: X[:, 1], 40_000, 0)
    assert_allclose(X.mean(axis=0), cells.share @ cells.X, atol=0.04)
    assert y.mean() == pytest.approx(cells.share @ cells.chance, abs=0.0125)
    assert y.mean() == pytest.approx(chance.mean(), abs=0.0125)
    before = people.cells(None)
    assert_allclose(np.unique(ratio), np.unique((cells.share / before.share)[cells.share > 0]), rtol=1e-9)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: LoanApplicants(1.2), "signal=1.2"),
        (lambda: LoanApplicants(gaming=-1), "gaming=-1"),
        (lambda: LoanApplicants(staying_away=2), "staying_away=2"),
        (lambda: LoanApplicants().cells(lambda X: X[:, 0]), "runs from -2.5 to 2.5"),
        (lambda: LoanApplicants(staying_away=1).cells(lambda X: 0 * X[:, 1]), "Nobody comes"),
    ],
    ids=["signal", "gaming", "staying_away", "rule", "nobody"],
)
def test_errors(call, words):
    with pytest.raises(ShiftDataError, match=words):
        call()
