"""Names in messages: those the user knows, on one line, and nothing that a terminal would obey."""

import math
import reprlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from shiftfix.exceptions import ShiftDataError

# Of a column, once the largest of its values is filled in.
OVERFLOW = (
    "The values of {{column}} overflow when squared (largest {:.3g}): rescale the column, for example to thousands or "
    "logarithms."
)


def one_line(text: str) -> str:
    r"""Text with its line ends, escape codes and other unprintable characters spelled out.

    A name from a file may hold anything: as it stands, a line end in it could begin a line that looks like ours.

    Examples
    --------
    >>> one_line("age\nverdict  ok")
    'age\\nverdict  ok'
    """
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def short_error(error: Exception) -> str:
    """The type and the beginning of the text of an error that nobody expected."""
    return f"{type(error).__name__}: {reprlib.repr(str(error))}"


def column_names(X: Any) -> list[str] | None:
    """Names of the columns of a data frame as a list, or None for anything else."""
    columns = getattr(X, "columns", None)
    if columns is None:
        return None
    if _is_arrow(X):
        columns = X.schema.names  # whose columns are values
    return [str(name) for name in columns]


def chosen_columns(X: Any, names: Sequence[str]) -> Any:
    """Columns of a frame by the names that messages give them: its own may be numbers.

    Raises
    ------
    ShiftDataError
        For a name that several columns have.
    """
    known = column_names(X) or []
    repeated = [name for name in names if known.count(name) > 1]
    if repeated:
        raise ShiftDataError(f"There are several columns named {repeated[0]!r}: give each a name of its own.")
    if hasattr(X, "iloc"):
        return X.iloc[:, [known.index(name) for name in names]]
    # A selection by polars takes names for patterns, and Arrow's brackets take one.
    return X.select(list(names)) if _is_arrow(X) else X[list(names)]


def _is_arrow(X: Any) -> bool:
    return type(X).__module__.startswith("pyarrow.")


def column_word(names: Sequence[str] | None, place: int) -> str:
    """What messages call a column: by its name in quotes where that is known, else by its position from 0."""
    return f"column {place}" if names is None else f"column {names[place]!r}"


def differences(needed: Collection[Any], found: Collection[Any]) -> tuple[list[Any], list[Any]]:
    """What is needed and not found, and what is found and not needed, each in its order."""
    return [name for name in needed if name not in found], [name for name in found if name not in needed]


def made_names(transformer: Any, made: Any, names: Sequence[str] | None) -> list[str]:
    """Names of the columns that a fitted transformer makes.

    Parameters
    ----------
    transformer : transformer
    made : array-like of shape (n_rows, n_made)
        What it made of some rows.
    names : sequence of str or None
        Of the columns it was given.

    Returns
    -------
    list of str of length n_made
        Those of the frame it made, or of its ``get_feature_names_out``; where it has none, they say so.
    """
    found = column_names(made) or _names_out(transformer, names)
    n_made = made.shape[1]
    if len(found) == n_made:
        return found
    found = [f"transformed column {place}" for place in range(n_made)]
    # One part without names does not make the others nameless.
    for part, inner, columns in getattr(transformer, "transformers_", ()):
        place = getattr(transformer, "output_indices_", {}).get(part, slice(0))
        found[place] = _names_of_part(inner, columns, len(found[place])) or found[place]
    return found


def _names_of_part(part: Any, columns: Any, n_made: int) -> list[str]:
    """Names of the columns that one part of a transformer makes; none where they are not known."""
    known = _names_out(part, None)
    if not known and isinstance(columns, list) and len(columns) == n_made:
        known = [str(column) for column in columns]
    return known if len(known) == n_made else []


def _names_out(transformer: Any, names: Sequence[str] | None) -> list[str]:
    """What a transformer says that it calls its columns; [] where it does not."""
    try:
        return [str(name) for name in transformer.get_feature_names_out(names)]
    except (AttributeError, TypeError, ValueError):
        return []


class CellError(ShiftDataError):
    """Cells that are no finite numbers: what was found, and what to do where nobody knows better."""

    def __init__(self, finding: str, advice: str) -> None:
        super().__init__(finding, advice)
        self.finding, self.advice = finding, advice

    def __str__(self) -> str:
        return f"{self.finding}: {self.advice}"


class ColumnError(ShiftDataError):
    """A column that cannot be used, found where only its position is known.

    Parameters
    ----------
    message : str
        With ``{column}`` for what the column is called.
    place : int
    names : sequence of str, default=None
        Of all columns.
    """

    def __init__(self, message: str, place: int, names: Sequence[str] | None = None) -> None:
        super().__init__(message, place, names)
        self.message, self.place, self.names = message, place, names

    def __str__(self) -> str:
        return self.message.format(column=column_word(self.names, self.place))


@contextmanager
def columns_named(names: Sequence[str] | None) -> Iterator[None]:
    """Give the names of the columns to a ColumnError of the block."""
    try:
        yield
    except ColumnError as error:
        raise ColumnError(error.message, error.place, names) from error.__cause__


@contextmanager
def cells_named(X: Any, name: str) -> Iterator[None]:
    """Say which column it was when the block refuses cells, or a column, of a frame.

    Parameters
    ----------
    X : array-like or data frame
        Other than frames are left alone.
    name : str
        What messages call it.
    """
    names = column_names(X)
    try:
        with columns_named(names):
            yield
    except (TypeError, ValueError) as error:
        where = None if names is None or isinstance(error, ShiftDataError) else odd_cell(X, names)
        if where is None:
            raise
        raise cell_error(f"{name} holds {where}", isinstance(error, TypeError)) from error


def cell_error(finding: str, mistyped: bool) -> Exception:
    """CellError for cells to encode or impute; a TypeError, as scikit-learn wants it, for those of a wrong type."""
    advice = "encode categories and impute what is missing first, for example with OneHotEncoder and SimpleImputer."
    return TypeError(f"{finding}: {advice}") if mistyped else CellError(finding, advice)


def odd_cell(X: Any, names: Sequence[str] | None) -> str | None:
    """The first cell that is no finite number and where it stands, column by column; None where there is none."""
    import numpy as np  # here: the command line names files before it needs any array

    table = np.asarray(X, dtype=object)
    if table.ndim != 2:
        return None
    for place, cells in enumerate(table.T):
        row = next((row for row, cell in enumerate(cells) if not is_finite_number(cell)), None)
        if row is not None:
            return f"{shown(cells[row])} in {column_word(names, place)}, row {row}"
    return None


def odd_entry(values: Any) -> str | None:
    """The first entry that is no finite number, and its position; None where there is none."""
    place = next((place for place, entry in enumerate(values) if not is_finite_number(entry)), None)
    return None if place is None else f"{shown(values[place])} at position {place}"


def shown(value: Any) -> str:
    """A value from data as messages quote it, on one line and not at length."""
    import numpy as np  # as in odd_cell

    plain = value.item() if isinstance(value, np.generic) else value
    return one_line(repr(plain))[:100]


def is_finite_number(cell: Any) -> bool:
    """Whether a cell can be read as a number, and that is finite."""
    try:
        return math.isfinite(float(cell))
    except (TypeError, ValueError, OverflowError):
        return False
