"""What the cells of a file mean: numbers, words, dates, missing values, identifiers; and what is refused."""

import datetime
import decimal
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from typer.testing import CliRunner

from shiftfix.cli._app import app
from shiftfix.cli._cells import COMMA, GROUPED, POINT, WHOLE, sort_words
from shiftfix.cli._columns import Reading
from shiftfix.cli._csv_file import separator
from shiftfix.cli._dates import days_of_words, look_like_dates
from shiftfix.cli._encode import distinct_names
from shiftfix.cli._files import read_table
from shiftfix.cli._ids import identifier_doubt, identifier_problem
from shiftfix.cli._safe_csv import harmless, harmless_table

COVARIATE = ["--shift", "covariate", "--learner", "logistic"]
LABEL = ["--shift", "label", "--learner", "logistic"]


def table(folder, text, name="source", file="t.csv", **reading):
    (folder / file).write_text(text, encoding="utf-8", newline="")
    return read_table(folder / file, name, Reading(**reading))


def column(folder, cells, role="feature", sep=",", **reading):
    """The column that some cells make, read from a file with a second column."""
    quote = '"{}"'.format
    text = f"a{sep}b\n" + "".join(f"{quote(cell)}{sep}w\n" for cell in cells)
    return table(folder, text, **reading).column("a", role)


def good(n=60, seed=0):
    rng = np.random.default_rng(seed)
    source = pd.DataFrame(
        {"a": rng.normal(size=n), "b": rng.choice(["red", "blue"], n), "y": rng.choice(["no", "yes"], n)}
    )
    return source, source.drop(columns="y").sample(frac=1, random_state=0, ignore_index=True)


def run(source, target, out, *options, label="y"):
    """The command on two frames or paths."""
    paths = []
    for name, frame in [("s", source), ("t", target)]:
        paths.append(out.parent / f"{out.name}_{name}.csv" if isinstance(frame, pd.DataFrame) else frame)
        if isinstance(frame, pd.DataFrame):
            frame.to_csv(paths[-1], index=False)
    arguments = ["correct", *paths, "--label", label, "--out", out, *options]
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "1000"})


def summary(out):
    return json.loads((out / "summary.json").read_text(encoding="utf-8"))


# Numbers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "2.5", "-3e2", "+.5", " 7 "], [1, 2.5, -300, 0.5, 7]),
        (["1,5", "2,25", "3"], [1.5, 2.25, 3]),
        (["0,125", "0,500"], [0.125, 0.5]),
        (["1", "", "NA", "nan", "null"], [1, np.nan, np.nan, np.nan, np.nan]),
        (["0.1", "1e-300", "123456789.123456789"], [0.1, 1e-300, 123456789.123456789]),
        (["inf", "1"], [np.inf, 1]),
    ],
)
@pytest.mark.parametrize("sep", [",", ";", "\t"])
def test_numbers_are_read_to_the_last_digit(tmp_path, cells, values, sep):
    found = column(tmp_path, cells, sep=sep)
    assert (found.problem, found.kind) == ("", "number")
    assert_array_equal(found.values, values)


@pytest.mark.parametrize(
    ("cells", "options", "words"),
    [
        (["1,234", "2,500"], {}, ["decimal one or one between thousands", "'1,234'", "--decimal"]),
        (["1.234,56", "2"], {}, ["between thousands", "'1.234,56'"]),
        (["1 234", "2"], {}, ["between thousands", "'1 234'"]),
        (["1,5", "2.5"], {}, ["'1,5'", "'2.5'", "write all alike"]),
        (["1,5", "2"], {"decimal": "."}, ["'1,5'", "--decimal '.'"]),
        (["1.5", "2"], {"decimal": ","}, ["'1.5'", "--decimal ','"]),
        (["1", "2", "?"], {}, ["'?' in 1 row", "--missing '?'"]),
        (["1", "-", "-"], {}, ["'-' in 2 rows", "--missing -"]),
        (["1.5", "unknown"], {}, ["'unknown'", "--missing unknown"]),
        (["2024-01-05", "2024-02-01"], {}, ["holds dates", "'2024-01-05'", "--dates days"]),
        (["2024-02-30", "2024-02-01"], {"dates": "days"}, ["not all of which exist"]),
        (["01/02/2024", "03/04/2024"], {"dates": "days"}, ["day and month cannot be told apart"]),
    ],
)
def test_what_may_mean_two_things_is_refused(tmp_path, cells, options, words):
    problem = column(tmp_path, cells, **options).problem
    assert all(word in problem for word in ["column 'a' of the source", *words]), problem


