"""The state of a fit between two passes, in a file that is whole or not there."""

import hashlib
import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from shiftfix._atomic import replace_file
from shiftfix.exceptions import ShiftDataError
from shiftfix.large._moments import BothMoments, SampleMoments
from shiftfix.large._newton import NewtonState
from shiftfix.large._objective import Evaluation
from shiftfix.large._units import Unit

FORMAT = 2


class FitState(NamedTuple):
    """What a fit knows after a pass.

    Attributes
    ----------
    moments : pair of SampleMoments
    newton : NewtonState
    n_passes : int
    log_odds_sum : float
        Sum of exp(h) over the source at the last point, repeat counts multiplied; of a judged state at the one before.
    judged : bool
        Whether the pass that led here summed weights too: it is to be made again, and is not among ``n_passes``.
    """

    moments: BothMoments
    newton: NewtonState
    n_passes: int
    log_odds_sum: float
    judged: bool


def fit_mark(units: Sequence[Unit], columns: Sequence[str], settings: dict[str, Any]) -> str:
    """What tells one fit from another: units and what is in them, columns and settings."""
    parts = [[unit.name, unit.domain, *unit.part.stamp(unit.start, unit.stop)] for unit in units]
    text = json.dumps([FORMAT, parts, list(columns), {k: repr(v) for k, v in sorted(settings.items())}])
    return hashlib.sha256(text.encode()).hexdigest()


def write_state(path: str | os.PathLike[str], mark: str, state: FitState) -> None:
    """Write a state; whenever the process dies, the file holds the old or the new one."""
    newton, now = state.newton, state.newton.now
    arrays = {
        "mark": np.array(mark),
        "numbers": np.array(
            [now.value, newton.fresh, state.n_passes, state.log_odds_sum, state.judged], dtype=np.float64
        ),
        "point": now.point,
        "gradient": now.gradient,
        "hessian": now.hessian,
        "steps": newton.steps,
        "changes": newton.changes,
        "lefts": newton.lefts,
    }
    for place, moments in enumerate(state.moments):
        if moments is not None:
            sizes = np.array([moments.n_rows, moments.present, moments.total, moments.least], dtype=np.float64)
            arrays |= {f"sizes{place}": sizes}
            arrays |= {f"{name}{place}": getattr(moments, name) for name in ("mean", "scatter", "low", "high")}
    replace_file(path, lambda file: np.savez(file, **arrays))


def read_state(path: str | os.PathLike[str], mark: str) -> FitState | None:
    """The state of the same fit, or None where there is none: no file, that of another fit, or a damaged one.

    Raises
    ------
    ShiftDataError
        For a file that never was a state: it would be replaced.
    """
    if not Path(path).is_file():
        return None
    if not _may_be_state(path):
        raise ShiftDataError(f"checkpoint={os.fsdecode(path)!r} is no state of a fit: name a new file.")
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    if str(arrays["mark"]) != mark:
        return None
    value, fresh, n_passes, log_odds_sum, judged = arrays["numbers"].tolist()
    now = Evaluation(arrays["point"], value, arrays["gradient"], arrays["hessian"])
    newton = NewtonState(now, bool(fresh), arrays["steps"], arrays["changes"], arrays["lefts"])
    return FitState(
        (_stored_moments(arrays, 0), _stored_moments(arrays, 1)), newton, int(n_passes), log_odds_sum, bool(judged)
    )


def _may_be_state(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a state, a damaged one, or empty."""
    with open(path, "rb") as file:
        begins = file.read(2)
    if begins != b"PK":
        return not begins
    try:
        with zipfile.ZipFile(path) as stored:
            return "mark.npy" in stored.namelist()
    except zipfile.BadZipFile:
        return True


def _stored_moments(arrays: dict[str, Any], place: int) -> SampleMoments:
    n_rows, present, total, least = arrays[f"sizes{place}"].tolist()
    rest = [arrays[f"{name}{place}"] for name in ("mean", "scatter", "low", "high")]
    return SampleMoments(int(n_rows), int(present), total, least, *rest)
