"""A target prior to act on.

An estimate is drawn towards the source prior as far as its sampling error could have made the difference, and no share
is so small that a class is never predicted.
Source: James & Stein (1961), Proc. Fourth Berkeley Symp. 1:361-379, equation 1, for how far to draw.
"""

import numpy as np

from shiftfix._numerics import Floats


def careful_prior(estimate: Floats, source_prior: Floats, covariance: Floats, n_target: float) -> Floats:
    """Target prior to adjust by, shape (n_classes,), positive and of sum 1.

    The step from the source prior is shortened by the share of its squared length that sampling error explains, and
    every class keeps at least half a target row.

    Parameters
    ----------
    estimate, source_prior : ndarray of shape (n_classes,)
    covariance : ndarray of shape (n_classes, n_classes)
        Sampling covariance of the estimate.
    n_target : float
        Rows of the target.
    """
    step = estimate - source_prior
    length = float(step @ step)
    kept = max(1 - float(np.trace(covariance)) / length, 0.0) if length > 0 else 0.0
    floored = np.maximum(source_prior + kept * step, np.minimum(0.5 / n_target, source_prior))
    return floored / floored.sum()
