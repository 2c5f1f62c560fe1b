"""The newest scored rows of a stream, for which labels may still come, in bounded memory."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from shiftfix._numerics import Floats
from shiftfix._printed import Printed
from shiftfix._row_order import Rows
from shiftfix.label import wilson_interval
from shiftfix.risk._powered_ends import powered_gain


class StreamWindow(NamedTuple):
    """What is kept of the newest rows, in their order.

    Attributes
    ----------
    n_seen : int
        Rows of the whole stream, the last of the window being number n_seen - 1.
    predicted : ndarray of int, shape (n_kept,)
        Column of the largest probability.
    confidence : ndarray of shape (n_kept,)
        That probability.
    wrong : ndarray of shape (n_kept,)
        1 or 0; NaN without a label.
    ids : ndarray of shape (n_kept,) or None
        What the user calls the rows; None for their numbers.
    """

    n_seen: int
    predicted: NDArray[np.int64]
    confidence: Floats
    wrong: Floats
    ids: NDArray[Any] | None = None

    @property
    def first(self) -> int:
        """Number of the oldest row."""
        return self.n_seen - len(self.predicted)

    @property
    def is_labelled(self) -> NDArray[np.bool_]:
        """Which rows have a label."""
        return np.asarray(~np.isnan(self.wrong))


def empty_window() -> StreamWindow:
    return StreamWindow(0, np.empty(0, dtype=np.int64), np.empty(0), np.empty(0))


def with_rows(window: StreamWindow, scores: Floats, most: int, ids: NDArray[Any] | None) -> StreamWindow:
    """The window after further rows, of which the newest ``most`` are kept.

    Parameters
    ----------
    window : StreamWindow
    scores : ndarray of shape (n_rows, n_classes)
    most : int
    ids : ndarray of shape (n_rows,) or None
    """
    before = window.predicted, window.confidence, window.wrong
    new = scores.argmax(axis=1), scores.max(axis=1), np.full(len(scores), np.nan)
    predicted, confidence, wrong = (np.concatenate(both)[-most:] for both in zip(before, new, strict=True))
    n_seen = window.n_seen + len(scores)
    return StreamWindow(n_seen, predicted, confidence, wrong, joined_ids(window.ids, ids, most))


def joined_ids(before: NDArray[Any] | None, new: NDArray[Any] | None, most: int) -> NDArray[Any] | None:
    """The newest ids, None for none; a change of their kind is no concern of this function."""
    if before is None or new is None:
        return None if new is None else new[-most:]
    return np.concatenate([before, new])[-most:]


def with_labels(window: StreamWindow, places: Rows, columns: NDArray[np.intp]) -> StreamWindow:
    """The window after labels of the rows at these places, each the column of its class."""
    wrong = window.wrong.copy()
    wrong[places] = window.predicted[places] != columns
    return window._replace(wrong=wrong)


@dataclass(frozen=True)
class AccuracyEstimate(Printed):
    """Accuracy over the newest rows of a stream, with an interval; ``print`` it for a few lines.

    Attributes
    ----------
    accuracy, low, high : float
        Share of rows predicted rightly, and its interval; without a label that is 0 to 1, as nothing tells how far off
        the scores are.
    level : float
        Chance that the interval holds it, at one look.
    n_rows, n_labels : int
        Rows it speaks of, and labels among them.
    confidence : float
        Mean of the largest probability over all these rows: the accuracy, were the scores calibrated.
    overconfidence : float or None
        Mean of the largest probability less the accuracy, over the labelled rows; None without a label.
    method, assumes : str
        How it was found, and what it rests on.

    See Also
    --------
    RiskMonitor : Watches a classifier in use.
    MonitorAlarm : What was raised and when.
    """

    accuracy: float
    low: float
    high: float
    level: float
    n_rows: int
    n_labels: int
    confidence: float
    overconfidence: float | None
    method: str
    assumes: str

    def __str__(self) -> str:
        head = (
            f"Accuracy {self.accuracy:.1%} ({self.low:.1%} to {self.high:.1%} at {self.level:.0%}) over the newest "
            f"{self.n_rows} rows, by {self.method}."
        )
        return f"{head}\nAssumes that {self.assumes}."


LABELS_ASSUME = (
    "whether and when a row gets its label does not depend on whether the model is right there, and that one looks "
    "once: the alarms allow for looking often"
)
SCORES_ASSUME = "the scores are calibrated on these rows: without labels nothing tells whether they are, or how far off"


def share_with_interval(values: Floats, scores: Floats, others: Floats, level: float) -> tuple[float, float, float]:
    """Share of ones among all rows, low and high: prediction-powered, in Wilson's interval.

    Parameters
    ----------
    values, scores : ndarray of shape (n_labels,)
        Ones and zeros, and what was expected of them.
    others : ndarray of shape (n_others,)
        What is expected of the rest.
    level : float
    """
    # As many labels as would be as exact without scores; the mean itself may not leave what shares can be.
    mean, gain = powered_gain(values, scores, others, (0.0, 1.0), float(norm.ppf((1 + level) / 2)) ** 2 / 2)
    share = min(max(mean, 0.0), 1.0)
    low, high = wilson_interval(np.array([share]), np.array([len(values) * gain]), level)
    return share, min(float(low[0]), share), max(float(high[0]), share)


def accuracy_estimate(window: StreamWindow, level: float) -> AccuracyEstimate:
    """Accuracy over the rows of a window that is not empty."""
    labelled, confidence = window.is_labelled, window.confidence
    n_rows, n_labels, mean = len(confidence), int(labelled.sum()), float(confidence.mean())
    if n_labels == 0:
        method = "the scores alone, which give no interval"
        return AccuracyEstimate(mean, 0.0, 1.0, level, n_rows, 0, mean, None, method, SCORES_ASSUME)
    right, of_labelled = 1 - window.wrong[labelled], confidence[labelled]
    found = share_with_interval(right, of_labelled, confidence[~labelled], level)
    gap = float((of_labelled - right).mean())
    method = f"{n_labels} label{'s' * (n_labels > 1)} and the scores of all rows"
    return AccuracyEstimate(*found, level, n_rows, n_labels, mean, gap, method, LABELS_ASSUME)
