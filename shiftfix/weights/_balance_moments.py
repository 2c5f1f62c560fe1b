"""Standardised differences of means and of squares: the columns of a BalanceTable, by passes over blocks of rows.

``shares`` are everywhere what the rows add to a mean and to the variance of that mean, as :func:`row_shares` gives
them. The formulas and their sources stand in ``_balance.py``.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from shiftfix._blocks import ColumnSpread, matrix_blocks
from shiftfix._numerics import Floats

Scale = Literal["target", "pooled"]

# Beyond this many standard deviations rows are alike; the fourth power stays finite.
FAR = 1e70
# Deviations of standardised squares below this are the root of a rounding error.
SQUARE_ROUNDING = 1e-7


def row_shares(weights: Floats, counts: Floats) -> Floats:
    """What each row adds to the weighted mean and to the variance of that mean, shape (2, n_rows).

    A row counted c times with weight v contributes c v to a mean and c v^2, not (c v)^2, to its variance.
    """
    v = weights / (counts @ weights)
    return np.stack([counts * v, counts * v * v])


def power_sums(
    X: Any, spread: ColumnSpread, row_weights: Floats, center: Floats, scale: Floats, n_powers: int = 2
) -> Floats:
    """Sums over the rows of row_weights times z, z^2 and z^4, z = (x - center) / scale; as many as asked for.

    ``row_weights`` has shape (n_weightings, n_rows), the answer (n_powers, n_weightings, n_features). Block by block:
    no copy of X. Of sparse rows two powers, from the sums of what is stored. ``spread`` is that of X.
    """
    if sparse.issparse(X):
        return _sparse_power_sums(X, row_weights, center, scale)
    sums = np.zeros((n_powers, len(row_weights), X.shape[1]))
    # Dividing the sums spares every block a pass, where no power can overflow or vanish.
    reach = np.maximum(np.abs(spread.low - center), np.abs(spread.high - center))
    is_tame = scale.min() > 1 / FAR and reach.max() < FAR and (reach < FAR * scale).all()
    for rows in matrix_blocks(X):
        z = X[rows] - center
        if not is_tame:
            with np.errstate(over="ignore"):
                z /= scale
            np.clip(z, -FAR, FAR, out=z)
        for power in range(n_powers):
            sums[power] += row_weights[:, rows] @ z
            if power < n_powers - 1:
                np.square(z, out=z)
    return sums / [[scale**power] for power in (1, 2, 4)[:n_powers]] if is_tame else sums


def _sparse_power_sums(X: Any, row_weights: Floats, center: Floats, scale: Floats) -> Floats:
    sums = np.zeros((2, len(row_weights), X.shape[1]))
    total = row_weights.sum(axis=1)[:, np.newaxis]
    for rows in matrix_blocks(X):
        block, columns = X[rows].astype(np.float64, copy=False), row_weights[:, rows].T
        sums[0] += (block.T @ columns).T
        sums[1] += ((block * block).T @ columns).T
    sums[1] += total * center**2 - 2 * center * sums[0]
    sums[0] -= total * center
    return sums / np.stack([scale, scale**2])[:, np.newaxis]


def in_units(difference: Any, scale: Floats) -> Floats:
    """Quotient of both, with 0 / 0 = 0 and d / 0 = +-inf; over 0, a rounding error is 0."""
    difference = np.where((scale == 0) & (np.abs(difference) <= 1e-12), 0.0, difference)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(difference == 0, 0.0, difference / scale)


def has_two_values(samples: Sequence[Any], spreads: Sequence[ColumnSpread]) -> NDArray[np.bool_]:
    """Whether each column of the samples holds two values at most."""
    low, high = np.minimum(spreads[0].low, spreads[1].low), np.maximum(spreads[0].high, spreads[1].high)
    found = np.ones(low.size, bool)
    for X in samples:
        for rows in matrix_blocks(X):
            if not found.any():
                return found
            block = X[rows][:, found]
            found[found] = ((block == low[found]) | (block == high[found])).all(axis=0)
    return found


def common_scale(deviations: Sequence[Floats], scale: Scale) -> Floats:
    """Standard deviations to divide by, from those of the source and of the target."""
    pooled = np.hypot(*(deviation / np.sqrt(2) for deviation in deviations))
    return np.where(deviations[1] > 0, deviations[1], pooled) if scale == "target" else pooled


def table_columns(
    means: Sequence[Floats],
    target_mean: Any,
    errors: Sequence[Floats],
    spread: Floats,
    unit: Any = 1.0,
    shift: Any = 0.0,
) -> dict[str, Floats]:
    """Columns of a BalanceTable for quantities with these means, in ``unit`` from ``shift`` on.

    ``means`` and ``errors`` (standard errors of the differences) are pairs, before and after weighting.
    """
    return {
        "source_mean": shift + unit * means[0],
        "weighted_mean": shift + unit * means[1],
        "target_mean": shift + unit * target_mean,
        "scale": spread * unit,
        "before": in_units(target_mean - means[0], spread),
        "after": in_units(target_mean - means[1], spread),
        "se_before": in_units(errors[0], spread),
        "se_after": in_units(errors[1], spread),
    }


def compare_means(source: Any, spreads: Sequence[ColumnSpread], shares: Floats, scale: Scale) -> dict[str, Floats]:
    """Columns of a BalanceTable for the features themselves, by one pass over the source.

    ``shares`` has shape (2, n_source): the share of each row in the weighted mean, and what it contributes to the
    variance of that mean.
    """
    of_source, of_target = spreads
    divisor = common_scale([of_source.deviation, of_target.deviation], scale)
    unit = np.where(divisor > 0, divisor, 1.0)
    first, second = power_sums(source, of_source, shares, of_target.mean, unit)
    return means_by_sums(first, second[1], float(shares[1].sum()), spreads, divisor)


def means_by_sums(
    first: Floats, second: Floats, squared_share: float, spreads: Sequence[ColumnSpread], divisor: Floats
) -> dict[str, Floats]:
    """Columns of a BalanceTable for the features themselves, from sums over the source.

    Parameters
    ----------
    first : ndarray of shape (2, n_features)
        Sums of z = (x - target mean) / divisor, by the share of each row in the weighted mean and by what it
        contributes to the variance of that mean.
    second : ndarray of shape (n_features,)
        Sum of z^2 by the latter.
    squared_share : float
        Sum of the latter.
    spreads : sequence of two ColumnSpread
    divisor : ndarray of shape (n_features,)
        Standard deviation divided by; 0 is taken for 1.
    """
    of_source, of_target = spreads
    unit = np.where(divisor > 0, divisor, 1.0)
    with np.errstate(over="ignore"):  # FAR is as far as a table tells
        means = [np.clip((of_source.mean - of_target.mean) / unit, -FAR, FAR), first[0]]
        deviations = [np.minimum(spread.deviation / unit, FAR) for spread in spreads]
    weighted = second - 2 * means[1] * first[1] + means[1] ** 2 * squared_share
    of_means = [deviations[0] ** 2 / of_source.total, np.maximum(weighted, 0)]
    errors = [np.sqrt(variance + deviations[1] ** 2 / of_target.total) for variance in of_means]
    found = table_columns(means, 0.0, errors, np.where(divisor > 0, 1.0, 0.0), unit, of_target.mean)

    # Nothing is to be rounded about a constant.
    constant = (of_source.low == of_source.high) & (of_target.low == of_target.high)
    exact = in_units(of_target.mean - of_source.mean, divisor)
    found["weighted_mean"] = np.where(constant, of_source.mean, found["weighted_mean"])
    found |= {"source_mean": of_source.mean, "target_mean": of_target.mean}
    found |= {name: np.where(constant, exact, found[name]) for name in ("before", "after")}
    found |= {name: np.where(constant, 0.0, found[name]) for name in ("se_before", "se_after")}
    return found


def compare_squares(
    samples: Sequence[Any], spreads: Sequence[ColumnSpread], shares: Sequence[Floats], scale: Scale
) -> tuple[dict[str, Floats], NDArray[np.bool_]]:
    """Columns of a BalanceTable for the squares of the standardised features, and which of them tell anything new.

    ``shares`` holds, for each sample, an array of shape (4, n_rows): the share of each row in the mean before and
    after weighting, and what it contributes to the variances of these means.
    """
    divisor = common_scale([spread.deviation for spread in spreads], scale)
    unit = np.where(divisor > 0, divisor, 1.0)
    sums = [
        power_sums(X, spread, s, spreads[1].mean, unit, 3)[1:]
        for X, spread, s in zip(samples, spreads, shares, strict=True)
    ]
    means = [first[:2] for first, _ in sums]
    of_means = [
        np.maximum(second[2:] - 2 * mean * first[2:] + mean**2 * s[2:].sum(axis=1)[:, np.newaxis], 0)
        for (first, second), mean, s in zip(sums, means, shares, strict=True)
    ]
    deviations = [np.sqrt(np.maximum(second[0] - first[0] ** 2, 0)) for first, second in sums]
    deviations = [np.where(deviation > SQUARE_ROUNDING, deviation, 0.0) for deviation in deviations]
    errors = np.sqrt(of_means[0] + of_means[1][0])
    found = table_columns(means[0], means[1][0], errors, common_scale(deviations, scale))
    # The square of a feature with two values is a line in it: it repeats the feature's own row.
    return found, ~has_two_values(samples, spreads)
