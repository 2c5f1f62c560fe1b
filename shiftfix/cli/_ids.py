"""Columns that name rows instead of describing them: no model may learn from those."""

from shiftfix._all_numbers import are_all_whole
from shiftfix.cli._columns import Column
from shiftfix.cli._words import argument

# Rows from which on text that never repeats is taken for names of rows.
LEAST_ROWS = 20
# Pairs of rows that should have agreed by chance, and did not: e^-7 is a chance below 0.001.
EXPECTED_PAIRS = 7.0


def identifier_problem(source: Column, target: Column) -> str:
    """Why a feature is taken for an identifier; "" when it is not."""
    if source.kind == "text" and target.kind == "text":
        n_rows = len(source.values)
        return _identifier(source, f"has {n_rows} different values in {n_rows} source rows") if _tells(source) else ""
    if source.kind == "number" and are_all_whole(source.present) and are_all_whole(target.present):
        return _number_identifier(source, target)
    return ""


def _number_identifier(source: Column, target: Column) -> str:
    if _never_repeats(source) and _is_unique(target):
        return _identifier(source, "holds a different whole number in every row, though some would agree by chance")
    if _tells(source) and _is_unique(target) and outside(source, target):
        return _identifier(source, f"holds a different whole number in every row, {_ranges(source, target)}")
    return ""


def _tells(column: Column) -> bool:
    """Whether a column tells apart so many rows that it may name them."""
    return len(column.values) >= LEAST_ROWS and _is_unique(column)


def identifier_doubt(source: Column, target: Column) -> str:
    """What to say of a number that may name rows; "" when nothing."""
    if not (source.is_number and target.is_number):
        return ""
    remedy = f"if it is an identifier, pass --id {argument(source.name)} or --drop {argument(source.name)}."
    if outside(source, target):
        ranges = _ranges(source, target)
        return f"column {source.name!r}: no target value is within the source's range ({ranges}); {remedy}"
    if source.kind == "number" and are_all_whole(source.present) and _tells(source):
        return f"column {source.name!r} holds a different whole number in every source row; {remedy}"
    return ""


def _identifier(column: Column, found: str) -> str:
    name = argument(column.name)
    return (
        f"column {column.name!r} {found}: it is taken for an identifier, from which nothing can be learned. Pass --id "
        f"{name} to find it in the results, or --drop {name} to leave it out."
    )


def _is_unique(column: Column) -> bool:
    """Whether the values are all there and all different."""
    return not column.missing.any() and len(set(column.values.tolist())) == len(column.values)


def _never_repeats(column: Column) -> bool:
    """Whether whole numbers differ in all rows although rows drawn at random, most evenly, would agree somewhere."""
    n_rows, values = len(column.values), column.present
    return _is_unique(column) and n_rows * (n_rows - 1) / 2 > EXPECTED_PAIRS * (values.max() - values.min() + 1)


def outside(source: Column, target: Column) -> bool:
    """Whether all numbers of the target are above, or all below, all of the source."""
    low, high = source.present.min(), source.present.max()
    return bool(target.present.min() > high or target.present.max() < low)


def _ranges(source: Column, target: Column) -> str:
    spans = [f"{column.present.min():.10g} to {column.present.max():.10g}" for column in (source, target)]
    return f"{spans[0]} in the source and {spans[1]} in the target"
