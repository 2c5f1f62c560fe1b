"""What every method that estimates a risk without target labels shares: learn from counts, then tell a value.

Learning is what a bootstrap repeats: weights, a prior, a calibration. The value of a group is that of its rows with
what all rows have taught.
"""

from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shiftfix._numerics import Floats
from shiftfix._verdict import Verdict
from shiftfix.risk._problem import Problem
from shiftfix.risk._tools import Tools


class Counts(NamedTuple):
    """Repeat counts of the rows of both samples."""

    source: Floats
    target: Floats

    def within(self, source: NDArray[np.bool_], target: NDArray[np.bool_]) -> "Counts":
        """Those of some rows; of others none."""
        return Counts(self.source * source, self.target * target)


def ones_of(problem: Problem) -> Counts:
    """Every row once."""
    return Counts(np.ones(problem.n_source), np.ones(problem.n_target))


class RiskMethod:
    """One way to estimate the risk; see the subclasses.

    Attributes
    ----------
    title, assumes : str
        What it is called, and what its interval rests on.
    weighs : bool
        Whether ``learn`` gives weights of the source rows.
    uses_labels : bool
        Whether it takes labels of target rows.
    """

    title: ClassVar[str] = ""
    assumes: ClassVar[str] = ""
    weighs: ClassVar[bool] = False
    uses_labels: ClassVar[bool] = False

    def __init__(self, problem: Problem, tools: Tools) -> None:
        self.problem, self.tools = problem, tools
        metric, n_classes = problem.metric, problem.n_classes
        self.here = metric.prepare(problem.source, problem.y, n_classes)
        self.labels = problem.labels(problem.y)

    @property
    def verdict(self) -> Verdict:
        """Whether the data support it."""
        return Verdict("ok")

    @property
    def is_possible(self) -> bool:
        """Whether there is a value at all."""
        return True

    def learn(self, counts: Counts) -> Any:
        """What the value is made with, from all rows: weights of the source rows, for one."""
        return np.ones(len(counts.source))

    def value(self, learned: Any, counts: Counts) -> float:
        """The metric on the target: of the source rows by their weights."""
        return self.problem.metric.value(self.here, self.labels * (learned * counts.source)[:, np.newaxis])


class UnweightedRisk(RiskMethod):
    """The metric on the source, as it is: what one reports who believes that nothing moved."""

    title = "the source as it is"
    assumes = "nothing moved: the target's rows and labels are distributed as the source's"
