"""The benchmark of data beyond memory, on a few rows."""

import pytest

pytest.importorskip("polars")
pytest.importorskip("pyarrow")
from tests.benchmarks.large.__main__ import compare, run_case
from tests.benchmarks.large.make_data import make


@pytest.mark.slow
def test_every_case_finds_the_same_ratio(tmp_path):
    folders = make(tmp_path, 40_000)
    assert make(tmp_path, 40_000) == folders
    found = {name: run_case(name, *folders) for name in ("warm_and_written", "cold", "in_memory", "newton_cholesky")}
    compare(found)
    assert found["cold"]["standard_errors_from_in_memory"] < 1e-6
    assert found["warm_and_written"]["standard_errors_from_in_memory"] < 1e-6
    assert found["warm_and_written"]["mean"] == pytest.approx(1, abs=1e-6)
    # scikit-learn's ridge is on the columns as they are, and its solver stops early.
    assert found["newton_cholesky"]["standard_errors_from_in_memory"] < 0.1
    assert all(case["cpu_s"] > 0 and case["peak_mb"] > 0 for case in found.values())
