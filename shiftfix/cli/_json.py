"""A record as JSON."""

import json
from collections.abc import Mapping
from typing import Any


def as_json(record: Mapping[str, Any], *, ascii_only: bool = False) -> str:
    """A record as text, which ends with its line.

    Parameters
    ----------
    record : mapping
    ascii_only : bool, default=False
        Write other characters as escapes, which every encoding has.
    """
    return json.dumps(record, indent=2, ensure_ascii=ascii_only, allow_nan=False) + "\n"
