"""What every simulator returns: two samples, and the truth about how they differ."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from shiftfix._printed import Printed
from shiftfix.exceptions import ShiftDataError

# exp(709.78) is the largest float64.
LOG_WEIGHT_BOUND = 709.0


def exp_weights(log_weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights from their logarithms, or an error when one is too large for a float64."""
    if log_weights.max() > LOG_WEIGHT_BOUND:
        raise ShiftDataError(
            f"the largest weight is exp({log_weights.max():.0f}), which overflows: take a smaller shift, "
            "or work with the log ratio."
        )
    return np.exp(log_weights)


@dataclass(frozen=True, repr=False, eq=False)
class ShiftProblem(Printed):
    """A source sample, a target sample and the known answer.

    Attributes
    ----------
    X_source : ndarray of shape (n_source, n_features)
    y_source : ndarray of shape (n_source,)
    X_target : ndarray of shape (n_target, n_features)
    y_target : ndarray of shape (n_target,) or None
        For the judge only: a repair that reads it is no repair without target labels.
    kind : {"covariate", "label", "concept"}
        What moves: p(x), p(y) or p(y given x).
    description : str
        One sentence for people.
    source_weights : ndarray of shape (n_source,) or None
        The true ratio w = dP_T / dP_S at the source rows, no unit. Its expectation over the source
        is 1; the values are not rescaled, so their mean misses 1 by sampling error. None under
        concept shift, where no weight repairs anything.
    target_weights : ndarray of shape (n_target,) or None
        The same ratio at the target rows, where it is known.
    source_prior, target_prior : ndarray of shape (n_classes,) or None
        Class probabilities under label shift, in the order of ``classes``; else None.
    classes : ndarray of shape (n_classes,) or None
        Class labels in the order of the priors.

    See Also
    --------
    gaussian_covariate_shift : N(0, I) to N(mu, diag(s^2)).
    label_shift : Real rows drawn class by class.
    concept_shift : P(y given x) moves: the negative control.
    """

    X_source: NDArray[Any]
    y_source: NDArray[Any]
    X_target: NDArray[Any]
    y_target: NDArray[Any] | None
    kind: Literal["covariate", "label", "concept"]
    description: str
    source_weights: NDArray[np.float64] | None = None
    target_weights: NDArray[np.float64] | None = None
    source_prior: NDArray[np.float64] | None = None
    target_prior: NDArray[np.float64] | None = None
    classes: NDArray[Any] | None = None

    def __repr__(self) -> str:
        n_source, n_target = len(self.X_source), len(self.X_target)
        return (
            f"ShiftProblem({self.kind} shift, n_source={n_source}, n_target={n_target}, "
            f"n_features={self.X_source.shape[1]}: {self.description})"
        )
