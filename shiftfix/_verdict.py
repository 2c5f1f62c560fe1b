"""What the evidence allows: one type for weights, priors, diagnoses and the command line."""

from collections.abc import Iterable
from typing import Literal

Level = Literal["ok", "caution", "abstain"]
LEVELS: tuple[Level, ...] = ("ok", "caution", "abstain")


class Verdict(str):
    """A level, why, and what to do.

    It is its level as text: it compares, prints and is written to JSON as "ok", "caution" or "abstain".

    Parameters
    ----------
    level : {"ok", "caution", "abstain"}
        "abstain": leave the model as it is, the data do not support a correction.
    reasons : iterable of str, default=()
        Why it is not "ok", the gravest first.
    action : str, default=""
        What to do next; empty when there is nothing to do.

    Examples
    --------
    >>> verdict = Verdict("abstain", ["the target sample has only 8 rows"], "Collect more target rows.")
    >>> verdict == "abstain", verdict.reasons
    (True, ('the target sample has only 8 rows',))
    """

    __slots__ = ("action", "reasons")
    reasons: tuple[str, ...]
    action: str

    def __new__(cls, level: Level, reasons: Iterable[str] = (), action: str = "") -> "Verdict":
        if level not in LEVELS:
            raise ValueError(f"level={level!r}: one of {', '.join(map(repr, LEVELS))} is needed.")
        self = super().__new__(cls, level)
        self.reasons, self.action = tuple(reasons), action
        return self

    @property
    def level(self) -> str:
        """The level as plain text."""
        return str(self)

    def __getnewargs__(self) -> tuple[str, tuple[str, ...], str]:  # type: ignore[override]  # for copies and pickles
        return str(self), self.reasons, self.action

    def __repr__(self) -> str:
        return f"Verdict({str(self)!r}, {self.reasons!r}, {self.action!r})"

    def __str__(self) -> str:
        return str.__str__(self)


def judge(abstain: Iterable[str], caution: Iterable[str], action: str = "") -> Verdict:
    """Verdict of the gravest findings: "abstain" when any speak against a correction, "caution" when any ask for care.

    Parameters
    ----------
    abstain, caution : iterable of str
        Findings of either kind; the reasons, in this order.
    action : str, default=""
        What to do, when there is a finding.

    Returns
    -------
    Verdict
    """
    abstain, caution = tuple(abstain), tuple(caution)
    level: Level = "abstain" if abstain else "caution" if caution else "ok"
    return Verdict(level, abstain + caution, "" if level == "ok" else action)
