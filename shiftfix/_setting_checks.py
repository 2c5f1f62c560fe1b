"""Every check of a setting: a number, a count, an option, an object with methods, a source of randomness."""

import importlib
import numbers
import operator
from collections.abc import Iterable
from typing import Any

import numpy as np

from shiftfix._door import plain
from shiftfix.exceptions import MissingDependencyError, ShiftDataError

# Counts end in the 32-bit numbers of solvers and of operating systems.
LARGEST_COUNT = 2**31 - 1


def _is_within_double(value: Any) -> bool:
    try:
        float(value)
    except OverflowError:
        return False
    return True


def _is_real_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and _is_within_double(value)


def check_number(
    value: Any,
    name: str,
    *,
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    most: float | None = None,
) -> Any:
    """A real number within the open (above, below) or closed (least, most) bounds given."""
    bounds = [
        (above, "> {}", operator.gt),
        (least, ">= {}", operator.ge),
        (below, "< {}", operator.lt),
        (most, "<= {}", operator.le),
    ]
    needed = " and ".join(text.format(bound) for bound, text, _ in bounds if bound is not None)
    value = plain(value)
    if not _is_real_number(value) or not all(holds(value, bound) for bound, _, holds in bounds if bound is not None):
        raise ShiftDataError(f"{name}={value!r}: a number {needed} is needed.")
    return value


def check_count(value: Any, name: str, least: int = 1, most: int = LARGEST_COUNT) -> int:
    """A whole number of at least ``least`` and at most ``most``."""
    value = plain(value)
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < least:
        raise ShiftDataError(f"{name}={value!r}: a whole number >= {least} is needed.")
    if int(value) > most:
        raise ShiftDataError(f"{name}={value!r}: a whole number <= {most} is needed.")
    return int(value)


def check_option(value: Any, name: str, options: Iterable[Any]) -> Any:
    """The option that a value is, compared without ever comparing an array to a string."""
    value, options = plain(value), list(options)
    for option in options:
        if value is option or (type(value) is type(option) and value == option):
            return option
    raise ShiftDataError(f"{name}={value!r}: one of {', '.join(map(repr, options))} is needed.")


def check_methods(value: Any, name: str, methods: Iterable[str], needed: str) -> None:
    """Raise ShiftDataError unless it is an object, and no class, that has these methods."""
    missing = [method for method in methods if not callable(getattr(value, method, None))]
    if missing or isinstance(value, type):
        found = f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"
        raise ShiftDataError(f"{name} is {found}: {needed} is needed.")


def import_optional(module: str, extra: str) -> Any:
    """Import an optional library, or say which extra brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            f'{module.partition(".")[0]} is not installed, and this call needs it: pip install "shiftfix[{extra}]".'
        ) from error


def check_generator(random_state: Any) -> np.random.Generator:
    """Private numpy Generator from None (fresh entropy), an int, a RandomState or a Generator.

    scikit-learn's ``check_random_state(None)`` would read numpy's global generator.
    """
    random_state = plain(random_state)
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**31 - 1))
    if random_state is None or isinstance(random_state, np.random.Generator):
        return np.random.default_rng(random_state)
    if isinstance(random_state, numbers.Integral) and int(random_state) >= 0:
        return np.random.default_rng(int(random_state))
    raise ShiftDataError(
        f"random_state={random_state!r}: None, a whole number >= 0, a numpy Generator or a RandomState is needed."
    )
