"""Target features as a small Gaussian process reads them: standardised on the target, bounded, of mean square 1."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from sklearn.utils import _safe_indexing

from shiftfix._blocks import column_spread, row_blocks
from shiftfix._kernels import median_distance
from shiftfix._numerics import Floats
from shiftfix._row_order import Rows
from shiftfix._validation import check_matrix
from shiftfix.corrected._few_kernels import RowProducts, row_products
from shiftfix.covariate import TableColumns, are_numbers, reads_raw_rows
from shiftfix.exceptions import ShiftDataError

# Standard deviations at which a standardised feature is cut.
MOST_DEVIATIONS = 5.0
# Rows of a block, at least: below, calls cost more than their numbers.
LEAST_ROWS = 64


class TargetColumns(NamedTuple):
    """How rows become features.

    Attributes
    ----------
    encoder : TableColumns or None
        Makes numbers of categories and gaps; None where the rows are numbers.
    mean, scale : ndarray of shape (n_columns,)
        Of the target; the scale of a constant column is 1.
    size : float
        Root of the mean squared length of the standardised target rows.
    """

    encoder: Any
    mean: Floats
    scale: Floats
    size: float

    def matrix(self, X: Any, name: str) -> Any:
        """Rows as a matrix of numbers, dense or sparse."""
        return matrix_of(self.encoder, X, name)

    def features(self, matrix: Any) -> Floats:
        """Features of rows of numbers, shape (n_rows, n_columns)."""
        rows = matrix.toarray() if sparse.issparse(matrix) else matrix
        with np.errstate(over="ignore"):
            deviations = (rows - self.mean) / self.scale
        return np.clip(deviations, -MOST_DEVIATIONS, MOST_DEVIATIONS) / self.size


def matrix_of(encoder: Any, X: Any, name: str) -> Any:
    """Rows as a matrix of numbers, by an encoder if there is one."""
    return check_matrix(X, name, accept_sparse=True) if encoder is None else encoder.transform(X)


def fit_columns(estimator: Any, X_target: Any) -> TargetColumns:
    """Learn from the target how rows become features.

    Parameters
    ----------
    estimator : estimator
        One that takes gaps and categories may get them in new rows too, though the target has none.
    X_target : array-like, sparse matrix or data frame of shape (n_target, n_features)

    Returns
    -------
    TargetColumns

    Raises
    ------
    ShiftDataError
        For rows of which no numbers can be made.
    """
    if len(np.shape(X_target)) != 2:
        raise ShiftDataError(
            f"X_target has shape {np.shape(X_target)} and is no table: linear and smooth corrections, and processes of "
            'target labels alone, read rows and columns. Pass levels=("intercept", "slope") and experts="auto".'
        )
    raw = not sparse.issparse(X_target) and (reads_raw_rows(estimator) or not are_numbers(X_target))
    encoder = TableColumns().fit(X_target) if raw else None
    matrix = matrix_of(encoder, X_target, "X_target")
    n_rows = matrix.shape[0]
    spread = column_spread(matrix, np.ones(n_rows))
    varies = spread.deviation > n_rows * np.finfo(float).eps * np.abs(spread.mean)
    columns = TargetColumns(encoder, spread.mean, np.where(varies, spread.deviation, 1.0), 1.0)
    total = sum(float(np.square(columns.features(matrix[block])).sum()) for block in feature_blocks(matrix))
    return columns._replace(size=float(np.sqrt(total / n_rows)) or 1.0)


def feature_blocks(matrix: Any, n_wide: int = 1) -> list[slice]:
    """Blocks of rows whose features, and tables of ``n_wide`` columns, fit in little memory."""
    return row_blocks(matrix.shape[0], max(matrix.shape[1], n_wide, 1), least=LEAST_ROWS)


class LabelledFeatures(NamedTuple):
    """The labelled target rows, and what makes features of other rows.

    Attributes
    ----------
    columns : TargetColumns or None
        None where nothing reads the features.
    rows : ndarray of shape (n_labels, n_columns)
        Features of the labelled rows.
    width : float
        Width of the smooth part: the median distance of labelled rows over sqrt(2).
    """

    columns: TargetColumns | None
    rows: Floats
    width: float

    def products(self) -> RowProducts:
        """Of the labelled rows with one another."""
        return row_products(self.rows, self.rows, self.width)

    def in_blocks(self, X: Any, n_rows: int, n_wide: int) -> Iterator[tuple[slice, RowProducts, Floats]]:
        """Products with the labelled rows, and squared lengths, of blocks of other rows.

        Parameters
        ----------
        X : array-like, sparse matrix or data frame of shape (n_rows, n_features)
        n_rows : int
        n_wide : int
            Columns of the tables that are made of a block.
        """
        matrix = np.empty((n_rows, 0)) if self.columns is None else self.columns.matrix(X, "X")
        for block in feature_blocks(matrix, n_wide):
            features = matrix[block] if self.columns is None else self.columns.features(matrix[block])
            yield block, row_products(features, self.rows, self.width), np.einsum("ij,ij->i", features, features)


def read_labelled(estimator: Any, X_target: Any, rows: Rows, reads_features: bool) -> LabelledFeatures:
    """Features of the labelled rows, and how to make those of others.

    Parameters
    ----------
    estimator : estimator
    X_target : array-like, sparse matrix or data frame of shape (n_target, n_features)
    rows : ndarray of int, shape (n_labels,)
    reads_features : bool
        Whether anything reads them.

    Returns
    -------
    LabelledFeatures
    """
    if not reads_features:
        return LabelledFeatures(None, np.empty((len(rows), 0)), 1.0)
    columns = fit_columns(estimator, X_target)
    features = columns.features(columns.matrix(_safe_indexing(X_target, rows), "X_target"))
    return LabelledFeatures(columns, features, median_distance(features) / np.sqrt(2))
