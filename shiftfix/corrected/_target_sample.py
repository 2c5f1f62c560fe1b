"""Target rows that travel through scikit-learn's cross-validation whole."""

from typing import Any, Self

import numpy as np

from shiftfix.exceptions import ShiftDataError


class TargetSample:
    """Wrap the target rows, so that ``GridSearchCV(...).fit(X, y, X_target=TargetSample(X_target))`` works.

    scikit-learn slices every array-like fit argument that is as long as X into folds. This is no array-like and
    so is handed on whole; cloning returns the object itself. A bare array of another length is handed on whole too; one
    of the same length is cut without a word. A Pipeline AROUND a meta-estimator transforms X and leaves the
    target as it is, so transform both beforehand, or (label shift) inside the meta-estimator's ``estimator``.

    Parameters
    ----------
    X : array-like or data frame of shape (n_target, n_features)
        Kept as it is, without a copy.
    """

    def __init__(self, X: Any) -> None:
        self.X = X

    def __sklearn_clone__(self) -> Self:
        return self

    def __repr__(self) -> str:
        return f"TargetSample(shape={np.shape(self.X)})"


def target_rows(X_target: Any) -> Any:
    """The rows of a TargetSample or of a plain array-like; a clear error for None."""
    if X_target is None:
        raise ShiftDataError(
            "X_target is missing: pass the unlabelled target rows, fit(X, y, X_target=...). Without them there is "
            "nothing to correct for."
        )
    return X_target.X if isinstance(X_target, TargetSample) else X_target
