"""Sums of a stream: the statistic that finds jumps, by hand, and rows divided at the cuts."""

import numpy as np
import pytest
from scipy.stats import chi2

from shiftfix.label._sums import Sums, jump_statistics, pieces, sums_of_rows


def test_jump_statistic_by_hand():
    """Scores 0.4 or 0.6 for one of two classes; 50 rows of mean 0.45, then 150 of 0.55, so all average 0.525."""
    low, high = np.array([0.6, 0.4]), np.array([0.4, 0.6])
    before = np.vstack([np.tile(low, (38, 1)), np.tile(high, (12, 1))])
    after = np.vstack([np.tile(low, (38, 1)), np.tile(high, (112, 1))])
    total = sums_of_rows(np.vstack([before, after]), np.ones(200))
    mean = total.first[1] / 200
    variance = (total.second[1, 1] + 1) / 202 - ((total.first[1] + 1) / 202) ** 2
    squared = (before[:, 1].mean() - after[:, 1].mean()) ** 2 / variance / (1 / 50 + 1 / 150)
    reach = max(mean, 1 - mean) / np.sqrt(variance)
    found, freedom = jump_statistics(before.sum(axis=0)[np.newaxis], np.array([50.0]), total)
    assert freedom == 1
    assert found[0] == pytest.approx(squared / (1 + reach * np.sqrt(squared) / np.sqrt(50) / 3))


def test_the_discount_keeps_rare_events_from_alarming():
    """One-hot rows, the second class 1 in 1,000: 3 of 200 after 20,000 are 15 times as many as expected; by the normal
    law 6 standard errors, by the binomial law a chance of 1e-3."""
    before = Sums(20_000.0, 20_000.0, np.array([19_980.0, 20.0]), np.diag([19_980.0, 20.0]))
    total = before.plus(Sums(200.0, 200.0, np.array([197.0, 3.0]), np.diag([197.0, 3.0])))
    found, freedom = jump_statistics(before.first[np.newaxis], np.array([before.weight]), total)
    assert 1e-5 < chi2.sf(found[0], freedom) < 0.05


def test_pieces_divide_rows_at_the_cuts():
    found = list(pieces(np.arange(4.0)[:, np.newaxis], np.array([3.0, 1.0, 5.0, 1.0]), 2.0, 4))
    assert [(rows[:, 0].tolist(), weight.tolist(), stop) for rows, weight, stop in found] == [
        ([0], [2], 4), ([0, 1, 2], [1, 1, 2], 8), ([2, 3], [3, 1], 12),
    ]  # fmt: skip
