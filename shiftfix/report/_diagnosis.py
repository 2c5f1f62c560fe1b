"""A diagnosis as a dict that JSON can hold."""

import dataclasses
from typing import Any

import numpy as np

from shiftfix._door import public
from shiftfix._verdict import Verdict
from shiftfix.detect import ShiftDiagnosis

# The same data give the same record: how long a test took is left out.
LEFT_OUT = "seconds"


@public
def diagnosis_record(diagnosis: ShiftDiagnosis) -> dict[str, Any]:
    """A diagnosis, with all its tests, as what JSON has.

    Parameters
    ----------
    diagnosis : ShiftDiagnosis

    Returns
    -------
    dict
        Its attributes by name, the verdict as "verdict" (its level), "reasons" and "action", whether any test says that
        the samples differ as "moved", each test as a dict of its own attributes; and "lines", the pairs of label and
        text that are printed. None stands for a test that was not made and for a number that is not finite.

    See Also
    --------
    fit_record : What a fitted meta-estimator did and why.
    shiftfix.detect.diagnose_shift : Evidence for each kind of shift, verdict, next action.
    """
    record, verdict = as_plain(diagnosis), diagnosis.verdict
    said = {"verdict": verdict.level, "reasons": list(verdict.reasons), "action": verdict.action}
    return record | said | {"moved": diagnosis.moved} | {"lines": [list(line) for line in diagnosis.lines]}


def as_plain(value: Any) -> Any:
    """A value as numbers, text, lists and dicts, with None for numbers that are not finite."""
    if isinstance(value, Verdict):
        return {"level": value.level, "reasons": list(value.reasons), "action": value.action}
    parts = fields_of(value)
    if parts is not None:
        return {name: as_plain(part) for name, part in parts.items() if name != LEFT_OUT}
    if isinstance(value, list | tuple):
        return [as_plain(part) for part in value]
    return plain_number(value.item() if isinstance(value, np.generic) else value)


def fields_of(value: Any) -> dict[str, Any] | None:
    """The parts of a value by their names; None for one that has none."""
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return dict(value._asdict())
    return value if isinstance(value, dict) else None


def plain_number(value: Any) -> Any:
    """The value, or None for what JSON has no number for."""
    return None if isinstance(value, float) and not np.isfinite(value) else value
