"""What the evidence allows: one type for weights, priors, diagnoses and the command line."""

import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

from shiftfix.exceptions import LabelShiftRejectedWarning, PoorIdentificationWarning, PoorOverlapWarning

Level = Literal["ok", "caution", "abstain"]
# Key of a verdict's level where it is stored as a dict.
STORED = "shiftfix_verdict"
LEVELS: tuple[Level, ...] = ("ok", "caution", "abstain")
VERDICT_WARNINGS = (PoorOverlapWarning, PoorIdentificationWarning, LabelShiftRejectedWarning)
PACKAGE = os.path.dirname(__file__) + os.sep
_caller_warns: ContextVar[bool] = ContextVar("caller_warns", default=False)


class Verdict(str):
    """A level, why, and what to do.

    It is its level as text: it compares, prints and is written to JSON as "ok", "caution" or "abstain".

    Parameters
    ----------
    level : {"ok", "caution", "abstain"}
        "abstain": leave the model as it is, the data do not support a correction.
    reasons : iterable of str, default=()
        Why it is not "ok", the gravest first; of an "ok" that calls for no correction, why.
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

    def __reduce__(self) -> tuple[Any, ...]:  # for copies and pickles of every protocol
        return type(self), (str(self), self.reasons, self.action)


class KeepsVerdicts:
    """An object whose verdicts survive files that know plain text only, and would keep the level alone."""

    def __getstate__(self) -> dict[str, Any]:
        state: Any = super().__getstate__()
        return {
            name: {STORED: value.level, "reasons": list(value.reasons), "action": value.action}
            if isinstance(value, Verdict)
            else value
            for name, value in state.items()
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            if isinstance(value, dict) and STORED in value:
                value = Verdict(value[STORED], value["reasons"], value["action"])
            self.__dict__[name] = value


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


@contextmanager
def caller_warns() -> Iterator[None]:
    """Inside, a fit leaves the warning about its verdict to the caller, who alone knows what was done about it."""
    token = _caller_warns.set(True)
    try:
        yield
    finally:
        _caller_warns.reset(token)


def tell(warning: Warning) -> None:
    """Warn at the line outside the package that led here, unless it is of a verdict and the caller does so."""
    if _caller_warns.get() and isinstance(warning, VERDICT_WARNINGS):
        return
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(warning, stacklevel=level)
