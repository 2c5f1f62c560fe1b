"""Estimates of the risk on the target, side by side with their intervals, and what is known of the truth."""

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftfix._door import PublicCalls
from shiftfix._naming import one_line
from shiftfix._setting_checks import check_number
from shiftfix.display._axes import LIMIT, TARGET, TRUTH, get_axes, legend_above, name_ticks
from shiftfix.exceptions import ShiftDataError
from shiftfix.risk import RiskComparison, RiskEstimate, compare_risks

# Characters of the small font that fit the default width.
NOTE_WIDTH = 72


class DrawnRisk(NamedTuple):
    """A row of the plot.

    Attributes
    ----------
    name : str
    value, low, high : float
    is_supported : bool
        Whether the data support the estimate: its verdict is not "abstain".
    """

    name: str
    value: float
    low: float
    high: float
    is_supported: bool


class RiskDisplay(PublicCalls):
    """What the model is worth on the target, by every method that was asked.

    A row per method (or per group of rows): estimate and interval. What the data do not support is hollow and grey,
    its interval all that the metric can be. Make one with :meth:`from_estimator`, :meth:`from_comparison` or
    :meth:`from_groups`.

    Parameters
    ----------
    risks : tuple of DrawnRisk
        From the top down.
    metric : str
    level : float
        Of the intervals.
    true_value : float or None
        On the target, where it is known.
    note : str
        Drawn above the plot. "" for nothing.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    points_, refused_ : Line2D or None
        Estimates (x) at their rows (y), drawn downwards from 0; those that the data support, and those they do not.
    intervals_ : LineCollection
    truth_ : Line2D or None

    See Also
    --------
    shiftfix.risk.compare_risks : Several methods side by side.
    shiftfix.risk.target_risk : A metric on the target, with its interval.
    """

    def __init__(
        self, risks: tuple[DrawnRisk, ...], *, metric: str, level: float, true_value: float | None, note: str
    ) -> None:
        self.risks = risks
        self.metric = metric
        self.level = level
        self.true_value = true_value
        self.note = note

    @classmethod
    def from_comparison(cls, comparison: Any, *, true_value: float | None = None, ax: Any = None) -> Self:
        """Draw estimates that are there.

        Parameters
        ----------
        comparison : RiskComparison, or dict of str to RiskEstimate
            Of one metric.
        true_value : float, default=None
            The metric on the target, where its labels are known.
        ax : matplotlib Axes, default=None
            None makes a new figure.

        Returns
        -------
        RiskDisplay

        Raises
        ------
        ShiftDataError
            For anything else, no estimates, or such of several metrics.
        MissingDependencyError
            When matplotlib is not installed.
        """
        estimates = _check_estimates(comparison)
        first = next(iter(estimates.values()))
        drawn = tuple(
            DrawnRisk(str(name), found.value, found.low, found.high, found.verdict != "abstain")
            for name, found in estimates.items()
        )
        disagree = isinstance(comparison, RiskComparison) and comparison.disagree
        note = "the methods disagree by more than chance: target labels can tell" if disagree else ""
        return cls._drawn(drawn, first, true_value, note, ax)

    @classmethod
    def from_estimator(
        cls,
        model: Any,
        X_source: Any,
        y_source: ArrayLike,
        X_target: Any,
        *,
        true_value: float | None = None,
        ax: Any = None,
        **settings: Any,
    ) -> Self:
        """Estimate by :func:`shiftfix.risk.compare_risks`, and draw.

        Parameters
        ----------
        model, X_source, y_source, X_target
            As for :func:`shiftfix.risk.compare_risks`.
        true_value : float, default=None
        ax : matplotlib Axes, default=None
        **settings
            The other settings of :func:`shiftfix.risk.compare_risks`, such as ``metric`` or ``target_labels``.

        Returns
        -------
        RiskDisplay

        Raises
        ------
        ShiftDataError
            As :func:`shiftfix.risk.compare_risks`.
        """
        found = compare_risks(model, X_source, y_source, X_target, **{"n_worlds": 0, **settings})
        return cls.from_comparison(found, true_value=true_value, ax=ax)

    @classmethod
    def from_groups(cls, estimate: RiskEstimate, *, true_value: float | None = None, ax: Any = None) -> Self:
        """Draw the groups of one estimate, and the whole above them.

        Parameters
        ----------
        estimate : RiskEstimate
            Of :func:`shiftfix.risk.target_risk` with ``groups``.
        true_value : float, default=None
            Of the whole.
        ax : matplotlib Axes, default=None

        Returns
        -------
        RiskDisplay

        Raises
        ------
        ShiftDataError
            For an estimate without groups.
        """
        if not (isinstance(estimate, RiskEstimate) and estimate.groups):
            raise ShiftDataError("An estimate with groups is needed: pass target_risk(..., groups=(source, target)).")
        supported = estimate.verdict != "abstain"
        whole = DrawnRisk("all rows", estimate.value, estimate.low, estimate.high, supported)
        groups = [DrawnRisk(str(g.group), g.value, g.low, g.high, supported) for g in estimate.groups]
        note = f"by {one_line(estimate.method)}; all intervals hold together"
        return cls._drawn((whole, *groups), estimate, true_value, note, ax)

    @classmethod
    def _drawn(
        cls, risks: tuple[DrawnRisk, ...], first: RiskEstimate, true_value: float | None, note: str, ax: Any
    ) -> Self:
        truth = None if true_value is None else check_number(true_value, "true_value")
        return cls(risks, metric=one_line(first.metric), level=first.level, true_value=truth, note=note).plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw on ``ax`` or a new figure; returns self."""
        lines = textwrap.wrap(self.note, NOTE_WIDTH)
        ax = get_axes(ax, size=(6.4, 1.3 + 0.3 * len(self.risks) + 0.18 * len(lines)))
        rows, supported = np.arange(len(self.risks)), np.array([risk.is_supported for risk in self.risks])
        value, low, high = np.array([risk[1:4] for risk in self.risks], dtype=np.float64).T
        colors = np.where(supported, TARGET, "0.75")
        self.intervals_ = ax.hlines(rows, low, high, color=colors, linewidth=2, zorder=2)
        label = f"estimate ({100 * self.level:.4g}% interval)"
        self.points_ = _points(ax, value, rows, supported, label, color=TARGET)
        hollow = {"color": LIMIT, "markerfacecolor": "white"}
        self.refused_ = _points(ax, value, rows, ~supported, "not supported by the data", **hollow)
        self.truth_ = None
        if self.true_value is not None:
            self.truth_ = ax.axvline(self.true_value, color=TRUTH, linestyle="--", label="truth", zorder=1)
        name_ticks(ax, [risk.name for risk in self.risks])
        ax.set(xlim=_limits(self.risks, self.true_value), ylim=(len(rows) - 0.4, -0.6), xlabel=self._x_label())
        legend_above(ax, self._finding(), ncols=3, title="\n".join(lines) or None, title_fontsize="small")
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _finding(self) -> str:
        """How many supported intervals hold the truth; without it, between what the estimates lie."""
        supported = [risk for risk in self.risks if risk.is_supported and np.isfinite(risk.value)]
        if not supported:
            return "the data support no estimate"
        if self.true_value is not None:
            held = sum(risk.low <= self.true_value <= risk.high for risk in supported)
            return f"{held} of {len(supported)} supported intervals hold the truth"
        low, high = (end(risk.value for risk in supported) for end in (min, max))
        between = f"{low:.3g}" if f"{low:.3g}" == f"{high:.3g}" else f"between {low:.3g} and {high:.3g}"
        return f"{self.metric} {between}, where the data support an estimate"

    def _x_label(self) -> str:
        return f"{self.metric} on the target"


def _points(
    ax: Any, value: NDArray[np.float64], rows: NDArray[np.intp], chosen: NDArray[np.bool_], label: str, **look: Any
) -> Any:
    """Points of some rows; None without any."""
    here = chosen & np.isfinite(value)
    if not here.any():
        return None
    return ax.plot(value[here], rows[here], "D", label=label, zorder=3, ms=5.5, **look)[0]


def _limits(risks: Iterable[DrawnRisk], true_value: float | None) -> tuple[float, float]:
    """Range of what the data support, and of all points: an interval of everything would hide the others."""
    ends = [end for risk in risks if risk.is_supported for end in (risk.low, risk.high)]
    ends += [risk.value for risk in risks] + ([] if true_value is None else [true_value])
    known = [end for end in ends if np.isfinite(end)] or [0.0, 1.0]
    margin = 0.06 * (max(known) - min(known)) or 0.05
    return min(known) - margin, max(known) + margin


def _check_estimates(comparison: Any) -> Mapping[str, RiskEstimate]:
    """Estimates of one metric, by the names of their rows."""
    found = comparison.estimates if isinstance(comparison, RiskComparison) else comparison
    if not isinstance(found, Mapping) or not found or not all(isinstance(e, RiskEstimate) for e in found.values()):
        raise ShiftDataError(
            f"Estimates are needed, and a {type(comparison).__name__} was given: pass what compare_risks returns, or "
            "a dict of estimates such as {'now': target_risk(...)}."
        )
    metrics = sorted({one_line(estimate.metric) for estimate in found.values()})
    if len(metrics) > 1:
        raise ShiftDataError(f"The estimates are of several metrics ({', '.join(metrics)}): draw each by itself.")
    return found
