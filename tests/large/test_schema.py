"""Files that disagree are refused by their footers; cells that are no numbers by file, column and count."""

import numpy as np
import pytest

from shiftfix.exceptions import ShiftDataError
from shiftfix.large import StreamingLogisticWeighter
from shiftfix.large._parquet import FilePart, read_footer
from shiftfix.large._units import Unit, cut_rows, unit_blocks

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("polars")

RNG = np.random.default_rng(0)
GOOD = {"a": RNG.normal(size=300), "b": RNG.normal(size=300)}


def fit(tmp_path, second, columns=None, **settings):
    """Fit to a source of two files, the second of them as given, and a good target."""
    for folder in ("source", "target"):
        (tmp_path / folder).mkdir(exist_ok=True)
    pq.write_table(pa.table(GOOD), tmp_path / "source" / "first.parquet")
    pq.write_table(pa.table(GOOD), tmp_path / "target" / "first.parquet")
    if second is not None:
        pq.write_table(pa.table(second), tmp_path / "source" / "second.parquet", **settings)
    made = StreamingLogisticWeighter(columns=columns)
    return made.fit(tmp_path / "source", tmp_path / "target")


REFUSED = {
    "another type": (
        {"a": pa.array([1, 2]), "b": [0.5, 1.0]},
        "Column 'a' is int64 in .*second.* and double in .*first",
    ),
    "a column less": ({"a": [0.5, 1.0]}, r"second.parquet lacks \['b'\]"),
    "a column more": (GOOD | {"c": np.ones(300)}, r"second.parquet also has \['c'\]"),
    "missing": ({"a": pa.array([0.5, None, None]), "b": [0.1, 0.2, 0.3]}, "second.*rows 0 to 3: .*: 2 in column 'a'"),
    "infinite": ({"a": [0.5, 1.0], "b": [np.inf, np.nan]}, "second.*rows 0 to 2: .*: 2 in column 'b'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_named(tmp_path, name):
    second, message = REFUSED[name]
    with pytest.raises(ShiftDataError, match=message):
        fit(tmp_path, second)


def test_nothing_is_read_before_all_footers_agree(tmp_path, monkeypatch):
    def read(self, start, stop):
        raise AssertionError("read")

    monkeypatch.setattr(FilePart, "chunks", read)
    with pytest.raises(ShiftDataError, match="Column 'a' is int64"):
        fit(tmp_path, REFUSED["another type"][0])


def test_text_is_refused_and_left_out_by_name(tmp_path):
    words = {"word": pa.array(["x", "y"] * 150).dictionary_encode()}
    with pytest.raises(ShiftDataError, match=r"also has \['word'\]"):
        fit(tmp_path, GOOD | words)
    with pytest.raises(ShiftDataError, match="'word' is missing in 2 of 3 files"):
        fit(tmp_path, GOOD | words, columns=["a", "word"])
    assert fit(tmp_path, GOOD | words, columns=["a", "b"]).coef_.shape == (2,)
    path = tmp_path / "text.parquet"
    pq.write_table(pa.table(words), path)
    with pytest.raises(ShiftDataError, match="'word' holds string values"):
        StreamingLogisticWeighter().fit(path, path)


KINDS = {
    "dictionary": lambda x: pa.array(x).dictionary_encode(),
    "nullable, none missing": lambda x: pa.array(x, from_pandas=True),
}


@pytest.mark.parametrize("name", KINDS)
def test_other_ways_to_store_the_same_numbers(tmp_path, name):
    x = np.round(RNG.normal(size=200), 1)
    made = fit(tmp_path, {"a": KINDS[name](x), "b": x + 0.3 * RNG.normal(size=200)})
    assert np.isfinite(made.coef_).all()


@pytest.mark.parametrize("kind", ["int8", "uint16", "int32", "float32", "bool_"])
def test_every_type_of_numbers_is_read_as_it_is(tmp_path, kind):
    values = RNG.integers(0, 2, 700)
    stored = pa.array(values.astype(bool) if kind == "bool_" else values, type=getattr(pa, kind)())
    pq.write_table(pa.table({"a": stored}), tmp_path / "x.parquet", row_group_size=300)
    footer = read_footer(str(tmp_path / "x.parquet"))
    assert footer.groups == (300, 300, 100)
    part = FilePart(footer.path, ("a",), None, footer.groups, {})
    # What the buffer holds is overwritten by the next block.
    found = [Z.copy() for Z, _ in unit_blocks(Unit(part, 250, 650, 0), np.zeros(1))]
    assert np.array_equal(np.concatenate(found, axis=1)[0], values[250:650])


def test_damaged_missing_and_foreign_files(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table(GOOD), path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ShiftDataError, match="cannot be read"):
        StreamingLogisticWeighter().fit(path, path)
    with pytest.raises(ShiftDataError, match="is no file"):
        StreamingLogisticWeighter().fit(tmp_path / "none.parquet", path)
    with pytest.raises(ShiftDataError, match="holds no file"):
        StreamingLogisticWeighter().fit(str(tmp_path / "*.pq"), path)


def test_a_sample_without_rows_is_refused(tmp_path):
    pq.write_table(pa.table({"a": pa.array([], pa.float64())}), tmp_path / "x.parquet")
    pq.write_table(pa.table({"a": [0.5]}), tmp_path / "y.parquet")
    with pytest.raises(ShiftDataError, match="The source has no rows"):
        StreamingLogisticWeighter().fit(tmp_path / "x.parquet", tmp_path / "y.parquet")


@pytest.mark.parametrize(
    ("groups", "ranges"),
    [
        ([40, 40, 40], [(0, 80), (80, 120)]),
        ([0, 5, 0], [(0, 5)]),
        ([250], [(0, 100), (100, 200), (200, 250)]),
        ([90, 250, 10], [(0, 90), (90, 190), (190, 290), (290, 350)]),
        ([], []),
    ],
    ids=str,
)
def test_units_end_where_row_groups_do(groups, ranges):
    assert cut_rows(groups, 100) == ranges
