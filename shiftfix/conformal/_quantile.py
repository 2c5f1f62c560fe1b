"""Weighted conformal thresholds and p-values: formulas on scores and weights, whatever they come from.

A calibration row i has score s_i and weight w_i, the row to be judged the weight w. Among the values s_1, ..., s_n and
infinity, with probabilities w_i / W and w / W, W = sum w_i + w, the threshold is the quantile of the level asked for,
and the p-value of a score s is the probability of values as large or larger. With w = dP_target / dP_source a target
row's own score lies at or below the threshold with probability ``level`` at least, in any finite sample.

Sources: Tibshirani, Barber, Candès & Ramdas (2019), "Conformal prediction under covariate shift", NeurIPS 32,
corollary 1 (weights of features, the row's own mass at infinity); Podkopaev & Ramdas (2021), "Distribution-free
uncertainty quantification for classification under label shift", UAI (weights of labels: the candidate's
own stands at infinity; within a class none are needed); Vovk, Gammerman & Shafer (2005), "Algorithmic learning in a
random world" (strata: Mondrian conformal prediction).
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shiftfix._door import public
from shiftfix._numerics import Floats
from shiftfix._row_order import Rows
from shiftfix._setting_checks import check_number
from shiftfix._validation import check_labels, check_matrix, check_sample_weight, check_vector, check_weights
from shiftfix._values import as_array
from shiftfix.conformal._ranked import (
    NO_STRATUM,
    RankedScores,
    rank_by_stratum,
    thresholds_by_stratum,
    totals_of,
    weight_under_by_stratum,
)
from shiftfix.exceptions import ShiftDataError


class JudgedRows(NamedTuple):
    """Rows to be judged, beside the calibration rows.

    Attributes
    ----------
    own : ndarray of shape (n_rows,)
        Their weights.
    strata : ndarray of int of shape (n_rows,)
        Their strata.
    """

    own: Floats
    strata: Rows


def stratum_numbers(labels: NDArray[Any], known: NDArray[Any]) -> Rows:
    """Number of each label among those known, in increasing order; ``NO_STRATUM`` for others. Shape (n_rows,)."""
    if "O" in (labels.dtype.kind, known.dtype.kind) or (labels.dtype.kind in "US") != (known.dtype.kind in "US"):
        place = {label: number for number, label in enumerate(known.tolist())}
        return np.array([place.get(label, NO_STRATUM) for label in labels.tolist()], dtype=np.intp)
    places = np.searchsorted(known, labels).clip(max=len(known) - 1)
    return np.where(known[places] == labels, places, NO_STRATUM)


def _check_strata(strata: Any, test_strata: Any, n_rows: int, n_judged: int) -> tuple[Rows, Rows, int]:
    """Stratum numbers of both, and how many strata there are; one for all without any."""
    if (strata is None) != (test_strata is None):
        raise ShiftDataError("strata and test_strata belong together: pass both, or neither.")
    if strata is None:
        return np.zeros(n_rows, dtype=np.intp), np.zeros(n_judged, dtype=np.intp), 1
    labels = check_labels(strata, "strata", n_rows, of="scores")
    judged = check_labels(test_strata, "test_strata", n_judged, of="rows to judge")
    known = np.unique(labels)
    return stratum_numbers(labels, known), stratum_numbers(judged, known), len(known)


def _check_own_weights(weights: Any, n_rows: int) -> Floats:
    """Weights of rows to be judged, which may all be 0; 1 for None."""
    given = as_array(1.0 if weights is None else weights, "test_weights")
    given = given if given.ndim else np.full(n_rows, given)
    own = check_vector(given, "test_weights", n_rows, of="rows to judge")
    return check_weights(own, "test_weights") if own.any() else own


def _n_to_judge(**given: Any) -> int:
    """Length of the first of the arguments that has one; 1 where none has."""
    shapes = [np.shape(as_array(values, name)) for name, values in given.items() if values is not None]
    return next((shape[0] for shape in shapes if shape), 1)


def _in_unit(weights: Floats, own: Floats) -> tuple[Floats, Floats]:
    """Both kinds of weights in units of the largest, so that their sum does not overflow."""
    unit = max(weights.max(), own.max())
    return weights / unit, own / unit


def _check_rows_to_judge(
    scores: ArrayLike, weights: Any, test_weights: Any, strata: Any, test_strata: Any, n_judged: int
) -> tuple[list[RankedScores], JudgedRows]:
    """Ranked calibration scores, and the weights and strata of the rows to be judged."""
    values = check_vector(scores, "scores")
    w = check_sample_weight(weights, len(values), "weights", of="scores")
    w, own = _in_unit(w, _check_own_weights(test_weights, n_judged))
    numbers, judged, n_strata = _check_strata(strata, test_strata, len(values), n_judged)
    return rank_by_stratum(values, w, numbers, n_strata), JudgedRows(own, judged)


@public
def conformal_quantile(
    scores: ArrayLike,
    level: float = 0.9,
    *,
    weights: ArrayLike | float | None = None,
    test_weights: ArrayLike | float | None = None,
    strata: ArrayLike | None = None,
    test_strata: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Threshold up to which a score belongs to the set, for each row to be judged.

    Parameters
    ----------
    scores : array-like of shape (n_rows,)
        Of calibration rows, by a model that did not see them; large where the label does not fit.
    level : float in (0, 1), default=0.9
        Coverage asked for.
    weights : array-like of shape (n_rows,), default=None
        Target / source ratio of the calibration rows, up to one factor; None means 1.
    test_weights : float or array-like of shape (n_judged,), default=None
        The same of the rows to be judged, with the same factor; None means 1. Their mass lies at infinity.
    strata : array-like of shape (n_rows,), default=None
        Class or group of each calibration row: coverage then holds in each by itself.
    test_strata : array-like of shape (n_judged,), default=None
        The same of the rows to be judged; of one without calibration rows the threshold is infinite.

    Returns
    -------
    ndarray of shape (n_judged,)
        In units of the scores; infinity where a row's own weight is more than 1 - ``level`` of all, so that no finite
        set is known to cover.

    Raises
    ------
    ShiftDataError
        For scores that are not finite, weights that are negative or all zero, and arguments that do not fit together.

    See Also
    --------
    conformal_p_values : A p-value for each score.
    ConformalRegressor : Intervals around any regressor.

    Examples
    --------
    >>> conformal_quantile([1, 2, 3], 0.8, weights=[1, 1, 2]).tolist()
    [3.0]
    >>> conformal_quantile([1, 2, 3], 0.9, weights=[1, 1, 2]).tolist()
    [inf]
    """
    check_number(level, "level", above=0, below=1)
    n_judged = _n_to_judge(test_weights=test_weights, test_strata=test_strata)
    ranked, judged = _check_rows_to_judge(scores, weights, test_weights, strata, test_strata, n_judged)
    return thresholds_by_stratum(ranked, judged.strata, judged.own, level)


