"""The biased coin: a population that answers to a prediction, with a closed form.

Perdomo, Zrnic, Mendler-Dünner & Hardt (2020), "Performative prediction", ICML, example 2.2: x is -1 or 1, and
P(y = 1 | x) = 1/2 + (mu + eps theta) x when f(x) = 1/2 + theta x is in use. With the squared loss, and a for mu + eps
theta', where theta' is in use while theta is judged,

    E (y - f)^2 = 1/4 - a^2 + (a - theta)^2 = 1/4 - 2 a theta + theta^2.

Its minimum over theta is a: retraining goes theta -> mu + eps theta and settles at mu / (1 - eps). Where theta itself
is in use the risk is 1/4 - 2 mu theta + (1 - 2 eps) theta^2, and its minimum mu / (1 - 2 eps).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftfix._door import PublicCalls
from shiftfix._setting_checks import check_count, check_generator, check_number
from shiftfix.exceptions import ShiftDataError
from shiftfix.simulate._feedback import Crowd, Rule

SIDES = np.array([[-1.0], [1.0]])
LARGEST_SLOPE = 0.5  # of a prediction within [0, 1]


def slope_of(rule: Rule | None) -> float:
    """Slope theta of any rule on x = -1 and 1: half its difference. Without a rule it is 0."""
    if rule is None:
        return 0.0
    below, above = np.asarray(rule(SIDES), dtype=np.float64)
    return float(above - below) / 2


class BiasedCoin(PublicCalls):
    """A coin whose bias follows what is predicted of it.

    x is -1 or 1 with equal chances, and P(y = 1 | x) = 1/2 + (mu + eps theta) x, where theta is half the difference of
    the predictions in use at 1 and at -1.

    Parameters
    ----------
    mu : float in [0, 1/2], default=0.2
        The bias that nobody's prediction changes.
    eps : float in [0, 1), default=0.3
        How strongly the coin follows; mu + eps / 2 is at most 1/2, so that chances stay chances.

    Attributes
    ----------
    stable : float
        mu / (1 - eps), where retraining settles: the best answer to the population that it makes itself.
    optimum : float
        mu / (1 - 2 eps), at most 1/2: the theta in [-1/2, 1/2] of the least risk where it is in use.

    Raises
    ------
    ShiftDataError
        For numbers out of range.

    See Also
    --------
    feedback_loop : Rounds of a rule, a population that answers, and retraining.
    LoanApplicants : Shoes and loans.

    Examples
    --------
    >>> coin = BiasedCoin(mu=0.2, eps=0.3)
    >>> round(coin.stable, 6), round(coin.optimum, 6)
    (0.285714, 0.5)
    >>> round(coin.risk(coin.stable), 6), round(coin.risk(coin.optimum), 6)
    (0.168367, 0.15)
    """

    def __init__(self, mu: float = 0.2, eps: float = 0.3) -> None:
        self.mu = float(check_number(mu, "mu", least=0, most=0.5))
        self.eps = float(check_number(eps, "eps", least=0, below=1))
        # A rounding of .2 + .6 / 2 is no chance above 1.
        if self.mu + self.eps / 2 > 0.5 + 1e-12:
            raise ShiftDataError(
                f"mu={mu!r} and eps={eps!r}: the chance could reach {0.5 + self.mu + self.eps / 2:.3g}. Pass an eps of "
                f"at most {1 - 2 * self.mu:.3g}, or a smaller mu."
            )

    def __repr__(self) -> str:
        return f"BiasedCoin(mu={self.mu:g}, eps={self.eps:g})"

    @property
    def stable(self) -> float:
        """Where retraining settles: mu / (1 - eps)."""
        return self.mu / (1 - self.eps)

    @property
    def optimum(self) -> float:
        """Least risk: mu / (1 - 2 eps), or 1/2 where the risk still falls there."""
        curvature = 1 - 2 * self.eps
        return self.mu / curvature if self.mu < LARGEST_SLOPE * curvature else LARGEST_SLOPE if self.mu > 0 else 0.0

    def retrained(self, theta: float) -> float:
        """The best theta on the population that ``theta`` makes: mu + eps theta.

        Parameters
        ----------
        theta : float in [-1/2, 1/2]
            In use.

        Returns
        -------
        float

        Raises
        ------
        ShiftDataError
            For a theta whose predictions leave [0, 1].
        """
        return self.mu + self.eps * check_number(theta, "theta", least=-LARGEST_SLOPE, most=LARGEST_SLOPE)

    def risk(self, theta: float) -> float:
        """Expected squared loss of 1/2 + theta x where it is in use: 1/4 - 2 mu theta + (1 - 2 eps) theta^2.

        Parameters
        ----------
        theta : float in [-1/2, 1/2]

        Returns
        -------
        float

        Raises
        ------
        ShiftDataError
            For a theta whose predictions leave [0, 1].
        """
        bias = self.retrained(theta)
        return float(0.25 - 2 * bias * theta + theta**2)

    def draw(self, rule: Rule | None, n_rows: int, random_state: Any = None) -> Crowd:
        """Tosses while a rule is in use.

        Parameters
        ----------
        rule : callable or None
            Rows of shape (n, 1) to predictions in [0, 1]. None is 1/2 for all.
        n_rows : int
        random_state : int, RandomState, Generator or None, default=None

        Returns
        -------
        Crowd
            X, y, chance and ratio; the last is 1, as nobody chooses x.

        Raises
        ------
        ShiftDataError
            For a rule that leaves [0, 1].
        """
        n_rows, generator = check_count(n_rows, "n_rows"), check_generator(random_state)
        bias = self.retrained(slope_of(rule))
        X: NDArray[np.float64] = SIDES[generator.integers(0, 2, n_rows)]
        chance = np.clip(0.5 + bias * X[:, 0], 0.0, 1.0)
        return Crowd(X, (generator.random(n_rows) < chance).astype(np.int64), chance, np.ones(n_rows))
