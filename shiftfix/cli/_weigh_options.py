"""Options of ``shiftfix weigh``: which method has a use for which, and their values."""

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from shiftfix.cli._exit import UsageError
from shiftfix.cli._options import read_clip

LOGISTIC, RELATIVE, KERNELS = ("logistic",), ("rulsif",), ("ulsif", "rulsif", "kliep", "kmm")
# The methods that have a use for an option, and what it is where it was not given.
OWN = {
    "penalty": (LOGISTIC, "1"),
    "features": (LOGISTIC, "linear"),
    "alpha": (RELATIVE, 0.1),
    "bandwidth": (KERNELS, "auto"),
}


def weigh_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with defaults in place of None, read from text where they are numbers.

    Raises
    ------
    UsageError
        For options that the method has no use for, or that cannot be read.
    """
    given = dict(options)
    for name, (methods, default) in OWN.items():
        _check_use(given, name, methods)
        if given["method"] in methods and given[name] is None:
            given[name] = default
    given["clip"] = read_clip(given["clip"])
    if given["min_ess"] is not None and given["clip"] != "ess":
        raise UsageError("--min-ess is what --clip ess reaches: pass --clip ess, or leave it out.")
    given["min_ess"] = 100.0 if given["min_ess"] is None else given["min_ess"]
    given["penalty"] = _number_or_word(given["penalty"], "penalty", "cv")
    given["bandwidth"] = _number_or_word(given["bandwidth"], "bandwidth", "auto")
    return given


def _check_use(given: Mapping[str, Any], name: str, methods: tuple[str, ...]) -> None:
    if given[name] is not None and given["method"] not in methods:
        raise UsageError(
            f"--{name} is for --method {' or '.join(methods)}, and --method is {given['method']}: leave it out."
        )


def _number_or_word(text: str | None, name: str, word: str) -> str | float | None:
    """A number above 0, or the one word that is an answer too; None stays None."""
    if text in (None, word):
        return text
    with suppress(ValueError):
        value = float(str(text))
        if 0 < value < math.inf:
            return value
    raise UsageError(f'--{name} {text}: "{word}" or a number > 0 is needed.')
