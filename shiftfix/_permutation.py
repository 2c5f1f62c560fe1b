"""Permutation tests of two samples, and p-values of several tests together.

Under "both samples come from one distribution" every split of the pooled rows is as likely as the one observed, so the
rank of the observed statistic among those of random splits gives a p-value of exact size.
Sources: Good (2005), Permutation, Parametric and Bootstrap Tests of Hypotheses, section 3.2 (two samples); Phipson &
Smyth (2010), Stat. Appl. Genet. Mol. Biol. 9(1):39 (the observed split counts as one draw); Holm (1979), Scand. J.
Statist. 6(2):65-70.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Bound of the temporary table, in numbers.
TABLE_ENTRIES = 2_000_000
# Ties count as exceeding; rounding must not break them.
TIE = 1e-9


def permutation_p_value(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    first_counts: NDArray[np.float64],
    second_counts: NDArray[np.float64],
    *,
    n_permutations: int,
    rng: np.random.Generator,
) -> float:
    """P-value of "the rows of both samples have one distribution", by the squared norm of a sample's sum.

    The rows must be centred over both samples together: then the one sum is minus the other, and the squared norm of
    either orders the splits as that of the difference of means does.

    Parameters
    ----------
    first, second : ndarray of shape (n_rows, n_columns)
        The smaller sample first: its sums are the cheaper ones.
    first_counts, second_counts : ndarray of shape (n_rows,)
        Repeat counts. A row is permuted as often as it counts; totals are rounded to whole rows.
    n_permutations : int
    rng : numpy.random.Generator

    Returns
    -------
    float
        (1 + splits as far apart as the observed one) / (1 + n_permutations), in (0, 1].
    """
    total = first_counts.sum() + second_counts.sum()
    n_first, n_total = max(1, round(first_counts.sum())), max(2, round(total))
    rows = np.vstack([first, second])
    counts = np.append(first_counts, second_counts)
    reach, once = np.cumsum(counts), bool((counts == 1).all())
    observed = np.square(first_counts @ first).sum()
    exceed = 0
    step = max(1, TABLE_ENTRIES // (n_first * rows.shape[1]))
    for start in range(0, n_permutations, step):
        n = min(step, n_permutations - start)
        drawn = np.array([rng.choice(n_total, n_first, replace=False, shuffle=False) for _ in range(n)])
        # Position i of the rows written out as often as they count belongs to the first row that reaches beyond i.
        picked = drawn if once else np.searchsorted(reach, (drawn + 0.5) * (reach[-1] / n_total))
        exceed += (np.square(rows[picked].sum(axis=1)).sum(axis=1) >= observed * (1 - TIE)).sum()
    return float((1 + exceed) / (n_permutations + 1))


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """P-values adjusted so that any below a level are wrong together with at most that probability.

    Sorted, the i-th least of n is multiplied by n - i + 1; none falls below the one before it. Holds whatever the
    dependence between the tests.

    Parameters
    ----------
    p_values : array-like of shape (n_tests,)

    Returns
    -------
    ndarray of shape (n_tests,)
        In the order given, at most 1.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(np.minimum(p[order] * np.arange(p.size, 0, -1), 1.0))
    return adjusted
