"""Alarms of a monitor: the accuracy has dropped, the scores are too sure, or not sure enough.

Each is a bound on the mean of something in [0, 1] that the next label tells, whatever was seen before, as long as all
is well (E: the row is predicted wrongly, c: the largest probability of the row, r: the accuracy of the reference):

* accuracy: mean E <= 1 - r + tolerance
* too sure: mean E <= 1 - c + tolerance, at every c
* not sure enough: mean (1 - E) <= c + tolerance, at every c

Evidence against each is that of :mod:`shiftfix.risk._evidence`; the last two share their level, half the wealth each.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import beta

from shiftfix._numerics import Floats
from shiftfix._printed import Printed
from shiftfix.risk._evidence import TILTS, BettingEvidence, log_factors, no_evidence, with_observations

ACCURACY, CALIBRATION = "accuracy", "calibration"
# Share of the level that pays for not knowing the accuracy of the reference exactly.
REFERENCE_SHARE = 0.1


class Watch(NamedTuple):
    """Evidence of one alarm.

    Attributes
    ----------
    evidence : BettingEvidence
    log_total, log_peak : float
        Log of all wealth, now and at its largest.
    raised_at, likely_start : int
        Label, counted from 1, at which the alarm was raised, and from which on something seemed wrong by then; 0 for
        none.
    """

    evidence: BettingEvidence
    log_total: float
    log_peak: float
    raised_at: int
    likely_start: int


@dataclass(frozen=True)
class MonitorAlarm(Printed):
    """State of one alarm of a monitor; ``print`` it for one line.

    Attributes
    ----------
    name : str
        "accuracy" or "calibration".
    is_raised : bool
        Whether it has ever been raised; it stays so.
    evidence : float
        Wealth of a bettor against "all is well", at its largest; starts at 1.
    threshold : float
        Wealth at which the alarm is raised: 1 / threshold is the chance of a false alarm, ever.
    n_labels : int
        Labels so far.
    raised_at, likely_start : int or None
        Label, counted from 1 in the order in which they came in, at which the alarm was raised, and from which on
        something was wrong as far as one could tell then.
    bound : str
        What is not so any more when it is raised.

    See Also
    --------
    RiskMonitor : Watches a classifier in use.
    AccuracyEstimate : Accuracy as labels come.
    """

    name: str
    is_raised: bool
    evidence: float
    threshold: float
    n_labels: int
    raised_at: int | None
    likely_start: int | None
    bound: str

    def __str__(self) -> str:
        if self.is_raised:
            return (
                f"ALARM on {self.name} at label {self.raised_at}, something wrong since about label "
                f"{self.likely_start}: it is no longer so that {self.bound}."
            )
        return (
            f"No alarm on {self.name} in {self.n_labels} labels (evidence {self.evidence:.2g} of {self.threshold:.3g} "
            f"against: {self.bound})."
        )


def new_watch(n_tilts: int) -> Watch:
    return Watch(no_evidence(n_tilts), 0.0, 0.0, 0, 0)


def watches_of(calibration: bool) -> dict[str, Watch]:
    """A new watch for each alarm."""
    accuracy = {ACCURACY: new_watch(len(TILTS))}
    return accuracy | {CALIBRATION: new_watch(2 * len(TILTS))} if calibration else accuracy


def watched(watch: Watch, factors: Floats, horizon: float, threshold: float) -> Watch:
    """The watch after further labels, of which ``factors`` are the evidence; a raised alarm stays raised."""
    before = watch.evidence.n_seen
    evidence, path = with_observations(watch.evidence, factors, horizon)
    peak = max(watch.log_peak, float(path.max()))
    raised = np.flatnonzero(path >= np.log(threshold))
    if watch.raised_at or not raised.size:
        return Watch(evidence, float(path[-1]), peak, watch.raised_at, watch.likely_start)
    first = int(raised[0])
    then, _ = with_observations(watch.evidence, factors[: first + 1], horizon)
    return Watch(evidence, float(path[-1]), peak, before + first + 1, then.likely_start + 1)


def factors_of(name: str, wrong: Floats, confidence: Floats, worst_error: float, tolerance: float) -> Floats:
    """Evidence of each label, shape (n_labels, n_tilts).

    Parameters
    ----------
    name : str
        Of the alarm.
    wrong, confidence : ndarray of shape (n_labels,)
        Whether the row is predicted wrongly, 1 or 0, and its largest probability.
    worst_error : float
        Largest share of errors that is no drop.
    tolerance : float
        By which the confidence may be off.
    """
    if name == ACCURACY:
        return log_factors(wrong, worst_error)
    too_sure = log_factors(wrong, 1 - confidence + tolerance)
    return np.hstack([too_sure, log_factors(1 - wrong, confidence + tolerance)])


def worst_reference_error(accuracy: float, n_reference: int | None, alpha: float) -> float:
    """Largest error that a reference of so many labels may have (Clopper & Pearson 1934, Biometrika 26(4):404-413).

    Parameters
    ----------
    accuracy : float
        Of the reference.
    n_reference : int or None
        Labels that it was found by; None where it is known.
    alpha : float
        Chance that the error is larger.
    """
    if n_reference is None:
        return 1 - accuracy
    n_wrong = round((1 - accuracy) * n_reference)
    return float(beta.ppf(1 - alpha, n_wrong + 1, n_reference - n_wrong)) if n_wrong < n_reference else 1.0