@pytest.mark.parametrize(("decimal_mark", "values"), [(",", [1.234, 2.5]), (".", None)])
def test_decimal_overrides_what_is_found(tmp_path, decimal_mark, values):
    found = column(tmp_path, ["1,234", "2,500"], decimal=decimal_mark)
    assert bool(found.problem) == (values is None)
    if values:
        assert_array_equal(found.values, values)


def test_a_point_between_thousands_is_doubted_beside_decimal_commas(tmp_path):
    found = table(tmp_path, "a;b;c\n1.234;0,5;1.5\n2.000;1,5;2.5\n")
    assert "between thousands" in found.column("a").problem
    assert_array_equal(found.column("b").values, [0.5, 1.5])
    assert_array_equal(found.column("c").values, [1.5, 2.5])
    plain = table(tmp_path, "a;b\n1.234;x\n2.000;y\n")
    assert_array_equal(plain.column("a").values, [1.234, 2.0])


def test_words_are_one_kind_each():
    words = ["1", "-1e5", "inf", "1.", ".5", "1,", ",5", "1,234,567", "1'000", "a", "1_000", "--1", "1.2.3", "0x10"]
    found = sort_words(words)
    assert found.whole == ["1", "-1e5", "inf"]
    assert found.point == ["1.", ".5"]
    assert found.comma == ["1,", ",5"]
    assert found.grouped == ["1,234,567", "1'000"]
    assert found.other == ["a", "1_000", "--1", "1.2.3", "0x10"]
    assert not any(kind.fullmatch("") for kind in (WHOLE, POINT, COMMA, GROUPED))


# Words and missing values ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("word", ["None", "NA", "null", "nan", "NaN", "N/A", "<NA>", "NULL", "#N/A"])
def test_a_class_may_have_any_name(tmp_path, word):
    source, target = good()
    source["y"] = source["y"].replace("no", word)
    result = run(source, target, tmp_path / "out", *COVARIATE)
    assert result.exit_code == 0, result.stderr
    predictions = pd.read_csv(tmp_path / "out" / "predictions.csv", keep_default_na=False)
    assert list(predictions.columns) == [
        "row",
        "prediction",
        *(f"probability_{name}" for name in sorted([word, "yes"])),
    ]
    assert f"'{word}' in" in " ".join(summary(tmp_path / "out")["notices"])
    named = run(source, target, tmp_path / "named", *COVARIATE, "--missing", word)
    assert named.exit_code == 3
    assert f"where it is '{word}'" in named.stderr


@pytest.mark.parametrize("word", ["NA", "?", "None"])
def test_an_empty_cell_and_a_word_are_two_categories_and_told(tmp_path, word):
    found = column(tmp_path, ["red", "", word, "blue"])
    assert [str(value) for value in found.values] == ["red", "nan", word, "blue"]
    assert found.missing.tolist() == [False, True, False, False]
    assert f"'{word}' in 1 row" in found.remark
    assert "--missing" in found.remark
    merged = column(tmp_path, ["red", "", word, "blue"], missing=(word,))
    assert merged.missing.tolist() == [False, True, True, False]
    assert merged.remark == ""


