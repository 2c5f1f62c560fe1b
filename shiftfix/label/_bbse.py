"""Black-box shift estimation: the target prior through a confusion matrix.

Assumes p(x | y) is shared. The mean prediction on the target is mu = A q, with A[i, j] = P(predicted i
given true j) measured on the source, so q solves a linear system on the simplex.
Source: Lipton, Wang & Smola (2018), ICML, section 4; two classes: Rogan & Gladen (1978), Am. J.
Epidemiol. 107(1):71-76. A and mu are both hard (arg max) or both soft (mean probabilities).
"""

import numpy as np

from shiftfix._numerics import simplex_least_squares
from shiftfix._validation import check_labels, check_matrix, check_option
from shiftfix.exceptions import NotIdentifiedError, ShiftDataError
from shiftfix.label._base import BasePriorEstimator
from shiftfix.label._confusion import confounded_classes, confusion_matrices, one_hot_predictions


def effective_count(sample_weight):
    """Number of equal rows with the sampling variance of a weighted mean of these; a float."""
    return sample_weight.sum() ** 2 / (sample_weight**2).sum()


def mean_covariance(values, sample_weight):
    """Sampling covariance of the weighted mean of rows, shape (n_columns, n_columns)."""
    centred = values - np.average(values, axis=0, weights=sample_weight)
    share = sample_weight / sample_weight.sum()
    return (centred * share[:, np.newaxis]).T @ centred / effective_count(sample_weight)


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
        Delta-method sampling covariance of the unconstrained solution.
    identified_ : bool
        Whether every prior's standard error is at most 0.29, that of a uniform guess.

    Raises
    ------
    ShiftDataError
        By ``fit``, ``update``, ``transform`` and ``adjust_proba``, for input that cannot be used.
    NotIdentifiedError
        By ``fit``, when the confusion matrix is singular; names the confounded classes.

    Examples
    --------
    >>> scores = [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.2, 0.8]]
    >>> prior = BBSE().fit(scores, ["a", "a", "b", "b"], [[0.25, 0.75], [0.25, 0.75], [0.85, 0.15]])
    >>> prior.target_prior_.round(3)
    array([0.333, 0.667])
    """

    def __init__(self, kind="soft"):
        self.kind = kind

    def _check_scores(self, scores, name):
        check_option(self.kind, "kind", ["soft", "hard"])
        if np.ndim(scores) == 1:
            if self.kind != "hard":
                raise ShiftDataError(
                    f'{name} is 1D, and kind="soft" needs class probabilities: pass predict_proba with one column '
                    'per class, or kind="hard" for predicted labels.'
                )
            match = check_labels(scores, name)[:, np.newaxis] == self.classes_
            if not match.any(axis=1).all():
                unknown = np.unique(np.asarray(scores)[~match.any(axis=1)]).tolist()
                raise ShiftDataError(f"{name} predicts {unknown}, and the classes are {self.classes_.tolist()}.")
            return match.astype(np.float64)
        if check_matrix(scores, name).shape[1] > len(self.classes_) and name == "scores_source":
            raise ShiftDataError(
                f"{name} has {np.shape(scores)[1]} columns, and y_source holds only the {len(self.classes_)} classes "
                f"{self.classes_.tolist()}: how a class is scored can only be learned from rows of it. Collect rows of "
                "the missing classes, or leave their columns out."
            )
        scores = super()._check_scores(scores, name)
        return one_hot_predictions(scores) if self.kind == "hard" else scores

    def _fit_source(self, scores, class_index, sample_weight):
        n_classes = len(self.classes_)
        self.joint_confusion_, self.conditional_confusion_ = confusion_matrices(
            scores, class_index, n_classes, sample_weight
        )
        groups = confounded_classes(self.conditional_confusion_)
        if groups:
            named = [self.classes_[group].tolist() for group in groups]
            raise NotIdentifiedError(
                f"The confusion matrix is singular: the scores do not tell apart {' nor '.join(map(str, named))}, so "
                "their priors are not identified. Use a classifier that separates them, or merge them into one class.",
                named,
            )
        singular = np.linalg.svd(self.joint_confusion_, compute_uv=False)
        self.smallest_singular_value_ = float(singular[-1])
        self.condition_number_ = float(singular[0] / singular[-1])
        self._column_covariances = np.stack(
            [mean_covariance(scores[class_index == k], sample_weight[class_index == k]) for k in range(n_classes)]
        )

    def _estimate(self, scores, sample_weight):
        self.target_mean_ = np.average(scores, axis=0, weights=sample_weight)
        prior = simplex_least_squares(self.conditional_confusion_, self.target_mean_)
        covariance = solution_covariance(
            self.conditional_confusion_,
            self._column_covariances,
            mean_covariance(scores, sample_weight),
            prior,
        )
        return prior, covariance
