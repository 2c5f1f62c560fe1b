"""Clip, normalise and temper a weight vector. Weights have no unit and are target / source.

``sample_weight`` is everywhere read as repeat counts: a row with sample_weight 3 counts as three equal rows, one with 0
is left out. Weights below 1 cannot be counts; they compare the rows and are rescaled to average 1.
"""

import re

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from shiftfix._door import public
from shiftfix._numerics import Floats
from shiftfix._setting_checks import check_number
from shiftfix._validation import check_repeat_counts, check_weights
from shiftfix.exceptions import ShiftDataError
from shiftfix.weights._effective_size import effective_sample_size_of
from shiftfix.weights._pareto import smooth_weights_of

ClipRule = str | float | None


def check_clip(clip: ClipRule, min_ess: float) -> None:
    """Raise for a clip that is not known, and for an effective size to reach that is not positive."""
    check_number(min_ess, "min_ess", above=0, below=np.inf)
    if isinstance(clip, str) and clip not in ("sqrt", "ess", "pareto"):
        percent = re.fullmatch(r"(\d+(?:\.\d+)?) ?%", clip)
        if percent is None or not 0 < float(percent[1]) < 100:
            raise ShiftDataError(
                f'clip={clip!r}: a positive number, "sqrt", a percentile such as "99%", "ess", "pareto" or None is '
                "needed."
            )
    elif clip is not None and not isinstance(clip, str):
        check_number(clip, "clip", above=0)


def clip_for_effective_size(w: Floats, counts: Floats, min_ess: float) -> float:
    """The largest c at which min(w, c) is worth at least ``min_ess`` rows, for checked weights and repeat counts.

    The effective size falls as c grows, and between two neighbouring weights it is a smooth function of c, so c is
    bracketed by weights and found there.

    Parameters
    ----------
    w, counts : ndarray of shape (n_rows,)
        Weights, no unit, and repeat counts of the rows.
    min_ess : float
        Kish effective sample size to reach: in rows from 1 on, a share of the rows below 1.

    Returns
    -------
    float
        In the units of ``w``; infinity when they reach it unclipped.

    Raises
    ------
    ShiftDataError
        When fewer rows than that have a positive weight: no c reaches it then. For weights that are zero wherever the
        repeat counts are not.

    Examples
    --------
    >>> w = np.array([0.2, 1.0, 3.0])
    >>> c = clip_for_effective_size(w, np.ones(3), 2.5)
    >>> round(effective_sample_size_of(np.minimum(w, c), np.ones(3)), 6)
    2.5
    """
    rows = min_ess if min_ess >= 1 else min_ess * counts.sum()
    # A row that counts zero times is no row: a huge weight there must not set the scale.
    w, counts = w[counts > 0], counts[counts > 0]

    def surplus(c: float) -> float:
        return effective_sample_size_of(np.minimum(w, c), counts) - rows

    if not w.any():
        raise ShiftDataError("weights are zero wherever sample_weight is not: no row is left to clip.")
    if surplus(np.inf) >= 0:
        return np.inf
    steps = np.unique(w[w > 0])
    # Clipped at the smallest, all positive weights are equal. Their sum may be rounded.
    if surplus(steps[0]) < -1e-9 * rows:
        positive = counts[w > 0].sum()
        raise ShiftDataError(
            f"min_ess={min_ess:g} asks for an effective size of {rows:g} rows, and only {positive:g} rows have a "
            "positive weight: lower min_ess, or collect more source rows where the target lies."
        )
    low, high = 0, len(steps) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if surplus(steps[middle]) >= 0 else (low, middle)
    if surplus(steps[low]) <= 0:
        return float(steps[low])
    # In units of the upper weight: the solver's tolerances would be 0 among the smallest floats.
    unit = steps[high]
    return float(unit * brentq(lambda t: surplus(t * unit), steps[low] / unit, 1, xtol=1e-14, rtol=1e-14))


def clip_threshold_of(w: Floats, counts: Floats, clip: ClipRule, min_ess: float) -> float:
    """:func:`clip_threshold` of checked weights, repeat counts and settings."""
    if not isinstance(clip, str):
        return np.inf if clip is None else float(clip)
    if clip == "pareto":
        return np.inf
    if clip == "sqrt":
        # In units of the largest: the sum may overflow.
        largest = float(w.max()) or 1.0
        return largest * float(np.average(w / largest, weights=counts) * np.sqrt(counts.sum()))
    if clip == "ess":
        return clip_for_effective_size(w, counts, min_ess)
    # 99.9 / 100 is rounded up, and 999 rows of 1000 would not make 99.9%.
    share = float(clip.rstrip("% ")) / 100 * (1 - 1e-12)
    c = float(np.quantile(w, share, weights=counts, method="inverted_cdf"))
    if c == 0:
        raise ShiftDataError(f"clip={clip!r}: that share of the weights is 0, and a clip must be positive; raise it.")
    return c


