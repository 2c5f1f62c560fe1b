"""The same bits from every engine, and what is said when work fails."""

import os
import signal
import time

import numpy as np
import pytest

from shiftfix.exceptions import ShiftDataError
from shiftfix.large import StreamingLogisticWeighter, UnitError
from shiftfix.large._driver import merge_in_order
from shiftfix.large._engines import SerialEngine, ThreadsEngine
from shiftfix.large._units import ArrayPart, Unit

pytest.importorskip("polars")
pytest.importorskip("pyarrow")
from tests.large.test_weighter import X_TARGET, X, write_files

UNITS = [Unit(ArrayPart(np.full((2, 1), i), None, ("x",), f"part {i}"), 0, 2, 0) for i in range(9)]


def test_merges_make_one_tree_for_a_number_of_parts():
    def join(a, b):
        return f"({a}{b})"

    assert merge_in_order("a", join) == "a"
    assert merge_in_order("abcdefg", join) == "(((ab)(cd))((ef)g))"
    assert merge_in_order([], join) is None


def first_value(unit, wait=0.0):
    value = unit.part.table[0, 0]
    time.sleep(wait * (value % 3))
    return value


def fails_at_five(unit):
    if unit.part.table[0, 0] == 5:
        raise OSError("the disk is gone")
    return unit.part.table[0, 0]


class Flaky:
    """Fails at the first two tries of each unit."""

    def __init__(self):
        self.tries = {}

    def __call__(self, unit):
        self.tries[unit.name] = self.tries.get(unit.name, 0) + 1
        if self.tries[unit.name] < 3:
            raise OSError("not now")
        return unit.part.table[0, 0]


ENGINES = {"serial": SerialEngine, "threads": lambda **s: ThreadsEngine(3, **s)}


@pytest.mark.parametrize("name", ENGINES)
def test_results_come_in_the_order_of_the_units(name):
    engine = ENGINES[name]()
    assert list(engine.map(first_value, UNITS, 0.002)) == list(range(9))
    engine.close()


@pytest.mark.parametrize("name", ENGINES)
def test_work_that_fails_is_tried_again_and_then_named(name):
    engine = ENGINES[name](retries=2)
    flaky = Flaky()
    assert list(engine.map(flaky, UNITS)) == list(range(9))
    assert set(flaky.tries.values()) == {3}
    with pytest.raises(UnitError, match=r"part 5, rows 0 to 2: OSError: the disk is gone \(tried 3 times\)") as caught:
        list(engine.map(fails_at_five, UNITS))
    assert caught.value.unit == "part 5, rows 0 to 2"
    engine.close()


def test_data_that_cannot_be_used_are_not_tried_again():
    tries = []

    def refuse(unit):
        tries.append(unit)
        raise ShiftDataError("bad")

    with pytest.raises(ShiftDataError, match="bad"):
        list(SerialEngine(5).map(refuse, UNITS))
    assert len(tries) == 1


def numbers_of(made):
    return np.concatenate([made.coef_, [made.intercept_, made.log_mean_, made.log_clip_, made.summary_.effective_size]])


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    where = tmp_path_factory.mktemp("samples")
    return write_files(where / "source", X, [4000, 3, 1997]), write_files(where / "target", X_TARGET, [4000])


@pytest.fixture(scope="module")
def serial(folders):
    return numbers_of(StreamingLogisticWeighter(rows_per_unit=900).fit(*folders))


@pytest.mark.slow
@pytest.mark.parametrize("n_workers", [1, 2, 5])
def test_threads_give_the_same_bits(folders, serial, n_workers):
    made = StreamingLogisticWeighter(rows_per_unit=900, engine="threads", n_workers=n_workers).fit(*folders)
    assert np.array_equal(numbers_of(made), serial)


@pytest.mark.slow
def test_an_engine_of_ones_own(folders, serial):
    class Backwards:
        """Works from the last unit on."""

        def map(self, work, units, *arguments):
            return reversed([work(unit, *arguments) for unit in reversed(units)])

        def close(self):
            raise AssertionError("it is its owner's to close")

    made = StreamingLogisticWeighter(rows_per_unit=900, engine=Backwards()).fit(*folders)
    assert np.array_equal(numbers_of(made), serial)


def dies_at_five(unit):
    if unit.part.table[0, 0] == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return unit.part.table[0, 0]


def dies_once(unit, marker):
    """Kill the worker at unit 4, once."""
    if unit.part.table[0, 0] == 4 and not os.path.exists(marker):
        with open(marker, "w"):
            pass
        os.kill(os.getpid(), signal.SIGKILL)
    return unit.part.table[0, 0]


@pytest.fixture(scope="module")
def client():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=3, threads_per_worker=1, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


# Sockets of workers that were killed are closed by nobody.
dask = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.mark.slow
@dask
def test_a_dask_cluster_gives_the_same_bits_also_when_a_worker_is_killed(client, folders, serial, tmp_path):
    settings = {"rows_per_unit": 900, "engine": "dask", "scheduler": client}
    assert np.array_equal(numbers_of(StreamingLogisticWeighter(**settings).fit(*folders)), serial)
    workers = list(client.run(os.getpid).values())
    assert len(workers) == 3
    killed = []

    def kill(number, done, of):
        if number == 2 and done == 3 and not killed:
            killed.append(os.kill(workers[0], signal.SIGKILL))

    made = StreamingLogisticWeighter(**settings).fit(*folders, progress=kill)
    assert killed
    assert np.array_equal(numbers_of(made), serial)
    manifest = made.write_weights(folders[0], tmp_path / "out")
    assert manifest.rows == 6000


@pytest.mark.slow
@dask
def test_a_dask_unit_that_always_fails_is_named_within_seconds(client, monkeypatch):
    from shiftfix.large._dask import DaskEngine

    begin = time.monotonic()
    with pytest.raises(UnitError, match="part 5, rows 0 to 2: OSError"):
        list(DaskEngine(scheduler=client).map(fails_at_five, UNITS))
    assert list(DaskEngine(scheduler=client).map(first_value, UNITS)) == list(range(9))
    monkeypatch.setattr(client.cluster.scheduler, "allowed_failures", 1)
    with pytest.raises(UnitError, match=r"part 5, rows 0 to 2: the workers that took it died"):
        list(DaskEngine(scheduler=client).map(dies_at_five, UNITS))
    assert time.monotonic() - begin < 60


@pytest.mark.slow
def test_ray_gives_the_same_bits(folders, serial, tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="ray is an extra of its own, and heavy")
    from shiftfix.large._ray import RayEngine

    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    engine = RayEngine(2)
    try:
        made = StreamingLogisticWeighter(rows_per_unit=900, engine=engine).fit(*folders)
        assert np.array_equal(numbers_of(made), serial)
        assert list(engine.map(dies_once, UNITS, str(tmp_path / "marker"))) == list(range(9))
        with pytest.raises(UnitError, match="part 5, rows 0 to 2: OSError"):
            list(engine.map(fails_at_five, UNITS))
    finally:
        engine.close()
