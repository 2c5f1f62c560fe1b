"""What the page draws: shares by hand, and that bins hold every row."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from shiftfix.report._pictures import (
    bin_limits,
    bin_shares,
    picture_of_categories,
    picture_of_numbers,
    pictures_of_columns,
)


def test_few_values_have_a_bin_each():
    limits = bin_limits(np.array([0.0, 1, 1, 3]))
    assert_allclose(limits, [-0.5, 0.5, 2, 4])
    assert bin_shares(np.array([0.0, 1, 1, 3]), limits) == [0.25, 0.5, 0.25]
    assert_allclose(bin_limits(np.full(5, 7.0))[[0, -1]], [6.5, 7.5])


def test_bins_hold_every_row_and_an_outlier_does_not_flatten_them():
    values = np.append(np.linspace(0, 1, 999), 1e9)
    picture = picture_of_numbers("x", values, np.linspace(0.5, 1, 100))
    assert sum(picture["source"]) == pytest.approx(1, abs=1e-4)
    assert sum(picture["target"]) == pytest.approx(1, abs=1e-4)
    assert picture["limits"][-1] < 2
    assert picture["medians"] == [pytest.approx(0.5, abs=0.01), pytest.approx(0.75)]
    assert_allclose(picture["source"][1:-1], 1 / 24, atol=0.003)


def test_categories_that_moved_most_come_first():
    picture = picture_of_categories("c", np.array(["a"] * 6 + ["b"] * 4), np.array(["a"] * 5 + ["c"] * 5))
    assert dict(zip(picture["names"], zip(picture["source"], picture["target"], strict=True), strict=True)) == {
        "c": (0, 0.5), "b": (0.4, 0), "a": (0.6, 0.5)
    }  # fmt: skip
    assert picture["names"] == ["c", "b", "a"]
    assert picture["more"] == 0


def test_columns_by_name_with_gaps_and_without_names():
    frames = [
        pd.DataFrame({"n": [1.0, np.nan, 3.0, 4.0], "c": ["x", "x", None, "y"]}),
        pd.DataFrame({"n": [2.0], "c": ["y"]}),
    ]
    category, numbers = pictures_of_columns(*frames, ["c", "n"])
    assert (category["kind"], category["missing"], sorted(category["names"])) == ("category", [0.25, 0], ["x", "y"])
    assert (numbers["kind"], numbers["missing"], numbers["medians"]) == ("number", [0.25, 0], [3, 2])
    arrays = pictures_of_columns(np.eye(3), np.zeros((2, 3)), ["column 2"])
    assert arrays[0]["name"] == "column 2"
    assert arrays[0]["target"] == [1.0, 0.0]
