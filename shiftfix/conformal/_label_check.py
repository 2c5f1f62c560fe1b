"""Do a few target labels contradict the weighted source rows?

Where the weights and what they assume are right, the conformal p-values of labelled target rows among the source rows
are uniform. Kolmogorov's largest gap tells them from uniform ones, with as many rows as the labels and the effective
calibration rows make together. Ties count half.
Source: Smirnov (1948), Ann. Math. Statist. 19(2):279-281 (the limit law of the largest gap of two samples).
"""

from collections.abc import Sequence

import numpy as np
from scipy.stats import kstwobign

from shiftfix._numerics import Floats
from shiftfix._row_order import Rows
from shiftfix.conformal._ranked import RankedScores, totals_of


def mid_p_values(ranked: Sequence[RankedScores], strata: Rows, own: Floats, scores: Floats) -> Floats:
    """P-values in which ties, and the row itself, count half; shape (n_rows,)."""
    below, up_to = np.zeros(len(scores)), np.zeros(len(scores))
    for number, stratum in enumerate(ranked):
        here = strata == number
        below[here], up_to[here] = stratum.weight_under(scores[here]), stratum.weight_up_to(scores[here])
    total = totals_of(ranked)[strata] + own
    return 1 - np.divide((below + up_to + own) / 2, total, out=np.full(len(scores), 0.5), where=total > 0)


def largest_gap(values: Floats) -> float:
    """Largest distance between the distribution of values and the uniform one on [0, 1]."""
    ordered = np.sort(values)
    n = len(ordered)
    return float(max((np.arange(1, n + 1) / n - ordered).max(), (ordered - np.arange(n) / n).max()))


def contradiction_p_value(p_values: Floats, effective_size: float) -> float:
    """P-value of "the source rows calibrate for the target", from mid p-values of its labelled rows."""
    n_rows = effective_size * len(p_values) / (effective_size + len(p_values))
    return float(kstwobign.sf(np.sqrt(n_rows) * largest_gap(p_values)))
