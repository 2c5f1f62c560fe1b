"""Black-box shift estimation: the target prior through a confusion matrix.

Assumes p(x | y) is shared. The mean prediction on the target is mu = A q, with A[i, j] = P(predicted i
given true j) measured on the source, so q solves a linear system on the simplex.
Source: Lipton, Wang & Smola (2018), ICML, section 4; two classes: Rogan & Gladen (1978), Am. J.
Epidemiol. 107(1):71-76. A and mu are both hard (arg max) or both soft (mean probabilities).
"""

import numpy as np

from shiftfix._numerics import simplex_least_squares
from shiftfix._validation import check_matrix, check_option
from shiftfix.exceptions import NotIdentifiedError, ShiftDataError
from shiftfix.label._base import BasePriorEstimator
from shiftfix.label._confusion import check_predictions, confounded_classes, joint_and_conditional

# Rows added, spread over the corners of the simplex, where a sample is too small to show rare events.
PSEUDO_ROWS = 2.0


def mean_covariance(values, sample_weight, pseudo_rows=0.0):
    """Sampling covariance of the mean of rows, shape (n_columns, n_columns).

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_columns)
        Points of the simplex: scores or one-hot predictions.
    sample_weight : ndarray of shape (n_rows,)
        Repeat counts of the rows.
    pseudo_rows : float, default=0.0
        Rows to add, spread evenly over the corners; they widen the spread but do not count as sample size.
    """
    n_columns = values.shape[1]
    corners = np.full(n_columns, pseudo_rows / n_columns)
    total = sample_weight.sum() + pseudo_rows
    mean = (sample_weight @ values + corners) / total
    second = (values.T * sample_weight) @ values + np.diag(corners)
    return (second / total - np.outer(mean, mean)) / sample_weight.sum()


def solution_covariance(conditional, column_covariances, mu_covariance, prior):
    """Delta-method covariance of q = A^-1 mu.

    A^-1 [Cov(mu) + sum_j q_j^2 Cov(column j of A)] A^-T: the errors of mu and of each column are
    independent, and q moves by A^-1 (d mu - dA q).

    Parameters
    ----------
    conditional : ndarray of shape (n_classes, n_classes)
    column_covariances : ndarray of shape (n_classes, n_classes, n_classes)
        Sampling covariance of each column of A, class first.
    mu_covariance : ndarray of shape (n_classes, n_classes)
    prior : ndarray of shape (n_classes,)

    Returns
    -------
    ndarray of shape (n_classes, n_classes)
    """
    inverse = np.linalg.inv(conditional)
    noise = mu_covariance + np.einsum("j,jab->ab", prior**2, column_covariances)
    return inverse @ noise @ inverse.T


class BBSE(BasePriorEstimator):
    """Target prior from a confusion matrix, on the simplex.

    Parameters
    ----------
    kind : {"soft", "hard"}, default="soft"
        "soft" averages probabilities, "hard" counts arg-max predictions, on the source and on the
        target alike. Soft is the more precise; hard also takes 1D predicted labels for scores.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    source_prior_, target_prior_ : ndarray of shape (n_classes,)
        p and q; q is >= 0 and sums to 1. Where A^-1 mu lies on the simplex, it is q.
    class_weight_ : ndarray of shape (n_classes,)
        q / p.
    joint_confusion_, conditional_confusion_ : ndarray of shape (n_classes, n_classes)
        P(predicted i, true j), which sums to 1, and P(predicted i given true j), whose columns do.
    target_mean_ : ndarray of shape (n_classes,)
        mu, the mean prediction on the target.
    condition_number_, smallest_singular_value_ : float
        Of the joint matrix; errors of mu grow by up to 1 / smallest_singular_value_ in the weights.
    prior_covariance_ : ndarray of shape (n_classes, n_classes)
        Delta-method sampling covariance of the unconstrained solution; on the boundary of the simplex the estimate
        itself varies less.
    identified_ : bool
        False when the estimate is vague (its variances sum to more than a quarter of those of a uniform
        draw from the simplex) and also cannot be told from the source prior (Wald test at level 0.05).
    reason_ : str
        Why not, when ``identified_`` is False.

    Raises
    ------
    ShiftDataError
        By ``fit``, ``update``, ``transform`` and ``adjust_proba``, for input that cannot be used.
    NotIdentifiedError
        By ``fit``, when the confusion matrix is singular; names the confounded classes.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.repeat(["sick", "well"], 50)
    >>> scores = np.where((y == "sick")[:, None], [0.8, 0.2], [0.3, 0.7])
    >>> BBSE().fit(scores, y, np.repeat(scores, [9] * 50 + [1] * 50, axis=0)).target_prior_.round(3)
    array([0.9, 0.1])
    """

    def __init__(self, kind="soft"):
        self.kind = kind

    def _check_source_scores(self, scores, classes):
        check_option(self.kind, "kind", ["soft", "hard"])
        if np.ndim(scores) == 2 and check_matrix(scores, "scores_source").shape[1] > len(classes):
            raise ShiftDataError(
                f"scores_source has {np.shape(scores)[1]} columns, and y_source holds only the {len(classes)} classes "
                f"{classes.tolist()}: how a class is scored can only be learned from rows of it. Collect rows of "
                "the missing classes, or leave their columns out."
            )
        return check_predictions(scores, "scores_source", classes, self.kind)

    def _check_target_scores(self, scores):
        # The kind that was fitted: a hard matrix with soft target scores would have no meaning.
        return check_predictions(scores, "scores_target", self.classes_, self._kind)

    def _fit_source(self, scores, class_index, sample_weight):
        self._kind = self.kind
        joint, conditional = joint_and_conditional(scores, class_index, sample_weight)
        self.joint_confusion_, self.conditional_confusion_ = joint, conditional
        groups = confounded_classes(conditional)
        if groups:
            named = [self.classes_[group].tolist() for group in groups]
            raise NotIdentifiedError(
                f"The confusion matrix is singular: the scores do not tell apart {' nor '.join(map(str, named))}, so "
                "their priors are not identified. Use a classifier that separates them, or merge them into one class.",
                named,
            )
        singular = np.linalg.svd(joint, compute_uv=False)
        self.smallest_singular_value_ = float(singular[-1])
        self.condition_number_ = float(singular[0] / singular[-1])
        members = [class_index == k for k in range(len(self.classes_))]
        self._column_covariances = {
            extra: np.stack([mean_covariance(scores[rows], sample_weight[rows], extra) for rows in members])
            for extra in (0.0, PSEUDO_ROWS)
        }

    def _estimate(self, scores, sample_weight):
        self.target_mean_ = np.average(scores, axis=0, weights=sample_weight)
        prior = simplex_least_squares(self.conditional_confusion_, self.target_mean_)
        plain, cautious = (
            solution_covariance(
                self.conditional_confusion_, columns, mean_covariance(scores, sample_weight, extra), prior
            )
            for extra, columns in self._column_covariances.items()
        )
        return prior, plain, cautious