@public
def conformal_p_values(
    scores: ArrayLike,
    test_scores: ArrayLike,
    *,
    weights: ArrayLike | float | None = None,
    test_weights: ArrayLike | float | None = None,
    strata: ArrayLike | None = None,
    test_strata: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """How unusual a score is among those of the calibration rows: at most a with probability a at most.

    A label is in the set of level 1 - a where its p-value exceeds a: the same sets as by :func:`conformal_quantile`.

    Parameters
    ----------
    scores : array-like of shape (n_rows,)
        Of calibration rows, by a model that did not see them; large where the label does not fit.
    test_scores : array-like of shape (n_judged,)
        Of rows to be judged, each with the label in question.
    weights : array-like of shape (n_rows,), default=None
        Target / source ratio of the calibration rows, up to one factor; None means 1.
    test_weights : float or array-like of shape (n_judged,), default=None
        The same of the rows to be judged, with the same factor; None means 1.
    strata : array-like of shape (n_rows,), default=None
        Class or group of each calibration row.
    test_strata : array-like of shape (n_judged,), default=None
        The same of the rows to be judged.

    Returns
    -------
    ndarray of shape (n_judged,)
        In (0, 1].

    Raises
    ------
    ShiftDataError
        As :func:`conformal_quantile`.

    See Also
    --------
    conformal_quantile : The weighted threshold of scores.
    label_shift_p_values : P-values by class when the class shares moved.

    Examples
    --------
    >>> conformal_p_values([1, 2, 3], [0, 2, 4], weights=[1, 1, 2]).round(3).tolist()
    [1.0, 0.8, 0.2]
    """
    judged_scores = check_vector(test_scores, "test_scores")
    ranked, judged = _check_rows_to_judge(scores, weights, test_weights, strata, test_strata, len(judged_scores))
    return p_values_of(ranked, judged.strata, judged.own, judged_scores)


def p_values_of(ranked: list[RankedScores], strata: Rows, own: Floats, scores: Floats) -> Floats:
    """:func:`conformal_p_values` of ranked scores; a row of weight 0 in a stratum without weight has p-value 1."""
    total = totals_of(ranked)[strata] + own
    share = np.divide(weight_under_by_stratum(ranked, strata, scores), total, out=np.zeros(len(own)), where=total > 0)
    return 1 - share


@public
def label_shift_p_values(
    scores: ArrayLike, y: ArrayLike, test_scores: ArrayLike, classes: ArrayLike, class_weight: ArrayLike
) -> NDArray[np.float64]:
    """P-value of every class of every row when the class shares moved, by the weight of each class.

    Parameters
    ----------
    scores : array-like of shape (n_rows,)
        Of calibration rows with their own labels, by a model that did not see them.
    y : array-like of shape (n_rows,)
        These labels.
    test_scores : array-like of shape (n_judged, n_classes)
        Of each row with each class.
    classes : array-like of shape (n_classes,)
        Label of each column, sorted.
    class_weight : array-like of shape (n_classes,)
        Target / source share of each class, as ``class_weight_`` of the prior estimators.

    Returns
    -------
    ndarray of shape (n_judged, n_classes)
        A class is in the set of level 1 - a where its p-value exceeds a.

    Raises
    ------
    ShiftDataError
        For labels that are not among the classes, and for scores and weights that are no finite numbers.

    See Also
    --------
    conformal_p_values : A p-value for each score.
    ConformalClassifier : Sets of labels around any classifier.

    Examples
    --------
    >>> label_shift_p_values([1, 2, 3], ["a", "a", "b"], [[2, 3]], ["a", "b"], [0.5, 2]).round(3).tolist()
    [[0.857, 0.8]]
    """
    values = check_vector(scores, "scores")
    known = check_labels(classes, "classes")
    w = check_sample_weight(class_weight, len(known), "class_weight", of="classes")
    w = w / w.max()
    places = stratum_numbers(check_labels(y, "y", len(values), of="scores"), known)
    if (places == NO_STRATUM).any():
        raise ShiftDataError(
            f"y holds labels that are not among the classes {known.tolist()}: pass all classes, sorted."
        )
    judged = check_matrix(test_scores, "test_scores")
    if judged.shape[1] != len(known):
        raise ShiftDataError(f"test_scores has {judged.shape[1]} columns for {len(known)} classes: pass one for each.")
    ranked = rank_by_stratum(values, w[places], np.zeros(len(values), dtype=np.intp), 1)
    everyone = np.zeros(len(judged), dtype=np.intp)
    columns = [p_values_of(ranked, everyone, np.full(len(judged), w[k]), judged[:, k]) for k in range(len(known))]
    return np.column_stack(columns)
