"""The benchmark of data beyond memory, on a few rows."""

import numpy as np
import pytest

pytest.importorskip("polars")
pytest.importorskip("pyarrow")
from tests.benchmarks.large.__main__ import compare, run_case
from tests.benchmarks.large.make_data import make
from tests.benchmarks.large.merge_order import CLUSTERS, Cluster, arrivals, simulate


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


def test_the_simulated_cluster_is_that_of_the_closed_form():
    """Equal units of 10 s come in waves of 100; a worker that dies costs its part of a unit, and nothing is lost."""
    done, deaths = arrivals(Cluster(0.0, 0.0, 0.0), np.random.default_rng(0), 250)
    assert deaths == 0
    assert done.tolist() == [10.0] * 100 + [20.0] * 100 + [30.0] * 50
    done, deaths = arrivals(Cluster(0.0, 0.3, 0.0), np.random.default_rng(0), 250)
    assert deaths > 20
    assert (done >= 10).all()
    assert done.max() > 30


def test_results_that_come_in_order_never_wait():
    pytest.importorskip("distributed")
    equal = simulate(CLUSTERS["equal costs"], 3, 0, 300)
    assert equal["most_results_waiting"] == 1
    assert equal["last_result_s"] == 30.0
    assert equal["in_order_s"] >= equal["last_result_s"]
    unequal = simulate(CLUSTERS["unequal costs, 2% of tries die"], 3, 0, 300)
    assert unequal["most_results_waiting"] > 10
    assert unequal["in_order_s"] >= unequal["as_they_come_s"] - unequal["merging_cpu_s"]
