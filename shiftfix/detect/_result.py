"""One type for the answer of every test of shift."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from shiftfix._naming import one_line
from shiftfix._printed import Printed

LEVEL = 0.05


@dataclass(frozen=True)
class ShiftTest(Printed):
    """Outcome of a test of shift; ``print`` it for one or two lines.

    Attributes
    ----------
    statistic : float
        Of the test, no unit.
    p_value : float
        Of "nothing has shifted", in [0, 1].
    effect_size : float
        How large the shift is, whatever the number of rows; ``effect`` says in what.
    n_source, n_target : int
        Rows that the test has used.
    method : str
        What was done.
    seconds : float
        Time it took.
    effect : str
        What the effect size is: "AUC", say.
    note : str
        What else to know; empty when nothing.

    See Also
    --------
    classifier_test : Can a model tell source from target rows?
    mmd_test : Kernel means: any difference.
    score_test : Did the scores of a model move?
    concept_test : By target labels: did p(y given x) move?
    """

    statistic: float
    p_value: float
    effect_size: float
    n_source: int
    n_target: int
    method: str
    seconds: float = field(compare=False)
    effect: str = "effect"
    note: str = ""

    def __str__(self) -> str:
        line = (
            f"{self.method}: p = {self.p_value:.2g}, {self.effect} {self.effect_size:.3g} ({self.n_source} source and "
            f"{self.n_target} target rows)."
        )
        return f"{line}\n{one_line(self.note)}" if self.note else line


def stopwatch() -> Callable[[], float]:
    """A function that gives the seconds since it was made."""
    start = time.perf_counter()
    return lambda: time.perf_counter() - start
