"""Do a few target labels contradict the weighted source rows?

Where the weights and what they assume are right, the conformal p-values of labelled target rows among the source rows
are uniform; they are small where sets of the source rows would cover too little. Their mean is as exact as that of two
samples of ranks: variance (1 / labels + 1 / effective calibration rows) / 12. Ties, and the row itself, count half.
Source: Mann & Whitney (1947), Ann. Math. Statist. 18(1):50-60 (mean and variance of the ranks).
"""

from collections.abc import Sequence

import numpy as np
from scipy.stats import norm

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


def contradiction_p_value(p_values: Floats, effective_size: float) -> float:
    """One-sided p-value of "sets of the source rows cover the target", from mid p-values of its labelled rows."""
    error = np.sqrt((1 / len(p_values) + 1 / effective_size) / 12)
    return float(norm.cdf((p_values.mean() - 0.5) / error))
