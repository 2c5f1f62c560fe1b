"""What sets of a coverage cost, and what their coverage rests on."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from shiftfix._naming import one_line
from shiftfix._printed import Printed
from shiftfix._verdict import KeepsVerdicts, Verdict, judge

# As for weights: below, quantiles of the scores are known too roughly.
LEAST_EFFECTIVE = 100
# Shares of the rows that get everything for a set.
INFINITE_CAUTION, INFINITE_ABSTAIN = 0.05, 0.30
ACTION = "Label some target rows, collect source rows like them, or ask for a lower level."


@dataclass(frozen=True)
class CoverageSummary(Printed, KeepsVerdicts):
    """Cost of sets of a coverage, and what it rests on; ``print`` it.

    Attributes
    ----------
    level : float
        Coverage asked for.
    level_used : float
        Level of the thresholds: with clipped weights larger by what the clip may cost.
    clip : float
        Largest weight, at mean 1; infinity for none.
    clip_cost : float
        By how much coverage may fall through the clip, at most.
    n_rows : int
        Rows that were asked about.
    n_calibration : float
        Rows that calibrate (with sample_weight: their total).
    effective_size : float
        Equally weighted rows they are worth; of the smallest class or group, where coverage holds in each.
    infinite_share : float
        Share of the rows whose set is everything, since their own weight, or too few calibration rows, leave no other
        that is known to cover.
    size : float
        Mean number of labels in a set, or the median width of the finite intervals in units of y (NaN for none).
    always_in : tuple
        Classes in every set, for want of calibration rows.
    n_labels : int
        Labelled target rows that calibrate.
    labels : {"combine", "alone"} or None
        Whether source rows calibrate beside them.
    contradiction : float or None
        P-value of "sets of the weighted source rows cover the target" by the labels.
    assumes : str
        What coverage rests on.
    verdict : Verdict
        On the sets; "abstain": they say little.

    See Also
    --------
    ConformalClassifier : Sets of labels around any classifier.
    ConformalRegressor : Intervals around any regressor.
    clipping_cost : How much coverage clipped weights may cost.
    """

    level: float
    level_used: float
    clip: float
    clip_cost: float
    n_rows: int
    n_calibration: float
    effective_size: float
    infinite_share: float
    size: float
    always_in: tuple[Any, ...]
    n_labels: int
    labels: str | None
    contradiction: float | None
    assumes: str
    verdict: Verdict
    unit: str = "labels"

    def _cost_lines(self) -> list[str]:
        """What the sets cost."""
        told = [f"{self.infinite_share:.1%} of {self.n_rows} rows get {_everything(self.unit)}"]
        if np.isfinite(self.size):
            told.append(f"{'mean size' if self.unit == 'labels' else 'median width'} {self.size:.3g} {self.unit}")
        if self.always_in:
            told.append(f"always in: {', '.join(map(repr, self.always_in))}")
        return ["; ".join(told)]

    def _clip_lines(self) -> list[str]:
        if np.isinf(self.clip):
            return []
        return [
            f"weights clipped at {self.clip:.3g}: this may cost {self.clip_cost:.1%} of coverage, so that the "
            f"thresholds are of level {self.level_used:.3f}"
            + (", and every set is everything" if self.level_used >= 1 else "")
        ]

    def _label_lines(self) -> list[str]:
        if self.labels is None:
            return []
        done = "together with the source rows" if self.labels == "combine" else "without the source rows"
        return [
            f"{self.n_labels} target labels calibrate {done} (p = {self.contradiction:.2g} of the weighted source "
            "rows covering the target)"
        ]

    def __str__(self) -> str:
        lines = [
            f"sets of coverage {self.level:.1%}, by {self.n_calibration:g} calibration rows worth "
            f"{self.effective_size:.1f} ({self.verdict})",
            *self._cost_lines(),
            *self._clip_lines(),
            *self._label_lines(),
            f"assumes: {self.assumes}",
            *[f"because: {one_line(reason)}" for reason in self.verdict.reasons],
        ]
        return "\n  ".join(lines)


def _everything(unit: str) -> str:
    return "all labels" if unit == "labels" else "an infinite interval"


def verdict_on_sets(effective_size: float, infinite_share: float, level_used: float, weights: Verdict) -> Verdict:
    """What sets are worth, by the calibration rows behind them, by how many are everything, and by the weights."""
    abstain: list[str] = []
    caution: list[str] = []
    (abstain if weights == "abstain" else caution).extend(f"of the weights: {reason}" for reason in weights.reasons)
    if level_used >= 1:
        abstain.append("what clipping may cost leaves no finite set")
    elif infinite_share > INFINITE_ABSTAIN:
        abstain.append(f"{infinite_share:.1%} of the sets are everything")
    elif infinite_share > INFINITE_CAUTION:
        caution.append(f"{infinite_share:.1%} of the sets are everything")
    if effective_size < LEAST_EFFECTIVE:
        caution.append(f"the calibration rows are worth {effective_size:.1f} equally weighted ones")
    return judge(abstain, caution, ACTION)


ESTIMATED = (
    ", and weights that are right: their error is not in the level, and coverage may fall by half of its mean (over "
    "the source rows, at mean weight 1)"
)
NO_SHIFT = "rows to come are like the calibration rows: nothing has moved"
SAME_FEATURES = "p(y given x) is the same in both samples"
SAME_CLASSES = "p(x given y) is the same in both samples"
ANY_SHARES = ", whatever the class shares are; it then holds in each class"
IN_GROUPS = "; it then holds in each group"
RANDOM_LABELS = "the labelled target rows were drawn at random; nothing of what moved"
CROSS = ". Models of several folds guarantee 1 - 2 (1 - level) only, and come close to the level"


def assumption(*, covariate: bool, label: bool, labels: str | None, conditional: str | None, several: bool) -> str:
    """What coverage rests on, in words."""
    text = SAME_FEATURES + ESTIMATED if covariate else SAME_CLASSES + ESTIMATED if label else NO_SHIFT
    if conditional == "class" and not covariate:
        text = SAME_CLASSES + ANY_SHARES
    if labels == "alone":
        text = RANDOM_LABELS
    elif labels == "combine":
        text = f"{text}; the labelled target rows were drawn at random"
    return text + IN_GROUPS * (conditional == "group") + CROSS * several
