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
    variances = float(np.trace(covariance))
    if not _is_vague(variances, len(target_prior)):
        return True
    return _tells_by(variances, _wald(target_prior - source_prior, covariance), len(target_prior))


def _is_vague(variances: float, n_classes: int) -> bool:
    """Whether summed variances are beyond a share of a uniform guess's."""
    return variances > VAGUE_SHARE * guess_variance(n_classes)


def _tells_by(variances: float, statistic: float, n_classes: int) -> bool:
    """The answer of :func:`tells_the_prior` by the summed variances and Wald's statistic."""
    return not _is_vague(variances, n_classes) or bool(chi2.sf(statistic, n_classes - 1) < SHIFT_LEVEL)


def _well_conditioned_factor(
    covariance: NDArray[np.float64], centred: bool, largest: float = 0.0
) -> NDArray[np.float64] | None:
    """Cholesky's factor of a covariance, with the null vector 1 filled in where it is centred.

    None where an eigenvalue may count as null beside the largest, or beside ``largest``.
    """
    level = np.trace(covariance) / len(covariance)
    filled = covariance + level / len(covariance) if centred else covariance
    factor, failed = dpotrf(filled, lower=1, clean=0)
    norm = np.abs(filled).sum(axis=0).max()
    # For a symmetric matrix the norm is no less than the largest eigenvalue, and dpocon's number times it no more than
    # the least.
    if failed or dpocon(factor, norm, uplo="L")[0] * norm <= 10 * NULL_SHARE * max(norm, largest):
        return None
    found: NDArray[np.float64] = factor
    return found


def _wald(shift: NDArray[np.float64], covariance: NDArray[np.float64]) -> float:
    """Wald's statistic, shift' Cov^+ shift.

    Shares sum to 1, so that an exact covariance has the null vector 1, and shifts nothing along it. With that direction
    filled in, Cholesky's factor gives the same number in a tenth of the time, where no other direction is null.
    """
    if len(shift) >= FACTORED_CLASSES and np.abs(shift.sum()) <= SUM_ROUNDING:
        centred = np.abs(covariance.sum(axis=0)).max() <= SUM_ROUNDING * np.trace(covariance) / len(shift)
        factor = _well_conditioned_factor(covariance, bool(centred))
        if factor is not None:
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
    at_once = _all_merges(target_prior, source_prior, covariance)
    if at_once is not None:
        return at_once
    merging = _Merging(target_prior, source_prior, covariance)
    while not tells_the_prior(*merging.merged()):
        if not merging.merge_some():
            return []
    return merging.merged_groups()


def _all_merges(
    target_prior: NDArray[np.float64], source_prior: NDArray[np.float64], covariance: NDArray[np.float64]
) -> list[list[int]] | None:
    """The groups of :func:`suggest_merge` by one factorisation for all its questions; None where it may be inexact.

    The classes as they are after any number of merges are, but for a linear map, the last two and the classes that the
    later merges did away with, as they were then. In that order, last ones first, Cholesky's factor of the covariance
    holds that of every stage, and Wald's statistic of a stage is a sum of the first squares.
    """
    n_classes = len(target_prior)
    shift = target_prior - source_prior
    centred = np.abs(covariance.sum(axis=0)).max() <= SUM_ROUNDING * np.trace(covariance) / n_classes
    if n_classes < FACTORED_CLASSES or np.abs(shift.sum()) > SUM_ROUNDING:
        return None
    merging = _Merging(target_prior, source_prior, covariance)
    asked = [(n_classes, float(np.trace(covariance)))]
    while merging.merge_some():
        asked.append((len(merging.alive), merging.summed_variances()))
    # Merging makes no eigenvalue less than the least, and none is larger than the summed variances.
    if _well_conditioned_factor(covariance, bool(centred), max(variances for _, variances in asked)) is None:
        return None
    order = np.append(merging.alive, merging.gone[::-1])[int(centred) :]
    shift, spread = merging.of_the_parts(order)
    factor, failed = dpotrf(spread, lower=1, clean=0)
    if failed:
        return None
    statistics = np.cumsum(np.square(solve_triangular(factor, shift, lower=True, check_finite=False)))
    for n_alive, variances in asked:
        statistic = float(statistics[n_alive - 1 - int(centred)])
        if _tells_by(variances, statistic, n_alive):
            return merging.merged_groups(n_classes - n_alive)
    return []


