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

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.polynomial.legendre import legvander
from numpy.typing import NDArray
from scipy.stats import chi2

from shiftfix._blocks import BLOCK_ENTRIES, row_blocks
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


Places = NDArray[np.intp]


class ColumnOutcome(NamedTuple):
    """Chi-squared statistic and p-value of one column, and the distance of its two distributions, from 0 to 1."""

    statistic: float
    p_value: float
    distance: float


class Tally(NamedTuple):
    """Where the target's rows stand among those of both samples: rows of equal value have equal scores.

    Of the values that rows of the target hold, in increasing order:

    Attributes
    ----------
    n_rows : int
        Rows of both samples.
    before, until : ndarray of int, shape (n_values,)
        Rows of both samples that hold a smaller value, and those that hold this one or a smaller.
    target_until : ndarray of int, shape (n_values,)
        Rows of the target that hold this value or a smaller.
    until_all : ndarray of int, shape (n_distinct,) or None
        ``until`` of every value of either sample; None where no value stands in two rows, so that it counts from 1.
    """

    n_rows: int
    before: Places
    until: Places
    target_until: Places
    until_all: Places | None


class ScoreMoments(NamedTuple):
    """Mean of the scores over the rows, and the sum of the products of what they differ by from it."""

    mean: Floats
    spread: Floats


def tally_of_numbers(values: Floats, is_target: NDArray[np.bool_]) -> Tally:
    """Distinct numbers; no NaN among them.

    Two sorted runs are merged: at a million rows numpy sorts numbers in a tenth of the time of their positions.
    """
    source, target = np.sort(values[~is_target]), np.sort(values[is_target])
    runs = np.concatenate([source, target])
    order = np.argsort(runs, kind="stable")
    merged, from_target = runs[order], order >= len(source)
    steps = merged[1:] > merged[:-1]
    if steps.all():
        before = np.flatnonzero(from_target)
        return Tally(len(runs), before, before + 1, np.arange(1, len(target) + 1), None)
    until = np.flatnonzero(np.append(steps, True)) + 1
    target_until = np.cumsum(from_target, dtype=np.intp)[until - 1]
    held = np.diff(target_until, prepend=0) > 0
    return Tally(len(runs), _before(until)[held], until[held], target_until[held], until)


def _before(until: Places) -> Places:
    """Rows below each value, from those up to each."""
    return np.concatenate([[0], until[:-1]])


def rank_scores(before: Places, until: Places, n_rows: int) -> Floats:
    """Legendre polynomials of degree 1 to 4 at the ranks, scaled to (-1, 1), with mid-ranks for ties.

    Parameters
    ----------
    before, until : ndarray of int, shape (n_values,)
        Of each value the rows that hold a smaller one, and those that hold it or a smaller.
    n_rows : int

    Returns
    -------
    ndarray of shape (DEGREE, n_values)
    """
    return np.asarray(legvander((before + until) / n_rows - 1, DEGREE).T[1:], dtype=np.float64)


def moments_of_ranks(tally: Tally) -> ScoreMoments:
    """Of the scores of all rows of some numbers."""
    return moments_without_ties(tally.n_rows) if tally.until_all is None else _score_moments(tally.until_all)


@lru_cache(maxsize=4)  # of the columns of one table
def moments_without_ties(n_rows: int) -> ScoreMoments:
    """Of the scores of the ranks 1 to ``n_rows``."""
    return _score_moments(np.arange(1, n_rows + 1))


def _score_moments(until: Places) -> ScoreMoments:
    n_rows, before = int(until[-1]) if until.size else 0, _before(until)
    blocks = row_blocks(len(until), DEGREE, entries=BLOCK_ENTRIES)
    mean = np.zeros(DEGREE)
    for part in blocks:
        mean += rank_scores(before[part], until[part], n_rows) @ ((until - before)[part] / n_rows)
    spread = np.zeros((DEGREE, DEGREE))
    for part in blocks:
        centred = rank_scores(before[part], until[part], n_rows) - mean[:, np.newaxis]
        spread += (centred * (until - before)[part]) @ centred.T
    return ScoreMoments(mean, spread)


def target_sum_of_ranks(tally: Tally) -> Floats:
    """Sum of the scores over the rows of the target, shape (DEGREE,)."""
    rows = (tally.target_until - _before(tally.target_until)).astype(np.float64)
    total = np.zeros(DEGREE)
    for part in row_blocks(len(rows), DEGREE, entries=BLOCK_ENTRIES):
        total += rank_scores(tally.before[part], tally.until[part], tally.n_rows) @ rows[part]
    return total


def beside_gaps(moments: ScoreMoments, n_known: int, n_gaps: int) -> ScoreMoments:
    """Of the scores of all rows where those of gaps are 0, but for an indicator behind the others, which is 1 there."""
    known, gap = np.append(moments.mean, 0.0), np.eye(len(moments.mean) + 1)[-1]
    n_rows = n_known + n_gaps
    apart = known - gap
    spread = np.zeros((len(gap), len(gap)))
    spread[:-1, :-1] = moments.spread
    mean = (n_known * known + n_gaps * gap) / n_rows
    return ScoreMoments(mean, spread + n_known * n_gaps / n_rows * np.outer(apart, apart))


