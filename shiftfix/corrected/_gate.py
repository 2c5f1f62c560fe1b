"""Whether label shift is what moved, asked before a prior is corrected.

A prior estimator gives an answer whatever moved; where it was not the prior, adjusting by the answer does harm. Here
the samples themselves are asked, by :func:`shiftfix.label.label_shift_fit` on scores and, where they make numbers, on
the columns.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import _safe_indexing

from shiftfix._naming import CellError
from shiftfix._verdict import Verdict, tell
from shiftfix.corrected._scores import Scores, SourceRows
from shiftfix.covariate import check_raw_rows, comparable_rows
from shiftfix.exceptions import LabelShiftRejectedWarning, NotIdentifiedError, ShiftDataError
from shiftfix.label import LabelShiftFit, explained_share_of, projected

OnReject = Literal["uncorrected", "correct", "error"]
Causes = Literal["label"] | None

WITHOUT_FEATURES = "; only the scores were compared, since the rows make no numbers: what they do not show went unseen"
LABELS_WOULD_TELL = (
    'Label 50 target rows or more, drop columns that name the samples (ids, dates), or pass causes="label" if you know '
    "that y causes x and nothing else moved."
)


def features_of(X: Any, X_target: Any) -> NDArray[np.float64] | None:
    """Rows of both samples as numbers, source first; None where they make none, such as texts."""
    try:
        if np.ndim(X) > 2 or np.ndim(X_target) > 2:
            X, X_target = (np.reshape(rows, (len(rows), -1)) for rows in (X, X_target))
        (first, second), _ = comparable_rows((check_raw_rows(X, "X"), check_raw_rows(X_target, "X_target")), None)
    except (ShiftDataError, CellError, TypeError, ValueError):
        return None
    return projected(sparse.vstack([first, second]) if sparse.issparse(first) else np.vstack([first, second]))


def ask_for_label_shift(source: SourceRows, scores: Scores, classes: NDArray[Any], X_target: Any) -> LabelShiftFit:
    """How much of what moved one change of the class shares explains.

    Parameters
    ----------
    source : SourceRows
    scores : Scores
    classes : ndarray of shape (n_classes,)
    X_target : array-like of n_target rows or None
        None, with given scores, compares the scores alone.
    """
    target_scores = np.asarray(scores.target, dtype=np.float64)
    counts = np.ones(len(scores.rows)) if source.counts is None else source.counts[scores.rows]
    features = None if X_target is None else features_of(_safe_indexing(source.X, scores.rows), X_target)
    return explained_share_of(
        np.asarray(scores.source, dtype=np.float64),
        np.searchsorted(classes, source.labels[scores.rows]),
        target_scores,
        features,
        counts,
        np.ones(len(target_scores)),
    )


def act_on(fit: LabelShiftFit, on_reject: OnReject, causes: Causes) -> tuple[bool, Verdict]:
    """Whether to correct the prior, and the verdict on it.

    Parameters
    ----------
    fit : LabelShiftFit
    on_reject : {"uncorrected", "correct", "error"}
        Where the fit does not pass: warn and do not correct, warn and correct, or raise.
    causes : {None, "label"}
        "label": y is known to cause x, and the fit only warns.

    Raises
    ------
    NotIdentifiedError
        Where something else moved, with "error".

    Warns
    -----
    LabelShiftRejectedWarning
        Where something else moved, or a correction is made that the fit does not support.
    """
    seen = fit.reason + WITHOUT_FEATURES * (not fit.uses_features)
    if fit.passes:
        return True, Verdict("ok" if fit.uses_features else "caution", () if fit.uses_features else (seen,))
    finding = f"Label shift is not what moved: {seen}."
    use = causes == "label" or on_reject == "correct"
    if not fit.moved and not use:
        return False, Verdict("ok", (f"no shift was detected: {seen}",))
    if not use and on_reject == "error":
        raise NotIdentifiedError(finding, remedy=LABELS_WOULD_TELL)
    done = "The prior is corrected all the same." if use else "Predictions are left uncorrected."
    tell(LabelShiftRejectedWarning(f"{finding} {done}{'' if use else ' ' + LABELS_WOULD_TELL}"))
    return use, Verdict("caution" if use else "abstain", (seen,), LABELS_WOULD_TELL)
