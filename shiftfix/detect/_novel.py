"""Rows of a class that the source never had.

A row of no known class lies far from the rows of every known one. Its novelty is the distance to its k-th nearest
neighbour in a class, in units of the median such distance within that class, and of all classes the least:

    u(x) = min_k d_k(x) / median of d_k over the class itself.

Neighbours are looked for in half of the source; rows of the other half and of the target are exchangeable where no
class is new, so that more target rows than that beyond a high value of u, for one of several shares of rows, have an
exact permutation p-value. In units of its own class a row's novelty hardly depends on the class: other class shares do
not look like a new class.
Sources: Loftsgaarden & Quesenberry (1965), Ann. Math. Statist. 36(3):1049-1051 (nearest neighbours as density);
Good (2005), Permutation, Parametric and Bootstrap Tests of Hypotheses, section 3.2.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.neighbors import NearestNeighbors

from shiftfix._crossfit import assign_folds
from shiftfix._door import public
from shiftfix._numerics import Floats
from shiftfix._row_order import content_order
from shiftfix._setting_checks import check_count, check_generator
from shiftfix._validation import check_labels
from shiftfix.detect._permuted import check_raw_samples, largest_of, permuted_labels, standardized
from shiftfix.detect._result import ShiftTest, stopwatch

# Shares of the rows, source and target together, that are looked at as the most novel.
TAILS = (0.01, 0.02, 0.05, 0.1, 0.2)
N_NEIGHBORS = 5
LEAST_OF_CLASS = 3
MOST_ROWS = 5000
N_PERMUTATIONS = 999


def class_distances(known: Floats, rows: Floats) -> Floats:
    """Distance to the fifth neighbour among the rows of one class, in medians of that within it; (n_rows,)."""
    n_neighbors = min(N_NEIGHBORS, len(known) - 1)
    search = NearestNeighbors(n_neighbors=n_neighbors).fit(known)
    within = search.kneighbors()[0][:, -1]
    unit = np.median(within) or within.mean() or 1.0
    return np.asarray(search.kneighbors(rows)[0][:, -1] / unit)


def novelty(known: Floats, y: NDArray[Any], rows: Floats) -> Floats:
    """How far rows lie from every class, in the spread of the nearest one; (n_rows,).

    Parameters
    ----------
    known : ndarray of shape (n_known, n_columns)
    y : ndarray of shape (n_known,)
        Their classes; those of fewer than three rows count together.
    rows : ndarray of shape (n_rows, n_columns)
    """
    classes, counts = np.unique(y, return_counts=True)
    groups = [known[y == label] for label in classes[counts >= LEAST_OF_CLASS]]
    rare = known[np.isin(y, classes[counts < LEAST_OF_CLASS])]
    groups += [rare] if len(rare) >= LEAST_OF_CLASS else []
    return np.min([class_distances(group, rows) for group in groups], axis=0)


def beyond_tails(values: Floats) -> NDArray[np.bool_]:
    """Which rows are among the most novel, for every share of :data:`TAILS`; shape (n_rows, n_tails)."""
    return values[:, np.newaxis] > np.quantile(values, 1 - np.array(TAILS), method="higher") - np.spacing(1.0)


def _at_most(rows: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    return rows if len(rows) <= MOST_ROWS else np.sort(rng.choice(rows, MOST_ROWS, replace=False))


@public
def novel_class_test(
    X_source: Any,
    y_source: ArrayLike,
    X_target: Any,
    *,
    n_permutations: int = N_PERMUTATIONS,
    random_state: int | np.random.Generator | np.random.RandomState | None = None,
) -> ShiftTest:
    """Test whether the target holds rows of a class that the source never had.

    Looks for target rows that lie far from all classes of the source. Other class shares do not matter; rows of a
    known class that moved look like a new one, so a small p-value asks for a look at the rows.

    Parameters
    ----------
    X_source : array-like or data frame of shape (n_source, n_features)
        Gaps and categories are welcome. Columns are standardised; features in which classes lie apart (a network's last
        layer) serve best.
    y_source : array-like of shape (n_source,)
    X_target : array-like or data frame of shape (n_target, n_features)
    n_permutations : int, default=999
    random_state : int, numpy Generator or RandomState, default=None
        For the halves of the source and the permutations.

    Returns
    -------
    ShiftTest
        Its effect size is the share of target rows beyond what the source has so far out: about the share of a new
        class that lies apart.

    Raises
    ------
    ShiftDataError
        For data that cannot be used.

    See Also
    --------
    concept_test : By target labels: did p(y given x) move?
    diagnose_shift : Evidence for each kind of shift, verdict, next action.

    Notes
    -----
    At most 5,000 rows of each half and of the target are used, drawn at random.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 200)
    >>> X, X_target = rng.normal(6 * y[:, np.newaxis], 1, (400, 2)), rng.normal(0, 1, (200, 2))
    >>> X_target[:20] += [-6, 6]
    >>> novel_class_test(X, y, X_target, random_state=0).p_value < 0.01
    True
    """
    clock = stopwatch()
    source, target, names = check_raw_samples(X_source, X_target)
    y = check_labels(y_source, "y_source", source.shape[0])
    n_permutations, rng = check_count(n_permutations, "n_permutations"), check_generator(random_state)
    numbers, others = standardized(source, target, names)
    half = assign_folds([numbers], 2, int(rng.integers(2**31)))[0]
    known, kept = (_at_most(np.flatnonzero(half == side), rng) for side in (0, 1))
    asked = np.concatenate([numbers[kept], others[_at_most(np.arange(len(others)), rng)]])
    order = content_order([asked])[0]
    is_target = (np.arange(len(asked)) >= len(kept))[order]
    values = novelty(numbers[known], y[known], asked[order])
    far = beyond_tails(values)
    found = largest_of(permuted_labels(is_target, n_permutations, rng).astype(np.float64) @ far)
    excess = far[is_target, found.place].mean() - far[~is_target, found.place].mean()
    return ShiftTest(
        found.statistic,
        found.p_value,
        float(max(0.0, excess)),
        len(kept),
        int(is_target.sum()),
        "Test of a novel class (distance to all known ones)",
        clock(),
        "excess share of rows",
    )
