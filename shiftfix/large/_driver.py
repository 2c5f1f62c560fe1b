"""One pass over all units, and the order in which their results are merged.

The tree of the merges depends on the number of units alone: results are merged two by two in their order, as the bits
of a counter carry over. Floating-point sums then come out the same to the last bit, whoever worked on what, and when.
At most one result per level of the tree waits.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from shiftfix.exceptions import ShiftDataError
from shiftfix.large._engines import Engine, Work
from shiftfix.large._units import Unit


class Statistic(NamedTuple):
    """What a pass sums.

    Attributes
    ----------
    of_unit : callable
        ``of_unit(unit, *arguments)``: what the rows of one unit give.
    merge : callable
        ``merge(a, b)``: what the rows of both give, ``a`` being the earlier ones.
    """

    of_unit: Work
    merge: Callable[[Any, Any], Any]


def merge_in_order(parts: Iterable[Any], merge: Callable[[Any, Any], Any]) -> Any:
    """All parts merged by a fixed tree, None of none.

    Parameters
    ----------
    parts : iterable
        In order.
    merge : callable
        Of an earlier and a later part.

    Examples
    --------
    >>> merge_in_order("abcdefg", lambda a, b: f"({a}{b})")
    '(((ab)(cd))((ef)g))'
    """
    waiting: list[tuple[int, Any]] = []
    for part in parts:
        size = 1
        while waiting and waiting[-1][0] == size:
            earlier = waiting.pop()[1]
            part, size = merge(earlier, part), 2 * size
        waiting.append((size, part))
    whole = None
    while waiting:
        earlier = waiting.pop()[1]
        whole = earlier if whole is None else merge(earlier, whole)
    return whole


class Passes:
    """Passes over the same units, counted.

    Parameters
    ----------
    engine : Engine
    units : sequence of Unit
    progress : callable, default=None
        Called with the number of the pass, units done and units in all after each unit.
    """

    def __init__(
        self, engine: Engine, units: Sequence[Unit], progress: Callable[[int, int, int], object] | None = None
    ) -> None:
        self.engine, self.units, self.progress, self.n_passes = engine, units, progress, 0

    def run(self, statistic: Statistic, *arguments: Any) -> Any:
        """One pass: the merged results of all units."""
        self.n_passes += 1
        results = self.engine.map(statistic.of_unit, self.units, *arguments)
        try:
            return merge_in_order(self._told(results), statistic.merge)
        finally:
            # What is still being worked on is called off before the engine is closed, not when memory is tidied up.
            getattr(results, "close", _nothing)()

    def _told(self, results: Iterable[Any]) -> Iterable[Any]:
        for done, result in enumerate(results, start=1):
            if self.progress is not None:
                self.progress(self.n_passes, done, len(self.units))
            yield result


def _nothing() -> None:
    """An engine of the user's may return what cannot be closed."""


def check_both(found: Sequence[Any]) -> None:
    """Raise unless both samples have rows of positive weight."""
    for name, moments in zip(("source", "target"), found, strict=True):
        if moments is None or not moments.total:
            raise ShiftDataError(f"The {name} has no rows, or none of positive weight: pass at least one.")
