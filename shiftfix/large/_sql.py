"""A fitted weight as one SQL expression, for data that stay in a database.

    exp(min(max(min(b + sum_j s_j (x_j - m_j) + log(n_source / n_target), 500), -500), log c) - log mean)

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

    terms = [number(point.intercept)]
    for name, slope, centre in zip(names, point.slope, point.centre, strict=True):
        column = f"CAST({quoted_name(name, dialect)} AS {DOUBLES[dialect]})"
        terms.append(f"{number(slope)} * ({column} - {number(centre)})")
    log_w = f"({' + '.join(terms)}) + {number(log_size)}"
    log_w = f"GREATEST(LEAST({log_w}, {number(LOG_RATIO_BOUND)}), {number(-LOG_RATIO_BOUND)})"
    if np.isfinite(log_clip):
        log_w = f"LEAST({log_w}, {number(log_clip)})"
    return f"EXP({log_w} - {number(log_mean)})"
