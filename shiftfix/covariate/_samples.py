"""Two samples as the public door has checked them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import _safe_indexing

from shiftfix._numerics import Floats


@dataclass(frozen=True)
class Samples:
    """Source and target rows, checked, and their repeat counts.

    Attributes
    ----------
    all_rows : sequence of two matrices or frames of shape (n_rows, n_features)
        Source and target rows as given.
    all_counts : sequence of two ndarray of shape (n_rows,)
        Their repeat counts, some of which may be 0.
    names : list of str or None
        Names of the columns.
    """

    all_rows: Sequence[Any]
    all_counts: Sequence[Floats]
    names: list[str] | None

    @cached_property
    def present(self) -> list[NDArray[np.bool_]]:
        """Which rows of either sample count at all."""
        return [counts > 0 for counts in self.all_counts]

    @cached_property
    def rows(self) -> list[Any]:
        """The rows that count. A row that counts zero times is no row: it must not even reach the scaling."""
        return [
            X if present.all() else _safe_indexing(X, np.flatnonzero(present))
            for X, present in zip(self.all_rows, self.present, strict=True)
        ]

    @cached_property
    def counts(self) -> list[Floats]:
        """The repeat counts of these."""
        return [counts[present] for counts, present in zip(self.all_counts, self.present, strict=True)]
