"""Whether an estimated target prior is worth using, and which classes to merge where it is not.

Notation: p source prior, q target prior.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dpocon, dpotrf
from scipy.stats import chi2

from shiftfix._verdict import Verdict

# Rows added, spread over the corners of the simplex, where a sample is too small to show rare events.
PSEUDO_ROWS = 2.0
# An estimate whose variances sum to a quarter of a uniform guess's is vague; a clear shift may still show in it.
VAGUE_SHARE = 0.25
# Above this many classes, one in as many is merged between two questions whether that is enough.
MERGES_SHARE = 50
# Eigenvalues below this share of the largest count as null.
NULL_SHARE = 1e-10
# Classes from which the pseudo-inverse is avoided.
FACTORED_CLASSES = 50
# Of sums that are 0 but for rounding.
SUM_ROUNDING = 1e-6
# Chance that a vague estimate is used although nothing moved.
SHIFT_LEVEL = 0.05
# Level of the test behind shrink="significance". An estimate from few target rows costs several points of accuracy
# where nothing moved: at 0.05 and 50 target rows about 0.35 on average, at 0.02 about 0.2.
GATE_LEVEL = 0.02
# Classes that a message names one by one.
MOST_NAMED = 50


def guess_variance(n_classes: int) -> float:
    """Summed variances of a uniform draw from the simplex, (K - 1) / (K (K + 1)): 1/6 for two classes."""
    return (n_classes - 1) / (n_classes * (n_classes + 1))


def tells_the_prior(
    target_prior: NDArray[np.float64], source_prior: NDArray[np.float64], covariance: NDArray[np.float64]
) -> bool:
    """Whether an estimate of the target prior is worth using.

    No, when it is vague (its variances sum to more than a quarter of a uniform guess's) and also cannot be told
    from the source prior by a Wald test, (q - p)' Cov^+ (q - p) against chi-squared with K - 1 degrees of freedom at
    level 0.05. A shift that is clear in one direction shows there, however vague the others.

    Parameters
    ----------
    target_prior, source_prior : ndarray of shape (n_classes,)
        The estimate q, and p.
    covariance : ndarray of shape (n_classes, n_classes)
        Sampling covariance of q.
    """
    if np.trace(covariance) <= VAGUE_SHARE * guess_variance(len(target_prior)):
        return True
    shift = target_prior - source_prior
    return bool(chi2.sf(_wald(shift, covariance), len(shift) - 1) < SHIFT_LEVEL)


def _wald(shift: NDArray[np.float64], covariance: NDArray[np.float64]) -> float:
    """Wald's statistic, shift' Cov^+ shift.

    Shares sum to 1, so that an exact covariance has the null vector 1, and shifts nothing along it. With that direction
    filled in, Cholesky's factor gives the same number in a tenth of the time, where no other direction is null.
    """
    level = np.trace(covariance) / len(shift)
    sums = np.abs(covariance.sum(axis=0)).max()
    if len(shift) >= FACTORED_CLASSES and np.abs(shift.sum()) <= SUM_ROUNDING:
        filled = covariance + level / len(shift) if sums <= SUM_ROUNDING * level else covariance
        factor, failed = dpotrf(filled, lower=1, clean=0)
        # For a symmetric matrix this number is at most the least eigenvalue over the largest.
        if not failed and dpocon(factor, np.abs(filled).sum(axis=0).max(), uplo="L")[0] > 10 * NULL_SHARE:
            half = solve_triangular(factor, shift, lower=True, check_finite=False)
            return float(half @ half)
    return float(shift @ np.linalg.pinv(covariance, rcond=NULL_SHARE, hermitian=True) @ shift)


def suggest_merge(
    target_prior: NDArray[np.float64], source_prior: NDArray[np.float64], covariance: NDArray[np.float64]
) -> list[list[int]]:
    """Classes to treat as one, so that the rest is worth using.

    The pair whose merging takes most off the summed variances is merged, until the estimate of the merged classes
    tells the prior (:func:`tells_the_prior`); with 100 classes or more, a fiftieth of them is merged between two such
    questions, whose time grows with the cube of the classes. Two classes that are taken for one another have errors
    of opposite sign, so their sum is known much better than either.

    Parameters
    ----------
    target_prior, source_prior : ndarray of shape (n_classes,)
    covariance : ndarray of shape (n_classes, n_classes)
        Sampling covariance of the target prior.

    Returns
    -------
    list of list of int
        Groups of two or more classes; empty when no merging is needed, or when none short of all classes helps.
    """
    merging = _Merging(target_prior, source_prior, covariance)
    while not tells_the_prior(*merging.merged()):
        for _ in range(max(1, len(merging.alive) // MERGES_SHARE)):
            if len(merging.alive) == 2:
                return []
            merging.merge(*merging.likest_pair())
    return sorted(sorted(group) for group in merging.groups if len(group) > 1)


class _Merging:
    """Classes that become one after the other; the place of a class that was merged into another stays unused."""

    def __init__(
        self, target_prior: NDArray[np.float64], source_prior: NDArray[np.float64], covariance: NDArray[np.float64]
    ) -> None:
        self.alive = np.arange(len(target_prior))
        self.groups = [[k] for k in range(len(target_prior))]
        self._q, self._p, self._v = target_prior.copy(), source_prior.copy(), covariance.copy()
        self._pairs = covariance.copy()
        np.fill_diagonal(self._pairs, np.inf)
        self._likest = self._pairs.argmin(axis=1)

    def merged(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Both priors and the covariance of the classes as they are now."""
        return self._q[self.alive], self._p[self.alive], self._v[np.ix_(self.alive, self.alive)]

    def likest_pair(self) -> list[int]:
        """The two classes whose estimates exclude one another the most, in order."""
        j = self.alive[self._pairs[self.alive, self._likest[self.alive]].argmin()]
        return sorted((int(j), int(self._likest[j])))

    def merge(self, j: int, k: int) -> None:
        """Make class k a part of class j."""
        for values in (self._q, self._p, self._v, self._v.T):
            values[j] += values[k]
        self.groups[j] += self.groups[k]
        self.groups[k] = []
        self.alive = self.alive[self.alive != k]
        self._pairs[k] = self._pairs[:, k] = np.inf
        others = self.alive[self.alive != j]
        self._pairs[j, others] = self._v[j, others]
        self._pairs[others, j] = self._v[others, j]
        self._update_likest(j, k)

    def _update_likest(self, j: int, k: int) -> None:
        """Search the rows anew whose likest class was one of the two, and compare the others with the new one."""
        likest = self._likest
        nearest = likest[self.alive]
        stale = self.alive[(nearest == j) | (nearest == k) | (self.alive == j)]
        likest[stale] = self._pairs[stale].argmin(axis=1)
        value, best = self._pairs[self.alive, j], self._pairs[self.alive, likest[self.alive]]
        nearer = (value < best) | ((value == best) & (j < likest[self.alive]))
        likest[self.alive[nearer]] = j


class Identification(NamedTuple):
    """Whether an estimate is worth using, what was found, and, where it is not, what to do about it."""

    identified: bool
    finding: str
    advice: str = ""

    @property
    def reason(self) -> str:
        """Finding and advice, where there is one, in one sentence."""
        return f"{self.finding}; {self.advice}" if self.advice else self.finding


def identify(
    target_prior: NDArray[np.float64],
    source_prior: NDArray[np.float64],
    covariance: NDArray[np.float64],
    classes: NDArray[Any],
) -> Identification:
    """Whether an estimate tells the prior, with the standard errors and the classes to merge where it does not.

    Parameters
    ----------
    target_prior, source_prior : ndarray of shape (n_classes,)
        The estimate q, and p.
    covariance : ndarray of shape (n_classes, n_classes)
        Sampling covariance of q.
    classes : ndarray of shape (n_classes,)
        Their labels.
    """
    error = np.sqrt(np.diag(covariance))
    errors = f"standard errors are up to {error.max():.2g} (class {classes.tolist()[error.argmax()]!r})"
    if tells_the_prior(target_prior, source_prior, covariance):
        return Identification(True, f"the scores tell the target prior: {errors}")
    groups = [classes[group].tolist() for group in suggest_merge(target_prior, source_prior, covariance)]
    merge = f"merge {' and '.join(map(str, groups))} into one class" if groups else "merge classes"
    if sum(map(len, groups)) > MOST_NAMED:
        merge = f"merge classes, {sum(map(len, groups))} of them into {len(groups)}"
    return Identification(
        False,
        f"{errors}, and the estimate cannot be told from the source prior",
        f"use a better classifier or more rows, or {merge}",
    )


def prior_verdict(identification: Identification, shift_p_value: float | None = None) -> Verdict:
    """Verdict on a correction by the prior: "abstain" for one that is not identified, else "ok".

    Where no shift calls for a correction, that is the reason of the "ok".

    Parameters
    ----------
    identification : Identification
    shift_p_value : float, default=None
        Of the test of equal mean scores, where it decides.
    """
    if not identification.identified:
        advice = f"{identification.advice[0].upper()}{identification.advice[1:]}."
        return Verdict("abstain", [identification.reason], advice)
    if shows_no_shift(shift_p_value):
        finding = f"no shift was detected: the mean scores of source and target do not differ, p = {shift_p_value:.2g}"
        return Verdict("ok", [finding])
    return Verdict("ok")


def shows_no_shift(shift_p_value: float | None) -> bool:
    """Whether the test of equal mean scores was asked and found no shift."""
    return shift_p_value is not None and shift_p_value >= GATE_LEVEL
