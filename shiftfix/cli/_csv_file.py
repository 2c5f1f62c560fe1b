"""Read a CSV file as words: what separates its cells, whether each line has as many, and the words themselves.

csv.Sniffer is not used: it takes the comma of "1,5" for the separator of a file with semicolons.
"""

import csv
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftfix.cli._cells import COMMA, Cells, Role, read_cells
from shiftfix.cli._columns import SEPARATORS, Column, Reading
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
    frame : pandas.DataFrame
        Of str.
    between : str
        What separates the cells.
    reading : Reading
    """

    name: str
    frame: Any
    between: str
    reading: Reading

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in order."""
        return list(self.frame.columns)

    def __len__(self) -> int:
        return len(self.frame)

    @cached_property
    def _decimal_commas(self) -> bool:
        return any(self.frame[name].str.strip().str.fullmatch(COMMA).any() for name in self.columns)

    def column(self, name: str, role: Role = "feature") -> Column:
        """One column, understood."""
        import pandas as pd

        place, words = pd.factorize(self.frame[name].str.strip())
        words = np.array(words, dtype=object)
        return read_cells(
            Cells(name, self.name, words, place, self.reading, role, self.between, lambda: self._decimal_commas)
        )

    def written(self, name: str) -> NDArray[Any]:
        """Cells of a column as the file has them."""
        return self.frame[name].to_numpy(dtype=object)


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
            between = reading.sep or separator([line for line in islice(stream, TELLING_LINES) if line.strip("\r\n")])
        with lines_of_csv(path) as stream:
            reader = csv.reader(stream, delimiter=between)
            header = next((fields for fields in reader if fields), [])
            if not header:
                raise InputError(f"the {name} file {quoted(str(path))} is empty: a header line and rows are needed.")
            check_header(header, path, name)
            _check_lines(reader, len(header), path, name, between)
        frame = pd.read_csv(
            path, sep=between, dtype=str, keep_default_na=False, na_filter=False, index_col=False, encoding="utf-8-sig"
        )
        frame.columns = header
        return CsvTable(name, frame, between, reading)
    except (UnicodeDecodeError, OSError, EOFError, zlib.error, csv.Error, pd.errors.ParserError) as error:
        raise InputError(
            f"the {name} file {quoted(str(path))} cannot be read as CSV ({str(error).strip()}): save it as UTF-8 text "
            "with one header line and commas, semicolons or tabs between the cells."
        ) from error


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
