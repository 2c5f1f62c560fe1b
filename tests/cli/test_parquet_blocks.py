"""A Parquet file read block by block is the file read whole, whatever the blocks and the groups of rows."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from pyarrow import parquet

from shiftfix.cli import _parquet_file
from shiftfix.cli._columns import Reading
from shiftfix.cli._exit import InputError
from shiftfix.cli._parquet_file import read_parquet_file

LARGE = 2**53 + 1  # not a float64
COLUMNS = {
    "whole": st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)),
    "fraction": st.lists(st.none() | st.floats(width=64)),
    "text": st.lists(st.none() | st.text(max_size=3)),
    "truth": st.lists(st.none() | st.booleans()),
}
TYPES = {"whole": pa.int64(), "fraction": pa.float64(), "text": pa.string(), "truth": pa.bool_()}


def whole_numbers(table, name):
    return np.array([np.nan if cell is None else float(cell) for cell in table.column(name).to_pylist()])


@given(st.data(), st.integers(0, 12), st.integers(1, 5), st.integers(1, 7))
@settings(max_examples=60, deadline=None)
def test_blocks_make_the_file(tmp_path_factory, data, n_rows, group, block):
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    cells = {name: data.draw(kind.map(lambda found: (found * n_rows)[:n_rows])) for name, kind in COLUMNS.items()}
    cells = {name: [*found, *[None] * (n_rows - len(found))] for name, found in cells.items()}
    table = pa.table({name: pa.array(found, TYPES[name]) for name, found in cells.items()})
    parquet.write_table(table, path, row_group_size=group)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_parquet_file, "BLOCK_ROWS", block)
        read = read_parquet_file(path, "source", Reading())
    assert (read.columns, len(read)) == (list(COLUMNS), n_rows)
    for name in ("whole", "fraction"):
        assert_array_equal(read.numbers[name], whole_numbers(table, name))
    for name, found in cells.items():
        assert read.written(name).tolist() == ["" if cell is None else str(cell) for cell in found]
        column = read.column(name)
        assert len(column.values) == n_rows
        assert column.missing.tolist() == [cell is None or cell != cell for cell in found]


@pytest.mark.parametrize("block", [1, 3, 2**16])
def test_every_type_is_read_as_ever(block, tmp_path, monkeypatch):
    monkeypatch.setattr(_parquet_file, "BLOCK_ROWS", block)
    frame = pd.DataFrame(
        {
            "a.b": [LARGE, 2, 3, 4],
            "tiny": np.array([1, 2, 3, 4], np.float32),
            "price": [Decimal("1.50"), None, Decimal("2.25"), Decimal("0.01")],
            "kind": pd.Categorical(["x", "y", None, "x"]),
            "day": pd.to_datetime(["2020-01-01", "2020-01-02", None, "2020-01-04"]),
            "none": [None] * 4,
        },
        index=[7, 8, 9, 11],
    )
    path = tmp_path / "rows.parquet"
    frame.to_parquet(path, row_group_size=2)
    read = read_parquet_file(path, "source", Reading(dates="days"))
    assert read.columns == list(frame.columns)
    assert read.written("a.b").tolist() == [str(LARGE), "2", "3", "4"]
    assert read.column("tiny").values.tolist() == [1, 2, 3, 4]
    assert_array_equal(read.column("price").values, [1.5, np.nan, 2.25, 0.01])
    assert read.column("kind").present.tolist() == ["x", "y", "x"]
    assert_array_equal(read.column("day").values, [18262, 18263, np.nan, 18265])
    assert read.column("none").kind == "empty"
    assert "dates or times" in read_parquet_file(path, "source", Reading()).column("day").problem


def test_a_file_that_ends_within_a_later_block_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(_parquet_file, "BLOCK_ROWS", 10)
    path = tmp_path / "rows.parquet"
    parquet.write_table(pa.table({"a": np.random.default_rng(0).normal(size=1000)}), path, row_group_size=100)
    content = bytearray(path.read_bytes())
    content[4000:6000] = bytes(2000)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"cannot be read as Parquet .*: write it again, or save it as CSV"):
        read_parquet_file(path, "source", Reading())
