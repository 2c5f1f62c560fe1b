"""Several statistics under one permutation null.

Where source and target have one distribution, every assignment of the labels "source" and "target" to the pooled rows
is as likely as the one observed. Statistics of different scales are put in standard deviations of that null; the
largest is the statistic of all of them together, and its rank among the largest of the permuted assignments gives a
p-value of exact size, however the statistics depend on each other.
Source: Westfall & Young (1993), Resampling-Based Multiple Testing, section 2.3; Phipson & Smyth (2010), Stat. Appl.
Genet. Mol. Biol. 9(1):39 (the observed assignment counts as one).
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from shiftfix._kernels import pooled_scaler
from shiftfix._naming import column_names, columns_named
from shiftfix._numerics import Floats
from shiftfix._permutation import TIE
from shiftfix._row_order import content_order
from shiftfix._validation import check_matrix, check_two_samples
from shiftfix.covariate import check_raw_rows, comparable_rows, frame_like
from shiftfix.exceptions import ShiftDataError

# Rows of one sample below which the others say next to nothing of it.
LEAST_ROWS = 5
# In standard deviations: rows further out count as this far, so that no few of them decide squares and distances.
CUT = 5.0


class PooledRows(NamedTuple):
    """Rows of both samples together, in an order that follows from what they hold.

    Attributes
    ----------
    rows : ndarray of shape (n_rows, n_columns)
        In standard deviations of both samples together.
    is_target : ndarray of bool, shape (n_rows,)
    """

    rows: Floats
    is_target: NDArray[np.bool_]


def check_dense_rows(X: Any, name: str) -> Any:
    """Rows as a frame or an array, with gaps and categories or without; sparse ones are refused."""
    return check_matrix(X, name) if sparse.issparse(X) else check_raw_rows(X, name)


def refuse_few_rows(n_rows: int, name: str, least: int = LEAST_ROWS) -> None:
    """Raise ShiftDataError for fewer rows than that."""
    if n_rows < least:
        raise ShiftDataError(f"{name} has {n_rows} rows, and at least {least} are needed: collect more rows.")


def check_raw_samples(X_source: Any, X_target: Any) -> tuple[Any, Any, list[str] | None]:
    """Both samples with gaps and categories as they are, and the names of their columns or None."""
    source, target, names = check_two_samples(X_source, X_target, check_dense_rows)
    refuse_few_rows(source.shape[0], "X_source")
    refuse_few_rows(target.shape[0], "X_target")
    return *_both_alike(source, target), names


def _library(X: Any) -> str | None:
    return type(X).__module__.partition(".")[0] if hasattr(X, "columns") else None


def _both_alike(source: Any, target: Any) -> tuple[Any, Any]:
    """Two frames of one library or two arrays; where one sample is a frame, the other becomes one."""
    libraries = _library(source), _library(target)
    if libraries[0] == libraries[1]:
        return source, target
    if None not in libraries:
        raise ShiftDataError(f"X_source is a frame of {libraries[0]}, X_target one of {libraries[1]}: pass both alike.")
    library, names = libraries[0] or libraries[1], column_names(source) or column_names(target)
    return frame_like(source, library, names), frame_like(target, library, names)


def standardized(source: Any, target: Any, names: list[str] | None) -> tuple[Floats, Floats]:
    """Checked samples as numbers in standard deviations of both; gaps and categories become columns of their own.

    Raises
    ------
    ShiftDataError
        For a column whose values overflow when squared.
    """
    found, made = comparable_rows((source, target), names)
    first, second = (np.asarray(rows, dtype=np.float64) for rows in found)
    with columns_named(made):
        scaler = pooled_scaler(first, second, np.ones(len(first)), np.ones(len(second)))
    scaler.set_output(transform="default")
    return scaler.transform(first), scaler.transform(second)


def pool(source: Any, target: Any, names: list[str] | None) -> PooledRows:
    """Checked samples as pooled numbers."""
    samples = standardized(source, target, names)
    rows = np.clip(np.concatenate(samples), -CUT, CUT)
    rows = rows[:, np.ptp(rows, axis=0) > 0]
    is_target = np.repeat([False, True], [len(samples[0]), len(samples[1])])
    order = content_order([rows])[0] if rows.shape[1] else np.arange(len(rows))
    return PooledRows(rows[order], is_target[order])


def permuted_labels(is_target: NDArray[np.bool_], n_permutations: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """The labels as observed and permuted at random, shape (1 + n_permutations, n_rows)."""
    labels = np.tile(is_target, (n_permutations + 1, 1))
    rng.permuted(labels[1:], axis=1, out=labels[1:])
    return labels


class LargestOf(NamedTuple):
    """Several statistics as one.

    Attributes
    ----------
    statistic : float
        The largest, in standard deviations of the null above its mean.
    p_value : float
    place : int
        Which of them it is.
    """

    statistic: float
    p_value: float
    place: int


def largest_of(statistics: Floats) -> LargestOf:
    """Largest of several statistics, of which large values speak of a shift.

    Parameters
    ----------
    statistics : ndarray of shape (1 + n_permutations, n_statistics)
        As observed, and for permuted labels.
    """
    spread = statistics.std(axis=0)
    # What is one number for every assignment up to rounding tells nothing.
    flat = spread <= TIE * np.abs(statistics).max(axis=0)
    z = np.where(flat, 0.0, (statistics - statistics.mean(axis=0)) / np.where(flat, 1.0, spread))
    largest = z.max(axis=1)
    bound = largest[0] - TIE * max(1.0, abs(largest[0]))
    return LargestOf(float(largest[0]), float(np.mean(largest >= bound)), int(z[0].argmax()))
