"""Accuracy of a classifier in use, batch by batch, and when an alarm was raised."""

from collections.abc import Iterable, Sequence
from itertools import cycle
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftfix._door import PublicCalls
from shiftfix._naming import one_line
from shiftfix._setting_checks import check_number
from shiftfix._values import as_array
from shiftfix.display._axes import ALARM, LIMIT, TARGET, get_axes, legend_above
from shiftfix.exceptions import ShiftDataError
from shiftfix.risk import AccuracyEstimate, MonitorAlarm

# One for each alarm, in the order in which they were raised.
ALARM_STYLES = ("-.", ":", (0, (7, 2)))


class MonitorDisplay(PublicCalls):
    """How the accuracy went, with intervals, beside what it was promised to be and the alarms.

    A monitor forgets what it estimated before: keep ``(monitor.estimate(), monitor.alarms_)`` after each batch, and
    draw them with :meth:`from_history`.

    Parameters
    ----------
    estimates : tuple of AccuracyEstimate
    raised : dict of str to int
        First of the estimates at which an alarm was raised, by the name of the alarm.
    x : ndarray of shape (n_estimates,)
        Numbers or dates at which the estimates were made.
    reference : float or None
        Accuracy below which the alarm on it is due.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    line_, confidence_line_ : Line2D
        Accuracy; and mean confidence, the accuracy that the scores promise.
    band_ : PolyCollection
        Intervals.
    reference_line_ : Line2D or None
    alarm_lines_ : dict of str to Line2D

    See Also
    --------
    shiftfix.risk.RiskMonitor : Watches a classifier in use.
    """

    def __init__(
        self,
        estimates: tuple[AccuracyEstimate, ...],
        *,
        raised: dict[str, int],
        x: NDArray[Any],
        reference: float | None,
    ) -> None:
        self.estimates = estimates
        self.raised = raised
        self.x = x
        self.reference = reference

    @classmethod
    def from_history(
        cls,
        history: Sequence[tuple[AccuracyEstimate, dict[str, MonitorAlarm]]],
        *,
        x: ArrayLike | None = None,
        reference: float | None = None,
        ax: Any = None,
    ) -> Self:
        """Draw what a monitor said after each batch.

        Parameters
        ----------
        history : sequence of pairs
            ``monitor.estimate()`` and ``monitor.alarms_`` after each batch, oldest first.
        x : array-like of shape (n_batches,), default=None
            Rising numbers or dates; None counts the batches from 1.
        reference : float, default=None
            Accuracy to draw a line at: the monitor's ``reference - tolerance``, say.
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        MonitorDisplay

        Raises
        ------
        ShiftDataError
            For anything else, and an ``x`` that is not one per batch.
        MissingDependencyError
            When matplotlib is not installed.
        """
        pairs = [_check_pair(pair) for pair in history]
        if not pairs:
            raise ShiftDataError("history is empty: keep (monitor.estimate(), monitor.alarms_) after each batch.")
        places = np.arange(1, len(pairs) + 1) if x is None else as_array(x, "x")
        if places.shape != (len(pairs),):
            raise ShiftDataError(f"x has shape {places.shape} for {len(pairs)} batches: pass one value per batch.")
        if reference is not None:
            check_number(reference, "reference", least=0, most=1)
        estimates = tuple(estimate for estimate, _ in pairs)
        return cls(estimates, raised=_first_raised(a for _, a in pairs), x=places, reference=reference).plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw on ``ax`` or a new figure; returns self."""
        ax = get_axes(ax, size=(6.8, 3.8))
        low, high, accuracy, confidence = (
            np.array([getattr(estimate, name) for estimate in self.estimates], dtype=np.float64)
            for name in ("low", "high", "accuracy", "confidence")
        )
        level = self.estimates[-1].level
        label = f"accuracy ({100 * level:.4g}% interval at one look)"
        self.band_ = ax.fill_between(self.x, low, high, color=TARGET, alpha=0.2, linewidth=0)
        (self.line_,) = ax.plot(self.x, accuracy, "o-", color=TARGET, ms=3.5, label=label)
        (self.confidence_line_,) = ax.plot(self.x, confidence, color=LIMIT, linestyle="--", label="mean confidence")
        self.reference_line_ = None
        if self.reference is not None:
            self.reference_line_ = ax.axhline(self.reference, color=LIMIT, linewidth=0.8, label="reference")
        self.alarm_lines_ = self._draw_alarms(ax)
        ax.set(xlabel="batch" if np.issubdtype(self.x.dtype, np.number) else "", ylabel="accuracy")
        legend_above(ax, self._finding(), ncols=2)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _finding(self) -> str:
        """The first alarm, or that there is none."""
        if not self.raised:
            return f"no alarm in {len(self.estimates)} batches"
        name, place = min(self.raised.items(), key=lambda alarm: alarm[1])
        return f"alarm on {one_line(name)} after batch {place + 1} of {len(self.estimates)}"

    def _draw_alarms(self, ax: Any) -> dict[str, Any]:
        """A line where alarms were raised: one for those raised at once."""
        lines: dict[str, Any] = {}
        for place, style in zip(sorted(set(self.raised.values())), cycle(ALARM_STYLES), strict=False):
            names = sorted(name for name, first in self.raised.items() if first == place)
            label = f"alarm: {one_line(', '.join(names))}"
            lines |= dict.fromkeys(names, ax.axvline(self.x[place], color=ALARM, linestyle=style, label=label))
        return lines


def _check_pair(pair: Any) -> tuple[AccuracyEstimate, dict[str, MonitorAlarm]]:
    if (
        isinstance(pair, tuple)
        and len(pair) == 2
        and isinstance(pair[0], AccuracyEstimate)
        and isinstance(pair[1], dict)
    ):
        return pair
    raise ShiftDataError(
        f"history holds a {type(pair).__name__}: pairs (monitor.estimate(), monitor.alarms_) are needed, one per batch."
    )


def _first_raised(alarms: Iterable[dict[str, MonitorAlarm]]) -> dict[str, int]:
    """First place at which each alarm was raised, of those that were."""
    first: dict[str, int] = {}
    for place, states in enumerate(alarms):
        for name, alarm in states.items():
            if alarm.is_raised:
                first.setdefault(name, place)
    return first
