"""A file read by pyarrow is the file read word by word: each column in each role, and each cell as written."""

import numpy as np
import pytest

from shiftfix.cli import _csv_file, _csv_numbers
from shiftfix.cli._columns import Reading
from shiftfix.cli._csv_file import read_csv_file
from shiftfix.cli._exit import InputError

RNG = np.random.default_rng(0)
SIZES = RNG.normal(size=500) * 10.0 ** RNG.integers(-30, 30, 500)
# Text, and the columns of it that pyarrow reads as numbers.
FILES = {
    "kinds": ("a,b,c,d,e,f\n1,NA,x,1.5,,007\n2, 3.25 ,y,1e-5,,1\n 3,,z,-.5,,2\n\n4,NaN,NA,5.,,3\n", "abdf"),
    "blank lines ahead": ("\n\na,b\n1,2\n3,4\n", "ab"),
    "byte order mark": ("\ufeffa,b\r\n1,2\r\n3,4.25\r\n", "ab"),
    "infinite": ("a,b\n1,inf\n2,-Infinity\n", "ab"),
    "plus signs": ("a,b\n1,+2\n2,3\n", "ab"),
    "a word far down": ("a,b,c\n" + "1,2,3\n" * 300 + "1,x,3\n", "ac"),
    "an underscore far down": ("a,b\n" + "1,2\n" * 300 + "1,1_000\n", "a"),
    "gaps only": ("a,b\n1,NA\n2,NA\n", "a"),
    "gaps alone far down": ("a,b\n" + "1,2\n" * 300 + "1,NA\n", "ab"),
    "truth and dates": ("a,b,c\n1,true,2020-01-01\n2,false,2020-01-02\n", "a"),
    "too large for a float": ("a,b\n1,1e400\n2,1\n", "ab"),
    "all sizes": ("a,b\n" + "".join(f"{size!r},1\n" for size in SIZES.tolist()), "ab"),
    "quotes": ('a,b\n"1",2\n3,4\n', ""),
    "names between quotes": ('"a","b ""x"", y"\n1,2\n3,4.5\n', ["a", 'b "x", y']),
    "a name of two lines": ('"a\nb","c"\n1,2\n3,4\n', ["a\nb", "c"]),
    "a quote in the first row": ('"a","b"\n1,2"\n3,4\n', ""),
    "a quote behind a line that ends otherwise": ('"a","b"\r1,"2"\n3,4\n', ""),
    "one column": ("a\n1\n2\n", ""),
}


@pytest.fixture(autouse=True)
def small_files_too(monkeypatch):
    monkeypatch.setattr(_csv_numbers, "LEAST_BYTES", 0)


def alike(ours, theirs):
    same = [(a == b) or (a != a and b != b) for a, b in zip(ours.values, theirs.values, strict=True)]
    told = [(c.kind, c.problem, c.remark, c.gaps, c.values.dtype) for c in (ours, theirs)]
    return all(same) and told[0] == told[1]


@pytest.mark.parametrize("block", [64, 2**22])
@pytest.mark.parametrize("name", FILES)
def test_both_ways_read_the_same(name, block, tmp_path, monkeypatch):
    """Whatever the blocks that it is read by."""
    text, plain = FILES[name]
    monkeypatch.setattr(_csv_numbers, "BLOCK_BYTES", block)
    path = tmp_path / "rows.csv"
    path.write_text(text, encoding="utf-8", newline="")
    fast = read_csv_file(path, "source", Reading())
    assert set(fast.numbers) == set(plain)
    monkeypatch.setattr(_csv_file, "_fast_table", lambda *arguments: None)
    slow = read_csv_file(path, "source", Reading())
    assert (fast.columns, len(fast)) == (slow.columns, len(slow))
    for column in slow.columns:
        assert fast.written(column).tolist() == slow.written(column).tolist()
        for role in ("feature", "label", "class", "text"):
            assert alike(fast.column(column, role), slow.column(column, role)), (column, role)


@pytest.mark.parametrize("reading", [Reading(decimal=","), Reading(missing=("3",)), Reading(sep=";")], ids=repr)
def test_what_words_decide_is_left_to_them(reading, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a;b\n1;2\n3;4\n" if reading.sep else "a,b\n1,2\n3,4\n")
    assert read_csv_file(path, "source", reading).numbers == {}


def test_a_line_of_another_length_is_told_as_ever(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2\n3\n4,5\n")
    with pytest.raises(InputError, match=r"has 1 fields in line 3 and 2 in its header"):
        read_csv_file(path, "source", Reading())
