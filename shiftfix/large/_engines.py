"""Who does the work: this process, its threads, or, in files of their own, Dask and Ray.

An engine has two methods: ``map(work, units, *arguments)`` yields the results IN THE ORDER OF THE UNITS, whoever
finishes first, and ``close()``. What fails is tried again, but for data that cannot be used; what fails for good is
raised as a UnitError that names the unit.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from copy import copy
from typing import Any, Protocol, Self

from sklearn.base import BaseEstimator
from threadpoolctl import ThreadpoolController

from shiftfix._setting_checks import check_count, check_methods, check_option
from shiftfix.exceptions import ShiftDataError
from shiftfix.large._units import Unit

Work = Callable[..., Any]


class UnitError(RuntimeError):
    """A unit of work failed for good.

    Attributes
    ----------
    unit : str
        File and rows.
    reason : str

    See Also
    --------
    StreamingLogisticWeighter : Importance weights by passes over files.
    """

    def __init__(self, unit: str, reason: str) -> None:
        super().__init__(f"{unit}: {reason}")
        self.unit, self.reason = unit, reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.unit, self.reason)


class Engine(Protocol):
    """Does work on units."""

    def map(self, work: Work, units: Sequence[Unit], *arguments: Any) -> Iterator[Any]:
        """Results of ``work(unit, *arguments)`` in the order of the units."""

    def close(self) -> None:
        """Give back what the engine holds."""


class _OneThread:
    """Numerical libraries held to one thread for as long as anybody inside needs it."""

    def __init__(self) -> None:
        self.lock, self.inside, self.limits = threading.Lock(), 0, None
        self.controller: Any = None

    def enter(self) -> None:
        """Hold them to one thread, unless somebody does so already."""
        with self.lock:
            if not self.inside:
                self.controller = self.controller or ThreadpoolController()
                self.limits = self.controller.limit(limits=1)
            self.inside += 1

    def leave(self) -> None:
        """Give the threads back when the last one leaves."""
        with self.lock:
            self.inside -= 1
            if not self.inside and self.limits is not None:
                self.limits.restore_original_limits()


_one_thread = _OneThread()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Inside, numerical libraries use one thread: sums round alike everywhere, and workers do not fight for cores."""
    _one_thread.enter()
    try:
        yield
    finally:
        _one_thread.leave()


def do_unit(work: Work, unit: Unit, arguments: tuple[Any, ...], retries: int = 0) -> Any:
    """The work on one unit, with one thread for the numerical libraries.

    Parameters
    ----------
    work : callable
    unit : Unit
    arguments : tuple
    retries : int, default=0
        How often what failed is tried again.

    Raises
    ------
    ShiftDataError
        For data that cannot be used, at once.
    UnitError
        For anything else, after the last try.
    """
    with one_blas_thread():
        for left in range(retries, -1, -1):
            try:
                return work(unit, *arguments)
            except (ShiftDataError, ImportError):
                raise
            except Exception as error:
                if not left:
                    tried = f" (tried {retries + 1} times)" if retries else ""
                    raise UnitError(unit.name, f"{type(error).__name__}: {error}{tried}") from error
    raise AssertionError("unreachable: the last try returns or raises")


class SerialEngine:
    """One unit after the other, in the process that asks.

    Parameters
    ----------
    retries : int, default=2
    """

    def __init__(self, retries: int = 2) -> None:
        self.retries = retries

    def map(self, work: Work, units: Sequence[Unit], *arguments: Any) -> Iterator[Any]:
        """Results of ``work(unit, *arguments)`` in the order of the units."""
        for unit in units:
            yield do_unit(work, unit, arguments, self.retries)

    def close(self) -> None:
        """Nothing is held."""


class ThreadsEngine:
    """Threads of this process: numpy and polars leave Python's lock while they work.

    Parameters
    ----------
    n_workers : int, default=2
    retries : int, default=2
    """

    def __init__(self, n_workers: int = 2, retries: int = 2) -> None:
        self.n_workers, self.retries = n_workers, retries
        self.pool = ThreadPoolExecutor(n_workers, thread_name_prefix="shiftfix")

    def map(self, work: Work, units: Sequence[Unit], *arguments: Any) -> Iterator[Any]:
        """Results of ``work(unit, *arguments)`` in the order of the units; few are kept waiting."""
        waiting: deque[Future[Any]] = deque()
        left = iter(units)
        with one_blas_thread():
            try:
                while True:
                    for unit in _some(left, 2 * self.n_workers - len(waiting)):
                        waiting.append(self.pool.submit(do_unit, work, unit, arguments, self.retries))
                    if not waiting:
                        return
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def close(self) -> None:
        """End the threads."""
        self.pool.shutdown(cancel_futures=True)


def _some(units: Iterator[Unit], n: int) -> Iterator[Unit]:
    """The next ``n`` units."""
    for _ in range(n):
        unit = next(units, None)
        if unit is None:
            return
        yield unit


@contextmanager
def opened_engine(engine: Any, n_workers: int | None, scheduler: Any, retries: int) -> Iterator[Engine]:
    """The engine of a setting, for a block; what was made for it is closed again. Parameters of :func:`make_engine`."""
    made = make_engine(engine, n_workers, scheduler, retries)
    try:
        yield made
    finally:
        if made is not engine:
            made.close()


class KeepsConnections(BaseEstimator):
    """A clone has the very engine and scheduler that it was given: connections cannot be copied."""

    def __sklearn_clone__(self) -> Self:
        """As scikit-learn clones, but for those."""
        settings = self.get_params(deep=False)
        held = {name: settings[name] for name in ("engine", "scheduler") if name in settings}
        bare = copy(self).set_params(**dict.fromkeys(held))
        made: Self = super(KeepsConnections, bare).__sklearn_clone__()
        return made.set_params(**held)


ENGINES = ("serial", "threads", "dask", "ray")


def make_engine(engine: Any, n_workers: int | None, scheduler: Any, retries: int) -> Engine:
    """The engine of a setting; one of the user's own is taken as it is.

    Parameters
    ----------
    engine : {"serial", "threads", "dask", "ray"} or object with ``map`` and ``close``
    n_workers : int or None
        Threads, or local processes where no scheduler is given; None means 2.
    scheduler : str, distributed.Client or None
        Of "dask": an address or a client. Of "ray": an address.
    retries : int
    """
    if not isinstance(engine, str):
        check_methods(engine, "engine", ["map", "close"], "a name, or an object with map and close,")
        made: Engine = engine
        return made
    check_option(engine, "engine", ENGINES)
    workers = 2 if n_workers is None else check_count(n_workers, "n_workers")
    if engine == "serial":
        return SerialEngine(retries)
    if engine == "threads":
        return ThreadsEngine(workers, retries)
    if engine == "ray":
        from shiftfix.large._ray import RayEngine

        return RayEngine(workers, scheduler, retries)
    from shiftfix.large._dask import DaskEngine

    return DaskEngine(workers, scheduler, retries)
