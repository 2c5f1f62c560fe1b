"""Whether label shift is what moved, asked before a prior is corrected.

A prior estimator gives an answer whatever moved; where it was not the prior, adjusting by the answer does harm. Here
the samples themselves are asked, by :func:`shiftfix.label.label_shift_fit` on scores and, where they make numbers, on
the columns.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import _safe_indexing

from shiftfix._naming import CellError
from shiftfix.covariate import check_raw_rows, comparable_rows
from shiftfix.exceptions import ShiftDataError
from shiftfix.label import LabelShiftFit, explained_share_of, passes_if_known, projected
from shiftfix.risk import Scores, SourceRows


def features_of(X: Any, X_target: Any) -> NDArray[np.float64] | None:
    """Rows of both samples as numbers, source first; None where they make none, such as texts."""
    try:
        if np.ndim(X) > 2 or np.ndim(X_target) > 2:
            X, X_target = (np.reshape(rows, (len(rows), -1)) for rows in (X, X_target))
        (first, second), _ = comparable_rows((check_raw_rows(X, "X"), check_raw_rows(X_target, "X_target")), None)
        return projected(sparse.vstack([first, second]) if sparse.issparse(first) else np.vstack([first, second]))
    except (ShiftDataError, CellError, TypeError, ValueError, AttributeError):  # texts, or samples of two kinds
        return None


def ask_for_label_shift(
    source: SourceRows, scores: Scores, classes: NDArray[Any], X_target: Any, prior: Any
) -> LabelShiftFit:
    """How much of what moved one change of the class shares explains.

    Parameters
    ----------
    source : SourceRows
    scores : Scores
    classes : ndarray of shape (n_classes,)
    X_target : array-like of n_target rows or None
        None, with given scores, compares the scores alone.
    prior : prior estimator
        Fitted to the scores; where it has an estimate, that must be known well enough, too.
    """
    target_scores = np.asarray(scores.target, dtype=np.float64)
    counts = np.ones(len(scores.rows)) if source.counts is None else source.counts[scores.rows]
    features = None if X_target is None else features_of(_safe_indexing(source.X, scores.rows), X_target)
    fit = explained_share_of(
        np.asarray(scores.source, dtype=np.float64),
        np.searchsorted(classes, source.labels[scores.rows]),
        target_scores,
        features,
        counts,
        np.ones(len(target_scores)),
        prior,
    )
    if not hasattr(prior, "prior_covariance_"):
        return fit
    return passes_if_known(fit, prior.target_prior_, prior.source_prior_, prior.prior_covariance_)
