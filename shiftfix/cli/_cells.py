"""What a column of a CSV file holds: the cells are words, and say no more than that.

A column is numbers when all its cells are, but for those that mean "missing": the empty cell, the words that
``--missing`` names and, in a feature that is otherwise numbers, the usual ones such as NA. In text these stay words.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shiftfix.cli._columns import (
    Column,
    Kind,
    Reading,
    empty_column,
    number_column,
    refused_column,
    text_column,
)
from shiftfix.cli._dates import days_of_words, look_like_dates
from shiftfix.cli._words import argument, listed, out_of, quoted

Role = Literal["feature", "label", "class", "text"]

# In a column of numbers these mean that there is none: what pandas, R, SQL and spreadsheets write.
USUAL_MISSING = frozenset(
    {"#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>"}
    | {"N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"}
)
# Signs that people write for a missing value, but may mean otherwise: the user has to say.
SIGNS = frozenset(
    {"?", "??", "???", "-", "--", "---", ".", "..", "...", "*", "**", "#", "/", "_"}
    | {"na", "n.a", "n.a.", "n. a.", "k.a.", "k. a."}
)
# Words that mean "missing" where numbers should be; among other words they are values.
EXCUSES = frozenset(
    {"none", "x", "unknown", "missing", "blank", "not available", "not applicable", "no data", "undefined"}
    | {"unbekannt", "inconnu"}
)
WHOLE = re.compile(r"[+-]?\d+([eE][+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE)
POINT = re.compile(r"[+-]?(\d+\.\d*|\.\d+)([eE][+-]?\d+)?")
COMMA = re.compile(r"[+-]?(\d+,\d*|,\d+)([eE][+-]?\d+)?")
GROUPED = re.compile(r"[+-]?\d{1,3}([.,' \u00a0\u202f\u2019]\d{3})+([.,]\d+)?")
# A comma or a point ahead of exactly three digits may be one between thousands.
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}")


class WordKinds(NamedTuple):
    """The distinct words of a column by what they look like."""

    whole: list[str]
    point: list[str]
    comma: list[str]
    grouped: list[str]
    other: list[str]

    @property
    def numbers(self) -> list[str]:
        """Words that are numbers by one convention or another."""
        return [*self.whole, *self.point, *self.comma, *self.grouped]


def sort_words(words: list[str]) -> WordKinds:
    """Distinct words by what they look like."""
    found = WordKinds([], [], [], [], [])
    for word in words:
        kinds = (WHOLE, POINT, COMMA, GROUPED)
        place = next((place for place, kind in enumerate(kinds) if kind.fullmatch(word)), len(kinds))
        found[place].append(word)
    return found


class Cells(NamedTuple):
    """The cells of one column.

    Attributes
    ----------
    name, table : str
    words : ndarray of str, shape (n_words,)
        The distinct cells, stripped.
    place : ndarray of int, shape (n_rows,)
        The word of each row.
    reading : Reading
    role : {"feature", "label", "class", "text"}
        Of labels only the words of ``reading`` mean missing. Those of a "class" are no numbers unless all are, and
        those of a "text" never.
    between : str
        What separates the cells of the file.
    decimal_commas : callable
        Whether some column of the file has them.
    """

    name: str
    table: str
    words: NDArray[Any]
    place: NDArray[Any]
    reading: Reading
    role: Role
    between: str
    decimal_commas: Callable[[], bool]

    def __str__(self) -> str:
        return f"{'column' if self.role == 'feature' else 'label column'} {self.name!r} of the {self.table}"

    def column(self, numbers: Any, known: NDArray[np.bool_], kind: Kind = "number") -> Column:
        """Column of numbers, one for each known word."""
        values = np.full(len(self.words), np.nan)
        values[known] = numbers
        return number_column(self.name, self.table, values[self.place], self.reading, kind)

    def refused(self, problem: str) -> Column:
        """Column that cannot be used."""
        return refused_column(self.name, self.table, len(self.place), problem)

    def rows_of(self, words: list[str]) -> int:
        """Number of rows that hold one of the words."""
        counts = np.bincount(self.place, minlength=len(self.words))
        return int(counts[are_among(self.words, words)].sum())


def are_among(words: NDArray[Any], some: Collection[str]) -> NDArray[np.bool_]:
    """Which of the words are among some; shape (n_words,)."""
    return np.array([word in some for word in words], dtype=bool)


def read_cells(cells: Cells) -> Column:
    """The column that cells make."""
    absent = are_among(cells.words, {"", *cells.reading.missing})
    gaps = listed(sorted(set(cells.words[absent]) - {""}))
    if absent.all():
        return replace(empty_column(cells.name, cells.table, len(cells.place)), gaps=gaps)
    if cells.role == "text":
        return text_column(cells.name, cells.table, cells.words[cells.place], absent[cells.place])
    return replace(_present_cells(cells, absent), gaps=gaps)


def _present_cells(cells: Cells, absent: NDArray[np.bool_]) -> Column:
    """The column that cells make, some of which are there."""
    # NA is no number, but a feature of numbers may have it where one is missing.
    gaps = absent | are_among(cells.words, USUAL_MISSING) if cells.role == "feature" else absent
    found = cells.words[~gaps].tolist()
    numbers = plain_numbers(found, cells)
    if numbers is not None:
        return cells.column(numbers, ~gaps)
    kinds = sort_words(found)
    if kinds.numbers and not kinds.other:
        return _odd_numbers(cells, kinds, ~gaps)
    return _words(cells, kinds, absent)


def _floats_of(words: list[str]) -> list[float] | None:
    """Numbers of words as Python reads them, but for 1_000 and nan; None where not all of them are such."""
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        return None
    odd = any(number != number for number in numbers) or "_" in "".join(words)
    return None if odd else numbers


def plain_numbers(words: list[str], cells: Cells) -> list[float] | None:
    """Numbers of words without a decimal comma, or None where not all of them are such, or may mean something else."""
    if cells.reading.decimal == "," or not words:
        return None
    numbers = _floats_of(words)
    if numbers is None:
        return None
    doubtful = cells.reading.decimal is None and cells.between != "," and _all_thousands(words)
    return None if doubtful and cells.decimal_commas() else numbers


def _all_thousands(words: list[str]) -> bool:
    """Whether the words with a decimal mark, some, would all be whole numbers if it were one between thousands."""
    marked = [word for word in words if "." in word or "," in word]
    return bool(marked) and all(THOUSANDS.fullmatch(word) for word in marked)


def _odd_numbers(cells: Cells, kinds: WordKinds, known: NDArray[np.bool_]) -> Column:
    """Column of words that are all numbers, not all of them with a decimal point."""
    problem = _number_problem(cells, kinds)
    if problem:
        return cells.refused(problem)
    return cells.column([float(word.replace(",", ".")) for word in cells.words[known]], known)


def _number_problem(cells: Cells, kinds: WordKinds) -> str:
    """Why words that are numbers by some convention cannot be read; "" when they can."""
    decimal = cells.reading.decimal
    if kinds.grouped:
        return f"{cells} holds numbers with marks between thousands ({listed(kinds.grouped)}): write them without."
    if decimal is None and kinds.comma and kinds.point:
        return (
            f"{cells} holds decimal commas ({listed(kinds.comma)}) and decimal points ({listed(kinds.point)}): write "
            "all alike."
        )
    other = kinds.point if decimal == "," else kinds.comma
    if decimal is not None and other:
        return f"{cells} holds other numbers ({listed(other)}) than --decimal {decimal!r} says: write all alike."
    return "" if decimal is not None else _doubt_about_marks(cells, kinds)


def _doubt_about_marks(cells: Cells, kinds: WordKinds) -> str:
    """What cannot be told of decimal marks; "" when nothing."""
    marked = [*kinds.comma, *kinds.point]
    # Cells are separated by something else than a comma where that is the decimal mark.
    if not _all_thousands(marked) or (cells.between != "," and kinds.comma):
        return ""
    return (
        f"{cells} holds numbers whose mark may be a decimal one or one between thousands ({listed(marked)}): pass "
        "--decimal , or --decimal . to tell."
    )


def _words(cells: Cells, kinds: WordKinds, absent: NDArray[np.bool_]) -> Column:
    """Column of words that are not all numbers."""
    present = cells.words[~absent].tolist()
    excuses = list(filter(is_excuse, present))
    if kinds.numbers and cells.role != "class" and set(kinds.other) <= set(excuses):
        return cells.refused(_excuse_problem(cells, excuses))
    signs = list(filter(is_sign, present))
    moments = [word for word in present if word not in signs]
    if moments and look_like_dates(moments):
        return _dates(cells, moments, signs)
    remark = " ".join([*_remark_on_signs(cells, signs), *_remark_on_numbers(cells, kinds)])
    return text_column(cells.name, cells.table, cells.words[cells.place], absent[cells.place], remark)


def _remark_on_signs(cells: Cells, signs: list[str]) -> list[str]:
    if not signs:
        return []
    those = "are values of their own" if len(signs) > 1 else "is a value of its own"
    rows = out_of(cells.rows_of(signs), "row")
    return [f"{cells}: {listed(signs)} in {rows} {those}; {_how_to_mean_missing(signs)}."]


def _remark_on_numbers(cells: Cells, kinds: WordKinds) -> list[str]:
    if not kinds.numbers:
        return []
    word = quoted(kinds.other[0])
    return [f"{cells} holds numbers and words (such as {word}), and was taken for text: each value is a category."]


def is_excuse(word: str) -> bool:
    """Whether people write a word where a number is missing."""
    return is_sign(word) or word.casefold() in EXCUSES


def is_sign(word: str) -> bool:
    """Whether people write a word for a missing value, whatever the column holds."""
    return word in USUAL_MISSING or word.casefold() in SIGNS


def _how_to_mean_missing(words: list[str]) -> str:
    options = " ".join(f"--missing {argument(word)}" for word in words)
    return f"if {'they mean' if len(words) > 1 else 'it means'} that the value is missing, pass {options}"


def _excuse_problem(cells: Cells, words: list[str], what: str = "numbers") -> str:
    other = "correct the cells" if cells.role == "feature" else "where it is a class, --task classification"
    return (
        f"{cells} holds {what}, and {listed(words)} in {out_of(cells.rows_of(words), 'row')}: "
        f"{_how_to_mean_missing(words)}, or {other}."
    )


def _dates(cells: Cells, moments: list[str], signs: list[str]) -> Column:
    """Column of dates or times."""
    days, wrong = days_of_words(moments)
    if wrong:
        return cells.refused(f"{cells} holds dates ({listed(moments[:2])}), {wrong}.")
    if cells.reading.dates != "days":
        return cells.refused(date_problem(cells, moments[0]))
    if signs and (cells.role != "feature" or not set(signs) <= USUAL_MISSING):
        return cells.refused(_excuse_problem(cells, signs, "dates"))
    return cells.column(days, are_among(cells.words, set(moments)), "date")


def date_problem(column: object, example: str) -> str:
    """Why a column of dates cannot be used as it is; ``column`` prints as what messages call it."""
    return (
        f"{column} holds dates or times (such as {example!r}), and numbers or text are needed: pass --dates days to "
        "take them as days since 1970, or leave out a feature with --drop."
    )
