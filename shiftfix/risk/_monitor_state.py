"""The state of a monitor as plain numbers, text, arrays and dicts, and back; what is none is refused."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftfix._numerics import Floats
from shiftfix._setting_checks import check_count
from shiftfix._values import as_array
from shiftfix.exceptions import ShiftDataError
from shiftfix.risk._alarms import ACCURACY, CALIBRATION, Watch
from shiftfix.risk._evidence import TILTS, BettingEvidence
from shiftfix.risk._stream_window import StreamWindow

VERSION = 1
SETTINGS = {
    "reference", "n_reference", "tolerance", "calibration_tolerance", "classes", "alpha", "horizon", "window",
}  # fmt: skip
COUNTS = {"n_labels", "n_late", "n_columns"}
PARTS = {"version", "settings", "counts", "window", "watches"}


def packed_state(
    settings: dict[str, Any], counts: dict[str, int], window: StreamWindow, watches: dict[str, Watch]
) -> dict[str, Any]:
    """A state as nested dicts."""
    classes = settings["classes"]
    listed = None if classes is None else as_array(classes, "classes").tolist()
    return {
        "version": VERSION,
        "settings": settings | {"classes": listed},
        "counts": counts,
        "window": copied(window._asdict()),
        "watches": {
            name: watch._asdict() | {"evidence": copied(watch.evidence._asdict())} for name, watch in watches.items()
        },
    }


def copied(parts: dict[str, Any]) -> dict[str, Any]:
    """The same with copies of the arrays."""
    return {name: part.copy() if isinstance(part, np.ndarray) else part for name, part in parts.items()}


def refuse_unless(holds: bool, what: str) -> None:
    if not holds:
        raise ShiftDataError(f"state {what}: pass what get_state of a RiskMonitor gave.")


def named_parts(state: Any, names: set[str], what: str) -> dict[str, Any]:
    """A dict of just these names."""
    refuse_unless(isinstance(state, dict) and set(state) == names, f"{what} other parts than {sorted(names)}")
    return dict(state)


def vector_of(value: Any, kind: str, n: int) -> NDArray[Any]:
    """An array of n numbers, integers for kind "i"."""
    array = as_array(value, "state")
    refuse_unless(array.shape == (n,) and array.dtype.kind in ("iu" if kind == "i" else "iuf"), "holds another array")
    return array.astype(np.int64 if kind == "i" else np.float64)


def window_of(state: Any, n_columns: int) -> StreamWindow:
    """A window whose arrays fit each other."""
    given = named_parts(state, set(StreamWindow._fields), "has a window of")
    n = np.size(given["predicted"])
    n_seen = check_count(given["n_seen"], "n_seen of the state", n)
    predicted = vector_of(given["predicted"], "i", n)
    confidence, wrong = vector_of(given["confidence"], "f", n), vector_of(given["wrong"], "f", n)
    refuse_unless(n > 0 and predicted.min() >= 0 and predicted.max() < n_columns, "predicts classes that are none")
    refuse_unless(bool(((confidence >= 0) & (confidence <= 1)).all()), "holds scores that are no probabilities")
    refuse_unless(bool(np.isin(wrong[~np.isnan(wrong)], (0, 1)).all()), "holds labels neither right nor wrong")
    return StreamWindow(n_seen, predicted, confidence, wrong, stored_ids(given["ids"], n))


def stored_ids(value: Any, n: int) -> NDArray[Any] | None:
    """N distinct ids, or None."""
    if value is None:
        return None
    array = as_array(value, "state")
    refuse_unless(array.shape == (n,) and array.dtype.kind in "iuU", "holds ids that are none")
    refuse_unless(len(np.unique(array)) == n, "holds an id twice")
    return array.copy()


def log_wealth_of(value: Any, n: int) -> Floats:
    """Logs of wealth, which may be minus infinity."""
    found = vector_of(value, "f", n)
    refuse_unless(not (np.isnan(found).any() or np.isposinf(found).any()), "holds wealth that is no number")
    return found


def watch_of(state: Any, n_tilts: int) -> Watch:
    """A watch whose evidence has so many tilts."""
    given = named_parts(state, set(Watch._fields), "has a watch of")
    kept = named_parts(given["evidence"], set(BettingEvidence._fields), "has evidence of")
    n_seen = check_count(kept["n_seen"], "n_seen of the state", 0)
    start = vector_of(kept["start"], "i", n_tilts)
    refuse_unless(bool(((start >= 0) & (start <= n_seen)).all()), "starts beyond its labels")
    evidence = BettingEvidence(
        n_seen, log_wealth_of(kept["log_wealth"], n_tilts), log_wealth_of(kept["log_best"], n_tilts), start
    )
    totals = log_wealth_of([given["log_total"], given["log_peak"]], 2).tolist()
    places = [check_count(given[name], f"{name} of the state", 0, n_seen) for name in ("raised_at", "likely_start")]
    return Watch(evidence, totals[0], totals[1], places[0], places[1])


def unpacked_state(state: Any) -> tuple[dict[str, Any], dict[str, int], StreamWindow, dict[str, Watch]]:
    """Settings, counts, window and watches of a state.

    Raises
    ------
    ShiftDataError
        For all but what :func:`packed_state` makes.
    """
    given = named_parts(state, PARTS, "has")
    refuse_unless(given["version"] == VERSION, f"is of version {given['version']!r}, and this reads {VERSION}")
    settings = named_parts(given["settings"], SETTINGS, "has settings of")
    counted = named_parts(given["counts"], COUNTS, "has counts of")
    counts = {name: check_count(value, f"{name} of the state", 0) for name, value in counted.items()}
    n_tilts = {ACCURACY: len(TILTS)} | (
        {} if settings["calibration_tolerance"] is None else {CALIBRATION: 2 * len(TILTS)}
    )
    watches = named_parts(given["watches"], set(n_tilts), "has watches of")
    return (
        settings,
        counts,
        window_of(given["window"], counts["n_columns"]),
        {name: watch_of(watches[name], n) for name, n in n_tilts.items()},
    )
