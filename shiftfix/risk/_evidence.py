"""Evidence that a mean has risen at an unknown time, which may be looked at after every observation.

z_1, z_2, ... lie in [0, 1], and nothing has happened as long as the mean of each, given those before it, is at most its
bound m_i. For a tilt a > 0, with E = exp(a) - 1, the factor

    (1 + E z_i) / (1 + E m_i)

has mean at most 1 then, so that a product of such factors, from whatever start, is the wealth of a bettor who cannot
expect to gain. Of zeros and ones it is the likelihood ratio of odds that are exp(a) times as large as those of m_i.
Wealth of 1 is spread over tilts, and over starts by weights that sum to 1: start t gets S(t - 1) - S(t) with
S(0) = 1 and S(t) = (1 - f) h / (h + t). All of it together exceeds 1 / alpha at any time with chance at most alpha
(Ville's inequality), and grows from the start on that the truth has, less what the search for it costs.
Source: Ville (1939), "Étude critique de la notion de collectif", chapter V; Waudby-Smith & Ramdas (2024), JRSS-B
86(1):1-27, equation 24 (betting on bounded means); Shin, Ramdas & Rinaldo (2024), New England J. Statist. Data Sci.
2(2):229-260, section 2.3 (mixtures over starts).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from shiftfix._numerics import Floats

# Log odds by which the alternatives exceed the bound: steps of a factor 2 lose a ninth of the growth at most.
TILTS = (0.2, 0.4, 0.8, 1.6)
# Share of the wealth that is staked from the first observation on: what is wrong from the start is found soon.
AT_ONCE = 0.1


class BettingEvidence(NamedTuple):
    """What is kept of the observations gone by.

    Attributes
    ----------
    n_seen : int
        Observations so far.
    log_wealth : ndarray of shape (n_tilts,)
        Log wealth in the hands of each tilt, summed over the starts up to now, before it is shared among the tilts.
    log_best : ndarray of shape (n_tilts,)
        What a wealth of 1 has become from the start from which it has grown the most.
    start : ndarray of int of shape (n_tilts,)
        That start, counted from 0.
    """

    n_seen: int
    log_wealth: Floats
    log_best: Floats
    start: NDArray[np.int64]

    def log_total(self, horizon: float) -> float:
        """Log of all wealth, that not yet staked among it."""
        return float(log_totals(self.log_wealth[np.newaxis], np.array([self.n_seen]), horizon)[0])

    @property
    def likely_start(self) -> int:
        """The start that the most has been gained from."""
        return int(self.start[np.argmax(self.log_best)])


def no_evidence(n_tilts: int = len(TILTS)) -> BettingEvidence:
    """Before the first observation."""
    nothing = np.full(n_tilts, -np.inf)
    return BettingEvidence(0, nothing, nothing, np.zeros(n_tilts, dtype=np.int64))


def log_unstaked(t: NDArray[np.int64], horizon: float) -> Floats:
    """Log of S(t), the wealth that is yet to be staked after t observations."""
    share = np.log1p(-AT_ONCE) - np.log1p(t / horizon)
    return np.where(t > 0, share, 0.0)


def log_stake(t: NDArray[np.int64], horizon: float) -> Floats:
    """Log of S(t - 1) - S(t): the wealth staked from observation t on, t counted from 1."""
    later = np.log1p(-AT_ONCE) + np.log(horizon) - np.log(horizon + t - 1) - np.log(horizon + t)
    return np.where(t > 1, later, np.log1p(-(1 - AT_ONCE) / (1 + 1 / horizon)))


def log_totals(log_wealth: Floats, t: NDArray[np.int64], horizon: float) -> Floats:
    """Log of all wealth after t observations, shape (n_times,), from that of each tilt, (n_times, n_tilts)."""
    staked = logsumexp(log_wealth, axis=1) - np.log(log_wealth.shape[1])
    return np.logaddexp(staked, log_unstaked(t, horizon))


def log_factors(z: Floats, bound: Floats | float, tilts: tuple[float, ...] = TILTS) -> Floats:
    """Log of each observation's factor for each tilt, shape (n, n_tilts); 0 where the bound excludes nothing.

    Parameters
    ----------
    z : ndarray of shape (n,)
        In [0, 1].
    bound : ndarray of shape (n,), or float
        Largest mean of each that is no change; at least 0.
    tilts : tuple of float
    """
    gain, bound = np.expm1(np.array(tilts)), np.broadcast_to(bound, z.shape)[:, np.newaxis]
    factors = np.log1p(gain * z[:, np.newaxis]) - np.log1p(gain * bound)
    return np.where(bound < 1, factors, 0.0)


def with_observations(evidence: BettingEvidence, factors: Floats, horizon: float) -> tuple[BettingEvidence, Floats]:
    """The evidence after further observations, and the log of all wealth after each of them.

    Parameters
    ----------
    evidence : BettingEvidence
    factors : ndarray of shape (n, n_tilts)
        Of :func:`log_factors`, n at least 1.
    horizon : float
        h, in observations.

    Returns
    -------
    evidence : BettingEvidence
    log_total : ndarray of shape (n,)
    """
    t = evidence.n_seen + np.arange(1, len(factors) + 1)
    gained = factors.cumsum(axis=0)
    # In units of what a stake made before these observations has become.
    stakes = log_stake(t, horizon)[:, np.newaxis] - (gained - factors)
    held = np.logaddexp.accumulate(np.vstack([evidence.log_wealth, stakes]), axis=0)[1:] + gained
    rivals = np.vstack([evidence.log_best, factors - gained])
    best, tilts = rivals.argmax(axis=0), np.arange(factors.shape[1])
    start = np.where(best == 0, evidence.start, evidence.n_seen + best - 1)
    after = BettingEvidence(int(t[-1]), held[-1], rivals[best, tilts] + gained[-1], start)
    return after, log_totals(held, t, horizon)


def log_told(factors: Floats) -> Floats:
    """Log wealth after each observation where all of it is staked from the first on; shape (n,)."""
    return logsumexp(factors.cumsum(axis=0), axis=1) - np.log(factors.shape[1])