def groups_of_categories(counts: NDArray[np.intp], n_smaller: int) -> NDArray[np.intp]:
    """Group of each category, numbered from 0, the rare ones together; shape (n_categories,).

    Parameters
    ----------
    counts : ndarray of int, shape (n_categories,)
        Rows of each.
    n_smaller : int
        Rows of the smaller sample.
    """
    rare = counts * n_smaller / counts.sum() < LEAST_EXPECTED
    rare[np.argsort(-counts, kind="stable")[MOST_CATEGORIES:]] = True
    group = np.where(rare, len(counts), np.arange(len(counts)))
    # A category without rows has no group of its own.
    return np.searchsorted(np.unique(group[counts > 0]), group)


def quadratic_form(moments: ScoreMoments, target_sum: Floats, n_rows: int, n_target: int) -> tuple[float, float]:
    """Chi-squared statistic of "the scores of both samples have one distribution", and its p-value.

    Parameters
    ----------
    moments : ScoreMoments
        Of the scores of all rows.
    target_sum : ndarray of shape (n_scores,)
        Sum of the scores over the target.
    n_rows, n_target : int
        Rows of both samples, and of the target.
    """
    values, vectors = np.linalg.eigh(moments.spread)
    kept = values > RANK_TOLERANCE * max(values.max(), 1.0)
    share = n_target * (n_rows - n_target) / (n_rows * (n_rows - 1))
    along = (target_sum - n_target * moments.mean) @ vectors[:, kept]
    statistic = float((along**2 / (share * values[kept])).sum())
    return statistic, float(chi2.sf(statistic, kept.sum())) if kept.any() else 1.0


def largest_gap(tally: Tally) -> float:
    """Kolmogorov-Smirnov distance: the largest difference of the shares of rows at or below a value.

    From one value of the target to the next, the target's share stays and the source's grows.
    """
    n_target = int(tally.target_until[-1]) if tally.target_until.size else 0
    n_source = tally.n_rows - n_target
    if not n_target or not n_source:
        return 0.0

    def lead(target_rows: Places, rows: Places) -> Floats:
        return np.asarray(target_rows / n_target - (rows - target_rows) / n_source, dtype=np.float64)

    at_values = lead(tally.target_until, tally.until).max()
    below_values = lead(_before(tally.target_until), tally.before).min()
    return float(max(at_values, -below_values))


def total_variation(counts: NDArray[np.intp], in_target: NDArray[np.intp]) -> float:
    """Half the sum of the absolute differences of the categories' shares."""
    shares = [rows / rows.sum() for rows in (in_target, counts - in_target)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def compare_numbers(values: Floats, is_target: NDArray[np.bool_]) -> ColumnOutcome:
    """Test of one column of numbers, in which NaN is a gap."""
    missing = np.isnan(values)
    n_rows, n_target, n_gaps = len(values), int(is_target.sum()), int(missing.sum())
    if not n_gaps:
        tally = tally_of_numbers(values, is_target)
        form = quadratic_form(moments_of_ranks(tally), target_sum_of_ranks(tally), n_rows, n_target)
        return ColumnOutcome(*form, largest_gap(tally))
    tally = tally_of_numbers(values[~missing], is_target[~missing])
    moments = beside_gaps(moments_of_ranks(tally), tally.n_rows, n_gaps)
    gaps = missing[is_target].sum()
    form = quadratic_form(moments, np.append(target_sum_of_ranks(tally), gaps), n_rows, n_target)
    distance = abs(gaps / n_target - (n_gaps - gaps) / (n_rows - n_target))
    return ColumnOutcome(*form, max(float(distance), largest_gap(tally)))


def compare_categories(
    text: NDArray[np.str_], missing: NDArray[np.bool_], is_target: NDArray[np.bool_]
) -> ColumnOutcome:
    """Test of one column of categories, of which a gap is one."""
    found, codes = np.unique(text, return_inverse=True)
    codes = np.where(missing, len(found), codes)
    counts, in_target = (np.bincount(rows, minlength=len(found) + 1) for rows in (codes, codes[is_target]))
    n_rows, n_target = int(counts.sum()), int(in_target.sum())
    groups = groups_of_categories(counts, min(n_target, n_rows - n_target))
    rows, rows_of_target = (np.bincount(groups, weights=each).astype(np.float64) for each in (counts, in_target))
    moments = moments_of_categories(rows)
    return ColumnOutcome(*quadratic_form(moments, rows_of_target, n_rows, n_target), total_variation(counts, in_target))


def moments_of_categories(counts: NDArray[Any]) -> ScoreMoments:
    """Of one indicator for each category, by the rows of each."""
    shares = counts / counts.sum()
    return ScoreMoments(shares, np.diag(counts) - np.outer(counts, shares))


def compare_column(pair: ColumnPair, is_target: NDArray[np.bool_]) -> ColumnOutcome:
    """Test of one column of both samples."""
    if pair.both.numbers is None:
        return compare_categories(pair.both.text, pair.both.missing, is_target)
    return compare_numbers(pair.both.numbers, is_target)
