"""What a section of the page is made of, and how numbers are written on it."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from shiftfix._naming import one_line

Tone = Literal["ok", "caution", "abstain", "plain"]
# Characters of a name that somebody chose, and of a sentence that holds some.
LONGEST_NAME, LONGEST_TEXT = 80, 500
LEVEL_OF_TESTS = 0.05


class Text(NamedTuple):
    """A paragraph."""

    text: str
    kind: str = "text"


class Note(NamedTuple):
    """A paragraph that stands out."""

    text: str
    tone: Tone = "plain"
    kind: str = "note"


class Listing(NamedTuple):
    """Points under a line that says what they are."""

    head: str
    points: Sequence[str]
    kind: str = "listing"


class Grid(NamedTuple):
    """A table; a cell is a text, or a picture. ``is_ours`` where no cell holds a name of the user's."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]
    is_ours: bool = False
    kind: str = "grid"


class Picture(NamedTuple):
    """A drawing with a title above it and a line below."""

    title: str
    svg: Any
    caption: str = ""


class Pictures(NamedTuple):
    """Drawings side by side, as many as the width allows."""

    pictures: Sequence[Picture]
    kind: str = "pictures"


class Program(NamedTuple):
    """Code to copy."""

    code: str
    head: str = ""
    kind: str = "program"


class Folded(NamedTuple):
    """What few want to read: a line to open it by."""

    head: str
    code: str
    kind: str = "folded"


Block = Text | Note | Listing | Grid | Pictures | Program | Folded


class Section(NamedTuple):
    """A question and its answer."""

    key: str
    title: str
    blocks: Sequence[Block]


def is_kept_by_labels(record: Any) -> bool:
    """Whether target labels were asked, and the model predicts best as it is."""
    return record.get("correction") == "labels" and not record.get("corrected", True)


def inside(record: Any, *path: str) -> Any:
    """What stands in a record below these keys; None where it is not there."""
    for name in path:
        record = record.get(name) if isinstance(record, Mapping) else None
    return record


def short(text: Any, longest: int = LONGEST_NAME) -> str:
    """A text of somebody's on one line, and not at length."""
    line = one_line(str(text))
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def sentence(text: Any) -> str:
    """A sentence that may hold names."""
    return short(text, LONGEST_TEXT).replace(" +- ", " ± ")


def capitalized(text: str) -> str:
    """A sentence with a capital letter, and names in it as they are."""
    return text[:1].upper() + text[1:]


def in_digits(value: Any, digits: int = 3) -> str:
    """A number with so many digits that count; a dash for None."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}".replace("-", "−")


def signed_interval(value: Any, low: Any, high: Any) -> str:
    """A change and its interval."""
    return f"{signed(value)} ({signed(low)} to {signed(high)})"


def signed(value: Any, digits: int = 2) -> str:
    """A number with its sign."""
    return ("+" if value > 0 else "") + in_digits(value, digits)


def percent(share: Any, digits: int = 0) -> str:
    """A share of 100; a dash for None."""
    if share is None:
        return "–"
    text = f"{100 * share:.{digits}f}%"
    return f"under {10**-digits:g}%" if 0 < share < 0.5 * 10 ** (-2 - digits) else text


def rows_in_words(count: Any, what: str = "row") -> str:
    """A count and what it counts."""
    return f"{count:,.0f} {what}{'' if count == 1 else 's'}"


def chance_in_words(p_value: float) -> str:
    """A p-value."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.2g}"


def is_seen(test: Any) -> bool:
    """Whether a test says that something moved."""
    return inside(test, "p_value") is not None and test["p_value"] <= LEVEL_OF_TESTS
