"""What the meta-estimators share: the inner estimator's attributes and predictions."""

from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MetaEstimatorMixin
from sklearn.utils.validation import check_is_fitted

from shiftfix._door import PublicCalls
from shiftfix._validation import check_rows


def estimator_has(method: str) -> Callable[[Any], bool]:
    """Check for ``available_if``: the fitted inner estimator, or the one given, has the method."""

    def check(self: Any) -> bool:
        getattr(getattr(self, "estimator_", self.estimator), method)
        return True

    return check


class BaseCorrected(PublicCalls, MetaEstimatorMixin, BaseEstimator):
    """Meta-estimator whose predictions are those of ``estimator_``."""

    _own_output = False

    estimator: Any
    estimator_: Any

    def _copy_input_attributes(self) -> None:
        """Take over what the inner estimator learned about the columns."""
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
            elif hasattr(self, name):
                delattr(self, name)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Predictions of the corrected estimator.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)

        Returns
        -------
        ndarray of shape (n_rows,)
        """
        check_is_fitted(self)
        return self.estimator_.predict(check_rows(X, "X"))