@pytest.mark.parametrize("cell", ["-999", "-999.0"])
def test_a_number_may_mean_missing(tmp_path, cell):
    assert_array_equal(column(tmp_path, ["1", cell, "3"], missing=("-999",)).values, [1, np.nan, 3])


def test_numbers_with_words_among_them_are_text_and_told(tmp_path):
    found = column(tmp_path, ["250.83", "V57", "276"])
    assert found.values.tolist() == ["250.83", "V57", "276"]
    assert "numbers and words (such as 'V57')" in found.remark


@pytest.mark.parametrize("cells", [["TRUE", "false"], ["True", "False"]])
def test_truth_values_are_spelled_alike(tmp_path, cells):
    assert column(tmp_path, cells).values.tolist() == ["True", "False"]


@pytest.mark.parametrize("role", ["label", "class"])
def test_labels_are_missing_only_where_empty(tmp_path, role):
    found = column(tmp_path, ["a", "NA", ""], role)
    assert found.missing.tolist() == [False, False, True]
    numbers = column(tmp_path, ["1", "2", "NA"], role)
    assert bool(numbers.problem) == (role == "label")
    assert role == "label" or numbers.values.tolist() == ["1", "2", "NA"]


def test_labels_too_large_to_be_told_apart_are_refused(tmp_path):
    source, target = good()
    source["y"] = np.where(source["y"] == "no", "9007199254740992", "9007199254740993")
    result = run(source, target, tmp_path / "out", *COVARIATE, "--task", "classification")
    assert result.exit_code == 3
    assert "9007199254740992" in result.stderr


# Dates -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "days"),
    [
        (["1970-01-01", "1970-01-03"], [0, 2]),
        (["1970-01-01T12:00", "1970-01-02 06:00:00"], [0.5, 1.25]),
        (["1970-01-01T12:00:00+06:00", "1970-01-01T00:00:00Z"], [0.25, 0]),
        (["31.12.1969", "1.1.1970"], [-1, 0]),
        (["31/12/1969", "01/02/1970"], [-1, 31]),
        (["12/31/1969", "02/01/1970"], [-1, 31]),
        (["1970/01/02"], [1]),
        (["12:00", "06:00:00"], [0.5, 0.25]),
    ],
)
def test_dates_are_days(words, days):
    assert look_like_dates(words)
    found, wrong = days_of_words(words)
    assert wrong == ""
    assert_allclose(found, days, rtol=0, atol=1e-9)


@pytest.mark.parametrize("words", [["2024"], ["1.5"], ["a"], ["2024-01"], ["1-2-3"], ["2024-01-01", "x"]])
def test_other_words_are_no_dates(words):
    assert not look_like_dates(words)


# Parquet -----------------------------------------------------------------------------------------

TICKS = pa.array([0, 86400 * 2, None, 86400 * 3], pa.int64())
TYPES = {
    "decimal": (pa.array([decimal.Decimal("1.5"), None, decimal.Decimal("-2"), None], pa.decimal128(9, 2)), [1.5, -2]),
    "wide decimal": (pa.array([decimal.Decimal("1.5"), None], pa.decimal256(50, 2)), [1.5]),
    "uint8": (pa.array([1, None, 255], pa.uint8()), [1, 255]),
    "uint64": (pa.array([2**63, 1], pa.uint64()), [2.0**63, 1]),
    "float16": (pa.array(np.array([1, 2], np.float16)), [1, 2]),
    "float32": (pa.array([1.5, None], pa.float32()), [1.5]),
    "date32": (pa.array([datetime.date(1970, 1, 2), None]), [1]),
    "date64": (pa.array([datetime.date(1970, 1, 2), None], pa.date64()), [1]),
    **{
        f"timestamp {unit}": (TICKS.cast(pa.timestamp("s")).cast(pa.timestamp(unit)), [0, 2, 3])
        for unit in ("s", "ms", "us", "ns")
    },
    "zoned": (TICKS.cast(pa.timestamp("s", "Europe/Berlin")), [0, 2, 3]),
    "far": (pa.array([datetime.datetime(9999, 1, 1)], pa.timestamp("us")), [2932532]),
    "time32": (pa.array([datetime.time(12), None], pa.time32("s")), [0.5]),
    "time64": (pa.array([datetime.time(6), None], pa.time64("us")), [0.25]),
    "duration": (TICKS.cast(pa.duration("s")), [0, 2, 3]),
    "text": (pa.array(["a", None, "b"]), ["a", "b"]),
    "large text": (pa.array(["a", None], pa.large_string()), ["a"]),
    "truth": (pa.array([True, None, False]), ["True", "False"]),
    "category": (pa.array(["a", None, "b"]).dictionary_encode(), ["a", "b"]),
    "numbered category": (pa.array([7, 8]).dictionary_encode(), [7, 8]),
}
REFUSED = {
    "list": pa.array([[1], None]),
    "fixed list": pa.array([[1, 2]], pa.list_(pa.int64(), 2)),
    "struct": pa.array([{"u": 1}]),
    "map": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
    "binary": pa.array([b"x"]),
    "fixed binary": pa.array([b"xy"], pa.binary(2)),
}


