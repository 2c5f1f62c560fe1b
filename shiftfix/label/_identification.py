"""Whether an estimated target prior is worth using, and which classes to merge where it is not.

Notation: p source prior, q target prior.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from shiftfix._verdict import Verdict

# Rows added, spread over the corners of the simplex, where a sample is too small to show rare events.
PSEUDO_ROWS = 2.0
# An estimate whose variances sum to a quarter of a uniform guess's is vague; a clear shift may still show in it.
VAGUE_SHARE = 0.25
# Above this many classes, one in as many is merged between two questions whether that is enough.
MERGES_SHARE = 50
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
    wald = shift @ np.linalg.pinv(covariance, rcond=1e-10, hermitian=True) @ shift
    return bool(chi2.sf(wald, len(shift) - 1) < SHIFT_LEVEL)


def _likest_pair(covariance: NDArray[np.float64]) -> list[int]:
    """The two classes whose estimates exclude one another the most, in order."""
    off_diagonal = covariance.copy()
    np.fill_diagonal(off_diagonal, np.inf)
    return sorted(int(place) for place in np.unravel_index(np.argmin(off_diagonal), covariance.shape))


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
    groups = [[k] for k in range(len(target_prior))]
    q, p, v = target_prior.copy(), source_prior.copy(), covariance.copy()
    while not tells_the_prior(q, p, v):
        for _ in range(max(1, len(groups) // MERGES_SHARE)):
            if len(groups) == 2:
                return []
            j, k = _likest_pair(v)
            for values in (q, p, v, v.T):
                values[j] += values[k]
            q, p, v = np.delete(q, k), np.delete(p, k), np.delete(np.delete(v, k, axis=0), k, axis=1)
            groups[j] += groups.pop(k)
    return sorted(sorted(group) for group in groups if len(group) > 1)


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
