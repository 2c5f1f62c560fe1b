"""Check the two samples, alone and against each other, and take them apart.

Every message says which column, what was found, what is needed and what to do; all of them come at once.
"""

from collections.abc import Set
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftfix.cli._cells import Role, sort_words
from shiftfix.cli._columns import Column, feature_frame
from shiftfix.cli._exit import InputError
from shiftfix.cli._files import Table
from shiftfix.cli._ids import identifier_doubt, identifier_problem
from shiftfix.cli._labels import KnownLabels, known_target_labels, read_label, target_labels
from shiftfix.cli._refusals import Refusals
from shiftfix.cli._roles import Roles, check_roles, check_same_features, shared_features
from shiftfix.cli._words import argument, listed, out_of, quoted

# A text column with more values than this is an identifier or free text, not a category.
MOST_CATEGORIES = 1000
MISSING = "(missing)"
# The end of messages about columns of two kinds.
STRAY = (
    "A stray word or unit in one cell turns a whole CSV column into text; for one that means missing pass --missing."
)


@dataclass
class Tables:
    """The two samples, checked.

    Attributes
    ----------
    source, target : pandas.DataFrame
        Features only, in the order of the source file: float64, and str with NaN for missing.
    y : ndarray of shape (n_source,)
        Labels: str, int64, or float64 for regression.
    y_target : ndarray of shape (n_target,) or None
        Labels of the target rows where the file has them all; never used for fitting.
    known : KnownLabels or None
        Labels of some target rows, to learn from.
    sample_weight : ndarray of shape (n_source,) or None
        Raw, as in the file.
    ids : pair of (ndarray of str or None)
        Of the source and of the target rows, as in the files.
    task : {"classification", "regression"}
    numeric, text : list of str
        Columns of each kind.
    dates : list of str
        Those of the numeric ones that are days since 1970.
    notices : list of str
        What was ignored or filled in.
    """

    source: Any
    target: Any
    y: NDArray[Any]
    y_target: NDArray[Any] | None
    sample_weight: NDArray[np.float64] | None
    ids: tuple[NDArray[Any] | None, NDArray[Any] | None]
    task: str
    numeric: list[str]
    text: list[str]
    notices: list[str] = field(default_factory=list)
    known: KnownLabels | None = None
    dates: list[str] = field(default_factory=list)


def prepare_tables(
    source: Table,
    target: Table,
    roles: Roles,
    *,
    shift: str,
    task: str,
    unseen_category: str,
    refusals: Refusals,
) -> Tables | None:
    """Check two tables and take them apart.

    Parameters
    ----------
    source, target : CsvTable or ParquetTable
    roles : Roles
        Labels of the target are set apart; weights are the source's; identifiers may be in either.
    shift : {"auto", "covariate", "label"}
    task : {"auto", "classification", "regression"}
    unseen_category : {"error", "ignore"}
    refusals : Refusals
        Added to: InputError for data that cannot be used, UsageError when one column is given two roles.

    Returns
    -------
    Tables or None
        None where the labels cannot be read. Not to be used when there are refusals.
    """
    notices: list[str] = []
    refusals.of(check_roles, roles)
    labels = _read_labels(source, target, roles, task, shift, notices, refusals)
    tables = _prepared_features(source, target, roles, unseen_category, notices, refusals)
    if labels is None:
        return None
    y, y_target, task = labels
    known = refusals.of(_labels_to_learn, source, target, roles, y, task, notices)
    return replace(tables, y=y, y_target=y_target, task=task, known=known)


def prepare_unlabelled(
    source: Table, target: Table, roles: Roles, *, unseen_category: str, refusals: Refusals
) -> Tables:
    """As :func:`prepare_tables` of samples whose labels, if they have any, are left out: ``y`` is empty."""
    refusals.of(check_roles, roles)
    return _prepared_features(source, target, roles, unseen_category, [], refusals)


