"""Read a CSV file as words: what separates its cells, whether each line has as many, and the words themselves.

csv.Sniffer is not used: it takes the comma of "1,5" for the separator of a file with semicolons.
"""

import csv
import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftfix.cli._cells import COMMA, USUAL_MISSING, Cells, Role, read_cells
from shiftfix.cli._columns import SEPARATORS, Column, Reading, number_column
from shiftfix.cli._csv_numbers import CsvLayout, PlainNumbers, read_fast, read_words
from shiftfix.cli._exit import InputError
from shiftfix.cli._header import check_header
from shiftfix.cli._words import listed, quoted

# Lines that tell what separates the cells.
TELLING_LINES = 200


@dataclass(frozen=True)
class CsvTable:
    """A CSV file.

    Attributes
    ----------
    name : str
        What messages call it.
    columns : list of str
        Names of the columns, in order.
    n_rows : int
    words : callable
        From the name of a column to a pandas.Series of its cells.
    between : str
        What separates the cells.
    reading : Reading
    numbers : dict of str to PlainNumbers
        Columns of which the words need not be looked at.
    """

    name: str
    columns: list[str]
    n_rows: int
    words: Callable[[str], Any]
    between: str
    reading: Reading
    numbers: dict[str, PlainNumbers] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.n_rows

    @cached_property
    def _decimal_commas(self) -> bool:
        names = [name for name in self.columns if name not in self.numbers]
        return any(self.words(name).str.strip().str.fullmatch(COMMA).any() for name in names)

    def column(self, name: str, role: Role = "feature") -> Column:
        """One column, understood."""
        import pandas as pd

        if name in self.numbers and self._tells(self.numbers[name], role):
            return number_column(name, self.name, self.numbers[name].values, self.reading)
        place, words = pd.factorize(self.words(name).str.strip())
        words = np.array(words, dtype=object)
        return read_cells(
            Cells(name, self.name, words, place, self.reading, role, self.between, lambda: self._decimal_commas)
        )

    def _tells(self, numbers: PlainNumbers, role: Role) -> bool:
        """Whether a column is of these numbers, whatever the words were that told them."""
        if numbers.has_gaps:
            return role == "feature" and bool(np.isfinite(numbers.values).any())
        return role != "text"

    def written(self, name: str) -> NDArray[Any]:
        """Cells of a column as the file has them."""
        return np.asarray(self.words(name).to_numpy(dtype=object))


def read_csv_file(path: Path, name: str, reading: Reading) -> CsvTable:
    """The words of a CSV file, plain or gzipped.

    Parameters
    ----------
    path : pathlib.Path
    name : {"source", "target", "rows"}
        What messages call it.
    reading : Reading

    Raises
    ------
    InputError
        For a file that is damaged, empty, no text, with lines of different lengths, or a header that names columns
        twice or not at all.
    """
    import pandas as pd

    try:
        with lines_of_csv(path) as stream:
            first = [line for line in islice(stream, TELLING_LINES) if line.strip("\r\n")]
        between = reading.sep or separator(first)
        with lines_of_csv(path) as stream:
            reader = csv.reader(stream, delimiter=between)
            header = next((fields for fields in reader if fields), [])
            if not header:
                raise InputError(f"the {name} file {quoted(str(path))} is empty: a header line and rows are needed.")
            check_header(header, path, name)
            fast = _fast_table(CsvLayout(path, header, reader.line_num, between), name, first, reading)
            if fast is not None:
                return fast
            _check_lines(reader, len(header), path, name, between)
        frame = pd.read_csv(
            path, sep=between, dtype=str, keep_default_na=False, na_filter=False, index_col=False, encoding="utf-8-sig"
        )
        frame.columns = header
        return CsvTable(name, header, len(frame), frame.__getitem__, between, reading)
    except (UnicodeDecodeError, OSError, EOFError, zlib.error, csv.Error, pd.errors.ParserError) as error:
        raise InputError(
            f"the {name} file {quoted(str(path))} cannot be read as CSV ({str(error).strip()}): save it as UTF-8 text "
            "with one header line and commas, semicolons or tabs between the cells."
        ) from error


def _fast_table(layout: CsvLayout, name: str, first: list[str], reading: Reading) -> CsvTable | None:
    """The table as pyarrow reads it, where that is as good as word by word."""
    import pandas as pd

    # Between semicolons "1.500" may be a whole number, and a word that means missing may be one.
    if reading.missing or (reading.decimal is None and layout.between != ",") or reading.decimal == ",":
        return None
    telling = list(csv.reader(first, delimiter=layout.between))[1:]
    found = read_fast(layout, telling, USUAL_MISSING)
    if found is None:
        return None

    def words(column: str) -> Any:
        cells = found.words.get(column)
        cells = read_words(layout, column) if cells is None else cells
        return pd.Series(cells.to_pandas(), dtype=str)

    return CsvTable(name, layout.header, found.n_rows, words, layout.between, reading, found.numbers)


@contextmanager
def lines_of_csv(path: Path) -> Iterator[Any]:
    """The lines of a CSV file, plain or gzipped, as they stand."""
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    with opener(path, "rt", newline="", encoding="utf-8-sig") as stream:
        yield stream


def separator(lines: list[str]) -> str:
    """What separates the cells of some lines: what cuts all of them into as many, the more the better.

    Lines that nothing cuts alike are judged by the header, and a single column by what cuts none of its lines. Commas
    where nothing is found.
    """
    candidates = [sign for sign in dict.fromkeys(SEPARATORS.values()) if sign != " "]

    def cut(sign: str) -> tuple[bool, int, bool]:
        widths = [len(fields) for fields in csv.reader(lines, delimiter=sign)] or [0]
        # The last line may end within a quoted cell.
        alike = len(set(widths[: max(2, len(widths) - 1)])) == 1
        return alike and widths[0] > 1, widths[0], alike

    return max(candidates, key=cut)


def _check_lines(reader: Any, n_fields: int, path: Path, name: str, between: str) -> None:
    # pandas fills short lines with missing values and shifts or cuts long ones, all in silence.
    odd = [(reader.line_num, len(fields)) for fields in reader if fields and len(fields) != n_fields]
    if odd:
        line, found = odd[0]
        others = f", and as odd a number in the lines {listed(number for number, _ in odd[1:])}" if len(odd) > 1 else ""
        raise InputError(
            f"the {name} file {quoted(str(path))} has {found} fields in line {line} and {n_fields} in its "
            f"header{others}: every line needs as many, separated by {between!r}. Pass --sep if something else "
            "separates them."
        )
