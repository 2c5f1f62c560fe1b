"""A monitor of a classifier in use: scores come in batches, some labels later, and alarms that may always be asked.

Nothing is assumed of what moves or when. The alarms rest on the order in which labels come in: given all before it, the
next label tells of a row as any other would (:mod:`shiftfix.risk._alarms`), and on nothing else. The estimate is
prediction-powered (:mod:`shiftfix.risk._ppi`) over the newest rows.
"""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from shiftfix._door import PublicCalls
from shiftfix._learner import unchanged_on_error
from shiftfix._numerics import Floats
from shiftfix._row_order import Rows
from shiftfix._setting_checks import check_count, check_number
from shiftfix._validation import check_labels, check_scores
from shiftfix._values import as_array
from shiftfix._verdict import Verdict, judge
from shiftfix.exceptions import ShiftDataError
from shiftfix.label import positions_among
from shiftfix.risk._alarms import (
    ACCURACY,
    CALIBRATION,
    REFERENCE_SHARE,
    MonitorAlarm,
    Watch,
    factors_of,
    watched,
    watches_of,
    worst_reference_error,
)
from shiftfix.risk._monitor_state import packed_state, unpacked_state
from shiftfix.risk._stream_rows import ids_of, places_of_ids, refuse_repeated, row_numbers
from shiftfix.risk._stream_window import (
    AccuracyEstimate,
    StreamWindow,
    accuracy_estimate,
    empty_window,
    with_labels,
    with_rows,
)

ACTION = "Label a few hundred recent rows at random and ask diagnose_shift what moved; then correct or train anew."