def parquet_column(folder, cells, **reading):
    pq.write_table(pa.table({"a": cells}), folder / "t.parquet")
    return read_table(folder / "t.parquet", "source", Reading(**reading)).column("a")


@pytest.mark.parametrize("kind", TYPES)
def test_parquet_types_are_what_they_say(tmp_path, kind):
    cells, values = TYPES[kind]
    found = parquet_column(tmp_path, cells, dates="days")
    assert found.problem == ""
    assert found.is_number == (not isinstance(values[0], str))
    assert found.present.tolist() == values
    assert_array_equal(found.missing, [not cell.is_valid for cell in cells])


@pytest.mark.parametrize("kind", ["date32", "date64", "timestamp us", "zoned", "time32", "duration"])
def test_parquet_dates_are_refused_unless_asked_for(tmp_path, kind):
    problem = parquet_column(tmp_path, TYPES[kind][0]).problem
    assert "column 'a' of the source holds dates or times" in problem
    assert "--dates days" in problem


@pytest.mark.parametrize("kind", REFUSED)
def test_parquet_types_that_no_model_takes_are_refused_by_name(tmp_path, kind):
    problem = parquet_column(tmp_path, REFUSED[kind]).problem
    assert "column 'a' of the source holds" in problem
    assert "--drop" in problem


@pytest.mark.slow
def test_column_names_of_parquet_may_be_numbers_and_an_index_is_none(tmp_path):
    source, target = good()
    names = {"a": 0, "b": 1, "y": 2}
    source.rename(columns=names)[::-1].to_parquet(tmp_path / "s.parquet")
    target.rename(columns=names).to_parquet(tmp_path / "t.parquet")
    result = run(tmp_path / "s.parquet", tmp_path / "t.parquet", tmp_path / "out", *COVARIATE, label="2")
    assert result.exit_code == 0, result.stderr
    assert summary(tmp_path / "out")["columns"]["numeric"] == ["0"]


@pytest.mark.slow
def test_a_refused_column_can_be_left_out(tmp_path):
    source, target = good()
    lists = pa.array([[1]] * len(source))
    for frame, name in [(source, "s"), (target, "t")]:
        pq.write_table(pa.Table.from_pandas(frame).append_column("l", lists), tmp_path / f"{name}.parquet")
    paths = tmp_path / "s.parquet", tmp_path / "t.parquet"
    assert run(*paths, tmp_path / "out", *COVARIATE).exit_code == 3
    assert run(*paths, tmp_path / "out", *COVARIATE, "--drop", "l").exit_code == 0


