"""The answer to whether label shift is what moved, and the rule by which it passes.

The rule was chosen on one half of a set of natural splits and of shifts made from them, and confirmed on the other.
"""

from typing import NamedTuple

import numpy as np

from shiftfix._numerics import Floats
from shiftfix._printed import printed

MOVED_LEVEL = 0.02
LEAST_SHARE, LEAST_LOW_SHARE = 0.5, 0.8
LEAST_VISIBLE = 0.04
# Length of the change of class shares in standard errors, below which its direction is anyone's guess.
LEAST_KNOWN = 2.5
ONE_SIDED = 1.64


@printed
class LabelShiftFit(NamedTuple):
    """Whether label shift is what moved.

    Attributes
    ----------
    explained_share, explained_share_error : float
        S, at most 1, and its standard error; NaN when no classifier tells the samples apart.
    z : float
        How clearly another classifier tells the samples apart better than label shift can, in standard errors.
    label_gain, best_gain : float
        Held-out nats per row by which the change of class shares alone, and the best classifier, tell them apart; at
        most log 2.
    p_value : float
        Of the test that the mean scores did not move.
    visible_share : float
        V, how far the mean scores moved for each unit of the change of class shares that they imply; NaN without one.
    uses_features : bool
        Whether the columns of the rows were looked at, or the scores alone.
    passes : bool
        Whether correcting the class shares alone is supported.
    reason : str
        Why it passes or not.

    See Also
    --------
    label_shift_fit : How much of what moved does one change of the class shares explain?
    """

    explained_share: float
    explained_share_error: float
    z: float
    label_gain: float
    best_gain: float
    p_value: float
    visible_share: float
    uses_features: bool
    passes: bool
    reason: str

    @property
    def moved(self) -> bool:
        """Whether the mean scores moved beyond chance."""
        return self.p_value < MOVED_LEVEL

    def __str__(self) -> str:
        return (
            f"Label shift explains {self.explained_share:.2f} +- {self.explained_share_error:.2f} of what tells the "
            f"samples apart ({self.label_gain:.3f} of {self.best_gain:.3f} nats per row; z = {self.z:.1f}, scores "
            f"moved with p = {self.p_value:.2g}). {'Passed' if self.passes else 'Not passed'}: {self.reason}."
        )


def rule_of_passing(share: float, error: float, z: float, p_value: float, visible: float) -> tuple[bool, str]:
    """Whether correcting the class shares alone is supported, and why or why not."""
    if p_value >= MOVED_LEVEL:
        return False, f"the mean scores did not move beyond chance (p = {p_value:.2g})"
    if visible < LEAST_VISIBLE:
        return False, (
            "the scores tell the classes apart so little that the change of class shares they imply moved them by "
            f"{visible:.1%} of it, and whatever else moved a little would look the same"
        )
    if not share >= LEAST_SHARE:
        return False, (
            "no classifier tells the samples apart on held-out rows"
            if np.isnan(share)
            else f"a change of class shares explains {share:.0%} of what tells the samples apart, less than half"
        )
    if z >= ONE_SIDED and share - ONE_SIDED * error < LEAST_LOW_SHARE:
        return False, (
            f"something else moved too: another classifier tells the samples apart better (z = {z:.1f}), and a change "
            f"of class shares surely explains no more than {max(share - ONE_SIDED * error, 0):.0%}"
        )
    return True, "no classifier tells the samples apart clearly better than one change of class shares does"


def unjudged(p_value: float, uses_features: bool, reason: str) -> LabelShiftFit:
    """What is said where no loss could be found."""
    nan = float("nan")
    return LabelShiftFit(nan, nan, nan, nan, nan, p_value, nan, uses_features, False, reason)


def passes_if_known(fit: LabelShiftFit, estimate: Floats, source_prior: Floats, covariance: Floats) -> LabelShiftFit:
    """The fit, which does not pass where the change of class shares itself is not known well enough to act on.

    Parameters
    ----------
    fit : LabelShiftFit
    estimate, source_prior : ndarray of shape (n_classes,)
    covariance : ndarray of shape (n_classes, n_classes)
        Sampling covariance of the estimate.
    """
    length, error = float(np.linalg.norm(estimate - source_prior)), float(np.sqrt(np.trace(covariance)))
    if not fit.passes or length >= LEAST_KNOWN * error:
        return fit
    reason = f"the change of class shares is not known well enough ({length:.2f} +- {error:.2f})"
    return fit._replace(passes=False, reason=reason)
