"""The rows to stop by, as they are given to ``fit``: an eval_set, or X_val, y_val and sample_weight_val."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from shiftfix.exceptions import ShiftDataError
from shiftfix.mlp._inputs import parts_of_eval_set
from shiftfix.mlp._module_datasets import is_dataset


@dataclass(frozen=True)
class Names:
    """What messages call the arguments of some rows: what stands ahead of "X", "y" and "sample_weight", and behind."""

    ahead: str = ""
    behind: str = ""

    def of(self, argument: str) -> str:
        """Of one of them."""
        return f"{self.ahead}{argument}{self.behind}"


@contextmanager
def rows_named(name: str) -> Iterator[None]:
    """Say which rows they were when the block refuses some as "X", as it calls all of them."""
    try:
        yield
    except ValueError as error:
        said = str(error)
        if name in said:
            raise
        raise ShiftDataError(f"{name} cannot be used: {said}") from error


TRAINING, EVAL_SET, VALIDATION = Names(), Names("the eval_set's "), Names(behind="_val")


@dataclass(frozen=True)
class RowsToStopBy:
    """Rows as they were given, unchecked, and what messages call them."""

    X: Any
    y: Any
    sample_weight: Any
    names: Names

    @property
    def whole(self) -> str:
        """What messages call all of it."""
        return "eval_set" if self.names is EVAL_SET else "X_val"


def held_out_rows(
    eval_set: Any, X_val: Any, y_val: Any, sample_weight_val: Any, early_stopping: Any = "auto"
) -> RowsToStopBy | None:
    """The rows to stop by, where any are given.

    Parameters
    ----------
    eval_set : tuple (X, y) or (X, y, sample_weight), Dataset, DataLoader or None
    X_val, y_val, sample_weight_val : array-like or None
        In a Dataset the X brings the others along.
    early_stopping : {"auto", True, False}

    Raises
    ------
    ShiftDataError
        For both, for y_val or sample_weight_val without X_val, X_val without y_val, an eval_set that is no such tuple,
        and X_val without early stopping.
    """
    if X_val is None:
        _refuse_lone(y_val=y_val, sample_weight_val=sample_weight_val)
        return None if eval_set is None else _of_eval_set(eval_set)
    if eval_set is not None:
        raise ShiftDataError("eval_set and X_val are both given, and are two names of the rows to stop by: drop one.")
    if y_val is None and not is_dataset(X_val):
        raise ShiftDataError("X_val is given without y_val: pass one y per row of X_val.")
    if early_stopping is False:
        raise ShiftDataError("X_val is given with early_stopping=False: drop one of them.")
    return RowsToStopBy(X_val, y_val, sample_weight_val, VALIDATION)


def _refuse_lone(**given: Any) -> None:
    """Raise ShiftDataError for what is given without the rows that it belongs to."""
    for name, value in given.items():
        if value is not None:
            raise ShiftDataError(f"{name} is given without X_val: pass the rows that it belongs to.")


def _of_eval_set(eval_set: Any) -> RowsToStopBy:
    X, y, sample_weight = (eval_set, None, None) if is_dataset(eval_set) else parts_of_eval_set(eval_set)
    return RowsToStopBy(X, y, sample_weight, EVAL_SET)
