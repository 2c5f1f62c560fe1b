"""What a conformal estimator has learned from its calibration rows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shiftfix._numerics import Floats
from shiftfix._row_order import Rows
from shiftfix.conformal._label_check import contradiction_p_value, mid_p_values
from shiftfix.conformal._ranked import RankedScores, rank_by_stratum
from shiftfix.conformal._target_weights import TargetWeights
from shiftfix.weights import effective_sample_size_of

UseOfLabels = Literal["auto", "combine", "alone"]
# Of the one-sided test that sets of the weighted source rows cover the target. A false alarm costs little, since labels
# alone are valid, and a missed one costs coverage: with 25 labels of a rule that moved, .2 keeps .906, .05 .887.
CONTRADICTED = 0.2


class CalibrationRows(NamedTuple):
    """Rows that calibrate.

    Attributes
    ----------
    scores : ndarray of shape (n_rows,)
        Of their own labels.
    parts : ndarray of int of shape (n_rows,)
        Number of the model that gave the score, and did not see the row.
    strata : ndarray of int of shape (n_rows,)
        Class or group.
    raw : ndarray of shape (n_rows,)
        Raw weight, target / source.
    counts : ndarray of shape (n_rows,)
        Repeat counts.
    """

    scores: Floats
    parts: Rows
    strata: Rows
    raw: Floats
    counts: Floats

    def beside(self, others: "CalibrationRows") -> "CalibrationRows":
        """Both sets of rows."""
        return CalibrationRows(*(np.concatenate(pair) for pair in zip(self, others, strict=True)))


@dataclass(frozen=True)
class Calibrated:
    """Ranked scores of the calibration rows, and the weights of rows to come.

    Attributes
    ----------
    ranked : list of list of RankedScores
        Of the rows of each model, of each stratum.
    pooled : list of RankedScores
        Of all models together, of each stratum.
    weights : TargetWeights
    n_rows : float
        Calibration rows.
    sizes : ndarray of shape (n_strata,)
        Effective number of rows in each stratum.
    known : ndarray of shape (n_strata,)
        Label of each stratum.
    n_labels : int
        Labelled target rows among the calibration rows.
    labels : {"combine", "alone"} or None
        What was done with them.
    contradiction : float or None
        P-value of "sets of the source rows cover the target".
    """

    ranked: list[list[RankedScores]]
    pooled: list[RankedScores]
    weights: TargetWeights
    n_rows: float
    sizes: Floats
    known: NDArray[Any] = field(repr=False)
    n_labels: int = 0
    labels: str | None = None
    contradiction: float | None = None


def _sizes(w: Floats, counts: Floats, strata: Rows, n_strata: int) -> Floats:
    """Effective number of rows in each stratum; 0 where there are none."""
    found = [(w[strata == k], counts[strata == k]) for k in range(n_strata)]
    return np.array([effective_sample_size_of(*own) if len(own[0]) else 0.0 for own in found])


def calibrated_on(
    rows: CalibrationRows, weights: TargetWeights, known: NDArray[Any], n_parts: int, **labels: Any
) -> Calibrated:
    """Rank the scores of calibration rows by model and stratum; ``labels`` goes into the result."""
    w = weights.finish(rows.raw)
    parts = []
    for part in range(n_parts):
        here = rows.parts == part
        parts.append(rank_by_stratum(rows.scores[here], (w * rows.counts)[here], rows.strata[here], len(known)))
    pooled = rank_by_stratum(rows.scores, w * rows.counts, rows.strata, len(known))
    sizes = _sizes(w, rows.counts, rows.strata, len(known))
    return Calibrated(parts, pooled, weights, float(rows.counts.sum()), sizes, known, **labels)


def contradicted_by(labelled: CalibrationRows, source: Calibrated) -> float:
    """P-value of "sets of the source rows cover the target" by labelled target rows."""
    own = source.weights.finish(labelled.raw)
    p_values = mid_p_values(source.pooled, labelled.strata, own, labelled.scores)
    return contradiction_p_value(p_values, float(source.sizes.sum()))


def calibrate_with_labels(
    source: CalibrationRows,
    labelled: CalibrationRows,
    weights: TargetWeights,
    known: NDArray[Any],
    n_parts: int,
    use: UseOfLabels,
) -> Calibrated:
    """Calibrate on source rows and labelled target rows together, or on the latter alone where they contradict."""
    n_labels = len(labelled.scores)
    alone = calibrated_on(source, weights, known, n_parts)
    p_value = contradicted_by(labelled, alone)
    if use == "alone" or (use == "auto" and p_value < CONTRADICTED):
        even = labelled._replace(raw=np.ones(n_labels))
        told: dict[str, Any] = {"n_labels": n_labels, "labels": "alone", "contradiction": p_value}
        return calibrated_on(even, TargetWeights(), known, n_parts, **told)
    told = {"n_labels": n_labels, "labels": "combine", "contradiction": p_value}
    both = weights.with_labels(float(source.counts.sum()), float(n_labels))
    return calibrated_on(source.beside(labelled), both, known, n_parts, **told)


def part_numbers(rows: Sequence[Rows]) -> Rows:
    """Number of the part of each row, part by part."""
    return np.repeat(np.arange(len(rows)), [len(part) for part in rows])
