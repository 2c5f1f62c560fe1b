"""Rows of a table as a network takes them: numbers by weighted quantiles with smooth bounds, categories as indicators.

With m the weighted median of a column and s the distance of its quartiles (half of its range where that is 0), a number
x enters as

    z / sqrt(1 + (z / 3)^2),      z = (x - m) / s,

which is z near 0 and stays within 3. Weighted quantiles are those of the rows repeated as often as they weigh, the mean
of two neighbours where a quantile falls between them.

Source: Holzmueller, Grinsztajn & Steinwart (2024), "Better by default: strong pre-tuned MLPs and boosted trees on
tabular data", NeurIPS, section 3 (robust scale and smooth clipping).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from shiftfix._naming import OVERFLOW, ColumnError

BOUND = 3.0
# Indicators of a column at most: the levels of most weight. Others have none, as a level that is new has.
MOST_LEVELS = 100
# Shares of the weight closer than this are one: they are sums in another order.
SAME_SHARE = 1e-12
# No z is larger: its square is a float, and its smooth bound 3.
LARGEST = 1e100


def weighted_quantiles(
    values: NDArray[np.float64], weight: NDArray[np.float64], levels: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Quantiles of values repeated by their weights, of the shape of ``levels``.

    Parameters
    ----------
    values, weight : ndarray of shape (n_rows,)
        Weights are positive; only ratios matter.
    levels : ndarray
        Within (0, 1).
    """
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weight[order])
    share /= share[-1]
    last = len(values) - 1
    low = np.minimum(np.searchsorted(share, levels - SAME_SHARE), last)
    high = np.minimum(np.searchsorted(share, levels + SAME_SHARE), last)
    return values[order[low]] / 2 + values[order[high]] / 2


def smooth_bound(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """The formula at the top of this file: same shape, within 3."""
    return z / np.sqrt(1 + (z / BOUND) ** 2)


class TableScaler:
    """What turns rows of numbers and codes of categories into inputs of a network.

    Parameters
    ----------
    numbers : ndarray of int
        Positions of the columns of numbers.
    center, scale : ndarray of shape (n_numbers,)
    indicator_columns, indicator_codes : ndarray of int of shape (n_indicators,)
        Each indicator is 1 where this column has this code.
    n_features_in : int
        Columns of the rows.
    bounded : bool
        Whether numbers are kept within 3.
    """

    def __init__(
        self,
        numbers: NDArray[np.int64],
        center: NDArray[np.float64],
        scale: NDArray[np.float64],
        indicator_columns: NDArray[np.int64],
        indicator_codes: NDArray[np.int64],
        n_features_in: int,
        bounded: bool,
    ) -> None:
        self.numbers = numbers
        self.center = center
        self.scale = scale
        self.indicator_columns = indicator_columns
        self.indicator_codes = indicator_codes
        self.n_features_in = n_features_in
        self.bounded = bounded

    @property
    def n_columns(self) -> int:
        """Inputs of the network: the numbers, then the indicators."""
        return len(self.numbers) + len(self.indicator_columns)

    def transform(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Inputs of shape (n_rows, n_columns), from rows of shape (n_rows, n_features_in)."""
        z = X[:, self.numbers].astype(np.float64)
        if self.bounded:
            with np.errstate(over="ignore"):
                z = smooth_bound(np.clip((z - self.center) / self.scale, -LARGEST, LARGEST))
        indicators = X[:, self.indicator_columns] == self.indicator_codes
        return np.concatenate([z, indicators], axis=1)


def column_of(X: Any, place: int) -> NDArray[np.float64]:
    """One column as float64, made dense where X is sparse."""
    found = X[:, [place]].toarray()[:, 0] if sparse.issparse(X) else X[:, place]
    return found.astype(np.float64)


def center_and_scale(values: NDArray[np.float64], weight: NDArray[np.float64], place: int) -> tuple[float, float]:
    """Weighted median and distance of the quartiles; half of the range, or 1, where that is 0.

    Raises
    ------
    ColumnError
        Where the scale overflows.
    """
    low, middle, high = weighted_quantiles(values, weight, np.array([0.25, 0.5, 0.75]))
    with np.errstate(over="ignore"):
        scale = float(high - low) or float(values.max() - values.min()) / 2 or 1.0
    if not np.isfinite(scale):
        raise ColumnError(OVERFLOW.format(np.abs(values).max()), place)
    # What is divided by the least floats overflows.
    return float(middle), max(scale, np.finfo(np.float64).tiny)


def heaviest_codes(codes: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.int64]:
    """Codes of the levels of most weight, in their order; -1 is that of no level."""
    known = codes >= 0
    mass = np.bincount(codes[known].astype(np.int64), weights=weight[known])
    found = np.flatnonzero(mass)
    # Sums in another order differ in the last digit, and must not decide.
    order = np.lexsort([found, -np.round(mass[found] / max(mass.max(initial=0.0), 1e-300), 9)])
    return np.sort(found[order[:MOST_LEVELS]])


def table_scaler(X: Any, weight: NDArray[np.float64], categorical: list[int], standardize: bool) -> TableScaler:
    """The scaler of the rows that train.

    Parameters
    ----------
    X : ndarray or csr_array of shape (n_rows, n_features)
        Codes from 0, or -1, in the columns of categories.
    weight : ndarray of shape (n_rows,)
        Positive.
    categorical : list of int
        Positions of the columns of categories.
    standardize : bool
        Whether numbers are scaled.

    Raises
    ------
    ColumnError
        For numbers whose scale overflows.
    """
    numbers = np.array([place for place in range(X.shape[1]) if place not in set(categorical)], dtype=np.int64)
    scales = [center_and_scale(column_of(X, place), weight, place) for place in numbers if standardize]
    center, scale = np.array(scales or [(0.0, 1.0)] * len(numbers), dtype=np.float64).reshape(-1, 2).T.copy()
    kept = [heaviest_codes(column_of(X, place), weight) for place in categorical]
    columns = np.repeat(np.array(categorical, dtype=np.int64), [len(codes) for codes in kept])
    codes = np.concatenate([*kept, np.zeros(0, dtype=np.int64)])
    return TableScaler(numbers, center, scale, columns, codes, X.shape[1], standardize)
