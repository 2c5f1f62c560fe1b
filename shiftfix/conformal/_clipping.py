"""What clipping the weights costs a guarantee of coverage.

With weights min(w, c) the sets cover the population Q' of density min(w, c) p / m, m = E_S min(w, c), and not the
target Q. For every set |Q(A) - Q'(A)| is at most the total variation between the two, and since dQ'/dQ = r / m with
r = min(1, c / w) and m = E_T r, that is E_T max(0, 1 - r / m): a mean of bounded numbers over the target rows.
Sets of level + this number cover the target at the level.

Source: the loss 1/2 E_S |w' - w| of sets whose weights w' are not the ratio, Lei & Candès (2021), JRSS B 83(5):911-938;
for w' = min(w, c) / m it is this number.
"""

import numpy as np
from numpy.typing import ArrayLike

from shiftfix._door import public
from shiftfix._numerics import Floats, log_proba
from shiftfix._setting_checks import check_number
from shiftfix._validation import check_sample_weight, check_weights


@public
def clipping_cost(target_weights: ArrayLike, clip: float, *, sample_weight: ArrayLike | float | None = None) -> float:
    """By how much coverage on the target may fall when weights are clipped.

    Parameters
    ----------
    target_weights : array-like of shape (n_target,)
        Target / source ratio at the target rows, before the clip.
    clip : float
        Largest weight, in the same unit.
    sample_weight : array-like of shape (n_target,), default=None
        Repeat counts of the target rows.

    Returns
    -------
    float
        In [0, 1): add it to the level asked for. Below the share of the target that the clip cuts off,
        1 - E_S min(w, c).

    Raises
    ------
    ShiftDataError
        For negative or infinite weights, and a clip that is not positive.

    See Also
    --------
    CoverageSummary : What such sets cost and what their coverage rests on.
    shiftfix.weights.clip_weights : Min(w, c).

    Examples
    --------
    >>> clipping_cost([0.5, 1.0, 4.0], clip=2.0)
    0.13333333333333333
    """
    w = check_weights(target_weights, "target_weights")
    counts = check_sample_weight(sample_weight, w.size)
    check_number(clip, "clip", above=0)
    return clipping_cost_of(w, float(clip), counts / counts.max())


def clipping_cost_of(w: Floats, clip: float, counts: Floats) -> float:
    """:func:`clipping_cost` of checked weights."""
    # r in units of the largest, which cancels: a tiny clip of large weights would vanish.
    log_kept = np.minimum(np.log(clip) - log_proba(w), 0)
    kept = np.exp(log_kept - log_kept[counts > 0].max())
    with np.errstate(over="ignore"):
        lost = np.maximum(1 - kept / np.average(kept, weights=counts), 0)
    return float(np.average(lost, weights=counts))
