"""Class probabilities under another prior.

Assumes p(x | y) is shared.
Source: Saerens, Latinne & Decaestecker (2002), Neural Computation 14(1):21-41, equation 2.4.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit

from shiftfix._door import public
from shiftfix._validation import check_prior, check_scores
from shiftfix.exceptions import ShiftDataError


@public
def adjust_proba(scores: ArrayLike, source_prior: ArrayLike, target_prior: ArrayLike) -> NDArray[np.float64]:
    """Class probabilities under the target prior: P_k q_k / p_k, rescaled to sum to 1.

    Parameters
    ----------
    scores : array-like of shape (n_rows, n_classes)
        Class probabilities that were made under ``source_prior``.
    source_prior : array-like of shape (n_classes,)
        Prior the scores imply; positive.
    target_prior : array-like of shape (n_classes,)

    Returns
    -------
    ndarray of shape (n_rows, n_classes)
        A row whose whole mass lies on classes of target prior 0 keeps the limit of equal small
        priors on them.

    Raises
    ------
    ShiftDataError
        For scores that are no probabilities, a source prior with a zero, or priors of another length.

    See Also
    --------
    MLLS : Maximum likelihood on calibrated scores; the most precise.
    prior_of_scores : The prior that class probabilities imply.

    References
    ----------
    Saerens, Latinne & Decaestecker (2002), Neural Computation 14(1):21-41, equation 2.4.
    """
    checked = check_scores(scores, "scores")
    p = check_prior(source_prior, "source_prior", checked.shape[1])
    q = check_prior(target_prior, "target_prior", checked.shape[1])
    if (p == 0).any():
        raise ShiftDataError(
            f"source_prior is 0 for class {int(np.flatnonzero(p == 0)[0])}: scores made without a class cannot be "
            "adjusted to its presence."
        )
    return proba_at_prior(checked, p, q)


def _prior_ratio(source_prior: NDArray[np.float64], target_prior: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ratios q / p; in units of the largest 1 / p where they overflow."""
    with np.errstate(over="ignore"):
        ratio = target_prior / source_prior
        return ratio if np.isfinite(ratio).all() else target_prior / (source_prior / source_prior.min())


def proba_at_prior(
    scores: NDArray[Any], source_prior: NDArray[np.float64], target_prior: NDArray[np.float64]
) -> NDArray[Any]:
    """As :func:`adjust_proba`, from checked arrays; float32 scores give float32."""
    adjusted = scores * _prior_ratio(source_prior, target_prior).astype(scores.dtype)
    total = adjusted.sum(axis=1, keepdims=True)
    impossible = total[:, 0] == 0
    if impossible.any():
        adjusted[impossible] = scores[impossible] / source_prior
        total[impossible] = adjusted[impossible].sum(axis=1, keepdims=True)
    adjusted /= total
    return adjusted


def unadjusted_threshold(
    threshold: float,
    scale: NDArray[np.float64],
    bias: NDArray[np.float64],
    source_prior: NDArray[np.float64],
    target_prior: NDArray[np.float64],
) -> float:
    """Threshold on a raw score of class 1 that does what ``threshold`` does on the adjusted one, for two classes.

    The adjusted log odds are a_1 log s - a_0 log(1 - s) + b_1 - b_0 + log(r_1 / r_0), with r = q / p. They increase
    with s, so one threshold does it. Source, for a = 1 and b = 0: Elkan (2001), "The foundations of cost-sensitive
    learning", IJCAI, theorem 2.

    Parameters
    ----------
    threshold : float in (0, 1)
    scale, bias : ndarray of shape (2,)
        The calibration a > 0 and b.
    source_prior, target_prior : ndarray of shape (2,)
        p, positive, and q.

    Returns
    -------
    float in [0, 1]
    """
    with np.errstate(divide="ignore"):
        ratio = np.log(target_prior / source_prior)
    needed = logit(threshold) - (ratio[1] - ratio[0]) - (bias[1] - bias[0])
    if np.isinf(needed):
        return float(needed > 0)

    def surplus(log_odds: float) -> float:
        return -scale[1] * np.logaddexp(0, -log_odds) + scale[0] * np.logaddexp(0, log_odds) - needed

    # Beyond it, one term is past ``needed`` even where the other, at most log 2 times its scale, works against it.
    reach = (abs(needed) + max(scale)) / min(scale)
    return float(expit(brentq(surplus, -reach, reach, xtol=1e-12)))