# What separates cells ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b\n1,5;2\n", ";"),
        ("a;b;c\n1,5;2,5;3,5\n1;2;3,5\n", ";"),
        ("a\tb\n1,5\t2\n", "\t"),
        ("a|b\n1|2\n", "|"),
        ('"a;b",c\n"1;2",3\n', ","),
        ('"last, first";age\n"a, b";3\n', ";"),
        ("a\n1\n", ","),
        ("a\n1,5\n2,5\n", ";"),
        ("a\n1,5\n2\n", ";"),
        ("a;b;y\n1;2;no\n1;2\n", ";"),
        ("text,n\n1;2;3,4\n5;6,7\n", ","),
    ],
)
def test_the_separator_is_found(tmp_path, text, sign):
    assert separator(text.splitlines(keepends=True)) == sign


@pytest.mark.slow
@pytest.mark.parametrize(("option", "sign"), [("tab", "\t"), ("\\t", "\t"), (";", ";"), ("semicolon", ";"), ("~", "~")])
def test_a_separator_can_be_named(tmp_path, option, sign):
    source, target = good()
    source.to_csv(tmp_path / "s.csv", index=False, sep=sign)
    target.to_csv(tmp_path / "t.csv", index=False, sep=sign)
    result = run(tmp_path / "s.csv", tmp_path / "t.csv", tmp_path / "out", *COVARIATE, "--sep", option)
    assert result.exit_code == 0, result.stderr
    assert summary(tmp_path / "out")["columns"]["numeric"] == ["a"]


@pytest.mark.parametrize("options", [["--sep", "ab"], ["--sep", '"'], ["--sep", "1"], ["--sep", ",", "--decimal", ","]])
def test_a_separator_that_cannot_be_one(tmp_path, options):
    result = run(*good(), tmp_path / "out", *COVARIATE, *options)
    assert result.exit_code == 2
    assert "--sep" in result.stderr


@pytest.mark.slow
def test_names_that_the_encoding_makes_too_are_told_apart(tmp_path):
    source, target = good()
    source.loc[:9, "a"] = np.nan
    more = {"a missing": [1, 2] * 30, "b=red": ["u", "v"] * 30}
    result = run(source.assign(**more), target.assign(**more), tmp_path / "out", *COVARIATE)
    assert result.exit_code == 0, result.stderr
    assert distinct_names(["a", "a", "a (2)", "a"]) == ["a", "a (2)", "a (2) (2)", "a (3)"]


# Identifiers -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_id_is_carried_and_never_learned_from(tmp_path):
    source, target = good()
    plain = run(source, target, tmp_path / "plain", *COVARIATE)
    assert plain.exit_code == 0, plain.stderr
    names = [f"{k:05d}" for k in range(len(source))]
    moved = [f"{k:05d}" for k in range(70000, 70000 + len(target))]
    result = run(source.assign(key=names), target.assign(key=moved), tmp_path / "out", *COVARIATE, "--id", "key")
    assert result.exit_code == 0, result.stderr
    for file, expected in [("weights.csv", names), ("predictions.csv", moved)]:
        found = pd.read_csv(tmp_path / "out" / file, dtype={"key": str})
        assert list(found.columns[:2]) == ["row", "key"]
        assert found["key"].tolist() == expected
        assert found.drop(columns="key").equals(pd.read_csv(tmp_path / "plain" / file))
    assert summary(tmp_path / "out")["columns"]["id"] == "key"


@pytest.mark.slow
@pytest.mark.parametrize("side", ["source", "target"])
def test_an_id_may_be_in_one_file_only(tmp_path, side):
    source, target = good()
    frames = {"source": source, "target": target}
    frames[side] = frames[side].assign(key=range(60))
    result = run(frames["source"], frames["target"], tmp_path / "out", *COVARIATE, "--id", "key")
    assert result.exit_code == 0, result.stderr
    headers = [(tmp_path / "out" / file).read_text().split("\n")[0] for file in ("weights.csv", "predictions.csv")]
    assert [",key" in header for header in headers] == [side == "source", side == "target"]


