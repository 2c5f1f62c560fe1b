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
        assert text.count(f"CAST({quoted_name(name, dialect)} AS {DOUBLES[dialect]})") == 2
    assert " THEN EXP(LEAST(GREATEST(LEAST((" in text
    assert text.count("(") == text.count(")")


@pytest.mark.parametrize("settings", [{}, {"clip": None}], ids=str)
@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.PoorOverlapWarning")
def test_rows_that_fit_and_transform_refuse_have_no_weight(settings):
    duckdb = pytest.importorskip("duckdb", reason="duckdb is used in this test only")
    made = StreamingLogisticWeighter(**settings).fit(SOURCE, TARGET)
    rows = SOURCE.head(6).astype(float)
    for place, value in enumerate([np.nan, np.inf, -np.inf]):
        rows.iloc[place, place] = value
    rows.iloc[3, 1] = None
    with duckdb.connect() as database:
        database.register("rows", rows)
        sql = made.weight_sql()
        found = database.sql(f"SELECT {sql} AS weight FROM rows").fetchall()
        missing = database.sql(f"SELECT {sql} AS weight FROM (SELECT * REPLACE (NULL AS flag) FROM rows)").fetchall()
    assert [weight is None for (weight,) in found] == [True] * 4 + [False] * 2
    assert all(weight is None for (weight,) in missing)


@pytest.mark.filterwarnings("ignore::shiftfix.exceptions.PoorOverlapWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_thousand_columns_make_an_expression_that_databases_take():
    duckdb = pytest.importorskip("duckdb", reason="duckdb is used in this test only")
    names = [f"c{j}" for j in range(1000)]
    sides = (pandas.DataFrame(RNG.normal(shift, 1, (2500, 1000)), columns=names) for shift in (0.0, 0.02))
    source, target = sides
    made = StreamingLogisticWeighter(C=1e-3, max_passes=3).fit(source, target)
    with duckdb.connect() as database:
        database.register("rows", source.head(3))
        found = database.sql(f"SELECT {made.weight_sql()} AS weight FROM rows").fetchnumpy()["weight"]
    assert_allclose(found, made.transform(source.head(3)), rtol=1e-10)


def test_columns_that_a_database_does_not_tell_apart_are_refused():
    frames = [frame[["epoch", "flag"]].set_axis(["Age", "age"], axis=1) for frame in (SOURCE, TARGET)]
    made = StreamingLogisticWeighter().fit(*frames)
    for dialect in ("duckdb", "spark", "bigquery", "mysql"):
        with pytest.raises(ShiftDataError, match=f"'Age' and 'age' are one to {dialect}"):
            made.weight_sql(dialect)
    assert '"age"' in made.weight_sql("postgres")


def test_what_is_no_expression_is_refused():
    smoothed = StreamingLogisticWeighter(clip="pareto").fit(SOURCE, TARGET)
    with pytest.raises(ShiftDataError, match="Smoothed weights"):
        smoothed.weight_sql()
    with pytest.raises(ShiftDataError, match="dialect='oracle'"):
        StreamingLogisticWeighter().fit(SOURCE, TARGET).weight_sql("oracle")
    with pytest.raises(ShiftDataError, match="backtick"):
        quoted_name("a`b", "bigquery")
