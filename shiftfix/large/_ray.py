"""Ray's tasks as an engine: nothing of Ray but ``remote`` and ``wait``. Paths are shipped, no rows."""

from collections.abc import Iterator, Sequence
from typing import Any

from shiftfix._naming import one_line
from shiftfix._setting_checks import import_optional
from shiftfix.exceptions import ShiftDataError
from shiftfix.large._engines import UnitError, Work, do_unit
from shiftfix.large._units import Unit


class RayEngine:
    """Workers of a Ray cluster.

    Parameters
    ----------
    n_workers : int, default=2
        CPUs of a cluster on this machine, made where Ray is not running and no ``scheduler`` is given.
    scheduler : str, default=None
        Address of a cluster.
    retries : int, default=2
        How often a unit is tried again whose work fails or whose worker dies.
    """

    def __init__(self, n_workers: int = 2, scheduler: str | None = None, retries: int = 2) -> None:
        self.ray, self.retries = import_optional("ray", "ray"), retries
        self.is_ours = not self.ray.is_initialized()
        if self.is_ours:
            own: dict[str, Any] = {"num_cpus": n_workers, "include_dashboard": False} if scheduler is None else {}
            try:
                self.ray.init(address=scheduler, log_to_driver=False, logging_level="ERROR", **own)
            except (OSError, ValueError, RuntimeError) as error:
                if scheduler is None:
                    raise
                raise ShiftDataError(
                    f"No Ray cluster answers at {scheduler!r} ({one_line(str(error))}): start one there (ray start "
                    "--head), or pass the address of one that runs."
                ) from error
        self.task = self.ray.remote(do_unit).options(max_retries=retries)

    def map(self, work: Work, units: Sequence[Unit], *arguments: Any) -> Iterator[Any]:
        """Results of ``work(unit, *arguments)`` in the order of the units; the first failure ends it."""
        waiting = {self.task.remote(work, unit, arguments, self.retries): i for i, unit in enumerate(units)}
        found: dict[int, Any] = {}
        following = 0
        try:
            while waiting:
                for task in self.ray.wait(list(waiting))[0]:
                    i = waiting.pop(task)
                    try:
                        found[i] = self.ray.get(task)
                    except self.ray.exceptions.RayTaskError as error:
                        raise error.cause from None
                    except self.ray.exceptions.RayError as error:
                        raise UnitError(units[i].name, f"the workers that took it died: {error}") from error
                while following in found:
                    yield found.pop(following)
                    following += 1
        finally:
            for task in waiting:
                self.ray.cancel(task)

    def close(self) -> None:
        """End the cluster, where it was made here."""
        if self.is_ours:
            self.ray.shutdown()