@pytest.mark.parametrize(
    ("option", "code", "words"),
    [(["--id", "key"], 3, "no such column"), (["--id", "y"], 2, "more than one role")],
)
def test_an_id_that_is_none(tmp_path, option, code, words):
    result = run(*good(), tmp_path / "out", *COVARIATE, *option)
    assert result.exit_code == code
    assert words in result.stderr


@pytest.mark.parametrize("values", [range(60), range(1000, 1120, 2), [f"p{k}" for k in range(60)], range(60, 0, -1)])
def test_a_column_that_names_rows_is_called_an_id(tmp_path, values):
    source, target = good()
    result = run(source.assign(key=values), target.assign(key=values), tmp_path / "out", *COVARIATE)
    assert result.exit_code == 3
    assert "column 'key'" in result.stderr
    assert "--id key" in result.stderr
    assert "identifier" in result.stderr


def number(folder, values, name):
    return table(folder, "a,b\n" + "".join(f"{value},w\n" for value in values), name=name, file=f"{name}.csv").column(
        "a"
    )


@pytest.mark.parametrize(
    ("source", "target", "refused", "doubted"),
    [
        (np.arange(10**6, 10**6 + 3000, 100), np.arange(2 * 10**6, 2 * 10**6 + 3000, 100), True, True),
        (np.linspace(0, 1, 30), np.linspace(2, 3, 30), False, True),
        (np.linspace(0, 1, 30), np.linspace(0.5, 3, 30), False, False),
        ([30000 + 997 * k for k in range(30)], [30000 + 991 * k for k in range(30)], False, True),
        ([1, 2] * 20, [2, 3] * 20, False, False),
        (list(range(8)), list(range(8)), False, False),
    ],
)
def test_what_is_called_an_id(tmp_path, source, target, refused, doubted):
    columns = number(tmp_path, source, "source"), number(tmp_path, target, "target")
    assert bool(identifier_problem(*columns)) == refused
    assert bool(identifier_doubt(*columns)) == doubted


