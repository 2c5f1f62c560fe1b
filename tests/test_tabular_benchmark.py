"""The benchmark of the preset for tables: what it draws, and how it counts."""

import numpy as np
import pytest

from tests.benchmarks.tabular import __main__ as benchmark
from tests.benchmarks.tabular.tables import CONFIRM, DESIGN, draw


def test_the_halves_share_no_table():
    assert not set(DESIGN) & set(CONFIRM)
    assert len(DESIGN) == len(CONFIRM) == 8


def test_rows_are_drawn_anew_and_never_twice():
    training, judged = draw("breast_cancer", 0)
    assert (len(training.y), len(judged.y)) == (379, 190)
    assert not set(map(tuple, training.X.to_numpy())) & set(map(tuple, judged.X.to_numpy()))
    assert not training.X.equals(draw("breast_cancer", 1)[0].X)


def test_ranks_and_ratios_by_hand():
    """Errors .1 and .2, .3 and .3: ranks 1 and 2, then a tie of 1.5 each; ratio sqrt(2) but for the 1e-4 added."""
    results = {f"{name}/{method}/0": {"error": value} for name, method, value in (
        ("a", "x", 0.1), ("a", "y", 0.2), ("b", "x", 0.3), ("b", "y", 0.3)
    )}  # fmt: skip
    lines = benchmark.summary(results, ["a", "b"], ["x", "y"]).splitlines()
    assert [float(number) for number in lines[-2].split()[2:]] == [1.25, 1.75]
    assert float(lines[-1].split()[-1]) == pytest.approx(np.sqrt(2), abs=1e-3)


@pytest.mark.slow
def test_one_fit_is_measured():
    training, judged = draw("wine_cultivars", 0)
    found = benchmark.measured("default", training, judged, 0, True)
    assert 0 <= found["error"] < 0.2
    assert found["log_loss"] < 0.6
    assert found["cpu"] > 0
