"""Joint and conditional confusion matrices, hard and soft.

C[i, j] = P(predicted i, true j) is joint and sums to 1; A[i, j] = P(predicted i given true j) has
columns that sum to 1. C w = mu gives the weights q / p, A q = mu gives the target prior q: taking one
for the other is silent and wrong. Soft matrices put the mean score where hard ones count the arg max.
"""

import numpy as np


def confusion_matrices(scores, class_index, n_classes, sample_weight=None):
    """Joint and conditional confusion matrix of one sample.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_classes)
        Class probabilities (soft) or one-hot predictions (hard).
    class_index : ndarray of shape (n_rows,)
        True class of each row, as an index into the columns.
    n_classes : int
    sample_weight : ndarray of shape (n_rows,), default=None
        Repeat counts of the rows.

    Returns
    -------
    joint, conditional : ndarray of shape (n_classes, n_classes)
        Rows are predictions, columns true classes. Every class needs a row of positive weight.
    """
    counts = np.ones(len(scores)) if sample_weight is None else sample_weight
    truth = np.zeros((len(scores), n_classes))
    truth[np.arange(len(scores)), class_index] = counts
    joint = scores.T @ truth / counts.sum()
    return joint, joint / joint.sum(axis=0)


def one_hot_predictions(scores):
    """One-hot matrix of the arg max of each row, ties to the first; same shape as ``scores``."""
    return np.eye(scores.shape[1])[np.argmax(scores, axis=1)]


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
    _, singular, rows = np.linalg.svd(conditional, full_matrices=True)
    rank = int((singular > rtol * singular[0]).sum())
    if rank == n_classes:
        return []
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
