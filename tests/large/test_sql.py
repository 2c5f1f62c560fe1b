"""The weight as SQL, run by DuckDB."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from shiftfix.exceptions import ShiftDataError
from shiftfix.large import StreamingLogisticWeighter
from shiftfix.large._sql import DOUBLES, quoted_name

pandas = pytest.importorskip("pandas")

RNG = np.random.default_rng(0)
NAMES = ['spend "net"', "epoch", "select", "flag"]


def samples():
    for n, shift in ((2000, 0.0), (1500, 1.5)):
        table = RNG.normal(shift * np.array([1, 1, -0.3, 0.2]), 1, (n, 4))
        frame = pandas.DataFrame(table * [1, 3e4, 1, 1] + [0, 1.7e9, 0, 0], columns=NAMES)
        frame["flag"] = (frame["flag"] > 0).astype("int8")
        yield frame


SOURCE, TARGET = samples()


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"clip": 2.0}, {"clip": None, "normalize": None}, {"clip": "95%"}], ids=str)
@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.PoorOverlapWarning")
def test_duckdb_gives_the_weights_of_memory(settings):
    duckdb = pytest.importorskip("duckdb", reason="duckdb is used in this test only")
    made = StreamingLogisticWeighter(**settings).fit(SOURCE, TARGET)
    with duckdb.connect() as database:
        database.register("source", SOURCE)
        found = database.sql(f"SELECT {made.weight_sql()} AS weight FROM source").fetchnumpy()["weight"]
    assert_allclose(found, made.transform(SOURCE), rtol=1e-12)


@pytest.mark.parametrize("dialect", DOUBLES)
def test_every_dialect_quotes_and_casts(dialect):
    made = StreamingLogisticWeighter().fit(SOURCE, TARGET)
    text = made.weight_sql(dialect)
    for name in NAMES:
        assert text.count(f"CAST({quoted_name(name, dialect)} AS {DOUBLES[dialect]})") == 1
    assert text.startswith("EXP(LEAST(GREATEST(LEAST(")
    assert text.count("(") == text.count(")")


def test_what_is_no_expression_is_refused():
    smoothed = StreamingLogisticWeighter(clip="pareto").fit(SOURCE, TARGET)
    with pytest.raises(ShiftDataError, match="Smoothed weights"):
        smoothed.weight_sql()
    with pytest.raises(ShiftDataError, match="dialect='oracle'"):
        StreamingLogisticWeighter().fit(SOURCE, TARGET).weight_sql("oracle")
    with pytest.raises(ShiftDataError, match="backtick"):
        quoted_name("a`b", "bigquery")
