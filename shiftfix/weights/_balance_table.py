"""The table of a balance check, and how it is printed."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shiftfix._naming import one_line
from shiftfix._printed import Printed, Printout
from shiftfix._setting_checks import import_optional

# |SMD| that is usually called balanced (Austin 2009); shown only where sampling error does not explain it.
BALANCED = 0.1
PRINTED_ROWS = 20


@dataclass(frozen=True)
class BalanceTable(Printed):
    """Standardised mean differences before and after weighting; ``print`` it for a short table, worst first.

    Each array has one entry per row of the table, features in the order given, then squares, then scores.

    Attributes
    ----------
    names : tuple of str
        Feature name; ``name^2`` for a square; ``"score"`` and ``"|score|"``.
    kinds : tuple of {"feature", "square", "score"}
    source_mean, weighted_mean, target_mean : ndarray of shape (n_entries,)
        In the unit of the feature or score; a square is of the standardised feature, in squared standard deviations.
    scale : ndarray of shape (n_entries,)
        The standard deviation divided by, in the unit of the means.
    before, after : ndarray of shape (n_entries,)
        Standardised mean difference, target minus (weighted) source, in standard deviations. 0 where the
        quantity is one constant in both samples, infinite where it is two different constants.
    se_before, se_after : ndarray of shape (n_entries,)
        Their standard errors, weights and scale taken as fixed.

    See Also
    --------
    balance_table : Moments before and after weighting.
    shiftfix.display.BalanceDisplay : Draws the balance of features.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    source_mean: NDArray[np.float64]
    weighted_mean: NDArray[np.float64]
    target_mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    before: NDArray[np.float64]
    after: NDArray[np.float64]
    se_before: NDArray[np.float64]
    se_after: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def out_of_balance(self) -> NDArray[np.bool_]:
        """Whether the weighted difference exceeds 0.1 and twice its standard error; bools, (n_entries,)."""
        gap = np.abs(self.after)
        return (gap > BALANCED) & (gap > 2 * self.se_after)

    def worst(self, n: int = 3) -> "BalanceTable":
        """The n entries with the largest absolute difference after weighting, as a table, worst first."""
        order = np.argsort(-np.abs(self.after), kind="stable")[:n]
        columns: dict[str, Any] = {}
        for field in fields(self):
            values = getattr(self, field.name)
            columns[field.name] = tuple(values[i] for i in order) if isinstance(values, tuple) else values[order]
        return BalanceTable(**columns)

    def to_frame(self) -> Any:
        """The whole table as a pandas DataFrame, one row per entry, in the order of the features.

        Raises
        ------
        MissingDependencyError
            When pandas is not installed.
        """
        pandas = import_optional("pandas", "cli")
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        return pandas.DataFrame(columns | {"out_of_balance": self.out_of_balance})

    def _cells(self) -> Iterator[tuple[str, str, str, str]]:
        shown = self.worst(PRINTED_ROWS)
        for name, *numbers, mark in zip(
            shown.names, shown.before, shown.se_before, shown.after, shown.se_after, shown.out_of_balance, strict=True
        ):
            before, se_before, after, se_after = numbers
            yield (
                one_line(name),
                f"{before:+.3f} ({se_before:.3f})",
                f"{after:+.3f} ({se_after:.3f})",
                "*" if mark else "",
            )

    def _foot(self) -> str:
        rest = len(self) - PRINTED_ROWS
        found = f"{self.out_of_balance.sum()} of {len(self)} beyond {BALANCED} and two standard errors (*)"
        return found + (f"; {rest} smaller ones not shown" if rest > 0 else "")

    def __str__(self) -> str:
        width = max(24, *(min(len(name), 40) for name in self.names)) + 1
        lines = [f"{'target - source, in SD':<{width}}{'before (s.e.)':>17}{'after (s.e.)':>17}"]
        lines += [
            f"{name if len(name) <= 40 else name[:39] + '…':<{width}}{before:>17}{after:>17} {mark}".rstrip()
            for name, before, after, mark in self._cells()
        ]
        return "\n".join([*lines, self._foot()])

    def _printout(self) -> Printout:
        rows = tuple((name, before, f"{after} {mark}") for name, before, after, mark in self._cells())
        return Printout(rows, ("target - source, in SD", "before (s.e.)", "after (s.e.)"), foot=(self._foot(),))