def clip_weights_of(w: Floats, counts: Floats, clip: ClipRule, min_ess: float) -> Floats:
    """:func:`clip_weights` of checked weights, repeat counts and settings."""
    if isinstance(clip, str) and clip == "pareto":
        return smooth_weights_of(w, counts)
    return np.minimum(w, clip_threshold_of(w, counts, clip, min_ess))


@public
def clip_threshold(
    weights: ArrayLike, clip: ClipRule = "sqrt", *, sample_weight: ArrayLike | None = None, min_ess: float = 100
) -> float:
    """The number c of min(w, c).

    Parameters
    ----------
    weights : array-like of shape (n_rows,)
        Non-negative weights, no unit, before any normalisation.
    clip : "sqrt", float, percentile such as "99%", "ess", "pareto" or None, default="sqrt"
        A positive number is c itself. ``"sqrt"`` is mean(w) * sqrt(n), which grows with n, so that
        the bias of clipping vanishes; the bias of a fixed number or percentile does not. ``"99%"`` is the smallest
        weight that 99% of the rows do not exceed. ``"ess"`` is the largest c whose effective sample size reaches
        ``min_ess``. ``"pareto"`` cuts nothing and smooths the tail instead, see :func:`smooth_weights`.
        None means no clipping.
    sample_weight : array-like of shape (n_rows,), default=None
        Repeat counts of the rows; they enter every rule but a number.
    min_ess : float, default=100
        For ``"ess"``: in rows from 1 on, a share of the rows below 1. At 100 rows a mean is known to a tenth of its
        standard deviation.

    Returns
    -------
    float
        In the units of ``weights``; infinity for None and "pareto".

    Raises
    ------
    ShiftDataError
        For a clip that is not positive or not known, a percentile that is 0, a ``min_ess`` out of reach, and for
        unusable weights.

    See Also
    --------
    clip_weights : Min(w, c).
    smooth_weights : Pareto-smoothed weights.

    References
    ----------
    Ionides (2008), "Truncated importance sampling", J. Comput. Graph. Statist. 17(2):295-311:
    the truncation level mean(w) * sqrt(n).
    """
    w = check_weights(weights)
    check_clip(clip, min_ess)
    return clip_threshold_of(w, check_repeat_counts(sample_weight, w.size), clip, min_ess)


@public
def clip_weights(
    weights: ArrayLike, clip: ClipRule = "sqrt", *, sample_weight: ArrayLike | None = None, min_ess: float = 100
) -> Floats:
    """min(w, c), with c as in :func:`clip_threshold`; smoothed weights for ``clip="pareto"``.

    Parameters
    ----------
    weights : array-like of shape (n_rows,)
        Non-negative weights, after the n_source / n_target factor and before normalisation.
    clip : "sqrt", float, percentile such as "99%", "ess", "pareto" or None, default="sqrt"
    sample_weight : array-like of shape (n_rows,), default=None
        Repeat counts of the rows.
    min_ess : float, default=100

    Returns
    -------
    ndarray of shape (n_rows,)

    Raises
    ------
    ShiftDataError
        As :func:`clip_threshold`.

    See Also
    --------
    clip_threshold : C from the data.
    normalize_weights : W / mean(w).
    """
    w = check_weights(weights)
    check_clip(clip, min_ess)
    return clip_weights_of(w, check_repeat_counts(sample_weight, w.size), clip, min_ess)


def normalize_weights_of(w: Floats, counts: Floats) -> Floats:
    """:func:`normalize_weights` of checked weights and repeat counts."""
    w = w / w.max()
    mean = np.average(w, weights=counts)
    if mean == 0:
        raise ShiftDataError("weights are zero wherever sample_weight is not: no row is left to normalise by.")
    return w / mean


@public
def normalize_weights(weights: ArrayLike, *, sample_weight: ArrayLike | None = None) -> Floats:
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

    See Also
    --------
    clip_weights : Min(w, c).
    temper_weights : W ** exponent.
    """
    w = check_weights(weights)
    return normalize_weights_of(w, check_repeat_counts(sample_weight, w.size))


@public
def temper_weights(weights: ArrayLike, exponent: float) -> Floats:
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

    See Also
    --------
    normalize_weights : W / mean(w).
    shiftfix.corrected.CovariateShiftClassifier : Trains a classifier on weighted source rows.

    References
    ----------
    Shimodaira (2000), J. Statist. Plann. Inference 90:227-244, section 8: the exponent between
    the unweighted and the fully weighted likelihood.
    """
    return check_weights(weights) ** check_number(exponent, "exponent", least=0, most=1)