def _prepared_features(
    source: Table, target: Table, roles: Roles, unseen_category: str, notices: list[str], refusals: Refusals
) -> Tables:
    sample_weight = _weights(source, target, roles.weight, notices, refusals)
    features = refusals.of(shared_features, source, target, roles) or []
    if features:
        refusals.of(check_same_features, features, target, roles)
    usable = _usable(source, target, features, unseen_category, notices, refusals)
    return Tables(
        feature_frame([ours for ours, _ in usable], len(source)),
        feature_frame([theirs for _, theirs in usable], len(target)),
        np.empty(0),
        None,
        sample_weight,
        (_written(source, roles.id), _written(target, roles.id)),
        "",
        numeric=[ours.name for ours, _ in usable if ours.is_number],
        text=[ours.name for ours, _ in usable if not ours.is_number],
        notices=notices,
        dates=[ours.name for ours, _ in usable if ours.kind == "date"],
    )


def _written(table: Table, name: str | None) -> NDArray[Any] | None:
    """Cells of a column as the file has them, or None where it lacks the column."""
    return table.written(name) if name is not None and name in table.columns else None


def _usable(
    source: Table, target: Table, features: list[str], unseen_category: str, notices: list[str], refusals: Refusals
) -> list[tuple[Column, Column]]:
    """The features that nothing speaks against, from both samples."""
    columns = [(source.column(name), target.column(name)) for name in features if name in target.columns]
    usable = [pair for pair in columns if not _noted(_problems(*pair), refusals)]
    for ours, theirs in usable:
        notices += _remarks(ours, theirs)
        if not ours.is_number:
            refusals.of(_check_text, ours, theirs, unseen_category, notices)
    return usable


def _noted(problems: list[str], refusals: Refusals) -> bool:
    for problem in problems:
        refusals.add(problem)
    return bool(problems)


def _read_labels(
    source: Table, target: Table, roles: Roles, task: str, shift: str, notices: list[str], refusals: Refusals
) -> tuple[NDArray[Any], NDArray[Any] | None, str] | None:
    """Labels of both samples and the task, or None where those of the source cannot be read."""
    label = roles.label
    if label is None or label not in source.columns:
        return None
    role: Role = "class" if task == "classification" else "label"
    column = source.column(label, role)
    read = refusals.of(read_label, column, task, shift)
    if read is None:
        return None
    notices += [column.remark] if column.remark else []
    y, task = read
    scored = label in target.columns and roles.target_labels != label
    return y, target_labels(target.column(label, role), y, notices) if scored else None, task


def _labels_to_learn(
    source: Table, target: Table, roles: Roles, y: NDArray[Any], task: str, notices: list[str]
) -> KnownLabels | None:
    """Labels of some target rows, read as the source's are."""
    name = roles.target_labels
    if name is None or name not in target.columns:
        return None
    # Among words numbers are words too, although those alone that are known may look like numbers.
    known = known_target_labels(target.column(name, "text" if y.dtype.kind in "US" else "label"), y, task)
    if name in source.columns and name != roles.label:
        notices.append(f"the source's column {name!r} was ignored: --target-labels is about target rows.")
    alone = ", so none is scored" if name == roles.label else ""
    notices.append(
        f"the target's column {name!r} holds {out_of(len(known.y), 'label')} in {out_of(len(target), 'row')}, used for "
        f"fitting{alone}."
    )
    return known


def _weights(
    source: Table, target: Table, weight: str | None, notices: list[str], refusals: Refusals
) -> NDArray[np.float64] | None:
    if weight is None or weight not in source.columns:
        return None
    if weight in target.columns:
        notices.append(f"the target's column {weight!r} was ignored: --weight is about source rows.")
    return refusals.of(_read_weight, source.column(weight))


def _read_weight(column: Column) -> NDArray[np.float64]:
    weight = f"--weight {argument(column.name)}"
    if column.problem:
        raise InputError(f"{weight}: {column.problem}")
    if not column.is_number:
        held = "nothing" if column.missing.all() else "text"
        raise InputError(f"{weight}: the column holds {held}, and one number >= 0 per source row is needed.")
    values = column.values
    bad = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if bad.size:
        raise InputError(
            f"{weight}: {bad.size} values are missing, infinite or negative (rows {listed(bad)}, "
            "counted from 0), and one number >= 0 per source row is needed."
        )
    if not values.any():
        raise InputError(f"{weight}: every value is 0, so that no source row counts.")
    return values


