"""Both samples of a diagnosis: rows as often as they count, the target labels there are, and what the columns are."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from shiftfix._numerics import Floats
from shiftfix._row_order import Rows, order_of_rows
from shiftfix._target_sample import LabelledRows, TargetSample, labelled_rows, target_rows
from shiftfix._values import as_array, is_missing
from shiftfix.detect._features import FeatureTests
from shiftfix.detect._label_gate import features_of
from shiftfix.detect._row_names import FEWEST_ROWS, tests_of_columns, without_columns
from shiftfix.exceptions import ShiftDataError
from shiftfix.risk import SourceRows

# Times that rows may be written out, on average, where they count several times.
MOST_REPEATS = 4


class BothSamples(NamedTuple):
    """Both samples, checked.

    Attributes
    ----------
    source : SourceRows
    X_target : array-like of n_target rows
    few : LabelledRows or None
    is_class : bool
    places : ndarray of int, shape (n_counted,)
        Source rows, each as often as it counts.
    features : ndarray of shape (n_counted + n_target, n_columns) or None
        As numbers, without columns that name rows; None where they make none, and for too few rows.
    columns : FeatureTests or None
    """

    source: SourceRows
    X_target: Any
    few: LabelledRows | None
    is_class: bool
    places: Rows
    features: Floats | None
    columns: FeatureTests | None

    @property
    def n_target(self) -> int:
        """Target rows."""
        return int(_num_samples(self.X_target))

    def halves(self) -> tuple[Floats, Floats]:
        """Numbers of the source and of the target."""
        assert self.features is not None
        return self.features[: len(self.places)], self.features[len(self.places) :]

    def judged(self, rows: Rows) -> tuple[Rows, Rows]:
        """Of the rows that models out of fold speak of: positions among ``places``, and among ``rows``."""
        position = np.full(len(self.source.labels), -1)
        position[rows] = np.arange(len(rows))
        among = position[self.places]
        return np.flatnonzero(among >= 0), among[among >= 0]


def counted_places(source: SourceRows) -> Rows:
    """Source rows, each as often as it counts; in proportion where that would be too many, or no whole numbers."""
    if source.counts is None:
        return source.rows
    counts, n_rows = source.counts[source.rows], len(source.rows)
    if (counts == np.floor(counts)).all() and counts.sum() <= MOST_REPEATS * n_rows:
        return np.repeat(source.rows, counts.astype(np.intp))
    order = order_of_rows(_safe_indexing(source.X, source.rows), source.labels[source.rows], counts=counts)
    total = np.cumsum(counts[order])
    drawn = np.searchsorted(total, (np.arange(n_rows) + 0.5) * total[-1] / n_rows)
    return source.rows[order[drawn]]


def counted_columns(X: Any, X_target: Any, places: Rows, columns: FeatureTests) -> FeatureTests:
    """Tests of the columns by rows that are repeated, which would hide that a column names them."""
    kept = (without_columns(rows, columns) for rows in (X, X_target))
    found = tests_of_columns(_safe_indexing(next(kept), places), next(kept))
    if found is None or len(columns.identifiers) == len(columns.columns):
        return columns
    return replace(found, columns=(*found.columns, *columns.identifiers))


def read_samples(source: SourceRows, X_target: Any, few: LabelledRows | None, is_class: bool) -> BothSamples:
    """Both samples with what their columns are."""
    places = counted_places(source)
    X = source.X if source.counts is None else _safe_indexing(source.X, source.rows)
    columns = tests_of_columns(X, X_target)
    counted = source.X if source.counts is None else _safe_indexing(source.X, places)
    features = features_of(without_columns(counted, columns), without_columns(X_target, columns))
    if columns is not None and source.counts is not None:
        columns = counted_columns(source.X, X_target, places, columns)
    enough = min(len(places), _num_samples(X_target)) >= FEWEST_ROWS
    return BothSamples(source, X_target, few, is_class, places, features if enough else None, columns)


def known_labels(X_target: Any, target_labels: ArrayLike | None, rows: ArrayLike | None) -> LabelledRows | None:
    """The target labels there are, from a TargetSample or from a vector in which gaps are unknown."""
    n_target = _num_samples(target_rows(X_target))
    if target_labels is None:
        if rows is not None:
            raise ShiftDataError("rows tells which target rows are labelled, and target_labels is missing: pass both.")
        held = isinstance(X_target, TargetSample) and X_target.y is not None
        return labelled_rows(X_target, n_target) if held else None
    given = as_array(target_labels, "target_labels")
    if rows is not None:
        return labelled_rows(TargetSample(X_target, y=given, rows=rows), n_target)
    if given.shape != (n_target,):
        raise ShiftDataError(
            f"target_labels has shape {given.shape} for {n_target} target rows: pass one per row, None or NaN where it "
            "is unknown, or the labels known and their positions in rows."
        )
    known = np.flatnonzero([not is_missing(label) for label in given.tolist()])
    return LabelledRows(known, _plain(given[known])) if known.size else None


def _plain(labels: NDArray[Any]) -> NDArray[Any]:
    """Labels without the type that gaps gave them."""
    found = np.asarray(labels.tolist()) if labels.dtype == object else labels
    whole = found.dtype.kind == "f" and bool((found == np.floor(found)).all())
    return found.astype(np.int64) if whole and np.abs(found).max(initial=0) < 2**53 else found


def refuse_unlike(X: Any, X_target: Any) -> None:
    """Raise for target rows that are none, or of another kind than the source's."""
    if _num_samples(X_target) == 0:
        raise ShiftDataError("X_target has no rows: pass at least one.")
    if len(np.shape(X)) != len(np.shape(X_target)):
        raise ShiftDataError(
            f"X_target has shape {np.shape(X_target)}, and X has {np.shape(X)}: pass rows of one kind for both."
        )
    if sparse.issparse(X) != sparse.issparse(X_target):
        one, other = ("X", "X_target") if sparse.issparse(X) else ("X_target", "X")
        raise ShiftDataError(f"{one} is a sparse matrix and {other} is not: pass both sparse, or both as arrays.")


def refuse_new_classes(few: LabelledRows | None, source: SourceRows, is_class: bool) -> None:
    """Raise for a source of one class, and for target labels of a class that it never had."""
    known = set(np.unique(source.labels[source.rows]).tolist()) if is_class else set()
    if is_class and len(known) < 2:
        raise ShiftDataError(f"y holds one class only ({min(known)!r}): at least two are needed.")
    new = [] if few is None or not is_class else sorted(set(few.y.tolist()) - known, key=str)
    if new:
        raise ShiftDataError(
            f"The target labels hold {new[0]!r}, and the source holds {', '.join(map(repr, sorted(known, key=str)))} "
            "only: a model of the source cannot predict another class. Leave such rows out, or add rows of it there."
        )
