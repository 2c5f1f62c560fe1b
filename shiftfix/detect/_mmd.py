"""Maximum mean discrepancy: the distance of the kernel means of source and target.

With c = 1 / n_target at target rows and -1 / n_source at source rows, the squared distance is c' K c, for the Gaussian
kernel k(x, z) = exp(-|x - z|^2 / (2 b^2)). Its diagonal adds the same for every assignment of the labels, so nothing is
taken off. Kernels of several widths b are several statistics under one permutation null.
Source: Gretton, Borgwardt, Rasch, Schoelkopf & Smola (2012), JMLR 13:723-773, equation 5; Schrab, Kim, Albert, Laurent,
Guedj & Gretton (2023), JMLR 24(194), for several widths.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftfix._blocks import PRODUCT_ENTRIES, row_blocks
from shiftfix._door import public
from shiftfix._kernels import MEDIAN_ROWS, candidates, gaussian_kernel, median_distance, squared_distances
from shiftfix._numerics import Floats
from shiftfix._setting_checks import check_count, check_generator
from shiftfix.detect._permuted import PooledRows, check_raw_samples, largest_of, permuted_labels, pool
from shiftfix.detect._result import ShiftTest, stopwatch

# Widths in median distances.
WIDTHS = (0.35, 0.7, 1.4, 2.8)
N_PERMUTATIONS = 299
MOST_ROWS = 2000


def mmd_squared(rows: Floats, labels: NDArray[np.bool_], bandwidths: ArrayLike) -> Floats:
    """Squared discrepancy for every assignment of labels and every width, shape (n_labels, n_bandwidths).

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_columns)
    labels : ndarray of bool, shape (n_labels, n_rows)
        True for target; as many in each.
    bandwidths : array-like of shape (n_bandwidths,)
    """
    n_target = labels[0].sum()
    signs = np.where(labels, 1 / n_target, -1 / (len(rows) - n_target)).T
    widths = np.asarray(bandwidths, dtype=np.float64)
    total = np.zeros((len(widths), len(labels)))
    for block in row_blocks(len(rows), len(rows), entries=PRODUCT_ENTRIES):
        # The kernel is symmetric: of what lies beyond the diagonal block one half is enough.
        squares, size = squared_distances(rows[block], rows[block.start :]), block.stop - block.start
        for place, width in enumerate(widths):
            kernel = gaussian_kernel(squares, width)
            kernel[:, size:] *= 2
            total[place] += np.einsum("ib,ib->b", signs[block], kernel @ signs[block.start :])
    return total.T


def subsample(pooled: PooledRows, most: int, rng: np.random.Generator) -> PooledRows:
    """At most so many rows of each sample, drawn without replacement."""
    kept = [_drawn(np.flatnonzero(pooled.is_target == side), most, rng) for side in (False, True)]
    rows = np.sort(np.concatenate(kept))
    return PooledRows(pooled.rows[rows], pooled.is_target[rows])


def _drawn(rows: NDArray[np.intp], most: int, rng: np.random.Generator) -> NDArray[np.intp]:
    return rows if len(rows) <= most else rng.choice(rows, most, replace=False)


@public
def mmd_test(
    X_source: Any,
    X_target: Any,
    *,
    bandwidths: str | float | ArrayLike = "auto",
    n_permutations: int = N_PERMUTATIONS,
    max_rows: int = MOST_ROWS,
    random_state: int | np.random.Generator | np.random.RandomState | None = None,
) -> ShiftTest:
    """Test of equal distributions by the maximum mean discrepancy of Gaussian kernels.

    Its size is exact whatever the data, if the rows are independent. It sees every kind of difference, moved means
    about as well as :func:`classifier_test` and none by name.

    Parameters
    ----------
    X_source : array-like or data frame of shape (n_source, n_features)
        Gaps and categories are welcome. Columns are standardised over both samples.
    X_target : array-like or data frame of shape (n_target, n_features)
    bandwidths : "auto", float or array-like, default="auto"
        Widths of the kernels, in median distances of the rows; "auto" means .35, .7, 1.4 and 2.8.
    n_permutations : int, default=299
    max_rows : int, default=2000
        Rows taken of each sample; of larger ones so many are drawn. Time grows with their square.
    random_state : int, numpy Generator or RandomState, default=None
        For what is drawn, and the permutations.

    Returns
    -------
    ShiftTest
        Its effect size is the discrepancy of the width that tells most, from 0 to sqrt(2), less what it is by chance.

    Raises
    ------
    ShiftDataError
        For sparse rows, fewer than five rows, and widths that are no positive numbers.

    See Also
    --------
    classifier_test : Can a model tell source from target rows?
    feature_tests : Every column by itself.

    Notes
    -----
    Memory: blocks of some 16 MB, and 8 bytes for each row and permutation. Time on one core: .2 s for 500 + 500 rows of
    10 columns, 1.5 s for 2,000 + 2,000 rows of 30.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> mmd_test(rng.normal(size=(100, 2)), rng.normal(1, 1, size=(100, 2)), random_state=0).p_value < 0.01
    True
    """
    clock = stopwatch()
    source, target, names = check_raw_samples(X_source, X_target)
    widths = candidates(bandwidths, "bandwidths", WIDTHS)
    n_permutations, max_rows = check_count(n_permutations, "n_permutations"), check_count(max_rows, "max_rows", 5)
    rng = check_generator(random_state)
    used = subsample(pool(source, target, names), max_rows, rng)
    unit = median_distance(_drawn_rows(used.rows, 2 * MEDIAN_ROWS, rng))
    labels = permuted_labels(used.is_target, n_permutations, rng)
    values = mmd_squared(used.rows, labels, unit * widths)
    found = largest_of(values)
    effect = np.sqrt(max(0.0, values[0, found.place] - values[:, found.place].mean()))
    n_target = int(used.is_target.sum())
    method = "Maximum mean discrepancy"
    return ShiftTest(
        found.statistic, found.p_value, float(effect), len(used.rows) - n_target, n_target, method, clock(), "MMD"
    )


def _drawn_rows(rows: Floats, most: int, rng: np.random.Generator) -> Floats:
    return rows[_drawn(np.arange(len(rows)), most, rng)]