def _problems(source: Column, target: Column) -> list[str]:
    """Why a feature cannot be used."""
    alone = [problem for column in (source, target) for problem in _alone(column)]
    if alone:
        return alone
    found = _unlike(source, target) or identifier_problem(source, target)
    return [found] if found else []


def _alone(column: Column) -> list[str]:
    """Why a column of one sample cannot be used."""
    if column.problem:
        return [column.problem]
    if column.kind == "empty":
        return [
            f"column {column.name!r} is empty in every {column.table} row: leave it out with --drop "
            f"{argument(column.name)}, or fill it in."
        ]
    return infinities(column, f"{column.table} rows")


def infinities(column: Column, rows: str) -> list[str]:
    """What is wrong with the numbers of a column, when some are infinite; ``rows`` is what messages call its rows."""
    infinite = np.flatnonzero(np.isinf(column.values)) if column.is_number else np.array([])
    if not infinite.size:
        return []
    return [
        f"column {column.name!r} is infinite in {infinite.size} {rows} (rows {listed(infinite)}, counted from 0): "
        "correct them, or leave them empty to count as missing."
    ]


def _unlike(source: Column, target: Column) -> str:
    """What is wrong with a column that is of one kind in one sample and of another in the other; "" when alike."""
    if source.kind == target.kind:
        return ""
    number, other, column = ("source", "target", target) if source.is_number else ("target", "source", source)
    if source.is_number and target.is_number:
        return (
            f"column {source.name!r} holds a {source.kind} in the source and a {target.kind} in the target: make both "
            "alike."
        )
    return (
        f"column {source.name!r} is numeric in the {number} and text in the {other} (such as "
        f"{quoted(telling(column))}): make both alike. {STRAY}"
    )


def telling(column: Column) -> str:
    """A value that shows best why a column is text."""
    return next((word for word in column.present if sort_words([word]).other), column.present[0])


def _remarks(source: Column, target: Column) -> list[str]:
    """What the user may want to know of a feature that can be used."""
    remarks = [source.remark, target.remark, identifier_doubt(source, target)]
    gaps = int(target.missing.sum())
    if source.is_number and gaps and not source.missing.any():
        remarks.append(
            f"column {source.name!r} is missing in {gaps} target rows and in no source row: the "
            "median was filled in there, and nothing else can be learned about such rows."
        )
    return [remark for remark in remarks if remark]


def _check_text(source: Column, target: Column, unseen_category: str, notices: list[str]) -> None:
    """Values of the target that no source row has: nothing was learned about them."""
    known = set(categories(source.values))
    if len(known) > MOST_CATEGORIES:
        name = argument(source.name)
        raise InputError(
            f"text column {source.name!r} has {len(known)} different values in the source, and at most "
            f"{MOST_CATEGORIES} are taken for categories: group them, carry the column with --id {name} if it names "
            f"the rows, or leave it out with --drop {name}."
        )
    remedy = ", so that no weight can stand for them: group the values, drop those rows or the column (--drop)"
    problem = unseen_problem(known, target, "target rows and in no source row", remedy, unseen_category, notices)
    if problem:
        raise InputError(problem)


def unseen_problem(
    known: Set[str], column: Column, rows: str, remedy: str, unseen_category: str, notices: list[str]
) -> str:
    """What is wrong with values of a text column that are none of the known ones; "" and a notice where ignored.

    Parameters
    ----------
    known : set of str
        As of :func:`categories`.
    column : Column
    rows : str
        What messages call the rows that have such values, in the plural.
    remedy : str
        What the user can do besides ignoring them.
    unseen_category : {"error", "ignore"}
    notices : list of str
        Added to.
    """
    unseen = [value for value in categories(column.values) if value not in known]
    if not unseen:
        return ""
    values = listed(sorted(set(unseen)))
    if unseen_category == "error":
        return (
            f"column {column.name!r} has the values {values} in {len(unseen)} {rows}{remedy}, or pass "
            "--unseen-category ignore to encode them as none of the known ones."
        )
    notices.append(
        f"column {column.name!r}: the values {values} are in {len(unseen)} {rows}; they were encoded as none of the "
        "known ones."
    )
    return ""


def categories(values: NDArray[Any]) -> list[str]:
    """Values of a text column, with a word for a missing one."""
    return [MISSING if value != value else value for value in values.tolist()]
