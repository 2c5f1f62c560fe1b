"""What the columns of two samples are for: which are features, and which an option gives another part."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from shiftfix._naming import differences
from shiftfix.cli._exit import InputError, UsageError
from shiftfix.cli._words import argument, lacks_and_adds, listed

# Columns of our own files, which an identifier would stand beside.
OUR_COLUMNS = ("row", "prediction", "weight", "total_weight")
OUR_NUMBERED = re.compile(r"probability_.*|prediction_\d+", re.DOTALL)


class HasColumns(Protocol):
    """A sample by the names of its columns."""

    @property
    def columns(self) -> Sequence[str]:
        """Names of the columns, in order."""


class Roles(NamedTuple):
    """Columns that are no features.

    Attributes
    ----------
    label, weight, id : str or None
        A label is there unless only weights are wanted.
    drop : list of str
    target_labels : str or None
        Column of the target alone, which may be ``label``.
    """

    label: str | None
    weight: str | None
    id: str | None
    drop: list[str]
    target_labels: str | None = None

    @property
    def taken(self) -> list[str]:
        """All of them."""
        return [*(name for name, _ in self.by_option), *([] if self.target_labels is None else [self.target_labels])]

    @property
    def by_option(self) -> list[tuple[str, str]]:
        """Each column of the source and the option that names it."""
        given = [("--label", self.label), ("--weight", self.weight), ("--id", self.id)]
        return [(name, option) for option, name in given if name is not None] + [(name, "--drop") for name in self.drop]


def check_roles(roles: Roles) -> None:
    """Raise for a column with two roles, or an identifier whose name the results need."""
    counts = Counter(roles.taken)
    # One column may hold the labels of both files.
    counts[str(roles.label)] -= roles.label is not None and roles.label == roles.target_labels
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise UsageError(
            f"column {listed(twice)} is given more than one role among --label, --target-labels, --weight, --id and "
            "--drop: give it one."
        )
    check_identifier(roles.id)


def check_identifier(name: str | None) -> None:
    """Raise UsageError for an identifier whose name the results need."""
    if name is not None and (name in OUR_COLUMNS or OUR_NUMBERED.fullmatch(name)):
        raise UsageError(f"--id {argument(name)}: the results have a column of this name; rename it in the files.")


def _lost(source: HasColumns, target: HasColumns, roles: Roles) -> list[str]:
    """What to say of each option whose column is not there; an identifier may be in either table."""
    lost = [
        f"{option} {argument(column)}: the source has no such column; it has {listed(source.columns)}. Name "
        "one of them."
        for column, option in roles.by_option
        if column not in [*source.columns, *(target.columns if option == "--id" else [])]
    ]
    if roles.target_labels not in [None, *target.columns]:
        lost.append(
            f"--target-labels {argument(str(roles.target_labels))}: the target has no such column; it has "
            f"{listed(target.columns)}. Name one of them."
        )
    return lost


def shared_features(source: HasColumns, target: HasColumns, roles: Roles) -> list[str]:
    """Feature columns, which source and target must share."""
    lost = _lost(source, target, roles)
    features = [column for column in source.columns if column not in roles.taken]
    if lost:
        raise InputError(*lost)
    if not features:
        raise InputError(f"the source has no column besides {listed(roles.taken)}: at least one feature is needed.")
    return features


def check_same_features(features: list[str], target: HasColumns, roles: Roles) -> None:
    said = lacks_and_adds(*differences(features, [column for column in target.columns if column not in roles.taken]))
    if said:
        hint = " A label is left out with --label." if roles.label is None else ""
        raise InputError(
            f"the columns of source and target differ: the target {said}. Both need the same "
            f"features: add or rename the columns, or leave them out with --drop (in both files) or by hand.{hint}"
        )
