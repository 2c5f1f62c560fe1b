"""What it costs that results are merged in the order of the units: 10,000 of unequal cost, 100 workers that fail.

python -m tests.benchmarks.large.merge_order --out tests/benchmarks/results/large_merge_order.json

The cluster is simulated, in seconds of its own: who takes which unit when, who dies, and when a result arrives. What
the driver does with the results is not: ``DaskEngine.map`` orders them, ``Passes`` and ``merge_in_order`` merge them,
and the CPU seconds of each real merge go on the driver's clock. The way of the results to the driver takes no time.
"""

import argparse
import heapq
import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from shiftfix.large._dask import DaskEngine
from shiftfix.large._driver import Passes, Statistic
from shiftfix.large._logistic_sums import LogisticPoint, merge_logistic, unit_logistic
from shiftfix.large._units import ArrayPart, Unit

N_UNITS, N_WORKERS = 10_000, 100
MEAN_SECONDS = 10.0
RESTART_SECONDS = 60.0


class Cluster(NamedTuple):
    """How units and workers behave.

    Attributes
    ----------
    spread : float
        Standard deviation of the logarithm of a unit's cost.
    deaths : float
        Chance that a worker dies at a unit, anywhere in it; the unit goes to the next free worker, and another worker
        is there after a minute.
    slow : float
        Chance that a try takes ten times as long.
    """

    spread: float
    deaths: float
    slow: float


CLUSTERS = {
    "equal costs": Cluster(0.0, 0.0, 0.0),
    "unequal costs": Cluster(1.0, 0.0, 0.0),
    "unequal costs, 2% of tries die": Cluster(1.0, 0.02, 0.0),
    "unequal costs, 2% die, 1% take ten times as long": Cluster(1.0, 0.02, 0.01),
}


def arrivals(cluster, rng, n_units=N_UNITS):
    """Seconds at which the result of each unit arrives, and how many tries died; units are begun in their order."""
    cost = MEAN_SECONDS * np.exp(cluster.spread * rng.normal(size=n_units) - cluster.spread**2 / 2)
    free = [(0.0, worker) for worker in range(N_WORKERS)]
    again, following, deaths = [], 0, 0  # units to be tried again, from when on; the next one that is new
    done = np.zeros(n_units)
    left = n_units
    while left:
        now, worker = heapq.heappop(free)
        if again and (again[0][0] <= now or following == n_units):
            since, unit = heapq.heappop(again)
            now = max(now, since)
        elif following < n_units:
            unit, following = following, following + 1
        else:
            continue  # nothing is left for this worker
        seconds = cost[unit] * (10 if rng.random() < cluster.slow else 1)
        if rng.random() < cluster.deaths:
            died = now + seconds * rng.random()
            heapq.heappush(again, (died, unit))
            heapq.heappush(free, (died + RESTART_SECONDS, worker))
            deaths += 1
            continue
        done[unit] = now + seconds
        heapq.heappush(free, (done[unit], worker))
        left -= 1
    return done, deaths


class Driver:
    """The clock of the process that merges, and what it holds.

    Parameters
    ----------
    done : ndarray of shape (n_units,)
        When results arrive.
    result : object
        What each unit gives.
    """

    def __init__(self, done, result):
        self.done, self.result = done, result
        self.now = self.merging = 0.0
        self.arrived = self.taken = self.most_waiting = 0
        self.waiting_seconds = 0.0

    def futures(self):
        """As those of Dask, with what ``DaskEngine.map`` asks of them."""
        return [
            SimpleNamespace(key=place, result=lambda: self.result, release=lambda: None, done=lambda: True)
            for place in range(len(self.done))
        ]

    def as_completed(self, futures):
        """The futures as their results arrive; the clock goes on to the next where the driver waits."""
        for place in np.argsort(self.done, kind="stable"):
            self.now = max(self.now, self.done[place])
            self.arrived += 1
            self.most_waiting = max(self.most_waiting, self.arrived - self.taken)
            yield futures[place]

    def take(self, number, done, of):
        """Called as each result is merged."""
        self.taken = done
        self.waiting_seconds += self.now - self.done[done - 1]

    def merge(self, earlier, later):
        begin = time.process_time()
        both = merge_logistic(earlier, later)
        spent = time.process_time() - begin
        self.merging += spent
        self.now += spent
        return both

    def in_order(self, units):
        """Run one pass by the real engine and driver; when it has ended."""
        engine = DaskEngine.__new__(DaskEngine)  # its cluster is this one
        waiting = iter(self.futures())
        engine.distributed = SimpleNamespace(as_completed=self.as_completed)
        engine.client = SimpleNamespace(submit=lambda *_, **__: next(waiting), cancel=lambda futures: None)
        engine.retries = 0
        Passes(engine, units, self.take).run(Statistic(unit_logistic, self.merge))
        return self.now

    def as_they_come(self):
        """One pass that merges each result as it arrives, in any order; when it has ended."""
        whole = None
        for place in np.argsort(self.done, kind="stable"):
            self.now = max(self.now, self.done[place])
            whole = self.result if whole is None else self.merge(whole, self.result)
        return self.now


def simulate(cluster, n_columns, seed, n_units=N_UNITS):
    rng = np.random.default_rng(seed)
    done, deaths = arrivals(cluster, rng, n_units)
    table = rng.normal(size=(512, n_columns))
    point = LogisticPoint(0.0, np.zeros(n_columns), np.zeros(n_columns))
    names = tuple(f"x{j}" for j in range(n_columns))
    unit = Unit(ArrayPart(table, None, names, "rows"), 0, len(table), 0)
    result = unit_logistic(unit, point, True)
    ordered, loose = Driver(done, result), Driver(done, result)
    in_order, as_they_come = ordered.in_order([unit] * n_units), loose.as_they_come()
    return {
        "last_result_s": float(done.max()),
        "in_order_s": in_order,
        "as_they_come_s": as_they_come,
        "order_costs_s": in_order - as_they_come,
        "merging_cpu_s": ordered.merging,
        "tries_that_died": deaths,
        "most_results_waiting": ordered.most_waiting,
        "most_mb_waiting": ordered.most_waiting * 8 * (n_columns + 1) ** 2 / 1e6,
        "mean_wait_s": ordered.waiting_seconds / n_units,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--columns", type=int, nargs="*", default=[20, 200])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out")
    given = parser.parse_args()
    results = {}
    for name, cluster in CLUSTERS.items():
        for n_columns in given.columns:
            runs = [simulate(cluster, n_columns, seed) for seed in range(given.seeds)]
            medians = {key: round(float(np.median([run[key] for run in runs])), 3) for key in runs[0]}
            results.setdefault(name, {})[f"{n_columns} columns"] = medians
            sys.stdout.write(f"{name}, {n_columns} columns: {medians}\n")
            sys.stdout.flush()
    if given.out:
        Path(given.out).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
