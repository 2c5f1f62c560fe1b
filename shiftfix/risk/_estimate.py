"""What an estimate of the risk on the target says."""

from dataclasses import dataclass, field
from typing import Any

from shiftfix._naming import one_line
from shiftfix._printed import Printed, Printout
from shiftfix._verdict import KeepsVerdicts, Verdict


@dataclass(frozen=True)
class GroupRisk(Printed):
    """The risk of one group of the target rows.

    Attributes
    ----------
    group : label
    value, low, high : float
        Estimate and interval; the intervals of all groups and of the whole hold together at the level of the estimate.
    standard_error : float
    n_source, n_target : int
        Rows of the group.
    effective_size : float
        Kish effective size of the weights of its source rows, in rows; their number where none are used.
    mean_weight : float
        Mean weight of its source rows, over all of which weights average 1; 1 where none are used.

    See Also
    --------
    RiskEstimate : Value, interval, what it assumes.
    target_risk : A metric on the target, with its interval.
    """

    group: Any
    value: float
    low: float
    high: float
    standard_error: float
    n_source: int
    n_target: int
    effective_size: float
    mean_weight: float

    def __str__(self) -> str:
        return (
            f"{one_line(str(self.group))}: {self.value:.4g} ({self.low:.4g} to {self.high:.4g}), {self.n_source} "
            f"source rows (effective {self.effective_size:.0f}), {self.n_target} target rows"
        )


@dataclass(frozen=True)
class RiskEstimate(Printed, KeepsVerdicts):
    """What a model is worth on the target; ``print`` it for a few lines.

    Attributes
    ----------
    value : float
        The metric on the target, in its own unit.
    low, high : float
        Confidence interval; the bounds of the metric where the verdict is "abstain": nothing narrower is supported.
    standard_error : float
    metric, method : str
    assumes : str
        What the interval rests on, in plain words.
    level : float
        Of the interval.
    n_source, n_target, n_labels : int
        Rows of both samples, and labels of target rows that were used.
    verdict : Verdict
        "ok", "caution" or "abstain", with reasons and what to do.
    effective_size : float or None
        Kish effective size of the weights, in source rows; None where none are used.
    groups : tuple of GroupRisk
        In the order of their labels; empty without groups.
    seconds : float
        Time it took.

    See Also
    --------
    target_risk : A metric on the target, with its interval.
    RiskComparison : What it returns.
    """

    value: float
    low: float
    high: float
    standard_error: float
    metric: str
    method: str
    assumes: str
    level: float
    n_source: int
    n_target: int
    n_labels: int
    verdict: Verdict
    effective_size: float | None = None
    groups: tuple[GroupRisk, ...] = ()
    seconds: float = field(default=0.0, compare=False)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the verdict is not "ok"; empty when it is."""
        return self.verdict.reasons

    def _size(self) -> str:
        labels = f", {self.n_labels} target labels" if self.n_labels else ""
        effective = "" if self.effective_size is None else f" (effective {self.effective_size:.0f})"
        return f"{self.n_source} source rows{effective}, {self.n_target} target rows{labels}"

    def _printout(self) -> Printout:
        first, *rest = str(self).splitlines()
        if not self.groups:
            return Printout(head=first, foot=tuple(rest))
        rows = tuple(
            (one_line(str(g.group)), f"{g.value:.4g}", f"{g.low:.4g} to {g.high:.4g}", f"{g.n_source}", f"{g.n_target}")
            for g in self.groups
        )
        heads = ("group", "value", "interval", "source rows", "target rows")
        return Printout(rows, heads, head=first, foot=tuple(rest[: -len(self.groups)]))

    def __str__(self) -> str:
        lines = [
            f"{one_line(self.metric)} on the target: {self.value:.4g} ({self.level:.0%} interval {self.low:.4g} to "
            f"{self.high:.4g}), by {self.method}",
            f"from {self._size()}",
            f"assumes: {self.assumes}",
            f"verdict: {self.verdict}" + "".join(f"; {reason}" for reason in map(one_line, self.reasons)),
        ]
        if self.verdict.action:
            lines.append(one_line(self.verdict.action))
        return "\n".join([*lines, *(f"  {group}" for group in self.groups)])
