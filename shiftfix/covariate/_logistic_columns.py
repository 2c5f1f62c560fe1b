"""The columns that logistic log odds are linear in: features, their squares and products, standardised in blocks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from shiftfix._blocks import ColumnSpread, column_spread, matrix_blocks, pooled_moments
from shiftfix._numerics import Floats, column_scale

EXPANSIONS = ("linear", "squares", "quadratic")
# Offsets of a column, in its standard deviations, that sums of products keep ten digits with.
OFFSET_LIMIT = 1e3
# Entries of squares and products that are made once for several fits: 64 MB, of which each fold has a copy of its rows.
MADE_ENTRIES = 2**23


def n_columns(expansion: str, n_features: int) -> int:
    """Columns of an expansion of ``n_features`` features."""
    products = n_features * (n_features - 1) // 2
    return n_features + n_features * (expansion != "linear") + products * (expansion == "quadratic")


def column_table(n_rows: int, n_columns: int) -> Floats:
    """Room for columns, each in one piece: products of columns are made two to three times as fast as across rows."""
    return np.empty((n_rows, n_columns), order="F")


@dataclass(frozen=True)
class Columns:
    """The columns h is linear in: features minus ``mean`` and, when expanded, their squares and products.

    Attributes
    ----------
    expansion : {"linear", "squares", "quadratic"}
    mean, unit : ndarray of shape (n_features,)
        Expanded are the features (x - mean) / unit; for "linear", unit is 1.
    centre, scale : ndarray of shape (n_columns,)
        Mean and standard deviation of the columns made; z = (column - centre) / scale.
    """

    expansion: str
    mean: Floats
    unit: Floats
    centre: Floats
    scale: Floats

    def centred(self, block: NDArray[Any], out: Floats | None = None) -> Floats:
        """Columns minus their centres of a dense block, shape (n_rows, n_columns), not yet divided by ``scale``."""
        n_features = block.shape[1]
        out = column_table(len(block), n_columns(self.expansion, n_features)) if out is None else out[: len(block)]
        z = out[:, :n_features]
        np.subtract(block, self.mean, out=z)
        if self.expansion == "linear":
            return out
        z /= self.unit
        np.multiply(z, z, out=out[:, n_features : 2 * n_features])
        at = 2 * n_features
        if self.expansion == "quadratic":
            for j in range(n_features - 1):
                width = n_features - 1 - j
                np.multiply(z[:, j : j + 1], z[:, j + 1 :], out=out[:, at : at + width])
                at += width
        out -= self.centre
        return out

    def in_place(self, X: Any) -> bool:
        """Whether sums over the rows of X may do without a centred copy of them.

        Means are taken out of the sums, as long as they are not so large that the sums lose digits. Sparse rows could
        not be centred; single precision must be left first.
        """
        if sparse.issparse(X):
            return True
        offset = np.abs(self.mean / self.scale).max() if self.expansion == "linear" else np.inf
        return X.dtype == np.float64 and bool(offset < OFFSET_LIMIT)

    def log_odds(self, X: Any, beta: Floats, intercept: float) -> Floats:
        """Log odds h at the rows of a dense or sparse matrix, shape (n_rows,)."""
        coefficients = beta / self.scale
        in_place = self.in_place(X)
        level = float(intercept - self.mean @ coefficients) if in_place else intercept
        h = np.empty(X.shape[0])
        for rows in matrix_blocks(X, len(coefficients)):
            h[rows] = (X[rows] if in_place else self.centred(X[rows])) @ coefficients
        h += level
        return h

    def polynomial(self, beta: Floats, intercept: float) -> tuple[float, Floats, Floats | None]:
        """Parts of h = a + b'x + x'Qx in the units of the features, from coefficients of the standardised columns.

        Returns
        -------
        a : float
        b : ndarray of shape (n_features,)
        Q : ndarray of shape (n_features, n_features) or None
            Symmetric; None for "linear".
        """
        coefficients = beta / self.scale
        n_features = len(self.mean)
        if self.expansion == "linear":
            return float(intercept - coefficients @ self.mean), coefficients, None
        Q = np.diag(coefficients[n_features : 2 * n_features])
        if self.expansion == "quadratic":
            upper = np.triu_indices(n_features, 1)
            Q[upper] = coefficients[2 * n_features :] / 2
            Q[upper[::-1]] = Q[upper]
        Q = Q / np.outer(self.unit, self.unit)
        slope = coefficients[:n_features] / self.unit
        a = intercept - coefficients @ self.centre - slope @ self.mean + self.mean @ Q @ self.mean
        return float(a), slope - 2 * Q @ self.mean, Q


def make_columns(
    samples: Sequence[Any], counts: Sequence[Floats], expansion: str, spreads: Sequence[ColumnSpread] | None = None
) -> tuple[Columns, Floats]:
    """Columns standardised over both samples; the variance of the features too, for the caller's checks.

    ``spreads`` are the ColumnSpread of each sample, where they are known.
    """
    if spreads is None:
        spreads = [column_spread(X, c) for X, c in zip(samples, counts, strict=True)]
    mean, variance = pooled_moments(spreads)
    n_rows = sum(X.shape[0] for X in samples)
    scale = column_scale(mean, variance, n_rows)
    if expansion == "linear" or not np.isfinite(variance).all():
        return Columns("linear", mean, np.ones_like(scale), np.zeros_like(scale), scale), variance
    centre, spread = _expanded_moments(samples, counts, Columns(expansion, mean, scale, np.zeros(1), np.ones(1)))
    return Columns(expansion, mean, scale, centre, column_scale(np.ones_like(centre), spread, n_rows)), variance


def made_columns(samples: Sequence[Any], counts: Sequence[Floats], features: str) -> tuple[Sequence[Any], Columns]:
    """Rows, and the columns that the log odds are linear in: made once where they fit, else by every pass anew."""
    columns, _ = make_columns(samples, counts, features)
    n_rows, width = sum(X.shape[0] for X in samples), len(columns.scale)
    if columns.expansion == "linear" or n_rows * width > MADE_ENTRIES:
        return samples, columns
    tables = [np.empty((X.shape[0], width)) for X in samples]
    for X, table in zip(samples, tables, strict=True):
        for rows in matrix_blocks(X, width):
            table[rows] = columns.centred(X[rows])
    none = np.zeros(width)
    return tables, Columns("linear", none, np.ones(width), none, columns.scale)


def _expanded_moments(samples: Sequence[Any], counts: Sequence[Floats], raw: Columns) -> tuple[Floats, Floats]:
    """Mean and variance of expanded columns, whose values are of order 1: no offset to be careful of."""
    total = sum(c.sum() for c in counts)
    first, second = np.zeros(1), np.zeros(1)
    for X, c in zip(samples, counts, strict=True):
        for rows in matrix_blocks(X, n_columns(raw.expansion, X.shape[1])):
            block = raw.centred(X[rows])
            first = first + c[rows] @ block
            second = second + c[rows] @ np.square(block, out=block)
    centre = first / total
    return centre, np.maximum(second / total - centre**2, 0)
