"""Gaussian kernels on standardised features: block by block, so that no matrix of n x n is ever made.

    k(x, c) = exp(-|x - c|^2 / (2 bandwidth^2))

What is drawn here (centres, rows for the median distance, folds) is drawn from the distinct rows and their counts, in
an order that follows from what they hold, so neither the order of the rows or the columns nor the way a repeated row is
written changes it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import pdist
from sklearn.preprocessing import StandardScaler

from shiftfix._blocks import row_blocks
from shiftfix._naming import OVERFLOW, ColumnError
from shiftfix._numerics import Floats
from shiftfix._row_order import content_order
from shiftfix._setting_checks import check_number
from shiftfix._validation import check_vector
from shiftfix._values import as_array
from shiftfix.exceptions import ShiftDataError

# A model of non-negative kernels can reach 0 where its logarithm is needed. At a millionth, even a million source rows
# together weigh no more than one.
RATIO_FLOOR = 1e-6
# Multiples of the median distance. In one dimension good widths lie below it; in fifty, where all distances are nearly
# equal, narrower kernels see no neighbour and wider ones act like low polynomials.
BANDWIDTH_FACTORS = (0.2, 0.3, 0.45, 0.65, 1.0, 1.5, 2.2, 3.3)
MEDIAN_ROWS = 200
# Squares and inverses of settings within these are numbers.
LEAST_SETTING, LARGEST_SETTING = 1e-100, 1e100


def squared_distances(X: Floats, centers: Floats) -> Floats:
    """Squared Euclidean distances, shape (n_rows, n_centers)."""
    squares = -2 * (X @ centers.T)
    squares += np.einsum("ij,ij->i", X, X)[:, np.newaxis]
    squares += np.einsum("ij,ij->i", centers, centers)
    return np.maximum(squares, 0, out=squares)


def gaussian_kernel(squares: Floats, bandwidth: float) -> Floats:
    """Kernel values of squared distances, same shape."""
    values = squares * (-0.5 / bandwidth**2)
    return np.exp(values, out=values)


def kernel_times(X: Floats, centers: Floats, bandwidth: float, coef: Floats) -> Floats:
    """Kernel matrix of X and the centres times ``coef``, shape (n_rows,), block by block."""
    product = np.empty(len(X))
    for rows in row_blocks(len(X), len(centers)):
        product[rows] = gaussian_kernel(squared_distances(X[rows], centers), bandwidth) @ coef
    return product


def kernel_mean(X: Floats, counts: Floats, centers: Floats, bandwidth: float) -> Floats:
    """Mean kernel value over the rows for each centre, shape (n_centers,), block by block."""
    total = np.zeros(len(centers))
    for rows in row_blocks(len(X), len(centers)):
        total += counts[rows] @ gaussian_kernel(squared_distances(X[rows], centers), bandwidth)
    return total / counts.sum()


def distinct_rows(X: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Distinct rows in sorted order and their total counts."""
    rows, inverse = np.unique(X, axis=0, return_inverse=True)
    totals: Any = np.bincount(inverse.ravel(), weights=counts, minlength=len(rows))
    return rows, totals


def draw_rows(rows: Floats, counts: Floats, size: int, generator: np.random.Generator) -> Floats:
    """At most ``size`` of the distinct rows, drawn without replacement in proportion to their counts."""
    present = np.flatnonzero(counts > 0)
    if len(present) <= size:
        return rows[present]
    return rows[np.sort(generator.choice(len(rows), size, replace=False, p=counts / counts.sum()))]


def median_distance(rows: Floats) -> float:
    """Median of the distances between rows that differ; 1 where all are equal."""
    distances = pdist(rows)
    distances = distances[distances > 0]
    return float(np.median(distances)) if distances.size else 1.0


def fold_counts(counts: Floats, n_folds: int) -> Floats:
    """Share every row's count among folds; shape (n_rows, n_folds), rows sum to ``counts``.

    The rows are laid end to end, each as long as its count, and unit number t of the line belongs to fold
    t modulo n_folds: whole counts are dealt out copy by copy, and other counts work alike.
    """
    ends = np.append(0.0, np.cumsum(counts))
    turns, rest = np.divmod(ends, n_folds)
    covered = turns[:, np.newaxis] + np.clip(rest[:, np.newaxis] - np.arange(n_folds), 0, 1)
    return np.diff(covered, axis=0)


