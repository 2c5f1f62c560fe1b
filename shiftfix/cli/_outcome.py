"""The exit code that tells what was found, for scripts that ask for it."""

from collections.abc import Mapping
from typing import Any

from shiftfix.cli._exit import REPAIRED, UnsupportedError

UNSUPPORTED = UnsupportedError.exit_code


def outcome_code(record: Mapping[str, Any]) -> int:
    """Code of a record of ``shiftfix diagnose`` or ``shiftfix correct``.

    Returns
    -------
    int
        0 where there is nothing to correct, or target labels ask for no correction, 4 where something moved and the
        data support no correction, or not the one that was made, 6 where there is one that they support.
    """
    if record.get("correction") == "labels" and not record["corrected"]:
        return 0
    if "diagnosis" in record:
        return _code_of_diagnosis(record["diagnosis"])
    if record["verdict"] == "abstain":
        return UNSUPPORTED
    return REPAIRED if record["corrected"] else 0


def _code_of_diagnosis(found: Mapping[str, Any]) -> int:
    if found["correction"] != "none":
        return REPAIRED
    return UNSUPPORTED if found["moved"] else 0


def weights_code(record: Mapping[str, Any]) -> int:
    """Code of a record of ``shiftfix weigh``: 4 where the verdict is that the weights are no use, else 0."""
    return UNSUPPORTED if record["verdict"] == "abstain" else 0
