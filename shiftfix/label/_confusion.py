"""Joint and conditional confusion matrices, hard and soft.

C[i, j] = P(predicted i, true j) is joint and sums to 1; A[i, j] = P(predicted i given true j) has
columns that sum to 1. C w = mu gives the weights q / p, A q = mu gives the target prior q: taking one
for the other is silent and wrong. Soft matrices put the mean score where hard ones count the arg max.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from shiftfix._blocks import PRODUCT_ENTRIES, row_blocks
from shiftfix._door import public
from shiftfix._setting_checks import check_option
from shiftfix._validation import check_class_order, check_rows, check_scores
from shiftfix.exceptions import ShiftDataError
from shiftfix.label._labels import check_as_many, class_positions, count_rows, positions_among


def class_sums(
    values: NDArray[Any], class_index: NDArray[np.intp], sample_weight: NDArray[np.float64], n_classes: int
) -> NDArray[np.float64]:
    """Weighted sum of the rows of each class, in float64; column j of shape (n_columns, n_classes) is class j."""
    sums = np.zeros((n_classes, values.shape[1]))
    for rows in row_blocks(*values.shape, entries=PRODUCT_ENTRIES):
        block = values[rows].astype(np.float64, copy=False)
        truth = (sample_weight[rows], (class_index[rows], np.arange(len(block))))
        sums += csr_array(truth, shape=(n_classes, len(block))) @ block
    return sums.T


def joint_and_conditional(
    predictions: NDArray[Any], class_index: NDArray[np.intp], sample_weight: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Joint and conditional matrix, each (n_classes, n_classes), from checked arrays; every class needs a row."""
    joint = class_sums(predictions, class_index, sample_weight, predictions.shape[1]) / sample_weight.sum()
    return joint, joint / joint.sum(axis=0)


@public
def confusion_matrices(
    scores: ArrayLike,
    y: ArrayLike,
    *,
    kind: Literal["soft", "hard"] = "soft",
    classes: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Joint and conditional confusion matrix of scored, labelled rows.

    Parameters
    ----------
    scores : array-like of shape (n_rows, n_classes), or (n_rows,) predicted labels for kind="hard"
        Class probabilities, best of rows that the classifier was not trained on.
    y : array-like of shape (n_rows,)
        True labels; every class needs a row.
    kind : {"soft", "hard"}, default="soft"
        Average the probabilities, or count their arg max.
    classes : array-like of shape (n_classes,), default=None
        Label of each column; None means the sorted labels of ``y``.
    sample_weight : array-like of shape (n_rows,), default=None
        Repeat counts of the rows.

    Returns
    -------
    joint, conditional : ndarray of shape (n_classes, n_classes)
        Rows are predictions, columns true classes. ``joint`` sums to 1, the columns of ``conditional`` do.

    Raises
    ------
    ShiftDataError
        For scores that are no probabilities, lengths that differ, or a class without rows.

    See Also
    --------
    BBSE : By the confusion matrix, with an analytic interval.
    RLLS : By the confusion matrix, regularised towards no shift.

    Examples
    --------
    >>> confusion_matrices(["a", "b", "b"], ["a", "a", "b"], kind="hard")[1]
    array([[0.5, 0. ],
           [0.5, 1. ]])
    """
    check_option(kind, "kind", ["soft", "hard"])
    labels, class_index = class_positions(y, "y", classes)
    predictions = check_predictions(scores, "scores", labels, kind)
    check_as_many(class_index, predictions, "y", "scores")
    counts, _ = count_rows(class_index, sample_weight, labels, "y")
    return joint_and_conditional(predictions, class_index, counts)


def one_hot_predictions(scores: NDArray[Any]) -> NDArray[Any]:
    """One-hot matrix of the arg max of each row, ties to the first; same shape and type as ``scores``."""
    return np.eye(scores.shape[1], dtype=scores.dtype)[np.argmax(scores, axis=1)]


def check_predictions(scores: ArrayLike, name: str, classes: NDArray[Any], kind: str) -> NDArray[Any]:
    """Scores as the matrices take them, (n_rows, n_classes): probabilities if soft, one-hot if hard.

    float32 scores stay float32, and soft ones are not copied.

    Raises
    ------
    ShiftDataError
        For scores that are no probabilities or have another number of columns, and for 1D scores that are not
        predicted labels among the classes.
    """
    check_class_order(scores, name, classes)
    scores = check_rows(scores, name)
    if np.ndim(scores) == 1:
        if kind != "hard":
            raise ShiftDataError(
                f'{name} is 1D, and kind="soft" needs class probabilities: pass predict_proba with one column '
                'per class, or kind="hard" for predicted labels.'
            )
        return np.eye(len(classes))[positions_among(scores, name, classes)]
    checked = check_scores(scores, name, len(classes), dtype=[np.float64, np.float32])
    return one_hot_predictions(checked) if kind == "hard" else checked


def _has_full_rank(square: NDArray[np.float64], rtol: float) -> bool:
    """Whether norms alone tell that no singular value is below rtol times the largest; False where they do not.

    The largest is at most the Frobenius norm of A, the least at least one over that of A^-1.
    """
    if square.shape[0] != square.shape[1]:
        return False
    try:
        inverse = np.linalg.inv(square)
    except np.linalg.LinAlgError:
        return False
    # A tenth for the rounding of an inverse that is near its limit.
    return bool(np.linalg.norm(square) * np.linalg.norm(inverse) < 0.1 / rtol)


def confounded_classes(conditional: NDArray[np.float64], rtol: float = 1e-8) -> list[list[int]]:
    """Groups of classes that the columns of a conditional confusion matrix cannot tell apart.

    Two classes belong together when a null vector of the matrix moves prior mass between them
    without moving the predictions. The projection on the null space links such classes; the groups
    are its connected components.

    Parameters
    ----------
    conditional : ndarray of shape (n_predictions, n_classes)
    rtol : float, default=1e-8
        Singular values below rtol times the largest count as zero.

    Returns
    -------
    list of list of int
        Empty when the matrix has full column rank.
    """
    n_classes = conditional.shape[1]
    if _has_full_rank(conditional, rtol):
        return []
    singular = np.linalg.svd(conditional, compute_uv=False)
    rank = int((singular > rtol * singular[0]).sum())
    if rank == n_classes:
        return []
    rows = np.linalg.svd(conditional, full_matrices=True)[2]
    null = rows[rank:].T
    linked = np.abs(null @ null.T) > np.sqrt(rtol)
    n_groups, group = connected_components(linked, directed=False)
    members = [np.flatnonzero(group == k).tolist() for k in range(n_groups)]
    return [classes for classes in members if linked[classes[0]].any()]