def pooled_scaler(X_source: Floats, X_target: Floats, counts_source: Floats, counts_target: Floats) -> StandardScaler:
    """Fitted StandardScaler of both samples together.

    Raises
    ------
    ShiftDataError
        When the values of a column overflow when squared.
    """
    X = np.concatenate([X_source, X_target])
    with np.errstate(over="ignore", invalid="ignore"):
        scaler = StandardScaler().fit(X, sample_weight=np.concatenate([counts_source, counts_target]))
    if not np.isfinite(scaler.var_).all():
        column = int(np.flatnonzero(~np.isfinite(scaler.var_))[0])
        raise ColumnError(OVERFLOW.format(np.abs(X[:, column]).max()), column)
    return scaler


def _refuse_extreme(values: Floats, name: str) -> None:
    beyond = (values < LEAST_SETTING) | (values > LARGEST_SETTING)
    if beyond.any():
        raise ShiftDataError(
            f"{name}={values[beyond][0]:g}: a number >= {LEAST_SETTING:g} and <= {LARGEST_SETTING:g} is needed, for "
            "others overflow when squared or inverted."
        )


def candidates(setting: Any, name: str, default: ArrayLike) -> Floats:
    """The values a setting stands for: "auto" the default, a number itself, a sequence its entries; all > 0."""
    if isinstance(setting, str):
        if setting != "auto":
            raise ShiftDataError(f"{name}={setting!r}: 'auto', a number > 0 or a sequence of such numbers is needed.")
        return np.asarray(default, dtype=np.float64)
    given = as_array(setting, name)
    values = np.array([check_number(given.item(), name, above=0)]) if given.ndim == 0 else check_vector(given, name)
    if (values <= 0).any():
        raise ShiftDataError(f"{name} holds {values.min():g}: numbers > 0 are needed.")
    _refuse_extreme(values, name)
    return values.astype(np.float64)


def _ordered_rows(samples: list[tuple[Floats, Floats]]) -> list[tuple[Floats, Floats]]:
    """Rows and counts of every sample in the order of what they hold."""
    orders = content_order([rows for rows, _ in samples], [counts for _, counts in samples])
    return [(rows[order], counts[order]) for (rows, counts), order in zip(samples, orders, strict=True)]


@dataclass(frozen=True)
class KernelSetup:
    """Two samples made ready for kernels.

    Attributes
    ----------
    scaler : StandardScaler
        Of both samples together.
    source, target : ndarray
        Standardised rows; of the target the distinct ones, in an order by what they hold.
    counts_source, counts_target : ndarray
        Their repeat counts.
    centers : ndarray of shape (n_centers, n_features)
        Standardised target rows.
    median : float
        Median distance between standardised rows of both samples.
    """

    scaler: StandardScaler
    source: Floats
    target: Floats
    counts_source: Floats
    counts_target: Floats
    centers: Floats
    median: float


def prepare_kernels(
    X_source: Floats,
    X_target: Floats,
    counts_source: Floats,
    counts_target: Floats,
    n_centers: int,
    generator: np.random.Generator,
) -> KernelSetup:
    """Standardise, draw centres from the target and measure the median distance; a KernelSetup."""
    scaler = pooled_scaler(X_source, X_target, counts_source, counts_target)
    (distinct, distinct_counts), (target, counts_target) = _ordered_rows(
        [distinct_rows(X_source, counts_source), distinct_rows(X_target, counts_target)]
    )
    target = scaler.transform(target)
    centers = draw_rows(target, counts_target, n_centers, generator)
    # As many rows of one sample as of the other: the median must see the gap between them at any ratio of sizes.
    sampled = [
        scaler.transform(draw_rows(distinct, distinct_counts, MEDIAN_ROWS, generator)),
        draw_rows(target, counts_target, MEDIAN_ROWS, generator),
    ]
    return KernelSetup(
        scaler,
        scaler.transform(X_source),
        target,
        counts_source,
        counts_target,
        centers,
        median_distance(np.concatenate(sampled)),
    )
