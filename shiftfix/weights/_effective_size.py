"""How many equally weighted rows a weighted sample is worth."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftfix._door import public
from shiftfix._validation import check_repeat_counts, check_weights


def effective_sample_size_of(w: NDArray[np.float64], counts: NDArray[np.float64]) -> float:
    """:func:`effective_sample_size` of checked weights and repeat counts; 0 where no row that counts has a weight."""
    # Rows that count zero times must not set the scale: beside a huge weight there the squares of the others vanish.
    largest = w[counts > 0].max()
    if largest == 0:
        return 0.0
    w, counts = w[counts > 0] / largest, counts[counts > 0]
    total = np.dot(counts, w)
    return float(total * total / np.dot(counts, w * w))


@public
def effective_sample_size(weights: ArrayLike, *, sample_weight: ArrayLike | None = None) -> float:
    """Kish effective sample size, (sum w)^2 / sum w^2.

    Divided by n it tends to 1 / E_S[w^2] = 1 / (1 + chi2), where chi2 is the chi-squared divergence
    of the target from the source. It speaks of means of quantities unrelated to w, so it is a rough
    guide, not a guarantee (Elvira, Martino & Robert 2022, Int. Stat. Rev. 90(3):525-550).

    Parameters
    ----------
    weights : array-like of shape (n_rows,)
        Non-negative, not all zero; the scale does not matter.
    sample_weight : array-like of shape (n_rows,), default=None
        Repeat counts of the rows: row i stands for sample_weight[i] rows of weight w[i].

    Returns
    -------
    float
        In rows, between 1 (or the least repeat count) and n.

    Raises
    ------
    ShiftDataError
        For NaN, infinite, negative, empty or all-zero weights.

    See Also
    --------
    summarize_weights : Size, overlap, verdict.
    pareto_k : Shape of the tail of the weights.

    References
    ----------
    Kish (1965), "Survey Sampling", section 11.7, the design effect of unequal weights.

    Examples
    --------
    >>> effective_sample_size([1, 1, 2])
    2.6666666666666665
    """
    w = check_weights(weights)
    return effective_sample_size_of(w, check_repeat_counts(sample_weight, w.size))
