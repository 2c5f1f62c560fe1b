"""The tables that the preset for tables is measured on, in two halves that were fixed before any fit.

Rules are chosen on "design" and confirmed once on "confirm". Each table is a frame and a y; categories are text.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn import datasets as sklearn_datasets

from tests.benchmarks.natural import tables
from tests.benchmarks.natural.tables import wooldridge

# Rows at most, two thirds of them to learn from.
MOST_ROWS = 3000
WAGES = ["educ", "exper", "tenure", "nonwhite", "female", "married", "numdep", "smsa", "northcen", "south", "west"]


class Table(NamedTuple):
    """Rows, what they are called by, and whether these are classes."""

    X: pd.DataFrame
    y: np.ndarray
    is_classes: bool


def _numbers(load: Any, is_classes: bool) -> Table:
    found = load()
    return Table(pd.DataFrame(found.data).add_prefix("x"), found.target, is_classes)


def _column(table: pd.DataFrame, y: str, is_classes: bool, drop: tuple[str, ...] = ()) -> Table:
    X = table.drop(columns=[y, *drop])
    for name in X.columns:
        if X[name].dtype.kind in "biuf":
            X[name] = X[name].astype(float).fillna(X[name].astype(float).median())
        else:
            X[name] = X[name].astype(str)
    return Table(X, table[y].to_numpy(), is_classes)


def _as_text(table: pd.DataFrame, *names: str) -> pd.DataFrame:
    return table.assign(**{name: "level " + table[name].astype(str) for name in names})


def _wine(color: str, is_classes: bool) -> Table:
    table = tables.wine()
    table = table[table["color"] == color] if "color" in table else table
    if is_classes:  # a class of five rows is none
        table = table.assign(quality=table["quality"].clip(4, 8))
    return _column(table, "quality", is_classes, ("color",))


def _airfoil() -> Table:
    found = tables.bundled("airfoil")
    return Table(pd.DataFrame(found.data).add_prefix("x"), found.target, False)


def _california() -> Table:
    found = tables.bundled("california_housing")
    table = pd.DataFrame(found.data, columns=found.feature_names).assign(
        ocean=found.ocean_proximity, value=found.target
    )
    return _column(table, "value", False)


DESIGN = {
    "adult": lambda: _column(tables.adult(), "rich", True),
    "airfoil": _airfoil,
    "breast_cancer": lambda: _numbers(sklearn_datasets.load_breast_cancer, True),
    "digits": lambda: _numbers(sklearn_datasets.load_digits, True),
    "gpa2": lambda: _column(wooldridge("gpa2"), "colgpa", False),
    "hprice2": lambda: _column(wooldridge("hprice2"), "lprice", False, ("price",)),
    "mroz": lambda: _column(wooldridge("mroz").iloc[:, :22], "inlf", True, ("hours", "wage", "repwage", "lwage")),
    "wine_white": lambda: _wine("white", True),
}
CONFIRM = {
    "401ksubs": lambda: _column(wooldridge("401ksubs"), "e401k", True, ("p401k", "pira")),
    "california": _california,
    "diabetes": lambda: _numbers(sklearn_datasets.load_diabetes, False),
    "elec2": lambda: _column(tables.elec2(), "class", True, ("date",)),
    "heart": lambda: _column(_as_text(tables.heart(), "cp", "restecg"), "sick", True),
    "wage1": lambda: _column(wooldridge("wage1")[["lwage", *WAGES]], "lwage", False),
    "wine_cultivars": lambda: _numbers(sklearn_datasets.load_wine, True),
    "wine_red": lambda: _wine("red", False),
}
HALVES = {"design": DESIGN, "confirm": CONFIRM}


def draw(name: str, seed: int) -> tuple[Table, Table]:
    """Rows to learn from and rows to judge by, drawn anew for each seed."""
    table = (DESIGN | CONFIRM)[name]()
    order = np.random.default_rng(seed).permutation(len(table.y))[:MOST_ROWS]
    parts = np.split(order, [2 * len(order) // 3])
    return tuple(Table(table.X.iloc[part].reset_index(drop=True), table.y[part], table.is_classes) for part in parts)
