"""Whether one column has the same distribution in source and target: one quadratic form for numbers and categories.

A column gives every row a few scores c: of numbers, polynomials of the rank; of categories, one indicator each; of
gaps, an indicator. Given the pooled rows and that both samples have one distribution, the sum S of the scores over the
target has the mean n_target c_mean and the covariance V = n_source n_target / (N (N - 1)) sum (c - c_mean)(c - c_mean)'
exactly, with any ties and gaps, so

    (S - n_target c_mean)' V^-1 (S - n_target c_mean)

is chi-squared on rank(V) degrees of freedom. For categories it is Pearson's statistic times (N - 1) / N; for the first
polynomial alone it is Wilcoxon's, for two of them a test of location and spread such as Lepage's.
Sources: Hajek, Sidak & Sen (1999), Theory of Rank Tests, section 3.3.1 (moments) and 6.1 (limit); Neyman (1937),
Skand. Aktuarietidskr. 20:149-199, for the polynomials.
"""

from typing import NamedTuple

import numpy as np
from numpy.polynomial.legendre import legvander
from numpy.typing import NDArray
from scipy.stats import chi2, rankdata

from shiftfix._numerics import Floats
from shiftfix.detect._columns import ColumnPair

# Polynomials of the ranks: location, spread, skewness, and two peaks against one. At 500 + 500 rows nearly as strong
# against a moved mean as the test of Kolmogorov and Smirnov (.45 for .53), and stronger against a spread (.80 for .24).
DEGREE = 4
# Categories with fewer expected rows than this in the smaller sample count together.
LEAST_EXPECTED = 5.0
MOST_CATEGORIES = 50
# Directions in which scores vary less than this, relative to the most, do not vary.
RANK_TOLERANCE = 1e-9


class ColumnOutcome(NamedTuple):
    """Chi-squared statistic and p-value of one column, and the distance of its two distributions, from 0 to 1."""

    statistic: float
    p_value: float
    distance: float


def rank_scores(values: Floats) -> Floats:
    """Legendre polynomials of degree 1 to 4 at the ranks, scaled to (-1, 1), with mid-ranks for ties."""
    place = (2 * rankdata(values) - 1) / len(values) - 1
    return legvander(place, DEGREE)[:, 1:]


def category_scores(codes: NDArray[np.intp], n_smaller: int) -> Floats:
    """One indicator for each category, the rare ones together, shape (n_rows, n_groups).

    Parameters
    ----------
    codes : ndarray of int, shape (n_rows,)
        Category of each row, from 0.
    n_smaller : int
        Rows of the smaller sample.
    """
    counts = np.bincount(codes)
    rare = counts * n_smaller / len(codes) < LEAST_EXPECTED
    rare[np.argsort(-counts, kind="stable")[MOST_CATEGORIES:]] = True
    group = np.where(rare, len(counts), np.arange(len(counts)))
    _, number = np.unique(group[codes], return_inverse=True)
    return np.eye(number.max() + 1)[number]


def quadratic_form(scores: Floats, is_target: NDArray[np.bool_]) -> tuple[float, float]:
    """Chi-squared statistic of "the scores of both samples have one distribution", and its p-value."""
    centred = scores - scores.mean(axis=0)
    n_rows, n_target = len(scores), int(is_target.sum())
    values, vectors = np.linalg.eigh(centred.T @ centred)
    kept = values > RANK_TOLERANCE * max(values.max(), 1.0)
    share = n_target * (n_rows - n_target) / (n_rows * (n_rows - 1))
    along = centred[is_target].sum(axis=0) @ vectors[:, kept]
    statistic = float((along**2 / (share * values[kept])).sum())
    return statistic, float(chi2.sf(statistic, kept.sum())) if kept.any() else 1.0


def largest_gap(values: Floats, is_target: NDArray[np.bool_]) -> float:
    """Kolmogorov-Smirnov distance: the largest difference of the shares of rows at or below a value."""
    if is_target.all() or not is_target.any():
        return 0.0
    order = np.argsort(values, kind="stable")
    ends = np.append(np.diff(values[order]) > 0, True)
    target = is_target[order]
    gap = np.cumsum(target) / target.sum() - np.cumsum(~target) / (~target).sum()
    return float(np.abs(gap[ends]).max())


def total_variation(codes: NDArray[np.intp], is_target: NDArray[np.bool_]) -> float:
    """Half the sum of the absolute differences of the categories' shares."""
    shares = [np.bincount(codes[side], minlength=codes.max() + 1) / side.sum() for side in (is_target, ~is_target)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def compare_numbers(values: Floats, is_target: NDArray[np.bool_]) -> ColumnOutcome:
    """Test of one column of numbers, in which NaN is a gap."""
    known = ~np.isnan(values)
    scores = np.zeros((len(values), DEGREE + 1))
    scores[~known, DEGREE] = 1
    if known.any():
        scores[known, :DEGREE] = rank_scores(values[known])
    gaps = abs(known[is_target].mean() - known[~is_target].mean())
    distance = max(float(gaps), largest_gap(values[known], is_target[known]))
    return ColumnOutcome(*quadratic_form(scores, is_target), distance)


def compare_categories(
    text: NDArray[np.str_], missing: NDArray[np.bool_], is_target: NDArray[np.bool_]
) -> ColumnOutcome:
    """Test of one column of categories, of which a gap is one."""
    found, codes = np.unique(text, return_inverse=True)
    codes = np.where(missing, len(found), codes)
    n_smaller = int(min(is_target.sum(), (~is_target).sum()))
    return ColumnOutcome(
        *quadratic_form(category_scores(codes, n_smaller), is_target), total_variation(codes, is_target)
    )


def compare_column(pair: ColumnPair, is_target: NDArray[np.bool_]) -> ColumnOutcome:
    """Test of one column of both samples."""
    if pair.both.numbers is None:
        return compare_categories(pair.both.text, pair.both.missing, is_target)
    return compare_numbers(pair.both.numbers, is_target)
