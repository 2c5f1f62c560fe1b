"""Clip, normalise and temper a weight vector. Weights have no unit and are target / source.

``sample_weight`` is everywhere read as repeat counts: a row with sample_weight 3 counts as three equal rows, one with 0
is left out. Weights below 1 cannot be counts; they compare the rows and are rescaled to average 1.
"""

import numpy as np

from shiftfix._validation import check_number, check_repeat_counts, check_weights
from shiftfix.exceptions import ShiftDataError


def clip_threshold(weights, clip="sqrt", *, sample_weight=None):
    """The number c of min(w, c).

    Parameters
    ----------
    weights : array-like of shape (n_rows,)
        Non-negative weights, no unit, before any normalisation.
    clip : "sqrt", float or None, default="sqrt"
        A positive number is c itself. ``"sqrt"`` is mean(w) * sqrt(n), which grows with n, so that
        the bias of clipping vanishes. None means no clipping.
    sample_weight : array-like of shape (n_rows,), default=None
        Repeat counts of the rows; they enter the mean and n.

    Returns
    -------
    float
        In the units of ``weights``; infinity for None.

    Raises
    ------
    ShiftDataError
        For a clip that is not positive or not known, and for unusable weights.

    References
    ----------
    Ionides (2008), "Truncated importance sampling", J. Comput. Graph. Statist. 17(2):295-311:
    the truncation level mean(w) * sqrt(n).
    """
    w = check_weights(weights)
    if clip is None:
        return np.inf
    if isinstance(clip, str):
        if clip != "sqrt":
            raise ShiftDataError(f'clip={clip!r}: a positive number, "sqrt" or None is needed.')
        counts = check_repeat_counts(sample_weight, w.size)
        return float(np.average(w, weights=counts) * np.sqrt(counts.sum()))
    return float(check_number(clip, "clip", above=0))


def clip_weights(weights, clip="sqrt", *, sample_weight=None):
    """min(w, c), with c as in :func:`clip_threshold`.

    Parameters
    ----------
    weights : array-like of shape (n_rows,)
        Non-negative weights, after the n_source / n_target factor and before normalisation.
    clip : "sqrt", float or None, default="sqrt"
    sample_weight : array-like of shape (n_rows,), default=None
        Repeat counts of the rows.

    Returns
    -------
    ndarray of shape (n_rows,)

    Raises
    ------
    ShiftDataError
        As :func:`clip_threshold`.
    """
    w = check_weights(weights)
    return np.minimum(w, clip_threshold(w, clip, sample_weight=sample_weight))


def normalize_weights(weights, *, sample_weight=None):
    """W / mean(w): mean 1 over the rows.

    Parameters
    ----------
    weights : array-like of shape (n_rows,)
        Non-negative, not all zero.
    sample_weight : array-like of shape (n_rows,), default=None
        Repeat counts of the rows; the mean is taken over them.

    Returns
    -------
    ndarray of shape (n_rows,)

    Raises
    ------
    ShiftDataError
        For unusable weights, or when every row of positive weight has sample_weight 0.
    """
    w = check_weights(weights)
    counts = check_repeat_counts(sample_weight, w.size)
    w = w / w.max()
    mean = np.average(w, weights=counts)
    if mean == 0:
        raise ShiftDataError("weights are zero wherever sample_weight is not: no row is left to normalise by.")
    return w / mean


def temper_weights(weights, exponent):
    """W ** exponent: 0 gives no weighting, 1 the weights themselves.

    A weight of 0 stays 0 for every positive exponent and becomes 1 at exponent 0.

    Parameters
    ----------
    weights : array-like of shape (n_rows,)
    exponent : float in [0, 1]

    Returns
    -------
    ndarray of shape (n_rows,)
        Not normalised.

    Raises
    ------
    ShiftDataError
        For unusable weights or an exponent outside [0, 1].

    References
    ----------
    Shimodaira (2000), J. Statist. Plann. Inference 90:227-244, section 8: the exponent between
    the unweighted and the fully weighted likelihood.
    """
    return check_weights(weights) ** check_number(exponent, "exponent", least=0, most=1)
