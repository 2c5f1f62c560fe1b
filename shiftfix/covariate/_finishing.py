"""From log ratios to finished weights: clip min(w, c) or smooth the tail, then divide by the mean over the source."""

from dataclasses import dataclass

import numpy as np

from shiftfix._numerics import Floats
from shiftfix.weights import ClipRule, clip_threshold_of, smooth_weights_of

# exp(500) is about 1e217: sums over any number of rows, and products with their root, stay finite.
LOG_RATIO_BOUND = 500.0


def bounded(log_ratio: Floats) -> Floats:
    """Log ratios within +-LOG_RATIO_BOUND, so that their exponentials are finite and positive."""
    return np.clip(log_ratio, -LOG_RATIO_BOUND, LOG_RATIO_BOUND)


@dataclass(frozen=True)
class Clip:
    """What a clip rule makes of the largest weights, learned from the source rows.

    Attributes
    ----------
    log_threshold : float
        Logarithm of the largest weight; infinity for none.
    smooths : bool
        Whether the rule is to smooth the tail instead.
    tail : tuple of two ndarray or None
        Log ratios, increasing, from the largest below the tail on, and what becomes of them; None where nothing moves.
    """

    log_threshold: float
    smooths: bool = False
    tail: tuple[Floats, Floats] | None = None

    def apply(self, log_ratio: Floats) -> Floats:
        """Bounded log ratios after the clip, or with the tail smoothed (at most to the largest smoothed one)."""
        log_w = np.minimum(log_ratio, self.log_threshold)
        if self.tail is not None:
            raw, smoothed = self.tail
            log_w = np.where(log_w > raw[0], np.interp(log_w, raw, smoothed), log_w)
        return log_w

    @property
    def rule(self) -> ClipRule:
        """The clip as :func:`shiftfix.weights.summarize_weights` takes it: a number, "pareto" or None."""
        if self.smooths:
            return "pareto"
        return None if np.isinf(self.log_threshold) else float(np.exp(self.log_threshold))


def learn_clip(log_ratio: Floats, counts: Floats, rule: ClipRule, min_ess: float) -> Clip:
    """Learn a clip.

    Parameters
    ----------
    log_ratio : ndarray of shape (n_source,)
        Bounded log ratios of the source rows.
    counts : ndarray of shape (n_source,)
        Their repeat counts.
    rule : "sqrt", float, percentile such as "99%", "ess", "pareto" or None
        As :func:`shiftfix.weights.clip_threshold`.
    min_ess : float
        As there.

    Returns
    -------
    Clip

    Raises
    ------
    ShiftDataError
        For a ``min_ess`` out of reach, or a percentile that is 0.
    """
    if not isinstance(rule, str):
        return Clip(np.inf if rule is None else float(np.log(float(rule))))
    top = log_ratio.max()
    w = np.exp(log_ratio - top)
    # What lies at the bound stands for a weight of 0.
    w[log_ratio <= -LOG_RATIO_BOUND] = 0 if top > -LOG_RATIO_BOUND else 1
    log_threshold = float(np.log(clip_threshold_of(w, counts, rule, min_ess)) + top)
    if rule != "pareto":
        return Clip(log_threshold)
    return Clip(log_threshold, True, _smoothed_tail(log_ratio, w, counts))


def _smoothed_tail(log_ratio: Floats, w: Floats, counts: Floats) -> tuple[Floats, Floats] | None:
    smoothed = smooth_weights_of(w, counts)
    moved = w[smoothed != w]
    if not moved.size:
        return None
    # From the largest weight below the tail on, which may be 0; between the fitted rows, straight lines on the log
    # scale.
    knots = np.flatnonzero(log_ratio >= log_ratio[w < moved.min()].max())
    raw, place = np.unique(log_ratio[knots], return_index=True)
    knots = knots[place]
    mapped = raw.copy()
    changed = smoothed[knots] != w[knots]
    mapped[changed] = np.log(smoothed[knots][changed]) + log_ratio.max()
    return raw, mapped


def finished_weights(log_ratio: Floats, clip: Clip, log_mean: float) -> Floats:
    """Weights from bounded log ratios: clipped, then divided by the mean whose logarithm is given (0 for none)."""
    return np.exp(clip.apply(log_ratio) - log_mean)
