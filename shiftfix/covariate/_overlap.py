"""What the two samples and their fitted ratio say of overlap and balance."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from shiftfix._blocks import ColumnSpread, column_range, matrix_blocks
from shiftfix._naming import column_word
from shiftfix._numerics import Floats
from shiftfix.covariate._finishing import Clip, finished_weights
from shiftfix.weights import WeightSummary, balance_table_of, summary_of

# Entries of both samples up to which the summary's balance looks at squares too: beyond, that pass over the rows would
# take longer than the fit of a linear ratio.
SQUARES_ENTRIES = 10_000_000


def share_outside(target: Any, target_counts: Floats, least: Floats, most: Floats) -> tuple[float, int]:
    """Share of the target rows outside the source's range, in the feature where it is largest, and its position.

    Feature by feature, so that the number does not grow with the number of features. ``least`` and ``most`` are the
    source's, shape (n_features,).
    """
    outside = (_sparse_outside if sparse.issparse(target) else _outside)(target, target_counts, least, most)
    share = outside / target_counts.sum()
    return float(share.max()), int(share.argmax())


def _sparse_outside(target: Any, target_counts: Floats, least: Floats, most: Floats) -> Floats:
    columns, values = target.indices, target.data
    counts = np.repeat(target_counts, np.diff(target.indptr))
    outside = counts * ((values < least[columns]) | (values > most[columns]))
    stored = np.bincount(columns, weights=counts, minlength=len(least))
    # What is not stored is 0.
    zeros = (target_counts.sum() - stored) * ((least > 0) | (most < 0))
    return np.bincount(columns, weights=outside, minlength=len(least)) + zeros


def _outside(target: Any, target_counts: Floats, least: Floats, most: Floats) -> Floats:
    outside = np.zeros(target.shape[1])
    for rows in matrix_blocks(target):
        block = target[rows]
        low, high = column_range(block)
        # Most blocks leave the range in few columns.
        columns = np.flatnonzero((low < least) | (high > most))
        left = block[:, columns]
        beyond = (left < least[columns]) | (left > most[columns])
        outside[columns] += target_counts[rows] @ beyond
    return outside


def summarize_ratio(
    matrices: Sequence[Any],
    counts: Sequence[Floats],
    log_ratios: Sequence[Floats],
    spreads: Sequence[ColumnSpread],
    clip: Clip,
    log_mean: float,
    names: Sequence[str] | None,
) -> WeightSummary:
    """Effective size, overlap, balance and verdict of a fitted ratio.

    Parameters
    ----------
    matrices : sequence of two ndarray or csr_array of shape (n_rows, n_features)
        What the ratio is a function of, at the source and at the target rows.
    counts, log_ratios : sequence of two ndarray of shape (n_rows,)
        Repeat counts and bounded log ratios of the rows.
    spreads : sequence of two ColumnSpread
        Of the matrices.
    clip : Clip
    log_mean : float
        Logarithm of the mean clipped weight of the source.
    names : sequence of str of length n_features, or None
        What the user calls the columns.

    Returns
    -------
    WeightSummary
    """
    source, target = matrices
    outside, place = share_outside(target, counts[1], spreads[0].low, spreads[0].high)
    balance = balance_table_of(
        matrices,
        counts,
        finished_weights(log_ratios[0], clip, log_mean),
        spreads,
        [f"x{j}" for j in range(source.shape[1])] if names is None else names,
        squares=not sparse.issparse(source) and source.size + target.size <= SQUARES_ENTRIES,
    )
    return summary_of(
        np.exp(log_ratios[0]),
        counts[0],
        target=(np.exp(log_ratios[1]), counts[1]),
        outside=(outside, column_word(names, place) if names is None else repr(names[place])),
        balance=balance,
        clip=clip.rule,
    )
