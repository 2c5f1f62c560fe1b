"""Columns of two samples side by side, and those that name rows or tell the time instead of describing a row.

An identifier or a time stamp differs between any two samples by construction: it tells which file a row is from, and
nothing of whether the rows are of another kind.
"""

import datetime
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shiftfix._all_numbers import are_all_in_order, are_all_whole
from shiftfix._naming import column_word
from shiftfix._numerics import Floats
from shiftfix.covariate import RawColumn, columns_of, read_column

Kind = Literal["number", "category", "identifier", "time stamp"]
# Rows from which on values that never repeat, or always rise, are taken for more than chance.
LEAST_TELLING = 20
# Pairs of rows that should have agreed by chance, and did not: e^-7 is a chance below 0.001.
EXPECTED_PAIRS = 7.0


class ColumnPair(NamedTuple):
    """One column of both samples.

    Attributes
    ----------
    name : str
        The user's name, or its position.
    both : RawColumn
        Its values, source first.
    n_source : int
    is_time : bool
        Whether it holds dates.
    """

    name: str
    both: RawColumn
    n_source: int
    is_time: bool

    def halves(self, values: NDArray[Any]) -> list[NDArray[Any]]:
        """Those of the source, and those of the target."""
        return [values[: self.n_source], values[self.n_source :]]

    @property
    def numbers(self) -> list[Floats]:
        """Known numbers of source and target, in the order of the rows."""
        values: Any = self.both.numbers
        halves = self.halves(values)
        if not self.both.missing.any():
            return halves
        return [part[~gap] for part, gap in zip(halves, self.halves(self.both.missing), strict=True)]


class Recognized(NamedTuple):
    """What a column is, and why; ``why`` is empty for one that describes rows."""

    kind: Kind
    why: str = ""


def _stacked(source: NDArray[Any], target: NDArray[Any]) -> NDArray[Any]:
    """Values of both; as objects where their types do not go together."""
    if source.dtype.kind == target.dtype.kind or {source.dtype.kind, target.dtype.kind} <= set("biuf"):
        return np.concatenate([source, target])
    return np.concatenate([source.astype(object), target.astype(object)])


def _holds_dates(values: NDArray[Any]) -> bool:
    return values.dtype.kind == "M" or (
        values.dtype.kind == "O" and any(isinstance(value, datetime.date) for value in values[:LEAST_TELLING])
    )


def pair_columns(source: Any, target: Any, names: list[str] | None) -> list[ColumnPair]:
    """Columns of two checked samples, side by side."""
    pairs = []
    for place, (ours, theirs) in enumerate(zip(columns_of(source), columns_of(target), strict=True)):
        values = _stacked(ours, theirs)
        name = column_word(None, place) if names is None else names[place]
        pairs.append(ColumnPair(name, read_column(values), len(ours), _holds_dates(values)))
    return pairs


def _tells_rows_apart(values: NDArray[Any]) -> bool:
    return len(values) >= LEAST_TELLING and len(np.unique(values)) == len(values)


def _never_agrees(values: Floats) -> bool:
    """Whether numbers differ in all rows although whole ones drawn at random, most evenly, would agree somewhere."""
    return bool(len(values) * (len(values) - 1) / 2 > EXPECTED_PAIRS * (np.ptp(values) + 1))


def _is_apart(source: Floats, target: Floats) -> bool:
    return bool(source.max() < target.min() or target.max() < source.min())


def _range_words(pair: ColumnPair) -> str:
    """Where the numbers of a column lie in both samples."""
    if pair.is_time:
        spans = [f"{_date_of(part.min())} to {_date_of(part.max())}" for part in pair.numbers]
    else:
        spans = [f"{part.min():.10g} to {part.max():.10g}" for part in pair.numbers]
    return f"{spans[0]} in the source, {spans[1]} in the target"


def _date_of(number: float) -> str:
    return str(np.datetime64(0, "D") + np.timedelta64(int(number), "D"))


def _recognize_numbers(pair: ColumnPair) -> Recognized:
    source, target = pair.numbers
    apart = _is_apart(source, target)
    whole = not pair.is_time and all(map(are_all_whole, pair.numbers))
    rising = all(map(are_all_in_order, pair.numbers))
    # Whether rows are told apart takes longest to see, and matters of such numbers alone.
    if (whole or rising) and not pair.both.missing.any() and all(map(_tells_rows_apart, pair.numbers)):
        found = _recognize_unique(pair, whole=whole, apart=apart, rising=rising)
        if found is not None:
            return found
    if apart and pair.is_time:
        return Recognized("time stamp", f"dates that do not overlap ({_range_words(pair)})")
    return Recognized("number", f"ranges that do not overlap ({_range_words(pair)})" if apart else "")


def _recognize_unique(pair: ColumnPair, *, whole: bool, apart: bool, rising: bool) -> Recognized | None:
    """What numbers are that never repeat; None where they may describe rows."""
    both: Any = pair.both.numbers
    if whole and (apart or rising or _never_agrees(both)):
        return Recognized("identifier", f"a whole number of its own in every row ({_range_words(pair)})")
    if rising:
        return Recognized("time stamp", f"rising or falling from row to row ({_range_words(pair)})")
    return None


def recognize_column(pair: ColumnPair) -> Recognized:
    """What a column is.

    Whole numbers of which every row has its own are identifiers where the samples' ranges do not overlap, where they
    are sorted, and where numbers drawn at random would have agreed somewhere; so is text that never repeats. Other
    numbers and dates that rise from row to row, and dates whose ranges do not overlap, are time stamps.
    """
    if pair.both.numbers is None:
        texts = pair.halves(pair.both.text)
        unique = all(map(_tells_rows_apart, texts)) and not pair.both.missing.any()
        return Recognized("identifier", "a text of its own in every row") if unique else Recognized("category")
    if min(map(len, pair.numbers)) == 0:
        return Recognized("number")
    return _recognize_numbers(pair)
