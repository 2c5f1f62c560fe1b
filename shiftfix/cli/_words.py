"""What messages quote: values, names and options of the user's, on one line each."""

import shlex
from collections.abc import Iterable
from typing import Any

from shiftfix._naming import one_line

# Names, values or rows that a message lists before it only counts.
SHOWN = 5


def listed(values: Iterable[Any]) -> str:
    """The first few values as text, and how many more there are; text stands in quotes, with nothing unprintable."""
    values = list(values)
    more = f" and {len(values) - SHOWN} more" if len(values) > SHOWN else ""
    return ", ".join(quoted(value) for value in values[:SHOWN]) + more


def lacks_and_adds(missing: list[str], extra: list[str], verbs: tuple[str, str] = ("lacks", "adds")) -> str:
    """How columns differ from others: "lacks 'a' and adds 'b'"; "" where they do not."""
    parts = zip(verbs, (missing, extra), strict=True)
    return " and ".join(f"{verb} {listed(names)}" for verb, names in parts if names)


def quoted(value: Any) -> str:
    """A value as messages show it."""
    return repr(value) if isinstance(value, str) else one_line(str(value))


def argument(text: str) -> str:
    """A word as it can be typed in a shell."""
    return shlex.quote(text) if text.isprintable() else repr(text)


def out_of(n: int, what: str) -> str:
    """A number and what is counted: "1 row", "2 rows"."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
