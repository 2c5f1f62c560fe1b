"""By which columns do the samples differ? One test for each, adjusted for their number."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import false_discovery_control

from shiftfix._door import public
from shiftfix._numerics import Floats
from shiftfix._permutation import holm
from shiftfix._printed import printed
from shiftfix._setting_checks import check_option
from shiftfix.detect._column_tests import ColumnOutcome, compare_column
from shiftfix.detect._columns import Kind, Recognized, pair_columns, recognize_column
from shiftfix.detect._permuted import check_raw_samples
from shiftfix.detect._result import LEVEL, ShiftTest, stopwatch

Adjustment = Literal["holm", "benjamini-hochberg"]
MOST_NAMED = 4


def _benjamini_hochberg(p_values: ArrayLike) -> Floats:
    return np.asarray(false_discovery_control(p_values, method="bh"))


ADJUSTMENTS: dict[str, Callable[[ArrayLike], Floats]] = {"holm": holm, "benjamini-hochberg": _benjamini_hochberg}


@printed
class ColumnShift(NamedTuple):
    """How one column differs.

    Attributes
    ----------
    name : str
        The user's name, or "column 3" by its position.
    kind : {"number", "category", "identifier", "time stamp"}
    statistic : float
        Chi-squared.
    p_value : float
        Of this column by itself.
    adjusted : float
        Adjusted for the number of columns; 1 for identifiers and time stamps, which are not tested.
    effect_size : float
        Kolmogorov-Smirnov distance of numbers, total variation of categories; from 0 to 1.
    why : str
        Why it is taken for an identifier or a time stamp, or that its ranges do not overlap; else empty.

    See Also
    --------
    feature_tests : Every column by itself.
    FeatureTests : The tests of all columns.
    """

    name: str
    kind: Kind
    statistic: float
    p_value: float
    adjusted: float
    effect_size: float
    why: str

    @property
    def describes_rows(self) -> bool:
        """Whether it is no identifier and no time stamp."""
        return self.kind in ("number", "category")


@dataclass(frozen=True)
class FeatureTests(ShiftTest):
    """Outcome of :func:`feature_tests`: a :class:`ShiftTest` of all columns together, and each of them.

    Attributes
    ----------
    columns : tuple of ColumnShift
        Those that differ most first; identifiers and time stamps last.

    See Also
    --------
    feature_tests : Every column by itself.
    ColumnShift : The test of one column.
    """

    columns: tuple[ColumnShift, ...] = ()

    @property
    def shifted(self) -> tuple[ColumnShift, ...]:
        """Columns that differ at the 5% level, adjusted for their number; the largest difference first."""
        return tuple(column for column in self.columns if column.adjusted <= LEVEL)

    @property
    def identifiers(self) -> tuple[ColumnShift, ...]:
        """Identifiers and time stamps, which belong into no model."""
        return tuple(column for column in self.columns if not column.describes_rows)


def _most_shifted_first(columns: list[ColumnShift]) -> tuple[ColumnShift, ...]:
    return tuple(sorted(columns, key=lambda column: (not column.describes_rows, -column.effect_size, column.name)))


def _shifts(
    names: list[str], kinds: list[Recognized], outcomes: list[ColumnOutcome], adjust: Callable[[ArrayLike], Floats]
) -> list[ColumnShift]:
    """Outcomes with p-values adjusted over the columns that describe rows."""
    tested = np.array([found.kind in ("number", "category") for found in kinds])
    adjusted = np.ones(len(kinds))
    if tested.any():
        adjusted[tested] = adjust(np.array([outcome.p_value for outcome in outcomes])[tested])
    return [
        ColumnShift(name, kind.kind, outcome.statistic, outcome.p_value, float(p), outcome.distance, kind.why)
        for name, kind, outcome, p in zip(names, kinds, outcomes, adjusted, strict=True)
    ]


def _note(columns: tuple[ColumnShift, ...]) -> str:
    """Which columns differ most, and which are no features, in one line."""
    shifted = [f"{column.name} ({column.effect_size:.2f})" for column in columns if column.adjusted <= LEVEL]
    parts = [f"Differ most: {', '.join(shifted[:MOST_NAMED])}."] if shifted else []
    odd = [column for column in columns if column.why]
    parts += [_what_is(column) for column in odd[:MOST_NAMED]]
    parts += [f"And {len(odd) - MOST_NAMED} more such columns."] if len(odd) > MOST_NAMED else []
    return " ".join(parts)


def _what_is(column: ColumnShift) -> str:
    """What an odd column is called."""
    if column.describes_rows:
        return f"{column.name!r} has {column.why}."
    article = "an" if column.kind == "identifier" else "a"
    return f"{column.name!r} is not tested: it looks like {article} {column.kind}, {column.why}."


@public
def feature_tests(X_source: Any, X_target: Any, *, adjust: Adjustment = "holm") -> FeatureTests:
    """Test every column by itself, and say by which of them the samples differ most.

    Numbers are compared by their ranks (location, spread, skewness, two peaks), categories and gaps by their shares.
    Columns that name rows or tell the time differ by construction: they are named and left out.

    Parameters
    ----------
    X_source : array-like or data frame of shape (n_source, n_features)
        Gaps and categories are welcome. Rows in the order of the file: whether a column is sorted tells what it is.
    X_target : array-like or data frame of shape (n_target, n_features)
    adjust : {"holm", "benjamini-hochberg"}, default="holm"
        Holm: at most 5% chance that any column is called shifted wrongly, whatever their dependence.
        Benjamini-Hochberg: at most 5% of those called shifted are so wrongly, on average, for columns that do not
        depend on each other, or positively.

    Returns
    -------
    FeatureTests
        Its p-value is the least adjusted one; its effect size the largest distance of a column's two distributions.

    Raises
    ------
    ShiftDataError
        For sparse rows and fewer than five rows.

    See Also
    --------
    FeatureTests : The tests of all columns.
    classifier_test : Can a model tell source from target rows?
    shiftfix.weights.balance_table : Moments before and after weighting.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X_source, X_target = rng.normal(size=(200, 3)), rng.normal(size=(200, 3)) + [0, 1, 0]
    >>> [column.name for column in feature_tests(X_source, X_target).shifted]
    ['column 1']
    """
    clock = stopwatch()
    source, target, names = check_raw_samples(X_source, X_target)
    adjust = check_option(adjust, "adjust", ADJUSTMENTS)
    is_target = np.repeat([False, True], [source.shape[0], target.shape[0]])
    pairs = pair_columns(source, target, names)
    outcomes = [compare_column(pair, is_target) for pair in pairs]
    kinds = [recognize_column(pair) for pair in pairs]
    columns = _most_shifted_first(_shifts([pair.name for pair in pairs], kinds, outcomes, ADJUSTMENTS[adjust]))
    tested = [column for column in columns if column.describes_rows]
    n_shifted = sum(column.adjusted <= LEVEL for column in tested)
    return FeatureTests(
        max((column.statistic for column in tested), default=0.0),
        min((column.adjusted for column in tested), default=1.0),
        max((column.effect_size for column in tested), default=0.0),
        source.shape[0],
        target.shape[0],
        f"Tests of {len(tested)} columns ({n_shifted} differ at 5%, {adjust})",
        clock(),
        "largest distance",
        _note(columns),
        columns,
    )