class RiskMonitor(PublicCalls, BaseEstimator):
    """Watch a classifier in use: how accurate is it now, and has it become worse than it was?

    Parameters
    ----------
    reference : float in (0, 1]
        Accuracy that it had, on rows it was not trained on.
    n_reference : int, default=None
        Labels by which that was found; a tenth of ``alpha`` then pays for its error. None takes it as exact.
    tolerance : float in [0, 1), default=0.02
        Drop of the accuracy that is no alarm, as a share of the rows: .02 is two points.
    calibration_tolerance : float in [0, 1) or None, default=0.05
        By which the largest probability of a row may differ from the chance that the row is predicted rightly, without
        an alarm; None watches the accuracy alone, as one does where the scores never were probabilities.
    classes : array-like of shape (n_classes,), default=None
        Label of each column of the scores. None means 0, 1, ...
    alpha : float in (0, 1), default=0.05
        Chance of any false alarm, ever; the two alarms get half each.
    horizon : float, default=5000
        Labels after which half of the evidence has been staked. Alarms are soonest, for their level, for changes
        before that, and hold however long the stream.
    window : int, default=10000
        The newest scored rows: the estimate speaks of them, and labels can come for them.

    Attributes
    ----------
    n_rows_, n_labels_ : int
        Scored rows, and labels, so far. The first row of a batch will be number ``n_rows_`` as it is before.
    n_late_ : int
        Labels of rows that had left the window, which were not used.
    alarms_ : dict of str to MonitorAlarm
        Named "accuracy" and "calibration".
    verdict_ : Verdict
        "ok", or "caution" with the alarms as reasons.

    Raises
    ------
    ShiftDataError
        By ``update`` and ``update_labels``, for settings out of range, scores that are no probabilities, labels that
        are no class, and rows that were never scored or have a label; the state stays as it was.

    See Also
    --------
    AccuracyEstimate : Accuracy as labels come.
    MonitorAlarm : What was raised and when.
    shiftfix.display.MonitorDisplay : Draws the accuracy of a classifier in use.
    shiftfix.label.OnlinePrior : A prior that follows a stream.

    Notes
    -----
    An alarm says that the accuracy was below ``reference`` less ``tolerance`` for some of the rows whose labels came in
    (or the scores off by more than ``calibration_tolerance``), and is wrong with chance ``alpha`` at most over the
    whole stream, however often one looks. It rests on this: whether and when a row gets its label does not depend on
    whether the model is right there. Labels of one call are taken in the order in which their rows were scored.
    An alarm comes the later, the more labels there were before the change, but only as their logarithm: where the
    accuracy falls from .85 to .75, after 423 labels on average if 1,000 went before, and 458 if 5,000 did.
    Beside a test that is told the time of the change, that is 1.6 to 2.5 times as many; the best test that has to find
    the time and knows both accuracies takes 1.8 to 2.4 times as many as one that knows the time as well.
    Memory: 24 bytes for each row of the window (and its id, if it has one), and some 50 numbers.

    Examples
    --------
    >>> scores = np.tile([[0.9, 0.1], [0.2, 0.8]], (50, 1))
    >>> monitor = RiskMonitor(reference=0.85).update(scores)
    >>> monitor = monitor.update_labels(np.arange(60), np.tile([1, 1], 30))
    >>> print(monitor.alarms_["accuracy"])
    ALARM on accuracy at label 23, something wrong since about label 1: it is no longer so that the accuracy is at
    least 83.0%.
    """

    n_rows_: int
    n_labels_: int
    n_late_: int

    _window: StreamWindow
    _watches: dict[str, Watch]

    def __init__(
        self,
        reference: float,
        *,
        n_reference: int | None = None,
        tolerance: float = 0.02,
        calibration_tolerance: float | None = 0.05,
        classes: ArrayLike | None = None,
        alpha: float = 0.05,
        horizon: float = 5000,
        window: int = 10_000,
    ) -> None:
        self.reference = reference
        self.n_reference = n_reference
        self.tolerance = tolerance
        self.calibration_tolerance = calibration_tolerance
        self.classes = classes
        self.alpha = alpha
        self.horizon = horizon
        self.window = window

    def update(self, scores: ArrayLike, ids: ArrayLike | None = None) -> Self:
        """Take in the scores of the next rows.

        Parameters
        ----------
        scores : array-like of shape (n_rows, n_classes)
            Class probabilities; the row is predicted as the first class of the largest one.
        ids : array-like of shape (n_rows,), default=None
            What the rows are called, whole numbers or text, for their labels to be found by; with every batch or with
            none. No two rows of the window may share one.

        Returns
        -------
        self
        """
        self._check_settings()
        checked = check_scores(scores, "scores", self._n_classes())
        self._refuse_other_width(checked.shape[1])
        before = self._stream()
        window = with_rows(before, checked, self.window, self._new_ids(ids, len(checked), before))
        refuse_repeated(window.ids)
        with unchanged_on_error(self):
            self._start(checked.shape[1])
            self._window, self.n_rows_ = window, window.n_seen
        return self

    def update_labels(self, rows: ArrayLike, y: ArrayLike) -> Self:
        """Take in labels of some rows that were scored before.

        Parameters
        ----------
        rows : array-like of shape (n_labels,)
            Numbers of the rows in the stream, counted from 0; their ids, where ``update`` was given ids. Rows that have
            left the window, and ids that are not in it, are counted in ``n_late_`` and not used.
        y : array-like of shape (n_labels,)
            Their labels.

        Returns
        -------
        self
        """
        self._check_started()
        self._check_settings()
        places = self._places(rows)
        columns = positions_among(check_labels(y, "y", len(places)), "y", self._labels())
        order = np.argsort(places)
        here = order[places[order] >= 0]
        self._refuse_labelled(places[here])
        window = with_labels(self._window, places[here], columns[here])
        watches = self._watched(places[here], window) if here.size else self._watches
        with unchanged_on_error(self):
            self._window, self._watches = window, watches
            self.n_labels_ = self.n_labels_ + len(here)
            self.n_late_ = self.n_late_ + len(places) - len(here)
        return self

    def estimate(self, level: float = 0.95) -> AccuracyEstimate:
        """Accuracy over the newest rows, by the labels and scores of the window.

        Parameters
        ----------
        level : float, default=0.95

        Returns
        -------
        AccuracyEstimate
        """
        self._check_started()
        check_number(level, "level", above=0, below=1)
        return accuracy_estimate(self._window, level)

    @property
    def alarms_(self) -> dict[str, MonitorAlarm]:
        """State of each alarm."""
        self._check_started()
        return {name: self._alarm(name, watch) for name, watch in self._watches.items()}

    @property
    def verdict_(self) -> Verdict:
        """What the alarms say."""
        return judge((), [str(alarm).rstrip(".") for alarm in self.alarms_.values() if alarm.is_raised], ACTION)

    def reset(self) -> Self:
        """Begin the alarms anew, after a change that was seen to; rows, labels and settings stay.

        The chance ``alpha`` of a false alarm begins anew, too.

        Returns
        -------
        self
        """
        self._check_started()
        self._watches = watches_of(self.calibration_tolerance is not None)
        return self

    def get_state(self) -> dict[str, Any]:
        """All that the monitor is, settings included, as numbers, text, lists, arrays and dicts of them.

        Returns
        -------
        dict
            For :meth:`from_state`; arrays are copies.
        """
        self._check_started()
        counts = {"n_labels": self.n_labels_, "n_late": self.n_late_, "n_columns": self._n_columns}
        return packed_state(self.get_params(deep=False), counts, self._window, self._watches)

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The monitor that a state was taken from, which goes on as that would have.

        Parameters
        ----------
        state : dict
            Of :meth:`get_state`.

        Returns
        -------
        RiskMonitor

        Raises
        ------
        ShiftDataError
            For anything else.
        """
        settings, counts, window, watches = unpacked_state(state)
        monitor = cls(**settings)
        monitor._check_settings()
        if monitor._n_classes() not in (None, counts["n_columns"]):
            raise ShiftDataError("state has other classes than columns: pass what get_state of a RiskMonitor gave.")
        monitor._n_columns, monitor._window, monitor._watches = counts["n_columns"], window, watches
        monitor.n_rows_, monitor.n_labels_, monitor.n_late_ = window.n_seen, counts["n_labels"], counts["n_late"]
        return monitor

    # ------------------------------------------------------------------------------------------------- settings

    def _check_settings(self) -> None:
        check_number(self.reference, "reference", above=0, most=1)
        check_number(self.tolerance, "tolerance", least=0, below=1)
        check_number(self.alpha, "alpha", least=1e-100, below=1)
        check_number(self.horizon, "horizon", least=1, most=1e15)
        check_count(self.window, "window")
        if self.n_reference is not None:
            check_count(self.n_reference, "n_reference")
        if self.calibration_tolerance is not None:
            check_number(self.calibration_tolerance, "calibration_tolerance", least=0, below=1)
        if self._worst_error() >= 1:
            raise ShiftDataError(
                f"reference={self.reference:g} less tolerance={self.tolerance:g} leaves no accuracy to fall below: "
                "pass a smaller tolerance, or an n_reference of more labels."
            )

    def _worst_error(self) -> float:
        """Largest share of errors that is no drop."""
        exact = self.n_reference is None
        alpha = self._level() * (0 if exact else REFERENCE_SHARE)
        return worst_reference_error(self.reference, self.n_reference, alpha) + self.tolerance

    def _level(self) -> float:
        """Chance of a false alarm of each kind."""
        return self.alpha if self.calibration_tolerance is None else self.alpha / 2

    def _threshold(self, name: str) -> float:
        pays = name == ACCURACY and self.n_reference is not None
        return 1 / (self._level() * (1 - REFERENCE_SHARE if pays else 1))

    def _n_classes(self) -> int | None:
        if self.classes is None:
            return None
        labels = check_labels(self.classes, "classes")
        if len(set(labels.tolist())) < len(labels):
            raise ShiftDataError(f"classes={labels.tolist()} names a class more than once: pass one label per column.")
        return len(labels)

    def _labels(self) -> NDArray[Any]:
        """Label of each column."""
        return np.arange(self._n_columns) if self.classes is None else as_array(self.classes, "classes")

    # ---------------------------------------------------------------------------------------------------- state

    def _stream(self) -> StreamWindow:
        return self._window if hasattr(self, "_window") else empty_window()

    def _start(self, n_columns: int) -> None:
        """Set what is there before the first batch."""
        if not hasattr(self, "_window"):
            self.n_labels_, self.n_late_, self._n_columns = 0, 0, n_columns
            self._watches = watches_of(self.calibration_tolerance is not None)

    def _check_started(self) -> None:
        if not hasattr(self, "_window"):
            raise NotFittedError("This RiskMonitor has seen no rows yet: call update with the scores of some first.")

    def _refuse_other_width(self, n_columns: int) -> None:
        if hasattr(self, "_window") and n_columns != self._n_columns:
            raise ShiftDataError(
                f"scores has {n_columns} columns, and those before had {self._n_columns}: pass one column per class, "
                "as before."
            )

    def _new_ids(self, ids: ArrayLike | None, n_rows: int, before: StreamWindow) -> NDArray[Any] | None:
        """Ids of new rows, of the kind of those before."""
        if len(before.predicted) and (before.ids is None) != (ids is None):
            raise ShiftDataError("ids were given for some batches and not for others: pass them with every batch.")
        if ids is None:
            return None
        found = ids_of(ids, "ids", n_rows)
        if before.ids is not None and (before.ids.dtype.kind == "U") != (found.dtype.kind == "U"):
            raise ShiftDataError("ids are text in some batches and numbers in others: pass one kind.")
        return found

    def _places(self, rows: ArrayLike) -> Rows:
        """Places of rows in the window, each once; -1 for those that are not there any more."""
        if self._window.ids is not None:
            wanted = ids_of(rows, "rows")
            places = places_of_ids(self._window.ids, wanted)
        else:
            wanted = row_numbers(rows, self.n_rows_)
            places = np.maximum(wanted - self._window.first, -1)
        if len(np.unique(wanted)) < len(wanted):
            raise ShiftDataError("rows names a row more than once: pass one label per row.")
        return places

    def _refuse_labelled(self, places: Rows) -> None:
        known = self._window.is_labelled[places]
        if known.any():
            number = self._window.first + places[known][0]
            raise ShiftDataError(
                f"rows names {known.sum()} rows that have a label already, the first is row {number}: pass each label "
                "once."
            )

    def _watched(self, places: Rows, window: StreamWindow) -> dict[str, Watch]:
        """The watches after the labels of the rows at these places, which the window has."""
        seen: tuple[Floats, Floats] = window.wrong[places], window.confidence[places]
        bounds = {ACCURACY: (self._worst_error(), 0.0), CALIBRATION: (0.0, self.calibration_tolerance or 0.0)}
        return {
            name: watched(watch, factors_of(name, *seen, *bounds[name]), self.horizon, self._threshold(name))
            for name, watch in self._watches.items()
        }

    def _alarm(self, name: str, watch: Watch) -> MonitorAlarm:
        bounds = {
            ACCURACY: f"the accuracy is at least {max(0.0, 1 - self._worst_error()):.1%}",
            CALIBRATION: f"the scores are right to within {100 * (self.calibration_tolerance or 0):.3g} points",
        }
        return MonitorAlarm(
            name,
            watch.raised_at > 0,
            float(np.exp(min(watch.log_peak, 700.0))),
            self._threshold(name),
            watch.evidence.n_seen,
            watch.raised_at or None,
            watch.likely_start or None,
            bounds[name],
        )