@pytest.mark.slow
def test_numbers_drawn_at_random_are_no_id(tmp_path):
    """200 draws from 2000 values are all different once in 20,000 times, and less often where some are rare."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        values = rng.integers(2000, size=200)
        assert identifier_problem(number(tmp_path, values, "source"), number(tmp_path, values, "target")) == ""


# Everything at once ------------------------------------------------------------------------------


@pytest.mark.slow
def test_all_refusals_come_in_one_message(tmp_path):
    source, target = good()
    source = source.assign(c=["?", *range(59)], d=np.inf, e="2024-01-01", f=None, g=[f"n{k}" for k in range(60)])
    target = target.assign(b="green", c=1, d=1, e="2024-01-02", f=1, g="n1", h=0)
    source.loc[3, "y"] = None
    options = ["--weight", "w", "--drop", "nowhere", "--sep", ",,", "--clip", "-1"]
    result = run(source, target, tmp_path / "out", *COVARIATE, *options)
    assert result.exit_code == 2
    assert not (tmp_path / "out").exists()
    for words in ["--clip -1", "--sep"]:
        assert words in result.stderr
    result = run(source, target, tmp_path / "out", *COVARIATE, "--weight", "w", "--drop", "nowhere")
    assert result.exit_code == 3
    for words in [
        "--weight w",
        "--drop nowhere",
        "'y' is missing in 1 of 60",
    ]:
        assert words in result.stderr, words
    result = run(source, target, tmp_path / "out", *COVARIATE)
    for words in [
        "adds 'h'",
        "'y' is missing in 1 of 60",
        "column 'b' has the values 'green'",
        "'?' in 1 row",
        "'d' is infinite in 60 source rows",
        "'e' of the source holds dates",
        "'e' of the target holds dates",
        "'f' is empty in every source row",
        "'g' has 60 different values",
    ]:
        assert words in result.stderr, words
    lines = result.stderr.strip().split("\n")
    assert lines[0] == f"shiftfix: {len(lines) - 1} things stand in the way:"
    assert all(line.startswith("  - ") for line in lines[1:])


def test_both_files_and_the_folder_are_looked_at(tmp_path):
    (tmp_path / "f").write_text("x")
    result = run(tmp_path / "no.csv", tmp_path / "none.csv", tmp_path / "f", *COVARIATE)
    for words in ["no.csv", "none.csv", "is a file"]:
        assert words in result.stderr
    assert result.exit_code == 5


# What is written ---------------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_text_that_a_spreadsheet_would_run_gets_an_apostrophe(tmp_path, start):
    cell = f'{start}HYPERLINK("http://x")'
    frame = pd.DataFrame({"n": [-1.5, 2e-300], cell: [cell, "plain"], "t": ["-1.5", "+3"]})
    harmless_table(frame).to_csv(tmp_path / "f.csv", index_label="row")
    found = pd.read_csv(tmp_path / "f.csv", dtype=str)
    assert list(found.columns) == ["row", "n", f"'{cell}", "t"]
    assert found[f"'{cell}"].tolist() == [f"'{cell}", "plain"]
    assert found["n"].astype(float).tolist() == [-1.5, 2e-300]
    assert found["t"].tolist() == ["-1.5", "+3"]
    assert harmless(f" {cell}") == f"' {cell}"


@pytest.mark.slow
@pytest.mark.parametrize("word", ["=1+1", "@x", "-a"])
def test_no_formula_of_the_files_reaches_the_results(tmp_path, word):
    source, target = good()
    source["y"] = source["y"].replace("no", word)
    keys = [f"{word}{k}" for k in range(60)]
    result = run(source.assign(key=keys), target.assign(key=keys), tmp_path / "out", *COVARIATE, "--id", "key")
    assert result.exit_code == 0, result.stderr
    for file in ("predictions.csv", "weights.csv"):
        cells = [cell for line in (tmp_path / "out" / file).read_text().splitlines() for cell in line.split(",")]
        assert not [cell for cell in cells if cell[:1] in "=+@" and cell] + [cell for cell in cells if cell[:2] == "-a"]


# Names that would forge lines --------------------------------------------------------------------

FORGED = "a\nverdict  ok\x1b[2J\u202e"


@pytest.mark.slow
@pytest.mark.parametrize("place", ["feature", "value", "class", "label", "weight", "id", "drop", "path"])
@pytest.mark.parametrize("broken", [False, True])
def test_nothing_of_the_files_forges_a_line(tmp_path, place, broken):
    source, target = good()
    options, label, folder = [], "y", tmp_path
    if place == "feature":
        source, target = (frame.rename(columns={"a": FORGED}) for frame in (source, target))
    elif place == "value":
        source["b"], target["b"] = (frame["b"].replace("red", FORGED) for frame in (source, target))
    elif place == "class":
        source["y"] = source["y"].replace("no", FORGED)
    elif place == "label":
        source, label = source.rename(columns={"y": FORGED}), FORGED
    elif place in ("weight", "id", "drop"):
        source[FORGED] = range(1, 61)
        options = [f"--{place}", FORGED]
    if broken:
        target = target.drop(columns=target.columns[:1]).assign(**{FORGED + "2": 1})
        source[label] = [None, *source[label][1:]]
        options = [*options, "--drop", FORGED + "3"]
    out = folder / ("out" if place != "path" else FORGED.replace("\x1b", ""))
    result = run(source, target, out, *LABEL, *options, label=label)
    assert result.exit_code == (3 if broken else 0), result.output
    printed = result.stdout + result.stderr
    if not broken:
        printed += (out / "summary.txt").read_text(encoding="utf-8")
    assert "\x1b" not in printed
    assert "\u202e" not in printed
    assert not any(line.startswith("verdict  ok") for line in printed.split("\n"))
