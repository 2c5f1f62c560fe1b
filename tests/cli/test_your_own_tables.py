"""Two tables as a spreadsheet of many countries saves them, through the command line: a first-time user's second task.

Semicolons between the cells, decimal commas, a key in the first column, dates as day.month.year, gaps.
"""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from shiftfix import load_model
from shiftfix.cli._app import app
from shiftfix.exceptions import ShiftDataError


def patients(n, older, first, seed):
    """Patients of a clinic as numbers: age drives the outcome, and is what moves."""
    rng = np.random.default_rng(seed)
    age = rng.normal(50 + older, 9, n)
    return pd.DataFrame(
        {
            "patient": [f"P-{first + k:05d}" for k in range(n)],
            "admitted": pd.Timestamp("2023-01-01") + pd.to_timedelta(rng.integers(0, 300, n), unit="D"),
            "age": age.round(1),
            "creatinine": np.where(rng.random(n) < 0.1, np.nan, rng.gamma(4, 0.3, n).round(2)),
            "ward": rng.choice(["Nord", "Süd"], n),
            "outcome": np.where(rng.logistic(size=n) < (age - 52) / 6, "krank", "gesund"),
        }
    )


def save(frame, path):
    """A frame as a spreadsheet saves it, in the first line of which a byte order mark stands."""
    words = frame.assign(admitted=frame["admitted"].dt.strftime("%d.%m.%Y"))
    words.to_csv(path, sep=";", decimal=",", index=False, encoding="utf-8-sig", lineterminator="\r\n")


def correct(source, target, out, *options):
    arguments = ["correct", source, target, "--label", "outcome", "--shift", "covariate", "--out", out, *options]
    return CliRunner().invoke(app, [*map(str, arguments), "--learner", "logistic"], env={"COLUMNS": "1000"})


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    source, target = patients(600, 0, 1, 0), patients(400, 6, 20001, 1)
    save(source, folder / "source.csv")
    save(target.drop(columns="outcome"), folder / "target.csv")
    return folder, source, target


def test_the_first_try_says_everything_that_is_needed(files):
    folder, *_ = files
    result = correct(folder / "source.csv", folder / "target.csv", folder / "first")
    assert result.exit_code == 3
    for words in ["'patient'", "--id patient", "'admitted'", "--dates days"]:
        assert words in result.stderr
    assert not (folder / "first").exists()


@pytest.mark.slow
def test_the_second_try_works_and_reads_what_was_meant(files):
    folder, source, target = files
    out = folder / "second"
    options = ["--id", "patient", "--dates", "days", "--exponent", "1"]
    result = correct(folder / "source.csv", folder / "target.csv", out, *options)
    assert result.exit_code == 0, result.stderr
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert summary["corrected"]
    assert summary["columns"]["numeric"] == ["admitted", "age", "creatinine"]
    assert summary["columns"]["text"] == ["ward"]
    predictions, weights = (pd.read_csv(out / f"{name}.csv") for name in ("predictions", "weights"))
    assert predictions["patient"].tolist() == target["patient"].tolist()
    assert weights["patient"].tolist() == source["patient"].tolist()
    # exp(6 (x - 53) / 81): a year of age is worth .074 in the log ratio, and its standard error is about .01.
    slope = np.polyfit(source["age"], np.log(weights["weight"]), 1)[0]
    assert slope == pytest.approx(6 / 81, abs=0.03)
    assert (predictions["prediction"] == "krank").mean() > (source["outcome"] == "krank").mean() + 0.1


@pytest.mark.slow
def test_the_same_numbers_as_of_a_plain_file(files):
    """Points and commas, days counted by hand: every weight to the last digit."""
    folder, source, target = files
    for frame, name in [(source, "s"), (target.drop(columns="outcome"), "t")]:
        days = (frame["admitted"] - pd.Timestamp("1970-01-01")).dt.days
        frame.assign(admitted=days).drop(columns="patient").to_csv(folder / f"{name}.csv", index=False)
    assert correct(folder / "s.csv", folder / "t.csv", folder / "plain", "--exponent", "1").exit_code == 0
    options = ["--id", "patient", "--dates", "days", "--exponent", "1"]
    assert correct(folder / "source.csv", folder / "target.csv", folder / "own", *options).exit_code == 0
    for name in ("weights.csv", "predictions.csv"):
        plain, own = (pd.read_csv(folder / run / name) for run in ("plain", "own"))
        assert own.drop(columns="patient").equals(plain)
    # Parquet, which knows its types, says the same.
    source.to_parquet(folder / "s.parquet")
    target.drop(columns="outcome").to_parquet(folder / "t.parquet")
    assert correct(folder / "s.parquet", folder / "t.parquet", folder / "typed", *options).exit_code == 0
    assert pd.read_csv(folder / "typed" / "weights.csv").equals(pd.read_csv(folder / "own" / "weights.csv"))


@pytest.mark.slow
@pytest.mark.parametrize("zone", [None, "Asia/Tokyo"])
def test_the_model_takes_dates_as_dates_in_python(files, zone):
    """Days since 1970 of the date, in any unit; words that were never read as dates are told so, by their column."""
    folder, _, target = files
    out = folder / f"python {zone}".replace("/", " ")
    options = ["--id", "patient", "--dates", "days", "--exponent", "1"]
    result = correct(folder / "source.csv", folder / "target.csv", out, *options)
    assert result.exit_code == 0, result.stderr
    model, written = load_model(out / "model.skops"), pd.read_csv(out / "predictions.csv")
    dates = target["admitted"].astype("datetime64[s]")
    dates = dates if zone is None else dates.dt.tz_localize("UTC").dt.tz_convert(zone)
    found = model.predict_proba(target.assign(admitted=dates))
    np.testing.assert_allclose(found[:, 1], written["probability_krank"], rtol=1e-6)
    with pytest.raises(ShiftDataError, match=r"'admitted' is not one of numbers.*'2023-.*pandas.to_datetime"):
        model.predict(target.assign(admitted=target["admitted"].astype(str)))
