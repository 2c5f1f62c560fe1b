"""Dask's ``distributed`` as an engine: futures, and nothing else of it. Paths are shipped, no rows."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any

from shiftfix._naming import one_line
from shiftfix._setting_checks import import_optional
from shiftfix.exceptions import ShiftDataError
from shiftfix.large._engines import UnitError, Work, do_unit
from shiftfix.large._units import Unit


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Processes and threads that are started in the block never see Ctrl-C; this one does when the block has ended.

    A terminal sends it to all processes, and the one that asks for the work is to end the others.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # it would let interrupts through in the thread that starts the first process
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class DaskEngine:
    """Workers of a Dask cluster.

    Parameters
    ----------
    n_workers : int, default=2
        Processes of a cluster on this machine, made where no ``scheduler`` is given; each has one thread.
    scheduler : str or distributed.Client, default=None
        Address of a scheduler (``"tcp://10.0.0.1:8786"``), or a client; it is left running.
    retries : int, default=2
        How often a unit is tried again whose work fails. A worker that dies is Dask's to replace; a unit at which as
        many die as ``distributed.scheduler.allowed-failures`` says is given up.

    Raises
    ------
    ShiftDataError
        Where no scheduler answers within ``distributed.comm.timeouts.connect``.
    """

    def __init__(self, n_workers: int = 2, scheduler: Any = None, retries: int = 2) -> None:
        distributed = import_optional("distributed", "large")
        self.distributed, self.retries = distributed, retries
        self.cluster: Any = None
        self.is_ours = not isinstance(scheduler, distributed.Client)
        # A cluster of Dask's own classes says where its scheduler is.
        if self.is_ours and not (isinstance(scheduler, str | None) or hasattr(scheduler, "scheduler_address")):
            raise ShiftDataError(
                f"scheduler={scheduler!r}: an address such as 'tcp://10.0.0.1:8786' is needed, a Client or None."
            )
        if scheduler is None:
            with _interrupts_held_back():
                self.cluster = distributed.LocalCluster(
                    n_workers=n_workers, threads_per_worker=1, processes=True, dashboard_address=":0"
                )
        self.client: Any = self._connected(self.cluster or scheduler) if self.is_ours else scheduler

    def _connected(self, address: Any) -> Any:
        try:
            return self.distributed.Client(address)
        except (OSError, ValueError) as error:  # no answer, and no address
            raise ShiftDataError(
                f"No Dask scheduler answers at {address!r} ({one_line(str(error))}): start one there (dask scheduler), "
                "or pass the address of one that runs."
            ) from error

    def map(self, work: Work, units: Sequence[Unit], *arguments: Any) -> Iterator[Any]:
        """Results of ``work(unit, *arguments)`` in the order of the units; the first failure ends it."""
        futures = [
            # What a unit gives may change between two passes over files of one name, so nothing is remembered.
            self.client.submit(do_unit, work, unit, arguments, self.retries, pure=False)
            for unit in units
        ]
        place = {future.key: i for i, future in enumerate(futures)}
        found: dict[int, Any] = {}
        following = 0
        try:
            for future in self.distributed.as_completed(futures):
                i = place[future.key]
                found[i] = self._result(future, units[i])
                future.release()
                while following in found:
                    yield found.pop(following)
                    following += 1
        finally:
            self.client.cancel([future for future in futures if not future.done()])

    def _result(self, future: Any, unit: Unit) -> Any:
        """The result of a unit; a UnitError names the one at which workers die."""
        try:
            return future.result()
        except self.distributed.scheduler.KilledWorker as error:
            raise UnitError(
                unit.name, "the workers that took it died; what they need may exceed their memory"
            ) from error

    def close(self) -> None:
        """Close the client and the cluster, where they were made here."""
        if self.is_ours:
            self.client.close()
        if self.cluster is not None:
            self.cluster.close()
