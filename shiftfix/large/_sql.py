"""A fitted weight as one SQL expression, for data that stay in a database.

    exp(min(max(min(b + sum_j s_j (x_j - m_j) + log(n_source / n_target), 500), -500), log c) - log mean)

and NULL for a row with a value that is missing, no number or infinite, which fitted data may not hold.
Values are taken less their means before they are multiplied, as in memory: seconds since 1970 keep their digits.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from shiftfix._setting_checks import check_option
from shiftfix.covariate import LOG_RATIO_BOUND
from shiftfix.exceptions import ShiftDataError
from shiftfix.large._logistic_sums import LogisticPoint

Dialect = Literal["duckdb", "postgres", "snowflake", "spark", "bigquery", "mysql"]
# Dialects that tell upper from lower case between quotes.
CASE_TELLS = ("postgres", "snowflake")
# Of log odds that are finite.
LARGEST_SUM = 1e308
# Quotes around a name, and the type of double precision.
QUOTES = {"spark": "`", "bigquery": "`", "mysql": "`"}
DOUBLES = {
    "duckdb": "DOUBLE",
    "postgres": "DOUBLE PRECISION",
    "snowflake": "DOUBLE",
    "spark": "DOUBLE",
    "bigquery": "FLOAT64",
    "mysql": "DOUBLE",
}


def quoted_name(name: str, dialect: str) -> str:
    """A column's name in the quotes of a dialect.

    Raises
    ------
    ShiftDataError
        For a name that BigQuery's or Spark's quotes cannot hold.
    """
    quote = QUOTES.get(dialect, '"')
    if quote in name and dialect == "bigquery":
        raise ShiftDataError(f"Column {name!r} holds a backtick, which no BigQuery name may: rename it.")
    return quote + name.replace(quote, quote * 2) + quote


def double_literal(value: float, dialect: str) -> str:
    """A number with all its digits, as double precision: without its exponent many take it for a decimal."""
    return f"CAST('{float(value):.17e}' AS {DOUBLES[dialect]})"


def weight_expression(
    point: LogisticPoint,
    log_size: float,
    log_clip: float,
    log_mean: float,
    names: Sequence[str],
    dialect: str,
) -> str:
    """The weight of a row as an SQL expression of its columns.

    Parameters
    ----------
    point : LogisticPoint
    log_size : float
        log(n_source / n_target).
    log_clip : float
        Logarithm of the clip; infinity for none.
    log_mean : float
        Logarithm of what clipped weights are divided by; 0 for nothing.
    names : sequence of str
    dialect : {"duckdb", "postgres", "snowflake", "spark", "bigquery", "mysql"}
    """
    check_option(dialect, "dialect", DOUBLES)

    def number(value: float) -> str:
        return double_literal(value, dialect)

    _refuse_confused(names, dialect)
    terms = [number(point.intercept)]
    for name, slope, centre in zip(names, point.slope, point.centre, strict=True):
        column = f"CAST({quoted_name(name, dialect)} AS {DOUBLES[dialect]})"
        terms.append(f"{number(slope)} * ({column} - {number(centre)})")
    found = f"{_balanced_sum(terms)} + {number(log_size)}"
    log_w = f"GREATEST(LEAST({found}, {number(LOG_RATIO_BOUND)}), {number(-LOG_RATIO_BOUND)})"
    if np.isfinite(log_clip):
        log_w = f"LEAST({log_w}, {number(log_clip)})"
    # Least and greatest pass over NULL, and databases take NaN for the largest number: such a row has no weight.
    finite = f"{found} BETWEEN {number(-LARGEST_SUM)} AND {number(LARGEST_SUM)}"
    return f"CASE WHEN {finite} THEN EXP({log_w} - {number(log_mean)}) END"


def _balanced_sum(terms: Sequence[str]) -> str:
    """Terms added in pairs of halves: databases bound how deep an expression may be."""
    if len(terms) == 1:
        return terms[0]
    half = len(terms) // 2
    return f"({_balanced_sum(terms[:half])} + {_balanced_sum(terms[half:])})"


def _refuse_confused(names: Sequence[str], dialect: str) -> None:
    """Raise for columns that differ in upper and lower case alone, where a dialect does not tell them apart."""
    known: dict[str, str] = {}
    for name in names if dialect not in CASE_TELLS else ():
        other = known.setdefault(name.casefold(), name)
        if other != name:
            raise ShiftDataError(
                f"Columns {other!r} and {name!r} are one to {dialect}, which does not tell upper from lower case: "
                "rename one of them."
            )