class _Merging:
    """Classes that become one after the other; the place of a class that was merged into another stays unused."""

    def __init__(
        self, target_prior: NDArray[np.float64], source_prior: NDArray[np.float64], covariance: NDArray[np.float64]
    ) -> None:
        self.alive = np.arange(len(target_prior))
        self.gone: list[int] = []
        self._into: list[int] = []
        self._q, self._p, self._v = target_prior.copy(), source_prior.copy(), covariance.copy()
        self._pairs = covariance.copy()
        np.fill_diagonal(self._pairs, np.inf)
        self._likest = self._pairs.argmin(axis=1)
        # Of every class its covariance with the likest other; of those not exact any more, a lower bound.
        self._least = self._pairs[self.alive, self._likest]
        self._exact = np.ones(len(self.alive), dtype=bool)

    def merged(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Both priors and the covariance of the classes as they are now."""
        return self._q[self.alive], self._p[self.alive], self._v[np.ix_(self.alive, self.alive)]

    def summed_variances(self) -> float:
        """Trace of that covariance."""
        return float(self._v[self.alive, self.alive].sum())

    def of_the_parts(self, order: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Difference of the priors and covariance, of classes that are gone too, each as it was when it went."""
        return (self._q - self._p)[order], self._v[np.ix_(order, order)]

    def merged_groups(self, n_merges: int | None = None) -> list[list[int]]:
        """Groups of two or more classes after the first merges, or after all there were."""
        groups = {k: [k] for k in range(len(self._q))}
        for j, k in list(zip(self._into, self.gone, strict=True))[:n_merges]:
            groups[j] += groups.pop(k)
        return sorted(sorted(group) for group in groups.values() if len(group) > 1)

    def merge_some(self) -> bool:
        """Merge one pair, or a fiftieth of many classes; False once only two are left."""
        for _ in range(max(1, len(self.alive) // MERGES_SHARE)):
            if len(self.alive) == 2:
                return False
            self._merge(*self._likest_pair())
        return True

    def _likest_pair(self) -> list[int]:
        """The two classes whose estimates exclude one another the most, in order."""
        while True:
            j = int(self._least.argmin())
            if self._exact[j]:
                return sorted((j, int(self._likest[j])))
            likest = self._likest[j] = self._pairs[j].argmin()
            self._least[j], self._exact[j] = self._pairs[j, likest], True

    def _merge(self, j: int, k: int) -> None:
        """Make class k a part of class j."""
        for values in (self._q, self._p, self._v, self._v.T):
            values[j] += values[k]
        self._into.append(j)
        self.gone.append(k)
        self.alive = self.alive[self.alive != k]
        self._pairs[k] = self._pairs[:, k] = np.inf
        others = self.alive[self.alive != j]
        self._pairs[j, others] = self._v[j, others]
        self._pairs[others, j] = self._v[others, j]
        self._update_likest(j, k)

    def _update_likest(self, j: int, k: int) -> None:
        """Let classes that were likest to one of the two be searched anew, and compare the others with the new one.

        The others of a class lie no lower than its likest did, which therefore bounds it until it is searched.
        """
        likest, least, exact = self._likest, self._least, self._exact
        value = self._pairs[:, j]
        exact &= (likest != k) & ((likest != j) | (value <= least))
        nearer = (value < least) | ((value == least) & exact & (j < likest)) | (exact & (likest == j))
        nearer[[j, k]] = False
        likest[nearer], least[nearer], exact[nearer] = j, value[nearer], True
        least[j], exact[j] = -np.inf, False
        least[k], exact[k] = np.inf, True


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
