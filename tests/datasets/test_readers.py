import gzip
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from shiftfix.datasets._readers import read_columns, read_idx, read_numbers
from shiftfix.exceptions import ShiftDataError


def idx_of(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.mark.slow
@given(array=arrays(np.uint8, array_shapes(max_dims=3, max_side=5)), packed=st.booleans())
def test_idx_comes_back(array, packed):
    content = idx_of(array)
    assert np.array_equal(read_idx(gzip.compress(content) if packed else content, "images"), array)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "starts with"),
        (b"PNG!", "504e4721"),
        (struct.pack(">BBBBI", 0, 0, 0x0D, 1, 1) + b"abcd", "unsigned bytes"),  # floats
        (struct.pack(">BBBBI", 0, 0, 8, 1, 5) + b"abcd", "cut or damaged"),
        (struct.pack(">BBBBI", 0, 0, 8, 1, 3) + b"abcd", "cut or damaged"),
        (struct.pack(">BBBB", 0, 0, 8, 3) + b"ab", "cut or damaged"),
        (struct.pack(">BBBBIII", 0, 0, 8, 3, 2**31, 2**31, 4), "cut or damaged"),  # overflows 64 bits to 0
    ],
)
def test_idx_refuses_what_it_is_not(content, message):
    with pytest.raises(ShiftDataError, match=message):
        read_idx(content, "images")


def test_columns_keep_words_and_turn_gaps_into_nan():
    columns = read_columns(b'a,b\n1,"x, y"\n,\xc3\xa9\n', {"a"})
    assert columns["a"].tolist()[0] == 1
    assert np.isnan(columns["a"][1])
    assert columns["b"].tolist() == ["x, y", "é"]


def test_numbers_of_one_column_stay_a_table():
    assert read_numbers(b"1\n2\n").shape == (2, 1)
