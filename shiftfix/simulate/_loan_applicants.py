"""Applicants for a loan who know the rule: they dress for it, and those it refuses stay at home.

After the story of the Oxford shoes in Zhang, Lipton, Li & Smola, "Dive into Deep Learning", section 4.7.1. Income takes
21 values and shoes two, so every share, chance and density ratio is a finite sum, exact under any rule.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from shiftfix._door import PublicCalls
from shiftfix._printed import printed
from shiftfix._setting_checks import check_count, check_generator, check_number
from shiftfix._validation import check_vector
from shiftfix.exceptions import ShiftDataError
from shiftfix.simulate._feedback import Crowd, Rule

SNEAKERS, OXFORDS = 0.0, 1.0
INCOMES = np.linspace(-2.5, 2.5, 21)
# log odds to repay: per standard deviation of income, and for the reliable (against: for the others).
INCOME_SLOPE, RELIABLE = 1.0, 1.0


@printed
class LoanCells(NamedTuple):
    """The applicants under one rule, exactly.

    Attributes
    ----------
    X : ndarray of shape (42, 2)
        Income, in standard deviations from the mean, and shoes: 0 for sneakers, 1 for Oxfords.
    share : ndarray of shape (42,)
        Of the applicants; sums to 1.
    chance : ndarray of shape (42,)
        P(repays | income, shoes).
    came : float
        Share of all who want a loan that still apply.

    See Also
    --------
    LoanApplicants : Shoes and loans.
    """

    X: NDArray[np.float64]
    share: NDArray[np.float64]
    chance: NDArray[np.float64]
    came: float


CELLS = np.column_stack([np.repeat(INCOMES, 2), np.tile([SNEAKERS, OXFORDS], INCOMES.size)])


def _accept_chances(rule: Rule | None) -> NDArray[np.float64]:
    """By income (rows) and shoes (columns); without a rule everybody is accepted."""
    if rule is None:
        return np.ones((INCOMES.size, 2))
    chances = check_vector(rule(CELLS), "rule(X)", len(CELLS))
    if not ((chances >= 0) & (chances <= 1)).all():
        raise ShiftDataError(
            f"rule(X) runs from {chances.min():g} to {chances.max():g}: a chance to be accepted lies within [0, 1]."
        )
    return chances.reshape(INCOMES.size, 2)


def worn(own_oxfords: float, gain: NDArray[np.float64], gaming: float) -> NDArray[np.float64]:
    """Share that comes in Oxfords, by income.

    ``gain`` is what Oxfords add to the chance to be accepted; a share ``gaming`` times the gain of those whom the other
    pair would serve changes shoes, in either direction.
    """
    to_oxfords, to_sneakers = gaming * np.maximum(gain, 0), gaming * np.maximum(-gain, 0)
    return own_oxfords * (1 - to_sneakers) + (1 - own_oxfords) * to_oxfords


class LoanApplicants(PublicCalls):
    """People who want a loan, half of them reliable; shoes tell until they are asked to.

    Income is roughly standard normal. The log odds to repay are income + 1 for the reliable, income - 1 for the others,
    and nothing else. Reliability is hidden; it shows in the shoes of those who have no reason to change them.

    Parameters
    ----------
    signal : float in [0, 1], default=0.85
        Share of the reliable that own Oxfords, and of the others that wear sneakers. 1/2 tells nothing.
    gaming : float in [0, 1], default=1.0
        Share of those in the wrong shoes that changes them when this takes the chance of a loan from 0 to 1; in
        proportion where it gains less. They repay as before.
    staying_away : float in [0, 1], default=0.0
        Share of those certain to be refused that does not come; in proportion where a loan is possible.

    Raises
    ------
    ShiftDataError
        For shares outside [0, 1], and when nobody comes.

    See Also
    --------
    LoanCells : Their exact shares.
    feedback_loop : Rounds of a rule, a population that answers, and retraining.

    Examples
    --------
    >>> people = LoanApplicants()
    >>> at_mean = people.cells(None).X[:, 0] == 0
    >>> people.cells(None).chance[at_mean].round(3).tolist()
    [0.338, 0.662]
    >>> only_oxfords = people.cells(lambda X: X[:, 1])
    >>> only_oxfords.chance[at_mean].round(3).tolist()
    [0.5, 0.5]
    """

    def __init__(self, signal: float = 0.85, *, gaming: float = 1.0, staying_away: float = 0.0) -> None:
        self.signal = float(check_number(signal, "signal", least=0, most=1))
        self.gaming = float(check_number(gaming, "gaming", least=0, most=1))
        self.staying_away = float(check_number(staying_away, "staying_away", least=0, most=1))

    def __repr__(self) -> str:
        return f"LoanApplicants({self.signal:g}, gaming={self.gaming:g}, staying_away={self.staying_away:g})"

    def cells(self, rule: Rule | None) -> LoanCells:
        """Who applies under a rule, and what they are worth, exactly.

        Parameters
        ----------
        rule : callable or None
            Rows of (income, shoes) to the chance to be accepted, in [0, 1]. None accepts everybody.

        Returns
        -------
        LoanCells
            The chance of a cell that nobody is in is that of an applicant of its income whose shoes tell nothing.

        Raises
        ------
        ShiftDataError
            For a rule that leaves [0, 1], and when nobody comes.
        """
        accept = _accept_chances(rule)
        gain = accept[:, 1] - accept[:, 0]
        # By income, reliability (no, yes) and shoes.
        in_oxfords = np.stack([worn(own, gain, self.gaming) for own in (1 - self.signal, self.signal)], axis=1)
        dressed = np.stack([1 - in_oxfords, in_oxfords], axis=2)
        incomes = np.exp(-(INCOMES**2) / 2)
        wanting = incomes[:, None, None] / incomes.sum() / 2 * dressed
        coming = wanting * (1 - self.staying_away * (1 - accept))[:, None, :]
        came = float(coming.sum())
        if came <= 0:
            raise ShiftDataError("Nobody comes: the rule refuses all, and staying_away=1 keeps all refused at home.")
        repays = expit(INCOME_SLOPE * INCOMES[:, None] + RELIABLE * np.array([-1.0, 1.0]))
        # P(reliable | income, shoes) is that of all who want a loan: who stays away does so by income and shoes alone.
        present = wanting.sum(axis=1)
        chance = np.divide(
            (wanting * repays[:, :, None]).sum(axis=1),
            present,
            out=np.repeat(repays.mean(axis=1)[:, None], 2, axis=1),
            where=present > 0,
        )
        return LoanCells(CELLS.copy(), (coming.sum(axis=1) / came).ravel(), chance.ravel(), came)

    def draw(self, rule: Rule | None, n_rows: int, random_state: Any = None) -> Crowd:
        """Applicants under a rule.

        Parameters
        ----------
        rule : callable or None
            As for :meth:`cells`.
        n_rows : int
        random_state : int, RandomState, Generator or None, default=None

        Returns
        -------
        Crowd
            X, y (1 repays), chance, and the density ratio to applicants without a rule.

        Raises
        ------
        ShiftDataError
            As :meth:`cells`.
        """
        n_rows, generator = check_count(n_rows, "n_rows"), check_generator(random_state)
        now, before = self.cells(rule), self.cells(None)
        drawn = generator.choice(len(now.share), n_rows, p=now.share)
        # Without a rule half of every income wears each pair of shoes: no share is 0.
        ratio = now.share[drawn] / before.share[drawn]
        chance = now.chance[drawn]
        return Crowd(now.X[drawn], (generator.random(n_rows) < chance).astype(np.int64), chance, ratio)
