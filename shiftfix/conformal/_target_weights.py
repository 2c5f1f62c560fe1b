"""Weights by which source rows stand for the target when they calibrate, and those of the rows to be judged.

Raw weights are those of a weighter before its own clip, divided by their mean over the source rows, or q / p by class.
Labelled target rows stand for the target themselves. Together with the source they are a sample of the mixture
(n p + m q) / (n + m), and q over the mixture is (n + m) w / (n + m w) at any row: at most (n + m) / m, so that a few
labels bound what no source row could.
Source of the mixture's weight: Veach & Guibas (1995), "Optimally combining sampling techniques for Monte Carlo
rendering", SIGGRAPH (the balance heuristic).
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from shiftfix._numerics import Floats
from shiftfix._row_order import Rows
from shiftfix._validation import check_prior
from shiftfix._verdict import Verdict
from shiftfix.conformal._clipping import clipping_cost_of
from shiftfix.covariate import LogisticWeighter, TableColumns, are_numbers, reads_raw_rows
from shiftfix.exceptions import NotIdentifiedError, ShiftDataError
from shiftfix.weights import clip_threshold_of


@dataclass(frozen=True)
class TargetWeights:
    """Target / source weights of rows or of classes.

    Attributes
    ----------
    weighter : weighter or None
        Fitted, without a clip; None where the classes are weighted, or nothing is.
    prior : prior estimator or None
    class_weight : ndarray of shape (n_classes,) or None
        Raw weight q / p of each class.
    mean : float
        Mean of the weighter's raw weights over the source rows.
    clip : float
        Largest weight, at mean 1; infinity for none.
    cost : float
        Coverage that the clip may cost.
    n_source, n_labels : float
        Source rows, and labelled target rows that calibrate with them; 0 labels for none.
    """

    weighter: Any = None
    prior: Any = None
    class_weight: Floats | None = None
    mean: float = 1.0
    clip: float = np.inf
    cost: float = 0.0
    n_source: float = 0.0
    n_labels: float = 0.0

    @property
    def verdict(self) -> Verdict:
        """On the weights of the weighter; "ok" without one."""
        summary = getattr(self.weighter, "summary_", None)
        return Verdict("ok") if summary is None else summary.verdict

    def finish(self, raw: Floats) -> Floats:
        """Weights from raw ones, same shape."""
        w = np.minimum(raw / self.mean, self.clip)
        if self.n_labels == 0:
            return w
        with np.errstate(divide="ignore"):
            return (self.n_source + self.n_labels) / (self.n_source / w + self.n_labels)

    def raw_of_rows(self, X: Any, n_rows: int) -> Floats:
        """Raw weights of rows, shape (n_rows,); 1 where the rows are not weighted."""
        return np.ones(n_rows) if self.weighter is None else np.exp(self.weighter.log_ratio(X))

    def of_rows(self, X: Any, n_rows: int) -> Floats:
        """Weights of rows whatever their label, shape (n_rows,)."""
        return self.finish(self.raw_of_rows(X, n_rows))

    def with_labels(self, n_source: float, n_labels: float) -> "TargetWeights":
        """The same for source rows and labelled target rows together."""
        return replace(self, n_source=n_source, n_labels=n_labels)


def weighter_for(weighter: Any, estimator: Any, X: Any, X_target: Any) -> Any:
    """An unfitted weighter that neither clips nor normalises; of None, one that reads what the estimator reads."""
    if weighter is None:
        raw = reads_raw_rows(estimator) and not (are_numbers(X) and are_numbers(X_target))
        weighter = LogisticWeighter(features=TableColumns() if raw else "linear")
    own = clone(weighter)
    known = own.get_params(deep=False)
    return own.set_params(**{name: None for name in ("clip", "normalize") if name in known})


def covariate_weights(
    weighter: Any, X: Any, X_target: Any, counts: Floats | None, together: NDArray[Any] | None
) -> tuple[TargetWeights, Floats]:
    """Fit a weighter on both samples.

    Parameters
    ----------
    weighter : weighter
        Changed by the fit.
    X, X_target : array-like of n_rows rows
    counts : ndarray of shape (n_source,) or None
    together : ndarray of shape (n_source,) or None
        Groups, for a weighter that is cross-fitted.

    Returns
    -------
    TargetWeights
    raw : ndarray of shape (n_source,)
        Weights of the source rows, out of fold where the weighter is cross-fitted.
    """
    grouped = (
        {"groups_source": together} if together is not None and has_fit_parameter(weighter, "groups_source") else {}
    )
    weighter.fit(X, X_target, sample_weight_source=counts, **grouped)
    raw = weighter.source_weights_ if hasattr(weighter, "source_weights_") else np.exp(weighter.log_ratio(X))
    return TargetWeights(weighter, mean=float(np.average(raw, weights=counts))), raw


def clipped(weights: TargetWeights, raw: Floats, counts: Floats, clip: Any, raw_target: Floats) -> TargetWeights:
    """The same weights with a clip learned from the source rows, and what it costs by the target rows."""
    if clip is None:
        return weights
    bound = clip_threshold_of(raw / weights.mean, counts, clip, 100)
    cost = clipping_cost_of(raw_target / weights.mean, bound, np.ones(len(raw_target)))
    return replace(weights, clip=bound, cost=cost)


def target_class_weights(
    prior: Any, scores: NDArray[Any], y: Rows, scores_target: NDArray[Any] | None, classes: NDArray[Any], counts: Floats
) -> TargetWeights:
    """Weights q / p of the classes, of a prior that is known or yet to be estimated.

    Parameters
    ----------
    prior : prior estimator or array-like of shape (n_classes,)
    scores : ndarray of shape (n_rows, n_classes)
        Class probabilities of calibration rows.
    y : ndarray of int of shape (n_rows,)
        Place of their labels among the classes.
    scores_target : ndarray of shape (n_target, n_classes) or None
    classes : ndarray of shape (n_classes,)
    counts : ndarray of shape (n_rows,)

    Raises
    ------
    ShiftDataError
        For a known prior that is none, or has a share of a class without calibration rows.
    NotIdentifiedError
        Where the scores do not tell the prior.
    """
    if hasattr(prior, "adjust_proba"):
        fitted = clone(prior).fit(scores, classes[y], scores_target, classes=classes, sample_weight_source=counts)
        if not hasattr(fitted, "class_weight_"):
            raise NotIdentifiedError(f"The scores do not tell the target prior: {fitted.reason_}.")
        return TargetWeights(prior=fitted, class_weight=fitted.class_weight_)
    q = check_prior(prior, "prior", len(classes))
    p = np.bincount(y, weights=counts, minlength=len(classes)) / counts.sum()
    lost = np.flatnonzero((p == 0) & (q > 0))
    if lost.size:
        raise ShiftDataError(
            f"prior gives class {classes[lost[0]]!r} a share of {q[lost[0]]:g}, and no calibration row is of it: "
            "collect some, or drop the class."
        )
    return TargetWeights(class_weight=np.divide(q, p, out=np.zeros(len(q)), where=p > 0))
