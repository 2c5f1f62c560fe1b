"""Joint and conditional confusion matrices, hard and soft.

C[i, j] = P(predicted i, true j) is joint and sums to 1; A[i, j] = P(predicted i given true j) has
columns that sum to 1. C w = mu gives the weights q / p, A q = mu gives the target prior q: taking one
for the other is silent and wrong. Soft matrices put the mean score where hard ones count the arg max.
"""

import numpy as np
from scipy.sparse import csr_array

from shiftfix._blocks import PRODUCT_ENTRIES, row_blocks
from shiftfix._validation import check_class_order, check_option, check_scores
from shiftfix.exceptions import ShiftDataError
from shiftfix.label._labels import check_as_many, class_counts, class_positions


def class_sums(values, class_index, sample_weight, n_classes):
    """Weighted sum of the rows of each class, in float64; column j of shape (n_columns, n_classes) is class j."""
    sums = np.zeros((n_classes, values.shape[1]))
    for rows in row_blocks(*values.shape, entries=PRODUCT_ENTRIES):
        block = values[rows].astype(np.float64, copy=False)
        truth = (sample_weight[rows], (class_index[rows], np.arange(len(block))))
        sums += csr_array(truth, shape=(n_classes, len(block))) @ block
    return sums.T


def joint_and_conditional(predictions, class_index, sample_weight):
    """Joint and conditional matrix, each (n_classes, n_classes), from checked arrays; every class needs a row."""
    joint = class_sums(predictions, class_index, sample_weight, predictions.shape[1]) / sample_weight.sum()
    return joint, joint / joint.sum(axis=0)


def confusion_matrices(scores, y, *, kind="soft", classes=None, sample_weight=None):
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

    Examples
    --------
    >>> confusion_matrices(["a", "b", "b"], ["a", "a", "b"], kind="hard")[1]
    array([[0.5, 0. ],
           [0.5, 1. ]])
    """
    check_option(kind, "kind", ["soft", "hard"])
    classes, class_index = class_positions(y, "y", classes)
    predictions = check_predictions(scores, "scores", classes, kind)
    check_as_many(class_index, predictions, "y", "scores")
    counts, _ = class_counts(class_index, sample_weight, classes, "y")
    return joint_and_conditional(predictions, class_index, counts)


def one_hot_predictions(scores):
    """One-hot matrix of the arg max of each row, ties to the first; same shape and type as ``scores``."""
    return np.eye(scores.shape[1], dtype=scores.dtype)[np.argmax(scores, axis=1)]


def check_predictions(scores, name, classes, kind):
    """Scores as the matrices take them, (n_rows, n_classes): probabilities if soft, one-hot if hard.

    float32 scores stay float32, and soft ones are not copied.

    Raises
    ------
    ShiftDataError
        For scores that are no probabilities or have another number of columns, and for 1D scores that are not
        predicted labels among the classes.
    """
    check_class_order(scores, name, classes)
    if np.ndim(scores) == 1:
        if kind != "hard":
            raise ShiftDataError(
                f'{name} is 1D, and kind="soft" needs class probabilities: pass predict_proba with one column '
                'per class, or kind="hard" for predicted labels.'
            )
        _, predicted = class_positions(scores, name, classes)
        return np.eye(len(classes))[predicted]
    scores = check_scores(scores, name, len(classes), dtype=[np.float64, np.float32])
    return one_hot_predictions(scores) if kind == "hard" else scores


def confounded_classes(conditional, rtol=1e-8):
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
    singular = np.linalg.svd(conditional, compute_uv=False)
    rank = int((singular > rtol * singular[0]).sum())
    if rank == n_classes:
        return []
    rows = np.linalg.svd(conditional, full_matrices=True)[2]
    null = rows[rank:].T
    linked = np.abs(null @ null.T) > np.sqrt(rtol)
    groups, seen = [], set()
    for start in range(n_classes):
        if start in seen or not linked[start].any():
            continue
        group, queue = {start}, [start]
        while queue:
            for other in np.flatnonzero(linked[queue.pop()]):
                if other not in group:
                    group.add(int(other))
                    queue.append(int(other))
        seen |= group
        groups.append(sorted(group))
    return groups
