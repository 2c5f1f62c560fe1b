"""A table as CSV is the text that pandas writes, whichever of the two writers it takes."""

import numpy as np
import pandas as pd
import pytest

from shiftfix.cli._csv_text import csv_text

RNG = np.random.default_rng(0)
FRAMES = {
    "of all sizes": {"w": RNG.normal(size=3000) * 10.0 ** RNG.integers(-30, 30, 3000), "p": ["a", "b"] * 1500},
    "at the edges": {"w": [0.0, -0.0, 1.0, 1e15, 1e16, 1e10, 9.9e9, 0.5 + 1e9, 1e-4, 9.99e-5, 5e-324, 1e308, 1 / 3]},
    "whole": {"n": [1, -5, 2**62], "w": [0.25, 0.5, 1.0]},
    "odd letters": {"é": ["ü", ""], "w": [0.5, 1.5]},
    "needs quotes": {"p": ["a,b", 'c"', "d\n"], "w": [0.5, 1.5, 2.5]},
    "a name that needs quotes": {"a,b": [0.5]},
    "missing": {"w": [0.5, np.nan], "p": ["a", None]},
    "infinite": {"w": [0.5, np.inf]},
    "truth": {"b": [True, False]},
    "float32": {"w": np.array([0.1, 0.2], dtype=np.float32)},
    "no rows": {"w": []},
    "no columns": {},
}


@pytest.mark.parametrize("name", FRAMES)
def test_the_text_is_that_of_pandas(name):
    frame = pd.DataFrame(FRAMES[name])
    assert csv_text(frame) == frame.to_csv(index_label="row", lineterminator="\n")


def test_half_a_surrogate_pair_is_kept():
    frame = pd.DataFrame({"p": pd.Series(["\udcff", "a"], dtype=object)})
    assert csv_text(frame) == "row,p\n0,\udcff\n1,a\n"
