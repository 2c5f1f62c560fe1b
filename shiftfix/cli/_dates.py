"""Dates and times in words as numbers: days since 1970-01-01 (UTC), and fractions of a day."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

SECONDS = 86400.0
CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?")
TIME = r"([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?( ?(Z|[+-]\d{2}:?\d{2}))?)?"
# A column is of one form; which of the last two, day or month first, cannot always be told.
FORMS = [
    re.compile(form + f"(?P<time>{TIME})")
    for form in (
        r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})",
        r"(?P<year>\d{4})/(?P<month>\d{1,2})/(?P<day>\d{1,2})",
        r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})",
        r"(?P<day>\d{1,2})/(?P<month>\d{1,2})/(?P<year>\d{4})",
        r"(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4})",
    )
]


def look_like_dates(words: Sequence[str]) -> bool:
    """Whether all words have the shape of dates, or all that of times of day."""
    return any(_all_match(form, words) for form in (CLOCK, *FORMS))


def days_of_words(words: Sequence[str]) -> tuple[NDArray[np.float64], str]:
    """Days of each word, and what is wrong or "", for words that :func:`look_like_dates`."""
    if _all_match(CLOCK, words):
        return _days_of_times(words)
    read = [days for form in FORMS if _all_match(form, words) and (days := _days_of_form(form, words)) is not None]
    nothing = np.full(len(words), np.nan)
    if not read:
        return nothing, "not all of which exist"
    if not all(np.array_equal(read[0], days) for days in read):
        return nothing, "whose day and month cannot be told apart: write them as 2024-12-31"
    return read[0], ""


def _all_match(form: re.Pattern[str], words: Sequence[str]) -> bool:
    return all(form.fullmatch(word) for word in words)


def _days_of_times(words: Sequence[str]) -> tuple[NDArray[np.float64], str]:
    parts = [[float(part) for part in word.split(":")] for word in words]
    wrong = any(hours > 24 or max(rest) >= 60 for hours, *rest in parts)
    days = [sum(part / 60**place for place, part in enumerate(word)) / 24 for word in parts]
    return np.array(days), "not all of which exist" if wrong else ""


def _days_of_form(form: re.Pattern[str], words: Sequence[str]) -> NDArray[np.float64] | None:
    try:
        return np.array([_day(form.fullmatch(word)) for word in words])
    except ValueError:
        return None


def _day(match: re.Match[str] | None) -> float:
    assert match is not None
    time = match["time"].replace(" ", "")
    time = f"T{time.removeprefix('T')}" if time else ""
    moment = datetime.fromisoformat(f"{match['year']}-{match['month']:0>2}-{match['day']:0>2}{time}")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() / SECONDS
